//! A connection between a client and a broker: two pipes with latency, and whatever is planned to go wrong with it.

use core::time::Duration;
use std::collections::VecDeque;

use mqtt_proto::{Peer, Version};
use mqtt_session::{Closed, Instant};

use crate::broker::ConnId;
use crate::random::Random;
use crate::schedule::{Course, Schedule};

use super::chance::Draw;
use super::tap::Tap;
use super::{BrokerId, ClientId, Direction, Fault, Occasion, World};

/// Bytes a pipe holds on their way; beyond, writing has to wait, as with a socket's buffers.
const CAPACITY: usize = 64 * 1024;
/// Cuts and black holes are planned within this many bytes.
const PLANNED_WITHIN: u64 = 4_096;
/// Breaks that strike by time do so within this time.
const BREAKS_WITHIN: Duration = Duration::from_secs(90);

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Broker,
}

/// One direction.
#[derive(Clone, Debug)]
pub(super) struct Pipe {
    /// What is under way, with the times of arrival; these never decrease.
    chunks: VecDeque<(Instant, Vec<u8>)>,
    under_way: usize,
    last_arrival: Instant,
    /// Bytes taken from the sender.
    pub(super) written: u64,
    /// Bytes given to the receiver.
    read: u64,
    /// From this byte on everything is swallowed.
    pub(super) swallow_at: Option<u64>,
    /// When this byte has been taken the connection breaks; it and what follows do not arrive.
    pub(super) break_at: Option<u64>,
    /// The sender was told to wait.
    pub(super) blocked: bool,
    /// When and how the receiver learns that nothing more will come.
    pub(super) finished: Option<(Instant, Closed)>,
    /// Tells its packets apart.
    pub(super) tap: Tap,
    /// What its schedule says.
    pub(super) course: Course,
}

impl Pipe {
    fn new(from: Peer) -> Self {
        Self {
            chunks: VecDeque::new(),
            under_way: 0,
            last_arrival: Instant::ZERO,
            written: 0,
            read: 0,
            swallow_at: None,
            break_at: None,
            blocked: false,
            finished: None,
            tap: Tap::new(from),
            course: Course::default(),
        }
    }

    /// Bytes that can be taken now.
    pub(super) fn room(&self) -> usize {
        CAPACITY.saturating_sub(self.under_way)
    }

    /// Takes bytes that arrive at `at`, or when those before them do.
    pub(super) fn push(&mut self, bytes: &[u8], at: Instant) -> Instant {
        let start = self.written;
        self.written = self.written.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let limit = [self.swallow_at, self.break_at].into_iter().flatten().min().unwrap_or(u64::MAX);
        let arriving = usize::try_from(limit.saturating_sub(start)).unwrap_or(usize::MAX).min(bytes.len());
        let at = at.max(self.last_arrival);
        self.last_arrival = at;
        if let Some(bytes) = bytes.get(..arriving).filter(|bytes| !bytes.is_empty()) {
            self.under_way += bytes.len();
            self.chunks.push_back((at, bytes.to_vec()));
        }
        at
    }

    /// What has arrived by now.
    pub(super) fn arrived(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.chunks.front()?.0 > now {
            return None;
        }
        let (_, bytes) = self.chunks.pop_front()?;
        self.under_way = self.under_way.saturating_sub(bytes.len());
        self.read = self.read.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Some(bytes)
    }

    /// Nothing that is written from now on arrives before `at`.
    pub(super) fn hold(&mut self, at: Instant) {
        self.last_arrival = self.last_arrival.max(at);
    }

    /// Nothing that is written from now on arrives at all.
    pub(super) fn swallow(&mut self) {
        self.swallow_at = Some(self.swallow_at.unwrap_or(u64::MAX).min(self.written));
    }

    /// Puts back what was not read yet.
    pub(super) fn unread(&mut self, bytes: Vec<u8>, at: Instant) {
        self.under_way += bytes.len();
        self.read = self.read.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.chunks.push_front((at, bytes));
    }

    /// How it ends, if the receiver has read all there is by now.
    pub(super) fn ended(&self, now: Instant) -> Option<Closed> {
        let (at, how) = self.finished?;
        (self.chunks.is_empty() && at <= now).then_some(how)
    }

    /// Nothing more comes after what is under way.
    pub(super) fn finish(&mut self, at: Instant, how: Closed) -> Instant {
        let at = at.max(self.last_arrival);
        self.finished.get_or_insert((at, how));
        at
    }

    /// What is under way will not arrive.
    pub(super) fn lose(&mut self) {
        self.chunks.clear();
        self.under_way = 0;
    }

    /// Nothing that is written now arrives.
    pub(super) fn is_swallowing(&self) -> bool {
        self.swallow_at.is_some_and(|at| self.written >= at)
    }

    pub(super) fn is_broken(&self) -> bool {
        self.break_at.is_some_and(|at| self.written >= at)
    }
}

