//! Requests and their responses.

use core::time::Duration;

use mqtt_session::request::{self, Matched, Request};
use mqtt_session::{self as session, HeapPayload, Instant};

use super::{Driver, Sink};
use crate::error::PublishError;
use crate::event::{Event, Outcome};
use crate::message::{Message, Payload, Publish};
use crate::responses::ResponseError;
use crate::transport::Transport;

impl<T: Transport> Driver<T> {
    /// Takes a request over; a refused one is as it was. Its response is told as [`Event::Response`], or why there is
    /// none.
    ///
    /// # Errors
    /// [`ResponseError`], without the payload: `publish` has it.
    pub fn request(
        &mut self,
        publish: &mut Publish<'_>,
        timeout: Duration,
    ) -> Result<Request, ResponseError> {
        if self.is_over() {
            return Err(ResponseError::Stopped);
        }
        let now = self.now();
        let Some(requests) = &mut self.requests else { return Err(ResponseError::NotEnabled) };
        let payload = core::mem::replace(&mut publish.payload, Payload::from(&[]));
        let (error, payload) = match publish.message() {
            Ok(message) => {
                match requests.request(&mut self.session, &message, payload.into_heap(), timeout, now) {
                    Ok(request) => return Ok(request),
                    Err(refused) => (
                        match refused.reason {
                            request::RequestError::Publish(session::PublishError::Stopping) => {
                                ResponseError::Stopped
                            }
                            request::RequestError::Publish(reason) => {
                                ResponseError::Publish(PublishError::Refused { reason, payload: None })
                            }
                            error => ResponseError::NotReady(error),
                        },
                        refused.payload,
                    ),
                }
            }
            Err(error) => {
                (ResponseError::Publish(PublishError::Topic { error, payload: None }), payload.into_heap())
            }
        };
        publish.payload = match payload {
            HeapPayload::Copy(bytes) => Payload::from(bytes),
            HeapPayload::Share(bytes) => Payload::from(bytes),
        };
        Err(error)
    }

    /// Nobody waits for this response any more.
    pub fn give_up(&mut self, request: Request) {
        if let Some(requests) = &mut self.requests {
            // The message is sent all the same.
            let _ = requests.cancel(request);
        }
    }

    /// What the event means to requests; whether it is theirs alone.
    pub(super) fn answered_request(&mut self, event: &session::Event<'_>, sink: &mut impl Sink) -> bool {
        let Some(requests) = &mut self.requests else { return false };
        match event {
            session::Event::Connected(connected) => {
                if let Err(error) = requests.connected(&mut self.session, connected) {
                    sink.event(Event::NoResponses { detail: error.to_string() });
                }
            }
            session::Event::Message(received) => {
                if let Matched::Response(settled) = requests.received(&self.session, received) {
                    let message = Message::copy(self.session.topic(received), received);
                    sink.event(Event::Response { request: settled.request, message });
                    return true;
                }
            }
            session::Event::Done { token, outcome, .. } => match requests.done(*token, outcome) {
                Some(request::Failed::Request(settled)) => sink.event(Event::NoResponse {
                    request: settled.request,
                    error: ResponseError::Failed(Outcome::copy(outcome)),
                }),
                Some(request::Failed::Subscription) => {
                    let detail = Outcome::copy(outcome).to_string();
                    sink.event(Event::NoResponses { detail });
                }
                None => {}
            },
            _ => {}
        }
        false
    }

    /// Ends requests whose time is over; when the next one's is.
    pub(super) fn expire_requests(&mut self, now: Instant, sink: &mut impl Sink) -> Option<Instant> {
        let requests = self.requests.as_mut()?;
        while let Some(settled) = requests.expire(now) {
            sink.event(Event::NoResponse { request: settled.request, error: ResponseError::TimedOut });
        }
        requests.poll_timeout()
    }
}
