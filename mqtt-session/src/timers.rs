//! Deadlines: an enum and an array; the earliest wins.

use core::time::Duration;

use crate::list::change;
use crate::time::{Instant, micros};

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Timer {
    /// The transport must be connected.
    Dial,
    /// CONNACK must have arrived; while connected, a re-authentication must have ended.
    Connack,
    /// An answer to PINGREQ must have arrived.
    Ping,
    /// The rest of a half-received packet must have arrived.
    Partial,
    /// An acknowledgement must have arrived.
    Ack,
    /// The next piece of a payload must have been provided.
    Source,
    /// The next attempt begins.
    Backoff,
    /// What was accepted must have been delivered before stopping.
    Drain,
    /// The last bytes before closing must have left.
    Flush,
}

const COUNT: usize = 9;
const ALL: [Timer; COUNT] = [
    Timer::Dial,
    Timer::Connack,
    Timer::Ping,
    Timer::Partial,
    Timer::Ack,
    Timer::Source,
    Timer::Backoff,
    Timer::Drain,
    Timer::Flush,
];

/// All deadlines of a session.
///
/// A command has no time to count from: the span it begins waits as *pending*, and becomes a deadline
/// the next time the session is told the time.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Timers {
    due: [Instant; COUNT],
    pending: [u64; COUNT],
    any_pending: bool,
}

impl Timers {
    pub(crate) const fn new() -> Self {
        Self { due: [Instant::NEVER; COUNT], pending: [0; COUNT], any_pending: false }
    }

    /// Sets a deadline.
    pub(crate) fn set(&mut self, timer: Timer, due: Instant) {
        self.clear(timer);
        change(&mut self.due, timer as u32, |slot| *slot = due);
    }

    /// Sets a deadline `span` after the next time the session is told.
    pub(crate) fn set_pending(&mut self, timer: Timer, span: Duration) {
        self.clear(timer);
        // Zero means "not pending"; a deadline of zero length is one of a microsecond.
        change(&mut self.pending, timer as u32, |slot| *slot = micros(span).max(1));
        self.any_pending = true;
    }

    pub(crate) fn clear(&mut self, timer: Timer) {
        change(&mut self.due, timer as u32, |slot| *slot = Instant::NEVER);
        if self.any_pending {
            change(&mut self.pending, timer as u32, |slot| *slot = 0);
            self.any_pending = self.pending.iter().any(|span| *span != 0);
        }
    }

    /// Whether a deadline runs, or begins when the time is told.
    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        let index = timer as usize;
        self.due.get(index).is_some_and(|due| *due != Instant::NEVER)
            || self.pending.get(index).is_some_and(|span| *span != 0)
    }

    /// The session was told the time: pending spans become deadlines.
    #[inline]
    pub(crate) fn tell(&mut self, now: Instant) {
        if self.any_pending {
            self.start_pending(now);
        }
    }

    #[cold]
    fn start_pending(&mut self, now: Instant) {
        for (due, span) in self.due.iter_mut().zip(self.pending.iter_mut()) {
            if *span != 0 {
                *due = now.after(Duration::from_micros(*span));
                *span = 0;
            }
        }
        self.any_pending = false;
    }

    /// Whether a span waits for the time to be told.
    pub(crate) fn pending(&self) -> bool {
        self.any_pending
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.iter().min().copied().filter(|due| *due != Instant::NEVER)
    }

    /// Takes out one deadline that has passed.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<Timer> {
        let passed = |due: &Instant| *due <= now && *due != Instant::NEVER;
        let timer = ALL.into_iter().find(|timer| self.due.get(*timer as usize).is_some_and(passed))?;
        self.clear(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_span_counts_from_the_next_time_told() {
        let mut timers = Timers::new();
        timers.set_pending(Timer::Dial, Duration::from_micros(10));
        assert!(timers.pending());
        assert_eq!(timers.next(), None);
        timers.tell(Instant::from_micros(100));
        assert!(!timers.pending());
        assert_eq!(timers.next(), Some(Instant::from_micros(110)));
        assert_eq!(timers.expired(Instant::from_micros(109)), None);
        assert_eq!(timers.expired(Instant::from_micros(110)), Some(Timer::Dial));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn the_earliest_deadline_wins_and_clearing_forgets_both_kinds() {
        let mut timers = Timers::new();
        timers.set(Timer::Ping, Instant::from_micros(20));
        timers.set(Timer::Partial, Instant::from_micros(10));
        assert_eq!(timers.next(), Some(Instant::from_micros(10)));
        timers.clear(Timer::Partial);
        assert_eq!(timers.next(), Some(Instant::from_micros(20)));
        timers.set_pending(Timer::Ping, Duration::from_secs(1));
        timers.clear(Timer::Ping);
        assert!(!timers.pending());
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn the_end_of_time_expires_only_what_is_set() {
        let mut timers = Timers::new();
        assert_eq!(timers.expired(Instant::NEVER), None);
        timers.set(Timer::Drain, Instant::from_micros(1));
        assert_eq!(timers.expired(Instant::NEVER), Some(Timer::Drain));
        assert_eq!(timers.expired(Instant::NEVER), None);
    }
}
