//! Two clients under one name.

use core::time::Duration;

use mqtt_adapter_std::{Event, ReasonCode, Version, Why};
use mqtt_tests::adapter::{Adapter, Driven, Smol, Threads};
use mqtt_tests::model::Model;
use mqtt_tests::mosquitto::Mosquitto;

use crate::common::{event_until, options};

/// MQTT 5.0 can say why, and the model broker does: the first client stops and tells that it was taken over.
/// (mosquitto 2.0.11 just closes, whatever the version.)
fn the_first_stops<A: Adapter>() {
    let broker = Model::start();
    let named = || options(&broker.url(), Version::V5).with_client_id("only-one");
    let mut first = A::connect(named()).expect("the first connects");
    let _second = A::connect(named()).expect("the second connects");

    let disconnected = event_until(&mut first, |event| match event {
        Event::Disconnected(disconnected) => Some(disconnected.clone()),
        _ => None,
    });
    assert!(
        matches!(disconnected.why, Why::ServerDisconnected(ReasonCode::SessionTakenOver)),
        "the reason is told: {disconnected}"
    );
    assert_eq!(disconnected.retry, None, "it does not fight");
    event_until(&mut first, |event| matches!(event, Event::Stopped { .. }).then_some(()));
}

/// A plain close gives no reason, so both come back, again and again: all that 3.x has, and mosquitto's way in 5.0 too. A connection counts as healthy only after
/// the configured time, and these never live so long: the waits grow to their cap, and the fight settles at the rate
/// that the cap gives, far below what the network would allow.
fn the_fight_is_bounded<A: Adapter>(version: Version) {
    const ROUNDS: usize = 12;
    let broker = Mosquitto::start();
    let cap = Duration::from_millis(400);
    let named = |seed| {
        let mut options = options(&broker.url(), version).with_client_id("only-one");
        let engine = options.engine_mut();
        engine.seed = seed;
        (engine.backoff.base, engine.backoff.cap) = (Duration::from_millis(20), cap);
        options
    };
    let mut first = A::connect(named(1)).expect("the first connects");
    let mut second = A::connect(named(2)).expect("the second connects");
    let mut waits = Vec::new();
    while waits.len() < ROUNDS {
        // The other one is driven too, where its thread does not do that.
        second.event(Duration::from_millis(1));
        if let Some(Event::Disconnected(disconnected)) = first.event(Duration::from_millis(20)) {
            assert!(matches!(disconnected.why, Why::PeerClosed | Why::TransportFailed), "{disconnected}");
            waits.push(disconnected.retry.expect("a plain close is no reason to stay away"));
        }
    }
    // From the sixth loss on the cap is reached (20 ms doubled five times), and a wait is a random part of it: half of it on
    // average. These seeds draw at least a quarter of the cap a round: at most ten connections a second from each.
    let settled = &waits[6..];
    assert!(settled.iter().all(|wait| *wait <= cap), "{waits:?}");
    let total: Duration = settled.iter().sum();
    assert!(total >= cap / 4 * u32::try_from(settled.len()).expect("a few"), "{waits:?}");
}

macro_rules! drivers {
    ($($module:ident $driver:ident),+) => {$(
        mod $module {
            use super::*;

            #[test]
            fn v5_the_first_stops() {
                the_first_stops::<$driver>();
            }

            #[test]
            fn v5_the_fight_is_bounded() {
                the_fight_is_bounded::<$driver>(Version::V5);
            }

            #[test]
            fn v3_1_1_the_fight_is_bounded() {
                the_fight_is_bounded::<$driver>(Version::V3_1_1);
            }

            #[test]
            fn v3_1_the_fight_is_bounded() {
                the_fight_is_bounded::<$driver>(Version::V3_1);
            }
        }
    )+};
}

drivers!(threads Threads, driven Driven, smol Smol);
