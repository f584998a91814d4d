//! Doubly linked lists and free lists through the slots of a table, so that taking out of the middle
//! costs the same as taking from the front.

/// "No slot".
pub(crate) const NONE: u32 = u32::MAX;

/// The links of one slot. A slot is on one list at a time.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Links {
    next: u32,
    prev: u32,
}

impl Links {
    pub(crate) const UNLINKED: Self = Self { next: NONE, prev: NONE };

    pub(crate) const fn next(self) -> u32 {
        self.next
    }
}

/// Changes the entry at `index`. Where there is none nothing happens: a link always leads to an entry, but no index is
/// believed so far that it could make the program stop.
#[inline]
pub(crate) fn change<T>(table: &mut [T], index: u32, change: impl FnOnce(&mut T)) {
    if let Some(entry) = table.get_mut(index as usize) {
        change(entry);
    }
}

/// A slot that can be on a list.
pub(crate) trait Linked {
    fn links(&self) -> Links;
    fn links_mut(&mut self) -> &mut Links;
}

/// A list; the slots hold its links.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct List {
    head: u32,
    tail: u32,
    len: u32,
}

impl List {
    pub(crate) const fn new() -> Self {
        Self { head: NONE, tail: NONE, len: 0 }
    }

    pub(crate) const fn head(&self) -> u32 {
        self.head
    }

    pub(crate) const fn tail(&self) -> u32 {
        self.tail
    }

    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    #[inline(always)]
    pub(crate) fn push_back<T: Linked>(&mut self, table: &mut [T], index: u32) {
        match table.get_mut(index as usize) {
            Some(slot) => *slot.links_mut() = Links { next: NONE, prev: self.tail },
            None => return,
        }
        match table.get_mut(self.tail as usize) {
            Some(last) => last.links_mut().next = index,
            None => self.head = index,
        }
        self.tail = index;
        self.len = self.len.wrapping_add(1);
    }

    /// Puts `index` before `behind`; at the end, where that is `NONE`.
    pub(crate) fn insert_before<T: Linked>(&mut self, table: &mut [T], index: u32, behind: u32) {
        let Some(before) = table.get(behind as usize).map(|slot| slot.links().prev) else {
            self.push_back(table, index);
            return;
        };
        match table.get_mut(index as usize) {
            Some(slot) => *slot.links_mut() = Links { next: behind, prev: before },
            None => return,
        }
        change(table, behind, |slot| slot.links_mut().prev = index);
        match table.get_mut(before as usize) {
            Some(slot) => slot.links_mut().next = index,
            None => self.head = index,
        }
        self.len = self.len.wrapping_add(1);
    }

    #[inline(always)]
    pub(crate) fn unlink<T: Linked>(&mut self, table: &mut [T], index: u32) {
        let Some(slot) = table.get_mut(index as usize) else { return };
        let Links { next, prev } = slot.links();
        *slot.links_mut() = Links::UNLINKED;
        match table.get_mut(prev as usize) {
            Some(before) => before.links_mut().next = next,
            None => self.head = next,
        }
        match table.get_mut(next as usize) {
            Some(after) => after.links_mut().prev = prev,
            None => self.tail = prev,
        }
        self.len = self.len.wrapping_sub(1);
    }

    pub(crate) fn pop_front<T: Linked>(&mut self, table: &mut [T]) -> Option<u32> {
        let head = self.head;
        if head == NONE {
            return None;
        }
        self.unlink(table, head);
        Some(head)
    }

    /// Sorts the list, what is equal in its order. O(n · log n), without memory beside the links.
    pub(crate) fn sort<T: Linked>(&mut self, table: &mut [T], earlier: impl Fn(u32, u32) -> bool) {
        // Runs of 1, 2, 4, .. entries, linked by `next` alone.
        let mut runs = [NONE; 32];
        while let Some(index) = self.pop_front(table) {
            let mut run = index;
            for place in &mut runs {
                if *place == NONE {
                    *place = run;
                    break;
                }
                run = merge(table, core::mem::replace(place, NONE), run, &earlier);
            }
        }
        let mut all = NONE;
        for run in runs {
            all = merge(table, run, all, &earlier);
        }
        while all != NONE {
            let following = next(table, all);
            self.push_back(table, all);
            all = following;
        }
    }
}

/// Merges two runs; of equal entries that of the first comes first.
fn merge<T: Linked>(
    table: &mut [T],
    mut first: u32,
    mut second: u32,
    earlier: &impl Fn(u32, u32) -> bool,
) -> u32 {
    let (mut head, mut tail) = (NONE, NONE);
    while first != NONE || second != NONE {
        let from = if first == NONE || (second != NONE && earlier(second, first)) {
            &mut second
        } else {
            &mut first
        };
        let taken = *from;
        *from = next(table, taken);
        match table.get_mut(tail as usize) {
            Some(last) => last.links_mut().next = taken,
            None => head = taken,
        }
        tail = taken;
        change(table, taken, |last| last.links_mut().next = NONE);
    }
    head
}

