//! Whether an inbound message is handed over, and what its handing over owes.

use mqtt_proto::{PacketId, Qos, ReasonCode};

use super::Core;
use crate::event::Why;
use crate::inbound::OwedKind;
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
}

impl Core {
    /// Judges a PUBLISH that has arrived, or begins to.
    pub(super) fn admit(&mut self, tables: &mut Tables<'_>, qos: Qos, id: PacketId) -> Admission {
        if qos == Qos::ExactlyOnce {
            let found = self.exchanges.find(tables.exchanges, id);
            if let Some((index, _)) = found {
                self.exchanges.came_again(tables.exchanges, index);
            }
            let arrival = arrived(found.map_or(Phase::Free, |(_, phase)| phase));
            if arrival != Arrival::Deliver {
                self.stats.duplicates = self.stats.duplicates.wrapping_add(1);
                return Admission::Duplicate { answered: arrival == Arrival::AnswerAgain };
            }
        }
        if self.over_receive_maximum(qos) { Admission::Refused } else { Admission::Deliver }
    }

    /// A message at QoS 1 or 2 is handed over: its exchange opens, and its acknowledgement is owed unless
    /// it is for the application to give. The caller has made room.
    pub(super) fn delivered(&mut self, tables: &mut Tables<'_>, qos: Qos, id: PacketId) -> Option<AckToken> {
        let manual = self.manual_acks();
        let phase = match qos {
            Qos::ExactlyOnce if manual => Phase::Delivered2,
            Qos::ExactlyOnce => Phase::Received,
            _ if manual => Phase::Delivered1,
            _ => {
                self.owe(tables, OwedKind::Puback, id, ReasonCode::Success);
                return None;
            }
        };
        self.exchanges.make_room(tables.exchanges, self.bounds.inbound.into());
        let token = self.exchanges.add(tables.exchanges, id, phase);
        if manual {
            return token;
        }
        self.owe(tables, OwedKind::Pubrec, id, ReasonCode::Success);
        None
    }

    /// Whether one more unacknowledged message is one too many; the connection then ends.
    fn over_receive_maximum(&mut self, qos: Qos) -> bool {
        let mut open = self.exchanges.open_here();
        if self.link.version.has_properties() {
            open = open.saturating_add(self.owed.pubacks());
        } else if qos == Qos::AtLeastOnce && !self.manual_acks() {
            // A 3.x server was told no limit, and these are answered as fast as they can be sent.
            return false;
        }
        if open < u32::from(self.bounds.inbound) {
            return false;
        }
        // [MQTT-3.3.4-7]
        let why = Why::Protocol(ReasonCode::ReceiveMaximumExceeded, "MQTT-3.3.4-7");
        self.violated(why, ReasonCode::ReceiveMaximumExceeded);
        true
    }
}
