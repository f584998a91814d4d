//! DISCONNECT: the sender is about to close the connection.

use crate::encode::{Encode, sealed::Sealed, trim};
use crate::error::{DecodeError, EncodeError};
use crate::frame;
use crate::properties::{Properties, section_len};
use crate::property::PropertyPlace;
use crate::reason::{ReasonCode, read_code};
use crate::types::{PacketType, Peer, Version};
use crate::wire::{Reader, packet_len, write_packet};

/// The sender is about to close the connection. Before 5.0 only the client sends it, and it says nothing more.
///
/// ```
/// use mqtt_proto::{Disconnect, Encode, Peer, Properties, Property, ReasonCode, Version};
///
/// let why = [Property::ReasonString("restarting")];
/// let disconnect =
///     Disconnect { reason_code: ReasonCode::ServerShuttingDown, properties: Properties::List(&why) };
/// let mut buffer = [0; 32];
/// let len = disconnect.encode(Version::V5, &mut buffer)?;
/// assert_eq!(Disconnect::decode(&buffer[..len], Version::V5, Peer::Server)?, disconnect);
/// assert!(Disconnect::decode(&buffer[..len], Version::V5, Peer::Client).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Disconnect<'a> {
    /// Why; always [`ReasonCode::NORMAL_DISCONNECTION`] before 5.0.
    pub reason_code: ReasonCode,
    /// Properties; not sent before 5.0.
    pub properties: Properties<'a>,
}

impl<'a> Disconnect<'a> {
    /// A DISCONNECT without properties.
    #[must_use]
    pub const fn new(reason_code: ReasonCode) -> Self {
        Self { reason_code, properties: Properties::EMPTY }
    }

    /// Decodes a frame that is exactly one DISCONNECT.
    ///
    /// # Errors
    /// When it is not a DISCONNECT that `from` may send in `version`.
    pub fn decode(frame: &'a [u8], version: Version, from: Peer) -> Result<Self, DecodeError> {
        let (_, reader) = frame::open_as(frame, PacketType::Disconnect, version, from)?;
        Self::read(reader, from)
    }

    pub(crate) fn read(mut reader: Reader<'a>, from: Peer) -> Result<Self, DecodeError> {
        let mut disconnect = Self::new(ReasonCode::NORMAL_DISCONNECTION);
        if !reader.version().has_properties() {
            reader.finish()?;
            return Ok(disconnect);
        }
        let at = reader.at();
        // No byte at all says 0x00. U-21
        let byte = if reader.is_empty() { 0 } else { reader.u8()? };
        disconnect.reason_code = read_code(byte, at, "MQTT-3.14.2-1", |code| allowed(code, Some(from)))?;
        if !reader.is_empty() {
            disconnect.properties = Properties::read(&mut reader, PropertyPlace::Disconnect, from)?.0;
            reader.finish()?;
        }
        Ok(disconnect)
    }

    fn measure(&self, version: Version) -> Result<(usize, usize), EncodeError> {
        if !version.has_properties() {
            return Ok((0, 0));
        }
        if !allowed(self.reason_code, None) {
            return Err(EncodeError::InvalidReasonCode(self.reason_code));
        }
        let properties = self.properties.checked_len(PropertyPlace::Disconnect)?;
        let remaining = match (self.reason_code, properties) {
            (ReasonCode::Success, 0) => 0, // U-21
            (_, 0) => 1,
            _ => section_len(properties).saturating_add(1),
        };
        Ok((remaining, properties))
    }
}

/// Whether `from` may send this code; `None`: whether anyone may. `BadAuthenticationMethod` stands in the general
/// table for DISCONNECT though not in that of the packet, so both sides may send it. `Success` is given to the client
/// only, but servers close normally too, and refusing that would make a clean end an error. [MQTT-3.14.2-1]
const fn allowed(code: ReasonCode, from: Option<Peer>) -> bool {
    use ReasonCode::*;
    match code {
        DisconnectWithWill => !matches!(from, Some(Peer::Server)),
        Success
        | UnspecifiedError
        | MalformedPacket
        | ProtocolError
        | ImplementationSpecificError
        | BadAuthenticationMethod
        | TopicNameInvalid
        | ReceiveMaximumExceeded
        | TopicAliasInvalid
        | PacketTooLarge
        | MessageRateTooHigh
        | QuotaExceeded
        | AdministrativeAction
        | PayloadFormatInvalid => true,
        NotAuthorized
        | ServerBusy
        | ServerShuttingDown
        | KeepAliveTimeout
        | SessionTakenOver
        | TopicFilterInvalid
        | RetainNotSupported
        | QosNotSupported
        | UseAnotherServer
        | ServerMoved
        | SharedSubscriptionsNotSupported
        | ConnectionRateExceeded
        | MaximumConnectTime
        | SubscriptionIdentifiersNotSupported
        | WildcardSubscriptionsNotSupported => !matches!(from, Some(Peer::Client)),
        _ => false,
    }
}

impl Sealed for Disconnect<'_> {
    trim!(Disconnect<'_>);
}

impl Encode for Disconnect<'_> {
    fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
        packet_len(self.measure(version)?.0)
    }

    fn encode(&self, version: Version, out: &mut [u8]) -> Result<usize, EncodeError> {
        let (remaining, properties) = self.measure(version)?;
        let whole = packet_len(remaining)?;
        write_packet(out, whole, 0xE0, remaining, |writer| {
            if remaining > 0 {
                writer.u8(self.reason_code as u8)?;
            }
            if remaining > 1 {
                self.properties.write_section(properties, writer)?;
            }
            Some(())
        })
    }
}
