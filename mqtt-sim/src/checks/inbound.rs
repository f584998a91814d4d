//! Rules for what a client acknowledges: only what came, in the order in which it came.

use std::collections::VecDeque;

use mqtt_proto::{Packet, PacketId, Qos, ReasonCode};

type Verdict = Result<(), (&'static str, String)>;

/// What a client owes for what reached it on this connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Inbound {
    pubacks: VecDeque<PacketId>,
    pubrecs: VecDeque<PacketId>,
    pubcomps: VecDeque<PacketId>,
    pings_owed: u64,
}

impl Inbound {
    pub(super) fn opened(&mut self) {
        *self = Self::default();
    }

    pub(super) fn reached(&mut self, packet: &Packet<'_>) {
        match packet {
            Packet::Publish(publish) => match (publish.qos, publish.packet_id) {
                (Qos::AtLeastOnce, Some(id)) => self.pubacks.push_back(id),
                (Qos::ExactlyOnce, Some(id)) => self.pubrecs.push_back(id),
                _ => {}
            },
            Packet::Pubrel(ack) => self.pubcomps.push_back(ack.packet_id),
            Packet::Pingresp(_) => self.pings_owed = self.pings_owed.saturating_sub(1),
            _ => {}
        }
    }

    pub(super) fn sent(&mut self, packet: &Packet<'_>) -> Verdict {
        match packet {
            Packet::Puback(ack) => in_turn(&mut self.pubacks, ack.packet_id, "MQTT-4.6.0-2", "PUBACK"),
            Packet::Pubrec(ack) => in_turn(&mut self.pubrecs, ack.packet_id, "MQTT-4.6.0-3", "PUBREC"),
            Packet::Pubcomp(ack) => {
                let known =
                    matches!(ack.reason_code, ReasonCode::Success | ReasonCode::PacketIdentifierNotFound);
                if !known {
                    return Err(("MQTT-3.7.2-1", format!("PUBCOMP with {:?}", ack.reason_code)));
                }
                in_turn(&mut self.pubcomps, ack.packet_id, "MQTT-4.3.3-11", "PUBCOMP")
            }
            Packet::Pingreq(_) => {
                self.pings_owed += 1;
                // While one is unanswered another may fall due, the more so with a clock that jumps; many of them mean that
                // nobody looks at the answers.
                if self.pings_owed > 4 {
                    return Err(("pings are answered", format!("{} unanswered", self.pings_owed)));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Nothing is owed at the end.
    pub(super) fn finish(&self) -> Verdict {
        let owed = self.pubacks.len() + self.pubrecs.len() + self.pubcomps.len();
        if owed > 0 {
            Err(("what came is acknowledged", format!("{owed} acknowledgements owed")))
        } else {
            Ok(())
        }
    }
}

fn in_turn(owed: &mut VecDeque<PacketId>, id: PacketId, rule: &'static str, name: &str) -> Verdict {
    match owed.pop_front() {
        Some(front) if front == id => Ok(()),
        Some(front) => Err((rule, format!("{name} {id:?} while {front:?} is first"))),
        None => Err((rule, format!("{name} {id:?} for nothing that came on this connection"))),
    }
}
