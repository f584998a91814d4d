//! Everything a client is told before it starts.

mod attempt;
mod read;
mod will;

use core::fmt;
use core::hash::{BuildHasher, Hasher};
use core::time::Duration;
use std::hash::RandomState;

use mqtt_session::proto::Version;
use mqtt_session::{Config, Durability, LocalState};

use crate::hooks::Hooks;
use crate::inbox::Bound;
use crate::journal::Journal;
use crate::properties::OwnedProperties;
use crate::recording::Recording;
use crate::responses::Place;
#[cfg(feature = "tls-no-provider")]
use crate::tls::Tls;
use crate::url::{ServerUrl, UrlError};

pub use will::Will;

/// How to reach the server, who to be there, and the limits of the client. The same for every adapter.
///
/// Setters are called `with_…` and take the value on; readers have the bare names. Nothing is sent and
/// nothing is checked against a server before a client is made of it. `Debug` shows no secret.
///
/// ```
/// use core::time::Duration;
/// use mqtt_adapter_core::{Options, Version};
///
/// # fn main() -> Result<(), mqtt_adapter_core::UrlError> {
/// let options = Options::new("mqtt://lamp:secret@broker.example")?
///     .with_client_id("lamp-7")
///     .with_version(Version::V3_1_1)
///     .with_keep_alive(Duration::from_secs(30));
/// assert_eq!(options.client_id(), "lamp-7");
/// assert_eq!(options.servers()[0].port(), 1883);
/// assert!(!format!("{options:?}").contains("secret"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Options {
    servers: Vec<ServerUrl>,
    client_id: String,
    /// The client identifier was drawn, not given.
    drawn: bool,
    version: Version,
    clean_start: bool,
    local_state: Option<LocalState>,
    keep_alive: u16,
    session_expiry: u32,
    username: Option<String>,
    password: Option<Vec<u8>>,
    will: Option<Will>,
    properties: OwnedProperties,
    engine: Config,
    inbox_bytes: usize,
    inbox_messages: usize,
    when_inbox_full: WhenInboxFull,
    linger: Duration,
    hooks: Hooks,
    responses: Option<Place>,
    journal: Option<Journal>,
    recording: Option<Recording>,
    #[cfg(feature = "proxy")]
    pub(crate) proxies: crate::proxy::Proxies,
    #[cfg(feature = "ws")]
    ws_headers: Vec<(String, String)>,
    #[cfg(feature = "tls-no-provider")]
    tls: Option<Tls>,
}

impl Options {
    /// Default of [`inbox_bytes`](Self::inbox_bytes): 16 MiB.
    pub const INBOX_BYTES: usize = 16 * 1024 * 1024;
    /// Default of [`linger`](Self::linger): 2 s.
    pub const LINGER: Duration = Duration::from_secs(2);
    /// At most this many servers are used; the engine counts them in a byte.
    pub const MAX_SERVERS: usize = 255;

    /// The defaults for one server, given as a URL (see [`ServerUrl`]).
    ///
    /// # Errors
    /// [`UrlError`]: the address cannot be used.
    pub fn new(url: &str) -> Result<Self, UrlError> {
        ServerUrl::parse(url).map(Self::for_server)
    }

    /// The defaults for one server.
    #[must_use]
    pub fn for_server(server: ServerUrl) -> Self {
        Self {
            servers: vec![server],
            client_id: random_client_id(),
            drawn: true,
            version: Version::V5,
            clean_start: true,
            local_state: None,
            keep_alive: 60,
            session_expiry: 0,
            username: None,
            password: None,
            will: None,
            properties: OwnedProperties::default(),
            engine: Config::new(random()),
            inbox_bytes: Self::INBOX_BYTES,
            inbox_messages: usize::MAX,
            when_inbox_full: WhenInboxFull::Pause,
            hooks: Hooks::default(),
            responses: None,
            linger: Self::LINGER,
            journal: None,
            recording: None,
            #[cfg(feature = "proxy")]
            proxies: crate::proxy::Proxies::default(),
            #[cfg(feature = "ws")]
            ws_headers: Vec::new(),
            #[cfg(feature = "tls-no-provider")]
            tls: None,
        }
    }

