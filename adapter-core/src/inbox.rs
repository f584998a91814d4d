//! Messages on their way to the application.

use core::task::Waker;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::RecvError;
use crate::message::Message;
use crate::wakers::Wakers;

/// A queue bounded by bytes: over the bound nothing is refused, but the reader of the socket is told to pause
/// until half of it was taken.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    bytes: usize,
    /// The reader has been told to pause, and is to be woken at half of the limit.
    paused: bool,
    ended: bool,
    takers: Wakers,
}

impl Inbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self { queue: Mutex::default(), limit }
    }

    /// Adds a batch; whether the reader is to pause.
    pub(crate) fn put(&self, batch: &mut Vec<Message>, wake: &mut Vec<Waker>) -> bool {
        let mut queue = self.lock();
        if !batch.is_empty() {
            queue.bytes += batch.iter().map(Message::size).sum::<usize>();
            queue.messages.extend(batch.drain(..));
            queue.takers.take(wake);
        }
        queue.paused = queue.bytes >= self.limit;
        queue.paused
    }

    /// Bytes waiting now.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// The oldest message, and whether the reader is to be woken; without a message, `waker` is kept.
    pub(crate) fn take(
        &self,
        waker: Option<(&Waker, &mut Vec<Waker>)>,
    ) -> Result<(Message, bool), RecvError> {
        let mut queue = self.lock();
        match queue.messages.pop_front() {
            Some(message) => {
                queue.bytes = queue.bytes.saturating_sub(message.size());
                let resume = queue.paused && queue.bytes <= self.limit / 2;
                if resume {
                    queue.paused = false;
                }
                Ok((message, resume))
            }
            None if queue.ended => Err(RecvError::Stopped),
            None => {
                if let Some((waker, wake)) = waker {
                    queue.takers.keep(waker, wake);
                }
                Err(RecvError::Empty)
            }
        }
    }

    /// Nothing more comes.
    pub(crate) fn end(&self, wake: &mut Vec<Waker>) {
        let mut queue = self.lock();
        queue.ended = true;
        queue.takers.take(wake);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
