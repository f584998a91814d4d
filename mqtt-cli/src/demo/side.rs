//! The two clients: the same work, once in blocking and once in async form.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use async_io::Timer;
use futures_lite::future;
use mqtt_adapter_smol as async_client;
use mqtt_adapter_std::{Client, Event, Message, Options, Publish, Qos};

use super::Round;
use super::report::Report;
use crate::Ended;
use crate::exit::End;

/// Names of the clients, at the broker and in the report.
pub(super) const BLOCKING: &str = "blocking";
pub(super) const SMOL: &str = "smol";

/// How long to wait for anything before the demonstration is called a failure.
const CAP: Duration = Duration::from_secs(30);
/// How long a graceful stop may take.
const STOP: Duration = Duration::from_secs(5);
/// How often to look whether a connection is up again.
const LOOK: Duration = Duration::from_millis(1);
/// A flow as from a busy device: so many messages at once, then a short pause.
const BURST: u32 = 16;
const PAUSE: Duration = Duration::from_millis(3);
/// The least quality for the messages that close a round: they must not be lost themselves.
const SURE: Qos = Qos::AtLeastOnce;

/// The messages that close a round.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    /// All numbers have been sent.
    Last,
    /// All cuts are over: what a cut makes the broker send again comes before this.
    End,
}

impl Mark {
    const fn payload(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::End => "end",
        }
    }
}

/// Counts connections and cuts of one client, so that only a connection that is up is cut.
#[derive(Default)]
struct Life {
    connected: AtomicU32,
    cut: AtomicU32,
}

