//! The short way of a QoS 0 message: straight into the wire buffer.
//!
//! Nothing answers it and nothing may send it again, so while the connection is up and nothing waits before
//! it, there is no reason to keep it first. Whatever is out of the ordinary takes the long way.

use mqtt_proto::{Encode, EncodeError, PacketType, Property, Publish, Qos, StoredPublish};

use super::Core;
use super::aliases::{Naming, WithAlias};
use super::pump::{GATHER, OWN_HEAD, Stop};
use crate::limits::LONGEST_PACKET;
use crate::link::State;
use crate::list::NONE;
use crate::options::Message;
use crate::storage::{Table, Tables};
use crate::token::Token;

/// What became of a message on the short way.
pub(super) enum Direct {
    /// It lies in the wire buffer.
    Taken(Token),
    /// A table is too short; call again when it has grown.
    Need(Table, usize),
    /// It must take the long way.
    No,
}

impl Core {
    /// Whether a message that is published now would be the next packet that is written.
    #[inline(always)]
    pub(super) fn nothing_waits(&self, tables: &Tables<'_>) -> bool {
        self.link.state == State::Up
            && !self.link.stopping
            && self.ops.cursor == NONE
            && self.ops.release_cursor == NONE
            && self.owed.is_empty()
            && !self.connection.ping_owed
            && !self.is_mid_packet()
            && !self.exchanges.has_acknowledged(tables.exchanges)
            && self.wire.pending() < GATHER
    }

    /// `message` is one at QoS 0.
    #[inline(never)]
    pub(super) fn publish_direct(
        &mut self,
        tables: &mut Tables<'_>,
        message: &Message<'_>,
        payload: &[u8],
    ) -> Direct {
        let plain = message.ttl.is_none()
            && message.key.is_none()
            && !self.config.qos0_receipts
            && payload.len() <= self.bounds.lend_above;
        let unlimited = self.limits.maximum_packet_size >= LONGEST_PACKET
            && (!message.retain || self.limits.retain_available);
        if !(plain && unlimited && self.nothing_waits(tables)) {
            return Direct::No;
        }
        // A message that could not be accepted on the long way is refused there, with the reason.
        if self.room_for(0).is_err() {
            return Direct::No;
        }
        if !message.properties.is_empty() || !self.connection.aliases_out.is_off() {
            return self.encode_direct(tables, message, payload);
        }
        let topic = message.topic.as_str().as_bytes();
        let publish = StoredPublish { retain: message.retain, ..StoredPublish::new(topic, payload) };
        // At least what is needed: whether it fits must not depend on how long the table is now.
        let longest = topic.len().wrapping_add(payload.len()).wrapping_add(OWN_HEAD);
        let space = self.wire.space(tables.wire, longest);
        let written = publish.encode_bare(self.link.version, space);
        self.written_direct(tables.wire.len(), written)
    }

    /// The same for a message with properties, or whose topic may be said by an alias.
    #[inline(never)]
    fn encode_direct(&mut self, tables: &mut Tables<'_>, message: &Message<'_>, payload: &[u8]) -> Direct {
        let special =
            |property| matches!(property, Property::TopicAlias(_) | Property::MessageExpiryInterval(_));
        if !message.properties.is_empty() && message.properties.iter().any(special) {
            return Direct::No;
        }
        // At least what is needed, here too.
        let properties = if message.properties.is_empty() { 0 } else { message.properties.body_len() };
        let topic = message.topic.as_str();
        let head = topic.len().saturating_add(properties).saturating_add(OWN_HEAD);
        let longest = head.saturating_add(payload.len());
        let naming = match self.naming_of_topic(tables, topic, longest, 0) {
            Ok(naming) => naming,
            Err(Stop::Need(table, len)) => return Direct::Need(table, len),
            Err(Stop::Pause) => return Direct::No,
        };
        let version = self.link.version;
        let space = self.wire.space(tables.wire, longest);
        let with_alias;
        let publish = Publish {
            dup: false,
            qos: Qos::AtMostOnce,
            retain: message.retain,
            topic: if matches!(naming, Naming::Number(_)) { None } else { Some(message.topic) },
            packet_id: None,
            properties: match naming.number() {
                None => message.properties,
                Some(number) => match WithAlias::new(number, message.properties) {
                    Some(with) => {
                        with_alias = with;
                        with_alias.properties()
                    }
                    None => return Direct::No,
                },
            },
            payload,
        };
        let written = publish.encode(version, space);
        if written.is_ok() && naming != Naming::Name {
            self.named_as(tables, naming, topic);
        }
        self.written_direct(tables.wire.len(), written)
    }

    #[inline(always)]
    fn written_direct(&mut self, wire_len: usize, written: Result<usize, EncodeError>) -> Direct {
        match written {
            Ok(len) => {
                self.wire.written(len);
                self.stats.packets_out.count((PacketType::Publish as u8) << 4);
                // It has ended before it began: the token names nothing that will ever be told.
                Direct::Taken(Token::new(0, self.ops.next_generation()))
            }
            Err(EncodeError::BufferTooSmall { needed }) => match self.no_room(wire_len, needed) {
                Stop::Need(table, len) => Direct::Need(table, len),
                Stop::Pause => Direct::No,
            },
            Err(_) => Direct::No,
        }
    }
}
