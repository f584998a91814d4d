//! All memory inside the session, of a size its type says: no heap.

use super::sealed::Sealed;
use super::{Capacity, Contents, Shared, Storage, Table, Tables, View};
use crate::aliases::{Given, Sent};
use crate::ids::IdEntry;
use crate::inbound::{Exchange, Owed};
use crate::journal::Entry;
use crate::operation::Slot;

/// Memory of a fixed size.
///
/// * `B` holds the outgoing buffer and the content of operations: an array `[u8; N]`, or a `&mut [u8]`
///   lent by the caller. `Config::wire_bytes` of it, at most half, are the outgoing buffer.
/// * `OUT` operations may be open at once, queued and in flight together.
/// * `OUT` and `IN` are at least 1 (checked when it is compiled).
/// * `IN` inbound QoS 1 and 2 messages may be unacknowledged at once.
/// * Nothing is ever allocated: `size_of` the session is all the memory it has (with a lent `B`, beside that).
/// * At most `OUT` outgoing and `IN` inbound topic aliases are in use, whatever `Config` says.
#[derive(Clone)]
pub struct Fixed<B, const OUT: usize, const IN: usize> {
    slots: [Slot; OUT],
    journal: [Entry; OUT],
    ids: [IdEntry; OUT],
    exchanges: [Exchange; IN],
    owed: [Owed; IN],
    aliases_out: [Sent; OUT],
    aliases_in: [Given; IN],
    bytes: B,
    wire: usize,
}

impl<B, const OUT: usize, const IN: usize> Fixed<B, OUT, IN> {
    pub(crate) const fn new(bytes: B, wire: usize) -> Self {
        const { assert!(OUT > 0 && IN > 0, "a session needs room for one operation and one acknowledgement") };
        Self {
            slots: [Slot::EMPTY; OUT],
            journal: [Entry::EMPTY; OUT],
            ids: [IdEntry::FREE; OUT],
            exchanges: [Exchange::EMPTY; IN],
            owed: [Owed::EMPTY; IN],
            aliases_out: [Sent::EMPTY; OUT],
            aliases_in: [Given::EMPTY; IN],
            bytes,
            wire,
        }
    }
}

/// Without content: messages and packets that wait may hold secrets.
impl<B: AsRef<[u8]>, const OUT: usize, const IN: usize> core::fmt::Debug for Fixed<B, OUT, IN> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Fixed({} bytes, {OUT} operations, {IN} inbound)", self.bytes.as_ref().len())
    }
}

/// How much of `all` bytes is the outgoing buffer.
fn wire_len(all: usize, wanted: usize) -> usize {
    wanted.min(all / 2)
}

impl<B: AsRef<[u8]> + AsMut<[u8]>, const OUT: usize, const IN: usize> Sealed for Fixed<B, OUT, IN> {}

impl<B: AsRef<[u8]> + AsMut<[u8]>, const OUT: usize, const IN: usize> Storage for Fixed<B, OUT, IN> {
    type Payload<'p> = FixedPayload<'p>;

    fn capacity(&self) -> Capacity {
        let all = self.bytes.as_ref().len();
        let wire = wire_len(all, self.wire);
        let arena = all.saturating_sub(wire);
        Capacity { slots: OUT, inbound: IN, arena, wire, aliases_out: OUT, aliases_in: IN }
    }

    fn reserve(&mut self, _: Table, _: usize) {}

    fn tables(&mut self) -> Tables<'_> {
        let bytes = self.bytes.as_mut();
        let wire = wire_len(bytes.len(), self.wire);
        let (wire, arena) = bytes.split_at_mut_checked(wire).unwrap_or_default();
        Tables {
            slots: &mut self.slots,
            journal: &mut self.journal,
            ids: &mut self.ids,
            exchanges: &mut self.exchanges,
            owed: &mut self.owed,
            arena,
            wire,
            aliases_out: &mut self.aliases_out,
            aliases_in: &mut self.aliases_in,
            shared: Shared::none(),
        }
    }

    fn view(&self) -> View<'_> {
        let bytes = self.bytes.as_ref();
        let wire = wire_len(bytes.len(), self.wire);
        let (wire, arena) = bytes.split_at_checked(wire).unwrap_or_default();
        View {
            slots: &self.slots,
            arena,
            wire,
            aliases_in: &self.aliases_in,
            #[cfg(feature = "alloc")]
            shared: &[],
        }
    }

    fn contents(&self) -> Contents<'_> {
        Contents {
            view: self.view(),
            journal: &self.journal,
            ids: &self.ids,
            exchanges: &self.exchanges,
            owed: &self.owed,
            aliases_out: &self.aliases_out,
        }
    }

    fn can_share(_: &FixedPayload<'_>) -> bool {
        false
    }

    fn share(&mut self, _: u32, _: FixedPayload<'_>) {}

    fn shrink(&mut self, _: usize, _: bool) {}
}

/// A payload for a fixed storage: bytes to copy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FixedPayload<'p>(&'p [u8]);

impl<'p> From<&'p [u8]> for FixedPayload<'p> {
    fn from(bytes: &'p [u8]) -> Self {
        Self(bytes)
    }
}

impl<'p, const N: usize> From<&'p [u8; N]> for FixedPayload<'p> {
    fn from(bytes: &'p [u8; N]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for FixedPayload<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0
    }
}

impl core::fmt::Debug for FixedPayload<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "FixedPayload({} bytes)", self.0.len())
    }
}
