//! What the scenarios share: options that suit a test, numbered messages, waiting for events.

use core::time::Duration;
use std::time::Instant;

use mqtt_adapter_std::{Backoff, Event, Message, Options, Version};
use mqtt_tests::adapter::{Adapter, CAP};

/// How many messages a flow has.
pub(crate) const COUNT: u32 = 1_000;

/// Options of a client with a clean session; the short backoff only saves time.
pub(crate) fn options(url: &str, version: Version) -> Options {
    let mut options = Options::new(url).expect("the harness makes good URLs").with_version(version);
    let engine = options.engine_mut();
    engine.backoff =
        Backoff { base: Duration::from_millis(20), cap: Duration::from_millis(200), ..engine.backoff };
    options
}

/// Options of a client whose session outlives its connections.
pub(crate) fn kept(url: &str, version: Version, client_id: &str) -> Options {
    options(url, version)
        .with_client_id(client_id)
        .with_clean_start(false)
        .with_session_expiry(Duration::from_secs(3_600))
}

/// The payload of the n-th message: its number, and enough behind it that a cut falls into the middle of one.
pub(crate) fn payload(number: u32) -> String {
    format!("{number:08} {}", "x".repeat(40))
}

/// The number in a payload.
pub(crate) fn number(message: &Message) -> u32 {
    let text = str::from_utf8(message.payload()).expect("payloads are text");
    text[..8].parse().expect("payloads begin with a number")
}

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
