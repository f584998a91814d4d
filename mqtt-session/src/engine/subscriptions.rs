//! Subscriptions that were granted, remembered so that they can be made again.
//!
//! A SUBSCRIBE that ended well stays in its slot, off the queue. What it keeps shrinks as filters are
//! refused, taken over by a later SUBSCRIBE or taken back by an UNSUBSCRIBE; with the last filter it goes.

use mqtt_proto::{Properties, ReasonCodes, Subscriptions};

use super::Core;
use crate::event::{Event, Outcome};
use crate::list::{NONE, change, next};
use crate::operation::{Kind, Slot};
use crate::qos::Stage;
use crate::storage::Tables;
use crate::time::Instant;
use crate::token::Token;

/// Where filter number `wanted` lies in the stored filters of an operation, with its length in all.
fn place(slot: &Slot, arena: &[u8], wanted: usize) -> Option<(usize, usize)> {
    let start = (slot.at as usize).checked_add(slot.properties_len as usize)?;
    let body = slot.body(arena);
    let mut at = 0usize;
    for number in 0.. {
        let length =
            body.get(at..)?.first_chunk::<2>().map(|bytes| usize::from(u16::from_be_bytes(*bytes)))?;
        // A length, the filter and, in SUBSCRIBE, the options.
        let len = length.checked_add(if slot.kind == Kind::Subscribe { 3 } else { 2 })?;
        if number == wanted {
            return Some((start.checked_add(at)?, len));
        }
        at = at.checked_add(len)?;
    }
    None
}

/// The text of filter number `number`, as bytes.
fn text<'a>(slot: &Slot, arena: &'a [u8], number: usize) -> Option<&'a [u8]> {
    let (at, _) = place(slot, arena, number)?;
    let length = arena.get(at..)?.first_chunk::<2>().map(|bytes| usize::from(u16::from_be_bytes(*bytes)))?;
    let start = at.checked_add(2)?;
    arena.get(start..start.checked_add(length)?)
}

/// Takes filter number `number` out of what an operation keeps. The room it had stays its own.
fn remove(tables: &mut Tables<'_>, index: u32, number: usize) {
    let Some(slot) = tables.slots.get_mut(index as usize) else { return };
    let Some((at, len)) = place(slot, tables.arena, number) else { return };
    let end = (slot.at as usize)
        .saturating_add(slot.properties_len as usize)
        .saturating_add(slot.payload_len as usize);
    let behind = at.saturating_add(len);
    if behind <= end && end <= tables.arena.len() {
        tables.arena.copy_within(behind..end, at);
        slot.payload_len = slot.payload_len.saturating_sub(u32::try_from(len).unwrap_or(0));
        slot.filters = slot.filters.saturating_sub(1);
    }
}

impl Core {
    /// SUBACK came: what was granted is held. O(filters · held filters).
    pub(super) fn granted<'i>(
        &mut self,
        tables: &mut Tables<'_>,
        index: u32,
        codes: ReasonCodes<'i>,
        properties: Properties<'i>,
    ) -> Option<Event<'i>> {
        let slot = *tables.slots.get(index as usize)?;
        let mut number = 0usize;
        for code in codes.iter() {
            if code.is_error() {
                remove(tables, index, number);
            } else {
                self.forget(tables, index, number);
                number = number.saturating_add(1);
            }
        }
        let token = Token::new(index, slot.generation);
        let event = match (slot.late, slot.told) {
            (true, _) => None,
            (_, true) => Some(Event::Resubscribed { token, codes, properties }),
            _ => Some(Event::Done { token, tag: slot.tag, outcome: Outcome::Granted(codes), properties }),
        };
        // One slot stays free for work: what a full table could not be rid of would block it for ever.
        let room = self.ops.held.len().saturating_add(1) < self.bounds.operations;
        if number == 0 || !room {
            let _ = self.complete(tables, index);
        } else {
            if slot.told {
                self.ops.told = self.ops.told.saturating_sub(1);
            }
            self.give_quota(tables, index);
            self.release_id(tables, index);
            self.ops.cannot_expire(tables.slots, index);
            self.ops.unlink(tables.slots, index);
            change(tables.slots, index, |slot| {
                slot.stage = Stage::Held;
                slot.told = true;
                slot.late = false;
                slot.expires = Instant::NEVER;
            });
            self.ops.held.push_back(tables.slots, index);
            if self.records() {
                self.note_changed(tables, index);
            }
        }
        event
    }

    /// A SUBSCRIBE or UNSUBSCRIBE that is sent again has the last word on its filters: what is held of
    /// them is not made again behind it. O(in flight · held filters).
    pub(super) fn forget_superseded(&mut self, tables: &mut Tables<'_>) {
        let mut at = self.ops.order.head();
        while let Some(slot) = tables.slots.get(at as usize).copied() {
            if slot.kind != Kind::Publish && slot.stage != Stage::Queued {
                for number in 0..usize::from(slot.filters) {
                    self.forget(tables, at, number);
                }
            }
            at = next(tables.slots, at);
        }
    }

    /// UNSUBACK came: what was taken back is not held any more. O(filters · held filters).
    pub(super) fn unsubscribed(&mut self, tables: &mut Tables<'_>, index: u32, codes: ReasonCodes<'_>) {
        let Some(filters) = tables.slots.get(index as usize).map(|slot| usize::from(slot.filters)) else {
            return;
        };
        // The UNSUBACK of 3.x has no codes: everything was taken back.
        let mut codes = codes.iter();
        for number in 0..filters {
            if !codes.next().is_some_and(mqtt_proto::ReasonCode::is_error) {
                self.forget(tables, index, number);
            }
        }
    }

    /// Filter `number` of operation `by` is held by no other operation from now on.
    fn forget(&mut self, tables: &mut Tables<'_>, by: u32, number: usize) {
        let mut at = self.ops.held.head();
        while at != NONE {
            let following = next(tables.slots, at);
            while let Some(found) = self.find_filter(tables, at, by, number) {
                remove(tables, at, found);
                if self.records() {
                    self.note_changed(tables, at);
                }
            }
            if tables.slots.get(at as usize).is_some_and(|slot| slot.filters == 0) {
                let _ = self.complete(tables, at);
            }
            at = following;
        }
    }

    /// The number that filter `number` of operation `by` has in the SUBSCRIBE `index`.
    fn find_filter(&self, tables: &Tables<'_>, index: u32, by: u32, number: usize) -> Option<usize> {
        let wanted = text(tables.slots.get(by as usize)?, tables.arena, number)?;
        let slot = tables.slots.get(index as usize)?;
        let body = slot.body(tables.arena);
        Subscriptions::from_stored(body).iter().position(|item| item.filter.as_str().as_bytes() == wanted)
    }
}
