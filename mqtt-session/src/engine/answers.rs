//! Answers to what was sent, and PUBREL: which exchange they move on, and what they are where there is none.

use mqtt_proto::{PacketId, Properties, ReasonCode};

use super::Core;
use crate::event::{Anomaly, Event, Outcome, Why};
use crate::inbound::OwedKind;
use crate::list::NONE;
use crate::operation::Slot;
use crate::planted::planted;
use crate::qos::{Answer, Phase, Reaction, Stage, answered};
use crate::storage::Tables;
use crate::timers::Timer;
use crate::trace::debug;

impl Core {
    /// PUBREL ends an exchange; for one that is not known, PUBCOMP says so and nothing is lost.
    #[inline]
    pub(super) fn handle_pubrel(&mut self, tables: &mut Tables<'_>, id: PacketId) {
        match self.exchanges.find(tables.exchanges, id) {
            Some((index, Phase::Received | Phase::Leaving)) => {
                if self.exchanges.complete(tables.exchanges, index) {
                    self.owe(tables, OwedKind::Pubcomp, id, ReasonCode::Success);
                }
            }
            _ => {
                self.owe(tables, OwedKind::Pubcomp, id, ReasonCode::PacketIdentifierNotFound);
                self.unexpected(id);
            }
        }
    }

    #[inline(never)]
    pub(super) fn handle_ack<'i>(
        &mut self,
        tables: &mut Tables<'_>,
        id: PacketId,
        answer: Answer,
        code: ReasonCode,
        properties: Properties<'i>,
    ) -> Option<Event<'i>> {
        let holder = self.answerable(tables, id);
        let reaction = holder.map_or(Reaction::Unexpected, |(_, stage)| answered(stage, answer));
        let over = planted!("publish-after-pubrel") && answer == Answer::Pubcomp && holder.is_some();
        let reaction = if over { Reaction::Complete } else { reaction };
        let index = holder.map_or(NONE, |(index, _)| index);
        if matches!(reaction, Reaction::Complete | Reaction::Release) {
            self.time_answer(id);
            self.progressed();
        }
        match reaction {
            Reaction::Unexpected => {
                if answer == Answer::Pubcomp && self.answers_doubt(tables, id) {
                    self.progressed();
                    return None;
                }
                if answer == Answer::Pubrec {
                    // The server waits for PUBREL: it gets one that says the exchange is not known.
                    self.owe(tables, OwedKind::Pubrel, id, ReasonCode::PacketIdentifierNotFound);
                }
                self.unexpected(id);
                None
            }
            Reaction::Complete => {
                let outcome = if code.is_error() && answer != Answer::Pubcomp {
                    Outcome::Refused(code)
                } else {
                    Outcome::Acked(code)
                };
                let told = tables.slots.get(index as usize).is_some_and(|slot| slot.told);
                let (token, tag) = self.complete(tables, index)?;
                (!told).then_some(Event::Done { token, tag, outcome, properties })
            }
            Reaction::Release if planted!("publish-after-pubrel") => {
                self.owe(tables, OwedKind::Pubrel, id, ReasonCode::Success);
                None
            }
            Reaction::Release => {
                // From here on the message itself is never needed again.
                self.give_quota(tables, index);
                self.release_content(tables, index);
                self.ops.released(tables.slots, index);
                if planted!("identifier-reused-early") {
                    self.ids.give(tables.ids, id);
                }
                if self.records() {
                    self.note_released(tables, index);
                }
                None
            }
            // The first PUBREL still waits for the journal: it answers both.
            Reaction::ReleaseAgain if !self.may_release(tables, index) => None,
            Reaction::ReleaseAgain => {
                self.owe(tables, OwedKind::Pubrel, id, ReasonCode::Success);
                None
            }
            Reaction::Confused => {
                let why = Why::Protocol(ReasonCode::ProtocolError, "MQTT-4.3.2-3");
                self.violated(why, ReasonCode::ProtocolError);
                None
            }
            Reaction::Violation => {
                // A server that does this may still hold a half of the exchange, and would take the next
                // message of this identifier for it; a PUBREL may be one more thing it does not know. A new
                // session settles both.
                let done = self.complete(tables, index);
                self.tear_session();
                let why = Why::Protocol(ReasonCode::ProtocolError, "MQTT-4.3.3-4");
                self.violated(why, ReasonCode::ProtocolError);
                done.map(|(token, tag)| Event::Done { token, tag, outcome: Outcome::Violated, properties })
            }
        }
    }

    #[cold]
    pub(super) fn unexpected(&mut self, id: PacketId) {
        self.stats.unexpected_acks = self.stats.unexpected_acks.wrapping_add(1);
        debug!("an acknowledgement of no open exchange, identifier {}", id.get());
        self.notices.anomaly = Some(Anomaly::UnexpectedAck(id));
    }

    /// Whether the transport took the whole packet: nothing can answer one that the server cannot have,
    /// but a duplicate of an answer to an earlier one of the same identifier.
    #[inline]
    pub(super) fn has_left(&self, slot: &Slot) -> bool {
        slot.stage == Stage::AwaitPubcomp
            || slot.epoch != self.connection.epoch
            || slot.end <= self.wire.taken()
    }

    /// The operation that holds `id`, if an answer to it can have come.
    #[inline]
    pub(super) fn answerable(&self, tables: &Tables<'_>, id: PacketId) -> Option<(u32, Stage)> {
        let index = self.ids.slot(tables.ids, id)?;
        let slot = tables.slots.get(index as usize)?;
        self.has_left(slot).then_some((index, slot.stage))
    }

    /// An acknowledgement came: the next one has its time again.
    #[inline(always)]
    pub(super) fn progressed(&mut self) {
        self.first_unacked = None;
        if self.config.ack_timeout.is_some() {
            self.await_next_ack();
        }
    }

    fn await_next_ack(&mut self) {
        self.timers.clear(Timer::Ack);
        if self.awaits_ack() {
            self.await_ack();
        }
    }
}
