//! Rules for what a client acknowledges: only what came, PUBACK and PUBREC in the order in which it came.

use std::collections::{BTreeSet, VecDeque};

use mqtt_proto::{Packet, PacketId, Qos, ReasonCode};

type Verdict = Result<(), (&'static str, String)>;

/// What a client owes for what reached it.
#[derive(Clone, Debug, Default)]
pub(super) struct Inbound {
    pubacks: VecDeque<PacketId>,
    /// QoS 2 messages without PUBREC, in order of arrival, of earlier connections too.
    pubrecs: VecDeque<Arrived>,
    /// Those that had it and no PUBREL yet; and repetitions of these, to be answered once more.
    answered: BTreeSet<PacketId>,
    again: Vec<PacketId>,
    pubcomps: VecDeque<PacketId>,
    pings_owed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Arrived {
    id: PacketId,
    /// On this connection.
    here: bool,
}

impl Inbound {
    pub(super) fn opened(&mut self) {
        let (mut pubrecs, answered) =
            (core::mem::take(&mut self.pubrecs), core::mem::take(&mut self.answered));
        for arrived in &mut pubrecs {
            arrived.here = false;
        }
        *self = Self { pubrecs, answered, ..Self::default() };
    }

    /// The server has no session of before, or this side may not know of it.
    pub(super) fn session_lost(&mut self) {
        self.pubrecs.clear();
        self.answered.clear();
    }

    pub(super) fn reached(&mut self, packet: &Packet<'_>) {
        match packet {
            Packet::Publish(publish) => match (publish.qos, publish.packet_id) {
                (Qos::AtLeastOnce, Some(id)) => self.pubacks.push_back(id),
                (Qos::ExactlyOnce, Some(id)) => self.arrived(id),
                _ => {}
            },
            Packet::Pubrel(ack) => {
                self.answered.remove(&ack.packet_id);
                self.pubcomps.push_back(ack.packet_id);
            }
            Packet::Pingresp(_) => self.pings_owed = self.pings_owed.saturating_sub(1),
            _ => {}
        }
    }

    fn arrived(&mut self, id: PacketId) {
        if self.answered.contains(&id) {
            self.again.push(id);
        } else if let Some(before) = self.pubrecs.iter_mut().find(|arrived| arrived.id == id) {
            before.here = true;
        } else {
            self.pubrecs.push_back(Arrived { id, here: true });
        }
    }

    /// PUBREC was sent.
    fn received(&mut self, id: PacketId, reason: ReasonCode) -> Verdict {
        if let Some(place) = self.again.iter().position(|again| *again == id) {
            self.again.swap_remove(place);
            return Ok(());
        }
        let Some(place) = self.pubrecs.iter().position(|arrived| arrived.id == id) else {
            return Err(("MQTT-4.6.0-3", format!("PUBREC {id:?} for nothing that came")));
        };
        // What the server did not come back to may have been let go.
        if let Some(first) = self.pubrecs.iter().take(place).find(|arrived| arrived.here) {
            return Err(("MQTT-4.6.0-3", format!("PUBREC {id:?} while {:?} is first", first.id)));
        }
        self.pubrecs.remove(place);
        if !reason.is_error() {
            self.answered.insert(id);
        }
        Ok(())
    }

    pub(super) fn sent(&mut self, packet: &Packet<'_>) -> Verdict {
        match packet {
            Packet::Puback(ack) => in_turn(&mut self.pubacks, ack.packet_id, "MQTT-4.6.0-2", "PUBACK"),
            Packet::Pubrec(ack) => self.received(ack.packet_id, ack.reason_code),
            Packet::Pubcomp(ack) => {
                let known =
                    matches!(ack.reason_code, ReasonCode::Success | ReasonCode::PacketIdentifierNotFound);
                if !known {
                    return Err(("MQTT-3.7.2-1", format!("PUBCOMP with {:?}", ack.reason_code)));
                }
                // Nothing is said of their order.
                let owed = self.pubcomps.iter().position(|id| *id == ack.packet_id);
                match owed.and_then(|place| self.pubcomps.remove(place)) {
                    Some(_) => Ok(()),
                    None => Err(("MQTT-4.3.3-11", format!("PUBCOMP {:?} without PUBREL", ack.packet_id))),
                }
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
        let here = self.pubrecs.iter().filter(|arrived| arrived.here).count();
        let owed = self.pubacks.len() + here + self.pubcomps.len() + self.again.len();
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
