//! Input and output of a client.

use core::task::Waker;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use super::{Hub, Rest, Sorter};
use crate::driver::{Sink as _, Turn};
use crate::event::Cause;
use crate::input::Input;
use crate::message::Message;
use crate::options::Options;
use crate::transport::Transport;

/// How long a worker keeps guard after a burst, before it sleeps. What was gathered and not followed by anything
/// leaves after this time at the latest.
const GUARD: Duration = Duration::from_millis(1);

/// Does the input and output of a client. It belongs to one thread or task at a time; when it is dropped, the client
/// has stopped.
#[derive(Debug)]
pub struct Worker<T: Transport> {
    pub(super) hub: Arc<Hub<T>>,
    pub(super) input: Input,
    /// The generation of the link the input came from.
    pub(super) input_of: u64,
    pub(super) wake: Vec<Waker>,
    pub(super) messages: Vec<Message>,
    pub(super) guard: bool,
}

impl<T: Transport> Worker<T> {
    /// What wakes the worker's thread or task; to be set before the first turn.
    pub fn set_waker(&self, waker: &Waker) {
        let mut state = self.hub.lock();
        state.driver.set_waker(waker);
        match &mut state.worker {
            Some(kept) => kept.clone_from(waker),
            None => state.worker = Some(waker.clone()),
        }
    }

    /// Waking this worker costs more than its looking once in a while: after a burst of publishes it asks for another
    /// turn soon, and is not woken for what is gathered meanwhile. Off unless called; for workers with a thread of
    /// their own.
    pub const fn keep_guard(&mut self) {
        self.guard = true;
    }

    /// What the client was made with.
    #[must_use]
    pub fn options(&self) -> &Arc<Options> {
        &self.hub.options
    }

    /// One read, outside of the lock; `Ok(0)` is the end of the stream. The next turn takes the input.
    ///
    /// # Errors
    /// Of the link; `WouldBlock` where there is nothing.
    pub fn read(&mut self, turn: &Turn<T>, link: &T) -> io::Result<usize> {
        if self.input_of != turn.generation {
            self.input.clear();
            self.input_of = turn.generation;
        }
        self.input.read_from(link, turn.hint)
    }

    /// [`Input::is_filled`] of the last read.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.input.is_filled()
    }

    /// The dial that was asked for has a link; its generation.
    pub fn opened(&mut self, link: Arc<T>) -> u64 {
        let mut state = self.hub.lock();
        state.driver.opened(link);
        state.driver.generation()
    }

    /// As [`opened`](Self::opened), for an attempt with options of its own ([`Options::for_attempt`]); `None`: CONNECT
    /// cannot be made of them, and the link is not wanted.
    pub fn opened_with(&mut self, link: Arc<T>, options: &Options) -> Option<u64> {
        let mut state = self.hub.lock();
        let wanted = state.driver.opened_with(link, options);
        wanted.then(|| state.driver.generation())
    }

    /// The dial that was asked for has failed.
    pub fn dial_failed(&mut self, cause: Option<Cause>) {
        self.hub.lock().driver.dial_failed(cause);
    }

    /// The link of this generation is at its end, or failed.
    pub fn lost(&mut self, generation: u64, error: Option<&io::Error>) {
        self.hub.lock().driver.lost(generation, error);
    }

    /// The link can be written again.
    pub fn writable(&mut self) {
        self.hub.lock().driver.writable();
    }

    /// Does everything that can be done now. Unless the owner is `busy` and takes another turn without waiting, the
    /// worker counts as asleep afterwards: its waker is woken when the next turn is worth it.
    pub fn turn(&mut self, busy: bool) -> Turn<T> {
        let inbox = &self.hub.inbox;
        let load = inbox.load();
        let mut guard = self.hub.lock();
        let state = &mut *guard;
        state.rest = Rest::Awake;
        if self.input_of != state.driver.generation() {
            self.input.clear();
            self.input_of = state.driver.generation();
        }
        let lifted = state.lifted();
        let mut sorter = Sorter {
            waiters: &mut state.waiters,
            tell: &mut state.tell,
            wake: &mut self.wake,
            messages: &mut self.messages,
            load,
            bound: inbox.bound(),
            servers: state.driver.options().servers().len(),
            lifted,
        };
        let mut turn = state.driver.turn(&mut self.input, &mut sorter);
        let ready = sorter.ready();
        self.input_of = turn.generation;
        state.settle(&mut self.wake);
        // Under the engine's lock, so that who is about to wait finds the pause noted.
        let (full, dropped) = inbox.put(&mut self.messages, &mut self.wake);
        state.tell.dropped += dropped;
        if turn.stopped {
            inbox.end(&mut self.wake);
        }
        // As to large messages, who reads one wakes the worker.
        state.held = state.driver.is_held();
        state.paused = full || (!ready && state.tell.large.is_full());
        if !ready && !state.paused {
            // The application took messages meanwhile.
            turn.deadline = Some(Duration::ZERO);
        }
        if !busy {
            if let Some(rest) = self.input.rest() {
                turn.deadline = Some(turn.deadline.map_or(rest, |deadline| deadline.min(rest)));
            }
            state.rest = if self.guard && core::mem::take(&mut state.gathers) > 0 {
                turn.deadline = Some(turn.deadline.map_or(GUARD, |deadline| deadline.min(GUARD)));
                Rest::Guarding
            } else {
                Rest::Asleep
            };
        }
        drop(guard);
        self.wake.drain(..).for_each(Waker::wake);
        turn
    }
}

impl<T: Transport> Drop for Worker<T> {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        if state.ended.is_none() {
            let left = state.driver.session().pending();
            state.driver.abandon();
            state.end(left, &mut self.wake);
        }
        self.hub.inbox.end(&mut self.wake);
        state.worker = None;
        drop(state);
        self.wake.drain(..).for_each(Waker::wake);
    }
}
