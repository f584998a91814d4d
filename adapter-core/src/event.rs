//! What the engine tells, with storage of its own.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use bytes::Bytes;
use mqtt_session::proto::{Properties, Property, ReasonCode, Version};
use mqtt_session::request::Request;
use mqtt_session::{self as session, AckToken, Anomaly, Key, RestoreError, Token, Why};

use crate::journal::JournalError;
use crate::message::Message;
use crate::properties::OwnedProperties;
use crate::responses::ResponseError;
use crate::transport::LinkFacts;
use crate::url::ServerUrl;

/// Something the application may want to know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// An attempt to connect begins.
    Connecting {
        /// Counts the attempts since the last healthy connection, from 1.
        attempt: u32,
        /// Where to.
        server: ServerUrl,
    },
    /// The server accepted the connection.
    Connected(Connected),
    /// The server goes on with an enhanced authentication (5.0): reason code 0x18 asks for an answer with the handle's
    /// `authenticate`, 0x00 ends a re-authentication well.
    Auth {
        /// The reason code.
        reason_code: ReasonCode,
        /// The properties; `Debug` prints only the length of the authentication data.
        properties: OwnedProperties,
    },
    /// The server ends the connection and says more than a reason code (5.0): a Reason String, a Server Reference,
    /// User Properties. `Disconnected` follows and says what comes of it.
    ServerClosing {
        /// The reason code of its CONNACK or DISCONNECT.
        reason_code: ReasonCode,
        /// All its properties.
        properties: OwnedProperties,
    },
    /// A connection, or an attempt at one, has ended.
    Disconnected(Disconnected),
    /// The server no longer had the session that was expected; operations were treated as
    /// [`Config::on_session_lost`](mqtt_session::Config::on_session_lost) says.
    SessionLost {
        /// Publishes that go again as new ones.
        republished: u32,
        /// Operations that ended.
        ended: u32,
    },
    /// A message arrived.
    Message(Message),
    /// A message over [`Config::max_packet_in`](mqtt_session::Config::max_packet_in) begins to arrive
    /// ([`Oversize::Chunks`](mqtt_session::Oversize)): its chunks follow, then `End`, or `Aborted`.
    Start {
        /// The message, with an empty payload.
        message: Message,
        /// Bytes of the payload, as announced.
        len: u32,
    },
    /// The next part of the payload.
    Chunk(Bytes),
    /// The message that began with `Start` is complete.
    End {
        /// What to acknowledge it with; only at QoS 1 and 2 and with
        /// [`AckMode::Manual`](mqtt_session::AckMode::Manual).
        ack: Option<AckToken>,
    },
    /// The connection ended in the middle of the message that began with `Start`: what came of it is to be
    /// forgotten.
    Aborted,
    /// An inbound message over [`Config::max_packet_in`](mqtt_session::Config::max_packet_in) was let pass.
    Skipped {
        /// Bytes of its packet.
        len: u32,
    },
    /// An accepted operation has ended; it is the only end it has. A QoS 0 message has one only with
    /// [`Config::qos0_receipts`](mqtt_session::Config::qos0_receipts).
    Done {
        /// As given when it was accepted.
        token: Token,
        /// The caller's mark of the message; 0 for subscriptions.
        tag: u64,
        /// How it ended.
        outcome: Outcome,
        /// What the server's answer carried, Reason String and User Properties in their order (5.0); empty where
        /// no answer ended it.
        properties: OwnedProperties,
    },
    /// A subscription was made again on a new session
    /// ([`Config::resubscribe`](mqtt_session::Config::resubscribe)).
    Resubscribed {
        /// The token of the subscription.
        token: Token,
        /// The server's answer for each filter that was still subscribed, in order.
        codes: Vec<ReasonCode>,
        /// What else the answer carried, as in `Done`.
        properties: OwnedProperties,
    },
    /// A subscription could not be made again on a new session: the server does not support it.
    SubscriptionLost {
        /// The token of the subscription.
        token: Token,
        /// What the server does not support.
        code: ReasonCode,
    },
    /// The connection was lost several times in a row with this operation the first one not acknowledged: it may be
    /// what the server cannot bear ([`Config::suspect`](mqtt_session::Config::suspect)).
    Suspect {
        /// As given when it was accepted.
        token: Token,
    },
    /// The payload of a message that was published in pieces is wanted, from this place on.
    PayloadWanted {
        /// As given when it was accepted.
        token: Token,
        /// The place of the next byte.
        offset: u32,
    },
    /// A publish is in the journal: it outlives a crash from now on.
    Durable {
        /// As given when it was accepted.
        token: Token,
    },
    /// A record of the journal was not what it should be: it was set aside, and what it was of is lost. Told before
    /// anything else.
    RecordSetAside {
        /// The record's name in the journal.
        key: Key,
        /// What was wrong with it.
        error: RestoreError,
    },
    /// The journal cannot be written: a disk is full, say. Told once, until the error is another one. What becomes of
    /// what is published meanwhile, [`Config::when_not_stored`](mqtt_session::Config::when_not_stored) says.
    JournalFailed(JournalError),
    /// The journal can be written again.
    JournalRecovered,
    /// The log of the engine's calls ([`Options::with_recording`](crate::Options::with_recording)) cannot be written, and has
    /// come to its end.
    RecordingFailed {
        /// The kind of error.
        kind: io::ErrorKind,
        /// What the operating system said.
        detail: String,
    },
    /// The response to a request.
    Response {
        /// As given when it was accepted.
        request: Request,
        /// The response.
        message: Message,
    },
    /// A request ends without a response.
    NoResponse {
        /// As given when it was accepted.
        request: Request,
        /// Why.
        error: ResponseError,
    },
    /// No requests can be made on this connection: the server speaks an older version, assigned no response topic, or
    /// refused its subscription.
    NoResponses {
        /// What is wrong.
        detail: String,
    },
    /// There is room again for an operation that was refused because the queue was full.
    Unblocked,
    /// The server did something odd but harmless; the connection stays up.
    Anomaly(Anomaly),
    /// The end: nothing more comes.
    Stopped {
        /// Operations that were accepted and are not finished.
        left: u32,
    },
}

