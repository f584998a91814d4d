//! Worlds in which one thing happens at a time.

use core::time::Duration;

use mqtt_proto::{Qos, TopicName, Version};
use mqtt_session::{Durability, Instant, Message, Why};

use crate::broker::BrokerConfig;
use crate::checks::{Deliveries, Endings, Subscriber, Wire};

use super::{
    BrokerId, ClientId, ClientOptions, Delivered, Ended, Fault, Faults, Halt, Happening, Observed, Rate,
    StorageKind, Strike, World,
};

const SECOND: Duration = Duration::from_secs(1);

/// A world with a broker and all checks.
fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    world.add_broker(BrokerConfig::default());
    world.add_check(Box::new(Wire::new()));
    world.add_check(Box::new(Endings::new()));
    world
}

/// A client with a kept session, up and subscribed to everything at QoS 2.
fn subscriber(world: &mut World, options: ClientOptions) -> ClientId {
    let options = ClientOptions { session_expiry: u32::MAX, ..options };
    let client = world.add_client(options);
    world.start(client).unwrap();
    world.subscribe(client, "#", Qos::ExactlyOnce).unwrap();
    world.run_for(SECOND).unwrap();
    assert!(world.is_connected(client));
    assert_eq!(world.pending(client), 0);
    client
}

fn publish(world: &mut World, client: ClientId, qos: Qos, payload: &str) {
    let message = Message::new(TopicName::new("t").unwrap()).qos(qos);
    world.publish(client, &message, payload.as_bytes()).unwrap();
}

fn payloads(world: &mut World, client: ClientId) -> Vec<String> {
    let of = |event| match event {
        Observed::Message(Delivered { payload, .. }) => Some(String::from_utf8(payload).unwrap()),
        _ => None,
    };
    world.events(client).filter_map(of).collect()
}

#[test]
fn messages_of_each_qos_arrive_on_both_storages_and_all_versions() {
    for storage in [StorageKind::Heap, StorageKind::Fixed] {
        for version in [Version::V3_1, Version::V3_1_1, Version::V5] {
            let mut world = world(1);
            let options = ClientOptions { storage, version, ..ClientOptions::new("a") };
            let client = subscriber(&mut world, options);
            for (qos, payload) in [(Qos::AtMostOnce, "0"), (Qos::AtLeastOnce, "1"), (Qos::ExactlyOnce, "2")] {
                publish(&mut world, client, qos, payload);
            }
            world.run_for(SECOND).unwrap();
            assert_eq!(payloads(&mut world, client), ["0", "1", "2"]);
            assert_eq!(world.pending(client), 0);
            world.finish().unwrap();
        }
    }
}

#[test]
fn a_cut_is_noticed_and_the_session_goes_on() {
    let mut world = world(2);
    let client = subscriber(&mut world, ClientOptions::new("a"));
    world.events(client).for_each(drop);
    for n in 0..10 {
        publish(&mut world, client, Qos::ExactlyOnce, &n.to_string());
    }
    world.cut(client);
    world.run_for(20 * SECOND).unwrap();
    let events: Vec<Observed> = world.events(client).collect();
    let disconnected = events.iter().any(|event| {
        matches!(
            event,
            Observed::Disconnected { why: Why::PeerClosed | Why::TransportFailed, retry: Some(_) }
        )
    });
    assert!(disconnected);
    assert!(events.iter().any(|event| matches!(event, Observed::Connected { resumed: true, .. })));
    let arrived = events.iter().filter(|event| matches!(event, Observed::Message(_))).count();
    assert_eq!(arrived, 10);
    let done = |event: &&Observed| matches!(event, Observed::Done { outcome: Ended::Acked(_), .. });
    assert_eq!(events.iter().filter(done).count(), 10);
    world.finish().unwrap();
}

#[test]
fn a_black_hole_is_found_within_one_and_a_half_keep_alive_intervals() {
    for seed in 0..20 {
        let mut world = world(seed);
        let client = subscriber(&mut world, ClientOptions { keep_alive: 10, ..ClientOptions::new("a") });
        world.events(client).for_each(drop);
        let begin = world.now();
        world.black_hole(client);
        world
            .run_until(60 * SECOND, |world| {
                world.events(client).any(|event| matches!(event, Observed::Disconnected { .. }))
            })
            .unwrap();
        let took = world.now().since(begin);
        assert!(took <= 15 * SECOND, "{took:?}");
    }
}

#[test]
fn a_silent_link_is_kept_alive() {
    let mut world = world(3);
    let client = subscriber(&mut world, ClientOptions { keep_alive: 5, ..ClientOptions::new("a") });
    world.events(client).for_each(drop);
    world.run_for(3_600 * SECOND).unwrap();
    assert!(world.events(client).next().is_none());
    assert_eq!(world.broker(BrokerId::FIRST).unwrap().stats().timeouts, 0);
}

