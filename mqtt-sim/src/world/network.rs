//! What happens to connections: bytes under way, breaks, and the planned happenings of the world.

use core::time::Duration;

use mqtt_proto::Peer;
use mqtt_session::Closed;

use crate::broker::ConnId;
use crate::checks::Observation;

use super::chance::Draw;
use super::clock::Planned;
use super::link::{Link, Side};
use super::{BrokerId, ClientId, Direction, Fault, Happening, LinkId, Occasion, Strike, World};

/// Longest time until what a split read left over can be read.
const SPLIT_PAUSE: Duration = Duration::from_millis(3);
/// Time between bytes that come one by one.
const SINGLE_PAUSE: Duration = Duration::from_micros(1);
/// Longest time until an end learns that a connection broke.
const NEWS: Duration = Duration::from_millis(80);
/// Farthest jump of a client's clock.
const CLOCK_JUMP: Duration = Duration::from_secs(60);

impl World {
    pub(super) fn happen(&mut self, what: Planned) {
        match what {
            Planned::Dial { client, dial, broker } => self.dialled(client, dial, broker),
            Planned::Arrive { link, direction } => self.arrive(link, direction),
            Planned::Room { link, direction } => self.room(link, direction),
            Planned::Break { link } => {
                if self.links.get(&link).is_some_and(|link| link.breaks_at.is_some()) {
                    self.break_link(link);
                }
            }
            Planned::Scheduled { link } => self.scheduled_time(link),
            Planned::Second => self.second(),
            Planned::BrokerBack { broker, outage } => {
                if self.server(broker).is_some_and(|server| server.outage == Some(outage)) {
                    self.start_broker(broker);
                }
            }
            Planned::Unstall { client, stall } => {
                if self.client(client).is_some_and(|client| client.stall == Some(stall)) {
                    self.unstall(client);
                }
            }
            Planned::Restart { client, run } => self.restart_due(client, run),
            Planned::Synced { client, run, begun } => self.synced(client, run, begun),
        }
    }

    fn dialled(&mut self, id: ClientId, dial: u64, broker: BrokerId) {
        let now = self.now;
        if self.client(id).is_none_or(|client| client.dial != Some(dial)) {
            return;
        }
        if self.server(broker).is_none_or(|server| !server.is_up()) {
            self.trace.add(now, Happening::DialFailed { client: id });
            self.client_learns(id, Closed::DialFailed);
            return self.serve_client(id);
        }
        let link_id = LinkId(self.next_link);
        self.next_link += 1;
        let Some(server) = self.server(broker) else { return };
        let conn = server.broker.open(now);
        server.links.insert(conn, link_id);
        let Some(client) = self.client(id) else { return };
        let number = client.next_connection;
        client.next_connection += 1;
        let planned_cut = client.planned_cut.take();
        let schedule = client.schedules.pop_front();
        let mut link = Link::new(id, broker, conn, number);
        link.opened = now;
        link.draw_latency(self);
        link.plan(self);
        if let Some((direction, bytes)) = planned_cut {
            link.unplan();
            link.pipe(direction).break_at = Some(bytes);
        }
        if let Some(schedule) = schedule {
            link.follow(&schedule);
        }
        self.give_luck(broker, conn, link.occasion());
        if let Some(at) = link.breaks_at {
            self.agenda.plan(at, Planned::Break { link: link_id });
        }
        self.links.insert(link_id, link);
        self.trace.add(now, Happening::Opened { link: link_id, client: id, broker });
        self.observe(&Observation::Opened { client: id, link: link_id });
        if let Some(client) = self.client(id) {
            client.dial = None;
            client.link = Some(link_id);
            let local = client.local(now);
            client.opened(local);
        }
        self.scheduled_time(link_id);
        self.serve_server(broker);
        self.serve_client(id);
    }

    fn arrive(&mut self, link_id: LinkId, direction: Direction) {
        let Some(link) = self.links.get(&link_id) else { return };
        match direction {
            Direction::Up if link.broker_open => self.server_reads(link_id),
            Direction::Down if link.client_open => {
                let client = link.client;
                self.serve_client(client);
            }
            _ => {}
        }
    }

    fn room(&mut self, link_id: LinkId, direction: Direction) {
        let Some(link) = self.links.get_mut(&link_id) else { return };
        let (client, broker) = (link.client, link.broker);
        link.pipe(direction).blocked = false;
        match direction {
            Direction::Up if link.client_open => self.serve_client(client),
            Direction::Down if link.broker_open => {
                self.server_writes(link_id);
                self.serve_server(broker);
            }
            _ => {}
        }
    }

