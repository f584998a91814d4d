//! Steps: what each action does to a state, and the drivers of client and broker.

use mqtt_proto::TopicName;
use mqtt_session::{Closed, Command, LocalState, Message};

use super::action::Action;
use super::packet::{self, first};
use super::setup::Setup;
use super::state::{Journal, Late, Link, NOW, Parcel, State};
use super::watch::{INBOUND, OUTBOUND, PROBE, Verdict, demand};
use crate::broker::ConnId;

/// Rounds of the client's driver in one step before it is taken to spin.
const MAX_ROUNDS: u32 = 1_000;
/// The topics of what the client publishes, and of what it subscribes to.
const TOPICS: [&str; 2] = ["o", "i"];

/// A topic that is valid.
fn topic(index: usize) -> TopicName<'static> {
    match TOPICS.get(index).map(|name| TopicName::new(name)) {
        Some(Ok(topic)) => topic,
        _ => unreachable!("one letter is a topic"),
    }
}

impl State {
    /// Whether an action is possible.
    pub(super) fn allows(&self, action: Action, setup: &Setup) -> bool {
        let left = &self.left;
        let link = self.link.as_ref();
        let next = link.and_then(|link| link.down.front()).filter(|_| self.inbox.is_empty());
        let ack = next.is_some_and(|parcel| {
            !parcel.copy
                && parcel
                    .bytes
                    .first()
                    .is_some_and(|byte| matches!(byte >> 4, packet::PUBACK..=packet::PUBCOMP))
        });
        match action {
            Action::Publish => self.published < setup.outbound.len(),
            Action::Feed => self.fed < setup.inbound.len(),
            Action::Up => link.is_some_and(|link| !link.up.is_empty()),
            Action::Down => next.is_some(),
            Action::Lose => left.lost > 0 && ack,
            Action::Double => left.doubled > 0 && ack,
            Action::Cut => left.cuts > 0 && link.is_some(),
            Action::HalfCut => left.half_cuts > 0 && link.is_some() && self.late.is_none(),
            Action::LateUp => self.late.as_ref().is_some_and(|late| !late.up.is_empty()),
            Action::LateEnd => self.late.is_some(),
            Action::End => link.is_some_and(|link| link.ending && link.down.is_empty()),
            Action::Dial => self.dialling && link.is_none(),
            Action::Forget => left.forgotten > 0 && link.is_none(),
            Action::Sync => !self.journal.unsynced.is_empty(),
            Action::Crash => left.crashes > 0,
            Action::CrashSynced => left.crashes > 0 && !self.journal.unsynced.is_empty(),
        }
    }

    /// Does it.
    pub(super) fn act(&mut self, action: Action, setup: &Setup) -> Verdict {
        self.path.push(action);
        self.say(|| format!("* {action}"));
        match action {
            Action::Publish => {
                let (index, qos) =
                    (self.published, setup.outbound.get(self.published).copied().unwrap_or_default());
                self.published += 1;
                let message = Message::new(topic(0)).qos(qos);
                let payload = [OUTBOUND.saturating_add(index as u8)];
                let token = self
                    .client
                    .publish(&message, (&payload).into())
                    .map_err(|refused| refused.to_string())?;
                self.watch.accepted(index, token);
            }
            Action::Feed => {
                let (index, qos) = (self.fed, setup.inbound.get(self.fed).copied().unwrap_or_default());
                self.fed += 1;
                self.watch.fed(index);
                self.broker.publish(topic(1), &[INBOUND.saturating_add(index as u8)], qos, false, NOW);
            }
            Action::Up => {
                if let Some(link) = &mut self.link
                    && let Some(bytes) = link.up.pop_front()
                {
                    let conn = link.conn;
                    self.give(conn, &bytes)?;
                }
            }
            Action::LateUp => {
                if let Some(late) = &mut self.late
                    && let Some(bytes) = late.up.pop_front()
                {
                    let conn = late.conn;
                    self.give(conn, &bytes)?;
                }
            }
            Action::LateEnd => self.late_ends(),
            Action::Down => {
                let parcel = self.link.as_mut().and_then(|link| link.down.pop_front());
                self.take(parcel)?;
            }
            Action::Double => {
                self.left.doubled -= 1;
                let mut parcel = None;
                if let Some(front) = self.link.as_mut().and_then(|link| link.down.front_mut()) {
                    parcel = Some(front.clone());
                    front.copy = true;
                }
                self.take(parcel)?;
            }
            Action::Lose => {
                self.left.lost -= 1;
                if let Some(link) = &mut self.link {
                    link.down.pop_front();
                    link.lossy = true;
                }
            }
            Action::Cut => {
                self.left.cuts -= 1;
                self.cut(Closed::Failed);
            }
            Action::HalfCut => {
                self.left.half_cuts -= 1;
                self.abandon(Closed::Failed);
            }
            Action::End => self.cut(Closed::Ended),
            Action::Dial => {
                self.dialling = false;
                let conn = self.broker.open(NOW);
                self.link = Some(Link {
                    conn,
                    up: Default::default(),
                    down: Default::default(),
                    ending: false,
                    lossy: false,
                });
                self.client.opened(&self.options(setup), NOW);
            }
            Action::Forget => {
                self.left.forgotten -= 1;
                self.late_ends();
                self.broker.forget_sessions(NOW);
                self.watch.server_forgot();
            }
            Action::Sync => self.sync(),
            Action::Crash | Action::CrashSynced => {
                self.left.crashes -= 1;
                let mut journal = core::mem::take(&mut self.journal);
                let unsynced = core::mem::take(&mut journal.unsynced);
                if action == Action::CrashSynced {
                    unsynced.into_iter().for_each(|change| journal.carry_out(change));
                    // What arrived and was not taken yet left nothing in it.
                    if self.inbox.is_empty() {
                        self.watch.synced();
                    }
                }
                self.restart(journal, setup)?;
            }
        }
        self.serve()?;
        self.broker_speaks();
        Ok(())
    }

