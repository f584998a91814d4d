//! SUBSCRIBE and UNSUBSCRIBE among the publishes: what a used-up quota must not hold back.

use super::Core;
use super::pump::Stop;
use crate::event::Why;
use crate::list::next;
use crate::storage::Tables;

impl Core {
    /// Whether the server owes an answer to something that was handed out on this connection.
    pub(super) fn awaits_ack(&self) -> bool {
        self.in_flight() != 0 || self.connection.requests != 0 || self.awaits_doubts()
    }

    /// No acknowledgement came in time. The oldest of what is awaited may not even have left.
    pub(super) fn no_ack(&mut self, tables: &Tables<'_>) {
        if !self.awaits_ack() {
            return;
        }
        let epoch = self.connection.epoch;
        let handed_out = |index: u32| tables.slots.get(index as usize).filter(|slot| slot.epoch == epoch);
        let release = handed_out(self.ops.release.head()).map(|slot| slot.position);
        let oldest = release
            .or_else(|| handed_out(self.ops.order.head()).map(|slot| slot.end))
            .or_else(|| self.awaits_doubts().then(|| self.wire.position()));
        match oldest.filter(|end| *end > self.wire.taken()) {
            Some(end) => self.connection.awaited_from = Some(end),
            None => self.close(Why::AckTimeout, None),
        }
    }

    /// The transport took bytes: what an acknowledgement is awaited for may have left with them.
    #[inline]
    pub(super) fn may_have_left(&mut self) {
        if self.connection.awaited_from.is_some_and(|end| end <= self.wire.taken()) {
            self.connection.awaited_from = None;
            self.await_ack();
        }
    }

    /// The publish at the cursor waits for quota. A request behind it does not: it goes first.
    /// [MQTT-3.3.4-8] O(1) where there is none, else O(distance), once for each that overtakes.
    pub(super) fn overtake(&mut self, tables: &mut Tables<'_>) -> Result<(), Stop> {
        // With an empty wire buffer there is room for it: nothing is looked for in vain.
        let waiting = self.ops.requests > self.connection.requests;
        if !waiting || !self.ids_left() || self.wire.pending() != 0 {
            return Err(Stop::Pause);
        }
        let mut at = next(tables.slots, self.ops.cursor);
        while let Some(slot) = tables.slots.get(at as usize) {
            if slot.is_request() {
                return self.pump_operation(tables, at);
            }
            at = next(tables.slots, at);
        }
        Err(Stop::Pause)
    }
}
