//! Records: which fall due, which must be stored before something may leave, and what becomes of those
//! that cannot be.
//!
//! An operation has one record of its own. A PUBLISH has a second, small one, the mark: it may have been
//! sent, with this packet identifier, to this session on the server. What a journal holds of a PUBLISH
//! says how far it came:
//!
//! ```text
//!  record            accepted, never sent
//!  record and mark   may have been sent: again with DUP and the same identifier
//!  mark alone        QoS 2: PUBREC came, only PUBREL goes again. QoS 1: over
//!  nothing           over, and its `Done` was told
//! ```

use core::time::Duration;

use mqtt_proto::Qos;

use super::Core;
use super::pump::Stop;
use crate::config::{Durability, OverQos, WhenNotStored};
use crate::event::Event;
use crate::journal::{
    END, Entry, KEPT, MARK, MARK_GIVEN, MARK_STORED, OLDER, OLDER_MARK, OLDER_PUT, PUT, PUT_GIVEN,
    PUT_STORED, RELEASE, RELEASE_GIVEN, RELEASED,
};
use crate::list::{NONE, change, next};
use crate::operation::{Ending, Kind, Slot};
use crate::qos::Stage;
use crate::record::{FOR_EVER, HEAD, HELD, Head, Key, Part, RETAIN, RecordKind, SOURCED};
use crate::storage::{Table, Tables};
use crate::time::Instant;
use crate::token::Token;

/// Something for the driver to carry out; the shell lends what it is about.
pub(crate) enum Give {
    Open {
        attempt: u32,
        server: u8,
    },
    Close,
    /// The head of the record, and the operation whose content follows.
    Put(Key, [u8; HEAD], Option<u32>),
    /// The head of the session's own record, whose content is the assigned client identifier.
    PutSession([u8; HEAD]),
    Delete(Key),
}

fn entry(tables: &Tables<'_>, index: u32) -> Entry {
    tables.journal.get(index as usize).copied().unwrap_or(Entry::EMPTY)
}

fn set(tables: &mut Tables<'_>, index: u32, bits: u16) {
    change(tables.journal, index, |entry| entry.bits |= bits);
}

fn unset(tables: &mut Tables<'_>, index: u32, bits: u16) {
    change(tables.journal, index, |entry| entry.bits &= !bits);
}

/// The session on the server is lost, and with it what the mark says.
fn forget_mark(tables: &mut Tables<'_>, index: u32) {
    unset(tables, index, MARK | MARK_STORED);
}

impl Core {
    /// Whether there are records at all.
    #[inline]
    pub(super) fn records(&self) -> bool {
        self.config.durability != Durability::Off
    }

    /// Whether what depends on a record waits for it.
    #[inline]
    pub(super) fn gates(&self) -> bool {
        self.config.durability == Durability::BeforeSend
    }

    // ---- what falls due ------------------------------------------------------------------------

    /// An operation was accepted. A QoS 0 message has no record: nothing is promised of it.
    #[cold]
    pub(super) fn note_accepted(&mut self, tables: &mut Tables<'_>, index: u32) {
        self.journal.sequence = self.journal.sequence.saturating_add(1);
        let kept = tables.slots.get(index as usize).is_some_and(|slot| !slot.is_qos0());
        let (sequence, bits) = (self.journal.sequence, if kept { KEPT | PUT } else { 0 });
        change(tables.journal, index, |entry| *entry = Entry { sequence, bits, ..Entry::EMPTY });
        if kept {
            self.journal.commands.add(tables.journal, index);
        }
    }

    /// What an operation keeps, or how far it came, has changed: its record is put again.
    #[cold]
    pub(super) fn note_changed(&mut self, tables: &mut Tables<'_>, index: u32) {
        self.due(tables, index, PUT);
    }

    fn due(&mut self, tables: &mut Tables<'_>, index: u32, bits: u16) {
        set(tables, index, bits);
        self.journal.commands.add(tables.journal, index);
    }

