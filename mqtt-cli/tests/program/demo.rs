//! The demonstration, and the broker in it.

use crate::run::{Running, mqtt, run};

#[test]
fn demo_keeps_its_promises() {
    let ended = run(&mut mqtt(&["demo"]));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let rows: Vec<Vec<&str>> = ended
        .output
        .lines()
        .filter(|line| line.starts_with("QoS ") && line.contains(" to "))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), 6, "{}", ended.output);
    for row in rows {
        let [_, qos, .., sent, delivered, duplicates, lost] = row[..] else { panic!("{row:?}") };
        assert_eq!(sent, "1000");
        if qos != "0" {
            assert_eq!((delivered, lost), ("1000", "0"), "{}", ended.output);
        }
        if qos == "2" {
            assert_eq!(duplicates, "0", "{}", ended.output);
        }
    }
    assert_eq!(ended.output.matches("cut after").count(), 18, "three of each client in each round");
    assert!(ended.output.matches("session resumed").count() >= 16, "{}", ended.output);
}

#[test]
fn demo_without_cuts_loses_nothing() {
    let ended = run(&mut mqtt(&["demo", "--messages", "50", "--cuts", "0"]));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(ended.output.matches("        50        50          0      0").count(), 6, "{}", ended.output);
}

#[test]
fn broker_says_what_it_is_for_and_serves() {
    let broker = Running::start(&mut mqtt(&["broker", "--listen", "127.0.0.1:0"]));
    let line = broker.says("for development and tests");
    let url =
        line.split_whitespace().find(|word| word.starts_with("mqtt://")).expect("it tells where it listens");
    let url = url.trim_end_matches(':');

    let subscriber = Running::start(&mut mqtt(&["sub", url, "greetings/#", "--qos", "2", "--count", "2"]));
    subscriber.says("subscribed");
    for version in ["3.1.1", "5"] {
        let ended = run(mqtt(&["pub", url, "greetings/all", "hello", "--qos", "2"]).args(["-V", version]));
        assert_eq!(ended.status, Some(0), "{ended:?}");
    }
    assert_eq!([subscriber.line(), subscriber.line()], ["hello", "hello"]);
    assert_eq!(subscriber.ended().status, Some(0));

    crate::interop::interrupt(&broker);
    let ended = broker.ended();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.errors.contains("stopped"), "{ended:?}");
}
