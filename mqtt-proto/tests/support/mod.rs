//! Packets for tests: drawn from a string of bytes, so that one generator serves property tests, fuzz targets and a
//! fixed corpus.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

pub mod corpus;
pub mod shape;

use mqtt_proto::{Peer, Version};

pub const VERSIONS: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];
pub const PEERS: [Peer; 2] = [Peer::Client, Peer::Server];

/// A frame by hand: first byte, remaining length, body.
pub fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    frame.extend(varint(body.len()));
    frame.extend(body);
    frame
}

/// A variable byte integer, written as the pseudocode of the standard has it.
pub fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let digit = (value % 128) as u8;
        value /= 128;
        if value == 0 {
            bytes.push(digit);
            return bytes;
        }
        bytes.push(digit | 128);
    }
}

/// A length-prefixed string or binary field.
pub fn field(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let mut field = (bytes.len() as u16).to_be_bytes().to_vec();
    field.extend(bytes);
    field
}

/// A property section: its length, then the bytes.
pub fn section(properties: &[u8]) -> Vec<u8> {
    let mut bytes = varint(properties.len());
    bytes.extend(properties);
    bytes
}

/// Pieces one after another.
pub fn join(pieces: &[&[u8]]) -> Vec<u8> {
    pieces.concat()
}
