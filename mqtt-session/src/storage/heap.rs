//! Memory from the heap: tables grow on demand, within the limits of `Config`.

use alloc::vec::Vec;

use bytes::Bytes;

use super::sealed::Sealed;
use super::{Capacity, Contents, Shared, Storage, Table, Tables, View};
use crate::aliases::{Given, Sent};
use crate::config::{Config, Durability};
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
    ids: Vec<IdEntry>,
    exchanges: Vec<Exchange>,
    owed: Vec<Owed>,
    arena: Vec<u8>,
    wire: Vec<u8>,
    aliases_out: Vec<Sent>,
    aliases_in: Vec<Given>,
    shared: Vec<Option<Bytes>>,
    limits: Limits,
}

impl Heap {
    pub(crate) const fn new(config: &Config) -> Self {
        Self::within(Limits::of(config))
    }

    /// With the limits of another storage.
    #[cfg(feature = "std")]
    pub(crate) const fn like(config: &Config, capacity: Capacity) -> Self {
        let own = Limits::of(config);
        let ids = if own.ids < capacity.slots { own.ids } else { capacity.slots };
        Self::within(Limits { capacity, ids, ..own })
    }

    const fn within(limits: Limits) -> Self {
        Self {
            slots: Vec::new(),
            journal: Vec::new(),
            ids: Vec::new(),
            exchanges: Vec::new(),
            owed: Vec::new(),
            arena: Vec::new(),
            wire: Vec::new(),
            aliases_out: Vec::new(),
            aliases_in: Vec::new(),
            shared: Vec::new(),
            limits,
        }
    }

    /// The most bytes that are allocated at any time: every table as long as it can get, and the largest one once more,
    /// since it is copied when it grows.
    pub(crate) const fn peak(config: &Config) -> usize {
        let limits = Limits::of(config);
        let Capacity { slots, inbound, arena, wire, aliases_out, aliases_in } = limits.capacity;
        let recorded = if limits.recorded { slots } else { 0 };
        let tables = [
            slots.saturating_mul(size_of::<Slot>()),
            recorded.saturating_mul(size_of::<Entry>()),
            limits.ids.saturating_mul(size_of::<IdEntry>()),
            inbound.saturating_mul(size_of::<Exchange>()),
            inbound.saturating_mul(size_of::<Owed>()),
            arena,
            wire,
            aliases_out.saturating_mul(size_of::<Sent>()),
            aliases_in.saturating_mul(size_of::<Given>()),
            slots.saturating_mul(size_of::<Option<Bytes>>()),
        ];
        let mut rest: &[usize] = &tables;
        let (mut all, mut largest) = (0usize, 0);
        while let [bytes, behind @ ..] = rest {
            all = all.saturating_add(*bytes);
            if *bytes > largest {
                largest = *bytes;
            }
            rest = behind;
        }
        all.saturating_add(largest)
    }
}

/// How long the tables can get. The core never asks for more.
#[derive(Clone, Copy, Debug)]
struct Limits {
    capacity: Capacity,
    ids: usize,
    recorded: bool,
}

impl Limits {
    const fn of(config: &Config) -> Self {
        let slots = config.max_operations as usize;
        let ids = if config.max_in_flight == 0 { 1 } else { config.max_in_flight as usize };
        let inbound = if config.receive_maximum == 0 { 1 } else { config.receive_maximum as usize };
        Self {
            capacity: Capacity {
                slots,
                inbound,
                arena: config.queue_bytes,
                wire: config.wire_bytes,
                aliases_out: config.max_topic_aliases as usize,
                aliases_in: config.topic_alias_maximum as usize,
            },
            ids: if ids < slots { ids } else { slots },
            recorded: !matches!(config.durability, Durability::Off),
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

/// Grows by doubling, from a first allocation of a few entries, up to `most`.
fn grow<T: Clone>(table: &mut Vec<T>, len: usize, (few, most): (usize, usize), empty: &T) {
    let doubled = table.len().saturating_mul(2).max(few).min(most);
    let len = len.max(doubled).max(table.len());
    table.reserve_exact(len.saturating_sub(table.len()));
    table.resize(len, empty.clone());
}

/// A table of bytes, and one of anything else, begins with so many entries.
const BYTES: usize = 256;
const FEW: usize = 4;

impl Sealed for Heap {}

impl Storage for Heap {
    type Payload<'p> = HeapPayload<'p>;

    fn capacity(&self) -> Capacity {
        self.limits.capacity
    }

    fn reserve(&mut self, table: Table, len: usize) {
        let Limits { capacity, ids, recorded } = self.limits;
        match table {
            Table::Slots => {
                grow(&mut self.slots, len, (FEW, capacity.slots), &Slot::EMPTY);
                if recorded {
                    grow(&mut self.journal, self.slots.len(), (0, 0), &Entry::EMPTY);
                }
            }
            Table::Ids => grow(&mut self.ids, len, (FEW, ids), &IdEntry::FREE),
            Table::Exchanges => grow(&mut self.exchanges, len, (FEW, capacity.inbound), &Exchange::EMPTY),
            Table::Owed => grow(&mut self.owed, len, (FEW, capacity.inbound), &Owed::EMPTY),
            // The core asks for what it will use, doubling included, and never for more than its budget.
            Table::Arena => {
                let least = BYTES.min(capacity.arena);
                grow(&mut self.arena, len.max(least), (0, 0), &0);
            }
            Table::Wire => grow(&mut self.wire, len, (BYTES, capacity.wire), &0),
            // Asked for once, as long as they can get.
            Table::AliasesOut => grow(&mut self.aliases_out, len, (0, 0), &Sent::EMPTY),
            Table::AliasesIn => grow(&mut self.aliases_in, len, (0, 0), &Given::EMPTY),
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

    fn can_share(payload: &HeapPayload<'_>) -> bool {
        matches!(payload, HeapPayload::Share(bytes) if bytes.len() > SHARE_ABOVE)
    }

    fn share(&mut self, slot: u32, payload: HeapPayload<'_>) {
        let HeapPayload::Share(bytes) = payload else { return };
        if slot as usize >= self.shared.len() {
            grow(&mut self.shared, self.slots.len(), (0, 0), &None);
        }
        change(&mut self.shared, slot, |place| *place = Some(bytes));
    }

    fn shrink(&mut self, arena: usize, slots: bool) {
        let old = core::mem::replace(self, Self::within(self.limits));
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
