//! Eight bytes at a time: is there a byte in this text that may not be there?
//!
//! The bytes looked for (U+0000, `#`, `+`) are ASCII, and no byte of a longer UTF-8 sequence is, so scanning bytes is
//! the same as scanning characters.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// A bit is set when one of the eight bytes is zero.
#[inline(always)]
const fn zero_byte(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH
}

#[inline(always)]
const fn nul(word: u64) -> u64 {
    zero_byte(word)
}

#[inline(always)]
const fn nul_or_wildcard(word: u64) -> u64 {
    const HASH: u64 = ONES.wrapping_mul(b'#' as u64);
    const PLUS: u64 = ONES.wrapping_mul(b'+' as u64);
    zero_byte(word) | zero_byte(word ^ HASH) | zero_byte(word ^ PLUS)
}

/// Whether `hit` finds something in any eight bytes of `bytes`. Short texts are filled up with a harmless `/`.
#[inline(always)]
fn any(bytes: &[u8], hit: impl Fn(u64) -> u64) -> bool {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut found = 0;
    for word in words {
        found |= hit(u64::from_le_bytes(*word));
    }
    if !tail.is_empty() {
        // Where there are eight bytes at all, the last eight overlap what was seen already: cheaper than byte by byte.
        let last = match bytes.last_chunk::<8>() {
            Some(last) => u64::from_le_bytes(*last),
            None => {
                tail.iter().fold(ONES.wrapping_mul(b'/' as u64), |word, byte| word << 8 | u64::from(*byte))
            }
        };
        found |= hit(last);
    }
    found != 0
}

/// Whether the text holds U+0000.
#[inline]
pub(crate) fn has_nul(text: &[u8]) -> bool {
    any(text, nul)
}

/// Whether the text holds U+0000, `#` or `+`.
#[inline]
pub(crate) fn has_nul_or_wildcard(text: &[u8]) -> bool {
    any(text, nul_or_wildcard)
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
                    assert_eq!(has_nul(text), byte == 0, "{text:?}");
                    assert_eq!(has_nul_or_wildcard(text), matches!(byte, 0 | b'#' | b'+'), "{text:?}");
                }
            }
            assert!(!has_nul_or_wildcard(&[b'a'; 40][..len]));
        }
    }
}
