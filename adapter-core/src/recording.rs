//! A log of what a client was told and what it did, to be run again.

use core::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mqtt_session::HeapSession;
use mqtt_session::tape::{Log, Track};

/// Where clients write a log of every time, byte and call of their engines
/// ([`Options::with_recording`](crate::Options::with_recording)). What happened on a real network can then be run again, bit for
/// bit and as often as one likes: `mqtt replay FILE`, or [`tape::replay`](mqtt_session::tape::replay()).
///
/// **Topics and payloads are in the log.** User name, password, authentication data, the will's payload and the values of User
/// Properties in CONNECT are not: see [`mqtt_session::tape`].
///
/// It is for finding out what went wrong, not for every day: it grows with everything that is sent and received, and is written
/// by whichever thread works for the client, while that holds the engine. Clones are the same log, in which each client has
/// a track; it has its end when the last clone goes, or with [`finish`](Self::finish).
#[derive(Clone)]
pub struct Recording(Arc<Mutex<Ended>>);

/// A log that is ended by whoever is last.
struct Ended(Option<Log<Box<dyn Write + Send>>>);

impl Recording {
    /// A log in this file, in place of what is there.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::to(File::create(path)?)
    }

    /// A log in this writer, which gets one write for each turn of a client.
    ///
    /// # Errors
    /// Of the writer.
    pub fn to(writer: impl Write + Send + 'static) -> io::Result<Self> {
        let log = Log::new(Box::new(writer) as Box<dyn Write + Send>)?;
        Ok(Self(Arc::new(Mutex::new(Ended(Some(log))))))
    }

    /// Ends the log. What clients do later is not in it.
    ///
    /// # Errors
    /// Of the writer.
    pub fn finish(&self) -> io::Result<()> {
        self.lock().end()
    }

    fn lock(&self) -> MutexGuard<'_, Ended> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A track for a session that was just made.
    pub(crate) fn track(&self, session: &mut HeapSession, label: &str) -> io::Result<Option<Tape>> {
        match &mut self.lock().0 {
            Some(log) => {
                Ok(Some(Tape { recording: self.clone(), track: log.track(session, label)?, failed: false }))
            }
            None => Ok(None),
        }
    }
}

impl Ended {
    fn end(&mut self) -> io::Result<()> {
        self.0.take().map_or(Ok(()), |log| log.finish().map(drop))
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // Who wants to know calls `finish`.
        let _ = self.end();
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recording")
    }
}

/// The track of one client.
pub(crate) struct Tape {
    recording: Recording,
    track: Track,
    failed: bool,
}

impl Tape {
    /// Writes what the session has recorded. An error is told once, and ends the log.
    pub(crate) fn write(&mut self, session: &mut HeapSession) -> io::Result<()> {
        if self.failed {
            return Ok(());
        }
        let mut ended = self.recording.lock();
        let result = match &mut ended.0 {
            Some(log) => log.take(self.track, session),
            None => {
                session.stop_recording();
                Ok(())
            }
        };
        if result.is_err() {
            self.failed = true;
            ended.0 = None;
        }
        result
    }
}