impl Event {
    /// Bytes of a message, or a part of one, that it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Message(message) | Self::Start { message, .. } | Self::Response { message, .. } => {
                message.size()
            }
            Self::Chunk(part) => part.len(),
            _ => 0,
        }
    }

    /// An owned form of what the engine tells; `None` for what this crate does not know. A message's
    /// topic is resolved by `topic`.
    pub(crate) fn copy<'e>(
        event: &session::Event<'e>,
        server_at: impl Fn(u8) -> ServerUrl,
        cause: &mut Option<Cause>,
        topic: impl FnOnce(&session::Received<'e>) -> Message,
    ) -> Option<Self> {
        Some(match event {
            session::Event::Connecting { attempt, server } => {
                *cause = None;
                Self::Connecting { attempt: *attempt, server: server_at(*server) }
            }
            session::Event::Connected(connected) => {
                let properties = OwnedProperties::copy(connected.connack.properties).unwrap_or_default();
                Self::Connected(Connected {
                    session_present: connected.session_present,
                    resumed: connected.resumed,
                    version: connected.version,
                    server: server_at(connected.server),
                    client_id: properties.as_properties().iter().find_map(|property| match property {
                        Property::AssignedClientIdentifier(id) => Some(id.to_owned()),
                        _ => None,
                    }),
                    // Who drives the link knows these.
                    link: LinkFacts::default(),
                    took: Duration::ZERO,
                    properties,
                })
            }
            session::Event::Auth(auth) => Self::Auth {
                reason_code: auth.reason_code,
                properties: OwnedProperties::copy(auth.properties).unwrap_or_default(),
            },
            session::Event::ServerClosing { reason_code, properties } => Self::ServerClosing {
                reason_code: *reason_code,
                properties: OwnedProperties::copy(*properties).unwrap_or_default(),
            },
            session::Event::Disconnected { why, retry } => {
                Self::Disconnected(Disconnected { why: *why, retry: *retry, cause: cause.take() })
            }
            session::Event::SessionLost { republished, ended } => {
                Self::SessionLost { republished: *republished, ended: *ended }
            }
            session::Event::Message(received) => Self::Message(topic(received)),
            session::Event::Start { message, len } => Self::Start { message: topic(message), len: *len },
            session::Event::Chunk(part) => Self::Chunk(Bytes::copy_from_slice(part)),
            session::Event::End { ack, .. } => Self::End { ack: *ack },
            session::Event::Aborted => Self::Aborted,
            session::Event::Skipped { len } => Self::Skipped { len: *len },
            session::Event::Done { token, tag, outcome, properties } => Self::Done {
                token: *token,
                tag: *tag,
                outcome: Outcome::copy(outcome),
                properties: OwnedProperties::copy(*properties).unwrap_or_default(),
            },
            session::Event::Resubscribed { token, codes, properties } => Self::Resubscribed {
                token: *token,
                codes: codes.iter().collect(),
                properties: OwnedProperties::copy(*properties).unwrap_or_default(),
            },
            session::Event::SubscriptionLost { token, code } => {
                Self::SubscriptionLost { token: *token, code: *code }
            }
            session::Event::Suspect { token } => Self::Suspect { token: *token },
            session::Event::PayloadWanted { token, offset } => {
                Self::PayloadWanted { token: *token, offset: *offset }
            }
            session::Event::Durable { token } => Self::Durable { token: *token },
            session::Event::Unblocked => Self::Unblocked,
            session::Event::Anomaly(anomaly) => Self::Anomaly(*anomaly),
            session::Event::Stopped { left } => Self::Stopped { left: *left },
            _ => return None,
        })
    }
}

