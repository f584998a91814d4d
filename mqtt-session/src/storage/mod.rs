//! Where a session keeps things. A storage only holds: tables of a stated length, as slices. Which
//! slot, which identifier, which order and what is full is decided by the core, so that two storages
//! with equal limits behave alike to the byte.

mod fixed;
#[cfg(feature = "alloc")]
mod heap;

pub use fixed::{Fixed, FixedPayload};
#[cfg(feature = "alloc")]
pub use heap::{Heap, HeapPayload};

use crate::aliases::{Given, Sent};
use crate::ids::IdEntry;
use crate::inbound::{Exchange, Owed};
use crate::journal::Entry;
#[cfg(feature = "alloc")]
use crate::list::change;
use crate::operation::Slot;
use crate::record::{HEAD, Record};

/// Memory for a session: [`Fixed`], or [`Heap`] with the feature `alloc`. Sealed: what it must hold is
/// the engine's own business.
pub trait Storage: sealed::Sealed {
    /// A payload on its way into the session. Every storage takes a `&[u8]`.
    type Payload<'p>: From<&'p [u8]> + AsRef<[u8]>;

    /// The most entries each table can ever have.
    #[doc(hidden)]
    fn capacity(&self) -> Capacity;

    /// Makes a table at least `len` entries long if it can.
    #[doc(hidden)]
    fn reserve(&mut self, table: Table, len: usize);

    /// The tables, as long as they are now.
    #[doc(hidden)]
    fn tables(&mut self) -> Tables<'_>;

    /// The tables a lent payload, the outgoing buffer and inbound topics are read from.
    #[doc(hidden)]
    fn view(&self) -> View<'_>;

    /// All tables, to look at.
    #[doc(hidden)]
    fn contents(&self) -> Contents<'_>;

    /// Whether this payload is better kept as it is than copied.
    #[doc(hidden)]
    fn can_share(payload: &Self::Payload<'_>) -> bool;

    /// Keeps the payload for `slot` until the operation lets go of it.
    #[doc(hidden)]
    fn share(&mut self, slot: u32, payload: Self::Payload<'_>);

    /// Gives memory back that is not in use: `arena` bytes at the front of that table, the aliases and, where
    /// asked, the slots are all that is still needed.
    #[doc(hidden)]
    fn shrink(&mut self, arena: usize, slots: bool);
}

mod sealed {
    #[expect(unnameable_types, reason = "what seals a trait")]
    pub trait Sealed {}
}

/// The tables of a storage.
#[expect(unnameable_types, reason = "only hidden methods of a sealed trait name it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Operations.
    Slots,
    /// Packet identifiers.
    Ids,
    /// Inbound exchanges.
    Exchanges,
    /// Owed acknowledgements.
    Owed,
    /// Bytes of operations.
    Arena,
    /// Outgoing packets.
    Wire,
    /// Outgoing topic aliases.
    AliasesOut,
    /// Inbound topic aliases.
    AliasesIn,
}

/// The most entries each table can ever have.
#[expect(unnameable_types, reason = "only hidden methods of a sealed trait name it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    pub(crate) slots: usize,
    pub(crate) inbound: usize,
    pub(crate) arena: usize,
    pub(crate) wire: usize,
    pub(crate) aliases_out: usize,
    pub(crate) aliases_in: usize,
}

/// The tables, to change.
#[expect(unnameable_types, reason = "only hidden methods of a sealed trait name it")]
pub struct Tables<'a> {
    pub(crate) slots: &'a mut [Slot],
    /// What the journal holds of each operation; on a heap only with a journal.
    pub(crate) journal: &'a mut [Entry],
    pub(crate) ids: &'a mut [IdEntry],
    pub(crate) exchanges: &'a mut [Exchange],
    pub(crate) owed: &'a mut [Owed],
    pub(crate) arena: &'a mut [u8],
    pub(crate) wire: &'a mut [u8],
    pub(crate) aliases_out: &'a mut [Sent],
    pub(crate) aliases_in: &'a mut [Given],
    pub(crate) shared: Shared<'a>,
}

