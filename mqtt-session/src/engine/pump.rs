//! Handing out: owed acknowledgements and pings, then PUBRELs, then operations in order of acceptance; a
//! SUBSCRIBE or UNSUBSCRIBE overtakes publishes that wait for quota.

use mqtt_proto::{
    Encode, EncodeError, PacketId, PacketType, Pingreq, Pubrel, Qos, ReasonCode, StoredPublish,
};

use super::aliases::Naming;
use super::{Core, Need};
use crate::config::OverQos;
use crate::link::State;
use crate::list::{NONE, change, next};
use crate::operation::{Ending, Kind, Slot};
use crate::planted::planted;
use crate::qos::Stage;
use crate::storage::{Table, Tables};
use crate::time::Instant;
use crate::token::Token;

/// Bytes that are handed out at a time: enough for one large write, few enough to stay in the cache.
pub(super) const GATHER: usize = 64 * 1024;

/// The most bytes a PUBLISH has beside its topic, its stored properties and its payload: fixed header,
/// topic length, identifier, property length, Message Expiry Interval, Topic Alias.
pub(super) const OWN_HEAD: usize = 5 + 2 + 2 + 4 + 5 + 3;

/// Why nothing more is handed out.
pub(super) enum Stop {
    /// The wire buffer, or another table, is too short and may grow.
    Need(Table, usize),
    /// Nothing to do, or no room that could be made.
    Pause,
}

impl Stop {
    /// The table that may grow.
    pub(super) const fn need(self) -> Need {
        match self {
            Self::Need(table, len) => Some((table, len)),
            Self::Pause => None,
        }
    }
}

impl Core {
    /// Fills the wire buffer with what is due; `Some`: call again when that table has grown.
    pub(crate) fn pump(&mut self, tables: &mut Tables<'_>, now: Instant) -> Need {
        self.tell(now);
        self.begin_timing();
        self.ops.stamp(tables.slots, self.now);
        let stop = match self.link.state {
            State::Up => {
                self.ping_if_due();
                let stop = self.pump_up(tables).err();
                if stop.is_none() {
                    self.settle(tables);
                }
                stop
            }
            _ => None,
        }
        .or_else(|| self.pump_farewell(tables).err());
        let need = stop.and_then(Stop::need);
        if need.is_none() {
            self.watch_source();
        }
        need
    }

    /// The transport took `count` bytes.
    pub(crate) fn advance(&mut self, tables: &mut Tables<'_>, count: usize, now: Instant) {
        self.tell(now);
        let before = self.wire.taken();
        self.wire.advance(count);
        let taken = self.wire.taken();
        if taken != before {
            self.connection.last_out = self.now;
            self.stats.bytes_out = self.stats.bytes_out.wrapping_add(taken.saturating_sub(before));
            if self.exchanges.refuses() {
                self.exchanges.refusals_left(tables.exchanges, taken);
            }
            self.put_ping_off();
            self.watch_source();
            self.may_have_left();
        }
        while let Some(slot) = tables.slots.get(self.ops.sending.head() as usize) {
            if slot.position > taken {
                break;
            }
            self.end(tables, self.ops.sending.head(), Ending::Sent);
        }
    }

    /// Encodes one packet behind those in the wire buffer.
    #[inline(always)]
    pub(super) fn put(
        &mut self,
        tables: &mut Tables<'_>,
        encode: impl FnOnce(&mut [u8]) -> Result<usize, EncodeError>,
        longest: usize,
    ) -> Result<(), Stop> {
        if self.is_mid_packet() {
            return Err(Stop::Pause);
        }
        let space = self.wire.space(tables.wire, longest);
        match encode(space) {
            Ok(len) => {
                self.stats.packets_out.count(space.first().copied().unwrap_or(0));
                self.wire.written(len);
                Ok(())
            }
            Err(EncodeError::BufferTooSmall { needed }) => Err(self.no_room(tables.wire.len(), needed)),
            // Everything was checked when it was accepted.
            Err(_) => Err(Stop::Pause),
        }
    }

