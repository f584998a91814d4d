//! PUBLISH from parts that were checked when they were kept: for whoever keeps messages and sends them later.

use core::fmt;
use core::num::NonZeroU16;

use crate::error::EncodeError;
use crate::properties::{EncodedProperties, section_len};
use crate::property::PropertyId;
use crate::publish::{first_byte, id_len};
use crate::types::{PacketId, Qos, Version};
use crate::wire::{Writer, packet_len, varint_len, write_packet};

/// A PUBLISH whose topic, properties and payload were checked before, and lie somewhere as plain bytes.
///
/// It writes what [`Publish`](crate::Publish) writes, but looks at the lengths of topic and properties only: keep nothing
/// in it that [`TopicName::new`](crate::TopicName::new) and [`Properties::check`](crate::Properties::check) did not allow. Two
/// properties are given apart, because they change from one hand-out to the next: the topic alias, which belongs to a
/// connection, and the message expiry interval, which runs on.
///
/// ```
/// use mqtt_proto::{PacketId, Qos, StoredPublish, Version};
///
/// let message = StoredPublish {
///     qos: Qos::AtLeastOnce,
///     packet_id: PacketId::new(10),
///     message_expiry_interval: Some(60),
///     ..StoredPublish::new(b"a/b", b"hello")
/// };
/// let mut buffer = [0; 64];
/// let len = message.encode(Version::V5, 5, &mut buffer)?;
/// assert_eq!(&buffer[..len], b"\x32\x12\x00\x03a/b\x00\x0A\x05\x02\x00\x00\x00\x3Chello");
/// # Ok::<(), mqtt_proto::EncodeError>(())
/// ```
#[derive(Clone, Copy)]
pub struct StoredPublish<'a> {
    /// Whether this may have been sent before. Never with QoS 0. `[MQTT-3.3.1-2]`
    pub dup: bool,
    /// Quality of service.
    pub qos: Qos,
    /// To a server: keep this message for later subscribers.
    pub retain: bool,
    /// The bytes of a topic name; empty: the topic alias stands for it.
    pub topic: &'a [u8],
    /// Given exactly when the QoS is 1 or 2.
    pub packet_id: Option<PacketId>,
    /// Left out before 5.0.
    pub topic_alias: Option<NonZeroU16>,
    /// In seconds. Left out before 5.0.
    pub message_expiry_interval: Option<u32>,
    /// All other properties. Left out before 5.0.
    pub properties: EncodedProperties<'a>,
    /// As much of the payload as is to be written behind the head.
    pub payload: &'a [u8],
}

impl<'a> StoredPublish<'a> {
    /// A message of QoS 0, not retained, without properties.
    #[must_use]
    pub const fn new(topic: &'a [u8], payload: &'a [u8]) -> Self {
        Self {
            dup: false,
            qos: Qos::AtMostOnce,
            retain: false,
            topic,
            packet_id: None,
            topic_alias: None,
            message_expiry_interval: None,
            properties: EncodedProperties::from_stored(&[]),
            payload,
        }
    }

    /// Writes the head of a message whose payload has `payload_len` bytes, or as many as [`payload`](Self::payload) if
    /// that is more, and behind it `payload`. Where that is less than `payload_len`, the rest is to follow from
    /// elsewhere. Returns how many bytes were written.
    ///
    /// # Errors
    /// When QoS, DUP and packet identifier do not go together, topic and alias are both missing, the packet is longer
    /// than a packet can be, or `out` is too short; nothing was written then.
    #[inline]
    pub fn encode(&self, version: Version, payload_len: usize, out: &mut [u8]) -> Result<usize, EncodeError> {
        let stored = self.properties.as_bytes();
        let bare = self.topic_alias.is_none() && self.message_expiry_interval.is_none() && stored.is_empty();
        if bare && payload_len <= self.payload.len() {
            return self.encode_bare(version, out);
        }
        let topic = u16::try_from(self.topic.len()).map_err(|_| EncodeError::StringTooLong)?;
        let alias = self.topic_alias.map_or(0, |_| 3usize);
        let expiry = self.message_expiry_interval.map_or(0, |_| 5usize);
        // Lengths of slices: their sum does not overflow.
        let properties = alias.wrapping_add(expiry).wrapping_add(stored.len());
        let section = if version.has_properties() { section_len(properties) } else { 0 };
        if topic == 0 && !(version.has_properties() && self.topic_alias.is_some()) {
            return Err(EncodeError::MissingTopic);
        }
        let fixed = id_len(self.dup, self.qos, self.packet_id)?.wrapping_add(2);
        let head = fixed.wrapping_add(usize::from(topic)).wrapping_add(section);
        let remaining = head.saturating_add(payload_len.max(self.payload.len()));
        packet_len(remaining)?;
        let whole = head.wrapping_add(varint_len(remaining)).wrapping_add(self.payload.len()).wrapping_add(1);
        write_packet(out, whole, first_byte(self.dup, self.qos, self.retain), remaining, |writer| {
            writer.binary(self.topic)?;
            if let Some(id) = self.packet_id {
                writer.u16(id.get())?;
            }
            if section != 0 {
                writer.varint(properties)?;
                if let Some(alias) = self.topic_alias {
                    writer.u8(PropertyId::TopicAlias as u8)?;
                    writer.u16(alias.get())?;
                }
                if let Some(interval) = self.message_expiry_interval {
                    writer.u8(PropertyId::MessageExpiryInterval as u8)?;
                    writer.u32(interval)?;
                }
                if !stored.is_empty() {
                    writer.put(stored)?;
                }
            }
            if !self.payload.is_empty() {
                writer.put(self.payload)?;
            }
            Some(())
        })
    }

