//! PUBACK, PUBREC, PUBREL, PUBCOMP: one struct, four types.

use core::fmt;
use core::marker::PhantomData;

use crate::encode::{Encode, sealed::Sealed, trim};
use crate::error::{DecodeError, EncodeError};
use crate::frame;
use crate::properties::{Properties, section_len};
use crate::property::PropertyPlace;
use crate::reason::{ReasonCode, read_code};
use crate::types::{PacketId, PacketType, Peer, Version};
use crate::wire::{Reader, packet_len, write_packet};

/// What tells the four acknowledgements apart. Sealed: [`PubackKind`], [`PubrecKind`], [`PubrelKind`] and
/// [`PubcompKind`] are all there are.
pub trait AckKind: Sealed + Copy + Eq + fmt::Debug {
    /// The packet type.
    const PACKET_TYPE: PacketType;
    /// The place of its properties.
    const PLACE: PropertyPlace;
    /// The first byte of the packet.
    const FIRST_BYTE: u8;

    /// Whether `from` may send this reason code in this packet; `None`: whether anyone may.
    #[must_use]
    fn allows(code: ReasonCode, from: Option<Peer>) -> bool;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $alias:ident $kind:ident $first:literal $allows:ident;)*) => {$(
        #[doc = concat!("Makes an [`Ack`] a [`", stringify!($alias), "`].")]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $kind {}

        impl Sealed for $kind {}

        impl AckKind for $kind {
            const PACKET_TYPE: PacketType = PacketType::$alias;
            const PLACE: PropertyPlace = PropertyPlace::$alias;
            const FIRST_BYTE: u8 = $first;

            #[inline]
            fn allows(code: ReasonCode, from: Option<Peer>) -> bool {
                $allows(code, from)
            }
        }

        $(#[$doc])*
        pub type $alias<'a> = Ack<'a, $kind>;
    )*};
}

kinds! {
    /// The answer to a PUBLISH of QoS 1.
    ///
    /// ```
    /// use mqtt_proto::{Encode, PacketId, Peer, Properties, Puback, ReasonCode, Version};
    ///
    /// let id = PacketId::new(10).unwrap();
    /// let puback = Puback::with(id, ReasonCode::NoMatchingSubscribers, Properties::EMPTY);
    /// let mut buffer = [0; 8];
    /// let len = puback.encode(Version::V5, &mut buffer)?;
    /// assert_eq!(buffer[..len], [0x40, 0x03, 0x00, 0x0A, 0x10]);
    /// assert_eq!(Puback::decode(&buffer[..len], Version::V5, Peer::Server)?, puback);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    Puback PubackKind 0x40 allowed_first;
    /// The first answer to a PUBLISH of QoS 2.
    ///
    /// ```
    /// use mqtt_proto::{Encode, PacketId, Peer, Properties, Property, Pubrec, ReasonCode, Version};
    ///
    /// let why = [Property::ReasonString("full")];
    /// let id = PacketId::new(10).unwrap();
    /// let pubrec = Pubrec::with(id, ReasonCode::QuotaExceeded, Properties::List(&why));
    /// let mut buffer = [0; 16];
    /// let len = pubrec.encode(Version::V5, &mut buffer)?;
    /// assert_eq!(&buffer[..len], b"\x50\x0B\x00\x0A\x97\x07\x1F\x00\x04full");
    /// let read = Pubrec::decode(&buffer[..len], Version::V5, Peer::Server)?;
    /// assert!(read.reason_code.is_error());
    /// assert_eq!(read.properties.reason_string(), Some("full"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    Pubrec PubrecKind 0x50 allowed_first;
    /// The answer to PUBREC.
    ///
    /// ```
    /// use mqtt_proto::{Encode, PacketId, Peer, Pubrel, Version};
    ///
    /// let pubrel = Pubrel::new(PacketId::new(10).unwrap());
    /// let mut buffer = [0; 4];
    /// assert_eq!(pubrel.encode(Version::V3_1_1, &mut buffer), Ok(4));
    /// assert_eq!(buffer, [0x62, 0x02, 0x00, 0x0A]);
    /// assert_eq!(Pubrel::decode(&buffer, Version::V3_1_1, Peer::Client)?, pubrel);
    /// # Ok::<(), mqtt_proto::DecodeError>(())
    /// ```
    Pubrel PubrelKind 0x62 allowed_second;
    /// The answer to PUBREL, the end of a QoS 2 exchange.
    ///
    /// ```
    /// use mqtt_proto::{PacketId, Peer, Pubcomp, ReasonCode, Version};
    ///
    /// let pubcomp = Pubcomp::decode(&[0x70, 0x03, 0x00, 0x0A, 0x92], Version::V5, Peer::Server)?;
    /// assert_eq!(pubcomp.packet_id, PacketId::new(10).unwrap());
    /// assert_eq!(pubcomp.reason_code, ReasonCode::PacketIdentifierNotFound);
    /// # Ok::<(), mqtt_proto::DecodeError>(())
    /// ```
    Pubcomp PubcompKind 0x70 allowed_second;
}

