//! Which of many things falls due first: a pairing heap through the slots of a table.
//!
//! Putting in is O(1), and so is looking at the first; taking out, from anywhere, is O(log n) amortised. It needs
//! no memory beside three links in each slot, and nothing recurses.

use crate::list::{NONE, change};
use crate::time::Instant;

/// The links of one slot.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Due {
    /// The first of those below it.
    child: u32,
    /// The next one below the same.
    next: u32,
    /// The one before it below the same; of the first one, that which they are below.
    prev: u32,
}

impl Due {
    pub(crate) const NOT: Self = Self { child: NONE, next: NONE, prev: NONE };
}

/// A slot that may fall due.
pub(crate) trait Falls {
    /// When, and what decides among those that fall due together.
    fn due(&self) -> (Instant, u32);
    fn links(&self) -> Due;
    fn links_mut(&mut self) -> &mut Due;
}

/// The slots that fall due.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Soonest {
    root: u32,
}

impl Soonest {
    pub(crate) const fn new() -> Self {
        Self { root: NONE }
    }

    /// The slot that falls due first; `NONE`: there is none.
    pub(crate) const fn first(&self) -> u32 {
        self.root
    }

    /// Puts `index` in, unless it is.
    pub(crate) fn insert<T: Falls>(&mut self, table: &mut [T], index: u32) {
        if !self.holds(table, index) {
            self.root = meld(table, self.root, index);
        }
    }

    fn holds<T: Falls>(&self, table: &[T], index: u32) -> bool {
        self.root == index || links(table, index).prev != NONE
    }

    /// Takes `index` out, if it is in.
    pub(crate) fn remove<T: Falls>(&mut self, table: &mut [T], index: u32) {
        let Due { child, next, prev } = links(table, index);
        if self.root == index {
            self.root = combine(table, child);
        } else if prev != NONE {
            change(table, prev, |before| {
                let before = before.links_mut();
                if before.child == index {
                    before.child = next;
                } else {
                    before.next = next;
                }
            });
            change(table, next, |behind| behind.links_mut().prev = prev);
            let below = combine(table, child);
            self.root = meld(table, self.root, below);
        } else {
            return;
        }
        set(table, index, Due::NOT);
    }
}

fn links<T: Falls>(table: &[T], index: u32) -> Due {
    table.get(index as usize).map_or(Due::NOT, Falls::links)
}

fn set<T: Falls>(table: &mut [T], index: u32, links: Due) {
    change(table, index, |slot| *slot.links_mut() = links);
}

/// Makes one heap of two, of which either may be none.
fn meld<T: Falls>(table: &mut [T], one: u32, other: u32) -> u32 {
    let (Some(first), Some(second)) = (table.get(one as usize), table.get(other as usize)) else {
        return if (one as usize) < table.len() { one } else { other };
    };
    let (top, below) = if second.due() < first.due() { (other, one) } else { (one, other) };
    let child = links(table, top).child;
    change(table, below, |slot| {
        let links = slot.links_mut();
        links.next = child;
        links.prev = top;
    });
    change(table, child, |slot| slot.links_mut().prev = below);
    set(table, top, Due { child: below, next: NONE, prev: NONE });
    top
}

/// Makes one heap of `first` and those next to it: in pairs, then the pairs from the last to the first.
fn combine<T: Falls>(table: &mut [T], first: u32) -> u32 {
    let mut pairs = NONE;
    let mut at = first;
    while at != NONE {
        let one = at;
        let other = links(table, one).next;
        at = links(table, other).next;
        for index in [one, other] {
            let child = links(table, index).child;
            set(table, index, Due { child, ..Due::NOT });
        }
        let pair = meld(table, one, other);
        let child = links(table, pair).child;
        set(table, pair, Due { child, next: pairs, prev: NONE });
        pairs = pair;
    }
    let mut root = NONE;
    while pairs != NONE {
        let Due { child, next, .. } = links(table, pairs);
        set(table, pairs, Due { child, ..Due::NOT });
        root = meld(table, root, pairs);
        pairs = next;
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[derive(Clone)]
    struct Slot {
        due: u64,
        links: Due,
        /// How often it was looked at.
        asked: core::cell::Cell<u64>,
    }

    impl Falls for Slot {
        fn due(&self) -> (Instant, u32) {
            self.asked.set(self.asked.get() + 1);
            (Instant::from_micros(self.due), 0)
        }
        fn links(&self) -> Due {
            self.links
        }
        fn links_mut(&mut self) -> &mut Due {
            &mut self.links
        }
    }

    fn table(len: usize) -> Vec<Slot> {
        vec![Slot { due: 0, links: Due::NOT, asked: core::cell::Cell::new(0) }; len]
    }

    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state >> 33
    }

    #[test]
    fn whatever_is_put_in_and_taken_out_the_first_is_the_soonest() {
        let mut table = table(200);
        let mut heap = Soonest::new();
        let mut model = BTreeSet::new();
        let mut state = 1;
        for _ in 0..50_000 {
            let index = (random(&mut state) % 200) as u32;
            let place = &mut table[index as usize];
            if model.remove(&(place.due, index)) {
                heap.remove(&mut table, index);
            } else if random(&mut state) & 1 == 0 {
                place.due = random(&mut state) % 1_000_000;
                model.insert((place.due, index));
                heap.insert(&mut table, index);
                heap.insert(&mut table, index);
            } else {
                heap.remove(&mut table, index);
            }
            match model.first() {
                Some((due, _)) => assert_eq!(table[heap.first() as usize].due, *due),
                None => assert_eq!(heap.first(), NONE),
            }
        }
    }

    #[test]
    fn a_hundred_thousand_different_deadlines_are_taken_in_order_at_a_small_price_each() {
        let len = 100_000u64;
        let mut table = table(len as usize);
        let mut heap = Soonest::new();
        let mut state = 7;
        for index in 0..len {
            table[index as usize].due = random(&mut state);
            heap.insert(&mut table, index as u32);
        }
        let mut last = 0;
        for _ in 0..len {
            let first = heap.first();
            let due = table[first as usize].due;
            assert!(due >= last);
            last = due;
            heap.remove(&mut table, first);
        }
        assert_eq!(heap.first(), NONE);
        let asked: u64 = table.iter().map(|slot| slot.asked.get()).sum();
        // Two for each comparison; log2 of 100,000 is 17.
        assert!(asked / len < 2 * 2 * 17, "{} looks for each", asked / len);
    }
}