    /// Adds a server. Servers are tried in turn, from the first one on; beyond
    /// [`MAX_SERVERS`](Self::MAX_SERVERS) they are left out.
    #[must_use]
    pub fn with_server(mut self, server: ServerUrl) -> Self {
        if self.servers.len() < Self::MAX_SERVERS {
            self.servers.push(server);
        }
        self
    }

    /// Names the session on the server. Default: 22 random letters and digits, drawn once for this value,
    /// so that every server must take it ([MQTT-3.1.3-5]) and a reconnect finds the same session. Empty:
    /// the server picks a name, only with clean start and not in 3.1.
    #[must_use]
    pub fn with_client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self.drawn = false;
        self
    }

    /// The protocol version to ask for. Default 5.0.
    #[must_use]
    pub const fn with_version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Whether to begin a new session (default true) or to go on with the one the server kept for this
    /// client identifier. A kept session ends at the disconnect in 5.0 unless
    /// [`with_session_expiry`](Self::with_session_expiry) says how long it lives.
    #[must_use]
    pub const fn with_clean_start(mut self, clean_start: bool) -> Self {
        self.clean_start = clean_start;
        self
    }

    /// Whether this application holds what belongs to a session the server may have kept from an earlier
    /// run. Default: it does if clean start is off. [`LocalState::None`] with clean start off makes the
    /// client refuse a resumed session, as the standard asks of one without state ([MQTT-3.2.2-4]).
    #[must_use]
    pub const fn with_local_state(mut self, local_state: LocalState) -> Self {
        self.local_state = Some(local_state);
        self
    }

    /// After how much silence the client pings. Default 60 s; whole seconds (rounded up), at most
    /// 65,535 s; zero turns pings off. A 5.0 server may overrule it.
    #[must_use]
    pub fn with_keep_alive(mut self, keep_alive: Duration) -> Self {
        self.keep_alive = u16::try_from(whole_seconds(keep_alive)).unwrap_or(u16::MAX);
        self
    }

    /// How long the server keeps the session after a disconnect, 5.0 only. Default zero: not at all.
    /// Whole seconds (rounded up); [`Duration::MAX`], and all over 4,294,967,294 s: for ever.
    #[must_use]
    pub fn with_session_expiry(mut self, expiry: Duration) -> Self {
        self.session_expiry = u32::try_from(whole_seconds(expiry)).unwrap_or(u32::MAX);
        self
    }

    /// User name. Default: the one of the server's URL, if any.
    #[must_use]
    pub fn with_username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// Password. Default: the one of the server's URL, if any. In 3.x only together with a user name.
    #[must_use]
    pub fn with_password(mut self, password: impl Into<Vec<u8>>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The message the server publishes if this client vanishes without a DISCONNECT. Default none.
    #[must_use]
    pub fn with_will(mut self, will: Will) -> Self {
        self.will = Some(will);
        self
    }

    /// Further properties of CONNECT (5.0), such as user properties. Session Expiry Interval, Receive
    /// Maximum, Maximum Packet Size and Topic Alias Maximum have settings of their own and are refused
    /// here when the client starts. Default none.
    #[must_use]
    pub fn with_properties(mut self, properties: OwnedProperties) -> Self {
        self.properties = properties;
        self
    }

    /// Limits, time-outs, reconnect delays and who acknowledges: see [`Config`]. Default
    /// [`Config::new`] with a random seed. `servers` is overwritten by the number of servers here. With
    /// [`Oversize::Chunks`](mqtt_session::Oversize) messages over the limit have a call of their own, which must be used:
    /// the client reads on only as far as they are read.
    #[must_use]
    pub const fn with_engine(mut self, engine: Config) -> Self {
        self.engine = engine;
        self
    }

    /// Bytes of received messages that may wait for the application. Default 16 MiB.
    ///
    /// When as much waits, the client stops reading from the socket, so that TCP holds the server back; pings
    /// and owed acknowledgements go out all the same, and reading goes on when half of it was taken. While
    /// a call waits for an answer of the server, reading goes on nevertheless, or the answer could never
    /// arrive; what then comes at QoS 0 is dropped and counted.
    #[must_use]
    pub const fn with_inbox_bytes(mut self, bytes: usize) -> Self {
        self.inbox_bytes = bytes;
        self
    }

    /// How many received messages may wait for the application. Default: any number, within
    /// [`with_inbox_bytes`](Self::with_inbox_bytes).
    #[must_use]
    pub const fn with_inbox_messages(mut self, messages: usize) -> Self {
        self.inbox_messages = messages;
        self
    }

    /// What happens when as much waits as may. Default [`WhenInboxFull::Pause`]. It is for clients with handles; a
    /// connection that its owner polls always pauses.
    #[must_use]
    pub const fn with_when_inbox_full(mut self, when: WhenInboxFull) -> Self {
        self.when_inbox_full = when;
        self
    }

    /// How long a client whose last handle was dropped goes on delivering what it had accepted, before it
    /// disconnects. Default 2 s. Call `stop` to wait for the end and to learn what was left.
    #[must_use]
    pub const fn with_linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Keeps in this journal what is to outlive a crash of the program or of the machine: what was published at QoS 1 and
    /// 2 and is not finished, subscriptions, which inbound QoS 2 messages were handed over. A client that is made
    /// with the same journal and client identifier goes on where the earlier one was; how the publishes of the
    /// earlier one end is told by events. Default none.
    ///
    /// It needs a client identifier of one's own. Clean start is turned off, and the server is asked to keep the session for
    /// ever ([`with_session_expiry`](Self::with_session_expiry)) unless another time was set: without its
    /// half of the session, messages at QoS 2 may come twice. Both can be set otherwise after this.
    ///
    /// Inbound messages are in the application's hands, for the journal, when they are in the inbox: with
    /// [`AckMode::Automatic`](mqtt_session::AckMode::Automatic) they are acknowledged then, and a crash loses those
    /// that were not taken. An application that must not lose them acknowledges what it has dealt with
    /// ([`AckMode::Manual`](mqtt_session::AckMode::Manual), [`Config::ack_mode`](Config)); what it had in hand at a crash comes again
    /// and says so ([`Message::redelivered`](crate::Message::redelivered), [`Message::dup`](crate::Message::dup)).
    ///
    /// Each client with a journal has a thread that writes it; it never keeps the client waiting.
    ///
    /// ```
    /// # #[cfg(feature = "journal")]
    /// # fn main() -> Result<(), mqtt_adapter_core::UrlError> {
    /// use mqtt_adapter_core::{Durability, Journal, Options};
    ///
    /// let options = Options::new("mqtt://localhost")?
    ///     .with_client_id("meter-7")
    ///     .with_journal(Journal::in_folder("/var/lib/meter"));
    /// assert_eq!(options.durability(), Durability::BeforeSend);
    /// assert!(!options.clean_start());
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "journal"))]
    /// # fn main() {}
    /// ```
    #[must_use]
    pub fn with_journal(mut self, journal: Journal) -> Self {
        self.journal = Some(journal);
        self.clean_start = false;
        if self.session_expiry == 0 {
            self.session_expiry = u32::MAX;
        }
        self
    }

    /// What waits for the journal. Default [`Durability::BeforeSend`]: nothing leaves before it is stored, so that a
    /// crash loses nothing that was told as durable and repeats nothing at QoS 2. With [`Durability::Async`] nothing waits, and
    /// what was published in the last moments before a crash may be lost, or be repeated. Without a journal there is
    /// none, and with one always: [`Durability::Off`] counts as the default.
    #[must_use]
    pub const fn with_durability(mut self, durability: Durability) -> Self {
        self.engine.durability = durability;
        self
    }

    /// Writes a log of every time, byte and call of the engine, to be run again: see [`Recording`], also for what it holds of
    /// your data. Default none. If it cannot be written, the client goes on and tells
    /// [`Event::RecordingFailed`](crate::Event::RecordingFailed).
    ///
    /// ```no_run
    /// use mqtt_adapter_core::{Options, Recording};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let options = Options::new("mqtt://localhost")?.with_recording(Recording::create("incident.tape")?);
    /// assert!(options.recording().is_some());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_recording(mut self, recording: Recording) -> Self {
        self.recording = Some(recording);
        self
    }

    pub(crate) const fn has_own_client_id(&self) -> bool {
        !self.drawn && !self.client_id.is_empty()
    }

    /// How to encrypt, for servers of `mqtts://` and `wss://`. Default: the roots of the platform, made when the client starts;
    /// with the feature `tls-no-provider` alone there is none.
    #[cfg(feature = "tls-no-provider")]
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Adds a header to the request that opens a WebSocket, such as `Authorization`. Default none. `Debug` does not show
    /// its value. The crate `tungstenite` writes the request to the log at level trace: where a header is a secret,
    /// leave that target out.
    #[cfg(feature = "ws")]
    #[must_use]
    pub fn with_ws_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.ws_headers.push((name.into(), value.into()));
        self
    }

    pub(crate) const fn inbox_bound(&self) -> Bound {
        Bound { bytes: self.inbox_bytes, messages: self.inbox_messages, when: self.when_inbox_full }
    }

    /// Calls the hook before a disconnect, if there is one; for whoever is about to stop a
    /// [`Driver`](crate::Driver).
    pub fn before_disconnect(&self) {
        self.hooks.disconnect();
    }

    pub(crate) const fn responses(&self) -> Option<&Place> {
        self.responses.as_ref()
    }

    pub(crate) const fn responses_mut(&mut self) -> &mut Option<Place> {
        &mut self.responses
    }

    pub(crate) const fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    pub(crate) const fn hooks_mut(&mut self) -> &mut Hooks {
        &mut self.hooks
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Options");
        #[cfg(feature = "proxy")]
        f.field("proxies", &self.proxies);
        f.field("servers", &self.servers)
            .field("client_id", &self.client_id)
            .field("version", &self.version)
            .field("clean_start", &self.clean_start)
            .field("local_state", &self.local_state())
            .field("keep_alive", &self.keep_alive())
            .field("session_expiry", &self.session_expiry())
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("will", &self.will)
            .field("properties", &self.properties)
            .field("engine", &self.engine)
            .field("inbox_bytes", &self.inbox_bytes)
            .field("inbox_messages", &self.inbox_messages)
            .field("when_inbox_full", &self.when_inbox_full)
            .field("hooks", &self.hooks)
            .field("responses", &self.responses)
            .field("linger", &self.linger)
            .field("journal", &self.journal)
            .field("recording", &self.recording)
            .finish_non_exhaustive()
    }
}

