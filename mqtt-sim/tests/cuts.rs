//! Each exchange of each QoS, in each direction and version, cut at every byte that either side sends.

use core::time::Duration;

use mqtt_proto::{Qos, TopicName, Version};
use mqtt_session::{LocalState, Message};
use mqtt_sim::broker::BrokerConfig;
use mqtt_sim::checks::{Deliveries, Endings, Subscriber, Wire};
use mqtt_sim::world::{
    BrokerId, ClientId, ClientOptions, Direction, Happening, Observed, StorageKind, World,
};

const SECOND: Duration = Duration::from_secs(1);
const VERSIONS: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];
const STORAGES: [StorageKind; 2] = [StorageKind::Heap, StorageKind::Fixed];

fn join(world: &mut World, name: &str, version: Version, storage: StorageKind) -> ClientId {
    let client = world.add_client(ClientOptions {
        version,
        storage,
        clean_start: false,
        local_state: LocalState::Held,
        session_expiry: u32::MAX,
        ..ClientOptions::new(name)
    });
    world.start(client).unwrap();
    client
}

/// Lets `client` send two messages (or get them, if `inbound`), its connection cut after some bytes. Says whether the
/// cut struck at all, or the exchange was over before.
fn cut(
    version: Version,
    storage: StorageKind,
    qos: Qos,
    inbound: bool,
    direction: Direction,
    bytes: u64,
) -> bool {
    let mut world = World::new(bytes);
    world.record();
    world.add_broker(BrokerConfig::default());
    world.add_check(Box::new(Wire::new()));
    world.add_check(Box::new(Endings::new()));
    let client = join(&mut world, "client", version, storage);
    let other = join(&mut world, "other", version, storage);
    let (sender, receiver) = if inbound { (other, client) } else { (client, other) };
    world.subscribe(receiver, "t", qos).unwrap();
    world.run_for(SECOND).unwrap();
    assert!(world.is_connected(client) && world.pending(receiver) == 0);
    let subscriber = Subscriber { client: receiver, filter: "t".to_owned(), qos };
    world.add_check(Box::new(Deliveries::new(vec![subscriber])));
    world.cut_at(client, direction, bytes);
    let message = Message::new(TopicName::new("t").unwrap()).qos(qos);
    for payload in [b"one", b"two"] {
        world.publish(sender, &message, payload).unwrap();
    }
    // Long enough for the exchange, and, if it was cut, for the resume.
    world.run_for(30 * SECOND).unwrap();
    let place = (version, storage, qos, inbound, direction, bytes);
    assert!(world.is_connected(client), "{place:?}");
    assert_eq!(world.pending(sender), 0, "{place:?}");
    assert!(world.broker(BrokerId::FIRST).unwrap().is_idle(), "{place:?}");
    if let Err(halt) = world.finish() {
        panic!("{place:?}: {halt}");
    }
    let got = world.events(receiver).filter(|event| matches!(event, Observed::Message(_))).count();
    match qos {
        Qos::AtMostOnce => assert!(got <= 2),
        Qos::AtLeastOnce => assert!((2..=4).contains(&got), "{place:?}: {got}"),
        Qos::ExactlyOnce => assert_eq!(got, 2, "{place:?}"),
    }
    let opened = |what: &Happening| matches!(what, Happening::Opened { client: who, .. } if *who == client);
    world.trace().entries().iter().filter(|(_, what)| opened(what)).count() > 1
}

#[test]
fn every_exchange_survives_a_cut_at_every_byte() {
    let mut places = 0;
    for version in VERSIONS {
        for storage in STORAGES {
            for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
                for inbound in [false, true] {
                    for direction in [Direction::Up, Direction::Down] {
                        let mut bytes = 0;
                        while cut(version, storage, qos, inbound, direction, bytes) {
                            bytes += 1;
                            places += 1;
                            assert!(bytes < 200, "the exchange never ends");
                        }
                    }
                }
            }
        }
    }
    println!("{places} places");
    assert!(places > 500, "{places}");
}

/// A client that starts, subscribes and publishes at once, its first connection cut after some bytes.
fn cut_handshake(options: ClientOptions, direction: Direction, bytes: u64) {
    let place = format!(
        "{:?} clean {} {:?} {direction:?} {bytes}",
        options.version, options.clean_start, options.local_state
    );
    let mut world = World::new(bytes);
    world.add_broker(BrokerConfig::default());
    world.add_check(Box::new(Wire::new()));
    world.add_check(Box::new(Endings::new()));
    let client = world.add_client(options);
    world.cut_at(client, direction, bytes);
    world.start(client).unwrap();
    world.subscribe(client, "t", Qos::ExactlyOnce).unwrap();
    let message = Message::new(TopicName::new("t").unwrap()).qos(Qos::ExactlyOnce);
    world.publish(client, &message, b"x").unwrap();
    world.run_for(30 * SECOND).unwrap();
    let events: Vec<Observed> = world.events(client).collect();
    let got = events.iter().filter(|event| matches!(event, Observed::Message(_))).count();
    assert_eq!(got, 1, "{place}: {events:#?}");
    assert_eq!(world.pending(client), 0, "{place}");
    if let Err(halt) = world.finish() {
        panic!("{place}: {halt}");
    }
}

#[test]
fn every_handshake_survives_a_cut_at_every_byte() {
    let states = [(true, LocalState::None), (false, LocalState::None), (false, LocalState::Held)];
    for version in VERSIONS {
        for (clean_start, local_state) in states {
            if clean_start && version != Version::V5 {
                // A clean session of 3.x ends with its connection, and what was under way with it.
                continue;
            }
            for direction in [Direction::Up, Direction::Down] {
                for bytes in 0..60 {
                    let options = ClientOptions {
                        version,
                        clean_start,
                        local_state,
                        session_expiry: u32::MAX,
                        ..ClientOptions::new("client")
                    };
                    cut_handshake(options, direction, bytes);
                }
            }
        }
    }
}
