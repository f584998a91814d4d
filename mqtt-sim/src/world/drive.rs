//! The drivers' work, on both sides: bytes from pipes to peers and back, commands carried out, deadlines kept.

use core::time::Duration;

use mqtt_proto::{Peer, frame_len};
use mqtt_session::{Closed, Command, Key};

use crate::checks::{Observation, Rest};

use super::chance::Draw;
use super::clock::Planned;
use super::link::Link;
use super::{
    BrokerId, ClientId, Direction, Fault, Happening, LinkId, Observed, Occasion, StorageKind, World,
};

/// Rounds of one client's driver at one instant before it is taken to spin.
const MAX_ROUNDS: u32 = 100_000;
/// Longest time until a transport that took a part takes more.
const PAUSE: Duration = Duration::from_millis(2);

/// A command of a session.
enum Order {
    Open(u8),
    Close,
    Write(Key, Option<Vec<u8>>),
}

impl World {
    pub(super) fn client_timeout(&mut self, id: ClientId) {
        let now = self.now;
        if let Some(client) = self.client(id)
            && client.is_awake()
        {
            let local = client.local(now);
            client.engine.handle_timeout(local);
            self.serve_client(id);
            self.show_rest(id);
        }
    }

    /// Shows the checks what a client's session has, which was told the time just now.
    pub(super) fn show_rest(&mut self, id: ClientId) {
        let now = self.now;
        let Some(client) = self.client(id).filter(|client| client.is_awake()) else { return };
        let engine = &client.engine;
        let memory = engine.memory();
        let bound = match client.options.storage {
            StorageKind::Heap => client.options.config.peak_memory(),
            StorageKind::Fixed => memory,
        };
        let local = client.local(now);
        let passed = engine.poll_timeout().map_or(Duration::ZERO, |due| local.since(due));
        let (connected, stats) = (engine.is_connected(), engine.stats());
        self.observe(&Observation::Rested {
            client: id,
            rest: &Rest { memory, bound, passed, connected, stats },
        });
    }

    /// What a driver does after anything has happened, until nothing is left to do.
    pub(super) fn serve_client(&mut self, id: ClientId) {
        if self.client(id).is_none_or(|client| !client.is_awake()) {
            return;
        }
        let mut rounds = 0;
        // Output first: what it comes to is told, and recorded, behind it.
        while self.client_writes(id) | self.client_reads(id) | self.client_events(id) | self.carry_out(id) {
            rounds += 1;
            if rounds > MAX_ROUNDS {
                self.steps_at_once = u64::MAX / 2;
                return;
            }
        }
        let now = self.now;
        let due = self.client(id).filter(|client| !client.down).and_then(|client| {
            let local = client.engine.poll_timeout()?;
            Some(client.global(local).max(now))
        });
        self.agenda.arm_client(id, due);
    }

    fn carry_out(&mut self, id: ClientId) -> bool {
        let mut any = false;
        while let Some(command) = self.next_command(id) {
            any = true;
            if self.crashes(id) {
                break;
            }
            match command {
                Order::Open(server) => self.dial(id, server),
                Order::Close => {
                    let Some(client) = self.client(id) else { break };
                    client.dial = None;
                    if let Some(link) = client.link {
                        self.client_closes(link);
                    }
                    self.client_learns(id, Closed::Carried);
                }
                Order::Write(key, record) => self.write_journal(id, key, record),
            }
        }
        any
    }

    /// The next command, owned.
    fn next_command(&mut self, id: ClientId) -> Option<Order> {
        let client = self.client(id).filter(|client| !client.down)?;
        loop {
            return Some(match client.engine.poll_command()? {
                Command::Open { server, .. } => Order::Open(server),
                Command::Close => Order::Close,
                Command::Put { key, record } => Order::Write(key, Some(record.chunks().concat())),
                Command::Delete { key } => Order::Write(key, None),
                _ => continue,
            });
        }
    }

    fn dial(&mut self, id: ClientId, server: u8) {
        let Some(client) = self.client(id) else { return };
        let brokers = &client.options.brokers;
        let Some(broker) = brokers.get(usize::from(server).checked_rem(brokers.len()).unwrap_or(0)).copied()
        else {
            return;
        };
        let dial = client.next_dial;
        client.next_dial += 1;
        client.dial = Some(dial);
        self.trace.add(self.now, Happening::Dialled { client: id, broker });
        let occasion = Occasion::Dial { client: id, number: dial };
        if self.strike(Fault::DialLost, self.faults.dial_lost, occasion).is_some() {
            return;
        }
        let mut random = self.chance(Draw::DialTime, occasion);
        let span = random.span(Duration::from_micros(200), Duration::from_millis(40));
        self.plan_after(span, Planned::Dial { client: id, dial, broker });
    }

