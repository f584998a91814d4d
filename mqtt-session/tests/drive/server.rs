//! The server at the other end of a driven session. It keeps its own account of what a client may send and tell, and
//! shares no code with the session but the codec.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mqtt_session::proto::{
    Connack, Connect, Disconnect, Encode, Packet, PacketId, Peer, Pingresp, Properties, Property, Puback,
    Pubcomp, Publish, Pubrec, Pubrel, Qos, ReasonCode, ReasonCodes, Suback, TopicName, Unsuback, Version,
    frame_len,
};

use super::Setup;

/// An exchange the client has begun and, as far as the server can know, not ended.
#[derive(Clone, Debug)]
struct Exchange {
    /// What a resend must repeat.
    content: Vec<u8>,
    tag: u64,
    publish: bool,
    qos2: bool,
    /// PUBREC has reached the client.
    received: bool,
    /// It had, and then the client crashed: whether it was stored by then is not known here.
    unsure: bool,
    /// PUBREL has come.
    released: bool,
    /// The server has answered for good, whether the client knows or not.
    answered: bool,
    /// The connection it came on last.
    connection: u32,
    order: u64,
}

/// A message the server has sent at QoS 1 or 2.
#[derive(Clone, Debug)]
struct Inbound {
    number: u64,
    qos: Qos,
    len: usize,
    /// PUBREC came.
    received: bool,
    order: u64,
}

/// What the server may send next.
#[derive(Clone, Copy, Debug)]
enum Owed {
    Puback(u16),
    Pubrec(u16),
    Pubrel(u16),
    Pubcomp(u16),
    Suback(u16, usize),
    Unsuback(u16, usize),
    Pingresp,
}

/// What a packet to the client ends or begins once the client has it whole.
#[derive(Clone, Copy, Debug)]
enum Effect {
    None,
    Received(u16),
    Ended(u16),
    /// CONNACK: what it says of the session is known.
    Up,
}

#[derive(Debug)]
pub(super) struct Server {
    setup: Setup,
    /// It has done what no server may: what the client makes of that is its own affair.
    wild: bool,
    /// The client was given records that no run of it wrote: it may publish anything.
    foreign: bool,
    healed: bool,
    version: Version,
    // The connection.
    number: u32,
    inbox: Vec<u8>,
    outbox: VecDeque<u8>,
    /// Packets in the outbox and at the client: where each ends, and what it does.
    effects: VecDeque<(u64, Effect)>,
    queued: u64,
    taken: u64,
    open: bool,
    /// CONNECT came; whether it was clean.
    connect: Option<bool>,
    accepted: bool,
    /// The client has sent DISCONNECT.
    left: bool,
    closing: bool,
    /// The CONNACK of this connection said that there was no session, although there was one.
    lost: bool,
    receive_maximum: u16,
    last_resend: u64,
    owed: Vec<Owed>,
    /// Identifiers of messages that wait for PUBACK and for PUBREC, in order of arrival.
    unacked: [VecDeque<u16>; 2],
    // Choices for the next connection.
    lose_session: bool,
    limit: u16,
    refuse: Option<ReasonCode>,
    dial_fails: bool,
    // The session.
    session: bool,
    kept: bool,
    exchanges: BTreeMap<u16, Exchange>,
    inbound: BTreeMap<u16, Inbound>,
    order: u64,
    /// A packet was cut off in the middle: the client may hold an identifier the server never saw.
    torn: bool,
    /// The client has crashed in this session: it may not know what has reached it.
    crashed: bool,
    /// Tags of QoS 2 messages that arrived in this session.
    here: BTreeSet<u64>,
    // All sessions.
    seen: BTreeSet<u64>,
    answered: BTreeSet<u64>,
    ended: BTreeMap<u64, String>,
    numbers: u64,
    told: BTreeMap<u64, u32>,
    qualities: BTreeMap<u64, Qos>,
}

impl Server {
    pub(super) fn new(setup: Setup) -> Self {
        Self {
            setup,
            wild: false,
            foreign: false,
            healed: false,
            version: Version::V5,
            number: 0,
            inbox: Vec::new(),
            outbox: VecDeque::new(),
            effects: VecDeque::new(),
            queued: 0,
            taken: 0,
            open: false,
            connect: None,
            accepted: false,
            left: false,
            closing: false,
            lost: false,
            receive_maximum: u16::MAX,
            last_resend: 0,
            owed: Vec::new(),
            unacked: [VecDeque::new(), VecDeque::new()],
            lose_session: false,
            limit: u16::MAX,
            refuse: None,
            dial_fails: false,
            session: false,
            kept: false,
            exchanges: BTreeMap::new(),
            inbound: BTreeMap::new(),
            order: 0,
            torn: false,
            crashed: false,
            here: BTreeSet::new(),
            seen: BTreeSet::new(),
            answered: BTreeSet::new(),
            ended: BTreeMap::new(),
            numbers: 0,
            told: BTreeMap::new(),
            qualities: BTreeMap::new(),
        }
    }

