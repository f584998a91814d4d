//! Inbound QoS 2 exchanges whose identifiers a journal keeps.
//!
//! ```text
//!  handed over                stored(put)                     → PUBREC
//!  ───────────▶ Storing ──────────────────▶ Stored, in order ──────────▶ Received
//!                  ← PUBREL        stored(delete)        → PUBCOMP
//!  Received ────────────▶ Leaving ───────────────▶ Gone ──────────▶ (nothing)
//! ```
//!
//! Without waiting for the journal (`Durability::Async`) the exchange is `Received` at once, and over at once;
//! only its record is put and deleted behind it.

use mqtt_proto::PacketId;

use super::{Exchange, Exchanges, Owed, OwedKind};
use crate::list::{NONE, change, next};
use crate::planted::planted;
use crate::qos::Phase;
use crate::record::{Key, Part};

/// What the journal holds of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub(super) enum Recorded {
    #[default]
    Nothing,
    /// Its record is to be put.
    Due,
    /// The journal may have it.
    Given,
    /// It is to be deleted.
    DeleteDue,
    /// The journal may have deleted it.
    Deleted,
}

/// The lists of exchanges the journal has to do with.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Kept {
    /// Identifiers are recorded at all.
    on: bool,
    /// Nothing leaves before the journal has answered.
    gated: bool,
    /// In order of arrival; from `put` on those whose record is to be put.
    storing: crate::list::List,
    put: u32,
    /// From `delete` on those whose record is to be deleted.
    leaving: crate::list::List,
    delete: u32,
    /// Deleted, PUBCOMP to be sent.
    gone: crate::list::List,
}

impl Kept {
    pub(super) const fn new() -> Self {
        Self {
            on: false,
            gated: false,
            storing: crate::list::List::new(),
            put: NONE,
            leaving: crate::list::List::new(),
            delete: NONE,
            gone: crate::list::List::new(),
        }
    }

    /// The same choices, and nothing on the lists.
    pub(super) const fn renewed(&self) -> Self {
        Self { on: self.on, gated: self.gated, ..Self::new() }
    }

    /// Answers that wait for the journal, or for their turn behind it.
    pub(super) const fn unanswered(&self) -> u32 {
        self.storing.len().saturating_add(self.leaving.len()).saturating_add(self.gone.len())
    }

    pub(super) const fn is_on(&self) -> bool {
        self.on
    }
}

impl Exchanges {
    /// Identifiers of QoS 2 exchanges are recorded from now on; `gated`: nothing leaves before.
    pub(crate) fn keep_records(&mut self, gated: bool) {
        self.kept.on = true;
        self.kept.gated = gated;
    }

    /// The phase in which an exchange begins that the session acknowledges itself.
    pub(crate) fn first_phase(&self) -> Phase {
        if self.kept.gated && !planted!("ack-before-stored") { Phase::Storing } else { Phase::Received }
    }

    /// The record of an exchange is to be put.
    pub(crate) fn record(&mut self, table: &mut [Exchange], index: u32) {
        if !self.kept.on {
            return;
        }
        change(table, index, |entry| entry.recorded = Recorded::Due);
        self.kept.storing.push_back(table, index);
        if self.kept.put == NONE {
            self.kept.put = index;
        }
    }

    /// The record of an exchange is to be put, if none was.
    pub(super) fn record_unrecorded(&mut self, table: &mut [Exchange], index: u32) {
        if table.get(index as usize).is_some_and(|entry| entry.recorded == Recorded::Nothing) {
            self.record(table, index);
        }
    }

    /// What the application acknowledged in its turn is to be recorded before PUBREC is sent.
    pub(crate) fn record_acknowledged(&mut self, table: &mut [Exchange]) {
        while self.kept.gated {
            let head = self.second.head();
            match table.get_mut(head as usize) {
                Some(entry) if entry.phase == Phase::Acked2 => {}
                _ => return,
            }
            self.second.unlink(table, head);
            change(table, head, |entry| entry.phase = Phase::Storing);
            self.record(table, head);
        }
    }

    /// The next record to put.
    pub(crate) fn next_put(&mut self, table: &mut [Exchange]) -> Option<Key> {
        let index = self.kept.put;
        let entry = table.get_mut(index as usize)?;
        entry.recorded = Recorded::Given;
        let (key, waits) = (key_of(entry), entry.phase != Phase::Received);
        self.kept.put = next(table, index);
        if !waits {
            self.kept.storing.unlink(table, index);
        }
        Some(key)
    }

