//! What must not work: one clear line, the documented status, and the program ends.

use mqtt_tests::mosquitto::{Mosquitto, free_address};
use mqtt_tests::scripted::Scripted;

use crate::run::{Ended, mqtt, run};

/// Exactly one line, with these words in it, and no trace of a panic.
pub(crate) fn one_line(ended: &Ended, status: i32, words: &[&str]) {
    assert_eq!(ended.status, Some(status), "{ended:?}");
    assert_eq!(ended.errors.lines().count(), 1, "one line: {ended:?}");
    assert!(ended.errors.starts_with("mqtt: "), "{ended:?}");
    assert!(!ended.errors.contains("panicked"), "{ended:?}");
    for word in words {
        assert!(ended.errors.contains(word), "{word:?} is missing: {ended:?}");
    }
    assert_eq!(ended.output, "");
}

#[test]
fn wrong_url() {
    for (url, words) in [
        ("localhost:1883", &["mqtt://"][..]),
        ("http://localhost", &["http", "mqtt://"]),
        ("quic://localhost", &["quic", "not supported yet"]),
        ("mqtt://", &["host"]),
        ("mqtt://localhost:99999", &["port"]),
        ("mqtt://[::g]", &["IPv6"]),
    ] {
        one_line(&run(&mut mqtt(&["pub", url, "a", "b"])), 2, words);
        one_line(&run(&mut mqtt(&["sub", url, "a"])), 2, words);
    }
}

#[test]
fn password_in_a_wrong_url_is_not_repeated() {
    let ended = run(&mut mqtt(&["pub", "mqtt://user:canary@localhost:99999", "a", "b"]));
    one_line(&ended, 2, &["port"]);
    assert!(!ended.errors.contains("canary"), "{ended:?}");
}

#[test]
fn refused_connection() {
    let address = free_address().to_string();
    let url = format!("mqtt://{address}");
    one_line(&run(&mut mqtt(&["pub", &url, "a", "b"])), 3, &[&address, "refused"]);
    one_line(&run(&mut mqtt(&["sub", &url, "a"])), 3, &[&address, "refused"]);
}

#[test]
fn unknown_host() {
    one_line(&run(&mut mqtt(&["pub", "mqtt://broker.invalid", "a", "b"])), 3, &["broker.invalid"]);
    one_line(&run(&mut mqtt(&["sub", "mqtt://broker.invalid", "a"])), 3, &["broker.invalid"]);
}

#[test]
fn refused_connack() {
    let broker = Mosquitto::with("allow_anonymous false\n");
    for version in ["3.1", "3.1.1", "5"] {
        let arguments = ["--protocol", version, &broker.url()];
        one_line(&run(mqtt(&["pub"]).args(arguments).args(["a", "b"])), 3, &["authorized"]);
        one_line(&run(mqtt(&["sub"]).args(arguments).arg("a")), 3, &["authorized"]);
    }
}

#[test]
fn wildcard_in_a_topic() {
    // Told before anything is connected: nobody listens there.
    let url = format!("mqtt://{}", free_address());
    one_line(&run(&mut mqtt(&["pub", &url, "rooms/+/light", "on"])), 2, &["rooms/+/light", "wildcard"]);
    one_line(&run(&mut mqtt(&["pub", &url, "rooms/#", "on"])), 2, &["rooms/#", "wildcard"]);
    one_line(&run(&mut mqtt(&["pub", &url, "", "on"])), 2, &["at least one character"]);
    let will = ["--will-topic", "a/+"];
    one_line(&run(mqtt(&["pub", &url, "a", "b"]).args(will)), 2, &["--will-topic", "a/+"]);
}

#[test]
fn misplaced_wildcard_in_a_filter() {
    let url = format!("mqtt://{}", free_address());
    one_line(&run(&mut mqtt(&["sub", &url, "a/#/b"])), 2, &["a/#/b"]);
    one_line(&run(&mut mqtt(&["sub", &url, "good/#", "a+/b"])), 2, &["a+/b"]);
}

#[test]
fn payload_too_large_for_the_server() {
    let broker = Mosquitto::with("allow_anonymous true\nmax_packet_size 300\n");
    let large = "x".repeat(1_000);
    for qos in ["0", "1", "2"] {
        let ended = run(&mut mqtt(&["pub", &broker.url(), "a", &large, "--qos", qos, "--quiet"]));
        one_line(&ended, 1, &["300"]);
    }
    // 3.1.1 cannot announce a limit: the server closes, each time it is tried. The program gives up and says so.
    let ended = run(&mut mqtt(&[
        "pub",
        &broker.url(),
        "a",
        &large,
        "--qos",
        "1",
        "--quiet",
        "--protocol",
        "3.1.1",
        "--attempts",
        "2",
    ]));
    one_line(&ended, 4, &["0 of 1 messages delivered"]);
}

#[test]
fn broken_bytes_from_the_server() {
    let web = Scripted::start(&[b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"]);
    one_line(&run(&mut mqtt(&["pub", &web.url(), "a", "b"])), 3, &[]);
    one_line(&run(&mut mqtt(&["sub", &web.url(), "a"])), 3, &[]);
    // A CONNACK, and then a packet of a type that does not exist.
    let odd = Scripted::start(&[&[0x20, 3, 0, 0, 0], &[0x00, 0x00]]);
    let ended = run(&mut mqtt(&["pub", &odd.url(), "a", "b", "--qos", "1", "--attempts", "1", "--quiet"]));
    one_line(&ended, 4, &["bad packet", "0 of 1 messages delivered"]);
    let ended = run(&mut mqtt(&["sub", &odd.url(), "a", "--attempts", "1", "--quiet"]));
    one_line(&ended, 4, &["bad packet"]);
}

#[test]
fn silent_server() {
    // Takes the connection and never answers: the deadline for CONNACK ends it.
    let silent = Scripted::start(&[]);
    one_line(&run(&mut mqtt(&["pub", &silent.url(), "a", "b"])), 3, &[]);
}

#[test]
fn refused_subscription() {
    // A CONNACK, then a SUBACK for packet identifier 1 that refuses.
    let server = Scripted::start(&[&[0x20, 3, 0, 0, 0], &[0x90, 4, 0, 1, 0, 0x87]]);
    let ended = run(&mut mqtt(&["sub", &server.url(), "secret/#", "--quiet"]));
    one_line(&ended, 1, &["secret/#", "authorized"]);
}

#[test]
fn unreadable_file() {
    let url = format!("mqtt://{}", free_address());
    one_line(&run(&mut mqtt(&["pub", &url, "a", "--file", "no/such/file"])), 2, &["no/such/file"]);
}

#[test]
fn port_in_use() {
    let broker = Mosquitto::start();
    let address = broker.address().to_string();
    one_line(&run(&mut mqtt(&["broker", "--listen", &address])), 3, &[&address, "in use"]);
}