/// Payloads kept beside the arena, by slot. Only a heap has any.
pub(crate) struct Shared<'a> {
    #[cfg(feature = "alloc")]
    pub(crate) payloads: &'a mut [Option<bytes::Bytes>],
    #[cfg(not(feature = "alloc"))]
    pub(crate) payloads: core::marker::PhantomData<&'a mut ()>,
}

impl Shared<'_> {
    /// None at all.
    pub(crate) fn none() -> Self {
        Self { payloads: Default::default() }
    }

    /// The payload kept for `slot`.
    pub(crate) fn get(&self, slot: u32) -> &[u8] {
        #[cfg(feature = "alloc")]
        return self.payloads.get(slot as usize).and_then(Option::as_deref).unwrap_or_default();
        #[cfg(not(feature = "alloc"))]
        {
            let _ = slot;
            &[]
        }
    }

    /// Lets go of the payload kept for `slot`.
    #[cfg_attr(
        not(feature = "alloc"),
        expect(clippy::needless_pass_by_ref_mut, reason = "there is nothing to let go of without a heap")
    )]
    pub(crate) fn drop(&mut self, slot: u32) {
        #[cfg(feature = "alloc")]
        change(self.payloads, slot, |payload| *payload = None);
        #[cfg(not(feature = "alloc"))]
        let _ = slot;
    }
}

/// The tables that outgoing bytes and inbound topics are read from.
#[expect(unnameable_types, reason = "only hidden methods of a sealed trait name it")]
pub struct View<'a> {
    pub(crate) slots: &'a [Slot],
    pub(crate) arena: &'a [u8],
    pub(crate) wire: &'a [u8],
    pub(crate) aliases_in: &'a [Given],
    #[cfg(feature = "alloc")]
    pub(crate) shared: &'a [Option<bytes::Bytes>],
}

/// The tables, to look at.
#[expect(unnameable_types, reason = "only hidden methods of a sealed trait name it")]
pub struct Contents<'a> {
    pub(crate) view: View<'a>,
    pub(crate) journal: &'a [Entry],
    pub(crate) ids: &'a [IdEntry],
    pub(crate) exchanges: &'a [Exchange],
    pub(crate) owed: &'a [Owed],
    pub(crate) aliases_out: &'a [Sent],
}

impl Contents<'_> {
    /// Bytes of all tables.
    pub(crate) fn bytes(&self) -> usize {
        let View { slots, arena, wire, aliases_in, .. } = self.view;
        let tables = [
            size_of_val(slots),
            size_of_val(arena),
            size_of_val(wire),
            size_of_val(aliases_in),
            size_of_val(self.journal),
            size_of_val(self.ids),
            size_of_val(self.exchanges),
            size_of_val(self.owed),
            size_of_val(self.aliases_out),
            #[cfg(feature = "alloc")]
            size_of_val(self.view.shared),
        ];
        tables.into_iter().fold(0, usize::saturating_add)
    }
}

impl<'a> View<'a> {
    /// The payload of `slot`, wherever it is kept.
    pub(crate) fn payload(&self, slot: u32) -> &'a [u8] {
        let Some(operation) = self.slots.get(slot as usize) else { return &[] };
        #[cfg(feature = "alloc")]
        if operation.shared {
            return self.shared.get(slot as usize).and_then(Option::as_deref).unwrap_or_default();
        }
        operation.body(self.arena)
    }

    /// A record: its head, and what follows of operation `slot`.
    pub(crate) fn record(&self, head: [u8; HEAD], slot: Option<u32>) -> Record<'a> {
        let Some((index, slot)) = slot.and_then(|index| Some((index, self.slots.get(index as usize)?)))
        else {
            return Record::of_head(head);
        };
        let start = slot.at as usize;
        let len = usize::from(slot.topic_len).saturating_add(slot.properties_len as usize);
        Record {
            head,
            content: self.arena.get(start..start.saturating_add(len)).unwrap_or_default(),
            payload: if slot.sourced { &[] } else { self.payload(index) },
            #[cfg(feature = "alloc")]
            shared: self.shared.get(index as usize).and_then(Option::as_ref).filter(|_| slot.shared),
        }
    }
}
