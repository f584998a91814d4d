//! PUBLISH: a message.

use core::fmt;

use crate::encode::{Encode, sealed::Sealed};
use crate::error::{DecodeError, EncodeError};
use crate::frame::{self, Header};
use crate::properties::{Properties, section_len};
use crate::property::{PropertyId, PropertyPlace};
use crate::topic::TopicName;
use crate::types::{PacketId, PacketType, Peer, Qos, Version};
use crate::wire::{Reader, Varint, Writer, packet_len, read_varint, write_packet};

/// A message.
///
/// ```
/// use mqtt_proto::{Encode, PacketId, Peer, Publish, Qos, TopicName, Version};
///
/// let publish = Publish {
///     qos: Qos::AtLeastOnce,
///     packet_id: PacketId::new(10),
///     ..Publish::new(TopicName::new("a/b")?, b"hello")
/// };
/// let mut buffer = [0; 64];
/// let len = publish.encode(Version::V5, &mut buffer)?;
/// assert_eq!(&buffer[..len], b"\x32\x0D\x00\x03a/b\x00\x0A\x00hello");
/// assert_eq!(Publish::decode(&buffer[..len], Version::V5, Peer::Client)?, publish);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Whether this may have been sent before. Never with QoS 0. `[MQTT-3.3.1-2]`
    pub dup: bool,
    /// Quality of service.
    pub qos: Qos,
    /// To a server: keep this message for later subscribers. From a server: it was kept.
    pub retain: bool,
    /// Where the message goes. `None`: the name is empty and a topic alias among the properties stands for it; 5.0
    /// only.
    pub topic: Option<TopicName<'a>>,
    /// Given exactly when the QoS is 1 or 2.
    pub packet_id: Option<PacketId>,
    /// Properties; not sent before 5.0.
    pub properties: Properties<'a>,
    /// The message itself. `Debug` prints its length only.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// A message of QoS 0, not retained, without properties.
    #[must_use]
    pub const fn new(topic: TopicName<'a>, payload: &'a [u8]) -> Self {
        Self {
            dup: false,
            qos: Qos::AtMostOnce,
            retain: false,
            topic: Some(topic),
            packet_id: None,
            properties: Properties::EMPTY,
            payload,
        }
    }

    /// Decodes a frame that is exactly one PUBLISH.
    ///
    /// # Errors
    /// When it is not a PUBLISH `from` may send in `version`.
    #[inline]
    pub fn decode(frame: &'a [u8], version: Version, from: Peer) -> Result<Self, DecodeError> {
        match frame::open_short(frame, version) {
            Some((first, reader)) if first >> 4 == PacketType::Publish as u8 => {
                Self::read(first, reader, from)
            }
            _ => Self::decode_long(frame, version, from),
        }
    }

    #[inline(never)]
    fn decode_long(frame: &'a [u8], version: Version, from: Peer) -> Result<Self, DecodeError> {
        let (first, reader) = frame::open_as(frame, PacketType::Publish, version, from)?;
        Self::read(first, reader, from)
    }

    /// The PUBLISH at the front of `input` and its length, where it is there as a whole, has at most `max` bytes and at
    /// most two bytes of remaining length, and is right. `None`: anything else; [`frame_len`](crate::frame_len) and
    /// [`decode`](Self::decode) tell. To be inlined where messages are taken off a stream.
    ///
    /// ```
    /// use mqtt_proto::{Peer, Publish, Version};
    ///
    /// let input = b"\x30\x05\x00\x01ahi\x30\x05"; // one PUBLISH, and the beginning of another
    /// let (publish, len) = Publish::decode_front(input, Version::V3_1_1, Peer::Server, 1024).unwrap();
    /// assert_eq!((publish.topic.unwrap().as_str(), publish.payload, len), ("a", &b"hi"[..], 7));
    /// assert!(Publish::decode_front(&input[len..], Version::V3_1_1, Peer::Server, 1024).is_none());
    /// ```
    #[must_use]
    #[inline(always)]
    pub fn decode_front(input: &'a [u8], version: Version, from: Peer, max: usize) -> Option<(Self, usize)> {
        let (first, reader, len) = frame::front_publish(input, version, max)?;
        Some((Self::read(first, reader, from).ok()?, len))
    }

    #[inline(always)]
    pub(crate) fn read(first: u8, mut reader: Reader<'a>, from: Peer) -> Result<Self, DecodeError> {
        // [MQTT-3.3.1-4]
        let Some(qos) = Qos::from_u8(first >> 1 & 0b11) else {
            return Err(DecodeError::malformed(0, "MQTT-3.3.1-4"));
        };
        let at = reader.at();
        // [MQTT-3.3.2-1], [MQTT-3.3.2-2]
        let topic = reader.topic_name()?;
        // [MQTT-2.2.1-2], [MQTT-2.3.1-5]
        let packet_id = if qos == Qos::AtMostOnce { None } else { Some(reader.packet_id()?) };
        let mut properties = Properties::EMPTY;
        let mut alias = false;
        if reader.version().has_properties() {
            let (found, seen) = Properties::read(&mut reader, PropertyPlace::Publish, from)?;
            properties = found;
            alias = seen.has(PropertyId::TopicAlias);
        }
        if topic.is_none() && !alias {
            return Err(no_topic(at, reader.version()));
        }
        Ok(Self {
            dup: first & 0b1000 != 0,
            qos,
            retain: first & 0b0001 != 0,
            topic,
            packet_id,
            properties,
            payload: reader.rest(),
        })
    }

    /// Writes everything that stands before the payload, with a remaining length that counts `payload_len` bytes
    /// still to follow from elsewhere. `self.payload` is not looked at. Returns how many bytes were written.
    ///
    /// # Errors
    /// As for [`Encode::encode`].
    #[inline]
    pub fn encode_head(
        &self,
        version: Version,
        payload_len: usize,
        out: &mut [u8],
    ) -> Result<usize, EncodeError> {
        let size = self.measure(version, payload_len)?;
        write_packet(
            out,
            size.whole.wrapping_sub(payload_len),
            first_byte(self.dup, self.qos, self.retain),
            size.remaining,
            |writer| {
                self.write_head(version, size.properties, writer)?;
                Some(())
            },
        )
    }

    /// How many bytes [`encode_head`](Self::encode_head) writes.
    ///
    /// # Errors
    /// As for [`Encode::encoded_len`].
    pub fn head_len(&self, version: Version, payload_len: usize) -> Result<usize, EncodeError> {
        Ok(self.measure(version, payload_len)?.whole.wrapping_sub(payload_len))
    }

    /// Refuses what may not be sent, and tells the sizes.
    #[inline(always)]
    fn measure(&self, version: Version, payload_len: usize) -> Result<Size, EncodeError> {
        let topic = self.topic.map_or(0, |topic| topic.as_str().len());
        let mut head = topic.wrapping_add(2).wrapping_add(id_len(self.dup, self.qos, self.packet_id)?);
        let mut properties = 0;
        if version.has_properties() {
            properties = self.properties.checked_len(PropertyPlace::Publish)?;
            head = head.wrapping_add(section_len(properties));
            if topic == 0 && self.properties.topic_alias().is_none() {
                return Err(EncodeError::MissingTopic);
            }
        } else if topic == 0 {
            return Err(EncodeError::NotInThisVersion);
        }
        let remaining = head.saturating_add(payload_len);
        Ok(Size { whole: packet_len(remaining)?, remaining, properties })
    }

    #[inline(always)]
    fn write_head(&self, version: Version, properties: usize, writer: &mut Writer<'_>) -> Option<()> {
        writer.binary(self.topic.map_or("", TopicName::as_str).as_bytes())?;
        if let Some(id) = self.packet_id {
            writer.u16(id.get())?;
        }
        if version.has_properties() {
            self.properties.write_section(properties, writer)?;
        }
        Some(())
    }
}

