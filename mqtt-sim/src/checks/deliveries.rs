//! What arrives: as often as its QoS promises, and in order.

use std::collections::{BTreeMap, BTreeSet};

use mqtt_proto::{Packet, Qos, TopicFilter, TopicName};
use mqtt_session::Instant;

use crate::world::{ClientId, Delivered, Ended, Observed};

use super::{Check, Kept, Observation, Operation, Violation};

/// A client that holds a subscription as long as the check watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// The client.
    pub client: ClientId,
    /// Its filter.
    pub filter: String,
    /// The QoS it was granted.
    pub qos: Qos,
}

/// Follows messages from the call that published them to the applications that get them.
///
/// Every payload that is published while it watches must be unique. The subscribers must have been granted their
/// subscriptions before, in sessions that are kept. After a crash it holds them to what [`Kept`] says: with
/// [`Kept::All`] nothing is lost, and what comes twice at QoS 2 is marked so.
#[derive(Clone, Debug)]
pub struct Deliveries {
    subscribers: Vec<Subscriber>,
    messages: Vec<Published>,
    by_payload: BTreeMap<Vec<u8>, usize>,
    by_token: BTreeMap<(ClientId, u64), usize>,
    /// The last message of each stream (receiver, sender, topic, QoS) that arrived for the first time.
    last: BTreeMap<(ClientId, ClientId, String, Qos), usize>,
    arrived: u64,
    /// Clients that crashed; those whose exactly once is no longer promised; those that lost subscriptions.
    crashed: BTreeSet<ClientId>,
    weak: BTreeSet<ClientId>,
    unsubscribed: BTreeSet<ClientId>,
    /// Whether answers that the broker should not give may make a client begin a new session.
    resets: bool,
}

#[derive(Clone, Debug)]
struct Published {
    client: ClientId,
    topic: String,
    qos: Qos,
    /// The broker has said that it took it.
    acknowledged: bool,
    /// How often it arrived, by receiver.
    arrivals: BTreeMap<ClientId, u32>,
}

impl Deliveries {
    /// Follows all messages that are published from now on.
    pub fn new(subscribers: Vec<Subscriber>) -> Self {
        Self {
            subscribers,
            messages: Vec::new(),
            by_payload: BTreeMap::new(),
            by_token: BTreeMap::new(),
            last: BTreeMap::new(),
            arrived: 0,
            crashed: BTreeSet::new(),
            weak: BTreeSet::new(),
            unsubscribed: BTreeSet::new(),
            resets: false,
        }
    }

    /// With a broker that doubles acknowledgements: one that comes when its identifier is in use again may end the wrong
    /// exchange or break a rule, and the client then begins a new session. What waited for it in the old one is
    /// not promised any more, nor is exactly once.
    #[must_use]
    pub fn with_resets(mut self) -> Self {
        self.resets = true;
        self
    }

    /// The QoS with which `client` gets messages of `topic`; none if it does not.
    fn granted(&self, client: ClientId, topic: &str) -> Option<Qos> {
        let name = TopicName::new(topic).ok()?;
        let matching = self.subscribers.iter().filter(|subscriber| {
            subscriber.client == client
                && TopicFilter::new(&subscriber.filter).is_ok_and(|filter| filter.matches(name))
        });
        matching.map(|subscriber| subscriber.qos).max()
    }

