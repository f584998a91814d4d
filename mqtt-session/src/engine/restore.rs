//! Records of an earlier run, taken back before the session starts.
//!
//! Each record is checked and laid into the slot its token names, in whatever order they come. When the
//! first command or input follows, everything is put in order at once: lists by sequence, identifiers,
//! free slots. Nothing a record says is believed beyond its own operation.

use core::cmp::Ordering;
use core::num::NonZeroU64;
use core::time::Duration;

use mqtt_proto::{
    EncodedProperties, PacketId, Properties, Property, PropertyPlace, Qos, Subscriptions, TopicFilter,
    TopicFilters, TopicName,
};

use super::doubts::Doubts;
use super::persist::aged;
use super::pump::OWN_HEAD;
use super::{Core, Need};
use crate::arena::cost;
use crate::config::SessionLost;
use crate::error::RestoreError;
use crate::journal::{
    Entry, KEPT, MARK_GIVEN, MARK_STORED, OLDER, OLDER_MARK, OLDER_PUT, PUT_GIVEN, PUT_STORED, RELEASED,
};
use crate::link::State;
use crate::list::{List, NONE, change};
use crate::operation::{Ending, Kind, Slot};
use crate::qos::Stage;
use crate::record::{HELD, Head, Key, LOOSE, Parsed, RETAIN, RecordKind, SOURCED};
use crate::storage::{Table, Tables};
use crate::time::Instant;

impl Core {
    /// Takes one record back; `Ok(Some(..))`: call again when that table has grown.
    pub(crate) fn restore(
        &mut self,
        tables: &mut Tables<'_>,
        key: Key,
        record: &[u8],
        age: Option<Duration>,
    ) -> Result<Need, RestoreError> {
        let taken = self.take_back(tables, key, record, age);
        if self.journal.restoring {
            // Also after one that is refused: those before it are still to be put in order.
            self.unready();
        }
        taken
    }

    fn take_back(
        &mut self,
        tables: &mut Tables<'_>,
        key: Key,
        record: &[u8],
        age: Option<Duration>,
    ) -> Result<Need, RestoreError> {
        if !self.records() {
            return Err(RestoreError::Off);
        }
        let fresh = !self.journal.restored && self.link.state == State::Idle && self.ops.is_new();
        if !self.journal.restoring && !fresh {
            return Err(RestoreError::Started);
        }
        let parsed = Parsed::read(key, record)?;
        let head = &parsed.head;
        let bound = self.journal.client;
        if bound != 0 && head.client != 0 && head.client != bound {
            return Err(RestoreError::OtherClient);
        }
        let need = match head.kind {
            RecordKind::Session => {
                self.restore_session(&parsed, age)?;
                None
            }
            RecordKind::Exchange => self.restore_exchange(tables, head)?,
            RecordKind::Mark => self.restore_mark(tables, head)?,
            _ => self.restore_operation(tables, &parsed, age)?,
        };
        if need.is_none() {
            self.journal.restoring = true;
            self.journal.restored = true;
            if bound == 0 {
                self.journal.client = head.client;
            }
            self.journal.session = self.journal.session.max(head.session);
            self.journal.sequence = self.journal.sequence.max(head.sequence);
        }
        Ok(need)
    }

    fn restore_exchange(&mut self, tables: &mut Tables<'_>, head: &Head) -> Result<Need, RestoreError> {
        if self.exchanges.open() >= u32::from(self.bounds.inbound) {
            return Err(RestoreError::NoRoom);
        }
        if !self.exchanges.has_room(tables.exchanges.len()) {
            return Ok(Some((Table::Exchanges, tables.exchanges.len().saturating_add(1))));
        }
        if u16::try_from(head.key.index()).ok().and_then(PacketId::new).is_none() {
            return Err(RestoreError::Invalid);
        }
        if self.exchanges.restore(tables.exchanges, head.key, head.session) {
            Ok(None)
        } else {
            Err(RestoreError::Duplicate)
        }
    }

