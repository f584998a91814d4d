//! `mosquitto_pub` and `mosquitto_sub` on the other end, over mosquitto.

use core::time::Duration;
use std::process::Command;
use std::thread;
use std::time::Instant;

use mqtt_tests::folder::Folder;
use mqtt_tests::mosquitto::Mosquitto;
use mqtt_tests::proxy::Proxy;

use crate::run::{CAP, Running, mqtt, run};

/// The version as our options and mosquitto's have it.
const VERSIONS: [(&str, &str); 3] = [("3.1", "mqttv31"), ("3.1.1", "mqttv311"), ("5", "mqttv5")];
/// How many lines go through.
const COUNT: &str = "1000";
const QUALITIES: [&str; 3] = ["0", "1", "2"];

/// Ctrl-C.
pub(crate) fn interrupt(running: &Running) {
    let killed = Command::new("kill").args(["-INT", &running.id().to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()), "the program still runs");
}

/// mosquitto's subscriber says nothing when it is ready; the broker's log does.
fn subscriber(broker: &Mosquitto, arguments: &[&str]) -> Running {
    let before = broker.log().matches("Sending SUBACK").count();
    let running = Running::start(broker.client("mosquitto_sub").args(arguments));
    let cap = Instant::now() + CAP;
    while broker.log().matches("Sending SUBACK").count() == before {
        assert!(Instant::now() < cap, "mosquitto_sub subscribes\n{}", broker.log());
        thread::sleep(Duration::from_millis(5));
    }
    running
}

fn logging() -> Mosquitto {
    Mosquitto::with("allow_anonymous true\nlog_type all\n")
}

#[test]
fn our_pub_to_mosquitto_sub() {
    let broker = logging();
    for (ours, theirs) in VERSIONS {
        for qos in QUALITIES {
            let mut arguments = vec!["-V", theirs, "-t", "out/#", "-q", "2", "-C", COUNT, "-F", "%q %t %p"];
            if theirs == "mqttv5" {
                // With its own default of 20, mosquitto_sub 2.0.11 often ends with a protocol error, whoever publishes.
                arguments.extend(["-D", "CONNECT", "receive-maximum", "2000"]);
            }
            let listener = subscriber(&broker, &arguments);
            let mut publisher = Running::start(&mut mqtt(&[
                "pub",
                &broker.url(),
                "out/numbers",
                "--lines",
                "--qos",
                qos,
                "--protocol",
                ours,
            ]));
            for number in 0..1_000 {
                publisher.input(&format!("number {number}\n"));
            }
            let ended = publisher.ended();
            assert_eq!(ended.status, Some(0), "{ended:?}");
            for number in 0..1_000 {
                assert_eq!(listener.line(), format!("{qos} out/numbers number {number}"));
            }
        }
    }
}

#[test]
fn mosquitto_pub_to_our_sub() {
    let broker = logging();
    for (ours, theirs) in VERSIONS {
        for qos in QUALITIES {
            let listener = Running::start(&mut mqtt(&[
                "sub",
                &broker.url(),
                "in/+",
                "--qos",
                "2",
                "--count",
                COUNT,
                "--protocol",
                ours,
            ]));
            listener.says("subscribed");
            let mut publisher = Running::start(broker.client("mosquitto_pub").args([
                "-V",
                theirs,
                "-t",
                "in/numbers",
                "-q",
                qos,
                "-l",
            ]));
            for number in 0..1_000 {
                publisher.input(&format!("number {number}\n"));
            }
            let ended = publisher.ended();
            assert_eq!(ended.status, Some(0), "{ended:?}");
            for number in 0..1_000 {
                assert_eq!(listener.line(), format!("number {number}"));
            }
            assert_eq!(listener.ended().status, Some(0));
        }
    }
}

#[test]
fn json_lines() {
    let broker = logging();
    let listener =
        Running::start(&mut mqtt(&["sub", &broker.url(), "json/#", "--json", "--count", "3", "-q", "1"]));
    listener.says("subscribed");
    let publish = |arguments: &[&str]| {
        let ended = run(broker.client("mosquitto_pub").args(["-V", "mqttv5", "-q", "1"]).args(arguments));
        assert_eq!(ended.status, Some(0), "{ended:?}");
    };
    publish(&["-t", "json/text", "-m", "say \"hi\"\n"]);
    publish(&["-t", "json/properties", "-m", "21.5", "-D", "PUBLISH", "content-type", "text/plain"]);
    let folder = Folder::new("cli");
    std::fs::write(folder.file("bytes"), [0xff, 0x00, 0x80]).expect("the folder was made for this");
    publish(&["-t", "json/bytes", "-f", folder.file("bytes").to_str().expect("the path is text")]);

    let parse = |line: String| serde_json::from_str::<serde_json::Value>(&line).expect("a line is JSON");
    let text = parse(listener.line());
    assert_eq!(text["topic"], "json/text");
    assert_eq!(text["payload"], "say \"hi\"\n");
    assert_eq!((&text["qos"], &text["retain"], &text["dup"]), (&1.into(), &false.into(), &false.into()));
    assert_eq!(parse(listener.line())["properties"]["content_type"], "text/plain");
    let bytes = parse(listener.line());
    assert_eq!(bytes["payload_hex"], "ff0080");
    assert!(bytes.get("payload").is_none());
    assert_eq!(listener.ended().status, Some(0));
}

