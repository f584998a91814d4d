//! Packets of a client that is up: messages with their acknowledgements, pings and the goodbye.

use std::sync::Arc;

use mqtt_proto::{
    Disconnect, PacketId, Pingresp, Properties, Puback, Pubcomp, Publish, Pubrec, Pubrel, Qos, ReasonCode,
    Version,
};

use super::connection::Connection;
use super::message::Message;
use super::session::{Phase, Session};
use super::{Broker, ConnId};

impl Broker {
    /// The connection and its session; both are there for every connection that is up.
    pub(super) fn up(&mut self, conn: ConnId) -> Option<(&mut Connection, &mut Session)> {
        let connection = self.connections.get_mut(&conn)?;
        let session = self.sessions.map.get_mut(&connection.session?)?;
        Some((connection, session))
    }

    pub(super) fn on_publish(&mut self, conn: ConnId, publish: &Publish<'_>) {
        let config_max = usize::from(self.config.receive_maximum.max(1));
        let alias_max = self.config.topic_alias_maximum;
        let Some((connection, session)) = self.up(conn) else { return };
        let version = connection.version;
        let topic: Arc<str> = match (publish.topic, publish.properties.topic_alias()) {
            // [MQTT-3.3.2-9]
            (_, Some(alias)) if alias == 0 || alias > alias_max => {
                return self.breach(conn, ReasonCode::TopicAliasInvalid);
            }
            (Some(topic), Some(alias)) => {
                let topic: Arc<str> = topic.as_str().into();
                connection.aliases_in.insert(alias, Arc::clone(&topic));
                topic
            }
            (Some(topic), None) => topic.as_str().into(),
            (None, alias) => match alias.and_then(|alias| connection.aliases_in.get(&alias)) {
                Some(topic) => Arc::clone(topic),
                None => return self.breach(conn, ReasonCode::ProtocolError),
            },
        };
        if let Some(id) = publish.packet_id {
            let repeated = session.received.contains(&id);
            match publish.qos {
                Qos::ExactlyOnce => {
                    connection.receiving.insert(id);
                    if connection.receiving.len() > config_max {
                        // [MQTT-3.3.4-9]
                        return self.breach(conn, ReasonCode::ReceiveMaximumExceeded);
                    }
                    if repeated {
                        // [MQTT-4.3.3-10]: delivered already, acknowledged again.
                        self.stats.duplicates += 1;
                        return self.send(conn, &Pubrec::new(id));
                    }
                }
                // [MQTT-2.2.1-3]: the identifier of an exchange that is not over.
                _ if repeated => {
                    return self.refuse_publish(conn, publish, ReasonCode::PacketIdentifierInUse);
                }
                _ => {}
            }
        }
        if publish.qos > self.config.max_qos {
            // [MQTT-3.2.2-11]
            return self.breach(conn, ReasonCode::QosNotSupported);
        }
        if publish.retain && !self.config.retain_available {
            // [MQTT-3.2.2-14]
            return self.breach(conn, ReasonCode::RetainNotSupported);
        }
        if self.closes_on(conn, &topic) {
            return;
        }
        self.stats.messages_in += 1;
        self.stats.aliased_in += u64::from(publish.topic.is_none());
        let publisher = self.connections.get(&conn).and_then(|connection| connection.session);
        let message = Message::published(&topic, publish, publisher, self.now);
        let over_quota = publish.retain && !self.retain_has_room(&message);
        if over_quota && version == Version::V5 && publish.qos > Qos::AtMostOnce {
            return self.refuse_publish(conn, publish, ReasonCode::QuotaExceeded);
        }
        if let (Qos::ExactlyOnce, Some(id), Some((_, session))) =
            (publish.qos, publish.packet_id, self.up(conn))
        {
            session.received.insert(id);
        }
        // [MQTT-4.3.2-4] [MQTT-4.3.3-8]: the acknowledgement follows what it acknowledges.
        let receivers = self.route(message);
        let reason = match receivers {
            0 => ReasonCode::NoMatchingSubscribers,
            _ => ReasonCode::Success,
        };
        match (publish.qos, publish.packet_id) {
            (Qos::AtLeastOnce, Some(id)) => self.send(conn, &Puback::with(id, reason, Properties::EMPTY)),
            (Qos::ExactlyOnce, Some(id)) => self.send(conn, &Pubrec::with(id, reason, Properties::EMPTY)),
            _ => {}
        }
    }

