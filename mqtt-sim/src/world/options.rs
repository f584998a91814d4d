//! What a simulated client is like.

use mqtt_proto::{Properties, Qos, TopicName, Version, Will};
use mqtt_session::{Config, ConnectOptions, LocalState};

use super::BrokerId;

/// Which storage a client's session has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StorageKind {
    /// [`mqtt_session::HeapSession`]. The default.
    #[default]
    Heap,
    /// [`mqtt_session::FixedSession`] with 256 operations, 64 inbound exchanges and 256 KiB.
    Fixed,
}

/// A simulated client: how it connects, to whom, and how its session is configured.
///
/// ```
/// use mqtt_sim::world::ClientOptions;
/// let options = ClientOptions { keep_alive: 30, ..ClientOptions::new("sensor") };
/// assert_eq!(options.brokers.len(), 1, "the first broker of its world");
/// ```
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Client id.
    pub client_id: String,
    /// Protocol version. Default: 5.0.
    pub version: Version,
    /// Whether to begin with a new session. Default: true.
    pub clean_start: bool,
    /// What the application holds of an earlier session. Default: none of it.
    pub local_state: LocalState,
    /// Keep Alive in seconds. Default: 60.
    pub keep_alive: u16,
    /// Session Expiry Interval in seconds (5.0). Default: 0.
    pub session_expiry: u32,
    /// User name. Default: none.
    pub username: Option<String>,
    /// Password. Default: none.
    pub password: Option<Vec<u8>>,
    /// Will: topic, payload, QoS. Default: none.
    pub will: Option<(String, Vec<u8>, Qos)>,
    /// The session's configuration; its seed and number of servers are set by the world.
    pub config: Config,
    /// Where its session keeps things. Default: on the heap.
    pub storage: StorageKind,
    /// The brokers it knows, in its order. Default: the first of the world.
    pub brokers: Vec<BrokerId>,
}

impl ClientOptions {
    /// A 5.0 client with default settings, on the heap, for the first broker of the world.
    pub fn new(client_id: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            version: Version::V5,
            clean_start: true,
            local_state: LocalState::None,
            keep_alive: 60,
            session_expiry: 0,
            username: None,
            password: None,
            will: None,
            config: Config::new(0),
            storage: StorageKind::Heap,
            brokers: vec![BrokerId::FIRST],
        }
    }

    pub(super) fn connect(&self) -> ConnectOptions<'_> {
        let mut connect = ConnectOptions::new(&self.client_id);
        connect.version = self.version;
        connect.clean_start = self.clean_start;
        connect.local_state = self.local_state;
        connect.keep_alive = self.keep_alive;
        connect.session_expiry = self.session_expiry;
        connect.username = self.username.as_deref();
        connect.password = self.password.as_deref();
        connect.properties = Properties::EMPTY;
        connect.will = self.will.as_ref().and_then(|(topic, payload, qos)| {
            let topic = TopicName::new(topic).ok()?;
            Some(Will { qos: *qos, ..Will::new(topic, payload) })
        });
        connect
    }
}
