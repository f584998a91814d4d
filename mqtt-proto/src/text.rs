//! One pass over a text, eight bytes at a time: is it plain, or is there a byte that must be looked at more closely?
//!
//! The bytes looked for (U+0000, `#`, `+`) are ASCII, and no byte of a longer UTF-8 sequence is, so scanning bytes is
//! the same as scanning characters.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
const HASH: u64 = ONES.wrapping_mul(b'#' as u64);
const PLUS: u64 = ONES.wrapping_mul(b'+' as u64);

/// Whether all bytes are ASCII, none is zero, and, where `WILDCARDS` matter, none is `#` or `+`.
///
/// A byte below 0x80 less one has its upper bit set only when it was zero; a borrow can only come from a byte that was
/// zero itself, and is found out by that. `x ^ b` is zero where `x` is `b`.
#[inline(always)]
fn plain<const WILDCARDS: bool>(bytes: &[u8]) -> bool {
    let suspicious = |word: u64| {
        let found = word | word.wrapping_sub(ONES);
        if !WILDCARDS {
            return found;
        }
        found | (word ^ HASH).wrapping_sub(ONES) | (word ^ PLUS).wrapping_sub(ONES)
    };
    // The last eight bytes overlap what was seen already: cheaper than byte by byte.
    let found = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => {
            let mut found = suspicious(u64::from_le_bytes(*first)) | suspicious(u64::from_le_bytes(*last));
            if bytes.len() > 16 {
                for word in bytes.as_chunks::<8>().0.iter().skip(1) {
                    found |= suspicious(u64::from_le_bytes(*word));
                }
            }
            found
        }
        _ => suspicious(short(bytes)),
    };
    found & HIGH == 0
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

/// Whether the text is ASCII without U+0000.
#[inline(always)]
pub(crate) fn is_plain_string(text: &[u8]) -> bool {
    plain::<false>(text)
}

/// Whether the text is ASCII without U+0000 and wildcards.
#[inline(always)]
pub(crate) fn is_plain_topic(text: &[u8]) -> bool {
    plain::<true>(text)
}

/// Whether the text holds U+0000.
#[inline]
pub(crate) fn has_nul(text: &[u8]) -> bool {
    text.contains(&0)
}

/// Whether the text holds `#` or `+`.
#[inline]
pub(crate) fn has_wildcard(text: &[u8]) -> bool {
    text.contains(&b'#') || text.contains(&b'+')
}

/// Asks about every `#` and `+` in the text whether it is fine where it is; stops at the first that is not.
#[inline(always)]
pub(crate) fn wildcards(text: &[u8], fine: impl Fn(usize, u8) -> bool) -> bool {
    const LOW: u64 = !HIGH;
    // The upper bit of exactly those bytes that are zero.
    let zeros = |word: u64| !((word & LOW).wrapping_add(LOW) | word) & HIGH;
    let check = |begin: usize, word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        let mut marks = zeros(word ^ HASH) | zeros(word ^ PLUS);
        while marks != 0 {
            let place = begin.wrapping_add(marks.trailing_zeros() as usize / 8);
            if !text.get(place).is_some_and(|byte| fine(place, *byte)) {
                return false;
            }
            marks &= marks.wrapping_sub(1);
        }
        true
    };
    // The last eight bytes overlap those before: what is fine once is fine twice.
    let Some(last) = text.last_chunk::<8>() else {
        return text
            .iter()
            .enumerate()
            .all(|(place, byte)| !matches!(byte, b'#' | b'+') || fine(place, *byte));
    };
    let mut begin = 0_usize;
    for word in text.as_chunks::<8>().0 {
        if !check(begin, word) {
            return false;
        }
        begin = begin.wrapping_add(8);
    }
    check(text.len().wrapping_sub(8), last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8]) {
        let plain = text.is_ascii() && !text.contains(&0);
        assert_eq!(is_plain_string(text), plain, "{text:?}");
        let wildcard = text.contains(&b'#') || text.contains(&b'+');
        assert_eq!(is_plain_topic(text), plain && !wildcard, "{text:?}");
    }

    #[test]
    fn every_byte_at_every_place_of_every_short_length() {
        for len in 0..40_usize {
            for place in 0..len {
                for byte in 0..=255_u8 {
                    let mut text = [b'a'; 40];
                    text[place] = byte;
                    check(&text[..len]);
                }
            }
            check(&[b'a'; 40][..len]);
        }
    }

    #[test]
    fn every_pair_of_bytes_in_a_word() {
        for a in 0..=255_u8 {
            for b in 0..=255_u8 {
                check(&[a, b, b'x', b'x', b'x', b'x', b'x', b'x']);
                check(&[b'x', b'x', b'x', a, b, b'x', b'x', b'x']);
                check(&[a, b]);
            }
        }
    }

    #[test]
    fn wildcards_are_found_where_they_are_and_nowhere_else() {
        for len in 0..26_usize {
            for place in 0..len {
                for byte in 0..=255_u8 {
                    let mut text = [b'/'; 26];
                    text[place] = byte;
                    let seen = core::cell::RefCell::new(std::vec::Vec::new());
                    let all = wildcards(&text[..len], |place, byte| {
                        seen.borrow_mut().push((place, byte));
                        true
                    });
                    assert!(all);
                    let expected =
                        if matches!(byte, b'#' | b'+') { std::vec![(place, byte)] } else { std::vec![] };
                    let mut seen = seen.into_inner();
                    seen.dedup(); // the last words overlap
                    assert_eq!(seen, expected);
                    assert_eq!(wildcards(&text[..len], |_, _| false), !matches!(byte, b'#' | b'+'));
                }
            }
        }
    }
}
