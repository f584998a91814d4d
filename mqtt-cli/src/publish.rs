//! `mqtt pub`: one message, the same one several times, or a message for each line of standard input.

use core::iter;
use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, BufRead};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Instant;
use std::{fs, thread};

use clap::Args;
use mqtt_adapter_std::{Bytes, Failed, Outcome, Publish, Qos, Receipt, TopicName};

use crate::Ended;
use crate::args::{self, Connection};
use crate::exit::End;
use crate::link::Link;

/// Publish messages
///
/// The payload is an argument, a file, or each line of standard input. The program ends when the server has
/// acknowledged every message (quality 1 and 2) or every byte has left (quality 0).
#[derive(Debug, Args)]
#[command(after_help = concat!("Examples:
  mqtt pub mqtt://localhost sensors/kitchen 21.5
  mqtt pub mqtt://localhost sensors/kitchen 21.5 --qos 1 --retain
  mqtt pub mqtt://user:password@broker.example images/door --file door.jpg --qos 2
  tail -f events.log | mqtt pub mqtt://localhost log/lines --lines --qos 1
"))]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,

    /// Where to publish: a topic name, without wildcards
    topic: String,

    /// The payload; an empty one together with --retain clears what is retained
    #[arg(required_unless_present_any = ["file", "lines"], conflicts_with_all = ["file", "lines"])]
    payload: Option<String>,

    /// Publish the content of a file; `-` is standard input, taken as one message
    #[arg(short, long, value_name = "PATH", conflicts_with = "lines")]
    file: Option<PathBuf>,

    /// Publish each line of standard input as a message
    #[arg(short, long)]
    lines: bool,

    /// Quality of service: 0 at most once, 1 at least once, 2 exactly once
    #[arg(short, long, value_name = "0|1|2", default_value = "0", value_parser = args::qos)]
    qos: Qos,

    /// Ask the server to retain the message for later subscribers
    #[arg(short, long)]
    retain: bool,

    /// How often to publish the payload; with --lines, how many lines to take
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,

    /// How long to wait for the next acknowledgement after the last message, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

/// What is to be published, one message after the other.
type Payloads = Box<dyn Iterator<Item = Result<Bytes, End>>>;

/// What a line reader has to tell.
enum Input {
    Line(Vec<u8>),
    Broken(io::Error),
    /// No line will be used any more: the client has stopped.
    Stopped,
}

