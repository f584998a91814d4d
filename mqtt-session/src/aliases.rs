//! Topic aliases (5.0): numbers that stand for topic names on one connection, in either direction.
//!
//! The names are entries of the arena; the tables here say which number stands for which. Nothing of it outlives
//! a connection. [MQTT-3.3.2-7]

use crate::arena::{Arena, cost, owner};
use crate::list::{FreeList, Linked, Links, List, NONE};

/// A topic of at most this many bytes is never given an alias: the alias itself takes as many.
const TOO_SHORT: usize = 3;

/// No index.
const NO_INDEX: u16 = u16::MAX;

/// An outgoing alias, number index + 1: found by its topic through a chained hash in the table itself.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Sent {
    links: Links,
    /// Where its topic lies.
    at: u32,
    hash: u32,
    /// The first alias whose hash falls on this index of the table.
    bucket: u16,
    /// The next one of the same bucket.
    chain: u16,
}

impl Sent {
    pub(crate) const EMPTY: Self =
        Self { links: Links::UNLINKED, at: NONE, hash: 0, bucket: NO_INDEX, chain: NO_INDEX };
}

impl Linked for Sent {
    fn links(&self) -> Links {
        self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// What a table of outgoing aliases knows of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The server knows it by this number.
    Known(u16),
    /// It has no alias; its hash.
    Unknown(u32),
    /// It is to have none.
    Never,
}

/// The outgoing aliases of one connection, least recently used first.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct SentAliases {
    /// How many there may be.
    limit: u16,
    free: FreeList,
    order: List,
    /// Bytes of the arena their topics take.
    bytes: usize,
}

impl SentAliases {
    /// At most `limit` aliases. The table is as `clear` leaves it.
    pub(crate) const fn new(limit: u16) -> Self {
        Self { limit, free: FreeList::new(), order: List::new(), bytes: 0 }
    }

    pub(crate) const fn is_off(&self) -> bool {
        self.limit == 0
    }

    pub(crate) const fn limit(&self) -> usize {
        self.limit as usize
    }

    /// Bytes of the arena their topics take.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Looks a topic up. O(1) on average, O(aliases) at most; topics are compared, never their hashes alone.
    pub(crate) fn find(&self, table: &[Sent], arena: &[u8], topic: &[u8]) -> Found {
        if topic.len() <= TOO_SHORT {
            return Found::Never;
        }
        // What was used last is asked for most.
        let last = self.order.tail();
        if table.get(last as usize).is_some_and(|entry| entry.is_of(arena, topic)) {
            return number(last).map_or(Found::Never, Found::Known);
        }
        let hash = hash(topic);
        let mut at = table.get(self.bucket_of(hash)).map_or(NO_INDEX, |entry| entry.bucket);
        while let Some(entry) = table.get(usize::from(at)) {
            if entry.hash == hash && entry.is_of(arena, topic) {
                return number(at.into()).map_or(Found::Never, Found::Known);
            }
            at = entry.chain;
        }
        Found::Unknown(hash)
    }

    /// An alias was used.
    pub(crate) fn touch(&mut self, table: &mut [Sent], number: u16) {
        let index = u32::from(number.saturating_sub(1));
        if self.order.tail() != index {
            self.order.unlink(table, index);
            self.order.push_back(table, index);
        }
    }

    /// The number a new alias would have; `None`: all are in use.
    pub(crate) fn next_number(&self) -> Option<u16> {
        self.free.peek(self.limit()).and_then(number)
    }

    /// Adds an alias for a topic of `len` bytes, with the number `next_number` gave, and says where in the arena its
    /// bytes are to be written. The caller has made room.
    pub(crate) fn add(
        &mut self,
        table: &mut [Sent],
        arena: &mut Arena,
        bytes: &mut [u8],
        hash: u32,
        len: usize,
    ) -> Option<u32> {
        let table = table.get_mut(..self.limit())?;
        let index = self.free.peek(table.len())?;
        let at = arena.add(bytes, owner::ALIAS_OUT.saturating_add(index), len)?;
        self.free.take(table)?;
        let bucket = self.bucket_of(hash);
        let first = table.get(bucket)?.bucket;
        let entry = table.get_mut(index as usize)?;
        entry.at = at;
        entry.hash = hash;
        entry.chain = first;
        table.get_mut(bucket)?.bucket = u16::try_from(index).ok()?;
        self.order.push_back(table, index);
        self.bytes = self.bytes.saturating_add(cost(len));
        Some(at)
    }

