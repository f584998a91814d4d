//! A fleet of 1,000 clients with default settings, and a broker that is away for a minute: how hard do they come back?
//!
//! `cargo run --release -p mqtt-sim --example fleet [-- SEED]`
//!
//! Prints how many of them connected in each second after the broker's return, and how long a single client needs
//! after a single cut. Exits with 1 if more than 5 % of the fleet came in any one second, if somebody did not come
//! back, or if the median of the single client is above 2 s.

use core::time::Duration;
use std::process::ExitCode;

use mqtt_sim::broker::BrokerConfig;
use mqtt_sim::world::{BrokerId, ClientId, ClientOptions, Observed, World};

const FLEET: usize = 1_000;
const AWAY: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let storm = storm(seed);
    let peak = storm.iter().copied().max().unwrap_or(0);
    println!("connects per second after the broker's return:");
    for (second, count) in storm.iter().enumerate() {
        println!("{second:>4} s {count:>4} {}", "#".repeat(count.div_ceil(2)));
    }
    let back: usize = storm.iter().sum();
    let share = peak as f64 * 100.0 / FLEET as f64;
    println!("{back} of {FLEET} back within {} s; at most {share:.1} % in one second", storm.len());

    let mut single: Vec<Duration> = (0..101).map(|n| after_one_cut(seed + n)).collect();
    single.sort();
    let median = single[single.len() / 2];
    println!("one client after one cut: median {median:.2?}, slowest {:.2?}", single[single.len() - 1]);

    if back == FLEET && share <= 5.0 && median <= 2 * SECOND { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How many of the fleet connected in each second after the broker's return.
fn storm(seed: u64) -> Vec<usize> {
    let mut world = World::new(seed);
    world.add_broker(BrokerConfig::default());
    let fleet: Vec<ClientId> =
        (0..FLEET).map(|n| world.add_client(ClientOptions::new(format!("device-{n}")))).collect();
    for client in &fleet {
        world.start(*client).expect("the options are valid");
    }
    world.run_for(30 * SECOND).expect("nobody checks anything here");
    assert!(fleet.iter().all(|client| world.is_connected(*client)), "all are up before the broker goes");

    world.stop_broker(BrokerId::FIRST, false);
    world.run_for(AWAY).expect("the world goes on");
    world.start_broker(BrokerId::FIRST);
    for client in &fleet {
        world.events(*client).for_each(drop);
    }
    let mut seconds = Vec::new();
    let mut back = 0;
    while back < FLEET && seconds.len() < 300 {
        world.run_for(SECOND).expect("the world goes on");
        let connected = fleet
            .iter()
            .flat_map(|client| world.events(*client))
            .filter(|event| matches!(event, Observed::Connected { .. }))
            .count();
        back += connected;
        seconds.push(connected);
    }
    seconds
}

/// How long a client that was up for a minute needs to be up again after a cut.
fn after_one_cut(seed: u64) -> Duration {
    let mut world = World::new(seed);
    world.add_broker(BrokerConfig::default());
    let client = world.add_client(ClientOptions::new("device"));
    world.start(client).expect("the options are valid");
    world.run_for(AWAY).expect("nobody checks anything here");
    world.events(client).for_each(drop);
    world.cut(client);
    let begin = world.now();
    world
        .run_until(AWAY, |world| {
            world.events(client).any(|event| matches!(event, Observed::Connected { .. }))
        })
        .expect("it comes back");
    world.now().since(begin)
}

#[test]
fn a_fleet_does_not_come_back_as_a_storm() {
    let storm = storm(1);
    assert_eq!(storm.iter().sum::<usize>(), FLEET, "everybody comes back");
    assert!(storm.iter().all(|count| count * 20 <= FLEET), "more than 5 % in one second: {storm:?}");
}

#[test]
fn one_client_after_one_cut_is_soon_back() {
    let mut times: Vec<Duration> = (0..51).map(after_one_cut).collect();
    times.sort();
    assert!(times[25] <= 2 * SECOND, "{times:?}");
}
