//! Every broker × version × driver: which levels of quality, what a cut does to a kept session, retained messages,
//! wills, large payloads, and the way down from 5.0.
//!
//! What is found stands in `docs/interoperability.md`, and a test fails when the table there says something else;
//! `UPDATE_DOCS=1 cargo test -p mqtt-tests --test matrix` writes it anew. The brokers come from `scripts/brokers.sh`.

mod cluster;
mod scenarios;
mod table;

use mqtt_adapter_std::{Qos, Version};
use mqtt_tests::adapter::{Driven, Smol, Threads};
use mqtt_tests::brokers::{Broker, VERSIONS};

use scenarios::{cut, flow, ladder, large, retained, speaks, will, written};
use table::Table;

/// One scenario with the three drivers at once; the last argument of each is a name that is new in each row.
macro_rules! drivers {
    ($scenario:ident, $broker:expr $(, $version:expr $(, $qos:expr)?)?) => {{
        let row = |driver: &str| {
            let parts: &[&str] = &[driver $(, written($version) $(, QUALITY[$qos as usize])?)?];
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

const QUALITIES: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
const QUALITY: [&str; 3] = ["q0", "q1", "q2"];

#[test]
fn mosquitto() {
    all(&Broker::mosquitto());
}

#[test]
fn model() {
    all(&Broker::model());
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
        for qos in QUALITIES {
            let level = qos as u8;
            table.cell(version, &format!("QoS {level}"), &drivers!(flow, broker, version, qos));
            table.cell(version, &format!("QoS {level}, kept, cut"), &drivers!(cut, broker, version, qos));
        }
        table.cell(version, "retained", &drivers!(retained, broker, version));
        table.cell(version, "will", &drivers!(will, broker, version));
        table.cell(version, "256 KiB", &drivers!(large, broker, version));
    }
    if broker.versions().contains(&Version::V5) {
        table.ladder(&drivers!(ladder, broker));
    }
    table.compare();
}