    /// Forgets the alias that was used longest ago: its number is free for another topic. False: there is none.
    pub(crate) fn forget_oldest(&mut self, table: &mut [Sent], arena: &mut Arena, bytes: &mut [u8]) -> bool {
        let Some(index) = self.order.pop_front(table) else { return false };
        self.chain_out(table, index);
        if let Some(entry) = table.get_mut(index as usize) {
            self.bytes = self.bytes.saturating_sub(cost(Arena::entry(bytes, entry.at).len()));
            arena.free(bytes, entry.at);
            entry.at = NONE;
        }
        self.free.give(table, index);
        true
    }

    /// Forgets them all and leaves the table like new. O(limit).
    pub(crate) fn clear(&mut self, table: &mut [Sent], arena: &mut Arena, bytes: &mut [u8]) {
        for entry in table.iter_mut().take(self.limit()) {
            if entry.at != NONE {
                arena.free(bytes, entry.at);
            }
            *entry = Sent::EMPTY;
        }
        *self = Self::new(0);
    }

    fn bucket_of(&self, hash: u32) -> usize {
        hash.checked_rem(u32::from(self.limit)).unwrap_or(0) as usize
    }

    fn chain_out(&self, table: &mut [Sent], index: u32) {
        let Some(entry) = table.get(index as usize) else { return };
        let (bucket, behind) = (self.bucket_of(entry.hash), entry.chain);
        let mut at = table.get(bucket).map_or(NO_INDEX, |entry| entry.bucket);
        if u32::from(at) == index {
            if let Some(entry) = table.get_mut(bucket) {
                entry.bucket = behind;
            }
            return;
        }
        while let Some(entry) = table.get_mut(usize::from(at)) {
            if u32::from(entry.chain) == index {
                entry.chain = behind;
                return;
            }
            at = entry.chain;
        }
    }
}

impl Sent {
    fn is_of(&self, arena: &[u8], topic: &[u8]) -> bool {
        Arena::entry(arena, self.at) == topic
    }
}

fn number(index: u32) -> Option<u16> {
    u16::try_from(index).ok()?.checked_add(1)
}

/// Eight bytes at a time, multiplied and folded.
fn hash(topic: &[u8]) -> u32 {
    const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut hash = topic.len() as u64;
    let (words, rest) = topic.as_chunks::<8>();
    for word in words {
        hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(MIX);
        hash ^= hash >> 29;
    }
    let last = rest.iter().fold(0u64, |last, byte| last << 8 | u64::from(*byte));
    hash = (hash ^ last).wrapping_mul(MIX);
    (hash >> 32) as u32
}

/// An inbound alias, number index + 1.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Given {
    /// Where its topic lies; `NONE`: the server has not set it.
    at: u32,
    /// Tells this topic from others the alias stood for.
    mark: u32,
}

impl Given {
    pub(crate) const EMPTY: Self = Self { at: NONE, mark: 0 };
}

/// An inbound alias as an event names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicAlias {
    number: u16,
    mark: u32,
}

impl TopicAlias {
    /// The number the server sent.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.number
    }
}

/// The inbound aliases of one connection.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct GivenAliases {
    /// The highest number the server may use: what CONNECT said.
    maximum: u16,
    /// Bytes of the arena their topics take.
    bytes: usize,
}

impl GivenAliases {
    pub(crate) const fn new(maximum: u16) -> Self {
        Self { maximum, bytes: 0 }
    }

    pub(crate) const fn is_off(&self) -> bool {
        self.maximum == 0
    }