    // ---- the connection ------------------------------------------------------------------------

    pub(super) fn opened(&mut self) {
        self.open = true;
        self.number += 1;
        self.last_resend = 0;
    }

    pub(super) fn refuses_to_be_dialled(&self) -> bool {
        self.dial_fails && !self.healed
    }

    pub(super) fn wants_close(&self) -> bool {
        self.closing && self.outbox.is_empty()
    }

    pub(super) fn closed(&mut self) {
        self.torn |= !self.inbox.is_empty();
        self.inbox.clear();
        self.outbox.clear();
        self.owed.clear();
        self.unacked = Default::default();
        (self.queued, self.taken) = (0, 0);
        let unknown = self.effects.iter().any(|(_, effect)| matches!(effect, Effect::Up));
        if self.accepted && (!self.kept || (unknown && self.lost)) {
            // A loss that no CONNACK has told is told by the next one: what happens otherwise nobody can promise.
            self.forget();
        }
        self.effects.clear();
        (self.open, self.accepted, self.left, self.closing, self.connect) =
            (false, false, false, false, None);
    }

    fn forget(&mut self) {
        self.session = false;
        self.exchanges.clear();
        self.inbound.clear();
        self.here.clear();
        (self.torn, self.crashed) = (false, false);
    }

    /// The client has crashed. `kept`: and knows everything that was sent.
    pub(super) fn crashed(&mut self, kept: bool) {
        self.wild |= !kept;
        (self.crashed, self.torn) = (true, true);
        // That an operation has ended may not have been stored.
        self.ended.clear();
        // A SUBSCRIBE is made again, with another identifier.
        self.exchanges.retain(|_, known| known.publish);
        for known in self.exchanges.values_mut() {
            known.unsure |= known.received && !known.released;
            known.received &= known.released;
        }
    }

    pub(super) fn is_wild(&self) -> bool {
        self.wild
    }

    pub(super) fn becomes_wild(&mut self) {
        self.wild = true;
    }

    /// The client was given any bytes as records.
    pub(super) fn takes_anything(&mut self) {
        self.foreign = true;
        self.becomes_wild();
    }

    /// Everything works from now on.
    pub(super) fn heal(&mut self) {
        self.healed = true;
        self.lose_session = false;
        self.limit = u16::MAX;
        self.refuse = None;
        if self.wild {
            // Of what it began against the rules it keeps nothing.
            self.inbound.clear();
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.accepted && self.owed.is_empty() && self.outbox.is_empty() && self.inbox.is_empty()
    }

    pub(super) fn check_at_the_end(&self, again: u32) {
        if !self.wild {
            assert!(self.exchanges.is_empty(), "left open at the server: {:?}", self.exchanges);
            for (number, qos) in &self.qualities {
                let told = self.told.get(number).copied().unwrap_or(0);
                assert!(
                    *qos == Qos::AtLeastOnce || told <= 1 + again,
                    "message {number} at {qos:?} was told {told} times"
                );
            }
        }
    }

    // ---- what the client sends -----------------------------------------------------------------

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
        while let Some(len) = frame_len(&self.inbox, usize::MAX).expect("a client never sends a bad header") {
            let frame: Vec<u8> = self.inbox.drain(..len).collect();
            self.packet(&frame);
        }
    }

