//! The swarm: one seed, one world, all checks.
//!
//! A seed draws the version, the limits, the load and its own subset of the faults. First clients connect and
//! subscribe in peace; then they publish under faults, with every check watching each step; then the world is healed,
//! and all that was accepted must end, and arrive, within a stated virtual time.
//!
//! ```
//! use mqtt_sim::swarm::Swarm;
//! use mqtt_sim::world::StorageKind;
//!
//! let swarm = Swarm { storage: StorageKind::Fixed, ..Swarm::default() };
//! let report = swarm.run(42)?;
//! assert_eq!(report, swarm.run(42)?, "a run is a function of its seed");
//! # Ok::<(), Box<mqtt_sim::swarm::Failure>>(())
//! ```

mod mood;
mod shrink;
mod tally;

use core::fmt;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::collections::BTreeMap;
use std::panic::catch_unwind;

use mqtt_proto::{Properties, Qos, ReasonCode, TopicName, Version};
use mqtt_session::{AckMode, Durability, LocalState, Message, Why};

use crate::broker::{BrokerConfig, BrokerStats};
use crate::checks::{Bounds, Deliveries, Endings, Subscriber, Wire};
use crate::random::{Random, Rate};
use crate::world::{
    BrokerId, ClientId, ClientOptions, Delivered, Fault, Halt, Observed, StorageKind, Strike, World,
};

pub use mood::{Mood, NoSuchMood};
pub use shrink::Shrunk;
pub use tally::Tally;

/// Virtual time in which everybody must be connected and subscribed before the faults begin.
const PEACE: Duration = Duration::from_secs(60);
/// Virtual time in which everything accepted must have ended and arrived after the world was healed: the longest
/// backoff, keep-alive and session time-outs of the clients, with room.
const HEALING: Duration = Duration::from_secs(600);

/// What is the same for all seeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swarm {
    /// Where the clients keep their sessions. Default: on the heap.
    pub storage: StorageKind,
    /// The protocol version; none: drawn from the seed, for each client its own. Default: none.
    pub version: Option<Version>,
    /// What the seeds are about; none: drawn from the seed. Default: none.
    pub mood: Option<Mood>,
    /// Virtual time under faults. Default: 120 s.
    pub duration: Duration,
    /// How many clients there are; none: drawn from the seed, one to three. Default: none.
    pub clients: Option<u32>,
    /// How often each client publishes a message; none: at random, in bursts. Default: none.
    pub every: Option<Duration>,
    /// Rates that are not drawn from the seed. Default: none.
    pub rates: BTreeMap<Fault, Rate>,
    /// The only faults that may strike; none: all that are drawn. Default: none.
    pub only: Option<Vec<Strike>>,
}

impl Default for Swarm {
    fn default() -> Self {
        Self {
            storage: StorageKind::Heap,
            version: None,
            mood: None,
            duration: Duration::from_secs(120),
            clients: None,
            every: None,
            rates: BTreeMap::new(),
            only: None,
        }
    }
}

/// The options of `mqtt sim` that ask for it.
impl fmt::Display for Swarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = Self::default();
        let mut options = Vec::new();
        if let Some(mood) = self.mood {
            options.push(format!("--scenario {mood}"));
        }
        if self.storage == StorageKind::Fixed {
            options.push("--storage fixed".to_owned());
        }
        if let Some(version) = self.version {
            let version = match version {
                Version::V3_1 => "3.1",
                Version::V3_1_1 => "3.1.1",
                Version::V5 => "5",
            };
            options.push(format!("--protocol {version}"));
        }
        if self.duration != default.duration {
            options.push(format!("--duration {}", self.duration.as_secs_f64()));
        }
        if let Some(clients) = self.clients {
            options.push(format!("--clients {clients}"));
        }
        if let Some(every) = self.every {
            options.push(format!("--every {}", every.as_secs_f64()));
        }
        for (fault, rate) in &self.rates {
            options.push(format!("--fault {fault}={}", f64::from(rate.per_million()) / 1_000_000.0));
        }
        if let Some(only) = &self.only {
            let only: Vec<String> = only.iter().map(Strike::to_string).collect();
            options.push(format!("--only {}", only.join(",")));
        }
        f.write_str(&options.join(" "))
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What it was about.
    pub mood: Mood,
    /// Digest of everything that happened.
    pub digest: u64,
    /// Steps taken.
    pub steps: u64,
    /// Virtual time that passed.
    pub time: Duration,
    /// Clients in the world.
    pub clients: usize,
    /// Messages accepted from applications.
    pub accepted: u64,
    /// Messages refused by back pressure.
    pub refused: u64,
    /// Clients that their own delayed bytes took over and stopped; the run then ends without its last checks.
    pub ghosts: usize,
    /// What the broker counted.
    pub broker: BrokerStats,
    /// How often a check looked at something that happened.
    pub checked: u64,
    /// Faults by kind.
    pub injected: BTreeMap<Fault, u64>,
}