    /// The client's end is over, and its session is told why.
    pub(super) fn client_learns(&mut self, id: ClientId, why: Closed) {
        let now = self.now;
        let Some(client) = self.client(id) else { return };
        client.inbox.clear();
        client.dial = None;
        let link = client.link.take();
        let local = client.local(now);
        client.engine.closed(why, local);
        let Some(link_id) = link else { return };
        self.trace.add(now, Happening::Closed { link: link_id, client_side: true });
        if let Some(link) = self.links.get_mut(&link_id) {
            link.client_open = false;
            let partial = link.up.tap.partial().to_vec();
            self.observe(&Observation::Closed { client: id, link: link_id, partial: &partial });
        }
        self.forget_link(link_id);
    }

    /// Takes what has arrived for a client, as far as its session wants it.
    fn client_reads(&mut self, id: ClientId) -> bool {
        let now = self.now;
        let Some(client) = self.client(id) else { return false };
        let wants = client.engine.wants_read();
        let Some(link_id) = client.link else { return false };
        let mut any = false;
        if self.crashes(id) {
            return true;
        }
        if wants && let Some((mut bytes, occasion)) = self.read_pipe(link_id, Direction::Down) {
            any = true;
            self.damage(&mut bytes, occasion);
            self.trace.add(
                now,
                Happening::Delivered { link: link_id, direction: Direction::Down, bytes: bytes.clone() },
            );
            if let Some(client) = self.client(id) {
                client.inbox.extend_from_slice(&bytes);
            }
        }
        if self.feed(id) {
            return true;
        }
        let ended = self.links.get(&link_id).and_then(|link| link.down.ended(now));
        if let Some(how) = ended.filter(|_| !any) {
            if self.links.get(&link_id).is_some_and(|link| link.half_closed) {
                self.client_closes(link_id);
            }
            self.client_learns(id, how);
            return true;
        }
        any
    }

    /// Gives the session what was read, also what it did not want before.
    fn feed(&mut self, id: ClientId) -> bool {
        let now = self.now;
        // Where brokers break the protocol, a session that closes on a packet passes over those behind it: one by one,
        // the checks see which those were.
        let one_by_one = self.lawless;
        let mut any = false;
        loop {
            let Some(client) = self.client(id) else { return any };
            let local = client.local(now);
            let link = client.link;
            let mut inbox = core::mem::take(&mut client.inbox);
            let offered = if one_by_one { first_packet(&inbox) } else { &inbox[..] };
            let mut input = offered;
            let was_up = client.engine.is_connected();
            let event = client.engine.receive(&mut input, local);
            let closing = was_up && !client.engine.is_connected();
            let used = offered.len() - input.len();
            any |= used > 0;
            let more = one_by_one && used > 0 && used < inbox.len();
            if let Some(link) = link.filter(|_| used > 0) {
                // What was read but not consumed has not reached the session.
                self.listen(link, Peer::Server, inbox.get(..used).unwrap_or(&[]));
                if closing && let Some(link) = self.links.get_mut(&link) {
                    link.down.tap.ignore();
                }
            }
            inbox.drain(..used);
            if let Some(client) = self.client(id) {
                client.inbox = inbox;
            }
            match event {
                Some(event) => {
                    any = true;
                    if self.crashes(id) {
                        return true;
                    }
                    self.tell(id, event);
                }
                None if more => {}
                None => return any,
            }
        }
    }

    fn client_events(&mut self, id: ClientId) -> bool {
        let mut any = false;
        while let Some(event) = self.client(id).and_then(|client| client.engine.poll_event()) {
            any = true;
            if self.crashes(id) {
                break;
            }
            self.tell(id, event);
        }
        any
    }

    pub(super) fn tell(&mut self, id: ClientId, event: Observed) {
        self.observe(&Observation::Event { client: id, event: &event });
        self.trace.add(self.now, Happening::Event { client: id, event: event.clone() });
        if let Some(client) = self.client(id) {
            client.tell(event);
        }
    }

    fn client_writes(&mut self, id: ClientId) -> bool {
        let now = self.now;
        let mut any = false;
        loop {
            let Some(client) = self.client(id) else { return any };
            let Some(link_id) = client.link else { return any };
            let local = client.local(now);
            let Some(link) = self.links.get(&link_id) else { return any };
            if link.up.blocked {
                return any;
            }
            let (room, occasion) = (link.up.room(), link.write_occasion(Direction::Up));
            let partial = self.threatens(Fault::PartialWrite, self.faults.partial_write, occasion);
            let Some(client) = self.client(id) else { return any };
            let mut bytes = Vec::new();
            let (mut offered, mut struck) = (0, false);
            let taken = client.engine.write(local, &mut |chunk| {
                offered = chunk.len();
                let mut take = chunk.len().min(room);
                if take > 1
                    && let Some(mut random) = partial.clone()
                {
                    take = 1 + random.size_below(take - 1);
                    struck = true;
                }
                bytes.extend_from_slice(chunk.get(..take).unwrap_or(chunk));
                take
            });
            if taken.is_none() {
                return any;
            }
            any |= !bytes.is_empty();
            if self.crashes(id) {
                return true;
            }
            if bytes.len() < offered {
                self.block(link_id, Direction::Up, struck.then_some(occasion));
            }
            self.listen(link_id, Peer::Client, &bytes);
            self.push(link_id, Direction::Up, &bytes);
        }
    }

