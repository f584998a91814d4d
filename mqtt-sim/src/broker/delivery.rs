//! Messages on their way out: queues, quota, repetition on a resume.

use std::sync::Arc;

use mqtt_proto::{
    Encode, EncodedProperties, PacketId, Properties, Property, Publish, Pubrel, Qos, TopicName, Version,
};

use super::connection::{Connection, Stage};
use super::message::{Delivery, Message};
use super::session::{Phase, SessionKey};
use super::{Broker, ConnId};

/// What became of a PUBLISH.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Yes,
    /// Larger than the client accepts.
    TooLarge,
}

impl Broker {
    /// Sends anything but PUBLISH.
    pub(super) fn send(&mut self, conn: ConnId, packet: &impl Encode) {
        let max = self.config.max_output_bytes;
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if connection.stage == Stage::Closing {
            return;
        }
        let (version, start) = (connection.version, connection.output.mark());
        if connection.output.push(packet, version).is_ok() {
            self.active.insert(conn);
        }
        if connection.output.len() > max.saturating_mul(2) {
            // It asks, but does not read the answers.
            self.stats.slow_readers += 1;
            connection.output.clear();
            return self.end(conn, true);
        }
        self.tempt(conn, start, None);
    }

    /// Hands a message to everybody subscribed; says to how many.
    pub(super) fn fan_out(&mut self, message: &Arc<Message>) -> usize {
        let Ok(topic) = TopicName::new(&message.topic) else { return 0 };
        let sessions = &self.sessions.map;
        let connected = |key| sessions.get(&key).is_some_and(|session| session.connection.is_some());
        let matches = self.routes.matches(topic, message.publisher, connected);
        let receivers = matches.len();
        for found in matches {
            let delivery = Delivery {
                message: Arc::clone(message),
                qos: message.qos.min(found.qos),
                // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
                retain: message.retain && found.retain_as_published,
                subscription_ids: found.identifiers,
            };
            self.deliver(found.session, delivery);
        }
        receivers
    }

    /// Queues a message for a session and sends what can be sent.
    pub(super) fn deliver(&mut self, key: SessionKey, delivery: Delivery) {
        let size = delivery.message.size();
        let config = &self.config;
        let room = self.sessions.stored_bytes.saturating_add(size) <= config.max_stored_bytes;
        let Some(session) = self.sessions.map.get_mut(&key) else { return };
        let qos0 = delivery.qos == Qos::AtMostOnce;
        if qos0 && session.connection.is_none() {
            return;
        }
        if !room
            || session.queued() >= config.max_queued
            || session.queued_bytes.saturating_add(size) > config.max_queued_bytes
        {
            self.stats.dropped += 1;
            return;
        }
        session.queued_bytes += size;
        self.sessions.stored_bytes += size;
        if qos0 {
            session.queue_qos0.push_back(delivery);
        } else {
            session.queue.push_back(delivery);
        }
        if let Some(conn) = session.connection {
            self.pump(conn);
        }
    }

    /// Sends what waits, as far as quota and output go: first what a resume owes, in its order, then messages.
    pub(super) fn pump(&mut self, conn: ConnId) {
        let max = self.config.max_output_bytes;
        let before = match self.connections.get(&conn) {
            Some(connection) if connection.stage == Stage::Up => connection.output.len(),
            _ => return,
        };
        while self.connections.get(&conn).is_some_and(|connection| connection.output.len() < max) {
            if !self.resend_one(conn) && !self.send_one(conn, true) && !self.send_one(conn, false) {
                break;
            }
        }
        if self.connections.get(&conn).is_some_and(|connection| connection.output.len() > before) {
            self.active.insert(conn);
        }
    }