/// A run that failed, with all that is needed to run it again.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What it was about.
    pub mood: Mood,
    /// How the run was set up.
    pub swarm: Swarm,
    /// What was found.
    pub halt: Halt,
    /// In which part of the run.
    pub phase: &'static str,
    /// Who was not done yet.
    pub waiting: String,
    /// Faults by kind, up to there.
    pub injected: BTreeMap<Fault, u64>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {} ({:?}, {:?} storage), {}: {}",
            self.seed, self.mood, self.swarm.storage, self.phase, self.halt
        )?;
        if !self.waiting.is_empty() {
            write!(f, "; not done: {}", self.waiting)?;
        }
        write!(f, "; faults so far {:?}", self.injected)?;
        write!(f, "; again: {}", self.again())
    }
}

impl Failure {
    /// The command that runs it again.
    pub fn again(&self) -> String {
        let options = self.swarm.to_string();
        format!("mqtt sim --seed {} {options}", self.seed).trim_end().to_owned()
    }
}

impl core::error::Error for Failure {}

/// A world with its load.
struct Run {
    world: World,
    random: Random,
    clients: Vec<ClientId>,
    /// The highest QoS each client publishes with.
    at_most: BTreeMap<ClientId, Qos>,
    /// Nobody may lose sight of an exchange on the server.
    all_sound: bool,
    /// What each client is subscribed to.
    filters: Vec<(String, Qos)>,
    accepted: u64,
    refused: u64,
    ghosts: usize,
    mood: Mood,
    phase: &'static str,
}

impl Swarm {
    /// Runs one seed to its end.
    ///
    /// # Errors
    /// If a check found something, the world went round in circles, or something accepted did not end in time.
    pub fn run(&self, seed: u64) -> Result<Report, Box<Failure>> {
        let mut run = self.set_up(seed);
        run.outcome(self, seed)
    }

    /// Runs one seed with its trace recorded entry by entry, and gives back the world at its end, failed or not.
    pub fn record(&self, seed: u64) -> (World, Result<Report, Box<Failure>>) {
        let mut run = self.set_up(seed);
        run.world.record();
        let outcome = run.outcome(self, seed);
        (run.world, outcome)
    }

    /// Runs one seed, and gives back a log of every time, byte and call of its clients' sessions, failed or not, to be run again
    /// with [`mqtt_session::tape::replay()`].
    pub fn tape(&self, seed: u64) -> (Vec<u8>, Result<Report, Box<Failure>>) {
        let mut run = self.set_up(seed);
        let taped = run.world.tape();
        debug_assert!(taped.is_ok(), "nobody was started yet: {taped:?}");
        let outcome = run.outcome(self, seed);
        // Memory does not refuse a write.
        (run.world.take_tape().ok().flatten().unwrap_or_default(), outcome)
    }

