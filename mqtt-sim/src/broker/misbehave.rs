//! Misbehaving on purpose: what a broker must not do, so that a client can be seen to cope with it.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use mqtt_proto::{PacketType, TopicFilter, TopicName};
use mqtt_session::Instant;

use crate::random::{Random, Rate};

use super::connection::Stage;
use super::timers::Timer;
use super::{Broker, ConnId};

/// Rules held at a time; the oldest makes way.
const MAX_RULES: usize = 1_000;
/// Packets held back for later at a time; beyond, they are sent at once.
const MAX_DELAYED: usize = 10_000;

/// What to do wrong with a packet that is about to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misdeed {
    /// Do not send it.
    Drop,
    /// Send it twice.
    Duplicate,
    /// Send it that much later; what follows overtakes it.
    Delay(Duration),
    /// Send it after the next packet for the same client.
    Swap,
    /// Close the connection without a word instead.
    Close,
    /// Send these bytes instead: another packet, a part of one, or none at all.
    Replace(Vec<u8>),
    /// Instead of PUBREC, send PUBACK with its packet identifier, as brokers do that know QoS 1 only. Any other packet is
    /// sent as it is.
    Puback,
}

/// When to misbehave, and how.
///
/// ```
/// use mqtt_proto::PacketType;
/// use mqtt_sim::broker::{Broker, BrokerConfig, Misdeed, Rule};
/// let mut broker = Broker::new(BrokerConfig::default());
/// // The second PUBACK for the client "meter" is lost.
/// broker.misbehave(Rule { skip: 1, ..Rule::sending(PacketType::Puback, Misdeed::Drop).to("meter") });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The packet type that triggers it.
    pub packet: PacketType,
    /// The client it is meant for; none: any.
    pub client: Option<String>,
    /// For PUBLISH: only topics that match this filter; none: all. Anything that is no filter matches nothing.
    pub topic: Option<String>,
    /// Packets that pass unharmed before.
    pub skip: u32,
    /// Packets that are hit then; the rule is forgotten afterwards.
    pub times: u32,
    /// What is done.
    pub deed: Misdeed,
}

impl Rule {
    /// Does it once, with the next packet of a type, to whomever it is sent.
    pub fn sending(packet: PacketType, deed: Misdeed) -> Self {
        Self { packet, client: None, topic: None, skip: 0, times: 1, deed }
    }

    /// The same for one client only.
    #[must_use]
    pub fn to(mut self, client_id: impl Into<String>) -> Self {
        self.client = Some(client_id.into());
        self
    }
}

/// Misbehaving at random: a broker with bad luck. The default does nothing wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chaos {
    /// What the luck depends on.
    pub seed: u64,
    /// How often an acknowledgement (PUBACK to PUBCOMP, SUBACK, UNSUBACK, PINGRESP) is not sent.
    pub lost_ack: Rate,
    /// How often one of them is sent twice.
    pub duplicate: Rate,
}

/// What chance depends on, on one connection.
#[derive(Clone, Debug)]
struct Luck {
    random: Random,
    /// Which answers may be lost (false) and doubled (true); none: all.
    only: Option<BTreeSet<(u64, bool)>>,
    /// Answers so far.
    answers: u64,
    /// Whether it was given, and deeds are to be told.
    given: bool,
}

/// An answer that chance has lost or doubled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deed {
    /// The connection.
    pub(crate) conn: ConnId,
    /// Which of the answers on it.
    pub(crate) answer: u64,
    /// Doubled; else lost.
    pub(crate) doubled: bool,
}

/// What a broker has in mind.
#[derive(Clone, Debug, Default)]
pub(super) struct Mischief {
    rules: Vec<Rule>,
    chaos: Option<Chaos>,
    /// What the chance of each connection depends on.
    luck: BTreeMap<ConnId, Luck>,
    /// What chance has done, for whoever gave luck.
    deeds: Vec<Deed>,
    /// Packets to be sent later, by number.
    delayed: BTreeMap<u64, (Instant, ConnId, Vec<u8>)>,
    next: u64,
    /// Packets to be sent after the next one.
    swapped: BTreeMap<ConnId, Vec<u8>>,
    /// Topics at which to close.
    close_on: Vec<String>,
    committed: u64,
}