/// The facts of a new connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connected {
    /// Session Present as the server said it (3.1 cannot say it: false).
    pub session_present: bool,
    /// Whether exchanges of the previous connection go on.
    pub resumed: bool,
    /// The version spoken.
    pub version: Version,
    /// The server.
    pub server: ServerUrl,
    /// The client identifier the server assigned, if the client left it to the server (5.0).
    pub client_id: Option<String>,
    /// What carries it: addresses, TLS.
    pub link: LinkFacts,
    /// How long the attempt took: the hook before it, names, sockets, proxy, TLS, WebSocket, and the server's answer to
    /// CONNECT.
    pub took: Duration,
    properties: OwnedProperties,
}

impl Connected {
    /// The properties of CONNACK (5.0).
    #[must_use]
    pub fn properties(&self) -> Properties<'_> {
        self.properties.as_properties()
    }
}

/// How a connection, or an attempt at one, ended. `Display` is one clear sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Disconnected {
    /// Why, as the protocol sees it.
    pub why: Why,
    /// In what time the next attempt comes; `None`: none comes.
    pub retry: Option<Duration>,
    /// What the operating system said, where it was the reason.
    pub cause: Option<Cause>,
}

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)?;
        if let Some(cause) = &self.cause {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl core::error::Error for Disconnected {}

/// What the operating system said about a failed connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The host name has no address.
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        detail: String,
    },
    /// An address could not be connected; of several, the last one tried.
    Dial {
        /// The address.
        address: SocketAddr,
        /// The kind of error.
        kind: io::ErrorKind,
        /// What the operating system said.
        detail: String,
    },
    /// A Unix socket could not be connected.
    DialPath {
        /// Its path.
        path: String,
        /// The kind of error.
        kind: io::ErrorKind,
        /// What the operating system said.
        detail: String,
    },
    /// The peer at this address gave no acceptable answer to a TLS handshake: a wrong certificate, say, or no TLS at
    /// all.
    Tls {
        /// The address.
        address: SocketAddr,
        /// What was wrong.
        detail: String,
    },
    /// The peer at this address did not open a WebSocket.
    WebSocket {
        /// The address.
        address: SocketAddr,
        /// What was wrong.
        detail: String,
    },
    /// A server that was redirected to (5.0) cannot be dialled by what the reference says.
    Redirect {
        /// The Server Reference.
        reference: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The application's hook before the attempt refused it
    /// ([`Options::with_before_connect`](crate::Options::with_before_connect)), or its authenticator the server.
    Hook {
        /// What it said.
        detail: String,
    },
    /// The proxy ([`Options::with_proxy`](crate::Options::with_proxy)) did not connect to the server.
    #[cfg(feature = "proxy")]
    Proxy {
        /// Its address, without the password.
        proxy: String,
        /// What it did not do.
        failure: crate::proxy::ProxyFailure,
        /// What it, or the operating system, said.
        detail: String,
    },
    /// The application's connector ([`Options::with_connector`](crate::Options::with_connector)) gave no stream, or what
    /// was to be agreed on over it, TLS or WebSocket, was not.
    Connector {
        /// Where to, without the password.
        server: String,
        /// The kind of error.
        kind: io::ErrorKind,
        /// What was wrong.
        detail: String,
    },
    /// Reading or writing failed.
    Transport {
        /// The kind of error.
        kind: io::ErrorKind,
        /// What the operating system said.
        detail: String,
    },
}

