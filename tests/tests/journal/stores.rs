//! Stores of the application's own: what the client asks of them, and what it does when they fail.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use mqtt_adapter_std::{
    Change, ConnectError, Event, Journal, JournalError, Key, Options, Outcome, Publish, Qos, RestoreError,
    Store, Take, WhenNotStored,
};
use mqtt_tests::adapter::{Adapter, CAP};
use mqtt_tests::drivers;
use mqtt_tests::mosquitto::{Mosquitto, free_address};

drivers!(
    what_was_left_goes_on_and_its_receipts_are_events,
    one_write_serves_many,
    a_slow_disk_holds_nobody_up,
    a_full_disk_ends_what_cannot_be_stored,
    a_full_disk_ends_nothing_if_told_so,
    a_damaged_record_is_set_aside_and_told,
    a_journal_that_cannot_be_opened_is_an_error,
);

/// Records in memory, which outlive a client.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    records: BTreeMap<Key, Vec<u8>>,
    writes: usize,
    aside: Vec<(Key, RestoreError)>,
    full: bool,
    wait: Duration,
}

impl Memory {
    fn journal(&self) -> Journal {
        let own = self.clone();
        Journal::of_store(move |_| Ok(Box::new(own.clone())))
    }
}

impl Store for Memory {
    fn load(&mut self, take: &mut Take<'_>) -> Result<(), JournalError> {
        self.0.lock().unwrap().records.iter().for_each(|(key, record)| take(*key, record, None));
        Ok(())
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), JournalError> {
        let wait = self.0.lock().unwrap().wait;
        thread::sleep(wait);
        let mut own = self.0.lock().unwrap();
        if own.full {
            return Err(JournalError::Io {
                path: None,
                kind: io::ErrorKind::StorageFull,
                detail: "full".into(),
            });
        }
        own.writes += 1;
        for change in changes {
            match change.record() {
                Some(pieces) => {
                    own.records.insert(change.key(), pieces.map(|piece| &piece[..]).concat());
                }
                None => {
                    own.records.remove(&change.key());
                }
            }
        }
        Ok(())
    }

    fn set_aside(&mut self, key: Key, why: RestoreError) -> Result<(), JournalError> {
        let mut own = self.0.lock().unwrap();
        own.records.remove(&key);
        own.aside.push((key, why));
        Ok(())
    }
}

fn options(url: &str, memory: &Memory) -> Options {
    Options::new(url).unwrap().with_client_id("me").with_linger(Duration::ZERO).with_journal(memory.journal())
}

fn event<A: Adapter, T>(client: &mut A, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    let until = Instant::now() + CAP;
    loop {
        let event =
            client.event(until.saturating_duration_since(Instant::now())).expect("it is told in time");
        if let Some(found) = wanted(event) {
            return found;
        }
    }
}

fn what_was_left_goes_on_and_its_receipts_are_events<A: Adapter>() {
    const COUNT: u64 = 2_000;
    let memory = Memory::default();
    let nobody = format!("mqtt://{}", free_address());
    let mut client = A::start(options(&nobody, &memory)).unwrap();
    let mut receipts: Vec<_> = (0..COUNT)
        .map(|tag| {
            let qos = if tag % 2 == 0 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
            client.publish(Publish::new("t", "x").qos(qos).tag(tag)).unwrap()
        })
        .collect();
    for receipt in &mut receipts {
        assert!(client.durable(receipt));
    }
    client.stop();
    drop(client);
    assert!(memory.0.lock().unwrap().records.len() as u64 > COUNT);
    let broker = Mosquitto::start();
    let mut client = A::start(options(&broker.url(), &memory)).unwrap();
    for _ in 0..COUNT {
        let (tag, outcome) = event(&mut client, |event| match event {
            Event::Done { tag, outcome, .. } => Some((tag, outcome)),
            _ => None,
        });
        assert!(tag < COUNT);
        assert!(matches!(outcome, Outcome::Acked(_)), "{outcome:?}");
    }
    client.stop();
    // One is left, of the session itself.
    assert_eq!(memory.0.lock().unwrap().records.len(), 1);
}

fn one_write_serves_many<A: Adapter>() {
    let memory = Memory::default();
    memory.0.lock().unwrap().wait = Duration::from_millis(5);
    let broker = Mosquitto::start();
    let mut client = A::start(options(&broker.url(), &memory)).unwrap();
    let mut receipts: Vec<_> =
        (0..1_000).map(|_| client.publish(Publish::new("t", "x").qos(Qos::AtLeastOnce)).unwrap()).collect();
    for receipt in &mut receipts {
        assert!(client.durable(receipt));
    }
    for receipt in receipts {
        assert!(client.outcome(receipt).is_success());
    }
    let writes = memory.0.lock().unwrap().writes;
    assert!(writes < 500, "{writes} writes for 1,000 messages");
}

