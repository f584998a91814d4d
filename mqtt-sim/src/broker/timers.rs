//! Deadlines: one of each kind per connection and session, the earliest first.

use std::collections::BTreeSet;

use mqtt_session::Instant;

use super::ConnId;
use super::session::SessionKey;

/// What falls due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Timer {
    /// Handshake, keep alive or the last bytes, whichever the connection waits for.
    Connection(ConnId),
    /// A delayed will.
    Will(SessionKey),
    /// The end of a session.
    Expiry(SessionKey),
    /// A packet held back on purpose.
    Delayed(u64),
}

/// All armed timers. Their owners remember what they armed, so that each is disarmed when it no longer holds: the set
/// never has more than three entries for a client, beside one for each packet held back.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Timers {
    armed: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    pub(super) fn arm(&mut self, at: Instant, timer: Timer) {
        self.armed.insert((at, timer));
    }

    pub(super) fn disarm(&mut self, at: Instant, timer: Timer) {
        self.armed.remove(&(at, timer));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.armed.len()
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.armed.first().map(|(at, _)| *at)
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = *self.armed.first()?;
        if at > now {
            return None;
        }
        self.armed.remove(&(at, timer));
        Some(timer)
    }
}