#[test]
fn retained_file_and_count() {
    let broker = logging();
    let folder = Folder::new("cli");
    let path = folder.file("picture");
    std::fs::write(&path, "line one\nline two").expect("the folder was made for this");
    let path = path.to_str().expect("the path is text");
    let ended = run(&mut mqtt(&["pub", &broker.url(), "kept", "--file", path, "--retain", "--qos", "1"]));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let late = subscriber(&broker, &["-t", "kept", "-C", "1", "-F", "%r %p"]);
    assert_eq!([late.line(), late.line()], ["1 line one", "line two"]);

    let listener = subscriber(&broker, &["-t", "again", "-q", "1", "-C", "5"]);
    let ended = run(&mut mqtt(&["pub", &broker.url(), "again", "ping", "--count", "5", "--qos", "1"]));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let lines: Vec<String> = (0..5).map(|_| listener.line()).collect();
    assert_eq!(lines, ["ping"; 5]);
}

#[test]
fn a_will_of_ours_is_delivered_when_the_process_dies() {
    let broker = logging();
    let listener = subscriber(&broker, &["-t", "wills/#", "-q", "1", "-C", "1", "-F", "%t %p"]);
    let device = Running::start(&mut mqtt(&[
        "sub",
        &broker.url(),
        "anything",
        "--will-topic",
        "wills/device",
        "--will-payload",
        "gone",
        "--will-qos",
        "1",
    ]));
    device.says("subscribed");
    drop(device);
    assert_eq!(listener.line(), "wills/device gone");
}

#[test]
fn a_kept_session_keeps_messages_for_the_next_run() {
    let broker = logging();
    let url = broker.url();
    for (version, _) in VERSIONS {
        let session = ["--client-id", "worker", "--keep-session", "--qos", "1", "--protocol", version];
        let first = Running::start(mqtt(&["sub", &url, "jobs", "--count", "1"]).args(session));
        first.says("subscribed");
        run(&mut mqtt(&["pub", &url, "jobs", "one", "--qos", "1"]));
        assert_eq!(first.line(), "one");
        assert_eq!(first.ended().status, Some(0));

        run(&mut mqtt(&["pub", &url, "jobs", "two", "--qos", "1"]));
        let second = Running::start(mqtt(&["sub", &url, "jobs", "--count", "1"]).args(session));
        assert_eq!(second.line(), "two", "what came in between waits in the session");
        assert_eq!(second.ended().status, Some(0));

        // Leaves nothing behind for the next version.
        run(mqtt(&["sub", &url, "none", "--count", "0", "--client-id", "worker"]).args(["-V", version]));
    }
}

#[test]
fn a_subscription_survives_a_cut_that_the_session_does_not() {
    let broker = logging();
    let proxy = Proxy::start(broker.address(), &[]);
    let listener = Running::start(&mut mqtt(&["sub", &proxy.url(), "news", "--count", "1"]));
    listener.says("subscribed");
    proxy.cut_now();
    listener.says("connected again");
    let cap = Instant::now() + CAP;
    while broker.log().matches("Sending SUBACK").count() < 2 {
        assert!(Instant::now() < cap, "the subscription is made again\n{}", broker.log());
        thread::sleep(Duration::from_millis(5));
    }
    run(&mut mqtt(&["pub", &broker.url(), "news", "after the cut"]));
    assert_eq!(listener.line(), "after the cut");
    assert_eq!(listener.ended().status, Some(0));
}

#[test]
fn ctrl_c_stops_gracefully() {
    let broker = logging();
    let listener = Running::start(&mut mqtt(&["sub", &broker.url(), "a", "--client-id", "interrupted"]));
    listener.says("subscribed");
    interrupt(&listener);
    let ended = listener.ended();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(broker.log().contains("Received DISCONNECT from interrupted"), "{}", broker.log());

    // Waiting for a line does not keep a publisher from ending, and what was published is delivered.
    let mut publisher = Running::start(&mut mqtt(&["pub", &broker.url(), "a", "--lines", "--qos", "1"]));
    publisher.input("one\n");
    publisher.says("connected");
    interrupt(&publisher);
    let ended = publisher.ended();
    assert_eq!(ended.status, Some(0), "{ended:?}");
}

#[test]
fn a_closed_output_ends_quietly() {
    let broker = logging();
    let script = "{ \"$0\" sub \"$1\" pipe --qos 1; echo \"status $?\" >&2; } | head -n 1";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_mqtt"), &broker.url()]);
    let reader = Running::start(&mut command);
    reader.says("subscribed");
    for _ in 0..20 {
        run(&mut mqtt(&["pub", &broker.url(), "pipe", "line", "-q", "1", "--quiet"]));
    }
    let ended = reader.ended();
    // The connection is told of by another thread, perhaps only now.
    let errors: Vec<&str> = ended.errors.lines().filter(|line| !line.contains("connected to")).collect();
    assert_eq!((ended.output.as_str(), errors.as_slice()), ("line\n", &["status 0"][..]));
}
