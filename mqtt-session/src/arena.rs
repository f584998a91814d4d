//! A log of variable-length entries in one slice of bytes: what operations keep.
//!
//! Entries are written at the tail. Freed ones leave holes; when the tail meets the end of the slice
//! the holes are squeezed out. So an entry always fits when the bytes in use leave room for it, on
//! every storage alike, and an entry is always one piece. Writing costs the entry's bytes, freeing is
//! O(1), squeezing is O(slice) and happens only when the slice has been filled once more.

/// The owner written before each entry, so that squeezing can tell it where its bytes went.
const HEADER: usize = 8;
/// The owner of a hole.
const HOLE: u32 = u32::MAX;

/// Owners from here on are not slots: they say what else keeps bytes, and which of it.
pub(crate) mod owner {
    /// The properties of an acknowledgement whose turn has not come.
    pub(crate) const ACK: u32 = 0xFFFB_0000;
    /// The properties of the acknowledgement whose turn it is.
    pub(crate) const SAID: u32 = 0xFFFB_FFFF;
    /// The topic of an inbound alias.
    pub(crate) const ALIAS_IN: u32 = 0xFFFC_0000;
    /// The topic of an outgoing alias.
    pub(crate) const ALIAS_OUT: u32 = 0xFFFD_0000;
    /// The references of redirections: for the next attempt, and for the rest of the run.
    pub(crate) const REDIRECTS: [u32; 2] = [0xFFFF_FFFD, 0xFFFF_FFFC];
    /// The properties of DISCONNECT.
    pub(crate) const STOP: u32 = 0xFFFF_FFFE;
    /// The first of them.
    pub(crate) const FIRST: u32 = ACK;
}

/// The bytes an entry of `len` bytes takes.
pub(crate) const fn cost(len: usize) -> usize {
    len.saturating_add(HEADER)
}

#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Arena {
    /// End of the last entry.
    tail: usize,
    /// Bytes of entries in use, headers included.
    live: usize,
}

impl Arena {
    pub(crate) const fn new() -> Self {
        Self { tail: 0, live: 0 }
    }

    /// Bytes in use, headers included.
    pub(crate) const fn live(&self) -> usize {
        self.live
    }

    /// The part of `slice` that entries lie in.
    pub(crate) fn written<'b>(&self, slice: &'b [u8]) -> &'b [u8] {
        slice.get(..self.tail).unwrap_or_default()
    }

    /// Whether an entry of `len` bytes fits behind the last one.
    pub(crate) const fn fits(&self, slice_len: usize, len: usize) -> bool {
        // Neither is longer than memory: the sum does not overflow.
        self.tail.wrapping_add(cost(len)) <= slice_len
    }

    /// Makes an entry and gives its place; its bytes are still to be written.
    #[inline(always)]
    pub(crate) fn add(&mut self, slice: &mut [u8], owner: u32, len: usize) -> Option<u32> {
        let length = u32::try_from(len).ok()?;
        let at = u32::try_from(self.tail.wrapping_add(HEADER)).ok()?;
        let end = self.tail.wrapping_add(cost(len));
        if end > slice.len() {
            return None;
        }
        *header_mut(slice, at as usize)? = header(owner, length);
        self.tail = end;
        self.live = self.live.wrapping_add(cost(len));
        Some(at)
    }

    /// As `add`; `fill` writes what the entry is to hold.
    pub(crate) fn put(
        &mut self,
        slice: &mut [u8],
        owner: u32,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Option<u32> {
        let at = self.add(slice, owner, len)?;
        let start = at as usize;
        fill(slice.get_mut(start..start.saturating_add(len))?);
        Some(at)
    }

    /// The bytes of the entry at `at`.
    #[inline]
    pub(crate) fn entry(slice: &[u8], at: u32) -> &[u8] {
        let at = at as usize;
        let len = read_header(slice, at).map_or(0, |(_, length)| length as usize);
        slice.get(at..).and_then(|bytes| bytes.get(..len)).unwrap_or_default()
    }

    /// Gives the entry at `at` to another owner.
    pub(crate) fn give(slice: &mut [u8], at: u32, owner: u32) {
        let at = at as usize;
        if let Some((_, length)) = read_header(slice, at)
            && let Some(place) = header_mut(slice, at)
        {
            *place = header(owner, length);
        }
    }

    /// Frees the entry at `at`.
    #[inline(always)]
    pub(crate) fn free(&mut self, slice: &mut [u8], at: u32) {
        let at = at as usize;
        let Some(place) = header_mut(slice, at) else { return };
        let (owner, length) = parts(*place);
        if owner == HOLE {
            return;
        }
        *place = header(HOLE, length);
        self.live = self.live.wrapping_sub(cost(length as usize));
        if self.live == 0 {
            self.tail = 0;
        } else if at.wrapping_add(length as usize) == self.tail {
            self.tail = at.wrapping_sub(HEADER);
        }
    }

    /// Squeezes the holes out and tells every owner its entry's new place.
    pub(crate) fn compact(&mut self, slice: &mut [u8], mut moved: impl FnMut(u32, u32)) {
        let mut from = 0;
        let mut to = 0;
        while from < self.tail {
            let at = from.saturating_add(HEADER);
            let Some((owner, length)) = read_header(slice, at) else { break };
            let end = at.saturating_add(length as usize);
            if owner != HOLE {
                if from != to && end <= slice.len() {
                    slice.copy_within(from..end, to);
                    if let Ok(place) = u32::try_from(to.saturating_add(HEADER)) {
                        moved(owner, place);
                    }
                }
                to = to.saturating_add(cost(length as usize));
            }
            from = end;
        }
        self.tail = to;
    }
}

