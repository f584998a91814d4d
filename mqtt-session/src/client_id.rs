//! Who the client is where the application did not say: a name the server gave, or one made here.

/// The longest identifier that is kept.
const LONGEST: usize = 64;

/// The most characters a client identifier has in 3.1. U-36
pub(crate) const LONGEST_3_1: usize = 23;

/// A client identifier of at most 64 bytes; empty: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientId {
    bytes: [u8; LONGEST],
    len: u8,
}

impl ClientId {
    pub(crate) const NONE: Self = Self { bytes: [0; LONGEST], len: 0 };

    /// Keeps one that was assigned; `NONE`, where it is too long.
    pub(crate) fn keep(id: &str) -> Self {
        let mut kept = Self::NONE;
        if let (Some(place), Ok(len)) = (kept.bytes.get_mut(..id.len()), u8::try_from(id.len())) {
            place.copy_from_slice(id.as_bytes());
            kept.len = len;
        }
        kept
    }

    /// One of 20 letters and digits, the same for the same seed.
    pub(crate) fn made_of(seed: u64) -> Self {
        let mut made = Self::keep("mqtt0000000000000000");
        let digits = made.bytes.get_mut(4..20).unwrap_or_default();
        for (place, shift) in digits.iter_mut().zip((0..64).step_by(4).rev()) {
            let digit = (seed.wrapping_shr(shift) & 0xF) as u8;
            *place =
                if digit < 10 { b'0'.wrapping_add(digit) } else { b'a'.wrapping_add(digit).wrapping_sub(10) };
        }
        made
    }

    pub(crate) fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_identifier_is_one_of_3_1_and_tells_seeds_apart() {
        assert_eq!(ClientId::made_of(0).as_str(), "mqtt0000000000000000");
        assert_eq!(ClientId::made_of(0x0123_4567_89AB_CDEF).as_str(), "mqtt0123456789abcdef");
        assert_ne!(ClientId::made_of(1), ClientId::made_of(1 << 60));
        assert!(ClientId::made_of(u64::MAX).as_str().len() <= LONGEST_3_1);
    }

    #[test]
    fn an_identifier_is_kept_up_to_its_longest() {
        let longest = "x".repeat(LONGEST);
        assert_eq!(ClientId::keep(&longest).as_str(), longest);
        assert_eq!(ClientId::keep(&format!("{longest}x")), ClientId::NONE);
    }
}