    fn set_up(&self, seed: u64) -> Run {
        let mut random = Random::new(seed ^ 0xC0FF_EE00);
        let mood = self.mood.unwrap_or_else(|| Mood::of(seed));
        let mut world = World::new(seed);
        if let Some(only) = &self.only {
            world.only(only.iter().copied());
        }
        world.add_check(Box::new(Wire::new()));
        world.add_check(Box::new(Endings::new()));
        world.add_check(Box::new(Bounds::new()));
        let mut broker = broker_config(&mut random);
        if mood == Mood::BadLuck {
            // Identifiers must not be scarce, see the clients.
            broker.receive_maximum = 200;
        }
        let quota = broker.receive_maximum;
        world.add_broker(broker);
        let drawn = random.between(1, 3);
        let count = self.clients.map_or(drawn, u64::from);
        let (mut clients, mut at_most, mut all_sound) = (Vec::new(), BTreeMap::new(), true);
        for n in 0..count {
            let options = self.client_options(n, mood, quota, &mut random);
            // Where a crash may lose what the journal was to keep, the server is left with exchanges that nobody ends until
            // their identifiers are needed; a strict 3.x one closes on whatever else takes them, again and again.
            let sound = match options.config.durability {
                Durability::Off => true,
                Durability::BeforeSend => mood.faults(seed).not_stored == Rate::NEVER,
                Durability::Async => mood != Mood::Crashes,
            };
            let most =
                if sound || options.version == Version::V5 { Qos::ExactlyOnce } else { Qos::AtLeastOnce };
            all_sound &= sound;
            let client = world.add_client(options);
            at_most.insert(client, most);
            clients.push(client);
        }
        Run {
            world,
            random,
            clients,
            at_most,
            all_sound,
            filters: Vec::new(),
            accepted: 0,
            refused: 0,
            ghosts: 0,
            mood: self.mood.unwrap_or_else(|| Mood::of(seed)),
            phase: "peace",
        }
    }

    fn client_options(&self, n: u64, mood: Mood, quota: u16, random: &mut Random) -> ClientOptions {
        let drawn = match random.below(4) {
            0 => Version::V3_1,
            1 => Version::V3_1_1,
            _ => Version::V5,
        };
        let mut options = ClientOptions::new(format!("client-{n}"));
        options.storage = self.storage;
        options.version = self.version.unwrap_or(drawn);
        if mood == Mood::OtherLimits {
            // Older clients could not be told.
            options.version = Version::V5;
        }
        options.keep_alive = u16::try_from(random.between(5, 60)).unwrap_or(60);
        options.session_expiry = u32::MAX;
        options.clean_start = options.version == Version::V5 && random.below(2) == 0;
        options.local_state = LocalState::Held;
        let config = &mut options.config;
        let recorded = if mood == Mood::Crashes { random.below(5) } else { random.below(8) };
        config.durability = match recorded {
            0 => Durability::BeforeSend,
            1 | 2 if mood == Mood::Crashes => Durability::BeforeSend,
            3 => Durability::Async,
            _ => Durability::Off,
        };
        if config.durability == Durability::BeforeSend {
            // Its journal says what there is of an earlier run.
            options.local_state = LocalState::None;
        }
        if random.below(4) == 0 {
            config.ack_mode = AckMode::Manual;
        }
        config.max_in_flight = u16::try_from(random.skewed(63) + 1).unwrap_or(1);
        if mood == Mood::BadLuck {
            // An acknowledgement that comes twice is harmless as long as its identifier is not in use again.
            config.max_in_flight = 64;
        }
        if options.version != Version::V5 {
            // It is not told what the broker takes.
            config.max_in_flight = config.max_in_flight.min(quota);
        }
        // Nor is the broker, which has at most 64 in flight.
        let announced = u16::try_from(random.skewed(63) + 1).unwrap_or(1);
        config.receive_maximum = if options.version == Version::V5 { announced } else { 64 };
        config.max_operations = u32::try_from(random.between(8, 200)).unwrap_or(8);
        config.wire_bytes = random.size_below(8_000) + 600;
        // Half of them let the broker use topic aliases; what they use themselves is up to the broker.
        config.topic_alias_maximum = u16::try_from(random.below(6).saturating_sub(2)).unwrap_or(0);
        config.backoff.cap = random.span(Duration::from_secs(1), Duration::from_secs(30));
        options
    }
}

