//! What happens to connections: bytes under way, breaks, and the planned happenings of the world.

use core::time::Duration;

use mqtt_proto::Peer;
use mqtt_session::Closed;

use crate::checks::Observation;

use super::clock::Planned;
use super::link::{Link, Side};
use super::{BrokerId, ClientId, Direction, Fault, Happening, LinkId, World};

/// Longest time until what a split read left over can be read.
const SPLIT_PAUSE: Duration = Duration::from_millis(3);
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
        let (mut link, planned) = Link::new(id, broker, conn, now, &self.faults, &mut self.random);
        if let Some((direction, bytes)) = self.client(id).and_then(|client| client.planned_cut.take()) {
            link.pipe(direction).break_at = Some(bytes);
            link.untold = None;
        }
        if let Some(at) = link.breaks_at {
            self.agenda.plan(at, Planned::Break { link: link_id });
        }
        self.links.insert(link_id, link);
        self.trace.add(now, Happening::Opened { link: link_id, client: id, broker });
        for fault in planned {
            self.fault(fault);
        }
        self.observe(&Observation::Opened { client: id, link: link_id });
        if let Some(client) = self.client(id) {
            client.dial = None;
            client.link = Some(link_id);
            let local = client.local(now);
            client.engine.opened(&client.options.connect(), local);
        }
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
        let late = self.random.happens(self.faults.delay);
        let extra =
            if late { self.random.span(Duration::ZERO, self.faults.delay_max) } else { Duration::ZERO };
        let Some(link) = self.links.get_mut(&link_id) else { return };
        let latency = link.latency;
        let at = link.pipe(direction).push(bytes, now.after(latency + extra));
        let broken = !link.broken && link.pipe(direction).is_broken();
        self.agenda.plan(at, Planned::Arrive { link: link_id, direction });
        if late {
            self.fault(Fault::Delay);
        }
        if broken {
            self.break_link(link_id);
        }
    }

    /// Reads one chunk that has arrived, or a part of it.
    pub(super) fn read_pipe(&mut self, link_id: LinkId, direction: Direction) -> Option<Vec<u8>> {
        let now = self.now;
        let split = self.random.happens(self.faults.split_read);
        let link = self.links.get_mut(&link_id)?;
        let pipe = link.pipe(direction);
        let mut bytes = pipe.arrived(now)?;
        if pipe.blocked && pipe.room() > 0 {
            self.agenda.plan(now, Planned::Room { link: link_id, direction });
        }
        if split && bytes.len() > 1 {
            let rest = bytes.split_off(1 + self.random.size_below(bytes.len() - 1));
            let at = now.after(self.random.span(Duration::from_micros(1), SPLIT_PAUSE));
            if let Some(link) = self.links.get_mut(&link_id) {
                link.pipe(direction).unread(rest, at);
            }
            self.agenda.plan(at, Planned::Arrive { link: link_id, direction });
            self.fault(Fault::SplitRead);
        }
        Some(bytes)
    }

    /// Changes a byte, if that fault strikes.
    pub(super) fn damage(&mut self, bytes: &mut [u8]) {
        if self.random.happens(self.faults.malformed) {
            let at = self.random.size_below(bytes.len());
            let flip = u8::try_from(self.random.between(1, 255)).unwrap_or(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= flip;
            }
            self.fault(Fault::Malformed);
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
        let (reset, up_lost, down_lost) =
            (self.random.below(2) == 0, self.random.below(2) == 0, self.random.below(2) == 0);
        let news = [self.random.span(Duration::ZERO, NEWS), self.random.span(Duration::ZERO, NEWS)];
        let Some(link) = self.links.get_mut(&link_id) else { return };
        link.broken = true;
        link.breaks_at = None;
        let how = if reset { Closed::Failed } else { Closed::Ended };
        let untold = link.untold;
        for (direction, lost, news, receiver) in [
            (Direction::Up, up_lost, news[0], Side::Broker),
            (Direction::Down, down_lost, news[1], Side::Client),
        ] {
            let pipe = link.pipe(direction);
            if lost {
                pipe.lose();
            }
            // Whatever is written from now on goes nowhere.
            pipe.swallow_at = Some(pipe.swallow_at.unwrap_or(u64::MAX).min(pipe.written));
            if untold != Some(receiver) {
                let at = pipe.finish(now.after(news), how);
                self.agenda.plan(at, Planned::Arrive { link: link_id, direction });
            }
        }
    }

    /// The client closes its end; the broker learns of it after the last bytes, unless nothing gets there.
    pub(super) fn client_closes(&mut self, link_id: LinkId) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&link_id) else { return };
        link.down.lose();
        if !link.broken && link.up.swallow_at.is_none() {
            let at = link.up.finish(now.after(link.latency), Closed::Ended);
            self.agenda.plan(at, Planned::Arrive { link: link_id, direction: Direction::Up });
        }
    }

    /// The broker closes its end.
    pub(super) fn server_closes(&mut self, link_id: LinkId) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&link_id) else { return };
        link.up.lose();
        if !link.broken && link.down.swallow_at.is_none() {
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
        for broker in self.server_ids() {
            if self.random.happens(faults.broker_restart)
                && self.server(broker).is_some_and(|server| server.is_up())
            {
                let amnesia = self.random.happens(faults.broker_amnesia);
                self.fault(if amnesia { Fault::BrokerAmnesia } else { Fault::BrokerRestart });
                let outage = self.random.span(Duration::ZERO, faults.outage_max);
                self.broker_fails(broker, amnesia, Some(outage));
            }
        }
        for client in self.client_ids() {
            if self.random.happens(faults.clock_step) {
                self.fault(Fault::ClockStep);
                let jump = self.random.span(Duration::ZERO, CLOCK_JUMP);
                let jump = i64::try_from(jump.as_micros()).unwrap_or(0);
                let forward = self.random.below(2) == 0;
                self.step_clock(client, if forward { jump } else { -jump });
            }
            if self.random.happens(faults.stall) {
                self.fault(Fault::Stall);
                let span = self.random.span(Duration::ZERO, faults.stall_max);
                self.stall(client, span);
            }
        }
        self.plan_after(Duration::from_secs(1), Planned::Second);
    }
}
