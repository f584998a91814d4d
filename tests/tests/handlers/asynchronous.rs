//! Handlers of the async client.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use async_io::Timer;
use futures_lite::future::block_on;
use mqtt_adapter_smol::{Client, Event, Handled, Message, Options, Publish, Qos, Routes, connect};
use mqtt_tests::mosquitto::Mosquitto;

use super::{next, notes, options, tiny};

/// A client whose connection runs on a thread of its own.
fn start(options: Options) -> Client {
    let (client, connection) = connect(options).unwrap();
    thread::spawn(move || block_on(connection));
    block_on(client.connected()).unwrap();
    client
}

/// The handlers, on another; it ends with the client.
fn handle(client: &Client, routes: &Routes, at_once: usize) -> thread::JoinHandle<()> {
    let handling = client.handle(routes, at_once);
    thread::spawn(move || block_on(handling))
}

fn send(broker: &Mosquitto, topic: &str, count: u32, qos: Qos) {
    let sender = start(Options::new(&broker.url()).unwrap());
    block_on(async {
        for number in 0..count {
            let text = number.to_string();
            let receipt = sender.publish(Publish::new(topic, text.as_str()).qos(qos)).await.unwrap();
            if qos != Qos::AtMostOnce {
                let _ = receipt.await.unwrap();
            }
        }
        sender.stop(Duration::from_secs(10)).await;
    });
}

#[test]
fn handlers_are_asked_in_order_until_one_has_handled_it() {
    let broker = Mosquitto::start();
    let (says, said) = notes();
    let say = |word: &'static str, handled| {
        let says = says.clone();
        move |_: Client, _: Message| {
            says.send(word.to_owned()).unwrap();
            async move { handled }
        }
    };
    let routes = Routes::new()
        .on("a/#", say("first", Handled::No))
        .unwrap()
        .on("a/b", say("second", Handled::Yes))
        .unwrap()
        .on("$share/group/a/b", say("third", Handled::Yes))
        .unwrap()
        .otherwise(say("default", Handled::Yes));
    let client = start(options(&broker));
    block_on(client.subscribe("#", Qos::AtLeastOnce)).unwrap();
    // They wait for the handlers.
    send(&broker, "a/b", 1, Qos::AtLeastOnce);
    send(&broker, "a/c", 1, Qos::AtLeastOnce);
    send(&broker, "c", 1, Qos::AtLeastOnce);
    let handling = handle(&client, &routes, 1);
    let all: Vec<_> = (0..5).map(|_| next(&said)).collect();
    assert_eq!(all, ["first", "second", "first", "default", "default"]);
    let late = routes.add("c", say("late", Handled::No)).unwrap();
    send(&broker, "c", 1, Qos::AtLeastOnce);
    assert_eq!([next(&said), next(&said)], ["late", "default"]);
    assert!(routes.remove(late) && !routes.remove(late));
    block_on(client.stop(Duration::from_secs(10)));
    handling.join().unwrap();
    assert_eq!(routes.unhandled(), 0);
}

/// It blocks its thread, which no handler of an async client should do: the connection is another task.
#[test]
fn a_slow_handler_stops_neither_pings_nor_acknowledgements() {
    let broker = Mosquitto::start();
    let (says, said) = notes();
    let routes = Routes::new().otherwise(move |_, message| {
        let says = says.clone();
        async move {
            thread::sleep(Duration::from_secs(4));
            says.send(String::from_utf8_lossy(message.payload()).into_owned()).unwrap();
        }
    });
    let client = start(tiny(options(&broker)));
    let _handling = handle(&client, &routes, 1);
    block_on(client.subscribe("slow", Qos::ExactlyOnce)).unwrap();
    send(&broker, "slow", 3, Qos::ExactlyOnce);
    let begun = Instant::now();
    block_on(async {
        let receipt = client.publish(Publish::new("elsewhere", "x").qos(Qos::ExactlyOnce)).await.unwrap();
        let _ = receipt.await.unwrap();
    });
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!([next(&said), next(&said), next(&said)], ["0", "1", "2"]);
    block_on(client.stop(Duration::from_secs(10)));
    while let Some(event) = block_on(client.next_event()) {
        let ordered = matches!(&event, Event::Disconnected(end) if end.retry.is_none());
        assert!(ordered || !matches!(event, Event::Disconnected(_)), "{event:?}");
    }
}