impl Life {
    fn note(&self, event: &Event) {
        if let Event::Connected(_) = event {
            self.connected.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn is_up(&self) -> bool {
        self.connected.load(Ordering::SeqCst) > self.cut.load(Ordering::SeqCst)
    }

    fn cut(&self, who: &str, sent: u32, round: &Round) -> Ended {
        self.cut.fetch_add(1, Ordering::SeqCst);
        round.broker.cut(who);
        round.report.line(who, &format!("cut after {sent} of {} messages", round.messages))
    }
}

/// The client over one I/O thread.
pub(super) struct Blocking {
    client: Client,
    life: Arc<Life>,
}

impl Blocking {
    pub(super) fn connect(options: Options, report: &Arc<Report>) -> Result<Self, End> {
        let client = Client::connect(options).map_err(|error| End::NotConnected(error.to_string()))?;
        let life = Arc::new(Life::default());
        let (watched, seen, report) = (client.clone(), Arc::clone(&life), Arc::clone(report));
        thread::spawn(move || {
            while let Some(event) = watched.next_event(None) {
                report.event(BLOCKING, &event);
                seen.note(&event);
                if let Event::Stopped { .. } = event {
                    break;
                }
            }
        });
        Ok(Self { client, life })
    }

    pub(super) fn subscribe(&self, round: &Round) -> Ended {
        self.client.subscribe(&round.topic(BLOCKING), round.qos.max(SURE)).map_err(failed)?;
        Ok(())
    }

    /// Sends the numbers, and has its connection cut where the round says so.
    pub(super) fn send(&self, round: &Round) -> Ended {
        let topic = round.topic(SMOL);
        let mut receipts = Vec::new();
        for number in 0..round.messages {
            if round.gates.contains(&number) {
                let cap = Instant::now() + CAP;
                while !self.life.is_up() {
                    still(Instant::now() < cap, "the blocking client is back after a cut")?;
                    thread::sleep(LOOK);
                }
            }
            if round.cuts.contains(&number) {
                self.life.cut(BLOCKING, number, round)?;
            }
            if number % BURST == 0 {
                thread::sleep(PAUSE);
            }
            let message = Publish::new(&topic, number.to_string()).qos(round.qos);
            receipts.push(self.client.publish(message).map_err(failed)?);
        }
        for mut receipt in receipts {
            let ended = receipt.wait_timeout(CAP);
            still(ended.is_some(), "every message of the blocking client ends")?;
        }
        self.mark(round, Mark::Last)
    }

    pub(super) fn mark(&self, round: &Round, mark: Mark) -> Ended {
        let topic = round.topic(SMOL);
        let message = Publish::new(&topic, mark.payload()).qos(round.qos.max(SURE));
        drop(self.client.publish(message).map_err(failed)?);
        Ok(())
    }

    /// Counts what arrives, up to a mark.
    pub(super) fn receive(&self, round: &Round, arrivals: &mut [u32], until: Mark) -> Ended {
        let topic = round.topic(BLOCKING);
        while count(self.client.recv_timeout(CAP).ok(), &topic, arrivals, until)? {}
        Ok(())
    }

    pub(super) fn stop(&self) {
        self.client.stop(STOP);
    }
}

/// The async client; its connection runs on a thread here, and could on any executor.
pub(super) struct Smol {
    client: async_client::Client,
    life: Arc<Life>,
}

impl Smol {
    pub(super) fn connect(options: Options, report: &Arc<Report>) -> Result<Self, End> {
        let (client, connection) =
            async_client::connect(options).map_err(|error| End::Failed(error.to_string()))?;
        let life = Arc::new(Life::default());
        let (watched, seen, report) = (client.clone(), Arc::clone(&life), Arc::clone(report));
        let watch = async move {
            while let Some(event) = watched.next_event().await {
                report.event(SMOL, &event);
                seen.note(&event);
                if let Event::Stopped { .. } = event {
                    break;
                }
            }
        };
        thread::spawn(move || future::block_on(future::zip(connection, watch)));
        future::block_on(client.connected()).map_err(|error| End::NotConnected(error.to_string()))?;
        Ok(Self { client, life })
    }

    pub(super) async fn subscribe(&self, round: &Round) -> Ended {
        self.client.subscribe(&round.topic(SMOL), round.qos.max(SURE)).await.map_err(failed)?;
        Ok(())
    }

    /// Sends the numbers, and has its connection cut where the round says so.
    pub(super) async fn send(&self, round: &Round) -> Ended {
        let topic = round.topic(BLOCKING);
        let mut receipts = Vec::new();
        for number in 0..round.messages {
            if round.gates.contains(&number) {
                let cap = Instant::now() + CAP;
                while !self.life.is_up() {
                    still(Instant::now() < cap, "the async client is back after a cut")?;
                    Timer::after(LOOK).await;
                }
            }
            if round.cuts.contains(&number) {
                self.life.cut(SMOL, number, round)?;
            }
            if number % BURST == 0 {
                Timer::after(PAUSE).await;
            }
            let message = Publish::new(&topic, number.to_string()).qos(round.qos);
            receipts.push(self.client.publish(message).await.map_err(failed)?);
        }
        for receipt in receipts {
            let ended = within(async { Some(receipt.await) }).await;
            still(ended.is_some(), "every message of the async client ends")?;
        }
        self.mark(round, Mark::Last).await
    }

    pub(super) async fn mark(&self, round: &Round, mark: Mark) -> Ended {
        let topic = round.topic(BLOCKING);
        let message = Publish::new(&topic, mark.payload()).qos(round.qos.max(SURE));
        drop(self.client.publish(message).await.map_err(failed)?);
        Ok(())
    }

    /// Counts what arrives, up to a mark.
    pub(super) async fn receive(&self, round: &Round, arrivals: &mut [u32], until: Mark) -> Ended {
        let topic = round.topic(SMOL);
        while count(within(self.client.recv()).await, &topic, arrivals, until)? {}
        Ok(())
    }

    pub(super) fn stop(&self) {
        future::block_on(self.client.stop(STOP));
    }
}

/// Notes an arrival; false for the mark that is waited for.
fn count(message: Option<Message>, topic: &str, arrivals: &mut [u32], until: Mark) -> Result<bool, End> {
    let Some(message) = message else {
        return Err(End::Failed(format!("nothing came on {topic} for {} s", CAP.as_secs())));
    };
    // At QoS 1 the end of the round before may come a second time.
    if message.topic() != topic {
        return Ok(true);
    }
    let text = str::from_utf8(message.payload()).unwrap_or_default();
    if let Some(times) = text.parse::<usize>().ok().and_then(|number| arrivals.get_mut(number)) {
        *times += 1;
    } else if text != Mark::Last.payload() && text != Mark::End.payload() {
        return Err(End::Failed(format!("a message came on {topic} that nobody sent: {text:?}")));
    }
    Ok(text != until.payload())
}

/// `None` when the time is up first.
async fn within<T>(wanted: impl Future<Output = Option<T>>) -> Option<T> {
    future::or(wanted, async {
        Timer::after(CAP).await;
        None
    })
    .await
}

fn still(holds: bool, what: &str) -> Ended {
    if holds { Ok(()) } else { Err(End::Failed(format!("not so within {} s: {what}", CAP.as_secs()))) }
}

fn failed(error: impl core::fmt::Display) -> End {
    End::Failed(error.to_string())
}