/// What happens when as many received messages wait as may ([`Options::with_inbox_bytes`],
/// [`Options::with_inbox_messages`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WhenInboxFull {
    /// The client stops reading, so that TCP holds the server back, until half was taken. Nothing is lost but, while a
    /// call waits for the server, QoS 0. The default.
    #[default]
    Pause,
    /// The oldest messages that wait are dropped, and counted, whatever their quality of service: the newest values count.
    /// With [`AckMode::Manual`](mqtt_session::AckMode::Manual) those that are to be acknowledged stay.
    DropOldest,
    /// What comes is dropped, and counted, whatever its quality of service. With
    /// [`AckMode::Manual`](mqtt_session::AckMode::Manual) what is to be acknowledged is kept.
    DropNewest,
}

/// Seconds, a started one counted whole.
fn whole_seconds(span: Duration) -> u64 {
    span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0))
}

/// 64 bits nobody can foresee: the standard library seeds its hash tables with such.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// 22 letters and digits; 18 of them drawn, 90 bits.
fn random_client_id() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bits = u128::from(random()) << 64 | u128::from(random());
    let mut id = String::from("mqtt");
    for _ in 0..18 {
        id.push(char::from(LETTERS[(bits & 31) as usize]));
        bits >>= 5;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read_back() {
        let options = Options::new("mqtt://h")
            .unwrap()
            .with_server(ServerUrl::new("other", 1).unwrap())
            .with_client_id("me")
            .with_version(Version::V3_1)
            .with_clean_start(false)
            .with_keep_alive(Duration::from_millis(1_500))
            .with_session_expiry(Duration::MAX)
            .with_username("user")
            .with_password("pass")
            .with_will(Will::new("t", "p"))
            .with_inbox_bytes(7)
            .with_linger(Duration::ZERO)
            .with_inbox_messages(3)
            .with_when_inbox_full(WhenInboxFull::DropOldest);
        assert_eq!(options.inbox_messages(), 3);
        assert_eq!(options.when_inbox_full(), WhenInboxFull::DropOldest);
        assert_eq!(options.servers().len(), 2);
        assert_eq!(options.client_id(), "me");
        assert_eq!(options.version(), Version::V3_1);
        assert!(!options.clean_start());
        assert_eq!(options.local_state(), LocalState::Held);
        assert_eq!(options.keep_alive(), Duration::from_secs(2));
        assert_eq!(options.session_expiry(), Duration::MAX);
        assert_eq!(options.username(), Some("user"));
        assert_eq!(options.password(), Some(&b"pass"[..]));
        assert_eq!(options.will().map(Will::topic), Some("t"));
        assert_eq!(options.inbox_bytes(), 7);
        assert_eq!(options.linger(), Duration::ZERO);
        assert_eq!(options.config().servers, 2);
        assert_eq!((options.response_topic(), options.assigned_response_topic()), (None, None));
        let options = options.with_response_topic("me/answers");
        assert_eq!((options.response_topic(), options.assigned_response_topic()), (Some("me/answers"), None));
        let options = options.with_assigned_response_topic("/answers");
        assert_eq!((options.response_topic(), options.assigned_response_topic()), (None, Some("/answers")));
    }

    #[test]
    fn long_times_saturate() {
        let options = Options::new("mqtt://h").unwrap().with_keep_alive(Duration::from_secs(70_000));
        assert_eq!(options.keep_alive(), Duration::from_secs(65_535));
        let options = options.with_session_expiry(Duration::from_secs(1 << 40));
        assert_eq!(options.session_expiry(), Duration::MAX);
    }

    #[test]
    fn debug_shows_no_secret() {
        let options = Options::new("mqtt://user:canary@h")
            .unwrap()
            .with_server(ServerUrl::parse("mqtt://:canary@other").unwrap())
            .with_password("canary")
            .with_will(Will::new("t", "canary"));
        assert!(!format!("{options:?} {options:#?}").contains("canary"));
    }

    #[test]
    fn credentials_of_the_url_serve_only_its_own_server() {
        let options =
            Options::new("mqtt://one:1@h").unwrap().with_server(ServerUrl::parse("mqtt://two:2@h").unwrap());
        assert_eq!(options.connect(0).unwrap().username, Some("one"));
        assert_eq!(options.connect(1).unwrap().password, Some(&b"2"[..]));
        let options = options.with_username("given");
        let connect = options.connect(0).unwrap();
        assert_eq!((connect.username, connect.password), (Some("given"), None));
    }

    #[test]
    fn random_client_ids_suit_every_server_and_differ() {
        let (one, two) = (random_client_id(), random_client_id());
        assert_eq!(one.len(), 22);
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(one, two);
    }

    #[test]
    fn a_will_with_a_wrong_topic_is_found_before_anything_is_sent() {
        let options = Options::new("mqtt://h").unwrap().with_will(Will::new("a/#", ""));
        assert!(options.connect(0).is_err());
    }
}
