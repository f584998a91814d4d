//! What the server allows, as told in CONNACK.

use core::time::Duration;

use mqtt_proto::{Connack, Property, Qos};

/// The server's limits on the present connection; what a 3.x server cannot say has the widest value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ServerLimits {
    /// QoS 1 and 2 publishes it takes before acknowledging. 65,535 unless told.
    pub receive_maximum: u16,
    /// The highest quality of service it takes.
    pub maximum_qos: Qos,
    /// Whether it keeps retained messages.
    pub retain_available: bool,
    /// The largest packet it takes, in bytes. 268,435,460 unless told.
    pub maximum_packet_size: u32,
    /// The topic aliases it takes. 0 unless told.
    pub topic_alias_maximum: u16,
    /// Whether filters may have wildcards.
    pub wildcard_subscriptions: bool,
    /// Whether subscriptions may be shared.
    pub shared_subscriptions: bool,
    /// Whether subscriptions may have identifiers.
    pub subscription_identifiers: bool,
    /// Keep Alive in force: the server's if it gave one, else the client's. Zero: off.
    pub keep_alive: Duration,
    /// Session Expiry Interval in force, in seconds.
    pub session_expiry: u32,
}

/// The longest packet the protocol has: a fixed header of 5 bytes and 268,435,455 more.
pub(crate) const LONGEST_PACKET: u32 = 268_435_460;

impl ServerLimits {
    /// Limits of a server that told none.
    pub(crate) const fn unlimited() -> Self {
        Self {
            receive_maximum: u16::MAX,
            maximum_qos: Qos::ExactlyOnce,
            retain_available: true,
            maximum_packet_size: LONGEST_PACKET,
            topic_alias_maximum: 0,
            wildcard_subscriptions: true,
            shared_subscriptions: true,
            subscription_identifiers: true,
            keep_alive: Duration::ZERO,
            session_expiry: 0,
        }
    }

    /// Reads CONNACK; what it does not say is as asked for in CONNECT, or unlimited.
    pub(crate) fn read(connack: &Connack<'_>, keep_alive: u16, session_expiry: u32) -> Self {
        let mut limits =
            Self { keep_alive: Duration::from_secs(keep_alive.into()), session_expiry, ..Self::unlimited() };
        for property in connack.properties.iter() {
            match property {
                Property::ReceiveMaximum(value) => limits.receive_maximum = value,
                Property::MaximumQos(value) => limits.maximum_qos = value,
                Property::RetainAvailable(value) => limits.retain_available = value,
                Property::MaximumPacketSize(value) => limits.maximum_packet_size = value,
                Property::TopicAliasMaximum(value) => limits.topic_alias_maximum = value,
                Property::WildcardSubscriptionAvailable(value) => limits.wildcard_subscriptions = value,
                Property::SharedSubscriptionAvailable(value) => limits.shared_subscriptions = value,
                Property::SubscriptionIdentifiersAvailable(value) => limits.subscription_identifiers = value,
                // [MQTT-3.1.2-21]
                Property::ServerKeepAlive(value) => limits.keep_alive = Duration::from_secs(value.into()),
                Property::SessionExpiryInterval(value) => limits.session_expiry = value,
                _ => {}
            }
        }
        limits
    }
}
