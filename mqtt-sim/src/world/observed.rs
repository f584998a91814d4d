//! Events of a session, owned, so that a test can keep and compare them.

use core::hash::{Hash, Hasher};
use core::time::Duration;

use mqtt_proto::{Property, Qos, ReasonCode, Version};
use mqtt_session::{AckToken, Event, Outcome, Token, Why};

/// What a session told its application; see [`mqtt_session::Event`] for the meaning of each.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Observed {
    /// A connection is being attempted.
    Connecting {
        /// The attempt since the link was last healthy.
        attempt: u32,
        /// Which of the client's brokers.
        server: u8,
    },
    /// CONNACK with Success arrived.
    Connected {
        /// Whether the server kept the session.
        session_present: bool,
        /// Whether the session goes on.
        resumed: bool,
        /// The version agreed on.
        version: Version,
    },
    /// A connection, or the attempt to get one, is over.
    Disconnected {
        /// The cause.
        why: Why,
        /// When the next attempt is due; none: there will be none.
        retry: Option<Duration>,
    },
    /// The server did not have the session any more.
    SessionLost {
        /// Messages that are sent anew.
        republished: u32,
        /// Operations that ended.
        ended: u32,
    },
    /// A message arrived.
    Message(Delivered),
    /// An operation ended.
    Done {
        /// Which.
        token: Token,
        /// The application's own mark.
        tag: u64,
        /// How.
        outcome: Ended,
    },
    /// A publish outlives a crash from now on.
    Durable {
        /// Which.
        token: Token,
    },
    /// Not from the session: the program was started again after a crash.
    Restarted {
        /// Records its journal still had. 0: what it was subscribed to is to be subscribed to again.
        restored: u64,
    },
    /// A refused publish may be tried again.
    Unblocked,
    /// The session has stopped.
    Stopped {
        /// Operations that were not finished.
        left: u32,
    },
    /// Any other event, as its debug form.
    Other(String),
}

/// A message as its receiver's application saw it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Delivered {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// The QoS it came with.
    pub qos: Qos,
    /// Whether it had been retained.
    pub retain: bool,
    /// Whether it was marked as a repetition.
    pub dup: bool,
    /// Subscription identifiers it carried.
    pub subscription_ids: Vec<u32>,
    /// Whether an earlier run of the program may have been given it.
    pub redelivered: bool,
    /// With manual acknowledgement: what to acknowledge.
    pub ack: Option<AckToken>,
}

/// How an operation ended; see [`mqtt_session::Outcome`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ended {
    /// Acknowledged by the server.
    Acked(ReasonCode),
    /// SUBACK or UNSUBACK, with its codes.
    Granted(Vec<ReasonCode>),
    /// Refused by the server.
    Refused(ReasonCode),
    /// QoS 0: handed to the transport.
    Sent,
    /// Cancelled by the application.
    Cancelled,
    /// Dropped with its session.
    Dropped,
    /// Its session is lost, and what became of it unknown.
    Lost,
    /// What became of it is unknown.
    Unknown,
    /// A limit of the server forbids it.
    Violated,
    /// The session was stopped before.
    Stopped,
    /// Any other outcome.
    Other,
}

impl Observed {
    pub(super) fn of(event: &Event<'_>, topic: &str) -> Self {
        match event {
            Event::Connecting { attempt, server } => Self::Connecting { attempt: *attempt, server: *server },
            Event::Connected(connected) => Self::Connected {
                session_present: connected.session_present,
                resumed: connected.resumed,
                version: connected.version,
            },
            Event::Disconnected { why, retry } => Self::Disconnected { why: *why, retry: *retry },
            Event::SessionLost { republished, ended } => {
                Self::SessionLost { republished: *republished, ended: *ended }
            }
            Event::Message(message) => Self::Message(Delivered {
                topic: topic.to_owned(),
                payload: message.payload.to_vec(),
                qos: message.qos,
                retain: message.retain,
                dup: message.dup,
                subscription_ids: message
                    .properties
                    .iter()
                    .filter_map(|property| match property {
                        Property::SubscriptionIdentifier(id) => Some(id),
                        _ => None,
                    })
                    .collect(),
                redelivered: message.redelivered,
                ack: message.ack,
            }),
            Event::Done { token, tag, outcome, .. } => {
                Self::Done { token: *token, tag: *tag, outcome: Ended::of(outcome) }
            }
            Event::Durable { token } => Self::Durable { token: *token },
            Event::Unblocked => Self::Unblocked,
            Event::Stopped { left } => Self::Stopped { left: *left },
            other => Self::Other(format!("{other:?}")),
        }
    }
}

impl Ended {
    fn of(outcome: &Outcome<'_>) -> Self {
        match outcome {
            Outcome::Acked(reason) => Self::Acked(*reason),
            Outcome::Granted(codes) => Self::Granted(codes.iter().collect()),
            Outcome::Refused(reason) => Self::Refused(*reason),
            Outcome::Sent => Self::Sent,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Dropped => Self::Dropped,
            Outcome::Lost => Self::Lost,
            Outcome::Unknown => Self::Unknown,
            Outcome::Violated => Self::Violated,
            Outcome::Stopped => Self::Stopped,
            _ => Self::Other,
        }
    }
}

impl Hash for Observed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        core::mem::discriminant(self).hash(state);
        match self {
            Self::Connecting { attempt, server } => (attempt, server).hash(state),
            Self::Connected { session_present, resumed, version } => {
                (session_present, resumed, version).hash(state);
            }
            // `Why` carries foreign errors; its text says all of it.
            Self::Disconnected { why, retry } => (format!("{why:?}"), retry).hash(state),
            Self::SessionLost { republished, ended } => (republished, ended).hash(state),
            Self::Message(delivered) => delivered.hash(state),
            Self::Done { token, tag, outcome } => (token, tag, outcome).hash(state),
            Self::Durable { token } => token.hash(state),
            Self::Restarted { restored } => restored.hash(state),
            Self::Unblocked => {}
            Self::Stopped { left } => left.hash(state),
            Self::Other(text) => text.hash(state),
        }
    }
}
