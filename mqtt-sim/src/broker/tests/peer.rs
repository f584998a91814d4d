//! A client by hand: what it sends is spelled out, what it gets is compared as text.

use core::time::Duration;

use mqtt_proto::{
    Connect, Encode, Packet, PacketId, Peer, Properties, Property, Publish, Qos, Subscribe, Subscription,
    SubscriptionOptions, Subscriptions, TopicFilter, TopicName, Version, frame_len,
};
use mqtt_session::Instant;

use crate::broker::{Broker, BrokerConfig, ConnId};

pub(super) const VERSIONS: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

/// A broker and its time.
pub(super) struct Bench {
    pub(super) broker: Broker,
    pub(super) now: Instant,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(BrokerConfig::default())
    }

    pub(super) fn with(config: BrokerConfig) -> Self {
        Self { broker: Broker::new(config), now: Instant::ZERO }
    }

    pub(super) fn after(&mut self, span: Duration) {
        // As a driver would: stop at each deadline on the way.
        let end = self.now.after(span);
        while let Some(at) = self.broker.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.broker.handle_timeout(self.now);
        }
        self.now = end;
        self.broker.handle_timeout(end);
    }

    pub(super) fn open(&mut self) -> ConnId {
        self.broker.open(self.now)
    }

    pub(super) fn bytes(&mut self, conn: ConnId, bytes: &[u8]) {
        self.broker.receive(conn, bytes, self.now);
    }

    pub(super) fn send(&mut self, conn: ConnId, packet: &impl Encode, version: Version) {
        let bytes = encode(packet, version);
        self.bytes(conn, &bytes);
    }

    /// Connects and expects to be let in.
    pub(super) fn connect(&mut self, connect: &Connect<'_>) -> Client {
        let conn = self.open();
        self.send(conn, connect, connect.version);
        let client = Client { conn, version: connect.version };
        let answer = self.take(client);
        assert!(answer.first().is_some_and(|first| first.starts_with("CONNACK 0x00")), "{answer:?}");
        assert!(answer.len() == 1, "{answer:?}");
        client
    }

    /// Connects with a new session, at a version.
    pub(super) fn join(&mut self, version: Version, client_id: &str) -> Client {
        self.connect(&Connect::new(version, client_id))
    }

    /// Connects with a kept session.
    pub(super) fn join_kept(&mut self, version: Version, client_id: &str) -> Client {
        let keep = [Property::SessionExpiryInterval(3_600)];
        self.connect(&Connect {
            clean_start: false,
            properties: if version == Version::V5 { Properties::List(&keep) } else { Properties::EMPTY },
            ..Connect::new(version, client_id)
        })
    }

    pub(super) fn publish(&mut self, client: Client, topic: &str, qos: u8, id: u16, payload: &str) {
        self.send(client.conn, &publish(topic, qos, id, payload), client.version);
    }

    pub(super) fn subscribe(&mut self, client: Client, filter: &str, qos: u8) -> Vec<String> {
        self.subscribe_with(client, filter, SubscriptionOptions::new(Qos::try_from(qos).unwrap()), &[])
    }

    pub(super) fn subscribe_with(
        &mut self,
        client: Client,
        filter: &str,
        options: SubscriptionOptions,
        properties: &[Property<'_>],
    ) -> Vec<String> {
        let filters = [Subscription { filter: TopicFilter::new(filter).unwrap(), options }];
        let packet = Subscribe {
            packet_id: id(900),
            properties: Properties::List(properties),
            filters: Subscriptions::from(&filters[..]),
        };
        self.send(client.conn, &packet, client.version);
        self.take(client)
    }

    /// Everything the broker has for this client, as text.
    pub(super) fn take(&mut self, client: Client) -> Vec<String> {
        let bytes = self.take_bytes(client.conn);
        let mut rest = &bytes[..];
        let mut list = Vec::new();
        while let Some(len) = frame_len(rest, usize::MAX).unwrap() {
            let packet = Packet::decode(&rest[..len], client.version, Peer::Server).unwrap();
            list.push(describe(&packet));
            rest = &rest[len..];
        }
        assert!(rest.is_empty(), "the output ends in the middle of a packet");
        list
    }

    pub(super) fn take_bytes(&mut self, conn: ConnId) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let bytes = self.broker.outgoing(conn).to_vec();
            if bytes.is_empty() {
                return all;
            }
            self.broker.advance(conn, bytes.len());
            all.extend(bytes);
        }
    }

    pub(super) fn cut(&mut self, client: Client) {
        self.broker.closed(client.conn, self.now);
    }

    /// Expects that the broker has ended the connection.
    pub(super) fn assert_ended(&mut self, client: Client) {
        self.take_bytes(client.conn);
        assert!(self.broker.wants_close(client.conn), "the connection is still up");
    }

    pub(super) fn assert_up(&mut self, client: Client) {
        self.take_bytes(client.conn);
        assert!(!self.broker.wants_close(client.conn), "the connection was ended");
    }
}

