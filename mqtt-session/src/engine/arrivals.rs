//! The straight way of a message that arrives: from the bytes to the event, with nothing in between.
//!
//! Nothing but a whole PUBLISH without topic aliases, on a connection where nothing else is under way. The rest, and
//! whatever is wrong, is left to `receive`, which looks at it from the beginning.

use mqtt_proto::{PacketId, Peer, Properties, Publish, Qos, ReasonCode};

use super::Core;
use super::acks::Straight;
use super::deliver::Admission;
use super::receive::PUBLISH;
use crate::event::{Event, Received, Topic};
use crate::inbound::OwedKind;
use crate::link::State;
use crate::storage::Tables;

impl Core {
    /// Whether packets are taken, and nothing that was begun has to go on first.
    #[inline(always)]
    pub(super) fn takes_straight(&self) -> bool {
        self.link.state == State::Up
            && self.connection.straight
            && self.connection.large.is_none()
            && !self.connection.stalled
            && self.owed.len() < usize::from(self.bounds.inbound)
    }

    /// Takes one packet off the front of the input, if it is an ordinary one.
    #[inline]
    pub(crate) fn receive_straight<'i>(
        &mut self,
        tables: &mut Tables<'_>,
        input: &mut &'i [u8],
        event: &mut Option<Event<'i>>,
    ) -> Straight {
        match input.first() {
            Some(first) if first >> 4 == PUBLISH => self.receive_message(tables, input, event),
            _ => self.receive_ack(tables, input, event),
        }
    }

    #[inline(never)]
    fn receive_message<'i>(
        &mut self,
        tables: &mut Tables<'_>,
        input: &mut &'i [u8],
        event: &mut Option<Event<'i>>,
    ) -> Straight {
        let ordinary = self.takes_straight() && self.connection.aliases_in.is_off() && !self.manual_acks();
        if !ordinary || self.room_for_packet(tables).is_some() {
            return Straight::Other;
        }
        let max = self.max_packet_in() as usize;
        let Some((publish, len)) = Publish::decode_front(input, self.link.version, Peer::Server, max) else {
            return Straight::Other;
        };
        let aliased = !publish.properties.is_empty() && has_alias(publish.properties);
        let (Some(topic), false) = (publish.topic, aliased) else { return Straight::Other };
        self.take(input, len);
        if let Some(id) = publish.packet_id
            && !self.accept_straight(tables, publish.qos, id, publish.dup)
        {
            return Straight::Moved;
        }
        *event = Some(Event::Message(Received {
            topic: Topic::Name(topic.as_str()),
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            dup: publish.dup,
            properties: publish.properties,
            packet_id: publish.packet_id,
            ack: None,
            redelivered: publish.dup && publish.qos == Qos::ExactlyOnce && self.journal.earlier,
        }));
        Straight::Told
    }

    /// Whether a message at QoS 1 or 2 is handed over; what it owes is owed then.
    #[inline(always)]
    fn accept_straight(&mut self, tables: &mut Tables<'_>, qos: Qos, id: PacketId, again: bool) -> bool {
        if qos == Qos::AtLeastOnce {
            let within = !self.over_receive_maximum(qos);
            if within {
                self.owe(tables, OwedKind::Puback, id, ReasonCode::Success);
            }
            return within;
        }
        match self.admit(tables, qos, id, again) {
            Admission::Deliver => {
                self.delivered(tables, qos, id);
                true
            }
            Admission::Duplicate { answered } => {
                if answered {
                    self.answer_again(tables, id);
                }
                false
            }
            Admission::Refused | Admission::Held => false,
        }
    }
}

/// Apart, so that the message itself need not lie in memory.
#[inline(never)]
fn has_alias(properties: Properties<'_>) -> bool {
    properties.topic_alias().is_some()
}
