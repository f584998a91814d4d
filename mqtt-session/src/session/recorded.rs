//! For a log of every call (`tape`).

use alloc::boxed::Box;

use super::Session;
use super::outputs::command;
use crate::config::Config;
use crate::event::{Command, Event};
use crate::storage::{Capacity, Heap, Storage};
use crate::tape::{After, Recorder};
use crate::time::Instant;

impl<S: Storage> Session<S> {
    /// Notes nothing more, and forgets what was not taken: a log it was recorded in (`tape::Log`) goes no further.
    pub fn stop_recording(&mut self) {
        self.tape = None;
    }

    /// Notes every call from now on; what the session is made of. `None`: something was called already.
    pub(crate) fn begin_recording(&mut self) -> Option<(Config, Capacity)> {
        if self.tape.is_some() || !self.core.is_untouched() {
            return None;
        }
        self.tape = Some(Box::default());
        Some((*self.core.config(), self.store.capacity()))
    }

    pub(crate) fn recorder(&mut self) -> Option<&mut Recorder> {
        self.tape.as_deref_mut()
    }

    #[cold]
    pub(super) fn receive_recorded<'i>(&mut self, input: &mut &'i [u8], now: Instant) -> Option<Event<'i>> {
        let offered = *input;
        let event = self.take_packets(input, now);
        let consumed = offered.len().saturating_sub(input.len());
        let topic = match &event {
            Some(Event::Message(message) | Event::Start { message, .. }) => {
                self.core.topic(&self.store.view(), message.topic)
            }
            _ => "",
        };
        let told = event.as_ref().map(|event| (event, topic));
        tape!(self, tape, after => tape.received(offered, consumed, now, told, after));
        event
    }

    #[cold]
    pub(super) fn note_outgoing(&mut self, now: Instant) {
        let len = self.chunks().iter().fold(0usize, |sum, chunk| sum.saturating_add(chunk.len()));
        tape!(self, tape, after => tape.outgoing(now, len, after));
    }

    pub(crate) fn after(&self) -> After {
        After { deadline: self.core.poll_timeout(), pending: self.core.open() }
    }

    /// The next command, and the session as it is then.
    pub(crate) fn with_command<R>(&mut self, look: impl FnOnce(&Command<'_>, After) -> R) -> Option<R> {
        self.bind();
        let give = self.core.poll_command(&mut self.store.tables())?;
        Some(look(&command(give, &self.core, &self.store), self.after()))
    }
}

impl Session<Heap> {
    /// A session on the heap with the limits of another storage.
    pub(crate) const fn within(config: Config, capacity: Capacity) -> Self {
        Self::of(Heap::like(&config, capacity), config)
    }
}
