//! Calls that wait for the same thing.

use core::task::Waker;
use std::collections::BTreeMap;

/// The wakers of calls that wait, in the order in which they began to. A call is known by a number of its own and not by
/// its waker: calls of one task have the same waker, and when one of them gives up the others wait on.
#[derive(Debug, Default)]
pub(crate) struct Wakers(BTreeMap<u64, Waker>);

impl Wakers {
    /// Keeps the waker of a call until the next [`take`](Self::take); the one it gave before comes back. Whatever is woken
    /// or dropped here is handed to the caller: either may run an executor's code, which must not find a lock held.
    #[must_use]
    pub(crate) fn keep(&mut self, call: u64, waker: &Waker) -> Option<Waker> {
        match self.0.get_mut(&call) {
            Some(kept) if kept.will_wake(waker) => None,
            Some(kept) => Some(core::mem::replace(kept, waker.clone())),
            None => self.0.insert(call, waker.clone()),
        }
    }

    /// A call that does not wait any more.
    #[must_use]
    pub(crate) fn remove(&mut self, call: u64) -> Option<Waker> {
        self.0.remove(&call)
    }

    /// Everybody, to be woken by the caller once it holds no lock.
    pub(crate) fn take(&mut self, wake: &mut Vec<Waker>) {
        wake.extend(core::mem::take(&mut self.0).into_values());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Arc;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_call_that_asks_often_is_kept_once() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut wakers = Wakers::default();
        assert!(wakers.keep(1, &waker).is_none());
        assert!(wakers.keep(1, &waker.clone()).is_none());
        let mut wake = Vec::new();
        wakers.take(&mut wake);
        assert_eq!(wake.len(), 1);
        assert!(wakers.is_empty());
    }

    #[test]
    fn a_call_that_gives_up_takes_no_other_of_its_task_along() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut wakers = Wakers::default();
        assert!(wakers.keep(1, &waker).is_none());
        assert!(wakers.keep(2, &waker).is_none());
        drop(wakers.remove(1));
        let mut wake = Vec::new();
        wakers.take(&mut wake);
        assert_eq!(wake.len(), 1);
        drop((wake, waker));
        assert_eq!(Arc::strong_count(&count), 1);
    }

    #[test]
    fn they_are_woken_in_the_order_in_which_they_began_to_wait() {
        let counts: Vec<_> = (0..1_000).map(|_| Arc::new(Count::default())).collect();
        let mut wakers = Wakers::default();
        for (call, count) in counts.iter().enumerate() {
            assert!(wakers.keep(call as u64, &Waker::from(Arc::clone(count))).is_none());
        }
        let mut wake = Vec::new();
        wakers.take(&mut wake);
        // Keeping one wakes nobody, however many there are.
        assert!(counts.iter().all(|count| count.0.load(Ordering::Relaxed) == 0));
        for (count, waker) in counts.iter().zip(wake) {
            waker.wake();
            assert_eq!(count.0.load(Ordering::Relaxed), 1);
        }
    }
}