    /// `needed` bytes do not fit the wire buffer as it is.
    #[cold]
    pub(super) fn no_room(&self, wire_len: usize, needed: usize) -> Stop {
        let wanted = self.wire.pending().saturating_add(needed);
        if wire_len < self.bounds.wire {
            let len = wanted.max(wire_len.saturating_add(1)).min(self.bounds.wire);
            return Stop::Need(Table::Wire, len);
        }
        Stop::Pause
    }

    fn pump_up(&mut self, tables: &mut Tables<'_>) -> Result<(), Stop> {
        self.pump_owed(tables)?;
        if self.connection.ping_owed {
            let version = self.link.version;
            self.put(tables, |out| Pingreq.encode(version, out), 2)?;
            self.connection.ping_owed = false;
            self.connection.pinged = self.connection.pinged.or(Some(self.now));
            // The transport may take it much later; another one would not be of use until then.
            self.connection.last_out = self.now;
        }
        if self.has_doubts() {
            self.pump_doubts(tables)?;
        }
        self.pump_releases(tables)?;
        let stop = self.pump_operations(tables);
        // Operations that were refused may have left an exchange to end, whatever stopped the others.
        self.pump_releases(tables)?;
        if self.has_doubts() {
            self.pump_doubts(tables)?;
        }
        stop
    }

    fn pump_operations(&mut self, tables: &mut Tables<'_>) -> Result<(), Stop> {
        if self.gates() {
            self.reserve_ahead(tables)?;
        }
        if self.awaits_new_session() {
            return Err(Stop::Pause);
        }
        if !self.gates() {
            return self.hand_out(tables);
        }
        let stop = self.hand_out(tables);
        if !matches!(stop, Err(Stop::Need(..))) {
            // What ended on the way has given its identifier back, to be reserved again now, and not only
            // where the storage makes this be called again.
            self.reserve_ahead(tables)?;
        }
        stop
    }

    #[inline]
    fn hand_out(&mut self, tables: &mut Tables<'_>) -> Result<(), Stop> {
        while self.ops.cursor != NONE {
            if self.wire.pending() >= GATHER || self.is_mid_packet() {
                return Err(Stop::Pause);
            }
            self.pump_operation(tables, self.ops.cursor)?;
        }
        Ok(())
    }

    /// PUBREL for everything past PUBREC, whatever the send quota. [MQTT-4.6.0-4]
    fn pump_releases(&mut self, tables: &mut Tables<'_>) -> Result<(), Stop> {
        let version = self.link.version;
        while let Some(slot) = tables.slots.get(self.ops.release_cursor as usize) {
            let Some(id) = slot.packet_id else { return Ok(()) };
            if self.records() && !self.may_release(tables, self.ops.release_cursor) {
                return Ok(());
            }
            let begins = self.wire.position();
            self.put(tables, |out| Pubrel::new(id).encode(version, out), 4)?;
            change(tables.slots, self.ops.release_cursor, |slot| {
                slot.epoch = self.connection.epoch;
                slot.position = begins;
            });
            self.ops.release_cursor = next(tables.slots, self.ops.release_cursor);
            self.await_ack();
        }
        Ok(())
    }

    /// Hands out the operation at the cursor.
    pub(super) fn pump_operation(&mut self, tables: &mut Tables<'_>, index: u32) -> Result<(), Stop> {
        if self.gates() && !self.may_leave(tables, index) {
            return Err(Stop::Pause);
        }
        match tables.slots.get(index as usize).map(|slot| slot.kind) {
            Some(Kind::Publish) => self.pump_publish(tables, index),
            Some(Kind::Subscribe | Kind::Unsubscribe) => self.pump_filters(tables, index),
            None => Err(Stop::Pause),
        }
    }

    /// The identifier the next operation will have; it is taken when the packet is written.
    pub(super) fn next_id(&self, ids_len: usize) -> Result<PacketId, Stop> {
        match self.ids.needed(self.bounds.ids) {
            None => Err(Stop::Pause),
            Some(len) if len > ids_len => Err(Stop::Need(Table::Ids, len)),
            Some(_) => self.ids.peek(self.bounds.ids).ok_or(Stop::Pause),
        }
    }

