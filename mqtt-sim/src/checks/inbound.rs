//! Rules for what a client acknowledges: only what came, PUBACK and PUBREC in the order in which it came.

use std::collections::{BTreeSet, VecDeque};

use mqtt_proto::{Packet, PacketId, Qos, ReasonCode};

/// Pings without an answer: a half packet has 30 s, in which one falls due every 5 s at most.
const MOST_PINGS: u64 = 8;

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
    /// Those of an earlier connection whose repetition came before their PUBREC had left as a whole: it may have been
    /// begun before, and the repetition is answered once more.
    crossed: Vec<PacketId>,
    /// Identifiers of QoS 2 messages from before a crash, or from a session that nobody said was lost: whether the client
    /// takes what comes for something it has, and answers it at once, is not known here.
    doubtful: BTreeSet<PacketId>,
    pubcomps: VecDeque<PacketId>,
    pings_owed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Arrived {
    id: PacketId,
    /// On this connection.
    here: bool,
    /// And on an earlier one.
    before: bool,
}

impl Inbound {
    pub(super) fn opened(&mut self) {
        let Self { mut pubrecs, answered, doubtful, .. } = core::mem::take(self);
        for arrived in &mut pubrecs {
            (arrived.here, arrived.before) = (false, true);
        }
        *self = Self { pubrecs, answered, doubtful, ..Self::default() };
    }

    /// The program crashed, and its next run goes on with what a journal kept.
    pub(super) fn crashed(&mut self) {
        self.doubtful.extend(self.pubrecs.drain(..).map(|arrived| arrived.id));
        self.doubtful.append(&mut self.answered);
    }

    /// The server has no session of before, or this side may not know of it.
    pub(super) fn session_lost(&mut self) {
        self.pubrecs.clear();
        self.answered.clear();
        self.doubtful.clear();
    }

    pub(super) fn reached(&mut self, packet: &Packet<'_>) {
        match packet {
            Packet::Publish(publish) => match (publish.qos, publish.packet_id) {
                (Qos::AtLeastOnce, Some(id)) => self.pubacks.push_back(id),
                (Qos::ExactlyOnce, Some(id)) => self.arrived(id, publish.dup),
                _ => {}
            },
            Packet::Pubrel(ack) => {
                self.answered.remove(&ack.packet_id);
                self.doubtful.remove(&ack.packet_id);
                self.pubcomps.push_back(ack.packet_id);
            }
            Packet::Pingresp(_) => self.pings_owed = self.pings_owed.saturating_sub(1),
            _ => {}
        }
    }

    fn arrived(&mut self, id: PacketId, dup: bool) {
        // On 3.1 nobody says that a session is lost: a new message may have the identifier of one of the old session, and
        // be taken for it.
        let stale = self.pubrecs.iter().position(|arrived| arrived.id == id && !arrived.here);
        if let Some(place) = stale.filter(|_| !dup) {
            self.pubrecs.remove(place);
            self.doubtful.insert(id);
        }
        if self.answered.contains(&id) {
            self.again.push(id);
        } else if let Some(known) = self.pubrecs.iter_mut().find(|arrived| arrived.id == id) {
            known.here = true;
        } else {
            self.pubrecs.push_back(Arrived { id, here: true, before: false });
        }
    }

    /// PUBREC was sent.
    fn received(&mut self, id: PacketId, reason: ReasonCode) -> Verdict {
        if let Some(place) = self.again.iter().position(|again| *again == id) {
            self.again.swap_remove(place);
            return Ok(());
        }
        let Some(place) = self.pubrecs.iter().position(|arrived| arrived.id == id) else {
            if let Some(place) = self.crossed.iter().position(|crossed| *crossed == id) {
                self.crossed.swap_remove(place);
                return Ok(());
            }
            return Err(("MQTT-4.6.0-3", format!("PUBREC {id:?} for nothing that came")));
        };
        // What the server did not come back to may have been let go. A repetition of what was answered is answered at once.
        let first = self.pubrecs.iter().take(place).find(|arrived| arrived.here);
        if let Some(first) = first.filter(|_| !self.doubtful.contains(&id)) {
            return Err(("MQTT-4.6.0-3", format!("PUBREC {id:?} while {:?} is first", first.id)));
        }
        let arrived = self.pubrecs.remove(place);
        if arrived.is_some_and(|arrived| arrived.here && arrived.before) {
            self.crossed.push(id);
        }
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
                // While one is unanswered another may fall due, the more so with a clock that jumps, or where the length of a
                // packet was made to lie, which takes answers for its payload until its own deadline; more of them
                // mean that nobody looks at the answers.
                if self.pings_owed > MOST_PINGS {
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
