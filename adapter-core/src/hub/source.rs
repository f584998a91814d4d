//! Messages whose payload is given piece by piece.

use core::task::{Context, Poll, Waker};

use mqtt_session::{ProvideError, Token};

use super::{Handle, Wait, Watch, Watched};
use crate::error::PublishError;
use crate::event::Outcome;
use crate::message::Publish;
use crate::transport::Transport;

/// What is wanted of a payload.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) wanted: Option<u32>,
    pub(super) waker: Option<Waker>,
}

/// A message that was accepted and whose payload is asked for while it is sent.
#[derive(Debug)]
pub struct Upload<T: Transport> {
    handle: Handle<T>,
    token: Token,
    watch: Watch<T>,
}

impl<T: Transport> Handle<T> {
    /// Takes over, when there is room, a message whose payload of `len` bytes is asked for while it is sent.
    pub fn poll_upload(
        &self,
        publish: &Publish<'_>,
        len: u32,
        wait: &mut Wait<T>,
        context: &Context<'_>,
    ) -> Poll<Result<Upload<T>, PublishError>> {
        let mut wake = Vec::new();
        let mut old = None;
        let mut state = self.0.lock();
        let result = match state.driver.publish_chunked(publish, len) {
            Ok(token) => {
                // First, for what is told of it.
                state.tell.sources.entry(token).or_default();
                state.told(&mut wake);
                let id = state.waiters.watch(token);
                state.sent(&mut wake);
                let hub = self.0.clone();
                Poll::Ready(Ok((token, Watch(Watched::Open { hub, token, id }))))
            }
            Err(error) if error.is_full() => {
                old = self.wait_for_room(&mut state, wait, context.waker(), &mut wake);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        };
        drop(state);
        drop(old);
        wake.into_iter().for_each(Waker::wake);
        result.map_ok(|(token, watch)| Upload { handle: self.lend(), token, watch })
    }
}

impl<T: Transport> Upload<T> {
    /// The operation.
    #[must_use]
    pub const fn token(&self) -> Token {
        self.token
    }

    /// The place from which on bytes are wanted; the outcome, at the end.
    pub fn poll_wanted(&mut self, context: &Context<'_>) -> Poll<Result<u32, Outcome>> {
        let old = {
            let mut state = self.handle.0.lock();
            let source = state.tell.sources.entry(self.token).or_default();
            if let Some(offset) = source.wanted.take() {
                return Poll::Ready(Ok(offset));
            }
            source.waker.replace(context.waker().clone())
        };
        drop(old);
        self.watch.poll_outcome(context).map(Err)
    }

    /// Gives bytes from this place on; how many were taken. What was not is asked for when there is room.
    ///
    /// # Errors
    /// [`ProvideError`]: they are not what is wanted now; it is asked again, or has ended.
    pub fn provide(&self, offset: u32, bytes: &[u8]) -> Result<usize, ProvideError> {
        let mut wake = Vec::new();
        let mut state = self.handle.0.lock();
        let result = state.driver.session_mut().provide(self.token, offset, bytes);
        state.sent(&mut wake);
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        result
    }

    /// Takes it back; false: something of it was sent.
    pub fn cancel(&self) -> bool {
        self.handle.cancel(self.token)
    }
}

impl<T: Transport> Drop for Upload<T> {
    fn drop(&mut self) {
        // Nobody gives its payload any more. Too late for what was begun.
        self.handle.cancel(self.token);
        // The waker is dropped after the lock.
        let _source = self.handle.0.lock().tell.sources.remove(&self.token);
    }
}
