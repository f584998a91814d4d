//! How long the server takes to answer.

use mqtt_proto::PacketId;

use super::Core;
use crate::storage::Tables;
use crate::time::Instant;

impl Core {
    /// PINGRESP came.
    pub(super) fn ping_answered(&mut self) {
        if let Some(sent) = self.connection.pinged.take() {
            self.stats.ping_round_trip.measured(self.now.since(sent));
        }
    }

    /// A publish was handed out: it is timed, unless another one is.
    #[inline]
    pub(super) fn time_publish(&mut self, tables: &Tables<'_>, index: u32) {
        let Some(id) = tables.slots.get(index as usize).and_then(|slot| slot.packet_id) else { return };
        // An identifier that is handed out again was given up without an answer.
        if self.connection.timed.is_none_or(|(timed, _)| timed == id) {
            self.connection.timed = Some((id, self.now));
        }
    }

    /// A publish was handed out by a command, which has no time: it is timed from when the time is told next.
    #[inline(always)]
    pub(super) fn time_eager(&mut self, id: PacketId) {
        if self.connection.timed.is_none_or(|(timed, _)| timed == id) {
            self.connection.timed = Some((id, Instant::NEVER));
        }
    }

    /// The time is told before anything leaves.
    #[inline]
    pub(super) fn begin_timing(&mut self) {
        if let Some((_, sent)) = &mut self.connection.timed
            && *sent == Instant::NEVER
        {
            *sent = self.now;
        }
    }

    /// A publish was answered.
    #[inline(always)]
    pub(super) fn time_answer(&mut self, id: PacketId) {
        if let Some((timed, sent)) = self.connection.timed
            && timed == id
        {
            self.connection.timed = None;
            self.stats.ack_round_trip.measured(self.now.since(sent));
        }
    }
}
