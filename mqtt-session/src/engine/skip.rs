//! Letting an inbound PUBLISH pass that is larger than what was configured (3.x, `Oversize::Skip`).

use mqtt_proto::{PacketId, Peer, PublishHead, Qos, ReasonCode};

use super::{Core, Partial};
use crate::config::Oversize;
use crate::event::Event;
use crate::inbound::OwedKind;
use crate::limits::LONGEST_PACKET;
use crate::link::State;
use crate::qos::{Arrival, Phase, arrived};
use crate::storage::Tables;
use crate::timers::Timer;
use crate::token::AckToken;

/// A packet on its way past.
#[derive(Clone, Copy, Debug)]
pub(super) struct Skip {
    /// Bytes still to come.
    left: usize,
    /// Bytes in all.
    len: u32,
    /// What its end owes.
    answer: Option<Answer>,
}

/// How a skipped message is acknowledged.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// By the session, at once.
    Owe(OwedKind, PacketId),
    /// Like a message the application has acknowledged: in its turn.
    Acknowledge(AckToken),
}

impl Skip {
    /// All of it has passed; only its acknowledgement has found no room yet.
    pub(super) const fn is_over(&self) -> bool {
        self.left == 0
    }
}

impl Core {
    /// Whether the packet at the front, refused by its length, may pass instead.
    pub(super) fn may_skip(&self, input: &[u8]) -> bool {
        let is_publish = input.first().is_some_and(|first| first >> 4 == 3);
        self.config.oversize == Oversize::Skip
            && is_publish
            && self.link.state == State::Up
            && !self.link.version.has_properties()
    }

    /// Reads the head of the packet at the front; true: there is something to go on with.
    pub(super) fn begin_skipping(&mut self, tables: &mut Tables<'_>, input: &mut &[u8]) -> bool {
        let head = match PublishHead::decode(input, self.link.version, Peer::Server, LONGEST_PACKET as usize)
        {
            Ok(Some(head)) => head,
            Ok(None) if input.len() < self.max_packet_in() as usize => {
                if self.connection.partial.is_none() && !self.connection.held {
                    self.timers.set(Timer::Partial, self.now.after(self.config.partial_timeout));
                }
                self.connection.partial = Some(Partial { whole: 0, seen: 0 });
                return false;
            }
            Ok(None) => {
                // Not even its head fits the buffer.
                self.close(crate::event::Why::Protocol(ReasonCode::PacketTooLarge, "MQTT-3.1.2-25"), None);
                return true;
            }
            Err(error) => {
                self.malformed(error);
                return true;
            }
        };
        let (len, head_len, publish) = (head.total_len, head.head_len, head.publish);
        let manual = self.manual_acks();
        let answer = match (publish.qos, publish.packet_id) {
            (Qos::AtLeastOnce, Some(id)) if manual => {
                if self.over_receive_maximum(Qos::AtLeastOnce) {
                    return true;
                }
                self.exchanges.make_room(tables.exchanges, self.bounds.inbound.into());
                self.exchanges.add(tables.exchanges, id, Phase::Delivered1).map(Answer::Acknowledge)
            }
            (Qos::AtLeastOnce, Some(id)) => Some(Answer::Owe(OwedKind::Puback, id)),
            (Qos::ExactlyOnce, Some(id)) => {
                let phase = self.exchanges.find(tables.exchanges, id).map_or(Phase::Free, |(_, phase)| phase);
                match arrived(phase) {
                    Arrival::Wait => None,
                    Arrival::AnswerAgain => Some(Answer::Owe(OwedKind::Pubrec, id)),
                    Arrival::Deliver => {
                        if self.over_receive_maximum(Qos::ExactlyOnce) {
                            return true;
                        }
                        self.exchanges.make_room(tables.exchanges, self.bounds.inbound.into());
                        let phase = if manual { Phase::Delivered2 } else { Phase::Received };
                        let token = self.exchanges.add(tables.exchanges, id, phase);
                        if manual {
                            token.map(Answer::Acknowledge)
                        } else {
                            Some(Answer::Owe(OwedKind::Pubrec, id))
                        }
                    }
                }
            }
            _ => None,
        };
        let rest = input.get(head_len..).unwrap_or_default();
        *input = rest;
        self.connection.skip = Some(Skip {
            left: len.saturating_sub(head_len),
            len: u32::try_from(len).unwrap_or(u32::MAX),
            answer,
        });
        true
    }

    /// Drops what has arrived of the packet; an event when that was the rest of it.
    pub(super) fn go_on_skipping(
        &mut self,
        tables: &mut Tables<'_>,
        skip: Skip,
        input: &mut &[u8],
    ) -> Option<Event<'static>> {
        let count = skip.left.min(input.len());
        let left = skip.left.saturating_sub(count);
        *input = input.get(count..).unwrap_or_default();
        if count != 0 || left == 0 {
            self.heard();
            self.stats.bytes_in = self.stats.bytes_in.wrapping_add(count as u64);
        }
        self.connection.skip = Some(Skip { left, ..skip });
        if left == 0 && !self.wants_read() {
            return None;
        }
        if left != 0 {
            if count != 0 && !self.connection.held {
                // Each part that comes gives the rest its time again.
                self.connection.partial = Some(Partial { whole: 0, seen: 0 });
                self.timers.set(Timer::Partial, self.now.after(self.config.partial_timeout));
            }
            return None;
        }
        self.connection.skip = None;
        self.not_partial();
        match skip.answer {
            Some(Answer::Owe(kind, id)) => self.owe(tables, kind, id, ReasonCode::Success),
            Some(Answer::Acknowledge(token)) => {
                self.exchanges.acknowledge(tables.exchanges, token, ReasonCode::Success);
            }
            None => {}
        }
        Some(Event::Skipped { len: skip.len })
    }
}
