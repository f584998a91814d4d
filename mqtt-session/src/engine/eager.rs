//! The straight way of a message at QoS 1 or 2: where it may leave at once, one call accepts it, keeps it, gives it its
//! identifier and writes it to the wire buffer.
//!
//! It does what the queue would do at the next `outgoing`, and does it only where that is certain: nothing waits before
//! the message, the server's quota and the wire buffer have room for it, and nothing of it depends on the time. What is
//! decided here rests on bounds and lengths alone, never on how long a table is at the moment.

use mqtt_proto::{PacketId, PacketType, Qos, ReasonCode, StoredPublish};

use super::aliases::Naming;
use super::pump::{OWN_HEAD, Stop};
use super::{Accepted, Body, Core, Need};
use crate::arena::cost;
use crate::operation::{Ending, Kind, Slot};
use crate::options::Message;
use crate::qos::Stage;
use crate::storage::{Table, Tables};
use crate::token::Token;

impl Core {
    /// `None`: it has to wait, or something is out of the ordinary.
    #[inline(always)]
    pub(super) fn publish_eagerly(
        &mut self,
        tables: &mut Tables<'_>,
        message: &Message<'_>,
        payload: &[u8],
        body: Body,
    ) -> Option<Accepted> {
        if self.connection.aliases_out.is_off() {
            self.publish_at_once::<false>(tables, message, payload, body)
        } else {
            self.publish_named(tables, message, payload, body)
        }
    }

    /// The same where the topic may be said by an alias.
    #[inline(never)]
    fn publish_named(
        &mut self,
        tables: &mut Tables<'_>,
        message: &Message<'_>,
        payload: &[u8],
        body: Body,
    ) -> Option<Accepted> {
        self.publish_at_once::<true>(tables, message, payload, body)
    }

    #[inline(always)]
    fn publish_at_once<const ALIASES: bool>(
        &mut self,
        tables: &mut Tables<'_>,
        message: &Message<'_>,
        payload: &[u8],
        body: Body,
    ) -> Option<Accepted> {
        let plain = self.connection.straight
            && message.ttl.is_none()
            && message.key.is_none()
            && message.properties.is_empty()
            && payload.len() <= self.bounds.lend_above
            && message.qos <= self.limits.maximum_qos
            && (!message.retain || self.limits.retain_available);
        if !plain
            || !self.nothing_waits(tables)
            || !self.has_quota(message.qos)
            || !self.may_take_id(message.qos)
        {
            return None;
        }
        let topic = message.topic.as_str().as_bytes();
        // Lengths of what is in memory: their sum does not overflow.
        let all = topic.len().wrapping_add(payload.len());
        let longest = all.wrapping_add(OWN_HEAD);
        let counted = all.wrapping_add(cost(0));
        let pending = self.wire.pending();
        if self.room_for(counted).is_err()
            || longest > self.limits.maximum_packet_size as usize
            || pending.wrapping_add(longest) > self.bounds.wire
        {
            return None;
        }
        let id = self.ids.peek(self.bounds.ids)?;
        let mut naming = Naming::Name;
        if ALIASES {
            self.yield_room(tables, counted);
            match self.naming_of_topic(tables, message.topic.as_str(), longest, counted) {
                Ok(name) => naming = name,
                Err(Stop::Need(table, len)) => return Some(Accepted::Need(table, len)),
                Err(Stop::Pause) => return None,
            }
        }
        let kept = if body == Body::Copied { all } else { topic.len() };
        if let Some((table, len)) = self.room_for_eager(tables, id, kept, pending.wrapping_add(longest)) {
            return Some(Accepted::Need(table, len));
        }
        let index = self.ops.free.take(tables.slots)?;
        let slot = tables.slots.get_mut(index as usize)?;
        let at = self.arena.add(tables.arena, index, kept)?;
        let generation = self.ops.next_generation();
        let begins = self.wire.taken().wrapping_add(pending as u64);
        let twice = message.qos == Qos::ExactlyOnce;
        *slot = Slot {
            at,
            // A topic name has at most 65,535 bytes, a payload here `LEND_ABOVE`.
            topic_len: topic.len() as u16,
            payload_len: payload.len() as u32,
            packet_id: Some(id),
            cost: counted as u32,
            generation,
            kind: Kind::Publish,
            stage: if twice { Stage::AwaitPubrec } else { Stage::AwaitPuback },
            qos: message.qos,
            asked: message.qos,
            retain: message.retain,
            shared: body == Body::Shared,
            touched: true,
            first_time: true,
            epoch: self.connection.epoch,
            position: begins,
            tag: message.tag,
            ..Slot::EMPTY
        };
        self.kept = self.kept.wrapping_add(counted);
        self.ops.order.push_back(tables.slots, index);
        self.ids.take_peeked(tables.ids, self.bounds.ids, id, index);
        let connection = &mut self.connection;
        connection.publishing = connection.publishing.wrapping_add(1);
        connection.publishing_qos2 = connection.publishing_qos2.wrapping_add(u16::from(twice));
        self.stats.packets_out.count((PacketType::Publish as u8) << 4);
        self.time_eager(id);
        let place = tables.arena.get_mut(at as usize..)?;
        let (name, rest) = place.split_at_mut_checked(topic.len())?;
        name.copy_from_slice(topic);
        if body == Body::Copied {
            rest.get_mut(..payload.len())?.copy_from_slice(payload);
        }
        let publish = StoredPublish {
            qos: message.qos,
            retain: message.retain,
            packet_id: Some(id),
            ..StoredPublish::new(topic, payload)
        };
        let space = self.wire.space(tables.wire, longest);
        let version = self.link.version;
        let written = match naming.number() {
            None => publish.encode_bare(version, space),
            Some(number) => {
                let topic = if matches!(naming, Naming::Number(_)) { &[] } else { topic };
                let aliased = StoredPublish { topic, topic_alias: Some(number), ..publish };
                aliased.encode(version, payload.len(), space)
            }
        };
        match (written, tables.slots.get_mut(index as usize)) {
            (Ok(len), Some(slot)) => {
                slot.end = begins.wrapping_add(len as u64);
                self.wire.written(len);
            }
            // There is room and everything was checked, as where the queue hands out.
            _ => self.end(tables, index, Ending::Refused(ReasonCode::ImplementationSpecificError)),
        }
        if naming != Naming::Name {
            self.named_as(tables, naming, message.topic.as_str());
        }
        Some(Accepted::Kept(Token::new(index, generation)))
    }

    /// What the tables lack for it; `wire`: all bytes that must find room in the wire buffer.
    #[inline(always)]
    fn room_for_eager(&mut self, tables: &mut Tables<'_>, id: PacketId, kept: usize, wire: usize) -> Need {
        if !self.ops.free.has_room(tables.slots.len()) {
            return Some((Table::Slots, tables.slots.len().saturating_add(1)));
        }
        if usize::from(id.get()) > tables.ids.len() {
            return Some((Table::Ids, id.get().into()));
        }
        if wire > tables.wire.len() {
            return Some((Table::Wire, wire));
        }
        self.room_in_arena(tables, kept)
    }
}
