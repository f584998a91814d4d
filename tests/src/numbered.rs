//! Clients for flows of numbered messages, and the messages.

use core::time::Duration;

use mqtt_adapter_std::{Backoff, Message, Options, Version};

/// Options of a client with a clean session; the short backoff only saves time.
///
/// # Panics
///
/// When the URL is none.
#[must_use]
pub fn options(url: &str, version: Version) -> Options {
    let mut options = Options::new(url).expect("the harness makes good URLs").with_version(version);
    let engine = options.engine_mut();
    engine.backoff =
        Backoff { base: Duration::from_millis(20), cap: Duration::from_millis(200), ..engine.backoff };
    options
}

/// Options of a client whose session outlives its connections.
///
/// # Panics
///
/// When the URL is none.
#[must_use]
pub fn kept(url: &str, version: Version, client_id: &str) -> Options {
    options(url, version)
        .with_client_id(client_id)
        .with_clean_start(false)
        .with_session_expiry(Duration::from_secs(3_600))
}

/// The payload of the n-th message: its number, and enough behind it that a cut falls into the middle of one.
#[must_use]
pub fn payload(number: u32) -> String {
    format!("{number:08} {}", "x".repeat(40))
}

/// The number in a payload.
///
/// # Panics
///
/// When it is not one of [`payload`].
#[must_use]
pub fn number(message: &Message) -> u32 {
    let text = str::from_utf8(message.payload()).expect("payloads are text");
    text[..8].parse().expect("payloads begin with a number")
}
