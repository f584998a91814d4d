//! What is explored.

use core::fmt;
use core::time::Duration;

use mqtt_proto::{Qos, Version};
use mqtt_session::{Config, ConnectOptions, Durability, FixedSession};

use crate::broker::BrokerConfig;

/// Bytes of a client.
const BYTES: usize = 1_024;
/// Operations of a client: what it publishes, what it subscribed to, and what it is asked to publish in the end.
const OUT: usize = 8;
/// Inbound exchanges of a client.
const IN: usize = 4;

/// The client of a state: it is cloned by copying.
pub(super) type Client = FixedSession<[u8; BYTES], OUT, IN>;

/// How often each thing may go wrong on one way through the states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Faults {
    /// The connection breaks, with all that is under way; both ends learn it.
    pub cuts: u8,
    /// It breaks for the client; the broker still takes what was under way, and learns it later, or by the next CONNECT.
    pub half_cuts: u8,
    /// The broker forgets its sessions, while no connection is up.
    pub forgotten: u8,
    /// The broker fails to send an acknowledgement.
    pub lost: u8,
    /// The broker sends an acknowledgement twice. The second copy is gone when the identifier is used again.
    pub doubled: u8,
    /// The client's program crashes: of the records not synced, none or all are left.
    pub crashes: u8,
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self { cuts: 0, half_cuts: 0, forgotten: 0, lost: 0, doubled: 0, crashes: 0 };
}

/// What is explored. The default publishes two messages at QoS 2 and lets the connection break twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The version of the protocol. Default: 5.0.
    pub version: Version,
    /// What the client publishes, in this order, at any times. At most 4.
    pub outbound: Vec<Qos>,
    /// What is published to the client. At most 4.
    pub inbound: Vec<Qos>,
    /// Receive Maximum of both. On 3.x, which has none, the client's own bounds. Default: 2.
    pub receive_maximum: u16,
    /// Packet identifiers the client has. Default: 2.
    pub identifiers: u16,
    /// Whether the client keeps a journal. Default: no.
    pub durability: Durability,
    /// What may go wrong.
    pub faults: Faults,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            version: Version::V5,
            outbound: vec![Qos::ExactlyOnce; 2],
            inbound: Vec::new(),
            receive_maximum: 2,
            identifiers: 2,
            durability: Durability::Off,
            faults: Faults { cuts: 2, ..Faults::NONE },
        }
    }
}

impl Setup {
    fn config(&self) -> Config {
        let mut config = Config::new(1);
        config.max_in_flight = self.identifiers;
        config.max_in_flight_qos2_v3 = self.receive_maximum;
        config.receive_maximum = self.receive_maximum;
        config.max_operations = 8;
        config.queue_bytes = BYTES / 2;
        config.wire_bytes = BYTES / 2;
        config.durability = self.durability;
        config.backoff.base = Duration::ZERO;
        config
    }

    pub(super) fn client(&self) -> Client {
        Client::new([0; BYTES], self.config())
    }

    pub(super) fn options(&self) -> ConnectOptions<'static> {
        let mut options = ConnectOptions::new("client");
        options.version = self.version;
        options.clean_start = false;
        options.keep_alive = 0;
        options.session_expiry = if self.version == Version::V5 { u32::MAX } else { 0 };
        options
    }

    pub(super) fn broker(&self) -> BrokerConfig {
        BrokerConfig {
            receive_maximum: self.receive_maximum,
            max_in_flight: self.receive_maximum,
            topic_alias_maximum: 0,
            ..BrokerConfig::default()
        }
    }

    /// Messages the client may have in flight: identifiers and the server's quota, which 3.x has for QoS 2 alone.
    pub(super) fn window(&self, qos: Qos) -> usize {
        let announced = self.version == Version::V5 || qos == Qos::ExactlyOnce;
        let quota = if announced { self.receive_maximum } else { u16::MAX };
        usize::from(quota.min(self.identifiers))
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let qos = |list: &[Qos]| list.iter().map(|qos| char::from(b'0' + *qos as u8)).collect::<String>();
        let Faults { cuts, half_cuts, forgotten, lost, doubled, crashes } = self.faults;
        write!(
            f,
            "{:?} out {:?} in {:?} window {} identifiers {} journal {:?}: cuts {cuts}, half cuts {half_cuts}, forgotten {forgotten}, \
             lost {lost}, doubled {doubled}, crashes {crashes}",
            self.version,
            qos(&self.outbound),
            qos(&self.inbound),
            self.receive_maximum,
            self.identifiers,
            self.durability,
        )
    }
}
