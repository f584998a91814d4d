//! Every state that a client and its broker can get into, within bounds: the shipping engine and the model broker, a
//! link between them, and all orders in which packets arrive, are lost, are doubled, connections break, the server
//! forgets, records are synced and the client's program crashes.
//!
//! A [`Setup`] says what is sent and what may go wrong how often. [`explore`] goes through all states breadth first: each
//! is a whole client (a clone of [`mqtt_session::FixedSession`]), a whole broker and what is under way between them. What
//! was seen before is known by a 128-bit digest. In each state a watch that shares no code with client and broker looks at
//! every packet and every event; in each state in which nothing is under way, everything must have ended, or end after one more
//! connection, and as many messages must find identifiers and quota as in the beginning.
//!
//! Time stands still: the delay before a connection is none, and a deadline that would pass is a connection that breaks.
//!
//! ```
//! use mqtt_proto::Qos;
//! use mqtt_sim::explore::{Faults, Setup, explore};
//!
//! let setup = Setup {
//!     outbound: vec![Qos::ExactlyOnce],
//!     faults: Faults { cuts: 1, ..Faults::NONE },
//!     ..Setup::default()
//! };
//! let report = explore(&setup, 100_000, 1, |_| ());
//! assert!(report.closed && report.finding.is_none());
//! ```

mod action;
mod digest;
mod drive;
mod packet;
mod peace;
mod search;
mod setup;
mod state;
mod watch;

pub use action::Action;
pub use search::{Finding, Progress, Report, explore, explore_deep, replay};
pub use setup::{Faults, Setup};

#[cfg(test)]
mod tests;