    /// A PUBLISH gets its identifier in the journal before it is handed out, as far ahead as the server's
    /// quota goes: its mark can then be stored together with its record.
    #[cold]
    pub(super) fn reserve_ahead(&mut self, tables: &mut Tables<'_>) -> Result<(), Stop> {
        while self.ops.ahead != NONE {
            let index = self.ops.ahead;
            if self.config.over_qos == OverQos::Lower {
                self.lower_qos(tables, index);
            }
            let Some(slot) = tables.slots.get(index as usize).copied() else { return Ok(()) };
            if slot.is_request() && slot.packet_id.is_none() {
                // It needs an identifier too, and its turn comes first.
                return Ok(());
            }
            let fresh = slot.kind == Kind::Publish
                && slot.qos != Qos::AtMostOnce
                && slot.packet_id.is_none()
                && entry(tables, index).has(KEPT);
            if fresh {
                let quota = u32::from(self.limits.receive_maximum.min(self.bounds.ids));
                if self.in_flight().saturating_add(self.journal.reserved) >= quota {
                    return Ok(());
                }
                match self.ids.needed(self.bounds.ids) {
                    _ if !self.may_take_id(slot.qos) => return Ok(()),
                    None => return Ok(()),
                    Some(len) if len > tables.ids.len() => return Err(Stop::Need(Table::Ids, len)),
                    Some(_) => {}
                }
                let id = self.ids.take(tables.ids, self.bounds.ids, index);
                change(tables.slots, index, |slot| slot.packet_id = id);
                self.reserve(tables, index, slot.touched);
                self.due(tables, index, MARK);
            }
            self.ops.ahead = next(tables.slots, index);
        }
        Ok(())
    }

    /// A PUBLISH holds an identifier in the journal, and no byte of it was sent in this session.
    pub(super) fn reserve(&mut self, tables: &mut Tables<'_>, index: u32, was_touched: bool) {
        change(tables.slots, index, |slot| {
            slot.reserved = true;
            slot.was_touched = was_touched;
            // As the journal has it, it may have been sent.
            slot.touched = true;
        });
        self.journal.reserved = self.journal.reserved.saturating_add(1);
    }

    /// A PUBLISH that was reserved is handed out, or its session is lost.
    fn unreserve(&mut self, tables: &mut Tables<'_>, index: u32) -> bool {
        let slot = tables.slots.get_mut(index as usize);
        let was = slot.is_some_and(|slot| core::mem::take(&mut slot.reserved));
        if was {
            self.journal.reserved = self.journal.reserved.saturating_sub(1);
        }
        was
    }

    /// Nothing of a PUBLISH was sent in a session that is lost; true: it holds nothing of it any more.
    #[cold]
    pub(super) fn unreserve_lost(&mut self, tables: &mut Tables<'_>, index: u32) -> bool {
        forget_mark(tables, index);
        if !self.unreserve(tables, index) {
            return false;
        }
        self.release_id(tables, index);
        change(tables.slots, index, |slot| slot.touched = slot.was_touched);
        true
    }

    /// A PUBLISH was handed out: its mark falls due unless the journal was given it before.
    #[cold]
    pub(super) fn note_sent(&mut self, tables: &mut Tables<'_>, index: u32) {
        let Some(slot) = tables.slots.get_mut(index as usize) else { return };
        if slot.reserved {
            slot.reserved = false;
            slot.first_time = true;
            self.journal.reserved = self.journal.reserved.saturating_sub(1);
        } else if slot.first_time {
            self.due(tables, index, MARK);
        }
    }

    /// PUBREC came: PUBLISH is never sent again, so its record goes.
    #[cold]
    pub(super) fn note_released(&mut self, tables: &mut Tables<'_>, index: u32) {
        unset(tables, index, PUT);
        self.due(tables, index, RELEASE);
    }

    /// An operation has ended and its slot would be free: not before its records are deleted. False: it
    /// has none.
    #[cold]
    pub(super) fn leave(&mut self, tables: &mut Tables<'_>, index: u32) -> bool {
        self.journal.told.remove(tables.journal, index);
        if !entry(tables, index).any(PUT_GIVEN | MARK_GIVEN | OLDER) {
            self.journal.commands.remove(tables.journal, index);
            change(tables.journal, index, |entry| *entry = Entry::EMPTY);
            return false;
        }
        unset(tables, index, PUT | MARK | RELEASE);
        self.due(tables, index, END);
        true
    }

