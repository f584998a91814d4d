//! What must hold, kept by what is seen from outside: packets, events, and which records are synced.
//!
//! It shares no code with client and broker, the codec included.

use std::collections::{BTreeSet, VecDeque};

use mqtt_session::{Durability, Event, Outcome, Token, Why};

use super::packet::{self, Seen};
use super::setup::Setup;
use super::state::Journal;

/// What was broken, in words.
pub(super) type Verdict = Result<(), String>;

/// Says so if it does not hold.
macro_rules! demand {
    ($holds:expr, $($said:tt)+) => {
        if !$holds {
            return Err(format!($($said)+));
        }
    };
}
pub(super) use demand;

/// How far the exchange of an outbound message is in the server's session of today, as the client can know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Phase {
    #[default]
    Unsent,
    Published,
    Received,
    Released,
    Over,
}

/// A message that the client accepted, or will.
#[derive(Clone, Debug, Default, Hash)]
struct Sent {
    qos: u8,
    token: Option<Token>,
    /// `Event::Durable` was told.
    durable: bool,
    /// An end is owed.
    open: bool,
    phase: Phase,
    id: u16,
    /// PUBLISH, or PUBREL, was sent on this connection.
    here: bool,
    released_here: bool,
    /// The server has it; times it took it for a new message in its session of today.
    arrived: bool,
    taken: u8,
    /// The application accepted it before the last crash.
    crashed: bool,
}

/// A message for the client.
#[derive(Clone, Debug, Default, Hash)]
struct Got {
    fed: bool,
    qos: u8,
    /// Times it was handed to the application, in the server's session of today; and whether ever.
    told: u8,
    ever: bool,
    /// The server forgot it.
    forgotten: bool,
}

/// The watch.
#[derive(Clone, Debug, Hash)]
pub(super) struct Watch {
    five: bool,
    /// What leaves waits for the journal.
    waits: bool,
    quota: usize,
    out: Vec<Sent>,
    inbound: Vec<Got>,
    /// Messages of `out` in the order of their PUBRECs.
    order: Vec<usize>,
    /// Identifiers for which PUBREC came in this session.
    received: BTreeSet<u16>,
    /// Identifiers of the PUBLISHes of this connection that hold the server's quota.
    holding: BTreeSet<u16>,
    /// Acknowledgements the client owes on this connection, in order.
    owed: VecDeque<(u8, u16)>,
    /// Identifiers for which PUBCOMP was sent on this connection.
    completed: BTreeSet<u16>,
    subscribing: Option<u16>,
    /// The server has the subscription.
    subscribed: bool,
    /// Inbound QoS 2 messages the server holds back until PUBREL.
    held: BTreeSet<u16>,
    connected: bool,
    accepted: bool,
    /// The program crashed in the server's session of today.
    crashed: bool,
    /// The server has forgotten a session the client may count on.
    forgotten: bool,
    /// The server has no session; it made one for a CONNECT that was not answered yet; and the answer never came: no
    /// client can know then that its session is not the old one.
    none: bool,
    made: bool,
    veiled: bool,
    /// What the client knows of the server's session is not in the journal yet.
    young: bool,
    /// A crash took what would have told it that the subscription is gone.
    blind: bool,
    /// The program crashed with a journal that nothing waits for.
    loose: bool,
}

/// "Session taken over".
const TAKEN_OVER: u8 = 0x8E;
/// The payload that names an outbound message.
pub(super) const OUTBOUND: u8 = b'A';
/// The payload that names a message for the client.
pub(super) const INBOUND: u8 = b'a';
/// The payload of what is published in the end, to see that all is free.
pub(super) const PROBE: u8 = b'0';

