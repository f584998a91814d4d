//! Acknowledgements that are owed to the server, in their order.

use mqtt_proto::{PacketId, ReasonCode};

/// What kind of acknowledgement is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum OwedKind {
    Puback,
    Pubrec,
    /// Answers a PUBREC: again, or for an identifier that is not known.
    Pubrel,
    Pubcomp,
}

/// An acknowledgement that is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owed {
    pub(crate) kind: OwedKind,
    pub(crate) reason: ReasonCode,
    /// It has the properties of `Core::said`.
    pub(crate) explained: bool,
    id: u16,
}

impl Owed {
    pub(crate) const EMPTY: Self =
        Self { kind: OwedKind::Puback, reason: ReasonCode::Success, explained: false, id: 0 };

    pub(crate) const fn new(kind: OwedKind, id: PacketId, reason: ReasonCode) -> Self {
        Self { kind, reason, explained: false, id: id.get() }
    }

    pub(crate) const fn id(self) -> Option<PacketId> {
        PacketId::new(self.id)
    }
}

/// The owed acknowledgements, in order: a ring in its table.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct OwedRing {
    head: usize,
    len: usize,
    /// Owed acknowledgements whose exchange is not in the table of exchanges: PUBACK.
    unlisted: u32,
}

impl OwedRing {
    pub(crate) const fn new() -> Self {
        Self { head: 0, len: 0, unlisted: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// PUBACKs among the owed ones.
    pub(crate) const fn pubacks(&self) -> u32 {
        self.unlisted
    }

    #[inline(always)]
    fn place(&self, table: &[Owed], offset: usize) -> usize {
        // Both are below the table's length, or at most that.
        let at = self.head.wrapping_add(offset);
        if at >= table.len() { at.wrapping_sub(table.len()) } else { at }
    }

    /// Appends one; the caller has made sure that there is room.
    #[inline]
    pub(crate) fn push(&mut self, table: &mut [Owed], owed: Owed) {
        if self.len >= table.len() {
            return;
        }
        let at = self.place(table, self.len);
        if let Some(entry) = table.get_mut(at) {
            *entry = owed;
            self.len = self.len.wrapping_add(1);
            self.unlisted = self.unlisted.wrapping_add(u32::from(owed.kind == OwedKind::Puback));
        }
    }

    #[inline(always)]
    pub(crate) fn front(&self, table: &[Owed]) -> Option<Owed> {
        if self.len == 0 { None } else { table.get(self.head).copied() }
    }

    /// Takes `owed` off, which is in front.
    #[inline(always)]
    pub(crate) fn pop(&mut self, table: &[Owed], owed: Owed) {
        self.unlisted = self.unlisted.wrapping_sub(u32::from(owed.kind == OwedKind::Puback));
        self.head = self.place(table, 1);
        self.len = self.len.wrapping_sub(1);
    }

    /// Puts the first entry at the start of the table, so that it can grow at its end.
    pub(crate) fn straighten(&mut self, table: &mut [Owed]) {
        if self.head != 0 {
            table.rotate_left(self.head.min(table.len()));
            self.head = 0;
        }
    }

    pub(crate) const fn clear(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: u16) -> PacketId {
        PacketId::new(value).unwrap()
    }

    #[test]
    fn the_ring_keeps_its_order_when_its_table_grows() {
        let mut table = vec![Owed::EMPTY; 3];
        let mut ring = OwedRing::new();
        let push = |ring: &mut OwedRing, table: &mut [Owed], value| {
            ring.push(table, Owed::new(OwedKind::Puback, id(value), ReasonCode::Success));
        };
        (1..=3).for_each(|value| push(&mut ring, &mut table, value));
        for _ in 0..2 {
            let first = ring.front(&table).unwrap();
            ring.pop(&table, first);
        }
        push(&mut ring, &mut table, 4);
        ring.straighten(&mut table);
        table.resize(6, Owed::EMPTY);
        push(&mut ring, &mut table, 5);
        assert_eq!(ring.pubacks(), 3);
        let mut given = Vec::new();
        while let Some(owed) = ring.front(&table) {
            given.push(owed.id);
            ring.pop(&table, owed);
        }
        assert_eq!(given, [3, 4, 5]);
    }
}
