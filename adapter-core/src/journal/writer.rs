//! The thread that writes a journal, and what goes between it and the engine's owner.

use core::mem;
use core::panic::AssertUnwindSafe;
use core::task::Waker;
use core::time::Duration;
use std::collections::BTreeSet;
use std::io;
use std::panic;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use mqtt_session::Key;

use super::{Change, JournalError, Store};

/// How long changes are gathered where nothing waits for them.
pub(crate) const GATHER: Duration = Duration::from_millis(50);

/// The owner's end. While the thread writes and waits for the disk, changes gather for the next write: one
/// wait for the disk serves them all.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    /// Given to the thread, and not answered for.
    out: usize,
}

#[derive(Debug)]
struct Shared {
    desk: Mutex<Desk>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Desk {
    changes: Vec<Change>,
    answers: Vec<(Key, bool)>,
    /// What writing has come to, where it differs from the time before.
    news: Vec<Option<JournalError>>,
    owner: Option<Waker>,
    closing: bool,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Starts the thread; it ends once it was [closed](Self::close), or this is dropped, and all was written.
    pub(crate) fn start(store: Box<dyn Store>, gather: Duration) -> io::Result<Self> {
        let shared = Arc::new(Shared { desk: Mutex::default(), more: Condvar::new() });
        let own = Arc::clone(&shared);
        thread::Builder::new().name("mqtt-journal".to_owned()).spawn(move || {
            let _closed = Closing(&own);
            run(&own, store, gather);
        })?;
        Ok(Self { shared, out: 0 })
    }

    /// What to wake when there are answers.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        let mut desk = self.shared.lock();
        let old = match &mut desk.owner {
            Some(kept) if kept.will_wake(waker) => None,
            kept => kept.replace(waker.clone()),
        };
        drop(desk);
        // Dropping a waker may run an executor's code.
        drop(old);
    }

    /// Hands changes over.
    pub(crate) fn give(&mut self, changes: &mut Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        self.out += changes.len();
        self.shared.lock().changes.append(changes);
        self.shared.more.notify_one();
    }

    /// What became of changes, and of writing; both are appended.
    pub(crate) fn answers(&mut self, answers: &mut Vec<(Key, bool)>, news: &mut Vec<Option<JournalError>>) {
        let mut desk = self.shared.lock();
        self.out = self.out.saturating_sub(desk.answers.len());
        answers.append(&mut desk.answers);
        news.append(&mut desk.news);
    }

    /// Whether something was given and not answered for.
    pub(crate) const fn is_busy(&self) -> bool {
        self.out > 0
    }

    /// Nothing more comes: the store is closed when everything is written.
    pub(crate) fn close(&self) {
        self.shared.lock().closing = true;
        self.shared.more.notify_one();
    }

    /// Whether the store is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// Tells that the thread has ended, however it did.
struct Closing<'s>(&'s Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let mut desk = self.0.lock();
        desk.closed = true;
        let owner = desk.owner.take();
        drop(desk);
        owner.into_iter().for_each(Waker::wake);
    }
}

