//! What is asked of every broker. Each scenario says in a few words what came of it: "ok", or what the broker does
//! instead; the words are the same in every run.

use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

use mqtt_adapter_std::{Backoff, Disconnected, Event, Options, Outcome, Publish, Qos, Version, Will};
use mqtt_sim::schedule::Schedule;
use mqtt_sim::world::Direction;
use mqtt_tests::adapter::Adapter;
use mqtt_tests::brokers::Broker;
use mqtt_tests::proxy::Proxy;

/// How many messages a flow has.
const COUNT: u32 = 100;
/// How long what must come may take; a safety cap.
const CAP: Duration = Duration::from_secs(40);
/// How long one waits for what must not come, and for what a broker forgets to send.
const QUIET: Duration = Duration::from_millis(1_500);

pub(crate) type Found = Result<String, String>;

/// "ok", when nothing is to be said.
fn ok() -> Found {
    Ok("ok".into())
}

fn options(broker: &Broker, url: &str, version: Version, client_id: &str) -> Options {
    let mut options = broker.admits(Options::new(url).expect("the harness makes good URLs"));
    options = options.with_version(version).with_client_id(client_id);
    let engine = options.engine_mut();
    engine.backoff =
        Backoff { base: Duration::from_millis(20), cap: Duration::from_millis(200), ..engine.backoff };
    // A message that a broker closes for, three times in a row, ends as such.
    engine.suspect.end = true;
    // A broker that never answers.
    engine.ack_timeout = Some(Duration::from_secs(5));
    options
}

fn url(broker: &Broker, version: Version) -> String {
    format!("mqtt://{}", broker.address(version))
}

fn kept(options: Options) -> Options {
    options.with_clean_start(false).with_session_expiry(Duration::from_secs(3_600))
}

/// A name that no other row has used: brokers keep sessions and retained messages.
fn name(parts: &[&str]) -> String {
    parts.join("-").replace('.', "")
}

fn connect<A: Adapter>(options: Options) -> Result<A, String> {
    A::connect(options).map_err(|error| format!("does not connect: {error}"))
}

/// Subscribes; the level that was granted, if it is a lower one.
fn subscribe<A: Adapter>(client: &mut A, filter: &str, qos: Qos) -> Result<Qos, String> {
    let code = client.subscribe(filter, qos).map_err(|error| format!("SUBSCRIBE: {error}"))?;
    Qos::from_u8(code as u8).ok_or_else(|| format!("SUBACK: {code}"))
}

fn text(number: u32) -> String {
    format!("{number:08} {}", "x".repeat(40))
}

fn number(payload: &[u8]) -> Option<u32> {
    str::from_utf8(payload.get(..8)?).ok()?.parse().ok()
}

/// Publishes all the numbered messages and waits for their ends; tells the first that does not end well.
fn send_all<A: Adapter>(sender: &mut A, topic: &str, qos: Qos) -> Result<Option<String>, String> {
    let mut receipts = Vec::new();
    for sent in 0..COUNT {
        let payload = text(sent);
        let publish = Publish::new(topic, payload.as_str()).qos(qos);
        receipts.push(sender.publish(publish).map_err(|error| format!("PUBLISH: {error}"))?);
    }
    for receipt in receipts {
        match sender.outcome(receipt) {
            outcome if outcome.is_success() => {}
            Outcome::Violated => return Ok(Some("answers PUBACK: the message ends as violated".into())),
            outcome => return Ok(Some(format!("ends as {outcome:?}"))),
        }
    }
    Ok(None)
}

/// Numbered messages from one client to another on connections that hold.
pub(crate) fn flow<A: Adapter>(broker: &Broker, version: Version, qos: Qos, row: &str) -> Found {
    let (topic, url) = (name(&["flow", row]), url(broker, version));
    let mut receiver: A = connect(options(broker, &url, version, &name(&["fr", row])))?;
    let granted = subscribe(&mut receiver, &topic, qos)?;
    let mut sender: A = connect(options(broker, &url, version, &name(&["fs", row])))?;
    if let Some(otherwise) = send_all(&mut sender, &topic, qos)? {
        return Ok(otherwise);
    }
    for expected in 0..COUNT {
        let Some(message) = receiver.message(CAP) else { return Err(format!("message {expected} is lost")) };
        let found = number(message.payload());
        if found != Some(expected) {
            return Err(format!("message {found:?} came instead of {expected}"));
        }
        if message.qos() != granted {
            return Err(format!("came at {:?}", message.qos()));
        }
    }
    let left = (sender.stop(), receiver.stop());
    if left != (0, 0) {
        return Err(format!("operations left after the stop: {left:?}"));
    }
    if granted == qos { ok() } else { Ok(format!("granted {}", granted as u8)) }
}

