//! Messages that come piece by piece.

use core::sync::atomic::Ordering;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, PoisonError};

use bytes::{Buf as _, Bytes};
use mqtt_session::AckToken;

use super::{Handle, Wait};
use crate::message::Message;
use crate::sync::{AtomicUsize, Mutex, MutexGuard};
use crate::transport::Transport;

/// Bytes of payloads that wait for who reads them before the client reads no more.
const WAITING: usize = 256 * 1024;

/// The message that is coming, and those whose reading has not begun.
#[derive(Debug, Default)]
pub(super) struct Large {
    /// Bytes of all of them that were not read, also of those whose reading has begun.
    unread: Arc<AtomicUsize>,
    coming: Option<Arc<Mutex<Parts>>>,
    waiting: VecDeque<(Message, u32, Arc<Mutex<Parts>>)>,
}

/// What has come and was not read.
#[derive(Debug, Default)]
struct Parts {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    /// Of all messages; see [`Large`].
    unread: Arc<AtomicUsize>,
    /// `Some(None)`: the connection ended in the middle.
    end: Option<Option<Option<AckToken>>>,
    waker: Option<Waker>,
    /// Nobody reads it.
    dropped: bool,
}

fn lock(parts: &Mutex<Parts>) -> MutexGuard<'_, Parts> {
    parts.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Large {
    pub(super) fn is_full(&self) -> bool {
        self.unread.load(Ordering::Relaxed) >= WAITING
    }

    pub(super) fn start(&mut self, message: Message, len: u32) {
        let parts = self.begin();
        self.waiting.push_back((message, len, parts));
    }

    fn begin(&mut self) -> Arc<Mutex<Parts>> {
        let parts = Parts { unread: Arc::clone(&self.unread), ..Parts::default() };
        let parts = Arc::new(Mutex::new(parts));
        self.coming = Some(Arc::clone(&parts));
        parts
    }

    pub(super) fn add(&self, part: Bytes) -> Option<Waker> {
        let mut parts = lock(self.coming.as_deref()?);
        if !parts.dropped {
            parts.bytes += part.len();
            parts.unread.fetch_add(part.len(), Ordering::Relaxed);
            parts.chunks.push_back(part);
        }
        parts.waker.take()
    }

    pub(super) fn end(&mut self, end: Option<Option<AckToken>>) -> Option<Waker> {
        let parts = self.coming.take()?;
        let mut parts = lock(&parts);
        parts.end.get_or_insert(end);
        parts.waker.take()
    }
}

/// A message whose payload is read while it comes. Dropped, the rest of it is let pass.
#[derive(Debug)]
pub struct Download<T: Transport> {
    handle: Handle<T>,
    message: Message,
    len: u32,
    parts: Arc<Mutex<Parts>>,
}

impl<T: Transport> Handle<T> {
    /// The oldest message over [`Config::max_packet_in`](mqtt_session::Config::max_packet_in) that nobody reads yet; `None`:
    /// the client has stopped and nothing is left.
    pub fn poll_large(&self, wait: &mut Wait<T>, context: &Context<'_>) -> Poll<Option<Download<T>>> {
        let mut state = self.0.lock();
        if let Some((message, len, parts)) = state.tell.large.waiting.pop_front() {
            return Poll::Ready(Some(Download { handle: self.lend(), message, len, parts }));
        }
        if state.ended.is_some() {
            return Poll::Ready(None);
        }
        self.wait_for_change(state, wait, context);
        Poll::Pending
    }
}

impl<T: Transport> Download<T> {
    /// The message, with an empty payload.
    #[must_use]
    pub const fn message(&self) -> &Message {
        &self.message
    }

    /// Bytes of the payload, as announced: a server may announce more than it ever sends.
    #[must_use]
    pub const fn announced(&self) -> u32 {
        self.len
    }

    /// What to acknowledge it with, once it was read to its end; only at QoS 1 and 2 and with
    /// [`AckMode::Manual`](mqtt_session::AckMode::Manual).
    #[must_use]
    pub fn ack(&self) -> Option<AckToken> {
        lock(&self.parts).end.flatten().flatten()
    }

    /// Reads what has come; 0 at the end.
    ///
    /// # Errors
    /// `ConnectionAborted`: the connection ended in the middle. At QoS 1 and 2 the message comes again, as another one.
    pub fn poll_read(&mut self, buffer: &mut [u8], context: &Context<'_>) -> Poll<io::Result<usize>> {
        let mut parts = lock(&self.parts);
        if let Some(front) = parts.chunks.front_mut() {
            let count = front.len().min(buffer.len());
            front.copy_to_slice(&mut buffer[..count]);
            if front.is_empty() {
                parts.chunks.pop_front();
            }
            parts.bytes -= count;
            let before = parts.unread.fetch_sub(count, Ordering::Relaxed);
            let resume = before > WAITING / 2 && before - count <= WAITING / 2;
            drop(parts);
            self.handle.resume(resume);
            return Poll::Ready(Ok(count));
        }
        match parts.end {
            Some(Some(_)) => Poll::Ready(Ok(0)),
            Some(None) => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            None => {
                let old = parts.waker.replace(context.waker().clone());
                drop(parts);
                drop(old);
                Poll::Pending
            }
        }
    }
}

impl<T: Transport> Drop for Download<T> {
    fn drop(&mut self) {
        let left = {
            let mut parts = lock(&self.parts);
            parts.dropped = true;
            let left = core::mem::take(&mut parts.bytes);
            parts.unread.fetch_sub(left, Ordering::Relaxed);
            core::mem::take(&mut parts.chunks)
        };
        self.handle.resume(!left.is_empty());
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn many_that_nobody_reads_are_as_full_as_one() {
        let mut large = Large::default();
        for _ in 0..2 {
            assert!(!large.is_full());
            let _parts = large.begin();
            let _ = large.add(Bytes::from(vec![0; 200_000]));
            let _ = large.end(Some(None));
        }
        assert!(large.is_full());
    }
}
