//! A simulated client: a session, its driver's state and its application's inbox.

use std::collections::VecDeque;

use mqtt_proto::Version;
use mqtt_session::{ConnectOptions, Instant, StartError};

use crate::schedule::Schedule;

use super::engine::Engine;
use super::journal::Journal;
use super::{ClientOptions, Direction, LinkId, Observed};

/// Events kept for an application that does not look at them.
const MAX_EVENTS: usize = 100_000;

/// A client.
pub(super) struct Client {
    pub(super) options: ClientOptions,
    pub(super) engine: Box<dyn Engine>,
    /// The connection it is on, as far as it knows.
    pub(super) link: Option<LinkId>,
    /// The dial it waits for.
    pub(super) dial: Option<u64>,
    pub(super) next_dial: u64,
    pub(super) next_connection: u64,
    /// Where its next connection is to break.
    pub(super) planned_cut: Option<(Direction, u64)>,
    /// What goes wrong with its next connections, one for each.
    pub(super) schedules: VecDeque<Schedule>,
    /// Bytes read and not consumed.
    pub(super) inbox: Vec<u8>,
    pub(super) events: VecDeque<Observed>,
    /// How far its clock is ahead (or, negative, behind), in microseconds.
    pub(super) offset: i64,
    /// The stall it is in.
    pub(super) stall: Option<u64>,
    pub(super) next_stall: u64,
    /// Its program has ended and was not started again.
    pub(super) down: bool,
    /// Counts the ends of its program.
    pub(super) run: u64,
    /// The program began without any record of an earlier run, though there was one.
    pub(super) anew: bool,
    pub(super) journal: Journal,
    /// Counts what its programs did, and the records for its journal.
    pub(super) deeds: u64,
    pub(super) records: u64,
}

impl Client {
    pub(super) fn new(options: ClientOptions, engine: Box<dyn Engine>) -> Self {
        Self {
            options,
            engine,
            link: None,
            dial: None,
            next_dial: 0,
            next_connection: 0,
            planned_cut: None,
            schedules: VecDeque::new(),
            inbox: Vec::new(),
            events: VecDeque::new(),
            offset: 0,
            stall: None,
            next_stall: 0,
            down: false,
            run: 0,
            anew: false,
            journal: Journal::default(),
            deeds: 0,
            records: 0,
        }
    }

    pub(super) fn start(&mut self) -> Result<(), StartError> {
        self.engine.start(&connect(&self.options, self.run, self.anew))
    }

    pub(super) fn opened(&mut self, local: Instant) {
        self.engine.opened(&connect(&self.options, self.run, self.anew), local);
    }

    /// Whether its program runs.
    pub(super) fn is_awake(&self) -> bool {
        self.stall.is_none() && !self.down
    }

    /// The time its clock shows.
    pub(super) fn local(&self, now: Instant) -> Instant {
        Instant::from_micros(now.as_micros().saturating_add_signed(self.offset))
    }

    /// When its clock will show `local`.
    pub(super) fn global(&self, local: Instant) -> Instant {
        Instant::from_micros(local.as_micros().saturating_add_signed(self.offset.saturating_neg()))
    }

    pub(super) fn tell(&mut self, event: Observed) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }
}

/// How a client connects: in a later run to what there is, or anew where nothing is known of it.
fn connect(options: &ClientOptions, run: u64, anew: bool) -> ConnectOptions<'_> {
    let mut connect = options.connect();
    if run > 0 {
        let always = connect.clean_start && connect.version != Version::V5;
        connect.clean_start = anew || always;
    }
    connect
}