    fn pump_publish(&mut self, tables: &mut Tables<'_>, index: u32) -> Result<(), Stop> {
        if self.config.over_qos == OverQos::Lower {
            self.lower_qos(tables, index);
        }
        let Some(slot) = tables.slots.get(index as usize) else { return Err(Stop::Pause) };
        let (qos, known_id) = (slot.qos, slot.packet_id);
        let mut packet_id = known_id;
        if qos != Qos::AtMostOnce {
            if !self.has_quota(qos) {
                return self.overtake(tables);
            }
            if packet_id.is_none() {
                if !self.may_take_id(qos) {
                    return Err(Stop::Pause);
                }
                packet_id = Some(self.next_id(tables.ids.len())?);
            }
        }
        let payload_len = slot.payload_len as usize;
        // The most the packet can take; lengths of what is kept, so their sum does not overflow.
        let head =
            usize::from(slot.topic_len).wrapping_add(slot.properties_len as usize).wrapping_add(OWN_HEAD);
        let whole = head.wrapping_add(payload_len);
        // A payload that is large, or that the wire buffer can never hold behind its head.
        let large = payload_len > self.bounds.lend_above || (whole > self.bounds.wire && payload_len != 0);
        let sourced = slot.sourced;
        let lends = large && !sourced;
        // Not in this buffer behind its head.
        let apart = lends || sourced;
        if lends && self.wire.lent().is_some() {
            return Err(Stop::Pause);
        }
        // Limits that came with this connection's CONNACK, after the message was accepted.
        if qos > self.limits.maximum_qos {
            return self.refuse(tables, index, ReasonCode::QosNotSupported);
        }
        if slot.retain && !self.limits.retain_available {
            return self.refuse(tables, index, ReasonCode::RetainNotSupported);
        }
        if slot.expires <= self.now && !slot.touched {
            self.end(tables, index, Ending::Expired);
            return Ok(());
        }
        let naming = self.naming_of(tables, index, head, whole)?;
        // Making room for a name may have moved what is kept.
        let Some(slot) = tables.slots.get(index as usize) else { return Err(Stop::Pause) };
        let (topic, properties) = slot.head(tables.arena);
        let payload = match (apart, slot.shared) {
            (true, _) => &[],
            (false, true) => tables.shared.get(index),
            (false, false) => slot.body(tables.arena),
        };
        let publish = StoredPublish {
            // [MQTT-3.3.1-1], [MQTT-3.3.1-2]
            dup: known_id.is_some() && !slot.reserved && !planted!("dup-missing"),
            qos,
            retain: slot.retain,
            topic: if matches!(naming, Naming::Number(_)) { &[] } else { topic },
            packet_id,
            topic_alias: naming.number(),
            message_expiry_interval: self.expiry_left(slot),
            properties,
            payload,
        };
        let version = self.link.version;
        let begins = self.wire.position();
        let behind = if apart { 0 } else { payload_len };
        let space = self.wire.space(tables.wire, head.wrapping_add(behind));
        let written = match publish.encode(version, payload_len, space) {
            Ok(written) => written,
            Err(EncodeError::BufferTooSmall { needed }) => {
                return Err(self.no_room(tables.wire.len(), needed));
            }
            Err(_) => return self.refuse(tables, index, ReasonCode::ImplementationSpecificError),
        };
        let packet = written.wrapping_add(payload_len).wrapping_sub(behind);
        if packet > self.limits.maximum_packet_size as usize {
            // [MQTT-3.1.2-24]: what lies behind the packets in the buffer was not handed out.
            return self.refuse(tables, index, ReasonCode::PacketTooLarge);
        }
        self.wire.written(written);
        if lends {
            self.wire.lend(index, payload_len);
        }
        let mut ends = self.wire.position();
        if sourced {
            ends = ends.wrapping_add(payload_len as u64);
            self.begin_source(tables, index);
        }
        self.stats.packets_out.count((PacketType::Publish as u8) << 4);
        self.stats.resends = self.stats.resends.wrapping_add(u64::from(publish.dup));
        if naming != Naming::Name {
            self.named_as_kept(tables, naming, index);
        }
        if qos == Qos::AtMostOnce {
            self.sent_qos0(tables, index, apart, ends);
            return Ok(());
        }
        let connection = &mut self.connection;
        connection.publishing = connection.publishing.wrapping_add(1);
        let stage = if qos == Qos::AtLeastOnce {
            Stage::AwaitPuback
        } else {
            connection.publishing_qos2 = connection.publishing_qos2.wrapping_add(1);
            Stage::AwaitPubrec
        };
        self.handed_out(tables, index, stage, (begins, ends));
        self.time_publish(tables, index);
        self.await_ack();
        Ok(())
    }

