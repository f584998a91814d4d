//! Whether an inbound message is handed over, and what its handing over owes.

use mqtt_proto::{PacketId, Peer, Publish, PublishHead, Qos, ReasonCode};

use super::Core;
use crate::event::Why;
use crate::inbound::OwedKind;
use crate::limits::LONGEST_PACKET;
use crate::qos::{Arrival, Phase, arrived};
use crate::storage::Tables;
use crate::token::AckToken;

/// What is to become of a PUBLISH at QoS 1 or 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is handed over; `Core::delivered` then opens its exchange.
    Deliver,
    /// It was handed over before. `answered`: its PUBREC is owed once more.
    Duplicate { answered: bool },
    /// It is one too many, and the connection ends.
    Refused,
    /// There is no room for its exchange before the journal has taken what it was given.
    Held,
}

impl Core {
    /// Judges a PUBLISH that has arrived, or begins to. `again`: it has DUP.
    pub(super) fn admit(
        &mut self,
        tables: &mut Tables<'_>,
        qos: Qos,
        id: PacketId,
        again: bool,
    ) -> Admission {
        if qos == Qos::ExactlyOnce {
            let mut found = self.exchanges.find(tables.exchanges, id);
            if let Some((index, Phase::Refused)) = found
                && !again
            {
                // The server has given up what was refused: this is another message. [MQTT-3.3.1-1]
                self.exchanges.remove(tables.exchanges, index);
                self.sweep_notes(tables);
                found = None;
            }
            if let Some((index, _)) = found {
                self.exchanges.came_again(tables.exchanges, index);
            }
            let arrival = arrived(found.map_or(Phase::Free, |(_, phase)| phase));
            if arrival != Arrival::Deliver {
                self.stats.duplicates = self.stats.duplicates.wrapping_add(1);
                return Admission::Duplicate { answered: arrival == Arrival::AnswerAgain };
            }
        }
        if self.over_receive_maximum(qos) {
            Admission::Refused
        } else if self.records() && self.is_clogged(tables, qos) {
            Admission::Held
        } else {
            Admission::Deliver
        }
    }

    /// Whether a message finds no room before the journal has taken what it was given.
    #[cold]
    pub(super) fn is_clogged(&mut self, tables: &mut Tables<'_>, qos: Qos) -> bool {
        let bound = u32::from(self.bounds.inbound);
        if qos == Qos::ExactlyOnce || self.manual_acks() {
            self.exchanges.make_room(tables.exchanges, bound);
            self.sweep_notes(tables);
        }
        self.exchanges.is_clogged(bound)
    }

    /// PUBREC for a message that was handed over before.
    #[cold]
    pub(super) fn answer_again(&mut self, tables: &mut Tables<'_>, id: PacketId) {
        let mut reason = ReasonCode::Success;
        if let Some((index, Phase::Refused)) = self.exchanges.find(tables.exchanges, id) {
            self.forget_note(tables, index);
            let refusable = self.link.version.has_properties();
            reason = self.exchanges.refuse_again(tables.exchanges, index, refusable);
        }
        self.owe(tables, OwedKind::Pubrec, id, reason);
    }

    /// A message at QoS 1 or 2 is handed over: its exchange opens, and its acknowledgement is owed unless
    /// it is for the application to give. The caller has made room.
    pub(super) fn delivered(&mut self, tables: &mut Tables<'_>, qos: Qos, id: PacketId) -> Option<AckToken> {
        let manual = self.manual_acks();
        let phase = match qos {
            Qos::ExactlyOnce if manual => Phase::Delivered2,
            Qos::ExactlyOnce => self.exchanges.first_phase(),
            _ if manual => Phase::Delivered1,
            _ => {
                self.owe(tables, OwedKind::Puback, id, ReasonCode::Success);
                return None;
            }
        };
        self.exchanges.make_room(tables.exchanges, self.bounds.inbound.into());
        self.sweep_notes(tables);
        let token = self.exchanges.add(tables.exchanges, id, phase);
        if manual {
            return token;
        }
        if let Some(token) = token {
            self.exchanges.record(tables.exchanges, token.index().into());
        }
        if phase == Phase::Storing {
            return None;
        }
        self.owe(tables, OwedKind::Pubrec, id, ReasonCode::Success);
        None
    }

    /// Whether one more unacknowledged message is one too many; the connection then ends.
    #[inline(always)]
    pub(super) fn over_receive_maximum(&mut self, qos: Qos) -> bool {
        let mut open = self.exchanges.open_here();
        if self.link.version.has_properties() {
            open = open.wrapping_add(self.owed.pubacks());
        } else if qos == Qos::AtLeastOnce && !self.manual_acks() {
            // A 3.x server was told no limit, and these are answered as fast as they can be sent.
            return false;
        }
        if open < u32::from(self.bounds.inbound) {
            return false;
        }
        self.flooded();
        true
    }

    #[cold]
    fn flooded(&mut self) {
        // [MQTT-3.3.4-7]
        let why = if self.link.version.has_properties() {
            Why::Protocol(ReasonCode::ReceiveMaximumExceeded, "MQTT-3.3.4-7")
        } else {
            Why::Flooded { limit: self.bounds.inbound }
        };
        self.violated(why, ReasonCode::ReceiveMaximumExceeded);
    }

    /// Whether a message waits in the input until the application has acknowledged another.
    pub(super) fn is_stalled(&self) -> bool {
        self.connection.stalled && self.is_window_full()
    }

    fn is_window_full(&self) -> bool {
        self.exchanges.open_here() >= u32::from(self.bounds.inbound)
    }

    /// On 3.x a server cannot be told how many messages it may send. Where the application acknowledges, one
    /// too many is left in the input, if acknowledging another makes room for it: at QoS 1 that is enough,
    /// while the room of a QoS 2 message needs a PUBREL that would come behind.
    #[inline]
    pub(super) fn leave_in_input(&mut self, tables: &Tables<'_>, input: &[u8]) -> bool {
        if self.connection.stalled {
            self.stall(false);
        }
        let may = self.manual_acks() && !self.link.version.has_properties() && self.is_window_full();
        may && self.is_one_too_many(tables, input)
    }

    #[cold]
    fn is_one_too_many(&mut self, tables: &Tables<'_>, input: &[u8]) -> bool {
        if !self.exchanges.awaits_puback() || input.first().is_none_or(|first| first >> 4 != 3) {
            return false;
        }
        let head = PublishHead::decode(input, self.link.version, Peer::Server, LONGEST_PACKET as usize);
        let Ok(Some(PublishHead { publish: Publish { packet_id: Some(id), qos, .. }, .. })) = head else {
            return false;
        };
        if qos == Qos::ExactlyOnce && self.exchanges.find(tables.exchanges, id).is_some() {
            return false;
        }
        self.stall(true);
        true
    }
}
