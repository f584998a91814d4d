//! Counters and round trips.

use core::time::Duration;

use mqtt_proto::PacketType;

use crate::time::micros;

/// What a session has done since it was made. Counters wrap after 2^64.
///
/// ```
/// use mqtt_session::proto::PacketType;
/// use mqtt_session::{Config, ConnectOptions, HeapSession, Instant};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let options = ConnectOptions::new("lamp");
/// # let mut session = HeapSession::new(Config::new(1));
/// # session.start(&options)?;
/// # while session.poll_event().is_some() {}
/// # let _ = session.poll_command();
/// session.opened(&options, Instant::ZERO);
/// session.outgoing(Instant::ZERO).advance(usize::MAX); // CONNECT left
/// let stats = session.stats();
/// assert_eq!(stats.packets_out.of(PacketType::Connect), 1);
/// assert_eq!(stats.packets_in.total(), 0);
/// assert_eq!(stats.ack_round_trip.smoothed(), None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Bytes the transport took.
    pub bytes_out: u64,
    /// Bytes of whole packets received.
    pub bytes_in: u64,
    /// Packets handed out, by type; a cut may have kept the last ones from leaving.
    pub packets_out: Packets,
    /// Packets received whole, by type, whatever became of them.
    pub packets_in: Packets,
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
    /// From PINGREQ being handed out to PINGRESP.
    pub ping_round_trip: RoundTrip,
    /// From a PUBLISH at QoS 1 or 2 being handed out to the first packet that answers it. One message at a time is
    /// timed, so that it costs next to nothing.
    pub ack_round_trip: RoundTrip,
    /// Operations accepted and not finished.
    pub open: u32,
    /// Operations that hold a packet identifier; ones that were told as ended and still wait for an answer
    /// (`Config::request_timeout`) among them.
    pub in_flight: u32,
    /// Operations that wait to be handed out and hold no packet identifier.
    pub queued: u32,
    /// Bytes kept for open operations.
    pub bytes_kept: usize,
}

impl Stats {
    pub(crate) const fn new() -> Self {
        Self {
            bytes_out: 0,
            bytes_in: 0,
            packets_out: Packets::new(),
            packets_in: Packets::new(),
            publishes_out: 0,
            publishes_in: 0,
            resends: 0,
            duplicates: 0,
            connections: 0,
            unexpected_acks: 0,
            ping_round_trip: RoundTrip::new(),
            ack_round_trip: RoundTrip::new(),
            open: 0,
            in_flight: 0,
            queued: 0,
            bytes_kept: 0,
        }
    }
}

/// How many packets of each type there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packets([u64; 15]);

impl Packets {
    const fn new() -> Self {
        Self([0; 15])
    }

    /// Packets of this type.
    #[must_use]
    pub fn of(&self, packet_type: PacketType) -> u64 {
        usize::from(packet_type as u8)
            .checked_sub(1)
            .and_then(|index| self.0.get(index))
            .copied()
            .unwrap_or(0)
    }

    /// All packets.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.wrapping_add(*count))
    }

    /// One more packet; its type is in its first byte.
    #[inline]
    pub(crate) fn count(&mut self, first: u8) {
        if let Some(count) = self.0.get_mut(usize::from(first >> 4).wrapping_sub(1)) {
            *count = count.wrapping_add(1);
        }
    }
}

/// How long answers took, in microseconds of the caller's clock; at most 71 minutes are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoundTrip {
    samples: u32,
    last: u32,
    shortest: u32,
    smoothed: u32,
}

impl RoundTrip {
    const fn new() -> Self {
        Self { samples: 0, last: 0, shortest: 0, smoothed: 0 }
    }

    /// How many were measured; stays at 4,294,967,295.
    #[must_use]
    pub const fn samples(&self) -> u32 {
        self.samples
    }

    /// The last one; `None`: none was measured yet.
    #[must_use]
    pub fn last(&self) -> Option<Duration> {
        self.told(self.last)
    }

    /// The shortest one.
    #[must_use]
    pub fn shortest(&self) -> Option<Duration> {
        self.told(self.shortest)
    }

    /// An average in which each new one counts one eighth, as TCP has it (RFC 6298).
    #[must_use]
    pub fn smoothed(&self) -> Option<Duration> {
        self.told(self.smoothed)
    }

    fn told(&self, value: u32) -> Option<Duration> {
        (self.samples != 0).then(|| Duration::from_micros(value.into()))
    }

    pub(crate) fn measured(&mut self, span: Duration) {
        let span = u32::try_from(micros(span)).unwrap_or(u32::MAX);
        if self.samples == 0 {
            (self.shortest, self.smoothed) = (span, span);
        }
        self.samples = self.samples.saturating_add(1);
        self.last = span;
        self.shortest = self.shortest.min(span);
        let sum = u64::from(self.smoothed).saturating_mul(7).saturating_add(span.into());
        self.smoothed = u32::try_from(sum / 8).unwrap_or(u32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_keeps_the_last_the_shortest_and_an_average_that_follows() {
        let mut trips = RoundTrip::new();
        assert_eq!((trips.last(), trips.shortest(), trips.smoothed()), (None, None, None));
        let span = Duration::from_micros;
        trips.measured(span(800));
        assert_eq!((trips.last(), trips.smoothed()), (Some(span(800)), Some(span(800))));
        trips.measured(span(1_600));
        assert_eq!(trips.last(), Some(span(1_600)));
        assert_eq!(trips.shortest(), Some(span(800)));
        assert_eq!(trips.smoothed(), Some(span(900)));
        trips.measured(Duration::MAX);
        assert_eq!(trips.last(), Some(span(u32::MAX.into())));
        assert_eq!(trips.samples(), 3);
    }

    #[test]
    fn packets_are_counted_by_the_type_in_their_first_byte() {
        let mut packets = Packets::new();
        for first in [0x10, 0x30, 0x3D, 0xF0, 0x00] {
            packets.count(first);
        }
        assert_eq!(packets.of(PacketType::Connect), 1);
        assert_eq!(packets.of(PacketType::Publish), 2);
        assert_eq!(packets.of(PacketType::Auth), 1);
        assert_eq!(packets.of(PacketType::Pingreq), 0);
        assert_eq!(packets.total(), 4, "0 is no type");
    }
}
