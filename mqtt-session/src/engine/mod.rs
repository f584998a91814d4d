//! The engine itself: plain code over plain tables. Nothing here knows which storage holds them.

mod accept;
mod acks;
mod aliases;
mod answers;
mod arrivals;
mod auth;
mod deliver;
mod digest;
mod direct;
mod doubts;
mod eager;
mod ending;
mod expiry;
mod farewell;
mod filters;
mod handshake;
mod keep_alive;
mod large;
mod lifecycle;
mod lost;
mod measure;
mod notes;
mod owed;
mod persist;
mod pump;
mod receive;
mod redirect;
mod requests;
mod restore;
mod room;
mod session_clock;
mod session_record;
mod source;
mod subscriptions;

use core::time::Duration;

use mqtt_proto::{PacketId, PacketType, Qos, ReasonCode};

pub(crate) use accept::{Accepted, Body};
pub(crate) use acks::Straight;
pub(crate) use filters::Filters;
pub(crate) use persist::Give;
pub(crate) use session_record::Noted;
pub(crate) use source::Provided;

use crate::aliases::{GivenAliases, SentAliases};
use crate::arena::{Arena, owner};
use crate::client_id::ClientId;
use crate::config::{AckMode, Config};
use crate::event::Event;
use crate::ids::Ids;
use crate::inbound::{Exchanges, OwedRing};
use crate::journal::Journal;
use crate::limits::ServerLimits;
use crate::link::{Link, Notice, Notices, State};
use crate::list::NONE;
use crate::operation::Operations;
use crate::planted::planted;
use crate::record::FOR_EVER;
use crate::stats::Stats;
use crate::storage::{Capacity, Table, Tables, View};
use crate::time::Instant;
use crate::timers::Timers;
use crate::token::Token;
use crate::wire::Wire;

/// A table is too short for what comes next; the shell lets it grow and calls again.
pub(crate) type Need = Option<(Table, usize)>;

/// Bounds that hold on this storage: what the configuration says, or what there is if that is less.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    known: bool,
    operations: u32,
    ids: u16,
    inbound: u16,
    /// Bytes of the arena for operations.
    arena: usize,
    /// Bytes the arena may have in all: what is set aside lies beside what operations keep.
    memory: usize,
    /// Bytes of the arena for the topics of inbound aliases.
    aside: usize,
    aliases_in: u16,
    aliases_out: u16,
    wire: usize,
    /// A payload above this is lent instead of copied to the wire buffer.
    lend_above: usize,
}

/// A packet at the front of the input of which not all has come.
#[derive(Clone, Copy, Debug, Hash)]
struct Partial {
    /// Its length; 0: unknown.
    whole: usize,
    /// Bytes of it that were seen.
    seen: usize,
}

/// What is kept of a live connection. One function makes it new: `Connection::new`.
#[derive(Clone, Copy, Debug, Hash)]
struct Connection {
    /// Tells operations handed out on this connection from others.
    epoch: u32,
    /// Publishes handed out on this connection that hold send quota.
    publishing: u16,
    /// Of those, the ones at QoS 2.
    publishing_qos2: u16,
    /// SUBSCRIBEs and UNSUBSCRIBEs handed out on this connection and not answered.
    requests: u32,
    /// An acknowledgement is awaited from when the transport has taken this much.
    awaited_from: Option<u64>,
    last_in: Instant,
    last_out: Instant,
    /// PINGREQ is to be handed out.
    ping_owed: bool,
    /// PINGREQ fell due and nothing has arrived since.
    ping_open: bool,
    /// The packet at the front of the input is not whole yet; bytes it has in all, 0: unknown.
    partial: Option<Partial>,
    /// CONNECT was handed out and no CONNACK has come.
    handshaking: bool,
    /// When the PINGREQ was handed out that was not answered yet.
    pinged: Option<Instant>,
    /// The publish whose answer is timed, and when it was handed out.
    timed: Option<(PacketId, Instant)>,
    /// CONNACK accepted it.
    accepted: bool,
    /// The Session Expiry Interval that DISCONNECT was given.
    last_word: Option<u32>,
    /// Whose turn it is in an enhanced authentication.
    auth: auth::Turn,
    /// Input is held back: by the driver, or because a message in it has to wait.
    held: bool,
    paused: bool,
    stalled: bool,
    /// A message larger than a buffer is on its way in.
    large: Option<large::Large>,
    /// A message is on its way out whose payload comes from elsewhere.
    source: Option<source::Source>,
    aliases_out: SentAliases,
    aliases_in: GivenAliases,
    /// CONNACK accepted it, and nothing is configured that makes a publish depend on more than the server's
    /// limits: no journal, no `ack_timeout`.
    straight: bool,
}