impl Cause {
    /// A name that could not be resolved.
    pub fn resolve(host: &str, detail: impl fmt::Display) -> Self {
        Self::Resolve { host: host.to_owned(), detail: detail.to_string() }
    }

    /// An address that could not be connected.
    #[must_use]
    pub fn dial(address: SocketAddr, error: &io::Error) -> Self {
        Self::Dial { address, kind: error.kind(), detail: error.to_string() }
    }

    /// A Unix socket that could not be connected.
    #[must_use]
    pub fn dial_path(path: &str, error: &io::Error) -> Self {
        Self::DialPath { path: path.to_owned(), kind: error.kind(), detail: error.to_string() }
    }

    /// A Server Reference that cannot be used.
    pub fn redirect(reference: &str, detail: impl fmt::Display) -> Self {
        Self::Redirect { reference: reference.to_owned(), detail: detail.to_string() }
    }

    /// A connector that gave no stream, or a stream that cannot be used.
    #[must_use]
    pub fn connector(server: &ServerUrl, error: &io::Error) -> Self {
        Self::Connector { server: server.to_string(), kind: error.kind(), detail: error.to_string() }
    }

    /// The hook before an attempt, or the connector, panicked: the attempt has failed, and no more than that.
    #[must_use]
    pub fn panicked() -> Self {
        Self::Hook { detail: "a function of the application panicked".to_owned() }
    }

