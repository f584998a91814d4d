//! What the broker allows.

use core::time::Duration;

use clap::Args;
use mqtt_adapter_std::{Qos, Version};
use mqtt_sim::broker::{BrokerConfig, Redirect};

use crate::args::{Protocol, qos};

/// The limits. What is not given is as generous as the protocol allows.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits, announced to clients of 5.0 and held for all")]
pub(super) struct Limits {
    /// QoS 1 and 2 messages a client may have under way at a time [default: 1024]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    receive_maximum: Option<u16>,

    /// Largest packet, in bytes [default: 1048576]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(2..=268_435_460))]
    max_packet_size: Option<u32>,

    /// Highest quality of service [default: 2]
    #[arg(long, value_name = "0|1|2", value_parser = qos)]
    max_qos: Option<Qos>,

    /// Retain nothing
    #[arg(long)]
    no_retain: bool,

    /// Take no filters with wildcards
    #[arg(long)]
    no_wildcards: bool,

    /// Take no subscription identifiers
    #[arg(long)]
    no_subscription_ids: bool,

    /// Take no shared subscriptions
    #[arg(long)]
    no_shared: bool,

    /// Highest topic alias a client may use; 0: none [default: 16]
    #[arg(long, value_name = "N")]
    topic_alias_maximum: Option<u16>,

    /// Keep alive that every client of 5.0 is told to use instead of its own
    #[arg(long, value_name = "SECONDS")]
    server_keep_alive: Option<u16>,

    /// Longest time a session outlives its connection [default: for ever]
    #[arg(long, value_name = "SECONDS")]
    max_session_expiry: Option<u32>,

    /// Oldest version that is served
    #[arg(long, value_name = "VERSION", default_value = "3.1")]
    oldest_version: Protocol,

    /// Newest version that is served; a newer client is refused as a broker of that age would
    #[arg(long, value_name = "VERSION", default_value = "5")]
    newest_version: Protocol,

    /// Send clients of 5.0 to another server instead of serving them
    #[arg(long, value_name = "HOST[:PORT]")]
    redirect: Option<String>,

    /// Send them there for good
    #[arg(long, requires = "redirect")]
    moved: bool,

    /// Messages under way towards one client at a time, not announced [default: 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    max_in_flight: Option<u16>,

    /// Messages that wait for one client, not announced [default: 100000]
    #[arg(long, value_name = "N")]
    max_queued: Option<usize>,

    /// Connections at a time, not announced [default: 10000]
    #[arg(long, value_name = "N")]
    max_connections: Option<usize>,

    /// Time a new connection has to send its CONNECT, not announced [default: 10]
    #[arg(long, value_name = "SECONDS")]
    connect_timeout: Option<u32>,
}

impl Limits {
    /// The configuration with these limits.
    pub(super) fn apply(&self, config: BrokerConfig) -> BrokerConfig {
        let redirect = |reference: &String| Redirect { for_good: self.moved, reference: reference.clone() };
        BrokerConfig {
            oldest_version: Version::from(self.oldest_version),
            newest_version: Version::from(self.newest_version),
            receive_maximum: self.receive_maximum.unwrap_or(config.receive_maximum),
            max_packet_size: self.max_packet_size.unwrap_or(config.max_packet_size),
            max_qos: self.max_qos.unwrap_or(config.max_qos),
            retain_available: !self.no_retain,
            wildcard_available: !self.no_wildcards,
            subscription_identifiers_available: !self.no_subscription_ids,
            shared_available: !self.no_shared,
            topic_alias_maximum: self.topic_alias_maximum.unwrap_or(config.topic_alias_maximum),
            server_keep_alive: self.server_keep_alive.or(config.server_keep_alive),
            max_session_expiry: self.max_session_expiry.unwrap_or(config.max_session_expiry),
            redirect: self.redirect.as_ref().map(redirect),
            max_in_flight: self.max_in_flight.unwrap_or(config.max_in_flight),
            max_queued: self.max_queued.unwrap_or(config.max_queued),
            max_connections: self.max_connections.unwrap_or(config.max_connections),
            connect_timeout: self
                .connect_timeout
                .map_or(config.connect_timeout, |seconds| Duration::from_secs(seconds.into())),
            ..config
        }
    }
}
