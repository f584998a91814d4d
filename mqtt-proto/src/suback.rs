//! SUBACK: the server's answer to SUBSCRIBE. And the list of reason codes it shares with UNSUBACK.

use core::fmt;

use crate::encode::{Encode, sealed::Sealed, trim};
use crate::error::{DecodeError, EncodeError};
use crate::frame;
use crate::properties::{Properties, section_len};
use crate::property::PropertyPlace;
use crate::reason::{ReasonCode, read_code};
use crate::types::{PacketId, PacketType, Peer, Version};
use crate::wire::{Reader, Writer, packet_len, write_packet};

/// The server's answer to SUBSCRIBE.
///
/// ```
/// use mqtt_proto::{Peer, ReasonCode, Suback, Version};
///
/// let suback = Suback::decode(&[0x90, 0x04, 0x00, 0x01, 0x02, 0x80], Version::V3_1_1, Peer::Server)?;
/// assert_eq!(suback.packet_id.get(), 1);
/// assert!(suback.codes.iter().eq([ReasonCode::GrantedQos2, ReasonCode::UnspecifiedError]));
/// # Ok::<(), mqtt_proto::DecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Suback<'a> {
    /// The identifier of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// Properties; not sent before 5.0.
    pub properties: Properties<'a>,
    /// What became of each filter, in their order. Before 5.0 every failure is written as 0x80.
    pub codes: ReasonCodes<'a>,
}

/// The reason codes of a SUBACK or UNSUBACK: as they were received, or a list to be sent.
#[derive(Clone, Copy)]
pub struct ReasonCodes<'a>(Repr<'a>);

#[derive(Clone, Copy)]
enum Repr<'a> {
    Encoded(&'a [u8]),
    List(&'a [ReasonCode]),
}

impl<'a> ReasonCodes<'a> {
    /// No code: what an UNSUBACK before 5.0 carries.
    pub const EMPTY: Self = Self(Repr::List(&[]));

    /// Takes the bytes of codes, one each. An unknown one ends the iteration.
    #[must_use]
    pub const fn from_stored(bytes: &'a [u8]) -> Self {
        Self(Repr::Encoded(bytes))
    }

    /// The codes, in their order.
    #[must_use]
    pub fn iter(&self) -> ReasonCodeIter<'a> {
        match self.0 {
            Repr::Encoded(bytes) => ReasonCodeIter { list: [].iter(), encoded: bytes.iter() },
            Repr::List(list) => ReasonCodeIter { list: list.iter(), encoded: [].iter() },
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Repr::Encoded(bytes) => bytes.len(),
            Repr::List(list) => list.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads all that is left and checks it.
    pub(crate) fn read(
        reader: &Reader<'a>,
        rule: &'static str,
        allowed: impl Fn(ReasonCode) -> bool,
    ) -> Result<Self, DecodeError> {
        let bytes = reader.rest();
        if bytes.is_empty() {
            return Err(DecodeError::malformed(reader.at(), "U-05"));
        }
        let mut at = reader.at();
        for byte in bytes {
            read_code(*byte, at, rule, &allowed)?;
            at = at.saturating_add(1);
        }
        Ok(Self(Repr::Encoded(bytes)))
    }

    /// Refuses codes that may not stand here.
    pub(crate) fn check(&self, allowed: impl Fn(ReasonCode) -> bool) -> Result<(), EncodeError> {
        if self.is_empty() {
            return Err(EncodeError::Empty);
        }
        match self.iter().find(|code| !allowed(*code)) {
            Some(code) => Err(EncodeError::InvalidReasonCode(code)),
            None if self.iter().count() == self.len() => Ok(()),
            None => Err(EncodeError::InvalidReasonCode(ReasonCode::UnspecifiedError)),
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>, byte: impl Fn(ReasonCode) -> u8) -> Option<()> {
        self.iter().try_for_each(|code| writer.u8(byte(code)))
    }
}

impl Default for ReasonCodes<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl fmt::Debug for ReasonCodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for ReasonCodes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for ReasonCodes<'_> {}

impl<'a> From<&'a [ReasonCode]> for ReasonCodes<'a> {
    fn from(list: &'a [ReasonCode]) -> Self {
        Self(Repr::List(list))
    }
}

impl<'a, const N: usize> From<&'a [ReasonCode; N]> for ReasonCodes<'a> {
    fn from(list: &'a [ReasonCode; N]) -> Self {
        Self(Repr::List(list))
    }
}

impl<'a> IntoIterator for ReasonCodes<'a> {
    type Item = ReasonCode;
    type IntoIter = ReasonCodeIter<'a>;

    fn into_iter(self) -> ReasonCodeIter<'a> {
        self.iter()
    }
}