pub(crate) fn run(arguments: &Arguments) -> Ended {
    TopicName::new(&arguments.topic)
        .map_err(|error| End::Usage(format!("cannot publish to {:?}: {error}", arguments.topic)))?;
    let mut options = arguments.connection.options()?;
    options.engine_mut().qos0_receipts = true;

    let (payloads, wake): (Payloads, Option<SyncSender<Input>>) = if arguments.lines {
        let (sender, lines) = mpsc::sync_channel(64);
        let reader = sender.clone();
        thread::spawn(move || read_lines(&reader));
        let count = usize::try_from(arguments.count.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        (Box::new(taken(lines).take(count)), Some(sender))
    } else {
        let payload = whole_payload(arguments)?;
        let count = usize::try_from(arguments.count.unwrap_or(1)).unwrap_or(usize::MAX);
        (Box::new(iter::repeat_n(payload, count).map(Ok)), None)
    };

    let link = Link::connect(options, arguments.connection.quiet, move || {
        // A program that waits for a line must not wait for ever.
        if let Some(lines) = wake {
            let _ = lines.send(Input::Stopped);
        }
    })?;
    let mut progress = Progress::default();
    let sent = send(arguments, &link, payloads, &mut progress);
    let interrupted = link.interrupted();
    let stopped = link.stop();
    let tally = progress.tally();
    match (sent, stopped) {
        (Err(end @ (End::Usage(_) | End::Failed(_))), _) => Err(end),
        (_, Err(End::Lost(why))) => Err(End::Lost(format!("{why} ({tally})"))),
        _ if interrupted && !arguments.lines => Err(End::Interrupted(format!("interrupted: {tally}"))),
        _ => progress.ended(),
    }
}

/// Publishes everything and waits until everything has ended.
fn send(arguments: &Arguments, link: &Link, payloads: Payloads, progress: &mut Progress) -> Ended {
    for payload in payloads {
        let payload = payload?;
        let message = Publish::new(&arguments.topic, payload).qos(arguments.qos).retain(arguments.retain);
        match link.client.publish(message) {
            Ok(receipt) => progress.accepted(receipt),
            Err(mqtt_adapter_std::PublishError::Stopped { .. }) => {
                progress.messages += 1;
                break;
            }
            Err(error) => {
                return Err(End::Failed(format!("cannot publish to {:?}: {error}", arguments.topic)));
            }
        }
    }
    progress.wait(Duration::from_secs(arguments.timeout))
}

/// Of the messages published so far.
#[derive(Default)]
struct Progress {
    messages: u64,
    delivered: u64,
    failed: Option<Failed>,
    open: VecDeque<Receipt>,
}

impl Progress {
    fn accepted(&mut self, receipt: Receipt) {
        self.messages += 1;
        self.open.push_back(receipt);
        // Taken from the front as they end, so that an endless input does not pile them up.
        while self.open.front().is_some_and(Receipt::is_done) {
            if let Some(receipt) = self.open.pop_front() {
                self.end(receipt.wait());
            }
        }
    }

    fn end(&mut self, ended: Result<Outcome, Failed>) {
        match ended {
            Ok(_) => self.delivered += 1,
            Err(failed) => self.failed = Some(failed),
        }
    }

    /// Waits for the rest, `patience` for each.
    fn wait(&mut self, patience: Duration) -> Ended {
        while let Some(mut receipt) = self.open.pop_front() {
            let since = Instant::now();
            let Some(ended) = receipt.wait_timeout(patience) else {
                return Err(End::Failed(format!(
                    "no acknowledgement within {} s: {}",
                    since.elapsed().as_secs(),
                    self.tally()
                )));
            };
            self.end(ended);
        }
        Ok(())
    }

    fn tally(&self) -> String {
        format!("{} of {} messages delivered", self.delivered, self.messages)
    }

    fn ended(self) -> Ended {
        match &self.failed {
            None if self.delivered == self.messages => Ok(()),
            None => Err(End::Failed(self.tally())),
            Some(failed) => Err(End::Failed(format!("{failed}: {}", self.tally()))),
        }
    }
}

/// The payload that is one message, whatever it holds.
fn whole_payload(arguments: &Arguments) -> Result<Bytes, End> {
    let Some(path) = &arguments.file else {
        return Ok(arguments.payload.clone().unwrap_or_default().into());
    };
    let content = if path.as_os_str() == "-" {
        let mut content = Vec::new();
        io::Read::read_to_end(&mut io::stdin().lock(), &mut content).map(|_| content)
    } else {
        fs::read(path)
    };
    content.map(Bytes::from).map_err(|error| End::Usage(format!("cannot read {}: {error}", path.display())))
}

/// Reads standard input on a thread of its own: a blocked read must not keep the program from ending.
fn read_lines(lines: &SyncSender<Input>) {
    let mut input = io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let message = match input.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => {
                let end = line.len() - usize::from(line.ends_with(b"\n"));
                line.truncate(end);
                if line.ends_with(b"\r") {
                    line.pop();
                }
                Input::Line(line)
            }
            Err(error) => Input::Broken(error),
        };
        if lines.send(message).is_err() {
            break;
        }
    }
    // The end of the input ends the flow as a stop does.
    let _ = lines.send(Input::Stopped);
}

/// The lines as payloads, until the last one or the end of the client.
fn taken(lines: Receiver<Input>) -> impl Iterator<Item = Result<Bytes, End>> {
    lines.into_iter().map_while(|input| match input {
        Input::Line(line) => Some(Ok(Bytes::from(line))),
        Input::Broken(error) => Some(Err(End::Failed(format!("cannot read standard input: {error}")))),
        Input::Stopped => None,
    })
}