    /// Takes the records of an operation out of its slot, which is used on at once. True: there is one to
    /// delete.
    #[cold]
    pub(super) fn leave_slot(tables: &mut Tables<'_>, index: u32) -> bool {
        let given = entry(tables, index).has(PUT_GIVEN);
        unset(tables, index, PUT_GIVEN);
        given
    }

    // ---- what waits for a record ---------------------------------------------------------------

    /// Whether everything is stored on which the operation's packet depends.
    #[cold]
    pub(super) fn may_leave(&self, tables: &Tables<'_>, index: u32) -> bool {
        let entry = entry(tables, index);
        let publish = tables.slots.get(index as usize).is_some_and(|slot| slot.kind == Kind::Publish);
        let needed = if publish { PUT_STORED | MARK_STORED } else { PUT_STORED };
        entry.has(needed) || !entry.has(KEPT)
    }

    /// Whether a crash from now on cannot send the PUBLISH again, so that PUBREL may leave.
    #[cold]
    pub(super) fn may_release(&self, tables: &Tables<'_>, index: u32) -> bool {
        let entry = entry(tables, index);
        !self.gates() || entry.has(RELEASED) || !entry.has(KEPT)
    }

    // ---- what is given to the driver -----------------------------------------------------------

    /// The next record to put or to delete.
    #[cold]
    pub(super) fn next_record(&mut self, tables: &mut Tables<'_>) -> Option<Give> {
        if self.journal.session_due {
            return Some(self.session_record());
        }
        if let Some(key) = self.exchanges.next_delete(tables.exchanges) {
            return Some(Give::Delete(key));
        }
        if let Some(key) = self.exchanges.next_put(tables.exchanges) {
            let head = self.head(RecordKind::Exchange, key);
            return Some(Give::Put(key, head.encode(&[], &[]), None));
        }
        if let Some(token) = self.ghosts.next_delete() {
            return Some(Give::Delete(Key::new(Part::Operation, token.index(), token.generation())));
        }
        while !self.journal.commands.is_empty() {
            if let Some(give) = self.next_of(tables, self.journal.commands.head()) {
                return Some(give);
            }
        }
        None
    }

    /// The next command about an operation on the list; `None`: it has left the list.
    fn next_of(&mut self, tables: &mut Tables<'_>, index: u32) -> Option<Give> {
        let slot = tables.slots.get(index as usize).copied();
        let entry = entry(tables, index);
        let key = |part| Key::new(part, index, slot.map_or(0, |slot| slot.generation));
        let give = if entry.any(OLDER) {
            // The record goes before the mark here too.
            let (bit, part) =
                if entry.has(OLDER_PUT) { (OLDER_PUT, Part::Operation) } else { (OLDER_MARK, Part::Mark) };
            unset(tables, index, bit);
            Some(Give::Delete(Key::new(part, index, entry.older)))
        } else if entry.has(PUT) {
            unset(tables, index, PUT);
            set(tables, index, PUT_GIVEN);
            let head = slot.and_then(|slot| self.operation_head(tables, index, &slot));
            head.map(|head| Give::Put(key(Part::Operation), head, Some(index)))
        } else if entry.has(MARK) {
            unset(tables, index, MARK);
            set(tables, index, MARK_GIVEN);
            change(tables.journal, index, |entry| entry.marks_out = entry.marks_out.saturating_add(1));
            slot.map(|slot| Give::Put(key(Part::Mark), self.mark_head(tables, index, &slot), None))
        } else if entry.has(RELEASE) {
            unset(tables, index, RELEASE);
            set(tables, index, RELEASE_GIVEN);
            if entry.has(PUT_GIVEN) {
                unset(tables, index, PUT_GIVEN);
                Some(Give::Delete(key(Part::Operation)))
            } else {
                set(tables, index, RELEASED);
                None
            }
        } else if entry.has(END) {
            return self.next_of_ended(tables, index, &entry, key);
        } else {
            None
        };
        // What else is due comes behind what fell due meanwhile.
        self.journal.commands.remove(tables.journal, index);
        if self::entry(tables, index).any(PUT | MARK | RELEASE | END | OLDER) {
            self.journal.commands.add(tables.journal, index);
        }
        give
    }

