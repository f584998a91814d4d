//! Packet identifiers: the index of an operation in the in-flight table, plus one.
//!
//! An acknowledgement finds its operation without a search. Freed identifiers are used again oldest
//! first, over the whole table, so that a duplicated acknowledgement of a broken server does not meet
//! the next message.

use mqtt_proto::PacketId;

use crate::list::{NONE, change};

/// In place of an operation: the server may hold an exchange of this identifier that nobody here knows of.
const DOUBTED: u32 = NONE - 1;

/// One packet identifier.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct IdEntry {
    /// The operation that holds it, or `NONE`, or `DOUBTED`.
    slot: u32,
    /// The identifier freed after this one; 0: none.
    next: u16,
}

impl IdEntry {
    pub(crate) const FREE: Self = Self { slot: NONE, next: 0 };
}

/// The order in which identifiers are given out.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Ids {
    /// Identifiers 1..=fresh have been given out at least once.
    fresh: u16,
    /// Freed first; 0: none.
    oldest: u16,
    /// Freed last.
    newest: u16,
    used: u16,
    doubted: u16,
}

impl Ids {
    pub(crate) const fn new() -> Self {
        Self { fresh: 0, oldest: 0, newest: 0, used: 0, doubted: 0 }
    }

    /// Identifiers held by operations.
    pub(crate) const fn used(&self) -> u16 {
        self.used
    }

    /// How many entries the table must have for the next identifier, of at most `cap`; `None`: all are
    /// in use.
    pub(crate) fn needed(&self, cap: u16) -> Option<usize> {
        if self.fresh < cap {
            Some(usize::from(self.fresh).saturating_add(1))
        } else if self.oldest != 0 {
            Some(0)
        } else {
            None
        }
    }

    /// The next identifier; `None`: all are in use. The table must be as long as it says.
    #[inline(always)]
    pub(crate) fn peek(&self, cap: u16) -> Option<PacketId> {
        PacketId::new(if self.fresh < cap { self.fresh.saturating_add(1) } else { self.oldest })
    }

    /// Takes the next identifier for `slot`.
    #[inline]
    pub(crate) fn take(&mut self, table: &mut [IdEntry], cap: u16, slot: u32) -> Option<PacketId> {
        let id = self.peek(cap)?;
        self.take_peeked(table, cap, id, slot)?;
        Some(id)
    }

    /// Takes the identifier that `peek` has just given.
    #[inline(always)]
    pub(crate) fn take_peeked(
        &mut self,
        table: &mut [IdEntry],
        cap: u16,
        id: PacketId,
        slot: u32,
    ) -> Option<()> {
        let entry = table.get_mut(usize::from(id.get()).wrapping_sub(1))?;
        if self.fresh < cap {
            self.fresh = id.get();
        } else {
            self.oldest = entry.next;
            if self.oldest == 0 {
                self.newest = 0;
            }
        }
        *entry = IdEntry { slot, next: 0 };
        self.used = self.used.wrapping_add(1);
        Some(())
    }

    /// The operation that holds `id`.
    #[inline]
    pub(crate) fn slot(&self, table: &[IdEntry], id: PacketId) -> Option<u32> {
        table
            .get(usize::from(id.get()).wrapping_sub(1))
            .map(|entry| entry.slot)
            .filter(|slot| *slot < DOUBTED)
    }

    /// Gives `slot` an identifier it had in an earlier run, whoever claimed it before.
    pub(crate) fn claim(&self, table: &mut [IdEntry], id: PacketId, slot: u32) {
        change(table, u32::from(id.get()).saturating_sub(1), |entry| *entry = IdEntry { slot, next: 0 });
    }

    /// All claims were made: those that do not hold are free, as are the identifiers between.
    pub(crate) fn settle(&mut self, table: &mut [IdEntry], holds: impl Fn(u32, PacketId) -> bool) {
        let mut last = 0;
        for id in 1..=u16::try_from(table.len()).unwrap_or(u16::MAX) {
            let Some(entry) = table.get_mut(usize::from(id).saturating_sub(1)) else { continue };
            if entry.slot != NONE && PacketId::new(id).is_some_and(|id| holds(entry.slot, id)) {
                self.used = self.used.saturating_add(1);
                last = id;
            } else {
                *entry = IdEntry::FREE;
            }
        }
        self.fresh = last;
        for id in 1..last {
            let free = table.get(usize::from(id).saturating_sub(1)).is_some_and(|entry| entry.slot == NONE);
            if free && let Some(id) = PacketId::new(id) {
                self.append(table, id);
            }
        }
    }

    /// Frees `id`, if it is held.
    #[inline(always)]
    pub(crate) fn give(&mut self, table: &mut [IdEntry], id: PacketId) {
        match table.get_mut(usize::from(id.get()).wrapping_sub(1)) {
            Some(entry) if entry.slot < DOUBTED => *entry = IdEntry::FREE,
            _ => return,
        }
        self.used = self.used.wrapping_sub(1);
        self.append(table, id);
    }

    /// Every identifier up to `cap`, for which the table has room, is out of use from now on unless it is held.
    pub(crate) fn doubt(&mut self, table: &mut [IdEntry], cap: u16) {
        (self.fresh, self.oldest, self.newest, self.doubted) = (cap, 0, 0, 0);
        for entry in table.iter_mut().take(cap.into()).filter(|entry| entry.slot >= DOUBTED) {
            *entry = IdEntry { slot: DOUBTED, next: 0 };
            self.doubted = self.doubted.saturating_add(1);
        }
    }

