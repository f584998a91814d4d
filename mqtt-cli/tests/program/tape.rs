//! Recording and replaying: `--record`, `mqtt replay`.

use std::fs;

use mqtt_tests::folder::Folder;
use mqtt_tests::model::Model;

use crate::run::{mqtt, run};

#[test]
fn a_seed_is_recorded_and_runs_again_and_a_changed_byte_is_found() {
    let folder = Folder::new("tape");
    let log = folder.file("run.tape");
    let path = log.to_str().unwrap();
    let recorded = run(&mut mqtt(&["sim", "--seed", "42", "--record", path]));
    assert_eq!(recorded.status, Some(0), "{recorded:?}");
    for again in [&["replay", path][..], &["sim", "--replay", path]] {
        let replayed = run(&mut mqtt(again));
        assert_eq!(replayed.status, Some(0), "{replayed:?}");
        assert!(
            replayed.output.contains("client-0: ") && replayed.output.contains(": the same"),
            "{replayed:?}"
        );
    }
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let replayed = run(&mut mqtt(&["replay", path]));
    assert_eq!(replayed.status, Some(1), "{replayed:?}");
    assert!(replayed.errors.contains("damaged at byte"), "{replayed:?}");

    bytes[middle] ^= 1;
    fs::write(&log, &bytes[..bytes.len() - 20]).unwrap();
    let replayed = run(&mut mqtt(&["replay", path]));
    assert_eq!(replayed.status, Some(1), "{replayed:?}");
    assert!(replayed.errors.contains("has no end"), "{replayed:?}");

    fs::write(&log, "something else").unwrap();
    let replayed = run(&mut mqtt(&["replay", path]));
    assert_eq!(replayed.status, Some(2), "{replayed:?}");
    assert!(replayed.errors.contains("no log"), "{replayed:?}");
}

#[test]
fn pub_and_sub_are_recorded_without_their_password() {
    let broker = Model::start();
    let folder = Folder::new("tape");
    let url = broker.url();
    let (out, back) = (folder.file("pub.tape"), folder.file("sub.tape"));
    let (out, back) = (out.to_str().unwrap(), back.to_str().unwrap());
    let kept = ["--record", out, "--username", "lamp", "--password", "canary"];
    let published = run(mqtt(&["pub", &url, "state", "on", "--qos", "2", "--retain"]).args(kept));
    assert_eq!(published.status, Some(0), "{published:?}");
    let received = run(&mut mqtt(&["sub", &url, "state", "-n", "1", "--record", back]));
    assert_eq!(received.status, Some(0), "{received:?}");
    for path in [out, back] {
        let bytes = fs::read(path).unwrap();
        assert!(!bytes.windows(6).any(|part| part == b"canary"));
        let replayed = run(&mut mqtt(&["replay", path]));
        assert_eq!(replayed.status, Some(0), "{replayed:?}");
        assert!(replayed.output.contains("the same"), "{replayed:?}");
    }
}

#[test]
fn a_log_that_cannot_be_written_is_a_usage_error_before_anything_is_sent() {
    let ended = run(&mut mqtt(&["pub", "mqtt://127.0.0.1:9", "a", "b", "--record", "/nowhere/at/all.tape"]));
    assert_eq!(ended.status, Some(2), "{ended:?}");
    assert!(ended.errors.contains("/nowhere/at/all.tape"), "{ended:?}");
}