/// The same on kept sessions, with both connections cut in the middle of messages.
pub(crate) fn cut<A: Adapter>(broker: &Broker, version: Version, qos: Qos, row: &str) -> Found {
    let topic = name(&["cut", row]);
    let there = broker.address(version);
    let out = Proxy::start(there, &[Schedule::cut(Direction::Up, 2_003)]);
    let back = Proxy::start(there, &[Schedule::cut(Direction::Down, 3_001)]);
    let mut receiver: A = connect(kept(options(broker, &back.url(), version, &name(&["cr", row]))))?;
    let granted = subscribe(&mut receiver, &topic, qos)?;
    let mut sender: A = connect(kept(options(broker, &out.url(), version, &name(&["cs", row]))))?;
    // Some keep only a session that has a subscription.
    subscribe(&mut sender, &name(&["unused", row]), qos)?;
    if let Some(otherwise) = send_all(&mut sender, &topic, qos)? {
        return Ok(otherwise);
    }
    let mut times = BTreeMap::<u32, u32>::new();
    let cap = Instant::now() + CAP;
    // At QoS 0 what a cut takes is lost. What comes twice comes soon.
    let missing = |times: &BTreeMap<u32, u32>| qos != Qos::AtMostOnce && times.len() < COUNT as usize;
    loop {
        match receiver.message(Duration::from_millis(200)) {
            Some(message) => *times.entry(number(message.payload()).unwrap_or(u32::MAX)).or_default() += 1,
            None if missing(&times) && Instant::now() < cap => {}
            None => break,
        }
    }
    if qos != Qos::AtMostOnce && (out.cut(), back.cut()) != (1, 1) {
        return Err(format!("the connections were cut {} and {} times", out.cut(), back.cut()));
    }
    let lost = (0..COUNT).filter(|number| !times.contains_key(number)).count();
    let twice = times.values().filter(|times| **times > 1).count();
    let resumed = qos == Qos::AtMostOnce || resumed(&mut sender) && resumed(&mut receiver);
    let (_, _) = (sender.stop(), receiver.stop());
    match (lost, granted) {
        _ if !resumed => Ok("does not keep the session".into()),
        (1.., Qos::AtLeastOnce | Qos::ExactlyOnce) => Ok("loses messages".into()),
        (_, Qos::AtMostOnce | Qos::ExactlyOnce) if twice != 0 => Ok("repeats messages".into()),
        _ if granted != qos => Ok(format!("granted {}", granted as u8)),
        _ => ok(),
    }
}

/// Whether a connection after the first found its session again.
fn resumed<A: Adapter>(client: &mut A) -> bool {
    let mut found = false;
    while let Some(event) = client.event(Duration::ZERO) {
        found |= matches!(event, Event::Connected(connected) if connected.resumed);
    }
    found
}

pub(crate) fn retained<A: Adapter>(broker: &Broker, version: Version, row: &str) -> Found {
    let (topic, url) = (name(&["kept", row]), url(broker, version));
    let mut sender: A = connect(options(broker, &url, version, &name(&["rs", row])))?;
    let publish = Publish::new(&topic, "open").qos(Qos::AtLeastOnce).retain(true);
    let receipt = sender.publish(publish).map_err(|error| format!("PUBLISH: {error}"))?;
    let outcome = sender.outcome(receipt);
    if !outcome.is_success() {
        return Ok(format!("ends as {outcome:?}"));
    }
    let mut late: A = connect(options(broker, &url, version, &name(&["rl", row])))?;
    subscribe(&mut late, &topic, Qos::AtLeastOnce)?;
    let Some(message) = late.message(QUIET) else { return Ok("is not retained".into()) };
    if (message.payload(), message.retain()) != (b"open", true) {
        return Err(format!("came as {message:?}"));
    }
    let receipt = sender
        .publish(Publish::new(&topic, "").qos(Qos::AtLeastOnce).retain(true))
        .map_err(|error| format!("PUBLISH: {error}"))?;
    let _ = sender.outcome(receipt);
    let mut later: A = connect(options(broker, &url, version, &name(&["rn", row])))?;
    subscribe(&mut later, &topic, Qos::AtLeastOnce)?;
    match later.message(Duration::from_millis(300)) {
        None => ok(),
        Some(_) => Ok("is not cleared".into()),
    }
}

