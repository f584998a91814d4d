//! The record of the session itself: what a later run must know of the session on the server beside its exchanges.
//!
//! Whose it is, by name where the server gave one; which one, by number; whether the server keeps it, and how long; and
//! whether it is to be gone on with at all. While a connection is up the record has the Session Expiry Interval; once it has
//! ended, what is left of it, so that the interval runs on where no program does.

use core::time::Duration;

use super::Core;
use super::handshake::fingerprint;
use super::persist::Give;
use crate::client_id::ClientId;
use crate::config::{Durability, WhenNotStored};
use crate::error::{RestoreError, StartError};
use crate::link::State;
use crate::record::{ACCEPTED, FOR_EVER, HELD, Key, LOOSE, Parsed, RecordKind, TORN};
use crate::time::{Instant, micros};

/// What the record says that may change while the session on the server stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Noted {
    pub(crate) flags: u8,
    /// The Session Expiry Interval in microseconds.
    interval: u64,
    /// When it has run out; `Instant::NEVER`: it does not run.
    expires: Instant,
}

impl Noted {
    pub(crate) const NOTHING: Self = Self { flags: 0, interval: FOR_EVER, expires: Instant::NEVER };
}

impl Core {
    /// Whether a crash may leave less than what was sent.
    pub(super) fn is_loose(&self) -> bool {
        self.config.durability != Durability::BeforeSend || self.config.when_not_stored == WhenNotStored::Send
    }

    fn noted(&self) -> Noted {
        let flags = [
            (self.session_held, ACCEPTED),
            (self.session_kept, HELD),
            (self.session_torn || self.journal.clean, TORN),
            (self.is_loose() || !self.is_certain(), LOOSE),
        ];
        Noted {
            flags: flags.into_iter().filter(|(is, _)| *is).fold(0, |all, (_, flag)| all | flag),
            interval: self.session_interval,
            expires: self.session_expires,
        }
    }

    /// What the record says may have changed.
    pub(super) fn note_session_change(&mut self) {
        self.journal.session_due |= self.records() && self.noted() != self.journal.noted;
    }

    /// The server accepted a connection.
    #[cold]
    pub(super) fn note_session(&mut self, resumed: bool, client: u64) {
        self.journal.clean = false;
        let version = self.link.version;
        self.session_interval = match self.limits.session_expiry {
            0 | u32::MAX => FOR_EVER,
            _ if !version.has_properties() => FOR_EVER,
            seconds => u64::from(seconds).saturating_mul(1_000_000),
        };
        if !resumed {
            self.journal.session = self.journal.session.wrapping_add(1);
        }
        // As the record has it, the session may be over by now: what is sent in it must not be sent again in another.
        self.journal.moved |= resumed && self.gates() && self.journal.noted.expires != Instant::NEVER;
        self.journal.session_due |= !resumed || client != self.journal.client;
        self.journal.client = client;
        self.note_session_change();
    }

    /// A run begins: that the server may have a session from now on is recorded before CONNECT, and that it may be one of
    /// which nothing is known here, where that CONNECT is `clean` and no CONNACK has confirmed it yet.
    /// Who has no name has another each time, and goes on with what is left of the operations.
    pub(super) fn start_recorded(
        &mut self,
        client: u64,
        nameless: bool,
        clean: bool,
    ) -> Result<(), StartError> {
        let other = self.journal.client != 0 && self.journal.client != client;
        if self.journal.restored && other && !nameless {
            return Err(StartError::OtherClient);
        }
        self.journal.clean = clean;
        self.journal.session_due |= !self.journal.session_known || self.journal.client != client;
        self.journal.session_known = true;
        self.journal.client = client;
        self.note_session_change();
        self.journal.opening = self.journal.session_due;
        Ok(())
    }

    /// The record, to be given to the driver.
    pub(super) fn session_record(&mut self) -> Give {
        self.journal.session_due = false;
        self.journal.session_out = self.journal.session_out.saturating_add(1);
        self.journal.noted = self.noted();
        let mut head = self.head(RecordKind::Session, Key::SESSION);
        let name = self.assigned.as_str().as_bytes();
        head.topic_len = u16::try_from(name.len()).unwrap_or(0);
        head.flags = self.journal.noted.flags;
        head.expires = match (self.session_left, self.session_expires) {
            (Some(left), _) => micros(left),
            (None, Instant::NEVER) => FOR_EVER,
            (None, expires) => micros(expires.since(self.now)),
        };
        head.wire_expires = self.session_interval;
        Give::PutSession(head.encode(name, &[]))
    }

    /// Whether the first record of the session is to be stored before anything is sent.
    pub(super) fn awaits_session(&self) -> bool {
        self.gates() && self.journal.opening && self.session_unstored()
    }

    fn session_unstored(&self) -> bool {
        self.journal.session_due || self.journal.session_out != 0
    }

    /// Whether it is to be stored which session this is before anything is sent to it, also where nothing else waits
    /// (`Durability::Async`). A mark of a lost session would else be taken, after a crash, for one of the next, where its
    /// identifier may be that of another message.
    #[inline]
    pub(super) fn awaits_new_session(&self) -> bool {
        self.journal.moved && self.session_unstored()
    }

    /// The journal has answered for the record.
    pub(super) fn session_answered(&mut self) {
        self.journal.session_out = self.journal.session_out.saturating_sub(1);
        self.journal.opening &= self.session_unstored();
        self.journal.moved &= self.session_unstored() || self.link.state != State::Up;
    }

    /// The next connection must begin a new session.
    pub(super) fn tear_session(&mut self) {
        self.session_torn = true;
        self.note_session_change();
    }

    pub(super) fn restore_session(
        &mut self,
        parsed: &Parsed<'_>,
        age: Option<Duration>,
    ) -> Result<(), RestoreError> {
        if self.journal.session_known {
            return Err(RestoreError::Duplicate);
        }
        let head = &parsed.head;
        let name = core::str::from_utf8(parsed.content).map_err(|_| RestoreError::Invalid)?;
        let named = name.is_empty() || fingerprint(name) == head.client;
        let kept = ClientId::keep(name);
        if !named || kept.as_str() != name || head.properties_len != 0 || head.payload_len != 0 {
            return Err(RestoreError::Invalid);
        }
        self.assigned = kept;
        self.journal.session_known = true;
        self.journal.noted = Noted {
            flags: head.flags,
            interval: head.wire_expires,
            // Whenever that is.
            expires: if head.expires == FOR_EVER { Instant::NEVER } else { Instant::ZERO },
        };
        self.journal.noted_session = head.session;
        self.session_interval = head.wire_expires;
        // A connection that was up ended at the latest now.
        let left = match head.expires {
            FOR_EVER => head.wire_expires,
            left => left.saturating_sub(age.map_or(0, micros)),
        };
        self.session_left = (left != FOR_EVER).then_some(Duration::from_micros(left));
        Ok(())
    }

    /// All records were read: whose session it is, and what is known of it. `exchanges`: some are open in it.
    pub(super) fn session_restored(&mut self, exchanges: bool) {
        let flags = self.journal.noted.flags;
        let its_own = self.journal.noted_session == self.journal.session;
        self.session_client = self.journal.client;
        self.session_held = (flags & ACCEPTED != 0 && its_own) || exchanges;
        self.session_made = !self.session_held;
        self.session_kept = flags & HELD != 0 || !self.journal.session_known;
        self.session_torn = flags & TORN != 0 && its_own;
        if !its_own || !self.session_held {
            self.session_left = None;
        }
        self.journal.earlier = true;
    }
}
