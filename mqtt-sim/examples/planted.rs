//! Defects planted in the engine, one at a time, and what finds each: `scripts/planted.sh [NAME..]`.
//!
//! Prints a table of defect, detector, seed or number of steps, and time. Exits with 1 if one was not found within its
//! bound, or if a detector finds something where nothing is planted.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(planted = "chosen")]
    return chosen::main();
    #[cfg(not(planted = "chosen"))]
    {
        eprintln!("nothing is planted in this build: use scripts/planted.sh");
        ExitCode::FAILURE
    }
}

#[cfg(planted = "chosen")]
mod chosen {
    use core::time::Duration;
    use std::process::ExitCode;
    use std::time::Instant;

    use mqtt_proto::{Qos, TopicName};
    use mqtt_session::planted::{ALL, plant};
    use mqtt_session::{Durability, Message};
    use mqtt_sim::broker::BrokerConfig;
    use mqtt_sim::checks::Backoff;
    use mqtt_sim::explore::{Faults, Setup, explore};
    use mqtt_sim::swarm::Swarm;
    use mqtt_sim::world::{BrokerId, ClientOptions, Halt, World};

    /// States an exploration may need.
    const STATES: u64 = 200_000;
    /// Seeds a swarm may need.
    const SEEDS: u64 = 2_000;
    /// Seeds with which a swarm is tried where something else is to find the defect.
    const FEW: u64 = 100;

    /// What is to find a defect.
    enum Detector {
        Explorer(Setup),
        Swarm,
        World(&'static str, fn() -> Result<(), Halt>),
    }

    fn detector(name: &str) -> Detector {
        let plain =
            Setup { receive_maximum: 1, faults: Faults { cuts: 1, ..Faults::NONE }, ..Setup::default() };
        let recorded = Setup { durability: Durability::BeforeSend, ..plain.clone() };
        let inbound = |qos| Setup { outbound: Vec::new(), inbound: vec![qos], ..plain.clone() };
        let outbound = |list: &[Qos]| Setup { outbound: list.to_vec(), ..plain.clone() };
        let (once, twice) = (Qos::ExactlyOnce, Qos::AtLeastOnce);
        Detector::Explorer(match name {
            "publish-after-pubrel" => Setup { outbound: vec![once], ..recorded },
            "dup-missing" | "quota-kept" => outbound(&[twice]),
            "identifier-reused-early" => Setup { identifiers: 1, receive_maximum: 2, ..recorded },
            "inbound-set-cleared" => inbound(once),
            "ack-before-stored" => Setup { outbound: Vec::new(), inbound: vec![once], ..recorded },
            "resubscribed-once" => {
                Setup { faults: Faults { cuts: 2, forgotten: 2, ..Faults::NONE }, ..inbound(twice) }
            }
            "resend-reordered" => Setup { receive_maximum: 2, ..outbound(&[twice, twice]) },
            "backoff-reset-by-connack" => {
                return Detector::World("a server that closes at once", closing_server);
            }
            "connect-starved" => return Detector::World("a full queue, then a connection", full_queue),
            _ => return Detector::Swarm,
        })
    }

    /// What it finds, and where.
    fn detect(detector: &Detector) -> Result<(), (String, String)> {
        match detector {
            Detector::Explorer(setup) => match explore(setup, STATES, 1, |_| ()).finding {
                Some(finding) => Err((format!("explorer, {} steps", finding.path.len()), finding.what)),
                None => Ok(()),
            },
            Detector::Swarm => swarm(SEEDS),
            Detector::World(what, run) => run().map_err(|halt| ((*what).to_owned(), halt.to_string())),
        }
    }

    fn swarm(seeds: u64) -> Result<(), (String, String)> {
        for seed in 0..seeds {
            if let Err(failure) = Swarm::default().run(seed) {
                return Err((format!("`mqtt sim --seed {seed}`"), failure.halt.to_string()));
            }
        }
        Ok(())
    }

    /// The first words of what was found.
    fn short(what: &str) -> String {
        what.chars().take(90).filter(|letter| *letter != '|').collect()
    }

    pub(super) fn main() -> ExitCode {
        let wanted: Vec<String> = std::env::args().skip(1).collect();
        if let Some(unknown) = wanted.iter().find(|name| !ALL.contains(&name.as_str())) {
            eprintln!("{unknown} is not one of {}", ALL.join(", "));
            return ExitCode::FAILURE;
        }
        let mut failed = false;
        println!("| planted | found by | what it says | time | the swarm's first {FEW} seeds |");
        println!("| --- | --- | --- | ---: | --- |");
        for name in
            ALL.into_iter().filter(|name| wanted.is_empty() || wanted.iter().any(|other| other == name))
        {
            let detector = detector(name);
            plant("");
            // The seeds that find nothing in the sound engine are counted by `mqtt sim`.
            let innocent = matches!(detector, Detector::Swarm) || detect(&detector).is_ok();
            plant(name);
            let begun = Instant::now();
            let found = detect(&detector);
            let time = begun.elapsed();
            let too = match (&detector, &found) {
                (Detector::Swarm, _) => "the same".to_owned(),
                _ => swarm(FEW).err().map_or_else(|| "nothing".to_owned(), |(place, _)| place),
            };
            failed |= found.is_ok() || !innocent;
            let (place, what) = found.err().unwrap_or_else(|| ("NOT FOUND".to_owned(), String::new()));
            println!("| {name} | {place} | {} | {time:.1?} | {too} |", short(&what));
            if !innocent {
                println!("\nits detector finds something where nothing is planted");
            }
        }
        if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    const SECOND: Duration = Duration::from_secs(1);

    /// The server takes the connection, and ends it on the first message.
    fn closing_server() -> Result<(), Halt> {
        let mut world = World::new(1);
        world.add_broker(BrokerConfig::default());
        // Each closes one connection.
        world.with_broker(BrokerId::FIRST, |broker, _| (0..500).for_each(|_| broker.close_on("poison")));
        let options = ClientOptions { session_expiry: 3_600, ..ClientOptions::new("client") };
        world.add_check(Box::new(Backoff::new(options.config.backoff.healthy)));
        let client = world.add_client(options);
        world.start(client).expect("the options are valid");
        let topic = TopicName::new("poison").expect("the topic is valid");
        world.publish(client, &Message::new(topic).qos(Qos::AtLeastOnce), b"x").expect("there is room");
        world.run_for(600 * SECOND)
    }

    /// The application fills the queue before there is a connection.
    fn full_queue() -> Result<(), Halt> {
        let mut world = World::new(1);
        world.add_broker(BrokerConfig::default());
        let mut options = ClientOptions { session_expiry: 3_600, ..ClientOptions::new("client") };
        options.config.queue_bytes = 4_096;
        let client = world.add_client(options);
        let topic = TopicName::new("meter").expect("the topic is valid");
        let message = Message::new(topic).qos(Qos::AtLeastOnce);
        while world.publish(client, &message, &[7; 100]).is_ok() {}
        world.start(client).expect("the options are valid");
        world.run_until(120 * SECOND, |world| world.pending(client) == 0)
    }
}
