//! Messages that are put into the queue, and operations that are taken out again.

use core::time::Duration;

use mqtt_proto::{EncodeError, Properties, Property, PropertyId, PropertyPlace, Publish, Qos, Version};

use super::direct::Direct;
use super::pump::OWN_HEAD;
use super::room::Lack;
use super::{ANY_ID, Core};
use crate::arena::cost;
use crate::config::OverQos;
use crate::error::PublishError;
use crate::limits::LONGEST_PACKET;
use crate::link::State;
use crate::list::NONE;
use crate::operation::{Ending, Kind, Slot};
use crate::options::Message;
use crate::qos::Stage;
use crate::storage::{Table, Tables};
use crate::time::Instant;
use crate::token::Token;

/// What became of a message.
pub(crate) enum Accepted {
    /// It was handed out at once.
    Handed(Token),
    /// It is kept, in the slot the token names.
    Kept(Token),
    /// A table is too short for it; call again when it has grown.
    Need(Table, usize),
    Refused(PublishError),
}

/// What an operation will keep: its parts' lengths, checked and counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(super) kind: Kind,
    pub(super) head_len: usize,
    pub(super) properties_len: usize,
    pub(super) body_len: usize,
    pub(super) filters: u16,
    pub(super) body: Body,
}

/// Where the body of an operation is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// In the arena.
    Copied,
    /// Beside it, shared with the caller.
    Shared,
    /// Nowhere: it is provided when it is sent.
    Sourced,
}

impl Plan {
    /// Bytes that are kept. Lengths of what is in memory: their sum does not overflow.
    #[inline]
    pub(super) fn all(&self) -> usize {
        let body = if self.body == Body::Sourced { 0 } else { self.body_len };
        self.head_len.wrapping_add(self.properties_len).wrapping_add(body)
    }

    #[inline]
    pub(super) fn in_arena(&self) -> usize {
        let body = if self.body == Body::Copied { self.body_len } else { 0 };
        self.head_len.wrapping_add(self.properties_len).wrapping_add(body)
    }
}

impl Core {
    /// Accepts a message: it is checked, finds room, and is kept. Called again after `Need`, it goes on.
    pub(crate) fn publish(
        &mut self,
        tables: &mut Tables<'_>,
        message: &Message<'_>,
        payload: &[u8],
        body: Body,
    ) -> Accepted {
        if let Some(accepted) = self.publish_short(tables, message, payload, body) {
            return accepted;
        }
        self.publish_long(tables, message, payload, body)
    }

    #[inline(never)]
    fn publish_long(
        &mut self,
        tables: &mut Tables<'_>,
        message: &Message<'_>,
        payload: &[u8],
        body: Body,
    ) -> Accepted {
        let plan = match self.plan_publish(tables, message, payload.len(), body) {
            Ok(plan) => plan,
            Err(reason) => return Accepted::Refused(reason),
        };
        // What has given way may have been all that waited: whether the short way is open now must not
        // depend on whether the call is repeated.
        if let Some(accepted) = self.publish_short(tables, message, payload, body) {
            return accepted;
        }
        self.accept_planned(tables, message, payload, &plan)
    }

    #[inline]
    fn publish_short(
        &mut self,
        tables: &mut Tables<'_>,
        message: &Message<'_>,
        payload: &[u8],
        body: Body,
    ) -> Option<Accepted> {
        if message.qos != Qos::AtMostOnce {
            return self.publish_eagerly(tables, message, payload, body);
        }
        match self.publish_direct(tables, message, payload) {
            Direct::Taken(token) => Some(Accepted::Handed(token)),
            Direct::Need(table, len) => Some(Accepted::Need(table, len)),
            Direct::No => None,
        }
    }

    /// Makes room for a planned message and keeps it.
    #[inline]
    pub(super) fn accept_planned(
        &mut self,
        tables: &mut Tables<'_>,
        message: &Message<'_>,
        payload: &[u8],
        plan: &Plan,
    ) -> Accepted {
        if let Some((table, len)) = self.room_in_tables(tables, plan) {
            return Accepted::Need(table, len);
        }
        match self.accept_publish(tables, message, payload, plan) {
            Some(token) => Accepted::Kept(token),
            None => Accepted::Refused(PublishError::BytesFull),
        }
    }