pub(crate) fn will<A: Adapter>(broker: &Broker, version: Version, row: &str) -> Found {
    let topic = name(&["will", row]);
    let proxy = Proxy::start(broker.address(version), &[]);
    let mut watcher: A = connect(options(broker, &url(broker, version), version, &name(&["ww", row])))?;
    subscribe(&mut watcher, &topic, Qos::AtLeastOnce)?;
    let will = Will::new(&*topic, "gone").with_qos(Qos::AtLeastOnce);
    let device = options(broker, &proxy.url(), version, &name(&["wd", row])).with_will(will);
    let mut device: A = connect(device)?;
    proxy.cut_now();
    let Some(message) = watcher.message(QUIET) else { return Ok("sends no will".into()) };
    if message.payload() != b"gone" {
        return Err(format!("came as {message:?}"));
    }
    // Back again, and this time with DISCONNECT.
    let mut cut = false;
    loop {
        match device.event(CAP) {
            Some(Event::Disconnected(_)) => cut = true,
            Some(Event::Connected(_)) if cut => break,
            Some(_) => {}
            None => return Err("does not come back".into()),
        }
    }
    device.stop();
    match watcher.message(Duration::from_millis(300)) {
        None => ok(),
        Some(_) => Ok("also after DISCONNECT".into()),
    }
}

/// 256 KiB, there and back.
pub(crate) fn large<A: Adapter>(broker: &Broker, version: Version, row: &str) -> Found {
    let topic = name(&["large", row]);
    let payload: Vec<u8> = (0..262_144_u32).map(|at| (at % 251) as u8).collect();
    let mut client: A = connect(options(broker, &url(broker, version), version, &name(&["lc", row])))?;
    subscribe(&mut client, &topic, Qos::AtLeastOnce)?;
    let publish = Publish::new(&topic, &payload[..]).qos(Qos::AtLeastOnce);
    let receipt = client.publish(publish).map_err(|error| format!("PUBLISH: {error}"))?;
    let outcome = client.outcome(receipt);
    if !outcome.is_success() {
        return Ok(format!("ends as {outcome:?}"));
    }
    match client.message(CAP) {
        Some(message) if message.payload() == payload => ok(),
        Some(message) => Err(format!("{} other bytes came", message.payload().len())),
        None => Err("is lost".into()),
    }
}

/// A client that would like 5.0 and takes what it gets: which version that is.
pub(crate) fn ladder<A: Adapter>(broker: &Broker, row: &str) -> Found {
    let mut options = options(broker, &url(broker, Version::V5), Version::V5, &name(&["v", row]));
    options.engine_mut().version_ladder = true;
    let mut client = A::start(options).map_err(|error| error.to_string())?;
    let cap = Instant::now() + CAP;
    let mut failed = 0;
    while let Some(event) = client.event(cap.saturating_duration_since(Instant::now())) {
        match event {
            Event::Connected(connected) => {
                client.stop();
                return Ok(written(connected.version).into());
            }
            Event::Disconnected(Disconnected { why, .. }) => {
                failed += 1;
                if failed == 3 {
                    return Ok(format!("none: {why}"));
                }
            }
            _ => {}
        }
    }
    Err("neither connected nor refused".into())
}

/// What becomes of a client that speaks only this version; a broker that does not know it must not make it hang.
pub(crate) fn speaks<A: Adapter>(broker: &Broker, version: Version, row: &str) -> Found {
    match A::connect(options(broker, &url(broker, version), version, &name(&["s", row]))) {
        Ok(mut client) => {
            client.stop();
            Ok("yes".into())
        }
        Err(mqtt_adapter_std::ConnectError::Failed(failed)) => Ok(failed.why.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// A version as the standard writes it.
pub(crate) const fn written(version: Version) -> &'static str {
    match version {
        Version::V3_1 => "3.1",
        Version::V3_1_1 => "3.1.1",
        Version::V5 => "5.0",
    }
}
