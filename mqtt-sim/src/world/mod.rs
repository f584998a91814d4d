//! The simulated world: clients, brokers and the connections between them, on a clock that jumps to whatever is next.
//!
//! The clients are real [`mqtt_session::Session`]s, the brokers are [`broker::Broker`](crate::broker::Broker)s; what
//! lies between them splits, delays, loses and cuts as [`Faults`] say. All chance comes from one seed: two worlds
//! with the same seed and the same calls have equal [`Trace`]s.
//!
//! ```
//! use std::time::Duration;
//! use mqtt_proto::{Qos, TopicName};
//! use mqtt_session::Message;
//! use mqtt_sim::broker::BrokerConfig;
//! use mqtt_sim::world::{ClientOptions, Observed, World};
//!
//! let mut world = World::new(7);
//! world.add_broker(BrokerConfig::default());
//! let sensor = world.add_client(ClientOptions::new("sensor"));
//! let viewer = world.add_client(ClientOptions::new("viewer"));
//! world.start(sensor)?;
//! world.start(viewer)?;
//! world.subscribe(viewer, "temperature/#", Qos::AtLeastOnce)?;
//! world.run_for(Duration::from_secs(1))?;
//!
//! let message = Message::new(TopicName::new("temperature/roof")?).qos(Qos::AtLeastOnce);
//! world.publish(sensor, &message, b"21.5")?;
//! world.run_for(Duration::from_secs(1))?;
//!
//! let arrived = world.events(viewer).any(|event| match event {
//!     Observed::Message(message) => message.payload == b"21.5",
//!     _ => false,
//! });
//! assert!(arrived);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chance;
mod client;
mod clock;
mod commands;
mod crash;
mod drive;
mod engine;
mod faults;
mod journal;
mod link;
mod network;
mod observed;
mod options;
mod scheduled;
mod server;
mod tap;
mod tape;
mod trace;

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use mqtt_session::Instant;

use crate::broker::Chaos;
use crate::checks::{Check, Observation, Violation};
use crate::random::Random;
use crate::schedule::Tally;

pub use crate::random::{NoRate, Rate};
pub use chance::{NoSuchFault, Occasion, Strike};
pub use commands::CannotSubscribe;
pub use faults::{Fault, Faults};
pub use observed::{Delivered, Ended, Observed};
pub use options::{ClientOptions, StorageKind};
pub use trace::{Direction, Happening, Trace};

use client::Client;
use clock::{Agenda, Planned, Wakeup};
use link::Link;
use server::Server;

/// Things that may happen at one instant before the world is taken to go round in circles.
const MAX_STEPS_AT_ONCE: u64 = 100_000;

/// A broker of a [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerId(u32);

impl BrokerId {
    /// The broker that was added first.
    pub const FIRST: Self = Self(0);
}

/// A client of a [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u32);

/// A connection of a [`World`], never named twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u64);

#[cfg(test)]
impl ClientId {
    pub(crate) fn for_tests(n: u32) -> Self {
        Self(n)
    }
}

#[cfg(test)]
impl LinkId {
    pub(crate) fn for_tests(n: u64) -> Self {
        Self(n)
    }
}

/// Why a world cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Halt {
    /// A check found something that must not be; the world stays where it was found.
    Violated(Violation),
    /// A hundred thousand steps at one instant: something goes round in circles.
    Livelock(Instant),
    /// What was waited for did not come about in its time.
    TimedOut(Instant),
    /// The code under test panicked, with this message.
    Panicked(String),
}

impl Halt {
    /// When; none for a panic, which does not say.
    pub const fn at(&self) -> Option<Instant> {
        match self {
            Self::Violated(violation) => Some(violation.at),
            Self::Livelock(at) | Self::TimedOut(at) => Some(*at),
            Self::Panicked(_) => None,
        }
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violated(violation) => violation.fmt(f),
            Self::Livelock(at) => write!(f, "no progress at {} µs: going round in circles", at.as_micros()),
            Self::TimedOut(at) => write!(f, "still waiting at {} µs", at.as_micros()),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
        }
    }
}

impl core::error::Error for Halt {}

