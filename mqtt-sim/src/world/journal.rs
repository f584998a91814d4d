//! A simulated client's journal: what a crash cannot take, and what is written behind it.

use std::collections::{BTreeMap, VecDeque};

use mqtt_session::{Instant, Key};

/// A command on its way to the disk.
#[derive(Clone, Debug)]
struct Written {
    key: Key,
    /// The record; none: it is to be deleted.
    record: Option<Vec<u8>>,
    at: Instant,
    /// The disk will not take it.
    fails: bool,
}

/// The answer to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) key: Key,
    pub(super) stored: bool,
}

/// A log: what a crash leaves is the effect of the first so many commands, at least of those that were synced.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal {
    /// Records with the time at which they were written.
    synced: BTreeMap<Key, (Instant, Vec<u8>)>,
    behind: VecDeque<Written>,
    /// A command failed: what is left is no longer what the session believes.
    pub(super) gaps: bool,
}

impl Journal {
    /// Takes a command; true: it is the first one that waits.
    pub(super) fn write(&mut self, key: Key, record: Option<Vec<u8>>, at: Instant, fails: bool) -> bool {
        self.behind.push_back(Written { key, record, at, fails });
        self.gaps |= fails;
        self.behind.len() == 1
    }

    /// Whether commands wait for the disk.
    pub(super) fn is_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    /// What was written until `at` is on the disk; says what becomes of each command.
    pub(super) fn sync(&mut self, at: Instant) -> Vec<Answer> {
        let count = self.behind.iter().take_while(|written| written.at <= at).count();
        self.apply(count)
    }

    /// The program ends without a word: of what was not synced the first `kept` commands survive.
    pub(super) fn crash(&mut self, kept: usize) {
        self.apply(kept);
        self.behind.clear();
    }

    /// Commands that a crash may take.
    pub(super) fn behind(&self) -> usize {
        self.behind.len()
    }

    /// All of it is gone.
    pub(super) fn lose(&mut self) {
        *self = Self::default();
    }

    /// What is left, with the times of writing, in the order of the keys.
    pub(super) fn records(&self) -> impl Iterator<Item = (Key, Instant, &[u8])> {
        self.synced.iter().map(|(key, (at, record))| (*key, *at, record.as_slice()))
    }

    /// The program itself deletes a record.
    pub(super) fn forget(&mut self, key: Key) {
        self.synced.remove(&key);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.synced.is_empty()
    }

    fn apply(&mut self, count: usize) -> Vec<Answer> {
        let count = count.min(self.behind.len());
        let mut answers = Vec::with_capacity(count);
        for Written { key, record, at, fails } in self.behind.drain(..count) {
            answers.push(Answer { key, stored: !fails });
            match record {
                _ if fails => {}
                Some(record) => {
                    self.synced.insert(key, (at, record));
                }
                None => {
                    self.synced.remove(&key);
                }
            }
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(journal: &Journal) -> Vec<u64> {
        journal.records().map(|(key, _, _)| key.into()).collect()
    }

    #[test]
    fn a_crash_leaves_the_effect_of_the_first_commands() {
        let (first, second) = (Key::from(1), Key::from(2));
        for (kept, left) in [(0, vec![1]), (1, vec![1, 2]), (2, vec![2])] {
            let mut journal = Journal::default();
            journal.write(first, Some(vec![1]), Instant::ZERO, false);
            assert_eq!(journal.sync(Instant::ZERO), [Answer { key: first, stored: true }]);
            journal.write(second, Some(vec![2]), Instant::ZERO, false);
            journal.write(first, None, Instant::ZERO, false);
            journal.crash(kept);
            assert_eq!(keys(&journal), left);
            assert!(!journal.is_behind());
        }
    }

    #[test]
    fn a_sync_covers_what_was_written_before_it_began() {
        let mut journal = Journal::default();
        journal.write(Key::from(1), Some(vec![]), Instant::ZERO, false);
        journal.write(Key::from(2), Some(vec![]), Instant::from_micros(5), true);
        assert_eq!(journal.sync(Instant::from_micros(4)).len(), 1);
        assert_eq!(journal.sync(Instant::from_micros(9)), [Answer { key: Key::from(2), stored: false }]);
        assert_eq!(keys(&journal), [1]);
        assert!(journal.gaps);
    }
}
