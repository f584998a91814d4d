//! Independent checks: they watch a [`World`](crate::world::World) and say when something happened that must not.
//!
//! A check sees what clients put on the wire, what reaches them, and what their applications call and hear; it shares
//! the packet codec with the engine and nothing else. The ones here:
//!
//! * [`Wire`]: packet identifiers, DUP, order of repetitions and acknowledgements, Receive Maximum and the other
//!   limits of the server, nothing before CONNECT or after DISCONNECT.
//! * [`Endings`]: every accepted operation ends exactly once.
//! * [`Backoff`]: who is turned away again and again comes back more and more slowly.
//! * [`Bounds`]: memory, deadlines, identifiers of what is over.
//! * [`Deliveries`]: QoS 1 at least once, QoS 2 exactly once, QoS 0 at most once, in order.
//!
//! A program that crashes goes on with what its journal kept ([`Kept`]); each check knows what that excuses.

mod backoff;
mod bounds;
mod deliveries;
mod endings;
mod inbound;
mod outbound;
mod wire;

use core::fmt;

use mqtt_proto::Packet;
use mqtt_session::{Instant, Message, Token};

use crate::world::{BrokerId, ClientId, LinkId, Observed};

pub use backoff::Backoff;
pub use bounds::{Bounds, Rest};
pub use deliveries::{Deliveries, Subscriber};
pub use endings::Endings;
pub use wire::Wire;

/// Something that a check is shown.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Observation<'a> {
    /// A client has a new connection.
    Opened {
        /// The client.
        client: ClientId,
        /// The connection.
        link: LinkId,
    },
    /// The last byte of a packet left a client.
    Sent {
        /// The client.
        client: ClientId,
        /// The connection.
        link: LinkId,
        /// The packet.
        packet: &'a Packet<'a>,
    },
    /// A client sent bytes that are no packet.
    Garbage {
        /// The client.
        client: ClientId,
        /// The connection.
        link: LinkId,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// The last byte of a packet reached a client.
    Reached {
        /// The client.
        client: ClientId,
        /// The connection.
        link: LinkId,
        /// The packet.
        packet: &'a Packet<'a>,
    },
    /// A client is done with its connection.
    Closed {
        /// The client.
        client: ClientId,
        /// The connection.
        link: LinkId,
        /// What it had sent of a packet it did not finish.
        partial: &'a [u8],
    },
    /// A client's session accepted an operation.
    Accepted {
        /// The client.
        client: ClientId,
        /// The operation's token.
        token: Token,
        /// The operation.
        operation: Operation<'a>,
    },
    /// A client's session told its application something.
    Event {
        /// The client.
        client: ClientId,
        /// What.
        event: &'a Observed,
    },
    /// Everything was done that a client's session asked for: until something happens, or time passes, it rests.
    Rested {
        /// The client.
        client: ClientId,
        /// What it has.
        rest: &'a Rest,
    },
    /// A client's program ended without a word; behind it comes a run of its own, with the same name.
    Crashed {
        /// The client.
        client: ClientId,
        /// What its next run starts from.
        kept: Kept,
    },
    /// A broker forgot its sessions.
    SessionsForgotten {
        /// The broker.
        broker: BrokerId,
    },
}

/// What a crash left of a session, and with it what is still promised ([`mqtt_session::Durability`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kept {
    /// All that anything depended on (`BeforeSend`): exactly once stays exactly once.
    All,
    /// A journal for which nothing waited (`Async`), or that refused records: exactly once is not promised.
    Some,
    /// Nothing: the session begins anew.
    Nothing,
}

/// An operation that a session accepted.
#[derive(Clone, Copy, Debug)]
pub enum Operation<'a> {
    /// A message.
    Publish {
        /// Its topic, QoS and so on.
        message: &'a Message<'a>,
        /// Its payload.
        payload: &'a [u8],
    },
    /// Subscriptions.
    Subscribe,
    /// Unsubscriptions.
    Unsubscribe,
}

/// Watches a world.
pub trait Check {
    /// Something happened.
    ///
    /// # Errors
    /// It must not have.
    fn observe(&mut self, at: Instant, what: &Observation<'_>) -> Result<(), Violation>;

    /// Nothing more will happen: all that was to come about must have.
    ///
    /// # Errors
    /// It has not.
    fn finish(&mut self, at: Instant) -> Result<(), Violation>;
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Instant,
    /// The rule that was broken: a statement of the standard or an invariant by name.
    pub rule: &'static str,
    /// What happened.
    pub detail: String,
}

impl Violation {
    /// A violation of `rule`, seen at `at`.
    pub fn new(at: Instant, rule: &'static str, detail: impl Into<String>) -> Self {
        Self { at, rule, detail: detail.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} µs: {}", self.rule, self.at.as_micros(), self.detail)
    }
}

impl core::error::Error for Violation {}

#[cfg(test)]
mod tests;