    /// The record goes before the mark: a record alone would be sent again.
    fn next_of_ended(
        &mut self,
        tables: &mut Tables<'_>,
        index: u32,
        entry: &Entry,
        key: impl Fn(Part) -> Key,
    ) -> Option<Give> {
        let (bit, part) =
            if entry.has(PUT_GIVEN) { (PUT_GIVEN, Part::Operation) } else { (MARK_GIVEN, Part::Mark) };
        let given = entry.has(bit).then(|| Give::Delete(key(part)));
        unset(tables, index, bit);
        if !self::entry(tables, index).any(PUT_GIVEN | MARK_GIVEN) {
            self.journal.commands.remove(tables.journal, index);
            change(tables.journal, index, |entry| *entry = Entry::EMPTY);
            self.ops.free.give(tables.slots, index);
        }
        given
    }

    pub(super) fn head(&self, kind: RecordKind, key: Key) -> Head {
        Head::new(kind, key, self.journal.client, self.journal.session)
    }

    fn operation_head(&self, tables: &Tables<'_>, index: u32, slot: &Slot) -> Option<[u8; HEAD]> {
        let kind = match slot.kind {
            Kind::Publish => RecordKind::Publish,
            Kind::Subscribe => RecordKind::Subscribe,
            Kind::Unsubscribe => RecordKind::Unsubscribe,
        };
        let mut head = self.head(kind, Key::new(Part::Operation, index, slot.generation));
        let held = slot.kind == Kind::Subscribe && (slot.told || slot.stage == Stage::Held);
        let flags = [(slot.retain, RETAIN), (held, HELD), (slot.sourced, SOURCED)];
        head.flags =
            flags.into_iter().filter(|(is, _)| *is).fold(slot.asked as u8, |all, (_, flag)| all | flag);
        let own = entry(tables, index);
        // Before the time is told, lifetimes are spans.
        let first = tables.journal.get(self.ops.unstamped() as usize);
        let is_span = first.is_some_and(|first| own.sequence >= first.sequence);
        let left = |expires: Instant| match expires {
            Instant::NEVER => FOR_EVER,
            expires if is_span => expires.as_micros(),
            expires => u64::try_from(expires.since(self.now).as_micros()).unwrap_or(FOR_EVER),
        };
        head.sequence = own.sequence;
        head.tag = slot.tag;
        head.topic_len = slot.topic_len;
        head.filters = slot.filters;
        head.properties_len = slot.properties_len;
        head.payload_len = slot.payload_len;
        head.expires = left(slot.expires);
        head.wire_expires = left(slot.wire_expires);
        head.latest = slot.key.map_or(0, core::num::NonZeroU64::get);
        let start = slot.at as usize;
        let len = usize::from(slot.topic_len).saturating_add(slot.properties_len as usize);
        let content = tables.arena.get(start..start.saturating_add(len))?;
        let payload = match (slot.sourced, slot.shared) {
            (true, _) => &[],
            (false, true) => tables.shared.get(index),
            (false, false) => slot.body(tables.arena),
        };
        Some(head.encode(content, payload))
    }

    fn mark_head(&self, tables: &Tables<'_>, index: u32, slot: &Slot) -> [u8; HEAD] {
        let mut head = self.head(RecordKind::Mark, Key::new(Part::Mark, index, slot.generation));
        head.flags = slot.qos as u8;
        head.packet_id = slot.packet_id.map_or(0, mqtt_proto::PacketId::get);
        head.sequence = entry(tables, index).sequence;
        head.tag = slot.tag;
        head.encode(&[], &[])
    }

