//! CONNECT: who may come in, with which session, on which terms.

use core::time::Duration;

use mqtt_proto::{Connack, Connect, DecodeError, Peer, Properties, Property, Qos, ReasonCode, Version};

use super::connection::Stage;
use super::message::StoredWill;
use super::{Broker, ConnId};

impl Broker {
    pub(super) fn connect(&mut self, conn: ConnId, frame: &[u8]) {
        match Connect::decode(frame, Version::V5, Peer::Client) {
            Ok(connect) if self.begins_authentication(conn, &connect, frame) => {}
            Ok(connect) => self.on_connect(conn, &connect),
            Err(error) => self.refuse_undecoded(conn, frame, &error),
        }
    }

    /// A CONNECT that is not one. What version of an answer it gets is judged from its protocol level alone.
    fn refuse_undecoded(&mut self, conn: ConnId, frame: &[u8], error: &DecodeError) {
        let unsupported = error.reason_code == ReasonCode::UnsupportedProtocolVersion;
        let version = match (unsupported, announced_level(frame)) {
            // [MQTT-3.1.2-2] of 5.0, and of 3.1.1: return code 1.
            (true, Some(level)) if level >= Version::V5.level() => self.config.newest_version,
            (true, _) => self.config.newest_version.min(Version::V3_1_1),
            (false, Some(level)) if level == Version::V5.level() => Version::V5,
            // A client id of 3.1 that is empty or too long: return code 2.
            (false, _) if error.reason_code == ReasonCode::ClientIdentifierNotValid => Version::V3_1,
            // A malformed CONNECT of 3.x is answered by closing alone. [MQTT-3.1.4-1]
            (false, _) => {
                self.stats.refused += 1;
                self.stats.protocol_errors += 1;
                return self.end(conn, false);
            }
        };
        if !unsupported {
            self.stats.protocol_errors += 1;
        }
        self.refuse(conn, version, error.reason_code, Properties::EMPTY);
    }