    /// Checks a message against everything that is known now.
    #[inline]
    pub(super) fn plan_publish(
        &mut self,
        tables: &mut Tables<'_>,
        message: &Message<'_>,
        payload_len: usize,
        body: Body,
    ) -> Result<Plan, PublishError> {
        if self.link.stopping {
            return Err(PublishError::Stopping);
        }
        let properties_len =
            if message.properties.is_empty() { 0 } else { plan_properties(message.properties)? };
        let plan = Plan {
            kind: Kind::Publish,
            head_len: message.topic.as_str().len(),
            properties_len,
            body_len: payload_len,
            filters: 0,
            body,
        };
        // Cheap upper bounds of the head and of the packet.
        let head = plan.head_len.wrapping_add(properties_len).wrapping_add(OWN_HEAD);
        let packet = head.wrapping_add(payload_len);
        let cost = cost(plan.all());
        let tight = head > self.bounds.wire
            || cost > self.bounds.arena
            || packet > self.limits.maximum_packet_size as usize
            || packet > LONGEST_PACKET as usize;
        if tight {
            self.plan_tight_publish(message, &plan)?;
        }
        if self.link.state == State::Up {
            // [MQTT-3.2.2-11]
            if message.qos > self.limits.maximum_qos && self.config.over_qos == OverQos::Refuse {
                return Err(PublishError::QosNotSupported(self.limits.maximum_qos));
            }
            // [MQTT-3.2.2-14]
            if message.retain && !self.limits.retain_available {
                return Err(PublishError::RetainNotSupported);
            }
        }
        while let Some(older) = message.key.and_then(|key| self.older_value(tables, key)) {
            self.replace(tables, older, cost)?;
        }
        if self.room_for(cost).is_ok() {
            return Ok(plan);
        }
        self.make_room(tables, cost);
        if let Err(lack) = self.room_for(cost) {
            self.blocked = Some(cost);
            return Err(match lack {
                Lack::Slots => PublishError::QueueFull,
                Lack::Bytes => PublishError::BytesFull,
            });
        }
        Ok(plan)
    }

    /// The exact limits, for a message that may be over one.
    #[cold]
    fn plan_tight_publish(&self, message: &Message<'_>, plan: &Plan) -> Result<(), PublishError> {
        let publish = Publish {
            dup: false,
            qos: message.qos,
            retain: message.retain,
            topic: Some(message.topic),
            packet_id: (message.qos != Qos::AtMostOnce).then_some(ANY_ID),
            properties: message.properties,
            payload: &[],
        };
        let needed = publish.head_len(Version::V5, plan.body_len).map_err(PublishError::Invalid)?;
        if needed > self.bounds.wire {
            return Err(PublishError::TooLarge { needed, allowed: self.bounds.wire });
        }
        if cost(plan.all()) > self.bounds.arena {
            return Err(PublishError::TooLarge { needed: cost(plan.all()), allowed: self.bounds.arena });
        }
        if self.link.state == State::Up {
            let version = self.link.version;
            let head = publish.head_len(version, plan.body_len).map_err(PublishError::Invalid)?;
            let needed = head.saturating_add(plan.body_len);
            let allowed = self.limits.maximum_packet_size as usize;
            if needed > allowed {
                return Err(PublishError::TooLargeForServer { needed, allowed });
            }
        }
        Ok(())
    }

    /// Accepts a planned message. The caller has made room.
    #[inline]
    fn accept_publish(
        &mut self,
        tables: &mut Tables<'_>,
        message: &Message<'_>,
        payload: &[u8],
        plan: &Plan,
    ) -> Option<Token> {
        let (index, slot, content) = self.insert(tables, plan)?;
        slot.qos = message.qos;
        slot.asked = message.qos;
        slot.retain = message.retain;
        slot.tag = message.tag;
        slot.key = message.key;
        let told =
            if message.properties.is_empty() { None } else { message.properties.message_expiry_interval() };
        let span = |span: Option<Duration>| span.map_or(Instant::NEVER, |span| Instant::ZERO.after(span));
        slot.wire_expires = span(told.map(|seconds| Duration::from_secs(seconds.into())));
        slot.expires = span(message.ttl).min(slot.wire_expires);
        let (topic, rest) = content.split_at_mut_checked(plan.head_len)?;
        topic.copy_from_slice(message.topic.as_str().as_bytes());
        let mut rest = rest;
        if plan.properties_len != 0 {
            rest = keep_properties(message.properties, rest)?;
        }
        if plan.body == Body::Copied {
            rest.get_mut(..payload.len())?.copy_from_slice(payload);
        }
        let token = Token::new(index, slot.generation);
        self.ops.accept(tables.slots, index);
        if self.records() {
            self.note_accepted(tables, index);
        }
        Some(token)
    }

