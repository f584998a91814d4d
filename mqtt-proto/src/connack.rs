//! CONNACK: the server's answer to CONNECT.

use crate::encode::{Encode, sealed::Sealed, trim};
use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::frame;
use crate::properties::{Properties, section_len};
use crate::property::PropertyPlace;
use crate::reason::{ReasonCode, read_code};
use crate::types::{PacketType, Peer, Version};
use crate::wire::{Reader, packet_len, write_packet};

/// The server's answer to CONNECT.
///
/// ```
/// use mqtt_proto::{Connack, DecodeErrorKind, Peer, ReasonCode, Version};
///
/// let connack = Connack::decode(&[0x20, 0x02, 0x00, 0x05], Version::V3_1_1, Peer::Server)?;
/// assert_eq!(connack.reason_code, ReasonCode::NotAuthorized);
///
/// // A 3.1.1 server answers a 5.0 CONNECT in its own way.
/// let error = Connack::decode(&[0x20, 0x02, 0x00, 0x01], Version::V5, Peer::Server).unwrap_err();
/// assert_eq!(error.kind, DecodeErrorKind::VersionRefused);
/// # Ok::<(), mqtt_proto::DecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connack<'a> {
    /// Whether the server goes on with a session it has kept. 3.1 cannot say so: `false` when it is decoded, not
    /// written when it is encoded.
    pub session_present: bool,
    /// Success, or why the connection is refused.
    pub reason_code: ReasonCode,
    /// Properties; not sent before 5.0.
    pub properties: Properties<'a>,
}

impl<'a> Connack<'a> {
    /// The connection is accepted; without properties.
    #[must_use]
    pub const fn accepted(session_present: bool) -> Self {
        Self { session_present, reason_code: ReasonCode::Success, properties: Properties::EMPTY }
    }

    /// The connection is refused; without properties.
    #[must_use]
    pub const fn refused(reason_code: ReasonCode) -> Self {
        Self { session_present: false, reason_code, properties: Properties::EMPTY }
    }

    /// Decodes a frame that is exactly one CONNACK.
    ///
    /// # Errors
    /// When it is not a CONNACK of `version`, or `from` is not the server. `20 02 00 01`, the answer of a 3.1.1 server
    /// to a 5.0 CONNECT, is of the kind [`DecodeErrorKind::VersionRefused`].
    pub fn decode(frame: &'a [u8], version: Version, from: Peer) -> Result<Self, DecodeError> {
        let (_, reader) = frame::open_as(frame, PacketType::Connack, version, from)?;
        Self::read(reader)
    }

    pub(crate) fn read(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        if version.has_properties() && reader.rest() == [0, 1] {
            let code = ReasonCode::UnsupportedProtocolVersion;
            return Err(DecodeError::with(DecodeErrorKind::VersionRefused, 3, "MQTT-3.1.2-2", code));
        }
        let at = reader.at();
        let flags = reader.u8()?;
        if flags > 1 && version != Version::V3_1 {
            return Err(DecodeError::malformed(at, "MQTT-3.2.2-1")); // [MQTT-3.2.2-1]
        }
        // In 3.1 the whole byte is reserved.
        let session_present = flags & 1 != 0 && version != Version::V3_1;
        let at = reader.at();
        let byte = reader.u8()?;
        let reason_code = match version {
            Version::V5 => read_code(byte, at, "MQTT-3.2.2-8", allowed)?,
            Version::V3_1 | Version::V3_1_1 => {
                from_old(byte).ok_or(DecodeError::malformed(at, "MQTT-3.2.2-6"))?
            }
        };
        if session_present && reason_code != ReasonCode::Success {
            // [MQTT-3.2.2-4], [MQTT-3.2.2-6]
            return Err(DecodeError::malformed(at, version.rule("MQTT-3.2.2-6", "MQTT-3.2.2-4")));
        }
        let mut properties = Properties::EMPTY;
        if version.has_properties() {
            properties = Properties::read(&mut reader, PropertyPlace::Connack, Peer::Server)?.0;
        }
        reader.finish()?;
        Ok(Self { session_present, reason_code, properties })
    }

    /// The byte that says the reason, the remaining length, the length of the properties.
    fn measure(&self, version: Version) -> Result<(u8, usize, usize), EncodeError> {
        if self.session_present && self.reason_code != ReasonCode::Success {
            return Err(EncodeError::SessionPresentOnRefusal); // [MQTT-3.2.2-4], [MQTT-3.2.2-6]
        }
        let refused = EncodeError::InvalidReasonCode(self.reason_code);
        if !version.has_properties() {
            return Ok((to_old(self.reason_code).ok_or(refused)?, 2, 0));
        }
        if !allowed(self.reason_code) {
            return Err(refused);
        }
        let properties = self.properties.checked_len(PropertyPlace::Connack)?;
        Ok((self.reason_code as u8, section_len(properties).saturating_add(2), properties))
    }
}

/// The reason codes of table 3-1. [MQTT-3.2.2-8]
const fn allowed(code: ReasonCode) -> bool {
    use ReasonCode::*;
    matches!(
        code,
        Success
            | UnspecifiedError
            | MalformedPacket
            | ProtocolError
            | ImplementationSpecificError
            | UnsupportedProtocolVersion
            | ClientIdentifierNotValid
            | BadUserNameOrPassword
            | NotAuthorized
            | ServerUnavailable
            | ServerBusy
            | Banned
            | BadAuthenticationMethod
            | TopicNameInvalid
            | PacketTooLarge
            | QuotaExceeded
            | PayloadFormatInvalid
            | RetainNotSupported
            | QosNotSupported
            | UseAnotherServer
            | ServerMoved
            | ConnectionRateExceeded
    )
}

const fn from_old(code: u8) -> Option<ReasonCode> {
    Some(match code {
        0 => ReasonCode::Success,
        1 => ReasonCode::UnsupportedProtocolVersion,
        2 => ReasonCode::ClientIdentifierNotValid,
        3 => ReasonCode::ServerUnavailable,
        4 => ReasonCode::BadUserNameOrPassword,
        5 => ReasonCode::NotAuthorized,
        _ => return None,
    })
}

const fn to_old(code: ReasonCode) -> Option<u8> {
    Some(match code {
        ReasonCode::Success => 0,
        ReasonCode::UnsupportedProtocolVersion => 1,
        ReasonCode::ClientIdentifierNotValid => 2,
        ReasonCode::ServerUnavailable => 3,
        ReasonCode::BadUserNameOrPassword => 4,
        ReasonCode::NotAuthorized => 5,
        _ => return None,
    })
}

impl Sealed for Connack<'_> {
    trim!(Connack<'_>);
}

impl Encode for Connack<'_> {
    fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
        packet_len(self.measure(version)?.1)
    }

    fn encode(&self, version: Version, out: &mut [u8]) -> Result<usize, EncodeError> {
        let (code, remaining, properties) = self.measure(version)?;
        let whole = packet_len(remaining)?;
        write_packet(out, whole, 0x20, remaining, |writer| {
            writer.u8(u8::from(self.session_present && version != Version::V3_1))?;
            writer.u8(code)?;
            if version.has_properties() {
                self.properties.write_section(properties, writer)?;
            }
            Some(())
        })
    }
}
