//! Which fault strikes a connection when: one type for the simulator's links and for proxies on real sockets.
//!
//! A [`Schedule`] is a list, one for each connection: when so many bytes have passed one way, or after so long, this
//! [`Trouble`] strikes. The simulator applies it with [`World::schedule`](crate::world::World::schedule); a proxy asks a
//! [`Course`] of each direction what may pass, and does what it says. Both then mean the same by it.
//!
//! ```
//! use std::time::Duration;
//! use mqtt_sim::schedule::{Schedule, Trouble};
//! use mqtt_sim::world::Direction;
//!
//! let schedule = Schedule::new()
//!     .passed(Direction::Up, 10, Trouble::Split(3))
//!     .passed(Direction::Up, 20, Trouble::Reset);
//! let mut course = schedule.course(Direction::Up);
//! let mut pieces = Vec::new();
//! let reset = loop {
//!     match course.strike(Duration::ZERO) {
//!         Some(Trouble::Reset) => break true,
//!         Some(_) => continue,
//!         None => {}
//!     }
//!     let piece = course.room(100);
//!     course.pass(piece);
//!     pieces.push(piece);
//! };
//! assert!(reset);
//! assert_eq!(pieces, [10, 1, 1, 1, 7]);
//! ```

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;

use crate::random::Random;
use crate::world::Direction;

/// What goes wrong with one direction of a connection, or with all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Trouble {
    /// From here on everything arrives this much later, until another delay strikes; zero ends it.
    Delay(Duration),
    /// Nothing passes for so long; then all of it does.
    Stall(Duration),
    /// So many bytes pass one by one.
    Split(u64),
    /// The receiver is told that nothing more comes, and nothing does; the other direction goes on.
    HalfClose,
    /// The connection ends at once, both ways, as an error; what is under way is lost.
    Reset,
    /// The connection ends in order, both ways, behind what has passed.
    Cut,
}

impl Trouble {
    /// How many kinds there are.
    pub const KINDS: usize = 6;

    /// Its kind, in a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        NAMES[self.kind()]
    }

    /// Whether the connection does not outlive it.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::HalfClose | Self::Reset | Self::Cut)
    }

    const fn kind(self) -> usize {
        match self {
            Self::Delay(_) => 0,
            Self::Stall(_) => 1,
            Self::Split(_) => 2,
            Self::HalfClose => 3,
            Self::Reset => 4,
            Self::Cut => 5,
        }
    }
}

const NAMES: [&str; Trouble::KINDS] = ["delay", "stall", "split", "half-close", "reset", "cut"];

/// When a [`Trouble`] strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum When {
    /// As soon as so many bytes have passed in its direction.
    Passed(u64),
    /// So long after the connection opened.
    Elapsed(Duration),
}

/// One line of a [`Schedule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Which direction is counted and struck.
    pub direction: Direction,
    /// When it strikes.
    pub when: When,
    /// What strikes.
    pub trouble: Trouble,
}

/// What goes wrong with one connection. The default is that nothing does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Schedule {
    entries: Vec<Entry>,
}

/// What [`Schedule::drawn`] draws from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Whether troubles may end the connection: [`Trouble::HalfClose`], [`Trouble::Reset`], [`Trouble::Cut`].
    pub ends: bool,
    /// How many are drawn for each connection, at least one; those behind an end never strike.
    pub count: u32,
    /// The most bytes from one to the next, each direction counted for itself.
    pub every: u64,
    /// Those that strike by time, one in five, do so within this time.
    pub within: Duration,
    /// The longest stall and delay.
    pub longest: Duration,
}

impl Mix {
    /// All kinds, so many that no connection lives long: 32, up to 32 KiB from one to the next or within a minute, at most
    /// 200 ms long.
    pub const ALL: Self = Self {
        ends: true,
        count: 32,
        every: 32 * 1024,
        within: Duration::from_secs(60),
        longest: Duration::from_millis(200),
    };

    /// Only such as the connection outlives: a thousand of them, since it lives long.
    pub const GENTLE: Self =
        Self { ends: false, count: 1_000, within: Duration::from_secs(3_600), ..Self::ALL };
}

impl Schedule {
    /// Nothing goes wrong.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// The connection is cut when so many bytes have passed one way, and nothing else happens.
    #[must_use]
    pub fn cut(direction: Direction, bytes: u64) -> Self {
        Self::new().passed(direction, bytes, Trouble::Cut)
    }