/// Sizes found while a PUBLISH was checked.
struct Size {
    /// The packet, with the fixed header and the payload.
    whole: usize,
    remaining: usize,
    /// The properties without their length.
    properties: usize,
}

/// The first byte of a PUBLISH.
#[inline(always)]
pub(crate) const fn first_byte(dup: bool, qos: Qos, retain: bool) -> u8 {
    0x30 | (dup as u8) << 3 | (qos as u8) << 1 | retain as u8
}

/// How many bytes the packet identifier takes, or why the three do not go together.
#[inline(always)]
pub(crate) const fn id_len(dup: bool, qos: Qos, packet_id: Option<PacketId>) -> Result<usize, EncodeError> {
    match (qos, packet_id) {
        (Qos::AtMostOnce, None) if dup => Err(EncodeError::DupAtQos0), // [MQTT-3.3.1-2]
        (Qos::AtMostOnce, None) => Ok(0),
        (Qos::AtLeastOnce | Qos::ExactlyOnce, Some(_)) => Ok(2),
        _ => Err(EncodeError::PacketIdMismatch), // [MQTT-2.2.1-2], [MQTT-2.2.1-3]
    }
}

/// U-15, [MQTT-4.7.3-1]
#[cold]
#[inline(never)]
const fn no_topic(at: u32, version: Version) -> DecodeError {
    match version {
        Version::V5 => DecodeError::protocol(at, "U-15"),
        Version::V3_1 | Version::V3_1_1 => DecodeError::malformed(at, "MQTT-4.7.3-1"),
    }
}

