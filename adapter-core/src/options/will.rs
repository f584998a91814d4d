//! The will.

use core::fmt;

use bytes::Bytes;
use mqtt_session::proto::{self, Properties, Qos, TopicError, TopicName};

use crate::properties::OwnedProperties;

/// The message the server publishes when this client vanishes.
///
/// ```
/// use mqtt_adapter_core::{Qos, Will};
///
/// let will = Will::new("lamp/7/state", "gone").with_qos(Qos::AtLeastOnce).with_retain(true);
/// assert_eq!(will.topic(), "lamp/7/state");
/// ```
#[derive(Clone)]
pub struct Will {
    topic: String,
    payload: Bytes,
    qos: Qos,
    retain: bool,
    properties: OwnedProperties,
}

impl Will {
    /// A will at QoS 0, not retained. The topic is checked when the client starts.
    #[must_use]
    pub fn new(topic: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos: Qos::AtMostOnce,
            retain: false,
            properties: OwnedProperties::default(),
        }
    }

    /// The quality of service it is published with. Default 0.
    #[must_use]
    pub const fn with_qos(mut self, qos: Qos) -> Self {
        self.qos = qos;
        self
    }

    /// Whether the server keeps it for later subscribers. Default false.
    #[must_use]
    pub const fn with_retain(mut self, retain: bool) -> Self {
        self.retain = retain;
        self
    }

    /// Will properties (5.0), such as Will Delay Interval. Default none.
    #[must_use]
    pub fn with_properties(mut self, properties: OwnedProperties) -> Self {
        self.properties = properties;
        self
    }

    /// Where it is published.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// What is published.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The quality of service it is published with.
    #[must_use]
    pub const fn qos(&self) -> Qos {
        self.qos
    }

    /// Whether the server keeps it for later subscribers.
    #[must_use]
    pub const fn retain(&self) -> bool {
        self.retain
    }

    /// Will properties.
    #[must_use]
    pub fn properties(&self) -> Properties<'_> {
        self.properties.as_properties()
    }

    pub(super) fn borrow(&self) -> Result<proto::Will<'_>, TopicError> {
        Ok(proto::Will {
            topic: TopicName::new(&self.topic)?,
            payload: &self.payload,
            qos: self.qos,
            retain: self.retain,
            properties: self.properties(),
        })
    }
}

impl fmt::Debug for Will {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Will")
            .field("topic", &self.topic)
            .field("payload", &format_args!("{} bytes", self.payload.len()))
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("properties", &self.properties)
            .finish()
    }
}
