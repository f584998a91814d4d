//! What outlives a connection: subscriptions, waiting messages and unfinished exchanges of one client.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use mqtt_proto::{PacketId, Qos, SubscriptionOptions};
use mqtt_session::Instant;

use super::ConnId;
use super::message::{Delivery, StoredWill};

/// Name of a session inside the broker; a client id that comes back after its session ended gets a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SessionKey(pub(super) u64);

/// One subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Subscribed {
    pub(super) options: SubscriptionOptions,
    pub(super) identifier: Option<u32>,
}

/// How far the delivery of one message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// PUBLISH sent; PUBACK or PUBREC is to come.
    Published,
    /// PUBREC received, PUBREL sent; PUBCOMP is to come.
    Released,
}

/// A message in flight towards the client.
#[derive(Clone, Debug, Hash)]
pub(super) struct InFlight {
    pub(super) id: PacketId,
    /// Forgotten once released: from there on only the identifier is needed.
    pub(super) delivery: Option<Delivery>,
    pub(super) qos: Qos,
    pub(super) phase: Phase,
    /// Whether it has been sent (again) on the connection of today.
    pub(super) sent: bool,
}

/// A client's session.
#[derive(Clone, Debug, Hash)]
pub(super) struct Session {
    pub(super) client_id: Arc<str>,
    /// The connection it is served on.
    pub(super) connection: Option<ConnId>,
    /// Session Expiry Interval in seconds, `u32::MAX` for ever.
    pub(super) expiry: u32,
    /// When it ends, while not connected.
    pub(super) expires_at: Option<Instant>,
    /// The will waiting for its delay to pass.
    pub(super) will: Option<(StoredWill, Instant)>,
    pub(super) subscriptions: BTreeMap<Box<str>, Subscribed>,
    /// QoS 1 and 2 messages not sent yet.
    pub(super) queue: VecDeque<Delivery>,
    /// QoS 0 messages that found the connection's output full.
    pub(super) queue_qos0: VecDeque<Delivery>,
    pub(super) queued_bytes: usize,
    /// Messages in flight by the order in which PUBLISH, or PUBREL once released, was first sent: the order in which
    /// they are sent again. [MQTT-4.6.0-1] [MQTT-4.6.0-4]
    in_flight: BTreeMap<u64, InFlight>,
    by_id: BTreeMap<PacketId, u64>,
    next_order: u64,
    last_id: u16,
    /// Identifiers of inbound QoS 2 messages from their first PUBLISH to PUBREL. [MQTT-4.3.3-10]
    pub(super) received: BTreeSet<PacketId>,
}

impl Session {
    pub(super) fn new(client_id: Arc<str>) -> Self {
        Self {
            client_id,
            connection: None,
            expiry: 0,
            expires_at: None,
            will: None,
            subscriptions: BTreeMap::new(),
            queue: VecDeque::new(),
            queue_qos0: VecDeque::new(),
            queued_bytes: 0,
            in_flight: BTreeMap::new(),
            by_id: BTreeMap::new(),
            next_order: 0,
            last_id: 0,
            received: BTreeSet::new(),
        }
    }

    /// Messages in flight, sent on this connection or not.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Those of them that count against the client's Receive Maximum.
    pub(super) fn sent(&self) -> usize {
        self.in_flight.values().filter(|entry| entry.sent).count()
    }

    /// A new connection: everything in flight is to be sent again, as far as its quota goes.
    pub(super) fn forget_sent(&mut self) {
        for entry in self.in_flight.values_mut() {
            entry.sent = false;
        }
    }

    /// The oldest exchange that has not been sent on this connection.
    pub(super) fn next_resend(&mut self) -> Option<&mut InFlight> {
        self.in_flight.values_mut().find(|entry| !entry.sent)
    }

    /// Takes a packet identifier no exchange uses [MQTT-2.2.1-4] for a message that is sent now.
    pub(super) fn begin(&mut self, delivery: Delivery) -> Option<PacketId> {
        let mut id = None;
        // At most `max_in_flight` (a u16) identifiers are taken, so a free one is never further away.
        for _ in 0..=u16::MAX {
            self.last_id = self.last_id.wrapping_add(1);
            if let Some(candidate) = PacketId::new(self.last_id)
                && !self.by_id.contains_key(&candidate)
            {
                id = Some(candidate);
                break;
            }
        }
        let id = id?;
        let order = self.next_order;
        self.next_order += 1;
        self.by_id.insert(id, order);
        let qos = delivery.qos;
        let entry = InFlight { id, delivery: Some(delivery), qos, phase: Phase::Published, sent: true };
        self.in_flight.insert(order, entry);
        Some(id)
    }

    pub(super) fn find(&self, id: PacketId) -> Option<&InFlight> {
        self.in_flight.get(self.by_id.get(&id)?)
    }

    /// The exchange is over and its identifier free again.
    pub(super) fn finish(&mut self, id: PacketId) {
        if let Some(order) = self.by_id.remove(&id) {
            self.in_flight.remove(&order);
        }
    }

    /// PUBREC arrived: the message is the client's, PUBREL is to be sent. Its place in the order is that of the PUBREL.
    pub(super) fn release(&mut self, id: PacketId) {
        if let Some(order) = self.by_id.get(&id)
            && let Some(mut entry) = self.in_flight.remove(order)
        {
            entry.phase = Phase::Released;
            entry.delivery = None;
            entry.sent = true;
            let order = self.next_order;
            self.next_order += 1;
            self.in_flight.insert(order, entry);
            self.by_id.insert(id, order);
        }
    }

    /// Takes the next waiting message; QoS 0 has a queue of its own, so that a full quota does not hold it up.
    pub(super) fn take_queued(&mut self, qos0: bool) -> Option<Delivery> {
        let queue = if qos0 { &mut self.queue_qos0 } else { &mut self.queue };
        let delivery = queue.pop_front()?;
        self.queued_bytes = self.queued_bytes.saturating_sub(delivery.message.size());
        Some(delivery)
    }

    /// Messages waiting, not counting those in flight.
    pub(super) fn queued(&self) -> usize {
        self.queue.len() + self.queue_qos0.len()
    }
}
