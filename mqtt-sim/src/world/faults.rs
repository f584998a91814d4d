//! What can go wrong, and how often.

use core::time::Duration;

use core::fmt;
use core::str::FromStr;

use crate::random::{Random, Rate};

use super::chance::NoSuchFault;

/// The kinds of faults a [`World`](super::World) can inject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// A read returned only a part of what had arrived.
    SplitRead,
    /// A write took only a part of what was offered.
    PartialWrite,
    /// Bytes took longer than the link's latency.
    Delay,
    /// A connection broke; what was under way is lost.
    Reset,
    /// A connection broke and one end was not told.
    HalfOpen,
    /// From some byte on, one direction of a connection swallows everything.
    BlackHole,
    /// A dial was never answered.
    DialLost,
    /// The broker stopped and came back with its sessions.
    BrokerRestart,
    /// The broker stopped and came back without its sessions.
    BrokerAmnesia,
    /// The broker sent a packet twice.
    Duplicate,
    /// The broker did not send an acknowledgement.
    LostAck,
    /// A byte changed on its way to the client.
    Malformed,
    /// The broker came back with other limits.
    OtherLimits,
    /// A client's clock jumped or stood still.
    ClockStep,
    /// A client was not run for a while.
    Stall,
    /// A client's program ended without a word; its journal is what the disk had.
    Crash,
    /// A client's program ended without a word, and its journal is gone.
    JournalLost,
    /// A client's disk did not take a record, or did not delete one.
    NotStored,
}

impl Fault {
    /// All kinds, in their order.
    pub const ALL: [Self; 18] = [
        Self::SplitRead,
        Self::PartialWrite,
        Self::Delay,
        Self::Reset,
        Self::HalfOpen,
        Self::BlackHole,
        Self::DialLost,
        Self::BrokerRestart,
        Self::BrokerAmnesia,
        Self::Duplicate,
        Self::LostAck,
        Self::Malformed,
        Self::OtherLimits,
        Self::ClockStep,
        Self::Stall,
        Self::Crash,
        Self::JournalLost,
        Self::NotStored,
    ];

    /// What it is called in options and lists: `split-read`, `broker-restart`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SplitRead => "split-read",
            Self::PartialWrite => "partial-write",
            Self::Delay => "delay",
            Self::Reset => "reset",
            Self::HalfOpen => "half-open",
            Self::BlackHole => "black-hole",
            Self::DialLost => "dial-lost",
            Self::BrokerRestart => "broker-restart",
            Self::BrokerAmnesia => "broker-amnesia",
            Self::Duplicate => "duplicate",
            Self::LostAck => "lost-ack",
            Self::Malformed => "malformed",
            Self::OtherLimits => "other-limits",
            Self::ClockStep => "clock-step",
            Self::Stall => "stall",
            Self::Crash => "crash",
            Self::JournalLost => "journal-lost",
            Self::NotStored => "not-stored",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Fault {
    type Err = NoSuchFault;

    fn from_str(text: &str) -> Result<Self, NoSuchFault> {
        let found = Self::ALL.into_iter().find(|fault| fault.name() == text);
        found.ok_or_else(|| NoSuchFault(text.to_owned()))
    }
}

/// The rate of every fault, each with the occasions it is drawn on. The default is a world without faults.
///
/// ```
/// use mqtt_sim::world::{Faults, Rate};
/// let faults = Faults { reset: Rate::one_in(2), split_read: Rate::one_in(3), ..Faults::NONE };
/// assert_ne!(faults, Faults::NONE);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// Each arrival: hand over only a part now.
    pub split_read: Rate,
    /// Each write: take only a part now.
    pub partial_write: Rate,
    /// Each chunk under way: up to [`delay_max`](Self::delay_max) more.
    pub delay: Rate,
    /// Longest additional delay.
    pub delay_max: Duration,
    /// Each connection: break it, at a byte of either direction or at a time.
    pub reset: Rate,
    /// Each break: one end does not learn of it.
    pub half_open: Rate,
    /// Each connection: one direction swallows everything from some byte on.
    pub black_hole: Rate,
    /// Each dial: no answer, ever.
    pub dial_lost: Rate,
    /// Each virtual second of each broker: stop it for up to [`outage_max`](Self::outage_max), sessions kept.
    pub broker_restart: Rate,
    /// Each stop of a broker: its sessions are forgotten. Exactly once is then no longer promised.
    pub broker_amnesia: Rate,
    /// Longest stop of a broker.
    pub outage_max: Duration,
    /// Each stop of a broker: it comes back with other limits.
    pub other_limits: Rate,
    /// Each acknowledgement of a broker (PUBACK to PUBCOMP, SUBACK, UNSUBACK, PINGRESP): it is sent twice.
    pub duplicate: Rate,
    /// Each of them: it is not sent.
    pub lost_ack: Rate,
    /// Each chunk towards a client: one byte is changed.
    pub malformed: Rate,
    /// Each virtual second of each client: its clock jumps ahead by up to a minute, or stands still as long.
    pub clock_step: Rate,
    /// Each virtual second of each client: it is not run for up to [`stall_max`](Self::stall_max).
    pub stall: Rate,
    /// Longest stall of a client.
    pub stall_max: Duration,
    /// Each command a client's driver is to carry out, each read, event and write: the program ends before it.
    pub crash: Rate,
    /// Each end of a program: its journal is gone with it.
    pub journal_lost: Rate,
    /// Longest time until a program that ended is started again.
    pub down_max: Duration,
    /// Longest time until a record is on the disk, or deleted there.
    pub sync_max: Duration,
    /// Each record to be stored or deleted: the disk refuses.
    pub not_stored: Rate,
}