    /// Adds a trouble that strikes as soon as so many bytes have passed in its direction.
    #[must_use]
    pub fn passed(mut self, direction: Direction, bytes: u64, trouble: Trouble) -> Self {
        self.entries.push(Entry { direction, when: When::Passed(bytes), trouble });
        self
    }

    /// Adds a trouble that strikes so long after the connection opened.
    #[must_use]
    pub fn elapsed(mut self, direction: Direction, after: Duration, trouble: Trouble) -> Self {
        self.entries.push(Entry { direction, when: When::Elapsed(after), trouble });
        self
    }

    /// One of chance: the same seed and mix give the same schedule on every machine.
    ///
    /// ```
    /// use mqtt_sim::schedule::{Mix, Schedule};
    /// let schedule = Schedule::drawn(7, &Mix::GENTLE);
    /// assert_eq!(schedule, Schedule::drawn(7, &Mix::GENTLE));
    /// assert_ne!(schedule, Schedule::drawn(8, &Mix::GENTLE));
    /// assert!(schedule.entries().iter().all(|entry| !entry.trouble.is_end()));
    /// ```
    #[must_use]
    pub fn drawn(seed: u64, mix: &Mix) -> Self {
        let mut random = Random::new(seed ^ 0x5C4E_D01E);
        let mut schedule = Self::new();
        let (mut up, mut down) = (0_u64, 0_u64);
        for _ in 0..mix.count.max(1) {
            let trouble = match random.below(if mix.ends { 6 } else { 3 }) {
                0 => Trouble::Delay(random.span(Duration::ZERO, mix.longest)),
                1 => Trouble::Stall(random.span(Duration::ZERO, mix.longest)),
                2 => Trouble::Split(random.between(1, 256)),
                3 => Trouble::HalfClose,
                4 => Trouble::Reset,
                _ => Trouble::Cut,
            };
            let (direction, passed) =
                if random.below(2) == 0 { (Direction::Up, &mut up) } else { (Direction::Down, &mut down) };
            schedule = if random.below(5) == 0 {
                schedule.elapsed(direction, random.span(Duration::ZERO, mix.within), trouble)
            } else {
                *passed = passed.saturating_add(random.between(1, mix.every));
                schedule.passed(direction, *passed, trouble)
            };
        }
        schedule
    }

    /// Its lines, in the order in which they were added.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What it says of one direction, from the start of the connection.
    #[must_use]
    pub fn course(&self, direction: Direction) -> Course {
        let mut course = Course::default();
        for entry in self.entries.iter().filter(|entry| entry.direction == direction) {
            match entry.when {
                When::Passed(bytes) => course.by_bytes.push_back((bytes, entry.trouble)),
                When::Elapsed(after) => course.by_time.push_back((after, entry.trouble)),
            }
        }
        // Both sorts keep the order of equals.
        course.by_bytes.make_contiguous().sort_by_key(|(bytes, _)| *bytes);
        course.by_time.make_contiguous().sort_by_key(|(after, _)| *after);
        course
    }
}

/// One direction of one connection under way: what may pass, and what strikes next.
///
/// Who carries the bytes asks in this order: [`strike`](Self::strike) until there is none, [`room`](Self::room), and,
/// when a piece of that size has gone on its way, [`pass`](Self::pass). Delays and split bytes are kept here; the other
/// troubles are the caller's to carry out.
#[derive(Clone, Debug, Default)]
pub struct Course {
    by_bytes: VecDeque<(u64, Trouble)>,
    by_time: VecDeque<(Duration, Trouble)>,
    passed: u64,
    delay: Duration,
    single: u64,
}

impl Course {
    /// The next trouble that is due so long after the connection opened; it is not told again.
    pub fn strike(&mut self, elapsed: Duration) -> Option<Trouble> {
        let trouble = match (self.by_time.front(), self.by_bytes.front()) {
            (Some((after, _)), _) if *after <= elapsed => self.by_time.pop_front()?.1,
            (_, Some((bytes, _))) if *bytes <= self.passed => self.by_bytes.pop_front()?.1,
            _ => return None,
        };
        match trouble {
            Trouble::Delay(delay) => self.delay = delay,
            Trouble::Split(bytes) => self.single = self.single.saturating_add(bytes),
            _ => {}
        }
        Some(trouble)
    }

