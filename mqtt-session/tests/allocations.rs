//! No call allocates in steady state, whatever the quality of service, direction and version.

use mqtt_session::proto::{
    Connack, Encode, PacketId, Properties, Property, Puback, Pubcomp, Publish, Pubrec, Pubrel, Qos,
    ReasonCode, TopicName, Version,
};
use mqtt_session::{
    AckMode, AckToken, Command, Config, ConnectOptions, Durability, Event, HeapPayload, HeapSession, Instant,
    Message, Oversize,
};

const ROUNDS: u16 = 10_000;
const WINDOW: u16 = 10;
/// Bytes of a payload that is provided in pieces.
const SOURCED: usize = 300_000;
const TOPICS: [&str; 3] = ["steady/state", "steady/sea", "steady/state"];

/// A connected session and a server that answers from fixed memory.
struct Pair {
    session: HeapSession,
    version: Version,
    now: Instant,
    wire: [u8; 4096],
    published: usize,
    ack: Option<AckToken>,
    messages: u32,
    done: u32,
}

impl Pair {
    fn new(version: Version) -> Self {
        let mut config = Config::new(1);
        config.qos0_receipts = true;
        Self::with(version, config)
    }

    fn with(version: Version, mut config: Config) -> Self {
        config.topic_alias_maximum = 2;
        let mut pair = Self {
            session: HeapSession::new(config),
            version,
            now: Instant::ZERO,
            wire: [0; 4096],
            published: 0,
            ack: None,
            messages: 0,
            done: 0,
        };
        let mut options = ConnectOptions::new("steady");
        options.version = version;
        pair.session.start(&options).unwrap();
        pair.drain();
        pair.session.opened(&options, pair.now);
        pair.drain();
        // Fewer aliases than topics, so that some are given anew all the time.
        pair.input(&Connack {
            session_present: false,
            reason_code: ReasonCode::Success,
            properties: Properties::List(&[Property::TopicAliasMaximum(2)]),
        });
        assert!(pair.session.is_connected());
        pair
    }

    fn count(&mut self, event: &Event<'_>) {
        match event {
            Event::Message(message) => {
                self.messages += 1;
                self.ack = message.ack;
            }
            Event::End { .. } => self.messages += 1,
            Event::Done { .. } => self.done += 1,
            _ => {}
        }
    }

    /// The server sends a packet.
    fn input(&mut self, packet: &impl Encode) {
        let mut bytes = [0; 512];
        let len = packet.encode(self.version, &mut bytes).unwrap();
        let mut input = &bytes[..len];
        while let Some(event) = self.session.receive(&mut input, self.now) {
            self.count(&event);
        }
        assert!(input.is_empty());
    }

    /// Everything the session has to say.
    fn drain(&mut self) {
        loop {
            let mut out = self.session.outgoing(self.now);
            while out.copy_to(&mut self.wire) != 0 {}
            match self.session.poll_command() {
                // A journal that is always quick enough.
                Some(Command::Put { key, .. } | Command::Delete { key }) => self.session.stored(key),
                Some(_) => {}
                None => break,
            }
        }
        while let Some(event) = self.session.poll_event() {
            if let Event::PayloadWanted { token, offset } = event {
                let piece = &[5; 1_000][..1_000.min(SOURCED - offset as usize)];
                self.session.provide(token, offset, piece).unwrap();
                while self.session.outgoing(self.now).copy_to(&mut self.wire) != 0 {}
            }
            self.count(&event);
        }
        let _ = self.session.poll_timeout();
    }

    fn publish(&mut self, qos: Qos, payload: HeapPayload<'_>) {
        let properties = [Property::ContentType("text/plain"), Property::UserProperty("key", "value")];
        let message = Message::new(TopicName::new(TOPICS[self.published % TOPICS.len()]).unwrap())
            .qos(qos)
            .properties(Properties::List(&properties));
        self.published += 1;
        self.session.publish(&message, payload).unwrap();
    }

