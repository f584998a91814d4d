//! The async client as its futures: given up at every poll, and under executors of all kinds.

mod cancel;
mod cancel_large;
mod executors;

use std::thread::{self, JoinHandle};

use futures_lite::future::block_on;
use mqtt_adapter_smol::{Client, Options, Outcome, Publish, Qos, connect};
use mqtt_tests::model::Model;
use mqtt_tests::polls::wait;

/// A client, and what does its input and output on a thread of its own.
struct Running {
    client: Client,
    thread: JoinHandle<()>,
}

fn start(options: Options) -> Running {
    let (client, connection) = connect(options).unwrap();
    let thread = thread::spawn(move || block_on(connection));
    block_on(client.connected()).unwrap();
    Running { client, thread }
}

fn options(broker: &Model) -> Options {
    let mut options = Options::new(&broker.url()).unwrap();
    options.engine_mut().backoff.base = core::time::Duration::from_millis(5);
    options.engine_mut().backoff.cap = core::time::Duration::from_millis(20);
    options
}

impl Running {
    /// Whatever was given up before: the client is whole, and ends when it is told to.
    fn ends_well(self) {
        let Self { client, thread } = self;
        block_on(async {
            client.connected().await.unwrap();
            client.subscribe("still/there", Qos::AtLeastOnce).await.unwrap();
            let publish = Publish::new("still/there", "yes").qos(Qos::ExactlyOnce);
            assert!(matches!(client.publish(publish).await.unwrap().await, Ok(Outcome::Acked(_))));
            loop {
                let message = client.recv().await.unwrap();
                if message.topic() == "still/there" {
                    assert_eq!(message.payload(), b"yes");
                    break;
                }
            }
            client.idle().await;
        });
        assert_eq!(client.pending(), 0);
        assert_eq!(block_on(client.stop(mqtt_tests::adapter::CAP)), 0);
        wait("the connection ends", || thread.is_finished());
        thread.join().unwrap();
    }
}
