//! `mosquitto_pub` and `mosquitto_sub`.

use std::process::Command;

use mqtt_tests::model::Model;
use mqtt_tests::mosquitto::client_of;
use mqtt_tests::process::{Running, run};

const VERSIONS: [&str; 3] = ["mqttv31", "mqttv311", "mqttv5"];

fn client(broker: &Model, name: &str, version: &str) -> Command {
    let mut command = client_of(name, broker.address());
    command.args(["-V", version]);
    command
}

/// A broker with a retained message that tells a subscriber's test that it is subscribed: the program says nothing.
fn broker() -> Model {
    let broker = Model::start();
    let ready = ["-t", "ready", "-m", "ready", "-r", "-q", "1"];
    assert_eq!(run(client(&broker, "mosquitto_pub", "mqttv311").args(ready)).status, Some(0));
    broker
}

fn subscriber(broker: &Model, version: &str, arguments: &[&str]) -> Running {
    let print = ["-F", "%q %r %t %p"];
    let mut command = client(broker, "mosquitto_sub", version);
    let running = Running::start(command.args(print).args(["-t", "ready"]).args(arguments));
    let line = running.line();
    assert!(line.ends_with("1 ready ready"), "{line}");
    running
}

#[test]
fn a_thousand_lines_from_one_to_the_other() {
    let broker = broker();
    for version in VERSIONS {
        for qos in ["0", "1", "2"] {
            let listener = subscriber(&broker, version, &["-t", "lines", "-q", "2"]);
            let mut publisher = Running::start(
                client(&broker, "mosquitto_pub", version).args(["-t", "lines", "-q", qos, "-l"]),
            );
            for number in 0..1_000 {
                publisher.input(&format!("line {number}\n"));
            }
            let ended = publisher.ended();
            assert_eq!(ended.status, Some(0), "{ended:?}");
            for number in 0..1_000 {
                assert_eq!(listener.line(), format!("{qos} 0 lines line {number}"));
            }
        }
    }
}

#[test]
fn retained_messages_and_wills() {
    let broker = broker();
    for version in VERSIONS {
        let kept =
            run(client(&broker, "mosquitto_pub", version).args(["-t", "kept", "-m", "it", "-r", "-q", "2"]));
        assert_eq!(kept.status, Some(0), "{kept:?}");
        let late = subscriber(&broker, version, &["-t", "kept", "-t", "wills", "-q", "2"]);
        assert_eq!(late.line(), "2 1 kept it");
        let will = ["--will-topic", "wills", "--will-payload", "gone", "--will-qos", "1"];
        let device = subscriber(&broker, version, &will);
        drop(device);
        assert_eq!(late.line(), "1 0 wills gone");
    }
}

#[test]
fn a_kept_session_gets_what_it_missed() {
    let broker = broker();
    for version in VERSIONS {
        // 5.0 asks for an expiry, the older ones for a session that is not clean.
        let kept: &[&str] =
            if version == "mqttv5" { &["-c", "-x", "600", "-i", version] } else { &["-c", "-i", version] };
        let listener = subscriber(
            &broker,
            version,
            &["-t", "jobs", "-q", "1"].iter().chain(kept).copied().collect::<Vec<_>>(),
        );
        drop(listener);
        for job in ["one", "two"] {
            let ended =
                run(client(&broker, "mosquitto_pub", version).args(["-t", "jobs", "-m", job, "-q", "1"]));
            assert_eq!(ended.status, Some(0), "{ended:?}");
        }
        let again = Running::start(
            client(&broker, "mosquitto_sub", version).args(["-t", "jobs", "-q", "1", "-C", "2"]).args(kept),
        );
        assert_eq!([again.line(), again.line()], ["one", "two"]);
    }
}
