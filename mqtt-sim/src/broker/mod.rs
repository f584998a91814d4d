//! The model broker: a small, strict, bounded MQTT server without sockets, clock or threads.
//!
//! Bytes and points in time go in, bytes come out. One body of code serves MQTT 3.1, 3.1.1 and 5.0: the version is a
//! value of each connection. It is for development and tests: it keeps everything in memory, has one thread's worth
//! of work in it, and authenticates nobody unless told to.
//!
//! ```
//! use mqtt_proto::{Connect, Connack, Encode, Peer, ReasonCode, Version};
//! use mqtt_session::Instant;
//! use mqtt_sim::broker::{Broker, BrokerConfig};
//!
//! let now = Instant::ZERO;
//! let mut broker = Broker::new(BrokerConfig::default());
//! let conn = broker.open(now);
//!
//! let connect = Connect::new(Version::V5, "sensor");
//! let mut bytes = [0; 64];
//! let n = connect.encode(Version::V5, &mut bytes).unwrap();
//! broker.receive(conn, &bytes[..n], now);
//!
//! let connack = Connack::decode(broker.outgoing(conn), Version::V5, Peer::Server).unwrap();
//! assert_eq!(connack.reason_code, ReasonCode::Success);
//! let n = broker.outgoing(conn).len();
//! broker.advance(conn, n);
//! ```
//!
//! # A driver
//!
//! After [`open`](Broker::open), [`receive`](Broker::receive), [`closed`](Broker::closed) and
//! [`handle_timeout`](Broker::handle_timeout), ask [`poll_active`](Broker::poll_active) until it has no more
//! connection to name; for each, write [`outgoing`](Broker::outgoing) as far as the transport takes it, report that
//! with [`advance`](Broker::advance), and close the transport if [`wants_close`](Broker::wants_close) says so, which
//! is again told with `closed`. Then sleep until [`poll_timeout`](Broker::poll_timeout) or input.

mod auth;
mod config;
mod connection;
mod delivery;
mod digest;
mod exchange;
mod handshake;
mod lifecycle;
mod message;
mod misbehave;
mod retained;
mod routing;
mod session;
mod stats;
mod subscribe;
mod timers;

use std::collections::{BTreeMap, BTreeSet};

use mqtt_proto::{DecodeError, Packet, PacketType, Peer, ReasonCode, frame_len};
use mqtt_session::Instant;

pub use auth::{Authenticator, Verdict};
pub use config::{BrokerConfig, Redirect};
pub use misbehave::{Chaos, Misdeed, Rule};
pub use stats::BrokerStats;

use connection::{Connection, Stage};
use lifecycle::Sessions;
use misbehave::Mischief;
use retained::Retained;
use routing::Routes;
use timers::{Timer, Timers};

/// One transport connection of a [`Broker`]; never given out twice by the same broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(u64);

impl From<ConnId> for u64 {
    fn from(conn: ConnId) -> Self {
        conn.0
    }
}

/// The model broker.
///
/// * Inputs: [`open`](Self::open), [`receive`](Self::receive), [`closed`](Self::closed),
///   [`handle_timeout`](Self::handle_timeout). They cannot fail: what a peer does wrong is answered to that peer. A
///   clock that stands still or steps back is taken as standing still.
/// * Outputs: [`poll_active`](Self::poll_active), [`outgoing`](Self::outgoing), [`advance`](Self::advance),
///   [`wants_close`](Self::wants_close), [`poll_timeout`](Self::poll_timeout).
/// * Commands: [`publish`](Self::publish), [`disconnect`](Self::disconnect), [`forget_sessions`](Self::forget_sessions),
///   [`reconfigure`](Self::reconfigure), [`set_authenticator`](Self::set_authenticator).
/// * Misdeeds: [`misbehave`](Self::misbehave), [`close_on`](Self::close_on), [`set_chaos`](Self::set_chaos),
///   [`send_bytes`](Self::send_bytes), [`behave`](Self::behave).
/// * Questions: [`config`](Self::config), [`stats`](Self::stats), [`client_id`](Self::client_id),
///   [`connection_of`](Self::connection_of), [`connections`](Self::connections), [`sessions`](Self::sessions),
///   [`retained`](Self::retained), [`is_idle`](Self::is_idle), [`has_delivered`](Self::has_delivered).
///
/// The same calls with the same arguments give the same bytes: nothing in it is random or depends on an address.
#[derive(Clone, Debug)]
pub struct Broker {
    config: BrokerConfig,
    now: Instant,
    connections: BTreeMap<ConnId, Connection>,
    next_connection: u64,
    sessions: Sessions,
    routes: Routes,
    retained: Retained,
    timers: Timers,
    active: BTreeSet<ConnId>,
    stats: BrokerStats,
    mischief: Mischief,
    authenticator: Option<auth::Shared>,
}

