//! Compares stores for the journal, and what a journal costs a client.
//!
//! ```sh
//! cargo run --release --manifest-path bench/journal/Cargo.toml -- [FOLDER]
//! ```
//!
//! FOLDER is made on the disk to be measured, and removed; default: beside the system's temporary files.

#[path = "../../rates/src/sink.rs"]
mod sink;
mod stores;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mqtt_adapter_std::session::{Command, Config, HeapSession, Message};
use mqtt_adapter_std::{Change, Client, Durability, Options, Publish, Qos, Store, TopicName};

/// Payload of each message, in bytes.
const PAYLOAD: usize = 100;
/// Messages in the tests of size and recovery.
const MANY: usize = 1_000_000;
/// How long a rate is measured.
const SPAN: Duration = Duration::from_secs(5);

fn main() {
    let folder =
        std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from).join("mqtt-journal-bench");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    println!("one write of 4 KiB and fdatasync: {:?}", sync_time(&folder));
    println!(
        "\n## The store alone: messages per second, each a record of {PAYLOAD} bytes of payload, put and deleted\n"
    );
    println!("| store | 1 per sync | 10 | 100 | 1,000 |\n| --- | ---: | ---: | ---: | ---: |");
    for name in stores::NAMES {
        let rates =
            [1, 10, 100, 1_000].map(|batch| rate(name, &folder.join(format!("{name}-{batch}")), batch));
        println!("| {name} | {} | {} | {} | {} |", rates[0], rates[1], rates[2], rates[3]);
    }
    println!("\n## {MANY} messages: size, and time to open after a crash\n");
    println!(
        "| store | kept, MiB | open and load all, s | deleted again, MiB | opened again, MiB | open, s |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for name in stores::NAMES {
        many(name, &folder);
    }
    println!("\n## A client at QoS 1 against a server that only acknowledges: messages per second\n");
    println!(
        "| store | off | async | before send | before send, one at a time |\n| --- | ---: | ---: | ---: | ---: |"
    );
    let server = format!("mqtt://{}", sink::start(u16::MAX).unwrap());
    let off = client(&server, None, Durability::Off, false);
    for name in stores::NAMES {
        let run = |durability, single| {
            let place = folder.join(format!("{name}-client"));
            let _ = fs::remove_dir_all(&place);
            client(&server, Some((name, &place)), durability, single)
        };
        let (lazy, before) = (run(Durability::Async, false), run(Durability::BeforeSend, false));
        println!("| {name} | {off} | {lazy} | {before} | {} |", run(Durability::BeforeSend, true));
    }
    let _ = fs::remove_dir_all(&folder);
}

fn sync_time(folder: &Path) -> Duration {
    use std::io::{Seek, Write};
    let mut file = fs::File::create(folder.join("sync")).unwrap();
    let begun = Instant::now();
    for _ in 0..200 {
        file.rewind().unwrap();
        file.write_all(&[7; 4_096]).unwrap();
        file.sync_data().unwrap();
    }
    begun.elapsed() / 200
}

/// Records as the engine makes them.
struct Source {
    session: HeapSession,
}

impl Source {
    fn new() -> Self {
        let mut config = Config { durability: Durability::BeforeSend, ..Config::new(1) };
        config.max_operations = u32::MAX >> 2;
        config.queue_bytes = usize::MAX;
        Self { session: HeapSession::new(config) }
    }

    fn next(&mut self) -> Change {
        let message = Message::new(TopicName::new("bench/journal").unwrap()).qos(Qos::AtLeastOnce);
        let _ = self.session.publish(&message, [7; PAYLOAD][..].into()).unwrap();
        loop {
            if let Some(Command::Put { key, record }) = self.session.poll_command() {
                return Change::put(key, record.keep());
            }
        }
    }
}

fn open(name: &str, folder: &Path) -> Box<dyn Store> {
    stores::journal(name, folder).open("bench").unwrap()
}

fn rate(name: &str, folder: &Path, batch: usize) -> u64 {
    let mut store = open(name, folder);
    let mut source = Source::new();
    let mut last: Vec<Change> = Vec::new();
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < SPAN {
        // What was put last time is acknowledged now.
        let mut changes: Vec<Change> = (0..batch).map(|_| source.next()).collect();
        let deletes = last.iter().map(|put| Change::delete(put.key()));
        let next = changes.clone();
        changes.extend(deletes);
        store.write(&changes).unwrap();
        last = next;
        count += batch;
    }
    (count as f64 / begun.elapsed().as_secs_f64()) as u64
}

fn many(name: &str, folder: &Path) {
    let place = folder.join(format!("{name}-many"));
    let mut store = open(name, &place);
    let mut source = Source::new();
    let mut keys = Vec::with_capacity(MANY);
    for _ in 0..MANY / 1_000 {
        let changes: Vec<Change> = (0..1_000).map(|_| source.next()).collect();
        keys.extend(changes.iter().map(Change::key));
        store.write(&changes).unwrap();
    }
    let kept = size(&place);
    // A crash: what is there now, without an orderly end.
    let crashed = folder.join(format!("{name}-crashed"));
    copy(&place, &crashed);
    let begun = Instant::now();
    let mut found = 0;
    open(name, &crashed).load(&mut |_, _, _| found += 1).unwrap();
    let recovery = begun.elapsed().as_secs_f64();
    assert_eq!(found, MANY);
    let _ = fs::remove_dir_all(&crashed);
    for keys in keys.chunks(1_000) {
        let deletes: Vec<Change> = keys.iter().map(|key| Change::delete(*key)).collect();
        store.write(&deletes).unwrap();
    }
    let deleted = size(&place);
    drop(store);
    let begun = Instant::now();
    drop(open(name, &place));
    let opened = begun.elapsed().as_secs_f64();
    let after = size(&place);
    let _ = fs::remove_dir_all(&place);
    println!("| {name} | {kept:.1} | {recovery:.2} | {deleted:.1} | {after:.1} | {opened:.2} |");
}

/// MiB of all files below.
fn size(folder: &Path) -> f64 {
    fn bytes(folder: &Path) -> u64 {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(
                |entry| {
                    if entry.path().is_dir() { bytes(&entry.path()) } else { entry.metadata().unwrap().len() }
                },
            )
            .sum()
    }
    bytes(folder) as f64 / 1_048_576.0
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Publishes as fast as the queue takes them, or each after the one before is durable.
fn client(server: &str, store: Option<(&str, &Path)>, durability: Durability, single: bool) -> u64 {
    let mut options = Options::new(server).unwrap().with_client_id("bench").with_durability(durability);
    options.engine_mut().max_operations = 10_000;
    if let Some((name, place)) = store {
        options = options.with_journal(stores::journal(name, place));
    }
    let client = Client::connect(options).unwrap();
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < SPAN {
        let mut receipt =
            client.publish(Publish::new("bench/journal", &[7; PAYLOAD]).qos(Qos::AtLeastOnce)).unwrap();
        if single {
            receipt.durable().unwrap();
        }
        count += 1;
    }
    assert!(client.idle_timeout(Duration::from_secs(60)));
    let rate = f64::from(count) / begun.elapsed().as_secs_f64();
    client.stop(Duration::from_secs(10));
    rate as u64
}