    /// Sends bytes on their way. What breaks the connection does so here.
    pub(super) fn push(&mut self, link_id: LinkId, direction: Direction, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let now = self.now;
        self.trace.add(now, Happening::Written { link: link_id, direction, bytes: bytes.to_vec() });
        let Some(link) = self.links.get(&link_id) else { return };
        let occasion = link.write_occasion(direction);
        let late = self.strike(Fault::Delay, self.faults.delay, occasion);
        let extra = late.map_or(Duration::ZERO, |mut late| late.span(Duration::ZERO, self.faults.delay_max));
        let mut rest = bytes;
        while !rest.is_empty() {
            self.strike_scheduled(link_id, direction);
            let Some(link) = self.links.get_mut(&link_id) else { return };
            let latency = link.latency;
            let pipe = link.pipe(direction);
            // At least one byte: what strikes at this place has struck.
            let (piece, more) = rest.split_at(pipe.course.room(rest.len()).max(1));
            let at = pipe.push(piece, now.after(latency + extra + pipe.course.delay()));
            if pipe.course.is_splitting() {
                // The next byte comes alone, too.
                pipe.hold(at.after(SINGLE_PAUSE));
            }
            pipe.course.pass(piece.len());
            self.agenda.plan(at, Planned::Arrive { link: link_id, direction });
            rest = more;
        }
        let Some(link) = self.links.get_mut(&link_id) else { return };
        let broken = !link.broken && link.pipe(direction).is_broken();
        self.swallow(link_id, direction);
        if broken {
            self.break_link(link_id);
        }
        self.strike_scheduled(link_id, direction);
    }

    /// Whether nothing gets through from here on; if that is a fault's doing, it has struck now.
    fn swallow(&mut self, link_id: LinkId, direction: Direction) -> bool {
        let Some(link) = self.links.get_mut(&link_id) else { return true };
        let swallows = link.pipe(direction).is_swallowing();
        if swallows && core::mem::take(&mut link.black_hole) {
            let occasion = link.occasion();
            self.struck(Fault::BlackHole, occasion);
        }
        swallows
    }

    /// Reads one chunk that has arrived, or a part of it.
    pub(super) fn read_pipe(&mut self, link_id: LinkId, direction: Direction) -> Option<(Vec<u8>, Occasion)> {
        let now = self.now;
        let link = self.links.get_mut(&link_id)?;
        let occasion = link.read_occasion(direction);
        let pipe = link.pipe(direction);
        let mut bytes = pipe.arrived(now)?;
        if pipe.blocked && pipe.room() > 0 {
            self.agenda.plan(now, Planned::Room { link: link_id, direction });
        }
        if bytes.len() > 1
            && let Some(mut random) = self.strike(Fault::SplitRead, self.faults.split_read, occasion)
        {
            let rest = bytes.split_off(1 + random.size_below(bytes.len() - 1));
            let at = now.after(random.span(Duration::from_micros(1), SPLIT_PAUSE));
            if let Some(link) = self.links.get_mut(&link_id) {
                link.pipe(direction).unread(rest, at);
            }
            self.agenda.plan(at, Planned::Arrive { link: link_id, direction });
        }
        Some((bytes, occasion))
    }

    /// Changes a byte, if that fault strikes.
    pub(super) fn damage(&mut self, bytes: &mut [u8], occasion: Occasion) {
        if let Some(mut random) = self.strike(Fault::Malformed, self.faults.malformed, occasion) {
            let at = random.size_below(bytes.len());
            let flip = u8::try_from(random.between(1, 255)).unwrap_or(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= flip;
            }
        }
    }

    /// Tells a broker what depends on chance on a connection.
    fn give_luck(&mut self, broker: BrokerId, conn: ConnId, occasion: Occasion) {
        let Occasion::Connection { client, number } = occasion else { return };
        let answers = |strike: &Strike| match strike.occasion {
            Occasion::Answer { client: whose, connection, number: answer }
                if (whose, connection) == (client, number) =>
            {
                Some((answer, strike.fault == Fault::Duplicate))
            }
            _ => None,
        };
        let only = self.only.as_ref().map(|only| only.iter().filter_map(answers).collect());
        let random = self.chance(Draw::Answers, occasion);
        if let Some(server) = self.server(broker) {
            server.broker.give_luck(conn, random, only);
        }
    }

    /// Shows the packets among some bytes to the checks.
    pub(super) fn listen(&mut self, link_id: LinkId, from: Peer, bytes: &[u8]) {
        if self.checks.is_empty() {
            return;
        }
        let direction = if from == Peer::Client { Direction::Up } else { Direction::Down };
        let Some(link) = self.links.get_mut(&link_id) else { return };
        let (client, mut version) = (link.client, link.version);
        let mut tap = link.pipe(direction).tap.clone();
        tap.listen(bytes, &mut version, |packet| {
            let observation = match (&packet, from) {
                (Ok(packet), Peer::Client) => Observation::Sent { client, link: link_id, packet },
                (Ok(packet), Peer::Server) => Observation::Reached { client, link: link_id, packet },
                (Err(bytes), Peer::Client) => Observation::Garbage { client, link: link_id, bytes },
                // What a broker or a damaged wire sends is not the client's fault.
                (Err(_), Peer::Server) => return,
            };
            self.observe(&observation);
        });
        if let Some(link) = self.links.get_mut(&link_id) {
            link.pipe(direction).tap = tap;
            link.version = version;
        }
    }

