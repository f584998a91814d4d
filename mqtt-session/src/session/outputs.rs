//! What the driver is to do and to tell.

use super::Session;
use crate::engine::Give;
use crate::event::{Command, Event};
use crate::outgoing::Outgoing;
use crate::record::{Key, Record};
use crate::storage::Storage;
use crate::time::Instant;

impl<S: Storage> Session<S> {
    /// The next thing for the driver to carry out.
    #[must_use = "the session waits until the command is carried out"]
    pub fn poll_command(&mut self) -> Option<Command<'_>> {
        self.bind();
        Some(match self.core.poll_command(&mut self.store.tables())? {
            Give::Open { attempt, server } => Command::Open { attempt, server },
            Give::Close => Command::Close,
            Give::Put(key, head, slot) => Command::Put { key, record: self.store.view().record(head, slot) },
            Give::PutSession(head) => {
                let name = self.core.assigned_client_id().unwrap_or_default();
                Command::Put { key: Key::SESSION, record: Record::of(head, name.as_bytes()) }
            }
            Give::Delete(key) => Command::Delete { key },
        })
    }

    /// The next thing that time, the transport or a command did. `receive` tells what packets did.
    pub fn poll_event(&mut self) -> Option<Event<'static>> {
        self.core.poll_event(&mut self.store.tables())
    }

    /// When `handle_timeout` is to be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.core.poll_timeout()
    }

    /// The bytes to send now. Acknowledgements of messages that `receive` told leave with it.
    pub fn outgoing(&mut self, now: Instant) -> Outgoing<'_, S> {
        self.bind();
        self.pump(now);
        Outgoing::new(self, now)
    }
}
