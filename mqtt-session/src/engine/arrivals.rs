//! The straight way of a message that arrives: from the bytes to the event, with nothing in between.
//!
//! Nothing but a whole PUBLISH without topic aliases, on a connection where nothing else is under way. The rest, and
//! whatever is wrong, is left to `receive`, which looks at it from the beginning.

use mqtt_proto::{Peer, Publish, Qos, ReasonCode, frame_len};

use super::Core;
use super::acks::Straight;
use super::deliver::Admission;
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

    /// Takes one PUBLISH off the front of the input, if it is an ordinary one.
    #[inline(never)]
    pub(crate) fn receive_message<'i>(
        &mut self,
        tables: &mut Tables<'_>,
        input: &mut &'i [u8],
        event: &mut Option<Event<'i>>,
    ) -> Straight {
        let ordinary = input.first().is_some_and(|first| first >> 4 == super::receive::PUBLISH)
            && self.takes_straight()
            && self.connection.aliases_in.is_off()
            && !self.manual_acks();
        if !ordinary || self.room_for_packet(tables).is_some() {
            return Straight::Other;
        }
        let Ok(Some(len)) = frame_len(input, self.max_packet_in() as usize) else { return Straight::Other };
        let Some(frame) = input.get(..len) else { return Straight::Other };
        let Ok(publish) = Publish::decode(frame, self.link.version, Peer::Server) else {
            return Straight::Other;
        };
        let aliased = !publish.properties.is_empty() && publish.properties.topic_alias().is_some();
        let (Some(topic), false) = (publish.topic, aliased) else { return Straight::Other };
        self.take(input, len);
        if let Some(id) = publish.packet_id {
            match self.admit(tables, publish.qos, id) {
                Admission::Deliver => {
                    self.delivered(tables, publish.qos, id);
                }
                Admission::Duplicate { answered } => {
                    if answered {
                        self.owe(tables, OwedKind::Pubrec, id, ReasonCode::Success);
                    }
                    return Straight::Moved;
                }
                Admission::Refused | Admission::Held => return Straight::Moved,
            }
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
}
