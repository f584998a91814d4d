//! The bytes to send.

use crate::session::Session;
use crate::storage::Storage;
use crate::time::Instant;

/// The bytes to send now, borrowed from the session.
///
/// Write [`chunk`](Self::chunk) (or all [`chunks`](Self::chunks) at once), tell
/// [`advance`](Self::advance) how much the transport took, and go on until the chunk is empty. The
/// session keeps the cursor, in the middle of a packet too.
///
/// ```
/// # use mqtt_session::{Outgoing, Storage};
/// # use std::io::Write;
/// # fn send(mut outgoing: Outgoing<'_, mqtt_session::Heap>, mut socket: impl Write) -> std::io::Result<()> {
/// while !outgoing.is_empty() {
///     let count = socket.write(outgoing.chunk())?;
///     outgoing.advance(count);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "bytes to send do nothing until they are written and `advance` is told"]
pub struct Outgoing<'s, S: Storage> {
    session: &'s mut Session<S>,
    now: Instant,
}

impl<'s, S: Storage> Outgoing<'s, S> {
    pub(crate) fn new(session: &'s mut Session<S>, now: Instant) -> Self {
        Self { session, now }
    }

    /// Whether there is nothing to send now.
    pub fn is_empty(&self) -> bool {
        !self.session.has_outgoing()
    }

    /// The next bytes, in one piece; empty: nothing to send now.
    pub fn chunk(&self) -> &[u8] {
        self.chunks().into_iter().find(|chunk| !chunk.is_empty()).unwrap_or_default()
    }

    /// All bytes that are ready, in order, for a vectored write. Any of them may be empty.
    pub fn chunks(&self) -> [&[u8]; 3] {
        self.session.chunks()
    }

    /// The transport took `count` bytes. When it took all there were, more may follow.
    pub fn advance(&mut self, count: usize) {
        self.session.advance(count, self.now);
        if self.is_empty() {
            self.session.pump(self.now);
        }
    }

    /// Moves as many bytes as fit into `buffer`, as if the transport had taken them, and says how many.
    pub fn copy_to(&mut self, buffer: &mut [u8]) -> usize {
        let mut copied = 0usize;
        while let Some(room) = buffer.get_mut(copied..).filter(|room| !room.is_empty()) {
            let chunk = self.chunk();
            let count = chunk.len().min(room.len());
            match (room.get_mut(..count), chunk.get(..count)) {
                (Some(to), Some(from)) if count != 0 => to.copy_from_slice(from),
                _ => break,
            }
            self.advance(count);
            copied = copied.saturating_add(count);
        }
        copied
    }
}
