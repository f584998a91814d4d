//! Numbered messages from one client to another, without end.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use mqtt_adapter_std::{Backoff, Event, Options, Outcome, Publish, Qos, Version};
use mqtt_tests::adapter::Adapter;

/// Numbers under way and not yet looked at: twice what a sender publishes between two pauses.
const WINDOW: usize = 1 << 15;
/// Publishes whose end the sender has not waited for.
const RECEIPTS: usize = 32;
/// Time between two messages of one sender.
const PACE: Duration = Duration::from_millis(5);
/// How long one wait for a message is.
const WAIT: Duration = Duration::from_millis(20);

/// The two URLs of a flow's clients.
pub(crate) struct Ends {
    pub(crate) sender: String,
    pub(crate) receiver: String,
}

/// A flow, as its two clients and the watch share it. Nothing of it grows.
pub(crate) struct Flow {
    pub(crate) name: &'static str,
    topic: String,
    qos: Qos,
    /// The receiver has subscribed.
    ready: AtomicBool,
    paused: AtomicBool,
    stopping: AtomicBool,
    /// The sender has nothing under way and publishes nothing.
    parked: AtomicBool,
    sender_up: AtomicBool,
    receiver_up: AtomicBool,
    sent: AtomicU64,
    failed: AtomicU64,
    losses: AtomicU64,
    not_resumed: AtomicU64,
    window: Mutex<Window>,
}

/// How often each number came that was not yet looked at.
struct Window {
    /// Numbers below were looked at.
    base: u64,
    times: Vec<u8>,
    /// Numbers that came at all.
    arrived: u64,
    /// Messages that came again.
    again: u64,
}

impl Flow {
    pub(crate) fn new(name: &'static str, qos: Qos) -> Arc<Self> {
        // Written, so that the system gives the pages now.
        let mut times = vec![u8::MAX; WINDOW];
        times.fill(0);
        Arc::new(Self {
            name,
            topic: format!("soak/{name}"),
            qos,
            ready: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            sender_up: AtomicBool::new(false),
            receiver_up: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            not_resumed: AtomicU64::new(0),
            window: Mutex::new(Window { base: 0, times, arrived: 0, again: 0 }),
        })
    }

    pub(crate) fn pause(&self, paused: bool) {
        self.parked.store(false, Ordering::SeqCst);
        self.paused.store(paused, Ordering::SeqCst);
    }

    /// Whether the sender pauses and everything has arrived.
    pub(crate) fn is_through(&self) -> bool {
        self.parked.load(Ordering::SeqCst) && self.window().arrived == self.sent.load(Ordering::SeqCst)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.sender_up.load(Ordering::SeqCst) && self.receiver_up.load(Ordering::SeqCst)
    }

    /// Messages sent, arrived, come again at QoS 1, and connections lost.
    pub(crate) fn totals(&self) -> [u64; 4] {
        let window = self.window();
        let again = if self.qos == Qos::ExactlyOnce { 0 } else { window.again };
        [self.sent.load(Ordering::SeqCst), window.arrived, again, self.losses.load(Ordering::SeqCst)]
    }