/// The queue has room for two, the inbox for one, and the handler waits for the server with each message.
#[test]
fn publishing_and_subscribing_inside_a_handler_cannot_deadlock() {
    let broker = Mosquitto::start();
    let (says, said) = notes();
    let mut options = tiny(options(&broker));
    options.engine_mut().max_operations = 2;
    let routes = Routes::new()
        .on("ask", |client: Client, _| async move {
            client.subscribe("answer", Qos::AtLeastOnce).await.unwrap();
            for _ in 0..3 {
                let answer = Publish::new("answer", "x").qos(Qos::AtLeastOnce);
                let _ = client.publish(answer).await.unwrap().await.unwrap();
            }
        })
        .unwrap()
        .otherwise(move |_, message| {
            says.send(message.topic().to_owned()).unwrap();
            async {}
        });
    let client = start(options);
    let _handling = handle(&client, &routes, 1);
    block_on(client.subscribe("ask", Qos::AtLeastOnce)).unwrap();
    send(&broker, "ask", 10, Qos::AtLeastOnce);
    for _ in 0..30 {
        assert_eq!(next(&said), "answer");
    }
}

#[test]
fn dropping_the_client_inside_a_handler_ends_it() {
    let broker = Mosquitto::start();
    let kept = Arc::new(Mutex::new(None));
    let routes = Routes::new().otherwise({
        let kept: Arc<Mutex<Option<Client>>> = Arc::clone(&kept);
        move |_, _| {
            let kept = Arc::clone(&kept);
            async move { drop(kept.lock().unwrap().take()) }
        }
    });
    let client = start(options(&broker).with_linger(Duration::from_millis(100)));
    let handling = handle(&client, &routes, 2);
    block_on(client.subscribe("t", Qos::AtLeastOnce)).unwrap();
    *kept.lock().unwrap() = Some(client);
    send(&broker, "t", 1, Qos::AtLeastOnce);
    handling.join().unwrap();
    assert!(kept.lock().unwrap().is_none());
}

#[test]
fn stopping_the_client_inside_a_handler_ends_it() {
    let broker = Mosquitto::start();
    let routes = Routes::new().otherwise(|client: Client, _| async move {
        client.stop(Duration::from_secs(10)).await;
    });
    let client = start(options(&broker));
    let handling = handle(&client, &routes, 1);
    block_on(client.subscribe("t", Qos::AtLeastOnce)).unwrap();
    send(&broker, "t", 3, Qos::AtLeastOnce);
    handling.join().unwrap();
    assert!(!client.is_connected());
}

#[test]
fn handlers_run_at_the_same_time_by_choice() {
    let broker = Mosquitto::start();
    let (says, said) = notes();
    let inside = Arc::new(AtomicU32::new(0));
    let routes = Routes::new().otherwise(move |_, _| {
        let (says, inside) = (says.clone(), Arc::clone(&inside));
        async move {
            // Each waits until four have begun.
            inside.fetch_add(1, Ordering::Relaxed);
            while inside.load(Ordering::Relaxed) < 4 {
                Timer::after(Duration::from_millis(5)).await;
            }
            says.send("together".to_owned()).unwrap();
        }
    });
    let client = start(options(&broker));
    let _handling = handle(&client, &routes, 4);
    block_on(client.subscribe("t", Qos::AtLeastOnce)).unwrap();
    send(&broker, "t", 8, Qos::AtLeastOnce);
    for _ in 0..8 {
        assert_eq!(next(&said), "together");
    }
}
