//! What the adapters write to a log, with the feature `log`.
//!
//! The life of the connection and of the journal; never content: no topic, payload, property, user name or password. A
//! server is named without its credentials.

use crate::event::Event;

/// Writes a line, if the event is worth one.
#[cfg(feature = "log")]
pub(crate) fn event(client_id: &str, event: &Event) {
    const TARGET: &str = "mqtt_adapter";
    match event {
        Event::Connecting { attempt, server } => {
            log::debug!(target: TARGET, "{client_id}: attempt {attempt} to connect to {server}");
        }
        Event::Connected(connected) => log::info!(
            target: TARGET,
            "{client_id}: connected to {} in {:?}, MQTT {:?}, session {}",
            connected.server,
            connected.took,
            connected.version,
            if connected.resumed { "resumed" } else { "new" }
        ),
        Event::Disconnected(end) => match end.retry {
            Some(retry) => log::warn!(target: TARGET, "{client_id}: {end}; next attempt in {retry:?}"),
            None => log::info!(target: TARGET, "{client_id}: {end}; no further attempt"),
        },
        Event::SessionLost { republished, ended } => log::warn!(
            target: TARGET,
            "{client_id}: the server lost the session: {republished} published again, {ended} ended"
        ),
        Event::RecordSetAside { key, error } => {
            log::error!(target: TARGET, "{client_id}: record {key} of the journal was set aside: {error}");
        }
        Event::JournalFailed(error) => log::error!(target: TARGET, "{client_id}: {error}"),
        Event::JournalRecovered => {
            log::info!(target: TARGET, "{client_id}: the journal can be written again")
        }
        Event::RecordingFailed { detail, .. } => {
            log::error!(target: TARGET, "{client_id}: the recording has ended: {detail}");
        }
        Event::NoResponses { detail } => log::warn!(target: TARGET, "{client_id}: no requests: {detail}"),
        Event::Anomaly(anomaly) => log::debug!(target: TARGET, "{client_id}: {anomaly:?}"),
        Event::Stopped { left } => {
            log::info!(target: TARGET, "{client_id}: stopped, {left} operations left");
        }
        _ => {}
    }
}

/// Writes nothing.
#[cfg(not(feature = "log"))]
pub(crate) const fn event(_: &str, _: &Event) {}