    /// As [`encode`](Self::encode), for a message whose topic is named, whose payload is all here, and that has no
    /// properties: those, and the alias, are not looked at. To be inlined where messages are mostly such.
    ///
    /// ```
    /// use mqtt_proto::{PacketId, Qos, StoredPublish, Version};
    ///
    /// let id = PacketId::new(10);
    /// let message = StoredPublish { qos: Qos::AtLeastOnce, packet_id: id, ..StoredPublish::new(b"a/b", b"hello") };
    /// let mut buffer = [0; 64];
    /// let len = message.encode_bare(Version::V5, &mut buffer)?;
    /// assert_eq!(&buffer[..len], b"\x32\x0D\x00\x03a/b\x00\x0A\x00hello");
    /// # Ok::<(), mqtt_proto::EncodeError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`encode`](Self::encode).
    #[inline(always)]
    pub fn encode_bare(&self, version: Version, out: &mut [u8]) -> Result<usize, EncodeError> {
        if self.topic.is_empty() {
            return Err(EncodeError::MissingTopic);
        }
        let topic = u16::try_from(self.topic.len()).map_err(|_| EncodeError::StringTooLong)?;
        let id = id_len(self.dup, self.qos, self.packet_id)?;
        // The length of no properties.
        let none = usize::from(version.has_properties());
        // Lengths of slices: their sum does not overflow.
        let head = id.wrapping_add(none).wrapping_add(usize::from(topic)).wrapping_add(2);
        let remaining = head.wrapping_add(self.payload.len());
        let whole = packet_len(remaining)?;
        let full = EncodeError::BufferTooSmall { needed: whole };
        let mut writer = Writer::new(out.get_mut(..whole).ok_or(full)?);
        let first = first_byte(self.dup, self.qos, self.retain);
        let [high, low] = topic.to_be_bytes();
        // What stands before the name, in one piece.
        let begun = if remaining < 0x80 {
            writer.array([first, remaining as u8, high, low])
        } else if remaining < 0x4000 {
            writer.array([first, remaining as u8 | 0x80, (remaining >> 7) as u8, high, low])
        } else {
            writer.u8(first).and_then(|()| writer.varint(remaining)).and_then(|()| writer.u16(topic))
        };
        begun.ok_or(full)?;
        writer.short(self.topic).ok_or(full)?;
        let id = self.packet_id.map(|id| id.get().to_be_bytes());
        match (id, none) {
            (Some([high, low]), 0) => writer.array([high, low]),
            (Some([high, low]), _) => writer.array([high, low, 0]),
            (None, 0) => Some(()),
            (None, _) => writer.u8(0),
        }
        .ok_or(full)?;
        writer.put(self.payload).ok_or(full)?;
        Ok(whole)
    }
}

impl fmt::Debug for StoredPublish<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredPublish")
            .field("dup", &self.dup)
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("topic", &format_args!("{} bytes", self.topic.len()))
            .field("packet_id", &self.packet_id)
            .field("topic_alias", &self.topic_alias)
            .field("message_expiry_interval", &self.message_expiry_interval)
            .field("payload", &format_args!("{} bytes", self.payload.len()))
            .finish_non_exhaustive()
    }
}
