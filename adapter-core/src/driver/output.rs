//! What goes out, and how much of it in one write.

use core::time::Duration;
use std::io;

use mqtt_session::io::write_to;
use mqtt_session::{Closed, Instant};

use super::{Driver, FAREWELL, Flush};
use crate::event::Cause;
use crate::transport::{Through, Transport};

/// How long a write counts as fresh: what is published meanwhile is gathered for the next write, which then
/// carries many packets, instead of costing a system call each.
const FRESH: Duration = Duration::from_micros(50);

/// Bytes gathered behind a fresh write that are worth a write of their own.
const BATCH: usize = 32 * 1024;

impl<T: Transport> Driver<T> {
    /// Writes what is to be written, unless the link would block.
    pub fn flush(&mut self) {
        self.flush_at(self.now());
    }

    /// Writes what was published since the last write, unless that write is fresh and little was gathered
    /// since.
    pub fn flush_or_gather(&mut self) -> Flush {
        if self.link.is_none() || self.blocked {
            return Flush::Done;
        }
        let now = self.now();
        if self.gathered < BATCH && now.since(self.written) < FRESH {
            return Flush::Gathered;
        }
        self.flush_at(now);
        if self.is_flushed() { Flush::Done } else { Flush::Stuck }
    }

    /// Whether something was gathered that can be written now.
    #[must_use]
    pub const fn has_gathered(&self) -> bool {
        self.gathered > 0 && self.link.is_some() && !self.blocked
    }

    /// Whether the last write took everything; if not, the link would block, or has failed.
    #[must_use]
    pub const fn is_flushed(&self) -> bool {
        self.link.is_some() && !self.blocked
    }

    /// Tells the server that nothing more comes, if it is to be told: not before TLS or WebSocket has passed on what it has
    /// taken, DISCONNECT at the end of it. From then on the server has its time to close.
    pub(super) fn say_end(&mut self, now: Instant) {
        if !self.unsaid || self.unflushed {
            return;
        }
        self.unsaid = false;
        if self.link.as_deref().is_some_and(|link| link.shutdown().is_ok()) {
            self.ending = Some(now.after(FAREWELL));
        } else {
            self.closed(Closed::Carried, None);
        }
    }

    pub(super) fn flush_at(&mut self, now: Instant) {
        let Some(link) = self.link.as_deref() else { return };
        if self.blocked || (!self.unflushed && self.session.outgoing(now).is_empty()) {
            return;
        }
        self.gathered = 0;
        let result = match write_to(&mut self.session, &mut Through(link), now) {
            // Free for sockets; TLS may hold encrypted bytes back.
            Ok(false) => match link.flush() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unflushed = true;
                    Ok(true)
                }
                result => {
                    self.unflushed = false;
                    result.map(|()| false)
                }
            },
            result => result,
        };
        // When it ended: where writing is slow, more is gathered.
        self.written = self.now();
        match result {
            Ok(blocked) => self.blocked = blocked,
            Err(error) => self.closed(Closed::Failed, Some(Cause::transport(&error))),
        }
    }
}