    /// Where the records of an operation belong.
    ///
    /// Of two operations in one slot the one that was accepted later counts, whichever comes first: the other has ended,
    /// and the run that told so could not delete its records. They are to be deleted now.
    fn place_for(&self, tables: &mut Tables<'_>, head: &Head, own: u16) -> Result<Place, RestoreError> {
        let index = head.key.index();
        if index >= self.bounds.operations {
            return Err(RestoreError::NoRoom);
        }
        let Some(slot) = tables.slots.get(index as usize) else {
            return Ok(Place::Need(Table::Slots, (index as usize).saturating_add(1)));
        };
        let Some(entry) = tables.journal.get_mut(index as usize) else { return Err(RestoreError::NoRoom) };
        if !entry.has(KEPT) {
            return Ok(Place::Free(*entry));
        }
        if slot.generation == head.key.generation() {
            return if entry.has(own) { Err(RestoreError::Duplicate) } else { Ok(Place::Free(*entry)) };
        }
        match head.sequence.cmp(&entry.sequence) {
            Ordering::Equal => Err(RestoreError::Duplicate),
            Ordering::Greater => Ok(Place::Taken),
            Ordering::Less => {
                let older = if own == PUT_GIVEN { OLDER_PUT } else { OLDER_MARK };
                Self::note_older(entry, head.key.generation(), older);
                Ok(Place::Over)
            }
        }
    }

    /// Records of an operation are to be deleted that had the slot before.
    fn note_older(entry: &mut Entry, generation: u32, bits: u16) {
        if entry.older != generation {
            entry.bits &= !OLDER;
            entry.older = generation;
        }
        entry.bits |= bits;
    }

    /// Takes an operation out of its slot again, which is of a later one.
    fn supersede(&mut self, tables: &mut Tables<'_>, index: u32) {
        self.release_content(tables, index);
        let Some(slot) = tables.slots.get_mut(index as usize) else { return };
        let generation = slot.generation;
        *slot = Slot::EMPTY;
        let Some(entry) = tables.journal.get_mut(index as usize) else { return };
        let given = [(PUT_GIVEN, OLDER_PUT), (MARK_GIVEN, OLDER_MARK)];
        let older = given.into_iter().filter(|(bit, _)| entry.has(*bit)).fold(0, |all, (_, bit)| all | bit);
        *entry = Entry::EMPTY;
        Self::note_older(entry, generation, older);
    }

    fn restore_mark(&mut self, tables: &mut Tables<'_>, head: &Head) -> Result<Need, RestoreError> {
        let id = PacketId::new(head.packet_id).ok_or(RestoreError::Invalid)?;
        let qos = qos_of(head)?;
        let long = head.topic_len != 0 || head.properties_len != 0 || head.payload_len != 0;
        if long {
            return Err(RestoreError::Invalid);
        }
        if id.get() > self.bounds.ids {
            return Err(RestoreError::NoRoom);
        }
        let index = head.key.index();
        let entry = match self.place_for(tables, head, MARK_GIVEN)? {
            Place::Need(table, len) => return Ok(Some((table, len))),
            Place::Over => return Ok(None),
            Place::Taken => {
                self.supersede(tables, index);
                tables.journal.get(index as usize).copied().unwrap_or(Entry::EMPTY)
            }
            Place::Free(entry) => entry,
        };
        if tables.ids.len() < usize::from(id.get()) {
            return Ok(Some((Table::Ids, id.get().into())));
        }
        if entry.has(PUT_GIVEN)
            && tables
                .slots
                .get(index as usize)
                .is_none_or(|slot| slot.kind != Kind::Publish || slot.asked < qos)
        {
            return Err(RestoreError::Invalid);
        }
        // Of two marks with one identifier, the one of the later session on the server counts: the other session is
        // lost. In one session that of the later message: the other has ended, or its identifier had not been free.
        let holder = self.ids.slot(tables.ids, id).and_then(|slot| {
            let entry = tables.journal.get(slot as usize)?;
            let slot = tables.slots.get(slot as usize).filter(|slot| slot.packet_id == Some(id))?;
            Some((slot.epoch, entry.sequence))
        });
        if holder.is_none_or(|holder| holder < (head.session, head.sequence)) {
            self.ids.claim(tables.ids, id, index);
        }
        let Some(slot) = tables.slots.get_mut(index as usize) else { return Ok(None) };
        if !entry.has(PUT_GIVEN) {
            let (generation, tag) = (head.key.generation(), head.tag);
            *slot = Slot { generation, tag, asked: qos, at: NONE, ..Slot::EMPTY };
        }
        // What was sent may have been lowered.
        slot.qos = qos;
        slot.packet_id = Some(id);
        slot.epoch = head.session;
        let bits = entry.bits | KEPT | MARK_GIVEN | MARK_STORED;
        change(tables.journal, index, |entry| *entry = Entry { sequence: head.sequence, bits, ..*entry });
        self.ops.saw(head.key.generation());
        Ok(None)
    }

