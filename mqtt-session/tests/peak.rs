//! The most a session ever allocates is what its limits say, under a load that fills every table.

use mqtt_session::proto::{
    Connack, Encode, PacketId, Properties, Property, Publish, Qos, ReasonCode, Suback, Subscription,
    SubscriptionOptions, TopicFilter, TopicName, Version,
};
use mqtt_session::{
    AckMode, Command, Config, ConnectOptions, Durability, Event, FixedSession, HeapPayload, HeapSession,
    Instant, Key, Message, PublishError,
};

const NOW: Instant = Instant::ZERO;

/// A small generator, so that a seed says everything.
struct Random(u64);

impl Random {
    fn up_to(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % (most + 1)
    }
}

/// Limits that are no powers of two, where doubling would go too far.
fn config(random: &mut Random) -> Config {
    let mut config = Config::new(1);
    config.max_operations = 100 + random.up_to(2_000) as u32;
    config.max_in_flight = 1 + random.up_to(900) as u16;
    config.queue_bytes = 10_000 + random.up_to(200_000);
    config.wire_bytes = 1_100 + random.up_to(20_000);
    config.receive_maximum = 1 + random.up_to(300) as u16;
    config.max_topic_aliases = random.up_to(40) as u16;
    config.topic_alias_maximum = random.up_to(40) as u16;
    config.redirects = random.up_to(1) as u8;
    config.ack_mode = AckMode::Manual;
    config.durability = [Durability::Off, Durability::Async, Durability::BeforeSend][random.up_to(2)];
    config
}

/// What the driver holds lies outside of what is counted.
struct Driver {
    out: Vec<u8>,
    payload: bytes::Bytes,
}

impl Driver {
    fn new() -> Self {
        Self { out: vec![0; 4_096], payload: vec![1; 700].into() }
    }
}

fn options() -> ConnectOptions<'static> {
    ConnectOptions { clean_start: false, session_expiry: u32::MAX, ..ConnectOptions::new("hoarder") }
}

fn commands(session: &mut HeapSession) {
    while let Some(command) = session.poll_command() {
        if let Command::Put { key, .. } | Command::Delete { key } = command {
            session.stored(key);
        }
    }
    while session.poll_event().is_some() {}
}

fn flush(session: &mut HeapSession, driver: &mut Driver) {
    loop {
        commands(session);
        if session.outgoing(NOW).copy_to(&mut driver.out) == 0 {
            return;
        }
    }
}

