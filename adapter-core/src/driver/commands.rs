//! What is published and subscribed.

use mqtt_session::proto::{Properties, Qos, Subscription, SubscriptionOptions, TopicFilter};
use mqtt_session::{self as session, HeapPayload, SubscribeError, Token};

use super::Driver;
use crate::error::{PublishError, RequestError};
use crate::message::{Payload, Publish, owned};
use crate::transport::Transport;

impl<T: Transport> Driver<T> {
    /// Calls the hook before a publish, if there is one; `pieces`: the length of a payload that comes in pieces.
    ///
    /// # Errors
    /// [`PublishError::Vetoed`].
    pub fn prepare(&self, publish: &mut Publish<'_>, pieces: Option<u32>) -> Result<(), PublishError> {
        self.options.hooks().publish(publish, pieces)
    }

    /// Takes a message over; a refused one is as it was.
    ///
    /// # Errors
    /// [`PublishError`], without the payload: `publish` has it.
    pub fn publish(&mut self, publish: &mut Publish<'_>) -> Result<Token, PublishError> {
        if self.is_over() {
            return Err(PublishError::Stopped { payload: None });
        }
        let payload = core::mem::replace(&mut publish.payload, Payload::from(&[]));
        let len = payload.as_bytes().len();
        let refused = match publish.message() {
            Ok(message) => match self.session.publish(&message, payload.into_heap()) {
                Ok(token) => {
                    self.gathered = self.gathered.saturating_add(len + publish.topic.len());
                    return Ok(token);
                }
                Err(refused) => (Ok(refused.reason), refused.payload),
            },
            Err(error) => (Err(error), payload.into_heap()),
        };
        publish.payload = match refused.1 {
            HeapPayload::Copy(bytes) => Payload::from(bytes),
            HeapPayload::Share(bytes) => Payload::from(bytes),
        };
        Err(match refused.0 {
            Err(error) => PublishError::Topic { error, payload: None },
            Ok(session::PublishError::Stopping) => PublishError::Stopped { payload: None },
            Ok(reason) => PublishError::Refused { reason, payload: None },
        })
    }

    /// Takes over a message of which the payload, of `len` bytes, is asked for when it is sent
    /// ([`Event::PayloadWanted`](crate::Event::PayloadWanted)); what `publish` has as its payload is not looked at.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn publish_chunked(&mut self, publish: &Publish<'_>, len: u32) -> Result<Token, PublishError> {
        if self.is_over() {
            return Err(PublishError::Stopped { payload: None });
        }
        let message = publish.message().map_err(|error| PublishError::Topic { error, payload: None })?;
        self.session.publish_chunked(&message, len).map_err(|reason| match reason {
            session::PublishError::Stopping => PublishError::Stopped { payload: None },
            reason => PublishError::Refused { reason, payload: None },
        })
    }

    /// Asks for subscriptions.
    ///
    /// # Errors
    /// [`RequestError::Rejected`] or [`RequestError::Stopped`].
    pub fn subscribe(
        &mut self,
        filters: &[Subscription<'_>],
        properties: Properties<'_>,
    ) -> Result<Token, RequestError> {
        if self.is_over() {
            return Err(RequestError::Stopped);
        }
        self.session.subscribe(filters, properties).map_err(rejected)
    }

    /// Asks to end subscriptions.
    ///
    /// # Errors
    /// [`RequestError::Rejected`] or [`RequestError::Stopped`].
    pub fn unsubscribe(
        &mut self,
        filters: &[TopicFilter<'_>],
        properties: Properties<'_>,
    ) -> Result<Token, RequestError> {
        if self.is_over() {
            return Err(RequestError::Stopped);
        }
        self.session.unsubscribe(filters, properties).map_err(rejected)
    }
}

/// One subscription from what a caller wrote.
///
/// # Errors
/// [`RequestError::Filter`].
pub fn subscription(filter: &str, qos: Qos) -> Result<Subscription<'_>, RequestError> {
    Ok(Subscription {
        filter: TopicFilter::new(filter).map_err(RequestError::Filter)?,
        options: SubscriptionOptions::new(qos),
    })
}

/// The error for the caller, with the payload if it was an owned one.
pub fn with_payload(error: PublishError, publish: Publish<'_>) -> PublishError {
    let payload = owned(publish.payload.into_heap());
    match error {
        PublishError::Topic { error, .. } => PublishError::Topic { error, payload },
        PublishError::Refused { reason, .. } => PublishError::Refused { reason, payload },
        PublishError::Vetoed { why, .. } => PublishError::Vetoed { why, payload },
        PublishError::TimedOut { .. } => PublishError::TimedOut { payload },
        PublishError::Stopped { .. } => PublishError::Stopped { payload },
    }
}

const fn rejected(error: SubscribeError) -> RequestError {
    match error {
        SubscribeError::Stopping => RequestError::Stopped,
        error => RequestError::Rejected(error),
    }
}
