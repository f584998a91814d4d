//! The same work by every client.

use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use mqtt_adapter_std::{Client, Connection, Event, Options, Publish, Qos};
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{Event as Told, Incoming, MqttOptions};

use crate::Failed;
use crate::sink::{PAYLOAD, TOPIC};

pub(crate) const CLIENTS: [&str; 4] = ["std Client", "std Connection", "smol Client", "rumqttc"];

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Publish(Qos),
    /// QoS 1, each message when the one before was acknowledged.
    OneAtATime,
    Receive(Qos),
}

impl Work {
    pub(crate) const ALL: [Self; 6] = [
        Self::Publish(Qos::AtMostOnce),
        Self::Publish(Qos::AtLeastOnce),
        Self::Publish(Qos::ExactlyOnce),
        Self::OneAtATime,
        Self::Receive(Qos::AtMostOnce),
        Self::Receive(Qos::AtLeastOnce),
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Publish(Qos::AtMostOnce) => "publish, QoS 0",
            Self::Publish(Qos::AtLeastOnce) => "publish, QoS 1",
            Self::Publish(Qos::ExactlyOnce) => "publish, QoS 2",
            Self::OneAtATime => "publish, QoS 1, one at a time",
            Self::Receive(Qos::AtMostOnce) => "receive, QoS 0",
            Self::Receive(_) => "receive, QoS 1",
        }
    }

    pub(crate) fn row(self, client: &str) -> String {
        format!("{client}: {}", self.name())
    }
}

/// Does the work of one row, and prints the seconds it took and the processor's.
pub(crate) fn measure(row: &[String]) -> Result<(), Failed> {
    let [client, work, address, count] = row else { return Err("a row has four words".into()) };
    let work = Work::ALL.into_iter().find(|known| known.name() == work).ok_or("no such work")?;
    let count = count.parse()?;
    let took = match client.as_str() {
        "std Client" => std_client(work, address, count),
        "std Connection" => std_connection(work, address, count),
        "smol Client" => smol::block_on(smol_client(work, address, count)),
        "rumqttc" => rumqttc(work, address, count),
        _ => Err("no such client".into()),
    }?;
    println!("{} {}", took.as_secs_f64(), processor_seconds()?);
    Ok(())
}

fn options(address: &str) -> Result<Options, Failed> {
    Ok(Options::new(&format!("mqtt://{address}"))?)
}

/// What a subscriber asks the sink for.
fn flood(qos: Qos, count: u32) -> String {
    format!("flood/{}/{count}", qos as u8)
}

fn std_client(work: Work, address: &str, count: u32) -> Result<Duration, Failed> {
    let client = Client::connect(options(address)?)?;
    let start = Instant::now();
    match work {
        Work::Publish(qos) => {
            for _ in 0..count {
                client.publish(Publish::new(TOPIC, &PAYLOAD).qos(qos))?;
            }
            while !client.idle_timeout(Duration::from_secs(60)) {}
        }
        Work::OneAtATime => {
            for _ in 0..count {
                let _ = client.publish(Publish::new(TOPIC, &PAYLOAD).qos(Qos::AtLeastOnce))?.wait()?;
            }
        }
        Work::Receive(qos) => {
            client.subscribe(&flood(qos, count), qos)?;
            for _ in 0..count {
                client.recv().ok_or("stopped")?;
            }
        }
    }
    Ok(start.elapsed())
}

fn std_connection(work: Work, address: &str, count: u32) -> Result<Duration, Failed> {
    let mut connection = Connection::new(options(address)?)?;
    while !matches!(connection.poll(None)?, Some(Event::Connected(_))) {}
    let start = Instant::now();
    match work {
        Work::Publish(qos) => {
            let mut sent = 0;
            while sent < count || connection.pending() > 0 {
                while sent < count {
                    match connection.publish(Publish::new(TOPIC, &PAYLOAD).qos(qos)) {
                        Ok(_) => sent += 1,
                        Err(error) if error.is_full() => break,
                        Err(error) => return Err(error.into()),
                    }
                }
                while connection.poll(Some(Duration::ZERO))?.is_some() {}
            }
        }
        Work::OneAtATime => {
            for _ in 0..count {
                connection.publish(Publish::new(TOPIC, &PAYLOAD).qos(Qos::AtLeastOnce))?;
                while connection.pending() > 0 {
                    connection.poll(None)?;
                }
            }
        }
        Work::Receive(qos) => {
            connection.subscribe(&flood(qos, count), qos)?;
            let mut received = 0;
            while received < count {
                received += u32::from(matches!(connection.poll(None)?, Some(Event::Message(_))));
            }
        }
    }
    Ok(start.elapsed())
}

