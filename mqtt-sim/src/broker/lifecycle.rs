//! How connections and sessions begin, part and end; wills and deadlines.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use mqtt_proto::{Disconnect, Properties, Qos, ReasonCode, TopicFilter, TopicName, Version};
use mqtt_session::Instant;

use super::connection::Stage;
use super::message::{Message, StoredWill};
use super::session::{Session, SessionKey};
use super::timers::Timer;
use super::{Broker, ConnId};

/// All sessions, connected or not.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Sessions {
    pub(super) map: BTreeMap<SessionKey, Session>,
    pub(super) by_client: BTreeMap<Arc<str>, SessionKey>,
    next: u64,
    /// Client ids made up so far.
    pub(super) assigned: u64,
    /// Bytes waiting in all of them.
    pub(super) stored_bytes: usize,
}

impl Sessions {
    /// The session of `client_id`, made if there is none.
    pub(super) fn make(&mut self, client_id: &str) -> SessionKey {
        if let Some(key) = self.by_client.get(client_id) {
            return *key;
        }
        let key = SessionKey(self.next);
        self.next += 1;
        let id: Arc<str> = client_id.into();
        self.by_client.insert(Arc::clone(&id), key);
        self.map.insert(key, Session::new(id));
        key
    }
}

impl Broker {
    /// Publishes a message of the broker's own, for example to feed a client under test. It is routed like a client's,
    /// without properties.
    pub fn publish(&mut self, topic: TopicName<'_>, payload: &[u8], qos: Qos, retain: bool, now: Instant) {
        self.tick(now);
        let message = Message {
            topic: topic.as_str().into(),
            payload: payload.into(),
            properties: Box::default(),
            qos,
            retain,
            expires_at: None,
            publisher: None,
        };
        self.route(message);
    }

    /// Ends the connection of `client_id` with a reason: 5.0 clients are told it in DISCONNECT. False if that client
    /// is not connected.
    pub fn disconnect(&mut self, client_id: &str, reason: ReasonCode, now: Instant) -> bool {
        self.tick(now);
        let conn = self.connection_of(client_id);
        if let Some(conn) = conn {
            self.disconnect_connection(conn, reason);
        }
        conn.is_some()
    }

    /// Forgets every session, as a broker that restarts without its memory: connections are ended without a word,
    /// no will is sent, subscriptions, waiting messages and exchanges under way are gone. Retained messages stay.
    pub fn forget_sessions(&mut self, now: Instant) {
        self.tick(now);
        let open: Vec<ConnId> = self.connections.keys().copied().collect();
        for conn in open {
            if let Some(connection) = self.connections.get_mut(&conn) {
                connection.will = None;
                connection.output.clear();
            }
            self.end(conn, false);
        }
        let keys: Vec<SessionKey> = self.sessions.map.keys().copied().collect();
        for key in keys {
            self.drop_will(key);
            self.end_session(key);
        }
    }

    /// The client served on a connection; none before its CONNECT was accepted and after the connection ended.
    pub fn client_id(&self, conn: ConnId) -> Option<&str> {
        let session = self.connections.get(&conn)?.session?;
        self.sessions.map.get(&session).map(|session| &*session.client_id)
    }

    /// The connection a client is served on.
    pub fn connection_of(&self, client_id: &str) -> Option<ConnId> {
        let key = self.sessions.by_client.get(client_id)?;
        self.sessions.map.get(key)?.connection
    }

    /// Client ids of the sessions at present, connected or not, in the order of their first connection.
    pub fn sessions(&self) -> impl Iterator<Item = &str> {
        self.sessions.map.values().map(|session| &*session.client_id)
    }

    /// Whether nothing waits and nothing is under way in either direction: no message queued or in flight, no inbound
    /// QoS 2 message unfinished, no output untaken.
    pub fn is_idle(&self) -> bool {
        self.has_delivered() && self.sessions.map.values().all(|session| session.received.is_empty())
    }

    /// Whether nothing waits for a client and nothing is under way to one: no message queued or in flight, no output
    /// untaken. What clients have not finished is not asked.
    pub fn has_delivered(&self) -> bool {
        self.sessions.map.values().all(|session| session.queued() == 0 && session.in_flight() == 0)
            && self.connections.values().all(|connection| connection.output.is_empty())
    }

