//! The small words of the protocol: version, peer, quality of service, packet type and identifier.

use core::fmt;
use core::num::NonZeroU16;

/// The version of the protocol a packet is written in.
///
/// Version is a value: there is one type per packet, and 3.1 and 3.1.1 are 5.0 without properties and with other
/// codes. The default is [`Version::V5`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Version {
    /// MQTT 3.1: protocol name `MQIsdp`, level 3.
    V3_1 = 3,
    /// MQTT 3.1.1: protocol name `MQTT`, level 4.
    V3_1_1 = 4,
    /// MQTT 5.0: protocol name `MQTT`, level 5.
    #[default]
    V5 = 5,
}

impl Version {
    /// The protocol level CONNECT announces: 3, 4 or 5.
    #[must_use]
    pub const fn level(self) -> u8 {
        self as u8
    }

    /// The protocol name CONNECT announces.
    #[must_use]
    pub const fn protocol_name(self) -> &'static str {
        match self {
            // U-36
            Self::V3_1 => "MQIsdp",
            // [MQTT-3.1.2-1]
            Self::V3_1_1 | Self::V5 => "MQTT",
        }
    }

    /// Whether packets of this version carry properties and reason codes.
    #[must_use]
    pub const fn has_properties(self) -> bool {
        matches!(self, Self::V5)
    }

    /// The statement to cite: the same demand has different numbers in the two standards.
    pub(crate) const fn rule(self, v5: &'static str, v3: &'static str) -> &'static str {
        match self {
            Self::V5 => v5,
            Self::V3_1 | Self::V3_1_1 => v3,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V3_1 => "3.1",
            Self::V3_1_1 => "3.1.1",
            Self::V5 => "5.0",
        })
    }
}

/// Who sent a packet: some packets, codes and properties are legal in one direction only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Peer {
    /// The client sent it; a server is decoding.
    Client,
    /// The server sent it; a client is decoding.
    Server,
}

/// Quality of service: how often a message arrives. The default is [`Qos::AtMostOnce`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Qos {
    /// QoS 0: at most once, no acknowledgement.
    #[default]
    AtMostOnce = 0,
    /// QoS 1: at least once, acknowledged by PUBACK.
    AtLeastOnce = 1,
    /// QoS 2: exactly once, by PUBREC, PUBREL and PUBCOMP.
    ExactlyOnce = 2,
}

impl Qos {
    /// The level for 0, 1 or 2. `None` for anything else.
    #[must_use]
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// The number was not a quality of service: there are only 0, 1 and 2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidQos(
    /// The number that was offered.
    pub u8,
);

impl fmt::Display for InvalidQos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a quality of service: there are 0, 1 and 2", self.0)
    }
}

impl core::error::Error for InvalidQos {}

impl TryFrom<u8> for Qos {
    type Error = InvalidQos;

    fn try_from(value: u8) -> Result<Self, InvalidQos> {
        Self::from_u8(value).ok_or(InvalidQos(value))
    }
}

impl From<Qos> for u8 {
    fn from(qos: Qos) -> Self {
        qos as Self
    }
}

/// A packet identifier: 1 to 65,535. Zero does not exist. `[MQTT-2.2.1-3]`
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// The identifier with this number; `None` for 0.
    #[must_use]
    pub const fn new(id: u16) -> Option<Self> {
        match NonZeroU16::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl From<NonZeroU16> for PacketId {
    fn from(id: NonZeroU16) -> Self {
        Self(id)
    }
}

impl From<PacketId> for u16 {
    fn from(id: PacketId) -> Self {
        id.get()
    }
}

impl fmt::Display for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The kind of a packet: the upper four bits of its first byte.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum PacketType {
    /// The client asks for a connection.
    Connect = 1,
    /// The server's answer to CONNECT.
    Connack,
    /// A message.
    Publish,
    /// The answer to a PUBLISH of QoS 1.
    Puback,
    /// The first answer to a PUBLISH of QoS 2.
    Pubrec,
    /// The answer to PUBREC.
    Pubrel,
    /// The answer to PUBREL, the end of a QoS 2 exchange.
    Pubcomp,
    /// The client asks for subscriptions.
    Subscribe,
    /// The server's answer to SUBSCRIBE.
    Suback,
    /// The client ends subscriptions.
    Unsubscribe,
    /// The server's answer to UNSUBSCRIBE.
    Unsuback,
    /// The client asks for a sign of life.
    Pingreq,
    /// The server's sign of life.
    Pingresp,
    /// The sender is about to close the connection.
    Disconnect,
    /// A step of an extended authentication, 5.0 only.
    Auth,
}

impl PacketType {
    /// The type the upper four bits of a packet's first byte name. `None` for the reserved value 0.
    #[must_use]
    pub const fn from_first_byte(first: u8) -> Option<Self> {
        Some(match first >> 4 {
            1 => Self::Connect,
            2 => Self::Connack,
            3 => Self::Publish,
            4 => Self::Puback,
            5 => Self::Pubrec,
            6 => Self::Pubrel,
            7 => Self::Pubcomp,
            8 => Self::Subscribe,
            9 => Self::Suback,
            10 => Self::Unsubscribe,
            11 => Self::Unsuback,
            12 => Self::Pingreq,
            13 => Self::Pingresp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// Whether `peer` may send packets of this type in `version`.
    #[must_use]
    pub const fn allowed_from(self, peer: Peer, version: Version) -> bool {
        match self {
            Self::Connect | Self::Subscribe | Self::Unsubscribe | Self::Pingreq => {
                matches!(peer, Peer::Client)
            }
            Self::Connack | Self::Suback | Self::Unsuback | Self::Pingresp => matches!(peer, Peer::Server),
            Self::Publish | Self::Puback | Self::Pubrec | Self::Pubrel | Self::Pubcomp => true,
            Self::Disconnect => matches!(peer, Peer::Client) || version.has_properties(),
            Self::Auth => version.has_properties(),
        }
    }

    /// The name the standard prints in capitals.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Connack => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::Puback => "PUBACK",
            Self::Pubrec => "PUBREC",
            Self::Pubrel => "PUBREL",
            Self::Pubcomp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::Suback => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Unsuback => "UNSUBACK",
            Self::Pingreq => "PINGREQ",
            Self::Pingresp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        }
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
