//! Rules for what a client publishes: identifiers, DUP, order, quota, the server's limits.

use std::collections::BTreeMap;

use mqtt_proto::{Packet, PacketId, Peer, Publish, PublishHead, Qos, ReasonCode, Version};

use crate::world::LinkId;

type Verdict = Result<(), (&'static str, String)>;

/// The exchanges a client has begun.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbound {
    live: BTreeMap<PacketId, Exchange>,
    /// Places in the order of first sending.
    next_place: u64,
    /// The place of the last repetition on this connection.
    repeated: Option<u64>,
    /// A PUBLISH was cut before its identifier was out: one repetition of an unknown one may come.
    headless: bool,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    receive_maximum: usize,
    max_qos: Qos,
    retain: bool,
    aliases: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self { receive_maximum: usize::from(u16::MAX), max_qos: Qos::ExactlyOnce, retain: true, aliases: 0 }
    }
}

#[derive(Clone, Debug)]
struct Exchange {
    kind: Kind,
    /// The connection it was last sent on.
    link: Option<LinkId>,
    place: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Publish {
        qos: Qos,
        payload: Vec<u8>,
        phase: Phase,
        /// Only a part of it was ever sent, so that it may come with DUP or without.
        partial: bool,
    },
    Request,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Published,
    /// PUBREC has arrived.
    Received,
    /// PUBREL has been sent.
    Released,
}

impl Outbound {
    pub(super) fn opened(&mut self) {
        self.repeated = None;
        self.limits = Limits::default();
    }

