//! One call that may have to wait.

use core::fmt;
use core::sync::atomic::Ordering;
use core::task::Waker;
use std::sync::Arc;

use super::Hub;
use crate::wakers::Wakers;

/// Among whom a call waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// Room in the queue.
    Room,
    /// A change of connection, an event, the end.
    Change,
    /// That every operation has ended.
    Idle,
    /// A message.
    Message,
}

/// One call that may have to wait, across its polls: to be made with the call, given to each of its polls, and dropped
/// with it. Dropped before the call is ready, the call has given up, and nothing of it stays behind: neither its waker,
/// nor whatever the client does only while somebody waits.
pub struct Wait<T>(Option<Kept<T>>);

struct Kept<T> {
    hub: Arc<Hub<T>>,
    call: u64,
    what: For,
}

impl<T> Wait<T> {
    /// A call that has not waited yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// Keeps the waker among those who wait for the same; the one kept before comes back, to be dropped once no lock is
    /// held.
    pub(super) fn keep(
        &mut self,
        hub: &Arc<Hub<T>>,
        what: For,
        wakers: &mut Wakers,
        waker: &Waker,
    ) -> Option<Waker> {
        let kept = self.0.get_or_insert_with(|| Kept {
            hub: Arc::clone(hub),
            call: hub.calls.fetch_add(1, Ordering::Relaxed),
            what,
        });
        debug_assert_eq!(kept.what, what, "each call waits for one thing");
        wakers.keep(kept.call, waker)
    }
}

impl<T> Default for Wait<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for Wait<T> {
    fn drop(&mut self) {
        let Some(Kept { hub, call, what }) = self.0.take() else { return };
        // The waker is dropped after the lock: that may run an executor's code.
        let _waker = match what {
            For::Message => hub.inbox.give_up(call),
            For::Room => hub.lock().room.remove(call),
            For::Change => hub.lock().changes.remove(call),
            For::Idle => hub.lock().idle.remove(call),
        };
    }
}

impl<T> fmt::Debug for Wait<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wait").field(&self.0.as_ref().map(|kept| kept.what)).finish()
    }
}
