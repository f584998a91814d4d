//! Blocking a thread on what is written for tasks.

use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Arc;
use std::task::Wake;
use std::thread::{self, Thread};
use std::time::Instant;

use mqtt_adapter_core::Wait;

use crate::net::Link;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    static WAKER: Waker = unpark_this();
}

fn unpark_this() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

/// The waker of this thread; a fresh one while the thread's own values are being dropped.
fn waker() -> Waker {
    WAKER.try_with(Waker::clone).unwrap_or_else(|_| unpark_this())
}

/// Asks until there is an answer.
pub(crate) fn block<R>(mut ask: impl FnMut(&Context<'_>) -> Poll<R>) -> R {
    let waker = waker();
    let context = Context::from_waker(&waker);
    loop {
        match ask(&context) {
            Poll::Ready(answer) => return answer,
            // A stray `unpark` only makes it ask once more.
            Poll::Pending => thread::park(),
        }
    }
}

/// Calls until there is an answer.
pub(crate) fn call<R>(mut ask: impl FnMut(&mut Wait<Link>, &Context<'_>) -> Poll<R>) -> R {
    let mut wait = Wait::new();
    block(|context| ask(&mut wait, context))
}

/// Calls until there is an answer; `None`: the time is over, and the call has given up.
pub(crate) fn call_for<R>(
    time: Duration,
    mut ask: impl FnMut(&mut Wait<Link>, &Context<'_>) -> Poll<R>,
) -> Option<R> {
    let mut wait = Wait::new();
    block_for(time, |context| ask(&mut wait, context))
}

/// Asks until there is an answer; `None`: the time is over.
pub(crate) fn block_for<R>(time: Duration, mut ask: impl FnMut(&Context<'_>) -> Poll<R>) -> Option<R> {
    let waker = waker();
    let context = Context::from_waker(&waker);
    // A time beyond what the clock can say is no limit.
    let until = Instant::now().checked_add(time);
    loop {
        if let Poll::Ready(answer) = ask(&context) {
            return Some(answer);
        }
        match until {
            None => thread::park(),
            Some(until) => match until.saturating_duration_since(Instant::now()) {
                Duration::ZERO => return None,
                left => thread::park_timeout(left),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_thread_sleeps_until_it_is_woken() {
        let kept: Arc<Mutex<Option<Waker>>> = Arc::default();
        let other = thread::spawn({
            let kept = Arc::clone(&kept);
            move || {
                loop {
                    if let Some(waker) = kept.lock().unwrap().take() {
                        waker.wake();
                        return;
                    }
                    thread::yield_now();
                }
            }
        });
        let mut asked = 0;
        block(|context| {
            asked += 1;
            if asked == 1 {
                *kept.lock().unwrap() = Some(context.waker().clone());
                return Poll::Pending;
            }
            if kept.lock().unwrap().is_none() { Poll::Ready(()) } else { Poll::Pending }
        });
        other.join().unwrap();
        assert!(asked >= 2);
    }

    #[test]
    fn waiting_ends_with_the_time() {
        assert!(block_for(Duration::from_millis(1), |_| Poll::<()>::Pending).is_none());
        assert!(block_for(Duration::ZERO, |_| Poll::Ready(())).is_some());
        assert!(block_for(Duration::MAX, |_| Poll::Ready(())).is_some());
    }
}
