//! Inbound messages at QoS 1 and 2: which exchanges are open, and which acknowledgements are owed.

mod owed;
mod records;
mod refusals;

use mqtt_proto::{PacketId, ReasonCode};

pub(crate) use owed::{Owed, OwedKind, OwedRing};

use crate::list::{FreeList, Linked, Links, List, NONE, change};
use crate::qos::Phase;
use crate::token::AckToken;

/// One open inbound exchange.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Exchange {
    links: Links,
    /// First exchange whose identifier falls on this index of the table.
    bucket: u32,
    /// The next one of the same bucket.
    chain: u32,
    generation: u32,
    /// The connection on which its PUBLISH came last.
    connection: u32,
    id: u16,
    phase: Phase,
    reason: ReasonCode,
    recorded: records::Recorded,
    /// PUBCOMP is to be sent once its record is deleted.
    answers: bool,
    /// Where in the outgoing stream the PUBREC ends that refuses it, as far as 32 bits tell.
    ends: u32,
    /// Where the properties lie that its acknowledgement is to have; `NONE`: it has none.
    pub(crate) note: u32,
}

impl Exchange {
    pub(crate) const EMPTY: Self = Self {
        links: Links::UNLINKED,
        bucket: NONE,
        chain: NONE,
        generation: 0,
        connection: 0,
        id: 0,
        phase: Phase::Free,
        reason: ReasonCode::Success,
        recorded: records::Recorded::Nothing,
        answers: false,
        ends: 0,
        note: NONE,
    };

    /// Whether the application has acknowledged it, and its acknowledgement waits for its turn.
    pub(crate) const fn is_acknowledged(&self) -> bool {
        matches!(self.phase, Phase::Acked1 | Phase::Acked2 | Phase::Storing | Phase::Stored)
    }
}

impl Linked for Exchange {
    fn links(&self) -> Links {
        self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// The open inbound exchanges: found by identifier through a chained hash in the table itself, and
/// listed in order of arrival where the application acknowledges.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Exchanges {
    free: FreeList,
    open: u32,
    /// Counts connections; of the open exchanges, those whose PUBLISH came on the present one.
    connection: u32,
    open_here: u32,
    /// Exchanges opened so far: what tells two tokens of one entry apart.
    opened: u32,
    /// QoS 1, not yet acknowledged on the wire, in order of arrival. [MQTT-4.6.0-2]
    first: List,
    /// QoS 2 before PUBREC, in order of arrival. [MQTT-4.6.0-3]
    second: List,
    /// The table length the buckets were made for.
    buckets: u32,
    kept: records::Kept,
    refusals: refusals::Refusals,
}

impl Exchanges {
    pub(crate) const fn new() -> Self {
        Self {
            free: FreeList::new(),
            open: 0,
            connection: 0,
            open_here: 0,
            opened: 0,
            first: List::new(),
            second: List::new(),
            buckets: 0,
            kept: records::Kept::new(),
            refusals: refusals::Refusals::new(),
        }
    }

    /// Nothing is open: the table may be a new one.
    pub(crate) fn renew(&mut self) {
        *self = Self {
            opened: self.opened,
            connection: self.connection,
            kept: self.kept.renewed(),
            ..Self::new()
        };
    }

    pub(crate) const fn open(&self) -> u32 {
        self.open
    }

    /// Those that count against Receive Maximum: its quota starts anew on each connection (4.9).
    pub(crate) const fn open_here(&self) -> u32 {
        self.open_here
    }

    /// A PUBLISH of an exchange that is open already has come again.
    pub(crate) fn came_again(&mut self, table: &mut [Exchange], index: u32) {
        if let Some(entry) = table.get_mut(index as usize)
            && entry.connection != self.connection
        {
            entry.connection = self.connection;
            self.open_here = self.open_here.saturating_add(1);
        }
    }

    /// Makes room for a message the server may send although `bound` exchanges are open: one of an
    /// earlier connection goes that the server has not come back to, though it sends what is unfinished
    /// before what is new. O(table), only when the table is full.
    pub(crate) fn make_room(&mut self, table: &mut [Exchange], bound: u32) {
        if self.open < bound {
            return;
        }
        let stale = |entry: &Exchange| {
            !matches!(entry.phase, Phase::Free | Phase::Leaving | Phase::Gone)
                && entry.connection != self.connection
        };
        let found = table.iter().position(stale).and_then(|index| u32::try_from(index).ok());
        if let Some(index) = found {
            self.remove(table, index);
        }
    }