impl Watch {
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            five: setup.version == mqtt_proto::Version::V5,
            waits: setup.durability == Durability::BeforeSend,
            quota: usize::from(setup.receive_maximum),
            out: setup.outbound.iter().map(|qos| Sent { qos: *qos as u8, ..Sent::default() }).collect(),
            inbound: setup.inbound.iter().map(|qos| Got { qos: *qos as u8, ..Got::default() }).collect(),
            order: Vec::new(),
            received: BTreeSet::new(),
            holding: BTreeSet::new(),
            owed: VecDeque::new(),
            completed: BTreeSet::new(),
            subscribing: None,
            subscribed: false,
            held: BTreeSet::new(),
            connected: false,
            accepted: false,
            crashed: false,
            forgotten: false,
            none: true,
            made: false,
            veiled: false,
            young: false,
            blind: false,
            loose: false,
        }
    }

    /// Reads a packet.
    pub(super) fn read(&self, bytes: &[u8]) -> Result<Seen, String> {
        packet::read(bytes, self.five).ok_or_else(|| format!("no packet: {bytes:02X?}"))
    }

    /// The client accepted an outbound message.
    pub(super) fn accepted(&mut self, index: usize, token: Token) {
        if let Some(sent) = self.out.get_mut(index) {
            (sent.token, sent.open) = (Some(token), true);
        }
    }

    /// A message for the client is published.
    pub(super) fn fed(&mut self, index: usize) {
        let subscribed = self.subscribed;
        if let Some(got) = self.inbound.get_mut(index) {
            (got.fed, got.forgotten) = (true, !subscribed);
        }
    }

    /// A connection begins, or has ended.
    pub(super) fn renew(&mut self) {
        (self.connected, self.accepted) = (false, false);
        self.veiled |= core::mem::take(&mut self.made);
        self.subscribing = None;
        self.holding.clear();
        self.owed.clear();
        self.completed.clear();
        for sent in &mut self.out {
            (sent.here, sent.released_here) = (false, false);
        }
    }

    /// The server's session is gone.
    pub(super) fn server_forgot(&mut self) {
        self.held.clear();
        (self.subscribed, self.forgotten) = (false, true);
        (self.none, self.made, self.veiled, self.blind) = (true, false, false, false);
        for sent in &mut self.out {
            sent.taken = 0;
        }
        for got in self.inbound.iter_mut().filter(|got| got.fed && !got.ever) {
            got.forgotten = true;
        }
        for got in &mut self.inbound {
            got.told = 0;
        }
    }

    /// All records are synced.
    pub(super) fn synced(&mut self) {
        self.young = false;
    }

    /// The program crashed, and this is what is left of its journal.
    pub(super) fn crashed(&mut self, journal: &Journal) -> Verdict {
        self.renew();
        self.crashed = true;
        self.veiled |= core::mem::take(&mut self.young);
        self.blind |= self.veiled;
        self.loose |= !self.waits;
        let waits = self.waits;
        for sent in &mut self.out {
            let Some(token) = sent.token else { continue };
            // Past PUBREC the mark is all that is needed.
            let there = journal.has_operation(token) || (sent.qos == 2 && journal.has_mark(token));
            demand!(
                !sent.open || !sent.durable || there,
                "{token:?} was told durable and is not in the journal"
            );
            (sent.open, sent.crashed) = (there, true);
            sent.phase = match sent.phase {
                // Whatever came after: the mark alone says that PUBREC had come.
                _ if there && !journal.has_operation(token) => Phase::Released,
                // What came of them the new run may not know.
                // With a journal that nothing waits for, not even whether it was sent.
                _ if there && !waits && !journal.has_mark(token) => Phase::Unsent,
                _ if !waits && journal.has_operation(token) => Phase::Published,
                Phase::Over if there && sent.qos == 2 => Phase::Released,
                Phase::Over if there => Phase::Published,
                Phase::Received => Phase::Published,
                phase => phase,
            };
            if !there {
                sent.token = None;
            }
        }
        // PUBRECs that were not answered come again.
        let out = &self.out;
        self.order.retain(|index| out.get(*index).is_some_and(|sent| sent.phase >= Phase::Released));
        Ok(())
    }

    /// A packet leaves the client.
    pub(super) fn sent(&mut self, seen: &Seen, journal: &Journal) -> Verdict {
        demand!(
            self.connected == (seen.kind != packet::CONNECT),
            "{seen} is the wrong first packet, or a second one"
        );
        self.connected = true;
        demand!(self.accepted || seen.kind == packet::CONNECT, "{seen} before CONNACK");
        match seen.kind {
            packet::PUBLISH if seen.mark >= INBOUND => Err(format!("{seen} is not the client's")),
            packet::PUBLISH if seen.mark >= OUTBOUND => self.publish(seen, journal),
            packet::PUBREL => self.pubrel(seen),
            packet::PUBCOMP => {
                let owed = self.owed.iter().position(|owed| *owed == (seen.kind, seen.id));
                let owed = owed.and_then(|place| self.owed.remove(place));
                let copy = !self.completed.insert(seen.id);
                demand!(owed.is_some() || copy, "{seen} without PUBREL");
                Ok(())
            }
            packet::PUBACK | packet::PUBREC => {
                let place = self.owed.iter().position(|(kind, _)| *kind == seen.kind);
                let owed = place.and_then(|place| self.owed.remove(place));
                demand!(owed == Some((seen.kind, seen.id)), "{seen} is not the next one owed: {owed:?}");
                let waits = self.waits && seen.kind == packet::PUBREC;
                demand!(!waits || journal.has_exchange(seen.id), "{seen} before its record was stored");
                Ok(())
            }
            packet::SUBSCRIBE => {
                let live = self.live(seen.id, usize::MAX);
                demand!(live.is_none(), "{seen} takes the identifier of message {live:?}");
                self.subscribing = Some(seen.id);
                Ok(())
            }
            packet::DISCONNECT => Err("the client gives up the connection".to_owned()),
            _ => Ok(()),
        }
    }

    /// The message, other than `but`, whose exchange has this identifier.
    fn live(&self, id: u16, but: usize) -> Option<usize> {
        let live = |sent: &Sent| {
            // What a run that did not wait for its journal had sent the next one may know nothing of.
            let known = self.waits || !sent.crashed;
            known && sent.id == id && sent.phase != Phase::Unsent && sent.phase != Phase::Over
        };
        (0..self.out.len()).find(|index| *index != but && self.out.get(*index).is_some_and(live))
    }

    fn publish(&mut self, seen: &Seen, journal: &Journal) -> Verdict {
        let index = usize::from(seen.mark - OUTBOUND);
        let live = self.live(seen.id, index);
        demand!(live.is_none(), "{seen} takes the identifier of message {live:?}");
        demand!(self.subscribing != Some(seen.id), "{seen} takes the identifier of SUBSCRIBE");
        let overtaken = self.out.iter().take(index).position(|sent| {
            sent.open && matches!(sent.phase, Phase::Unsent | Phase::Published) && !sent.here
        });
        demand!(overtaken.is_none(), "{seen} overtakes message {overtaken:?}");
        let (waits, five) = (self.waits, self.five);
        let Some(sent) = self.out.get_mut(index) else { return Err(format!("{seen} was never published")) };
        demand!(sent.open, "{seen} has ended already");
        demand!(sent.qos == seen.qos(), "{seen} has another QoS");
        demand!(!sent.here, "{seen} a second time on one connection");
        demand!(sent.phase <= Phase::Published, "{seen} after PUBREC: {:?}", sent.phase);
        let again = sent.phase == Phase::Published;
        // After a crash without waiting nobody knows.
        let again = again && (waits || !sent.crashed);
        demand!(!again || sent.id == seen.id, "{seen} had another identifier: {}", sent.id);
        demand!(!again || seen.dup(), "{seen} a second time without DUP");
        demand!(again || !seen.dup() || sent.crashed, "{seen} with DUP, though it was never sent");
        let stored = sent
            .token
            .is_some_and(|token| journal.has_operation(token) && (sent.qos != 2 || journal.has_mark(token)));
        demand!(!waits || stored, "{seen} before its record was stored");
        (sent.phase, sent.id, sent.here) = (Phase::Published, seen.id, true);
        self.holding.insert(seen.id);
        let holding = self.holding.len();
        demand!(!five || holding <= self.quota, "{seen} is over Receive Maximum: {holding}");
        Ok(())
    }

    fn pubrel(&mut self, seen: &Seen) -> Verdict {
        let Some(index) = self.live(seen.id, usize::MAX) else {
            // Answers a copy of a PUBREC, or asks what the server holds after a crash.
            let known = self.crashed || self.received.contains(&seen.id);
            demand!(known, "{seen} without PUBREC");
            return Ok(());
        };
        let place = self.order.iter().position(|other| *other == index).unwrap_or(0);
        let overtaken = self.order.iter().take(place).find(|other| {
            self.out.get(**other).is_some_and(|sent| sent.phase != Phase::Over && !sent.released_here)
        });
        demand!(overtaken.is_none(), "{seen} overtakes that of message {overtaken:?}");
        let crashed = self.crashed;
        if let Some(sent) = self.out.get_mut(index) {
            demand!(sent.phase >= Phase::Received || crashed, "{seen} before PUBREC");
            (sent.phase, sent.released_here) = (Phase::Released, true);
        }
        Ok(())
    }

    /// A packet reaches the server, on a connection that it serves.
    pub(super) fn arrived(&mut self, seen: &Seen) -> Verdict {
        if seen.kind == packet::CONNECT {
            if seen.session {
                self.server_forgot();
            }
            self.made |= core::mem::take(&mut self.none);
        }
        match seen.kind {
            packet::SUBSCRIBE => self.subscribed = true,
            packet::PUBREL => {
                self.held.remove(&seen.id);
            }
            packet::PUBLISH if seen.mark >= OUTBOUND => {
                if seen.qos() == 2 && !self.held.insert(seen.id) {
                    return Ok(());
                }
                let index = usize::from(seen.mark - OUTBOUND);
                let Some(sent) = self.out.get_mut(index) else { return Ok(()) };
                (sent.arrived, sent.taken) = (true, sent.taken.saturating_add(1));
                let once = sent.qos == 2 && (self.waits || !sent.crashed);
                demand!(!once || sent.taken < 2, "{seen} was taken twice by one session of the server");
            }
            packet::PUBLISH if seen.qos() == 2 => {
                self.held.insert(seen.id);
            }
            _ => {}
        }
        Ok(())
    }

    /// A packet reaches the client.
    pub(super) fn reached(&mut self, seen: &Seen) -> Verdict {
        match seen.kind {
            packet::CONNACK => {
                demand!(seen.code == 0, "{seen}");
                self.accepted = true;
                self.veiled |= core::mem::take(&mut self.made);
                if !seen.session {
                    (self.veiled, self.young) = (false, true);
                    (self.crashed, self.forgotten) = (false, false);
                    self.received.clear();
                    self.order.clear();
                    for sent in self.out.iter_mut().filter(|sent| sent.phase != Phase::Over) {
                        (sent.phase, sent.id) = (Phase::Unsent, 0);
                    }
                }
            }
            packet::PUBLISH if seen.qos() == 1 => self.owed.push_back((packet::PUBACK, seen.id)),
            packet::PUBLISH if seen.qos() == 2 => self.owed.push_back((packet::PUBREC, seen.id)),
            // Where PUBCOMP waits for the journal, one answers both copies of a PUBREL.
            packet::PUBREL if self.owed.contains(&(packet::PUBCOMP, seen.id)) => {}
            packet::PUBREL => self.owed.push_back((packet::PUBCOMP, seen.id)),
            packet::SUBACK => self.subscribing = None,
            packet::PUBACK | packet::PUBREC | packet::PUBCOMP => self.acknowledged(seen),
            // An old connection of this client's came back to life.
            packet::DISCONNECT => demand!(seen.code == TAKEN_OVER, "{seen}: the broker found a mistake"),
            _ => {}
        }
        Ok(())
    }

    fn acknowledged(&mut self, seen: &Seen) {
        if seen.kind == packet::PUBREC {
            self.received.insert(seen.id);
        } else {
            self.holding.remove(&seen.id);
        }
        let Some(index) = self.live(seen.id, usize::MAX) else { return };
        let Some(sent) = self.out.get_mut(index) else { return };
        match (seen.kind, sent.phase) {
            (packet::PUBACK, Phase::Published) if sent.qos == 1 => sent.phase = Phase::Over,
            (packet::PUBREC, Phase::Published) if sent.qos == 2 => {
                sent.phase = Phase::Received;
                self.order.retain(|other| *other != index);
                self.order.push(index);
            }
            (packet::PUBCOMP, Phase::Released) => sent.phase = Phase::Over,
            _ => {}
        }
    }

    /// The client told its application something.
    pub(super) fn told(&mut self, event: &Event<'_>) -> Verdict {
        match event {
            Event::Durable { token } => {
                if let Some(sent) = self.out.iter_mut().find(|sent| sent.token == Some(*token)) {
                    sent.durable = true;
                }
            }
            Event::Done { token, outcome, .. } => {
                let Some(index) = self.out.iter().position(|sent| sent.token == Some(*token)) else {
                    return Ok(());
                };
                let forgotten = self.forgotten || self.out.iter().any(|sent| sent.phase == Phase::Unsent);
                let Some(sent) = self.out.get_mut(index) else { return Ok(()) };
                demand!(sent.open, "message {index} ended twice");
                sent.open = false;
                match outcome {
                    Outcome::Acked(_) => {
                        // After a crash an end may be told again, in another session of the server.
                        let over = sent.phase == Phase::Over || sent.crashed;
                        demand!(over, "message {index} ended in {:?}", sent.phase);
                        demand!(sent.arrived, "message {index} never arrived");
                    }
                    Outcome::Unknown => {
                        let forgotten = forgotten || sent.crashed;
                        demand!(forgotten && sent.qos == 2, "message {index} is unknown");
                    }
                    other => return Err(format!("message {index} ended as {other:?}")),
                }
            }
            Event::Message(message) => {
                let mark = message.payload.first().copied().unwrap_or(0);
                let got =
                    mark.checked_sub(INBOUND).and_then(|index| self.inbound.get_mut(usize::from(index)));
                let Some(got) = got else { return Err(format!("message {mark} was never published")) };
                (got.told, got.ever) = (got.told.saturating_add(1), true);
                let again = got.qos == 2 && got.told > 1;
                demand!(
                    !again || (self.crashed && message.redelivered),
                    "message {} at QoS 2 was delivered twice",
                    char::from(mark)
                );
            }
            Event::Disconnected { retry: None, .. } => return Err(format!("the client gave up: {event:?}")),
            Event::Disconnected {
                why: why @ (Why::Protocol(..) | Why::Malformed(_) | Why::Flooded { .. }),
                ..
            } => {
                return Err(format!("the client closed: {why}"));
            }
            _ => {}
        }
        Ok(())
    }

    /// The server has a new session and the client takes it for the old one, or the program crashed without waiting for its
    /// journal: records of exchanges that are over may stay, and take new messages for old ones.
    pub(super) const fn is_veiled(&self) -> bool {
        self.veiled || self.loose
    }

    /// Nothing is under way and nothing has to be sent again: everything must be over.
    pub(super) fn over(&self) -> Verdict {
        for (index, sent) in self.out.iter().enumerate() {
            demand!(!sent.open, "message {index} never ends: {:?}", sent.phase);
            demand!(sent.token.is_none() || sent.arrived || sent.qos == 0, "message {index} never arrived");
        }
        for (index, got) in self.inbound.iter().enumerate() {
            demand!(
                !got.fed || got.ever || got.forgotten || self.is_veiled(),
                "inbound message {index} was never delivered"
            );
        }
        demand!(self.owed.is_empty(), "the client owes {:?}", self.owed);
        let subscribed = self.inbound.is_empty() || self.subscribed || self.veiled || self.blind;
        demand!(subscribed, "the subscription is lost");
        Ok(())
    }
}