    /// The place of a number in the table; `None`: the server may not use it.
    pub(crate) fn index(&self, number: u16) -> Option<usize> {
        if number > self.maximum { None } else { usize::from(number).checked_sub(1) }
    }

    /// Bytes of the arena their topics take without the one at `index`.
    pub(crate) fn bytes_beside(&self, table: &[Given], arena: &[u8], index: usize) -> usize {
        let at = table.get(index).map_or(NONE, |entry| entry.at);
        let own = if at == NONE { 0 } else { cost(Arena::entry(arena, at).len()) };
        self.bytes.saturating_sub(own)
    }

    /// The alias of a number that was set.
    pub(crate) fn find(table: &[Given], index: usize) -> Option<TopicAlias> {
        let entry = table.get(index).filter(|entry| entry.at != NONE)?;
        Some(TopicAlias { number: number(u32::try_from(index).ok()?)?, mark: entry.mark })
    }

    /// The topic of an alias; empty: the number stands for another one by now, or its connection has ended.
    pub(crate) fn topic<'b>(table: &[Given], arena: &'b [u8], alias: TopicAlias) -> &'b str {
        let entry = table.get(usize::from(alias.number).saturating_sub(1));
        let Some(entry) = entry.filter(|entry| entry.at != NONE && entry.mark == alias.mark) else {
            return "";
        };
        core::str::from_utf8(Arena::entry(arena, entry.at)).unwrap_or_default()
    }

    /// Lets a number stand for `topic`. The caller has made room.
    pub(crate) fn set(
        &mut self,
        table: &mut [Given],
        arena: &mut Arena,
        bytes: &mut [u8],
        index: usize,
        topic: &[u8],
        mark: u32,
    ) -> Option<()> {
        self.bytes = self.bytes_beside(table, bytes, index);
        let entry = table.get_mut(index)?;
        if entry.at != NONE {
            arena.free(bytes, entry.at);
            entry.at = NONE;
        }
        let owner = owner::ALIAS_IN.saturating_add(u32::try_from(index).ok()?);
        let at = arena.add(bytes, owner, topic.len())?;
        *entry = Given { at, mark };
        self.bytes = self.bytes.saturating_add(cost(topic.len()));
        let start = at as usize;
        bytes.get_mut(start..start.saturating_add(topic.len()))?.copy_from_slice(topic);
        Some(())
    }

    /// Whether a number stands for exactly this topic.
    pub(crate) fn is(table: &[Given], arena: &[u8], index: usize, topic: &[u8]) -> bool {
        table.get(index).is_some_and(|entry| entry.at != NONE && Arena::entry(arena, entry.at) == topic)
    }

    /// Forgets them all and leaves the table like new. O(maximum).
    pub(crate) fn clear(&mut self, table: &mut [Given], arena: &mut Arena, bytes: &mut [u8]) {
        for entry in table.iter_mut().take(usize::from(self.maximum)) {
            if entry.at != NONE {
                arena.free(bytes, entry.at);
            }
            *entry = Given::EMPTY;
        }
        *self = Self::new(0);
    }
}