    /// Looks at every number that was sent since the last time, in a pause: what is wrong with them.
    pub(crate) fn check(&self) -> Option<String> {
        let sent = self.sent.load(Ordering::SeqCst);
        let mut window = self.window();
        let lost: Vec<u64> =
            (window.base..sent).filter(|number| window.times[place(*number)] == 0).take(10).collect();
        let doubled: Vec<u64> =
            (window.base..sent).filter(|number| window.times[place(*number)] > 1).take(10).collect();
        window.base = sent;
        window.times.fill(0);
        let wrong = !lost.is_empty() || self.qos == Qos::ExactlyOnce && !doubled.is_empty();
        wrong
            .then(|| format!("flow {}: lost {lost:?}, doubled {doubled:?} (at most ten are told)", self.name))
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn came(&self, number: u64) {
        let mut window = self.window();
        if number < window.base {
            window.again += 1;
            return;
        }
        let times = &mut window.times[place(number)];
        *times = times.saturating_add(1);
        if *times > 1 {
            window.again += 1;
        } else {
            window.arrived += 1;
        }
    }

    /// Keeps count of a connection that comes and goes; once the session is there, each finds it again.
    fn note(&self, up: &AtomicBool, established: bool, event: &Event) {
        if let Event::Connected(connected) = event {
            if established && !connected.resumed {
                self.not_resumed.fetch_add(1, Ordering::SeqCst);
            }
            up.store(true, Ordering::SeqCst);
        }
        // An attempt that failed is not a connection lost.
        if matches!(event, Event::Disconnected(_)) && up.swap(false, Ordering::SeqCst) {
            self.losses.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn options(&self, url: &str, version: Version, role: &str) -> Options {
        let mut options = Options::new(url)
            .expect("the proxy has a good URL")
            .with_version(version)
            .with_client_id(format!("soak-{}-{role}", self.name))
            .with_clean_start(false)
            .with_session_expiry(Duration::from_secs(24 * 3_600));
        let engine = options.engine_mut();
        // Short, so that more connections fit into the time.
        engine.backoff =
            Backoff { base: Duration::from_millis(20), cap: Duration::from_millis(200), ..engine.backoff };
        options
    }

    /// Publishes until it is stopped; how many operations were left then.
    fn send<A: Adapter>(&self, url: &str, version: Version) -> u32 {
        let mut client = A::start(self.options(url, version, "sender")).expect("the client starts");
        while !self.ready.load(Ordering::SeqCst) && !self.stopping.load(Ordering::SeqCst) {
            thread::sleep(WAIT);
        }
        let mut receipts = VecDeque::with_capacity(RECEIPTS);
        let (mut number, mut established, mut next) = (0_u64, false, Instant::now());
        loop {
            let stopping = self.stopping.load(Ordering::SeqCst);
            if stopping || self.paused.load(Ordering::SeqCst) {
                while let Some(receipt) = receipts.pop_front() {
                    self.end(&client.outcome(receipt));
                }
                self.parked.store(true, Ordering::SeqCst);
                if stopping {
                    return client.stop();
                }
                if let Some(event) = client.event(WAIT) {
                    self.note(&self.sender_up, established, &event);
                }
                next = Instant::now();
                continue;
            }
            self.parked.store(false, Ordering::SeqCst);
            if receipts.len() == RECEIPTS
                && let Some(receipt) = receipts.pop_front()
            {
                self.end(&client.outcome(receipt));
                established = true;
            }
            let payload = format!("{number:020} {:40}", self.name);
            let publish = Publish::new(&self.topic, payload.as_str()).qos(self.qos);
            receipts.push_back(client.publish(publish).expect("there is room"));
            number += 1;
            self.sent.store(number, Ordering::SeqCst);
            // After a time without a connection it does not hurry to make up for it.
            next = (next + PACE).max(Instant::now());
            loop {
                let left = next.saturating_duration_since(Instant::now());
                match client.event(left) {
                    Some(event) => self.note(&self.sender_up, established, &event),
                    None if left.is_zero() => break,
                    None => {}
                }
            }
        }
    }

    fn end(&self, outcome: &Outcome) {
        if !outcome.is_success() {
            self.failed.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Receives until it is stopped; how many operations were left then.
    fn receive<A: Adapter>(&self, url: &str, version: Version) -> u32 {
        let mut client = A::start(self.options(url, version, "receiver")).expect("the client starts");
        client.subscribe(&self.topic, self.qos).expect("the subscription is granted");
        while let Some(event) = client.event(Duration::ZERO) {
            self.note(&self.receiver_up, false, &event);
        }
        self.ready.store(true, Ordering::SeqCst);
        let mut since = 0_u32;
        loop {
            let message = client.message(WAIT);
            if let Some(message) = &message {
                let text = message.payload().get(..20).and_then(|number| str::from_utf8(number).ok());
                let number = text.and_then(|number| number.parse().ok());
                self.came(number.expect("payloads begin with a number"));
            }
            since += 1;
            if message.is_none() || since >= 16 {
                since = 0;
                while let Some(event) = client.event(Duration::ZERO) {
                    self.note(&self.receiver_up, true, &event);
                }
            }
            if message.is_none() && self.stopping.load(Ordering::SeqCst) {
                return client.stop();
            }
        }
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number % WINDOW as u64).unwrap_or(0)
}

/// A flow and the threads of its two clients.
pub(crate) struct Running {
    flow: Arc<Flow>,
    sender: JoinHandle<u32>,
    receiver: JoinHandle<u32>,
    drivers: [&'static str; 2],
    version: Version,
}

impl Running {
    pub(crate) fn start<S: Adapter + 'static, R: Adapter + 'static>(
        flow: Arc<Flow>,
        version: Version,
        ends: Ends,
    ) -> Self {
        let (sending, receiving) = (Arc::clone(&flow), Arc::clone(&flow));
        let sender = thread::spawn(move || sending.send::<S>(&ends.sender, version));
        let receiver = thread::spawn(move || receiving.receive::<R>(&ends.receiver, version));
        Self { flow, sender, receiver, drivers: [driver::<S>(), driver::<R>()], version }
    }

    pub(crate) fn flow(&self) -> &Flow {
        &self.flow
    }

    /// A thread has ended before it was told to: its client panicked.
    pub(crate) fn has_died(&self) -> bool {
        self.sender.is_finished() || self.receiver.is_finished()
    }

    pub(crate) fn stop(self) -> Result<Summary, &'static str> {
        self.flow.stopping.store(true, Ordering::SeqCst);
        let left = self.sender.join().map_err(|_| "the sender panicked")?;
        let left = left + self.receiver.join().map_err(|_| "the receiver panicked")?;
        Ok(Summary { flow: self.flow, left, drivers: self.drivers, version: self.version })
    }
}

/// The last part of a type's path.
fn driver<A>() -> &'static str {
    core::any::type_name::<A>().rsplit("::").next().unwrap_or_default()
}

/// What came of a flow.
pub(crate) struct Summary {
    flow: Arc<Flow>,
    left: u32,
    drivers: [&'static str; 2],
    version: Version,
}

/// The head of the table whose lines the summaries are.
pub(crate) const HEADER: &str = "\
| flow | from | to | version | QoS | sent | arrived | came again | connections lost | sessions lost | failed |
| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |";

impl Summary {
    pub(crate) fn wrong(&self) -> Option<String> {
        let [sent, arrived, ..] = self.flow.totals();
        let again = self.flow.qos == Qos::ExactlyOnce && self.flow.window().again > 0;
        let counts = [&self.flow.failed, &self.flow.not_resumed].map(|count| count.load(Ordering::SeqCst));
        let right = sent == arrived && !again && counts == [0, 0] && self.left == 0;
        (!right).then(|| format!("flow {} (operations left: {})", self.flow.name, self.left))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flow = &self.flow;
        let ([sent, arrived, _, losses], again) = (flow.totals(), flow.window().again);
        let [failed, not_resumed] =
            [&flow.failed, &flow.not_resumed].map(|count| count.load(Ordering::SeqCst));
        write!(
            f,
            "| {} | {} | {} | {:?} | {} | {sent} | {arrived} | {again} | {losses} | {not_resumed} | {failed} |",
            flow.name, self.drivers[0], self.drivers[1], self.version, flow.qos as u8
        )
    }
}
