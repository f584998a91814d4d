//! Rules for what a client publishes: identifiers, DUP, order, quota, the server's limits.

use std::collections::{BTreeMap, BTreeSet};

use mqtt_proto::{Encode, Packet, PacketId, Peer, Publish, PublishHead, Qos, ReasonCode, Version};

use crate::world::LinkId;

use super::Kept;

/// How often an identifier may be asked for on one connection.
const MOST_ASKED: u32 = 8;

type Verdict = Result<(), (&'static str, String)>;

/// The exchanges a client has begun.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbound {
    live: BTreeMap<PacketId, Exchange>,
    /// Places in the order of first sending.
    next_place: u64,
    /// The place of the last repetition on this connection.
    repeated: Option<u64>,
    /// PUBRECs of this connection for identifiers that were not live: each allows a PUBREL.
    stray: BTreeMap<PacketId, u32>,
    /// A PUBLISH was cut before its identifier was out: one repetition of an unknown one may come.
    headless: bool,
    /// Whether the last CONNECT asked for a clean session.
    clean: bool,
    /// Whether the last connection that was accepted left a session.
    kept: bool,
    /// Whether a connection was ever accepted.
    accepted: bool,
    /// The session began before the client did: it may ask for identifiers by PUBREL, each a few times on a connection.
    inherited: bool,
    asked: BTreeMap<PacketId, u32>,
    /// Whether the last one that was accepted went on with a session.
    resumed: bool,
    limits: Limits,
    /// The lengths of the topics that aliases of this connection stand for.
    aliases: BTreeMap<u16, usize>,
    /// Payloads that earlier runs of a program that crashed may have sent: they may come again.
    earlier: BTreeSet<Vec<u8>>,
    /// The last exchange of each identifier, where it has ended: of this run, and of earlier ones, which may come again.
    ended: BTreeMap<PacketId, Ended>,
    revived: BTreeMap<PacketId, Ended>,
    /// Identifiers of a session that was lost: a crash may come before the journal knows.
    lost: BTreeSet<PacketId>,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    receive_maximum: usize,
    max_qos: Qos,
    max_packet: usize,
    retain: bool,
    aliases: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            receive_maximum: usize::from(u16::MAX),
            max_qos: Qos::ExactlyOnce,
            max_packet: usize::MAX,
            retain: true,
            aliases: 0,
        }
    }
}

#[derive(Clone, Debug)]
struct Exchange {
    kind: Kind,
    /// The connection it was last sent on.
    link: Option<LinkId>,
    place: u64,
    /// The session has given it up, and told its application.
    abandoned: bool,
}

/// An exchange that is over, as far as a run of the program knew.
#[derive(Clone, Debug)]
struct Ended {
    qos: Qos,
    place: Option<u64>,
    payload: Vec<u8>,
}

impl Ended {
    /// One of which nothing can be said: it may have been any.
    const UNKNOWN: Self = Self { qos: Qos::ExactlyOnce, place: None, payload: Vec::new() };
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Publish {
        qos: Qos,
        payload: Vec<u8>,
        /// Its size on the wire, with its whole topic.
        size: usize,
        retain: bool,
        phase: Phase,
        /// Only a part of it was ever sent, so that it may come with DUP or without.
        partial: bool,
        /// PUBRECs that arrived on this connection and have had no PUBREL yet.
        unanswered: u32,
    },
    Request,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Published,
    /// PUBREC has arrived.
    Received,
    /// PUBREC arrived before a crash: the journal knows of it, or not.
    Doubtful,
    /// PUBREL has been sent.
    Released,
}

impl Outbound {
    pub(super) fn opened(&mut self) {
        self.repeated = None;
        self.stray.clear();
        self.asked.clear();
        self.aliases.clear();
        self.limits = Limits::default();
    }

    /// CONNECT was sent.
    pub(super) fn connecting(&mut self, clean: bool) {
        self.clean = clean;
    }

    /// Whether the connection goes on with a session of before.
    pub(super) fn is_resumed(&self) -> bool {
        self.resumed
    }

