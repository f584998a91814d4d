//! A subscription shared by several processes, on mosquitto: each message is handled by one of them, and what one of them
//! had not acknowledged when it was killed is not lost.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::thread;
use std::time::Instant;

use mqtt_adapter_std::{Client, Options, Publish, Qos, Receipt};
use mqtt_tests::adapter::CAP;
use mqtt_tests::mosquitto::Mosquitto;
use mqtt_tests::process::Running;

/// Messages in all.
const COUNT: u32 = 3_000;
/// The drivers, one process each.
const DRIVERS: [&str; 3] = ["threads", "driven", "smol"];

/// What each process was told to handle: how often each number came, and how often it was marked as a repetition.
type Handled = BTreeMap<&'static str, BTreeMap<u32, (u32, u32)>>;

/// The group: processes by their driver, which is their client identifier too.
struct Group {
    broker: Mosquitto,
    source: Client,
    running: BTreeMap<&'static str, Running>,
    handled: Handled,
    sent: u32,
}

impl Group {
    fn new() -> Self {
        let broker = Mosquitto::start();
        let source = Client::connect(Options::new(&broker.url()).expect("a good URL")).expect("it connects");
        Self { broker, source, running: BTreeMap::new(), handled: Handled::new(), sent: 0 }
    }

    fn start(&mut self, driver: &'static str, session: &str, deed: &str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shared_member"));
        command.args([driver, &self.broker.url(), driver, session, deed]);
        let member = Running::start(&mut command);
        assert_eq!(member.line(), "subscribed");
        self.running.insert(driver, member);
    }

    fn publish(&mut self, count: u32) -> Vec<Receipt> {
        let numbers = self.sent..self.sent + count;
        self.sent += count;
        numbers
            .map(|number| {
                let text = number.to_string();
                let publish = Publish::new("numbers", text.as_str()).qos(Qos::AtLeastOnce);
                self.source.publish(publish).expect("it is accepted")
            })
            .collect()
    }

    fn note(handled: &mut Handled, driver: &'static str, lines: Vec<String>) {
        for line in lines {
            let told = line.strip_prefix("got ").expect("messages are told");
            let (number, again) = told.split_once(' ').unwrap_or((told, ""));
            let number = number.parse().expect("payloads are numbers");
            let times = handled.entry(driver).or_default().entry(number).or_default();
            *times = (times.0 + 1, times.1 + u32::from(!again.is_empty()));
        }
    }

