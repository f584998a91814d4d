//! Futures that are given up in the middle.

use core::future::Future;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Arc;
use std::task::Wake;
use std::thread::{self, Thread};
use std::time::Instant;

use crate::adapter::CAP;

/// How many polls a future may take to its end; more, and it is taken for one that never ends.
const MOST: usize = 400;

/// What wakes the thread that polls.
struct Unpark(Thread, AtomicBool);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.1.store(true, Ordering::Release);
        self.0.unpark();
    }
}

/// When a future that is pending is polled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// When it asked for it, as executors do.
    Woken,
    /// At once, as if something else of its task had asked.
    AtOnce,
}

/// Polls a future so often, and drops it unless it was ready. Afterwards nobody may have kept its waker.
///
/// # Panics
/// When a wake it waits for does not come within [`CAP`], or a waker stays behind.
pub fn polled<F: Future>(future: F, polls: usize, again: Again) -> Option<F::Output> {
    let unpark = Arc::new(Unpark(thread::current(), AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&unpark));
    let result = {
        let mut future = pin!(future);
        let mut context = Context::from_waker(&waker);
        let mut left = polls;
        loop {
            if left == 0 {
                break None;
            }
            left -= 1;
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                break Some(output);
            }
            if left > 0 && again == Again::Woken {
                wait("a pending future is woken", || unpark.1.swap(false, Ordering::Acquire));
            }
        }
    };
    drop(waker);
    // Whoever wakes it just now holds it for a moment.
    wait("nobody keeps the waker of what was dropped", || Arc::strong_count(&unpark) == 1);
    result
}

/// Makes a future again and again and drops it after 0, 1, 2 … polls, until it is ready before that; each result goes to
/// `after`. How many polls it took to the end.
///
/// # Panics
/// As [`polled`], and when a future does not end.
pub fn dropped_at_every_poll<F: Future>(
    again: Again,
    mut make: impl FnMut() -> F,
    mut after: impl FnMut(Option<F::Output>),
) -> usize {
    for polls in 0..MOST {
        let result = polled(make(), polls, again);
        let ready = result.is_some();
        after(result);
        // Without waiting for the wake, the number of polls to the end is a matter of luck.
        if ready || (again == Again::AtOnce && polls >= 20) {
            return polls;
        }
    }
    panic!("a future is not ready after {MOST} polls");
}

/// Waits until something is so.
///
/// # Panics
/// When it is not within [`CAP`].
pub fn wait(what: &str, mut reached: impl FnMut() -> bool) {
    let until = Instant::now() + CAP;
    while !reached() {
        assert!(Instant::now() < until, "it does not come: {what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}
