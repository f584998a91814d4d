//! Replays the corpora of the session's fuzz targets: what once was interesting is looked at in every run.

use crate::drive;

use std::fs;
use std::path::Path;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display())) {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        check(&fs::read(&path).expect("a readable input"));
        replayed += 1;
    }
    assert!(replayed >= 8, "only {replayed} inputs for {target}");
}

#[test]
fn session_bytes() {
    replay("session_bytes", drive::bytes);
}

#[test]
fn session_ops() {
    replay("session_ops", drive::operations);
}

#[test]
fn storage_diff() {
    replay("storage_diff", drive::storages);
}

#[test]
fn restore() {
    replay("restore", drive::restore);
}