    /// `WINDOW` messages out at each quality of service, all answered.
    fn round_out(&mut self, payload: &[u8]) {
        for _ in 0..WINDOW {
            self.publish(Qos::AtMostOnce, payload.into());
        }
        self.drain();
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            for _ in 0..WINDOW {
                self.publish(qos, payload.into());
            }
            self.drain();
            let open = self.session.pending();
            for id in 1..=Config::new(1).max_in_flight {
                if self.session.pending() == open - u32::from(WINDOW) {
                    break;
                }
                let id = PacketId::new(id).unwrap();
                match qos {
                    Qos::AtLeastOnce => self.input(&Puback::new(id)),
                    _ => {
                        // For identifiers that are not in use both are answered and counted.
                        self.input(&Pubrec::new(id));
                        self.drain();
                        self.input(&Pubcomp::new(id));
                    }
                }
                self.drain();
            }
            assert_eq!(self.session.pending(), 0);
        }
    }

    fn round_in(&mut self, payload: &[u8]) {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            for id in 1..=WINDOW {
                let id = PacketId::new(id).unwrap();
                let mut publish = Publish::new(TopicName::new("steady/state").unwrap(), payload);
                // Each number stands for two topics in turn, and is used alone in between.
                let number = id.get();
                let alias = [Property::TopicAlias(1 + number / 2 % 2)];
                if self.version == Version::V5 {
                    publish.properties = Properties::List(&alias);
                    publish.topic = match number {
                        1 | 2 | 5 | 6 => publish.topic,
                        7 | 8 => TopicName::new("steady/sea").ok(),
                        _ => None,
                    };
                }
                publish.qos = qos;
                publish.packet_id = (qos != Qos::AtMostOnce).then_some(id);
                self.input(&publish);
                self.drain();
                if qos == Qos::ExactlyOnce {
                    self.input(&Pubrel::new(id));
                    self.drain();
                }
            }
        }
    }
}

#[test]
fn ten_thousand_messages_of_each_kind_each_way_allocate_nothing() {
    for version in [Version::V3_1, Version::V3_1_1, Version::V5] {
        let mut pair = Pair::new(version);
        let payload = [7u8; 64];
        // Every packet identifier is used once before the first one is used again.
        for _ in 0..=Config::new(1).max_in_flight / (2 * WINDOW) {
            pair.round_out(&payload);
            pair.round_in(&payload);
        }
        (pair.done, pair.messages) = (0, 0);
        let counted = allocation_counter::measure(|| {
            for _ in 0..ROUNDS / WINDOW {
                pair.round_out(&payload);
                pair.round_in(&payload);
            }
        });
        assert_eq!(pair.done, 3 * u32::from(ROUNDS), "{version:?}");
        assert_eq!(pair.messages, 3 * u32::from(ROUNDS), "{version:?}");
        assert_eq!(counted.count_total, 0, "{version:?}: {counted:?}");
    }
}

/// QoS 0 without receipts takes a way of its own.
#[test]
fn ten_thousand_messages_with_aliases_on_the_short_way_allocate_nothing() {
    let mut pair = Pair::with(Version::V5, Config::new(1));
    let round = |pair: &mut Pair| {
        for _ in 0..ROUNDS {
            pair.publish(Qos::AtMostOnce, (&[7; 64]).into());
            pair.drain();
        }
    };
    round(&mut pair);
    let before = pair.session.stats().bytes_out;
    let counted = allocation_counter::measure(|| round(&mut pair));
    // With the topic in full each would have 114 bytes or more.
    assert!(pair.session.stats().bytes_out - before < 113 * u64::from(ROUNDS));
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

#[test]
fn messages_that_are_recorded_allocate_nothing() {
    for durability in [Durability::Async, Durability::BeforeSend] {
        let mut config = Config::new(1);
        config.durability = durability;
        config.qos0_receipts = true;
        let mut pair = Pair::with(Version::V5, config);
        for _ in 0..=config.max_in_flight / (2 * WINDOW) {
            pair.round_out(&[7; 64]);
            pair.round_in(&[7; 64]);
        }
        (pair.done, pair.messages) = (0, 0);
        let counted = allocation_counter::measure(|| {
            for _ in 0..100 {
                pair.round_out(&[7; 64]);
                pair.round_in(&[7; 64]);
            }
        });
        assert_eq!((pair.done, pair.messages), (300 * u32::from(WINDOW), 300 * u32::from(WINDOW)));
        assert_eq!(counted.count_total, 0, "{durability:?}: {counted:?}");
    }
}

#[test]
fn messages_in_chunks_each_way_allocate_nothing() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut config = Config::new(1);
        config.max_packet_in = 64;
        config.oversize = Oversize::Chunks { largest: 1_000_000 };
        config.max_in_flight = 1;
        let mut pair = Pair::with(version, config);
        let round = |pair: &mut Pair| {
            pair.round_in(&[7; 400]);
            let message = Message::new(TopicName::new("steady/image").unwrap()).qos(Qos::AtLeastOnce);
            pair.session.publish_chunked(&message, SOURCED as u32).unwrap();
            pair.drain();
            pair.input(&Puback::new(PacketId::new(1).unwrap()));
        };
        round(&mut pair);
        let counted = allocation_counter::measure(|| (0..100).for_each(|_| round(&mut pair)));
        assert_eq!(pair.done, 101, "{version:?}");
        assert_eq!(pair.messages, 101 * 3 * u32::from(WINDOW), "{version:?}");
        assert_eq!(counted.count_total, 0, "{version:?}: {counted:?}");
    }
}

