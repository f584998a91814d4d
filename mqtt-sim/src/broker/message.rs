//! Messages as they are kept: once, whatever the number of receivers, and in no version's form.

use core::time::Duration;
use std::sync::Arc;

use mqtt_proto::{Properties, Property, Publish, Qos, Will};
use mqtt_session::Instant;

use super::session::SessionKey;

/// Room that a kept message takes beside its own bytes; counted against every byte bound.
const OVERHEAD: usize = 64;

/// An application message on its way through the broker.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Message {
    pub(super) topic: Box<str>,
    pub(super) payload: Box<[u8]>,
    /// The properties that travel on, encoded: never those that belong to one hop (alias, expiry, identifiers).
    pub(super) properties: Box<[u8]>,
    pub(super) qos: Qos,
    /// The retain flag it was published with.
    pub(super) retain: bool,
    /// When it is no longer worth delivering.
    pub(super) expires_at: Option<Instant>,
    /// The session it came from, for No Local; none for the broker's own.
    pub(super) publisher: Option<SessionKey>,
}

impl Message {
    /// What a client published to `topic` (its alias already resolved).
    pub(super) fn published(
        topic: &str,
        publish: &Publish<'_>,
        publisher: Option<SessionKey>,
        now: Instant,
    ) -> Self {
        Self {
            topic: topic.into(),
            payload: publish.payload.into(),
            properties: forwarded(&publish.properties),
            qos: publish.qos,
            retain: publish.retain,
            expires_at: expiry(&publish.properties, now),
            publisher,
        }
    }

    /// A will, at the moment it is sent.
    pub(super) fn from_will(will: &StoredWill, publisher: SessionKey, now: Instant) -> Self {
        Self {
            topic: will.topic.clone(),
            payload: will.payload.clone(),
            properties: will.properties.clone(),
            qos: will.qos,
            retain: will.retain,
            // The interval runs from the publication of the will, not from its registration (3.1.3.2.4).
            expires_at: will.message_expiry.map(|s| now.after(Duration::from_secs(u64::from(s)))),
            publisher: Some(publisher),
        }
    }

    /// Bytes it counts for against the bounds.
    pub(super) fn size(&self) -> usize {
        self.topic.len() + self.payload.len() + self.properties.len() + OVERHEAD
    }

    /// Whether it may no longer be delivered. [MQTT-3.3.2-5]
    pub(super) fn expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// Seconds left of its life, begun ones counted. [MQTT-3.3.2-6]
    pub(super) fn remaining(&self, now: Instant) -> Option<u32> {
        let left = self.expires_at?.since(now);
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        Some(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

/// A message for one receiver, waiting or in flight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Delivery {
    pub(super) message: Arc<Message>,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) subscription_ids: Vec<u32>,
}

/// A will as registered in CONNECT.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct StoredWill {
    topic: Box<str>,
    payload: Box<[u8]>,
    properties: Box<[u8]>,
    qos: Qos,
    retain: bool,
    message_expiry: Option<u32>,
    /// Will Delay Interval, in seconds.
    pub(super) delay: u32,
}

impl StoredWill {
    pub(super) fn new(will: &Will<'_>) -> Self {
        Self {
            topic: will.topic.as_str().into(),
            payload: will.payload.into(),
            properties: forwarded(&will.properties),
            qos: will.qos,
            retain: will.retain,
            message_expiry: will.properties.message_expiry_interval(),
            delay: will.properties.will_delay_interval().unwrap_or(0),
        }
    }
}

fn expiry(properties: &Properties<'_>, now: Instant) -> Option<Instant> {
    properties.message_expiry_interval().map(|s| now.after(Duration::from_secs(u64::from(s))))
}

/// The properties that a server sends on unaltered and in their order. [MQTT-3.3.2-4] [MQTT-3.3.2-15]
/// [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
fn forwarded(properties: &Properties<'_>) -> Box<[u8]> {
    let kept: Vec<Property<'_>> = properties
        .iter()
        .filter(|property| {
            matches!(
                property,
                Property::PayloadFormatIndicator(_)
                    | Property::ContentType(_)
                    | Property::ResponseTopic(_)
                    | Property::CorrelationData(_)
                    | Property::UserProperty(..)
            )
        })
        .collect();
    let kept = Properties::List(&kept);
    let mut bytes = vec![0; kept.body_len()];
    match kept.write_body(&mut bytes) {
        Ok(_) => bytes.into(),
        // What was decoded can be encoded again; without properties the message is still whole.
        Err(_) => Box::default(),
    }
}
