//! One pass over a text, eight bytes at a time: is it plain, or is there a byte that must be looked at more closely?
//!
//! The bytes looked for (U+0000, `#`, `+`) are ASCII, and no byte of a longer UTF-8 sequence is, so scanning bytes is
//! the same as scanning characters.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
const PLUS: u64 = ONES.wrapping_mul(b'+' as u64);
/// The bit by which `#` and `+` differ: with it set both are `+`.
const BETWEEN: u64 = ONES.wrapping_mul((b'#' ^ b'+') as u64);
const SLASHES: u64 = ONES.wrapping_mul(b'/' as u64);

/// What was found in a text.
#[derive(Clone, Copy)]
pub(crate) struct Scan {
    /// An upper bit is set if a byte is not ASCII or is zero.
    odd: u64,
    /// In ASCII an upper bit is set if a byte is `#` or `+`.
    wild: u64,
}

impl Scan {
    /// A byte below 0x80 less one has its upper bit set only when it was zero; a borrow can only come from a byte that
    /// was zero itself, and is found out by that.
    #[inline(always)]
    fn of_word(word: u64) -> Self {
        Self { odd: word | word.wrapping_sub(ONES), wild: ((word | BETWEEN) ^ PLUS).wrapping_sub(ONES) }
    }

    #[inline(always)]
    fn of_16(bytes: &[u8; 16]) -> Self {
        let words = u128::from_le_bytes(*bytes);
        Self::of_word(words as u64).and(Self::of_word((words >> 64) as u64))
    }

    #[inline(always)]
    const fn and(self, other: Self) -> Self {
        Self { odd: self.odd | other.odd, wild: self.wild | other.wild }
    }

    /// Whether all bytes are ASCII and none is zero.
    #[inline(always)]
    pub(crate) const fn is_plain_string(self) -> bool {
        self.odd & HIGH == 0
    }

    /// The same, and there is no wildcard.
    #[inline(always)]
    pub(crate) const fn is_plain_topic(self) -> bool {
        (self.odd | self.wild) & HIGH == 0
    }
}

/// Looks at every byte of a text. The last bytes overlap those before them: cheaper than byte by byte.
#[inline(always)]
pub(crate) fn scan(text: &[u8]) -> Scan {
    if text.len() <= 16 {
        return match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
            (Some(first), Some(last)) => {
                Scan::of_word(u64::from_le_bytes(*first)).and(Scan::of_word(u64::from_le_bytes(*last)))
            }
            _ => Scan::of_word(short(text)),
        };
    }
    match (text.first_chunk::<16>(), text.last_chunk::<16>()) {
        (Some(first), Some(last)) if text.len() <= 32 => Scan::of_16(first).and(Scan::of_16(last)),
        _ => scan_long(text),
    }
}

#[inline(never)]
fn scan_long(text: &[u8]) -> Scan {
    let end = text.last_chunk::<16>().map_or(Scan { odd: HIGH, wild: 0 }, Scan::of_16);
    text.as_chunks::<16>().0.iter().fold(end, |found, next| found.and(Scan::of_16(next)))
}

/// One to seven bytes, filled up with a harmless `/`. Four and two at a time, overlapping.
#[inline(always)]
fn short(bytes: &[u8]) -> u64 {
    if let (Some(head), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        return u64::from(u32::from_le_bytes(*head)) | u64::from(u32::from_le_bytes(*last)) << 32;
    }
    in_word(bytes)
}

/// Up to seven bytes in their order, the first in the lowest place, filled up with `/`.
#[inline(always)]
fn in_word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(SLASHES, |word, byte| word << 8 | u64::from(*byte))
}

/// Whether the text is ASCII without U+0000.
#[inline(always)]
pub(crate) fn is_plain_string(text: &[u8]) -> bool {
    scan(text).is_plain_string()
}

/// Whether the text is ASCII without U+0000 and wildcards.
#[inline(always)]
pub(crate) fn is_plain_topic(text: &[u8]) -> bool {
    scan(text).is_plain_topic()
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

/// Whether every wildcard of a text stands where a filter may have it: a whole level, and for `#` the last one.
#[inline]
pub(crate) fn wildcards_in_place(text: &[u8]) -> bool {
    const LOW: u64 = !HIGH;
    let (words, rest) = text.as_chunks::<8>();
    // The last bytes are looked at as the end of a word: what is fine once is fine twice.
    let (begin, last) = match text.last_chunk::<8>() {
        Some(_) if rest.is_empty() => (0, SLASHES),
        Some(last) => (text.len().wrapping_sub(8), u64::from_le_bytes(*last)),
        None => (0, in_word(rest)),
    };
    let check = |begin: usize, word: u64| {
        let zero = (word | BETWEEN) ^ PLUS;
        // The upper bit of exactly those bytes that are zero.
        let mut marks = !((zero & LOW).wrapping_add(LOW) | zero) & HIGH;
        while marks != 0 {
            if !in_place(text, begin.wrapping_add(marks.trailing_zeros() as usize / 8)) {
                return false;
            }
            marks &= marks.wrapping_sub(1);
        }
        true
    };
    let mut place = 0_usize;
    for word in words {
        if !check(place, u64::from_le_bytes(*word)) {
            return false;
        }
        place = place.wrapping_add(8);
    }
    check(begin, last)
}

/// The same about one wildcard. [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.1-3]
#[inline(always)]
fn in_place(text: &[u8], place: usize) -> bool {
    // Before the first byte there is none either.
    let before = text.get(place.wrapping_sub(1));
    matches!((before, text.get(place..)), (None | Some(b'/'), Some([b'#' | b'+'] | [b'+', b'/', ..])))
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

    /// What the standard says, level by level.
    fn by_levels(text: &[u8]) -> bool {
        let levels: std::vec::Vec<&[u8]> = text.split(|byte| *byte == b'/').collect();
        levels.iter().enumerate().all(|(place, level)| match *level {
            b"+" => true,
            b"#" => place == levels.len() - 1,
            level => !level.iter().any(|byte| matches!(byte, b'#' | b'+')),
        })
    }

    #[test]
    fn wildcards_everywhere_in_a_word_and_across_words() {
        const SIZE: u32 = 6;
        for begin in 0..12 {
            for number in 0..4_u32.pow(SIZE) {
                let mut text = [b'x'; 32];
                for place in 0..SIZE {
                    text[begin + place as usize] = b"a/+#"[(number >> (2 * place) & 3) as usize];
                }
                for len in [begin + SIZE as usize, begin + SIZE as usize + 2] {
                    let text = &text[..len];
                    assert_eq!(wildcards_in_place(text), by_levels(text), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn every_byte_beside_a_wildcard() {
        for place in 1..9 {
            for byte in 0..=255_u8 {
                for wildcard in *b"+#" {
                    let mut text = [b'/'; 10];
                    text[place - 1] = byte;
                    text[place] = wildcard;
                    assert_eq!(wildcards_in_place(&text), by_levels(&text), "{text:?}");
                    text[place - 1] = b'/';
                    text[place + 1] = byte;
                    assert_eq!(wildcards_in_place(&text), by_levels(&text), "{text:?}");
                }
            }
        }
    }
}