    /// The next record to delete.
    pub(crate) fn next_delete(&mut self, table: &mut [Exchange]) -> Option<Key> {
        let index = self.kept.delete;
        let entry = table.get_mut(index as usize)?;
        entry.recorded = Recorded::Deleted;
        let (key, answers) = (key_of(entry), entry.answers);
        self.kept.delete = next(table, index);
        if !answers {
            self.kept.leaving.unlink(table, index);
            self.release(table, index);
        }
        Some(key)
    }

    /// Whether a full table would have room once the journal has taken what it was given, and the answers
    /// for it are sent.
    pub(crate) const fn is_clogged(&self, bound: u32) -> bool {
        self.open >= bound && (self.kept.leaving.len() != 0 || self.kept.gone.len() != 0)
    }

    /// The journal has answered for a record.
    pub(crate) fn stored(&mut self, table: &mut [Exchange], key: Key) {
        let Some(id) = u16::try_from(key.index()).ok().and_then(PacketId::new) else { return };
        let Some(index) = self.find_where(table, id, |entry| entry.generation == key.generation()) else {
            return;
        };
        let Some(entry) = table.get_mut(index as usize) else { return };
        let here = entry.connection == self.connection;
        match (entry.phase, entry.recorded) {
            // A PUBLISH of an earlier connection is answered when it comes again.
            (Phase::Storing, Recorded::Given) if !here => {
                entry.phase = entry.answered();
                self.kept.storing.unlink(table, index);
            }
            (Phase::Storing, Recorded::Given) => entry.phase = Phase::Stored,
            (Phase::Leaving, Recorded::Deleted) => {
                self.kept.leaving.unlink(table, index);
                if here {
                    change(table, index, |entry| entry.phase = Phase::Gone);
                    self.kept.gone.push_back(table, index);
                } else {
                    self.release(table, index);
                }
            }
            _ => {}
        }
    }

    /// PUBREL came for an exchange; true: PUBCOMP is owed now.
    pub(crate) fn complete(&mut self, table: &mut [Exchange], index: u32) -> bool {
        let Some(entry) = table.get_mut(index as usize) else { return true };
        if entry.phase == Phase::Leaving {
            // It came again while the journal still deletes: PUBCOMP follows on this connection.
            entry.connection = self.connection;
            return false;
        }
        let waits = self.kept.gated && entry.recorded == Recorded::Given;
        self.remove(table, index);
        if waits {
            // On this connection; PUBLISH may have come on an earlier one.
            let connection = self.connection;
            change(table, index, |entry| (entry.answers, entry.connection) = (true, connection));
        }
        !waits
    }

    /// An exchange ends whose record is in the journal: it stays until that is deleted. False: it has none.
    pub(super) fn leave(&mut self, table: &mut [Exchange], index: u32) -> bool {
        match table.get_mut(index as usize) {
            Some(entry) if entry.recorded == Recorded::Given => {
                entry.recorded = Recorded::DeleteDue;
                entry.phase = Phase::Leaving;
                entry.answers = false;
            }
            _ => return false,
        }
        self.kept.leaving.push_back(table, index);
        if self.kept.delete == NONE {
            self.kept.delete = index;
        }
        true
    }

    /// An exchange whose record is being deleted was one of a lost session: PUBREL is not answered any more, and its
    /// identifier may come with another message.
    pub(super) fn disown(&self, table: &mut [Exchange], index: u32) {
        let earlier = self.connection.wrapping_sub(1);
        if let Some(entry) = table.get_mut(index as usize).filter(|entry| entry.phase == Phase::Leaving) {
            (entry.answers, entry.connection) = (false, earlier);
        }
    }

    /// Takes an exchange off the list it is on because of its record.
    pub(super) fn unlist(&mut self, table: &mut [Exchange], index: u32) {
        let Some(entry) = table.get(index as usize) else { return };
        let waits = matches!(entry.phase, Phase::Storing | Phase::Stored) || entry.recorded == Recorded::Due;
        if waits {
            if self.kept.put == index {
                self.kept.put = next(table, index);
            }
            self.kept.storing.unlink(table, index);
        }
    }