/// Clients, brokers, and everything between them. See the [module](self) for an example.
///
/// * Make: [`new`](Self::new), [`add_broker`](Self::add_broker), [`add_client`](Self::add_client),
///   [`add_check`](Self::add_check), [`set_faults`](Self::set_faults), [`only`](Self::only), [`record`](Self::record),
///   [`tape`](Self::tape).
/// * Act as a client's application: [`start`](Self::start), [`publish`](Self::publish),
///   [`subscribe`](Self::subscribe), .. , [`events`](Self::events).
/// * Act as fate: [`cut`](Self::cut), [`stop_broker`](Self::stop_broker), [`start_broker`](Self::start_broker),
///   [`schedule`](Self::schedule), [`crash`](Self::crash), [`restart`](Self::restart), [`heal`](Self::heal).
/// * Let time pass: [`step`](Self::step), [`run_for`](Self::run_for), [`run_until`](Self::run_until).
/// * Ask: [`now`](Self::now), [`trace`](Self::trace), [`strikes`](Self::strikes), [`broker`](Self::broker), ..
pub struct World {
    now: Instant,
    seed: u64,
    /// Draws what is asked for in the order of the calls: the seeds of the clients.
    random: Random,
    faults: Faults,
    /// The faults that may strike; none: all.
    only: Option<BTreeSet<Strike>>,
    /// Seconds in which faults could strike by time.
    seconds: u64,
    /// Some broker may have sent what it must not.
    lawless: bool,
    clients: Vec<Client>,
    servers: Vec<Server>,
    links: BTreeMap<LinkId, Link>,
    next_link: u64,
    agenda: Agenda,
    trace: Trace,
    tape: Option<tape::Tape>,
    checks: Vec<Box<dyn Check>>,
    violation: Option<Violation>,
    injected: BTreeMap<Fault, u64>,
    scheduled_tally: Tally,
    steps: u64,
    steps_at_once: u64,
    checked: u64,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field("clients", &self.clients.len())
            .field("brokers", &self.servers.len())
            .field("links", &self.links.len())
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

impl World {
    /// An empty world without faults.
    pub fn new(seed: u64) -> Self {
        Self {
            now: Instant::ZERO,
            seed,
            random: Random::new(seed),
            faults: Faults::NONE,
            only: None,
            seconds: 0,
            lawless: false,
            clients: Vec::new(),
            servers: Vec::new(),
            links: BTreeMap::new(),
            next_link: 0,
            agenda: Agenda::default(),
            trace: Trace::default(),
            tape: None,
            checks: Vec::new(),
            violation: None,
            injected: BTreeMap::new(),
            scheduled_tally: Tally::default(),
            steps: 0,
            steps_at_once: 0,
            checked: 0,
        }
    }

    /// From now on things go wrong this often. Connections for which nothing was planned so far get their plans, too.
    pub fn set_faults(&mut self, faults: Faults) {
        let ticking = self.faults.has_ticks();
        self.faults = faults;
        self.lawless |= faults.breaks_protocol();
        self.tempt_brokers();
        self.plan_links();
        if faults.has_ticks() && !ticking {
            self.plan_after(Duration::from_secs(1), Planned::Second);
        }
    }

    /// How often things go wrong at present.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// From now on nothing goes wrong any more: planned cuts and schedules are off, brokers that are down come back, stalled
    /// clients go on, crashed ones start again. What was lost stays lost, and who has not learnt of it still has to find out.
    pub fn heal(&mut self) {
        self.set_faults(Faults::NONE);
        self.note("healed");
        for link in self.links.values_mut() {
            link.heal();
        }
        for client in &mut self.clients {
            client.schedules.clear();
        }
        for broker in self.server_ids() {
            self.start_broker(broker);
        }
        for client in self.clients() {
            self.unstall(client);
            if let Some(run) = self.client(client).map(|node| node.run) {
                self.restart_due(client, run);
            }
        }
    }

    /// Watches the world with one more check, from now on.
    pub fn add_check(&mut self, check: Box<dyn Check>) {
        self.checks.push(check);
    }

    /// Keeps every entry of the [`Trace`], not its digest alone.
    pub fn record(&mut self) {
        self.trace.record();
    }

