//! Every broker × version × level of quality × driver: clean and kept sessions, on connections that hold and that are cut,
//! retained messages, wills, large payloads; and the way down from 5.0.
//!
//! What is found stands in `docs/interoperability.md`, and a test fails when the table there says something else;
//! `UPDATE_DOCS=1 cargo test -p mqtt-tests --test matrix` writes it anew. The brokers come from `scripts/brokers.sh`.

mod cluster;
mod common;
mod flows;
mod scenarios;
mod table;

use mqtt_adapter_std::{Qos, Version};
use mqtt_tests::adapter::{Driven, Smol, Threads};
use mqtt_tests::brokers::{Broker, VERSIONS};
use mqtt_tests::mosquitto::Carrier;

use common::{Found, written};
use flows::{clean, clean_cut, kept_away, kept_cut};
use scenarios::{granted, ladder, large, retained, speaks, will};
use table::Table;

/// One scenario with the three drivers at once; the last argument of each is a name that is new in each row.
macro_rules! drivers {
    ($scenario:ident, $broker:expr $(, $version:expr $(, $qos:expr)?)?) => {{
        let first = once!("", $scenario, $broker $(, $version $(, $qos)?)?);
        let differ = first.iter().any(|(_, found)| found.is_err() || *found != first[0].1);
        if differ && FICKLE.contains(&$broker.name()) {
            println!("{}: once more, after {first:?}", $broker.name());
            once!("b", $scenario, $broker $(, $version $(, $qos)?)?)
        } else {
            first
        }
    }};
}

/// The same, once.
macro_rules! once {
    ($mark:literal, $scenario:ident, $broker:expr $(, $version:expr $(, $qos:expr)?)?) => {{
        let row = |driver: &str| {
            let parts: &[&str] = &[driver $(, written($version) $(, QUALITY[$qos as usize])?)?, $mark];
            parts.join("").replace('.', "")
        };
        std::thread::scope(|scope| {
            let threads = scope.spawn(|| $scenario::<Threads>($broker $(, $version $(, $qos)?)?, &row("t")));
            let driven = scope.spawn(|| $scenario::<Driven>($broker $(, $version $(, $qos)?)?, &row("d")));
            let smol = scope.spawn(|| $scenario::<Smol>($broker $(, $version $(, $qos)?)?, &row("s")));
            [("threads", threads), ("driven", driven), ("smol", smol)].map(|(driver, found)| {
                (driver, found.join().unwrap_or_else(|_| Err("panicked".into())))
            })
        })
    }};
}

/// Brokers that do now and then what they mostly do not: where the drivers find different things, they look once more.
const FICKLE: [&str; 3] = ["aedes", "amqtt", "rumqttd"];

const QUALITIES: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
const QUALITY: [&str; 3] = ["q0", "q1", "q2"];

#[test]
fn mosquitto() {
    all(&Broker::mosquitto(Carrier::Tcp));
}

#[test]
fn mosquitto_with_a_password() {
    all(&Broker::mosquitto(Carrier::Password));
}

#[test]
fn mosquitto_over_tls() {
    all(&Broker::mosquitto(Carrier::Tls));
}

#[test]
fn mosquitto_over_mutual_tls() {
    all(&Broker::mosquitto(Carrier::MutualTls));
}

#[test]
fn mosquitto_over_ws() {
    all(&Broker::mosquitto(Carrier::Ws));
}

#[test]
fn mosquitto_over_wss() {
    all(&Broker::mosquitto(Carrier::Wss));
}

#[test]
fn mosquitto_over_a_unix_socket() {
    all(&Broker::mosquitto(Carrier::Unix));
}

#[test]
fn model() {
    all(&Broker::program(env!("CARGO_BIN_EXE_mqtt_program")));
}

#[test]
fn nats() {
    all(&Broker::nats());
}

#[test]
fn rabbitmq() {
    all(&Broker::rabbitmq());
}

#[test]
fn ejabberd() {
    all(&Broker::ejabberd());
}

#[test]
fn rumqttd() {
    all(&Broker::rumqttd());
}

#[test]
fn aedes() {
    all(&Broker::aedes());
}

#[test]
fn amqtt() {
    all(&Broker::amqtt());
}

/// Every scenario at every version the broker has a listener for.
fn all(broker: &Broker) {
    let mut table = Table::new(broker);
    for version in VERSIONS.into_iter().filter(|version| broker.versions().contains(version)) {
        let spoken = table.cell(version, "speaks it", &drivers!(speaks, broker, version));
        if spoken != "yes" {
            continue;
        }
        table.cell(version, "grants for QoS 0, 1, 2", &drivers!(granted, broker, version));
        for qos in QUALITIES {
            let mut cell = |what: &str, found: &[(&str, Found)]| {
                table.cell(version, &format!("QoS {}{what}", qos as u8), found);
            };
            cell("", &drivers!(clean, broker, version, qos));
            cell(", cut", &drivers!(clean_cut, broker, version, qos));
            cell(", kept", &drivers!(kept_away, broker, version, qos));
            cell(", kept, cut", &drivers!(kept_cut, broker, version, qos));
            cell(", retained", &drivers!(retained, broker, version, qos));
            cell(", will", &drivers!(will, broker, version, qos));
            cell(", 256 KiB", &drivers!(large, broker, version, qos));
        }
    }
    if broker.versions().contains(&Version::V5) {
        table.ladder(&drivers!(ladder, broker));
    }
    table.compare();
}
