//! Testing one's own subscriber against a broker that dies at the worst moment, by trying every moment.
//!
//! `cargo run --release -p mqtt-sim --example dying_broker`
//!
//! The application under test adds up amounts it gets at QoS 2. The broker is stopped 0, 1, 2 .. ms after the first
//! amount was published, comes back 5 s later, and the sum must be right every time. A failing moment is printed with
//! what is needed to look at it again.

use core::time::Duration;
use std::process::ExitCode;

use mqtt_proto::{Qos, TopicName};
use mqtt_session::Message;
use mqtt_sim::broker::BrokerConfig;
use mqtt_sim::world::{BrokerId, ClientId, ClientOptions, Halt, Observed, World};

const SECOND: Duration = Duration::from_secs(1);
const AMOUNTS: [u64; 5] = [1, 20, 300, 4_000, 50_000];

/// The application under test: knows nothing of brokers and networks.
#[derive(Default)]
struct Ledger {
    sum: u64,
}

impl Ledger {
    fn on_message(&mut self, payload: &[u8]) {
        let amount = core::str::from_utf8(payload).ok().and_then(|text| text.parse::<u64>().ok());
        self.sum += amount.unwrap_or(0);
    }
}

fn main() -> ExitCode {
    let mut failed = 0;
    let mut tried = 0;
    for seed in 0..5 {
        for millis in 0..200 {
            tried += 1;
            match run(seed, Duration::from_millis(millis)) {
                Ok(sum) if sum == AMOUNTS.iter().sum::<u64>() => {}
                other => {
                    failed += 1;
                    println!("seed {seed}, broker stopped after {millis} ms: {other:?}");
                }
            }
        }
    }
    println!("{tried} moments tried, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The sum in the ledger when the broker dies at this moment.
fn run(seed: u64, moment: Duration) -> Result<u64, Halt> {
    let mut world = World::new(seed);
    world.add_broker(BrokerConfig::default());
    let kept = |name| ClientOptions { session_expiry: 3_600, ..ClientOptions::new(name) };
    let till = world.add_client(kept("till"));
    let office = world.add_client(kept("office"));
    for client in [till, office] {
        world.start(client).expect("the options are valid");
    }
    world.subscribe(office, "till/+", Qos::ExactlyOnce).expect("the filter is valid");
    world.run_for(SECOND)?;

    let topic = TopicName::new("till/7").expect("no wildcards");
    for amount in AMOUNTS {
        let message = Message::new(topic).qos(Qos::ExactlyOnce);
        world.publish(till, &message, amount.to_string().as_bytes()).expect("there is room");
    }
    world.run_for(moment)?;
    world.stop_broker(BrokerId::FIRST, false);
    world.run_for(5 * SECOND)?;
    world.start_broker(BrokerId::FIRST);
    world.run_until(120 * SECOND, |world| world.pending(till) == 0 && world.is_connected(office))?;
    world.run_for(SECOND)?;
    Ok(ledger(&mut world, office).sum)
}

/// Hands everything that arrived to the application.
fn ledger(world: &mut World, client: ClientId) -> Ledger {
    let mut ledger = Ledger::default();
    for event in world.events(client) {
        if let Observed::Message(message) = event {
            ledger.on_message(&message.payload);
        }
    }
    ledger
}

#[test]
fn the_sum_is_right_at_every_tenth_moment() {
    for millis in (0..200).step_by(10) {
        assert_eq!(run(1, Duration::from_millis(millis)), Ok(54_321));
    }
}
