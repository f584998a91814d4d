//! What may happen next.

use core::fmt;

/// One step from a state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// The client's application publishes its next message.
    Publish,
    /// The next message for the client is published.
    Feed,
    /// The client's oldest packet under way reaches the broker.
    Up,
    /// The broker's oldest packet under way reaches the client.
    Down,
    /// The broker's oldest packet under way, an acknowledgement, was never sent.
    Lose,
    /// It reaches the client, and a copy follows.
    Double,
    /// The connection breaks.
    Cut,
    /// It breaks for the client alone.
    HalfCut,
    /// A packet of a connection that the client has given up reaches the broker.
    LateUp,
    /// The broker learns that it is over.
    LateEnd,
    /// The client reads that the broker closed the connection.
    End,
    /// The transport connects.
    Dial,
    /// The broker forgets its sessions.
    Forget,
    /// The oldest record that was not is synced.
    Sync,
    /// The program crashes; records that were not synced are gone.
    Crash,
    /// The program crashes; records that were not synced are there.
    CrashSynced,
}

impl Action {
    pub(super) const ALL: [Self; 16] = [
        Self::Publish,
        Self::Feed,
        Self::Up,
        Self::Down,
        Self::Lose,
        Self::Double,
        Self::Cut,
        Self::HalfCut,
        Self::LateUp,
        Self::LateEnd,
        Self::End,
        Self::Dial,
        Self::Forget,
        Self::Sync,
        Self::Crash,
        Self::CrashSynced,
    ];

    /// What goes on when nothing goes wrong and nobody asks for anything, in this order.
    pub(super) const QUIET: [Self; 7] =
        [Self::Sync, Self::LateUp, Self::LateEnd, Self::Up, Self::Down, Self::End, Self::Dial];
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publish => "the client publishes",
            Self::Feed => "a message for the client is published",
            Self::Up => "a packet reaches the broker",
            Self::Down => "a packet reaches the client",
            Self::Lose => "the broker does not send its acknowledgement",
            Self::Double => "an acknowledgement reaches the client, and a copy follows",
            Self::Cut => "the connection breaks",
            Self::HalfCut => "the connection breaks for the client",
            Self::LateUp => "a packet of the old connection reaches the broker",
            Self::LateEnd => "the broker learns that the old connection is over",
            Self::End => "the client reads that the broker closed the connection",
            Self::Dial => "the transport connects",
            Self::Forget => "the broker forgets its sessions",
            Self::Sync => "a record is synced",
            Self::Crash => "the program crashes, unsynced records are gone",
            Self::CrashSynced => "the program crashes, unsynced records are there",
        })
    }
}
