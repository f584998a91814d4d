//! `mqtt demo`: two clients, a broker in the same process, cuts in the middle of the flow, and what came of it.

mod report;
mod side;

use core::time::Duration;
use std::sync::Arc;
use std::thread;

use clap::Args;
use futures_lite::future;
use mqtt_adapter_std::{Backoff, Options, Qos, Version};
use mqtt_sim::broker::BrokerConfig;
use mqtt_sim::tcp::{Handle, TcpBroker};

use crate::Ended;
use crate::exit::End;
use report::{Report, Tally};
use side::{BLOCKING, Blocking, Mark, SMOL, Smol};

/// See messages arrive although connections are cut
///
/// Starts a broker inside this program and connects two clients to it: one that blocks, on MQTT 5.0, and one that is
/// async, on MQTT 3.1.1. They send each other numbered messages at each quality of service, and meanwhile their
/// connections are cut. Ends with status 0 only if quality 1 lost nothing and quality 2 delivered everything exactly
/// once.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many messages each client sends at each quality of service
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    messages: u32,

    /// How often each client's connection is cut at each quality of service
    #[arg(short, long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=100))]
    cuts: u32,
}

/// One quality of service, both ways at once.
struct Round {
    qos: Qos,
    messages: u32,
    /// After how many sent messages the sender's connection is cut.
    cuts: Vec<u32>,
    /// After how many the sender waits until it is connected again: halfway before each cut, so that the cut finds a
    /// flow, and at the cut, in case halfway is nowhere.
    gates: Vec<u32>,
    broker: Handle,
    report: Arc<Report>,
}

impl Round {
    /// Where a client gets its messages of this round.
    fn topic(&self, to: &str) -> String {
        format!("demo/{to}/qos{}", self.qos as u8)
    }
}

pub(crate) fn run(arguments: &Arguments) -> Ended {
    let mut broker = TcpBroker::bind("127.0.0.1:0", BrokerConfig::default())
        .map_err(|error| End::Failed(format!("cannot listen on a loopback port: {error}")))?;
    let (address, handle) = (broker.local_addr(), broker.handle());
    let server = thread::spawn(move || broker.run());

    let report = Arc::new(Report::new());
    report.line("broker", &format!("the model broker listens on {address}, inside this program"))?;
    let blocking = Blocking::connect(options(&address.to_string(), Version::V5, BLOCKING)?, &report)?;
    let smol = Smol::connect(options(&address.to_string(), Version::V3_1_1, SMOL)?, &report)?;

    let mut tallies = Vec::new();
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let (messages, cuts) = (arguments.messages, arguments.cuts);
        report.heading(&format!(
            "QoS {}: {messages} messages each way, {cuts} cuts of each client",
            qos as u8
        ))?;
        let round = Round {
            qos,
            messages,
            cuts: (1..=cuts).map(|cut| part(messages, 2 * cut, 2 * cuts + 2)).collect(),
            gates: (1..=2 * cuts).map(|gate| part(messages, gate, 2 * cuts + 2)).collect(),
            broker: handle.clone(),
            report: Arc::clone(&report),
        };
        tallies.extend(play(&round, &blocking, &smol)?);
    }
    blocking.stop();
    smol.stop();
    handle.stop();
    let _ = server.join();

    report.table(&tallies)?;
    verdict(&tallies)
}

/// A session that outlives its connections; after a cut the client is back soon.
fn options(address: &str, version: Version, name: &str) -> Result<Options, End> {
    let mut options = Options::new(&format!("mqtt://{address}"))
        .map_err(|error| End::Failed(error.to_string()))?
        .with_version(version)
        .with_client_id(name)
        .with_clean_start(false)
        .with_session_expiry(Duration::from_secs(600));
    options.engine_mut().backoff =
        Backoff { base: Duration::from_millis(20), cap: Duration::from_millis(50), ..Backoff::new() };
    Ok(options)
}

/// The n-th of so many equal parts of a whole.
fn part(whole: u32, n: u32, parts: u32) -> u32 {
    u32::try_from(u64::from(whole) * u64::from(n) / u64::from(parts)).unwrap_or(whole)
}

/// Both clients send and receive at once: the blocking one on two threads, the async one on this one.
fn play(round: &Round, blocking: &Blocking, smol: &Smol) -> Result<[Tally; 2], End> {
    blocking.subscribe(round)?;
    future::block_on(smol.subscribe(round))?;
    let mut at_blocking = vec![0; round.messages as usize];
    let mut at_smol = at_blocking.clone();
    thread::scope(|scope| {
        let sent = scope.spawn(|| blocking.send(round));
        let received = scope.spawn(|| blocking.receive(round, &mut at_blocking, Mark::Last));
        let (smol_sent, smol_received) =
            future::block_on(future::zip(smol.send(round), smol.receive(round, &mut at_smol, Mark::Last)));
        let panicked = |_| End::Failed("a thread of the demonstration panicked".to_owned());
        sent.join().map_err(panicked)??;
        received.join().map_err(panicked)??;
        smol_sent.and(smol_received)
    })?;
    // All cuts are over: whatever is still repeated comes before the next mark.
    blocking.mark(round, Mark::End)?;
    future::block_on(smol.mark(round, Mark::End))?;
    blocking.receive(round, &mut at_blocking, Mark::End)?;
    future::block_on(smol.receive(round, &mut at_smol, Mark::End))?;
    Ok([Tally::new(round.qos, BLOCKING, SMOL, &at_smol), Tally::new(round.qos, SMOL, BLOCKING, &at_blocking)])
}

/// What the protocol promises, and nothing less.
fn verdict(tallies: &[Tally]) -> Ended {
    let broken = |tally: &&Tally| match tally.qos {
        Qos::AtMostOnce => false,
        Qos::AtLeastOnce => tally.lost() > 0,
        Qos::ExactlyOnce => tally.lost() > 0 || tally.duplicates > 0,
    };
    match tallies.iter().find(broken) {
        Some(tally) => Err(End::Failed(format!(
            "QoS {} to {}: {} lost, {} twice: its promise is broken",
            tally.qos as u8,
            tally.to,
            tally.lost(),
            tally.duplicates
        ))),
        None => Ok(()),
    }
}