impl Mischief {
    fn is_idle(&self) -> bool {
        self.rules.is_empty() && self.chaos.is_none() && self.swapped.is_empty()
    }

    fn choose(
        &mut self,
        conn: ConnId,
        packet: PacketType,
        client: Option<&str>,
        topic: Option<&str>,
    ) -> Option<Misdeed> {
        let index = self.rules.iter().position(|rule| {
            rule.packet == packet
                && (rule.client.is_none() || rule.client.as_deref() == client)
                && rule.topic.as_deref().is_none_or(|filter| {
                    let name = topic.and_then(|topic| TopicName::new(topic).ok());
                    let filter = TopicFilter::new(filter).ok();
                    name.zip(filter).is_some_and(|(name, filter)| filter.matches(name))
                })
        });
        if let Some(rule) = index.and_then(|index| self.rules.get_mut(index)) {
            if rule.skip > 0 {
                rule.skip -= 1;
                return None;
            }
            rule.times = rule.times.saturating_sub(1);
            let deed = rule.deed.clone();
            self.rules.retain(|rule| rule.times > 0);
            return Some(deed);
        }
        let chaos = self.chaos?;
        let acknowledges = matches!(
            packet,
            PacketType::Puback
                | PacketType::Pubrec
                | PacketType::Pubrel
                | PacketType::Pubcomp
                | PacketType::Suback
                | PacketType::Unsuback
                | PacketType::Pingresp
        );
        if !acknowledges {
            return None;
        }
        let luck = self.luck.entry(conn).or_insert_with(|| Luck {
            random: Random::new(chaos.seed ^ conn.0.rotate_left(32)),
            only: None,
            answers: 0,
            given: false,
        });
        let answer = luck.answers;
        luck.answers += 1;
        let doubled = if luck.random.happens(chaos.lost_ack) {
            false
        } else if luck.random.happens(chaos.duplicate) {
            true
        } else {
            return None;
        };
        if luck.only.as_ref().is_some_and(|only| !only.contains(&(answer, doubled))) {
            return None;
        }
        if luck.given {
            self.deeds.push(Deed { conn, answer, doubled });
        }
        Some(if doubled { Misdeed::Duplicate } else { Misdeed::Drop })
    }
}

impl Broker {
    /// Plans a misdeed. At most 1,000 are kept.
    pub fn misbehave(&mut self, rule: Rule) {
        if self.mischief.rules.len() >= MAX_RULES {
            self.mischief.rules.remove(0);
        }
        self.mischief.rules.push(rule);
    }

    /// From now on acknowledgements are lost and doubled at random.
    pub fn set_chaos(&mut self, chaos: Chaos) {
        let harmless = chaos.lost_ack == Rate::NEVER && chaos.duplicate == Rate::NEVER;
        self.mischief.chaos = (!harmless).then_some(chaos);
    }

    /// What [`Chaos`] does on a connection depends on this; what it does is told by [`take_deeds`](Self::take_deeds).
    pub(crate) fn give_luck(&mut self, conn: ConnId, random: Random, only: Option<BTreeSet<(u64, bool)>>) {
        self.mischief.luck.insert(conn, Luck { random, only, answers: 0, given: true });
    }

    /// What [`Chaos`] has done since the last time.
    pub(crate) fn take_deeds(&mut self) -> Vec<Deed> {
        core::mem::take(&mut self.mischief.deeds)
    }

    /// Behaves from now on: rules, chaos and what was held back are forgotten.
    pub fn behave(&mut self) {
        let committed = self.mischief.committed;
        let luck = core::mem::take(&mut self.mischief.luck);
        let new = Mischief { committed, luck, ..Mischief::default() };
        let old = core::mem::replace(&mut self.mischief, new);
        for (number, (at, ..)) in old.delayed {
            self.timers.disarm(at, Timer::Delayed(number));
        }
    }

    /// Sends bytes as they are to a client, whatever they mean. False if it is not connected.
    pub fn send_bytes(&mut self, client_id: &str, bytes: &[u8], now: Instant) -> bool {
        self.tick(now);
        let conn = self.connection_of(client_id);
        if let Some(conn) = conn {
            self.append(conn, bytes);
        }
        conn.is_some()
    }

