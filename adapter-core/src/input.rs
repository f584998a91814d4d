//! What was read and not consumed, and when to give its memory back.

use core::time::Duration;
use std::io;
use std::time::Instant;

use mqtt_session::io::ReadBuffer;

use crate::sync;
use crate::transport::{Through, Transport};

/// A connection on which nothing was received for this long gives its read buffer back.
const QUIET: Duration = Duration::from_secs(1);

/// After so many looks at a socket that gave nothing the memory is kept for the next ones.
const LOOKS: u32 = 16;

/// A read buffer that takes memory when something is received, and gives it back a second later if nothing more
/// was: many idle connections then cost little, and a busy one allocates nothing.
#[derive(Debug, Default)]
pub struct Input {
    buffer: ReadBuffer,
    read_at: Option<Instant>,
    /// Looks at the socket that gave nothing, since the memory was given back.
    looks: u32,
}

impl Input {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self { buffer: ReadBuffer::new(), read_at: None, looks: 0 }
    }

    /// Reads once; `hint` is [`Turn::hint`](crate::Turn::hint). `Ok(0)`: the end of the stream.
    ///
    /// # Errors
    /// Of the transport; `WouldBlock` where there is nothing.
    pub fn read_from(&mut self, transport: &impl Transport, hint: usize) -> io::Result<usize> {
        let result = self.buffer.read_from(&mut Through(transport), hint);
        if result.is_ok() {
            (self.read_at, self.looks) = (Some(sync::now()), 0);
        } else if self.read_at.is_none() {
            // It took memory all the same, though nothing was received. A look now and then at an idle socket must not
            // begin another second of waiting; who looks all the time, because he sends, keeps it for a second.
            self.looks = self.looks.saturating_add(1);
            if self.looks < LOOKS {
                self.buffer.shrink();
            } else {
                (self.read_at, self.looks) = (Some(sync::now()), 0);
            }
        }
        result
    }

    /// Whether the last read took all the room it was given: the transport may have more. To be asked before the
    /// next turn.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.buffer.is_filled()
    }

    /// Gives the memory back if it is time; else in what time to ask again.
    pub fn rest(&mut self) -> Option<Duration> {
        let quiet = sync::now().saturating_duration_since(self.read_at?);
        if quiet < QUIET || !self.buffer.unread().is_empty() {
            // Half a packet keeps it for as long as the engine waits for the rest.
            return Some(if quiet < QUIET { QUIET.saturating_sub(quiet) } else { QUIET });
        }
        self.buffer.shrink();
        (self.read_at, self.looks) = (None, 0);
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

    struct Nothing;

    impl Transport for Nothing {
        fn read(&self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }

        fn write(&self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
    }

    #[test]
    fn looking_at_an_idle_socket_keeps_no_memory_and_asks_for_no_time() {
        let mut input = Input::new();
        assert!(input.read_from(&Nothing, 0).is_err());
        assert_eq!(input.rest(), None, "nothing was received, nothing is to be given back later");
        assert_eq!(input.read_from(&Four, 0).unwrap(), 4);
        input.buffer().consume(4);
        let Some(long_ago) = Instant::now().checked_sub(QUIET) else { return };
        input.read_at = Some(long_ago);
        assert!(input.read_from(&Nothing, 0).is_err());
        assert_eq!(input.read_at, Some(long_ago), "a look does not put it off");
        assert_eq!(input.rest(), None);
    }

    #[test]
    fn looking_all_the_time_keeps_memory() {
        let mut input = Input::new();
        for _ in 0..LOOKS {
            assert_eq!(input.rest(), None);
            assert!(input.read_from(&Nothing, 0).is_err());
        }
        assert!(input.rest().is_some());
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