    /// Whether a QoS 1 message waits for its PUBACK.
    pub(crate) const fn awaits_puback(&self) -> bool {
        self.first.len() != 0
    }

    /// Messages that wait for the application's acknowledgement, or for their turn.
    pub(crate) const fn unanswered(&self) -> u32 {
        self.first.len().saturating_add(self.second.len()).saturating_add(self.kept.unanswered())
    }

    /// Whether a table of `len` has room for one more.
    pub(crate) const fn has_room(&self, len: usize) -> bool {
        self.free.has_room(len)
    }

    /// Identifiers that follow each other are spread over all buckets, without a division.
    #[inline(always)]
    fn bucket_of(&self, id: u16) -> u32 {
        const SPREAD: u16 = 40_503; // 2^16 divided by the golden ratio
        let spread = u64::from(id.wrapping_mul(SPREAD)).wrapping_mul(self.buckets.into());
        (spread >> 16) as u32
    }

    /// Makes the buckets fit a table that has grown.
    fn rehash(&mut self, table: &mut [Exchange]) {
        self.buckets = u32::try_from(table.len()).unwrap_or(NONE);
        for entry in table.iter_mut() {
            entry.bucket = NONE;
        }
        for index in 0..self.buckets {
            self.chain_in(table, index);
        }
    }

    fn chain_in(&self, table: &mut [Exchange], index: u32) {
        let Some(entry) = table.get(index as usize).filter(|entry| entry.phase != Phase::Free) else {
            return;
        };
        let bucket = self.bucket_of(entry.id);
        let first = table.get(bucket as usize).map_or(NONE, |entry| entry.bucket);
        change(table, index, |entry| entry.chain = first);
        change(table, bucket, |entry| entry.bucket = index);
    }

    fn chain_out(&self, table: &mut [Exchange], index: u32) {
        let Some(entry) = table.get(index as usize) else { return };
        let (bucket, behind) = (self.bucket_of(entry.id), entry.chain);
        let mut at = table.get(bucket as usize).map_or(NONE, |entry| entry.bucket);
        if at == index {
            change(table, bucket, |entry| entry.bucket = behind);
            return;
        }
        while let Some(entry) = table.get_mut(at as usize) {
            if entry.chain == index {
                entry.chain = behind;
                return;
            }
            at = entry.chain;
        }
    }

    /// The QoS 2 exchange of `id`.
    pub(crate) fn find(&self, table: &[Exchange], id: PacketId) -> Option<(u32, Phase)> {
        let open = |entry: &Exchange| match entry.phase {
            Phase::Delivered1 | Phase::Acked1 | Phase::Gone => false,
            Phase::Leaving => entry.answers,
            _ => true,
        };
        let index = self.find_where(table, id, open)?;
        table.get(index as usize).map(|entry| (index, entry.phase))
    }

    fn find_where(&self, table: &[Exchange], id: PacketId, test: impl Fn(&Exchange) -> bool) -> Option<u32> {
        let bucket = self.bucket_of(id.get()) as usize;
        let mut at = table.get(bucket).map_or(NONE, |entry| entry.bucket);
        while let Some(entry) = table.get(at as usize) {
            if entry.id == id.get() && test(entry) {
                return Some(at);
            }
            at = entry.chain;
        }
        None
    }

    /// Opens an exchange; `None`: the table is full.
    pub(crate) fn add(&mut self, table: &mut [Exchange], id: PacketId, phase: Phase) -> Option<AckToken> {
        if self.buckets as usize != table.len() {
            self.rehash(table);
        }
        let index = self.free.take(table)?;
        let entry = table.get_mut(index as usize)?;
        entry.links = Links::UNLINKED;
        entry.id = id.get();
        entry.phase = phase;
        entry.reason = ReasonCode::Success;
        entry.recorded = records::Recorded::Nothing;
        entry.answers = false;
        self.opened = self.opened.wrapping_add(1);
        entry.generation = self.opened;
        entry.connection = self.connection;
        self.open_here = self.open_here.saturating_add(1);
        let token = AckToken::new(u16::try_from(index).ok()?, entry.generation);
        self.open = self.open.saturating_add(1);
        self.chain_in(table, index);
        match phase {
            Phase::Delivered1 => self.first.push_back(table, index),
            Phase::Delivered2 => self.second.push_back(table, index),
            _ => {}
        }
        Some(token)
    }

