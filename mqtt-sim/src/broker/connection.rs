//! One transport: its bytes in both directions and what CONNECT and CONNACK settled for it.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mqtt_proto::{Encode, EncodeError, PacketId, Version};
use mqtt_session::Instant;

use super::auth::Exchange;
use super::message::StoredWill;
use super::session::SessionKey;

/// Taken output up to here is not moved away.
const COMPACT: usize = 64 * 1024;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// Nothing but CONNECT may come. [MQTT-3.1.0-1]
    Handshake,
    /// CONNECT waits for an enhanced authentication: only AUTH may come. [MQTT-3.1.2-30]
    Authenticating,
    /// CONNACK with Success has been sent.
    Up,
    /// The broker has ended it: nothing is read any more, what is in the output may still leave.
    Closing,
}

/// One transport connection.
#[derive(Clone, Debug, Hash)]
pub(super) struct Connection {
    pub(super) stage: Stage,
    pub(super) version: Version,
    pub(super) session: Option<SessionKey>,
    pub(super) will: Option<StoredWill>,
    /// Bytes of a packet that is not whole yet.
    pub(super) input: Vec<u8>,
    pub(super) output: Output,
    /// Half as long again as the Keep Alive; none if that is 0.
    pub(super) patience: Option<Duration>,
    pub(super) last_packet: Instant,
    /// The one timer of the connection, as armed.
    pub(super) timer: Option<Instant>,
    /// Largest packet the client accepts.
    pub(super) client_max_packet: usize,
    /// QoS 1 and 2 messages the client accepts at a time, the broker's own bound included.
    pub(super) quota: usize,
    /// Session Expiry Interval of CONNECT, for the rule about DISCONNECT.
    pub(super) connect_expiry: u32,
    /// Topics by the aliases the client set. [MQTT-3.3.2-7]
    pub(super) aliases_in: BTreeMap<u16, Arc<str>>,
    /// Aliases set towards the client.
    pub(super) aliases_out: BTreeMap<Box<str>, u16>,
    pub(super) aliases_out_max: u16,
    /// Inbound QoS 2 messages of this connection that are not complete: what the client's quota counts.
    pub(super) receiving: BTreeSet<PacketId>,
    /// An enhanced authentication, if CONNECT began one.
    pub(super) auth: Option<Exchange>,
}

impl Connection {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            stage: Stage::Handshake,
            version: Version::V5,
            session: None,
            will: None,
            input: Vec::new(),
            output: Output::default(),
            patience: None,
            last_packet: now,
            timer: None,
            client_max_packet: usize::MAX,
            quota: 1,
            connect_expiry: 0,
            aliases_in: BTreeMap::new(),
            aliases_out: BTreeMap::new(),
            aliases_out_max: 0,
            receiving: BTreeSet::new(),
            auth: None,
        }
    }

    /// The alias for `topic`, and whether it is new to the client; none if there is none to be had.
    pub(super) fn alias_out(&self, topic: &str) -> Option<(u16, bool)> {
        if let Some(alias) = self.aliases_out.get(topic) {
            return Some((*alias, false));
        }
        let used = u16::try_from(self.aliases_out.len()).unwrap_or(u16::MAX);
        (used < self.aliases_out_max).then(|| (used + 1, true))
    }
}

/// Bytes on their way to the transport.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Output {
    bytes: Vec<u8>,
    taken: usize,
}

impl Output {
    pub(super) fn pending(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or(&[])
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn advance(&mut self, n: usize) {
        self.taken = self.taken.saturating_add(n).min(self.bytes.len());
        if self.is_empty() {
            self.clear();
        } else if self.taken > COMPACT && self.taken > self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// Where the next packet will begin.
    pub(super) fn mark(&self) -> usize {
        self.bytes.len()
    }

    /// What was pushed since the mark.
    pub(super) fn tail(&self, mark: usize) -> &[u8] {
        self.bytes.get(mark..).unwrap_or(&[])
    }

    /// Takes back what was pushed since the mark.
    pub(super) fn cut_tail(&mut self, mark: usize) -> Vec<u8> {
        self.bytes.split_off(mark.min(self.bytes.len()))
    }

    pub(super) fn push_raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn clear(&mut self) {
        self.taken = 0;
        if self.bytes.capacity() > COMPACT {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
    }

    pub(super) fn push(&mut self, packet: &impl Encode, version: Version) -> Result<(), EncodeError> {
        let start = self.bytes.len();
        let len = packet.encoded_len(version)?;
        self.bytes.resize(start + len, 0);
        let room = self.bytes.get_mut(start..).unwrap_or(&mut []);
        let result = packet.encode(version, room);
        // A packet that cannot be encoded leaves nothing behind.
        self.bytes.truncate(start + *result.as_ref().unwrap_or(&0));
        result.map(|_| ())
    }
}
