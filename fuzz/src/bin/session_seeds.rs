//! Writes the seeds that the corpora of the session's targets begin with: `cargo run --bin session_seeds -- FOLDER`.

use std::fs;
use std::path::Path;

use mqtt_fuzz::drive::{SETUP, Setup, parse, records};
use mqtt_fuzz::support::corpus::{Random, corpus};

fn main() {
    let folder = std::env::args().nth(1).expect("a folder");
    let write = |target: &str, number: usize, bytes: &[u8]| {
        let folder = Path::new(&folder).join(target);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(format!("seed-{number:03}")), bytes).expect("a file");
    };
    let mut random = Random(0x5E55);
    for number in 0..24 {
        let mut input = random.bytes(SETUP);
        for byte in random.bytes(25) {
            // Mostly what goes on: publish, answer, exchange; now and then anything.
            let what = [0, 1, 15, 18, 31, 31, 24, byte][usize::from(byte) % 8];
            input.extend_from_slice(&[what, byte, byte.wrapping_mul(7)]);
        }
        write("session_ops", number, &input);
        write("storage_diff", number, &input);
        // With a journal.
        input[4] |= 0x80;
        let (_, list) = parse(&input).expect("an input");
        let head: [u8; SETUP] = *input.first_chunk().expect("a setup");
        let kept = records(Setup::new(head), &list);
        write("restore", number, &[&head[..], &[number as u8 & 1], &kept].concat());
    }
    // What a server may send, to sessions in each state.
    let from_server = corpus().into_iter().filter(|entry| entry.from == mqtt_proto::Peer::Server);
    for (number, entry) in from_server.step_by(9).take(24).enumerate() {
        let mut input = random.bytes(SETUP);
        input.extend_from_slice(&[number as u8, 63]);
        input.extend_from_slice(&[0x20, 3, 0, 0, 0]);
        input.extend_from_slice(&entry.frame);
        write("session_bytes", number, &input);
    }
}