    /// How the program connects.
    fn options(&self, setup: &Setup) -> mqtt_session::ConnectOptions<'static> {
        let mut options = setup.options();
        if setup.durability == mqtt_session::Durability::Async {
            // A session may be on the server of which the journal knows nothing.
            options.local_state = LocalState::Held;
        }
        options
    }

    pub(super) fn start(&mut self, setup: &Setup) -> Verdict {
        let options = self.options(setup);
        self.client.start(&options).map_err(|error| error.to_string())
    }

    fn restart(&mut self, journal: Journal, setup: &Setup) -> Verdict {
        // With the program its connections end, and what was under way on them: a CONNECT of an earlier run that comes late
        // is another client's for all that the new run can know.
        self.late_ends();
        if let Some(link) = self.link.take() {
            self.broker.closed(link.conn, NOW);
        }
        self.inbox.clear();
        self.dialling = false;
        self.watch.crashed(&journal)?;
        self.client = setup.client();
        for (key, record) in &journal.stored {
            self.client
                .restore(*key, record, None)
                .map_err(|error| format!("a record is refused: {error}"))?;
        }
        self.journal = journal;
        self.start(setup)
    }

    /// The oldest change of the journal cannot be undone from now on.
    fn sync(&mut self) {
        if let Some(change) = self.journal.unsynced.pop_front() {
            let key = change.0;
            self.journal.carry_out(change);
            self.client.stored(key);
        }
        // What arrived and was not taken yet has left nothing there.
        if self.journal.unsynced.is_empty() && self.inbox.is_empty() {
            self.watch.synced();
        }
    }

    /// Both ends learn that the connection is over.
    pub(super) fn cut(&mut self, why: Closed) {
        if let Some(link) = self.link.take() {
            self.broker.closed(link.conn, NOW);
            self.lost(why);
        }
    }

    /// The client's end is over; the broker's is not.
    fn abandon(&mut self, why: Closed) {
        if let Some(link) = self.link.take() {
            self.late_ends();
            self.late = Some(Late { conn: link.conn, up: link.up });
            self.lost(why);
        }
    }

    fn lost(&mut self, why: Closed) {
        self.inbox.clear();
        self.watch.renew();
        self.client.closed(why, NOW);
    }

    fn late_ends(&mut self) {
        if let Some(late) = self.late.take() {
            self.broker.closed(late.conn, NOW);
        }
    }

    /// A packet reaches the broker.
    fn give(&mut self, conn: ConnId, bytes: &[u8]) -> Verdict {
        let seen = self.watch.read(bytes)?;
        self.say(|| format!("    client → broker  {seen}"));
        if !self.broker.wants_close(conn) {
            self.watch.arrived(&seen)?;
        }
        self.broker.receive(conn, bytes, NOW);
        let mistakes = self.broker.stats().protocol_errors;
        demand!(mistakes == 0, "the broker found a mistake in {seen}");
        Ok(())
    }

    /// A packet reaches the client.
    fn take(&mut self, parcel: Option<Parcel>) -> Verdict {
        let Some(Parcel { bytes, .. }) = parcel else { return Ok(()) };
        let seen = self.watch.read(&bytes)?;
        self.say(|| format!("    client ← broker  {seen}"));
        self.watch.reached(&seen)?;
        self.inbox.extend_from_slice(&bytes);
        Ok(())
    }

    /// What the broker has to say is on its way.
    fn broker_speaks(&mut self) {
        while self.broker.poll_active().is_some() {}
        if let Some(late) = &self.late {
            let conn = late.conn;
            while !self.broker.outgoing(conn).is_empty() {
                self.broker.advance(conn, usize::MAX);
            }
            if self.broker.wants_close(conn) {
                self.late_ends();
            }
        }
        let Some(link) = &mut self.link else { return };
        loop {
            let mut bytes = self.broker.outgoing(link.conn);
            let len = bytes.len();
            if len == 0 {
                break;
            }
            while let Some((packet, rest)) = first(bytes).and_then(|len| bytes.split_at_checked(len)) {
                link.down.push_back(Parcel { bytes: packet.into(), copy: false });
                bytes = rest;
            }
            self.broker.advance(link.conn, len);
        }
        while self.broker.poll_active().is_some() {}
        link.ending = self.broker.wants_close(link.conn);
    }

    /// What a driver does after anything has happened, until nothing is left to do.
    pub(super) fn serve(&mut self) -> Verdict {
        let mut rounds = 0;
        while self.carries_out() | self.reads()? | self.tells()? | self.writes()? {
            rounds += 1;
            demand!(rounds < MAX_ROUNDS, "the client goes round in circles");
        }
        Ok(())
    }

    fn carries_out(&mut self) -> bool {
        let due = self.client.poll_timeout().is_some_and(|due| due <= NOW);
        if due {
            self.client.handle_timeout(NOW);
        }
        let mut any = due;
        loop {
            match self.client.poll_command() {
                None => return any,
                Some(Command::Open { .. }) => self.dialling = true,
                Some(Command::Close) => {
                    self.dialling = false;
                    if self.link.is_some() {
                        self.abandon(Closed::Carried);
                    } else {
                        self.client.closed(Closed::Carried, NOW);
                    }
                }
                Some(Command::Put { key, record }) => {
                    self.journal.unsynced.push_back((key, Some(record.chunks().concat().into())));
                }
                Some(Command::Delete { key }) => self.journal.unsynced.push_back((key, None)),
                Some(_) => {}
            }
            any = true;
        }
    }

    fn reads(&mut self) -> Result<bool, String> {
        let inbox = core::mem::take(&mut self.inbox);
        let mut input = &inbox[..];
        let mut any = false;
        while !input.is_empty() {
            let before = input.len();
            let event = self.client.receive(&mut input, NOW);
            any |= input.len() < before;
            if let Some(event) = event {
                if let Some(story) = &mut self.story {
                    story.push(format!("    told: {event:?}"));
                }
                self.watch.told(&event)?;
            } else if input.len() == before {
                break;
            }
        }
        if self.link.is_some() {
            self.inbox = input.to_vec();
        }
        Ok(any)
    }

    fn tells(&mut self) -> Result<bool, String> {
        let mut any = false;
        while let Some(event) = self.client.poll_event() {
            any = true;
            self.say(|| format!("    told: {event:?}"));
            self.watch.told(&event)?;
        }
        Ok(any)
    }

    fn writes(&mut self) -> Result<bool, String> {
        let mut outgoing = self.client.outgoing(NOW);
        let mut bytes = Vec::new();
        while !outgoing.is_empty() {
            let count = outgoing.chunk().len();
            bytes.extend_from_slice(outgoing.chunk());
            outgoing.advance(count);
        }
        let mut rest = &bytes[..];
        while let Some((packet, behind)) = first(rest).and_then(|len| rest.split_at_checked(len)) {
            let seen = self.watch.read(packet)?;
            self.say(|| format!("    sent: {seen}"));
            self.watch.sent(&seen, &self.journal)?;
            let Some(link) = &mut self.link else { return Err(format!("{seen} without a connection")) };
            if seen.kind == packet::PUBLISH && seen.qos() != 0 {
                // A copy of an acknowledgement is not to meet the identifier's next use.
                link.down.retain(|parcel| {
                    !parcel.copy || self.watch.read(&parcel.bytes).is_ok_and(|ack| ack.id != seen.id)
                });
            }
            link.up.push_back(packet.into());
            rest = behind;
        }
        demand!(rest.is_empty(), "the client sent a part of a packet: {rest:02X?}");
        Ok(!bytes.is_empty())
    }

    /// Publishes `count` messages more, and says how many PUBLISHes left at once.
    pub(super) fn probe(
        &mut self,
        setup: &Setup,
        qos: mqtt_proto::Qos,
        count: usize,
    ) -> Result<usize, String> {
        let publishes = |link: &Link| {
            link.up
                .iter()
                .filter(|bytes| bytes.first().is_some_and(|byte| byte >> 4 == packet::PUBLISH))
                .count()
        };
        let under_way = |state: &Self| state.link.as_ref().map_or(0, publishes);
        let before = under_way(self);
        for index in 0..count {
            let message = Message::new(topic(0)).qos(qos);
            let payload = [PROBE.saturating_add(index as u8)];
            self.client.publish(&message, (&payload).into()).map_err(|refused| refused.to_string())?;
            self.serve()?;
            while self.allows(Action::Sync, setup) {
                self.act(Action::Sync, setup)?;
            }
        }
        Ok(under_way(self) - before)
    }
}
