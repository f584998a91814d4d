//! Errors of the commands: one small enum each, with only what can happen there.

use core::fmt;

use mqtt_proto::{EncodeError, Qos};

/// Why `start` did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// The session runs already; `stop` it and wait for `Event::Stopped` first.
    AlreadyStarted,
    /// CONNECT does not fit the wire buffer: raise `Config::wire_bytes`, or the memory of a fixed storage.
    ConnectTooLarge {
        /// Bytes CONNECT needs.
        needed: usize,
        /// Bytes there are.
        room: usize,
    },
    /// The options cannot be put into a CONNECT packet of this version. An empty client identifier is such an option
    /// in 3.1.1 without a clean session ([MQTT-3.1.3-7]): nobody could find the session again.
    Invalid(EncodeError),
    /// What was restored is of another client identifier. Start with that one, or with a new session.
    OtherClient,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyStarted => f.write_str("the session is already started"),
            Self::ConnectTooLarge { needed, room } => {
                write!(f, "CONNECT needs {needed} bytes, the wire buffer holds {room}: raise wire_bytes")
            }
            Self::Invalid(error) => write!(f, "the connect options are not valid: {error}"),
            Self::OtherClient => f.write_str("the restored records are of another client identifier"),
        }
    }
}

impl core::error::Error for StartError {}

/// Why `stop` did not. Nothing happened; it may be called again with less to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopError {
    /// The reason code is not one that a client sends in DISCONNECT ([MQTT-3.14.2-1]).
    InvalidReason,
    /// The properties are not ones a client's DISCONNECT may carry.
    Invalid(EncodeError),
    /// A Session Expiry Interval other than 0, where CONNECT gave 0 or none: a session that was to end with
    /// the connection cannot be made to outlive it (section 3.14.2.2.2).
    ExpiryRaised,
    /// The properties find no room beside the operations in `Config::queue_bytes`, or in
    /// `Config::wire_bytes`.
    NoRoom,
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidReason => f.write_str("a client does not send DISCONNECT with this reason code"),
            Self::Invalid(error) => write!(f, "the properties are not valid: {error}"),
            Self::ExpiryRaised => f.write_str("a session expiry of 0 cannot be raised by DISCONNECT"),
            Self::NoRoom => f.write_str("there is no room to keep the properties"),
        }
    }
}

impl core::error::Error for StopError {}

/// A message that was not accepted, and its payload.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Refused<P, R = PublishError> {
    /// Why.
    pub reason: R,
    /// The payload, as it was given.
    pub payload: P,
}

impl<P, R: fmt::Debug> fmt::Debug for Refused<P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<P, R: fmt::Display> fmt::Display for Refused<P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<P, R: fmt::Debug + fmt::Display> core::error::Error for Refused<P, R> {}

/// Why a message was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// `Config::max_operations` are open. `Event::Unblocked` tells when to try again.
    QueueFull,
    /// `Config::queue_bytes` are in use. `Event::Unblocked` tells when to try again.
    BytesFull,
    /// The message can never fit: over `Config::queue_bytes`, its head over `Config::wire_bytes`, or
    /// over the 268,435,455 bytes of the protocol.
    TooLarge {
        /// Bytes the message needs.
        needed: usize,
        /// Bytes allowed.
        allowed: usize,
    },
    /// Over the Maximum Packet Size of the server this session is connected to.
    TooLargeForServer {
        /// Bytes of the packet.
        needed: usize,
        /// The server's limit.
        allowed: usize,
    },
    /// The server this session is connected to takes at most this quality of service.
    QosNotSupported(Qos),
    /// The server this session is connected to keeps no retained messages.
    RetainNotSupported,
    /// The properties are not ones a PUBLISH may carry.
    Invalid(EncodeError),
    /// `stop` was called.
    Stopping,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QueueFull => {
                f.write_str("the queue holds as many operations as it may: wait for Unblocked")
            }
            Self::BytesFull => f.write_str("the queue holds as many bytes as it may: wait for Unblocked"),
            Self::TooLarge { needed, allowed } => {
                write!(f, "the message needs {needed} bytes, the limit is {allowed}")
            }
            Self::TooLargeForServer { needed, allowed } => {
                write!(f, "the packet has {needed} bytes, the server takes at most {allowed}")
            }
            Self::QosNotSupported(qos) => {
                write!(f, "the server takes at most QoS {}", *qos as u8)
            }
            Self::RetainNotSupported => f.write_str("the server keeps no retained messages"),
            Self::Invalid(error) => write!(f, "the message cannot be encoded: {error}"),
            Self::Stopping => f.write_str("the session is stopping"),
        }
    }
}

