//! The end of one operation, to be waited for.

use core::task::{Context, Poll, Waker};
use std::io;
use std::sync::{Arc, PoisonError};

use mqtt_session::Token;

use super::Hub;
use super::then::{self, Jobs};
use crate::event::{Failed, Outcome};
use crate::transport::Transport;
use crate::waiters::WaiterId;

/// The end of one operation, to be waited for. Dropping it loses nothing but the answer.
#[derive(Debug)]
pub struct Watch<T: Transport>(pub(super) Watched<T>);

#[derive(Debug)]
pub(super) enum Watched<T> {
    Open { hub: Arc<Hub<T>>, token: Token, id: WaiterId },
    Ended { token: Option<Token>, outcome: Outcome },
}

impl<T: Transport> Watch<T> {
    /// The operation; `None`: a QoS 0 message without receipt.
    #[must_use]
    pub const fn token(&self) -> Option<Token> {
        match &self.0 {
            Watched::Open { token, .. } => Some(*token),
            Watched::Ended { token, .. } => *token,
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match &self.0 {
            Watched::Open { hub, id, .. } => hub.lock().waiters.is_ended(id),
            Watched::Ended { .. } => true,
        }
    }

    /// The outcome; may be asked for again and gives the same.
    pub fn poll_outcome(&mut self, context: &Context<'_>) -> Poll<Outcome> {
        let (outcome, token) = match &self.0 {
            Watched::Ended { outcome, .. } => return Poll::Ready(outcome.clone()),
            Watched::Open { hub, token, id } => {
                let mut state = hub.lock();
                // While others wait, their answers bring the worker's next turn soon, and with it a write for
                // all; else this one goes out now.
                let alone = state.waiters.watched() == 0;
                match state.waiters.poll(id, context.waker()) {
                    Ok(outcome) => (outcome, *token),
                    Err(replaced) => {
                        let mut wake = Vec::new();
                        if alone {
                            state.hurry(&mut wake);
                        }
                        wake.extend(state.lift());
                        drop(state);
                        drop(replaced);
                        wake.into_iter().for_each(Waker::wake);
                        return Poll::Pending;
                    }
                }
            }
        };
        // The waiter is used up; the link to it must not be dropped as an open one.
        self.0 = Watched::Ended { token: Some(token), outcome: outcome.clone() };
        Poll::Ready(outcome)
    }

    /// Ready when the message is in the journal, or has ended. Without a journal, and at QoS 0, that is its end.
    ///
    /// # Errors
    /// [`Failed`]: it has ended, and did not do what it was for.
    pub fn poll_durable(&mut self, context: &Context<'_>) -> Poll<Result<(), Failed>> {
        let ended = match &self.0 {
            Watched::Ended { outcome, .. } => Some(outcome.clone()),
            Watched::Open { hub, id, .. } => {
                let mut state = hub.lock();
                match state.waiters.poll_durable(id, context.waker()) {
                    Ok(ended) => ended,
                    Err(replaced) => {
                        let mut wake = Vec::new();
                        state.hurry(&mut wake);
                        drop(state);
                        drop(replaced);
                        wake.into_iter().for_each(Waker::wake);
                        return Poll::Pending;
                    }
                }
            }
        };
        Poll::Ready(ended.map_or(Ok(()), |outcome| outcome.into_result().map(drop)))
    }

    /// Has `then` called with the outcome, by [`Jobs`] that `start` makes where the client has none yet; where it has ended
    /// already, at once and here. While it waits, it counts as somebody who waits.
    ///
    /// # Errors
    /// Of `start`: `then` is not called.
    pub fn then(
        self,
        start: impl FnOnce() -> io::Result<Jobs>,
        then: impl FnOnce(Outcome) + Send + 'static,
    ) -> io::Result<()>
    where
        T: Send + Sync + 'static,
    {
        let Watched::Open { hub, .. } = &self.0 else {
            if let Watched::Ended { outcome, .. } = &self.0 {
                then(outcome.clone());
            }
            return Ok(());
        };
        let mut jobs = hub.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let to = match &*jobs {
            Some(jobs) => jobs.clone(),
            None => jobs.insert(start()?).clone(),
        };
        drop(jobs);
        then::begin(self, to, Box::new(then));
        Ok(())
    }

    /// Nobody waits for the outcome right now.
    pub fn rest(&self) {
        if let Watched::Open { hub, id, .. } = &self.0 {
            // The waker is dropped after the lock.
            let _waker = hub.lock().waiters.rest(id);
        }
    }
}

impl<T: Transport> Drop for Watch<T> {
    fn drop(&mut self) {
        if let Watched::Open { hub, id, .. } = &self.0 {
            // The waker is dropped after the lock.
            let _waker = hub.lock().waiters.forget(id);
        }
    }
}