/// The slot behind `index` on its list.
pub(crate) fn next<T: Linked>(table: &[T], index: u32) -> u32 {
    table.get(index as usize).map_or(NONE, |slot| slot.links().next)
}

/// The slot before `index` on its list.
pub(crate) fn prev<T: Linked>(table: &[T], index: u32) -> u32 {
    table.get(index as usize).map_or(NONE, |slot| slot.links().prev)
}

/// Slots not in use: the one freed last is used first, and a slot never used only when there is no
/// other, so that the table stays dense whatever its size.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct FreeList {
    head: u32,
    fresh: u32,
    used: u32,
}

impl FreeList {
    pub(crate) const fn new() -> Self {
        Self { head: NONE, fresh: 0, used: 0 }
    }

    /// Slots that were taken and not given back.
    pub(crate) const fn used(&self) -> u32 {
        self.used
    }

    /// Whether a slot is free in a table of `len` slots.
    pub(crate) const fn has_room(&self, len: usize) -> bool {
        self.head != NONE || (self.fresh as usize) < len
    }

    /// What `take` would give from a table of `len` slots.
    pub(crate) const fn peek(&self, len: usize) -> Option<u32> {
        if !self.has_room(len) {
            return None;
        }
        Some(if self.head != NONE { self.head } else { self.fresh })
    }

    #[inline(always)]
    pub(crate) fn take<T: Linked>(&mut self, table: &[T]) -> Option<u32> {
        let index = if self.head != NONE {
            let index = self.head;
            self.head = next(table, index);
            index
        } else if (self.fresh as usize) < table.len() {
            let index = self.fresh;
            self.fresh = index.wrapping_add(1);
            index
        } else {
            return None;
        };
        self.used = self.used.wrapping_add(1);
        Some(index)
    }

    /// The first `len` slots are taken; those that are not are to be given back.
    pub(crate) fn claim(&mut self, len: usize) {
        self.fresh = u32::try_from(len).unwrap_or(NONE);
        self.used = self.fresh;
    }

    #[inline(always)]
    pub(crate) fn give<T: Linked>(&mut self, table: &mut [T], index: u32) {
        if let Some(slot) = table.get_mut(index as usize) {
            *slot.links_mut() = Links { next: self.head, prev: NONE };
            self.head = index;
            self.used = self.used.wrapping_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Node(Links);

    impl Linked for Node {
        fn links(&self) -> Links {
            self.0
        }
        fn links_mut(&mut self) -> &mut Links {
            &mut self.0
        }
    }

    fn order(list: &List, table: &[Node]) -> Vec<u32> {
        let mut all = Vec::new();
        let mut at = list.head();
        while at != NONE {
            all.push(at);
            at = next(table, at);
        }
        all
    }

    #[test]
    fn slots_leave_from_anywhere_and_the_rest_keeps_its_order() {
        let mut table = vec![Node(Links::UNLINKED); 5];
        for gone in 0..5 {
            let mut list = List::new();
            (0..5).for_each(|index| list.push_back(&mut table, index));
            list.unlink(&mut table, gone);
            let want: Vec<u32> = (0..5).filter(|index| *index != gone).collect();
            assert_eq!(order(&list, &table), want);
            assert_eq!(list.len(), 4);
            assert_eq!(list.tail(), *want.last().unwrap());
        }
    }

    #[test]
    fn a_slot_can_be_put_before_any_other_or_at_the_end() {
        let mut table = vec![Node(Links::UNLINKED); 5];
        let mut list = List::new();
        list.insert_before(&mut table, 1, NONE);
        list.insert_before(&mut table, 0, 1);
        list.insert_before(&mut table, 4, NONE);
        list.insert_before(&mut table, 2, 4);
        list.insert_before(&mut table, 3, 4);
        assert_eq!(order(&list, &table), [0, 1, 2, 3, 4]);
        assert_eq!((list.tail(), list.len()), (4, 5));
        assert_eq!(prev(&table, 4), 3);
    }

    #[test]
    fn the_slot_freed_last_is_used_first() {
        let mut table = vec![Node(Links::UNLINKED); 3];
        let mut free = FreeList::new();
        assert_eq!(free.take(&table), Some(0));
        assert_eq!(free.take(&table), Some(1));
        free.give(&mut table, 0);
        free.give(&mut table, 1);
        assert_eq!(free.take(&table), Some(1));
        assert_eq!(free.take(&table), Some(0));
        assert_eq!(free.take(&table), Some(2));
        assert_eq!(free.take(&table), None);
        assert!(!free.has_room(table.len()));
    }
}
