//! What the session tells, and what it wants done.

use core::fmt;
use core::time::Duration;

use mqtt_proto::{Auth, Connack, DecodeError, PacketId, Properties, Qos, ReasonCode, ReasonCodes, Version};

use crate::aliases::TopicAlias;
use crate::record::{Key, Record};
use crate::token::{AckToken, Token};

/// Something for the driver to carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "the session waits until the command is carried out"]
pub enum Command<'s> {
    /// Connect the transport, then call `opened`, or `closed(Closed::DialFailed)`.
    Open {
        /// Counts the attempts since the last healthy connection, from 1.
        attempt: u32,
        /// Which of the driver's servers to connect to, from 0; where `Session::redirect` names another
        /// (only with `Config::redirects`), that one, by the rules of this one.
        server: u8,
    },
    /// Drop the transport (or give up dialling), forget input that was not consumed, then call
    /// `closed(Closed::Carried)`.
    Close,
    /// Store this record under this key, in place of what was there, then call `stored`, or `not_stored`.
    /// Many may be under way, and answered in any order; but what a crash leaves of the commands must be
    /// the effect of the first so many of them, as in a log.
    Put {
        /// Names the record.
        key: Key,
        /// What to store.
        record: Record<'s>,
    },
    /// Delete the record of this key, then call `stored`, or `not_stored`.
    Delete {
        /// Names the record.
        key: Key,
    },
}

/// How a transport ended, told by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It could not be connected.
    DialFailed,
    /// The peer closed it in order (end of file).
    Ended,
    /// A read or write failed.
    Failed,
    /// `Command::Close` was carried out.
    Carried,
}