    fn packet(&mut self, frame: &[u8]) {
        assert!(!self.left, "sent behind DISCONNECT: {frame:02x?}");
        if frame[0] == 0x10 {
            self.connected(frame);
            return;
        }
        assert!(self.connect.is_some(), "CONNECT is not the first packet: {frame:02x?}");
        let packet = Packet::decode(frame, self.version, Peer::Client)
            .unwrap_or_else(|why| panic!("{why} in what the client sent: {frame:02x?}"));
        let is_farewell = matches!(packet, Packet::Disconnect(_));
        assert!(self.accepted || is_farewell || self.wild, "sent before CONNACK: {packet:?}");
        match packet {
            Packet::Publish(publish) => self.published(&publish),
            Packet::Subscribe(request) => {
                let count = request.filters.len();
                self.requested(frame, request.packet_id.get());
                self.owed.push(Owed::Suback(request.packet_id.get(), count));
            }
            Packet::Unsubscribe(request) => {
                let count = request.filters.iter().count();
                self.requested(frame, request.packet_id.get());
                self.owed.push(Owed::Unsuback(request.packet_id.get(), count));
            }
            Packet::Pubrel(ack) => self.released(ack.packet_id.get(), ack.reason_code),
            Packet::Puback(ack) => self.acknowledged(ack.packet_id.get(), Qos::AtLeastOnce, ack.reason_code),
            Packet::Pubrec(ack) => self.acknowledged(ack.packet_id.get(), Qos::ExactlyOnce, ack.reason_code),
            Packet::Pubcomp(ack) => {
                let known = self.inbound.remove(&ack.packet_id.get());
                assert!(self.wild || known.is_none_or(|known| known.received), "PUBCOMP before PUBREC");
            }
            Packet::Pingreq(_) => self.owed.push(Owed::Pingresp),
            Packet::Disconnect(_) => self.left = true,
            other => panic!("no session sends {other:?} here"),
        }
    }

    fn connected(&mut self, frame: &[u8]) {
        assert!(self.connect.is_none(), "CONNECT twice on a connection");
        // Name and level: "MQIsdp" 3, "MQTT" 4 or 5.
        self.version = match frame[4 + usize::from(frame[3])] {
            3 => Version::V3_1,
            4 => Version::V3_1_1,
            _ => Version::V5,
        };
        let connect = Connect::decode(frame, self.version, Peer::Client).expect("a valid CONNECT");
        self.connect = Some(connect.clean_start);
        self.kept = match self.version {
            Version::V5 => connect.properties.session_expiry_interval().unwrap_or(0) != 0,
            _ => !connect.clean_start,
        };
    }

    fn exchange(&mut self, content: Vec<u8>, publish: bool) -> Exchange {
        self.order += 1;
        let (connection, order) = (self.number, self.order);
        Exchange {
            content,
            tag: 0,
            publish,
            qos2: false,
            received: false,
            unsure: false,
            released: false,
            answered: false,
            connection,
            order,
        }
    }

    fn published(&mut self, publish: &Publish<'_>) {
        let tag = publish.payload.first_chunk().map_or(0, |tag| u64::from_be_bytes(*tag));
        assert!(tag != 0 || self.foreign, "a payload that nobody published: {publish:?}");
        let how = self.ended.get(&tag).map(String::as_str);
        assert!(
            !matches!(how, Some("Cancelled" | "Expired")),
            "message {tag} is sent, and was told as {how:?}"
        );
        let new = self.seen.insert(tag);
        let Some(id) = publish.packet_id.map(PacketId::get) else {
            assert!(new || self.wild || self.crashed, "message {tag} at QoS 0 twice");
            return;
        };
        let qos2 = publish.qos == Qos::ExactlyOnce;
        self.owed.push(if qos2 { Owed::Pubrec(id) } else { Owed::Puback(id) });
        // A resend may differ in DUP, in what is left of its time, and in its version.
        let content = [&[publish.qos as u8, publish.retain as u8], publish.payload].concat();
        if self.wild {
            let exchange = Exchange { tag, qos2, ..self.exchange(content, true) };
            self.exchanges.insert(id, exchange);
            return;
        }
        if let Some(known) = self.exchanges.get_mut(&id) {
            assert!(publish.dup, "identifier {id} is in use: {known:?}");
            assert_eq!(known.content, content, "identifier {id} is of another message");
            assert_ne!(known.connection, self.number, "sent again on the same connection");
            assert!(!known.received, "PUBLISH after PUBREC");
            assert!(known.order > self.last_resend, "sent again out of order");
            self.last_resend = known.order;
            (known.connection, known.answered) = (self.number, false);
        } else {
            assert!(!publish.dup || self.torn, "DUP on identifier {id}, which is new");
            let resend = |other: &&Exchange| {
                other.publish && !other.received && !other.unsure && other.connection != self.number
            };
            let waiting = self.exchanges.values().filter(resend).count();
            assert!(publish.dup || waiting == 0, "a new message before {waiting} that are to be sent again");
            assert!(!qos2 || self.here.insert(tag), "message {tag} twice at QoS 2 in one session");
            let exchange = Exchange { tag, qos2, ..self.exchange(content, true) };
            self.exchanges.insert(id, exchange);
        }
        let open = |other: &&Exchange| other.publish && !other.answered && other.connection == self.number;
        let open = self.exchanges.values().filter(open).count();
        assert!(open <= self.receive_maximum.into(), "{open} in flight over {}", self.receive_maximum);
    }

