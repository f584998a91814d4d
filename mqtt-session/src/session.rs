//! The session: a thin shell that gives the core its tables and lets them grow.

/// Runs a step of the core, letting the table grow that it asks for, until it needs no more.
macro_rules! until_roomy {
    ($session:ident, $step:expr) => {
        while let Some((table, len)) = $step {
            $session.store.reserve(table, len);
        }
    };
}

/// Tells the tape, if there is one, which call begins, or what came of it.
macro_rules! tape {
    ($session:ident, $tape:ident => $note:expr) => {
        #[cfg(feature = "std")]
        if let Some($tape) = $session.tape.as_deref_mut() {
            $note;
        }
    };
    ($session:ident, $tape:ident, $after:ident => $note:expr) => {
        #[cfg(feature = "std")]
        if let Some($tape) = $session.tape.as_deref_mut() {
            let $after =
                crate::tape::After { deadline: $session.core.poll_timeout(), pending: $session.core.open() };
            $note;
        }
    };
}

mod commands;
mod inputs;
mod outputs;
mod questions;
#[cfg(feature = "std")]
mod recorded;

#[cfg(feature = "std")]
use alloc::boxed::Box;

use core::hash::{Hash, Hasher};

use crate::config::Config;
use crate::engine::Core;
use crate::storage::{Fixed, Storage};
#[cfg(feature = "std")]
use crate::tape::Recorder;
use crate::time::Instant;
use crate::token::Token;

/// An MQTT client without input or output: bytes and times in, bytes and events out.
///
/// # Commands
/// What the application wants: [`start`](Self::start), [`stop`](Self::stop), [`publish`](Self::publish),
/// [`subscribe`](Self::subscribe), [`unsubscribe`](Self::unsubscribe), [`acknowledge`](Self::acknowledge),
/// [`publish_chunked`](Self::publish_chunked), [`provide`](Self::provide),
/// [`authenticate`](Self::authenticate), [`cancel`](Self::cancel), [`check_link`](Self::check_link),
/// [`hold_input`](Self::hold_input). They never take the time: a deadline they begin counts from the next
/// time the session is told, and until then `poll_timeout` says "now".
///
/// # Inputs
/// What the world did: [`opened`](Self::opened), [`closed`](Self::closed), [`receive`](Self::receive),
/// [`handle_timeout`](Self::handle_timeout), [`stored`](Self::stored), [`not_stored`](Self::not_stored),
/// and before everything else [`restore`](Self::restore). They cannot fail: a broken server, a late call and a clock
/// that steps back are all answered by events.
///
/// # Outputs
/// [`poll_command`](Self::poll_command), [`poll_event`](Self::poll_event),
/// [`poll_timeout`](Self::poll_timeout), [`outgoing`](Self::outgoing): O(1), to be drained in any order
/// after anything else was called. Skipping one only delays things.
///
/// # Questions
/// [`topic`](Self::topic), [`redirect`](Self::redirect), [`read_hint`](Self::read_hint),
/// [`wants_read`](Self::wants_read),
/// [`can_publish`](Self::can_publish), [`is_connected`](Self::is_connected), [`pending`](Self::pending),
/// [`assigned_client_id`](Self::assigned_client_id),
/// [`server`](Self::server), [`stats`](Self::stats).
#[derive(Clone, Debug)]
pub struct Session<S: Storage> {
    core: Core,
    store: S,
    /// Notes every call, where somebody wants a log of them.
    #[cfg(feature = "std")]
    tape: Option<Box<Recorder>>,
}

/// A session with memory from the heap.
#[cfg(feature = "alloc")]
pub type HeapSession = Session<crate::storage::Heap>;

/// A session whose memory is all inside it: see [`Fixed`].
pub type FixedSession<B, const OUT: usize, const IN: usize> = Session<Fixed<B, OUT, IN>>;

#[cfg(feature = "alloc")]
impl Session<crate::storage::Heap> {
    /// A session that allocates on demand, within the limits of `config`.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        let store = crate::storage::Heap::new(&config);
        Self::of(store, config)
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>, const OUT: usize, const IN: usize> Session<Fixed<B, OUT, IN>> {
    /// A session in the memory given: it fits a `static`.
    ///
    /// `config.wire_bytes` of `memory`, at most half, are the outgoing buffer, in which CONNECT and the
    /// head of every message must fit; the rest keeps operations.
    ///
    /// ```
    /// use mqtt_session::{Config, FixedSession};
    ///
    /// static SESSION: FixedSession<[u8; 2048], 8, 4> = FixedSession::new([0; 2048], Config::new(1));
    /// ```
    #[must_use]
    pub const fn new(memory: B, config: Config) -> Self {
        Self::of(Fixed::new(memory, config.wire_bytes), config)
    }
}

impl<S: Storage> Session<S> {
    const fn of(store: S, config: Config) -> Self {
        Self {
            core: Core::new(config),
            store,
            #[cfg(feature = "std")]
            tape: None,
        }
    }

    /// Whether an operation is under way, or a subscription that is made again when it is lost.
    pub(crate) fn keeps(&self, token: Token) -> bool {
        self.core.keeps(&self.store.view(), token)
    }

    #[inline]
    fn bind(&mut self) {
        if !self.core.is_ready() {
            self.make_ready();
        }
    }

    #[cold]
    fn make_ready(&mut self) {
        let store = &self.store;
        self.core.bind(|| store.capacity());
        self.core.finish_restore(&mut self.store.tables());
    }

    pub(crate) fn pump(&mut self, now: Instant) {
        until_roomy!(self, self.core.pump(&mut self.store.tables(), now));
    }

    pub(crate) fn chunks(&self) -> [&[u8]; 3] {
        self.core.chunks(&self.store.view())
    }

    pub(crate) fn advance(&mut self, count: usize, now: Instant) {
        tape!(self, tape => tape.advance(count, self.core.chunks(&self.store.view())));
        self.core.advance(&mut self.store.tables(), count, now);
    }

    pub(crate) fn has_outgoing(&self) -> bool {
        self.core.has_outgoing()
    }
}

/// Everything that decides what the session will do: two sessions of equal configuration that give equal hashes (of a
/// hash long enough) behave alike from here on. Counters and round-trip times are left out. For the exploration of
/// state spaces; O(memory in use).
impl<S: Storage> Hash for Session<S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.core.digest(&self.store.contents(), state);
    }
}
