//! Encoding and decoding are inverse to each other, on anything.

mod support;

use mqtt_proto::*;
use proptest::prelude::*;
use support::corpus::corpus;
use support::shape::{Choices, Shape};

fn encode(packet: &impl Encode, version: Version) -> Vec<u8> {
    let mut frame = vec![0xAA; packet.encoded_len(version).expect("a legal packet")];
    assert_eq!(packet.encode(version, &mut frame), Ok(frame.len()));
    frame
}

/// What the peer reads is what was written. Before 5.0 every failure in a SUBACK reads as 0x80 and the options of a
/// subscription are only its QoS, so those two are compared by what they come to.
fn check(shape: &Shape<'_>) {
    let packet = shape.packet();
    let frame = encode(&packet, shape.version);
    let read = Packet::decode(&frame, shape.version, shape.from)
        .unwrap_or_else(|why| panic!("{why}: {packet:?} as {frame:02X?}"));
    match (packet, read) {
        (Packet::Suback(sent), Packet::Suback(read)) if shape.version != Version::V5 => {
            let coarse = |code: ReasonCode| if code.is_error() { ReasonCode::UnspecifiedError } else { code };
            assert!(sent.codes.iter().map(coarse).eq(read.codes.iter()));
            assert_eq!(sent.packet_id, read.packet_id);
        }
        (Packet::Subscribe(sent), Packet::Subscribe(read)) if shape.version != Version::V5 => {
            let coarse = |item: Subscription<'_>| (item.filter.as_str().to_owned(), item.options.qos);
            assert!(sent.filters.iter().map(coarse).eq(read.filters.iter().map(coarse)));
            assert_eq!(sent.packet_id, read.packet_id);
        }
        _ => assert_eq!(packet, read),
    }
    // What was received can be sent on, and gives the same bytes.
    assert_eq!(encode(&read, shape.version), frame);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decode_undoes_encode(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        check(&Shape::draw(&mut Choices(&bytes)));
    }

    #[test]
    fn too_small_a_buffer_is_told_and_left_alone(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in any::<u16>()) {
        let shape = Shape::draw(&mut Choices(&bytes));
        let packet = shape.packet();
        let needed = packet.encoded_len(shape.version).expect("a legal packet");
        let mut buffer = vec![0xAA; usize::from(cut) % needed];
        prop_assert_eq!(packet.encode(shape.version, &mut buffer), Err(EncodeError::BufferTooSmall { needed }));
        prop_assert!(buffer.iter().all(|byte| *byte == 0xAA));
    }
}

#[test]
fn encode_undoes_decode_on_canonical_frames() {
    let corpus = corpus();
    assert!(corpus.len() >= 300, "only {} packets", corpus.len());
    for entry in &corpus {
        let packet = Packet::decode(&entry.frame, entry.version, entry.from)
            .unwrap_or_else(|why| panic!("{why}: {:02X?}", entry.frame));
        assert_eq!(encode(&packet, entry.version), entry.frame);
        assert_eq!(frame_len(&entry.frame, usize::MAX), Ok(Some(entry.frame.len())));
    }
    println!("{} packets", corpus.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_accepted_reads_the_same_when_it_was_sent_on(
        first in any::<u8>(),
        body in proptest::collection::vec(prop_oneof![0..8_u8, any::<u8>()], 0..40),
        version in prop_oneof![Just(Version::V3_1), Just(Version::V3_1_1), Just(Version::V5)],
        from in prop_oneof![Just(Peer::Client), Just(Peer::Server)],
    ) {
        let input = support::frame(first, &body);
        if let Ok(packet) = Packet::decode(&input, version, from) {
            let frame = encode(&packet, version);
            prop_assert!(frame.len() <= input.len());
            prop_assert_eq!(Packet::decode(&frame, version, from), Ok(packet));
        }
    }
}
