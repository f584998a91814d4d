//! Messages on their way in and out.

use core::fmt;
use core::num::NonZeroU64;
use core::time::Duration;
use std::borrow::Cow;

use bytes::Bytes;
use mqtt_session::proto::{PacketId, Properties, Qos, TopicError, TopicName};
use mqtt_session::{self as session, AckToken, HeapPayload};

use crate::properties::{OwnedProperties, borrow};

/// What a published message carries: borrowed bytes, which are copied once when the message is accepted,
/// or owned ones, which are taken over without a copy.
#[derive(Clone)]
pub struct Payload<'p>(Inner<'p>);

#[derive(Clone)]
enum Inner<'p> {
    Borrowed(&'p [u8]),
    Owned(Bytes),
}

impl<'p> Payload<'p> {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Inner::Borrowed(bytes) => bytes,
            Inner::Owned(bytes) => bytes,
        }
    }

    pub(crate) fn into_heap(self) -> HeapPayload<'p> {
        match self.0 {
            Inner::Borrowed(bytes) => HeapPayload::from(bytes),
            Inner::Owned(bytes) => HeapPayload::from(bytes),
        }
    }
}

/// The owned payload of a refused message: what the caller cannot have kept.
pub(crate) fn owned(payload: HeapPayload<'_>) -> Option<Bytes> {
    match payload {
        HeapPayload::Share(bytes) => Some(bytes),
        HeapPayload::Copy(_) => None,
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.as_bytes().len())
    }
}

impl<'p> From<&'p [u8]> for Payload<'p> {
    fn from(bytes: &'p [u8]) -> Self {
        Self(Inner::Borrowed(bytes))
    }
}

impl<'p, const N: usize> From<&'p [u8; N]> for Payload<'p> {
    fn from(bytes: &'p [u8; N]) -> Self {
        Self(Inner::Borrowed(bytes))
    }
}

impl<'p> From<&'p str> for Payload<'p> {
    fn from(text: &'p str) -> Self {
        Self(Inner::Borrowed(text.as_bytes()))
    }
}

impl<'p> From<&'p Vec<u8>> for Payload<'p> {
    fn from(bytes: &'p Vec<u8>) -> Self {
        Self(Inner::Borrowed(bytes))
    }
}

impl<'p> From<&'p String> for Payload<'p> {
    fn from(text: &'p String) -> Self {
        Self(Inner::Borrowed(text.as_bytes()))
    }
}

impl From<Bytes> for Payload<'_> {
    fn from(bytes: Bytes) -> Self {
        Self(Inner::Owned(bytes))
    }
}

impl From<Vec<u8>> for Payload<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Inner::Owned(bytes.into()))
    }
}

impl From<String> for Payload<'_> {
    fn from(text: String) -> Self {
        Self(Inner::Owned(text.into()))
    }
}

/// A message to publish.
///
/// ```
/// use mqtt_adapter_core::{Publish, Qos};
///
/// let publish = Publish::new("lamp/7/state", "on").qos(Qos::AtLeastOnce).retain(true);
/// # let _ = publish;
/// ```
#[derive(Clone, Debug)]
pub struct Publish<'a> {
    pub(crate) topic: Cow<'a, str>,
    pub(crate) payload: Payload<'a>,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) properties: Carried<'a>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) key: Option<NonZeroU64>,
    pub(crate) tag: u64,
}

impl<'a> Publish<'a> {
    /// A QoS 0 message. The topic is checked when it is published.
    #[must_use]
    pub fn new(topic: &'a str, payload: impl Into<Payload<'a>>) -> Self {
        Self {
            topic: Cow::Borrowed(topic),
            payload: payload.into(),
            qos: Qos::AtMostOnce,
            retain: false,
            properties: Carried::Lent(Properties::EMPTY),
            ttl: None,
            key: None,
            tag: 0,
        }
    }

    /// How surely it is delivered. Default QoS 0.
    #[must_use]
    pub const fn qos(mut self, qos: Qos) -> Self {
        self.qos = qos;
        self
    }

    /// Whether the server keeps it for later subscribers. Default false.
    #[must_use]
    pub const fn retain(mut self, retain: bool) -> Self {
        self.retain = retain;
        self
    }

    /// PUBLISH properties (5.0); left out where the connection's version has none. Default none.
    #[must_use]
    pub fn properties(mut self, properties: Properties<'a>) -> Self {
        self.properties = Carried::Lent(properties);
        self
    }

    /// Drops the message, as [`Outcome::Expired`](crate::Outcome::Expired), if no byte of it was sent within this time. A
    /// Message Expiry Interval among the properties does the same, and tells the server too. Default: never.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Latest value: takes the place of a message with the same key of which no byte was sent yet, which then ends as
    /// [`Outcome::Dropped`](crate::Outcome::Dropped). Default: none.
    #[must_use]
    pub const fn key(mut self, key: NonZeroU64) -> Self {
        self.key = Some(key);
        self
    }