    /// Packets that were dropped, doubled, delayed, swapped, replaced or answered by closing.
    pub fn misdeeds(&self) -> u64 {
        self.mischief.committed
    }

    /// Looks at the packet that has just been put into the output from `start` on, and may do something wrong with it.
    pub(super) fn tempt(&mut self, conn: ConnId, start: usize, topic: Option<&str>) {
        if self.mischief.is_idle() {
            return;
        }
        let Some(connection) = self.connections.get(&conn) else { return };
        let packet = connection.output.tail(start).first().copied().and_then(PacketType::from_first_byte);
        let Some(packet) = packet else { return };
        let client =
            connection.session.and_then(|key| self.sessions.map.get(&key)).map(|session| &*session.client_id);
        let deed = self.mischief.choose(conn, packet, client, topic);
        let late = self.mischief.swapped.remove(&conn);
        if let Some(deed) = deed {
            self.mischief.committed += 1;
            self.commit(conn, start, deed);
        }
        if let Some(late) = late {
            self.append(conn, &late);
        }
    }

    fn commit(&mut self, conn: ConnId, start: usize, deed: Misdeed) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let packet = connection.output.cut_tail(start);
        match deed {
            Misdeed::Drop => self.stats.withheld += 1,
            Misdeed::Duplicate => {
                self.stats.doubled += 1;
                self.append(conn, &packet);
                self.append(conn, &packet);
            }
            Misdeed::Delay(span) if self.mischief.delayed.len() < MAX_DELAYED => {
                let number = self.mischief.next;
                self.mischief.next += 1;
                let at = self.now.after(span);
                self.mischief.delayed.insert(number, (at, conn, packet));
                self.timers.arm(at, Timer::Delayed(number));
            }
            Misdeed::Delay(_) => self.append(conn, &packet),
            Misdeed::Swap => {
                self.mischief.swapped.insert(conn, packet);
            }
            Misdeed::Close => {
                self.end(conn, true);
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.output.clear();
                }
            }
            Misdeed::Replace(bytes) => self.append(conn, &bytes),
            Misdeed::Puback => match packet.as_slice() {
                // Of a PUBREC, what is longer than 127 bytes is never sent here.
                [0x50, _, high, low, ..] => self.append(conn, &[0x40, 2, *high, *low]),
                packet => self.append(conn, packet),
            },
        }
    }

    pub(super) fn delayed_due(&mut self, number: u64) {
        if let Some((_, conn, bytes)) = self.mischief.delayed.remove(&number) {
            self.append(conn, &bytes);
        }
    }

    /// Puts bytes into the output of a connection that is up, as far as its bound goes.
    fn append(&mut self, conn: ConnId, bytes: &[u8]) {
        let max = self.config.max_output_bytes.saturating_mul(2);
        if let Some(connection) = self.connections.get_mut(&conn)
            && connection.stage == Stage::Up
            && connection.output.len().saturating_add(bytes.len()) <= max
        {
            connection.output.push_raw(bytes);
            self.active.insert(conn);
        }
    }

    /// What is planned for a connection that is gone.
    pub(super) fn forget_mischief(&mut self, conn: ConnId) {
        self.mischief.swapped.remove(&conn);
        self.mischief.luck.remove(&conn);
    }

    /// Whether an inbound message makes the broker close the connection; if so, it is closed.
    pub(super) fn closes_on(&mut self, conn: ConnId, topic: &str) -> bool {
        let index = self.mischief.close_on.iter().position(|filter| {
            let name = TopicName::new(topic).ok();
            name.zip(TopicFilter::new(filter).ok()).is_some_and(|(name, filter)| filter.matches(name))
        });
        let Some(index) = index else { return false };
        self.mischief.close_on.remove(index);
        self.mischief.committed += 1;
        self.end(conn, true);
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.output.clear();
        }
        true
    }

    /// Closes the connection of whoever publishes the next message to a topic that `filter` matches: without a word,
    /// and without having taken the message. At most 1,000 are kept; what is no filter matches nothing.
    pub fn close_on(&mut self, filter: impl Into<String>) {
        if self.mischief.close_on.len() < MAX_RULES {
            self.mischief.close_on.push(filter.into());
        }
    }
}
