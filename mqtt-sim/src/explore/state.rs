//! One state: a client, a broker, and what is under way between them.

use core::hash::Hash;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use mqtt_session::{Instant, Key, Token};

use super::action::Action;
use super::digest::Digest;
use super::setup::{Client, Faults, Setup};
use super::watch::Watch;
use crate::broker::{Broker, ConnId};

/// The time, always.
pub(super) const NOW: Instant = Instant::ZERO;

/// A packet on its way to the client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Parcel {
    pub(super) bytes: Box<[u8]>,
    /// The first copy has arrived.
    pub(super) copy: bool,
}

/// A connection and what is under way on it, a packet at a time.
#[derive(Clone, Debug, Hash)]
pub(super) struct Link {
    pub(super) conn: ConnId,
    pub(super) up: VecDeque<Box<[u8]>>,
    pub(super) down: VecDeque<Parcel>,
    /// The broker closed it.
    pub(super) ending: bool,
    /// An acknowledgement was never sent.
    pub(super) lossy: bool,
}

/// A connection that only the broker still has.
#[derive(Clone, Debug, Hash)]
pub(super) struct Late {
    pub(super) conn: ConnId,
    pub(super) up: VecDeque<Box<[u8]>>,
}

/// What is to be done to a journal: a record, or none in its place.
pub(super) type Change = (Key, Option<Arc<[u8]>>);

/// The journal: what a crash leaves, and what came since.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Journal {
    pub(super) stored: BTreeMap<Key, Arc<[u8]>>,
    pub(super) unsynced: VecDeque<Change>,
}

impl Journal {
    pub(super) fn carry_out(&mut self, (key, record): Change) {
        match record {
            Some(record) => self.stored.insert(key, record),
            None => self.stored.remove(&key),
        };
    }

    fn has(&self, wanted: RecordOf) -> bool {
        self.stored.keys().any(|key| record_of(*key) == wanted)
    }

    /// Whether there is a record of an operation.
    pub(super) fn has_operation(&self, token: Token) -> bool {
        self.has(RecordOf::Operation(token))
    }

    /// Whether there is one that it may have been sent, and under which identifier.
    pub(super) fn has_mark(&self, token: Token) -> bool {
        self.has(RecordOf::Mark(token))
    }

    /// Whether there is one of the inbound exchange with this identifier.
    pub(super) fn has_exchange(&self, id: u16) -> bool {
        self.has(RecordOf::Exchange(id))
    }

    /// Records but for that of the session itself.
    pub(super) fn records(&self) -> usize {
        self.stored.keys().filter(|key| record_of(**key) != RecordOf::Session).count()
    }
}

/// What a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordOf {
    Operation(Token),
    Mark(Token),
    Exchange(u16),
    Session,
}

/// What a record is of, as far as its key tells.
fn record_of(key: Key) -> RecordOf {
    let bits = u64::from(key);
    match (key.token(), bits >> 30 & 3) {
        (Some(token), 0) => RecordOf::Operation(token),
        (Some(token), _) => RecordOf::Mark(token),
        (None, 2) => RecordOf::Exchange(bits as u16),
        (None, _) => RecordOf::Session,
    }
}

/// One state.
#[derive(Clone)]
pub(super) struct State {
    pub(super) client: Client,
    pub(super) broker: Broker,
    pub(super) link: Option<Link>,
    pub(super) late: Option<Late>,
    /// The client wants a connection.
    pub(super) dialling: bool,
    /// A packet that arrived and that the client does not want yet.
    pub(super) inbox: Vec<u8>,
    pub(super) journal: Journal,
    pub(super) watch: Watch,
    pub(super) published: usize,
    pub(super) fed: usize,
    pub(super) left: Faults,
    /// How it came about, from the first state.
    pub(super) path: Vec<Action>,
    /// What happened in words, where that is asked for.
    pub(super) story: Option<Vec<String>>,
}

impl State {
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            client: setup.client(),
            broker: Broker::new(setup.broker()),
            link: None,
            late: None,
            dialling: false,
            inbox: Vec::new(),
            journal: Journal::default(),
            watch: Watch::new(setup),
            published: 0,
            fed: 0,
            left: setup.faults,
            path: Vec::new(),
            story: None,
        }
    }

    /// All that decides what may come of it.
    pub(super) fn digest(&self) -> u128 {
        let Self {
            client,
            broker,
            link,
            late,
            dialling,
            inbox,
            journal,
            watch,
            published,
            fed,
            left,
            path: _,
            story: _,
        } = self;
        let mut digest = Digest::new();
        client.hash(&mut digest);
        broker.digest(&mut digest);
        (link, late, dialling, inbox, journal, watch).hash(&mut digest);
        (published, fed, left).hash(&mut digest);
        digest.value()
    }

    pub(super) fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(what());
        }
    }
}
