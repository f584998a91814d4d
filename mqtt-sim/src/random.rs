//! The one source of chance: a seed.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

/// A small generator (SplitMix64): the same seed gives the same numbers on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Less than `bound`; 0 for 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The bias of a plain remainder does not matter for bounds this small.
        self.next().checked_rem(bound).unwrap_or(0)
    }

    pub(crate) fn size_below(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(u64::try_from(bound).unwrap_or(u64::MAX))).unwrap_or(0)
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// From `low` to `high`, to the microsecond.
    pub(crate) fn span(&mut self, low: Duration, high: Duration) -> Duration {
        Duration::from_micros(self.between(micros(low), micros(high)))
    }

    /// True `rate.0` times in a million.
    pub(crate) fn happens(&mut self, rate: Rate) -> bool {
        rate.per_million() > 0 && self.below(1_000_000) < u64::from(rate.per_million())
    }

    /// Up to `max`, small numbers as likely as large ones: a cut wants to hit the first bytes as often as the thousandth.
    pub(crate) fn skewed(&mut self, max: u64) -> u64 {
        let bits = u64::from(64 - max.leading_zeros());
        let bits = self.between(0, bits);
        let high = 1_u64.checked_shl(u32::try_from(bits).unwrap_or(63)).unwrap_or(u64::MAX);
        self.below(high.min(max).saturating_add(1))
    }
}

pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// How often something happens, in millionths of the occasions it has.
///
/// ```
/// use mqtt_sim::world::Rate;
/// assert!(Rate::one_in(4) > Rate::per_mille(100));
/// assert_eq!(Rate::default(), Rate::NEVER);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u32);

impl Rate {
    /// Not at all. This is the default.
    pub const NEVER: Self = Self(0);
    /// On every occasion.
    pub const ALWAYS: Self = Self(1_000_000);

    /// `n` times in a thousand, at most always.
    pub const fn per_mille(n: u32) -> Self {
        let millionths = n.saturating_mul(1_000);
        if millionths > 1_000_000 { Self::ALWAYS } else { Self(millionths) }
    }

    /// Once in `n` occasions; never for 0.
    pub const fn one_in(n: u32) -> Self {
        match 1_000_000_u32.checked_div(n) {
            Some(rate) => Self(rate),
            None => Self::NEVER,
        }
    }

    /// `n` times in a million.
    pub(crate) fn per_million_of(n: u64) -> Self {
        Self(u32::try_from(n).unwrap_or(u32::MAX).min(Self::ALWAYS.0))
    }

    /// In millionths.
    pub const fn per_million(self) -> u32 {
        self.0
    }
}

/// In percent.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", f64::from(self.0) / 10_000.0)
    }
}

/// A part of one (`0.2`), or percent (`20%`).
impl FromStr for Rate {
    type Err = NoRate;

    fn from_str(text: &str) -> Result<Self, NoRate> {
        let (number, whole) = match text.strip_suffix('%') {
            Some(percent) => (percent.trim_end(), 100.0),
            None => (text, 1.0),
        };
        let part = number.parse::<f64>().map_err(|_| NoRate)? / whole;
        if !(0.0..=1.0).contains(&part) {
            return Err(NoRate);
        }
        // At most a million, and not negative.
        Ok(Self((part * 1_000_000.0).round() as u32))
    }
}

/// A text that is no [`Rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRate;

impl fmt::Display for NoRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a rate is a part of one, as 0.2, or percent, as 20%")
    }
}

impl core::error::Error for NoRate {}
