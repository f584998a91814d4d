//! Writes the seeds the corpora begin with: `cargo run --bin seeds -- FOLDER`.

use std::fs;
use std::path::Path;

use mqtt_fuzz::support::corpus::{Random, corpus};
use mqtt_fuzz::support::{PEERS, VERSIONS};
use mqtt_proto::{Packet, Version};

fn main() {
    let folder = std::env::args().nth(1).expect("a folder");
    let write = |target: &str, number: usize, bytes: Vec<u8>| {
        let folder = Path::new(&folder).join(target);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(format!("seed-{number:03}")), bytes).expect("a file");
    };
    let mut random = Random(0x5EED);
    for (number, entry) in corpus().into_iter().enumerate() {
        let version = VERSIONS.iter().position(|version| *version == entry.version).expect("a version");
        let from = PEERS.iter().position(|from| *from == entry.from).expect("a peer");
        let choice = (version + 3 * from) as u8;
        write("decode", number, [&[choice], &entry.frame[..]].concat());
        write("split", number, [&[choice, 3, 5], &entry.frame[..], &entry.frame[..]].concat());
        write("roundtrip", number, random.bytes(number % 120));
        if entry.frame.len() < 128 && entry.version != Version::V3_1 {
            let choice = u8::from(entry.version == Version::V5) | (from as u8) << 1;
            write("differential", number, [&[choice, entry.frame[0]], &entry.frame[2..]].concat());
        }
        if let Ok(Packet::Publish(publish)) = Packet::decode(&entry.frame, entry.version, entry.from) {
            let mut properties = vec![0; publish.properties.body_len()];
            publish.properties.write_body(&mut properties).expect("room");
            write("properties", number, [&[3, 3 * from as u8], &properties[..]].concat());
        }
    }
    let texts: [&str; 8] = [
        "a/b\na/+\n#\na/#\n$share/g/a/b\n+/b",
        "$SYS/x\n#\n+/x\n$SYS/#",
        "/\n+/+\n/+\n//",
        "a\na/#\n+\na#\n#/a",
        "ü/日\n+/日\nü/#",
        "\n\n",
        "a/b/c/d\na/+/c/+\n+/+/+/+\na/b/#\n$share/\n$share/a",
        "a+\n+",
    ];
    for (number, text) in texts.into_iter().enumerate() {
        write("topics", number, text.into());
    }
}
