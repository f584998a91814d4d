//! What the driver is to do and to tell.

use super::Session;
use crate::engine::{Core, Give};
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
        let give = self.core.poll_command(&mut self.store.tables());
        let command = give.map(|give| command(give, &self.core, &self.store));
        tape!(self, tape, after => tape.command(command.as_ref(), after));
        command
    }

    /// The next thing that time, the transport or a command did. `receive` tells what packets did.
    pub fn poll_event(&mut self) -> Option<Event<'static>> {
        let event = self.core.poll_event(&mut self.store.tables());
        tape!(self, tape, after => tape.event(event.as_ref(), after));
        event
    }

    /// When `handle_timeout` is to be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.core.poll_timeout()
    }

    /// The bytes to send now. Acknowledgements of messages that `receive` told leave with it.
    pub fn outgoing(&mut self, now: Instant) -> Outgoing<'_, S> {
        self.bind();
        self.pump(now);
        #[cfg(feature = "std")]
        if self.tape.is_some() {
            self.note_outgoing(now);
        }
        Outgoing::new(self, now)
    }
}

/// What the core gives, with what it keeps of it.
pub(super) fn command<'s, S: Storage>(give: Give, core: &'s Core, store: &'s S) -> Command<'s> {
    match give {
        Give::Open { attempt, server } => Command::Open { attempt, server },
        Give::Close => Command::Close,
        Give::Put(key, head, slot) => Command::Put { key, record: store.view().record(head, slot) },
        Give::PutSession(head) => {
            let name = core.assigned_client_id().unwrap_or_default();
            Command::Put { key: Key::SESSION, record: Record::of(head, name.as_bytes()) }
        }
        Give::Delete(key) => Command::Delete { key },
    }
}
