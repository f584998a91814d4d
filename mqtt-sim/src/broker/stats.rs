//! Counters.

/// What a [`Broker`](super::Broker) has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct BrokerStats {
    /// Transports opened.
    pub connections: u64,
    /// CONNECTs accepted.
    pub connects: u64,
    /// CONNECTs refused, malformed ones included.
    pub refused: u64,
    /// Accepted CONNECTs that found their session.
    pub resumes: u64,
    /// Connections ended because their client connected again.
    pub takeovers: u64,
    /// Connections ended because keep alive or handshake ran out of time.
    pub timeouts: u64,
    /// Connections ended because a client broke the protocol, whether in a packet or in a sequence.
    pub protocol_errors: u64,
    /// Connections ended because they did not take their output.
    pub slow_readers: u64,
    /// Whole packets received.
    pub packets_in: u64,
    /// Messages received; repetitions of a QoS 2 message count once.
    pub messages_in: u64,
    /// Messages sent, repetitions included.
    pub messages_out: u64,
    /// Of the messages received, those that named their topic by an alias alone.
    pub aliased_in: u64,
    /// Of the messages sent, those that named their topic by an alias alone; repetitions not included.
    pub aliased_out: u64,
    /// Messages sent again on a resume.
    pub resends: u64,
    /// PUBLISH packets of QoS 2 that were recognised as repetitions.
    pub duplicates: u64,
    /// Copies of messages not delivered: no room, or larger than the receiver takes.
    pub dropped: u64,
    /// Copies of messages, and retained ones, that expired.
    pub expired: u64,
    /// Wills sent.
    pub wills: u64,
    /// Acknowledgements for no exchange under way.
    pub unknown_acks: u64,
    /// Sessions that ended.
    pub sessions_ended: u64,
    /// Packets not sent on purpose, see [`Misdeed::Drop`](super::Misdeed::Drop).
    pub withheld: u64,
    /// Packets sent twice on purpose, see [`Misdeed::Duplicate`](super::Misdeed::Duplicate).
    pub doubled: u64,
}