    /// Arms the connection's timer anew, or disarms it.
    pub(super) fn arm(&mut self, conn: ConnId, at: Option<Instant>) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if let Some(old) = core::mem::replace(&mut connection.timer, at) {
            self.timers.disarm(old, Timer::Connection(conn));
        }
        if let Some(at) = at {
            self.timers.arm(at, Timer::Connection(conn));
        }
    }

    pub(super) fn connection_timeout(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.timer = None;
        match connection.stage {
            Stage::Handshake | Stage::Authenticating => {
                self.stats.timeouts += 1;
                self.end(conn, true);
            }
            Stage::Up => {
                let Some(patience) = connection.patience else { return };
                let due = connection.last_packet.after(patience);
                if due <= self.now {
                    // [MQTT-3.1.2-22]
                    self.stats.timeouts += 1;
                    self.disconnect_connection(conn, ReasonCode::KeepAliveTimeout);
                } else {
                    self.arm(conn, Some(due));
                }
            }
            Stage::Closing => {
                connection.output.clear();
                self.active.insert(conn);
            }
        }
    }

    /// Ends a connection from this side, saying why where the version can.
    pub(super) fn disconnect_connection(&mut self, conn: ConnId, reason: ReasonCode) {
        let Some(connection) = self.connections.get(&conn) else { return };
        // [MQTT-3.14.0-1]: not before CONNACK with Success.
        if connection.stage == Stage::Up && connection.version == Version::V5 {
            self.send(conn, &Disconnect { reason_code: reason, properties: Properties::EMPTY });
        }
        self.end(conn, true);
    }

    /// The session lets go of the connection; nothing more is read from it.
    pub(super) fn end(&mut self, conn: ConnId, send_will: bool) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if connection.stage == Stage::Closing {
            return;
        }
        connection.stage = Stage::Closing;
        connection.input = Vec::new();
        let will = connection.will.take().filter(|_| send_will);
        let session = connection.session.take();
        self.active.insert(conn);
        self.arm(conn, Some(self.now.after(self.config.close_timeout)));
        if let Some(session) = session {
            self.detach(session, will);
        }
    }

    fn detach(&mut self, key: SessionKey, will: Option<StoredWill>) {
        let now = self.now;
        let Some(session) = self.sessions.map.get_mut(&key) else { return };
        session.connection = None;
        // QoS 0 is for those who are there.
        let before = session.queued_bytes;
        while session.take_queued(true).is_some() {}
        let freed = before.saturating_sub(session.queued_bytes);
        let expiry = session.expiry;
        self.sessions.stored_bytes = self.sessions.stored_bytes.saturating_sub(freed);
        if let Some(will) = will {
            // The delay ends with the session at the latest. [MQTT-3.1.3-9]
            let delay = will.delay.min(expiry);
            if delay == 0 {
                self.send_will(key, &will);
            } else {
                let at = now.after(Duration::from_secs(u64::from(delay)));
                session.will = Some((will, at));
                self.timers.arm(at, Timer::Will(key));
            }
        }
        if expiry == 0 {
            self.end_session(key);
        } else if expiry != u32::MAX
            && let Some(session) = self.sessions.map.get_mut(&key)
        {
            let at = now.after(Duration::from_secs(u64::from(expiry)));
            session.expires_at = Some(at);
            self.timers.arm(at, Timer::Expiry(key));
        }
    }

    /// The session goes on with a new connection: neither its end nor its will is due any more.
    pub(super) fn attach(&mut self, key: SessionKey, conn: ConnId) {
        self.drop_will(key);
        let Some(session) = self.sessions.map.get_mut(&key) else { return };
        session.connection = Some(conn);
        session.forget_sent();
        if let Some(at) = session.expires_at.take() {
            self.timers.disarm(at, Timer::Expiry(key));
        }
    }

    /// Everything of the session goes; a will still waiting is sent. [MQTT-3.1.2-8]
    pub(super) fn end_session(&mut self, key: SessionKey) {
        if let Some((will, at)) = self.sessions.map.get_mut(&key).and_then(|session| session.will.take()) {
            self.timers.disarm(at, Timer::Will(key));
            self.send_will(key, &will);
        }
        let Some(session) = self.sessions.map.remove(&key) else { return };
        self.stats.sessions_ended += 1;
        self.sessions.by_client.remove(&session.client_id);
        self.sessions.stored_bytes = self.sessions.stored_bytes.saturating_sub(session.queued_bytes);
        if let Some(at) = session.expires_at {
            self.timers.disarm(at, Timer::Expiry(key));
        }
        for filter in session.subscriptions.keys() {
            if let Ok(filter) = TopicFilter::new(filter) {
                self.routes.remove(filter, key);
            }
        }
    }

    pub(super) fn will_due(&mut self, key: SessionKey) {
        let will = self.sessions.map.get_mut(&key).and_then(|session| session.will.take());
        if let Some((will, _)) = will {
            self.send_will(key, &will);
        }
    }

    pub(super) fn session_expired(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.map.get_mut(&key) {
            session.expires_at = None;
            self.end_session(key);
        }
    }

    fn drop_will(&mut self, key: SessionKey) {
        let will = self.sessions.map.get_mut(&key).and_then(|session| session.will.take());
        if let Some((_, at)) = will {
            self.timers.disarm(at, Timer::Will(key));
        }
    }

    fn send_will(&mut self, key: SessionKey, will: &StoredWill) {
        self.stats.wills += 1;
        let message = Message::from_will(will, key, self.now);
        self.route(message);
    }
}