/// Goes through the reason codes of a SUBACK or UNSUBACK.
#[derive(Clone, Debug)]
pub struct ReasonCodeIter<'a> {
    list: core::slice::Iter<'a, ReasonCode>,
    encoded: core::slice::Iter<'a, u8>,
}

impl Iterator for ReasonCodeIter<'_> {
    type Item = ReasonCode;

    #[inline]
    fn next(&mut self) -> Option<ReasonCode> {
        if let Some(code) = self.list.next() {
            return Some(*code);
        }
        let code = ReasonCode::from_u8(*self.encoded.next()?);
        if code.is_none() {
            self.encoded = [].iter();
        }
        code
    }
}

impl core::iter::FusedIterator for ReasonCodeIter<'_> {}

impl<'a> Suback<'a> {
    /// Decodes a frame that is exactly one SUBACK.
    ///
    /// # Errors
    /// When it is not a SUBACK of `version`, or `from` is not the server.
    pub fn decode(frame: &'a [u8], version: Version, from: Peer) -> Result<Self, DecodeError> {
        let (_, reader) = frame::open_as(frame, PacketType::Suback, version, from)?;
        Self::read(reader)
    }

    pub(crate) fn read(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        let mut properties = Properties::EMPTY;
        let codes = if reader.version().has_properties() {
            properties = Properties::read(&mut reader, PropertyPlace::Suback, Peer::Server)?.0;
            ReasonCodes::read(&reader, "MQTT-3.9.3-2", allowed)?
        } else {
            let bytes = reader.rest();
            let codes = ReasonCodes::read(&reader, "MQTT-3.9.3-2", |_| true)?;
            if let Some(place) = bytes.iter().position(|byte| !matches!(byte, 0..=2 | 0x80)) {
                return Err(DecodeError::malformed(reader.at().saturating_add(place as u32), "MQTT-3.9.3-2"));
            }
            codes
        };
        Ok(Self { packet_id, properties, codes })
    }

    /// Remaining length, and the length of the properties.
    fn measure(&self, version: Version) -> Result<(usize, usize), EncodeError> {
        self.codes.check(allowed)?;
        let mut remaining = self.codes.len().saturating_add(2);
        let mut properties = 0;
        if version.has_properties() {
            properties = self.properties.checked_len(PropertyPlace::Suback)?;
            remaining = remaining.saturating_add(section_len(properties));
        }
        Ok((remaining, properties))
    }
}

/// [MQTT-3.8.4-7], [MQTT-3.9.3-2]
const fn allowed(code: ReasonCode) -> bool {
    use ReasonCode::*;
    matches!(
        code,
        Success
            | GrantedQos1
            | GrantedQos2
            | UnspecifiedError
            | ImplementationSpecificError
            | NotAuthorized
            | TopicFilterInvalid
            | PacketIdentifierInUse
            | QuotaExceeded
            | SharedSubscriptionsNotSupported
            | SubscriptionIdentifiersNotSupported
            | WildcardSubscriptionsNotSupported
    )
}

impl Sealed for Suback<'_> {
    trim!(Suback<'_>);
}

impl Encode for Suback<'_> {
    fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
        packet_len(self.measure(version)?.0)
    }

    fn encode(&self, version: Version, out: &mut [u8]) -> Result<usize, EncodeError> {
        let (remaining, properties) = self.measure(version)?;
        let whole = packet_len(remaining)?;
        write_packet(out, whole, 0x90, remaining, |writer| {
            writer.u16(self.packet_id.get())?;
            if version.has_properties() {
                self.properties.write_section(properties, writer)?;
                self.codes.write(writer, |code| code as u8)?;
            } else {
                self.codes.write(writer, |code| if code.is_error() { 0x80 } else { code as u8 })?;
            }
            Some(())
        })
    }
}