    /// Reads what the processes say until that is enough, or for `within`; whether it was.
    fn until(&mut self, within: Duration, enough: impl Fn(&Handled) -> bool) -> bool {
        let end = Instant::now() + within;
        loop {
            for (driver, member) in &self.running {
                Self::note(&mut self.handled, driver, member.lines());
            }
            if enough(&self.handled) {
                return true;
            }
            if Instant::now() > end {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn kill(&mut self, driver: &'static str) {
        let member = self.running.remove(driver).expect("it runs");
        Self::note(&mut self.handled, driver, member.killed());
    }

    /// Waits until the broker has found out that this one is gone: until then it goes on handing it messages.
    fn missed(&self, driver: &str) {
        let cap = Instant::now() + CAP;
        let ends = ["closed", "disconnected"].map(|end| format!("Client {driver} {end}"));
        while !ends.iter().any(|end| self.broker.log().contains(end)) {
            assert!(Instant::now() < cap, "{}", self.broker.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets them all end in order, and takes the rest of what they say.
    fn end(mut self) -> Handled {
        for (driver, member) in self.running {
            let ended = member.ended();
            assert_eq!(ended.status, Some(0), "{ended:?}");
            Self::note(&mut self.handled, driver, ended.output.lines().map(str::to_owned).collect());
        }
        self.handled
    }
}

fn delivered(receipts: Vec<Receipt>) {
    for receipt in receipts {
        let _ = receipt.wait().expect("the broker takes it");
    }
}

/// How many of the numbers were handled by anyone.
fn numbers(handled: &Handled) -> usize {
    handled.values().flat_map(BTreeMap::keys).collect::<BTreeSet<_>>().len()
}

/// No number was handled by two processes; which ones were by none.
fn lost(handled: &Handled) -> BTreeSet<u32> {
    let mut by = BTreeMap::<u32, Vec<&str>>::new();
    for (driver, numbers) in handled {
        numbers.keys().for_each(|number| by.entry(*number).or_default().push(driver));
    }
    let twice: Vec<_> = by.iter().filter(|(_, drivers)| drivers.len() > 1).collect();
    assert!(twice.is_empty(), "handled by two: {twice:?}");
    (0..COUNT).filter(|number| !by.contains_key(number)).collect()
}

/// What came more than once to this process; every repetition was marked as one.
fn repeated(handled: &Handled, driver: &str) -> usize {
    let times = handled.get(driver).into_iter().flat_map(BTreeMap::values);
    let repeated: Vec<_> = times.filter(|(times, _)| *times > 1).collect();
    assert!(repeated.iter().all(|(times, marked)| times - marked <= 1), "{driver}: {repeated:?}");
    repeated.len()
}

#[test]
fn every_message_is_handled_by_exactly_one_process() {
    let mut group = Group::new();
    DRIVERS.into_iter().for_each(|driver| group.start(driver, "kept", "take"));
    let receipts = group.publish(COUNT);
    delivered(receipts);
    assert!(group.until(CAP, |handled| numbers(handled) == COUNT as usize), "some are lost");
    let handled = group.end();
    assert_eq!(lost(&handled), BTreeSet::new());
    for driver in DRIVERS {
        assert_eq!(repeated(&handled, driver), 0);
        println!("{driver} handled {}", handled[driver].len());
    }
}

#[test]
fn a_process_with_threads_is_killed_and_comes_back() {
    killed_and_back("threads");
}

#[test]
fn a_driven_process_is_killed_and_comes_back() {
    killed_and_back("driven");
}

#[test]
fn a_process_with_smol_is_killed_and_comes_back() {
    killed_and_back("smol");
}

/// In the middle of the flow; its share waits in its session.
fn killed_and_back(victim: &'static str) {
    let mut group = Group::new();
    DRIVERS.into_iter().for_each(|driver| group.start(driver, "kept", "take"));
    let first = group.publish(COUNT / 3);
    assert!(group.until(CAP, |handled| numbers(handled) > COUNT as usize / 6), "the flow stalls");
    let second = group.publish(COUNT / 3);
    group.kill(victim);
    let third = group.publish(COUNT / 3);
    [first, second, third].into_iter().for_each(delivered);
    group.start(victim, "kept", "take");
    assert!(group.until(CAP, |handled| numbers(handled) == COUNT as usize), "some are lost");
    let handled = group.end();
    assert_eq!(lost(&handled), BTreeSet::new());
    for driver in DRIVERS {
        let repeated = repeated(&handled, driver);
        println!("{driver} handled {}, {repeated} of them more than once", handled[driver].len());
        assert!(driver == victim || repeated == 0, "{driver}: {repeated}");
    }
}

/// How many numbers this process was told to handle.
fn told(handled: &Handled, driver: &str) -> usize {
    handled.get(driver).map_or(0, BTreeMap::len)
}

/// It had acknowledged nothing: all that was under way to it comes again.
#[test]
fn what_a_killed_process_held_waits_for_it() {
    let mut group = Group::new();
    group.start("threads", "kept", "hold");
    group.start("smol", "kept", "take");
    // The half of it is below the Receive Maximum of each.
    let receipts = group.publish(COUNT / 3);
    delivered(receipts);
    let share = COUNT as usize / 6;
    assert!(group.until(CAP, |handled| told(handled, "threads") == share), "half of them are held");
    group.kill("threads");
    group.start("threads", "kept", "take");
    let receipts = group.publish(2 * COUNT / 3);
    delivered(receipts);
    let again =
        |handled: &Handled| repeated(handled, "threads") == share && numbers(handled) == COUNT as usize;
    assert!(group.until(CAP, again), "what was held comes again");
    let handled = group.end();
    assert_eq!(lost(&handled), BTreeSet::new());
    assert_eq!(repeated(&handled, "smol"), 0);
}

/// mosquitto 2.0.11 throws away what is under way to a clean session that ends, though others share the subscription.
#[test]
fn what_a_killed_process_held_in_a_clean_session_ends_with_it() {
    let mut group = Group::new();
    group.start("threads", "clean", "hold");
    group.start("smol", "kept", "take");
    let receipts = group.publish(COUNT / 3);
    delivered(receipts);
    let share = COUNT as usize / 6;
    let both = |handled: &Handled| told(handled, "threads") == share && told(handled, "smol") == share;
    assert!(group.until(CAP, both), "half and half");
    group.kill("threads");
    group.missed("threads");
    let receipts = group.publish(2 * COUNT / 3);
    delivered(receipts);
    let rest = COUNT as usize - share;
    assert!(group.until(CAP, |handled| told(handled, "smol") == rest), "the other one goes on alone");
    let handled = group.end();
    // Nothing of what the first one held was handed to the other.
    assert_eq!(lost(&handled), BTreeSet::new());
    assert_eq!((told(&handled, "threads"), told(&handled, "smol")), (share, rest));
    assert_eq!(repeated(&handled, "smol"), 0);
}