impl core::error::Error for PublishError {}

/// Why a piece of a payload was not taken. Nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProvideError {
    /// The message is not being sent: it has ended, the connection was cut, or its turn has not come.
    /// `Event::PayloadWanted` tells when its payload is wanted, from its first byte.
    Stale,
    /// Not the next byte of the payload.
    OutOfPlace {
        /// The place of the next byte.
        wanted: u32,
    },
    /// More than was announced.
    TooLong {
        /// Bytes that are still to come.
        left: u32,
    },
}

impl fmt::Display for ProvideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale => f.write_str("the message is not being sent now"),
            Self::OutOfPlace { wanted } => write!(f, "byte {wanted} of the payload comes next"),
            Self::TooLong { left } => write!(f, "only {left} bytes of the payload are still to come"),
        }
    }
}

impl core::error::Error for ProvideError {}

/// Why a SUBSCRIBE or UNSUBSCRIBE was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// No filter was given; the standard asks for at least one ([MQTT-3.8.3-2], [MQTT-3.10.3-2]).
    NoFilter,
    /// `Config::max_operations` are open. `Event::Unblocked` tells when to try again.
    QueueFull,
    /// `Config::queue_bytes` are in use. `Event::Unblocked` tells when to try again.
    BytesFull,
    /// The packet can never fit `Config::wire_bytes` or `Config::queue_bytes`.
    TooLarge {
        /// Bytes the packet needs.
        needed: usize,
        /// Bytes allowed.
        allowed: usize,
    },
    /// Over the Maximum Packet Size of the server this session is connected to.
    TooLargeForServer {
        /// Bytes of the packet.
        needed: usize,
        /// The server's limit.
        allowed: usize,
    },
    /// The server has no wildcard subscriptions and a filter has a wildcard.
    WildcardsNotSupported,
    /// The server has no shared subscriptions and a filter is one.
    SharedNotSupported,
    /// The server has no subscription identifiers and the properties have one.
    IdentifiersNotSupported,
    /// The filters or properties cannot be put into the packet.
    Invalid(EncodeError),
    /// `stop` was called.
    Stopping,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFilter => f.write_str("at least one topic filter is needed"),
            Self::QueueFull => {
                f.write_str("the queue holds as many operations as it may: wait for Unblocked")
            }
            Self::BytesFull => f.write_str("the queue holds as many bytes as it may: wait for Unblocked"),
            Self::TooLarge { needed, allowed } => {
                write!(f, "the packet needs {needed} bytes, the limit is {allowed}: split the filters")
            }
            Self::TooLargeForServer { needed, allowed } => {
                write!(
                    f,
                    "the packet has {needed} bytes, the server takes at most {allowed}: split the filters"
                )
            }
            Self::WildcardsNotSupported => f.write_str("the server has no wildcard subscriptions"),
            Self::SharedNotSupported => f.write_str("the server has no shared subscriptions"),
            Self::IdentifiersNotSupported => f.write_str("the server has no subscription identifiers"),
            Self::Invalid(error) => write!(f, "the packet cannot be encoded: {error}"),
            Self::Stopping => f.write_str("the session is stopping"),
        }
    }
}

impl core::error::Error for SubscribeError {}

/// Why an acknowledgement was not taken. Nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AckError {
    /// The token's message is not waiting any more: acknowledged before, or of a connection or session
    /// that has ended. The server sends the message again if it still wants an answer.
    Stale,
    /// The reason code is not one that PUBACK and PUBREC have.
    InvalidReason,
    /// The properties are not ones that PUBACK and PUBREC have.
    Invalid(EncodeError),
}

impl fmt::Display for AckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale => f.write_str("the message does not wait for an acknowledgement any more"),
            Self::InvalidReason => f.write_str("PUBACK and PUBREC have no such reason code"),
            Self::Invalid(error) => write!(f, "PUBACK and PUBREC cannot have these properties: {error}"),
        }
    }
}

impl core::error::Error for AckError {}