    pub(super) fn closed(&mut self, version: Version, partial: &[u8]) {
        // SUBSCRIBE and UNSUBSCRIBE are no part of the session's state: their identifiers are free.
        self.live.retain(|_, exchange| exchange.kind != Kind::Request);
        for exchange in self.live.values_mut() {
            if let Kind::Publish { unanswered, .. } = &mut exchange.kind {
                *unanswered = 0;
            }
        }
        if partial.first().is_none_or(|first| first >> 4 != 3) {
            return;
        }
        match PublishHead::decode(partial, version, Peer::Client, usize::MAX) {
            Ok(Some(head)) => {
                let Some(id) = head.publish.packet_id else { return };
                let place = self.next_place;
                self.next_place += 1;
                let qos = head.publish.qos;
                self.live.entry(id).or_insert(Exchange {
                    kind: Kind::Publish {
                        qos,
                        payload: Vec::new(),
                        size: 0,
                        retain: false,
                        phase: Phase::Published,
                        partial: true,
                        unanswered: 0,
                    },
                    link: None,
                    place,
                    abandoned: false,
                });
            }
            _ => self.headless = true,
        }
    }

    /// The program crashed, and its next run goes on with what a journal kept.
    pub(super) fn crashed(&mut self, kept: Kept, earlier: impl Iterator<Item = Vec<u8>>) {
        self.earlier.extend(earlier);
        self.revived.append(&mut self.ended);
        let lost = core::mem::take(&mut self.lost);
        self.revived.extend(lost.into_iter().map(|id| (id, Ended::UNKNOWN)));
        if kept == Kept::All {
            for exchange in self.live.values_mut() {
                if let Kind::Publish { phase, .. } = &mut exchange.kind
                    && *phase == Phase::Received
                {
                    *phase = Phase::Doubtful;
                }
            }
            return;
        }
        // Which exchanges the next run still knows, and under which identifiers, nothing tells; it may ask.
        self.accepted = false;
        let live = core::mem::take(&mut self.live);
        self.revived.extend(live.into_keys().map(|id| (id, Ended::UNKNOWN)));
        for ended in self.revived.values_mut() {
            *ended = Ended::UNKNOWN;
        }
        self.headless = false;
    }

    pub(super) fn sent(&mut self, link: LinkId, packet: &Packet<'_>) -> Verdict {
        self.drop_abandoned(packet);
        match packet {
            Packet::Publish(publish) => {
                self.within_limits(publish)?;
                let size = self.whole_size(publish);
                let Some(id) = publish.packet_id else { return Ok(()) };
                match self.live.get(&id) {
                    Some(_) => self.repeat(link, id, publish)?,
                    None => self.begin(link, id, publish, size)?,
                }
                self.within_quota(link)
            }
            Packet::Pubrel(ack) => self.release(link, ack.packet_id, ack.reason_code),
            Packet::Subscribe(packet) => self.request(link, packet.packet_id),
            Packet::Unsubscribe(packet) => self.request(link, packet.packet_id),
            _ => Ok(()),
        }
    }

    /// The session gave up a message: it is not sent again.
    pub(super) fn abandoned(&mut self, given_up: &[u8]) {
        for exchange in self.live.values_mut() {
            if matches!(&exchange.kind, Kind::Publish { payload, .. } if payload == given_up) {
                exchange.abandoned = true;
            }
        }
    }

    /// Whether the message will not be sent again: its session said so, or the server does not take it any more.
    fn given_up(&self, exchange: &Exchange) -> bool {
        exchange.abandoned
            || match &exchange.kind {
                Kind::Publish { qos, size, retain, .. } => {
                    *qos > self.limits.max_qos
                        || *size > self.limits.max_packet
                        || (*retain && !self.limits.retain)
                }
                Kind::Request => false,
            }
    }

    /// The identifier of a message that was given up may go to another one, but not if the server may still wait for
    /// its PUBREL: it would take the next message for the old one.
    fn drop_abandoned(&mut self, packet: &Packet<'_>) {
        let (id, again) = match packet {
            Packet::Publish(publish) => (publish.packet_id, Some(publish.payload)),
            Packet::Subscribe(packet) => (Some(packet.packet_id), None),
            Packet::Unsubscribe(packet) => (Some(packet.packet_id), None),
            _ => (None, None),
        };
        if let Some(id) = id
            && self.live.get(&id).is_some_and(|exchange| {
                // Without its alias a packet may fit where it did not with it.
                self.given_up(exchange)
                    && matches!(&exchange.kind, Kind::Publish { qos: Qos::AtLeastOnce, payload, .. }
                        if again.is_none_or(|again| again != payload))
            })
        {
            self.live.remove(&id);
        }
    }

