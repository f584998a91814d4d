//! One face over every way of driving a client, so that each test is written once and runs over all of them.

use core::time::Duration;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::thread;
use std::time::Instant;

use async_io::Timer;
use futures_lite::future::{self, block_on};
use mqtt_adapter_std::{
    AuthError, ConnectError, Event, Message, Options, Outcome, Properties, Publish, PublishError, Qos,
    ReasonCode, RequestError, ResponseError, SourceError, Stats, Token,
};
use {mqtt_adapter_smol as smol, mqtt_adapter_std as blocking};

/// How long a test waits for what must come. A safety cap so that a hang fails; nothing is measured against it.
pub const CAP: Duration = Duration::from_secs(60);

/// Makes a test for each driver of scenarios `fn name<A: Adapter>()` that stand beside it: `name::threads`, `name::driven`,
/// `name::smol`.
#[macro_export]
macro_rules! drivers {
    ($($(#[$about:meta])* $name:ident),+ $(,)?) => {$(
        mod $name {
            $(#[$about])*
            #[test]
            fn threads() {
                super::$name::<$crate::adapter::Threads>();
            }

            $(#[$about])*
            #[test]
            fn driven() {
                super::$name::<$crate::adapter::Driven>();
            }

            $(#[$about])*
            #[test]
            fn smol() {
                super::$name::<$crate::adapter::Smol>();
            }
        }
    )+};
}

/// What every driver can do, in a blocking form.
pub trait Adapter: Sized {
    /// What it is called in tests, and by the programs they start.
    const NAME: &'static str;

    /// What becomes an outcome.
    type Receipt;

    /// Starts a client and waits until its first connection is up.
    ///
    /// # Errors
    ///
    /// What the driver says when its first attempt fails.
    fn connect(options: Options) -> Result<Self, ConnectError>;

    /// Starts a client that connects, and connects again, while the test goes on.
    ///
    /// # Errors
    ///
    /// What the driver says about options it cannot use.
    fn start(options: Options) -> Result<Self, ConnectError>;

    /// Accepts a message.
    ///
    /// # Errors
    ///
    /// The driver's own, when it does not take the message.
    fn publish(&mut self, message: Publish<'_>) -> Result<Self::Receipt, PublishError>;

    /// Publishes these bytes in pieces, and waits for the end; the payload in `message` is not looked at.
    ///
    /// # Errors
    ///
    /// The driver's own, when it does not take the message.
    ///
    /// # Panics
    ///
    /// When it fails later.
    fn upload(&mut self, message: Publish<'_>, payload: &[u8]) -> Result<Outcome, PublishError>;

    /// Waits for the end of one.
    ///
    /// # Panics
    ///
    /// When it does not end within [`CAP`].
    fn outcome(&mut self, receipt: Self::Receipt) -> Outcome;

    /// Waits until one is in the journal, or has ended well; false: it has failed.
    ///
    /// # Panics
    ///
    /// When that does not come within [`CAP`].
    fn durable(&mut self, receipt: &mut Self::Receipt) -> bool;

    /// Acknowledges a message as taken.
    fn acknowledge(&mut self, message: &Message);

    /// Sends a step of an enhanced authentication.
    ///
    /// # Errors
    ///
    /// The driver's own, when it is not its turn.
    fn authenticate(&mut self, reason: ReasonCode, properties: Properties<'_>) -> Result<(), AuthError>;

    /// Operations accepted and not ended.
    fn pending(&self) -> u32;

    /// Subscribes and waits for the answer.
    ///
    /// # Errors
    ///
    /// The driver's own, also for a code that refuses.
    fn subscribe(&mut self, filter: &str, qos: Qos) -> Result<ReasonCode, RequestError>;

    /// Asks, and waits for the response.
    ///
    /// # Errors
    ///
    /// The driver's own.
    fn request(&mut self, message: Publish<'_>, within: Duration) -> Result<Message, ResponseError>;

    /// Begins to authenticate again.
    ///
    /// # Errors
    ///
    /// The driver's own.
    fn reauthenticate(&mut self) -> Result<(), AuthError>;

    /// The engine's counters.
    fn stats(&self) -> Stats;

    /// The next message, or `None` after so long.
    fn message(&mut self, within: Duration) -> Option<Message>;

    /// The next event of the connection, or `None` after so long.
    fn event(&mut self, within: Duration) -> Option<Event>;

    /// Stops gracefully; how many operations were left.
    fn stop(&mut self) -> u32;
}

/// How long a graceful stop may take.
const STOP: Duration = Duration::from_secs(10);

/// The handle over one I/O thread.
pub struct Threads(blocking::Client);

impl Adapter for Threads {
    const NAME: &'static str = "threads";

    type Receipt = blocking::Receipt;

    fn connect(options: Options) -> Result<Self, ConnectError> {
        blocking::Client::connect(options).map(Self)
    }

    fn start(options: Options) -> Result<Self, ConnectError> {
        blocking::Client::start(options).map(Self)
    }

    fn publish(&mut self, message: Publish<'_>) -> Result<Self::Receipt, PublishError> {
        self.0.publish(message)
    }

    fn upload(&mut self, message: Publish<'_>, payload: &[u8]) -> Result<Outcome, PublishError> {
        uploaded(self.0.publish_from(message, length(payload), &mut io::Cursor::new(payload)))
    }

    fn outcome(&mut self, mut receipt: Self::Receipt) -> Outcome {
        match receipt.wait_timeout(CAP) {
            Some(Ok(outcome)) => outcome,
            Some(Err(failed)) => failed.0,
            None => panic!("an operation did not end"),
        }
    }

    fn durable(&mut self, receipt: &mut Self::Receipt) -> bool {
        receipt.durable_timeout(CAP).expect("it is stored in time").is_ok()
    }

    fn acknowledge(&mut self, message: &Message) {
        let ack = message.ack().expect("messages are acknowledged by the test");
        // One of an earlier connection comes again.
        let _ = self.0.acknowledge(ack, ReasonCode::Success, Properties::EMPTY);
    }

    fn authenticate(&mut self, reason: ReasonCode, properties: Properties<'_>) -> Result<(), AuthError> {
        self.0.authenticate(reason, properties)
    }

    fn pending(&self) -> u32 {
        self.0.pending()
    }

    fn subscribe(&mut self, filter: &str, qos: Qos) -> Result<ReasonCode, RequestError> {
        self.0.subscribe(filter, qos)
    }

    fn request(&mut self, message: Publish<'_>, within: Duration) -> Result<Message, ResponseError> {
        self.0.request(message, within)
    }

    fn reauthenticate(&mut self) -> Result<(), AuthError> {
        self.0.reauthenticate()
    }

    fn stats(&self) -> Stats {
        self.0.stats()
    }

    fn message(&mut self, within: Duration) -> Option<Message> {
        self.0.recv_timeout(within).ok()
    }

    fn event(&mut self, within: Duration) -> Option<Event> {
        self.0.next_event(Some(within))
    }

    fn stop(&mut self) -> u32 {
        self.0.stop(STOP)
    }
}

/// The connection that the caller's own thread drives.
pub struct Driven {
    connection: blocking::Connection,
    messages: VecDeque<Message>,
    events: VecDeque<Event>,
    ended: HashMap<Token, Outcome>,
    durable: HashSet<Token>,
    wanted: HashMap<Token, u32>,
    stopped: bool,
}

impl Driven {
    /// Polls until `ready` finds what it looks for, or the time is up.
    fn poll_until<T>(
        &mut self,
        within: Duration,
        mut ready: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + within;
        let mut left = within;
        loop {
            if let Some(found) = ready(self) {
                return Some(found);
            }
            // Where events never end, the time does.
            if self.stopped || Instant::now() > end + Duration::from_millis(100) {
                return None;
            }
            match self.connection.poll(Some(left)) {
                Ok(Some(Event::Message(message))) => self.messages.push_back(message),
                Ok(Some(Event::Done { token, tag, outcome, properties })) => {
                    self.ended.insert(token, outcome.clone());
                    // Of an earlier run, should nobody here ask for it.
                    self.events.push_back(Event::Done { token, tag, outcome, properties });
                }
                Ok(Some(Event::Durable { token })) => {
                    self.durable.insert(token);
                }
                Ok(Some(Event::PayloadWanted { token, offset })) => {
                    self.wanted.insert(token, offset);
                }
                Ok(Some(event)) => {
                    self.stopped = matches!(event, Event::Stopped { .. });
                    self.events.push_back(event);
                }
                Ok(None) if left.is_zero() => return None,
                Ok(None) => {}
                Err(error) => panic!("the connection cannot be polled: {error:?}"),
            }
            left = end.saturating_duration_since(Instant::now());
        }
    }
}

impl Adapter for Driven {
    const NAME: &'static str = "driven";

    type Receipt = Token;

    fn connect(options: Options) -> Result<Self, ConnectError> {
        let mut driven = Self::start(options)?;
        let first = driven.poll_until(CAP, |driven| {
            let at = driven
                .events
                .iter()
                .position(|event| matches!(event, Event::Connected(_) | Event::Disconnected(_)));
            at.and_then(|at| driven.events.remove(at))
        });
        match first {
            Some(Event::Disconnected(why)) => Err(ConnectError::Failed(why)),
            Some(_) => Ok(driven),
            None => panic!("no connection came up and none failed"),
        }
    }

    fn start(mut options: Options) -> Result<Self, ConnectError> {
        // Every token ends, also those of QoS 0: that saves a distinction here.
        options.engine_mut().qos0_receipts = true;
        Ok(Self {
            connection: blocking::Connection::new(options)?,
            messages: VecDeque::new(),
            events: VecDeque::new(),
            ended: HashMap::new(),
            durable: HashSet::new(),
            wanted: HashMap::new(),
            stopped: false,
        })
    }

    fn publish(&mut self, message: Publish<'_>) -> Result<Self::Receipt, PublishError> {
        let token = self.connection.publish(message)?;
        // Let it leave: this thread is the only one that can.
        self.poll_until(Duration::ZERO, |_| None::<()>);
        Ok(token)
    }

    fn upload(&mut self, message: Publish<'_>, payload: &[u8]) -> Result<Outcome, PublishError> {
        let token = self.connection.publish_chunked(message, length(payload))?;
        let ended = self.poll_until(CAP, |driven| {
            while let Some(offset) = driven.wanted.remove(&token) {
                let place = usize::try_from(offset).expect("it is within the payload");
                // What is not taken is asked for again.
                driven.connection.provide(token, offset, &payload[place..]).expect("it was asked for");
            }
            driven.ended.remove(&token)
        });
        Ok(ended.expect("an operation ends"))
    }

    fn outcome(&mut self, receipt: Self::Receipt) -> Outcome {
        self.poll_until(CAP, |driven| driven.ended.remove(&receipt)).expect("an operation ends")
    }

    fn durable(&mut self, receipt: &mut Self::Receipt) -> bool {
        self.poll_until(CAP, |driven| {
            if driven.durable.remove(receipt) {
                return Some(true);
            }
            driven.ended.get(receipt).map(Outcome::is_success)
        })
        .expect("it is stored in time")
    }

    fn acknowledge(&mut self, message: &Message) {
        let ack = message.ack().expect("messages are acknowledged by the test");
        // One of an earlier connection comes again.
        let _ = self.connection.acknowledge(ack, ReasonCode::Success, Properties::EMPTY);
    }

    fn authenticate(&mut self, reason: ReasonCode, properties: Properties<'_>) -> Result<(), AuthError> {
        self.connection.authenticate(reason, properties)
    }

    fn pending(&self) -> u32 {
        self.connection.pending()
    }

    fn subscribe(&mut self, filter: &str, qos: Qos) -> Result<ReasonCode, RequestError> {
        let token = self.connection.subscribe(filter, qos)?;
        match self.poll_until(CAP, |driven| driven.ended.remove(&token)) {
            Some(Outcome::Granted(codes)) if codes[0].is_error() => Err(RequestError::Refused(codes[0])),
            Some(Outcome::Granted(codes)) => Ok(codes[0]),
            other => panic!("a subscription ended as {other:?}"),
        }
    }

    fn request(&mut self, message: Publish<'_>, within: Duration) -> Result<Message, ResponseError> {
        let asked = self.connection.request(message, within)?;
        let answer = self.poll_until(CAP, |driven| {
            let at = driven.events.iter().position(|event| {
                matches!(event, Event::Response { request, .. } | Event::NoResponse { request, .. } if *request == asked)
            });
            at.and_then(|at| driven.events.remove(at))
        });
        match answer.expect("a request ends") {
            Event::Response { message, .. } => Ok(message),
            Event::NoResponse { error, .. } => Err(error),
            other => unreachable!("{other:?}"),
        }
    }

    fn reauthenticate(&mut self) -> Result<(), AuthError> {
        self.connection.reauthenticate()
    }

    fn stats(&self) -> Stats {
        self.connection.stats()
    }

    fn message(&mut self, within: Duration) -> Option<Message> {
        self.poll_until(within, |driven| driven.messages.pop_front())
    }

    fn event(&mut self, within: Duration) -> Option<Event> {
        self.poll_until(within, |driven| driven.events.pop_front())
    }

    fn stop(&mut self) -> u32 {
        self.connection.stop(STOP);
        self.poll_until(CAP, |driven| match driven.events.back() {
            Some(Event::Stopped { left }) => Some(*left),
            _ => None,
        })
        .expect("a stop ends")
    }
}

fn length(payload: &[u8]) -> u32 {
    u32::try_from(payload.len()).expect("a payload of a test is short")
}

fn uploaded(result: Result<Outcome, SourceError>) -> Result<Outcome, PublishError> {
    match result {
        Ok(outcome) => Ok(outcome),
        Err(SourceError::Publish(error)) => Err(error),
        Err(SourceError::Failed(failed)) => Ok(failed.0),
        Err(error) => panic!("a payload in memory can be read: {error}"),
    }
}

/// The async client, its connection running on a thread of its own.
pub struct Smol(smol::Client);

impl Smol {
    /// `None` when the time is up first.
    fn within<T>(time: Duration, wanted: impl Future<Output = T>) -> Option<T> {
        block_on(future::or(async { Some(wanted.await) }, async {
            Timer::after(time).await;
            None
        }))
    }
}

impl Adapter for Smol {
    const NAME: &'static str = "smol";

    type Receipt = smol::Receipt;

    fn connect(options: Options) -> Result<Self, ConnectError> {
        let client = Self::start(options)?;
        block_on(client.0.connected())?;
        Ok(client)
    }

    fn start(options: Options) -> Result<Self, ConnectError> {
        let (client, connection) = smol::connect(options)?;
        thread::spawn(move || block_on(connection));
        Ok(Self(client))
    }

    fn publish(&mut self, message: Publish<'_>) -> Result<Self::Receipt, PublishError> {
        block_on(self.0.publish(message))
    }

    fn upload(&mut self, message: Publish<'_>, payload: &[u8]) -> Result<Outcome, PublishError> {
        let mut source = futures_lite::io::Cursor::new(payload);
        let upload = self.0.publish_from(message, length(payload), &mut source);
        uploaded(Self::within(CAP, upload).expect("an operation ends"))
    }

    fn outcome(&mut self, receipt: Self::Receipt) -> Outcome {
        match Self::within(CAP, receipt) {
            Some(Ok(outcome)) => outcome,
            Some(Err(failed)) => failed.0,
            None => panic!("an operation did not end"),
        }
    }

    fn durable(&mut self, receipt: &mut Self::Receipt) -> bool {
        Self::within(CAP, receipt.durable()).expect("it is stored in time").is_ok()
    }

    fn acknowledge(&mut self, message: &Message) {
        let ack = message.ack().expect("messages are acknowledged by the test");
        // One of an earlier connection comes again.
        let _ = self.0.acknowledge(ack, ReasonCode::Success, Properties::EMPTY);
    }

    fn authenticate(&mut self, reason: ReasonCode, properties: Properties<'_>) -> Result<(), AuthError> {
        self.0.authenticate(reason, properties)
    }

    fn pending(&self) -> u32 {
        self.0.pending()
    }

    fn subscribe(&mut self, filter: &str, qos: Qos) -> Result<ReasonCode, RequestError> {
        block_on(self.0.subscribe(filter, qos))
    }

    fn request(&mut self, message: Publish<'_>, within: Duration) -> Result<Message, ResponseError> {
        block_on(self.0.request(message, within))
    }

    fn reauthenticate(&mut self) -> Result<(), AuthError> {
        self.0.reauthenticate()
    }

    fn stats(&self) -> Stats {
        self.0.stats()
    }

    fn message(&mut self, within: Duration) -> Option<Message> {
        Self::within(within, self.0.recv()).flatten()
    }

    fn event(&mut self, within: Duration) -> Option<Event> {
        Self::within(within, self.0.next_event()).flatten()
    }

    fn stop(&mut self) -> u32 {
        block_on(self.0.stop(STOP))
    }
}