#[test]
fn a_broker_that_restarts_with_its_sessions_loses_nothing() {
    let mut world = world(4);
    let client = subscriber(&mut world, ClientOptions::new("a"));
    world.add_check(Box::new(Deliveries::new(vec![Subscriber {
        client,
        filter: "#".to_owned(),
        qos: Qos::ExactlyOnce,
    }])));
    publish(&mut world, client, Qos::ExactlyOnce, "before");
    world.stop_broker(BrokerId::FIRST, false);
    publish(&mut world, client, Qos::AtLeastOnce, "meanwhile");
    world.run_for(10 * SECOND).unwrap();
    assert!(!world.is_connected(client));
    world.start_broker(BrokerId::FIRST);
    world.run_until(120 * SECOND, |world| world.pending(client) == 0).unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!(payloads(&mut world, client), ["before", "meanwhile"]);
    world.finish().unwrap();
}

#[test]
fn a_broker_that_forgets_is_noticed() {
    let mut world = world(5);
    let client = subscriber(&mut world, ClientOptions::new("a"));
    world.stop_broker(BrokerId::FIRST, true);
    world.run_for(SECOND).unwrap();
    world.start_broker(BrokerId::FIRST);
    world.run_until(120 * SECOND, |world| world.is_connected(client)).unwrap();
    let lost = world.events(client).any(|event| matches!(event, Observed::SessionLost { .. }));
    assert!(lost);
}

#[test]
fn two_runs_of_one_seed_are_equal_entry_by_entry_and_another_seed_differs() {
    let run = |seed| {
        let mut world = world(seed);
        world.record();
        let client = subscriber(&mut world, ClientOptions::new("a"));
        world.set_faults(Faults {
            split_read: Rate::one_in(2),
            partial_write: Rate::one_in(2),
            reset: Rate::one_in(2),
            delay: Rate::one_in(5),
            delay_max: SECOND,
            ..Faults::NONE
        });
        for n in 0..50 {
            publish(&mut world, client, Qos::ExactlyOnce, &n.to_string());
            world.run_for(SECOND / 3).unwrap();
        }
        world.trace().clone()
    };
    let (first, second, other) = (run(6), run(6), run(7));
    assert!(first.len() > 100);
    assert_eq!(first.entries().len() as u64, first.len());
    assert_eq!(first, second);
    assert_eq!(first.digest(), second.digest());
    assert_ne!(first.digest(), other.digest());
}

