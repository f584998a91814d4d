//! Requests and their responses (5.0).

use core::fmt;

use mqtt_session::proto::Property;
use mqtt_session::request::{self, ResponseTopic};

use crate::error::PublishError;
use crate::event::Outcome;
use crate::message::{Carried, Message, Payload, Publish};
use crate::options::Options;
use crate::properties::OwnedProperties;

/// How many requests of a client may wait for their responses.
pub(crate) const REQUESTS: usize = 256;

pub(crate) type Table = request::Requests<REQUESTS>;

/// Where responses are to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) text: String,
    pub(crate) assigned: bool,
}

impl Place {
    pub(crate) fn borrow(&self) -> ResponseTopic<'_> {
        if self.assigned { ResponseTopic::Assigned(&self.text) } else { ResponseTopic::At(&self.text) }
    }
}

impl Options {
    /// Lets the client make requests (5.0): responses go to this topic, which should be the client's own. It is
    /// subscribed at QoS 2 with each connection that needs it. At most 128 bytes; at most 256 requests wait at once.
    /// Default: none.
    #[must_use]
    pub fn with_response_topic(mut self, topic: impl Into<String>) -> Self {
        *self.responses_mut() = Some(Place { text: topic.into(), assigned: false });
        self
    }

    /// As [`with_response_topic`](Self::with_response_topic), with a topic the server assigns, followed by this text. The
    /// server is asked for it with each CONNECT; one that assigns none is told as
    /// [`Event::NoResponses`](crate::Event::NoResponses).
    #[must_use]
    pub fn with_assigned_response_topic(mut self, suffix: impl Into<String>) -> Self {
        *self.responses_mut() = Some(Place { text: suffix.into(), assigned: true });
        self
    }

    /// Where responses go, as [`with_response_topic`](Self::with_response_topic) said.
    #[must_use]
    pub fn response_topic(&self) -> Option<&str> {
        self.responses().filter(|place| !place.assigned).map(|place| &*place.text)
    }

    /// What follows the topic that the server assigns, as [`with_assigned_response_topic`](Self::with_assigned_response_topic)
    /// said.
    #[must_use]
    pub fn assigned_response_topic(&self) -> Option<&str> {
        self.responses().filter(|place| place.assigned).map(|place| &*place.text)
    }
}

/// Why a request has no response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseError {
    /// The options name no response topic: see [`Options::with_response_topic`].
    NotEnabled,
    /// Requests cannot be made now: there has been no connection, the server speaks an older version, or as many wait
    /// as may.
    NotReady(request::RequestError),
    /// The message was not accepted.
    Publish(PublishError),
    /// None came in the time given.
    TimedOut,
    /// The request did not reach anybody.
    Failed(Outcome),
    /// The client was stopped.
    Stopped,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEnabled => f.write_str("the client has no response topic: name one in its options"),
            Self::NotReady(error) => error.fmt(f),
            Self::Publish(error) => error.fmt(f),
            Self::TimedOut => f.write_str("no response came in time"),
            Self::Failed(outcome) => write!(f, "the request reached nobody: {outcome}"),
            Self::Stopped => f.write_str("the client is stopped: make a new one"),
        }
    }
}

impl core::error::Error for ResponseError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::NotReady(error) => Some(error),
            Self::Publish(error) => Some(error),
            Self::NotEnabled | Self::TimedOut | Self::Failed(_) | Self::Stopped => None,
        }
    }
}

impl Message {
    /// The response to this message, to be published: to its Response Topic, with its Correlation Data, at its quality of
    /// service. `None`: it asks for none.
    ///
    /// ```no_run
    /// # fn answer(message: &mqtt_adapter_core::Message) {
    /// if let Some(reply) = message.reply("on") {
    ///     // client.publish(reply)
    /// #     let _ = reply;
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn reply<'m>(&'m self, payload: impl Into<Payload<'m>>) -> Option<Publish<'m>> {
        let properties = self.properties();
        let mut reply = Publish::new(properties.response_topic()?, payload).qos(self.qos());
        if let Some(data) = properties.correlation_data() {
            reply.properties = Carried::Owned(OwnedProperties::new(&[Property::CorrelationData(data)]).ok()?);
        }
        Some(reply)
    }
}
