//! Replays the corpora of the fuzz targets: what once was interesting is looked at in every run.

#[path = "../../fuzz/src/checks.rs"]
#[allow(unreachable_pub, reason = "the fuzz targets, another crate, use it too")]
mod checks;
mod support;

use std::fs;
use std::path::Path;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display())) {
        let path = entry.expect("an entry").path();
        let input = fs::read(&path).expect("a readable input");
        println!("{}", path.display());
        check(&input);
        // Its neighbours: cut short, and with each byte changed a little.
        for cut in 0..input.len().min(100) {
            check(&input[..cut]);
            let mut changed = input.clone();
            changed[cut] = changed[cut].wrapping_add(1);
            check(&changed);
        }
        replayed += 1;
    }
    assert!(replayed >= 8, "only {replayed} inputs for {target}");
}

#[test]
fn decode() {
    replay("decode", checks::decode);
}

#[test]
fn roundtrip() {
    replay("roundtrip", checks::roundtrip);
}

#[test]
fn split() {
    replay("split", checks::split);
}

#[test]
fn properties() {
    replay("properties", checks::properties);
}

#[test]
fn topics() {
    replay("topics", checks::topics);
}
