//! Errors of the adapters: one small enum for each kind of call.

use core::fmt;
use std::io;

use bytes::Bytes;
use mqtt_session::proto::{ReasonCode, TopicError};
use mqtt_session::{self as session, StartError, SubscribeError};

use crate::event::{Disconnected, Failed};
use crate::journal::JournalError;

/// Why a message was not accepted. An owned payload comes back in it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic is not one.
    Topic {
        /// What is wrong with it.
        error: TopicError,
        /// The payload, if it was an owned one.
        payload: Option<Bytes>,
    },
    /// The engine did not take it: the queue is full, or the message is over a limit.
    Refused {
        /// Why.
        reason: session::PublishError,
        /// The payload, if it was an owned one.
        payload: Option<Bytes>,
    },
    /// The application's hook before a publish refused it
    /// ([`Options::with_before_publish`](crate::Options::with_before_publish)).
    Vetoed {
        /// What it said.
        why: String,
        /// The payload, if it was an owned one.
        payload: Option<Bytes>,
    },
    /// There was no room in the queue within the time given.
    TimedOut {
        /// The payload, if it was an owned one.
        payload: Option<Bytes>,
    },
    /// The client was stopped, or has given up.
    Stopped {
        /// The payload, if it was an owned one.
        payload: Option<Bytes>,
    },
}

impl PublishError {
    /// Whether waiting for room in the queue helps.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(
            self,
            Self::Refused { reason: session::PublishError::QueueFull | session::PublishError::BytesFull, .. }
        )
    }

    /// The payload, if it was an owned one; a borrowed one the caller still has.
    #[must_use]
    pub fn into_payload(self) -> Option<Bytes> {
        match self {
            Self::Topic { payload, .. }
            | Self::Refused { payload, .. }
            | Self::Vetoed { payload, .. }
            | Self::TimedOut { payload }
            | Self::Stopped { payload } => payload,
        }
    }
}

impl fmt::Debug for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic { error, .. } => {
                f.debug_struct("Topic").field("error", error).finish_non_exhaustive()
            }
            Self::Refused { reason, .. } => {
                f.debug_struct("Refused").field("reason", reason).finish_non_exhaustive()
            }
            Self::Vetoed { why, .. } => f.debug_struct("Vetoed").field("why", why).finish_non_exhaustive(),
            Self::TimedOut { .. } => f.write_str("TimedOut"),
            Self::Stopped { .. } => f.write_str("Stopped"),
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic { error, .. } => write!(f, "the topic cannot be published to: {error}"),
            Self::Refused { reason, .. } => reason.fmt(f),
            Self::Vetoed { why, .. } => write!(f, "refused before it was published: {why}"),
            Self::TimedOut { .. } => {
                f.write_str("the queue had no room in time: the server takes messages too slowly")
            }
            Self::Stopped { .. } => f.write_str("the client is stopped: make a new one"),
        }
    }
}

impl core::error::Error for PublishError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Topic { error, .. } => Some(error),
            Self::Refused { reason, .. } => Some(reason),
            Self::Vetoed { .. } | Self::TimedOut { .. } | Self::Stopped { .. } => None,
        }
    }
}

/// Why a message that is read while it is sent was not delivered.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceError {
    /// It was not accepted.
    Publish(PublishError),
    /// What it is read from failed, or has fewer bytes than announced. If something of it was sent, the connection ends
    /// when [`Config::source_timeout`](mqtt_session::Config::source_timeout) is over.
    Read(io::Error),
    /// It was accepted and ended otherwise than well.
    Failed(Failed),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish(error) => error.fmt(f),
            Self::Read(error) => write!(f, "the payload cannot be read: {error}"),
            Self::Failed(failed) => failed.fmt(f),
        }
    }
}

impl core::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Publish(error) => Some(error),
            Self::Read(error) => Some(error),
            Self::Failed(failed) => Some(failed),
        }
    }
}

/// Why a subscription was not made or not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// The topic filter is not one.
    Filter(TopicError),
    /// The engine did not take it: nothing was sent.
    Rejected(SubscribeError),
    /// The server refused the filter.
    Refused(ReasonCode),
    /// It was accepted and ended otherwise than by an answer of the server.
    Failed(Failed),
    /// The client was stopped, or has given up.
    Stopped,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(error) => write!(f, "the topic filter cannot be used: {error}"),
            Self::Rejected(error) => error.fmt(f),
            Self::Refused(code) => write!(f, "the server refused the filter: {code}"),
            Self::Failed(failed) => failed.fmt(f),
            Self::Stopped => f.write_str("the client is stopped: make a new one"),
        }
    }
}

impl core::error::Error for RequestError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Filter(error) => Some(error),
            Self::Rejected(error) => Some(error),
            Self::Failed(failed) => Some(failed),
            Self::Refused(_) | Self::Stopped => None,
        }
    }
}

/// Why there is no client, or no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The options cannot be put into a CONNECT packet.
    Options(StartError),
    /// The will's topic is not one.
    Will(TopicError),
    /// TLS cannot be set up: the platform has no certificate authorities, say.
    #[cfg(feature = "tls-no-provider")]
    Tls(crate::tls::TlsError),
    /// There is something wrong with the journal.
    Journal(JournalError),
    /// The attempt failed.
    Failed(Disconnected),
    /// There was no connection within the time given.
    TimedOut {
        /// How the last attempt ended, if one did.
        last: Option<Disconnected>,
    },
    /// The client was stopped.
    Stopped,
    /// The operating system gave no thread or no means to wait for sockets.
    Io(io::Error),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(error) => error.fmt(f),
            Self::Will(error) => write!(f, "the will's topic cannot be used: {error}"),
            #[cfg(feature = "tls-no-provider")]
            Self::Tls(error) => error.fmt(f),
            Self::Journal(error) => error.fmt(f),
            Self::Failed(disconnected) => disconnected.fmt(f),
            Self::TimedOut { last: Some(last) } => write!(f, "no connection in time; last: {last}"),
            Self::TimedOut { last: None } => f.write_str("no connection in time"),
            Self::Stopped => f.write_str("the client is stopped: make a new one"),
            Self::Io(error) => write!(f, "the operating system refused what a client needs: {error}"),
        }
    }
}

impl core::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Options(error) => Some(error),
            Self::Will(error) => Some(error),
            #[cfg(feature = "tls-no-provider")]
            Self::Tls(error) => Some(error),
            Self::Journal(error) => Some(error),
            Self::Failed(disconnected) | Self::TimedOut { last: Some(disconnected) } => Some(disconnected),
            Self::Io(error) => Some(error),
            Self::TimedOut { last: None } | Self::Stopped => None,
        }
    }
}

/// Why no message was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// None is waiting now.
    Empty,
    /// None came in the time given.
    TimedOut,
    /// The client has stopped and nothing is left.
    Stopped,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no message is waiting",
            Self::TimedOut => "no message came in time",
            Self::Stopped => "the client is stopped and no message is left",
        })
    }
}

impl core::error::Error for RecvError {}