    /// A read or write that failed.
    #[must_use]
    pub fn transport(error: &io::Error) -> Self {
        Self::Transport { kind: error.kind(), detail: error.to_string() }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { host, detail } => write!(f, "no address for {host}: {detail}"),
            Self::Dial { address, detail, .. } => write!(f, "{address}: {detail}"),
            Self::DialPath { path, detail, .. } => write!(f, "{path}: {detail}"),
            Self::WebSocket { address, detail } => write!(f, "{address}: WebSocket: {detail}"),
            Self::Tls { address, detail } => write!(f, "{address}: TLS: {detail}"),
            Self::Redirect { reference, detail } => write!(f, "sent to {reference}: {detail}"),
            Self::Hook { detail } => f.write_str(detail),
            #[cfg(feature = "proxy")]
            Self::Proxy { proxy, detail, .. } => write!(f, "proxy {proxy}: {detail}"),
            Self::Connector { server, detail, .. } => write!(f, "{server}: {detail}"),
            Self::Transport { detail, .. } => f.write_str(detail),
        }
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "an operation may have failed"]
pub enum Outcome {
    /// QoS 0 without receipts: the message was accepted; nobody learns what became of it.
    Accepted,
    /// QoS 0 with [`Config::qos0_receipts`](mqtt_session::Config::qos0_receipts): the transport took its last byte.
    Sent,
    /// QoS 1 or 2: the server has it. In 5.0 the code may say that nobody subscribes.
    Acked(ReasonCode),
    /// SUBSCRIBE or UNSUBSCRIBE: the server's answer for each filter, in order (none in the UNSUBACK of 3.x).
    Granted(Vec<ReasonCode>),
    /// The server refused it, or its limits, told after the operation was accepted, rule it out.
    Refused(ReasonCode),
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
    /// SUBSCRIBE or UNSUBSCRIBE: no answer came within
    /// [`Config::request_timeout`](mqtt_session::Config::request_timeout).
    TimedOut,
    /// The server broke the exchange; the message is not sent again.
    Violated,
    /// It made the server close the connection again and again, and the policy ended it
    /// ([`Config::suspect`](mqtt_session::Config::suspect)).
    Abandoned,
    /// The client was stopped first.
    Stopped,
    /// The journal could not take it; nothing of it was sent.
    NotStored,
}

impl Outcome {
    /// Whether the operation did what it was for.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Accepted | Self::Sent | Self::Acked(_) | Self::Granted(_))
    }

    /// The outcome, if the operation did what it was for.
    ///
    /// # Errors
    /// [`Failed`] holds the outcome otherwise.
    pub fn into_result(self) -> Result<Self, Failed> {
        if self.is_success() { Ok(self) } else { Err(Failed(self)) }
    }

    pub(crate) fn copy(outcome: &session::Outcome<'_>) -> Self {
        match outcome {
            session::Outcome::Acked(code) => Self::Acked(*code),
            session::Outcome::Granted(codes) => Self::Granted(codes.iter().collect()),
            session::Outcome::Refused(code) => Self::Refused(*code),
            session::Outcome::Sent => Self::Sent,
            session::Outcome::Cancelled => Self::Cancelled,
            session::Outcome::Expired => Self::Expired,
            session::Outcome::Abandoned => Self::Abandoned,
            session::Outcome::Dropped => Self::Dropped,
            session::Outcome::Lost => Self::Lost,
            session::Outcome::Violated => Self::Violated,
            session::Outcome::TimedOut => Self::TimedOut,
            session::Outcome::Stopped => Self::Stopped,
            session::Outcome::NotStored => Self::NotStored,
            // `Unknown`, and whatever the engine may add: nothing can be said about such an end.
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted => f.write_str("accepted"),
            Self::Sent => f.write_str("sent"),
            Self::Acked(code) => write!(f, "acknowledged: {code}"),
            Self::Granted(codes) => {
                f.write_str("granted:")?;
                codes.iter().try_for_each(|code| write!(f, " {code}"))
            }
            Self::Refused(code) => write!(f, "the server refused it: {code}"),
            Self::Cancelled => f.write_str("it was cancelled before it was sent"),
            Self::Expired => f.write_str("its time to live ran out before it was sent"),
            Self::Dropped => f.write_str("it was dropped"),
            Self::Abandoned => f.write_str("the server closed the connection on it again and again"),
            Self::Lost => f.write_str("it was lost with the connection or the server's session"),
            Self::Unknown => f.write_str("the server lost the session; whether it was delivered is unknown"),
            Self::TimedOut => f.write_str("the server did not answer in time"),
            Self::Violated => f.write_str("the server broke the exchange"),
            Self::Stopped => f.write_str("the client was stopped before it was finished"),
            Self::NotStored => f.write_str("the journal could not take it"),
        }
    }
}

/// An operation that did not do what it was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed(
    /// How it ended.
    pub Outcome,
);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl core::error::Error for Failed {}