    fn requested(&mut self, frame: &[u8], id: u16) {
        let exchange = self.exchange(frame.to_vec(), false);
        let known = self.exchanges.insert(id, exchange);
        if let Some(known) = known.filter(|_| !self.wild) {
            // In another version the same request looks different.
            assert!(!known.publish, "identifier {id} is in use: {known:?}");
            assert_ne!(known.connection, self.number, "sent again on the same connection");
        }
    }

    fn released(&mut self, id: u16, reason: ReasonCode) {
        let crashed = self.crashed;
        if let Some(known) = self.exchanges.get_mut(&id) {
            known.released = true;
        }
        let known = self.exchanges.get(&id);
        if !self.wild && !crashed && reason == ReasonCode::Success {
            let fits = known.is_some_and(|known| known.qos2 && known.received);
            assert!(fits, "PUBREL of {id} without PUBREC: {known:?}");
        }
        self.owed.push(Owed::Pubcomp(id));
    }

    fn acknowledged(&mut self, id: u16, qos: Qos, reason: ReasonCode) {
        let first_time = self.inbound.get(&id).is_some_and(|known| !known.received);
        if first_time {
            let first = self.unacked[usize::from(qos == Qos::ExactlyOnce)].pop_front();
            assert!(self.wild || first == Some(id), "{id} acknowledged before {first:?}");
        }
        let Some(known) = self.inbound.get_mut(&id).filter(|known| known.qos == qos) else {
            assert!(self.wild || reason.is_error(), "identifier {id} acknowledged, and not open");
            return;
        };
        known.received = true;
        // What is over the limit of the client was told in another way.
        let told = self.told.contains_key(&known.number) || known.len > 100;
        assert!(self.wild || told, "message {} was acknowledged and not told", known.number);
        let refused = reason.is_error() && self.version == Version::V5;
        if qos == Qos::AtLeastOnce || refused {
            self.inbound.remove(&id);
        } else {
            self.owed.push(Owed::Pubrel(id));
        }
    }

    // ---- what the session tells ----------------------------------------------------------------

    pub(super) fn told(&mut self, payload: &[u8]) {
        let number = payload.first_chunk().map_or(0, |number| u64::from_be_bytes(*number));
        assert!(self.wild || self.qualities.contains_key(&number), "nobody sent {payload:02x?}");
        *self.told.entry(number).or_default() += 1;
    }

    pub(super) fn ended(&mut self, tag: u64, how: &str) {
        if !self.wild {
            let seen = self.seen.contains(&tag);
            match how {
                "Cancelled" | "Expired" => assert!(!seen, "message {tag} was sent, and is told as {how}"),
                "Sent" => assert!(seen, "message {tag} is told as sent"),
                _ if how.starts_with("Acked") => {
                    assert!(seen && self.answered.contains(&tag), "nobody acknowledged message {tag}");
                }
                _ => {}
            }
        }
        self.ended.insert(tag, how.to_owned());
    }

    // ---- what it sends -------------------------------------------------------------------------

    fn send(&mut self, packet: &impl Encode, effect: Effect) {
        let mut bytes = vec![0; packet.encoded_len(self.version).expect("a legal packet")];
        packet.encode(self.version, &mut bytes).expect("a legal packet");
        self.send_bytes(&bytes, effect);
    }

    fn send_bytes(&mut self, bytes: &[u8], effect: Effect) {
        if self.open && !self.closing {
            self.outbox.extend(bytes);
            self.queued += bytes.len() as u64;
            self.effects.push_back((self.queued, effect));
        }
    }

    /// Bytes for the client.
    pub(super) fn deliver(&mut self, most: usize) -> Vec<u8> {
        let count = self.outbox.len().min(most);
        self.outbox.drain(..count).collect()
    }

    /// The client has taken so many bytes; `up`: and looked at them.
    pub(super) fn consumed(&mut self, count: usize, up: bool) {
        self.taken += count as u64;
        while let Some((_, effect)) = self.effects.front().copied().filter(|(end, _)| *end <= self.taken) {
            self.effects.pop_front();
            match effect {
                Effect::Received(id) if up => {
                    if let Some(known) = self.exchanges.get_mut(&id) {
                        known.received = true;
                    }
                }
                Effect::Ended(id) if up => {
                    self.exchanges.remove(&id);
                }
                _ => {}
            }
        }
    }

