//! What the application asks for: a connection, a message, an end.

use core::fmt;
use core::num::NonZeroU64;
use core::time::Duration;

use mqtt_proto::{Properties, Qos, ReasonCode, TopicName, Version, Will};

/// How to connect. Given to `start`, and again to `opened` for every attempt, so that credentials may
/// change between attempts; the session keeps none of it.
#[derive(Clone, Copy)]
pub struct ConnectOptions<'a> {
    /// The protocol version to ask for. Default 5.0.
    pub version: Version,
    /// Names the session on the server. Where it is empty, a 5.0 server assigns one, which the session uses for the
    /// rest of the run; in 3.1.1 the session is a clean one each time ([MQTT-3.1.3-7]); in 3.1 the session makes
    /// one of 20 characters from `Config::seed`. More than 23 characters are too many for some 3.1 servers
    /// (`Anomaly::LongClientId`).
    pub client_id: &'a str,
    /// Whether the first connection begins a new session. Default true. In 5.0 later connections of the
    /// same run resume; in 3.x this is Clean Session and holds for each connection.
    pub clean_start: bool,
    /// What of an earlier session the application holds. Only asked when `clean_start` is false.
    pub local_state: LocalState,
    /// Keep Alive in seconds; 0 turns it off. Default 60. The server may overrule it.
    pub keep_alive: u16,
    /// Session Expiry Interval in seconds, 5.0 only: how long the server keeps the session after a
    /// disconnect. Default 0.
    pub session_expiry: u32,
    /// User name.
    pub username: Option<&'a str>,
    /// Password; in 3.x only together with a user name.
    pub password: Option<&'a [u8]>,
    /// The message the server publishes when this client vanishes.
    pub will: Option<Will<'a>>,
    /// Further CONNECT properties (5.0), such as user properties. Session Expiry Interval, Receive
    /// Maximum, Maximum Packet Size and Topic Alias Maximum are set by the session and refused here.
    pub properties: Properties<'a>,
}

impl<'a> ConnectOptions<'a> {
    /// A new 5.0 session for `client_id`, 60 s keep-alive, no credentials, no will.
    #[must_use]
    pub const fn new(client_id: &'a str) -> Self {
        Self {
            version: Version::V5,
            client_id,
            clean_start: true,
            local_state: LocalState::None,
            keep_alive: 60,
            session_expiry: 0,
            username: None,
            password: None,
            will: None,
            properties: Properties::EMPTY,
        }
    }
}

impl fmt::Debug for ConnectOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("version", &self.version)
            .field("client_id", &self.client_id)
            .field("clean_start", &self.clean_start)
            .field("local_state", &self.local_state)
            .field("keep_alive", &self.keep_alive)
            .field("session_expiry", &self.session_expiry)
            .field("username", &self.username)
            .field("password", &self.password.map(|_| "***"))
            .field("will", &self.will)
            .finish_non_exhaustive()
    }
}

/// What the application still holds of a session of an earlier run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum LocalState {
    /// Nothing. A server that says it resumed a session is then disconnected, as the standard demands
    /// ([MQTT-3.2.2-4]). The default.
    #[default]
    None,
    /// The application knows of the earlier session and wants what the server kept of it.
    ///
    /// The server may hold QoS 2 messages of the earlier run under packet identifiers this run knows nothing of, and
    /// would take a new message for an old one ([MQTT-4.3.3-10]). So before a QoS 2 message takes an identifier, PUBREL is
    /// sent for it, 32 identifiers at a time, and PUBCOMP awaited; a resumed session whose records were all stored
    /// (`Durability::BeforeSend`) needs none of that. Programs that publish at QoS 0 and 1 alone see nothing of it.
    Held,
}

