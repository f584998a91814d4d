//! Schedules on the links of a world: each kind of trouble strikes where it should, and the promises hold.

use core::time::Duration;

use mqtt_proto::{Qos, TopicName};
use mqtt_session::{Instant, LocalState, Message};
use mqtt_sim::broker::BrokerConfig;
use mqtt_sim::checks::{Deliveries, Endings, Subscriber, Wire};
use mqtt_sim::schedule::{Mix, Schedule, Trouble};
use mqtt_sim::world::{ClientId, ClientOptions, Direction, Happening, Observed, World};

const SECOND: Duration = Duration::from_secs(1);
const COUNT: u32 = 100;
const DIRECTIONS: [Direction; 2] = [Direction::Up, Direction::Down];

/// A client with a kept session starts, its connections under schedules.
fn join(world: &mut World, name: &str, schedules: Vec<Schedule>) -> ClientId {
    let client = world.add_client(ClientOptions {
        clean_start: false,
        local_state: LocalState::Held,
        session_expiry: u32::MAX,
        ..ClientOptions::new(name)
    });
    world.schedule(client, schedules);
    world.start(client).unwrap();
    client
}

/// A hundred messages from one client to another, the connections of both under schedules.
fn run(qos: Qos, seed: u64, sender: Vec<Schedule>, receiver: Vec<Schedule>) -> World {
    let mut world = World::new(seed);
    world.record();
    world.add_broker(BrokerConfig::default());
    world.add_check(Box::new(Wire::new()));
    world.add_check(Box::new(Endings::new()));
    let archive = join(&mut world, "archive", receiver);
    world.subscribe(archive, "t", qos).unwrap();
    world.run_until(60 * SECOND, |world| world.pending(archive) == 0).unwrap();
    let subscriber = Subscriber { client: archive, filter: "t".to_owned(), qos };
    world.add_check(Box::new(Deliveries::new(vec![subscriber])));
    let meter = join(&mut world, "meter", sender);
    let message = Message::new(TopicName::new("t").unwrap()).qos(qos);
    for number in 0..COUNT {
        world.publish(meter, &message, format!("{number:040}").as_bytes()).unwrap();
    }
    world.run_until(3_600 * SECOND, |world| world.pending(meter) == 0).unwrap();
    world.run_for(60 * SECOND).unwrap();
    // The last of its schedules may leave the receiver with a long wait.
    world.heal();
    world.run_for(120 * SECOND).unwrap();
    world.finish().unwrap();
    let mut times = vec![0; COUNT as usize];
    for event in world.events(archive) {
        if let Observed::Message(message) = event {
            times[str::from_utf8(&message.payload).unwrap().parse::<usize>().unwrap()] += 1;
        }
    }
    match qos {
        Qos::ExactlyOnce => assert!(times.iter().all(|times| *times == 1), "{times:?}"),
        _ => assert!(times.iter().all(|times| *times >= 1), "{times:?}"),
    }
    world
}

/// When the remark was made.
fn noted(world: &World, remark: &str) -> Option<Instant> {
    let found = |what: &Happening| matches!(what, Happening::Note(noted) if *noted == remark);
    world.trace().entries().iter().find(|(_, what)| found(what)).map(|(at, _)| *at)
}

#[test]
fn every_trouble_strikes_each_direction_at_its_byte_and_the_promises_hold() {
    let troubles = [
        Trouble::Delay(SECOND / 2),
        Trouble::Stall(3 * SECOND),
        Trouble::Split(500),
        Trouble::HalfClose,
        Trouble::Reset,
        Trouble::Cut,
    ];
    for trouble in troubles {
        for direction in DIRECTIONS {
            for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
                let place = (trouble, direction, qos);
                let schedule = || vec![Schedule::new().passed(direction, 203, trouble); 3];
                let world = run(qos, 5, schedule(), schedule());
                // Only what ends a connection brings the next one, with the next schedule.
                let expected = if trouble.is_end() { 6 } else { 2 };
                assert!((2..=expected).contains(&world.scheduled().all()), "{place:?}");
                assert_eq!(world.scheduled().of(trouble), world.scheduled().all());
                if trouble.is_end() {
                    assert!(world.scheduled().all() > 2, "{place:?}: {}", world.scheduled());
                }
            }
        }
    }
}

/// What the broker gets of the first connection, with the times.
fn delivered(world: &World) -> Vec<(Instant, usize)> {
    let up = |what: &Happening| match what {
        Happening::Delivered { direction: Direction::Up, bytes, .. } => Some(bytes.len()),
        _ => None,
    };
    world.trace().entries().iter().filter_map(|(at, what)| Some((*at, up(what)?))).collect()
}

fn alone(schedule: Schedule) -> World {
    let mut world = World::new(9);
    world.record();
    world.add_broker(BrokerConfig::default());
    let client = world.add_client(ClientOptions::new("client"));
    world.schedule(client, [schedule]);
    world.start(client).unwrap();
    world.run_for(5 * SECOND).unwrap();
    world
}

#[test]
fn split_bytes_come_one_by_one() {
    let sizes: Vec<usize> = delivered(&alone(Schedule::new().passed(Direction::Up, 2, Trouble::Split(4))))
        .into_iter()
        .map(|(_, size)| size)
        .collect();
    assert!(sizes.len() >= 6 && sizes[..5] == [2, 1, 1, 1, 1], "{sizes:?}");
}

#[test]
fn a_stall_and_a_delay_hold_what_follows() {
    let plain = delivered(&alone(Schedule::new()));
    for trouble in [Trouble::Stall(SECOND), Trouble::Delay(SECOND)] {
        let held = delivered(&alone(Schedule::new().passed(Direction::Up, 4, trouble)));
        assert_eq!(held[0], (plain[0].0, 4), "what passed before is not held: {trouble:?}");
        assert!(held[1].0.since(held[0].0) >= SECOND * 9 / 10, "{held:?}");
    }
}

#[test]
fn a_time_strikes_an_idle_connection() {
    let world = alone(Schedule::new().elapsed(Direction::Down, 2 * SECOND, Trouble::Reset));
    let opened = |what: &Happening| matches!(what, Happening::Opened { .. });
    let opened: Vec<Instant> =
        world.trace().entries().iter().filter(|(_, what)| opened(what)).map(|(at, _)| *at).collect();
    assert_eq!(noted(&world, "reset"), Some(opened[0].after(2 * SECOND)));
    assert_eq!(opened.len(), 2, "and the client comes back");
}

#[test]
fn healing_ends_schedules() {
    let mut world = World::new(3);
    world.add_broker(BrokerConfig::default());
    let client = join(&mut world, "client", vec![Schedule::cut(Direction::Down, 0); 100]);
    world.run_for(30 * SECOND).unwrap();
    let struck = world.scheduled().all();
    assert!(struck > 2 && !world.is_connected(client));
    world.heal();
    world.run_for(120 * SECOND).unwrap();
    assert!(world.is_connected(client));
    assert!(world.scheduled().all() <= struck + 1, "one may have been under way");
}

#[test]
fn the_promises_hold_under_schedules_of_chance() {
    let mut all = 0;
    for seed in 0..100 {
        let drawn = |offset: u64| {
            (0..20)
                .map(|number| {
                    let mix = Mix { every: 1_024, ..Mix::ALL };
                    Schedule::drawn(seed * 1_000 + offset + number, &mix)
                })
                .collect::<Vec<_>>()
        };
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            all += run(qos, seed, drawn(0), drawn(500)).scheduled().all();
        }
    }
    assert!(all > 2_000, "{all}");
}