    /// Answers CONNECT with anything but Success, and closes. [MQTT-3.1.4-2] [MQTT-3.2.2-7]
    pub(super) fn refuse(
        &mut self,
        conn: ConnId,
        version: Version,
        reason: ReasonCode,
        properties: Properties<'_>,
    ) {
        self.stats.refused += 1;
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.version = version;
        }
        self.send(conn, &Connack { session_present: false, reason_code: reason, properties });
        self.end(conn, false);
    }

    pub(super) fn on_connect(&mut self, conn: ConnId, connect: &Connect<'_>) {
        let version = connect.version;
        let (oldest, newest) = (self.config.oldest_version, self.config.newest_version);
        if version < oldest || version > newest {
            // A broker answers in the newest form it knows, which is the client's own if it is an older one.
            return self.refuse(
                conn,
                version.min(newest),
                ReasonCode::UnsupportedProtocolVersion,
                Properties::EMPTY,
            );
        }
        if version == Version::V5
            && let Some(redirect) = self.config.redirect.clone()
        {
            let list = [Property::ServerReference(&redirect.reference)];
            return self.refuse(conn, version, redirect.code(), Properties::List(&list));
        }
        if let Err(reason) = self.judge(connect) {
            return self.refuse(conn, version, reason, Properties::EMPTY);
        }
        let assigned = connect.client_id.is_empty().then(|| self.assign_id());
        let client_id = assigned.as_deref().unwrap_or(connect.client_id);

        // [MQTT-3.1.4-3]: an older connection of the same client makes way.
        if let Some(old) = self.connection_of(client_id) {
            self.stats.takeovers += 1;
            self.disconnect_connection(old, ReasonCode::SessionTakenOver);
        }
        let found = self.sessions.by_client.get(client_id).copied();
        let kept = match found {
            // [MQTT-3.1.4-4]
            Some(key) if connect.clean_start => {
                self.end_session(key);
                None
            }
            kept => kept,
        };
        if kept.is_none() && self.sessions.map.len() >= self.config.max_sessions {
            return self.refuse(conn, version, over_quota(version), Properties::EMPTY);
        }

        let key = self.sessions.make(client_id);
        self.attach(key, conn);
        let expiry = self.session_expiry(connect);
        if let Some(session) = self.sessions.map.get_mut(&key) {
            session.expiry = expiry;
        }
        self.settle(conn, connect, expiry);
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.session = Some(key);
            connection.stage = Stage::Up;
        }
        let patience = self.connections.get(&conn).and_then(|connection| connection.patience);
        self.arm(conn, patience.map(|patience| self.now.after(patience)));

        self.stats.connects += 1;
        self.stats.resumes += u64::from(kept.is_some());
        let auth = self.connections.get(&conn).and_then(|connection| connection.auth.clone());
        let mut properties = match version {
            Version::V5 => self.announced(connect, expiry, assigned.as_deref()),
            Version::V3_1 | Version::V3_1_1 => Vec::new(),
        };
        if let Some(auth) = &auth {
            auth.announce(&mut properties);
        }
        // [MQTT-3.2.2-2] [MQTT-3.2.2-3]
        let session_present = kept.is_some() && version != Version::V3_1;
        self.send(
            conn,
            &Connack {
                session_present,
                reason_code: ReasonCode::Success,
                properties: Properties::List(&properties),
            },
        );
        self.pump(conn);
    }

    /// What stands against this CONNECT.
    fn judge(&self, connect: &Connect<'_>) -> Result<(), ReasonCode> {
        let config = &self.config;
        match connect.version {
            // [MQTT-3.1.3-8] of 3.1.1; 3.1 has no empty ones at all.
            Version::V3_1 | Version::V3_1_1 if connect.client_id.is_empty() && !connect.clean_start => {
                return Err(ReasonCode::ClientIdentifierNotValid);
            }
            _ => {}
        }
        if connect.properties.authentication_method().is_some_and(|method| !self.speaks(method)) {
            return Err(ReasonCode::BadAuthenticationMethod);
        }
        if !config.users.is_empty() {
            let known = connect.username.and_then(|name| config.users.get(name));
            if known.is_none_or(|password| Some(password.as_slice()) != connect.password) {
                return Err(ReasonCode::BadUserNameOrPassword);
            }
        }
        if let Some(will) = &connect.will {
            if will.qos > config.max_qos {
                // [MQTT-3.2.2-12]
                return Err(unavailable(connect.version, ReasonCode::QosNotSupported));
            }
            if will.retain && !config.retain_available {
                // [MQTT-3.2.2-13]
                return Err(unavailable(connect.version, ReasonCode::RetainNotSupported));
            }
        }
        Ok(())
    }

    /// A client id nobody has. [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16]
    fn assign_id(&mut self) -> String {
        loop {
            self.sessions.assigned += 1;
            let id = format!("auto-{}", self.sessions.assigned);
            if !self.sessions.by_client.contains_key(id.as_str()) {
                return id;
            }
        }
    }

    fn session_expiry(&self, connect: &Connect<'_>) -> u32 {
        let asked = match connect.version {
            Version::V5 => connect.properties.session_expiry_interval().unwrap_or(0),
            _ if connect.clean_start => 0,
            _ => u32::MAX,
        };
        asked.min(self.config.max_session_expiry)
    }

    /// Writes down what holds for this connection from now on.
    fn settle(&mut self, conn: ConnId, connect: &Connect<'_>, expiry: u32) {
        let config = &self.config;
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let own = usize::from(config.max_in_flight.max(1));
        let mut keep_alive = connect.keep_alive;
        connection.version = connect.version;
        connection.quota = own;
        connection.connect_expiry = expiry;
        connection.will = connect.will.as_ref().map(StoredWill::new);
        if connect.version == Version::V5 {
            let properties = &connect.properties;
            keep_alive = config.server_keep_alive.unwrap_or(keep_alive);
            connection.quota = own.min(usize::from(properties.receive_maximum().unwrap_or(u16::MAX)));
            connection.client_max_packet = properties
                .maximum_packet_size()
                .and_then(|max| usize::try_from(max).ok())
                .unwrap_or(usize::MAX);
            connection.aliases_out_max =
                config.outbound_aliases.min(properties.topic_alias_maximum().unwrap_or(0));
        }
        // [MQTT-3.1.2-22]
        connection.patience = (keep_alive > 0).then(|| Duration::from_millis(u64::from(keep_alive) * 1_500));
    }

    /// What CONNACK tells a 5.0 client: all that differs from what it would assume.
    fn announced<'a>(
        &self,
        connect: &Connect<'_>,
        expiry: u32,
        assigned: Option<&'a str>,
    ) -> Vec<Property<'a>> {
        let config = &self.config;
        let mut list = Vec::new();
        if expiry != connect.properties.session_expiry_interval().unwrap_or(0) {
            list.push(Property::SessionExpiryInterval(expiry));
        }
        if config.receive_maximum != u16::MAX {
            list.push(Property::ReceiveMaximum(config.receive_maximum.max(1)));
        }
        if config.max_qos != Qos::ExactlyOnce {
            list.push(Property::MaximumQos(config.max_qos));
        }
        if !config.retain_available {
            list.push(Property::RetainAvailable(false));
        }
        list.push(Property::MaximumPacketSize(config.max_packet_size.max(2)));
        if let Some(id) = assigned {
            list.push(Property::AssignedClientIdentifier(id));
        }
        if config.topic_alias_maximum > 0 {
            list.push(Property::TopicAliasMaximum(config.topic_alias_maximum));
        }
        if !config.wildcard_available {
            list.push(Property::WildcardSubscriptionAvailable(false));
        }
        if !config.subscription_identifiers_available {
            list.push(Property::SubscriptionIdentifiersAvailable(false));
        }
        if !config.shared_available {
            list.push(Property::SharedSubscriptionAvailable(false));
        }
        if let Some(seconds) = config.server_keep_alive {
            list.push(Property::ServerKeepAlive(seconds));
        }
        list
    }
}

/// The nearest thing to a reason that the version can say in CONNACK.
fn unavailable(version: Version, reason: ReasonCode) -> ReasonCode {
    if version == Version::V5 { reason } else { ReasonCode::NotAuthorized }
}

fn over_quota(version: Version) -> ReasonCode {
    if version == Version::V5 { ReasonCode::QuotaExceeded } else { ReasonCode::ServerUnavailable }
}

/// The protocol level of a CONNECT, wherever the rest of it breaks.
fn announced_level(frame: &[u8]) -> Option<u8> {
    let header = frame.iter().skip(1).position(|byte| byte & 0x80 == 0)? + 2;
    let body = frame.get(header..)?;
    let name = usize::from(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
    // The bit in front marks a bridge (3.1.1).
    body.get(name + 2).map(|level| level & 0x7F)
}