    fn within_limits(&self, publish: &Publish<'_>) -> Verdict {
        if publish.qos > self.limits.max_qos {
            return Err(("MQTT-3.2.2-11", format!("a PUBLISH of {:?}", publish.qos)));
        }
        if publish.retain && !self.limits.retain {
            return Err(("MQTT-3.2.2-14", "a PUBLISH to be retained".to_owned()));
        }
        match publish.properties.topic_alias() {
            Some(alias) if alias > self.limits.aliases => {
                Err(("MQTT-3.3.2-9", format!("alias {alias} of {}", self.limits.aliases)))
            }
            _ => Ok(()),
        }
    }

    /// Exchanges begun on this connection stay within the server's Receive Maximum. [MQTT-3.3.4-7]
    fn within_quota(&self, link: LinkId) -> Verdict {
        let used = self
            .live
            .values()
            .filter(|exchange| {
                exchange.link == Some(link) && exchange.kind != Kind::Request && !exchange.abandoned
            })
            .count();
        let max = self.limits.receive_maximum;
        if used > max { Err(("MQTT-3.3.4-7", format!("{used} in flight of {max}"))) } else { Ok(()) }
    }

    fn begin(&mut self, link: LinkId, id: PacketId, publish: &Publish<'_>, size: usize) -> Verdict {
        let again = self.earlier.contains(publish.payload);
        if publish.dup && !again && !core::mem::take(&mut self.headless) {
            return Err(("MQTT-3.3.1-1", format!("PUBLISH {id:?} with DUP was not sent before")));
        }
        // What is owed from an earlier connection goes first. [MQTT-4.6.0-1]
        let owed = self.live.iter().find(|(_, exchange)| {
            matches!(exchange.kind, Kind::Publish { phase: Phase::Published, partial: false, .. })
                && exchange.link != Some(link)
                && !self.given_up(exchange)
        });
        if let Some((owed, _)) = owed.filter(|_| !again) {
            return Err(("MQTT-4.6.0-1", format!("PUBLISH {id:?} overtakes the repetition of {owed:?}")));
        }
        let among = if again { self.among() } else { None };
        let revived = self.revived.remove(&id).filter(|ended| ended.payload == publish.payload);
        let place = revived.and_then(|ended| ended.place).or(among).unwrap_or(self.next_place);
        self.next_place += 1;
        let kind = Kind::Publish {
            qos: publish.qos,
            payload: publish.payload.to_vec(),
            size,
            retain: publish.retain,
            phase: Phase::Published,
            partial: false,
            unanswered: 0,
        };
        self.live.insert(id, Exchange { kind, link: Some(link), place, abandoned: false });
        self.ended.remove(&id);
        if again && self.repeated.replace(place).is_some_and(|last| last > place) {
            return Err(("MQTT-4.6.0-1", format!("PUBLISH {id:?} of an earlier run out of order")));
        }
        Ok(())
    }

    /// How long it is when it is sent again, on a connection without its alias.
    fn whole_size(&mut self, publish: &Publish<'_>) -> usize {
        let named = publish.topic.map(|topic| topic.as_str().len());
        let known = match (publish.properties.topic_alias(), named) {
            (Some(alias), Some(len)) => self.aliases.insert(alias, len).and(None),
            (Some(alias), None) => self.aliases.get(&alias).copied(),
            (None, _) => None,
        };
        publish.encoded_len(Version::V5).unwrap_or(0) + known.unwrap_or(0)
    }

    /// Where a message stands among the repetitions whose place is not known: one that was cut short, or is of an
    /// earlier run.
    fn among(&self) -> Option<u64> {
        let live = self.live.values().map(|exchange| exchange.place);
        let revived = self.revived.values().filter_map(|ended| ended.place);
        self.repeated.or_else(|| live.chain(revived).min())
    }

