//! The straight way of an acknowledgement: four bytes that move an ordinary publish on, or end it.
//!
//! One look at the identifier's operation decides. Whatever is out of the ordinary is left to `receive`: another
//! answer than the one that is awaited, an operation that keeps more than its message, a journal.

use mqtt_proto::{PacketId, PacketType, Properties, ReasonCode, short_ack};

use super::Core;
use super::receive::SHORT_ACK;
use crate::event::{Event, Outcome};
use crate::ids::IdEntry;
use crate::operation::Slot;
use crate::qos::{Answer, Stage, awaits};
use crate::storage::Tables;
use crate::time::Instant;
use crate::token::Token;

/// What became of the packet at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Straight {
    /// It was taken, and there is something to tell.
    Told,
    /// It was taken; there may be more.
    Moved,
    /// It is still there.
    Other,
}

impl Core {
    /// Takes one acknowledgement off the front of the input, if it is an ordinary one.
    #[inline(never)]
    pub(super) fn receive_ack<'i>(
        &mut self,
        tables: &mut Tables<'_>,
        input: &mut &'i [u8],
        event: &mut Option<Event<'i>>,
    ) -> Straight {
        let Some((packet_type, id)) = short_ack(input) else { return Straight::Other };
        let answer = match packet_type {
            PacketType::Puback => Answer::Puback,
            PacketType::Pubrec => Answer::Pubrec,
            PacketType::Pubcomp => Answer::Pubcomp,
            _ => return self.receive_release(tables, input, id),
        };
        let Some(stage) = awaits(answer) else { return Straight::Other };
        if !self.takes_straight() {
            return Straight::Other;
        }
        let Some(index) = self.ids.slot(tables.ids, id) else { return Straight::Other };
        let Some(slot) = tables.slots.get_mut(index as usize) else { return Straight::Other };
        if slot.stage != stage || slot.told || slot.expires != Instant::NEVER || !self.has_left(slot) {
            return Straight::Other;
        }
        self.take(input, SHORT_ACK);
        self.time_answer(id);
        self.progressed();
        if stage == Stage::AwaitPubcomp {
            self.done(tables.ids, slot, index, id, event);
            self.ops.unlink_released(tables.slots, index);
            self.ops.free.give(tables.slots, index);
            return Straight::Told;
        }
        self.free_quota(slot);
        self.free_content(slot, index, tables.arena, &mut tables.shared);
        if stage == Stage::AwaitPubrec {
            self.ops.released(tables.slots, index);
            return Straight::Moved;
        }
        self.done(tables.ids, slot, index, id, event);
        self.ops.unlink_waiting(tables.slots, index);
        self.ops.free.give(tables.slots, index);
        Straight::Told
    }

    /// The same for a PUBREL, which owes a PUBCOMP.
    #[inline(never)]
    fn receive_release(&mut self, tables: &mut Tables<'_>, input: &mut &[u8], id: PacketId) -> Straight {
        if !self.takes_straight() || self.owed.len() >= tables.owed.len() {
            return Straight::Other;
        }
        self.take(input, SHORT_ACK);
        self.handle_pubrel(tables, id);
        Straight::Moved
    }

    /// Tells the end of a publish, and frees its identifier.
    #[inline(always)]
    fn done(
        &mut self,
        ids: &mut [IdEntry],
        slot: &mut Slot,
        index: u32,
        id: PacketId,
        event: &mut Option<Event<'_>>,
    ) {
        let token = Token::new(index, slot.generation);
        let outcome = Outcome::Acked(ReasonCode::Success);
        *event = Some(Event::Done { token, tag: slot.tag, outcome, properties: Properties::EMPTY });
        slot.packet_id = None;
        slot.stage = Stage::Ended;
        self.ids.give(ids, id);
    }
}