    /// Identifiers in doubt.
    pub(crate) const fn doubted(&self) -> u16 {
        self.doubted
    }

    /// The first identifier in doubt behind `before` others.
    pub(crate) fn next_doubted(&self, table: &[IdEntry], before: u16) -> Option<PacketId> {
        let found = table.iter().skip(before.into()).position(|entry| entry.slot == DOUBTED)?;
        PacketId::new(u16::try_from(found).ok()?.checked_add(before)?.checked_add(1)?)
    }

    /// The server holds nothing of `id`: it is free, if it was in doubt.
    pub(crate) fn trust(&mut self, table: &mut [IdEntry], id: PacketId) -> bool {
        let entry = usize::from(id.get()).checked_sub(1).and_then(|index| table.get_mut(index));
        let Some(entry) = entry.filter(|entry| entry.slot == DOUBTED) else { return false };
        *entry = IdEntry::FREE;
        self.doubted = self.doubted.saturating_sub(1);
        self.append(table, id);
        true
    }

    /// Puts a free identifier behind those that were freed before it.
    #[inline(always)]
    fn append(&mut self, table: &mut [IdEntry], id: PacketId) {
        match table.get_mut(usize::from(self.newest).wrapping_sub(1)) {
            Some(last) => last.next = id.get(),
            None => self.oldest = id.get(),
        }
        self.newest = id.get();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_reused_oldest_freed_first_over_the_whole_table() {
        let mut table = vec![IdEntry::FREE; 4];
        let mut ids = Ids::new();
        let first = ids.take(&mut table, 4, 10).unwrap();
        assert_eq!(first.get(), 1);
        ids.give(&mut table, first);
        // 1 is free again, but 2, 3 and 4 have waited longer.
        let given: Vec<u16> = (0..4).map(|slot| ids.take(&mut table, 4, slot).unwrap().get()).collect();
        assert_eq!(given, [2, 3, 4, 1]);
        assert_eq!(ids.needed(4), None);
        assert!(ids.take(&mut table, 4, 9).is_none());
        for id in [3, 1, 4] {
            ids.give(&mut table, PacketId::new(id).unwrap());
        }
        let given: Vec<u16> = (0..3).map(|slot| ids.take(&mut table, 4, slot).unwrap().get()).collect();
        assert_eq!(given, [3, 1, 4]);
    }

    #[test]
    fn identifiers_in_doubt_are_out_of_use_until_they_are_trusted() {
        let mut table = vec![IdEntry::FREE; 4];
        let mut ids = Ids::new();
        let id = |value| PacketId::new(value).unwrap();
        assert_eq!([0, 1].map(|slot| ids.take(&mut table, 4, slot).unwrap().get()), [1, 2]);
        ids.give(&mut table, id(1));
        ids.doubt(&mut table, 4);
        assert_eq!((ids.doubted(), ids.needed(4)), (3, None));
        assert_eq!(ids.next_doubted(&table, 0), Some(id(1)));
        assert_eq!(ids.next_doubted(&table, 1), Some(id(3)));
        assert_eq!(ids.next_doubted(&table, 4), None);
        assert_eq!(ids.slot(&table, id(3)), None);
        ids.give(&mut table, id(3));
        assert_eq!(ids.doubted(), 3, "it is not for an operation to give");
        assert!(ids.trust(&mut table, id(4)) && ids.trust(&mut table, id(1)));
        assert!(!ids.trust(&mut table, id(4)) && !ids.trust(&mut table, id(2)));
        ids.give(&mut table, id(2));
        let given: Vec<u16> = (0..3).map(|slot| ids.take(&mut table, 4, slot).unwrap().get()).collect();
        assert_eq!(given, [4, 1, 2]);
        assert_eq!((ids.doubted(), ids.used()), (1, 3));
    }

    #[test]
    fn a_free_identifier_cannot_be_freed_again() {
        let mut table = vec![IdEntry::FREE; 2];
        let mut ids = Ids::new();
        let id = ids.take(&mut table, 2, 0).unwrap();
        ids.give(&mut table, id);
        ids.give(&mut table, id);
        assert_eq!(ids.used(), 0);
        assert_eq!(ids.slot(&table, id), None);
        assert_eq!(ids.take(&mut table, 2, 1).unwrap().get(), 2);
        assert_eq!(ids.take(&mut table, 2, 2).unwrap().get(), 1);
        assert!(ids.take(&mut table, 2, 3).is_none());
    }

    /// What earlier runs held stays theirs; the others are free, the highest claimed one first to be followed.
    #[test]
    fn identifiers_that_were_claimed_and_still_hold_are_in_use() {
        let mut table = vec![IdEntry::FREE; 7];
        let mut ids = Ids::new();
        let id = |value| PacketId::new(value).unwrap();
        for (value, slot) in [(2, 20), (3, 30), (5, 50)] {
            ids.claim(&mut table, id(value), slot);
        }
        ids.settle(&mut table, |slot, id| slot != 30 && u32::from(id.get()) * 10 == slot || slot == NONE);
        assert_eq!(ids.used(), 2);
        assert_eq!(
            [1, 2, 3, 5, 7].map(|value| ids.slot(&table, id(value))),
            [None, Some(20), None, Some(50), None]
        );
        let given: Vec<u16> = (0..5).map(|slot| ids.take(&mut table, 7, slot).unwrap().get()).collect();
        assert_eq!(given, [6, 7, 1, 3, 4]);
        assert!(ids.take(&mut table, 7, 9).is_none());
    }
}