/// A connection.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) client: ClientId,
    pub(super) broker: BrokerId,
    pub(super) conn: ConnId,
    /// Which of its client's connections it is.
    pub(super) number: u64,
    pub(super) up: Pipe,
    pub(super) down: Pipe,
    pub(super) latency: Duration,
    /// The protocol version, once CONNECT has named it.
    pub(super) version: Version,
    /// Whether the client is still on it.
    pub(super) client_open: bool,
    /// Whether the broker is still on it.
    pub(super) broker_open: bool,
    /// When it is to break, if by time.
    pub(super) breaks_at: Option<Instant>,
    /// It is a fault that is to break it.
    pub(super) reset: bool,
    /// A fault is to swallow bytes, and has not yet.
    pub(super) black_hole: bool,
    /// It broke: nothing gets through any more.
    pub(super) broken: bool,
    /// The end that will not be told when it breaks.
    pub(super) untold: Option<Side>,
    /// When it was opened.
    pub(super) opened: Instant,
    /// One direction has ended, and who learns of it has to end the other.
    pub(super) half_closed: bool,
}

impl Link {
    pub(super) fn new(client: ClientId, broker: BrokerId, conn: ConnId, number: u64) -> Self {
        Self {
            client,
            broker,
            conn,
            number,
            up: Pipe::new(Peer::Client),
            down: Pipe::new(Peer::Server),
            latency: Duration::ZERO,
            version: Version::V5,
            client_open: true,
            broker_open: true,
            breaks_at: None,
            reset: false,
            black_hole: false,
            broken: false,
            untold: None,
            opened: Instant::ZERO,
            half_closed: false,
        }
    }

    /// Draws how fast it is.
    pub(super) fn draw_latency(&mut self, world: &World) {
        let mut random = world.chance(Draw::Latency, self.occasion());
        self.latency = random.span(Duration::from_micros(200), Duration::from_millis(40));
    }

    /// Draws what is to go wrong with it from now on.
    pub(super) fn plan(&mut self, world: &World) {
        if self.broken || self.reset || self.black_hole || self.untold.is_some() {
            return;
        }
        let (occasion, faults) = (self.occasion(), world.faults());
        let (up, down) = (self.up.written, self.down.written);
        let within =
            |random: &mut Random, from: u64| Some(from.saturating_add(random.skewed(PLANNED_WITHIN)));
        if let Some(mut random) = world.threatens(Fault::Reset, faults.reset, occasion) {
            self.reset = true;
            match random.below(5) {
                0 => self.breaks_at = Some(world.now().after(random.span(Duration::ZERO, BREAKS_WITHIN))),
                1 | 2 => self.up.break_at = within(&mut random, up),
                _ => self.down.break_at = within(&mut random, down),
            }
        }
        if let Some(mut random) = world.threatens(Fault::HalfOpen, faults.half_open, occasion) {
            self.untold = Some(if random.below(2) == 0 { Side::Client } else { Side::Broker });
        }
        if let Some(mut random) = world.threatens(Fault::BlackHole, faults.black_hole, occasion) {
            self.black_hole = true;
            let which = random.below(3);
            if which != 1 {
                self.up.swallow_at = within(&mut random, up);
            }
            if which != 0 {
                self.down.swallow_at = within(&mut random, down);
            }
        }
    }

    /// Takes what its schedule says of both directions.
    pub(super) fn follow(&mut self, schedule: &Schedule) {
        self.up.course = schedule.course(Direction::Up);
        self.down.course = schedule.course(Direction::Down);
    }

    /// No fault breaks it any more: someone else does.
    pub(super) fn unplan(&mut self) {
        self.untold = None;
        self.reset = false;
    }

    /// It as a whole.
    pub(super) fn occasion(&self) -> Occasion {
        Occasion::Connection { client: self.client, number: self.number }
    }

    /// The next write in a direction.
    pub(super) fn write_occasion(&self, direction: Direction) -> Occasion {
        let pipe = if direction == Direction::Up { &self.up } else { &self.down };
        Occasion::Bytes { client: self.client, connection: self.number, direction, at: pipe.written }
    }

    /// The next read in a direction.
    pub(super) fn read_occasion(&self, direction: Direction) -> Occasion {
        let pipe = if direction == Direction::Up { &self.up } else { &self.down };
        Occasion::Bytes { client: self.client, connection: self.number, direction, at: pipe.read }
    }

    pub(super) fn pipe(&mut self, direction: Direction) -> &mut Pipe {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }

    /// Makes the connection work as it should from now on: nothing planned strikes, nothing more is swallowed. What
    /// was lost stays lost.
    pub(super) fn heal(&mut self) {
        self.up.break_at = None;
        self.down.break_at = None;
        self.breaks_at = None;
        self.up.course.heal();
        self.down.course.heal();
        if self.black_hole {
            self.black_hole = false;
            (self.up.swallow_at, self.down.swallow_at) = (None, None);
        }
    }
}
