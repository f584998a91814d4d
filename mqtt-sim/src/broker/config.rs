//! What the model broker allows, and what it announces of it.

use core::time::Duration;
use std::collections::BTreeMap;

use mqtt_proto::{Qos, ReasonCode, Version};

/// The limits of a [`Broker`](super::Broker): every buffer, table and queue it holds is bounded by one of them.
///
/// Limits that MQTT 5.0 can announce in CONNACK are announced there whenever they differ from what the standard
/// assumes in their absence; for 3.1 and 3.1.1 clients they hold just the same, unannounced. The default allows
/// everything the protocol has, with bounds that fit a test or a developer's machine.
///
/// ```
/// use mqtt_sim::broker::{Broker, BrokerConfig};
/// let narrow = BrokerConfig { receive_maximum: 2, max_packet_size: 256, ..BrokerConfig::default() };
/// let broker = Broker::new(narrow);
/// assert_eq!(broker.config().receive_maximum, 2);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Oldest protocol version that is served. Default: [`Version::V3_1`].
    pub oldest_version: Version,
    /// Newest protocol version that is served; a newer CONNECT is refused in the way a broker of that age would
    /// (`20 02 00 01` for the 3.x ones), so that a client's version ladder can be tried. Default: [`Version::V5`].
    pub newest_version: Version,
    /// Transports open at a time; further ones are closed without a word. Default: 10,000.
    pub max_connections: usize,
    /// Sessions kept at a time, connected or not; a CONNECT that needs one more is refused with 0x97 (3.x: 3).
    /// Default: 10,000.
    pub max_sessions: usize,
    /// Subscriptions of one session; a filter beyond is answered with 0x97 (3.x: 0x80). Default: 1,000.
    pub max_subscriptions: usize,
    /// Messages waiting for one session beside those in flight; further ones are dropped and counted in
    /// [`BrokerStats::dropped`](super::BrokerStats::dropped). Default: 100,000.
    pub max_queued: usize,
    /// Bytes (topic, payload, properties) of the messages waiting for one session. Default: 16 MiB.
    pub max_queued_bytes: usize,
    /// Bytes of the messages waiting for all sessions together, each waiting copy counted. Default: 256 MiB.
    pub max_stored_bytes: usize,
    /// Output of one connection that its transport has not taken: from here on messages wait in the session's queue,
    /// and at twice this bound (only answers can add to it by then) the connection is cut. Default: 1 MiB.
    pub max_output_bytes: usize,
    /// Retained messages. Beyond, a PUBLISH that asks for one more is refused with 0x97 where its QoS and version
    /// allow an answer, and is otherwise delivered but not retained. Default: 10,000.
    pub max_retained: usize,
    /// Bytes (topic, payload, properties) of all retained messages. Default: 64 MiB.
    pub max_retained_bytes: usize,
    /// Largest packet that is accepted, in bytes; announced. A longer one is answered with 0x95 before its body was
    /// buffered. Default: 1 MiB.
    pub max_packet_size: u32,
    /// QoS 2 (and unanswered QoS 1) messages a client may have under way at a time; announced. One more is answered
    /// with 0x93, for 3.x by closing. Must not be 0 (taken as 1). Default: 1,024.
    pub receive_maximum: u16,
    /// Messages in flight towards one client at most, beside that client's own Receive Maximum; for 3.x clients the
    /// only bound. Must not be 0 (taken as 1). Default: 64.
    pub max_in_flight: u16,
    /// Highest topic alias a client may use; announced. Default: 16.
    pub topic_alias_maximum: u16,
    /// Topic aliases the broker uses towards a client that allows them. Default: 16.
    pub outbound_aliases: u16,
    /// Highest QoS that is served; announced. Subscriptions are granted at most this, a PUBLISH above it is answered
    /// with 0x9B, for 3.x by closing. Default: [`Qos::ExactlyOnce`].
    pub max_qos: Qos,
    /// Whether messages may be retained; announced. If not, a PUBLISH or a will that asks for it is answered with
    /// 0x9A, for 3.x by closing. Default: true.
    pub retain_available: bool,
    /// Whether filters may hold wildcards; announced. If not, such a filter is answered with 0xA2. Default: true.
    pub wildcard_available: bool,
    /// Whether subscriptions may carry an identifier; announced. If not, such a SUBSCRIBE is answered with 0xA1.
    /// Default: true.
    pub subscription_identifiers_available: bool,
    /// Whether `$share/group/filter` is served; announced. If not, such a filter is answered with 0x9E. Default: true.
    pub shared_available: bool,
    /// Keep alive, in seconds, that every 5.0 client is told to use instead of its own. Default: none.
    pub server_keep_alive: Option<u16>,
    /// Longest time, in seconds, a session outlives its connection; `u32::MAX` is for ever. A 5.0 client that asks
    /// for more is told what it gets; 3.x kept sessions get this. Default: `u32::MAX`.
    pub max_session_expiry: u32,
    /// Time a new transport has to deliver its CONNECT. Default: 10 s.
    pub connect_timeout: Duration,
    /// Time the transport of a connection that the broker ends has to take the last bytes. Default: 5 s.
    pub close_timeout: Duration,
    /// User names with their passwords. Empty: everybody may connect. Otherwise anything else is refused with 0x86
    /// (3.x: 4). Default: empty.
    pub users: BTreeMap<String, Vec<u8>>,
    /// Where 5.0 clients are sent instead of being served; 3.x clients are served. Default: none.
    pub redirect: Option<Redirect>,
}

/// Where a broker sends its clients, by CONNACK with a Server Reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Whether for good (0x9D, server moved) or for now (0x9C, use another server).
    pub for_good: bool,
    /// `host` or `host:port`, or several of them with spaces between.
    pub reference: String,
}

impl Redirect {
    pub(super) const fn code(&self) -> ReasonCode {
        if self.for_good { ReasonCode::ServerMoved } else { ReasonCode::UseAnotherServer }
    }
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            oldest_version: Version::V3_1,
            newest_version: Version::V5,
            max_connections: 10_000,
            max_sessions: 10_000,
            max_subscriptions: 1_000,
            max_queued: 100_000,
            max_queued_bytes: 16 << 20,
            max_stored_bytes: 256 << 20,
            max_output_bytes: 1 << 20,
            max_retained: 10_000,
            max_retained_bytes: 64 << 20,
            max_packet_size: 1 << 20,
            receive_maximum: 1_024,
            max_in_flight: 64,
            topic_alias_maximum: 16,
            outbound_aliases: 16,
            max_qos: Qos::ExactlyOnce,
            retain_available: true,
            wildcard_available: true,
            subscription_identifiers_available: true,
            shared_available: true,
            server_keep_alive: None,
            max_session_expiry: u32::MAX,
            connect_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            users: BTreeMap::new(),
            redirect: None,
        }
    }
}
