//! Numbered messages from one client to another, on clean and on kept sessions, with and without a cut in the middle.

use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

use mqtt_adapter_std::{Event, Outcome, Qos, Version};
use mqtt_sim::schedule::Schedule;
use mqtt_sim::world::Direction;
use mqtt_tests::adapter::Adapter;
use mqtt_tests::brokers::Broker;

use crate::common::{CAP, COUNT, Found, connect, kept, name, number, ok, options, resumed, send, subscribe};

/// How long a broker may take for what waits in a session. One that loses messages costs this much.
const PATIENCE: Duration = Duration::from_secs(25);

/// "ok", or which lower level was granted.
fn granted_is(granted: Qos, qos: Qos) -> Found {
    if granted == qos { ok() } else { Ok(format!("granted {}", granted as u8)) }
}

/// What was under way at QoS 0 when a connection is cut is lost.
fn lost_at_0(qos: Qos) -> &'static [Outcome] {
    if qos == Qos::AtMostOnce { &[Outcome::Lost] } else { &[] }
}

/// Clean sessions, on connections that hold: all arrive, in order, once.
pub(crate) fn clean<A: Adapter>(broker: &Broker, version: Version, qos: Qos, row: &str) -> Found {
    let (topic, url) = (name(&["flow", row]), broker.url(version));
    let mut receiver: A = connect(options(broker, &url, version, &name(&["fr", row])))?;
    let granted = subscribe(&mut receiver, &topic, qos)?;
    let mut sender: A = connect(options(broker, &url, version, &name(&["fs", row])))?;
    if let Err(found) = send(&mut sender, &topic, qos, 0..COUNT, &[]) {
        return found;
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
    granted_is(granted, qos)
}

/// Takes what comes until this number does; false: it does not, within that time for each.
fn until<A: Adapter>(receiver: &mut A, last: u32, within: Duration, came: &mut Vec<u32>) -> bool {
    while came.last() != Some(&last) {
        let Some(message) = receiver.message(within) else { return false };
        came.push(number(message.payload()).unwrap_or(u32::MAX));
    }
    true
}

/// Sends one more message and waits for it and what comes before; false: it does not come. At QoS 0 one may get lost on a
/// connection that nobody knows yet to be cut, or be sent before a session is ready: then another one is sent.
fn last<A: Adapter>(
    sender: &mut A,
    receiver: &mut A,
    (topic, qos, number): (&str, Qos, u32),
    came: &mut Vec<u32>,
) -> Result<bool, Found> {
    let (within, tries) =
        if qos == Qos::AtMostOnce { (Duration::from_millis(500), 20) } else { (PATIENCE, 1) };
    for _ in 0..tries {
        send(sender, topic, qos, number..number + 1, &[Outcome::Lost])?;
        if until(receiver, number, within, came) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Clean sessions: the sender is cut in the middle, and then the receiver. What the sender has accepted ends all the same, and
/// at QoS 1 and 2 arrives, perhaps twice; the receiver's subscription is made again.
pub(crate) fn clean_cut<A: Adapter>(broker: &Broker, version: Version, qos: Qos, row: &str) -> Found {
    let topic = name(&["ccut", row]);
    let out = broker.route(version, &[Schedule::cut(Direction::Up, 2_003)]);
    let back = broker.route(version, &[]);
    let mut receiver: A = connect(options(broker, &back.url(), version, &name(&["ccr", row])))?;
    let granted = subscribe(&mut receiver, &topic, qos)?;
    let mut sender: A = connect(options(broker, &out.url(), version, &name(&["ccs", row])))?;
    // What was under way at QoS 0 is lost; past PUBREC it cannot be known at QoS 2.
    let taken = match send(&mut sender, &topic, qos, 0..COUNT, &[Outcome::Lost, Outcome::Unknown]) {
        Ok(taken) => taken,
        Err(found) => return found,
    };
    let mut came = Vec::new();
    match last(&mut sender, &mut receiver, (&topic, qos, COUNT), &mut came) {
        Ok(true) => {}
        Ok(false) => return Ok("loses messages".into()),
        Err(found) => return found,
    }
    if out.cut() != 1 {
        return Err(format!("the sender was cut {} times", out.cut()));
    }
    if granted != Qos::AtMostOnce && taken.iter().any(|number| !came.contains(number)) {
        return Ok("loses messages".into());
    }
    back.cut_now();
    loop {
        match receiver.event(CAP) {
            Some(Event::Resubscribed { codes, .. }) if codes.iter().all(|code| !code.is_error()) => break,
            Some(Event::Resubscribed { codes, .. }) => return Err(format!("subscribed again: {codes:?}")),
            Some(_) => {}
            None => return Err("does not subscribe again".into()),
        }
    }
    match last(&mut sender, &mut receiver, (&topic, qos, COUNT + 1), &mut came) {
        Ok(true) => {}
        Ok(false) => return Ok("loses messages".into()),
        Err(found) => return found,
    }
    let (_, _) = (sender.stop(), receiver.stop());
    granted_is(granted, qos)
}

/// Kept sessions, one part of the messages while the receiver is away: at QoS 1 and 2 all arrive, in order, once.
pub(crate) fn kept_away<A: Adapter>(broker: &Broker, version: Version, qos: Qos, row: &str) -> Found {
    let (topic, url) = (name(&["away", row]), broker.url(version));
    let receiving = || connect(kept(options(broker, &url, version, &name(&["ar", row]))));
    let mut receiver: A = receiving()?;
    let granted = subscribe(&mut receiver, &topic, qos)?;
    let mut sender: A = connect(kept(options(broker, &url, version, &name(&["as", row]))))?;
    let mut came = Vec::new();
    let (half, lost) = (COUNT / 2, || Ok("loses messages".into()));
    if let Err(found) = send(&mut sender, &topic, qos, 0..half, &[]) {
        return found;
    }
    if !until(&mut receiver, half - 1, PATIENCE, &mut came) {
        return lost();
    }
    if receiver.stop() != 0 {
        return Err("operations left after the stop".into());
    }
    if let Err(found) = send(&mut sender, &topic, qos, half..COUNT, &[]) {
        return found;
    }
    let mut receiver: A = receiving()?;
    match last(&mut sender, &mut receiver, (&topic, qos, COUNT), &mut came) {
        Ok(true) => {}
        Ok(false) => return lost(),
        Err(found) => return found,
    }
    let (_, _) = (sender.stop(), receiver.stop());
    let wanted: Vec<u32> = (0..=COUNT).collect();
    // At QoS 0 what comes while nobody is there may be lost.
    if came == wanted || granted == Qos::AtMostOnce && came.is_sorted() {
        return granted_is(granted, qos);
    }
    println!("{} {row}: {came:?}", broker.name());
    let (times, mut once) = (came.len(), came);
    once.sort_unstable();
    once.dedup();
    Ok(match () {
        () if granted != Qos::AtMostOnce && once != wanted => "loses messages",
        () if times != once.len() => "repeats messages",
        () => "reorders messages",
    }
    .into())
}

/// Kept sessions, with both connections cut in the middle of messages.
pub(crate) fn kept_cut<A: Adapter>(broker: &Broker, version: Version, qos: Qos, row: &str) -> Found {
    let topic = name(&["cut", row]);
    let out = broker.route(version, &[Schedule::cut(Direction::Up, 2_003)]);
    let back = broker.route(version, &[Schedule::cut(Direction::Down, 3_001)]);
    let mut receiver: A = connect(kept(options(broker, &back.url(), version, &name(&["cr", row]))))?;
    let granted = subscribe(&mut receiver, &topic, qos)?;
    let mut sender: A = connect(kept(options(broker, &out.url(), version, &name(&["cs", row]))))?;
    // Some keep only a session that has a subscription.
    subscribe(&mut sender, &name(&["unused", row]), qos)?;
    if let Err(found) = send(&mut sender, &topic, qos, 0..COUNT, lost_at_0(qos)) {
        return found;
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
        _ => granted_is(granted, qos),
    }
}