/// Owner and length, as they are written.
#[inline(always)]
const fn header(owner: u32, length: u32) -> [u8; HEADER] {
    (owner as u64 | (length as u64) << 32).to_le_bytes()
}

/// The header before the entry at `at`.
#[inline(always)]
fn header_mut(slice: &mut [u8], at: usize) -> Option<&mut [u8; HEADER]> {
    slice.get_mut(at.wrapping_sub(HEADER)..)?.first_chunk_mut()
}

/// Owner and length, as they are read.
#[inline(always)]
const fn parts(header: [u8; HEADER]) -> (u32, u32) {
    let both = u64::from_le_bytes(header);
    // The two halves.
    (both as u32, (both >> 32) as u32)
}

/// Owner and length of the entry at `at`.
#[inline(always)]
fn read_header(slice: &[u8], at: usize) -> Option<(u32, u32)> {
    slice.get(at.wrapping_sub(HEADER)..)?.first_chunk().copied().map(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Random adds and frees against a plain map, in a slice that is exactly full now and then.
    #[test]
    fn entries_fit_whenever_the_bytes_in_use_leave_room_and_keep_their_content() {
        let mut slice = vec![0u8; 512];
        let mut arena = Arena::new();
        let mut model: HashMap<u32, (u32, Vec<u8>)> = HashMap::new();
        let mut random = 1u64;
        for step in 0..20_000u32 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let len = (random >> 33) as usize % 60;
            if random >> 60 < 9 {
                let room = arena.live() + cost(len) <= slice.len();
                if room && !arena.fits(slice.len(), len) {
                    arena.compact(&mut slice, |owner, at| model.get_mut(&owner).unwrap().0 = at);
                }
                assert_eq!(arena.fits(slice.len(), len), room);
                if room {
                    let at = arena.add(&mut slice, step, len).unwrap();
                    let content: Vec<u8> = (0..len).map(|n| (n as u32 ^ step) as u8).collect();
                    slice[at as usize..at as usize + len].copy_from_slice(&content);
                    model.insert(step, (at, content));
                }
            } else if let Some(owner) = model.keys().copied().min_by_key(|owner| owner ^ (random as u32 & 15))
            {
                let (at, _) = model.remove(&owner).unwrap();
                arena.free(&mut slice, at);
            }
            for (at, content) in model.values() {
                assert_eq!(&slice[*at as usize..*at as usize + content.len()], content);
            }
            assert_eq!(arena.live(), model.values().map(|(_, content)| cost(content.len())).sum::<usize>());
        }
    }

    #[test]
    fn freeing_twice_changes_nothing() {
        let mut slice = vec![0u8; 64];
        let mut arena = Arena::new();
        let first = arena.add(&mut slice, 0, 4).unwrap();
        arena.add(&mut slice, 1, 4).unwrap();
        arena.free(&mut slice, first);
        arena.free(&mut slice, first);
        assert_eq!(arena.live(), cost(4));
    }
}
