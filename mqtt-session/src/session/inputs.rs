//! What the world did.

use core::time::Duration;

use super::Session;
use crate::engine::Straight;
use crate::error::RestoreError;
use crate::event::{Closed, Event};
use crate::options::ConnectOptions;
use crate::record::Key;
use crate::storage::Storage;
use crate::time::Instant;

impl<S: Storage> Session<S> {
    /// The transport is connected. The options are given again because credentials may have changed;
    /// even the version may be another than the one `start` was given.
    pub fn opened(&mut self, options: &ConnectOptions<'_>, now: Instant) {
        tape!(self, tape => tape.opened(options, now));
        self.bind();
        until_roomy!(self, self.core.room_for_connect(&self.store.tables(), options));
        self.core.opened(&mut self.store.tables(), options, now);
        tape!(self, tape, after => tape.done(after));
    }

    /// The transport is gone, or could not be connected. Input that was not consumed is to be forgotten.
    pub fn closed(&mut self, closed: Closed, now: Instant) {
        tape!(self, tape => tape.closed(closed, now));
        self.bind();
        self.core.closed(&mut self.store.tables(), closed, now);
        tape!(self, tape, after => tape.done(after));
    }

    /// Takes packets from the front of `input` until one has something to tell. `None`: what is left in
    /// `input` is the beginning of a packet, or is held back because `wants_read` is false; give it again
    /// with what follows, or after the next flush.
    pub fn receive<'i>(&mut self, input: &mut &'i [u8], now: Instant) -> Option<Event<'i>> {
        #[cfg(feature = "std")]
        if self.tape.is_some() {
            return self.receive_recorded(input, now);
        }
        self.take_packets(input, now)
    }

    #[inline]
    pub(super) fn take_packets<'i>(&mut self, input: &mut &'i [u8], now: Instant) -> Option<Event<'i>> {
        self.bind();
        let mut event = None;
        let mut tables = self.store.tables();
        self.core.tell(now);
        loop {
            match self.core.receive_straight(&mut tables, input, &mut event) {
                Straight::Told => return event,
                Straight::Moved => {}
                Straight::Other => break,
            }
        }
        until_roomy!(self, self.core.receive(&mut self.store.tables(), input, now, &mut event));
        event
    }

    /// Time has passed. To be called when `poll_timeout` says so; any other time is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        tape!(self, tape => tape.handle_timeout(now));
        self.bind();
        self.core.handle_timeout(&mut self.store.tables(), now);
        if let Some((arena, slots)) = self.core.quiet(&mut self.store.tables()) {
            self.store.shrink(arena, slots);
        }
        tape!(self, tape, after => tape.done(after));
    }

    /// The record of a `Command::Put` is stored, or that of a `Command::Delete` is deleted, and a crash
    /// cannot undo it. In any order; one `sync` may answer for many. O(1).
    pub fn stored(&mut self, key: Key) {
        tape!(self, tape => tape.stored(key));
        self.core.stored(&mut self.store.tables(), key);
        tape!(self, tape, after => tape.done(after));
    }

    /// The record of a `Command::Put` or `Command::Delete` could not be stored or deleted, and will not be.
    ///
    /// With `Durability::BeforeSend` an operation of which nothing was sent ends as `Outcome::NotStored`, or
    /// goes on unrecorded (`Config::when_not_stored`); everything else goes on as if it had been stored, so
    /// that the session never hangs. O(1).
    pub fn not_stored(&mut self, key: Key) {
        tape!(self, tape => tape.not_stored(key));
        self.core.not_stored(&mut self.store.tables(), key);
        tape!(self, tape, after => tape.done(after));
    }

    /// Takes back a record that an earlier run stored, with the time since then; `None`: not known, and
    /// lifetimes, of messages and of the session on the server, go on where they stood. Before anything else is done with the session, in any order.
    ///
    /// What was restored is held: the server's session is resumed, and operations keep their tokens. If the
    /// server has lost the session, `Config::on_session_lost` says what becomes of them. O(length); with the
    /// first command, input or output that follows, everything is put in order at once, O(n · log n), and
    /// until then questions are answered as by a new session.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    ///
    /// use mqtt_session::proto::{Qos, TopicName};
    /// use mqtt_session::{Command, Config, Durability, Event, HeapSession, Key, Message};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut config = Config::new(1);
    /// config.durability = Durability::BeforeSend;
    /// let mut journal: BTreeMap<Key, Vec<u8>> = BTreeMap::new(); // a file, in earnest
    ///
    /// let mut session = HeapSession::new(config);
    /// let message = Message::new(TopicName::new("meter/7")?).qos(Qos::ExactlyOnce);
    /// let token = session.publish(&message, b"451".into())?;
    /// while let Some(command) = session.poll_command() {
    ///     let key = match command {
    ///         Command::Put { key, record } => {
    ///             journal.insert(key, record.chunks().concat());
    ///             key
    ///         }
    ///         Command::Delete { key } => {
    ///             journal.remove(&key);
    ///             key
    ///         }
    ///         _ => continue,
    ///     };
    ///     session.stored(key); // after the sync
    /// }
    /// assert!(matches!(session.poll_event(), Some(Event::Durable { token: safe }) if safe == token));
    /// drop(session); // a crash
    ///
    /// let mut session = HeapSession::new(config);
    /// for (key, record) in &journal {
    ///     session.restore(*key, record, None)?;
    /// }
    /// assert!(session.cancel(token)); // it waits again, under its old name
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the record cannot be taken for exactly what was stored; nothing of it is taken then.
    pub fn restore(&mut self, key: Key, record: &[u8], age: Option<Duration>) -> Result<(), RestoreError> {
        tape!(self, tape => tape.restore(key, record, age));
        let result = self.take_back(key, record, age);
        tape!(self, tape, after => tape.outcome(&result, after));
        result
    }

    fn take_back(&mut self, key: Key, record: &[u8], age: Option<Duration>) -> Result<(), RestoreError> {
        let store = &self.store;
        self.core.bind(|| store.capacity());
        while let Some((table, len)) = self.core.restore(&mut self.store.tables(), key, record, age)? {
            self.store.reserve(table, len);
        }
        Ok(())
    }
}