impl Broker {
    /// A broker without sessions or retained messages.
    pub fn new(config: BrokerConfig) -> Self {
        Self {
            config,
            now: Instant::ZERO,
            connections: BTreeMap::new(),
            next_connection: 0,
            sessions: Sessions::default(),
            routes: Routes::default(),
            retained: Retained::default(),
            timers: Timers::default(),
            active: BTreeSet::new(),
            stats: BrokerStats::default(),
            mischief: Mischief::default(),
            authenticator: None,
        }
    }

    /// A transport connected. Its CONNECT must come within [`BrokerConfig::connect_timeout`]; beyond
    /// [`BrokerConfig::max_connections`] it is to be closed at once.
    pub fn open(&mut self, now: Instant) -> ConnId {
        self.tick(now);
        let conn = ConnId(self.next_connection);
        self.next_connection += 1;
        self.stats.connections += 1;
        let full = self.connections.len() >= self.config.max_connections;
        let mut connection = Connection::new(self.now);
        if full {
            connection.stage = Stage::Closing;
            self.active.insert(conn);
        }
        self.connections.insert(conn, connection);
        let deadline = if full { self.config.close_timeout } else { self.config.connect_timeout };
        self.arm(conn, Some(self.now.after(deadline)));
        conn
    }

    /// The transport delivered bytes, in any split. Unknown and ended connections ignore them.
    pub fn receive(&mut self, conn: ConnId, bytes: &[u8], now: Instant) {
        self.tick(now);
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if connection.stage == Stage::Closing {
            return;
        }
        let mut held = core::mem::take(&mut connection.input);
        if held.is_empty() {
            let used = self.receive_frames(conn, bytes);
            held.extend_from_slice(bytes.get(used..).unwrap_or(&[]));
        } else {
            held.extend_from_slice(bytes);
            let used = self.receive_frames(conn, &held);
            held.drain(..used.min(held.len()));
        }
        if let Some(connection) = self.connections.get_mut(&conn)
            && connection.stage != Stage::Closing
        {
            connection.input = held;
        }
    }

    /// The transport is gone. If the broker had not ended the connection itself this counts as a loss: the will is
    /// sent [MQTT-3.1.2-8], the session kept or ended as agreed. Bytes not taken are forgotten.
    pub fn closed(&mut self, conn: ConnId, now: Instant) {
        self.tick(now);
        self.end(conn, true);
        self.arm(conn, None);
        self.forget_mischief(conn);
        self.connections.remove(&conn);
        self.active.remove(&conn);
    }

    /// Bytes for the transport, none if there is nothing to send or no such connection.
    pub fn outgoing(&mut self, conn: ConnId) -> &[u8] {
        self.connections.get(&conn).map_or(&[], |connection| connection.output.pending())
    }

