//! A log of times, bytes and calls, which runs again bit for bit.
//!
//! A session is a function of what it is told: its configuration, the calls, their times, the bytes of the server. A log
//! holds exactly that, and of everything that came out a digest. [`replay()`] makes the same session, calls it the same
//! way, and compares every outcome, event, command, deadline and byte; it names the first that differs. So what
//! happened once on a real network happens again as often as one likes, under a debugger, or in a test.
//!
//! ```
//! use mqtt_session::proto::{Qos, TopicName};
//! use mqtt_session::tape::{Log, replay};
//! use mqtt_session::{Command, Config, ConnectOptions, HeapSession, Instant, Message};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut log = Log::new(Vec::new())?; // a file, in earnest
//! let mut session = HeapSession::new(Config::new(7));
//! let track = log.track(&mut session, "lamp")?; // before anything else
//!
//! let options = ConnectOptions { password: Some(b"secret"), ..ConnectOptions::new("lamp") };
//! session.start(&options)?;
//! let message = Message::new(TopicName::new("lamp/state")?).qos(Qos::AtLeastOnce);
//! session.publish(&message, b"on".into())?;
//! while session.poll_command().is_some() {}
//! session.opened(&options, Instant::from_micros(1_500));
//! let mut sent = [0; 64];
//! session.outgoing(Instant::from_micros(1_500)).copy_to(&mut sent);
//!
//! log.take(track, &mut session)?; // now and then
//! let log = log.finish()?;
//! assert!(!log.windows(6).any(|bytes| bytes == b"secret"));
//!
//! let replayed = replay(&log[..])?;
//! assert_eq!(replayed.tracks[0].label, "lamp");
//! # Ok(())
//! # }
//! ```
//!
//! # Secrets
//!
//! User name, password, the payload of the will, Authentication Data and the values of User Properties in CONNECT and AUTH are
//! replaced by as many `x` before they are written, in what the application gives and in what the server sends; of the
//! packets CONNECT and AUTH on the wire only the lengths are compared. The engine never looks into any of them, so the run is
//! the same.
//!
//! **Everything else is in the log**: topics, payloads, client identifiers, properties of messages, records of a journal.
//! Give a log to nobody who must not read the messages.
//!
//! # Cost
//!
//! A call takes a few bytes, and what it was given; a received byte is written once. A session that is not recorded
//! looks at one pointer for each call. A recorded one keeps what [`Log::take`] has not taken yet, in memory that
//! grows: take it after each round.
//!
//! # Format
//!
//! Eight bytes name the format and its version. Blocks follow, each with its length and a CRC-32 over all of it: a track
//! begins (label, engine, configuration, limits), so many whole calls of a track, the end. Several sessions can share a log,
//! each with a track. A changed byte, a missing end, or a log of another engine is an error, not a wrong answer; memory
//! follows the bytes that are read, never a length that is announced.

mod call;
mod config;
mod digest;
mod file;
mod kept;
mod mask;
mod recorder;
mod replay;

pub use file::{Log, TooLate, Track};
pub use replay::{Difference, ReplayError, Replayed, ReplayedTrack, replay};

pub(crate) use recorder::{After, Recorder};

/// The engine that makes and replays logs. One of another version decides otherwise, or may.
pub(crate) const ENGINE: &str = if cfg!(planted = "chosen") {
    concat!("mqtt-session ", env!("CARGO_PKG_VERSION"), " with planted defects")
} else {
    concat!("mqtt-session ", env!("CARGO_PKG_VERSION"))
};
