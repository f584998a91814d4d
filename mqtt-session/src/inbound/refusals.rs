//! Inbound QoS 2 messages that the application refuses (5.0).
//!
//! ```text
//!  refused, in its turn             all of it has left
//!  ─────────▶ → PUBREC, Refusing ─────────────────▶ (nothing)
//!                    │   cut before: Refused         ← PUBLISH with DUP: → PUBREC, Refusing again
//! ```
//!
//! Once PUBREC was sent, a PUBLISH of this identifier is a new message. [MQTT-4.3.3-9] Before that the server cannot know of
//! the refusal, and sends the refused message again: it is not told twice. What the network loses of a PUBREC that has
//! left nobody here knows: that message is told again.

use mqtt_proto::ReasonCode;

use super::{Exchange, Exchanges};
use crate::list::{List, NONE, next};
use crate::qos::Phase;

/// The exchanges whose refusal is on its way out, in order; from `unwritten` on those whose PUBREC is owed.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Refusals {
    leaving: List,
    unwritten: u32,
}

impl Refusals {
    pub(super) const fn new() -> Self {
        Self { leaving: List::new(), unwritten: NONE }
    }
}

/// The low half of a position in the outgoing stream.
const fn low(position: u64) -> u32 {
    (position & 0xFFFF_FFFF) as u32
}

impl Exchanges {
    /// PUBREC is owed that refuses a message. False: not now, but when the message comes again. One of an earlier
    /// connection would else come behind its refusal, and be taken for a new one.
    pub(super) fn refuse(&mut self, table: &mut [Exchange], index: u32) -> bool {
        let Some(entry) = table.get_mut(index as usize) else { return false };
        let here = entry.connection == self.connection;
        entry.phase = if here { Phase::Refusing } else { Phase::Refused };
        if here {
            self.refusals.leaving.push_back(table, index);
            if self.refusals.unwritten == NONE {
                self.refusals.unwritten = index;
            }
        }
        here
    }

    /// A refused message has come again; `refusable`: the version has a way to refuse it. The reason of the PUBREC that is
    /// owed now.
    pub(crate) fn refuse_again(&mut self, table: &mut [Exchange], index: u32, refusable: bool) -> ReasonCode {
        if refusable && self.refuse(table, index) {
            return table.get(index as usize).map_or(ReasonCode::Success, |entry| entry.reason);
        }
        if let Some(entry) = table.get_mut(index as usize) {
            entry.phase = Phase::Received;
        }
        self.record_unrecorded(table, index);
        ReasonCode::Success
    }

    /// Whether a refusal is on its way out.
    #[inline]
    pub(crate) const fn refuses(&self) -> bool {
        self.refusals.leaving.len() != 0
    }

    /// The PUBREC of the next refusal was written, and ends at this position of the outgoing stream.
    pub(crate) fn refusal_written(&mut self, table: &mut [Exchange], position: u64) {
        let index = self.refusals.unwritten;
        if let Some(entry) = table.get_mut(index as usize) {
            entry.ends = low(position);
            self.refusals.unwritten = next(table, index);
        }
    }

    /// The transport has taken so many bytes of the stream: what was refused in them is over.
    #[cold]
    pub(crate) fn refusals_left(&mut self, table: &mut [Exchange], taken: u64) {
        loop {
            let head = self.refusals.leaving.head();
            let Some(entry) = table.get(head as usize).filter(|_| head != self.refusals.unwritten) else {
                return;
            };
            // The buffer is shorter than half of what 32 bits tell apart.
            if low(taken).wrapping_sub(entry.ends) > u32::MAX / 2 {
                return;
            }
            self.remove(table, head);
        }
    }

    pub(super) fn unlist_refusal(&mut self, table: &mut [Exchange], index: u32) {
        if self.refusals.unwritten == index {
            self.refusals.unwritten = next(table, index);
        }
        self.refusals.leaving.unlink(table, index);
    }

    /// The connection was cut: what has not left is refused again when it comes again.
    pub(super) fn cut_refusals(&mut self, table: &mut [Exchange]) {
        while let Some(index) = self.refusals.leaving.pop_front(table) {
            if let Some(entry) = table.get_mut(index as usize) {
                entry.phase = Phase::Refused;
            }
        }
        self.refusals.unwritten = NONE;
    }
}
