//! A hash of 128 bits: two different states that are taken for one would go unnoticed.

use core::hash::{BuildHasherDefault, Hasher};
use std::collections::HashSet;

/// An odd number with no pattern: the fraction of the golden ratio.
const FACTOR: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;

/// Each word of input changes the state by a permutation, so that two inputs of one length that differ in one word never
/// meet; 10⁷ random states meet by chance with a probability of 10⁻²⁵.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digest(u128);

impl Digest {
    pub(super) const fn new() -> Self {
        Self(FACTOR)
    }

    fn word(&mut self, word: u64) {
        let mixed = (self.0 ^ u128::from(word)).wrapping_mul(FACTOR);
        self.0 = mixed ^ (mixed >> 64);
    }

    pub(super) const fn value(self) -> u128 {
        let mixed = self.0.wrapping_mul(FACTOR);
        mixed ^ (mixed >> 67)
    }
}

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        // The half that the other is folded into.
        self.value() as u64
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.word(u64::from_le_bytes(word));
        }
        self.word(bytes.len() as u64);
    }

    fn write_u8(&mut self, value: u8) {
        self.word(value.into());
    }

    fn write_u16(&mut self, value: u16) {
        self.word(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.word(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.word(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.word(value as u64);
    }
}

/// A digest is random already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u128(&mut self, digest: u128) {
        self.0 = digest as u64;
    }
}

/// Digests that were met.
pub(super) type Seen = HashSet<u128, BuildHasherDefault<AsIs>>;
