//! A request that waits for its response.

use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Arc;

use mqtt_session::request::Request;

use super::{Asked, Handle, Hub, Wait};
use crate::error::PublishError;
use crate::message::{Message, Publish};
use crate::responses::ResponseError;
use crate::transport::Transport;

/// A request that was accepted. Dropped, it waits no longer; the message is sent all the same.
#[derive(Debug)]
pub struct Ask<T: Transport> {
    hub: Arc<Hub<T>>,
    request: Request,
}

impl<T: Transport> Handle<T> {
    /// Takes a request over when there is room. Ready once: then `publish` is used up.
    pub fn poll_request(
        &self,
        publish: &mut Publish<'_>,
        timeout: Duration,
        wait: &mut Wait<T>,
        context: &Context<'_>,
    ) -> Poll<Result<Ask<T>, ResponseError>> {
        let mut wake = Vec::new();
        let mut old = None;
        let mut state = self.0.lock();
        let result = match state.driver.request(publish, timeout) {
            Ok(request) => {
                state.tell.asked.insert(request, Asked::default());
                state.sent(&mut wake);
                state.rearm(&mut wake);
                Poll::Ready(Ok(Ask { hub: Arc::clone(&self.0), request }))
            }
            Err(ResponseError::Publish(error)) if error.is_full() => {
                old = self.wait_for_room(&mut state, wait, context.waker(), &mut wake);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        };
        drop(state);
        drop(old);
        wake.into_iter().for_each(Waker::wake);
        result
    }
}

impl<T: Transport> Ask<T> {
    /// The response, once.
    pub fn poll_response(&mut self, context: &Context<'_>) -> Poll<Result<Message, ResponseError>> {
        let mut wake = Vec::new();
        let mut state = self.hub.lock();
        let Some(asked) = state.tell.asked.get_mut(&self.request) else {
            return Poll::Ready(Err(ResponseError::Stopped));
        };
        if let Some(answer) = asked.answer.take() {
            state.tell.asked.remove(&self.request);
            return Poll::Ready(answer);
        }
        let old = asked.waker.replace(context.waker().clone());
        state.hurry(&mut wake);
        wake.extend(state.lift());
        drop(state);
        drop(old);
        wake.into_iter().for_each(Waker::wake);
        Poll::Pending
    }
}

impl<T: Transport> Drop for Ask<T> {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        let asked = state.tell.asked.remove(&self.request);
        state.driver.give_up(self.request);
        drop(state);
        // The waker is dropped after the lock.
        drop(asked);
    }
}

impl From<PublishError> for ResponseError {
    fn from(error: PublishError) -> Self {
        Self::Publish(error)
    }
}