    /// Ends an exchange. One that the journal has stays in the table until its record is deleted.
    pub(crate) fn remove(&mut self, table: &mut [Exchange], index: u32) {
        let Some((phase, connection)) =
            table.get(index as usize).map(|entry| (entry.phase, entry.connection))
        else {
            return;
        };
        if matches!(phase, Phase::Free | Phase::Leaving | Phase::Gone) {
            return;
        }
        if connection == self.connection {
            self.open_here = self.open_here.saturating_sub(1);
        }
        match phase {
            Phase::Delivered1 | Phase::Acked1 => self.first.unlink(table, index),
            Phase::Delivered2 | Phase::Acked2 => self.second.unlink(table, index),
            Phase::Refusing => self.unlist_refusal(table, index),
            _ => {}
        }
        if self.kept.is_on() {
            self.unlist(table, index);
            if self.leave(table, index) {
                return;
            }
        }
        self.release(table, index);
    }

    /// Makes the entry of an exchange that has ended, and is on no list, free.
    fn release(&mut self, table: &mut [Exchange], index: u32) {
        self.chain_out(table, index);
        change(table, index, |entry| entry.phase = Phase::Free);
        self.free.give(table, index);
        self.open = self.open.saturating_sub(1);
    }

    /// Whether the application may acknowledge.
    pub(crate) fn is_delivered(&self, table: &[Exchange], token: AckToken) -> bool {
        table.get(usize::from(token.index())).is_some_and(|entry| {
            entry.generation == token.generation()
                && matches!(entry.phase, Phase::Delivered1 | Phase::Delivered2)
        })
    }

    /// The application acknowledged; false: the token is stale.
    pub(crate) fn acknowledge(&self, table: &mut [Exchange], token: AckToken, reason: ReasonCode) -> bool {
        let known = self.is_delivered(table, token);
        if known {
            change(table, token.index().into(), |entry| {
                entry.phase = if entry.phase == Phase::Delivered1 { Phase::Acked1 } else { Phase::Acked2 };
                entry.reason = reason;
            });
        }
        known
    }

    /// Whether an acknowledgement's turn has come.
    #[inline(always)]
    pub(crate) fn has_acknowledged(&self, table: &[Exchange]) -> bool {
        let is = |index: u32, phase| table.get(index as usize).is_some_and(|entry| entry.phase == phase);
        is(self.first.head(), Phase::Acked1)
            || is(self.second.head(), Phase::Acked2)
            || (self.kept.is_on() && self.has_stored(table))
    }

    /// The next acknowledgement whose turn it is, taken off its list, and the index of its exchange. `refusable`: the
    /// version has a way to refuse a message (5.0).
    pub(crate) fn next_acknowledged(
        &mut self,
        table: &mut [Exchange],
        refusable: bool,
    ) -> Option<(Owed, u32)> {
        let head = self.first.head();
        if let Some(entry) = table.get(head as usize).filter(|entry| entry.phase == Phase::Acked1) {
            let owed = Owed::new(OwedKind::Puback, PacketId::new(entry.id)?, entry.reason);
            self.remove(table, head);
            return Some((owed, head));
        }
        if self.kept.is_on() {
            self.record_acknowledged(table);
            let stored = self.next_stored(table, refusable);
            if stored.is_some() {
                return stored;
            }
        }
        loop {
            let head = self.second.head();
            let entry = table.get_mut(head as usize).filter(|entry| entry.phase == Phase::Acked2)?;
            let owed = Owed::new(OwedKind::Pubrec, PacketId::new(entry.id)?, entry.reason);
            let refused = refusable && entry.reason.is_error();
            self.second.unlink(table, head);
            if !refused {
                change(table, head, |entry| entry.phase = Phase::Received);
                self.record(table, head);
            } else if !self.refuse(table, head) {
                continue;
            }
            return Some((owed, head));
        }
    }