fn run(shared: &Shared, mut store: Box<dyn Store>, gather: Duration) {
    let mut writes = Writes::default();
    let mut changes = Vec::new();
    loop {
        let mut desk = shared.lock();
        while desk.changes.is_empty() && !desk.closing {
            desk = shared.more.wait(desk).unwrap_or_else(PoisonError::into_inner);
        }
        let until = Instant::now() + gather;
        while !desk.closing {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            desk = shared.more.wait_timeout(desk, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        mem::swap(&mut desk.changes, &mut changes);
        let closing = desk.closing && changes.is_empty();
        drop(desk);
        if closing && writes.owed.is_empty() {
            // Who is told that it is closed may open it again.
            drop(store);
            return;
        }
        let (result, news) = writes.write(&mut *store, &changes);
        let mut desk = shared.lock();
        desk.answers.extend(changes.iter().map(|change| (change.key(), result)));
        desk.news.extend(news);
        let owner = desk.owner.clone();
        drop(desk);
        changes.clear();
        owner.into_iter().for_each(Waker::wake);
        if closing {
            return;
        }
    }
}

/// What the writes before have left.
#[derive(Default)]
struct Writes {
    /// Deletions that failed: the engine counts on them, so they are tried again with each write.
    owed: BTreeSet<Key>,
    error: Option<JournalError>,
}

impl Writes {
    /// Writes, and says whether it was stored; and what is new about writing: an error, or that it is over.
    fn write(&mut self, store: &mut dyn Store, changes: &[Change]) -> (bool, Option<Option<JournalError>>) {
        let result = if self.owed.is_empty() {
            attempt(store, changes)
        } else {
            let owed = self.owed.iter().map(|key| Change::delete(*key));
            let all: Vec<_> = owed.chain(changes.iter().cloned()).collect();
            attempt(store, &all)
        };
        match result {
            Ok(()) => {
                self.owed.clear();
                (true, self.error.take().map(|_| None))
            }
            Err(error) => {
                for change in changes {
                    if change.is_empty() {
                        self.owed.insert(change.key());
                    } else {
                        // The record that the failed one was to replace stays; as does the answer for it.
                        self.owed.remove(&change.key());
                    }
                }
                let new = self.error.as_ref() != Some(&error);
                self.error = Some(error.clone());
                (false, new.then_some(Some(error)))
            }
        }
    }
}

/// A store that panics has failed, and nobody waits for it for ever.
fn attempt(store: &mut dyn Store, changes: &[Change]) -> Result<(), JournalError> {
    // Whatever state it leaves is the store's own, and only the store's.
    panic::catch_unwind(AssertUnwindSafe(|| store.write(changes))).unwrap_or_else(|_| {
        Err(JournalError::Io {
            path: None,
            kind: io::ErrorKind::Other,
            detail: "the store has panicked".to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Take;
    use mqtt_session::RestoreError;

    /// Refuses every write until it is told otherwise.
    #[derive(Clone, Default)]
    struct Moody(Arc<Mutex<(bool, Vec<Written>)>>);

    /// Keys of one write, and whether they were deleted.
    type Written = Vec<(Key, bool)>;

    impl Store for Moody {
        fn load(&mut self, _: &mut Take<'_>) -> Result<(), JournalError> {
            Ok(())
        }

        fn write(&mut self, changes: &[Change]) -> Result<(), JournalError> {
            let mut own = self.0.lock().unwrap();
            if own.0 {
                own.1.push(changes.iter().map(|change| (change.key(), change.is_empty())).collect());
                return Ok(());
            }
            Err(JournalError::Io { path: None, kind: io::ErrorKind::StorageFull, detail: "full".into() })
        }

        fn set_aside(&mut self, _: Key, _: RestoreError) -> Result<(), JournalError> {
            Ok(())
        }
    }

    fn wait(writer: &mut Writer) -> (Vec<(Key, bool)>, Vec<Option<JournalError>>) {
        let (mut answers, mut news) = (Vec::new(), Vec::new());
        let until = Instant::now() + Duration::from_secs(20);
        while writer.is_busy() {
            assert!(Instant::now() < until);
            writer.answers(&mut answers, &mut news);
            thread::yield_now();
        }
        (answers, news)
    }

    #[test]
    fn a_deletion_that_failed_is_tried_again_and_the_error_is_told_once() {
        let store = Moody::default();
        let mut writer = Writer::start(Box::new(store.clone()), Duration::ZERO).unwrap();
        let (one, two) = (Key::from(1), Key::from(2));
        writer.give(&mut vec![Change::delete(one)]);
        let (answers, news) = wait(&mut writer);
        assert_eq!(answers, [(one, false)]);
        assert!(matches!(&news[..], [Some(error)] if error.is_full()));
        writer.give(&mut vec![Change::delete(two)]);
        let (answers, news) = wait(&mut writer);
        assert_eq!((&answers[..], news.len()), (&[(two, false)][..], 0));
        store.0.lock().unwrap().0 = true;
        writer.give(&mut vec![Change::delete(Key::from(3))]);
        let (answers, news) = wait(&mut writer);
        assert_eq!((answers, news), (vec![(Key::from(3), true)], vec![None]));
        let written = store.0.lock().unwrap().1.clone();
        assert_eq!(written, [[(one, true), (two, true), (Key::from(3), true)]]);
    }

    #[test]
    fn all_is_written_before_it_is_closed() {
        let store = Moody::default();
        store.0.lock().unwrap().0 = true;
        let mut writer = Writer::start(Box::new(store.clone()), GATHER).unwrap();
        writer.give(&mut vec![Change::delete(Key::from(1))]);
        writer.close();
        let until = Instant::now() + Duration::from_secs(20);
        while !writer.is_closed() {
            assert!(Instant::now() < until);
            thread::yield_now();
        }
        assert!(!wait(&mut writer).0.is_empty());
        assert_eq!(store.0.lock().unwrap().1.len(), 1);
    }

    #[test]
    fn a_store_that_panics_leaves_nobody_waiting() {
        struct Panics;
        impl Store for Panics {
            fn load(&mut self, _: &mut Take<'_>) -> Result<(), JournalError> {
                Ok(())
            }
            fn write(&mut self, _: &[Change]) -> Result<(), JournalError> {
                panic!("as a store of one's own may")
            }
            fn set_aside(&mut self, _: Key, _: RestoreError) -> Result<(), JournalError> {
                Ok(())
            }
        }
        let mut writer = Writer::start(Box::new(Panics), Duration::ZERO).unwrap();
        for key in [1, 2] {
            writer.give(&mut vec![Change::delete(Key::from(key))]);
            assert_eq!(wait(&mut writer).0, [(Key::from(key), false)]);
        }
    }
}