    /// Takes a slot and a place in the arena for what is planned.
    #[inline]
    pub(super) fn insert<'t>(
        &mut self,
        tables: &'t mut Tables<'_>,
        plan: &Plan,
    ) -> Option<(u32, &'t mut Slot, &'t mut [u8])> {
        let index = self.ops.free.take(tables.slots)?;
        let len = plan.in_arena();
        let at = self.arena.add(tables.arena, index, len)?;
        self.kept = self.kept.wrapping_add(cost(plan.all()));
        let slot = tables.slots.get_mut(index as usize)?;
        slot.at = at;
        slot.generation = self.ops.next_generation();
        slot.kind = plan.kind;
        slot.stage = Stage::Queued;
        slot.topic_len = u16::try_from(plan.head_len).ok()?;
        slot.properties_len = u32::try_from(plan.properties_len).ok()?;
        slot.payload_len = u32::try_from(plan.body_len).ok()?;
        slot.cost = u32::try_from(cost(plan.all())).ok()?;
        slot.filters = plan.filters;
        slot.packet_id = None;
        slot.shared = plan.body == Body::Shared;
        slot.sourced = plan.body == Body::Sourced;
        slot.complete = false;
        slot.touched = false;
        slot.reserved = false;
        slot.first_time = false;
        slot.told = false;
        slot.late = false;
        slot.epoch = self.connection.epoch.wrapping_sub(1);
        let start = at as usize;
        let content = tables.arena.get_mut(start..start.saturating_add(len))?;
        Some((index, slot, content))
    }

    pub(crate) fn cancel(&mut self, tables: &mut Tables<'_>, token: Token) -> bool {
        let Some(index) = self.ops.find(tables.slots, token) else { return false };
        let queued = tables
            .slots
            .get(index as usize)
            .is_some_and(|slot| slot.stage == Stage::Queued && !slot.touched && !slot.told);
        if queued {
            self.end(tables, index, Ending::Cancelled);
        }
        queued
    }
}

/// Checks a message's properties, and tells how many bytes those take that are kept.
#[inline(never)]
fn plan_properties(properties: Properties<'_>) -> Result<usize, PublishError> {
    properties.check(PropertyPlace::Publish).map_err(PublishError::Invalid)?;
    if properties.topic_alias().is_some() {
        // Aliases are the session's own: one of the application's would be of another connection.
        return Err(PublishError::Invalid(EncodeError::PropertyNotAllowed(PropertyId::TopicAlias)));
    }
    if properties.subscription_identifiers().next().is_some() {
        // [MQTT-3.3.4-6]: only a server's PUBLISH carries them.
        let property = PropertyId::SubscriptionIdentifier;
        return Err(PublishError::Invalid(EncodeError::PropertyNotAllowed(property)));
    }
    Ok(kept_properties(properties).map(|property| property.encoded_len()).fold(0, usize::saturating_add))
}

/// Writes the properties that are kept, and gives what is left of the place.
#[inline(never)]
fn keep_properties<'o>(properties: Properties<'_>, mut place: &'o mut [u8]) -> Option<&'o mut [u8]> {
    for property in kept_properties(properties) {
        let written = property.encode(place).unwrap_or(0);
        place = place.get_mut(written..)?;
    }
    Some(place)
}

/// The properties a kept message keeps: the expiry runs on.
fn kept_properties<'a>(properties: Properties<'a>) -> impl Iterator<Item = Property<'a>> {
    properties.iter().filter(|property| !matches!(property, Property::MessageExpiryInterval(_)))
}

const _: () = assert!(NONE == u32::MAX, "the owner of an arena entry is a slot or a marker above all slots");