/// What the applications do about what they are told: they acknowledge, and subscribe again where nothing of an
/// earlier run is left. Says how many of them were stopped by a ghost: bytes of a connection given up, delayed until
/// after the client was connected again, took its session over, and a session that is taken over stops for good.
fn attend(world: &mut World, clients: &[ClientId], filters: &[(String, Qos)]) -> usize {
    let taken_over = Why::ServerDisconnected(ReasonCode::SessionTakenOver);
    let mut ghosts = 0;
    for (client, (filter, qos)) in clients.iter().zip(filters) {
        for event in world.events(*client) {
            match event {
                Observed::Message(Delivered { ack: Some(ack), .. }) => {
                    // Too late after a cut: the message comes again.
                    let _ = world.acknowledge(*client, ack, ReasonCode::Success, Properties::EMPTY);
                }
                Observed::Restarted { restored: 0 } => {
                    let _ = world.subscribe(*client, filter, *qos);
                }
                Observed::Disconnected { why, retry: None } if why == taken_over => ghosts += 1,
                _ => {}
            }
        }
    }
    ghosts
}

fn broker_config(random: &mut Random) -> BrokerConfig {
    BrokerConfig {
        receive_maximum: u16::try_from(random.skewed(200) + 1).unwrap_or(1),
        max_in_flight: u16::try_from(random.skewed(63) + 1).unwrap_or(1),
        topic_alias_maximum: u16::try_from(random.below(4)).unwrap_or(0),
        max_output_bytes: 1 << 20,
        ..BrokerConfig::default()
    }
}