#[test]
fn recording_changes_nothing() {
    let run = |record: bool| {
        let mut world = world(8);
        if record {
            world.record();
        }
        let client = subscriber(&mut world, ClientOptions::new("a"));
        publish(&mut world, client, Qos::ExactlyOnce, "x");
        world.run_for(SECOND).unwrap();
        world.trace().digest()
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn time_jumps_to_what_is_next() {
    let mut world = world(9);
    assert_eq!(world.next_time(), None);
    assert!(!world.step().unwrap());
    let client = subscriber(&mut world, ClientOptions { keep_alive: 1_000, ..ClientOptions::new("a") });
    let before = world.steps();
    world.run_for(990 * SECOND).unwrap();
    assert_eq!(world.steps(), before, "nothing was due");
    assert!(world.next_time().unwrap() > world.now());
    assert!(world.is_connected(client));
}

#[test]
fn what_does_not_come_about_times_out() {
    let mut world = world(10);
    let client = subscriber(&mut world, ClientOptions::new("a"));
    let never = world.run_until(100 * SECOND, |world| !world.is_connected(client));
    assert!(matches!(never, Err(Halt::TimedOut(_))));
}

#[test]
fn a_stalled_client_and_one_whose_clock_steps_recover() {
    let mut world = world(11);
    let client = subscriber(&mut world, ClientOptions { keep_alive: 10, ..ClientOptions::new("a") });
    world.stall(client, 60 * SECOND);
    publish(&mut world, client, Qos::ExactlyOnce, "late");
    world.run_for(59 * SECOND).unwrap();
    assert!(payloads(&mut world, client).is_empty());
    world.run_for(60 * SECOND).unwrap();
    assert_eq!(payloads(&mut world, client), ["late"]);
    world.step_clock(client, -30_000_000);
    world.run_for(60 * SECOND).unwrap();
    world.step_clock(client, 300_000_000);
    world.run_for(60 * SECOND).unwrap();
    publish(&mut world, client, Qos::ExactlyOnce, "then");
    world.run_for(60 * SECOND).unwrap();
    assert_eq!(payloads(&mut world, client), ["then"]);
    world.finish().unwrap();
}

#[test]
fn a_stop_drains_and_says_goodbye() {
    let mut world = world(12);
    let client = subscriber(&mut world, ClientOptions::new("a"));
    world.events(client).for_each(drop);
    publish(&mut world, client, Qos::ExactlyOnce, "last");
    world.stop(client, 5 * SECOND);
    world.run_for(10 * SECOND).unwrap();
    let events: Vec<Observed> = world.events(client).collect();
    assert!(matches!(events.last(), Some(Observed::Stopped { left: 0 })), "{events:?}");
    assert_eq!(world.broker(BrokerId::FIRST).unwrap().connections(), 0);
    world.finish().unwrap();
}

#[test]
fn a_client_with_several_brokers_goes_to_the_next() {
    let mut world = world(13);
    let second = world.add_broker(BrokerConfig::default());
    world.stop_broker(BrokerId::FIRST, false);
    let client =
        world.add_client(ClientOptions { brokers: vec![BrokerId::FIRST, second], ..ClientOptions::new("a") });
    world.start(client).unwrap();
    world.run_until(60 * SECOND, |world| world.is_connected(client)).unwrap();
    assert!(world.broker(second).unwrap().connection_of("a").is_some());
}

#[test]
fn the_trace_tells_what_happened() {
    let mut world = world(14);
    world.record();
    world.note("begin");
    subscriber(&mut world, ClientOptions::new("a"));
    let entries = world.trace().entries();
    assert_eq!(entries[0], (Instant::ZERO, Happening::Note("begin")));
    let connect = entries.iter().any(|(_, what)| match what {
        Happening::Written { bytes, .. } => bytes[0] == 0x10,
        _ => false,
    });
    assert!(connect);
}

#[test]
fn faults_and_occasions_are_texts_and_back() {
    let texts = [
        "dial-lost@c0.d3",
        "reset@c12.2",
        "delay@c0.2.up.57",
        "split-read@c0.2.down.0",
        "lost-ack@c1.0.answer.5",
        "stall@c0.s17",
        "broker-restart@b0.s4",
        "other-limits@b3.stop.2",
        "crash@c1.deed.30",
        "not-stored@c0.record.7",
    ];
    for text in texts {
        let strike: Strike = text.parse().unwrap();
        assert_eq!(strike.to_string(), text);
    }
    for fault in Fault::ALL {
        assert_eq!(fault.name().parse(), Ok(fault));
    }
    for text in
        ["", "reset", "reset@", "reset@c0", "reset@x0.1", "cut@c0.1", "delay@c0.1.side.3", "stall@b0.s1.2"]
    {
        assert!(text.parse::<Strike>().is_err(), "{text:?}");
    }
    assert_eq!("20%".parse(), Ok(Rate::one_in(5)));
    assert_eq!("0.2".parse(), Ok(Rate::one_in(5)));
    assert!(["", "x", "-0.1", "1.1", "101%", "NaN"].iter().all(|text| text.parse::<Rate>().is_err()));
}

/// A client that crashes in the middle of it, with a journal or without.
fn phoenix(durability: Durability, lose_journal: bool) -> (World, ClientId) {
    let mut world = world(11);
    let mut options = ClientOptions { clean_start: false, ..ClientOptions::new("phoenix") };
    options.config.durability = durability;
    let client = subscriber(&mut world, options);
    world.events(client).for_each(drop);
    for n in 0..5 {
        publish(&mut world, client, Qos::ExactlyOnce, &n.to_string());
    }
    world.run_for(Duration::from_millis(5)).unwrap();
    world.crash(client, lose_journal);
    assert!(world.is_down(client) && !world.is_connected(client));
    let message = Message::new(TopicName::new("t").unwrap());
    assert!(world.publish(client, &message, b"nobody is there").is_err());
    world.run_for(10 * SECOND).unwrap();
    world.restart(client).unwrap();
    world.run_for(20 * SECOND).unwrap();
    (world, client)
}

#[test]
fn a_program_that_crashes_goes_on_with_its_journal() {
    let (mut world, client) = phoenix(Durability::BeforeSend, false);
    assert_eq!(world.pending(client), 0);
    let mut got = payloads(&mut world, client);
    got.dedup();
    assert_eq!(got, ["0", "1", "2", "3", "4"]);
    world.finish().unwrap();
}

#[test]
fn a_program_without_a_journal_begins_anew() {
    for (durability, lost) in [(Durability::Off, false), (Durability::BeforeSend, true)] {
        let (mut world, client) = phoenix(durability, lost);
        let events: Vec<Observed> = world.events(client).collect();
        assert!(events.contains(&Observed::Restarted { restored: 0 }), "{events:#?}");
        let fresh = |event: &Observed| matches!(event, Observed::Connected { session_present: false, .. });
        assert!(events.iter().any(fresh), "{events:#?}");
        assert_eq!(world.pending(client), 0);
        world.finish().unwrap();
    }
}
