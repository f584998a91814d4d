//! The Session Expiry Interval (5.0) run on this side too: a session that the server has given up by now is
//! not waited for.
//!
//! The clock starts when the session learns that the connection has ended, so never before the server's. When
//! it has run out, the session is held lost at once, connected or not: `Config::on_session_lost` is applied, and
//! the next CONNECT begins a new session, so that a server whose clock is behind cannot resume what has no other
//! half any more. An interval of 0 is left to the next CONNACK: that session has ended with the connection
//! already, and nothing is gained by saying so earlier.
//!
//! A journal keeps the clock: `Session::restore` is told how long no program ran, and it goes on from there. A connection
//! that was up when the program ended is taken to have ended when the next one begins.

use core::time::Duration;

use super::Core;
use crate::link::State;
use crate::storage::Tables;
use crate::time::Instant;

/// The interval that never ends.
const FOR_EVER: u32 = u32::MAX;

impl Core {
    /// The connection, or an attempt, has ended: the interval begins to count.
    pub(super) fn start_session_clock(&mut self) {
        if !self.session_held || !self.link.version.has_properties() {
            return;
        }
        if self.connection.accepted {
            // What DISCONNECT said counts once all of it has left (section 3.14.2.2.2).
            let said = self.connection.last_word.filter(|_| self.wire.is_empty());
            let interval = said.unwrap_or(self.limits.session_expiry);
            self.session_kept = interval != 0;
            self.session_expires = self.session_end(interval);
        } else if self.connection.handshaking
            && self.wire.taken() != 0
            && self.session_expires != Instant::NEVER
        {
            // A server that took CONNECT and whose CONNACK was lost counts from here.
            self.session_expires = self.session_expires.max(self.session_end(self.handshake.session_expiry));
        }
        self.note_session_change();
    }

    fn session_end(&self, interval: u32) -> Instant {
        match interval {
            0 | FOR_EVER => Instant::NEVER,
            seconds => self.now.after(Duration::from_secs(seconds.into())),
        }
    }

    /// When the session is lost for want of a connection.
    pub(super) fn session_due(&self) -> Option<Instant> {
        let due = if self.session_left.is_some() { self.now } else { self.session_expires };
        matches!(self.link.state, State::Backoff | State::Opening).then_some(due)
    }

    /// Gives the session up if its time is over and no CONNECT is under way that may still be in time.
    pub(super) fn expire_session(&mut self, tables: &mut Tables<'_>) {
        if let Some(left) = self.session_left.take() {
            // What an earlier run had left of it counts from when the time is first told.
            self.session_expires = self.now.after(left);
            self.note_session_change();
        }
        if self.session_expires > self.now || !matches!(self.link.state, State::Backoff | State::Opening) {
            return;
        }
        self.session_expires = Instant::NEVER;
        self.tear_session();
        self.lose_session(tables, true);
        self.ops.rewind();
    }
}
