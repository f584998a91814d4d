//! Taking in a PUBLISH larger than a buffer, piece by piece as it arrives: its pieces are told
//! (`Oversize::Chunks`), or dropped (`Oversize::Skip`, and what was delivered before). Nothing of it is
//! kept but a few counters, and it opens an exchange only when its last byte has come: a cut in the
//! middle leaves nothing behind.

use mqtt_proto::{PacketId, PacketType, Peer, PublishHead, Qos, ReasonCode};

use super::deliver::Admission;
use super::receive::Step;
use super::{Core, Partial};
use crate::config::Oversize;
use crate::event::{Event, Received, Why};
use crate::limits::LONGEST_PACKET;
use crate::link::{Notice, State};
use crate::storage::Tables;
use crate::timers::Timer;

/// A message on its way in.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Large {
    /// Bytes of its payload still to come.
    left: usize,
    /// Bytes of its packet.
    len: u32,
    qos: Qos,
    packet_id: Option<PacketId>,
    fate: Fate,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fate {
    /// It is told in pieces.
    Delivered,
    /// It is dropped, and acknowledged all the same.
    Skipped,
    /// It was delivered before, and only has to be answered, or not even that.
    Duplicate { answered: bool, told: bool },
}

impl Core {
    /// The largest inbound packet of all: what 5.0 is told as Maximum Packet Size.
    pub(super) fn largest_in(&self) -> u32 {
        match self.config.oversize {
            Oversize::Chunks { largest } => largest.max(self.max_packet_in()).min(LONGEST_PACKET),
            Oversize::Refuse | Oversize::Skip => self.max_packet_in(),
        }
    }

    /// Whether the packet at the front, refused by its length, may come in pieces instead.
    pub(super) fn may_pass(&self, input: &[u8]) -> bool {
        let is_publish = input.first().is_some_and(|first| first >> 4 == 3);
        is_publish
            && self.link.state == State::Up
            && match self.config.oversize {
                Oversize::Refuse => false,
                Oversize::Skip => !self.link.version.has_properties(),
                Oversize::Chunks { .. } => true,
            }
    }

    /// Reads the head of the packet at the front. `None`: go on.
    #[cold]
    pub(super) fn begin_large<'i>(
        &mut self,
        tables: &mut Tables<'_>,
        input: &mut &'i [u8],
    ) -> Option<Step<'i>> {
        let room = self.max_packet_in() as usize;
        let skips = self.config.oversize == Oversize::Skip;
        let largest = if skips { LONGEST_PACKET } else { self.largest_in() };
        let head = match PublishHead::decode(input, self.link.version, Peer::Server, largest as usize) {
            Ok(Some(head)) if head.head_len <= room => head,
            Ok(None) if input.len() < room => {
                self.is_partial(input, room);
                return Some(Step::Done);
            }
            Ok(_) => {
                // Not even its head fits the buffer.
                let why = Why::Protocol(ReasonCode::PacketTooLarge, "MQTT-3.1.2-24");
                self.violated(why, ReasonCode::PacketTooLarge);
                return None;
            }
            Err(error) => {
                self.malformed(error);
                return None;
            }
        };
        if !self.connection.aliases_in.is_off()
            && let Some((table, len)) = self.room_for_topic(tables, input)
        {
            return Some(Step::Need(table, len));
        }
        self.heard();
        self.stats.packets_in.count((PacketType::Publish as u8) << 4);
        self.stats.bytes_in = self.stats.bytes_in.wrapping_add(head.head_len as u64);
        let (publish, len) = (head.publish, head.total_len.saturating_sub(head.head_len));
        let topic = self.topic_of(tables, &publish)?;
        let admission = match publish.packet_id {
            Some(id) => self.admit(tables, publish.qos, id, publish.dup),
            None => Admission::Deliver,
        };
        let fate = match admission {
            Admission::Refused => return None,
            Admission::Held => return Some(Step::Done),
            Admission::Duplicate { answered } => Fate::Duplicate { answered, told: skips },
            Admission::Deliver if skips => Fate::Skipped,
            Admission::Deliver => Fate::Delivered,
        };
        *input = input.get(head.head_len..).unwrap_or_default();
        self.connection.large = Some(Large {
            left: len,
            len: u32::try_from(head.total_len).unwrap_or(u32::MAX),
            qos: publish.qos,
            packet_id: publish.packet_id,
            fate,
        });
        self.rest_expected();
        let message = Received {
            topic,
            payload: &[],
            qos: publish.qos,
            retain: publish.retain,
            dup: publish.dup,
            properties: publish.properties,
            packet_id: publish.packet_id,
            ack: None,
            redelivered: self.is_redelivered(&publish),
        };
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        (fate == Fate::Delivered).then_some(Step::Tell(Event::Start { message, len }))
    }

    /// Takes what has arrived of the packet, or ends it. `None`: go on.
    #[cold]
    pub(super) fn go_on_large<'i>(
        &mut self,
        tables: &mut Tables<'_>,
        large: Large,
        input: &mut &'i [u8],
    ) -> Option<Step<'i>> {
        if large.left == 0 {
            return self.end_large(tables, large);
        }
        let count = large.left.min(input.len());
        let Some((part, rest)) = input.split_at_checked(count).filter(|_| count != 0) else {
            return Some(Step::Done);
        };
        *input = rest;
        self.heard();
        self.stats.bytes_in = self.stats.bytes_in.wrapping_add(count as u64);
        self.connection.large = Some(Large { left: large.left.saturating_sub(count), ..large });
        self.rest_expected();
        (large.fate == Fate::Delivered).then_some(Step::Tell(Event::Chunk(part)))
    }

    /// Its last byte has come: it is acknowledged like any other message.
    fn end_large<'i>(&mut self, tables: &mut Tables<'_>, large: Large) -> Option<Step<'i>> {
        if let Some((table, len)) = self.room_for_packet(tables) {
            return Some(Step::Need(table, len));
        }
        let opens = large.packet_id.is_some() && !matches!(large.fate, Fate::Duplicate { .. });
        if self.records() && opens && self.is_clogged(tables, large.qos) {
            return Some(Step::Done);
        }
        self.connection.large = None;
        self.not_partial();
        let told = match (large.fate, large.packet_id) {
            (Fate::Duplicate { answered, told }, Some(id)) => {
                if answered {
                    self.answer_again(tables, id);
                }
                told
            }
            (Fate::Delivered, packet_id) => {
                let ack = packet_id.and_then(|id| self.delivered(tables, large.qos, id));
                return Some(Step::Tell(Event::End { packet_id, ack }));
            }
            (_, Some(id)) => {
                if let Some(token) = self.delivered(tables, large.qos, id) {
                    // In its turn, like a message the application has acknowledged.
                    self.exchanges.acknowledge(tables.exchanges, token, ReasonCode::Success);
                    self.exchanges.record_acknowledged(tables.exchanges);
                }
                true
            }
            (_, None) => true,
        };
        told.then_some(Step::Tell(Event::Skipped { len: large.len }))
    }

    /// Each part that comes gives the rest its time again.
    fn rest_expected(&mut self) {
        self.connection.partial = Some(Partial { whole: 0, seen: 0 });
        if !self.connection.held {
            self.timers.set(Timer::Partial, self.now.after(self.config.partial_timeout));
        }
    }

    /// The rest will not come: whoever was told the beginning is told that.
    pub(super) fn abort_large(&mut self) {
        if let Some(large) = self.connection.large.take()
            && large.fate == Fate::Delivered
        {
            self.notices.push(Notice::Aborted);
        }
    }
}
