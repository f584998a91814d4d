//! What was read and not consumed, and when to give its memory back.

use core::time::Duration;
use std::io;
use std::time::Instant;

use mqtt_session::io::ReadBuffer;

use crate::transport::{Through, Transport};

/// A connection on which nothing was received for this long gives its read buffer back.
const QUIET: Duration = Duration::from_secs(1);

/// A read buffer that takes memory when something is received, and gives it back a second later if nothing more
/// was: many idle connections then cost little, and a busy one allocates nothing.
#[derive(Debug, Default)]
pub struct Input {
    buffer: ReadBuffer,
    read_at: Option<Instant>,
}

impl Input {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self { buffer: ReadBuffer::new(), read_at: None }
    }

    /// Reads once; `hint` is [`Turn::hint`](crate::Turn::hint). `Ok(0)`: the end of the stream.
    ///
    /// # Errors
    /// Of the transport; `WouldBlock` where there is nothing.
    pub fn read_from(&mut self, transport: &impl Transport, hint: usize) -> io::Result<usize> {
        // Also a read that gives nothing takes the memory.
        self.read_at = Some(Instant::now());
        self.buffer.read_from(&mut Through(transport), hint)
    }

    /// Gives the memory back if it is time; else in what time to ask again.
    pub fn rest(&mut self) -> Option<Duration> {
        let quiet = self.read_at?.elapsed();
        if quiet < QUIET || !self.buffer.unread().is_empty() {
            // Half a packet keeps it for as long as the engine waits for the rest.
            return Some(if quiet < QUIET { QUIET.saturating_sub(quiet) } else { QUIET });
        }
        self.buffer.shrink();
        self.read_at = None;
        None
    }

    pub(crate) const fn buffer(&mut self) -> &mut ReadBuffer {
        &mut self.buffer
    }

    /// Forgets what was read: it belongs to a link that has ended.
    pub fn clear(&mut self) {
        self.buffer.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Four;

    impl Transport for Four {
        fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer[..4].copy_from_slice(b"half");
            Ok(4)
        }

        fn write(&self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
    }

    #[test]
    fn memory_is_kept_while_something_was_read_just_now() {
        let mut input = Input::new();
        assert_eq!(input.rest(), None);
        assert_eq!(input.read_from(&Four, 0).unwrap(), 4);
        assert!(input.rest().is_some());
        input.buffer().consume(4);
        assert!(input.rest().is_some_and(|wait| wait <= QUIET));
        input.read_at = Instant::now().checked_sub(QUIET);
        if input.read_at.is_some() {
            assert_eq!(input.rest(), None);
        }
    }
}