    /// How many of so many bytes may pass in one piece, before the next trouble is asked for.
    #[must_use]
    pub fn room(&self, wanted: usize) -> usize {
        if self.single > 0 {
            return wanted.min(1);
        }
        let next = self.by_bytes.front().map_or(u64::MAX, |(bytes, _)| *bytes);
        usize::try_from(next.saturating_sub(self.passed)).unwrap_or(usize::MAX).min(wanted)
    }

    /// A piece has passed.
    pub fn pass(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.passed = self.passed.saturating_add(bytes);
        self.single = self.single.saturating_sub(bytes);
    }

    /// How much later than otherwise a piece arrives at present.
    #[must_use]
    pub const fn delay(&self) -> Duration {
        self.delay
    }

    /// Whether bytes pass one by one at present.
    #[must_use]
    pub const fn is_splitting(&self) -> bool {
        self.single > 0
    }

    /// When the next trouble strikes that does so by time, counted from the opening.
    #[must_use]
    pub fn next_time(&self) -> Option<Duration> {
        self.by_time.front().map(|(after, _)| *after)
    }

    /// Nothing goes wrong any more.
    pub fn heal(&mut self) {
        *self = Self { passed: self.passed, ..Self::default() };
    }
}

/// How often each kind of [`Trouble`] has struck.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([u64; Trouble::KINDS]);

impl Tally {
    /// One more.
    pub fn count(&mut self, trouble: Trouble) {
        if let Some(count) = self.0.get_mut(trouble.kind()) {
            *count += 1;
        }
    }

    /// As many more as another says.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }

    /// How often this kind has struck; how long or how many is not looked at.
    #[must_use]
    pub fn of(&self, trouble: Trouble) -> u64 {
        self.0.get(trouble.kind()).copied().unwrap_or_default()
    }

    /// How often any has.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// As `3 delay, 0 stall, ..`.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, count)) in NAMES.iter().zip(self.0).enumerate() {
            write!(f, "{}{count} {name}", if number == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_has_every_kind_in_both_directions_by_bytes_and_by_time() {
        let mut tally = Tally::default();
        let (mut up, mut timed) = (0, 0);
        for seed in 0..100 {
            let schedule = Schedule::drawn(seed, &Mix { count: 4, ..Mix::ALL });
            assert_eq!(schedule.entries().len(), 4);
            for entry in schedule.entries() {
                tally.count(entry.trouble);
                up += u32::from(entry.direction == Direction::Up);
                timed += u32::from(matches!(entry.when, When::Elapsed(_)));
            }
        }
        assert_eq!(tally.all(), 400);
        assert!(tally.0.iter().all(|count| (40..100).contains(count)), "{tally}");
        assert!((150..250).contains(&up) && (50..120).contains(&timed), "{up} {timed}");
    }

    #[test]
    fn a_course_stops_at_each_byte_and_at_each_time() {
        let second = Duration::from_secs(1);
        let schedule = Schedule::new()
            .elapsed(Direction::Down, 2 * second, Trouble::Stall(second))
            .passed(Direction::Down, 9, Trouble::Cut)
            .passed(Direction::Down, 4, Trouble::Delay(second))
            .passed(Direction::Up, 1, Trouble::Reset);
        let mut course = schedule.course(Direction::Down);
        assert_eq!((course.strike(second), course.room(100)), (None, 4));
        course.pass(3);
        assert_eq!((course.strike(second), course.room(100)), (None, 1));
        course.pass(1);
        assert_eq!((course.delay(), course.next_time()), (Duration::ZERO, Some(2 * second)));
        assert_eq!(course.strike(2 * second), Some(Trouble::Stall(second)));
        assert_eq!(course.strike(2 * second), Some(Trouble::Delay(second)));
        assert_eq!((course.strike(2 * second), course.room(100), course.delay()), (None, 5, second));
        course.pass(5);
        let mut healed = course.clone();
        healed.heal();
        assert_eq!(
            (healed.strike(9 * second), healed.room(100), healed.delay()),
            (None, 100, Duration::ZERO)
        );
        assert_eq!(course.strike(2 * second), Some(Trouble::Cut));
    }
}
