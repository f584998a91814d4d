//! How operations end: what they let go of, and who is told.

use mqtt_proto::Properties;

use super::Core;
use crate::event::{Event, Outcome};
use crate::list::{NONE, change};
use crate::operation::{Ending, Slot};
use crate::qos::Stage;
use crate::storage::{Shared, Tables};
use crate::time::Instant;
use crate::token::Token;

impl Core {
    /// The next `Done` to be fetched.
    pub(super) fn next_ended(&mut self, tables: &mut Tables<'_>) -> Option<Event<'static>> {
        if let Some((token, tag, ending)) = self.ghosts.pop() {
            if let Ending::Forgotten(code) = ending {
                return Some(Event::SubscriptionLost { token, code });
            }
            return Some(Event::Done { token, tag, outcome: told(ending), properties: Properties::EMPTY });
        }
        let index = self.ops.ended.pop_front(tables.slots)?;
        let slot = tables.slots.get(index as usize)?;
        let outcome = told(slot.ending);
        let token = Token::new(index, slot.generation);
        let done = Event::Done { token, tag: slot.tag, outcome, properties: Properties::EMPTY };
        self.recycle(tables, index);
        Some(done)
    }

    /// Lets go of what an operation kept.
    pub(super) fn release_content(&mut self, tables: &mut Tables<'_>, index: u32) {
        let Tables { slots, arena, shared, .. } = tables;
        if let Some(slot) = slots.get_mut(index as usize) {
            self.free_content(slot, index, arena, shared);
        }
    }

    #[inline(always)]
    pub(super) fn free_content(
        &mut self,
        slot: &mut Slot,
        index: u32,
        arena: &mut [u8],
        shared: &mut Shared<'_>,
    ) {
        if slot.at != NONE {
            self.kept = self.kept.wrapping_sub(slot.cost as usize);
            self.arena.free(arena, slot.at);
            slot.at = NONE;
            if core::mem::take(&mut slot.shared) {
                shared.drop(index);
            }
        }
    }

    pub(super) fn release_id(&mut self, tables: &mut Tables<'_>, index: u32) {
        let slot = tables.slots.get_mut(index as usize);
        if let Some(id) = slot.and_then(|slot| slot.packet_id.take()) {
            self.ids.give(tables.ids, id);
        }
    }

    /// An operation that was handed out on this connection has left the order of acceptance.
    pub(super) fn give_quota(&mut self, tables: &Tables<'_>, index: u32) {
        if let Some(slot) = tables.slots.get(index as usize) {
            self.free_quota(slot);
        }
    }

    #[inline(always)]
    pub(super) fn free_quota(&mut self, slot: &Slot) {
        let connection = &mut self.connection;
        if slot.epoch != connection.epoch {
            return;
        }
        if matches!(slot.stage, Stage::AwaitSuback | Stage::AwaitUnsuback) {
            connection.requests = connection.requests.saturating_sub(1);
        } else if matches!(slot.stage, Stage::AwaitPuback | Stage::AwaitPubrec) {
            connection.publishing = connection.publishing.wrapping_sub(1);
            if slot.stage == Stage::AwaitPubrec {
                connection.publishing_qos2 = connection.publishing_qos2.wrapping_sub(1);
            }
        }
    }

    /// Takes an operation off its list, and its send quota, identifier and content from it.
    #[inline]
    pub(super) fn detach(&mut self, tables: &mut Tables<'_>, index: u32) {
        let Tables { slots, ids, arena, shared, .. } = tables;
        let Some(slot) = slots.get_mut(index as usize) else { return };
        if slot.reserved {
            slot.reserved = false;
            self.journal.reserved = self.journal.reserved.saturating_sub(1);
        }
        if slot.told && slot.stage != Stage::Held {
            self.ops.told = self.ops.told.saturating_sub(1);
        }
        self.free_quota(slot);
        if let Some(id) = slot.packet_id.take() {
            self.ids.give(ids, id);
        }
        self.free_content(slot, index, arena, shared);
        if slot.expires != Instant::NEVER {
            self.ops.cannot_expire(slots, index);
        }
        self.ops.unlink(slots, index);
    }

    /// Ends an operation; its `Done` waits to be fetched.
    pub(super) fn end(&mut self, tables: &mut Tables<'_>, index: u32, ending: Ending) {
        self.detach(tables, index);
        let Some(slot) = tables.slots.get_mut(index as usize) else { return };
        let silent = self.is_silent(slot);
        slot.stage = Stage::Ended;
        slot.ending = ending;
        if silent {
            self.recycle(tables, index);
        } else {
            self.ops.ended.push_back(tables.slots, index);
        }
    }

    /// Ends an operation whose `Done` is told right now.
    #[inline]
    pub(super) fn complete(&mut self, tables: &mut Tables<'_>, index: u32) -> Option<(Token, u64)> {
        self.detach(tables, index);
        let slot = tables.slots.get(index as usize)?;
        let told = (Token::new(index, slot.generation), slot.tag);
        self.recycle(tables, index);
        Some(told)
    }

    /// Ends a QoS 2 publish whose exchange the server may have begun: PUBREL and PUBCOMP are still to
    /// end it on both sides, or the next message of its identifier would be taken for it. Its `Done` is
    /// for the caller to tell. [MQTT-4.3.3-10]
    pub(super) fn give_up_exchange(&mut self, tables: &mut Tables<'_>, index: u32) -> Option<(Token, u64)> {
        self.give_quota(tables, index);
        self.release_content(tables, index);
        let slot = tables.slots.get_mut(index as usize)?;
        slot.told = true;
        let done = (Token::new(index, slot.generation), slot.tag);
        self.ops.told = self.ops.told.saturating_add(1);
        self.ops.released(tables.slots, index);
        if self.records() {
            self.note_released(tables, index);
        }
        Some(done)
    }

    /// Whether nobody asked how this operation ends.
    pub(super) fn is_silent(&self, slot: &Slot) -> bool {
        slot.told || (slot.is_qos0() && !slot.sourced && !self.config.qos0_receipts)
    }

    /// Makes a slot that is on no list free.
    #[inline]
    pub(super) fn recycle(&mut self, tables: &mut Tables<'_>, index: u32) {
        change(tables.slots, index, |slot| slot.stage = Stage::Ended);
        if self.records() && self.leave(tables, index) {
            return;
        }
        self.ops.free.give(tables.slots, index);
    }
}

/// How an ending is told.
fn told(ending: Ending) -> Outcome<'static> {
    match ending {
        Ending::Refused(code) | Ending::Forgotten(code) => Outcome::Refused(code),
        Ending::Sent => Outcome::Sent,
        Ending::Expired => Outcome::Expired,
        Ending::Cancelled => Outcome::Cancelled,
        Ending::Dropped => Outcome::Dropped,
        Ending::Lost => Outcome::Lost,
        Ending::Unknown => Outcome::Unknown,
        Ending::Abandoned => Outcome::Abandoned,
        Ending::TimedOut => Outcome::TimedOut,
        Ending::Stopped => Outcome::Stopped,
        Ending::NotStored => Outcome::NotStored,
    }
}
