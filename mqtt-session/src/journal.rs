//! Which records are to be put, which are stored: what the session remembers of its journal.
//!
//! Each operation has an entry beside its slot. Entries with something to give to the driver are on one
//! list, in the order in which that fell due; entries whose `Event::Durable` is to be told on another.

use crate::engine::Noted;
use crate::list::NONE;

/// The operation has records.
pub(crate) const KEPT: u16 = 1;
/// On the list of commands.
const LISTED: u16 = 1 << 1;
/// Its record is to be put.
pub(crate) const PUT: u16 = 1 << 2;
/// The record that it may have been sent is to be put.
pub(crate) const MARK: u16 = 1 << 3;
/// PUBREC came: its record is to be deleted.
pub(crate) const RELEASE: u16 = 1 << 4;
/// All its records are to be deleted, and the slot is then free.
pub(crate) const END: u16 = 1 << 5;
/// The journal may have the record.
pub(crate) const PUT_GIVEN: u16 = 1 << 6;
pub(crate) const MARK_GIVEN: u16 = 1 << 7;
/// The journal has answered for the record.
pub(crate) const PUT_STORED: u16 = 1 << 8;
pub(crate) const MARK_STORED: u16 = 1 << 9;
pub(crate) const RELEASE_GIVEN: u16 = 1 << 10;
pub(crate) const RELEASED: u16 = 1 << 11;
/// On the list of what is to be told.
const TELL: u16 = 1 << 12;
/// Records of an earlier operation of the slot, which an earlier run could not delete, are to be deleted.
pub(crate) const OLDER_PUT: u16 = 1 << 13;
pub(crate) const OLDER_MARK: u16 = 1 << 14;
pub(crate) const OLDER: u16 = OLDER_PUT | OLDER_MARK;

#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Place {
    next: u32,
    prev: u32,
}

impl Place {
    const NOWHERE: Self = Self { next: NONE, prev: NONE };
}

/// What the journal holds of one operation.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Entry {
    /// Its places on the lists.
    pub(crate) places: [Place; 2],
    /// Order of acceptance.
    pub(crate) sequence: u64,
    pub(crate) bits: u16,
    /// Marks that were given and not answered for.
    pub(crate) marks_out: u8,
    /// The generation of that earlier operation.
    pub(crate) older: u32,
}

impl Entry {
    pub(crate) const EMPTY: Self =
        Self { places: [Place::NOWHERE; 2], sequence: 0, bits: 0, marks_out: 0, older: 0 };

    pub(crate) const fn has(&self, bits: u16) -> bool {
        self.bits & bits == bits
    }

    pub(crate) const fn any(&self, bits: u16) -> bool {
        self.bits & bits != 0
    }
}

/// A list through the entries. Lists share the entries, each with its own place in them.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Lane {
    head: u32,
    tail: u32,
    place: usize,
    bit: u16,
}

impl Lane {
    /// What is to be given to the driver.
    pub(crate) const fn commands() -> Self {
        Self { head: NONE, tail: NONE, place: 0, bit: LISTED }
    }

    /// What is to be told as durable.
    pub(crate) const fn told() -> Self {
        Self { head: NONE, tail: NONE, place: 1, bit: TELL }
    }

    pub(crate) const fn head(&self) -> u32 {
        self.head
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.head == NONE
    }

    fn at<'t>(&self, table: &'t mut [Entry], index: u32) -> Option<&'t mut Place> {
        table.get_mut(index as usize)?.places.get_mut(self.place)
    }

    /// Appends `index`, unless it is on the list already.
    pub(crate) fn add(&mut self, table: &mut [Entry], index: u32) {
        match table.get_mut(index as usize) {
            Some(entry) if !entry.has(self.bit) => entry.bits |= self.bit,
            _ => return,
        }
        let prev = self.tail;
        if let Some(place) = self.at(table, index) {
            *place = Place { next: NONE, prev };
        }
        match self.at(table, prev) {
            Some(last) => last.next = index,
            None => self.head = index,
        }
        self.tail = index;
    }

    /// Takes `index` off, if it is on the list.
    pub(crate) fn remove(&mut self, table: &mut [Entry], index: u32) {
        match table.get_mut(index as usize) {
            Some(entry) if entry.has(self.bit) => entry.bits &= !self.bit,
            _ => return,
        }
        let Some(Place { next, prev }) = self.at(table, index).copied() else { return };
        match self.at(table, prev) {
            Some(before) => before.next = next,
            None => self.head = next,
        }
        match self.at(table, next) {
            Some(after) => after.prev = prev,
            None => self.tail = prev,
        }
    }
}

/// What is remembered of the journal beside the entries.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Journal {
    pub(crate) commands: Lane,
    pub(crate) told: Lane,
    /// Operations recorded so far.
    pub(crate) sequence: u64,
    /// Publishes that hold an identifier in the journal and were not handed out with it.
    pub(crate) reserved: u32,
    /// The client identifier the records are of; 0: not known yet.
    pub(crate) client: u64,
    /// Counts the sessions on the server.
    pub(crate) session: u32,
    /// The record of the session is to be put.
    pub(crate) session_due: bool,
    /// It is the first one of a run: nothing is sent before it is stored.
    pub(crate) opening: bool,
    /// Answers for it that are to come.
    pub(crate) session_out: u8,
    /// A record of the session was put or restored.
    pub(crate) session_known: bool,
    /// A run began with Clean Start, and no connection of it was accepted yet.
    pub(crate) clean: bool,
    /// What that record says, and of which session on the server.
    pub(crate) noted: Noted,
    pub(crate) noted_session: u32,
    /// Records are being restored: the tables are not in order yet.
    pub(crate) restoring: bool,
    /// Records were restored: they are of this client.
    pub(crate) restored: bool,
    /// Nothing may leave before the record of the session is stored: QoS 2 messages of one that is lost go again, or
    /// the record says that this one ends.
    pub(crate) moved: bool,
    /// The present session on the server began in an earlier run.
    pub(crate) earlier: bool,
    /// Of the subscriptions that were restored some were granted in a session before the last.
    pub(crate) stale: bool,
}

impl Journal {
    pub(crate) const fn new() -> Self {
        Self {
            commands: Lane::commands(),
            told: Lane::told(),
            sequence: 0,
            reserved: 0,
            client: 0,
            session: 0,
            session_due: false,
            opening: false,
            session_out: 0,
            session_known: false,
            clean: false,
            noted: Noted::NOTHING,
            noted_session: 0,
            restoring: false,
            restored: false,
            moved: false,
            earlier: false,
            stale: false,
        }
    }

    /// Nothing is to be given to the driver or to be told.
    pub(crate) const fn is_calm(&self) -> bool {
        self.commands.is_empty() && self.told.is_empty() && !self.session_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_on_each_list_at_most_once_and_leaves_from_anywhere() {
        let mut table = [Entry::EMPTY; 4];
        let (mut commands, mut told) = (Lane::commands(), Lane::told());
        for index in [2, 0, 3, 0] {
            commands.add(&mut table, index);
            told.add(&mut table, index);
        }
        commands.remove(&mut table, 0);
        commands.remove(&mut table, 0);
        let mut seen = Vec::new();
        while !commands.is_empty() {
            seen.push(commands.head());
            commands.remove(&mut table, commands.head());
        }
        assert_eq!(seen, [2, 3]);
        assert_eq!(told.head(), 2);
        told.remove(&mut table, 2);
        assert_eq!(told.head(), 0);
    }
}