impl Run {
    /// Plays it; a panic is a failure of this seed.
    fn outcome(&mut self, swarm: &Swarm, seed: u64) -> Result<Report, Box<Failure>> {
        let played = catch_unwind(AssertUnwindSafe(|| self.play(swarm, seed))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
            Err(Halt::Panicked(text.to_owned()))
        });
        match played {
            Ok(()) => Ok(self.report(seed)),
            Err(halt) => Err(Box::new(Failure {
                seed,
                mood: self.mood,
                swarm: swarm.clone(),
                halt,
                phase: self.phase,
                waiting: self.waiting(),
                injected: self.world.injected().clone(),
            })),
        }
    }

    fn play(&mut self, swarm: &Swarm, seed: u64) -> Result<(), Halt> {
        self.peace()?;
        self.phase = "faults";
        let drawn = self.mood.faults(seed);
        let faults = swarm.rates.iter().fold(drawn, |faults, (fault, rate)| faults.with(*fault, *rate));
        self.world.set_faults(faults);
        match swarm.every {
            Some(pause) => self.steady_load(pause, swarm.duration)?,
            None => self.load(swarm.duration)?,
        }
        self.phase = "healing";
        self.world.heal();
        let clients = self.clients.clone();
        if matches!(self.mood, Mood::BadLuck | Mood::Noise) {
            // What was lost on a connection is made up for on the next one.
            for client in &clients {
                self.world.cut(*client);
            }
        }
        let (filters, ghosts, all_sound) = (&self.filters, &mut self.ghosts, self.all_sound);
        let healed = self.world.run_until(HEALING, |world| {
            *ghosts += attend(world, &clients, filters);
            clients.iter().all(|client| world.is_connected(*client) && world.pending(*client) == 0)
                && world
                    .broker(BrokerId::FIRST)
                    .is_some_and(|broker| if all_sound { broker.is_idle() } else { broker.has_delivered() })
        });
        if matches!(healed, Err(Halt::TimedOut(_))) && self.ghosts > 0 {
            return Ok(());
        }
        healed?;
        // What is on its way to the applications still arrives, and acknowledgements leave.
        self.world.run_for(Duration::from_secs(2))?;
        self.world.finish()
    }

    /// Everybody connects and subscribes, without faults.
    fn peace(&mut self) -> Result<(), Halt> {
        let mut subscribers = Vec::new();
        for (n, client) in self.clients.clone().into_iter().enumerate() {
            let started = self.world.start(client);
            debug_assert!(started.is_ok(), "{started:?}");
            let qos = match self.random.below(4) {
                0 => Qos::AtMostOnce,
                1 => Qos::AtLeastOnce,
                _ => Qos::ExactlyOnce,
            };
            let filter =
                if n == 0 { "topic/#".to_owned() } else { format!("topic/{}", self.random.below(3)) };
            self.filters.push((filter.clone(), qos));
            if self.world.subscribe(client, &filter, qos).is_ok() {
                subscribers.push(Subscriber { client, filter, qos });
            }
        }
        let clients = self.clients.clone();
        self.world.run_until(PEACE, |world| {
            clients.iter().all(|client| world.is_connected(*client) && world.pending(*client) == 0)
        })?;
        if !matches!(self.mood, Mood::Amnesia | Mood::Noise) {
            let deliveries = Deliveries::new(subscribers);
            let resets = self.mood == Mood::BadLuck;
            self.world.add_check(Box::new(if resets { deliveries.with_resets() } else { deliveries }));
        }
        Ok(())
    }

    /// Messages at random times, in bursts and alone.
    fn load(&mut self, duration: Duration) -> Result<(), Halt> {
        let end = self.world.now().after(duration);
        while self.world.now() < end {
            let pause = self.random.span(Duration::ZERO, Duration::from_secs(3));
            self.world.run_for(pause)?;
            self.ghosts += attend(&mut self.world, &self.clients, &self.filters);
            let burst = self.random.skewed(12);
            for _ in 0..=burst {
                self.publish();
            }
        }
        Ok(())
    }

    /// Messages of every client at the same pace.
    fn steady_load(&mut self, pause: Duration, duration: Duration) -> Result<(), Halt> {
        let end = self.world.now().after(duration);
        while self.world.now() < end {
            self.world.run_for(pause)?;
            self.ghosts += attend(&mut self.world, &self.clients, &self.filters);
            for client in self.clients.clone() {
                self.publish_from(client);
            }
        }
        Ok(())
    }

    fn publish(&mut self) {
        let index = self.random.size_below(self.clients.len());
        if let Some(client) = self.clients.get(index).copied() {
            self.publish_from(client);
        }
    }

    fn publish_from(&mut self, client: ClientId) {
        let topic = format!("topic/{}", self.random.below(3));
        let Ok(name) = TopicName::new(&topic) else { return };
        let qos = match self.random.below(4) {
            0 => Qos::AtMostOnce,
            1 => Qos::AtLeastOnce,
            _ => self.at_most.get(&client).copied().unwrap_or_default(),
        };
        let number = self.accepted + self.refused;
        let filler = self.random.size_below(200);
        let payload = format!("{number}:{}", "x".repeat(filler));
        match self.world.publish(client, &Message::new(name).qos(qos).tag(number), payload.as_bytes()) {
            Ok(_) => self.accepted += 1,
            Err(_) => self.refused += 1,
        }
    }

    /// Who is not done, in words.
    fn waiting(&self) -> String {
        let mut list = Vec::new();
        for client in &self.clients {
            let (connected, pending) = (self.world.is_connected(*client), self.world.pending(*client));
            if !connected || pending > 0 {
                list.push(format!("{client:?} connected {connected} pending {pending}"));
            }
        }
        if self.world.broker(BrokerId::FIRST).is_some_and(|broker| !broker.is_idle()) {
            list.push("the broker".to_owned());
        }
        list.join(", ")
    }

    fn report(&self, seed: u64) -> Report {
        let broker = self.world.broker(BrokerId::FIRST).map(|broker| broker.stats()).unwrap_or_default();
        Report {
            seed,
            mood: self.mood,
            digest: self.world.trace().digest(),
            steps: self.world.steps(),
            time: self.world.now().since(mqtt_session::Instant::ZERO),
            clients: self.clients.len(),
            accepted: self.accepted,
            refused: self.refused,
            ghosts: self.ghosts,
            broker,
            checked: self.world.checked(),
            injected: self.world.injected().clone(),
        }
    }
}
