//! An async stream as a transport: it never blocks, is used through a shared reference, and says when it is ready.

use core::fmt;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use futures_io::{AsyncRead, AsyncWrite};

use crate::transport::Transport;

/// A stream of the application's own.
///
/// Reads, writes and flushes are polled with a waker of the stream's own. It notes that something has
/// happened and wakes whoever drives the client: a task, or a thread that waits for sockets. The note stays until it is
/// taken, so nothing is missed between a poll and the wait that follows it.
pub struct OwnStream {
    stream: Mutex<Polled>,
    readiness: Arc<Readiness>,
    waker: Waker,
}

struct Polled {
    stream: Pin<Box<dyn Both>>,
    /// Something was written and not flushed.
    unflushed: bool,
}

trait Both: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Both for S {}

#[derive(Default)]
struct Readiness {
    read: AtomicBool,
    write: AtomicBool,
    driver: Mutex<Option<Waker>>,
}

impl Wake for Readiness {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.read.store(true, Ordering::Release);
        self.write.store(true, Ordering::Release);
        let driver = lock(&self.driver).clone();
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OwnStream {
    pub(super) fn new(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        let readiness = Arc::new(Readiness::default());
        let waker = Waker::from(Arc::clone(&readiness));
        let stream = Mutex::new(Polled { stream: Box::pin(stream), unflushed: false });
        Self { stream, readiness, waker }
    }

    /// Wakes this from now on, and at once if something has happened already.
    pub fn set_waker(&self, waker: &Waker) {
        self.readiness.keep(waker);
        if self.readiness.read.load(Ordering::Acquire) || self.readiness.write.load(Ordering::Acquire) {
            waker.wake_by_ref();
        }
    }

    /// Whether it is worth reading, and whether it is worth writing, since this was asked last.
    #[must_use]
    pub fn take_ready(&self) -> (bool, bool) {
        (
            self.readiness.read.swap(false, Ordering::AcqRel),
            self.readiness.write.swap(false, Ordering::AcqRel),
        )
    }

    /// Ready once after something has happened since a read that would have blocked.
    pub fn poll_readable(&self, context: &Context<'_>) -> Poll<()> {
        self.readiness.poll(&self.readiness.read, context)
    }

    /// Ready once after something has happened since a write that would have blocked.
    pub fn poll_writable(&self, context: &Context<'_>) -> Poll<()> {
        self.readiness.poll(&self.readiness.write, context)
    }

    fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }
}

impl Readiness {
    fn keep(&self, waker: &Waker) {
        match &mut *lock(&self.driver) {
            Some(kept) => kept.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    fn poll(&self, flag: &AtomicBool, context: &Context<'_>) -> Poll<()> {
        // The waker first: what happens after that wakes it.
        self.keep(context.waker());
        if flag.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Polled {
    fn flush(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.unflushed {
            now(self.stream.as_mut().poll_flush(context))?;
            self.unflushed = false;
        }
        Ok(())
    }

    /// Flushes as far as it goes.
    fn try_flush(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.flush(context) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            result => result,
        }
    }
}

fn now<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Transport for OwnStream {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let context = &mut self.context();
        let mut polled = lock(&self.stream);
        // The peer may wait for what was held back.
        polled.try_flush(context)?;
        now(polled.stream.as_mut().poll_read(context, buffer))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let context = &mut self.context();
        let mut polled = lock(&self.stream);
        let taken = now(polled.stream.as_mut().poll_write_vectored(context, slices))?;
        polled.unflushed = true;
        polled.try_flush(context)?;
        Ok(taken)
    }

    fn flush(&self) -> io::Result<()> {
        lock(&self.stream).flush(&mut self.context())
    }

    fn shutdown(&self) -> io::Result<()> {
        let mut polled = lock(&self.stream);
        match polled.stream.as_mut().poll_close(&mut self.context()) {
            // It has been asked; it is dropped in any case.
            Poll::Pending => Ok(()),
            Poll::Ready(result) => result,
        }
    }
}

impl fmt::Debug for OwnStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnStream")
    }
}
