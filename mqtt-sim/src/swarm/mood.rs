//! What a swarm's worlds are like.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use crate::random::{Random, Rate};
use crate::world::{Fault, Faults};

/// What kind of a world a seed is about: which promises are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mood {
    /// The network fails, brokers come and go, and nobody breaks the protocol. Everything is promised.
    Faithful,
    /// The broker loses and doubles acknowledgements, too. Everything is promised, once the connection has been
    /// renewed: an acknowledgement that never comes is only made up for on a resume.
    BadLuck,
    /// Clients' programs end without a word and start again, mostly with their journals. What their `Durability`
    /// promises is promised.
    Crashes,
    /// The broker forgets its sessions. Deliveries are not checked; all that was accepted still ends.
    Amnesia,
    /// The broker comes back with other limits. What no longer fits ends as refused or violated, the rest as promised.
    OtherLimits,
    /// Bytes change on their way to the clients. Nothing is promised but that nobody breaks the protocol in turn, and
    /// that all that was accepted ends.
    Noise,
}

impl Mood {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Faithful, Self::BadLuck, Self::Crashes, Self::Amnesia, Self::OtherLimits, Self::Noise];

    /// What it is called in options and lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Faithful => "faithful",
            Self::BadLuck => "bad-luck",
            Self::Crashes => "crashes",
            Self::Amnesia => "amnesia",
            Self::OtherLimits => "other-limits",
            Self::Noise => "noise",
        }
    }

    /// What it is about, in a line.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Faithful => "the network fails, brokers come and go; everything is promised",
            Self::BadLuck => "the broker loses and doubles acknowledgements; everything is promised",
            Self::Crashes => "programs crash and go on with what their journals kept; so much is promised",
            Self::Amnesia => "the broker forgets its sessions; all that was accepted ends",
            Self::OtherLimits => "the broker comes back with other limits; what no longer fits is refused",
            Self::Noise => "bytes change on their way; nobody answers nonsense with nonsense, and all ends",
        }
    }

    /// The one in which a fault may strike; none: in all.
    pub const fn of_fault(fault: Fault) -> Option<Self> {
        match fault {
            Fault::LostAck | Fault::Duplicate => Some(Self::BadLuck),
            Fault::Crash | Fault::JournalLost | Fault::NotStored => Some(Self::Crashes),
            Fault::BrokerAmnesia => Some(Self::Amnesia),
            Fault::OtherLimits => Some(Self::OtherLimits),
            Fault::Malformed => Some(Self::Noise),
            _ => None,
        }
    }

    /// More than half of the seeds are faithful.
    pub(super) fn of(seed: u64) -> Self {
        match Random::new(seed ^ 0x0D00D).below(20) {
            0..=10 => Self::Faithful,
            11..=13 => Self::Crashes,
            14..=15 => Self::BadLuck,
            16..=17 => Self::OtherLimits,
            18 => Self::Amnesia,
            _ => Self::Noise,
        }
    }

    pub(super) fn faults(self, seed: u64) -> Faults {
        let mut faults = Faults::swarm(seed);
        let mut random = Random::new(seed ^ 0xBAD);
        let mut rate = |low, high| Rate::per_million_of(random.between(low, high));
        match self {
            Self::Faithful => {}
            Self::BadLuck => (faults.lost_ack, faults.duplicate) = (rate(1_000, 50_000), rate(1_000, 50_000)),
            Self::Crashes => {
                (faults.crash, faults.down_max) = (rate(500, 10_000), Duration::from_secs(20));
                if rate(0, 1) == Rate::NEVER {
                    faults.journal_lost = rate(10_000, 300_000);
                }
                if rate(0, 3) == Rate::NEVER {
                    faults.not_stored = rate(1_000, 20_000);
                }
            }
            Self::Amnesia => {
                (faults.broker_restart, faults.broker_amnesia) = (rate(5_000, 60_000), Rate::one_in(2))
            }
            Self::OtherLimits => {
                (faults.broker_restart, faults.other_limits) = (rate(5_000, 60_000), Rate::one_in(2));
            }
            Self::Noise => faults.malformed = rate(500, 20_000),
        }
        faults
    }
}

impl fmt::Display for Mood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Mood {
    type Err = NoSuchMood;

    fn from_str(text: &str) -> Result<Self, NoSuchMood> {
        Self::ALL.into_iter().find(|mood| mood.name() == text).ok_or(NoSuchMood)
    }
}

/// A text that names no [`Mood`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchMood;

impl fmt::Display for NoSuchMood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Mood::ALL.map(Mood::name).join(", ");
        write!(f, "there is no such scenario; there are {names}")
    }
}

impl core::error::Error for NoSuchMood {}
