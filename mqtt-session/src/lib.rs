//! A sans-IO MQTT client engine for 3.1, 3.1.1 and 5.0: bytes and times in, outgoing bytes and events
//! out, with a heap ([`HeapSession`]) or without one ([`FixedSession`]).
//!
//! The session owns the protocol: packet identifiers, quotas, resends, keep-alive, reconnect delays.
//! Whoever drives it owns the transport and the clock. This is a whole driver, with the network left
//! out:
//!
//! ```
//! use mqtt_session::proto::{Qos, TopicName};
//! use mqtt_session::{Command, Config, ConnectOptions, Event, HeapSession, Instant, Message};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = ConnectOptions::new("lamp");
//! let mut session = HeapSession::new(Config::new(1));
//! session.start(&options)?;
//! let message = Message::new(TopicName::new("lamp/state")?).qos(Qos::AtLeastOnce);
//! session.publish(&message, b"on".into())?; // waits for the connection
//!
//! let now = Instant::ZERO; // your clock
//! assert!(matches!(session.poll_event(), Some(Event::Connecting { .. })));
//! assert!(matches!(session.poll_command(), Some(Command::Open { .. })));
//! // ... dial ...
//! session.opened(&options, now);
//! let mut sent = [0; 64];
//! let count = session.outgoing(now).copy_to(&mut sent); // CONNECT
//! assert_eq!(sent[0], 0x10);
//!
//! let mut input = &b"\x20\x03\x00\x00\x00"[..]; // CONNACK, from the network
//! while let Some(event) = session.receive(&mut input, now) {
//!     println!("{event:?}");
//! }
//! let count = session.outgoing(now).copy_to(&mut sent); // PUBLISH
//! assert_eq!(sent[0], 0x32);
//! assert!(session.poll_timeout().is_some()); // when to call handle_timeout
//! # Ok(())
//! # }
//! ```
//!
//! The [`guide`] shows each thing the engine does in a short example.
//!
//! Features: `alloc` (the heap storage; payloads shared as `bytes::Bytes`), `std` (the module `io`, which
//! moves bytes between a session and any non-blocking `Read` and `Write`, and the module `tape`, logs of sessions that run again;
//! on by default), `log` and `defmt`
//! (connections, refusals and reasons go to the log of that name, at debug and trace level; never topics, payloads,
//! properties or credentials). Without features the crate needs no allocator.

#![cfg_attr(not(test), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unreachable
    )
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub use mqtt_proto as proto;

mod aliases;
mod arena;
mod client_id;
mod config;
mod engine;
mod error;
mod event;
#[cfg(feature = "std")]
pub mod guide;
mod ids;
mod inbound;
#[cfg(feature = "std")]
pub mod io;
mod journal;
mod limits;
mod link;
mod list;
mod operation;
mod options;
mod outgoing;
#[cfg(not(planted = "chosen"))]
mod planted;
#[cfg(planted = "chosen")]
pub mod planted;
mod qos;
mod record;
pub mod request;
mod session;
mod soonest;
mod stats;
mod storage;
#[cfg(feature = "std")]
pub mod tape;
mod time;
mod timers;
mod token;
mod trace;
mod wire;

pub use aliases::TopicAlias;
pub use config::{
    AckMode, Backoff, Config, Durability, OverQos, Oversize, ServerOrder, SessionLost, Suspect, WhenFull,
    WhenNotStored,
};
pub use error::{
    AckError, AuthError, ProvideError, PublishError, Refused, RestoreError, StartError, StopError,
    SubscribeError,
};
pub use event::{Anomaly, Closed, Command, Connected, Event, Outcome, Received, Topic, Why};
pub use limits::ServerLimits;
pub use options::{ConnectOptions, LocalState, Message, Stop};
pub use outgoing::Outgoing;
#[cfg(feature = "alloc")]
pub use record::KeptRecord;
pub use record::{Key, Record};
#[cfg(feature = "alloc")]
pub use session::HeapSession;
pub use session::{FixedSession, Session};
pub use stats::{Packets, RoundTrip, Stats};
pub use storage::{Fixed, FixedPayload, Storage};
#[cfg(feature = "alloc")]
pub use storage::{Heap, HeapPayload};
pub use time::Instant;
pub use token::{AckToken, Token};