/// Why a record was not restored. Nothing of it was taken; the session is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestoreError {
    /// `Config::durability` is `Off`.
    Off,
    /// The session was used already: records come before everything else.
    Started,
    /// Not a record of this engine.
    Foreign,
    /// A record in another version of the format.
    Version(u8),
    /// A piece of it is missing, or its checksum does not fit.
    Damaged,
    /// The record was stored under another key.
    WrongKey,
    /// The record is of another client identifier than those before it.
    OtherClient,
    /// There is a record of this key, or an operation with this packet identifier, already.
    Duplicate,
    /// It does not fit the limits of this session (operations, bytes, identifiers, wire buffer).
    NoRoom,
    /// Its checksum fits, but it says something that cannot be.
    Invalid,
}

impl RestoreError {
    /// Whether the record itself is at fault, so that no session could take it: it is to be set aside. What is left
    /// fails for what the session is, or was told: its limits, its client identifier, its version.
    #[must_use]
    pub const fn is_damage(self) -> bool {
        match self {
            Self::Foreign | Self::Damaged | Self::WrongKey | Self::Duplicate | Self::Invalid => true,
            Self::Off | Self::Started | Self::Version(_) | Self::OtherClient | Self::NoRoom => false,
        }
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("this session has no durability"),
            Self::Started => f.write_str("records are restored before anything else is done with a session"),
            Self::Foreign => f.write_str("not a record of this engine"),
            Self::Version(version) => write!(f, "records of version {version} are not known"),
            Self::Damaged => f.write_str("the record is damaged"),
            Self::WrongKey => f.write_str("the record belongs to another key"),
            Self::OtherClient => f.write_str("the record is of another client identifier"),
            Self::Duplicate => f.write_str("there is such a record already"),
            Self::NoRoom => f.write_str("the record does not fit the limits of this session"),
            Self::Invalid => f.write_str("the record says something that cannot be"),
        }
    }
}

impl core::error::Error for RestoreError {}

/// Why an AUTH was not sent. Nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthError {
    /// There is no connection to authenticate on.
    NotConnected,
    /// CONNECT named no Authentication Method, or the version has none ([MQTT-4.12.0-7]).
    NoMethod,
    /// The Authentication Method is missing, or not the one of CONNECT ([MQTT-4.12.0-5]).
    MethodChanged,
    /// 0x18 where the server did not ask for it ([MQTT-4.12.0-3]), or 0x19 before CONNACK or while an
    /// authentication is under way ([MQTT-4.12.1-1]).
    OutOfTurn,
    /// The reason code is not one that a client sends: 0x18 or 0x19.
    InvalidReason,
    /// The wire buffer is full of other packets, or the payload of a message is being provided in pieces, which
    /// nothing may interrupt; try again after the next flush, or when that message is complete.
    NoRoom,
    /// The packet can never fit `Config::wire_bytes`.
    TooLarge {
        /// Bytes the packet needs.
        needed: usize,
        /// Bytes allowed.
        allowed: usize,
    },
    /// Over the Maximum Packet Size of the server, even without Reason String and User Properties.
    TooLargeForServer {
        /// Bytes of the packet.
        needed: usize,
        /// The server's limit.
        allowed: usize,
    },
    /// The properties are not ones an AUTH may carry.
    Invalid(EncodeError),
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected => f.write_str("there is no connection to authenticate on"),
            Self::NoMethod => f.write_str("CONNECT named no authentication method"),
            Self::MethodChanged => f.write_str("the authentication method is not the one of CONNECT"),
            Self::OutOfTurn => f.write_str("it is not the client's turn to send this AUTH"),
            Self::InvalidReason => f.write_str("a client sends AUTH with 0x18 or 0x19 only"),
            Self::NoRoom => f.write_str("the wire buffer is full: try again after the next flush"),
            Self::TooLarge { needed, allowed } => {
                write!(f, "AUTH needs {needed} bytes, the wire buffer holds {allowed}: raise wire_bytes")
            }
            Self::TooLargeForServer { needed, allowed } => {
                write!(f, "the packet has {needed} bytes, the server takes at most {allowed}")
            }
            Self::Invalid(error) => write!(f, "AUTH cannot be encoded: {error}"),
        }
    }
}

impl core::error::Error for AuthError {}