    /// A message that was never sent is sent as surely as the server of this connection takes it.
    #[cold]
    pub(super) fn lower_qos(&self, tables: &mut Tables<'_>, index: u32) {
        let Some(slot) = tables.slots.get_mut(index as usize) else { return };
        if slot.kind == Kind::Publish && !slot.touched {
            slot.qos = slot.asked.min(self.limits.maximum_qos);
        }
    }

    /// What is left of the message expiry interval, in seconds.
    #[inline]
    fn expiry_left(&self, slot: &Slot) -> Option<u32> {
        if slot.wire_expires == Instant::NEVER {
            return None;
        }
        // What is sent again although its time has run out leaves with the least that can be said.
        let left = slot.wire_expires.since(self.now).as_millis().div_ceil(1000);
        Some(u32::try_from(left).unwrap_or(u32::MAX).max(1))
    }

    /// The server told limits that rule the operation out.
    pub(super) fn refuse(
        &mut self,
        tables: &mut Tables<'_>,
        index: u32,
        code: ReasonCode,
    ) -> Result<(), Stop> {
        let ending = Ending::Refused(code);
        let Some(slot) = tables.slots.get_mut(index as usize) else { return Ok(()) };
        if slot.told {
            // A subscription that cannot be made again: its end was told long ago, this was not.
            if !self.ghosts.has_room() {
                return Err(Stop::Pause);
            }
            self.ghosts.push(Token::new(index, slot.generation), slot.tag, Ending::Forgotten(code));
            self.end(tables, index, ending);
            return Ok(());
        }
        if slot.qos != Qos::ExactlyOnce || slot.packet_id.is_none() || slot.reserved {
            self.end(tables, index, ending);
            return Ok(());
        }
        // The server may hold the first half of the exchange, and would take the next message of this
        // identifier for the second: PUBREL and PUBCOMP end it on both sides. [MQTT-4.3.3-10]
        if !self.ghosts.has_room() {
            return Err(Stop::Pause);
        }
        if let Some((token, tag)) = self.give_up_exchange(tables, index) {
            self.ghosts.push(token, tag, ending);
        }
        Ok(())
    }

    #[inline]
    pub(super) fn handed_out(
        &mut self,
        tables: &mut Tables<'_>,
        index: u32,
        stage: Stage,
        (begins, ends): (u64, u64),
    ) {
        let Some(slot) = tables.slots.get_mut(index as usize) else { return };
        slot.first_time = slot.packet_id.is_none();
        if !slot.reserved {
            slot.was_touched = slot.touched;
        }
        if slot.first_time {
            slot.packet_id = self.ids.take(tables.ids, self.bounds.ids, index);
        }
        slot.stage = stage;
        slot.position = begins;
        slot.end = ends;
        slot.touched = true;
        slot.epoch = self.connection.epoch;
        if index == self.ops.cursor {
            self.ops.cursor = slot.next();
        } else {
            self.ops.overtook(tables.slots, index);
        }
        if self.records() && stage.is_publish() {
            self.note_sent(tables, index);
        }
    }

    /// A QoS 0 message was handed out: it is over, unless its payload lies apart or its end is to be told.
    fn sent_qos0(&mut self, tables: &mut Tables<'_>, index: u32, apart: bool, ends: u64) {
        let awaited = tables.slots.get(index as usize).is_some_and(|slot| !self.is_silent(slot));
        if apart || awaited {
            self.ops.unlink(tables.slots, index);
            change(tables.slots, index, |slot| {
                slot.stage = Stage::Sending;
                slot.touched = true;
                slot.position = ends;
            });
            self.ops.sending.push_back(tables.slots, index);
        } else {
            let _ = self.complete(tables, index);
        }
    }
}