    /// Puts a remark into the trace.
    pub fn note(&mut self, remark: &'static str) {
        self.trace.add(self.now, Happening::Note(remark));
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// What happened so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// How often a check looked at something that happened.
    pub fn checked(&self) -> u64 {
        self.checked
    }

    /// How often each kind of fault was injected.
    pub fn injected(&self) -> &BTreeMap<Fault, u64> {
        &self.injected
    }

    /// When the next thing is due; none: nothing will happen without a call.
    pub fn next_time(&self) -> Option<Instant> {
        self.agenda.next()
    }

    /// Lets the next thing happen. False if there is none.
    ///
    /// # Errors
    /// [`Halt`] if a check found something, or the world goes round in circles.
    pub fn step(&mut self) -> Result<bool, Halt> {
        self.halted()?;
        let Some((at, what)) = self.agenda.pop() else { return Ok(false) };
        self.steps += 1;
        if at > self.now {
            self.now = at;
            self.steps_at_once = 0;
        }
        self.steps_at_once += 1;
        if self.steps_at_once > MAX_STEPS_AT_ONCE {
            return Err(Halt::Livelock(self.now));
        }
        match what {
            Wakeup::Planned(planned) => self.happen(planned),
            Wakeup::Client(client) => self.client_timeout(client),
            Wakeup::Server(broker) => self.server_timeout(broker),
        }
        self.halted()?;
        Ok(true)
    }

    /// Lets everything happen that is due within `span`, and moves the clock to its end.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn run_for(&mut self, span: Duration) -> Result<(), Halt> {
        let end = self.now.after(span);
        while self.agenda.next().is_some_and(|at| at <= end) {
            self.step()?;
        }
        self.halted()?;
        self.now = self.now.max(end);
        self.steps_at_once = 0;
        Ok(())
    }

    /// Lets things happen until `done` says so.
    ///
    /// # Errors
    /// As [`step`](Self::step), and [`Halt::TimedOut`] if it does not say so within `limit`.
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), Halt> {
        let end = self.now.after(limit);
        while !done(self) {
            if self.agenda.next().is_none_or(|at| at > end) {
                return Err(Halt::TimedOut(self.now));
            }
            self.step()?;
        }
        self.halted()
    }

    /// Asks every check for its last word.
    ///
    /// # Errors
    /// The first violation, as [`Halt::Violated`].
    pub fn finish(&mut self) -> Result<(), Halt> {
        let clients: Vec<ClientId> = self.clients().collect();
        for client in clients {
            self.show_rest(client);
        }
        self.halted()?;
        let now = self.now;
        for check in &mut self.checks {
            check.finish(now).map_err(Halt::Violated)?;
        }
        Ok(())
    }

    fn halted(&self) -> Result<(), Halt> {
        match &self.violation {
            Some(violation) => Err(Halt::Violated(violation.clone())),
            None => Ok(()),
        }
    }

    /// Shows something to every check; the first violation is kept.
    fn observe(&mut self, observation: &Observation<'_>) {
        for check in &mut self.checks {
            self.checked += 1;
            if let Err(violation) = check.observe(self.now, observation) {
                self.violation.get_or_insert(violation);
            }
        }
    }

    /// Plans what is to go wrong with the connections there are.
    fn plan_links(&mut self) {
        let mut links = core::mem::take(&mut self.links);
        for (id, link) in &mut links {
            link.plan(self);
            if let Some(at) = link.breaks_at {
                self.agenda.plan(at, Planned::Break { link: *id });
            }
        }
        self.links = links;
    }

    /// Has the brokers misbehave as the faults say.
    fn tempt_brokers(&mut self) {
        let (lost_ack, duplicate) = (self.faults.lost_ack, self.faults.duplicate);
        for server in &mut self.servers {
            server.broker.set_chaos(Chaos { seed: self.seed, lost_ack, duplicate });
        }
    }

    fn plan_after(&mut self, span: Duration, what: Planned) {
        self.agenda.plan(self.now.after(span), what);
    }

    /// Its clients, in the order in which they were added.
    pub fn clients(&self) -> impl Iterator<Item = ClientId> + use<> {
        (0..u32::try_from(self.clients.len()).unwrap_or(u32::MAX)).map(ClientId)
    }

    fn server_ids(&self) -> impl Iterator<Item = BrokerId> + use<> {
        (0..u32::try_from(self.servers.len()).unwrap_or(u32::MAX)).map(BrokerId)
    }

    fn client(&mut self, client: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(usize::try_from(client.0).ok()?)
    }

    fn server(&mut self, broker: BrokerId) -> Option<&mut Server> {
        self.servers.get_mut(usize::try_from(broker.0).ok()?)
    }
}

#[cfg(test)]
mod tests;