    /// CONNACK, if it is time for one.
    pub(super) fn accept(&mut self) {
        let Some(clean) = self.connect.filter(|_| !self.accepted && !self.closing && !self.left) else {
            return;
        };
        if let Some(code) = self.refuse.take() {
            let refusal =
                Connack { session_present: false, reason_code: code, properties: Properties::EMPTY };
            self.send(&refusal, Effect::None);
            self.closing = true;
            return;
        }
        // In 3.1 a server cannot tell that it has lost one.
        let loses = core::mem::take(&mut self.lose_session) && self.version != Version::V3_1;
        // Also one that was lost before, of which no CONNACK has told yet.
        self.lost = clean || loses || !self.session;
        if self.lost {
            self.forget();
        }
        self.receive_maximum = if self.version == Version::V5 { self.limit } else { u16::MAX };
        let list = [Property::ReceiveMaximum(self.receive_maximum)];
        let told = self.version == Version::V5 && self.receive_maximum != u16::MAX;
        let session_present = self.session && self.version != Version::V3_1;
        self.send(
            &Connack {
                session_present,
                reason_code: ReasonCode::Success,
                properties: if told { Properties::List(&list) } else { Properties::EMPTY },
            },
            Effect::Up,
        );
        (self.session, self.accepted) = (true, true);
        // First what is unfinished, in its order.
        let mut open: Vec<(u64, u16)> = self.inbound.iter().map(|(id, known)| (known.order, *id)).collect();
        open.sort_unstable();
        for (_, id) in open {
            if self.inbound[&id].received {
                self.owed.push(Owed::Pubrel(id));
            } else {
                self.send_message(id, true);
            }
        }
    }

    /// One of the answers that are owed.
    pub(super) fn answer(&mut self, which: u8, how: u8) {
        if self.owed.is_empty() || !self.accepted {
            return;
        }
        let owed = self.owed.remove(usize::from(which) % self.owed.len());
        self.give(owed, how);
    }

    pub(super) fn answer_all(&mut self) {
        for owed in core::mem::take(&mut self.owed) {
            self.give(owed, 2);
        }
    }

    fn give(&mut self, owed: Owed, how: u8) {
        let v5 = self.version == Version::V5;
        let properties = Properties::EMPTY;
        let packet_id = |id: u16| PacketId::new(id).expect("an identifier");
        let code = match how % 8 {
            0 if v5 => ReasonCode::QuotaExceeded,
            1 if v5 => ReasonCode::NoMatchingSubscribers,
            _ => ReasonCode::Success,
        };
        match owed {
            Owed::Puback(id) => {
                self.end_exchange(id, !code.is_error());
                self.send(&Puback::with(packet_id(id), code, properties), Effect::Ended(id));
            }
            Owed::Pubrec(id) => {
                if code.is_error() {
                    self.end_exchange(id, false);
                }
                let effect = if code.is_error() { Effect::Ended(id) } else { Effect::Received(id) };
                self.send(&Pubrec::with(packet_id(id), code, properties), effect);
            }
            Owed::Pubcomp(id) => {
                let known = self.exchanges.contains_key(&id) || !v5;
                self.end_exchange(id, true);
                let code = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
                self.send(&Pubcomp::with(packet_id(id), code, properties), Effect::Ended(id));
            }
            Owed::Pubrel(id) => self.send(&Pubrel::new(packet_id(id)), Effect::None),
            Owed::Suback(id, count) => {
                let mut codes = vec![ReasonCode::GrantedQos1; count];
                if how.is_multiple_of(4) {
                    codes[0] = ReasonCode::UnspecifiedError;
                }
                let codes = ReasonCodes::from(&codes[..]);
                self.send(&Suback { packet_id: packet_id(id), properties, codes }, Effect::Ended(id));
            }
            Owed::Unsuback(id, count) => {
                let codes = vec![ReasonCode::NoSubscriptionExisted; if v5 { count } else { 0 }];
                let codes = ReasonCodes::from(&codes[..]);
                self.send(&Unsuback { packet_id: packet_id(id), properties, codes }, Effect::Ended(id));
            }
            Owed::Pingresp => self.send(&Pingresp, Effect::None),
        }
    }

