//! `kill -9` at random moments under load.
//!
//! Each of these is short here; `MQTT_KILLS=200` makes them long (3 minutes):
//!
//! ```sh
//! MQTT_KILLS=200 cargo test -p mqtt-tests --test journal kill -- --nocapture --test-threads 3
//! ```

use core::hash::{BuildHasher, Hasher};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::hash::RandomState;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use mqtt_adapter_std::{Client, Options, Publish, Qos};
use mqtt_tests::adapter::CAP;
use mqtt_tests::folder::Folder;
use mqtt_tests::mosquitto::{Mosquitto, end};

/// Each over every driver; the number is how often to kill where nothing else is said.
macro_rules! kills {
    ($driver:ident, $short:literal) => {
        mod $driver {
            #[test]
            fn of_a_sender_at_qos_1_loses_nothing() {
                super::sender(stringify!($driver), "send1", $short);
            }

            #[test]
            fn of_a_sender_at_qos_2_loses_and_doubles_nothing() {
                super::sender(stringify!($driver), "send2", $short);
            }

            #[test]
            fn of_a_receiver_at_qos_1_loses_nothing() {
                super::receiver(stringify!($driver), "receive1", $short);
            }

            #[test]
            fn of_a_receiver_at_qos_2_loses_nothing() {
                super::receiver(stringify!($driver), "receive2", $short);
            }
        }
    };
}

kills!(threads, 5);
kills!(driven, 3);
kills!(smol, 5);

/// How often to kill.
fn kills(short: u32) -> u32 {
    env::var("MQTT_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(short)
}

/// Milliseconds, different each time.
fn some_millis(from: u64, to: u64) -> Duration {
    Duration::from_millis(from + RandomState::new().build_hasher().finish() % (to - from))
}

fn run(driver: &str, role: &str, url: &str, folder: &Folder, first: u64) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_journal_client"))
        .args([driver, role, url])
        .arg(folder.path())
        .arg(first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the client of this package starts");
    let out = BufReader::new(child.stdout.take().expect("it was asked for"));
    (child, out)
}

/// What is said within this time, and then the child is killed with SIGKILL. The time counts from the first line with
/// this word, so that each run gets somewhere.
fn lines_until_killed(
    mut child: Child,
    out: BufReader<ChildStdout>,
    word: &str,
    time: Duration,
) -> Vec<String> {
    let (send, lines) = mpsc::channel();
    let reader = thread::spawn(move || {
        for line in out.lines() {
            // The last one may be cut off, and then its number is not to be believed.
            let Ok(line) = line else { return };
            if send.send(line).is_err() {
                return;
            }
        }
    });
    let mut said = Vec::new();
    let mut until = Instant::now() + CAP;
    let mut begun = false;
    loop {
        match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if !begun && line.starts_with(word) {
                    begun = true;
                    until = Instant::now() + time;
                }
                said.push(line);
            }
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => panic!("the client ended by itself after {said:?}"),
        }
    }
    assert!(begun, "nothing came of it: {said:?}");
    end(&mut child);
    said.extend(lines.iter());
    reader.join().expect("the reader does not panic");
    said
}

/// The numbers behind this word.
fn numbers(lines: &[String], word: &str) -> BTreeSet<u64> {
    lines
        .iter()
        .filter_map(|line| line.strip_prefix(word))
        .map(|rest| rest.trim().parse().expect("a number"))
        .collect()
}