    /// Sends one unfinished exchange of an earlier connection again. [MQTT-4.4.0-1] [MQTT-4.6.0-1]
    fn resend_one(&mut self, conn: ConnId) -> bool {
        let now = self.now;
        let Some((connection, session)) = self.up(conn) else { return false };
        let room = session.sent() < connection.quota;
        let Some(entry) = session.next_resend() else { return false };
        let (id, start) = (entry.id, connection.output.mark());
        let mut topic = None;
        match (entry.phase, &entry.delivery) {
            (Phase::Published, Some(delivery)) => {
                if !room {
                    return false;
                }
                entry.sent = true;
                let delivery = delivery.clone();
                topic = Some(Arc::clone(&delivery.message));
                // [MQTT-3.3.1-1]
                if write(connection, &delivery, Some(id), true, now) == Written::TooLarge {
                    session.finish(id);
                    self.stats.dropped += 1;
                    return true;
                }
            }
            _ => {
                entry.sent = true;
                let version = connection.version;
                // PUBREL holds no quota of its own, and encodes in any version.
                let _encoded = connection.output.push(&Pubrel::new(id), version);
            }
        }
        self.stats.resends += 1;
        self.tempt(conn, start, topic.as_ref().map(|message| &*message.topic));
        true
    }

    fn send_one(&mut self, conn: ConnId, qos0: bool) -> bool {
        let now = self.now;
        let own = usize::from(self.config.max_in_flight.max(1));
        let Some((connection, session)) = self.up(conn) else { return false };
        if !qos0 {
            // Nothing new overtakes what a resume owes. [MQTT-4.6.0-1]
            let owed = session.sent() < session.in_flight();
            // [MQTT-3.3.4-7]
            if owed || session.in_flight() >= connection.quota.min(own) {
                return false;
            }
        }
        let (before, start) = (session.queued_bytes, connection.output.mark());
        let Some(delivery) = session.take_queued(qos0) else { return false };
        let freed = before.saturating_sub(session.queued_bytes);
        let known = matches!(connection.alias_out(&delivery.message.topic), Some((_, false)));
        let aliased = known && connection.version == Version::V5;
        let outcome = if delivery.message.expired(now) {
            None
        } else if qos0 {
            Some(write(connection, &delivery, None, false, now))
        } else {
            session.begin(delivery.clone()).map(|id| {
                let written = write(connection, &delivery, Some(id), false, now);
                if written == Written::TooLarge {
                    session.finish(id);
                }
                written
            })
        };
        self.sessions.stored_bytes = self.sessions.stored_bytes.saturating_sub(freed);
        match outcome {
            Some(Written::Yes) => {
                self.stats.messages_out += 1;
                self.stats.aliased_out += u64::from(aliased);
                self.tempt(conn, start, Some(&delivery.message.topic));
            }
            // [MQTT-3.1.2-25]: as if it had been delivered.
            Some(Written::TooLarge) => self.stats.dropped += 1,
            None => self.stats.expired += 1,
        }
        true
    }
}

/// Writes one PUBLISH, with what belongs to this hop: identifier, expiry, alias, subscription identifiers.
fn write(
    connection: &mut Connection,
    delivery: &Delivery,
    id: Option<PacketId>,
    dup: bool,
    now: mqtt_session::Instant,
) -> Written {
    let message = &*delivery.message;
    let version = connection.version;
    let Ok(topic) = TopicName::new(&message.topic) else { return Written::TooLarge };
    let alias = connection.alias_out(&message.topic).filter(|_| version == Version::V5);
    let mut own = Vec::new();
    let mut properties = Properties::EMPTY;
    if version == Version::V5 {
        own.extend(message.remaining(now).map(Property::MessageExpiryInterval));
        own.extend(alias.map(|(alias, _)| Property::TopicAlias(alias)));
        own.extend(delivery.subscription_ids.iter().map(|id| Property::SubscriptionIdentifier(*id)));
        properties = Properties::Chain(&own, EncodedProperties::from_stored(&message.properties));
    }
    let packet = Publish {
        dup,
        qos: delivery.qos,
        retain: delivery.retain,
        topic: if matches!(alias, Some((_, false))) { None } else { Some(topic) },
        packet_id: id,
        properties,
        payload: &message.payload,
    };
    // [MQTT-3.1.2-24]
    if packet.encoded_len(version).is_ok_and(|len| len <= connection.client_max_packet)
        && connection.output.push(&packet, version).is_ok()
    {
        if let Some((alias, true)) = alias {
            connection.aliases_out.insert(message.topic.clone(), alias);
        }
        Written::Yes
    } else {
        Written::TooLarge
    }
}
