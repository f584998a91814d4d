//! The model broker on streams of memory (feature `memory`): real clients, real time, no sockets.
//!
//! A [`MemoryBroker`] gives [`MemoryStream`]s, which are connections to it: `Read + Write` that block, and
//! `AsyncRead + AsyncWrite` of `futures-io`. What a client writes the broker has at once, on the thread that wrote it; one
//! more thread keeps the broker's time. The adapters of this project take such a stream from a connector: see the
//! example `in_memory` of each.
//!
//! ```
//! use std::io::{Read, Write};
//! use mqtt_sim::{broker::BrokerConfig, memory::MemoryBroker};
//!
//! # fn main() -> std::io::Result<()> {
//! let broker = MemoryBroker::new(BrokerConfig::default());
//! let mut client = broker.connect()?;
//! client.write_all(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a")?; // CONNECT, 3.1.1, client id "a"
//! let mut connack = [0; 4];
//! client.read_exact(&mut connack)?;
//! assert_eq!(connack, [0x20, 2, 0, 0]);
//!
//! broker.cut("a"); // without a word
//! assert_eq!(client.read(&mut connack)?, 0);
//! # Ok(())
//! # }
//! ```

use core::fmt;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use futures_io::{AsyncRead, AsyncWrite};
use mqtt_session::Instant;

use crate::broker::{Broker, BrokerConfig, ConnId};

/// Bytes that wait in one stream for its client, at most; the rest waits in the broker, within its limits.
const ROOM: usize = 64 * 1024;

/// A model broker in memory. Clones are the same broker; it ends, and with it its connections and its thread, when the last
/// one goes.
pub struct MemoryBroker(Arc<Hub>);

struct Hub {
    state: Mutex<State>,
    /// Something has arrived for a client, or its connection has ended.
    arrived: Condvar,
    /// The broker's next deadline is another, or all is over.
    timed: Condvar,
    handles: AtomicUsize,
}

struct State {
    broker: Broker,
    started: std::time::Instant,
    streams: BTreeMap<ConnId, End>,
    reachable: bool,
    /// Bytes that a stream takes or gives in one call, at most.
    piece: usize,
    /// Something has arrived for a client since the last look.
    news: bool,
    over: bool,
}

/// What the broker has for one client.
#[derive(Default)]
struct End {
    arrived: VecDeque<u8>,
    /// Nothing more comes.
    closed: bool,
    reader: Option<Waker>,
}

impl MemoryBroker {
    /// A new broker, reachable.
    ///
    /// # Panics
    /// If the system gives no thread.
    #[must_use]
    pub fn new(config: BrokerConfig) -> Self {
        let state = State {
            broker: Broker::new(config),
            started: std::time::Instant::now(),
            streams: BTreeMap::new(),
            reachable: true,
            piece: usize::MAX,
            news: false,
            over: false,
        };
        let hub = Arc::new(Hub {
            state: Mutex::new(state),
            arrived: Condvar::new(),
            timed: Condvar::new(),
            handles: AtomicUsize::new(1),
        });
        let timer = Arc::clone(&hub);
        thread::Builder::new()
            .name("memory-broker".to_owned())
            .spawn(move || keep_time(&timer))
            .expect("the system gives a thread");
        Self(hub)
    }

    /// A new connection.
    ///
    /// # Errors
    /// `ConnectionRefused` while it is not [reachable](Self::set_reachable).
    pub fn connect(&self) -> io::Result<MemoryStream> {
        self.0.work(|state, now| {
            if !state.reachable {
                return Err(ErrorKind::ConnectionRefused.into());
            }
            let conn = state.broker.open(now);
            state.streams.insert(conn, End::default());
            Ok(MemoryStream { hub: Arc::clone(&self.0), conn })
        })
    }

    /// Whether new connections are made. Those that are there stay.
    pub fn set_reachable(&self, reachable: bool) {
        self.0.work(|state, _| state.reachable = reachable);
    }

    /// Streams take and give at most so many bytes in one call from now on, at least one: packets then come in pieces. Any
    /// number unless set.
    pub fn set_piece(&self, bytes: usize) {
        self.0.work(|state, _| state.piece = bytes.max(1));
    }

    /// Cuts every connection without a word; what was under way is lost. Sessions are kept as agreed, wills are sent.
    pub fn cut_all(&self) {
        self.0.work(|state, now| {
            for conn in state.streams.keys().copied().collect::<Vec<_>>() {
                state.end(conn, now, true);
            }
        });
    }

    /// Cuts the connection of one client, like [`cut_all`](Self::cut_all). Nothing happens if it is not connected.
    pub fn cut(&self, client_id: &str) {
        self.0.work(|state, now| {
            if let Some(conn) = state.broker.connection_of(client_id) {
                state.end(conn, now, true);
            }
        });
    }

    /// The broker itself: to have it misbehave, to authenticate, to look at it. It holds all clients up.
    pub fn with<R>(&self, look: impl FnOnce(&mut Broker) -> R) -> R {
        self.0.work(|state, _| look(&mut state.broker))
    }
}