    /// The transport takes no more for now. If that is only a partial write, it will again in a moment; if the pipe is
    /// full, when the receiver has read.
    fn block(&mut self, link_id: LinkId, direction: Direction, partial: Option<Occasion>) {
        let Some(link) = self.links.get_mut(&link_id) else { return };
        link.pipe(direction).blocked = true;
        if let Some(occasion) = partial {
            self.struck(Fault::PartialWrite, occasion);
            let span = self.chance(Draw::Pause, occasion).span(Duration::ZERO, PAUSE);
            self.plan_after(span, Planned::Room { link: link_id, direction });
        }
    }

    pub(super) fn server_timeout(&mut self, id: BrokerId) {
        let now = self.now;
        if let Some(server) = self.server(id)
            && server.is_up()
        {
            server.broker.handle_timeout(now);
            self.serve_server(id);
        }
    }

    /// Writes what a broker has to send, closes what it wants closed, and keeps its next deadline.
    pub(super) fn serve_server(&mut self, id: BrokerId) {
        let now = self.now;
        while let Some(conn) = self.server(id).and_then(|server| server.broker.poll_active()) {
            if let Some(link) = self.server(id).and_then(|server| server.links.get(&conn).copied()) {
                self.server_writes(link);
            }
        }
        let due = self
            .server(id)
            .filter(|server| server.is_up())
            .and_then(|server| server.broker.poll_timeout())
            .map(|at| at.max(now));
        self.agenda.arm_server(id, due);
    }

    pub(super) fn server_writes(&mut self, link_id: LinkId) {
        loop {
            let Some(link) = self.links.get(&link_id) else { return };
            if link.down.blocked || !link.broker_open {
                return;
            }
            let (conn, broker, room) = (link.conn, link.broker, link.down.room());
            let occasion = link.write_occasion(Direction::Down);
            let partial = self.threatens(Fault::PartialWrite, self.faults.partial_write, occasion);
            let Some(server) = self.server(broker) else { return };
            let pending = server.broker.outgoing(conn);
            if pending.is_empty() {
                if server.broker.wants_close(conn) {
                    self.server_closes(link_id);
                }
                return;
            }
            let offered = pending.len();
            let mut take = offered.min(room);
            let partial = partial.filter(|_| take > 1);
            if let Some(mut random) = partial.clone() {
                take = 1 + random.size_below(take - 1);
            }
            let bytes = pending.get(..take).unwrap_or(pending).to_vec();
            server.broker.advance(conn, take);
            if take < offered {
                self.block(link_id, Direction::Down, partial.map(|_| occasion));
            }
            self.push(link_id, Direction::Down, &bytes);
        }
    }

    /// Gives a broker what has arrived for it.
    pub(super) fn server_reads(&mut self, link_id: LinkId) {
        let now = self.now;
        let Some(Link { broker, conn, .. }) = self.links.get(&link_id) else { return };
        let (broker, conn) = (*broker, *conn);
        while let Some((bytes, _)) = self.read_pipe(link_id, Direction::Up) {
            if let Some(server) = self.server(broker) {
                server.broker.receive(conn, &bytes, now);
            }
            self.note_deeds(broker);
            self.trace.add(now, Happening::Delivered { link: link_id, direction: Direction::Up, bytes });
        }
        if let Some(link) = self.links.get(&link_id)
            && link.broker_open
            && link.up.ended(now).is_some()
        {
            if link.half_closed { self.server_closes(link_id) } else { self.server_learns(link_id) }
        }
        self.serve_server(broker);
    }

    /// Counts what a broker has just done wrong by chance.
    fn note_deeds(&mut self, id: BrokerId) {
        let Some(server) = self.server(id) else { return };
        for deed in server.broker.take_deeds() {
            let link = self.server(id).and_then(|server| server.links.get(&deed.conn).copied());
            let Some(link) = link.and_then(|link| self.links.get(&link)) else { continue };
            let occasion =
                Occasion::Answer { client: link.client, connection: link.number, number: deed.answer };
            self.struck(if deed.doubled { Fault::Duplicate } else { Fault::LostAck }, occasion);
        }
    }

    /// The broker's end is over: by its own wish, or because it learnt so.
    pub(super) fn server_learns(&mut self, link_id: LinkId) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&link_id) else { return };
        let (broker, conn) = (link.broker, link.conn);
        link.broker_open = false;
        if let Some(server) = self.server(broker) {
            server.broker.closed(conn, now);
            server.links.remove(&conn);
        }
        self.trace.add(now, Happening::Closed { link: link_id, client_side: false });
        self.forget_link(link_id);
    }
}

/// The first packet of `bytes`, or all of them if it is not whole.
fn first_packet(bytes: &[u8]) -> &[u8] {
    let len = frame_len(bytes, usize::MAX).ok().flatten().unwrap_or(bytes.len());
    bytes.get(..len).unwrap_or(bytes)
}
