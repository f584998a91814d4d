//! Messages on their way to the application.

use core::task::Waker;
use std::collections::VecDeque;
use std::sync::PoisonError;

use crate::error::RecvError;
use crate::message::Message;
use crate::options::WhenInboxFull;
use crate::sync::{Mutex, MutexGuard};
use crate::wakers::Wakers;

/// How much may wait, and what happens then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) bytes: usize,
    pub(crate) messages: usize,
    pub(crate) when: WhenInboxFull,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    bytes: usize,
    messages: usize,
}

impl Bound {
    /// Nothing may wait.
    pub(crate) const NONE: Self = Self { bytes: 0, messages: 0, when: WhenInboxFull::Pause };

    pub(crate) const fn is_full(&self, load: Load) -> bool {
        load.bytes >= self.bytes || load.messages >= self.messages
    }

    /// Whether reading goes on after a pause.
    const fn is_half(&self, load: Load) -> bool {
        load.bytes <= self.bytes / 2 && load.messages <= self.messages / 2
    }
}

impl Load {
    pub(crate) fn add(&mut self, message: &Message) {
        self.bytes += message.size();
        self.messages += 1;
    }

    fn take(&mut self, message: &Message) {
        self.bytes = self.bytes.saturating_sub(message.size());
        self.messages = self.messages.saturating_sub(1);
    }
}

/// A bounded queue: over the bound nothing is refused, but the reader of the socket is told to pause until half of it
/// was taken, or the oldest messages go.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    bound: Bound,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    load: Load,
    /// The reader has been told to pause, and is to be woken at half of the limit.
    paused: bool,
    ended: bool,
    takers: Wakers,
}

impl Inbox {
    pub(crate) fn new(bound: Bound) -> Self {
        Self { queue: Mutex::default(), bound }
    }

    /// Adds a batch; whether the reader is to pause, and how many messages were dropped for it.
    pub(crate) fn put(&self, batch: &mut Vec<Message>, wake: &mut Vec<Waker>) -> (bool, u64) {
        let mut dropped = Vec::new();
        let mut queue = self.lock();
        if !batch.is_empty() {
            batch.iter().for_each(|message| queue.load.add(message));
            queue.messages.extend(batch.drain(..));
            queue.takers.take(wake);
        }
        while self.bound.when == WhenInboxFull::DropOldest && self.over(queue.load) {
            // What the application is to acknowledge it must see.
            let Some(at) = queue.messages.iter().position(|message| message.ack().is_none()) else { break };
            // Mostly the first one.
            let Some(message) = queue.messages.remove(at) else { break };
            queue.load.take(&message);
            dropped.push(message);
        }
        queue.paused = self.bound.when == WhenInboxFull::Pause && self.bound.is_full(queue.load);
        (queue.paused, dropped.len() as u64)
    }

    const fn over(&self, load: Load) -> bool {
        load.bytes > self.bound.bytes || load.messages > self.bound.messages
    }

    /// What waits now.
    pub(crate) fn load(&self) -> Load {
        self.lock().load
    }

    pub(crate) const fn bound(&self) -> Bound {
        self.bound
    }

    /// The oldest message, and whether the reader is to be woken. Without one, `wait` is called with those who wait, under
    /// the lock, so that no message comes in between.
    pub(crate) fn take(&self, wait: impl FnOnce(&mut Wakers)) -> Result<(Message, bool), RecvError> {
        let mut queue = self.lock();
        match queue.messages.pop_front() {
            Some(message) => {
                queue.load.take(&message);
                let resume = queue.paused && self.bound.is_half(queue.load);
                if resume {
                    queue.paused = false;
                }
                Ok((message, resume))
            }
            None if queue.ended => Err(RecvError::Stopped),
            None => {
                wait(&mut queue.takers);
                Err(RecvError::Empty)
            }
        }
    }

    /// Gives back a message that was taken: it is the oldest again.
    pub(crate) fn put_back(&self, message: Message, wake: &mut Vec<Waker>) {
        let mut queue = self.lock();
        queue.load.add(&message);
        queue.messages.push_front(message);
        queue.takers.take(wake);
    }

    /// A call that waited for a message and does not any more.
    pub(crate) fn give_up(&self, call: u64) -> Option<Waker> {
        self.lock().takers.remove(call)
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