impl Clone for MemoryBroker {
    fn clone(&self) -> Self {
        self.0.handles.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for MemoryBroker {
    fn drop(&mut self) {
        if self.0.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.cut_all();
            self.0.work(|state, _| state.over = true);
        }
    }
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the broker, then hands out what that brought.
    fn work<R>(&self, work: impl FnOnce(&mut State, Instant) -> R) -> R {
        let mut wakers = Vec::new();
        let mut state = self.lock();
        let (now, due) = (state.now(), state.broker.poll_timeout());
        let result = work(&mut state, now);
        state.settle(now, &mut wakers);
        if core::mem::take(&mut state.news) {
            self.arrived.notify_all();
        }
        if state.over || state.broker.poll_timeout() != due {
            self.timed.notify_all();
        }
        drop(state);
        // They may run an executor's code, which must not find the lock held.
        wakers.into_iter().for_each(Waker::wake);
        result
    }
}

impl State {
    fn now(&self) -> Instant {
        Instant::ZERO.after(self.started.elapsed())
    }

    fn settle(&mut self, now: Instant, wakers: &mut Vec<Waker>) {
        self.broker.handle_timeout(now);
        while let Some(conn) = self.broker.poll_active() {
            self.fill(conn);
            if self.broker.wants_close(conn) {
                self.end(conn, now, false);
            }
        }
        for end in self.streams.values_mut() {
            if end.closed || !end.arrived.is_empty() {
                wakers.extend(end.reader.take());
            }
        }
    }

    /// Moves what the broker has for this client into its stream, as far as there is room.
    fn fill(&mut self, conn: ConnId) {
        let Some(end) = self.streams.get_mut(&conn) else { return };
        loop {
            let room = ROOM.saturating_sub(end.arrived.len());
            let bytes = self.broker.outgoing(conn);
            let bytes = bytes.get(..room).unwrap_or(bytes);
            if bytes.is_empty() {
                return;
            }
            end.arrived.extend(bytes);
            self.news = true;
            let count = bytes.len();
            self.broker.advance(conn, count);
        }
    }

    /// The connection is over for the broker; a cut loses what its client has not read.
    fn end(&mut self, conn: ConnId, now: Instant, cut: bool) {
        self.broker.closed(conn, now);
        if let Some(end) = self.streams.get_mut(&conn) {
            end.closed = true;
            self.news = true;
            if cut {
                end.arrived.clear();
            }
        }
    }

    /// What there is to read; `None`: nothing yet.
    fn read(&mut self, conn: ConnId, buffer: &mut [u8]) -> Option<usize> {
        let piece = self.piece.min(buffer.len());
        let end = self.streams.get_mut(&conn)?;
        if end.arrived.is_empty() {
            return end.closed.then_some(0);
        }
        // A queue of bytes never fails to be read.
        let count = end.arrived.read(buffer.get_mut(..piece).unwrap_or_default()).unwrap_or(0);
        self.fill(conn);
        Some(count)
    }

    fn write(&mut self, conn: ConnId, bytes: &[u8], now: Instant) -> io::Result<usize> {
        if self.streams.get(&conn).is_none_or(|end| end.closed) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let bytes = bytes.get(..self.piece).unwrap_or(bytes);
        self.broker.receive(conn, bytes, now);
        Ok(bytes.len())
    }
}

/// The broker's thread.
fn keep_time(hub: &Hub) {
    loop {
        hub.work(|_, _| ());
        let state = hub.lock();
        if state.over {
            return;
        }
        let wait = state.broker.poll_timeout().map(|at| at.since(state.now()));
        if wait != Some(Duration::ZERO) {
            let wait = wait.unwrap_or(Duration::from_secs(3_600));
            drop(hub.timed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// A connection to a [`MemoryBroker`]. Dropping it closes it without a DISCONNECT.
///
/// Reads block, or are pending, until something arrives; 0 bytes: the broker has closed. Writes are taken at once, and fail
/// with `BrokenPipe` after the end. Of the tasks that poll it, the one that read last is woken.
pub struct MemoryStream {
    hub: Arc<Hub>,
    conn: ConnId,
}

impl Read for MemoryStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(count) = self.hub.work(|state, _| state.read(self.conn, buffer)) {
                return Ok(count);
            }
            let state = self.hub.lock();
            if state.streams.get(&self.conn).is_some_and(|end| end.arrived.is_empty() && !end.closed) {
                drop(self.hub.arrived.wait(state).unwrap_or_else(PoisonError::into_inner));
            }
        }
    }
}

impl Write for MemoryStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hub.work(|state, now| state.write(self.conn, bytes, now))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for MemoryStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let conn = self.conn;
        let read = self.hub.work(|state, _| {
            let read = state.read(conn, buffer);
            if read.is_none()
                && let Some(end) = state.streams.get_mut(&conn)
            {
                end.reader = Some(context.waker().clone());
            }
            read
        });
        read.map_or(Poll::Pending, |count| Poll::Ready(Ok(count)))
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.hub.work(|state, now| state.write(self.conn, bytes, now)))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.hub.work(|state, now| state.end(self.conn, now, false));
        Poll::Ready(Ok(()))
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        self.hub.work(|state, now| {
            state.end(self.conn, now, false);
            state.streams.remove(&self.conn);
        });
    }
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBroker").field("streams", &self.0.lock().streams.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for MemoryStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryStream").field(&self.conn).finish()
    }
}
