//! What chance decides, occasion by occasion.
//!
//! Every decision is drawn from the seed and the occasion alone, never from a stream of numbers that they all share: what
//! happens on one occasion does not change what is drawn on the others. So single faults of a run can be left out, and
//! the rest of it stays as much as it can what it was.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;
use std::collections::BTreeSet;

use mqtt_session::Instant;

use crate::random::{Random, Rate};

use super::trace::Digest;
use super::{BrokerId, ClientId, Direction, Fault, Happening, World};

/// Something on which a fault may strike, named so that another run of the same seed knows it again.
///
/// As text, and back: `c0.d3` is a dial, `c0.2` a connection, `c0.2.up.57` byte 57 of one of its directions,
/// `c0.2.answer.5` an answer of the broker on it, `c0.s17` a second of a client, `b0.s4` of a broker, `b0.stop.2` a stop of
/// a broker, `c0.deed.30` something that a client's program does, `c0.record.7` a record for its journal. All count
/// from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Occasion {
    /// A dial of a client.
    Dial {
        /// Who dials.
        client: ClientId,
        /// Which of its dials.
        number: u64,
    },
    /// A connection as a whole.
    Connection {
        /// Whose.
        client: ClientId,
        /// Which of its connections.
        number: u64,
    },
    /// A write or a read on a connection.
    Bytes {
        /// Whose connection.
        client: ClientId,
        /// Which of its connections.
        connection: u64,
        /// Which way.
        direction: Direction,
        /// How many bytes were written, or read, before.
        at: u64,
    },
    /// An answer of a broker.
    Answer {
        /// To whom.
        client: ClientId,
        /// On which of its connections.
        connection: u64,
        /// Which of the answers there.
        number: u64,
    },
    /// A second of a client, counted from when faults first could strike by time.
    ClientSecond {
        /// Which client.
        client: ClientId,
        /// Which second.
        number: u64,
    },
    /// A second of a broker, counted in the same way.
    BrokerSecond {
        /// Which broker.
        broker: BrokerId,
        /// Which second.
        number: u64,
    },
    /// A stop of a broker.
    Stop {
        /// Which broker.
        broker: BrokerId,
        /// Which of its stops.
        number: u64,
    },
    /// Something that a client's program does: it carries out a command, reads, writes, or hands over an event.
    Deed {
        /// Whose program.
        client: ClientId,
        /// Which of the things it does.
        number: u64,
    },
    /// A record that a client's journal is to store, or to delete.
    Record {
        /// Whose journal.
        client: ClientId,
        /// Which of them.
        number: u64,
    },
}

impl Occasion {
    /// The client it is about, if it is about one.
    pub const fn client(&self) -> Option<ClientId> {
        match self {
            Self::Dial { client, .. }
            | Self::Connection { client, .. }
            | Self::Bytes { client, .. }
            | Self::Answer { client, .. }
            | Self::ClientSecond { client, .. }
            | Self::Deed { client, .. }
            | Self::Record { client, .. } => Some(*client),
            Self::BrokerSecond { .. } | Self::Stop { .. } => None,
        }
    }
}

impl fmt::Display for Occasion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial { client, number } => write!(f, "c{}.d{number}", client.0),
            Self::Connection { client, number } => write!(f, "c{}.{number}", client.0),
            Self::Bytes { client, connection, direction, at } => {
                let way = if *direction == Direction::Up { "up" } else { "down" };
                write!(f, "c{}.{connection}.{way}.{at}", client.0)
            }
            Self::Answer { client, connection, number } => {
                write!(f, "c{}.{connection}.answer.{number}", client.0)
            }
            Self::ClientSecond { client, number } => write!(f, "c{}.s{number}", client.0),
            Self::BrokerSecond { broker, number } => write!(f, "b{}.s{number}", broker.0),
            Self::Stop { broker, number } => write!(f, "b{}.stop.{number}", broker.0),
            Self::Deed { client, number } => write!(f, "c{}.deed.{number}", client.0),
            Self::Record { client, number } => write!(f, "c{}.record.{number}", client.0),
        }
    }
}

impl FromStr for Occasion {
    type Err = NoSuchFault;