    /// The connection breaks now: what was under way is lost, or the last of it still arrives; each end that is to
    /// learn of it does so soon.
    pub(super) fn break_link(&mut self, link_id: LinkId) {
        let now = self.now;
        let Some(link) = self.links.get(&link_id) else { return };
        let occasion = link.occasion();
        let (first, reset, half_open) = (!link.broken, link.reset, link.untold.is_some());
        if first {
            self.trace.add(now, Happening::Broke { link: link_id });
        }
        if first && reset {
            self.struck(Fault::Reset, occasion);
        }
        if first && half_open {
            self.struck(Fault::HalfOpen, occasion);
        }
        let mut random = self.chance(Draw::Break, occasion);
        let (reset, up_lost, down_lost) = (random.below(2) == 0, random.below(2) == 0, random.below(2) == 0);
        let news = [random.span(Duration::ZERO, NEWS), random.span(Duration::ZERO, NEWS)];
        let how = if reset { Closed::Failed } else { Closed::Ended };
        self.sever(link_id, how, [up_lost, down_lost], news);
    }

    /// Nothing passes any more, either way; each end that is to learn of it does so after its time.
    pub(super) fn sever(&mut self, link_id: LinkId, how: Closed, lost: [bool; 2], news: [Duration; 2]) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&link_id) else { return };
        link.broken = true;
        link.breaks_at = None;
        let untold = link.untold;
        for (direction, lost, news, receiver) in [
            (Direction::Up, lost[0], news[0], Side::Broker),
            (Direction::Down, lost[1], news[1], Side::Client),
        ] {
            let pipe = link.pipe(direction);
            if lost {
                pipe.lose();
            }
            // Whatever is written from now on goes nowhere.
            pipe.swallow();
            if untold != Some(receiver) {
                let at = pipe.finish(now.after(news), how);
                self.agenda.plan(at, Planned::Arrive { link: link_id, direction });
            }
        }
    }

    /// The client closes its end; the broker learns of it after the last bytes, unless nothing gets there.
    pub(super) fn client_closes(&mut self, link_id: LinkId) {
        let now = self.now;
        let swallowed = self.swallow(link_id, Direction::Up);
        let Some(link) = self.links.get_mut(&link_id) else { return };
        link.down.lose();
        if !link.broken && !swallowed {
            let at = link.up.finish(now.after(link.latency), Closed::Ended);
            self.agenda.plan(at, Planned::Arrive { link: link_id, direction: Direction::Up });
        }
    }

    /// The broker closes its end.
    pub(super) fn server_closes(&mut self, link_id: LinkId) {
        let now = self.now;
        let swallowed = self.swallow(link_id, Direction::Down);
        let Some(link) = self.links.get_mut(&link_id) else { return };
        link.up.lose();
        if !link.broken && !swallowed {
            let at = link.down.finish(now.after(link.latency), Closed::Ended);
            self.agenda.plan(at, Planned::Arrive { link: link_id, direction: Direction::Down });
        }
        self.server_learns(link_id);
    }

    /// Forgets a connection that both ends are done with.
    pub(super) fn forget_link(&mut self, link_id: LinkId) {
        if self.links.get(&link_id).is_some_and(|link| !link.client_open && !link.broker_open) {
            self.links.remove(&link_id);
        }
    }

    /// Draws the faults that strike by time, once a second as long as there are any.
    fn second(&mut self) {
        if !self.faults.has_ticks() {
            return;
        }
        let faults = self.faults;
        let number = self.seconds;
        self.seconds += 1;
        for broker in self.server_ids() {
            let occasion = Occasion::BrokerSecond { broker, number };
            let mut random = self.chance(Draw::Fault(Fault::BrokerRestart), occasion);
            if random.happens(faults.broker_restart)
                && self.server(broker).is_some_and(|server| server.is_up())
            {
                let amnesia = random.happens(faults.broker_amnesia);
                let fault = if amnesia { Fault::BrokerAmnesia } else { Fault::BrokerRestart };
                if self.allows(fault, occasion) {
                    self.struck(fault, occasion);
                    let outage = random.span(Duration::ZERO, faults.outage_max);
                    self.broker_fails(broker, amnesia, Some(outage));
                }
            }
        }
        for client in self.clients() {
            let occasion = Occasion::ClientSecond { client, number };
            if let Some(mut random) = self.strike(Fault::ClockStep, faults.clock_step, occasion) {
                let jump = random.span(Duration::ZERO, CLOCK_JUMP);
                let jump = i64::try_from(jump.as_micros()).unwrap_or(0);
                let forward = random.below(2) == 0;
                self.step_clock(client, if forward { jump } else { -jump });
            }
            if !self.is_down(client)
                && let Some(mut random) = self.strike(Fault::Stall, faults.stall, occasion)
            {
                self.stall(client, random.span(Duration::ZERO, faults.stall_max));
            }
        }
        self.plan_after(Duration::from_secs(1), Planned::Second);
    }
}