    fn restore_operation(
        &mut self,
        tables: &mut Tables<'_>,
        parsed: &Parsed<'_>,
        age: Option<Duration>,
    ) -> Result<Need, RestoreError> {
        let head = &parsed.head;
        let qos = qos_of(head)?;
        let kind = check_content(parsed)?;
        let (content, payload) = (parsed.content, parsed.payload);
        let behind = if kind == Kind::Publish { 0 } else { payload.len() };
        let len = content.len().saturating_add(payload.len());
        // What can never be handed out would stand in the way for ever.
        if content.len().saturating_add(behind).saturating_add(OWN_HEAD) > self.bounds.wire {
            return Err(RestoreError::NoRoom);
        }
        let index = head.key.index();
        let place = match self.place_for(tables, head, PUT_GIVEN)? {
            Place::Need(table, len) => return Ok(Some((table, len))),
            Place::Over => return Ok(None),
            place => place,
        };
        let freed = match place {
            Place::Taken => tables.slots.get(index as usize).map_or(0, |slot| slot.cost as usize),
            _ => 0,
        };
        if self.kept.saturating_sub(freed).saturating_add(cost(len)) > self.bounds.arena {
            return Err(RestoreError::NoRoom);
        }
        if matches!(place, Place::Taken) {
            self.supersede(tables, index);
        }
        let entry = tables.journal.get(index as usize).copied().unwrap_or(Entry::EMPTY);
        let marked = entry.has(MARK_GIVEN);
        let before = tables.slots.get(index as usize).copied().unwrap_or(Slot::EMPTY);
        if marked && (kind != Kind::Publish || before.qos > qos) {
            return Err(RestoreError::Invalid);
        }
        if let Some(need) = self.room_in_arena(tables, len) {
            return Ok(Some(need));
        }
        let put = self.arena.put(tables.arena, index, len, |place| {
            let (first, second) = place.split_at_mut(content.len());
            first.copy_from_slice(content);
            second.copy_from_slice(payload);
        });
        let at = put.ok_or(RestoreError::NoRoom)?;
        self.kept = self.kept.saturating_add(cost(len));
        change(tables.slots, index, |slot| {
            *slot = Slot {
                at,
                topic_len: head.topic_len,
                properties_len: head.properties_len,
                payload_len: head.payload_len,
                cost: u32::try_from(cost(len)).unwrap_or(u32::MAX),
                generation: head.key.generation(),
                kind,
                qos: if marked { before.qos } else { qos },
                asked: qos,
                retain: head.flags & RETAIN != 0,
                filters: head.filters,
                tag: head.tag,
                key: NonZeroU64::new(head.latest),
                expires: aged(head.expires, age),
                wire_expires: aged(head.wire_expires, age),
                told: head.flags & HELD != 0,
                sourced: head.flags & SOURCED != 0,
                packet_id: before.packet_id.filter(|_| marked),
                epoch: if marked { before.epoch } else { head.session },
                ..Slot::EMPTY
            };
        });
        change(tables.journal, index, |place| {
            let bits = entry.bits | KEPT | PUT_GIVEN | PUT_STORED;
            *place = Entry { sequence: head.sequence, bits, ..entry };
        });
        self.ops.saw(head.key.generation());
        Ok(None)
    }

