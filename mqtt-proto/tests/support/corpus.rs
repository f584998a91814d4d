//! A fixed set of valid packets that covers every packet type, property, version and direction.

use mqtt_proto::*;

use super::shape::{Choices, Shape, property};

/// A valid frame, and how to read it.
#[derive(Debug, Clone)]
pub struct Entry {
    pub version: Version,
    pub from: Peer,
    pub frame: Vec<u8>,
}

/// A small generator of reproducible bytes.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 32) as u8).collect()
    }
}

fn entry(packet: &Packet<'_>, version: Version, from: Peer) -> Entry {
    let mut frame = vec![0; packet.encoded_len(version).unwrap_or_else(|why| panic!("{why}: {packet:?}"))];
    packet.encode(version, &mut frame).unwrap_or_else(|why| panic!("{why}: {packet:?}"));
    Entry { version, from, frame }
}

/// The corpus: the same packets in every run.
pub fn corpus() -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut random = Random(0x5EED_0FDE_C0DE);
    for version in super::VERSIONS {
        for from in super::PEERS {
            for number in 1..=15_u8 {
                let packet_type = PacketType::from_first_byte(number << 4).expect("a packet type");
                if packet_type.allowed_from(from, version) {
                    drawn(&mut entries, &mut random, version, from, packet_type);
                }
            }
        }
    }
    every_property(&mut entries, &mut random);
    entries.sort_by(|a, b| {
        (a.version, a.from == Peer::Server, &a.frame).cmp(&(b.version, b.from == Peer::Server, &b.frame))
    });
    entries.dedup_by(|a, b| (a.version, a.from, &a.frame) == (b.version, b.from, &b.frame));
    entries
}

/// Some packets of one type: the simplest, and some drawn at random.
fn drawn(
    entries: &mut Vec<Entry>,
    random: &mut Random,
    version: Version,
    from: Peer,
    packet_type: PacketType,
) {
    for round in 0..6 {
        let bytes = random.bytes(round * 40);
        let shape = Shape::draw_as(&mut Choices(&bytes), version, from, packet_type);
        entries.push(entry(&shape.packet(), version, from));
    }
}

/// One packet for each property at each place it may stand.
fn every_property(entries: &mut Vec<Entry>, random: &mut Random) {
    let filters = [Subscription {
        filter: TopicFilter::new("a/+").expect("a filter"),
        options: SubscriptionOptions::new(Qos::AtLeastOnce),
    }];
    let unsubscribed = [TopicFilter::new("a/+").expect("a filter")];
    let topic = TopicName::new("a/b").expect("a name");
    let packet_id = PacketId::new(0x1234).expect("not zero");
    for from in super::PEERS {
        for place in PropertyPlace::ALL {
            for id in PropertyId::ALL.iter().filter(|id| id.allowed_in(*place, from)) {
                let bytes = random.bytes(60);
                let mut list = vec![property(&mut Choices(&bytes), *id)];
                let method = list[0].id() == PropertyId::AuthenticationMethod;
                if !method && (*id == PropertyId::AuthenticationData || *place == PropertyPlace::Auth) {
                    list.push(Property::AuthenticationMethod("m"));
                }
                let properties = Properties::List(&list);
                let reason_code = ReasonCode::UnspecifiedError;
                let packet: Packet<'_> = match place {
                    PropertyPlace::Connect => Connect { properties, ..Connect::new(Version::V5, "c") }.into(),
                    PropertyPlace::Will => {
                        let will = Will { properties, ..Will::new(topic, b"gone") };
                        Connect { will: Some(will), ..Connect::new(Version::V5, "c") }.into()
                    }
                    PropertyPlace::Connack => Connack { properties, ..Connack::accepted(true) }.into(),
                    PropertyPlace::Publish => {
                        Publish { properties, ..Publish::new(topic, b"payload") }.into()
                    }
                    PropertyPlace::Puback => Puback::with(packet_id, ReasonCode::Success, properties).into(),
                    PropertyPlace::Pubrec => Pubrec::with(packet_id, ReasonCode::Success, properties).into(),
                    PropertyPlace::Pubrel => Pubrel::with(packet_id, ReasonCode::Success, properties).into(),
                    PropertyPlace::Pubcomp => {
                        Pubcomp::with(packet_id, ReasonCode::Success, properties).into()
                    }
                    PropertyPlace::Subscribe => {
                        Subscribe { packet_id, properties, filters: (&filters).into() }.into()
                    }
                    PropertyPlace::Suback => {
                        Suback { packet_id, properties, codes: (&[ReasonCode::GrantedQos1]).into() }.into()
                    }
                    PropertyPlace::Unsubscribe => {
                        Unsubscribe { packet_id, properties, filters: (&unsubscribed).into() }.into()
                    }
                    PropertyPlace::Unsuback => {
                        Unsuback { packet_id, properties, codes: (&[ReasonCode::Success]).into() }.into()
                    }
                    PropertyPlace::Disconnect => Disconnect { reason_code, properties }.into(),
                    PropertyPlace::Auth => {
                        Auth { reason_code: ReasonCode::ContinueAuthentication, properties }.into()
                    }
                };
                if packet.packet_type().allowed_from(from, Version::V5) {
                    entries.push(entry(&packet, Version::V5, from));
                }
            }
        }
    }
}
