//! What goes to the log: connections, refusals and reasons, and never a secret.

#![cfg(feature = "log")]

mod common;

use std::sync::Mutex;

use common::Trace;
use mqtt_session::proto::{
    Auth, Connack, Disconnect, Properties, Property, Publish, Qos, ReasonCode, TopicName, Will,
};
use mqtt_session::{Command, Stop};

struct Lines(Mutex<Vec<String>>);

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(format!("{} {} {}", record.level(), record.target(), record.args()));
    }

    fn flush(&self) {}
}

static LINES: Lines = Lines(Mutex::new(Vec::new()));

#[test]
fn the_log_tells_of_connections_and_reasons_and_never_of_secrets() {
    log::set_logger(&LINES).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let mut t = Trace::heap(common::config(), usize::MAX);
    static PROPERTIES: [Property<'_>; 3] = [
        Property::AuthenticationMethod("SECRET-method"),
        Property::AuthenticationData(b"SECRET-data"),
        Property::UserProperty("SECRET-name", "SECRET-value"),
    ];
    let step = [PROPERTIES[0], PROPERTIES[1]];
    t.options.username = Some("SECRET-user");
    t.options.password = Some(b"SECRET-password");
    t.options.properties = Properties::List(&PROPERTIES);
    t.options.will = Some(Will {
        topic: TopicName::new("SECRET-will").unwrap(),
        payload: b"SECRET-payload",
        qos: Qos::AtMostOnce,
        retain: false,
        properties: Properties::EMPTY,
    });
    t.open();
    t.send(Auth { reason_code: ReasonCode::ContinueAuthentication, properties: Properties::List(&step) });
    let answer =
        Auth { reason_code: ReasonCode::ContinueAuthentication, properties: Properties::List(&step) };
    t.session.authenticate(&answer).unwrap();
    t.send(Connack {
        session_present: false,
        reason_code: ReasonCode::Success,
        properties: Properties::List(&step[..1]),
    });
    t.publish("SECRET-topic", Qos::AtLeastOnce, b"SECRET-payload");
    t.send(Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        topic: TopicName::new("SECRET-topic").ok(),
        packet_id: None,
        properties: Properties::EMPTY,
        payload: b"SECRET-payload",
    });
    let why = [Property::ReasonString("SECRET-reason")];
    t.send(Disconnect { reason_code: ReasonCode::ServerBusy, properties: Properties::List(&why) });
    assert_eq!(t.command(), Some(Command::Close));
    t.cut();
    t.open();
    t.send_bytes(b"\x30SECRET");
    t.expect_closing();
    t.session.stop(Stop::now()).unwrap();
    t.drain();

    let lines = LINES.0.lock().unwrap();
    for wanted in [
        "TRACE mqtt_session attempt 1 at server 0",
        "TRACE mqtt_session CONNECT, version 5, clean start true",
        "TRACE mqtt_session AUTH came: ",
        "DEBUG mqtt_session connected to server 0, resumed: false",
        "DEBUG mqtt_session the server disconnected: Server busy",
        "DEBUG mqtt_session the server broke the protocol: Protocol Error [MQTT-3.2.0-1]",
        "DEBUG mqtt_session stopped, 1 operations left",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(wanted)), "{wanted}: {lines:#?}");
    }
    assert!(!lines.iter().any(|line| line.contains("SECRET")), "{lines:#?}");
}
