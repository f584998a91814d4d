//! Memory from the heap: tables grow on demand, within the limits of `Config`.

use alloc::vec::Vec;

use bytes::Bytes;

use super::sealed::Sealed;
use super::{Capacity, Shared, Storage, Table, Tables, View};
use crate::aliases::{Given, Sent};
use crate::ids::IdEntry;
use crate::inbound::{Exchange, Owed};
use crate::journal::Entry;
use crate::list::change;
use crate::operation::Slot;

/// Memory from the heap. Nothing is allocated before it is needed; in steady state nothing is.
#[derive(Clone)]
pub struct Heap {
    slots: Vec<Slot>,
    /// As long as `slots` with a journal, else empty.
    journal: Vec<Entry>,
    recorded: bool,
    ids: Vec<IdEntry>,
    exchanges: Vec<Exchange>,
    owed: Vec<Owed>,
    arena: Vec<u8>,
    wire: Vec<u8>,
    aliases_out: Vec<Sent>,
    aliases_in: Vec<Given>,
    shared: Vec<Option<Bytes>>,
    capacity: Capacity,
}

impl Heap {
    pub(crate) const fn new(arena: usize, wire: usize, recorded: bool) -> Self {
        Self {
            slots: Vec::new(),
            journal: Vec::new(),
            recorded,
            ids: Vec::new(),
            exchanges: Vec::new(),
            owed: Vec::new(),
            arena: Vec::new(),
            wire: Vec::new(),
            aliases_out: Vec::new(),
            aliases_in: Vec::new(),
            shared: Vec::new(),
            capacity: Capacity {
                slots: usize::MAX,
                inbound: usize::MAX,
                arena,
                wire,
                aliases_out: usize::MAX,
                aliases_in: usize::MAX,
            },
        }
    }
}

/// Without content: messages and packets that wait may hold secrets.
impl core::fmt::Debug for Heap {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Heap")
            .field("slots", &self.slots.len())
            .field("arena", &self.arena.len())
            .field("wire", &self.wire.len())
            .finish_non_exhaustive()
    }
}

/// Grows by doubling, from a first allocation of a few entries.
fn grow<T: Clone>(table: &mut Vec<T>, len: usize, empty: &T) {
    let len = len.max(table.len().saturating_mul(2)).max(4);
    table.reserve_exact(len.saturating_sub(table.len()));
    table.resize(len, empty.clone());
}

impl Sealed for Heap {}

impl Storage for Heap {
    type Payload<'p> = HeapPayload<'p>;

    fn capacity(&self) -> Capacity {
        self.capacity
    }

    fn reserve(&mut self, table: Table, len: usize) {
        match table {
            Table::Slots => {
                grow(&mut self.slots, len, &Slot::EMPTY);
                if self.recorded {
                    self.journal.resize(self.slots.len(), Entry::EMPTY);
                }
            }
            Table::Ids => grow(&mut self.ids, len, &IdEntry::FREE),
            Table::Exchanges => grow(&mut self.exchanges, len, &Exchange::EMPTY),
            Table::Owed => grow(&mut self.owed, len, &Owed::EMPTY),
            // The core asks for what it will use, doubling included, and never for more than its budget.
            Table::Arena => {
                let len = len.max(256);
                self.arena.reserve_exact(len.saturating_sub(self.arena.len()));
                self.arena.resize(len.max(self.arena.len()), 0);
            }
            Table::Wire => {
                grow(&mut self.wire, len.max(256), &0);
                // Doubling must not take the buffer over its bound: what fits is the same on every storage.
                self.wire.truncate(self.capacity.wire);
            }
            // Asked for once, as long as they can get.
            Table::AliasesOut => grow(&mut self.aliases_out, len, &Sent::EMPTY),
            Table::AliasesIn => grow(&mut self.aliases_in, len, &Given::EMPTY),
        }
    }

    fn tables(&mut self) -> Tables<'_> {
        Tables {
            slots: &mut self.slots,
            journal: &mut self.journal,
            ids: &mut self.ids,
            exchanges: &mut self.exchanges,
            owed: &mut self.owed,
            arena: &mut self.arena,
            wire: &mut self.wire,
            aliases_out: &mut self.aliases_out,
            aliases_in: &mut self.aliases_in,
            shared: Shared { payloads: &mut self.shared },
        }
    }

    fn view(&self) -> View<'_> {
        View {
            slots: &self.slots,
            arena: &self.arena,
            wire: &self.wire,
            aliases_in: &self.aliases_in,
            shared: &self.shared,
        }
    }

    fn can_share(payload: &HeapPayload<'_>) -> bool {
        matches!(payload, HeapPayload::Share(bytes) if bytes.len() > SHARE_ABOVE)
    }

    fn share(&mut self, slot: u32, payload: HeapPayload<'_>) {
        let HeapPayload::Share(bytes) = payload else { return };
        if slot as usize >= self.shared.len() {
            self.shared.resize(self.slots.len(), None);
        }
        change(&mut self.shared, slot, |place| *place = Some(bytes));
    }

    fn shrink(&mut self, arena: usize, slots: bool) {
        let old = core::mem::replace(self, Self::new(self.capacity.arena, self.capacity.wire, self.recorded));
        self.aliases_out = old.aliases_out;
        self.aliases_in = old.aliases_in;
        if slots {
            self.slots = old.slots;
            self.journal = old.journal;
        }
        if arena != 0 {
            self.arena = old.arena;
            self.arena.truncate(arena);
            self.arena.shrink_to_fit();
        }
    }
}

/// A shared payload of at most this many bytes is copied all the same: it costs less than keeping
/// count of it, and does not pin the buffer it is a part of.
const SHARE_ABOVE: usize = 512;

/// A payload for the heap storage.
#[derive(Clone, PartialEq, Eq)]
pub enum HeapPayload<'p> {
    /// Bytes to copy.
    Copy(&'p [u8]),
    /// Bytes to keep without copying them.
    Share(Bytes),
}

impl<'p> From<&'p [u8]> for HeapPayload<'p> {
    fn from(bytes: &'p [u8]) -> Self {
        Self::Copy(bytes)
    }
}

impl<'p, const N: usize> From<&'p [u8; N]> for HeapPayload<'p> {
    fn from(bytes: &'p [u8; N]) -> Self {
        Self::Copy(bytes)
    }
}

impl From<Bytes> for HeapPayload<'_> {
    fn from(bytes: Bytes) -> Self {
        Self::Share(bytes)
    }
}

impl AsRef<[u8]> for HeapPayload<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Copy(bytes) => bytes,
            Self::Share(bytes) => bytes,
        }
    }
}

impl core::fmt::Debug for HeapPayload<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let name = match self {
            Self::Copy(_) => "Copy",
            Self::Share(_) => "Share",
        };
        write!(f, "{name}({} bytes)", self.as_ref().len())
    }
}
