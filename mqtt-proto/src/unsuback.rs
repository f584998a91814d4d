//! UNSUBACK: the server's answer to UNSUBSCRIBE.

use crate::encode::{Encode, sealed::Sealed, trim};
use crate::error::{DecodeError, EncodeError};
use crate::frame;
use crate::properties::{Properties, section_len};
use crate::property::PropertyPlace;
use crate::reason::ReasonCode;
use crate::suback::ReasonCodes;
use crate::types::{PacketId, PacketType, Peer, Version};
use crate::wire::{Reader, packet_len, write_packet};

/// The server's answer to UNSUBSCRIBE.
///
/// ```
/// use mqtt_proto::{Encode, PacketId, Peer, Properties, ReasonCode, Unsuback, Version};
///
/// let codes = [ReasonCode::Success, ReasonCode::NoSubscriptionExisted];
/// let unsuback = Unsuback {
///     packet_id: PacketId::new(2).unwrap(),
///     properties: Properties::EMPTY,
///     codes: codes[..].into(),
/// };
/// let mut buffer = [0; 16];
/// let len = unsuback.encode(Version::V5, &mut buffer)?;
/// assert_eq!(Unsuback::decode(&buffer[..len], Version::V5, Peer::Server)?, unsuback);
///
/// let len = unsuback.encode(Version::V3_1_1, &mut buffer)?;
/// assert!(Unsuback::decode(&buffer[..len], Version::V3_1_1, Peer::Server)?.codes.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unsuback<'a> {
    /// The identifier of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// Properties; not sent before 5.0.
    pub properties: Properties<'a>,
    /// What became of each filter, in their order. Before 5.0 there are none.
    pub codes: ReasonCodes<'a>,
}

impl<'a> Unsuback<'a> {
    /// Decodes a frame that is exactly one UNSUBACK.
    ///
    /// # Errors
    /// When it is not an UNSUBACK of `version`, or `from` is not the server.
    pub fn decode(frame: &'a [u8], version: Version, from: Peer) -> Result<Self, DecodeError> {
        let (_, reader) = frame::open_as(frame, PacketType::Unsuback, version, from)?;
        Self::read(reader)
    }

    pub(crate) fn read(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        if !reader.version().has_properties() {
            reader.finish()?;
            return Ok(Self { packet_id, properties: Properties::EMPTY, codes: ReasonCodes::EMPTY });
        }
        let properties = Properties::read(&mut reader, PropertyPlace::Unsuback, Peer::Server)?.0;
        let codes = ReasonCodes::read(&reader, "MQTT-3.11.3-2", allowed)?;
        Ok(Self { packet_id, properties, codes })
    }

    /// Remaining length, and the length of the properties.
    fn measure(&self, version: Version) -> Result<(usize, usize), EncodeError> {
        if !version.has_properties() {
            return Ok((2, 0));
        }
        self.codes.check(allowed)?;
        let properties = self.properties.checked_len(PropertyPlace::Unsuback)?;
        let remaining = self.codes.len().saturating_add(2).saturating_add(section_len(properties));
        Ok((remaining, properties))
    }
}

/// [MQTT-3.11.3-2]
const fn allowed(code: ReasonCode) -> bool {
    use ReasonCode::*;
    matches!(
        code,
        Success
            | NoSubscriptionExisted
            | UnspecifiedError
            | ImplementationSpecificError
            | NotAuthorized
            | TopicFilterInvalid
            | PacketIdentifierInUse
    )
}

impl Sealed for Unsuback<'_> {
    trim!(Unsuback<'_>);
}

impl Encode for Unsuback<'_> {
    fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
        packet_len(self.measure(version)?.0)
    }

    fn encode(&self, version: Version, out: &mut [u8]) -> Result<usize, EncodeError> {
        let (remaining, properties) = self.measure(version)?;
        let whole = packet_len(remaining)?;
        write_packet(out, whole, 0xB0, remaining, |writer| {
            writer.u16(self.packet_id.get())?;
            if version.has_properties() {
                self.properties.write_section(properties, writer)?;
                self.codes.write(writer, |code| code as u8)?;
            }
            Some(())
        })
    }
}
