//! The broker's options: WebSocket, users, limits, misbehaving.

use crate::interop::interrupt;
use crate::run::{Ended, Running, mqtt, run};

/// A broker with these options, and its URLs: TCP, WebSocket.
fn broker(options: &[&str]) -> (Running, String, String) {
    let broker = Running::start(
        mqtt(&["broker", "--listen", "127.0.0.1:0", "--websocket", "127.0.0.1:0"]).args(options),
    );
    let line = broker.says("for development and tests");
    let url = |scheme: &str| {
        let found = line.split_whitespace().find(|word| word.starts_with(scheme));
        found.unwrap_or_else(|| panic!("{scheme} is not in {line:?}")).trim_end_matches(':').to_owned()
    };
    let (tcp, ws) = (url("mqtt://"), url("ws://"));
    (broker, tcp, ws)
}

/// Ctrl-C, and what it says then.
fn stop(broker: Running) -> String {
    interrupt(&broker);
    let Ended { status, errors, .. } = broker.ended();
    assert_eq!(status, Some(0), "{errors}");
    errors
}

#[test]
fn clients_on_tcp_and_on_websocket_meet_in_every_version() {
    let (broker, tcp, ws) = broker(&[]);
    for (version, from, to) in [("3.1", &tcp, &ws), ("3.1.1", &ws, &tcp), ("5", &ws, &ws)] {
        let arguments = ["sub", to, "meet/#", "--qos", "2", "--count", "3", "-V", version];
        let listener = Running::start(&mut mqtt(&arguments));
        listener.says("subscribed");
        for qos in ["0", "1", "2"] {
            let ended = run(&mut mqtt(&["pub", from, "meet/here", qos, "--qos", qos, "-V", version]));
            assert_eq!(ended.status, Some(0), "{ended:?}");
        }
        let ended = listener.ended();
        assert_eq!((ended.status, ended.output.as_str()), (Some(0), "0\n1\n2\n"), "{ended:?}");
    }
    assert!(stop(broker).contains("12 connections served"));
}

#[test]
fn only_named_users_come_in() {
    let (broker, tcp, ws) = broker(&["--user", "ada:secret", "--user", "bob:a:b"]);
    for (user, password, status) in
        [("ada", "secret", 0), ("bob", "a:b", 0), ("ada", "a:b", 3), ("eve", "secret", 3)]
    {
        for url in [&tcp, &ws] {
            let ended = run(&mut mqtt(&["pub", url, "a", "b", "-q", "1", "-u", user, "-P", password]));
            assert_eq!(ended.status, Some(status), "{ended:?}");
        }
    }
    assert_eq!(run(&mut mqtt(&["pub", &tcp, "a", "b"])).status, Some(3));
    let said = stop(broker);
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn limits_are_announced_and_held() {
    let (narrow, tcp, _) = broker(&["--max-qos", "1", "--no-retain", "--max-packet-size", "200"]);
    for (arguments, word) in [
        (&["a", "b", "--qos", "2"][..], "QoS"),
        (&["a", "b", "--qos", "1", "--retain"], "retain"),
        (&["a", &"x".repeat(300), "--qos", "1"], "at most 200"),
    ] {
        let ended = run(mqtt(&["pub", &tcp]).args(arguments));
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert!(ended.errors.to_lowercase().contains(&word.to_lowercase()), "{word}: {ended:?}");
    }
    stop(narrow);

    let (old, tcp, _) = broker(&["--newest-version", "3.1.1"]);
    assert_eq!(run(&mut mqtt(&["pub", &tcp, "a", "b", "-V", "5"])).status, Some(3));
    assert_eq!(run(&mut mqtt(&["pub", &tcp, "a", "b", "-V", "3.1.1"])).status, Some(0));
    stop(old);
}

#[test]
fn it_misbehaves_as_told_and_a_client_copes() {
    let options =
        ["--misbehave", "pubrec=close", "--misbehave", "puback=duplicate*2", "--close-on", "jobs/#"];
    let (broker, tcp, _) = broker(&options);
    let kept = ["--client-id", "stubborn", "--keep-session"];
    for (topic, qos) in [("a", "2"), ("jobs/1", "1"), ("a", "1")] {
        let ended = run(mqtt(&["pub", &tcp, topic, "x", "--qos", qos]).args(kept));
        assert_eq!(ended.status, Some(0), "{ended:?}");
    }
    let said = stop(broker);
    assert!(said.contains("5 connections served, 4 misdeeds"), "{said}");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for arguments in [
        &["--user", "ada"][..],
        &["--receive-maximum", "0"],
        &["--max-packet-size", "1"],
        &["--max-qos", "3"],
        &["--moved"],
        &["--misbehave", "connect=drop"],
        &["--misbehave", "puback=explode"],
        &["--close-on", "a/#/b"],
    ] {
        let ended = run(mqtt(&["broker"]).args(arguments));
        assert_eq!(ended.status, Some(2), "{arguments:?}: {ended:?}");
    }
    let ended = run(&mut mqtt(&["broker", "--listen", "127.0.0.1:0", "--websocket", "256.0.0.1:1"]));
    assert_eq!(ended.status, Some(3), "{ended:?}");
    assert!(ended.errors.contains("256.0.0.1:1"), "{ended:?}");
}
