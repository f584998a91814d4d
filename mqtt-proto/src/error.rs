//! What can be wrong with bytes that arrived, and with a packet that was to be sent.

use core::fmt;

use crate::property::PropertyId;
use crate::reason::ReasonCode;
use crate::topic::TopicError;

/// Why bytes are not the packet they claim to be.
///
/// Small, `Copy`, without strings of its own: what is wrong, where, which statement forbids it and which reason code
/// a DISCONNECT should carry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DecodeError {
    /// What sort of mistake it is.
    pub kind: DecodeErrorKind,
    /// The byte of the frame at which the mistake was found, counted from 0.
    pub at: u32,
    /// The statement that forbids it: a number of the standard (`MQTT-3.3.2-2`), or of the project's list of rules
    /// the standards state without a number (`U-09`).
    pub rule: &'static str,
    /// What a 5.0 DISCONNECT says about it.
    pub reason_code: ReasonCode,
}

/// The sort of a [`DecodeError`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The bytes cannot be parsed as the standard demands.
    Malformed,
    /// The bytes can be parsed, but say something the standard forbids at this place.
    Protocol,
    /// The announced length is over the limit.
    TooLarge,
    /// A 3.1.1 server refused a 5.0 CONNECT with the CONNACK of its own version, `20 02 00 01`.
    VersionRefused,
    /// A CONNECT of a protocol or level that is none of the three known ones.
    UnsupportedVersion,
    /// The frame is well begun, but of another packet type than the one asked for.
    OtherPacket,
}

impl DecodeError {
    #[cold]
    pub(crate) const fn malformed(at: u32, rule: &'static str) -> Self {
        Self { kind: DecodeErrorKind::Malformed, at, rule, reason_code: ReasonCode::MalformedPacket }
    }

    #[cold]
    pub(crate) const fn protocol(at: u32, rule: &'static str) -> Self {
        Self { kind: DecodeErrorKind::Protocol, at, rule, reason_code: ReasonCode::ProtocolError }
    }

    #[cold]
    pub(crate) const fn with(
        kind: DecodeErrorKind,
        at: u32,
        rule: &'static str,
        reason_code: ReasonCode,
    ) -> Self {
        Self { kind, at, rule, reason_code }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            DecodeErrorKind::Malformed => "malformed packet",
            DecodeErrorKind::Protocol => "protocol error",
            DecodeErrorKind::TooLarge => "packet too large",
            DecodeErrorKind::VersionRefused => "the server refused the protocol version",
            DecodeErrorKind::UnsupportedVersion => "unsupported protocol version",
            DecodeErrorKind::OtherPacket => "another packet than expected",
        };
        write!(f, "{what} at byte {} [{}]", self.at, self.rule)
    }
}

impl core::error::Error for DecodeError {}

/// Why a packet was not written. Nothing has been written when one of these is returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EncodeError {
    /// The buffer is too small.
    BufferTooSmall {
        /// Bytes the whole packet needs.
        needed: usize,
    },
    /// The packet is larger than the limit the peer announced.
    OverLimit {
        /// Bytes the whole packet needs.
        needed: usize,
    },
    /// A string or binary field is longer than 65,535 bytes.
    StringTooLong,
    /// A string contains U+0000.
    StringWithNul,
    /// The remaining length would be over 268,435,455.
    PacketTooLong,
    /// The packet may not carry this property.
    PropertyNotAllowed(PropertyId),
    /// The property may appear only once.
    DuplicateProperty(PropertyId),
    /// The value of the property is one the standard forbids.
    InvalidProperty(PropertyId),
    /// The packet must carry this property.
    MissingProperty(PropertyId),
    /// Encoded properties that are not what [`Properties::write_body`](crate::Properties::write_body) wrote.
    DamagedProperties,
    /// The packet may not carry this reason code.
    InvalidReasonCode(ReasonCode),
    /// Something the packet says cannot be said in this version of the protocol.
    NotInThisVersion,
    /// A topic that is forbidden at this place.
    InvalidTopic(TopicError),
    /// A PUBLISH of QoS 0 with a packet identifier, or of QoS 1 or 2 without.
    PacketIdMismatch,
    /// A PUBLISH of QoS 0 with the DUP flag.
    DupAtQos0,
    /// A PUBLISH without a topic name and without a topic alias.
    MissingTopic,
    /// A SUBSCRIBE or UNSUBSCRIBE without a filter, or a SUBACK or UNSUBACK without a code.
    Empty,
    /// No Local on a shared subscription.
    NoLocalOnShared,
    /// A password without a user name, which only 5.0 allows.
    PasswordWithoutUserName,
    /// An empty client identifier, which 3.1 does not have, and 3.1.1 only together with a clean session.
    ClientIdNotValid,
    /// A CONNACK that refuses and yet tells of a session.
    SessionPresentOnRefusal,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BufferTooSmall { needed } => {
                write!(f, "the buffer is too small: {needed} bytes are needed")
            }
            Self::OverLimit { needed } => write!(f, "a packet of {needed} bytes is over the peer's limit"),
            Self::StringTooLong => f.write_str("a string or binary field is longer than 65,535 bytes"),
            Self::StringWithNul => f.write_str("a string contains U+0000"),
            Self::PacketTooLong => f.write_str("the remaining length is over 268,435,455 bytes"),
            Self::PropertyNotAllowed(id) => write!(f, "the packet may not carry the property {id}"),
            Self::DuplicateProperty(id) => write!(f, "the property {id} may appear only once"),
            Self::InvalidProperty(id) => write!(f, "the value of the property {id} is forbidden"),
            Self::MissingProperty(id) => write!(f, "the packet must carry the property {id}"),
            Self::DamagedProperties => f.write_str("the stored properties are damaged"),
            Self::InvalidReasonCode(code) => write!(f, "the packet may not carry the reason code \"{code}\""),
            Self::NotInThisVersion => f.write_str("this cannot be said in this version of the protocol"),
            Self::InvalidTopic(why) => fmt::Display::fmt(why, f),
            Self::PacketIdMismatch => {
                f.write_str("a packet identifier is needed exactly when the QoS is 1 or 2")
            }
            Self::DupAtQos0 => f.write_str("a message of QoS 0 is never a duplicate"),
            Self::MissingTopic => f.write_str("the message has neither a topic name nor a topic alias"),
            Self::Empty => f.write_str("the packet needs at least one entry"),
            Self::NoLocalOnShared => f.write_str("No Local is forbidden on a shared subscription"),
            Self::PasswordWithoutUserName => f.write_str("before 5.0 a password needs a user name"),
            Self::ClientIdNotValid => f.write_str(
                "the client identifier is not valid: 3.1 has no empty one, 3.1.1 only together with a clean session",
            ),
            Self::SessionPresentOnRefusal => f.write_str("a refused connection has no session"),
        }
    }
}

impl core::error::Error for EncodeError {}

impl From<TopicError> for EncodeError {
    fn from(why: TopicError) -> Self {
        Self::InvalidTopic(why)
    }
}
