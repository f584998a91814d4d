//! What is measured: the packets of the codec's performance goals, in one place, so that every harness (times,
//! instructions, a comparison with other codecs) shares them.
#![allow(dead_code, unreachable_pub, reason = "each harness uses a part of it")]

use mqtt_proto::*;

/// 20 bytes.
pub const TOPIC: &str = "sensors/attic/temp/1";
pub const PAYLOAD: [u8; 256] = [0x55; 256];

/// Five properties, as a request with a response topic has them.
pub const PROPERTIES: [Property<'static>; 5] = [
    Property::PayloadFormatIndicator(true),
    Property::MessageExpiryInterval(3600),
    Property::ContentType("application/json"),
    Property::ResponseTopic("replies/attic/42"),
    Property::UserProperty("trace", "0af7651916cd43dd"),
];

pub fn topic() -> TopicName<'static> {
    TopicName::new(TOPIC).expect("a topic name")
}

pub fn publish_qos0() -> Publish<'static> {
    Publish::new(topic(), &PAYLOAD)
}

pub fn publish_properties() -> Publish<'static> {
    Publish {
        qos: Qos::AtLeastOnce,
        packet_id: PacketId::new(10),
        properties: Properties::List(&PROPERTIES),
        ..publish_qos0()
    }
}

pub fn puback() -> Puback<'static> {
    Puback::new(PacketId::new(10).expect("not zero"))
}

pub fn connect() -> Connect<'static> {
    Connect {
        keep_alive: 60,
        will: Some(Will { qos: Qos::AtLeastOnce, ..Will::new(topic(), b"gone") }),
        username: Some("meter"),
        password: Some(b"correct horse battery"),
        ..Connect::new(Version::V5, "meter-0017")
    }
}

pub fn subscriptions() -> [Subscription<'static>; 4] {
    ["sensors/+/temp/1", "sensors/attic/#", "commands/meter/17", "status/broker"].map(|filter| Subscription {
        filter: TopicFilter::new(filter).expect("a filter"),
        options: SubscriptionOptions::new(Qos::AtLeastOnce),
    })
}

pub fn frame(packet: &impl Encode, version: Version) -> Vec<u8> {
    let mut frame = vec![0; packet.encoded_len(version).expect("a legal packet")];
    packet.encode(version, &mut frame).expect("room enough");
    frame
}

pub fn subscribe_frame() -> Vec<u8> {
    let filters = subscriptions();
    let packet_id = PacketId::new(11).expect("not zero");
    frame(&Subscribe { packet_id, properties: Properties::EMPTY, filters: (&filters).into() }, Version::V5)
}

/// 100 packets a server sends: 80 PUBLISH (QoS 0 and 1 in turn), 18 PUBACK, 2 PINGRESP.
pub fn mixed_stream(version: Version) -> Vec<u8> {
    let mut stream = Vec::new();
    for number in 0..100_u16 {
        let bytes = match number % 50 {
            49 => frame(&Pingresp, version),
            n if n % 5 == 4 => frame(&Puback::new(PacketId::new(number + 1).expect("not zero")), version),
            n if n % 2 == 0 => frame(&publish_qos0(), version),
            _ => {
                let packet_id = PacketId::new(number + 1);
                frame(&Publish { qos: Qos::AtLeastOnce, packet_id, ..publish_qos0() }, version)
            }
        };
        stream.extend(bytes);
    }
    stream
}

/// Takes a stream of packets apart, as a connection does, and returns how many there were.
#[inline(never)]
pub fn decode_stream(mut stream: &[u8], version: Version) -> usize {
    let mut packets = 0;
    while let Some(len) = frame_len(stream, 1 << 20).expect("a good stream") {
        let (frame, rest) = stream.split_at(len);
        let packet = Packet::decode(frame, version, Peer::Server).expect("a good packet");
        core::hint::black_box(&packet);
        packets += 1;
        stream = rest;
    }
    packets
}

/// One decoding as the goals word it: from a frame with its length known to a packet looked at.
#[inline(never)]
pub fn decode(frame: &[u8], version: Version, from: Peer) {
    let packet = Packet::decode(core::hint::black_box(frame), version, from);
    core::hint::black_box(&packet);
}

#[inline(never)]
pub fn encode(packet: &impl Encode, version: Version, out: &mut [u8]) {
    let written = core::hint::black_box(packet).encode(version, out);
    let _ = core::hint::black_box(written);
}

/// A case: its name, and what it does.
pub type Case = (&'static str, Box<dyn FnMut()>);

/// All cases, in the order of the goals.
pub fn all() -> Vec<Case> {
    use Version::{V3_1_1, V5};
    let mut cases: Vec<Case> = Vec::new();
    // What the harness itself costs.
    cases.push(("nothing", Box::new(|| _ = core::hint::black_box(0))));
    let mut decodes = |name, frame: Vec<u8>, version, from| {
        cases.push((name, Box::new(move || decode(&frame, version, from))));
    };
    decodes("decode PUBLISH QoS 0, 3.1.1", frame(&publish_qos0(), V3_1_1), V3_1_1, Peer::Server);
    decodes("decode PUBLISH QoS 0, 5.0", frame(&publish_qos0(), V5), V5, Peer::Server);
    decodes("decode PUBLISH QoS 1, 5 properties", frame(&publish_properties(), V5), V5, Peer::Server);
    decodes("decode PUBACK, 3.1.1", frame(&puback(), V3_1_1), V3_1_1, Peer::Server);
    decodes("decode PUBACK, 5.0", frame(&puback(), V5), V5, Peer::Server);
    decodes("decode SUBSCRIBE, 4 filters, 5.0", subscribe_frame(), V5, Peer::Client);
    decodes("decode CONNECT, 5.0", frame(&connect(), V5), V5, Peer::Client);
    for (name, version) in
        [("decode mixed stream, 3.1.1 (100 packets)", V3_1_1), ("decode mixed stream, 5.0 (100 packets)", V5)]
    {
        let stream = mixed_stream(version);
        cases.push((
            name,
            Box::new(move || assert_eq!(decode_stream(core::hint::black_box(&stream), version), 100)),
        ));
    }
    let mut encodes = |name, packet: Publish<'static>, version| {
        let mut out = [0; 512];
        cases.push((name, Box::new(move || encode(&packet, version, &mut out))));
    };
    encodes("encode PUBLISH 256 B, 3.1.1", publish_qos0(), V3_1_1);
    encodes("encode PUBLISH 256 B, 5.0", publish_qos0(), V5);
    encodes("encode PUBLISH, 5 properties", publish_properties(), V5);
    cases
}