async fn smol_client(work: Work, address: &str, count: u32) -> Result<Duration, Failed> {
    let (client, connection) = mqtt_adapter_smol::connect(options(address)?)?;
    let driven = smol::spawn(connection);
    client.connected().await?;
    let start = Instant::now();
    match work {
        Work::Publish(qos) => {
            for _ in 0..count {
                drop(client.publish(Publish::new(TOPIC, &PAYLOAD).qos(qos)).await?);
            }
            client.idle().await;
        }
        Work::OneAtATime => {
            for _ in 0..count {
                let _ = client.publish(Publish::new(TOPIC, &PAYLOAD).qos(Qos::AtLeastOnce)).await?.await?;
            }
        }
        Work::Receive(qos) => {
            client.subscribe(&flood(qos, count), qos).await?;
            for _ in 0..count {
                client.recv().await.ok_or("stopped")?;
            }
        }
    }
    let took = start.elapsed();
    drop(driven);
    Ok(took)
}

/// As its documentation has it: one thread publishes, the other takes the events.
fn rumqttc(work: Work, address: &str, count: u32) -> Result<Duration, Failed> {
    let (host, port) = address.rsplit_once(':').ok_or("no port")?;
    let mut options = MqttOptions::new("rates", host, port.parse()?);
    options.set_keep_alive(Duration::from_secs(60));
    let (client, mut connection) = rumqttc::v5::Client::new(options, 100);
    let level = |qos| match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
        Qos::ExactlyOnce => QoS::ExactlyOnce,
    };
    for event in connection.iter() {
        if matches!(event?, Told::Incoming(Incoming::ConnAck(_))) {
            break;
        }
    }
    let start = Instant::now();
    let (failed, failures) = mpsc::channel();
    // It has no receipts: the thread that takes the events tells the other one when to go on.
    let (acknowledged, go_on) = mpsc::channel();
    thread::spawn(move || {
        let done = match work {
            Work::Publish(qos) => {
                (0..count).try_for_each(|_| client.publish(TOPIC, level(qos), false, &PAYLOAD[..]))
            }
            Work::OneAtATime => (0..count).try_for_each(|_| {
                client.publish(TOPIC, QoS::AtLeastOnce, false, &PAYLOAD[..])?;
                // Gone with the connection.
                let _ = go_on.recv();
                Ok(())
            }),
            Work::Receive(qos) => client.subscribe(flood(qos, count), level(qos)),
        };
        if let Err(error) = done {
            let _ = failed.send(error);
        }
        // Dropping the handle would end the connection.
        thread::park();
    });
    let mut ended = 0;
    for event in connection.iter() {
        ended += u32::from(match (work, event?) {
            (Work::Publish(Qos::AtMostOnce), Told::Outgoing(Outgoing::Publish(_))) => true,
            (Work::Publish(Qos::AtLeastOnce), Told::Incoming(Incoming::PubAck(_))) => true,
            (Work::Publish(Qos::ExactlyOnce), Told::Incoming(Incoming::PubComp(_))) => true,
            (Work::OneAtATime, Told::Incoming(Incoming::PubAck(_))) => acknowledged.send(()).is_ok(),
            (Work::Receive(_), Told::Incoming(Incoming::Publish(_))) => true,
            _ => false,
        });
        if ended == count {
            return Ok(start.elapsed());
        }
        if let Ok(error) = failures.try_recv() {
            return Err(error.into());
        }
    }
    Err("the connection ended".into())
}

/// What the process has used of the processor so far.
fn processor_seconds() -> Result<f64, Failed> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let behind = stat.rsplit_once(')').ok_or("no name")?.1;
    let ticks: f64 =
        behind.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse().unwrap_or(0.0)).sum();
    // Linux tells this in hundredths of a second.
    Ok(ticks / 100.0)
}
