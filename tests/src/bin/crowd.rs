//! Thousands of connections from one process: async clients on one thread, against mosquitto.
//!
//! `crowd [--connections N] [--messages K] [--idle SECONDS] [--keep-alive SECONDS] [--at-once N]`, by default 5,000, 20, 27,
//! 10 and 100. All connect, so many at once; then they are idle, for longer than the broker waits for a ping; then each
//! publishes so many messages at QoS 1 to itself, and all must arrive, in order. The figures are those of this process: the
//! broker is another. It needs a descriptor for
//! each connection, as does the broker: `ulimit -n 10000` in the shell before.

use core::time::Duration;
use std::env;
use std::process::ExitCode;
use std::time::Instant;

use async_executor::LocalExecutor;
use async_io::Timer;
use futures_lite::future::{self, block_on};
use mqtt_adapter_smol::{Client, Options, Publish, Qos, connect};
use mqtt_tests::gauge::{Sample, most_descriptors, processor_time};
use mqtt_tests::mosquitto::Mosquitto;

/// How long anything may take. A safety cap.
const CAP: Duration = Duration::from_secs(300);

struct Asked {
    connections: usize,
    messages: u32,
    idle: u64,
    keep_alive: u64,
    at_once: usize,
}

fn main() -> ExitCode {
    let mut asked = Asked { connections: 5_000, messages: 20, idle: 27, keep_alive: 10, at_once: 100 };
    let given: Vec<String> = env::args().skip(1).collect();
    for pair in given.chunks(2) {
        let understood = match pair {
            [name, value] => asked.set(name, value),
            _ => None,
        };
        if understood.is_none() {
            eprintln!("crowd [--connections N] [--messages K] [--idle S] [--keep-alive S] [--at-once N]");
            return ExitCode::from(2);
        }
    }
    // Beside the sockets: three standard streams, and what the reactor and the broker's log need.
    let needed = asked.connections as u64 + 32;
    if most_descriptors() < needed {
        eprintln!(
            "{needed} descriptors are needed, and {} are allowed: ulimit -n {needed}",
            most_descriptors()
        );
        return ExitCode::FAILURE;
    }
    let broker = Mosquitto::start();
    println!("{} connections to mosquitto {}", asked.connections, broker.release());
    let executor = LocalExecutor::new();
    let whole = future::or(async { Some(run(&executor, &broker.url(), &asked).await) }, async {
        Timer::after(CAP).await;
        None
    });
    match block_on(executor.run(whole)) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(why)) => {
            println!("FAILED: {why}");
            ExitCode::FAILURE
        }
        None => {
            println!("FAILED: not done within {CAP:?}");
            ExitCode::FAILURE
        }
    }
}

impl Asked {
    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "--connections" => self.connections = value.parse().ok()?,
            "--messages" => self.messages = value.parse().ok()?,
            "--idle" => self.idle = value.parse().ok()?,
            "--keep-alive" => self.keep_alive = value.parse().ok()?,
            "--at-once" => self.at_once = value.parse().ok().filter(|count| *count > 0)?,
            _ => return None,
        }
        Some(())
    }
}

async fn run(executor: &LocalExecutor<'_>, url: &str, asked: &Asked) -> Result<(), String> {
    let before = Sample::now();
    println!("before:    {before}");

    let began = Instant::now();
    let mut clients = Vec::with_capacity(asked.connections);
    while clients.len() < asked.connections {
        let first = clients.len();
        for number in first..asked.connections.min(first + asked.at_once) {
            let options = Options::new(url)
                .map_err(|error| error.to_string())?
                .with_client_id(format!("crowd-{number}"))
                .with_keep_alive(Duration::from_secs(asked.keep_alive));
            let (client, connection) = connect(options).map_err(|error| error.to_string())?;
            executor.spawn(connection).detach();
            clients.push(client);
        }
        for client in &clients[first..] {
            client.connected().await.map_err(|error| error.to_string())?;
        }
    }
    let (connected, taken) = (Sample::now(), began.elapsed());
    println!("connected: {connected}, after {taken:.1?}");
    println!("           {} for each connection", each(&before, &connected, asked.connections));

    let (began, used) = (Instant::now(), processor_time());
    Timer::after(Duration::from_secs(asked.idle)).await;
    let (span, used) = (began.elapsed(), processor_time() - used);
    let share = used.as_secs_f64() / span.as_secs_f64() * 100.0;
    let idle = Sample::now();
    println!("idle:      {idle}, {share:.2} % of a processor for {span:.1?}");
    println!("           {} for each connection", each(&before, &idle, asked.connections));
    let there = clients.iter().filter(|client| client.is_connected()).count();
    if there < clients.len() {
        return Err(format!("only {there} are still connected"));
    }

    let (began, used) = (Instant::now(), processor_time());
    let talks: Vec<_> = clients
        .iter()
        .enumerate()
        .map(|(number, client)| executor.spawn(talk(client.clone(), number, asked.messages)))
        .collect();
    for talk in talks {
        talk.await?;
    }
    let (span, used) = (began.elapsed(), processor_time() - used);
    let messages = asked.connections as u64 * u64::from(asked.messages);
    let after = Sample::now();
    println!(
        "traffic:   {messages} messages at QoS 1 sent and received in {span:.1?}: {:.0} a second, {used:.1?} of processor time",
        messages as f64 / span.as_secs_f64()
    );
    println!("           {after}: {} for each connection", each(&before, &after, asked.connections));

    let began = Instant::now();
    let stops: Vec<_> = clients
        .drain(..)
        .map(|client| executor.spawn(async move { client.stop(Duration::from_secs(20)).await }))
        .collect();
    let mut left = 0;
    for stop in stops {
        left += stop.await;
    }
    println!("stopped:   {}, after {:.1?}", Sample::now(), began.elapsed());
    if left == 0 { Ok(()) } else { Err(format!("{left} operations were left")) }
}

/// Publishes to itself and receives, one after the other.
async fn talk(client: Client, number: usize, messages: u32) -> Result<(), String> {
    let topic = format!("crowd/{number}");
    client.subscribe(&topic, Qos::AtLeastOnce).await.map_err(|error| error.to_string())?;
    for sent in 0..messages {
        let text = sent.to_string();
        let publish = Publish::new(&topic, text.as_str()).qos(Qos::AtLeastOnce);
        let receipt = client.publish(publish).await.map_err(|error| error.to_string())?;
        let outcome = receipt.await.map_err(|failed| format!("{failed:?}"))?;
        let message = client.recv().await.ok_or("the client has stopped")?;
        if !outcome.is_success() || message.topic() != topic || message.payload() != text.as_bytes() {
            return Err(format!("client {number}: {outcome:?}, {message:?}, for message {sent}"));
        }
    }
    Ok(())
}

/// How much memory one connection takes.
fn each(before: &Sample, after: &Sample, connections: usize) -> String {
    let grown = after.resident.saturating_sub(before.resident);
    format!("{:.1} KiB", grown as f64 / connections.max(1) as f64)
}
