//! Kept sessions across a restart of the broker, which keeps them on disk.
//!
//! Ended in order, mosquitto writes what it holds, whatever is under way. Killed, it falls back to what it wrote last:
//! nothing may have happened since, or no client could tell an old message from a new one.

use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

use mqtt_adapter_std::{AckMode, Event, Message, Publish, Qos, Version};
use mqtt_tests::adapter::{Adapter, CAP};
use mqtt_tests::mosquitto::Mosquitto;

use crate::common::{event_until, kept, number, payload};

matrix!(
    at_least_once_stopped_under_load,
    exactly_once_stopped_under_load,
    at_least_once_killed_after_a_save,
    exactly_once_killed_after_a_save,
);

/// Messages before the end of the broker, and as many behind it.
const HALF: u32 = 150;

fn at_least_once_stopped_under_load<A: Adapter>(version: Version) {
    stopped_under_load::<A>(version, Qos::AtLeastOnce);
}

fn exactly_once_stopped_under_load<A: Adapter>(version: Version) {
    stopped_under_load::<A>(version, Qos::ExactlyOnce);
}

fn at_least_once_killed_after_a_save<A: Adapter>(version: Version) {
    killed_after_a_save::<A>(version, Qos::AtLeastOnce);
}

fn exactly_once_killed_after_a_save<A: Adapter>(version: Version) {
    killed_after_a_save::<A>(version, Qos::ExactlyOnce);
}

/// A subscriber that is away: what comes for it is queued.
fn absent<A: Adapter>(broker: &Mosquitto, version: Version, qos: Qos) {
    let mut client = A::connect(kept(&broker.url(), version, "absent")).expect("it connects");
    client.subscribe("numbers", qos).expect("the subscription is granted");
    assert_eq!(client.stop(), 0);
}

/// Ended in order in the middle of messages and acknowledgements, one subscriber there and one away.
fn stopped_under_load<A: Adapter>(version: Version, qos: Qos) {
    let mut broker = Mosquitto::keeping();
    absent::<A>(&broker, version, qos);
    let mut receiver = A::connect(kept(&broker.url(), version, "receiver")).expect("the receiver connects");
    receiver.subscribe("numbers", qos).expect("the subscription is granted");
    let mut sender = A::connect(kept(&broker.url(), version, "sender")).expect("the sender connects");

    let mut receipts: Vec<_> = (0..HALF).map(|sent| publish(&mut sender, sent, qos)).collect();
    // Some have ended, some are under way, some have not left.
    for receipt in receipts.drain(..HALF as usize / 3) {
        assert!(sender.outcome(receipt).is_success());
    }
    broker.stop();
    receipts.extend((HALF..2 * HALF).map(|sent| publish(&mut sender, sent, qos)));
    broker.again();
    for receipt in receipts {
        let outcome = sender.outcome(receipt);
        assert!(outcome.is_success(), "every message ends well: {outcome:?}\n{}", broker.log());
    }
    let mut late = A::connect(kept(&broker.url(), version, "absent")).expect("it connects");
    for (who, client) in [("receiver", &mut receiver), ("absent", &mut late)] {
        came(who, &all(client, BTreeMap::new(), |_, _| ()), qos, &broker);
    }
    resumed(&mut receiver);
    resumed(&mut sender);
    assert_eq!((sender.stop(), receiver.stop(), late.stop()), (0, 0, 0));
}

/// Saved and killed while messages are queued for one subscriber, and under way to another who holds them.
fn killed_after_a_save<A: Adapter>(version: Version, qos: Qos) {
    let mut broker = Mosquitto::keeping();
    absent::<A>(&broker, version, qos);
    let mut options = kept(&broker.url(), version, "receiver");
    options.engine_mut().ack_mode = AckMode::Manual;
    let mut receiver = A::connect(options).expect("the receiver connects");
    receiver.subscribe("numbers", qos).expect("the subscription is granted");
    let mut sender = A::connect(kept(&broker.url(), version, "sender")).expect("the sender connects");

    let receipts: Vec<_> = (0..HALF).map(|sent| publish(&mut sender, sent, qos)).collect();
    for receipt in receipts {
        assert!(sender.outcome(receipt).is_success());
    }
    let first = receiver.message(CAP).expect("the first message comes");
    assert_eq!(number(&first), 0);
    broker.save();
    broker.kill();
    event_until(&mut receiver, |event| matches!(event, Event::Disconnected(_)).then_some(()));
    broker.again();
    resumed(&mut receiver);
    // What was held and not acknowledged comes again at QoS 1; at QoS 2 the client knows that it has it.
    receiver.acknowledge(&first);
    let receipts: Vec<_> = (HALF..2 * HALF).map(|sent| publish(&mut sender, sent, qos)).collect();
    for receipt in receipts {
        assert!(sender.outcome(receipt).is_success());
    }
    let held = BTreeMap::from([(0, 1)]);
    came("receiver", &all(&mut receiver, held, A::acknowledge), qos, &broker);
    let mut late = A::connect(kept(&broker.url(), version, "absent")).expect("it connects");
    came("absent", &all(&mut late, BTreeMap::new(), |_, _| ()), qos, &broker);
    resumed(&mut sender);
    assert_eq!((sender.stop(), receiver.stop(), late.stop()), (0, 0, 0));
}

fn publish<A: Adapter>(sender: &mut A, sent: u32, qos: Qos) -> A::Receipt {
    let text = payload(sent);
    sender.publish(Publish::new("numbers", text.as_str()).qos(qos)).expect("it is accepted")
}

/// How often each number comes, with what came before, until all have and nothing more does. What comes again says so.
fn all<A: Adapter>(
    client: &mut A,
    mut times: BTreeMap<u32, u32>,
    mut taken: impl FnMut(&mut A, &Message),
) -> BTreeMap<u32, u32> {
    let cap = Instant::now() + CAP;
    loop {
        match client.message(Duration::from_millis(200)) {
            Some(message) => {
                let times = times.entry(number(&message)).or_default();
                *times += 1;
                assert!(*times == 1 || message.dup() || message.redelivered(), "{message:?} came again");
                taken(client, &message);
            }
            None if times.len() < 2 * HALF as usize && Instant::now() < cap => {}
            None => return times,
        }
    }
}

/// QoS 1: none lost; QoS 2: each exactly once.
fn came(who: &str, times: &BTreeMap<u32, u32>, qos: Qos, broker: &Mosquitto) {
    let wrong = |times| times == 0 || qos == Qos::ExactlyOnce && times != 1;
    let wrong: Vec<_> = (0..2 * HALF)
        .map(|number| (number, times.get(&number).copied().unwrap_or_default()))
        .filter(|&(_, times)| wrong(times))
        .collect();
    assert!(wrong.is_empty(), "{who}: number and how often it came: {wrong:?}\n{}", broker.log());
}

/// The connection behind the restart finds its session again.
fn resumed<A: Adapter>(client: &mut A) {
    let resumed = |event: &Event| matches!(event, Event::Connected(connected) if connected.resumed);
    event_until(client, |event| resumed(event).then_some(()));
}
