//! Taking in: one packet at a time, straight from the caller's bytes.

use mqtt_proto::{
    Disconnect, PacketId, PacketType, Peer, Pingresp, Properties, Property, Puback, Pubcomp, Publish, Pubrec,
    Pubrel, Qos, ReasonCode, Suback, Unsuback, announced_len, frame_len, short_ack,
};

use super::auth::Turn;
use super::deliver::Admission;
use super::{Core, Need, Partial};
use crate::event::{Event, Received, Why};
use crate::link::State;
use crate::qos::Answer;
use crate::storage::{Table, Tables};
use crate::time::Instant;
use crate::timers::Timer;

/// What one step of taking in came to.
pub(super) enum Step<'i> {
    /// Something to tell; there may be more in the input.
    Tell(Event<'i>),
    /// The input is used up as far as it can be.
    Done,
    /// A table is too short for the next packet.
    Need(Table, usize),
}

impl<'i> Step<'i> {
    fn tell(self, event: &mut Option<Event<'i>>) -> Need {
        match self {
            Self::Tell(told) => {
                *event = Some(told);
                None
            }
            Self::Done => None,
            Self::Need(table, len) => Some((table, len)),
        }
    }
}

/// The most bytes CONNACK, or AUTH before it, may have: nothing larger is taken from a server that has not
/// even accepted.
const CONNACK_MAX: usize = 64 * 1024;

/// The length of a short acknowledgement.
pub(super) const SHORT_ACK: usize = 4;

/// The high half of the first byte of PUBLISH.
pub(super) const PUBLISH: u8 = PacketType::Publish as u8;
/// What the server says of its end beside a reason code, if it says anything.
pub(super) fn closing<'i>(reason_code: ReasonCode, properties: Properties<'i>) -> Option<Event<'i>> {
    (!properties.is_empty()).then_some(Event::ServerClosing { reason_code, properties })
}