    /// A mark of the caller's own, given back in [`Event::Done`](crate::Event::Done). Default 0.
    #[must_use]
    pub const fn tag(mut self, tag: u64) -> Self {
        self.tag = tag;
        self
    }

    /// What the engine takes.
    pub(crate) fn message(&self) -> Result<session::Message<'_>, TopicError> {
        let mut message = session::Message::new(TopicName::new(&self.topic)?)
            .qos(self.qos)
            .retain(self.retain)
            .properties(self.properties.borrow())
            .tag(self.tag);
        message.ttl = self.ttl;
        message.key = self.key;
        Ok(message)
    }
}

/// Properties of a publish.
#[derive(Clone, Debug)]
pub(crate) enum Carried<'a> {
    Lent(Properties<'a>),
    Owned(OwnedProperties),
}

impl Carried<'_> {
    pub(crate) fn borrow(&self) -> Properties<'_> {
        match self {
            Self::Lent(properties) => *properties,
            Self::Owned(properties) => properties.as_properties(),
        }
    }
}

/// A message that was received, with storage of its own.
///
/// Topic, properties and payload lie in one allocation of exactly their size: a message kept for long does
/// not keep a read buffer alive.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    bytes: Bytes,
    topic_len: u16,
    properties_len: u32,
    qos: Qos,
    retain: bool,
    dup: bool,
    redelivered: bool,
    packet_id: Option<PacketId>,
    ack: Option<AckToken>,
}

impl Message {
    pub(crate) fn copy(topic: &str, received: &session::Received<'_>) -> Self {
        let encoded;
        let properties = match received.properties {
            Properties::Encoded(encoded) => encoded.as_bytes(),
            other if other.is_empty() => &[],
            other => {
                encoded = OwnedProperties::copy(other).unwrap_or_default();
                encoded.as_bytes()
            }
        };
        let mut bytes = Vec::with_capacity(topic.len() + properties.len() + received.payload.len());
        bytes.extend_from_slice(topic.as_bytes());
        bytes.extend_from_slice(properties);
        bytes.extend_from_slice(received.payload);
        Self {
            bytes: bytes.into(),
            // A topic has at most 65,535 bytes, a packet at most 268,435,455.
            topic_len: topic.len() as u16,
            properties_len: properties.len() as u32,
            qos: received.qos,
            retain: received.retain,
            dup: received.dup,
            redelivered: received.redelivered,
            packet_id: received.packet_id,
            ack: received.ack,
        }
    }

    /// Where it was published.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.bytes
            .get(..self.properties_at())
            .and_then(|topic| core::str::from_utf8(topic).ok())
            .unwrap_or_default()
    }

    /// What was published.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(self.payload_at()..).unwrap_or_default()
    }

    /// The payload, sharing the message's storage.
    #[must_use]
    pub fn payload_bytes(&self) -> Bytes {
        self.bytes.slice(self.payload_at().min(self.bytes.len())..)
    }

    /// The payload, taking over the message's storage.
    #[must_use]
    pub fn into_payload(self) -> Bytes {
        let at = self.payload_at().min(self.bytes.len());
        let mut bytes = self.bytes;
        bytes.split_off(at)
    }

    /// How surely the server delivers it.
    #[must_use]
    pub const fn qos(&self) -> Qos {
        self.qos
    }

    /// Whether it was retained before this client subscribed.
    #[must_use]
    pub const fn retain(&self) -> bool {
        self.retain
    }

    /// Whether the server says that it may have sent the message before.
    #[must_use]
    pub const fn dup(&self) -> bool {
        self.dup
    }

    /// QoS 2, with a journal: an earlier run of the program may have handed this message over before.
    #[must_use]
    pub const fn redelivered(&self) -> bool {
        self.redelivered
    }

    /// PUBLISH properties (5.0).
    #[must_use]
    pub fn properties(&self) -> Properties<'_> {
        borrow(self.bytes.get(self.properties_at()..self.payload_at()).unwrap_or_default())
    }

    /// The packet identifier; only at QoS 1 and 2.
    #[must_use]
    pub const fn packet_id(&self) -> Option<PacketId> {
        self.packet_id
    }

    /// What to acknowledge it with; only at QoS 1 and 2 and with
    /// [`AckMode::Manual`](mqtt_session::AckMode::Manual).
    #[must_use]
    pub const fn ack(&self) -> Option<AckToken> {
        self.ack
    }

    /// Bytes it holds on to: what an inbox counts.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }

    fn properties_at(&self) -> usize {
        usize::from(self.topic_len)
    }

    fn payload_at(&self) -> usize {
        self.properties_at() + self.properties_len as usize
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic())
            .field("payload", &format_args!("{} bytes", self.payload().len()))
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("dup", &self.dup)
            .field("redelivered", &self.redelivered)
            .field("properties", &self.properties())
            .field("packet_id", &self.packet_id)
            .finish_non_exhaustive()
    }
}