fn a_slow_disk_holds_nobody_up<A: Adapter>() {
    let (memory, broker) = (Memory::default(), Mosquitto::start());
    let mut client = A::connect(options(&broker.url(), &memory)).unwrap();
    client.subscribe("t", Qos::AtMostOnce).unwrap();
    let mut other = A::connect(Options::new(&broker.url()).unwrap()).unwrap();
    memory.0.lock().unwrap().wait = Duration::from_secs(3);
    let begun = Instant::now();
    let stuck = client.publish(Publish::new("elsewhere", "x").qos(Qos::ExactlyOnce)).unwrap();
    for _ in 0..10 {
        let _ = other.publish(Publish::new("t", "x")).unwrap();
        assert!(client.message(CAP).is_some());
        let _ = client.publish(Publish::new("elsewhere", "x")).unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(client.outcome(stuck).is_success());
    assert!(begun.elapsed() >= Duration::from_secs(3), "it left before it was stored");
}

fn a_full_disk_ends_what_cannot_be_stored<A: Adapter>() {
    let (memory, broker) = (Memory::default(), Mosquitto::start());
    let mut client = A::connect(options(&broker.url(), &memory)).unwrap();
    memory.0.lock().unwrap().full = true;
    let mut receipt = client.publish(Publish::new("t", "x").qos(Qos::AtLeastOnce)).unwrap();
    assert!(!client.durable(&mut receipt));
    assert_eq!(client.outcome(receipt), Outcome::NotStored);
    let error = event(&mut client, |event| match event {
        Event::JournalFailed(error) => Some(error),
        _ => None,
    });
    assert!(error.is_full(), "{error}");
    memory.0.lock().unwrap().full = false;
    let receipt = client.publish(Publish::new("t", "x").qos(Qos::AtLeastOnce)).unwrap();
    assert!(client.outcome(receipt).is_success());
    event(&mut client, |event| matches!(event, Event::JournalRecovered).then_some(()));
}

fn a_full_disk_ends_nothing_if_told_so<A: Adapter>() {
    let (memory, broker) = (Memory::default(), Mosquitto::start());
    let mut options = options(&broker.url(), &memory);
    options.engine_mut().when_not_stored = WhenNotStored::Send;
    let mut client = A::connect(options).unwrap();
    memory.0.lock().unwrap().full = true;
    let receipt = client.publish(Publish::new("t", "x").qos(Qos::ExactlyOnce)).unwrap();
    assert!(client.outcome(receipt).is_success());
    event(&mut client, |event| matches!(event, Event::JournalFailed(_)).then_some(()));
}

fn a_damaged_record_is_set_aside_and_told<A: Adapter>() {
    let memory = Memory::default();
    let nobody = format!("mqtt://{}", free_address());
    let mut client = A::start(options(&nobody, &memory)).unwrap();
    for tag in 1..3 {
        let mut receipt = client.publish(Publish::new("t", "x").qos(Qos::AtLeastOnce).tag(tag)).unwrap();
        assert!(client.durable(&mut receipt));
    }
    client.stop();
    drop(client);
    let damaged = {
        let mut own = memory.0.lock().unwrap();
        let (key, record) = own.records.iter_mut().find(|(_, record)| record.ends_with(b"tx")).unwrap();
        let last = record.len() - 1;
        record[last] ^= 1;
        *key
    };
    let broker = Mosquitto::start();
    let mut client = A::start(options(&broker.url(), &memory)).unwrap();
    let told = event(&mut client, |event| match event {
        Event::RecordSetAside { key, error } => Some((key, error)),
        _ => None,
    });
    assert_eq!(told, (damaged, RestoreError::Damaged));
    assert_eq!(memory.0.lock().unwrap().aside, [told]);
    // The other one is as good as it was.
    let outcome = event(&mut client, |event| match event {
        Event::Done { outcome, .. } => Some(outcome),
        _ => None,
    });
    assert!(outcome.is_success());
}

fn a_journal_that_cannot_be_opened_is_an_error<A: Adapter>() {
    let failing = || {
        Journal::of_store(|_| {
            Err(JournalError::Io {
                path: None,
                kind: io::ErrorKind::ReadOnlyFilesystem,
                detail: "read-only".into(),
            })
        })
    };
    let broker = Mosquitto::start();
    let options = || Options::new(&broker.url()).unwrap().with_journal(failing());
    let Err(ConnectError::Journal(error)) = A::start(options()).map(drop) else {
        panic!("a name that is drawn names no journal")
    };
    assert_eq!(error, JournalError::NoClientId);
    let mut options = options().with_client_id("me");
    let Err(ConnectError::Journal(error)) = A::start(options.clone()).map(drop) else {
        panic!("there is no journal")
    };
    assert!(error.is_read_only(), "{error}");
    // Only if told so.
    options.engine_mut().when_not_stored = WhenNotStored::Send;
    let mut client = A::connect(options).unwrap();
    event(&mut client, |event| matches!(event, Event::JournalFailed(_)).then_some(()));
    let receipt = client.publish(Publish::new("t", "x").qos(Qos::AtLeastOnce)).unwrap();
    assert!(client.outcome(receipt).is_success());
}