impl Core {
    /// Takes packets until one has something to tell, which goes to `event`; `Some`: call again when that table
    /// has grown.
    #[inline(never)]
    pub(crate) fn receive<'i>(
        &mut self,
        tables: &mut Tables<'_>,
        input: &mut &'i [u8],
        now: Instant,
        event: &mut Option<Event<'i>>,
    ) -> Need {
        self.tell(now);
        loop {
            if !matches!(self.link.state, State::Handshake | State::Up) {
                // Nothing that arrives now is of a connection that counts.
                *input = &[];
                return None;
            }
            if let Some(large) = self.connection.large {
                if let Some(step) = self.go_on_large(tables, large, input) {
                    return step.tell(event);
                }
                continue;
            }
            if input.is_empty() || !self.wants_read() {
                if self.connection.partial.is_some() {
                    self.not_partial();
                }
                return None;
            }
            if self.leave_in_input(tables, input) {
                return None;
            }
            let need = self.room_for_packet(tables);
            if need.is_some() {
                return need;
            }
            if self.link.state == State::Up
                && let Some((packet_type, id)) = short_ack(input)
            {
                self.take(input, SHORT_ACK);
                *event = self.handle_short_ack(tables, packet_type, id);
            } else {
                let max = self.longest_packet();
                let whole = *input;
                let frame = match frame_len(input, max) {
                    Ok(Some(len)) => {
                        let mut need = self.room_for_reference(tables, input);
                        if need.is_none() && !self.connection.aliases_in.is_off() {
                            need = self.room_for_topic(tables, input);
                        }
                        if need.is_some() {
                            return need;
                        }
                        self.take(input, len)
                    }
                    Ok(None) => {
                        self.is_partial(input, max);
                        return None;
                    }
                    Err(error) => {
                        if !self.may_pass(input) {
                            self.malformed(error);
                        } else if let Some(step) = self.begin_large(tables, input) {
                            return step.tell(event);
                        }
                        continue;
                    }
                };
                if self.link.state == State::Up && frame.first().is_some_and(|first| first >> 4 == PUBLISH) {
                    self.receive_publish(tables, frame, event);
                    if core::mem::take(&mut self.held_back) {
                        *input = whole;
                        return None;
                    }
                } else {
                    *event = self.handle(tables, frame);
                }
            }
            if event.is_some() {
                return None;
            }
        }
    }

    /// The longest packet that is taken now.
    #[inline]
    fn longest_packet(&self) -> usize {
        let max = self.max_packet_in() as usize;
        if self.link.state == State::Up { max } else { max.min(CONNACK_MAX) }
    }

    /// Takes a whole packet off the input.
    #[inline(always)]
    pub(super) fn take<'i>(&mut self, input: &mut &'i [u8], len: usize) -> &'i [u8] {
        let (frame, rest) = input.split_at_checked(len).unwrap_or_default();
        *input = rest;
        self.heard();
        self.stats.packets_in.count(frame.first().copied().unwrap_or(0));
        self.stats.bytes_in = self.stats.bytes_in.wrapping_add(len as u64);
        if self.connection.partial.is_some() {
            self.not_partial();
        }
        frame
    }

    /// A packet may owe an acknowledgement and open an exchange: both must have room before it is taken.
    #[inline(always)]
    pub(super) fn room_for_packet(&mut self, tables: &mut Tables<'_>) -> Need {
        if self.owed.len() >= tables.owed.len() {
            return Some(self.longer_ring(tables));
        }
        if !self.exchanges.has_room(tables.exchanges.len())
            && self.exchanges.open() < u32::from(self.bounds.inbound)
        {
            return Some((Table::Exchanges, tables.exchanges.len().saturating_add(1)));
        }
        None
    }

    #[cold]
    fn longer_ring(&mut self, tables: &mut Tables<'_>) -> (Table, usize) {
        self.owed.straighten(tables.owed);
        (Table::Owed, self.owed.len().saturating_add(1))
    }

    #[cold]
    pub(super) fn not_partial(&mut self) {
        self.connection.partial = None;
        self.timers.clear(Timer::Partial);
    }

    /// The packet at the front is not whole: its rest must come in time.
    #[inline(never)]
    pub(super) fn is_partial(&mut self, input: &[u8], max: usize) {
        let packet_type = input.first().and_then(|first| PacketType::from_first_byte(*first));
        if self.link.state == State::Handshake && !self.may_come_early(packet_type) {
            // Judged by its first byte: nothing else is worth waiting for.
            self.too_early(packet_type);
            return;
        }
        let whole = announced_len(input, max).ok().flatten().unwrap_or(0);
        if self.connection.partial.is_none() && !self.connection.held {
            self.timers.set(Timer::Partial, self.now.after(self.config.partial_timeout));
        }
        if self.connection.partial.is_none_or(|before| input.len() > before.seen) {
            // Bytes of a packet on its way are life too.
            self.heard();
        }
        self.connection.partial = Some(Partial { whole, seen: input.len() });
    }

    /// Before CONNACK only AUTH may come, where CONNECT named a method for it. [MQTT-3.2.0-1]
    fn may_come_early(&self, packet_type: Option<PacketType>) -> bool {
        packet_type == Some(PacketType::Connack)
            || (packet_type == Some(PacketType::Auth) && self.connection.auth != Turn::Never)
    }

    fn too_early(&mut self, packet_type: Option<PacketType>) {
        let rule = match packet_type {
            Some(PacketType::Auth) if self.link.version.has_properties() => "MQTT-4.12.0-6",
            Some(PacketType::Disconnect) if self.link.version.has_properties() => "MQTT-3.14.0-1",
            _ => "MQTT-3.2.0-1",
        };
        self.violated(Why::Protocol(ReasonCode::ProtocolError, rule), ReasonCode::ProtocolError);
    }

    #[inline(never)]
    fn handle<'i>(&mut self, tables: &mut Tables<'_>, frame: &'i [u8]) -> Option<Event<'i>> {
        let packet_type = frame.first().and_then(|first| PacketType::from_first_byte(*first));
        if self.link.state == State::Handshake {
            if !self.may_come_early(packet_type) {
                self.too_early(packet_type);
                return None;
            }
            if packet_type == Some(PacketType::Connack) {
                return self.handle_connack(tables, frame);
            }
            return self.handle_auth(frame);
        }
        let version = self.link.version;
        macro_rules! decode {
            ($packet:ident) => {
                match $packet::decode(frame, version, Peer::Server) {
                    Ok(packet) if self.explains_unasked(packet_type, &packet.properties) => return None,
                    Ok(packet) => packet,
                    Err(error) => {
                        self.malformed(error);
                        return None;
                    }
                }
            };
        }
        match packet_type {
            Some(PacketType::Puback) => {
                let ack = decode!(Puback);
                self.handle_ack(tables, ack.packet_id, Answer::Puback, ack.reason_code, ack.properties)
            }
            Some(PacketType::Pubrec) => {
                let ack = decode!(Pubrec);
                let answer = if ack.reason_code.is_error() { Answer::PubrecFailed } else { Answer::Pubrec };
                self.handle_ack(tables, ack.packet_id, answer, ack.reason_code, ack.properties)
            }
            Some(PacketType::Pubrel) => {
                let ack = decode!(Pubrel);
                self.handle_pubrel(tables, ack.packet_id);
                None
            }
            Some(PacketType::Pubcomp) => {
                let ack = decode!(Pubcomp);
                self.handle_ack(tables, ack.packet_id, Answer::Pubcomp, ack.reason_code, ack.properties)
            }
            Some(PacketType::Suback) => {
                let suback = decode!(Suback);
                self.handle_codes(tables, suback.packet_id, Answer::Suback, suback.codes, suback.properties)
            }
            Some(PacketType::Unsuback) => {
                let unsuback = decode!(Unsuback);
                self.handle_codes(
                    tables,
                    unsuback.packet_id,
                    Answer::Unsuback,
                    unsuback.codes,
                    unsuback.properties,
                )
            }
            Some(PacketType::Pingresp) => {
                match Pingresp::decode(frame, version, Peer::Server) {
                    Ok(_) => self.ping_answered(),
                    Err(error) => self.malformed(error),
                }
                None
            }
            Some(PacketType::Disconnect) => {
                let disconnect = decode!(Disconnect);
                // [MQTT-3.14.4-1]: after DISCONNECT nothing is sent.
                self.redirected(tables, disconnect.reason_code, &disconnect.properties);
                self.close(Why::ServerDisconnected(disconnect.reason_code), None);
                closing(disconnect.reason_code, disconnect.properties)
            }
            Some(PacketType::Auth) => self.handle_auth(frame),
            // A second CONNACK, and what only clients send.
            _ => {
                let error = mqtt_proto::Packet::decode(frame, version, Peer::Server).err();
                match error {
                    Some(error) => self.malformed(error),
                    None => {
                        let why = Why::Protocol(ReasonCode::ProtocolError, "MQTT-3.2.0-2");
                        self.violated(why, ReasonCode::ProtocolError);
                    }
                }
                None
            }
        }
    }

    /// Whether the server gives reasons although CONNECT asked for none; the connection then ends.
    pub(super) fn explains_unasked(
        &mut self,
        packet_type: Option<PacketType>,
        properties: &Properties<'_>,
    ) -> bool {
        if self.handshake.problem_information || properties.is_empty() {
            return false;
        }
        let reason = |property| matches!(property, Property::ReasonString(_) | Property::UserProperty(..));
        let unasked = packet_type != Some(PacketType::Disconnect) && properties.iter().any(reason);
        if unasked {
            // [MQTT-3.1.2-29]
            let why = Why::Protocol(ReasonCode::ProtocolError, "MQTT-3.1.2-29");
            self.violated(why, ReasonCode::ProtocolError);
        }
        unasked
    }

    /// A successful acknowledgement without properties.
    #[inline]
    fn handle_short_ack<'i>(
        &mut self,
        tables: &mut Tables<'_>,
        packet_type: PacketType,
        id: PacketId,
    ) -> Option<Event<'i>> {
        let answer = match packet_type {
            PacketType::Puback => Answer::Puback,
            PacketType::Pubrec => Answer::Pubrec,
            PacketType::Pubcomp => Answer::Pubcomp,
            _ => {
                self.handle_pubrel(tables, id);
                return None;
            }
        };
        self.handle_ack(tables, id, answer, ReasonCode::Success, Properties::EMPTY)
    }

    #[inline(never)]
    fn receive_publish<'i>(
        &mut self,
        tables: &mut Tables<'_>,
        frame: &'i [u8],
        event: &mut Option<Event<'i>>,
    ) {
        // Looked at where it is: a copy would cost as much as the rest.
        match &Publish::decode(frame, self.link.version, Peer::Server) {
            Ok(publish) => *event = self.handle_publish(tables, publish),
            Err(error) => self.malformed(*error),
        }
    }

    #[inline]
    fn handle_publish<'i>(&mut self, tables: &mut Tables<'_>, publish: &Publish<'i>) -> Option<Event<'i>> {
        let topic = self.topic_of(tables, publish)?;
        let mut ack = None;
        if let Some(id) = publish.packet_id {
            match self.admit(tables, publish.qos, id, publish.dup) {
                Admission::Deliver => ack = self.delivered(tables, publish.qos, id),
                Admission::Duplicate { answered: true } => {
                    self.answer_again(tables, id);
                    return None;
                }
                Admission::Duplicate { answered: false } | Admission::Refused => return None,
                Admission::Held => {
                    self.held_back = true;
                    return None;
                }
            }
        }
        Some(Event::Message(Received {
            topic,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            dup: publish.dup,
            properties: publish.properties,
            packet_id: publish.packet_id,
            ack,
            redelivered: self.is_redelivered(publish),
        }))
    }

    /// Whether an earlier run may have handed the message over.
    #[inline]
    pub(super) fn is_redelivered(&self, publish: &Publish<'_>) -> bool {
        publish.dup && publish.qos == Qos::ExactlyOnce && self.journal.earlier
    }
}
