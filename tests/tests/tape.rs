//! Logs that the adapters record on a real network run again, bit for bit.

use core::time::Duration;
use std::fs;
use std::path::Path;

use mqtt_adapter_std::session::tape::{Replayed, replay};
use mqtt_adapter_std::{
    Backoff, Event, Journal, Options, Properties, Property, Publish, Qos, Recording, Version, Will,
};
use mqtt_tests::adapter::{Adapter, CAP};
use mqtt_tests::folder::Folder;
use mqtt_tests::model::Model;
use mqtt_tests::mosquitto::Mosquitto;
use mqtt_tests::proxy::Proxy;

/// A test for each driver and version of what stands beside it.
macro_rules! drivers {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            drivers!(@driver $name threads Threads);
            drivers!(@driver $name driven Driven);
            drivers!(@driver $name smol Smol);
        }
    )+};
    (@driver $name:ident $module:ident $driver:ident) => {
        #[test]
        fn $module() {
            for version in [super::Version::V3_1_1, super::Version::V5] {
                super::$name::<mqtt_tests::adapter::$driver>(version);
            }
        }
    };
}

drivers!(against_the_model_broker, against_mosquitto, across_cuts, with_a_journal_and_a_restart);

const CANARY: &str = "canary";

fn options(url: &str, version: Version, recording: &Recording) -> Options {
    let mut options = Options::new(url)
        .expect("the harness makes good URLs")
        .with_version(version)
        .with_username("lamp")
        .with_password(CANARY)
        .with_will(Will::new("will", CANARY))
        .with_recording(recording.clone());
    let engine = options.engine_mut();
    engine.backoff =
        Backoff { base: Duration::from_millis(20), cap: Duration::from_millis(100), ..engine.backoff };
    options
}

/// Messages of every quality and several sizes, to itself and back.
fn talk<A: Adapter>(client: &mut A, between: &mut dyn FnMut(usize)) {
    client.subscribe("echo/#", Qos::ExactlyOnce).expect("it is granted");
    let mut round = 0;
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        for size in [0, 10, 3_000, 100_000] {
            let payload = vec![b'p'; size];
            let list = [Property::UserProperty("unit", "V"), Property::ContentType("text")];
            let mut publish = Publish::new("echo/a", &payload).qos(qos);
            if size == 10 {
                publish = publish.properties(Properties::List(&list)).ttl(Duration::from_secs(60));
            }
            let receipt = client.publish(publish).expect("there is room");
            between(round);
            round += 1;
            if qos != Qos::AtMostOnce {
                assert!(client.outcome(receipt).is_success());
            }
        }
    }
}

/// The log runs again, has done something, and holds no secret.
fn check(log: &Path, recording: &Recording) -> Replayed {
    // A task may still hold the client's options.
    recording.finish().expect("it can be written");
    let bytes = fs::read(log).expect("it was written");
    assert!(!bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()), "a secret is in the log");
    let replayed = replay(&bytes[..]).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
    assert!(replayed.tracks.iter().all(|track| track.calls > 50), "{replayed:?}");
    assert!(replayed.tracks[0].bytes_out > 300_000 && replayed.tracks[0].bytes_in > 100_000, "{replayed:?}");
    replayed
}

fn run<A: Adapter>(url: &str, version: Version) {
    let folder = Folder::new("tape");
    let log = folder.file("log.tape");
    let recording = Recording::create(&log).expect("the folder is there");
    let mut client = A::connect(options(url, version, &recording)).expect("it connects");
    talk(&mut client, &mut |_| ());
    for _ in 0..12 {
        assert!(client.message(CAP).is_some());
    }
    assert_eq!(client.stop(), 0);
    drop(client);
    check(&log, &recording);
}

fn against_the_model_broker<A: Adapter>(version: Version) {
    let broker = Model::start();
    run::<A>(&broker.url(), version);
}

fn against_mosquitto<A: Adapter>(version: Version) {
    let broker = Mosquitto::start();
    run::<A>(&broker.url(), version);
}

fn across_cuts<A: Adapter>(version: Version) {
    let broker = Mosquitto::start();
    let proxy = Proxy::start(broker.address(), &[]);
    let folder = Folder::new("tape");
    let log = folder.file("log.tape");
    let recording = Recording::create(&log).expect("the folder is there");
    let options = options(&proxy.url(), version, &recording)
        .with_client_id("recorded")
        .with_clean_start(false)
        .with_session_expiry(Duration::from_secs(600));
    let mut client = A::connect(options).expect("it connects");
    talk(&mut client, &mut |round| {
        if round > 3 && round % 2 == 0 {
            proxy.cut_now();
        }
    });
    while client.pending() > 0 {
        assert!(client.event(CAP).is_some());
    }
    client.stop();
    drop(client);
    check(&log, &recording);
}

fn with_a_journal_and_a_restart<A: Adapter>(version: Version) {
    let broker = Model::start();
    let folder = Folder::new("tape");
    for run in 0..2 {
        let log = folder.file(&format!("log-{run}.tape"));
        let recording = Recording::create(&log).expect("the folder is there");
        let options = options(&broker.url(), version, &recording)
            .with_client_id("recorded")
            .with_journal(Journal::in_folder(folder.path()));
        let mut client = A::connect(options).expect("it connects");
        talk(&mut client, &mut |_| ());
        if run == 0 {
            // Something is left for the next run to restore.
            broker.handle().cut_all();
            for _ in 0..20 {
                client
                    .publish(Publish::new("echo/late", "late").qos(Qos::ExactlyOnce))
                    .expect("there is room");
            }
        }
        client.stop();
        drop(client);
        check(&log, &recording);
    }
}

#[test]
fn a_log_that_cannot_be_written_ends_and_the_client_goes_on() {
    struct Full;

    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if bytes.len() > 8 && bytes[0] == 2 {
                Err(std::io::ErrorKind::StorageFull.into())
            } else {
                Ok(bytes.len())
            }
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let broker = Model::start();
    let options = Options::new(&broker.url()).unwrap().with_recording(Recording::to(Full).unwrap());
    let mut client = <mqtt_tests::adapter::Threads as Adapter>::connect(options).expect("it connects");
    let failed = core::iter::from_fn(|| client.event(CAP))
        .find(|event| matches!(event, Event::RecordingFailed { .. }))
        .expect("it is told");
    assert!(matches!(failed, Event::RecordingFailed { kind: std::io::ErrorKind::StorageFull, .. }));
    let receipt = client.publish(Publish::new("a", "b").qos(Qos::AtLeastOnce)).expect("there is room");
    assert!(client.outcome(receipt).is_success());
    assert_eq!(client.stop(), 0);
}