impl Faults {
    /// A perfect world.
    pub const NONE: Self = Self {
        split_read: Rate::NEVER,
        partial_write: Rate::NEVER,
        delay: Rate::NEVER,
        delay_max: Duration::ZERO,
        reset: Rate::NEVER,
        half_open: Rate::NEVER,
        black_hole: Rate::NEVER,
        dial_lost: Rate::NEVER,
        broker_restart: Rate::NEVER,
        broker_amnesia: Rate::NEVER,
        outage_max: Duration::ZERO,
        other_limits: Rate::NEVER,
        duplicate: Rate::NEVER,
        lost_ack: Rate::NEVER,
        malformed: Rate::NEVER,
        clock_step: Rate::NEVER,
        stall: Rate::NEVER,
        stall_max: Duration::ZERO,
        crash: Rate::NEVER,
        journal_lost: Rate::NEVER,
        down_max: Duration::ZERO,
        sync_max: Duration::ZERO,
        not_stored: Rate::NEVER,
    };

    /// Sets the rate of one kind.
    #[must_use]
    pub const fn with(mut self, fault: Fault, rate: Rate) -> Self {
        let place = match fault {
            Fault::SplitRead => &mut self.split_read,
            Fault::PartialWrite => &mut self.partial_write,
            Fault::Delay => &mut self.delay,
            Fault::Reset => &mut self.reset,
            Fault::HalfOpen => &mut self.half_open,
            Fault::BlackHole => &mut self.black_hole,
            Fault::DialLost => &mut self.dial_lost,
            Fault::BrokerRestart => &mut self.broker_restart,
            Fault::BrokerAmnesia => &mut self.broker_amnesia,
            Fault::Duplicate => &mut self.duplicate,
            Fault::LostAck => &mut self.lost_ack,
            Fault::Malformed => &mut self.malformed,
            Fault::OtherLimits => &mut self.other_limits,
            Fault::ClockStep => &mut self.clock_step,
            Fault::Stall => &mut self.stall,
            Fault::Crash => &mut self.crash,
            Fault::JournalLost => &mut self.journal_lost,
            Fault::NotStored => &mut self.not_stored,
        };
        *place = rate;
        self
    }

    /// Whether some fault strikes by time.
    pub(super) fn has_ticks(&self) -> bool {
        [self.broker_restart, self.clock_step, self.stall].iter().any(|rate| *rate > Rate::NEVER)
    }

    /// Whether clients may get what a broker must not send.
    pub(super) fn breaks_protocol(&self) -> bool {
        [self.duplicate, self.lost_ack, self.malformed].iter().any(|rate| *rate > Rate::NEVER)
    }

    /// A swarm member: each kind of fault that leaves the promises of QoS 1 and 2 intact is off in about half the
    /// seeds, and has a rate of its own in the others. Faults that a broker must not commit (lost acknowledgements,
    /// forgotten sessions, changed bytes) and the ends of programs are never drawn here; add them where the checks
    /// allow for them.
    pub fn swarm(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5EED_0F5A_17E5);
        let mut draw = |low: u64, high: u64| {
            if random.below(2) == 0 { Rate::NEVER } else { Rate::per_million_of(random.between(low, high)) }
        };
        Self {
            split_read: draw(50_000, 900_000),
            partial_write: draw(50_000, 900_000),
            delay: draw(10_000, 300_000),
            delay_max: Duration::from_millis(1_500),
            reset: draw(200_000, 1_000_000),
            half_open: draw(50_000, 500_000),
            black_hole: draw(20_000, 300_000),
            dial_lost: draw(20_000, 300_000),
            broker_restart: draw(2_000, 60_000),
            outage_max: Duration::from_secs(20),
            clock_step: draw(1_000, 30_000),
            stall: draw(2_000, 60_000),
            stall_max: Duration::from_secs(15),
            sync_max: Duration::from_millis(300),
            ..Self::NONE
        }
    }
}