    /// Answers a PUBLISH of QoS 1 or 2 with an error, which ends its exchange; 3.x cannot say it and closes.
    fn refuse_publish(&mut self, conn: ConnId, publish: &Publish<'_>, reason: ReasonCode) {
        let Some((connection, _)) = self.up(conn) else { return };
        if connection.version != Version::V5 {
            return self.breach(conn, reason);
        }
        match (publish.qos, publish.packet_id) {
            (Qos::AtLeastOnce, Some(id)) => self.send(conn, &Puback::with(id, reason, Properties::EMPTY)),
            (Qos::ExactlyOnce, Some(id)) => {
                connection.receiving.remove(&id);
                self.send(conn, &Pubrec::with(id, reason, Properties::EMPTY));
            }
            _ => {}
        }
    }

    pub(super) fn on_pubrel(&mut self, conn: ConnId, id: PacketId) {
        let Some((connection, session)) = self.up(conn) else { return };
        connection.receiving.remove(&id);
        let reason = if session.received.remove(&id) {
            ReasonCode::Success
        } else {
            self.stats.unknown_acks += 1;
            ReasonCode::PacketIdentifierNotFound
        };
        // [MQTT-4.3.3-11]
        self.send(conn, &Pubcomp::with(id, reason, Properties::EMPTY));
    }

    pub(super) fn on_puback(&mut self, conn: ConnId, id: PacketId) {
        let Some((_, session)) = self.up(conn) else { return };
        match session.find(id).map(|entry| entry.qos) {
            Some(Qos::AtLeastOnce) => {
                session.finish(id);
                self.pump(conn);
            }
            // A QoS 2 message is not answered with PUBACK. [MQTT-4.3.3-4]
            Some(_) => self.breach(conn, ReasonCode::ProtocolError),
            None => self.stats.unknown_acks += 1,
        }
    }

    pub(super) fn on_pubrec(&mut self, conn: ConnId, id: PacketId, reason: ReasonCode) {
        let Some((_, session)) = self.up(conn) else { return };
        match session.find(id).map(|entry| (entry.qos, entry.phase)) {
            Some((Qos::ExactlyOnce, Phase::Published)) if reason.is_error() => {
                // The receiver does not want it; the identifier is free. [MQTT-4.4.0-2]
                session.finish(id);
                self.pump(conn);
            }
            Some((Qos::ExactlyOnce, _)) => {
                session.release(id);
                // [MQTT-4.3.3-4]
                self.send(conn, &Pubrel::new(id));
            }
            Some(_) => self.breach(conn, ReasonCode::ProtocolError),
            None => {
                self.stats.unknown_acks += 1;
                self.send(conn, &Pubrel::with(id, ReasonCode::PacketIdentifierNotFound, Properties::EMPTY));
            }
        }
    }

    pub(super) fn on_pubcomp(&mut self, conn: ConnId, id: PacketId) {
        let Some((_, session)) = self.up(conn) else { return };
        match session.find(id).map(|entry| entry.phase) {
            Some(Phase::Released) => {
                session.finish(id);
                self.pump(conn);
            }
            Some(Phase::Published) => self.breach(conn, ReasonCode::ProtocolError),
            None => self.stats.unknown_acks += 1,
        }
    }

    pub(super) fn on_pingreq(&mut self, conn: ConnId) {
        // [MQTT-3.12.4-1]
        self.send(conn, &Pingresp);
    }

    pub(super) fn on_disconnect(&mut self, conn: ConnId, disconnect: &Disconnect<'_>) {
        let max = self.config.max_session_expiry;
        let Some((connection, session)) = self.up(conn) else { return };
        if let Some(expiry) = disconnect.properties.session_expiry_interval() {
            if connection.connect_expiry == 0 && expiry > 0 {
                // [MQTT-3.14.2-2]'s neighbour in 3.14.2.2.2: a session that was to end cannot be kept after all.
                return self.breach(conn, ReasonCode::ProtocolError);
            }
            session.expiry = expiry.min(max);
        }
        // [MQTT-3.14.4-3]: only a plain goodbye cancels the will.
        self.end(conn, disconnect.reason_code != ReasonCode::Success);
        if let Some(connection) = self.connections.get_mut(&conn) {
            // The client has closed or is about to; nothing more is for it.
            connection.output.clear();
        }
    }

    fn retain_has_room(&self, message: &Message) -> bool {
        let config = &self.config;
        self.retained.has_room(&message.topic, message.size(), config.max_retained, config.max_retained_bytes)
    }

    /// Retains and hands on a message; says how many sessions it is for.
    pub(super) fn route(&mut self, message: Message) -> usize {
        let message = Arc::new(message);
        if message.retain {
            if message.payload.is_empty() || self.retain_has_room(&message) {
                self.retained.set(&message);
            } else {
                self.stats.dropped += 1;
            }
        }
        self.fan_out(&message)
    }
}