    /// Everything was read: puts the tables in order. O(operations · log operations), once.
    pub(crate) fn finish_restore(&mut self, tables: &mut Tables<'_>) {
        if !core::mem::take(&mut self.journal.restoring) {
            return;
        }
        let session = self.journal.session;
        let mut lists = Lists::new();
        let mut in_session = self.exchanges.open() != 0;
        let used = tables.journal.iter().rposition(|entry| entry.has(KEPT));
        let used = used.map_or(0, |last| last.saturating_add(1));
        self.ops.free.claim(used);
        for index in (0..u32::try_from(used).unwrap_or(NONE)).rev() {
            let entry = tables.journal.get(index as usize).copied().unwrap_or(Entry::EMPTY);
            if entry.has(KEPT) {
                if entry.any(OLDER) {
                    self.journal.commands.add(tables.journal, index);
                }
                in_session |= self.put_in_place(tables, index, entry, session, &mut lists);
            } else {
                self.ops.free.give(tables.slots, index);
            }
        }
        self.ids.settle(tables.ids, |slot, id| {
            tables.slots.get(slot as usize).is_some_and(|slot| slot.packet_id == Some(id))
        });
        let earlier = |first: u32, second: u32| {
            let sequence = |index: u32| tables.journal.get(index as usize).map(|entry| entry.sequence);
            sequence(first) < sequence(second)
        };
        for list in [&mut lists.sent, &mut lists.queued, &mut lists.release, &mut lists.held] {
            list.sort(tables.slots, earlier);
        }
        while let Some(index) = lists.queued.pop_front(tables.slots) {
            lists.sent.push_back(tables.slots, index);
        }
        (self.ops.order, self.ops.release, self.ops.held) = (lists.sent, lists.release, lists.held);
        self.ops.rewind();
        self.ops.unstamp_all();
        self.exchanges.restored(tables.exchanges, session);
        let loose = self.is_loose() || self.journal.noted.flags & LOOSE != 0;
        self.session_restored(in_session);
        self.journal.stale = lists.stale;
        if loose {
            // What was sent last may have left no trace.
            let twice = tables.journal.iter().zip(&*tables.slots).any(|(entry, slot)| {
                entry.has(KEPT) && slot.kind == Kind::Publish && slot.asked == Qos::ExactlyOnce
            });
            self.doubts = if twice { Doubts::Due } else { Doubts::Some };
        }
    }

    /// Judges one operation by the records it has. True: it is open in the session on the server.
    fn put_in_place(
        &mut self,
        tables: &mut Tables<'_>,
        index: u32,
        entry: Entry,
        session: u32,
        lists: &mut Lists,
    ) -> bool {
        let Some(slot) = tables.slots.get_mut(index as usize) else { return false };
        let (record, mark) = (entry.has(PUT_GIVEN), entry.has(MARK_GIVEN));
        let latest = slot.epoch == session;
        let current = mark && latest;
        slot.epoch = self.connection.epoch.wrapping_sub(1);
        slot.touched = mark;
        slot.was_touched = mark;
        // As far as is known, all of it was provided.
        slot.complete = slot.sourced && mark;
        if !current {
            slot.packet_id = None;
        }
        let own = slot.packet_id.and_then(|id| self.ids.slot(tables.ids, id)) == Some(index);
        if current && !own {
            // A later message has its identifier: it had ended, and that was told.
            slot.packet_id = None;
            self.release_content(tables, index);
            self.recycle(tables, index);
            return false;
        }
        let policy = self.config.on_session_lost;
        let over = match (record, mark) {
            (true, true) if !current && policy == SessionLost::Fail => Some(Ending::Lost),
            (true, true) if !current && policy == SessionLost::Drop => Some(Ending::Dropped),
            (false, true) if !current && slot.qos == Qos::ExactlyOnce => Some(match policy {
                SessionLost::Republish => Ending::Unknown,
                SessionLost::Fail => Ending::Lost,
                SessionLost::Drop => Ending::Dropped,
            }),
            _ => None,
        };
        if let Some(ending) = over {
            slot.packet_id = None;
            slot.stage = Stage::Ended;
            slot.ending = ending;
            self.release_content(tables, index);
            self.ops.ended.push_back(tables.slots, index);
            return false;
        }
        match (record, slot.qos) {
            (true, qos) if current => {
                let first = qos == Qos::AtLeastOnce;
                slot.stage = if first { Stage::AwaitPuback } else { Stage::AwaitPubrec };
                lists.sent.push_back(tables.slots, index);
            }
            (true, _) if slot.kind == Kind::Subscribe && slot.told => {
                slot.stage = Stage::Held;
                lists.held.push_back(tables.slots, index);
                lists.stale |= !latest;
            }
            (true, _) => {
                slot.stage = Stage::Queued;
                slot.told = false;
                lists.queued.push_back(tables.slots, index);
                change(tables.journal, index, |entry| entry.bits &= !MARK_STORED);
            }
            (false, Qos::ExactlyOnce) => {
                slot.stage = Stage::AwaitPubcomp;
                lists.release.push_back(tables.slots, index);
                change(tables.journal, index, |entry| entry.bits |= RELEASED);
            }
            // QoS 1 without its record: its end was told before the record went.
            (false, _) => {
                slot.packet_id = None;
                self.recycle(tables, index);
                return false;
            }
        }
        current
    }
}

