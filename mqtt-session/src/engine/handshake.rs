//! CONNECT out, CONNACK in.

use mqtt_proto::{
    Connack, Connect, DecodeErrorKind, Encode, EncodeError, EncodedProperties, PacketType, Peer, Properties,
    Property, PropertyPlace, ReasonCode, Version,
};

use super::auth::Turn;
use super::doubts::Doubts;
use super::receive::closing;
use super::{Core, Need};
use crate::aliases::GivenAliases;
use crate::client_id::{ClientId, LONGEST_3_1};
use crate::error::StartError;
use crate::event::{Anomaly, Connected, Event, Why};
use crate::limits::ServerLimits;
use crate::link::State;
use crate::options::{ConnectOptions, LocalState};
use crate::planted::planted;
use crate::storage::{Table, Tables};
use crate::time::Instant;
use crate::timers::Timer;
use crate::trace::{debug, trace};

/// Whether the session itself says this in CONNECT.
fn is_own(property: &Property<'_>) -> bool {
    matches!(
        property,
        Property::SessionExpiryInterval(_)
            | Property::ReceiveMaximum(_)
            | Property::MaximumPacketSize(_)
            | Property::TopicAliasMaximum(_)
    )
}

/// Tells client identifiers, and authentication methods, apart without keeping them (FNV-1a).
pub(super) fn fingerprint(text: &str) -> u64 {
    text.bytes()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// The options with a client identifier of the session's own, where they have none.
fn named_by<'a>(options: &ConnectOptions<'a>, own: &'a ClientId) -> ConnectOptions<'a> {
    let client_id = if options.client_id.is_empty() { own.as_str() } else { options.client_id };
    ConnectOptions { client_id, ..*options }
}

/// What CONNECT asked for and CONNACK is judged by.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Asked {
    clean: bool,
    local_state: LocalState,
    keep_alive: u16,
    pub(super) session_expiry: u32,
    /// Whose session it is: a fingerprint of the client identifier.
    client: u64,
    /// The server is to assign one.
    nameless: bool,
    /// The options cannot be said in a lower version than 5.0.
    pub(super) needs_5: bool,
    /// Reasons may come with any packet.
    pub(super) problem_information: bool,
    /// Response Information may come.
    response_information: bool,
    /// A fingerprint of the Authentication Method.
    pub(super) method: Option<u64>,
}

impl Asked {
    pub(super) const fn new() -> Self {
        Self {
            clean: true,
            local_state: LocalState::None,
            keep_alive: 0,
            session_expiry: 0,
            client: 0,
            nameless: false,
            needs_5: false,
            problem_information: true,
            response_information: false,
            method: None,
        }
    }
}

/// The properties the session itself puts into CONNECT.
struct Own<'a> {
    list: [Property<'a>; 4],
    len: usize,
}

impl<'a> Own<'a> {
    fn list(&self) -> &[Property<'a>] {
        self.list.get(..self.len).unwrap_or_default()
    }

    fn push(&mut self, property: Property<'a>) {
        if let Some(place) = self.list.get_mut(self.len) {
            *place = property;
            self.len = self.len.saturating_add(1);
        }
    }
}