impl Connection {
    const fn new(epoch: u32, now: Instant) -> Self {
        Self {
            epoch,
            publishing: 0,
            publishing_qos2: 0,
            requests: 0,
            awaited_from: None,
            last_in: now,
            last_out: now,
            ping_owed: false,
            ping_open: false,
            partial: None,
            handshaking: false,
            pinged: None,
            timed: None,
            accepted: false,
            last_word: None,
            auth: auth::Turn::Never,
            held: false,
            paused: false,
            stalled: false,
            large: None,
            source: None,
            aliases_out: SentAliases::new(0),
            aliases_in: GivenAliases::new(0),
            straight: false,
        }
    }

    /// The next one.
    fn renew(&mut self, epoch: u32, now: Instant) {
        let last = core::mem::replace(self, Self::new(epoch, now));
        if planted!("quota-kept") {
            self.publishing = last.publishing;
        }
        if planted!("aliases-kept") {
            self.aliases_out = last.aliases_out;
        }
    }
}

/// All of a session but its tables.
#[derive(Clone, Debug)]
pub(crate) struct Core {
    config: Config,
    bounds: Bounds,
    now: Instant,
    link: Link,
    timers: Timers,
    notices: Notices,
    limits: ServerLimits,
    connection: Connection,
    /// What the server of this run named the client.
    assigned: ClientId,
    /// The server may hold a session whose other half is here.
    session_held: bool,
    /// Whose it is, and whether the server keeps it beyond a connection.
    session_client: u64,
    session_kept: bool,
    /// When the server gives it up unless a connection resumes it.
    session_expires: Instant,
    /// What was left of that when an earlier run recorded it, until the time is told.
    session_left: Option<Duration>,
    /// The Session Expiry Interval in microseconds.
    session_interval: u64,
    /// The server may have made a session for a CONNECT of this run whose CONNACK never came.
    session_made: bool,
    /// Exchanges were given up in the middle: the next connection must begin a new session.
    session_torn: bool,
    ops: Operations,
    ids: Ids,
    arena: Arena,
    /// Bytes counted against `Config::queue_bytes`.
    kept: usize,
    /// Bytes an operation needed that was refused for want of room.
    blocked: Option<usize>,
    /// The DISCONNECT properties in the arena: place and length.
    farewell: Option<(u32, usize)>,
    /// The reason code of the DISCONNECT that `stop` asked for.
    farewell_code: ReasonCode,
    redirects: redirect::Redirects,
    ghosts: expiry::Ghosts,
    /// The first unacknowledged operation of the last connection, and on how many in a row it was.
    first_unacked: Option<(Token, u8)>,
    wire: Wire,
    exchanges: Exchanges,
    owed: OwedRing,
    /// Exchanges whose acknowledgement is to have properties; and where those lie of the one whose turn it is.
    notes: u32,
    said: u32,
    /// Inbound aliases that were set so far: what tells two topics of one number apart.
    alias_marks: u32,
    /// A server of this run gave topics that did not fit; none is asked for aliases any more.
    aliases_overflowed: bool,
    handshake: handshake::Asked,
    doubts: doubts::Doubts,
    /// Connections in a row on which nothing of that was answered.
    unanswered: u8,
    journal: Journal,
    /// A message was not taken: its exchange finds no room before records are deleted.
    held_back: bool,
    stats: Stats,
}

impl Core {
    pub(crate) const fn new(config: Config) -> Self {
        Self {
            bounds: Bounds {
                known: false,
                operations: 0,
                ids: 0,
                inbound: 0,
                arena: 0,
                memory: 0,
                aside: 0,
                aliases_in: 0,
                aliases_out: 0,
                wire: 0,
                lend_above: 0,
            },
            now: Instant::ZERO,
            link: Link::new(config.seed),
            timers: Timers::new(),
            notices: Notices::new(),
            limits: ServerLimits::unlimited(),
            connection: Connection::new(0, Instant::ZERO),
            assigned: ClientId::NONE,
            session_held: false,
            session_client: 0,
            session_kept: false,
            session_expires: Instant::NEVER,
            session_left: None,
            session_interval: FOR_EVER,
            session_made: false,
            session_torn: false,
            ops: Operations::new(),
            ids: Ids::new(),
            arena: Arena::new(),
            kept: 0,
            blocked: None,
            farewell: None,
            farewell_code: ReasonCode::Success,
            redirects: redirect::Redirects::new(),
            ghosts: expiry::Ghosts::new(),
            first_unacked: None,
            wire: Wire::new(),
            exchanges: Exchanges::new(),
            owed: OwedRing::new(),
            notes: 0,
            said: NONE,
            alias_marks: 0,
            aliases_overflowed: false,
            handshake: handshake::Asked::new(),
            doubts: doubts::Doubts::None,
            unanswered: 0,
            journal: Journal::new(),
            held_back: false,
            stats: Stats::new(),
            config,
        }
    }

