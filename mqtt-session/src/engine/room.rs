//! Room for what is to be kept: whether the budgets and the tables have it, made where they do not, and given back when
//! nothing needs it.

use core::time::Duration;

use super::accept::Plan;
use super::{Core, Need, notes};
use crate::aliases;
use crate::arena::{cost, owner};
use crate::ids::Ids;
use crate::inbound::OwedRing;
use crate::storage::{Table, Tables};

/// Which of the two budgets is used up.
pub(super) enum Lack {
    Slots,
    Bytes,
}

/// A session that sent nothing for this long gives memory back when it is told the time.
const SHRINK_AFTER: Duration = Duration::from_secs(5);

impl Core {
    /// Whether an operation that keeps `bytes` (with its overhead) can be accepted now.
    #[inline(always)]
    pub(super) fn room_for(&self, bytes: usize) -> Result<(), Lack> {
        if self.ops.in_use() >= self.bounds.operations {
            return Err(Lack::Slots);
        }
        // Bytes that are in memory: their sum does not overflow.
        if self.kept.wrapping_add(bytes) > self.bounds.arena {
            return Err(Lack::Bytes);
        }
        Ok(())
    }

    /// What the tables lack to accept a planned operation. Squeezes the arena where that helps.
    pub(crate) fn room_in_tables(&mut self, tables: &mut Tables<'_>, plan: &Plan) -> Need {
        if !self.ops.free.has_room(tables.slots.len()) {
            return Some((Table::Slots, tables.slots.len().saturating_add(1)));
        }
        self.yield_room(tables, cost(plan.all()));
        self.room_in_arena(tables, plan.in_arena())
    }

    /// What the arena lacks to keep `len` bytes beside the operations.
    pub(crate) fn room_for_bytes(&mut self, tables: &mut Tables<'_>, len: usize) -> Need {
        self.yield_room(tables, cost(len));
        self.room_in_arena(tables, len)
    }

    /// What the arena lacks to take an entry of `len` bytes that the budget has room for.
    pub(super) fn room_in_arena(&mut self, tables: &mut Tables<'_>, len: usize) -> Need {
        if self.arena.fits(tables.arena.len(), len) { None } else { self.squeeze_or_grow(tables, len) }
    }

    #[cold]
    fn squeeze_or_grow(&mut self, tables: &mut Tables<'_>, len: usize) -> Need {
        // Squeezing moves at most what is in use: it pays when that is less than half.
        let live = self.arena.live().saturating_add(cost(len));
        let grows = tables.arena.len() < self.bounds.memory;
        if grows && live > tables.arena.len() / 2 {
            return Some((Table::Arena, live.saturating_mul(2).min(self.bounds.memory)));
        }
        self.squeeze(tables);
        None
    }

    /// Takes the holes out of the arena. O(bytes in use).
    pub(super) fn squeeze(&mut self, tables: &mut Tables<'_>) {
        let Tables { slots, exchanges, arena, aliases_out, aliases_in, .. } = tables;
        let (farewell, redirects, said) = (&mut self.farewell, &mut self.redirects, &mut self.said);
        self.arena.compact(arena, |of, at| {
            if let Some(slot) = slots.get_mut(of as usize) {
                slot.at = at;
            } else if of == owner::STOP {
                if let Some(farewell) = farewell {
                    farewell.0 = at;
                }
            } else if !aliases::moved(aliases_out, aliases_in, of, at)
                && !notes::moved(exchanges, said, of, at)
            {
                redirects.moved_to(of, at);
            }
        });
    }

    /// Whether nothing at all is open, and has not been for a while: the tables may then be new ones.
    ///
    /// Held subscriptions stay where they are, with the tables around them, and aliases do; `Some`: the bytes of
    /// the arena that are still needed, and whether the slots are.
    pub(crate) fn quiet(&mut self, tables: &mut Tables<'_>) -> Option<(usize, bool)> {
        let quiet = self.ops.in_use() == self.ops.held.len()
            && self.wire.is_empty()
            && self.exchanges.open() == 0
            && self.owed.is_empty()
            && self.farewell.is_none()
            && self.journal.is_calm()
            && self.now.since(self.connection.last_out) > SHRINK_AFTER;
        if !quiet {
            return None;
        }
        self.exchanges.renew();
        self.shelve_doubts();
        self.ids = Ids::new();
        self.owed = OwedRing::new();
        let slots = self.ops.in_use() != 0;
        if !slots {
            self.ops.renew();
        }
        self.squeeze(tables);
        Some((self.arena.live(), slots))
    }
}