    fn message(&mut self, at: Instant, client: ClientId, delivered: &Delivered) -> Result<(), Violation> {
        let Some(index) = self.by_payload.get(&delivered.payload).copied() else {
            return Ok(());
        };
        let granted = self.granted(client, &delivered.topic);
        let Some(message) = self.messages.get_mut(index) else { return Ok(()) };
        let shown = String::from_utf8_lossy(&delivered.payload).into_owned();
        if message.topic != delivered.topic {
            return Err(Violation::new(
                at,
                "MQTT-3.3.2-1",
                format!("{shown:?} arrived on {:?}", delivered.topic),
            ));
        }
        let Some(granted) = granted else {
            return Err(Violation::new(at, "MQTT-3.3.4-1", format!("{client:?} got {shown:?} uninvited")));
        };
        let qos = message.qos.min(granted);
        if delivered.qos != qos {
            let detail = format!("{shown:?} arrived as {:?} instead of {qos:?}", delivered.qos);
            return Err(Violation::new(at, "MQTT-3.8.4-8", detail));
        }
        let weak = self.weak.contains(&client) || self.weak.contains(&message.client);
        let arrivals = message.arrivals.entry(client).or_insert(0);
        *arrivals += 1;
        if *arrivals > 1 {
            let marked = delivered.redelivered && self.crashed.contains(&client);
            return match qos {
                Qos::ExactlyOnce if weak || marked => Ok(()),
                // What its sender repeats at QoS 1 the broker hands on again.
                Qos::AtMostOnce if message.qos == Qos::AtLeastOnce => Ok(()),
                Qos::AtMostOnce if message.qos == Qos::ExactlyOnce && weak => Ok(()),
                Qos::AtLeastOnce => Ok(()),
                Qos::AtMostOnce => Err(Violation::new(
                    at,
                    "QoS 0 at most once",
                    format!("{client:?} got {shown:?} {arrivals} times"),
                )),
                Qos::ExactlyOnce => Err(Violation::new(
                    at,
                    "QoS 2 exactly once",
                    format!("{client:?} got {shown:?} {arrivals} times"),
                )),
            };
        }
        self.arrived += 1;
        if qos == Qos::AtMostOnce {
            // Its first copy may have been lost, and a repetition by its sender is late.
            return Ok(());
        }
        let stream = (client, message.client, delivered.topic.clone(), qos);
        // What a new session gets first may be a repetition of what the one before had.
        let ordered = !weak && !self.unsubscribed.contains(&client);
        if let Some(last) = self.last.insert(stream, index)
            && last > index
            && ordered
        {
            return Err(Violation::new(at, "MQTT-4.6.0-6", format!("{client:?} got {shown:?} out of order")));
        }
        Ok(())
    }
}

impl Check for Deliveries {
    fn observe(&mut self, at: Instant, what: &Observation<'_>) -> Result<(), Violation> {
        match what {
            Observation::Accepted { client, token, operation: Operation::Publish { message, payload } } => {
                let index = self.messages.len();
                self.messages.push(Published {
                    client: *client,
                    topic: message.topic.as_str().to_owned(),
                    qos: message.qos,
                    acknowledged: false,
                    arrivals: BTreeMap::new(),
                });
                self.by_payload.insert(payload.to_vec(), index);
                self.by_token.insert((*client, u64::from(*token)), index);
                Ok(())
            }
            Observation::Event { client, event } => match event {
                Observed::Message(delivered) => self.message(at, *client, delivered),
                Observed::Done { token, outcome: Ended::Acked(reason), .. } if !reason.is_error() => {
                    let index = self.by_token.remove(&(*client, u64::from(*token)));
                    if let Some(message) = index.and_then(|index| self.messages.get_mut(index)) {
                        message.acknowledged = true;
                    }
                    Ok(())
                }
                _ => Ok(()),
            },
            Observation::Crashed { client, kept } => {
                self.crashed.insert(*client);
                match kept {
                    Kept::All => {}
                    Kept::Some => {
                        self.weak.insert(*client);
                    }
                    Kept::Nothing => {
                        self.unsubscribed.insert(*client);
                    }
                }
                Ok(())
            }
            // In 3.x a clean session ends with its connection, and every resume in it.
            Observation::Sent { client, packet: Packet::Connect(connect), .. }
                if connect.clean_start && (self.resets || !connect.version.has_properties()) =>
            {
                self.weak.insert(*client);
                if self.resets {
                    self.unsubscribed.insert(*client);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, at: Instant) -> Result<(), Violation> {
        let receivers: Vec<ClientId> = self.subscribers.iter().map(|subscriber| subscriber.client).collect();
        for message in &self.messages {
            if !message.acknowledged || message.qos == Qos::AtMostOnce {
                continue;
            }
            for receiver in &receivers {
                let granted = self.granted(*receiver, &message.topic);
                let owed = granted.is_some_and(|granted| granted > Qos::AtMostOnce);
                // Where exactly once is not promised, an identifier that was forgotten may stand for two messages.
                let qos2 = message.qos == Qos::ExactlyOnce || granted == Some(Qos::ExactlyOnce);
                let excused = self.unsubscribed.contains(receiver)
                    || (qos2 && (self.weak.contains(receiver) || self.weak.contains(&message.client)));
                if owed && !excused && !message.arrivals.contains_key(receiver) {
                    let rule = match message.qos.min(granted.unwrap_or_default()) {
                        Qos::ExactlyOnce => "QoS 2 exactly once",
                        _ => "QoS 1 at least once",
                    };
                    let detail = format!(
                        "{receiver:?} never got a message of {:?} on {:?}, acknowledged to its sender",
                        message.client, message.topic
                    );
                    return Err(Violation::new(at, rule, detail));
                }
            }
        }
        Ok(())
    }
}