/// Something the application may want to know. It borrows the input, never the session.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'i> {
    /// An attempt to connect begins.
    Connecting {
        /// Counts the attempts since the last healthy connection, from 1.
        attempt: u32,
        /// Which of the driver's servers.
        server: u8,
    },
    /// The server accepted the connection. What it allows is in `Session::server`.
    Connected(Connected<'i>),
    /// The server goes on with an enhanced authentication (5.0), before CONNACK or in a re-authentication:
    /// reason code 0x18 asks for an answer with `Session::authenticate`, 0x00 ends a re-authentication well.
    /// `Debug` prints only the length of the authentication data.
    Auth(Auth<'i>),
    /// The server ends the connection, by CONNACK or DISCONNECT, and says more than a reason code (5.0): a
    /// Reason String, a Server Reference, User Properties. `Disconnected` follows and says what comes of it.
    ServerClosing {
        /// The reason code of the packet.
        reason_code: ReasonCode,
        /// All its properties.
        properties: Properties<'i>,
    },
    /// A connection, or an attempt at one, has ended.
    Disconnected {
        /// Why.
        why: Why,
        /// When the next attempt comes; `None`: none comes, `Stopped` follows.
        retry: Option<Duration>,
    },
    /// The server no longer had the session that was expected; operations were treated as
    /// `Config::on_session_lost` says. `Done` follows for each that ended.
    SessionLost {
        /// Publishes that go again as new ones.
        republished: u32,
        /// Operations that ended.
        ended: u32,
    },
    /// A message arrived.
    Message(Received<'i>),
    /// A message over `Config::max_packet_in` begins to arrive (`Oversize::Chunks`): `Chunk`s follow, with
    /// nothing of another message between them, then `End`, or `Aborted`.
    Start {
        /// The message without its payload. `ack` comes with `End`.
        message: Received<'i>,
        /// Bytes of the payload, as announced: a server may announce more than it ever sends.
        len: u32,
    },
    /// The next part of the payload. It borrows the input like every event: what is to be kept must be
    /// copied, or written, before the input is.
    Chunk(&'i [u8]),
    /// The message that began with `Start` is complete, and acknowledged from here on like any other.
    End {
        /// As in `Start`.
        packet_id: Option<PacketId>,
        /// Give it to `Session::acknowledge` (`AckMode::Manual`, QoS 1 and 2).
        ack: Option<AckToken>,
    },
    /// The connection ended in the middle of the message that began with `Start`: what came of it is to be
    /// forgotten. It was not acknowledged; at QoS 1 and 2 a server that keeps the session sends it again,
    /// and it starts again from its first byte.
    Aborted,
    /// An inbound message over `Config::max_packet_in` was let pass (`Oversize::Skip`).
    Skipped {
        /// Bytes of its packet.
        len: u32,
    },
    /// An accepted operation has ended; it is the only end it has.
    Done {
        /// As given when it was accepted.
        token: Token,
        /// The caller's mark of the message; 0 for subscriptions.
        tag: u64,
        /// How it ended.
        outcome: Outcome<'i>,
        /// What the server's answer carried, Reason String and User Properties in their order (5.0); empty where
        /// no answer ended it.
        properties: Properties<'i>,
    },
    /// The payload of a message that was published with `Session::publish_chunked` is wanted:
    /// `Session::provide` gives it, in pieces of any size. From 0 again whenever the message is sent again.
    PayloadWanted {
        /// As given when it was accepted.
        token: Token,
        /// The place of the next byte.
        offset: u32,
    },
    /// A subscription was made again on a new session (`Config::resubscribe`).
    Resubscribed {
        /// The token `subscribe` gave.
        token: Token,
        /// The server's answer for each filter that was still subscribed, in order.
        codes: ReasonCodes<'i>,
        /// What else the answer carried, as in `Done`.
        properties: Properties<'i>,
    },
    /// A subscription could not be made again on a new session: the server's limits rule it out.
    SubscriptionLost {
        /// The token `subscribe` gave.
        token: Token,
        /// What the server does not support.
        code: ReasonCode,
    },
    /// The connection was lost several times in a row with this operation the first one not
    /// acknowledged, and without any other progress: it may be what the server cannot bear
    /// (`Config::suspect`).
    Suspect {
        /// As given when it was accepted.
        token: Token,
    },
    /// A publish is in the journal: it outlives a crash from now on (`Config::durability`).
    Durable {
        /// As given when it was accepted.
        token: Token,
    },
    /// There is room again for the operation that was refused for want of it.
    Unblocked,
    /// The server did something odd but harmless; the connection stays up.
    Anomaly(Anomaly),
    /// The session is idle; `start` may be called again.
    Stopped {
        /// Operations that were not finished. After `stop` they ended as `Outcome::Stopped`; when the
        /// server's refusal or the attempts limit ended the run, or when they are recorded
        /// (`Config::durability`), they stay queued for the next `start`.
        left: u32,
    },
}

/// The facts of a new connection.
#[derive(Clone, Copy, Debug)]
pub struct Connected<'i> {
    /// Session Present as the server said it (3.1 cannot say it: false).
    pub session_present: bool,
    /// Whether exchanges of the previous connection go on.
    pub resumed: bool,
    /// The version spoken.
    pub version: Version,
    /// Which of the driver's servers.
    pub server: u8,
    /// The client identifier the server assigned on this connection, where the options gave none (5.0). Later
    /// attempts of the run use it by themselves, so that they resume its session, if it has at most 64 bytes;
    /// `Session::assigned_client_id` tells it at any time. A journal keeps it for later runs too
    /// (`Config::durability`); without one, give it in the options of the run that is to resume.
    pub assigned_client_id: Option<&'i str>,
    /// The whole CONNACK.
    pub connack: Connack<'i>,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Outcome<'i> {
    /// PUBLISH at QoS 1 or 2: the server has it. In 5.0 the code may say that nobody subscribes.
    Acked(ReasonCode),
    /// SUBSCRIBE or UNSUBSCRIBE: the server's answer for each filter, in order (none in the UNSUBACK of
    /// 3.x).
    Granted(ReasonCodes<'i>),
    /// The server refused it, or its limits, told after the operation was accepted, rule it out.
    Refused(ReasonCode),
    /// PUBLISH at QoS 0: the transport took its last byte (only with `Config::qos0_receipts`).
    Sent,
    /// `cancel` took it back before a byte was sent.
    Cancelled,
    /// Its time to live ran out before a byte was sent.
    Expired,
    /// Dropped by the chosen policy.
    Dropped,
    /// The server lost the session, or the connection was cut in the middle of a QoS 0 message.
    Lost,
    /// The server lost the session after PUBREC: whether subscribers got the message cannot be known.
    Unknown,
    /// The server broke the exchange (PUBACK for a QoS 2 message); it is not sent again.
    Violated,
    /// It made the server close the connection again and again, and the policy ended it
    /// (`Config::suspect`); or the source of its payload fell silent (`Config::source_timeout`).
    Abandoned,
    /// SUBSCRIBE or UNSUBSCRIBE: no answer came within `Config::request_timeout`. The server may still act on
    /// it; an answer that comes later is taken without an event, and counts for what is subscribed.
    TimedOut,
    /// `stop` ended it.
    Stopped,
    /// The journal could not take it; nothing of it was sent (`Config::when_not_stored`).
    NotStored,
}

/// A message that arrived.
#[derive(Clone, Copy, Debug)]
pub struct Received<'i> {
    /// Where to; `Session::topic` turns it into text.
    pub topic: Topic<'i>,
    /// What.
    pub payload: &'i [u8],
    /// How surely it was sent.
    pub qos: Qos,
    /// Whether it is a retained message, or was published as one (5.0, by subscription option).
    pub retain: bool,
    /// The server says it may have sent it before.
    pub dup: bool,
    /// PUBLISH properties (5.0).
    pub properties: Properties<'i>,
    /// The identifier of the exchange at QoS 1 and 2; with it an application can commit a message
    /// exactly once across restarts.
    pub packet_id: Option<PacketId>,
    /// Give it to `Session::acknowledge` (`AckMode::Manual`, QoS 1 and 2).
    pub ack: Option<AckToken>,
    /// QoS 2: an earlier run of the program may have handed this message over before. Only true where the
    /// session on the server began in an earlier run.
    pub redelivered: bool,
}

/// The topic of a message that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Topic<'i> {
    /// Its name.
    Name(&'i str),
    /// A number that stands for a name the server gave earlier on this connection
    /// (`Config::topic_alias_maximum`); the session knows it.
    Alias(TopicAlias),
}

/// Why a connection, or an attempt at one, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// The transport could not be connected.
    DialFailed,
    /// The transport was not connected within `Config::dial_timeout`.
    DialTimeout,
    /// No CONNACK within `Config::connack_timeout`.
    HandshakeTimeout,
    /// The server refused CONNECT.
    Refused(ReasonCode),
    /// The server does not speak the version, said by a 3.1.1-style CONNACK to a 5.0 CONNECT.
    VersionRefused,
    /// The server closed the connection.
    PeerClosed,
    /// Reading or writing failed.
    TransportFailed,
    /// Nothing arrived within `Config::ping_timeout` after a PINGREQ fell due.
    PingTimeout,
    /// A packet stayed half received for `Config::partial_timeout`.
    PartialTimeout,
    /// No acknowledgement came within `Config::ack_timeout`.
    AckTimeout,
    /// The source of a payload gave nothing for `Config::source_timeout` in the middle of a message.
    SourceTimeout,
    /// A re-authentication did not end within `Config::connack_timeout`.
    AuthTimeout,
    /// The server sent DISCONNECT (5.0).
    ServerDisconnected(ReasonCode),
    /// The server sent something that is not MQTT.
    Malformed(DecodeError),
    /// The server broke a rule of the protocol: the code it was told, and the rule.
    Protocol(ReasonCode, &'static str),
    /// On 3.x, where a server cannot be told how many messages it may send before they are acknowledged, it
    /// sent more than `Config::receive_maximum`. It would again, so no attempt follows.
    Flooded {
        /// How many are taken.
        limit: u16,
    },
    /// The topics the server gave aliases to need more than `Config::topic_alias_bytes`. The next connections of
    /// the run allow no aliases.
    AliasesTooLong,
    /// CONNECT with the options given for this attempt does not fit the wire buffer, or is not valid.
    ConnectInvalid,
    /// `stop` ended it.
    Stopped,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DialFailed => f.write_str("the server could not be reached"),
            Self::DialTimeout => f.write_str("the server did not answer the connection attempt in time"),
            Self::HandshakeTimeout => f.write_str("the server did not answer CONNECT in time"),
            Self::Refused(code) => write!(f, "the server refused the connection: {code}"),
            Self::VersionRefused => f.write_str("the server does not speak this protocol version"),
            Self::PeerClosed => f.write_str("the server closed the connection"),
            Self::TransportFailed => f.write_str("the connection broke"),
            Self::PingTimeout => f.write_str("the server did not answer a ping in time"),
            Self::PartialTimeout => f.write_str("the server stopped in the middle of a packet"),
            Self::AckTimeout => f.write_str("the server did not acknowledge a message in time"),
            Self::SourceTimeout => f.write_str("the source of a payload did not go on in time"),
            Self::AuthTimeout => f.write_str("the re-authentication did not end in time"),
            Self::ServerDisconnected(code) => write!(f, "the server disconnected: {code}"),
            Self::Malformed(error) => write!(f, "the server sent a bad packet: {error}"),
            Self::Protocol(code, rule) => write!(f, "the server broke the protocol: {code} [{rule}]"),
            Self::Flooded { limit } => write!(
                f,
                "the server sent more than {limit} messages without waiting for acknowledgements: lower its \
                 window (max_inflight_messages, in some), or raise receive_maximum"
            ),
            Self::AliasesTooLong => f.write_str("the topics of the server's aliases need too much memory"),
            Self::ConnectInvalid => f.write_str("the connect options do not fit a CONNECT packet"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

/// Something odd but harmless, mostly something that the server did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Anomaly {
    /// PUBACK, PUBREC, PUBREL or PUBCOMP for an exchange that is not open, or not in that phase. PUBREC
    /// and PUBREL were answered as the standard says.
    UnexpectedAck(PacketId),
    /// The server assigned a client identifier although the client gave one. The client's own stays in use.
    UnaskedClientId,
    /// The client identifier sent to a 3.1 server has more than 23 characters, which a server may refuse.
    LongClientId,
}