/// Of what was told as durable, QoS 1 comes at least once and QoS 2 exactly once; and nothing at QoS 2 comes twice.
fn sender(driver: &str, role: &str, short: u32) {
    let kills = kills(short);
    let (broker, folder) = (Mosquitto::start(), Folder::new("journal"));
    let exactly = role == "send2";
    let subscriber = Client::connect(Options::new(&broker.url()).unwrap()).expect("the subscriber connects");
    subscriber.subscribe("numbers", Qos::ExactlyOnce).expect("it is granted");
    let collector = thread::spawn({
        let subscriber = subscriber.clone();
        move || {
            let mut came = BTreeMap::<u64, u32>::new();
            for message in subscriber.messages() {
                let text = str::from_utf8(message.payload()).expect("a number");
                if text == "end" {
                    break;
                }
                *came.entry(text.parse().expect("a number")).or_default() += 1;
            }
            came
        }
    });
    let (mut tried, mut durable) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..kills {
        let first = tried.last().map_or(0, |last| last + 1);
        let (child, out) = run(driver, role, &broker.url(), &folder, first);
        let said = lines_until_killed(child, out, "durable", some_millis(0, 300));
        tried.extend(numbers(&said, "try "));
        durable.extend(numbers(&said, "durable "));
    }
    let (mut child, out) = run(driver, "finish", &broker.url(), &folder, 0);
    let last: Vec<String> = out.lines().map_while(Result::ok).collect();
    assert!(child.wait().unwrap().success(), "{last:?}");
    assert_eq!(last.last().map(String::as_str), Some("finished"));
    // Each operation that was left ends, and its receipt is told to the run that ended it.
    let (left, receipts) = (numbers(&last, "left "), numbers(&last, "receipt "));
    assert!(left.iter().all(|left| receipts.len() as u64 >= *left), "{last:?}");
    assert!(receipts.iter().all(|number| tried.contains(number)), "{last:?}");
    let end = subscriber.publish(Publish::new("numbers", "end").qos(Qos::ExactlyOnce)).unwrap();
    let _ = end.wait().expect("the broker takes it");
    let came = collector.join().expect("the collector does not panic");
    let lost: Vec<_> = durable.iter().filter(|number| !came.contains_key(number)).collect();
    let doubled: Vec<_> = came.iter().filter(|(_, count)| **count > 1).collect();
    println!(
        "{driver}, {role}: {kills} kills, {} tried, {} durable, {} came, {} lost, {} more than once, {} receipts after the last",
        tried.len(),
        durable.len(),
        came.len(),
        lost.len(),
        doubled.len(),
        receipts.len()
    );
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(!exactly || doubled.is_empty(), "twice: {doubled:?}");
    assert!(came.keys().all(|number| tried.contains(number)));
}

/// Nothing is lost, and what may come again says so: what the application had in hand when it was killed.
fn receiver(driver: &str, role: &str, short: u32) {
    let kills = kills(short);
    let (broker, folder) = (Mosquitto::start(), Folder::new("journal"));
    let url = broker.url();
    // The subscription is there before the first message.
    let (child, out) = run(driver, role, &url, &folder, 0);
    let mut said = lines_until_killed(child, out, "subscribed", Duration::ZERO);
    let source = Client::connect(Options::new(&url).unwrap()).expect("the source connects");
    let mut sent = 0_u64;
    let mut publish = |count: u64| {
        let receipts: Vec<_> = (sent..sent + count)
            .map(|number| {
                let text = number.to_string();
                source.publish(Publish::new("numbers", text.as_str()).qos(Qos::ExactlyOnce)).unwrap()
            })
            .collect();
        sent += count;
        for receipt in receipts {
            let _ = receipt.wait().expect("the broker takes it");
        }
    };
    for _ in 0..kills {
        publish(200);
        let (child, out) = run(driver, role, &url, &folder, 0);
        said.extend(lines_until_killed(child, out, "got", some_millis(0, 100)));
    }
    publish(1);
    let (child, out) = run(driver, role, &url, &folder, 0);
    said.extend(lines_until_killed(child, out, &format!("got {}", sent - 1), Duration::from_millis(300)));
    let mut came = BTreeMap::<u64, (u32, u32)>::new();
    for line in said.iter().filter_map(|line| line.strip_prefix("got ")) {
        let (number, again) = line.split_once(' ').unwrap_or((line, ""));
        let counts = came.entry(number.parse().expect("a number")).or_default();
        counts.0 += 1;
        counts.1 += u32::from(!again.is_empty());
    }
    let lost: Vec<_> = (0..sent).filter(|number| !came.contains_key(number)).collect();
    let unmarked = came.values().filter(|(count, again)| *count > *again + 1).count();
    let doubled = came.values().filter(|(count, _)| *count > 1).count();
    println!(
        "{driver}, {role}: {kills} kills, {sent} sent, {} came, {} lost, {doubled} more than once, of them {unmarked} unmarked",
        came.len(),
        lost.len()
    );
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert_eq!(unmarked, 0, "came again and were not marked");
}