    // ---- what the driver answers ---------------------------------------------------------------

    pub(crate) fn stored(&mut self, tables: &mut Tables<'_>, key: Key) {
        self.answered_for(tables, key, true);
        self.settle(tables);
    }

    pub(crate) fn not_stored(&mut self, tables: &mut Tables<'_>, key: Key) {
        self.answered_for(tables, key, false);
        self.settle(tables);
    }

    fn answered_for(&mut self, tables: &mut Tables<'_>, key: Key, stored: bool) {
        match key.part() {
            Part::Session => self.session_answered(),
            Part::Exchange => {
                self.exchanges.stored(tables.exchanges, key);
                self.sweep_notes(tables);
            }
            Part::Operation | Part::Mark => {
                let index = key.index();
                let known = tables
                    .slots
                    .get(index as usize)
                    .is_some_and(|slot| slot.generation == key.generation() && slot.stage != Stage::Ended);
                if known && key.part() == Part::Mark {
                    self.mark_answered(tables, index, stored);
                } else if known {
                    self.put_answered(tables, index, stored);
                }
            }
        }
    }

    fn put_answered(&mut self, tables: &mut Tables<'_>, index: u32, stored: bool) {
        let entry = entry(tables, index);
        if entry.has(RELEASE_GIVEN) && (self.gates() || entry.has(PUT_STORED)) {
            set(tables, index, RELEASED);
        } else if !entry.has(PUT_STORED) && entry.any(PUT_GIVEN | RELEASE_GIVEN) {
            if !stored && self.may_end_unstored(tables, index) {
                self.end(tables, index, Ending::NotStored);
                return;
            }
            set(tables, index, PUT_STORED);
            let publish = tables.slots.get(index as usize).is_some_and(|slot| slot.kind == Kind::Publish);
            if stored && publish {
                self.journal.told.add(tables.journal, index);
            }
        }
    }

    fn mark_answered(&mut self, tables: &mut Tables<'_>, index: u32, stored: bool) {
        let numbered = tables.slots.get(index as usize).is_some_and(|slot| slot.packet_id.is_some());
        let Some(entry) = tables.journal.get_mut(index as usize) else { return };
        entry.marks_out = entry.marks_out.saturating_sub(1);
        // Only the answer for the last one counts: an earlier one was for a session that is lost, as is this one where
        // the message has no identifier any more.
        let last = entry.marks_out == 0 && numbered;
        if !last || !entry.has(MARK_GIVEN) || entry.has(MARK) || entry.has(MARK_STORED) {
            return;
        }
        if !stored && self.may_end_unstored(tables, index) {
            self.end(tables, index, Ending::NotStored);
        } else {
            set(tables, index, MARK_STORED);
        }
    }

    /// Whether an operation whose record could not be stored ends: nothing of it was sent yet.
    fn may_end_unstored(&self, tables: &Tables<'_>, index: u32) -> bool {
        self.gates()
            && self.config.when_not_stored == WhenNotStored::End
            && tables.slots.get(index as usize).is_some_and(|slot| {
                slot.stage == Stage::Queued && !slot.told && (slot.reserved || !slot.touched)
            })
    }

    // ---- what is told --------------------------------------------------------------------------

    /// The next publish that is safe.
    #[cold]
    pub(super) fn next_durable(&mut self, tables: &mut Tables<'_>) -> Option<Event<'static>> {
        let index = self.journal.told.head();
        let slot = tables.slots.get(index as usize)?;
        let token = Token::new(index, slot.generation);
        self.journal.told.remove(tables.journal, index);
        Some(Event::Durable { token })
    }
}

/// A lifetime as a record has it, made less by the time since it was written.
pub(super) fn aged(left: u64, age: Option<Duration>) -> Instant {
    if left == FOR_EVER {
        return Instant::NEVER;
    }
    let age = age.map_or(0, crate::time::micros);
    Instant::from_micros(left.saturating_sub(age).min(FOR_EVER.saturating_sub(1)))
}

const _: () = assert!(NONE == u32::MAX, "an index that is nowhere finds no entry");
