//! What the scenarios share: options, names, numbered messages.

use core::ops::Range;
use core::time::Duration;

use mqtt_adapter_std::{Backoff, Event, Options, Outcome, Publish, Qos, Version};
use mqtt_tests::adapter::Adapter;
use mqtt_tests::brokers::Broker;

/// How many messages a flow has.
pub(crate) const COUNT: u32 = 100;
/// How long what must come may take; a safety cap.
pub(crate) const CAP: Duration = Duration::from_secs(40);
/// How long one waits for what must not come, and for what a broker forgets to send.
pub(crate) const QUIET: Duration = Duration::from_millis(1_500);

/// What a scenario says: "ok", or in a few words what the broker does instead, the same in every run; an error is what
/// no broker may make of a client.
pub(crate) type Found = Result<String, String>;

/// "ok", when nothing is to be said.
pub(crate) fn ok() -> Found {
    Ok("ok".into())
}

pub(crate) fn options(broker: &Broker, url: &str, version: Version, client_id: &str) -> Options {
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

pub(crate) fn kept(options: Options) -> Options {
    options.with_clean_start(false).with_session_expiry(Duration::from_secs(3_600))
}

/// A name that no other row has used: brokers keep sessions and retained messages.
pub(crate) fn name(parts: &[&str]) -> String {
    parts.join("-").replace('.', "")
}

pub(crate) fn connect<A: Adapter>(options: Options) -> Result<A, String> {
    A::connect(options).map_err(|error| format!("does not connect: {error}"))
}

/// Subscribes; the level that was granted, if it is a lower one.
pub(crate) fn subscribe<A: Adapter>(client: &mut A, filter: &str, qos: Qos) -> Result<Qos, String> {
    let code = client.subscribe(filter, qos).map_err(|error| format!("SUBSCRIBE: {error}"))?;
    Qos::from_u8(code as u8).ok_or_else(|| format!("SUBACK: {code}"))
}

pub(crate) fn text(number: u32) -> String {
    format!("{number:08} {}", "x".repeat(40))
}

pub(crate) fn number(payload: &[u8]) -> Option<u32> {
    str::from_utf8(payload.get(..8)?).ok()?.parse().ok()
}

/// Publishes these numbers and waits for their ends; those that the server has. Otherwise, what is to be said: the first
/// end that is neither good nor tolerated.
pub(crate) fn send<A: Adapter>(
    sender: &mut A,
    topic: &str,
    qos: Qos,
    numbers: Range<u32>,
    tolerated: &[Outcome],
) -> Result<Vec<u32>, Found> {
    let mut receipts = Vec::new();
    for number in numbers {
        let payload = text(number);
        let publish = Publish::new(topic, payload.as_str()).qos(qos);
        let receipt = sender.publish(publish).map_err(|error| Err(format!("PUBLISH: {error}")))?;
        receipts.push((number, receipt));
    }
    let mut taken = Vec::new();
    for (number, receipt) in receipts {
        match sender.outcome(receipt) {
            outcome if outcome.is_success() => taken.push(number),
            outcome if tolerated.contains(&outcome) => {}
            outcome => return Err(Ok(ended(&outcome))),
        }
    }
    Ok(taken)
}

/// How an operation ended that did not end well.
pub(crate) fn ended(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Violated => "answers PUBACK: the message ends as violated".into(),
        outcome => format!("ends as {outcome:?}"),
    }
}

/// Whether a connection after the first found its session again.
pub(crate) fn resumed<A: Adapter>(client: &mut A) -> bool {
    let mut found = false;
    while let Some(event) = client.event(Duration::ZERO) {
        found |= matches!(event, Event::Connected(connected) if connected.resumed);
    }
    found
}

/// A version as the standard writes it.
pub(crate) const fn written(version: Version) -> &'static str {
    match version {
        Version::V3_1 => "3.1",
        Version::V3_1_1 => "3.1.1",
        Version::V5 => "5.0",
    }
}
