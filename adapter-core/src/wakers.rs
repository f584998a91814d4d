//! Tasks that wait for the same thing.

use core::task::Waker;

/// Above this, everybody is woken once, so that wakers of tasks that gave up do not pile up.
const CROWD: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Wakers(Vec<Waker>);

impl Wakers {
    /// Keeps a waker until the next [`take`](Self::take). Those that are woken or dropped by anything here are handed
    /// to the caller: either may run an executor's code, which must not find a lock held.
    pub(crate) fn keep(&mut self, waker: &Waker, wake: &mut Vec<Waker>) {
        if self.0.iter().any(|kept| kept.will_wake(waker)) {
            return;
        }
        if self.0.len() >= CROWD {
            self.take(wake);
        }
        self.0.push(waker.clone());
    }

    /// A task that does not wait any more.
    pub(crate) fn remove(&mut self, waker: &Waker) -> Option<Waker> {
        let at = self.0.iter().position(|kept| kept.will_wake(waker))?;
        Some(self.0.swap_remove(at))
    }

    /// Everybody, to be woken by the caller once it holds no lock.
    pub(crate) fn take(&mut self, wake: &mut Vec<Waker>) {
        wake.append(&mut self.0);
    }

    pub(crate) const fn is_empty(&self) -> bool {
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
    fn a_task_that_asks_often_is_kept_once() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut wakers = Wakers::default();
        let mut wake = Vec::new();
        wakers.keep(&waker, &mut wake);
        wakers.keep(&waker.clone(), &mut wake);
        wakers.take(&mut wake);
        assert_eq!(wake.len(), 1);
        assert!(wakers.is_empty());
    }

    #[test]
    fn wakers_of_tasks_that_gave_up_do_not_pile_up() {
        let mut wakers = Wakers::default();
        let counts: Vec<_> = (0..10 * CROWD).map(|_| Arc::new(Count::default())).collect();
        for count in &counts {
            let mut wake = Vec::new();
            wakers.keep(&Waker::from(Arc::clone(count)), &mut wake);
            wake.into_iter().for_each(Waker::wake);
            assert!(wakers.0.len() <= CROWD);
        }
        assert!(counts[0].0.load(Ordering::Relaxed) == 1);
    }
}