/// Where a record of an operation belongs.
enum Place {
    /// The table is too short for it yet.
    Need(Table, usize),
    /// Into the slot it names, beside what this entry says of it.
    Free(Entry),
    /// Into that slot, in place of an earlier operation.
    Taken,
    /// Nowhere: a later operation has the slot.
    Over,
}

struct Lists {
    sent: List,
    queued: List,
    release: List,
    held: List,
    /// A subscription was granted in an earlier session, and was to be made again in this one.
    stale: bool,
}

impl Lists {
    const fn new() -> Self {
        Self { sent: List::new(), queued: List::new(), release: List::new(), held: List::new(), stale: false }
    }
}

/// A QoS above 0: nothing else is recorded.
fn qos_of(head: &Head) -> Result<Qos, RestoreError> {
    match head.qos() {
        1 => Ok(Qos::AtLeastOnce),
        2 => Ok(Qos::ExactlyOnce),
        _ => Err(RestoreError::Invalid),
    }
}

/// Whether the content is what `publish`, `subscribe` or `unsubscribe` would have accepted.
fn check_content(parsed: &Parsed<'_>) -> Result<Kind, RestoreError> {
    let head = &parsed.head;
    let (topic, properties) =
        parsed.content.split_at_checked(head.topic_len.into()).ok_or(RestoreError::Invalid)?;
    let stored = Properties::Encoded(EncodedProperties::from_stored(properties));
    let count = usize::from(head.filters);
    let (kind, place, valid) = match head.kind {
        RecordKind::Publish => {
            let topic = core::str::from_utf8(topic).ok().and_then(|topic| TopicName::new(topic).ok());
            (Kind::Publish, PropertyPlace::Publish, topic.is_some() && count == 0)
        }
        RecordKind::Subscribe => {
            let filters = Subscriptions::from_stored(parsed.payload);
            let whole = are_filters(filters.iter().map(|item| item.filter), 3, parsed.payload.len(), count);
            (Kind::Subscribe, PropertyPlace::Subscribe, topic.is_empty() && whole)
        }
        _ => {
            let filters = TopicFilters::from_stored(parsed.payload);
            let whole = are_filters(filters.iter(), 2, parsed.payload.len(), count);
            (Kind::Unsubscribe, PropertyPlace::Unsubscribe, topic.is_empty() && whole)
        }
    };
    // Reading stops at the first that is not one: all bytes must be of properties that may be there.
    let mut len = 0usize;
    let mut kept = true;
    for property in stored.iter() {
        len = len.saturating_add(property.encoded_len());
        kept &= kind != Kind::Publish || is_kept(&property);
    }
    let whole = kept && len == properties.len();
    let mortal = head.expires.min(head.wire_expires) != u64::MAX;
    // A request whose filters came from elsewhere has none of them here.
    let valid = valid && head.payload_len <= crate::limits::LONGEST_PACKET;
    if valid && whole && stored.check(place).is_ok() && !(mortal && kind != Kind::Publish) {
        Ok(kind)
    } else {
        Err(RestoreError::Invalid)
    }
}

/// Whether these are `count` filters of `len` bytes in all, each with `beside` bytes beside its text.
fn are_filters<'a>(
    filters: impl Iterator<Item = TopicFilter<'a>>,
    beside: usize,
    len: usize,
    count: usize,
) -> bool {
    // Reading stops at the first that is not one.
    let found = filters.fold((0usize, 0usize), |(count, len), filter| {
        (count.saturating_add(1), len.saturating_add(filter.as_str().len()).saturating_add(beside))
    });
    count != 0 && found == (count, len)
}

/// Whether a kept PUBLISH may have this property.
fn is_kept(property: &Property<'_>) -> bool {
    !matches!(
        property,
        Property::TopicAlias(_) | Property::MessageExpiryInterval(_) | Property::SubscriptionIdentifier(_)
    )
}

const _: () = assert!(Instant::NEVER.as_micros() == u64::MAX, "a record says \"for ever\" the same way");
