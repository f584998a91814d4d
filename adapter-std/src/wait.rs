//! Blocking a thread on what is written for tasks.

use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Arc;
use std::task::Wake;
use std::thread::{self, Thread};
use std::time::Instant;

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

/// Asks until there is an answer or the time is over; then the waker that asked, so that it can be withdrawn.
pub(crate) fn block_for<R>(time: Duration, mut ask: impl FnMut(&Context<'_>) -> Poll<R>) -> Result<R, Waker> {
    let waker = waker();
    let context = Context::from_waker(&waker);
    // A time beyond what the clock can say is no limit.
    let until = Instant::now().checked_add(time);
    loop {
        if let Poll::Ready(answer) = ask(&context) {
            return Ok(answer);
        }
        match until {
            None => thread::park(),
            Some(until) => match until.saturating_duration_since(Instant::now()) {
                Duration::ZERO => return Err(waker),
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
        assert!(block_for(Duration::from_millis(1), |_| Poll::<()>::Pending).is_err());
        assert!(block_for(Duration::ZERO, |_| Poll::Ready(())).is_ok());
        assert!(block_for(Duration::MAX, |_| Poll::Ready(())).is_ok());
    }
}
