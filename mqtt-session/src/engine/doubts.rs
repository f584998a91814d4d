//! Identifiers under which the server may hold an exchange that nobody here knows of.
//!
//! A session on the server outlives the program. Where the next run does not know for certain which exchanges
//! are open in it (a journal that nobody waited for, or none at all: `LocalState::Held`), the server may have had
//! a QoS 2 PUBLISH of which no trace is left. A new message under its identifier would be taken for the old one:
//! acknowledged, and never delivered. [MQTT-4.3.3-10] So from the first new QoS 2 message on, an identifier that no
//! operation holds is asked for before it is used: PUBREL ends what the server has of it, and with PUBCOMP, which is
//! 0x92 in 5.0 where there was nothing ("not an error during recovery", section 3.7.2.1), it is free. A few are asked
//! for at a time, and more only when those are in use. Programs that never publish at QoS 2 see nothing of this.

use mqtt_proto::{Encode, PacketId, Pubrel, Qos};

use super::Core;
use super::pump::Stop;
use crate::storage::{Table, Tables};

/// What is known of the identifiers that are not in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Doubts {
    /// The server holds nothing under them.
    None,
    /// It may; nothing depended on it yet.
    Some,
    /// It may, and a QoS 2 message needs one.
    Due,
    /// Some were asked for on this connection.
    Asked {
        /// They are among the first so many.
        before: u16,
        /// That many were not answered yet.
        open: u16,
    },
}

/// Identifiers that are asked for at a time.
const AT_ONCE: u16 = 32;

/// Connections in a row that end with no answer at all. A server that closes on PUBREL does not do QoS 2, and would
/// be asked for ever.
const GIVEN_UP_AFTER: u8 = 8;

impl Core {
    /// Whether the server holds nothing under identifiers that are not in use.
    pub(super) fn is_certain(&self) -> bool {
        self.doubts == Doubts::None
    }

    /// Whether a message of this QoS may take an identifier. If not, those in doubt are asked for first.
    #[inline]
    pub(super) fn may_take_id(&mut self, qos: Qos) -> bool {
        self.doubts == Doubts::None || qos != Qos::ExactlyOnce || self.settles_doubts()
    }

    #[cold]
    fn settles_doubts(&mut self) -> bool {
        if self.limits.maximum_qos == Qos::ExactlyOnce && self.doubts == Doubts::Some {
            self.doubts = Doubts::Due;
        }
        self.doubts != Doubts::Due
    }

    /// Whether identifiers may be to be asked for.
    #[inline]
    pub(super) const fn has_doubts(&self) -> bool {
        matches!(self.doubts, Doubts::Due | Doubts::Asked { .. })
    }

    /// PUBREL for identifiers in doubt, where none is free.
    #[cold]
    pub(super) fn pump_doubts(&mut self, tables: &mut Tables<'_>) -> Result<(), Stop> {
        let cap = self.bounds.ids;
        if self.doubts == Doubts::Due && self.limits.maximum_qos == Qos::ExactlyOnce {
            if tables.ids.len() < usize::from(cap) {
                return Err(Stop::Need(Table::Ids, cap.into()));
            }
            self.ids.doubt(tables.ids, cap);
            self.doubts = Doubts::Asked { before: 0, open: 0 };
        }
        let version = self.link.version;
        while let Doubts::Asked { before, open } = self.doubts {
            if open >= AT_ONCE || self.ids.needed(cap).is_some() {
                break;
            }
            let Some(id) = self.ids.next_doubted(tables.ids, before) else { break };
            self.put(tables, |out| Pubrel::new(id).encode(version, out), 4)?;
            self.doubts = Doubts::Asked { before: id.get(), open: open.saturating_add(1) };
            self.await_ack();
        }
        Ok(())
    }

    /// PUBCOMP came for an identifier that no operation holds; true: it was asked for, and is free now.
    #[cold]
    pub(super) fn answers_doubt(&mut self, tables: &mut Tables<'_>, id: PacketId) -> bool {
        let Doubts::Asked { before, open } = self.doubts else { return false };
        if id.get() > before || !self.ids.trust(tables.ids, id) {
            return false;
        }
        self.unanswered = 0;
        self.doubts = match self.ids.doubted() {
            0 => Doubts::None,
            _ => Doubts::Asked { before, open: open.saturating_sub(1) },
        };
        true
    }

    /// Whether an answer is awaited for an identifier in doubt.
    pub(super) const fn awaits_doubts(&self) -> bool {
        matches!(self.doubts, Doubts::Asked { open, .. } if open != 0)
    }

    /// The connection was cut: what was not answered is asked for again, unless no connection gets an answer.
    pub(super) fn ask_again(&mut self, tables: &mut Tables<'_>) {
        let Doubts::Asked { open, .. } = self.doubts else { return };
        self.doubts = Doubts::Asked { before: 0, open: 0 };
        if open == 0 {
            return;
        }
        self.unanswered = self.unanswered.saturating_add(1);
        if self.unanswered >= GIVEN_UP_AFTER {
            self.forget_doubts(tables);
        }
    }

    /// The tables are to be new ones: what is still in doubt is asked for when an identifier is needed again.
    pub(super) fn shelve_doubts(&mut self) {
        if matches!(self.doubts, Doubts::Asked { .. }) {
            self.doubts = Doubts::Some;
        }
    }

    /// The session on the server is a new one: it holds nothing.
    pub(super) fn forget_doubts(&mut self, tables: &mut Tables<'_>) {
        let mut before = 0;
        while self.ids.doubted() != 0
            && let Some(id) = self.ids.next_doubted(tables.ids, before)
        {
            self.ids.trust(tables.ids, id);
            before = id.get();
        }
        self.unanswered = 0;
        self.doubts = Doubts::None;
    }
}