    fn from_str(text: &str) -> Result<Self, NoSuchFault> {
        let parts: Vec<&str> = text.split('.').collect();
        let prefixed = |part: &str, prefix: char| part.strip_prefix(prefix).and_then(|n| n.parse().ok());
        let client = |part: &str| prefixed(part, 'c').and_then(|n| u32::try_from(n).ok()).map(ClientId);
        let broker = |part: &str| prefixed(part, 'b').and_then(|n| u32::try_from(n).ok()).map(BrokerId);
        let number = |part: &str| part.parse::<u64>().ok();
        let occasion = match parts.as_slice() {
            [who, what] => None::<Self>
                .or_else(|| Some(Self::Dial { client: client(who)?, number: prefixed(what, 'd')? }))
                .or_else(|| Some(Self::ClientSecond { client: client(who)?, number: prefixed(what, 's')? }))
                .or_else(|| Some(Self::BrokerSecond { broker: broker(who)?, number: prefixed(what, 's')? }))
                .or_else(|| Some(Self::Connection { client: client(who)?, number: number(what)? })),
            [who, "stop", what] => {
                broker(who).zip(number(what)).map(|(broker, number)| Self::Stop { broker, number })
            }
            [who, "deed", what] => {
                client(who).zip(number(what)).map(|(client, number)| Self::Deed { client, number })
            }
            [who, "record", what] => {
                client(who).zip(number(what)).map(|(client, number)| Self::Record { client, number })
            }
            [who, connection, way, at] => {
                client(who).zip(number(connection)).zip(number(at)).and_then(|((client, connection), at)| {
                    match *way {
                        "up" => Some(Self::Bytes { client, connection, direction: Direction::Up, at }),
                        "down" => Some(Self::Bytes { client, connection, direction: Direction::Down, at }),
                        "answer" => Some(Self::Answer { client, connection, number: at }),
                        _ => None,
                    }
                })
            }
            _ => None,
        };
        occasion.ok_or_else(|| NoSuchFault(text.to_owned()))
    }
}

/// A fault of a run: what struck, and on which occasion. As text, and back: `reset@c0.2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Strike {
    /// What struck.
    pub fault: Fault,
    /// On which occasion.
    pub occasion: Occasion,
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.fault, self.occasion)
    }
}

impl FromStr for Strike {
    type Err = NoSuchFault;

    fn from_str(text: &str) -> Result<Self, NoSuchFault> {
        let (fault, occasion) = text.split_once('@').ok_or_else(|| NoSuchFault(text.to_owned()))?;
        Ok(Self { fault: fault.parse()?, occasion: occasion.parse()? })
    }
}

/// A text that names no fault, or no occasion of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSuchFault(pub(super) String);

impl fmt::Display for NoSuchFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} names no fault or no occasion of one", self.0)
    }
}

impl core::error::Error for NoSuchFault {}

/// What else is drawn on an occasion, beside the faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Draw {
    Fault(Fault),
    /// How long a dial takes.
    DialTime,
    /// The latency of a connection.
    Latency,
    /// What a break does to a connection, and when its ends learn of it.
    Break,
    /// How long a transport that took a part takes to take more.
    Pause,
    /// What a broker does wrong by chance.
    Answers,
    /// Which limits a broker comes back with.
    Limits,
    /// What a crash leaves, and the seed of the next run.
    Crash,
    /// How long a journal takes, and in which order it answers.
    Sync,
}

impl World {
    /// Leaves out every fault that is not among `strikes`: those that remain strike if their occasion comes about.
    ///
    /// With the faults of a recorded run ([`strikes`](Self::strikes)) it is the same run again; with fewer, one to see
    /// what they have to do with what went wrong.
    pub fn only(&mut self, strikes: impl IntoIterator<Item = Strike>) {
        let allowed: BTreeSet<Strike> = strikes.into_iter().collect();
        self.only = Some(allowed);
    }

    /// The faults that struck so far, in order, with their times; empty unless [`record`](Self::record)ed.
    pub fn strikes(&self) -> impl Iterator<Item = (Instant, Strike)> + '_ {
        self.trace.entries().iter().filter_map(|(at, what)| match what {
            Happening::Fault { strike } => Some((*at, *strike)),
            _ => None,
        })
    }

    /// Numbers that depend on the seed, the occasion, and what they are for, alone.
    pub(super) fn chance(&self, what: Draw, occasion: Occasion) -> Random {
        let mut key = Digest::default();
        (self.seed, what, occasion).hash(&mut key);
        Random::new(key.finish())
    }

    /// Whether a fault strikes; if so, what else it needs to know is drawn from the result. It is not counted yet.
    pub(super) fn threatens(&self, fault: Fault, rate: Rate, occasion: Occasion) -> Option<Random> {
        if rate == Rate::NEVER {
            return None;
        }
        let mut random = self.chance(Draw::Fault(fault), occasion);
        (random.happens(rate) && self.allows(fault, occasion)).then_some(random)
    }

    /// The same, and it has struck.
    pub(super) fn strike(&mut self, fault: Fault, rate: Rate, occasion: Occasion) -> Option<Random> {
        let random = self.threatens(fault, rate, occasion)?;
        self.struck(fault, occasion);
        Some(random)
    }

    /// Whether a fault is not left out.
    pub(super) fn allows(&self, fault: Fault, occasion: Occasion) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&Strike { fault, occasion }))
    }

    /// A fault has struck.
    pub(super) fn struck(&mut self, fault: Fault, occasion: Occasion) {
        *self.injected.entry(fault).or_insert(0) += 1;
        self.trace.add(self.now, Happening::Fault { strike: Strike { fault, occasion } });
    }
}
