//! How fast messages pass through the clients of this project, and of others, and how many system calls each costs.
//!
//! ```sh
//! cargo run --release --manifest-path bench/rates/Cargo.toml -- [--messages N] [--rounds N] [PART OF A ROW'S NAME]
//! ```
//!
//! A small server on loopback acknowledges and forgets, or floods a subscriber. Each row is a process of its own, rows take
//! turns, and the table has the best and the median of all rounds: rates of one machine drift, so compare within one
//! run only. System calls are counted by strace in a run apart; without strace that column is empty, and says so.

mod calls;
mod clients;
mod sink;

use std::env;
use std::process::{Command, ExitCode, Stdio};

use clients::{CLIENTS, Work};

type Failed = Box<dyn std::error::Error>;

/// Messages of a publisher that may be under way.
const WINDOW: u16 = 100;

const HELP: &str = "rates-bench [--messages N] [--rounds N] [PART OF A ROW'S NAME]
  --messages N  messages in each measurement (1,000,000); one at a time: a tenth of that
  --rounds N    measurements of each row (5)
  The columns: messages per second, best and median; the median as a multiple of rumqttc's; system calls of the
  process per message, and the three most frequent ones; processor seconds per 100,000 messages.";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failed> {
    let (mut messages, mut rounds, mut wanted) = (1_000_000, 5, String::new());
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || -> Result<u32, Failed> {
            let text = words.next().ok_or_else(|| format!("{word} needs a number"))?;
            Ok(text.parse().map_err(|_| format!("{word}: {text} is no number"))?)
        };
        match word.as_str() {
            "--messages" => messages = number()?.max(1),
            "--rounds" => rounds = number()?.max(1),
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(());
            }
            // A row in a process of its own.
            "--row" => {
                let row: Vec<String> = words.collect();
                return clients::measure(&row);
            }
            _ => wanted = word,
        }
    }
    let address = sink::start(WINDOW)?;
    println!("{messages} messages of {} bytes, {rounds} rounds\n", sink::PAYLOAD.len());
    for work in Work::ALL {
        // A round trip each: a tenth says as much.
        let messages = if work == Work::OneAtATime { (messages / 10).max(1) } else { messages };
        compare(work, &address, messages, rounds, &wanted)?;
    }
    Ok(())
}

/// What one measurement came to.
#[derive(Clone, Copy, Debug)]
struct Measured {
    seconds: f64,
    processor: f64,
}

/// One table: the same work by every client.
fn compare(work: Work, address: &str, messages: u32, rounds: u32, wanted: &str) -> Result<(), Failed> {
    let rows: Vec<_> = CLIENTS.iter().copied().filter(|client| work.row(client).contains(wanted)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let mut found = vec![Vec::new(); rows.len()];
    for round in 0..rounds {
        for (client, found) in rows.iter().zip(&mut found) {
            eprint!("\r{:<40} {}/{rounds} ", work.row(client), round + 1);
            found.push(row(work, client, address, messages)?);
        }
    }
    eprint!("\r{:60}\r", "");
    println!(
        "| {} | best, messages/s | median, messages/s | times rumqttc | calls a message | most of them | CPU s per 100,000 |",
        work.name()
    );
    println!("| --- | ---: | ---: | ---: | ---: | --- | ---: |");
    let medians: Vec<f64> = found.iter_mut().map(|found| middle(found)).collect();
    let peer = rows.iter().position(|client| *client == "rumqttc").and_then(|at| medians.get(at).copied());
    for ((client, found), median) in rows.iter().zip(&found).zip(&medians) {
        let count = f64::from(messages);
        let best = found.iter().map(|one| one.seconds).fold(f64::INFINITY, f64::min);
        let processor = found.iter().map(|one| one.processor).sum::<f64>() / found.len() as f64;
        let times = peer.map_or(String::new(), |peer| format!("{:.1}", peer / median));
        let traced = messages.min(200_000);
        let (calls, most) = match calls::count(&words(work, client, address, traced))? {
            None => ("no strace".to_owned(), String::new()),
            Some(calls) => {
                let each = |calls: f64| calls / f64::from(traced);
                let most = calls.most.iter().map(|(name, calls)| format!("{name} {:.3}", each(*calls)));
                (format!("{:.4}", each(calls.all)), most.collect::<Vec<_>>().join(", "))
            }
        };
        println!(
            "| {client} | {:.0} | {:.0} | {times} | {calls} | {most} | {:.3} |",
            count / best,
            count / median,
            processor / count * 100_000.0
        );
    }
    println!();
    Ok(())
}

/// Puts the measurements in order, and gives the time of the one in the middle.
fn middle(found: &mut [Measured]) -> f64 {
    found.sort_by(|one, other| one.seconds.total_cmp(&other.seconds));
    found.get(found.len() / 2).map_or(f64::NAN, |one| one.seconds)
}

fn words(work: Work, client: &str, address: &str, messages: u32) -> Vec<String> {
    ["--row", client, work.name(), address, &messages.to_string()].map(str::to_owned).to_vec()
}

fn row(work: Work, client: &str, address: &str, messages: u32) -> Result<Measured, Failed> {
    let child = Command::new(env::current_exe()?)
        .args(words(work, client, address, messages))
        .stderr(Stdio::inherit())
        .output()?;
    let said = String::from_utf8(child.stdout)?;
    let mut numbers = said.split_whitespace().map(str::parse::<f64>);
    match (child.status.success(), numbers.next(), numbers.next()) {
        (true, Some(Ok(seconds)), Some(Ok(processor))) => Ok(Measured { seconds, processor }),
        _ => Err(format!("{} ended with {} and said {said:?}", work.row(client), child.status).into()),
    }
}