    /// The transport took the first `n` bytes of [`outgoing`](Self::outgoing); what waited for room follows.
    pub fn advance(&mut self, conn: ConnId, n: usize) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.output.advance(n);
            self.pump(conn);
        }
    }

    /// Whether the transport is to be closed now: the broker has ended the connection, and its last bytes were taken
    /// or given up. Also true of connections the broker does not know.
    pub fn wants_close(&self, conn: ConnId) -> bool {
        self.connections
            .get(&conn)
            .is_none_or(|connection| connection.stage == Stage::Closing && connection.output.is_empty())
    }

    /// A connection that has got new output or has become one to close since it was last named here. O(log n).
    pub fn poll_active(&mut self) -> Option<ConnId> {
        self.active.pop_first()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called at the latest; none: not before the next input.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Time has passed: keep-alive, handshakes, will delays, session expiry.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tick(now);
        while let Some(timer) = self.timers.pop_due(self.now) {
            match timer {
                Timer::Connection(conn) => self.connection_timeout(conn),
                Timer::Will(session) => self.will_due(session),
                Timer::Expiry(session) => self.session_expired(session),
                Timer::Delayed(number) => self.delayed_due(number),
            }
        }
    }

    /// What it was made with, or last [`reconfigure`](Self::reconfigure)d to.
    pub fn config(&self) -> &BrokerConfig {
        &self.config
    }

    /// Counts since it was made.
    pub fn stats(&self) -> BrokerStats {
        self.stats
    }

    /// Changes the limits. Connections that are up keep what was announced to them; the bounds on memory hold for all
    /// from now on.
    pub fn reconfigure(&mut self, config: BrokerConfig) {
        self.config = config;
    }

    /// Transports open at present, those the broker wants closed included.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Retained messages at present, expired ones included until they are looked at.
    pub fn retained(&self) -> usize {
        self.retained.len()
    }

    fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Handles the whole packets at the start of `bytes`; says how many bytes they were.
    fn receive_frames(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..) {
            let Some(connection) = self.connections.get(&conn) else { break };
            let handshake = match connection.stage {
                Stage::Handshake => true,
                Stage::Authenticating | Stage::Up => false,
                Stage::Closing => break,
            };
            if handshake
                && let Some(first) = rest.first()
                && PacketType::from_first_byte(*first) != Some(PacketType::Connect)
            {
                // Not even buffered. [MQTT-3.1.0-1]
                self.stats.protocol_errors += 1;
                self.end(conn, true);
                break;
            }
            let max = usize::try_from(self.config.max_packet_size.max(2)).unwrap_or(usize::MAX);
            match frame_len(rest, max) {
                Ok(Some(len)) => {
                    let (frame, _) = rest.split_at_checked(len).unwrap_or((rest, &[]));
                    used += frame.len();
                    self.stats.packets_in += 1;
                    if handshake {
                        self.connect(conn, frame);
                    } else {
                        self.packet(conn, frame);
                    }
                    if len == 0 {
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    self.reject(conn, &error);
                    break;
                }
            }
        }
        used
    }

    fn packet(&mut self, conn: ConnId, frame: &[u8]) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.last_packet = now;
        let packet = match Packet::decode(frame, connection.version, Peer::Client) {
            Ok(packet) => packet,
            Err(error) => return self.reject(conn, &error),
        };
        if connection.stage == Stage::Authenticating
            && !matches!(packet, Packet::Auth(_) | Packet::Disconnect(_))
        {
            // [MQTT-3.1.2-30]
            return self.breach(conn, ReasonCode::ProtocolError);
        }
        match packet {
            Packet::Publish(publish) => self.on_publish(conn, &publish),
            Packet::Puback(ack) => self.on_puback(conn, ack.packet_id),
            Packet::Pubrec(ack) => self.on_pubrec(conn, ack.packet_id, ack.reason_code),
            Packet::Pubrel(ack) => self.on_pubrel(conn, ack.packet_id),
            Packet::Pubcomp(ack) => self.on_pubcomp(conn, ack.packet_id),
            Packet::Subscribe(subscribe) => self.on_subscribe(conn, &subscribe),
            Packet::Unsubscribe(unsubscribe) => self.on_unsubscribe(conn, &unsubscribe),
            Packet::Pingreq(_) => self.on_pingreq(conn),
            Packet::Disconnect(disconnect) => self.on_disconnect(conn, &disconnect),
            Packet::Auth(auth) => self.on_auth(conn, &auth),
            // A second CONNECT [MQTT-3.1.0-2], and what only servers send.
            _ => self.breach(conn, ReasonCode::ProtocolError),
        }
    }

    /// Bytes that are no packet, or one the client may not send.
    fn reject(&mut self, conn: ConnId, error: &DecodeError) {
        self.stats.protocol_errors += 1;
        self.disconnect_connection(conn, error.reason_code);
    }

    /// A packet that is well formed but against the rules.
    fn breach(&mut self, conn: ConnId, reason: ReasonCode) {
        self.stats.protocol_errors += 1;
        self.disconnect_connection(conn, reason);
    }
}

#[cfg(test)]
mod tests;
