//! What the scenarios share: options that suit a test, numbered messages, waiting for events.

use std::time::Instant;

use mqtt_adapter_std::Event;
use mqtt_tests::adapter::{Adapter, CAP};

pub(crate) use mqtt_tests::numbered::{kept, number, options, payload};

/// How many messages a flow has.
pub(crate) const COUNT: u32 = 1_000;

/// The next event that `wanted` takes; those before it are passed over.
pub(crate) fn event_until<A: Adapter, T>(client: &mut A, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
    let cap = Instant::now() + CAP;
    loop {
        let left = cap.saturating_duration_since(Instant::now());
        let event = client.event(left).expect("the event came before the cap");
        if let Some(found) = wanted(&event) {
            return found;
        }
    }
}
