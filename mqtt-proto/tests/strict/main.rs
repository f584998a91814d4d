//! What the standards demand, statement by statement. Each test names the statements it shows: `[3.1.1 MQTT-…]`,
//! `[5.0 MQTT-…]`, `[U-…]` from the list of rules without a number, `[C…]` and `[M…]` from the list of bug classes.

#[path = "../support/mod.rs"]
mod support;

mod acks;
mod connack;
mod connect;
mod header;
mod properties;
mod publish;
mod strings;
mod subscribe;
mod topics;
mod values;

use mqtt_proto::Peer::{Client, Server};
use mqtt_proto::Version::{V3_1, V3_1_1, V5};
use mqtt_proto::*;

/// Decodes what must be fine.
#[track_caller]
fn accept(version: Version, from: Peer, frame: &[u8]) -> Packet<'_> {
    assert_eq!(frame_len(frame, usize::MAX), Ok(Some(frame.len())), "{frame:02X?}");
    match Packet::decode(frame, version, from) {
        Ok(packet) => packet,
        Err(why) => panic!("{version} {from:?} {frame:02X?}: {why}"),
    }
}

/// Decodes what must be refused, and returns why.
#[track_caller]
fn refuse(version: Version, from: Peer, frame: &[u8]) -> DecodeError {
    match Packet::decode(frame, version, from) {
        Ok(packet) => panic!("{version} {from:?} {frame:02X?} is accepted: {packet:?}"),
        Err(why) => {
            assert!((why.at as usize) <= frame.len(), "{why} is behind the end of {frame:02X?}");
            why
        }
    }
}

/// Decodes what must be refused as malformed, by this rule.
#[track_caller]
fn malformed(version: Version, from: Peer, frame: &[u8], rule: &str) {
    let why = refuse(version, from, frame);
    assert_eq!(
        (why.kind, why.reason_code),
        (DecodeErrorKind::Malformed, ReasonCode::MalformedPacket),
        "{why}"
    );
    assert_eq!(why.rule, rule, "{version} {from:?} {frame:02X?}");
}

/// Decodes what must be refused as a protocol error, by this rule.
#[track_caller]
fn protocol(version: Version, from: Peer, frame: &[u8], rule: &str) {
    let why = refuse(version, from, frame);
    assert_eq!((why.kind, why.reason_code), (DecodeErrorKind::Protocol, ReasonCode::ProtocolError), "{why}");
    assert_eq!(why.rule, rule, "{version} {from:?} {frame:02X?}");
}

/// Encodes what must be fine.
#[track_caller]
fn encode(packet: &impl Encode, version: Version) -> Vec<u8> {
    let mut frame = vec![0; packet.encoded_len(version).expect("a legal packet")];
    assert_eq!(packet.encode(version, &mut frame), Ok(frame.len()));
    frame
}

/// Encodes what must be refused; nothing may have been written.
#[track_caller]
fn no_encode(packet: &impl Encode, version: Version) -> EncodeError {
    let mut out = vec![0xAA; 400_000];
    let why = packet.encode(version, &mut out).expect_err("must be refused");
    assert_eq!(packet.encoded_len(version), Err(why));
    assert!(out.iter().all(|byte| *byte == 0xAA), "something was written");
    why
}

fn topic(name: &str) -> TopicName<'_> {
    TopicName::new(name).expect("a topic name")
}

fn filter(filter: &str) -> TopicFilter<'_> {
    TopicFilter::new(filter).expect("a topic filter")
}

fn id(id: u16) -> PacketId {
    PacketId::new(id).expect("not zero")
}

const ALL: [Version; 3] = [V3_1, V3_1_1, V5];
const OLD: [Version; 2] = [V3_1, V3_1_1];
const PEERS: [Peer; 2] = [Client, Server];