    /// The connection was cut: the server sends QoS 1 messages again, so their tokens are stale.
    pub(crate) fn cut(&mut self, table: &mut [Exchange]) {
        while self.first.head() != NONE {
            self.remove(table, self.first.head());
        }
        if self.kept.is_on() {
            self.cut_stored(table);
        }
        self.cut_refusals(table);
        self.connection = self.connection.wrapping_add(1);
        self.open_here = 0;
    }

    /// The session is over.
    pub(crate) fn clear(&mut self, table: &mut [Exchange]) {
        if self.open == 0 {
            return;
        }
        let len = u32::try_from(table.len()).unwrap_or(NONE);
        for index in 0..len {
            self.remove(table, index);
            self.disown(table, index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: u16) -> PacketId {
        PacketId::new(value).unwrap()
    }

    #[test]
    fn exchanges_are_found_by_identifier_whatever_the_table_holds() {
        let mut table = vec![Exchange::EMPTY; 4];
        let mut open = Exchanges::new();
        for value in [5, 9, 13] {
            open.add(&mut table, id(value), Phase::Received).unwrap();
        }
        table.resize(8, Exchange::EMPTY);
        open.add(&mut table, id(7), Phase::Received).unwrap();
        for value in [5, 9, 13, 7] {
            assert!(open.find(&table, id(value)).is_some(), "{value}");
        }
        assert!(open.find(&table, id(1)).is_none());
        let (index, _) = open.find(&table, id(9)).unwrap();
        open.remove(&mut table, index);
        assert!(open.find(&table, id(9)).is_none());
        assert!(open.find(&table, id(13)).is_some());
        open.clear(&mut table);
        assert_eq!(open.open(), 0);
    }

    #[test]
    fn identifiers_of_one_bucket_go_in_any_order() {
        let mut table = vec![Exchange::EMPTY; 4];
        let mut open = Exchanges::new();
        open.rehash(&mut table);
        let bucket = open.bucket_of(1);
        let mut together = (1..).filter(|value| open.bucket_of(*value) == bucket);
        let ids: [u16; 3] = core::array::from_fn(|_| together.next().unwrap());
        for gone in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
            let mut table = vec![Exchange::EMPTY; 4];
            let mut open = Exchanges::new();
            for value in ids {
                open.add(&mut table, id(value), Phase::Received).unwrap();
            }
            for (count, which) in gone.into_iter().enumerate() {
                let (index, _) = open.find(&table, id(ids[which])).unwrap();
                open.remove(&mut table, index);
                let left = ids.iter().filter(|value| open.find(&table, id(**value)).is_some()).count();
                assert_eq!(left, 2 - count, "{which} of {gone:?}");
            }
        }
    }

    #[test]
    fn acknowledgements_wait_for_those_before_them() {
        let mut table = vec![Exchange::EMPTY; 4];
        let mut open = Exchanges::new();
        let first = open.add(&mut table, id(1), Phase::Delivered1).unwrap();
        let second = open.add(&mut table, id(2), Phase::Delivered1).unwrap();
        assert!(open.acknowledge(&mut table, second, ReasonCode::Success));
        assert_eq!(open.next_acknowledged(&mut table, true), None);
        assert!(open.acknowledge(&mut table, first, ReasonCode::Success));
        let given: Vec<u16> = core::iter::from_fn(|| open.next_acknowledged(&mut table, true))
            .map(|(owed, _)| owed.id().unwrap().get())
            .collect();
        assert_eq!(given, [1, 2]);
        assert!(!open.acknowledge(&mut table, first, ReasonCode::Success), "used twice");
    }

    #[test]
    fn a_cut_makes_qos_1_tokens_stale_and_keeps_qos_2_ones() {
        let mut table = vec![Exchange::EMPTY; 4];
        let mut open = Exchanges::new();
        let first = open.add(&mut table, id(1), Phase::Delivered1).unwrap();
        let second = open.add(&mut table, id(2), Phase::Delivered2).unwrap();
        open.cut(&mut table);
        assert!(!open.acknowledge(&mut table, first, ReasonCode::Success));
        assert!(open.acknowledge(&mut table, second, ReasonCode::Success));
    }
}