fn input(
    session: &mut HeapSession,
    packet: &impl Encode,
    mut told: impl FnMut(&mut HeapSession, &Event<'_>),
) {
    let mut bytes = [0; 1_024];
    let len = packet.encode(Version::V5, &mut bytes).unwrap();
    let mut input = &bytes[..len];
    while let Some(event) = session.receive(&mut input, NOW) {
        told(session, &event);
    }
}

fn connect(session: &mut HeapSession, driver: &mut Driver, session_present: bool) {
    let options = options();
    session.start(&options).unwrap();
    commands(session);
    session.opened(&options, NOW);
    flush(session, driver);
    let limits = [Property::TopicAliasMaximum(100)];
    let properties = Properties::List(&limits);
    input(session, &Connack { session_present, reason_code: ReasonCode::Success, properties }, |_, _| {});
    assert!(session.is_connected());
}

/// Everything a session can hold, at once.
fn fill(session: &mut HeapSession, driver: &mut Driver, config: &Config, random: &mut Random) {
    connect(session, driver, false);
    // Subscriptions that are held.
    for number in 0..8 {
        let filter = ["a/#", "b/+/c", "c"][number % 3];
        let options = SubscriptionOptions::new(Qos::ExactlyOnce);
        let item = Subscription { filter: TopicFilter::new(filter).unwrap(), options };
        if session.subscribe(&[item], Properties::EMPTY).is_ok() {
            flush(session, driver);
            let codes = (&[ReasonCode::GrantedQos2][..]).into();
            let packet_id = PacketId::new(1 + number as u16 % config.max_in_flight).unwrap();
            input(session, &Suback { packet_id, properties: Properties::EMPTY, codes }, |_, _| {});
        }
    }
    // Messages that are not acknowledged, the last half of them refused with many words, and every alias the server may use.
    let aliases = config.topic_alias_maximum;
    for number in 1..=config.receive_maximum {
        let alias = [Property::TopicAlias(number.checked_rem(aliases).unwrap_or(0) + 1)];
        let topic = format!("topic/number/{}", number % 50);
        let mut publish = Publish::new(TopicName::new(&topic).unwrap(), b"payload");
        if aliases != 0 && usize::from(number) < config.topic_alias_bytes / 30 {
            publish.properties = Properties::List(&alias);
        }
        publish.qos = if number % 3 == 0 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
        publish.packet_id = PacketId::new(number);
        let words = "because ".repeat(random.up_to(20));
        input(session, &publish, |session, event| {
            if let Event::Message(message) = event
                && number > config.receive_maximum / 2
            {
                let why = [Property::ReasonString(&words)];
                let ack = message.ack.unwrap();
                session.acknowledge(ack, ReasonCode::QuotaExceeded, Properties::List(&why)).unwrap();
            }
        });
        assert!(session.is_connected(), "{config:?}");
    }
    // Messages, until there is room for none: topics enough for the aliases, payloads of all kinds.
    let average = config.queue_bytes / config.max_operations as usize;
    for number in 0.. {
        let topic = format!("topic/of/message/{}", number % 60);
        let message = Message::new(TopicName::new(&topic).unwrap())
            .qos([Qos::AtLeastOnce, Qos::ExactlyOnce, Qos::AtMostOnce][number % 3]);
        let shared = number % 41 == 7;
        let payload = vec![2; random.up_to(average)];
        let payload: HeapPayload<'_> =
            if shared { driver.payload.clone().into() } else { payload[..].into() };
        match session.publish(&message, payload).map_err(|refused| refused.reason) {
            Ok(_) => {}
            Err(PublishError::QueueFull) => break,
            // A smaller one may fit.
            Err(PublishError::BytesFull) if number < 10 * config.max_operations as usize => {}
            Err(_) => break,
        }
        // The transport takes little, so that the outgoing buffer is full as well.
        if random.up_to(30) == 0 {
            commands(session);
            let _ = session.outgoing(NOW).copy_to(&mut driver.out[..10]);
        }
    }
    commands(session);
    let _ = session.outgoing(NOW).is_empty();
    commands(session);
}

#[test]
fn a_session_never_allocates_more_than_its_limits_say() {
    let mut nearest = 0;
    for seed in 1..=60 {
        let mut random = Random(seed);
        let config = config(&mut random);
        let mut driver = Driver::new();
        let peak = config.peak_memory();
        // What the load itself allocates for a moment: a topic, a payload, words.
        let slack = 4_000 + config.queue_bytes / config.max_operations as usize;
        let counted = allocation_counter::measure(|| {
            let mut session = HeapSession::new(config);
            fill(&mut session, &mut driver, &config, &mut random);
            // Once more after a cut: what lies in the tables has moved, and all is sent again.
            session.closed(mqtt_session::Closed::Failed, NOW);
            commands(&mut session);
            core::mem::forget(session);
        });
        assert!(counted.bytes_max as usize <= peak + slack, "{} > {peak}: {config:?}", counted.bytes_max);
        nearest = nearest.max(counted.bytes_max as usize * 100 / peak);
    }
    assert!(nearest >= 85, "the bound is near what can be reached: {nearest} %");
}

/// Records of an earlier run come to the same bound.
#[test]
fn what_is_restored_is_within_the_limits_too() {
    for seed in 1..=20 {
        let mut random = Random(seed);
        let mut config = config(&mut random);
        config.durability = Durability::BeforeSend;
        let mut session = HeapSession::new(config);
        session.start(&options()).unwrap();
        let mut journal: Vec<(Key, Vec<u8>)> = Vec::new();
        for number in 0.. {
            let message = Message::new(TopicName::new("a").unwrap()).qos(Qos::ExactlyOnce);
            let payload = vec![3; random.up_to(2 * config.queue_bytes / config.max_operations as usize)];
            if session.publish(&message, payload[..].into()).is_err() && number > 3 * config.max_operations {
                break;
            }
        }
        while let Some(command) = session.poll_command() {
            if let Command::Put { key, record } = command {
                journal.push((key, record.chunks().concat()));
            }
        }
        assert!(journal.len() > 90);
        let counted = allocation_counter::measure(|| {
            let mut session = HeapSession::new(config);
            for (key, record) in &journal {
                session.restore(*key, record, None).unwrap();
            }
            session.start(&options()).unwrap();
            commands(&mut session);
            core::mem::forget(session);
        });
        assert!(counted.bytes_max as usize <= config.peak_memory(), "{config:?}");
    }
}

/// In memory of a fixed size there is nothing to add up.
#[test]
fn a_fixed_session_is_all_the_memory_it_has() {
    type Small = FixedSession<[u8; 4_096], 16, 8>;
    let counted = allocation_counter::measure(|| {
        let mut session: Small = FixedSession::new([0; 4_096], Config::new(1));
        let message = Message::new(TopicName::new("a").unwrap()).qos(Qos::ExactlyOnce);
        while session.publish(&message, (&b"payload"[..]).into()).is_ok() {}
        session.start(&ConnectOptions::new("small")).unwrap();
        while session.poll_command().is_some() {}
    });
    assert_eq!(counted.count_total, 0);
    assert!(size_of::<Small>() < 4_096 + 16 * 300 + 8 * 80 + 2_000, "{}", size_of::<Small>());
}