/// A message to publish; its payload is given beside it, so that it can come back when refused.
///
/// ```
/// use mqtt_session::Message;
/// use mqtt_session::proto::{Qos, TopicName};
///
/// # fn main() -> Result<(), mqtt_session::proto::TopicError> {
/// let message = Message::new(TopicName::new("lamp/state")?).qos(Qos::AtLeastOnce).retain(true);
/// assert_eq!(message.qos, Qos::AtLeastOnce);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Message<'a> {
    /// Where to.
    pub topic: TopicName<'a>,
    /// How surely. Default at most once.
    pub qos: Qos,
    /// Whether the server keeps it for later subscribers. Default false.
    pub retain: bool,
    /// PUBLISH properties; they are left out where the connection's version has none.
    pub properties: Properties<'a>,
    /// Drop the message if no byte of it was sent within this time; counts from the next time the
    /// session is told. In 5.0 a Message Expiry Interval among the properties does the same and is
    /// also told to the server, less the time spent waiting here ([MQTT-3.3.2-6] asks this of
    /// servers); on 3.x it acts as a time to live. Default: never.
    pub ttl: Option<Duration>,
    /// Latest value: a message with a key takes the place of every one with the same key that still
    /// waits whole, which ends as `Outcome::Dropped`. Looked for among all that wait: O(queue). Default:
    /// none.
    pub key: Option<NonZeroU64>,
    /// The caller's own mark, given back in `Event::Done`. Default 0.
    pub tag: u64,
}

impl<'a> Message<'a> {
    /// A QoS 0 message to `topic`.
    #[must_use]
    pub const fn new(topic: TopicName<'a>) -> Self {
        Self {
            topic,
            qos: Qos::AtMostOnce,
            retain: false,
            properties: Properties::EMPTY,
            ttl: None,
            key: None,
            tag: 0,
        }
    }

    /// Sets the quality of service.
    #[must_use]
    pub const fn qos(mut self, qos: Qos) -> Self {
        self.qos = qos;
        self
    }

    /// Sets whether the server retains the message.
    #[must_use]
    pub const fn retain(mut self, retain: bool) -> Self {
        self.retain = retain;
        self
    }

    /// Sets the properties.
    #[must_use]
    pub const fn properties(mut self, properties: Properties<'a>) -> Self {
        self.properties = properties;
        self
    }

    /// Sets the time within which the message must begin to be sent.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets the key whose latest value this message is.
    #[must_use]
    pub const fn key(mut self, key: NonZeroU64) -> Self {
        self.key = Some(key);
        self
    }

    /// Sets the mark that comes back in `Event::Done`.
    #[must_use]
    pub const fn tag(mut self, tag: u64) -> Self {
        self.tag = tag;
        self
    }
}

/// How to end: after what was accepted has been delivered, or at once.
#[derive(Clone, Copy, Debug)]
pub struct Stop<'a> {
    pub(crate) drain: Duration,
    pub(crate) reason_code: ReasonCode,
    pub(crate) properties: Properties<'a>,
}

impl<'a> Stop<'a> {
    /// Refuse new work, deliver what was accepted for at most `deadline`, then DISCONNECT. What is
    /// left then ends as `Outcome::Stopped`.
    #[must_use]
    pub const fn drain(deadline: Duration) -> Self {
        Self { drain: deadline, reason_code: ReasonCode::Success, properties: Properties::EMPTY }
    }

    /// DISCONNECT at once; what was accepted and is not finished ends as `Outcome::Stopped`.
    #[must_use]
    pub const fn now() -> Self {
        Self::drain(Duration::ZERO)
    }

    /// Ask the server to publish the will all the same (5.0; in 3.x the connection is closed without
    /// DISCONNECT, which has that effect).
    #[must_use]
    pub const fn with_will(mut self) -> Self {
        self.reason_code = ReasonCode::DisconnectWithWill;
        self
    }

    /// Say why, instead of Normal disconnection (5.0; a code other than 0x00 makes the server publish the
    /// will, so in 3.x the connection is then closed without DISCONNECT). 0x04 is [`with_will`](Self::with_will);
    /// of the codes from 0x80 a client may send 0x80 to 0x83, 0x8C, 0x90, 0x93 to 0x99.
    #[must_use]
    pub const fn reason(mut self, code: ReasonCode) -> Self {
        self.reason_code = code;
        self
    }

    /// DISCONNECT properties (5.0), such as a new Session Expiry Interval; 3.x leaves them out. They are kept
    /// among the operations until they are sent. Where the server takes no packet that long, Reason String and
    /// User Properties are left out.
    #[must_use]
    pub const fn properties(mut self, properties: Properties<'a>) -> Self {
        self.properties = properties;
        self
    }
}
