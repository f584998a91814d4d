//! Dropping what waits: because its time ran out, because a newer value came, because there is no room. And
//! requests whose answer does not come in time.

use core::num::NonZeroU64;
use core::time::Duration;

use super::Core;
use crate::config::WhenFull;
use crate::error::PublishError;
use crate::list::{NONE, next, prev};
use crate::operation::{Ending, Kind, Slot};
use crate::qos::Stage;
use crate::storage::Tables;
use crate::token::Token;

/// How much later than its due time an operation may be told as expired: what expires at nearly the same
/// time wakes the driver once.
const GRAIN: Duration = Duration::from_millis(10);

/// Whether no byte of a message was sent, so that it may be dropped.
fn is_whole(slot: &Slot) -> bool {
    slot.kind == Kind::Publish && slot.stage == Stage::Queued && !slot.touched
}

impl Core {
    /// Ends what has expired. O(log n) for each; nothing else is looked at.
    pub(super) fn expire(&mut self, tables: &mut Tables<'_>) {
        self.ops.stamp(tables.slots, self.now);
        if self.ops.next_expiry > self.now {
            return;
        }
        while let Some(slot) = tables.slots.get(self.ops.expiring.first() as usize).copied() {
            let request = slot.kind != Kind::Publish;
            if slot.expires > self.now || (request && !self.ghosts.has_room()) {
                break;
            }
            let index = self.ops.expiring.first();
            self.ops.expiring.remove(tables.slots, index);
            if request {
                self.time_out(tables, index);
            } else if is_whole(&slot) {
                // What was sent meanwhile has no time to live any more.
                self.end(tables, index, Ending::Expired);
            }
        }
        self.ops.calm_until = self.now.after(GRAIN);
        self.ops.plan_expiry(tables.slots);
    }

    /// Ends a request without an answer. One that was handed out keeps its identifier, which no other may have
    /// before the answer has come. The caller has made sure that one more end can wait.
    fn time_out(&mut self, tables: &mut Tables<'_>, index: u32) {
        let Some(slot) = tables.slots.get_mut(index as usize) else { return };
        if slot.stage == Stage::Queued {
            self.end(tables, index, Ending::TimedOut);
        } else if !slot.told {
            slot.told = true;
            slot.late = true;
            self.ops.told = self.ops.told.saturating_add(1);
            self.ghosts.push(Token::new(index, slot.generation), slot.tag, Ending::TimedOut);
        }
    }

    /// The message that waits whole for the same key.
    #[inline(never)]
    pub(super) fn older_value(&self, tables: &Tables<'_>, key: NonZeroU64) -> Option<u32> {
        let mut at = self.ops.cursor;
        while let Some(slot) = tables.slots.get(at as usize) {
            if slot.key == Some(key) && is_whole(slot) {
                return Some(at);
            }
            at = next(tables.slots, at);
        }
        None
    }

    /// Ends an older value if there is room for the later one in its place; otherwise nothing changes.
    #[inline(never)]
    pub(super) fn replace(
        &mut self,
        tables: &mut Tables<'_>,
        older: u32,
        bytes: usize,
    ) -> Result<(), PublishError> {
        let freed = tables.slots.get(older as usize).map_or(0, |slot| slot.cost as usize);
        if self.kept.saturating_sub(freed).saturating_add(bytes) > self.bounds.arena {
            self.blocked = Some(bytes);
            return Err(PublishError::BytesFull);
        }
        if self.ops.in_use() < self.bounds.operations {
            self.end(tables, older, Ending::Dropped);
        } else if !self.end_without_slot(tables, older) {
            self.blocked = Some(bytes);
            return Err(PublishError::QueueFull);
        }
        Ok(())
    }

    /// Drops what the policy lets go of until `bytes` fit, or nothing more may go.
    #[inline(never)]
    pub(super) fn make_room(&mut self, tables: &mut Tables<'_>, bytes: usize) {
        let step: fn(&[Slot], u32) -> u32 = match self.config.when_full {
            WhenFull::Reject => return,
            WhenFull::DropOldest => next,
            WhenFull::DropNewest => prev,
        };
        let oldest = self.config.when_full == WhenFull::DropOldest;
        let mut at = if oldest { self.ops.cursor } else { self.ops.order.tail() };
        while at != NONE && self.room_for(bytes).is_err() {
            let Some(slot) = tables.slots.get(at as usize).copied() else { return };
            if !oldest && slot.stage != Stage::Queued {
                return;
            }
            let following = step(tables.slots, at);
            if is_whole(&slot) {
                if self.ops.in_use() < self.bounds.operations {
                    self.end(tables, at, Ending::Dropped);
                } else if !self.end_without_slot(tables, at) {
                    return;
                }
            }
            at = following;
        }
    }

    /// Ends an operation whose slot is wanted at once; its `Done` waits elsewhere. False: too many wait
    /// there already.
    fn end_without_slot(&mut self, tables: &mut Tables<'_>, index: u32) -> bool {
        if !self.ghosts.has_room() {
            return false;
        }
        let silent = tables.slots.get(index as usize).is_none_or(|slot| self.is_silent(slot));
        let recorded = self.records() && Self::leave_slot(tables, index);
        if let Some((token, tag)) = self.complete(tables, index)
            && !silent
        {
            self.ghosts.push(token, tag, Ending::Dropped);
            if recorded {
                self.ghosts.delete_last();
            }
        }
        true
    }
}

/// Operations that ended while their slot is used on: a short queue of `Done`s to be fetched.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Ghosts {
    waiting: [(Token, u64, Ending); 8],
    len: usize,
    /// A bit for each of `waiting`: its record is to be deleted once it was told.
    recorded: u8,
    /// Told, record to be deleted.
    deletes: [Token; 8],
    deletes_len: usize,
}

impl Ghosts {
    pub(super) const fn new() -> Self {
        Self {
            waiting: [(Token::new(0, 0), 0, Ending::Dropped); 8],
            len: 0,
            recorded: 0,
            deletes: [Token::new(0, 0); 8],
            deletes_len: 0,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.len.saturating_add(self.deletes_len) < self.waiting.len()
    }

    pub(super) fn push(&mut self, token: Token, tag: u64, ending: Ending) {
        if let Some(place) = self.waiting.get_mut(self.len) {
            *place = (token, tag, ending);
            self.len = self.len.saturating_add(1);
        }
    }

    pub(super) fn pop(&mut self) -> Option<(Token, u64, Ending)> {
        let first = self.waiting.get(..self.len)?.first().copied()?;
        self.waiting.rotate_left(1);
        self.len = self.len.saturating_sub(1);
        let recorded = self.recorded & 1 == 1;
        self.recorded >>= 1;
        if recorded && let Some(place) = self.deletes.get_mut(self.deletes_len) {
            *place = first.0;
            self.deletes_len = self.deletes_len.saturating_add(1);
        }
        Some(first)
    }

    /// The last one that was pushed has a record.
    pub(super) fn delete_last(&mut self) {
        let last = u32::try_from(self.len.saturating_sub(1)).unwrap_or(0);
        self.recorded |= 1u8.wrapping_shl(last);
    }

    /// The operation whose record is to be deleted next.
    pub(super) fn next_delete(&mut self) -> Option<Token> {
        let first = self.deletes.get(..self.deletes_len)?.first().copied()?;
        self.deletes.rotate_left(1);
        self.deletes_len = self.deletes_len.saturating_sub(1);
        Some(first)
    }
}