    fn repeat(&mut self, link: LinkId, id: PacketId, publish: &Publish<'_>) -> Verdict {
        let among = self.among().unwrap_or(0);
        let Some(exchange) = self.live.get_mut(&id) else { return Ok(()) };
        let Kind::Publish { qos, payload, phase, partial, .. } = &mut exchange.kind else {
            return Err(("MQTT-2.2.1-3", format!("PUBLISH {id:?} while a request has it")));
        };
        if exchange.link == Some(link) {
            // Either a new message took a live identifier, or a message was repeated outside a resume.
            let rule = if *payload == publish.payload { "MQTT-4.4.0-1" } else { "MQTT-2.2.1-3" };
            return Err((rule, format!("PUBLISH {id:?} twice on one connection")));
        }
        if *partial {
            // It may have been given up for another one, too.
            *payload = publish.payload.to_vec();
            *qos = publish.qos;
            *partial = false;
            exchange.place = among;
        } else {
            if *payload != publish.payload || *qos != publish.qos {
                return Err(("MQTT-2.2.1-3", format!("PUBLISH {id:?} is another message while it is live")));
            }
            if !matches!(phase, Phase::Published | Phase::Doubtful) {
                return Err(("MQTT-4.3.3-6", format!("PUBLISH {id:?} repeated after its PUBREC")));
            }
            if !publish.dup {
                return Err(("MQTT-3.3.1-1", format!("PUBLISH {id:?} repeated without DUP")));
            }
        }
        if *phase == Phase::Doubtful {
            *phase = Phase::Published;
        }
        exchange.link = Some(link);
        let place = exchange.place;
        if self.repeated.replace(place).is_some_and(|last| last > place) {
            return Err(("MQTT-4.6.0-1", format!("PUBLISH {id:?} repeated out of order")));
        }
        Ok(())
    }

    fn release(&mut self, link: LinkId, id: PacketId, reason: ReasonCode) -> Verdict {
        let given_up = self.live.get(&id).is_some_and(|exchange| self.given_up(exchange));
        if let Some(exchange) = self.live.get_mut(&id)
            && let Kind::Publish { qos: Qos::ExactlyOnce, phase, unanswered, partial, .. } =
                &mut exchange.kind
        {
            if given_up || (*partial && *phase == Phase::Published) {
                // Ends on both sides what was given up; of what left in part nothing tells which message it was.
                exchange.abandoned = true;
                return Ok(());
            }
            if *phase == Phase::Published {
                return Err(("MQTT-4.3.3-4", format!("PUBREL {id:?} without PUBREC")));
            }
            let repeated = *phase == Phase::Released && exchange.link == Some(link);
            if repeated && *unanswered == 0 {
                return Err(("MQTT-4.4.0-1", format!("PUBREL {id:?} twice on one connection")));
            }
            *unanswered = unanswered.saturating_sub(1);
            *phase = Phase::Released;
            exchange.link = Some(link);
            return Ok(());
        }
        // The answer to a PUBREC that had no business to come; 3.x cannot say so.
        let asked = self.stray.get_mut(&id).filter(|owed| **owed > 0);
        match asked {
            Some(owed) => {
                *owed -= 1;
                Ok(())
            }
            None if reason == ReasonCode::PacketIdentifierNotFound => Ok(()),
            None if self.inherited && !self.live.contains_key(&id) && asks(&mut self.asked, id) => Ok(()),
            None if self.revived.get(&id).is_some_and(|ended| ended.qos == Qos::ExactlyOnce) => {
                self.revive(link, id);
                Ok(())
            }
            // Ends what was given up before its identifier was out.
            None if core::mem::take(&mut self.headless) => {
                self.revive(link, id);
                Ok(())
            }
            None => Err(("MQTT-4.3.3-4", format!("PUBREL {id:?} for nothing"))),
        }
    }

    /// An exchange of an earlier run goes on with its PUBREL.
    fn revive(&mut self, link: LinkId, id: PacketId) {
        let place = self.revived.remove(&id).and_then(|ended| ended.place).unwrap_or(self.next_place);
        self.next_place += 1;
        let kind = Kind::Publish {
            qos: Qos::ExactlyOnce,
            payload: Vec::new(),
            size: 0,
            retain: false,
            phase: Phase::Released,
            partial: false,
            unanswered: 0,
        };
        self.live.insert(id, Exchange { kind, link: Some(link), place, abandoned: false });
    }

