//! Streams that block, served by threads, as an async stream.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};

/// Bytes between a thread and the client, in each direction.
const ROOM: usize = 64 * 1024;

/// How long a thread still tries to write what a client that is gone has left.
const LATEST: Duration = Duration::from_secs(1);

/// How long a thread rests where nothing could be read or written.
const REST: Duration = Duration::from_millis(1);

/// Two threads, one for each half.
pub(super) fn halves(
    reader: impl Read + Send + 'static,
    writer: impl Write + Send + 'static,
) -> io::Result<Threaded> {
    // Dropped where a thread is missing, it ends the other one.
    let stream = Threaded(Arc::default());
    let shared = Arc::clone(&stream.0);
    thread::Builder::new().name("mqtt-write".to_owned()).spawn(move || write_all(&shared, writer))?;
    let shared = Arc::clone(&stream.0);
    thread::Builder::new().name("mqtt-read".to_owned()).spawn(move || read_all(&shared, reader))?;
    Ok(stream)
}

/// One thread that reads and writes in turn.
pub(super) fn whole(stream: impl Read + Write + Send + 'static) -> io::Result<Threaded> {
    let threaded = Threaded(Arc::default());
    let shared = Arc::clone(&threaded.0);
    thread::Builder::new().name("mqtt-stream".to_owned()).spawn(move || take_turns(&shared, stream))?;
    Ok(threaded)
}

/// The client's side.
pub(super) struct Threaded(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    arrived: VecDeque<u8>,
    leaving: VecDeque<u8>,
    /// Nothing more arrives; the error that says why, once.
    ended: Option<Option<io::Error>>,
    /// Nothing more can be written.
    failed: Option<ErrorKind>,
    /// The client writes no more.
    closing: bool,
    /// The client is gone, since then.
    dropped: Option<Instant>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl State {
    /// The client has been gone for so long that nothing more is tried.
    fn is_late(&self) -> bool {
        self.dropped.is_some_and(|since| since.elapsed() >= LATEST)
    }
}

/// A stream that panics has failed, and the client is told.
struct Guard<'s>(&'s Shared);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        let mut state = self.0.lock();
        state.ended.get_or_insert_with(|| Some(io::Error::other("the stream of the application panicked")));
        state.failed.get_or_insert(ErrorKind::Other);
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&'s self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// What a read has brought; false: no further read.
    fn arrived(&self, read: io::Result<&[u8]>) -> bool {
        let mut state = self.lock();
        match read {
            Ok([]) => state.ended = Some(None),
            Ok(bytes) => state.arrived.extend(bytes),
            Err(error) if is_later(&error) => return state.dropped.is_none(),
            Err(error) => state.ended = Some(Some(error)),
        }
        let waker = state.reader.take();
        let more = state.ended.is_none() && state.dropped.is_none();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        more
    }

    /// What a write has taken; false: no further write.
    fn left(&self, written: io::Result<usize>) -> bool {
        let mut state = self.lock();
        match written {
            Ok(count) => {
                // No more than there was, whatever a stream says.
                let count = count.min(state.leaving.len());
                state.leaving.drain(..count);
            }
            Err(error) if is_later(&error) => return !state.is_late(),
            Err(error) => state.failed = Some(error.kind()),
        }
        let waker = state.writer.take();
        let more = state.failed.is_none();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        more
    }
}

/// Writes what is there and passes it on; `held`: the stream has taken something that it has not passed on yet.
fn put(stream: &mut impl Write, bytes: &[u8], held: &mut bool) -> io::Result<usize> {
    let count = if bytes.is_empty() { 0 } else { stream.write(bytes)? };
    *held |= count > 0;
    if *held {
        match stream.flush() {
            Ok(()) => *held = false,
            // What was taken must not be written again.
            Err(error) if is_later(&error) => {}
            Err(error) => return Err(error),
        }
    }
    if count == 0 && !bytes.is_empty() { Err(ErrorKind::WriteZero.into()) } else { Ok(count) }
}

/// Nothing is wrong, there was only nothing to do.
fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn read_all(shared: &Shared, mut reader: impl Read) {
    let _guard = Guard(shared);
    let mut buffer = vec![0; ROOM];
    loop {
        let mut state = shared.lock();
        while state.arrived.len() >= ROOM && state.dropped.is_none() {
            state = shared.wait(state);
        }
        if state.dropped.is_some() {
            return;
        }
        drop(state);
        let begin = Instant::now();
        let read = reader.read(&mut buffer);
        let idle = read.as_ref().is_err_and(is_later) && begin.elapsed() < REST;
        if !shared.arrived(read.map(|count| buffer.get(..count).unwrap_or_default())) {
            return;
        }
        if idle {
            thread::sleep(REST);
        }
    }
}

fn write_all(shared: &Shared, mut writer: impl Write) {
    let _guard = Guard(shared);
    let mut held = false;
    loop {
        let mut state = shared.lock();
        while state.leaving.is_empty() && !held {
            if state.closing || state.dropped.is_some() {
                return;
            }
            state = shared.wait(state);
        }
        if held && state.is_late() {
            return;
        }
        let bytes = state.leaving.as_slices().0.to_vec();
        drop(state);
        let written = put(&mut writer, &bytes, &mut held);
        let idle = held || written.as_ref().is_err_and(is_later);
        if !shared.left(written) {
            return;
        }
        if idle {
            thread::sleep(REST);
        }
    }
}

fn take_turns(shared: &Shared, mut stream: impl Read + Write) {
    let _guard = Guard(shared);
    let mut buffer = vec![0; ROOM];
    let mut held = false;
    loop {
        let state = shared.lock();
        let bytes = state.leaving.as_slices().0.to_vec();
        let room = state.arrived.len() < ROOM && state.dropped.is_none();
        if (bytes.is_empty() && !held && state.dropped.is_some()) || state.is_late() {
            return;
        }
        drop(state);
        let written = put(&mut stream, &bytes, &mut held);
        let mut idle = bytes.is_empty() || written.as_ref().is_err_and(is_later);
        if !shared.left(written) {
            return;
        }
        if room {
            let read = stream.read(&mut buffer);
            idle &= read.as_ref().is_err_and(is_later);
            if !shared.arrived(read.map(|count| buffer.get(..count).unwrap_or_default())) {
                // What the client says last may still be wanted.
                return write_all(shared, stream);
            }
        }
        if idle {
            let state = shared.lock();
            // Something to write ends the rest.
            drop(shared.changed.wait_timeout(state, REST).unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl AsyncRead for Threaded {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        if state.arrived.is_empty() {
            match &mut state.ended {
                None => {
                    state.reader = Some(context.waker().clone());
                    return Poll::Pending;
                }
                Some(error) => return Poll::Ready(error.take().map_or(Ok(0), Err)),
            }
        }
        let count = Read::read(&mut state.arrived, buffer)?;
        self.0.changed.notify_all();
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Threaded {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        if let Some(kind) = state.failed {
            return Poll::Ready(Err(kind.into()));
        }
        let room = ROOM.saturating_sub(state.leaving.len());
        if room == 0 {
            state.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let bytes = bytes.get(..room).unwrap_or(bytes);
        state.leaving.extend(bytes);
        self.0.changed.notify_all();
        Poll::Ready(Ok(bytes.len()))
    }

    /// The thread passes on what it was given by itself.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().closing = true;
        self.0.changed.notify_all();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Threaded {
    fn drop(&mut self) {
        self.0.lock().dropped = Some(Instant::now());
        self.0.changed.notify_all();
    }
}