    /// Learns what the storage can hold, once.
    #[inline]
    pub(crate) fn bind(&mut self, capacity: impl FnOnce() -> Capacity) {
        if !self.bounds.known {
            let capacity = capacity();
            let slots = u32::try_from(capacity.slots).unwrap_or(NONE).min(owner::FIRST);
            let inbound = u16::try_from(capacity.inbound).unwrap_or(u16::MAX);
            let operations = self.config.max_operations.min(slots).min(crate::record::MOST);
            if self.records() {
                self.exchanges.keep_records(self.gates());
            }
            let wire = self.config.wire_bytes.min(capacity.wire);
            let at_most = |wanted: u16, there: usize| wanted.min(u16::try_from(there).unwrap_or(u16::MAX));
            let aliases_in = at_most(self.config.topic_alias_maximum, capacity.aliases_in);
            let memory = self.config.queue_bytes.min(capacity.arena).min(u32::MAX as usize / 2);
            let aside = aliases::set_aside(&self.config, aliases_in, memory);
            self.bounds = Bounds {
                known: true,
                operations,
                ids: self.config.max_in_flight.max(1).min(u16::try_from(operations).unwrap_or(u16::MAX)),
                inbound: self.config.receive_maximum.max(1).min(inbound),
                arena: memory.saturating_sub(aside).saturating_sub(redirect::reserve(&self.config)),
                memory,
                aside,
                aliases_in,
                aliases_out: at_most(self.config.max_topic_aliases, capacity.aliases_out),
                wire,
                lend_above: (wire / 4).min(LEND_ABOVE),
            };
        }
    }

    /// Whether the bounds are known and what was restored is in order.
    #[inline]
    pub(crate) const fn is_ready(&self) -> bool {
        self.bounds.known
    }

    /// Whether nothing was called yet.
    #[cfg(feature = "std")]
    pub(crate) const fn is_untouched(&self) -> bool {
        !self.bounds.known && !self.journal.restoring
    }

    #[cfg(feature = "std")]
    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    /// Something was restored: it is to be put in order before anything else.
    fn unready(&mut self) {
        self.bounds.known = false;
    }

    /// The session is told the time; it never goes back.
    #[inline]
    pub(crate) fn tell(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.timers.tell(self.now);
    }

    // ---- outputs -----------------------------------------------------------------------------

    pub(crate) fn poll_event(&mut self, tables: &mut Tables<'_>) -> Option<Event<'static>> {
        match self.notices.front().copied() {
            Some(Notice::Stopped { left }) => {
                // Every `Done` comes before the end.
                if self.records()
                    && let Some(durable) = self.next_durable(tables)
                {
                    return Some(durable);
                }
                if let Some(done) = self.next_ended(tables) {
                    return Some(done);
                }
                self.notices.pop();
                return Some(Event::Stopped { left });
            }
            Some(notice) => {
                self.notices.pop();
                self.attempt_if_calm();
                return Some(match notice {
                    Notice::Connecting { attempt, server } => Event::Connecting { attempt, server },
                    Notice::Disconnected { why, retry } => Event::Disconnected { why, retry },
                    Notice::SessionLost { republished, ended } => Event::SessionLost { republished, ended },
                    Notice::Aborted => Event::Aborted,
                    Notice::Suspect { token } => Event::Suspect { token },
                    Notice::Stopped { left } => Event::Stopped { left },
                });
            }
            None => {}
        }
        if self.records()
            && let Some(durable) = self.next_durable(tables)
        {
            return Some(durable);
        }
        if let Some(done) = self.next_ended(tables) {
            return Some(done);
        }
        if let Some(wanted) = self.next_wanted() {
            return Some(wanted);
        }
        if let Some(anomaly) = self.notices.anomaly.take() {
            return Some(Event::Anomaly(anomaly));
        }
        if let Some(needed) = self.blocked
            && !self.link.stopping
            && self.room_for(needed).is_ok()
        {
            self.blocked = None;
            return Some(Event::Unblocked);
        }
        None
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.timers.pending() || self.ops.is_unstamped() {
            // A command began a deadline: the time must be told.
            return Some(self.now);
        }
        let timer = self.timers.next().unwrap_or(Instant::NEVER);
        let ping = self.ping_due().unwrap_or(Instant::NEVER);
        let session = self.session_due().unwrap_or(Instant::NEVER);
        Some(timer.min(ping).min(session).min(self.ops.next_expiry)).filter(|due| *due != Instant::NEVER)
    }

    pub(crate) fn chunks<'b>(&self, view: &View<'b>) -> [&'b [u8]; 3] {
        let payload = self.wire.lent().map_or(&[][..], |lent| view.payload(lent.slot));
        self.wire.chunks(view.wire, payload)
    }