    fn request(&mut self, link: LinkId, id: PacketId) -> Verdict {
        let place = self.next_place;
        self.next_place += 1;
        match self
            .live
            .insert(id, Exchange { kind: Kind::Request, link: Some(link), place, abandoned: false })
        {
            None => Ok(()),
            Some(Exchange { kind: Kind::Publish { partial: true, .. }, .. }) => Ok(()),
            Some(old) => {
                Err(("MQTT-2.2.1-3", format!("a request with {id:?}, which is live: {:?}", old.kind)))
            }
        }
    }

    pub(super) fn reached(&mut self, link: LinkId, version: Version, packet: &Packet<'_>) {
        match packet {
            Packet::Connack(connack) if !connack.reason_code.is_error() => {
                // 3.1 cannot say whether there was a session: a clean CONNECT neither finds one nor leaves one.
                let kept = core::mem::replace(&mut self.kept, !self.clean);
                let resumed = connack.session_present || (version == Version::V3_1 && kept && !self.clean);
                let first = !core::mem::replace(&mut self.accepted, true);
                let older = connack.session_present || (version == Version::V3_1 && !self.clean);
                self.inherited = if first { older } else { self.inherited && resumed };
                self.resumed = resumed;
                if !resumed {
                    self.lost.extend(core::mem::take(&mut self.live).into_keys());
                    self.lost.extend(core::mem::take(&mut self.revived).into_keys());
                    self.headless = false;
                }
                let properties = &connack.properties;
                self.limits = Limits {
                    receive_maximum: usize::from(properties.receive_maximum().unwrap_or(u16::MAX)),
                    max_qos: properties.maximum_qos().unwrap_or(Qos::ExactlyOnce),
                    max_packet: properties
                        .maximum_packet_size()
                        .and_then(|max| usize::try_from(max).ok())
                        .unwrap_or(usize::MAX),
                    retain: properties.retain_available().unwrap_or(true),
                    aliases: properties.topic_alias_maximum().unwrap_or(0),
                };
            }
            Packet::Puback(ack) => self.end(ack.packet_id, Qos::AtLeastOnce),
            Packet::Pubrec(ack) if ack.reason_code.is_error() => self.end(ack.packet_id, Qos::ExactlyOnce),
            Packet::Pubrec(ack) => {
                if let Some(exchange) = self.live.get_mut(&ack.packet_id)
                    && let Kind::Publish { qos: Qos::ExactlyOnce, phase, unanswered, .. } = &mut exchange.kind
                {
                    *unanswered += 1;
                    if *phase == Phase::Published {
                        *phase = Phase::Received;
                        exchange.link = Some(link);
                    }
                } else {
                    *self.stray.entry(ack.packet_id).or_insert(0) += 1;
                }
            }
            Packet::Pubcomp(ack) => {
                // One that comes before PUBREL was sent belongs to an earlier exchange.
                let released = self.live.get(&ack.packet_id).is_some_and(|exchange| {
                    self.given_up(exchange)
                        || !matches!(exchange.kind, Kind::Publish { phase: Phase::Published, .. })
                });
                if released {
                    self.end(ack.packet_id, Qos::ExactlyOnce);
                }
            }
            Packet::Suback(packet) => self.answered(packet.packet_id),
            Packet::Unsuback(packet) => self.answered(packet.packet_id),
            _ => {}
        }
    }

    fn end(&mut self, id: PacketId, of: Qos) {
        let fits = |exchange: &Exchange| matches!(exchange.kind, Kind::Publish { qos, .. } if qos == of);
        if self.live.get(&id).is_some_and(fits)
            && let Some(exchange) = self.live.remove(&id)
            && let Kind::Publish { unanswered, qos, payload, .. } = exchange.kind
        {
            self.ended.insert(id, Ended { qos, place: Some(exchange.place), payload });
            // The answer to a second PUBREC may follow.
            *self.stray.entry(id).or_insert(0) += unanswered;
        }
    }

    fn answered(&mut self, id: PacketId) {
        if self.live.get(&id).is_some_and(|exchange| exchange.kind == Kind::Request) {
            self.live.remove(&id);
        }
    }
}

/// Whether an identifier may be asked for once more on this connection: after a quiet time what was answered is
/// forgotten, but not for ever.
fn asks(asked: &mut BTreeMap<PacketId, u32>, id: PacketId) -> bool {
    let times = asked.entry(id).or_insert(0);
    *times += 1;
    *times <= MOST_ASKED
}