impl Sealed for Publish<'_> {}

impl Encode for Publish<'_> {
    #[inline]
    fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
        Ok(self.measure(version, self.payload.len())?.whole)
    }

    #[inline]
    fn encode(&self, version: Version, out: &mut [u8]) -> Result<usize, EncodeError> {
        let size = self.measure(version, self.payload.len())?;
        write_packet(out, size.whole, first_byte(self.dup, self.qos, self.retain), size.remaining, |writer| {
            self.write_head(version, size.properties, writer)?;
            writer.put(self.payload)?;
            Some(())
        })
    }
}

impl fmt::Debug for Publish<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("dup", &self.dup)
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("topic", &self.topic.map(TopicName::as_str))
            .field("packet_id", &self.packet_id)
            .field("properties", &self.properties)
            .field("payload", &format_args!("{} bytes", self.payload.len()))
            .finish()
    }
}

/// The beginning of a PUBLISH whose payload has not all arrived.
///
/// ```
/// use mqtt_proto::{Peer, PublishHead, Version};
///
/// let input = b"\x30\x0A\x00\x03a/bhe"; // three more bytes of payload will come
/// let head = PublishHead::decode(input, Version::V3_1_1, Peer::Server, 1024)?.unwrap();
/// assert_eq!(head.publish.topic.unwrap().as_str(), "a/b");
/// assert_eq!((head.publish.payload, head.head_len, head.total_len), (&b"he"[..], 7, 12));
/// # Ok::<(), mqtt_proto::DecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublishHead<'a> {
    /// The message; its payload is what is there of it.
    pub publish: Publish<'a>,
    /// Bytes before the payload.
    pub head_len: usize,
    /// Bytes of the whole packet.
    pub total_len: usize,
}

impl<'a> PublishHead<'a> {
    /// Decodes the head of the PUBLISH at the front of `input`. `Ok(None)`: the head has not arrived as a whole.
    ///
    /// # Errors
    /// When the packet is over `max` bytes, is not a PUBLISH, or its head is one `from` may not send in `version`.
    pub fn decode(
        input: &'a [u8],
        version: Version,
        from: Peer,
        max: usize,
    ) -> Result<Option<Self>, DecodeError> {
        let Some(total_len) = frame::announced_len(input, max)? else {
            return Ok(None);
        };
        let Some(header) = Header::read(input)? else {
            return Ok(None);
        };
        frame::expect_first(header.first, PacketType::Publish, version, from)?;
        let body = input.get(header.len..).unwrap_or_default();
        let body = body.get(..header.remaining).unwrap_or(body);
        let Some(needed) = Self::body_head_len(header, body, version)? else {
            return Ok(None);
        };
        // The lengths inside the head are consistent and everything up to the payload is there.
        debug_assert!(needed <= body.len(), "the head was said to be whole");
        let reader = Reader::new(body, header.len.wrapping_add(body.len()), version);
        let publish = Publish::read(header.first, reader, from)?;
        Ok(Some(Self { publish, head_len: header.len.wrapping_add(needed), total_len }))
    }

    /// How long topic, packet identifier and properties are. `None`: one of them has not arrived as a whole.
    fn body_head_len(header: Header, body: &[u8], version: Version) -> Result<Option<usize>, DecodeError> {
        let Some(at) = Self::reach(header, body, 0, 2)? else {
            return Ok(None);
        };
        let topic = match body.first_chunk::<2>() {
            Some(len) => usize::from(u16::from_be_bytes(*len)),
            None => return Ok(None),
        };
        let id = if header.first & 0b0110 == 0 { 0 } else { 2 };
        let Some(at) = Self::reach(header, body, at, topic.wrapping_add(id))? else {
            return Ok(None);
        };
        if !version.has_properties() {
            return Ok(Some(at));
        }
        let section = body.get(at..).unwrap_or_default();
        match read_varint(section) {
            Varint::Done { value, len } => Self::reach(header, body, at, len.wrapping_add(value as usize)),
            Varint::More => {
                // One byte more must be possible.
                Self::reach(header, body, at, section.len().wrapping_add(1))
            }
            Varint::Wrong(rule) => Err(DecodeError::malformed(offset(header, at), rule)),
        }
    }

    /// The offset `len` bytes after `at`: an error when the packet ends before it, `None` when it has not arrived.
    fn reach(header: Header, body: &[u8], at: usize, len: usize) -> Result<Option<usize>, DecodeError> {
        let end = at.saturating_add(len);
        if end > header.remaining {
            return Err(DecodeError::malformed(offset(header, at), "U-05"));
        }
        Ok((end <= body.len()).then_some(end))
    }
}

const fn offset(header: Header, at: usize) -> u32 {
    header.len.saturating_add(at) as u32
}
