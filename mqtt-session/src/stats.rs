//! Counters.

/// What a session has done since it was made. Counters wrap after 2^64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Bytes the transport took.
    pub bytes_out: u64,
    /// Bytes of whole packets received.
    pub bytes_in: u64,
    /// PUBLISH packets handed out, resends included.
    pub publishes_out: u64,
    /// PUBLISH packets received, duplicates included.
    pub publishes_in: u64,
    /// PUBLISH packets handed out again with DUP.
    pub resends: u64,
    /// Inbound QoS 2 duplicates that were answered and not delivered.
    pub duplicates: u64,
    /// Connections the server accepted.
    pub connections: u64,
    /// Acknowledgements of no open exchange.
    pub unexpected_acks: u64,
    /// Operations accepted and not finished.
    pub open: u32,
    /// Of those, how many hold a packet identifier.
    pub in_flight: u32,
    /// Bytes kept for open operations.
    pub bytes_kept: usize,
}