    /// Whether an answer's turn has come.
    pub(super) fn has_stored(&self, table: &[Exchange]) -> bool {
        self.kept.gone.head() != NONE
            || table.get(self.kept.storing.head() as usize).is_some_and(|entry| entry.phase == Phase::Stored)
    }

    /// The next answer whose turn it is.
    pub(super) fn next_stored(&mut self, table: &mut [Exchange], refusable: bool) -> Option<(Owed, u32)> {
        let gone = self.kept.gone.head();
        if let Some(entry) = table.get(gone as usize) {
            let owed =
                Owed::new(OwedKind::Pubcomp, PacketId::new(entry.id)?, mqtt_proto::ReasonCode::Success);
            self.kept.gone.unlink(table, gone);
            self.release(table, gone);
            return Some((owed, gone));
        }
        loop {
            let head = self.kept.storing.head();
            let entry = table.get(head as usize).filter(|entry| entry.phase == Phase::Stored)?;
            let owed = Owed::new(OwedKind::Pubrec, PacketId::new(entry.id)?, entry.reason);
            self.kept.storing.unlink(table, head);
            if !(refusable && owed.reason.is_error()) {
                change(table, head, |entry| entry.phase = Phase::Received);
            } else if !self.refuse(table, head) {
                continue;
            }
            return Some((owed, head));
        }
    }

    /// The connection was cut: what was to be answered is answered when it comes again.
    pub(super) fn cut_stored(&mut self, table: &mut [Exchange]) {
        let mut at = self.kept.storing.head();
        while let Some(entry) = table.get_mut(at as usize) {
            let stored = entry.phase == Phase::Stored;
            if stored {
                entry.phase = entry.answered();
            }
            let following = next(table, at);
            if stored {
                self.kept.storing.unlink(table, at);
            }
            at = following;
        }
        while let Some(index) = self.kept.gone.pop_front(table) {
            self.release(table, index);
        }
    }

    /// Opens an exchange of an earlier run. False: the record was read before.
    ///
    /// Of two with one identifier the one that was opened later counts: the other is over, and its record, which could not
    /// be deleted, is to be deleted now.
    pub(crate) fn restore(&mut self, table: &mut [Exchange], key: Key, session: u32) -> bool {
        let Some(id) = u16::try_from(key.index()).ok().and_then(PacketId::new) else { return false };
        if self.find_where(table, id, |entry| entry.generation == key.generation()).is_some() {
            return false;
        }
        let other = self.find_where(table, id, |entry| entry.phase == Phase::Received);
        let Some(token) = self.add(table, id, Phase::Received) else { return false };
        let index = u32::from(token.index());
        let Some(entry) = table.get_mut(index as usize) else { return false };
        entry.generation = key.generation();
        entry.recorded = Recorded::Given;
        // Until everything was read: which session on the server it is of.
        entry.connection = session;
        self.open_here = self.open_here.saturating_sub(1);
        self.opened = self.opened.max(key.generation());
        if let Some(other) = other {
            let generation = table.get(other as usize).map_or(0, |entry| entry.generation);
            self.give_up(table, if generation < key.generation() { other } else { index });
        }
        true
    }

    /// Ends an exchange of an earlier run.
    fn give_up(&mut self, table: &mut [Exchange], index: u32) {
        if let Some(entry) = table.get_mut(index as usize) {
            entry.connection = self.connection.wrapping_sub(1);
            self.remove(table, index);
        }
    }

    /// Everything was read: exchanges of earlier sessions on the server are over.
    pub(crate) fn restored(&mut self, table: &mut [Exchange], session: u32) {
        for index in 0..u32::try_from(table.len()).unwrap_or(NONE) {
            let Some(entry) = table.get_mut(index as usize).filter(|entry| entry.phase != Phase::Free) else {
                continue;
            };
            if entry.connection != session {
                self.give_up(table, index);
            }
            if let Some(entry) = table.get_mut(index as usize) {
                entry.connection = self.connection.wrapping_sub(1);
            }
        }
    }
}

impl Exchange {
    /// Where an exchange stands whose PUBREC is to be sent when the message comes again.
    const fn answered(&self) -> Phase {
        if self.reason.is_error() { Phase::Refused } else { Phase::Received }
    }
}

fn key_of(entry: &Exchange) -> Key {
    Key::new(Part::Exchange, entry.id.into(), entry.generation)
}
