//! The async client asks for no executor: it runs under tokio's, under a small one, and under none.

use core::time::Duration;
use std::sync::Arc;
use std::thread;

use futures_lite::StreamExt as _;
use futures_lite::future::{block_on, zip};
use mqtt_adapter_smol::{Client, Options, Outcome, Publish, Qos, connect};
use mqtt_tests::adapter::CAP;
use mqtt_tests::model::Model;

use super::options;

const EACH: u32 = 200;

/// Sends numbers to itself, at every quality of service, and takes them back.
async fn application(client: Client, name: String) {
    client.connected().await.unwrap();
    client.subscribe(&name, Qos::ExactlyOnce).await.unwrap();
    let send = async {
        for number in 0..EACH {
            let publish = Publish::new(&name, number.to_be_bytes().to_vec()).qos(Qos::ExactlyOnce);
            let receipt = client.publish(publish).await.unwrap();
            if number % 20 == 0 {
                assert!(matches!(receipt.await, Ok(Outcome::Acked(_))));
            }
        }
        client.idle().await;
    };
    let receive = async {
        let mut messages = client.messages();
        for number in 0..EACH {
            assert_eq!(messages.next().await.unwrap().payload(), number.to_be_bytes());
        }
    };
    zip(send, receive).await;
    assert_eq!(client.stop(CAP).await, 0);
}

#[test]
fn it_runs_in_the_threads_of_tokio() {
    let broker = Model::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).build().unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let (client, connection) = connect(options(&broker)).unwrap();
            (runtime.spawn(connection), runtime.spawn(application(client, format!("tokio/{number}"))))
        })
        .collect();
    runtime.block_on(async {
        for (connection, application) in tasks {
            application.await.unwrap();
            connection.await.unwrap();
        }
    });
}

#[test]
fn it_reconnects_and_is_given_up_inside_tokio() {
    let broker = Model::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let options = options(&broker).with_client_id("tokio").with_session_expiry(Duration::from_secs(60));
    let (client, connection) = connect(options).unwrap();
    let connection = runtime.spawn(connection);
    runtime.block_on(async {
        client.connected().await.unwrap();
        for _ in 0..20 {
            broker.handle().cut("tokio");
            let publish = Publish::new("n", "x").qos(Qos::ExactlyOnce);
            assert!(client.publish(publish).await.unwrap().await.is_ok());
        }
        // A task that is aborted drops its future: whoever waits learns it.
        let receiver = runtime.spawn({
            let client = client.clone();
            async move { client.recv().await }
        });
        connection.abort();
        assert!(connection.await.unwrap_err().is_cancelled());
        assert_eq!(receiver.await.unwrap(), None);
    });
    assert!(!client.is_connected());
}

#[test]
fn many_run_on_one_thread() {
    let broker = Model::start();
    let executor = async_executor::LocalExecutor::new();
    let mut tasks = Vec::new();
    for number in 0..20 {
        let (client, connection) = connect(options(&broker)).unwrap();
        tasks.push(executor.spawn(connection));
        tasks.push(executor.spawn(application(client, format!("local/{number}"))));
    }
    block_on(executor.run(async {
        for task in tasks {
            task.await;
        }
    }));
    assert!(executor.is_empty());
}

#[test]
fn it_runs_on_the_threads_of_a_small_executor() {
    let broker = Model::start();
    let executor = Arc::new(async_executor::Executor::new());
    let (client, connection) = connect(options(&broker)).unwrap();
    let connection = executor.spawn(connection);
    let application = executor.spawn(application(client, "small".to_owned()));
    // Each thread runs whatever is to be run, until one of the two has ended.
    let other = thread::spawn({
        let executor = Arc::clone(&executor);
        move || block_on(executor.run(connection))
    });
    block_on(executor.run(application));
    other.join().unwrap();
}

#[test]
fn it_runs_beside_the_application_without_an_executor() {
    let broker = Model::start();
    let (client, connection) = connect(Options::new(&broker.url()).unwrap()).unwrap();
    block_on(zip(connection, application(client, "none".to_owned())));
}
