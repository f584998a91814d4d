//! AUTH: a step of an extended authentication.

use crate::encode::{Encode, sealed::Sealed, trim};
use crate::error::{DecodeError, EncodeError};
use crate::frame;
use crate::properties::{Properties, section_len};
use crate::property::{PropertyId, PropertyPlace};
use crate::reason::{ReasonCode, read_code};
use crate::types::{PacketType, Peer, Version};
use crate::wire::{Reader, packet_len, write_packet};

/// A step of an extended authentication, 5.0 only. An Authentication Method belongs to it; only the shortest form,
/// which says success and nothing else, has none.
///
/// ```
/// use mqtt_proto::{Auth, Encode, Peer, Properties, Property, ReasonCode, Version};
///
/// let step = [Property::AuthenticationMethod("SCRAM-SHA-256"), Property::AuthenticationData(b"n,,n=meter")];
/// let auth = Auth { reason_code: ReasonCode::ContinueAuthentication, properties: Properties::List(&step) };
/// let mut buffer = [0; 64];
/// let len = auth.encode(Version::V5, &mut buffer)?;
/// assert_eq!(Auth::decode(&buffer[..len], Version::V5, Peer::Client)?, auth);
/// assert!(format!("{auth:?}").contains("AuthenticationData(10 bytes)"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Auth<'a> {
    /// Success (from a server), continue (from both), re-authenticate (from a client).
    pub reason_code: ReasonCode,
    /// Properties. `Debug` prints only the length of the authentication data.
    pub properties: Properties<'a>,
}

impl<'a> Auth<'a> {
    /// Decodes a frame that is exactly one AUTH.
    ///
    /// # Errors
    /// When it is not an AUTH that `from` may send in `version`.
    pub fn decode(frame: &'a [u8], version: Version, from: Peer) -> Result<Self, DecodeError> {
        let (_, reader) = frame::open_as(frame, PacketType::Auth, version, from)?;
        Self::read(reader, from)
    }

    pub(crate) fn read(mut reader: Reader<'a>, from: Peer) -> Result<Self, DecodeError> {
        let at = reader.at();
        // No byte at all says 0x00. U-18
        let byte = if reader.is_empty() { 0 } else { reader.u8()? };
        let reason_code = read_code(byte, at, "MQTT-3.15.2-1", |code| allowed(code, Some(from)))?;
        if reader.is_empty() && reason_code == ReasonCode::Success {
            return Ok(Self { reason_code, properties: Properties::EMPTY });
        }
        let at = reader.at();
        let mut properties = Properties::EMPTY;
        let mut method = false;
        if !reader.is_empty() {
            let (found, seen) = Properties::read(&mut reader, PropertyPlace::Auth, from)?;
            reader.finish()?;
            properties = found;
            method = seen.has(PropertyId::AuthenticationMethod);
        }
        if !method {
            return Err(DecodeError::protocol(at, "U-18"));
        }
        Ok(Self { reason_code, properties })
    }

    fn measure(&self, version: Version) -> Result<(usize, usize), EncodeError> {
        if !version.has_properties() {
            return Err(EncodeError::NotInThisVersion);
        }
        if !allowed(self.reason_code, None) {
            return Err(EncodeError::InvalidReasonCode(self.reason_code));
        }
        if self.properties.is_empty() {
            return match self.reason_code {
                ReasonCode::Success => Ok((0, 0)), // U-18
                _ => Err(EncodeError::MissingProperty(PropertyId::AuthenticationMethod)),
            };
        }
        let properties = self.properties.checked_len(PropertyPlace::Auth)?;
        Ok((section_len(properties).saturating_add(1), properties))
    }
}

/// [MQTT-3.15.2-1]
const fn allowed(code: ReasonCode, from: Option<Peer>) -> bool {
    match code {
        ReasonCode::Success => !matches!(from, Some(Peer::Client)),
        ReasonCode::ContinueAuthentication => true,
        ReasonCode::ReAuthenticate => !matches!(from, Some(Peer::Server)),
        _ => false,
    }
}

impl Sealed for Auth<'_> {
    trim!(Auth<'_>);
}

impl Encode for Auth<'_> {
    fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
        packet_len(self.measure(version)?.0)
    }

    fn encode(&self, version: Version, out: &mut [u8]) -> Result<usize, EncodeError> {
        let (remaining, properties) = self.measure(version)?;
        let whole = packet_len(remaining)?;
        write_packet(out, whole, 0xF0, remaining, |writer| {
            if remaining > 0 {
                writer.u8(self.reason_code as u8)?;
                self.properties.write_section(properties, writer)?;
            }
            Some(())
        })
    }
}