/// [MQTT-3.4.2-1], [MQTT-3.5.2-1]
const fn allowed_first(code: ReasonCode, from: Option<Peer>) -> bool {
    use ReasonCode::*;
    match code {
        NoMatchingSubscribers => !matches!(from, Some(Peer::Client)),
        Success
        | UnspecifiedError
        | ImplementationSpecificError
        | NotAuthorized
        | TopicNameInvalid
        | PacketIdentifierInUse
        | QuotaExceeded
        | PayloadFormatInvalid => true,
        _ => false,
    }
}

/// [MQTT-3.6.2-1], [MQTT-3.7.2-1]
const fn allowed_second(code: ReasonCode, _: Option<Peer>) -> bool {
    matches!(code, ReasonCode::Success | ReasonCode::PacketIdentifierNotFound)
}

/// An acknowledgement: [`Puback`], [`Pubrec`], [`Pubrel`] or [`Pubcomp`].
///
/// ```
/// use mqtt_proto::{Encode, PacketId, Peer, Puback, Pubrel, ReasonCode, Version};
///
/// let id = PacketId::new(0x1234).unwrap();
/// let mut buffer = [0; 8];
/// let len = Puback::new(id).encode(Version::V5, &mut buffer)?;
/// assert_eq!(buffer[..len], [0x40, 0x02, 0x12, 0x34]);
/// let puback = Puback::decode(&buffer[..len], Version::V5, Peer::Server)?;
/// assert_eq!(puback.reason_code, ReasonCode::Success);
///
/// let len = Pubrel::new(id).encode(Version::V5, &mut buffer)?;
/// assert_eq!(buffer[..len], [0x62, 0x02, 0x12, 0x34]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ack<'a, K> {
    /// The identifier of the message it belongs to.
    pub packet_id: PacketId,
    /// What became of the message; always [`ReasonCode::Success`] before 5.0.
    pub reason_code: ReasonCode,
    /// Properties; not sent before 5.0.
    pub properties: Properties<'a>,
    kind: PhantomData<K>,
}

impl<'a, K: AckKind> Ack<'a, K> {
    /// An acknowledgement that all went well.
    #[must_use]
    #[inline]
    pub const fn new(packet_id: PacketId) -> Self {
        Self::with(packet_id, ReasonCode::Success, Properties::EMPTY)
    }

    /// An acknowledgement with a reason and properties.
    #[must_use]
    #[inline]
    pub const fn with(packet_id: PacketId, reason_code: ReasonCode, properties: Properties<'a>) -> Self {
        Self { packet_id, reason_code, properties, kind: PhantomData }
    }

    /// Decodes a frame that is exactly one such packet.
    ///
    /// # Errors
    /// When it is not a packet of this type that `from` may send in `version`.
    #[inline]
    pub fn decode(frame: &'a [u8], version: Version, from: Peer) -> Result<Self, DecodeError> {
        // The short form, which is nearly every one. U-20
        if let [first, 2, high, low] = *frame
            && first == K::FIRST_BYTE
            && let Some(id) = PacketId::new(u16::from_be_bytes([high, low]))
        {
            return Ok(Self::new(id));
        }
        let (_, reader) = frame::open_as(frame, K::PACKET_TYPE, version, from)?;
        Self::read(reader, from)
    }