/// Squeezing moved an entry of the arena: where it is an alias's topic, its table is told. False: it is another's.
pub(crate) fn moved(sent: &mut [Sent], given: &mut [Given], of: u32, at: u32) -> bool {
    let place = match (of.checked_sub(owner::ALIAS_OUT), of.checked_sub(owner::ALIAS_IN)) {
        (Some(index), _) if index <= 0xFFFF => sent.get_mut(index as usize).map(|entry| &mut entry.at),
        (None, Some(index)) => given.get_mut(index as usize).map(|entry| &mut entry.at),
        _ => return false,
    };
    if let Some(place) = place {
        *place = at;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Random topics against a plain list in order of use: the same aliases, numbers and forgetting.
    #[test]
    fn the_least_recently_used_alias_makes_room_and_topics_are_found_by_their_bytes() {
        for limit in [1u16, 2, 5, 16] {
            let mut table = vec![Sent::EMPTY; usize::from(limit)];
            let mut bytes = vec![0u8; 4096];
            let mut arena = Arena::new();
            let mut aliases = SentAliases::new(limit);
            let mut model: Vec<(String, u16)> = Vec::new();
            let mut random = 1u64;
            for _ in 0..5_000 {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let topic = format!("topic/{}", (random >> 33) % 24);
                let known = model.iter().position(|(name, _)| *name == topic);
                match (aliases.find(&table, &bytes, topic.as_bytes()), known) {
                    (Found::Known(number), Some(at)) => {
                        assert_eq!(model[at].1, number);
                        aliases.touch(&mut table, number);
                        let entry = model.remove(at);
                        model.push(entry);
                    }
                    (Found::Unknown(hash), None) => {
                        if aliases.next_number().is_none() {
                            assert!(aliases.forget_oldest(&mut table, &mut arena, &mut bytes));
                            model.remove(0);
                        }
                        if !arena.fits(bytes.len(), topic.len()) {
                            arena.compact(&mut bytes, |owner, at| {
                                assert!(moved(&mut table, &mut [], owner, at))
                            });
                        }
                        let number = aliases.next_number().unwrap();
                        let at = aliases.add(&mut table, &mut arena, &mut bytes, hash, topic.len()).unwrap();
                        bytes[at as usize..][..topic.len()].copy_from_slice(topic.as_bytes());
                        model.push((topic, number));
                    }
                    (found, known) => panic!("{topic}: {found:?}, {known:?}"),
                }
                assert_eq!(aliases.bytes(), arena.live());
                let numbers: HashMap<u16, ()> = model.iter().map(|(_, number)| (*number, ())).collect();
                assert_eq!(numbers.len(), model.len());
                assert!(model.iter().all(|(_, number)| (1..=limit).contains(number)));
            }
            aliases.clear(&mut table, &mut arena, &mut bytes);
            assert_eq!(arena.live(), 0);
            assert!(table.iter().all(|entry| entry.at == NONE && entry.bucket == NO_INDEX));
        }
    }

    #[test]
    fn equal_hashes_are_two_topics() {
        let mut table = vec![Sent::EMPTY; 4];
        let mut bytes = vec![0u8; 256];
        let mut arena = Arena::new();
        let mut aliases = SentAliases::new(4);
        for topic in [b"one/a", b"two/b"] {
            let at = aliases.add(&mut table, &mut arena, &mut bytes, hash(b"new/c"), 5).unwrap() as usize;
            bytes[at..at + 5].copy_from_slice(topic);
        }
        aliases.touch(&mut table, 1);
        assert_eq!(aliases.find(&table, &bytes, b"new/c"), Found::Unknown(hash(b"new/c")));
    }

    /// Topics as programs have them, which differ in a few places: looking one up takes a few steps.
    #[test]
    fn topics_that_look_alike_are_spread() {
        let names: [fn(usize) -> String; 4] = [
            |n| format!("site/{n}/temperature"),
            |n| format!("site/building/floor/room/{n:04}"),
            |n| format!("{n:08x}/state"),
            |n| format!("devices/{}/{}/value", n / 16, n % 16),
        ];
        for name in names {
            let mut table = vec![Sent::EMPTY; 256];
            let mut bytes = vec![0u8; 32 * 1024];
            let mut arena = Arena::new();
            let mut aliases = SentAliases::new(256);
            let mut hashes = HashMap::new();
            for n in 0..256 {
                let topic = name(n);
                let hash = hash(topic.as_bytes());
                *hashes.entry(hash).or_insert(0) += 1;
                let at = aliases.add(&mut table, &mut arena, &mut bytes, hash, topic.len()).unwrap() as usize;
                bytes[at..at + topic.len()].copy_from_slice(topic.as_bytes());
            }
            assert!(hashes.len() > 254, "{} of 256 hashes", hashes.len());
            let mut chains = HashMap::new();
            for entry in &table {
                *chains.entry(aliases.bucket_of(entry.hash)).or_insert(0) += 1;
            }
            let longest = chains.values().max().unwrap();
            assert!(*longest <= 8, "{longest} in one bucket, {} buckets in use", chains.len());
        }
    }
}