impl Core {
    fn own_properties<'a>(&self, options: &ConnectOptions<'_>) -> Own<'a> {
        let mut own = Own { list: [Property::SessionExpiryInterval(0); 4], len: 0 };
        if options.version.has_properties() {
            if options.session_expiry != 0 {
                own.push(Property::SessionExpiryInterval(options.session_expiry));
            }
            if self.bounds.inbound != u16::MAX {
                own.push(Property::ReceiveMaximum(self.bounds.inbound));
            }
            own.push(Property::MaximumPacketSize(self.largest_in()));
            let aliases = self.topic_alias_maximum(options.version);
            if aliases != 0 {
                own.push(Property::TopicAliasMaximum(aliases));
            }
        }
        own
    }

    /// The client identifier to use where the options give none.
    fn own_client_id(&self, options: &ConnectOptions<'_>) -> ClientId {
        match options.version {
            _ if !options.client_id.is_empty() => ClientId::NONE,
            Version::V3_1 => ClientId::made_of(self.config.seed),
            Version::V3_1_1 => ClientId::NONE,
            Version::V5 => self.assigned,
        }
    }

    fn connect<'a>(&self, options: &ConnectOptions<'a>, properties: Properties<'a>) -> Connect<'a> {
        // The first connection of a run does as asked. Later ones resume what there is: in 5.0 by
        // Clean Start 0, in 3.x only where the session outlives a connection at all.
        let asked = options.clean_start && (self.link.first || !options.version.has_properties());
        // Without a client identifier there is nothing to resume. [MQTT-3.1.3-7] of 3.1.1
        let nameless = options.client_id.is_empty() && options.version == Version::V3_1_1;
        let clean = asked || nameless || self.session_torn;
        Connect {
            version: options.version,
            bridge: false,
            clean_start: clean,
            keep_alive: options.keep_alive,
            client_id: options.client_id,
            properties,
            will: options.will,
            username: options.username,
            password: options.password,
        }
    }

    /// The bytes of the wire buffer that CONNECT with these options needs.
    pub(crate) fn connect_room(&self, options: &ConnectOptions<'_>) -> Result<usize, StartError> {
        let named = self.own_client_id(options);
        let options = &named_by(options, &named);
        let own = self.own_properties(options);
        let extra = if options.version.has_properties() {
            options.properties.check(PropertyPlace::Connect).map_err(StartError::Invalid)?;
            if let Some(property) = options.properties.iter().find(is_own) {
                return Err(StartError::Invalid(EncodeError::PropertyNotAllowed(property.id())));
            }
            options.properties.body_len()
        } else {
            0
        };
        let connect = self.connect(options, Properties::List(own.list()));
        // The options' properties are encoded behind CONNECT first, and may lengthen its length field by 3.
        let room = connect
            .encoded_len(options.version)
            .map_err(StartError::Invalid)?
            .saturating_add(extra.saturating_mul(2))
            .saturating_add(6);
        if room > self.bounds.wire {
            return Err(StartError::ConnectTooLarge { needed: room, room: self.bounds.wire });
        }
        Ok(room)
    }

    pub(crate) fn start(
        &mut self,
        tables: &mut Tables<'_>,
        options: &ConnectOptions<'_>,
    ) -> Result<(), StartError> {
        if self.link.state != State::Idle || self.notices.has_stopped() {
            return Err(StartError::AlreadyStarted);
        }
        if options.version == Version::V3_1_1 && options.client_id.is_empty() && !options.clean_start {
            // [MQTT-3.1.3-7] of 3.1.1
            return Err(StartError::Invalid(EncodeError::ClientIdNotValid));
        }
        if !self.records() || !options.client_id.is_empty() {
            self.assigned = ClientId::NONE;
        }
        self.connect_room(options)?;
        if self.records() {
            let named = self.own_client_id(options);
            let client = fingerprint(named_by(options, &named).client_id);
            self.start_recorded(client, options.client_id.is_empty(), options.clean_start)?;
        }
        self.forget_redirects(tables);
        self.link.first = true;
        self.link.attempt = 0;
        self.link.ghost = None;
        self.session_made &= self.journal.restored;
        self.aliases_overflowed = false;
        self.link.highest = options.version;
        self.link.proved = false;
        self.link.silent = 0;
        self.begin_attempt();
        Ok(())
    }

    /// What the wire buffer lacks for CONNECT.
    pub(crate) fn room_for_connect(&self, tables: &Tables<'_>, options: &ConnectOptions<'_>) -> Need {
        let room = self.connect_room(options).ok()?;
        if self.link.state != State::Opening {
            return None;
        }
        if tables.wire.len() < room {
            return Some((Table::Wire, room));
        }
        // The server may set each of them at any time. [MQTT-3.3.2-10]
        let aliases = usize::from(self.topic_alias_maximum(self.on_the_ladder(options).version));
        (tables.aliases_in.len() < aliases).then_some((Table::AliasesIn, aliases))
    }

    pub(crate) fn opened(&mut self, tables: &mut Tables<'_>, options: &ConnectOptions<'_>, now: Instant) {
        self.tell(now);
        if self.link.state != State::Opening || self.link.open_wanted {
            return;
        }
        self.timers.clear(Timer::Dial);
        self.expire_session(tables);
        self.connection.renew(self.connection.epoch, self.now);
        self.limits = ServerLimits::unlimited();
        let options = &self.on_the_ladder(options);
        self.link.version = options.version;
        let connect_len = self.connect_room(options).ok().and_then(|_| self.write_connect(tables, options));
        let starved = planted!("connect-starved") && self.kept.saturating_mul(2) > self.bounds.arena;
        let Some(connect_len) = connect_len.filter(|_| !starved) else {
            self.close(Why::ConnectInvalid, None);
            return;
        };
        self.stats.packets_out.count((PacketType::Connect as u8) << 4);
        trace!("CONNECT, version {}, clean start {}", self.link.version.level(), self.handshake.clean);
        self.wire.written(connect_len);
        self.connection.aliases_in = GivenAliases::new(self.topic_alias_maximum(options.version));
        self.link.state = State::Handshake;
        self.connection.handshaking = true;
        if self.handshake.method.is_some() {
            self.connection.auth = Turn::Server;
        }
        self.timers.set(Timer::Connack, self.now.after(self.config.connack_timeout));
    }

    /// The options with the version that is tried this time.
    fn on_the_ladder<'a>(&self, options: &ConnectOptions<'a>) -> ConnectOptions<'a> {
        let version =
            if self.config.version_ladder { options.version.min(self.link.highest) } else { options.version };
        ConnectOptions { version, ..*options }
    }

    /// Encodes CONNECT at the start of the empty wire buffer.
    fn write_connect(&mut self, tables: &mut Tables<'_>, options: &ConnectOptions<'_>) -> Option<usize> {
        let named = self.own_client_id(options);
        let options = &named_by(options, &named);
        if options.version == Version::V3_1 && options.client_id.chars().nth(LONGEST_3_1).is_some() {
            self.notices.anomaly = Some(Anomaly::LongClientId);
        }
        let own = self.own_properties(options);
        let space = self.wire.space(tables.wire, 0);
        // The options' properties have any form; encoded at the far end of the buffer they can follow
        // the session's own in one packet.
        let extra_len = if options.version.has_properties() { options.properties.body_len() } else { 0 };
        let (space, extra) = space.split_at_mut_checked(space.len().checked_sub(extra_len)?)?;
        if extra_len != 0 {
            options.properties.write_body(extra).ok()?;
        }
        let properties = Properties::Chain(own.list(), EncodedProperties::from_stored(extra));
        let connect = self.connect(options, properties);
        self.handshake = Asked {
            client: fingerprint(options.client_id),
            nameless: options.client_id.is_empty(),
            needs_5: options.session_expiry != 0
                || !options.properties.is_empty()
                || options.will.is_some_and(|will| !will.properties.is_empty()),
            response_information: options.properties.request_response_information() == Some(true),
            problem_information: options.properties.request_problem_information() != Some(false),
            clean: connect.clean_start,
            local_state: options.local_state,
            keep_alive: options.keep_alive,
            session_expiry: options.session_expiry,
            method: connect.properties.authentication_method().map(fingerprint),
        };
        connect.encode(options.version, space).ok()
    }

    /// The server's answer to CONNECT.
    pub(super) fn handle_connack<'i>(
        &mut self,
        tables: &mut Tables<'_>,
        frame: &'i [u8],
    ) -> Option<Event<'i>> {
        let version = self.link.version;
        let connack = match Connack::decode(frame, version, Peer::Server) {
            Ok(connack) => connack,
            Err(error) if error.kind == DecodeErrorKind::VersionRefused => {
                self.close(Why::VersionRefused, None);
                return None;
            }
            Err(error) => {
                self.malformed(error);
                return None;
            }
        };
        self.timers.clear(Timer::Connack);
        if connack.reason_code != ReasonCode::Success {
            self.redirected(tables, connack.reason_code, &connack.properties);
            self.close(Why::Refused(connack.reason_code), None);
            return closing(connack.reason_code, connack.properties);
        }
        if let Err(rule) = self.judge_connack_auth(&connack) {
            self.violated(Why::Protocol(ReasonCode::ProtocolError, rule), ReasonCode::ProtocolError);
            return None;
        }
        if version.has_properties() && !self.adopt_client_id(&connack) {
            return None;
        }
        // A session belongs to its client identifier.
        let held = self.session_held && self.session_client == self.handshake.client;
        // 3.1 has no Session Present: where neither the last connection nor this one was to be clean, the
        // session is taken as resumed.
        let present = match version {
            Version::V3_1 => held && self.session_kept && !self.handshake.clean,
            _ => connack.session_present,
        };
        if present && self.handshake.clean {
            // [MQTT-3.2.2-2]: after Clean Start 1 there is no session to be present.
            self.violated(
                Why::Protocol(ReasonCode::ProtocolError, "MQTT-3.2.2-2"),
                ReasonCode::ProtocolError,
            );
            return None;
        }
        if connack.properties.response_information().is_some() && !self.handshake.response_information {
            self.violated(
                Why::Protocol(ReasonCode::ProtocolError, "MQTT-3.1.2-28"),
                ReasonCode::ProtocolError,
            );
            return None;
        }
        let known = held || self.session_made;
        if present && !known && self.handshake.local_state == LocalState::None {
            // [MQTT-3.2.2-4]
            self.violated(
                Why::Protocol(ReasonCode::ProtocolError, "MQTT-3.2.2-4"),
                ReasonCode::ProtocolError,
            );
            return None;
        }
        let resumed = present && held;
        if !resumed {
            // [MQTT-3.2.2-5]: the session is gone, on this side too.
            self.lose_session(tables, held && self.session_kept && !self.handshake.clean);
            // One that goes on although nobody here knows of it may have any exchange open. 3.1 cannot tell
            // whether it does, but a clean one ended with its connection.
            let told = present || (version == Version::V3_1 && !self.handshake.clean && !held);
            let unknown = told && self.handshake.local_state == LocalState::Held;
            self.doubts = if unknown { Doubts::Some } else { Doubts::None };
        }
        // An earlier run was told of a new session and did not come to make its subscriptions again. 3.1 never tells.
        let stale = core::mem::take(&mut self.journal.stale);
        let doubted = resumed && (version == Version::V3_1 || stale);
        if doubted {
            self.forget_superseded(tables);
        }
        let once = planted!("resubscribed-once") && self.stats.connections > 1;
        if (!resumed || doubted) && !once {
            self.ops.make_again(tables.slots);
        }
        self.session_client = self.handshake.client;
        self.connection.handshaking = false;
        self.connection.accepted = true;
        if self.connection.auth != Turn::Never {
            self.connection.auth = Turn::Over;
        }
        self.session_held = true;
        self.session_made = false;
        self.session_torn = false;
        self.session_expires = Instant::NEVER;
        self.session_left = None;
        self.limits = ServerLimits::read(&connack, self.handshake.keep_alive, self.handshake.session_expiry);
        self.begin_aliases();
        self.connection.straight = !self.records() && self.config.ack_timeout.is_none();
        self.session_kept =
            if version.has_properties() { self.limits.session_expiry != 0 } else { !self.handshake.clean };
        if self.records() {
            self.note_session(resumed, self.handshake.client);
        }
        // A session of an earlier run may bring again what that run handed over.
        self.journal.earlier = present && (self.journal.earlier || !known);
        self.ops.rewind();
        if planted!("backoff-reset-by-connack") {
            self.link.attempt = 0;
        }
        self.link.state = State::Up;
        self.link.first = false;
        self.link.proved = true;
        self.link.up_since = self.now;
        self.stats.connections = self.stats.connections.wrapping_add(1);
        debug!("connected to server {}, resumed: {resumed}", self.link.server);
        Some(Event::Connected(Connected {
            session_present: connack.session_present,
            resumed,
            version,
            server: self.link.server,
            assigned_client_id: connack.properties.assigned_client_identifier(),
            connack,
        }))
    }

    /// Keeps the client identifier the server assigned; false: it had to and did not, and the connection ends.
    fn adopt_client_id(&mut self, connack: &Connack<'_>) -> bool {
        match (self.handshake.nameless, connack.properties.assigned_client_identifier()) {
            (true, Some(id)) => {
                self.assigned = ClientId::keep(id);
                self.handshake.client = fingerprint(id);
            }
            (true, None) => {
                let code = ReasonCode::ProtocolError;
                self.violated(Why::Protocol(code, "MQTT-3.2.2-16"), code);
                return false;
            }
            // U-37: odd, and no reason to close.
            (false, Some(_)) => self.notices.anomaly = Some(Anomaly::UnaskedClientId),
            (false, None) => {}
        }
        true
    }

    pub(crate) fn assigned_client_id(&self) -> Option<&str> {
        Some(self.assigned.as_str()).filter(|id| !id.is_empty())
    }
}
