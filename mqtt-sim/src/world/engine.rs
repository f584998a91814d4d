//! The engine under test behind one face, whichever storage it has.

use core::time::Duration;
use std::io;

use mqtt_proto::{Properties, ReasonCode, Subscription, TopicFilter};
use mqtt_session::{
    AckError, AckToken, Closed, Command, ConnectOptions, Event, FixedSession, HeapSession, Instant, Key,
    Message, PublishError, RestoreError, Session, StartError, Stats, Stop, Storage, SubscribeError, Token,
    tape::{Log, Track},
};

use super::{ClientOptions, Observed, StorageKind};

/// Operations a [`StorageKind::Fixed`] client holds.
const FIXED_OUT: usize = 256;
/// Inbound exchanges a [`StorageKind::Fixed`] client holds.
const FIXED_IN: usize = 64;
/// Bytes a [`StorageKind::Fixed`] client has for everything else.
const FIXED_BYTES: usize = 256 * 1024;

/// A session, without its storage's type.
pub(super) trait Engine {
    fn start(&mut self, connect: &ConnectOptions<'_>) -> Result<(), StartError>;
    fn stop(&mut self, how: Stop<'_>);
    fn publish(&mut self, message: &Message<'_>, payload: &[u8]) -> Result<Token, PublishError>;
    fn subscribe(
        &mut self,
        filters: &[Subscription<'_>],
        properties: Properties<'_>,
    ) -> Result<Token, SubscribeError>;
    fn unsubscribe(&mut self, filters: &[TopicFilter<'_>]) -> Result<Token, SubscribeError>;
    fn acknowledge(
        &mut self,
        ack: AckToken,
        reason: ReasonCode,
        properties: Properties<'_>,
    ) -> Result<(), AckError>;
    fn cancel(&mut self, token: Token) -> bool;
    fn check_link(&mut self);
    fn stored(&mut self, key: Key);
    fn not_stored(&mut self, key: Key);
    fn restore(&mut self, key: Key, record: &[u8], age: Option<Duration>) -> Result<(), RestoreError>;
    fn opened(&mut self, connect: &ConnectOptions<'_>, now: Instant);
    fn closed(&mut self, why: Closed, now: Instant);
    /// Consumes packets from the front of `input` until one has something to tell.
    fn receive(&mut self, input: &mut &[u8], now: Instant) -> Option<Observed>;
    fn handle_timeout(&mut self, now: Instant);
    fn poll_command(&mut self) -> Option<Command<'_>>;
    fn poll_event(&mut self) -> Option<Observed>;
    fn poll_timeout(&self) -> Option<Instant>;
    /// Shows `write` the next bytes to send; it says how many it took. None if there are none.
    fn write(&mut self, now: Instant, write: &mut dyn FnMut(&[u8]) -> usize) -> Option<usize>;
    fn wants_read(&self) -> bool;
    fn is_connected(&self) -> bool;
    fn pending(&self) -> u32;
    fn memory(&self) -> usize;
    fn stats(&self) -> Stats;
    /// Records every call from now on; the session must be new.
    fn tape(&mut self, log: &mut Log<Vec<u8>>, label: &str) -> io::Result<Track>;
    /// Gives what was recorded since the last time.
    fn take_tape(&mut self, log: &mut Log<Vec<u8>>, track: Track) -> io::Result<()>;
}

impl<S: Storage> Engine for Session<S> {
    fn start(&mut self, connect: &ConnectOptions<'_>) -> Result<(), StartError> {
        Self::start(self, connect)
    }

    fn stop(&mut self, how: Stop<'_>) {
        // The world says nothing in DISCONNECT that could be refused.
        let _ = Self::stop(self, how);
    }

    fn publish(&mut self, message: &Message<'_>, payload: &[u8]) -> Result<Token, PublishError> {
        Self::publish(self, message, payload.into()).map_err(|refused| refused.reason)
    }

    fn subscribe(
        &mut self,
        filters: &[Subscription<'_>],
        properties: Properties<'_>,
    ) -> Result<Token, SubscribeError> {
        Self::subscribe(self, filters, properties)
    }

    fn unsubscribe(&mut self, filters: &[TopicFilter<'_>]) -> Result<Token, SubscribeError> {
        Self::unsubscribe(self, filters, Properties::EMPTY)
    }

    fn acknowledge(
        &mut self,
        ack: AckToken,
        reason: ReasonCode,
        properties: Properties<'_>,
    ) -> Result<(), AckError> {
        Self::acknowledge(self, ack, reason, properties)
    }

    fn cancel(&mut self, token: Token) -> bool {
        Self::cancel(self, token)
    }

    fn check_link(&mut self) {
        Self::check_link(self);
    }

    fn stored(&mut self, key: Key) {
        Self::stored(self, key);
    }

    fn not_stored(&mut self, key: Key) {
        Self::not_stored(self, key);
    }

    fn restore(&mut self, key: Key, record: &[u8], age: Option<Duration>) -> Result<(), RestoreError> {
        Self::restore(self, key, record, age)
    }

    fn opened(&mut self, connect: &ConnectOptions<'_>, now: Instant) {
        Self::opened(self, connect, now);
    }

    fn closed(&mut self, why: Closed, now: Instant) {
        Self::closed(self, why, now);
    }

    fn receive(&mut self, input: &mut &[u8], now: Instant) -> Option<Observed> {
        let event = Self::receive(self, input, now)?;
        Some(observe(self, &event))
    }

    fn handle_timeout(&mut self, now: Instant) {
        Self::handle_timeout(self, now);
    }

    fn poll_command(&mut self) -> Option<Command<'_>> {
        Self::poll_command(self)
    }

    fn poll_event(&mut self) -> Option<Observed> {
        let event = Self::poll_event(self)?;
        Some(observe(self, &event))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Self::poll_timeout(self)
    }

    fn write(&mut self, now: Instant, write: &mut dyn FnMut(&[u8]) -> usize) -> Option<usize> {
        let mut outgoing = Self::outgoing(self, now);
        let chunk = outgoing.chunk();
        if chunk.is_empty() {
            return None;
        }
        let taken = write(chunk).min(chunk.len());
        outgoing.advance(taken);
        Some(taken)
    }

    fn wants_read(&self) -> bool {
        Self::wants_read(self)
    }

    fn is_connected(&self) -> bool {
        Self::is_connected(self)
    }

    fn pending(&self) -> u32 {
        Self::pending(self)
    }

    fn memory(&self) -> usize {
        Self::memory(self)
    }

    fn stats(&self) -> Stats {
        Self::stats(self)
    }

    fn tape(&mut self, log: &mut Log<Vec<u8>>, label: &str) -> io::Result<Track> {
        log.track(self, label)
    }

    fn take_tape(&mut self, log: &mut Log<Vec<u8>>, track: Track) -> io::Result<()> {
        log.take(track, self)
    }
}

/// The event, owned; a topic that came as an alias is resolved.
fn observe<S: Storage>(session: &Session<S>, event: &Event<'_>) -> Observed {
    let topic = match event {
        Event::Message(message) | Event::Start { message, .. } => session.topic(message),
        _ => "",
    };
    Observed::of(event, topic)
}

/// A session as the options ask for it, with a seed of its own.
pub(super) fn engine(options: &ClientOptions, seed: u64) -> Box<dyn Engine> {
    let mut config = options.config;
    config.seed = seed;
    config.servers = u8::try_from(options.brokers.len()).unwrap_or(u8::MAX).max(1);
    match options.storage {
        StorageKind::Heap => Box::new(HeapSession::new(config)),
        StorageKind::Fixed => {
            let bytes = vec![0; FIXED_BYTES].into_boxed_slice();
            Box::new(FixedSession::<Box<[u8]>, FIXED_OUT, FIXED_IN>::new(bytes, config))
        }
    }
}
