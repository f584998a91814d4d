//! Time as the session sees it: a number the caller provides.

use core::time::Duration;

/// A moment, in microseconds since a start the caller picks.
///
/// The session owns no clock. Whoever drives it tells it the time with every input; a monotonic
/// clock is the right source (`std::time::Instant::elapsed` since program start), and in a simulator
/// any counter is. A clock that stands still or steps back is harmless: the session uses the latest
/// time it was ever told. All arithmetic saturates; 2^64 µs are 584,000 years.
///
/// ```
/// use core::time::Duration;
/// use mqtt_session::Instant;
///
/// let start = Instant::ZERO;
/// let later = start.after(Duration::from_millis(5));
/// assert_eq!(later.as_micros(), 5_000);
/// assert_eq!(later.since(start), Duration::from_millis(5));
/// assert_eq!(start.since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(u64);

impl Instant {
    /// The start the caller picked.
    pub const ZERO: Self = Self(0);
    /// A moment that never comes.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// The moment `micros` microseconds after the start.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the start.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// This moment plus `span`, saturating.
    #[must_use]
    pub const fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros(span)))
    }

    /// The time that passed from `earlier` to this moment; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// A span in microseconds, saturating at `u64::MAX` (584,000 years).
pub(crate) const fn micros(span: Duration) -> u64 {
    let micros = span.as_micros();
    if micros > u64::MAX as u128 { u64::MAX } else { micros as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Instant::NEVER.after(Duration::from_secs(1)), Instant::NEVER);
        assert_eq!(Instant::ZERO.after(Duration::MAX), Instant::NEVER);
        assert_eq!(Instant::ZERO.since(Instant::NEVER), Duration::ZERO);
    }

    #[test]
    fn a_span_longer_than_there_are_microseconds_is_the_longest() {
        assert_eq!(micros(Duration::from_secs(u64::MAX / 1_000_000)), 18_446_744_073_709_000_000);
        assert_eq!(micros(Duration::from_secs(u64::MAX / 1_000_000 + 1)), u64::MAX);
        assert_eq!(micros(Duration::from_secs(u64::MAX / 1_000)), u64::MAX);
    }
}
