//! Handlers of the blocking client.

use core::time::Duration;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Instant;

use mqtt_adapter_std::{Client, Event, Handled, Options, Publish, Qos, Routes};
use mqtt_tests::mosquitto::Mosquitto;

use super::{next, notes, options, tiny};

fn send(broker: &Mosquitto, topic: &str, count: u32, qos: Qos) {
    let sender = Client::connect(Options::new(&broker.url()).unwrap()).unwrap();
    for number in 0..count {
        let text = number.to_string();
        let receipt = sender.publish(Publish::new(topic, text.as_str()).qos(qos)).unwrap();
        if qos != Qos::AtMostOnce {
            let _ = receipt.wait().unwrap();
        }
    }
    sender.stop(Duration::from_secs(10));
}

#[test]
fn handlers_are_asked_in_order_until_one_has_handled_it() {
    let broker = Mosquitto::start();
    let (says, said) = notes();
    let say = |word: &'static str, handled| {
        let says = says.clone();
        move |_: &Client, _: &mqtt_adapter_std::Message| {
            says.send(word.to_owned()).unwrap();
            handled
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
    assert!(routes.clone().on("a/#/b", |_: &Client, _: &_| ()).is_err());
    let client = Client::connect(options(&broker)).unwrap();
    client.subscribe("#", Qos::AtLeastOnce).unwrap();
    // They wait for the handlers.
    send(&broker, "a/b", 1, Qos::AtLeastOnce);
    send(&broker, "a/c", 1, Qos::AtLeastOnce);
    send(&broker, "c", 1, Qos::AtLeastOnce);
    let handling = client.handle(&routes, 1).unwrap();
    let all: Vec<_> = (0..5).map(|_| next(&said)).collect();
    assert_eq!(all, ["first", "second", "first", "default", "default"]);
    // The table may change at any time.
    let late = routes.add("c", say("late", Handled::No)).unwrap();
    send(&broker, "c", 1, Qos::AtLeastOnce);
    assert_eq!([next(&said), next(&said)], ["late", "default"]);
    assert!(routes.remove(late) && !routes.remove(late));
    client.stop(Duration::from_secs(10));
    handling.join();
    assert_eq!(routes.unhandled(), 0);
}

/// Four seconds in a handler are four keep-alive intervals, and mosquitto closes after one and a half of silence.
#[test]
fn a_slow_handler_stops_neither_pings_nor_acknowledgements() {
    let broker = Mosquitto::start();
    let (says, said) = notes();
    let routes = Routes::new().otherwise(move |_: &Client, message: &mqtt_adapter_std::Message| {
        thread::sleep(Duration::from_secs(4));
        says.send(String::from_utf8_lossy(message.payload()).into_owned()).unwrap();
    });
    let client = Client::connect(tiny(options(&broker))).unwrap();
    let _handling = client.handle(&routes, 1).unwrap();
    client.subscribe("slow", Qos::ExactlyOnce).unwrap();
    send(&broker, "slow", 3, Qos::ExactlyOnce);
    let begun = Instant::now();
    // The inbox is full, and an answer comes all the same.
    let receipt = client.publish(Publish::new("elsewhere", "x").qos(Qos::ExactlyOnce)).unwrap();
    let _ = receipt.wait().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!([next(&said), next(&said), next(&said)], ["0", "1", "2"]);
    while let Some(event) = client.next_event(Some(Duration::ZERO)) {
        assert!(!matches!(event, Event::Disconnected(_)), "{event:?}");
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
        .on("ask", |client: &Client, _: &mqtt_adapter_std::Message| {
            client.subscribe("answer", Qos::AtLeastOnce).unwrap();
            for _ in 0..3 {
                let answer = Publish::new("answer", "x").qos(Qos::AtLeastOnce);
                let _ = client.publish(answer).unwrap().wait().unwrap();
            }
        })
        .unwrap()
        .otherwise(move |_: &Client, message: &mqtt_adapter_std::Message| {
            says.send(message.topic().to_owned()).unwrap();
        });
    let client = Client::connect(options).unwrap();
    let _handling = client.handle(&routes, 1).unwrap();
    client.subscribe("ask", Qos::AtLeastOnce).unwrap();
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
        let kept = Arc::clone(&kept);
        move |_: &Client, _: &mqtt_adapter_std::Message| drop(kept.lock().unwrap().take())
    });
    let client = Client::connect(options(&broker).with_linger(Duration::from_millis(100))).unwrap();
    let handling = client.handle(&routes, 2).unwrap();
    client.subscribe("t", Qos::AtLeastOnce).unwrap();
    *kept.lock().unwrap() = Some(client);
    send(&broker, "t", 1, Qos::AtLeastOnce);
    handling.join();
    assert!(kept.lock().unwrap().is_none());
}

#[test]
fn stopping_the_client_inside_a_handler_ends_it() {
    let broker = Mosquitto::start();
    let routes = Routes::new().otherwise(|client: &Client, _: &mqtt_adapter_std::Message| {
        client.stop(Duration::from_secs(10));
    });
    let client = Client::connect(options(&broker)).unwrap();
    let handling = client.handle(&routes, 1).unwrap();
    client.subscribe("t", Qos::AtLeastOnce).unwrap();
    send(&broker, "t", 3, Qos::AtLeastOnce);
    handling.join();
    assert!(!client.is_connected());
}

#[test]
fn handlers_run_at_the_same_time_by_choice() {
    let broker = Mosquitto::start();
    let together = Arc::new(Barrier::new(4));
    let (says, said) = notes();
    let routes = Routes::new().otherwise(move |_: &Client, _: &mqtt_adapter_std::Message| {
        together.wait();
        says.send("together".to_owned()).unwrap();
    });
    let client = Client::connect(options(&broker)).unwrap();
    let _handling = client.handle(&routes, 4).unwrap();
    client.subscribe("t", Qos::AtLeastOnce).unwrap();
    send(&broker, "t", 8, Qos::AtLeastOnce);
    for _ in 0..8 {
        assert_eq!(next(&said), "together");
    }
}

#[test]
fn a_handler_that_panics_takes_nothing_with_it() {
    let broker = Mosquitto::start();
    let (says, said) = notes();
    let routes = Routes::new().otherwise(move |_: &Client, message: &mqtt_adapter_std::Message| {
        assert!(message.payload() != b"0", "the first one is too much");
        says.send("the next".to_owned()).unwrap();
    });
    let client = Client::connect(options(&broker)).unwrap();
    let handling = client.handle(&routes, 1).unwrap();
    client.subscribe("t", Qos::AtLeastOnce).unwrap();
    send(&broker, "t", 2, Qos::AtLeastOnce);
    assert_eq!(next(&said), "the next");
    client.stop(Duration::from_secs(10));
    assert!(thread::spawn(|| handling.join()).join().is_err(), "it is told");
}
