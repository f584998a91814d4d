//! What happened, in a form that can be compared.

use core::hash::{Hash, Hasher};

use mqtt_session::Instant;

use crate::checks::Kept;

use super::{BrokerId, ClientId, LinkId, Observed, Strike};

/// Which way bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the client to the broker.
    Up,
    /// From the broker to the client.
    Down,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Happening {
    /// A client dialled a broker.
    Dialled {
        /// Who.
        client: ClientId,
        /// Whom.
        broker: BrokerId,
    },
    /// The dial failed, as far as the client knows.
    DialFailed {
        /// Who dialled.
        client: ClientId,
    },
    /// A connection came to be.
    Opened {
        /// The connection.
        link: LinkId,
        /// Its client.
        client: ClientId,
        /// Its broker.
        broker: BrokerId,
    },
    /// A sender's bytes were taken by the connection.
    Written {
        /// The connection.
        link: LinkId,
        /// Which way.
        direction: Direction,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Bytes reached their receiver.
    Delivered {
        /// The connection.
        link: LinkId,
        /// Which way.
        direction: Direction,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// An end of a connection is done with it, or learnt that it is over.
    Closed {
        /// The connection.
        link: LinkId,
        /// Whether it is the client's end.
        client_side: bool,
    },
    /// The client's application did or asked for something.
    Called {
        /// Which client.
        client: ClientId,
        /// What.
        call: &'static str,
        /// The token or other number it got, 0 if none.
        result: u64,
    },
    /// The session told its application something.
    Event {
        /// Which client.
        client: ClientId,
        /// What.
        event: Observed,
    },
    /// A connection broke: by a fault, by a call, or because its broker stopped. Its ends learn of it later.
    Broke {
        /// The connection.
        link: LinkId,
    },
    /// A client's program ended without a word.
    Crashed {
        /// Which client.
        client: ClientId,
        /// What its next run starts from.
        kept: Kept,
    },
    /// A fault struck.
    Fault {
        /// What, and on which occasion.
        strike: Strike,
    },
    /// A broker stopped (false) or came back (true).
    BrokerUp {
        /// Which broker.
        broker: BrokerId,
        /// Whether it is there now.
        up: bool,
    },
    /// A remark of the scenario.
    Note(&'static str),
}

/// Everything that happened in a [`World`](super::World), in order: always as a digest, and entry by entry if it was
/// asked to [`record`](super::World::record).
///
/// Two runs of the same seed give equal traces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    digest: Digest,
    len: u64,
    entries: Vec<(Instant, Happening)>,
    recording: bool,
}

impl Trace {
    /// A number that stands for all that happened: equal for equal runs, different (but for one chance in 2^64) for
    /// others.
    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }

    /// How many things happened.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing has happened yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What happened and when; empty unless recorded.
    pub fn entries(&self) -> &[(Instant, Happening)] {
        &self.entries
    }

    pub(super) fn record(&mut self) {
        self.recording = true;
    }

    pub(super) fn add(&mut self, at: Instant, what: Happening) {
        at.hash(&mut self.digest);
        what.hash(&mut self.digest);
        self.len += 1;
        if self.recording {
            self.entries.push((at, what));
        }
    }
}

/// A 64-bit hash that is the same in every process, unlike that of the standard library's maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Digest {
    fn mix(&mut self, word: u64) {
        // A full product folded onto itself: every bit of the word reaches every bit of the digest within two steps.
        let product = u128::from(self.0 ^ word) * 0x9E37_79B9_7F4A_7C15_u128;
        let folded = ((product >> 64) ^ product) & u128::from(u64::MAX);
        self.0 = u64::try_from(folded).unwrap_or(0).rotate_left(23) ^ word;
    }
}

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        let mut last = *self;
        last.mix(0x2545_F491_4F6C_DD1D);
        last.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.mix(u64::from_le_bytes(word));
        }
        self.mix(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }

    fn write_u8(&mut self, n: u8) {
        self.mix(u64::from(n));
    }

    fn write_u16(&mut self, n: u16) {
        self.mix(u64::from(n));
    }

    fn write_u32(&mut self, n: u32) {
        self.mix(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.mix(n);
    }

    fn write_usize(&mut self, n: usize) {
        self.mix(u64::try_from(n).unwrap_or(u64::MAX));
    }

    fn write_isize(&mut self, n: isize) {
        // Discriminants of enums: small and not negative.
        self.mix(u64::try_from(n).unwrap_or(u64::MAX));
    }
}