/// What an application says with its acknowledgements lies in memory that is used again.
#[test]
fn ten_thousand_explained_acknowledgements_allocate_nothing() {
    let mut config = Config::new(1);
    config.ack_mode = AckMode::Manual;
    let mut pair = Pair::with(Version::V5, config);
    let why = [Property::ReasonString("the disk is full"), Property::UserProperty("disk", "sda1")];
    let round = |pair: &mut Pair| {
        let id = PacketId::new(1).unwrap();
        let mut publish = Publish::new(TopicName::new("steady/state").unwrap(), b"x");
        publish.qos = Qos::AtLeastOnce;
        publish.packet_id = Some(id);
        pair.input(&publish);
        let ack = pair.ack.take().expect("a message to acknowledge");
        pair.session.acknowledge(ack, ReasonCode::Success, Properties::List(&why)).unwrap();
        pair.drain();
    };
    round(&mut pair);
    let counted = allocation_counter::measure(|| (0..ROUNDS).for_each(|_| round(&mut pair)));
    assert_eq!(pair.messages, u32::from(ROUNDS) + 1);
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

#[test]
fn a_large_shared_payload_is_not_copied() {
    let mut pair = Pair::new(Version::V5);
    let payload = bytes::Bytes::from(vec![3; 1024 * 1024]);
    let warm = |pair: &mut Pair| {
        pair.publish(Qos::AtMostOnce, payload.clone().into());
        pair.drain();
    };
    warm(&mut pair);
    let counted = allocation_counter::measure(|| warm(&mut pair));
    assert_eq!(counted.count_total, 0, "{counted:?}");
    assert!(pair.session.stats().bytes_out > 2 * 1024 * 1024);
}

#[test]
fn an_idle_connected_session_holds_little_and_gives_back_what_it_grew() {
    // What the tables hold on the heap; the session itself lies wherever its owner put it.
    let idle = allocation_counter::measure(|| core::mem::forget(Pair::new(Version::V5)));
    assert!(idle.bytes_current <= 1024, "{idle:?}");
    let used = allocation_counter::measure(|| {
        let mut pair = Pair::new(Version::V5);
        pair.round_out(&[7; 3000]);
        pair.round_in(&[7; 64]);
        core::mem::forget(pair);
    });
    assert!(used.bytes_current > 30_000, "{used:?}");
    let quiet = allocation_counter::measure(|| {
        let mut pair = Pair::new(Version::V5);
        pair.round_out(&[7; 3000]);
        pair.round_in(&[7; 64]);
        pair.now = pair.now.after(core::time::Duration::from_secs(60));
        pair.session.handle_timeout(pair.now);
        core::mem::forget(pair);
    });
    assert!(quiet.bytes_current <= 1024, "{quiet:?}");
}