    fn end_exchange(&mut self, id: u16, well: bool) {
        if let Some(known) = self.exchanges.get_mut(&id) {
            known.answered = true;
            if well {
                self.answered.insert(known.tag);
            }
        }
    }

    /// A new message.
    pub(super) fn publish(&mut self, a: u8, b: u8) {
        let config = self.setup.config;
        if !self.accepted || (self.inbound.len() >= config.receive_maximum.into() && !self.misbehaves()) {
            return;
        }
        let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][usize::from(a) % 3];
        let large = match config.oversize {
            mqtt_session::Oversize::Chunks { .. } => true,
            mqtt_session::Oversize::Skip => self.version != Version::V5,
            _ => false,
        };
        let len = if large && b & 3 == 0 { 130 + usize::from(b) / 2 } else { 8 + usize::from(b) % 80 };
        self.numbers += 1;
        self.order += 1;
        let message = Inbound { number: self.numbers, qos, len, received: false, order: self.order };
        self.qualities.insert(self.numbers, qos);
        if qos == Qos::AtMostOnce {
            self.inbound.insert(0, message);
            self.send_message(0, false);
            self.inbound.remove(&0);
            return;
        }
        let id = (1 + u16::from(a / 4) % 5..).find(|id| !self.inbound.contains_key(id)).expect("one is free");
        self.inbound.insert(id, message);
        self.send_message(id, false);
    }

    fn send_message(&mut self, id: u16, dup: bool) {
        let message = self.inbound[&id].clone();
        let mut payload = message.number.to_be_bytes().to_vec();
        payload.resize(message.len, b'b');
        let publish = Publish {
            qos: message.qos,
            dup,
            packet_id: PacketId::new(id),
            ..Publish::new(TopicName::new("in").expect("a topic"), &payload)
        };
        if message.qos != Qos::AtMostOnce {
            self.unacked[usize::from(message.qos == Qos::ExactlyOnce)].push_back(id);
        }
        self.send(&publish, Effect::None);
    }

    pub(super) fn choose(&mut self, a: u8, b: u8) {
        match a % 5 {
            0 => self.lose_session = true,
            1 => self.limit = 1 + u16::from(b) % 6,
            2 => self.limit = u16::MAX,
            3 => {
                let codes = [
                    ReasonCode::ServerUnavailable,
                    ReasonCode::NotAuthorized,
                    ReasonCode::UnsupportedProtocolVersion,
                ];
                self.refuse = Some(codes[usize::from(b) % codes.len()]);
            }
            _ => self.dial_fails = b & 1 != 0,
        }
    }

    /// It ends the connection, in 5.0 with a word on it.
    pub(super) fn disconnect(&mut self, a: u8) {
        let codes = [ReasonCode::ServerShuttingDown, ReasonCode::SessionTakenOver, ReasonCode::ServerBusy];
        if self.accepted && self.version == Version::V5 {
            let reason_code = codes[usize::from(a) % codes.len()];
            self.send(&Disconnect { reason_code, properties: Properties::EMPTY }, Effect::None);
        }
        self.closing = self.open;
    }

    fn misbehaves(&mut self) -> bool {
        self.wild |= self.setup.wild;
        self.setup.wild
    }

    /// Any bytes at all.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.wild = true;
        self.send_bytes(bytes, Effect::None);
    }

    /// What no server may do.
    pub(super) fn misbehave(&mut self, a: u8, b: u8) {
        if !self.open || !self.misbehaves() {
            return;
        }
        let id = b % 10;
        let bytes: &[u8] = match a % 16 {
            0 => &[0x40, 2, 0, id],
            1 => &[0x50, 2, 0, id],
            2 => &[0x62, 2, 0, id],
            3 => &[0x70, 2, 0, id],
            4 => &[0x90, 3, 0, id, 0],
            5 => &[0x90, 4, 0, id, 0, 1],
            6 => &[0xB0, 2, 0, id],
            7 => &[0x20, 3, b & 1, 0, 0],
            8 => &[0x20, 2, b & 1, 0],
            9 => &[0x34, 6, 0, 1, b'a', 0, id, 0],
            10 => &[0x30, 7, 0, 0, 3, 0x23, 0, id, b'x'],
            11 => &[0xE0, 1, b],
            12 => &[b, a],
            13 => &[b],
            14 => &[0x3A, 0x20, 0, 1, b'a', 0, id],
            _ => &[0xC0, 0],
        };
        self.send_bytes(bytes, Effect::None);
    }
}