    pub(super) fn closed(&mut self, version: Version, partial: &[u8]) {
        // SUBSCRIBE and UNSUBSCRIBE are no part of the session's state: their identifiers are free.
        self.live.retain(|_, exchange| exchange.kind != Kind::Request);
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
                    kind: Kind::Publish { qos, payload: Vec::new(), phase: Phase::Published, partial: true },
                    link: None,
                    place,
                });
            }
            _ => self.headless = true,
        }
    }

    pub(super) fn sent(&mut self, link: LinkId, packet: &Packet<'_>) -> Verdict {
        match packet {
            Packet::Publish(publish) => {
                self.within_limits(publish)?;
                let Some(id) = publish.packet_id else { return Ok(()) };
                match self.live.get(&id) {
                    Some(_) => self.repeat(link, id, publish)?,
                    None => self.begin(link, id, publish)?,
                }
                self.within_quota(link)
            }
            Packet::Pubrel(ack) => self.release(link, ack.packet_id, ack.reason_code),
            Packet::Subscribe(packet) => self.request(link, packet.packet_id),
            Packet::Unsubscribe(packet) => self.request(link, packet.packet_id),
            _ => Ok(()),
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
            .filter(|exchange| exchange.link == Some(link) && exchange.kind != Kind::Request)
            .count();
        let max = self.limits.receive_maximum;
        if used > max { Err(("MQTT-3.3.4-7", format!("{used} in flight of {max}"))) } else { Ok(()) }
    }

    fn begin(&mut self, link: LinkId, id: PacketId, publish: &Publish<'_>) -> Verdict {
        if publish.dup && !core::mem::take(&mut self.headless) {
            return Err(("MQTT-3.3.1-1", format!("PUBLISH {id:?} with DUP was not sent before")));
        }
        // What is owed from an earlier connection goes first. [MQTT-4.6.0-1]
        let owed = self.live.iter().find(|(_, exchange)| {
            matches!(exchange.kind, Kind::Publish { phase: Phase::Published, partial: false, .. })
                && exchange.link != Some(link)
        });
        if let Some((owed, _)) = owed {
            return Err(("MQTT-4.6.0-1", format!("PUBLISH {id:?} overtakes the repetition of {owed:?}")));
        }
        let place = self.next_place;
        self.next_place += 1;
        let kind = Kind::Publish {
            qos: publish.qos,
            payload: publish.payload.to_vec(),
            phase: Phase::Published,
            partial: false,
        };
        self.live.insert(id, Exchange { kind, link: Some(link), place });
        Ok(())
    }

    fn repeat(&mut self, link: LinkId, id: PacketId, publish: &Publish<'_>) -> Verdict {
        let Some(exchange) = self.live.get_mut(&id) else { return Ok(()) };
        let Kind::Publish { qos, payload, phase, partial } = &mut exchange.kind else {
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
        } else {
            if *payload != publish.payload || *qos != publish.qos {
                return Err(("MQTT-2.2.1-3", format!("PUBLISH {id:?} is another message while it is live")));
            }
            if *phase != Phase::Published {
                return Err(("MQTT-4.3.3-6", format!("PUBLISH {id:?} repeated after its PUBREC")));
            }
            if !publish.dup {
                return Err(("MQTT-3.3.1-1", format!("PUBLISH {id:?} repeated without DUP")));
            }
        }
        exchange.link = Some(link);
        let place = exchange.place;
        if self.repeated.replace(place).is_some_and(|last| last > place) {
            return Err(("MQTT-4.6.0-1", format!("PUBLISH {id:?} repeated out of order")));
        }
        Ok(())
    }

    fn release(&mut self, link: LinkId, id: PacketId, reason: ReasonCode) -> Verdict {
        match self.live.get_mut(&id) {
            Some(exchange) => match &mut exchange.kind {
                Kind::Publish { qos: Qos::ExactlyOnce, phase, .. } if *phase != Phase::Published => {
                    if *phase == Phase::Released && exchange.link == Some(link) {
                        return Err(("MQTT-4.4.0-1", format!("PUBREL {id:?} twice on one connection")));
                    }
                    *phase = Phase::Released;
                    exchange.link = Some(link);
                    Ok(())
                }
                _ => Err(("MQTT-4.3.3-4", format!("PUBREL {id:?} without PUBREC"))),
            },
            None if reason == ReasonCode::PacketIdentifierNotFound => Ok(()),
            None => Err(("MQTT-4.3.3-4", format!("PUBREL {id:?} for nothing"))),
        }
    }

    fn request(&mut self, link: LinkId, id: PacketId) -> Verdict {
        let place = self.next_place;
        self.next_place += 1;
        match self.live.insert(id, Exchange { kind: Kind::Request, link: Some(link), place }) {
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
                // 3.1 cannot say whether there was a session.
                if !connack.session_present && version != Version::V3_1 {
                    self.live.clear();
                    self.headless = false;
                }
                let properties = &connack.properties;
                self.limits = Limits {
                    receive_maximum: usize::from(properties.receive_maximum().unwrap_or(u16::MAX)),
                    max_qos: properties.maximum_qos().unwrap_or(Qos::ExactlyOnce),
                    retain: properties.retain_available().unwrap_or(true),
                    aliases: properties.topic_alias_maximum().unwrap_or(0),
                };
            }
            Packet::Puback(ack) => self.end(ack.packet_id, Qos::AtLeastOnce),
            Packet::Pubrec(ack) if ack.reason_code.is_error() => self.end(ack.packet_id, Qos::ExactlyOnce),
            Packet::Pubrec(ack) => {
                if let Some(exchange) = self.live.get_mut(&ack.packet_id)
                    && let Kind::Publish { qos: Qos::ExactlyOnce, phase, .. } = &mut exchange.kind
                    && *phase == Phase::Published
                {
                    *phase = Phase::Received;
                    exchange.link = Some(link);
                }
            }
            Packet::Pubcomp(ack) => self.end(ack.packet_id, Qos::ExactlyOnce),
            Packet::Suback(packet) => self.answered(packet.packet_id),
            Packet::Unsuback(packet) => self.answered(packet.packet_id),
            _ => {}
        }
    }

    fn end(&mut self, id: PacketId, of: Qos) {
        let fits = |exchange: &Exchange| matches!(exchange.kind, Kind::Publish { qos, .. } if qos == of);
        if self.live.get(&id).is_some_and(fits) {
            self.live.remove(&id);
        }
    }

    fn answered(&mut self, id: PacketId) {
        if self.live.get(&id).is_some_and(|exchange| exchange.kind == Kind::Request) {
            self.live.remove(&id);
        }
    }
}