/// A client's connection.
#[derive(Clone, Copy)]
pub(super) struct Client {
    pub(super) conn: ConnId,
    pub(super) version: Version,
}

pub(super) fn id(n: u16) -> PacketId {
    PacketId::new(n).unwrap()
}

pub(super) fn publish<'a>(topic: &'a str, qos: u8, packet_id: u16, payload: &'a str) -> Publish<'a> {
    Publish {
        qos: Qos::try_from(qos).unwrap(),
        packet_id: PacketId::new(packet_id).filter(|_| qos > 0),
        ..Publish::new(TopicName::new(topic).unwrap(), payload.as_bytes())
    }
}

pub(super) fn encode(packet: &impl Encode, version: Version) -> Vec<u8> {
    let mut bytes = vec![0; packet.encoded_len(version).unwrap()];
    packet.encode(version, &mut bytes).unwrap();
    bytes
}

fn describe(packet: &Packet<'_>) -> String {
    let properties = |properties: &Properties<'_>| {
        properties.iter().map(|property| format!(" {property:?}")).collect::<String>()
    };
    match packet {
        Packet::Connack(p) => format!(
            "CONNACK 0x{:02x}{}{}",
            p.reason_code as u8,
            if p.session_present { " present" } else { "" },
            properties(&p.properties)
        ),
        Packet::Publish(p) => format!(
            "PUBLISH{}{} q{}{} {} {}{}",
            if p.dup { " dup" } else { "" },
            if p.retain { " retain" } else { "" },
            p.qos as u8,
            p.packet_id.map_or_else(String::new, |id| format!(" #{}", id.get())),
            p.topic.map_or("-", |topic| topic.as_str()),
            String::from_utf8_lossy(p.payload),
            properties(&p.properties)
        ),
        Packet::Puback(p) => format!("PUBACK #{} 0x{:02x}", p.packet_id.get(), p.reason_code as u8),
        Packet::Pubrec(p) => format!("PUBREC #{} 0x{:02x}", p.packet_id.get(), p.reason_code as u8),
        Packet::Pubrel(p) => format!("PUBREL #{} 0x{:02x}", p.packet_id.get(), p.reason_code as u8),
        Packet::Pubcomp(p) => format!("PUBCOMP #{} 0x{:02x}", p.packet_id.get(), p.reason_code as u8),
        Packet::Suback(p) => {
            let codes: String = p.codes.iter().map(|code| format!(" 0x{:02x}", code as u8)).collect();
            format!("SUBACK #{}{codes}", p.packet_id.get())
        }
        Packet::Unsuback(p) => {
            let codes: String = p.codes.iter().map(|code| format!(" 0x{:02x}", code as u8)).collect();
            format!("UNSUBACK #{}{codes}", p.packet_id.get())
        }
        Packet::Pingresp(_) => "PINGRESP".to_owned(),
        Packet::Disconnect(p) => format!("DISCONNECT 0x{:02x}", p.reason_code as u8),
        other => format!("{other:?}"),
    }
}