    #[inline(always)]
    pub(crate) fn read(mut reader: Reader<'a>, from: Peer) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        if reader.is_empty() {
            return Ok(Self::new(packet_id)); // U-20
        }
        if !reader.version().has_properties() {
            reader.finish()?;
        }
        Self::read_long(packet_id, reader, from)
    }

    #[inline(never)]
    fn read_long(packet_id: PacketId, mut reader: Reader<'a>, from: Peer) -> Result<Self, DecodeError> {
        let at = reader.at();
        let rule = match K::PACKET_TYPE {
            PacketType::Puback => "MQTT-3.4.2-1",
            PacketType::Pubrec => "MQTT-3.5.2-1",
            PacketType::Pubrel => "MQTT-3.6.2-1",
            _ => "MQTT-3.7.2-1",
        };
        let reason_code = read_code(reader.u8()?, at, rule, |code| K::allows(code, Some(from)))?;
        let mut properties = Properties::EMPTY;
        if !reader.is_empty() {
            properties = Properties::read(&mut reader, K::PLACE, from)?.0;
            reader.finish()?;
        }
        Ok(Self::with(packet_id, reason_code, properties))
    }

    /// Remaining length, and the length of the properties.
    #[inline(always)]
    fn measure(&self, version: Version) -> Result<(usize, usize), EncodeError> {
        if !version.has_properties()
            || (self.reason_code == ReasonCode::Success && self.properties.is_empty())
        {
            return Ok((2, 0));
        }
        if !K::allows(self.reason_code, None) {
            return Err(EncodeError::InvalidReasonCode(self.reason_code));
        }
        let properties = self.properties.checked_len(K::PLACE)?;
        if properties == 0 {
            return Ok((3, 0));
        }
        Ok((section_len(properties).saturating_add(3), properties))
    }

    /// Writes a packet that has a reason code at least.
    #[inline(never)]
    fn encode_long(&self, version: Version, out: &mut [u8]) -> Result<usize, EncodeError> {
        let (remaining, properties) = self.measure(version)?;
        let whole = packet_len(remaining)?;
        write_packet(out, whole, K::FIRST_BYTE, remaining, |writer| {
            writer.u16(self.packet_id.get())?;
            writer.u8(self.reason_code as u8)?;
            if remaining > 3 {
                self.properties.write_section(properties, writer)?;
            }
            Some(())
        })
    }
}

/// The acknowledgement at the front of `input`, where it is there as a whole in its shortest form: four bytes that are
/// the same in every version and say that all went well. `None`: anything else; `frame_len` and `decode` tell.
///
/// ```
/// use mqtt_proto::{PacketType, short_ack};
///
/// let input = b"\x40\x02\x00\x0A\x40\x02\x00\x0B";
/// let (packet_type, id) = short_ack(input).unwrap();
/// assert_eq!((packet_type, id.get()), (PacketType::Puback, 10));
/// assert!(short_ack(&input[..3]).is_none());
/// ```
#[must_use]
#[inline]
pub const fn short_ack(input: &[u8]) -> Option<(PacketType, PacketId)> {
    let [first, 2, high, low, ..] = *input else { return None };
    let packet_type = match first {
        PubackKind::FIRST_BYTE => PacketType::Puback,
        PubrecKind::FIRST_BYTE => PacketType::Pubrec,
        PubrelKind::FIRST_BYTE => PacketType::Pubrel,
        PubcompKind::FIRST_BYTE => PacketType::Pubcomp,
        _ => return None,
    };
    match PacketId::new(u16::from_be_bytes([high, low])) {
        Some(id) => Some((packet_type, id)),
        None => None,
    }
}

impl<K: AckKind> Sealed for Ack<'_, K> {
    trim!(Ack<'_, K>);
}

impl<K: AckKind> Encode for Ack<'_, K> {
    #[inline]
    fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
        packet_len(self.measure(version)?.0)
    }

    #[inline]
    fn encode(&self, version: Version, out: &mut [u8]) -> Result<usize, EncodeError> {
        if !version.has_properties()
            || (self.reason_code == ReasonCode::Success && self.properties.is_empty())
        {
            let Some(out) = out.first_chunk_mut::<4>() else {
                return Err(EncodeError::BufferTooSmall { needed: 4 });
            };
            let [high, low] = self.packet_id.get().to_be_bytes();
            *out = [K::FIRST_BYTE, 2, high, low];
            return Ok(4);
        }
        self.encode_long(version, out)
    }
}

impl<K: AckKind> fmt::Debug for Ack<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match K::PACKET_TYPE {
            PacketType::Puback => "Puback",
            PacketType::Pubrec => "Pubrec",
            PacketType::Pubrel => "Pubrel",
            _ => "Pubcomp",
        };
        f.debug_struct(name)
            .field("packet_id", &self.packet_id)
            .field("reason_code", &self.reason_code)
            .field("properties", &self.properties)
            .finish()
    }
}
