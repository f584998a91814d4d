//! One pass over a text, eight bytes at a time: is it ASCII, and is there a byte in it that may not be there?
//!
//! The bytes looked for (U+0000, `#`, `+`) are ASCII, and no byte of a longer UTF-8 sequence is, so scanning bytes is
//! the same as scanning characters.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// What was found in a text. Only "is there any" is meant; the bits say nothing about the place.
#[derive(Clone, Copy, Default)]
pub(crate) struct Found {
    beyond_ascii: u64,
    nul: u64,
    wildcard: u64,
}

impl Found {
    /// A byte that is not ASCII.
    #[inline(always)]
    pub(crate) const fn beyond_ascii(self) -> bool {
        self.beyond_ascii & HIGH != 0
    }

    /// U+0000.
    #[inline(always)]
    pub(crate) const fn nul(self) -> bool {
        self.nul & HIGH != 0
    }

    /// `#` or `+`; only looked for by [`scan_topic`].
    #[inline(always)]
    pub(crate) const fn wildcard(self) -> bool {
        self.wildcard & HIGH != 0
    }

    #[inline(always)]
    fn word<const WILDCARDS: bool>(&mut self, word: u64) {
        self.beyond_ascii |= word;
        self.nul |= zero_byte(word);
        if WILDCARDS {
            const HASH: u64 = ONES.wrapping_mul(b'#' as u64);
            const PLUS: u64 = ONES.wrapping_mul(b'+' as u64);
            self.wildcard |= zero_byte(word ^ HASH) | zero_byte(word ^ PLUS);
        }
    }
}

/// Has an upper bit set when one of the eight bytes is zero, and only then.
#[inline(always)]
const fn zero_byte(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH
}

#[inline(always)]
fn scan<const WILDCARDS: bool>(bytes: &[u8]) -> Found {
    let mut found = Found::default();
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        found.word::<WILDCARDS>(u64::from_le_bytes(*word));
    }
    if !tail.is_empty() {
        // Where there are eight bytes at all, the last eight overlap what was seen already: cheaper than byte by byte.
        found.word::<WILDCARDS>(match bytes.last_chunk::<8>() {
            Some(last) => u64::from_le_bytes(*last),
            None => short(tail),
        });
    }
    found
}

/// One to seven bytes, filled up with a harmless `/`. Four and two at a time, overlapping.
#[inline(always)]
fn short(bytes: &[u8]) -> u64 {
    const FILL: u64 = ONES.wrapping_mul(b'/' as u64);
    if let (Some(head), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        return u64::from(u32::from_le_bytes(*head)) | u64::from(u32::from_le_bytes(*last)) << 32;
    }
    bytes.iter().fold(FILL, |word, byte| word << 8 | u64::from(*byte))
}

/// Looks for U+0000 and for bytes beyond ASCII.
#[inline(always)]
pub(crate) fn scan_string(text: &[u8]) -> Found {
    scan::<false>(text)
}

/// Looks for U+0000, wildcards and bytes beyond ASCII.
#[inline(always)]
pub(crate) fn scan_topic(text: &[u8]) -> Found {
    scan::<true>(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_of_every_short_length() {
        for len in 0..40_usize {
            for place in 0..len {
                for byte in 0..=255_u8 {
                    let mut text = [b'a'; 40];
                    text[place] = byte;
                    let text = &text[..len];
                    let found = scan_topic(text);
                    assert_eq!(found.nul(), byte == 0, "{text:?}");
                    assert_eq!(found.wildcard(), matches!(byte, b'#' | b'+'), "{text:?}");
                    assert_eq!(found.beyond_ascii(), byte >= 0x80, "{text:?}");
                    let found = scan_string(text);
                    assert_eq!(found.nul(), byte == 0, "{text:?}");
                    assert!(!found.wildcard());
                    assert_eq!(found.beyond_ascii(), byte >= 0x80, "{text:?}");
                }
            }
            let found = scan_topic(&[b'a'; 40][..len]);
            assert!(!found.nul() && !found.wildcard() && !found.beyond_ascii());
        }
    }

    #[test]
    fn every_pair_of_bytes_in_a_word() {
        for a in 0..=255_u8 {
            for b in 0..=255_u8 {
                for text in
                    [[a, b, b'x', b'x', b'x', b'x', b'x', b'x'], [b'x', b'x', b'x', a, b, b'x', b'x', b'x']]
                {
                    let found = scan_topic(&text);
                    assert_eq!(found.nul(), text.contains(&0), "{text:?}");
                    assert_eq!(found.wildcard(), text.contains(&b'#') || text.contains(&b'+'), "{text:?}");
                    assert_eq!(found.beyond_ascii(), !text.is_ascii(), "{text:?}");
                }
            }
        }
    }
}
