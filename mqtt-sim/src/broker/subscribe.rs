//! SUBSCRIBE and UNSUBSCRIBE.

use std::sync::Arc;

use mqtt_proto::{
    Properties, Qos, ReasonCode, ReasonCodes, RetainHandling, Suback, Subscribe, Subscription, TopicFilter,
    Unsuback, Unsubscribe, Version,
};

use super::message::{Delivery, Message};
use super::session::{SessionKey, Subscribed};
use super::{Broker, ConnId};

impl Broker {
    pub(super) fn on_subscribe(&mut self, conn: ConnId, subscribe: &Subscribe<'_>) {
        let Some((connection, session)) = self.up(conn) else { return };
        let version = connection.version;
        if session.received.contains(&subscribe.packet_id) {
            // [MQTT-2.2.1-3]: the identifier of an exchange that is not over.
            let codes = vec![fitting(version, ReasonCode::PacketIdentifierInUse); subscribe.filters.len()];
            return self.suback(conn, subscribe, &codes);
        }
        let Some(key) = self.connections.get(&conn).and_then(|connection| connection.session) else { return };
        let identifier = subscribe.properties.subscription_identifiers().next();
        // [MQTT-3.8.3-4]
        if subscribe.filters.iter().any(|item| item.options.no_local && item.filter.share().is_some()) {
            return self.breach(conn, ReasonCode::ProtocolError);
        }
        let mut codes = Vec::with_capacity(subscribe.filters.len());
        let mut owed = Vec::new();
        for item in subscribe.filters.iter() {
            let code = match self.subscribe_one(key, item, identifier) {
                Ok(is_new) => {
                    let send = match item.options.retain_handling {
                        // [MQTT-3.3.1-9]
                        RetainHandling::Send => true,
                        // [MQTT-3.3.1-10]
                        RetainHandling::SendIfNew => is_new,
                        // [MQTT-3.3.1-11]
                        RetainHandling::DoNotSend => false,
                    };
                    if send && item.filter.share().is_none() {
                        let granted = item.options.qos.min(self.config.max_qos);
                        for message in self.retained.matching(item.filter, self.now) {
                            owed.push((message, granted));
                        }
                    }
                    granted_code(item.options.qos.min(self.config.max_qos))
                }
                Err(reason) => fitting(version, reason),
            };
            codes.push(code);
        }
        // [MQTT-3.8.4-1] [MQTT-3.8.4-6]
        self.suback(conn, subscribe, &codes);
        for (message, granted) in owed {
            self.deliver_retained(key, message, granted, identifier);
        }
    }

    fn suback(&mut self, conn: ConnId, subscribe: &Subscribe<'_>, codes: &[ReasonCode]) {
        self.send(
            conn,
            &Suback {
                packet_id: subscribe.packet_id,
                properties: Properties::EMPTY,
                codes: ReasonCodes::from(codes),
            },
        );
    }

    /// Makes or replaces [MQTT-3.8.4-3] one subscription; says whether there was none before.
    fn subscribe_one(
        &mut self,
        key: SessionKey,
        item: Subscription<'_>,
        identifier: Option<u32>,
    ) -> Result<bool, ReasonCode> {
        let config = &self.config;
        if identifier.is_some() && !config.subscription_identifiers_available {
            return Err(ReasonCode::SubscriptionIdentifiersNotSupported);
        }
        let plain = match item.filter.share() {
            Some(_) if !config.shared_available => return Err(ReasonCode::SharedSubscriptionsNotSupported),
            Some((_, inner)) => inner,
            None => item.filter,
        };
        if plain.has_wildcards() && !config.wildcard_available {
            return Err(ReasonCode::WildcardSubscriptionsNotSupported);
        }
        let Some(session) = self.sessions.map.get_mut(&key) else {
            return Err(ReasonCode::UnspecifiedError);
        };
        let text = item.filter.as_str();
        let is_new = !session.subscriptions.contains_key(text);
        if is_new && session.subscriptions.len() >= config.max_subscriptions {
            return Err(ReasonCode::QuotaExceeded);
        }
        // [MQTT-3.8.4-7]: granted at most what the broker serves.
        let mut options = item.options;
        options.qos = options.qos.min(config.max_qos);
        let subscribed = Subscribed { options, identifier };
        session.subscriptions.insert(text.into(), subscribed);
        self.routes.insert(item.filter, key, subscribed);
        Ok(is_new)
    }

    fn deliver_retained(
        &mut self,
        key: SessionKey,
        message: Arc<Message>,
        granted: Qos,
        identifier: Option<u32>,
    ) {
        // [MQTT-3.3.1-8]
        let qos = message.qos.min(granted);
        let subscription_ids = identifier.into_iter().collect();
        self.deliver(key, Delivery { message, qos, retain: true, subscription_ids });
    }

    pub(super) fn on_unsubscribe(&mut self, conn: ConnId, unsubscribe: &Unsubscribe<'_>) {
        let Some(key) = self.connections.get(&conn).and_then(|connection| connection.session) else { return };
        let codes: Vec<ReasonCode> =
            unsubscribe.filters.iter().map(|filter| self.unsubscribe_one(key, filter)).collect();
        // [MQTT-3.10.4-4] [MQTT-3.10.4-5]; 3.x has no codes here.
        let codes: &[ReasonCode] = match self.connections.get(&conn) {
            Some(connection) if connection.version == Version::V5 => &codes,
            _ => &[],
        };
        self.send(
            conn,
            &Unsuback {
                packet_id: unsubscribe.packet_id,
                properties: Properties::EMPTY,
                codes: ReasonCodes::from(codes),
            },
        );
    }

    fn unsubscribe_one(&mut self, key: SessionKey, filter: TopicFilter<'_>) -> ReasonCode {
        let Some(session) = self.sessions.map.get_mut(&key) else { return ReasonCode::UnspecifiedError };
        if session.subscriptions.remove(filter.as_str()).is_none() {
            return ReasonCode::NoSubscriptionExisted;
        }
        self.routes.remove(filter, key);
        ReasonCode::Success
    }
}

fn granted_code(qos: Qos) -> ReasonCode {
    match qos {
        Qos::AtMostOnce => ReasonCode::Success,
        Qos::AtLeastOnce => ReasonCode::GrantedQos1,
        Qos::ExactlyOnce => ReasonCode::GrantedQos2,
    }
}

/// 3.1.1 knows one failure only; 3.1 none, so it gets the same byte, as from most brokers.
fn fitting(version: Version, reason: ReasonCode) -> ReasonCode {
    if version == Version::V5 { reason } else { ReasonCode::UnspecifiedError }
}