    pub(crate) fn has_outgoing(&self) -> bool {
        !self.wire.is_empty()
    }

    // ---- questions ---------------------------------------------------------------------------

    pub(crate) fn is_connected(&self) -> bool {
        self.link.state == State::Up
    }

    pub(crate) fn wants_read(&self) -> bool {
        self.owed.len() < usize::from(self.bounds.inbound)
            && !self.is_stalled()
            && !(self.records() && self.exchanges.is_clogged(self.bounds.inbound.into()))
    }

    pub(crate) fn read_hint(&self) -> usize {
        self.connection.partial.map_or(0, |partial| partial.whole)
    }

    pub(crate) fn limits(&self) -> &ServerLimits {
        &self.limits
    }

    pub(crate) fn open(&self) -> u32 {
        self.ops.pending()
    }

    pub(crate) fn can_publish(&self, qos: Qos) -> bool {
        let quota = qos == Qos::AtMostOnce || (self.has_quota(qos) && self.ids_left());
        !self.link.stopping
            && quota
            && self.is_connected()
            && self.ops.cursor == NONE
            && self.ops.release_cursor == NONE
            && !self.is_mid_packet()
            && self.has_wire_room()
            && self.room_for(0).is_ok()
    }

    /// Whether a message of which nothing needs to be lent fits the wire buffer, behind what goes before it:
    /// acknowledgements of at most 5 bytes each, and a ping.
    fn has_wire_room(&self) -> bool {
        let acks = self.owed.len().saturating_add(self.exchanges.unanswered() as usize);
        let before = self.wire.pending().saturating_add(acks.saturating_mul(5)).saturating_add(2);
        let message = self.bounds.lend_above.saturating_add(pump::OWN_HEAD);
        before < pump::GATHER && before.saturating_add(message) <= self.bounds.wire
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            open: self.ops.pending(),
            in_flight: u32::from(self.ids.used()),
            queued: self.ops.waiting().saturating_sub(u32::from(self.ids.used())),
            publishes_out: self.stats.packets_out.of(PacketType::Publish),
            publishes_in: self.stats.packets_in.of(PacketType::Publish),
            bytes_kept: self.kept,
            ..self.stats
        }
    }

    fn max_packet_in(&self) -> u32 {
        self.config.max_packet_in.max(64)
    }

    pub(crate) fn keeps(&self, view: &View<'_>, token: Token) -> bool {
        self.ops.find(view.slots, token).is_some()
    }

    fn manual_acks(&self) -> bool {
        self.config.ack_mode == AckMode::Manual
    }

    /// Publishes that hold send quota: handed out on this connection, or past PUBREC.
    fn in_flight(&self) -> u32 {
        u32::from(self.connection.publishing).wrapping_add(self.ops.release.len())
    }

    /// Whether one more publish at QoS 1 or 2 may be in flight.
    #[inline(always)]
    fn has_quota(&self, qos: Qos) -> bool {
        // [MQTT-3.3.4-9], and the own caps.
        let quota = u32::from(self.limits.receive_maximum.min(self.bounds.ids));
        let unannounced = qos == Qos::ExactlyOnce && !self.link.version.has_properties();
        let qos2 = u32::from(self.connection.publishing_qos2).saturating_add(self.ops.release.len());
        self.in_flight() < quota
            && !(unannounced && qos2 >= u32::from(self.config.max_in_flight_qos2_v3.max(1)))
    }

    fn ids_left(&self) -> bool {
        self.ids.needed(self.bounds.ids).is_some()
    }
}

/// A payload above this many bytes is lent to the transport from where it is kept.
const LEND_ABOVE: usize = 4_096;

/// Stands for an identifier where only the length of a packet is asked.
const ANY_ID: PacketId = {
    let mut id = 1;
    loop {
        if let Some(id) = PacketId::new(id) {
            break id;
        }
        id += 1;
    }
};
