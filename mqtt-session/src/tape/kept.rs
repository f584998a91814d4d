//! Values as bytes, and back. What is read is never trusted: whatever is no value is [`Damaged`].

use core::num::NonZeroU64;
use core::time::Duration;
use std::vec::Vec;

use mqtt_proto::{EncodedProperties, Properties, Qos, ReasonCode, Version};

/// Bytes that are no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take<T: Kept<'a>>(&mut self) -> Result<T, Damaged> {
        T::take(self)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Damaged> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Damaged)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A value that can be written and read.
pub(crate) trait Kept<'a>: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(from: &mut Reader<'a>) -> Result<Self, Damaged>;
}

impl Kept<'_> for u64 {
    /// Seven bits in a byte, the low ones first.
    fn put(&self, out: &mut Vec<u8>) {
        let mut rest = *self;
        while rest > 0x7F {
            out.push((rest & 0x7F) as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = from.bytes(1)? else { return Err(Damaged) };
            let bits = Self::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                return Err(Damaged);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Damaged)
    }
}

/// Smaller numbers are written as larger ones.
macro_rules! as_u64 {
    ($($type:ty),+) => {$(
        impl Kept<'_> for $type {
            fn put(&self, out: &mut Vec<u8>) {
                (*self as u64).put(out);
            }

            fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
                <$type>::try_from(u64::take(from)?).map_err(|_| Damaged)
            }
        }
    )+};
}

as_u64!(u8, u16, u32, usize);

impl Kept<'_> for bool {
    fn put(&self, out: &mut Vec<u8>) {
        u8::from(*self).put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        match u8::take(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Damaged),
        }
    }
}

impl Kept<'_> for Duration {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_secs().put(out);
        self.subsec_nanos().put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        let (seconds, nanos) = (from.take()?, from.take::<u32>()?);
        if nanos < 1_000_000_000 { Ok(Self::new(seconds, nanos)) } else { Err(Damaged) }
    }
}

impl Kept<'_> for NonZeroU64 {
    fn put(&self, out: &mut Vec<u8>) {
        self.get().put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Self::new(from.take()?).ok_or(Damaged)
    }
}

impl<'a, T: Kept<'a>> Kept<'a> for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(from: &mut Reader<'a>) -> Result<Self, Damaged> {
        Ok(if from.take()? { Some(from.take()?) } else { None })
    }
}

impl<'a> Kept<'a> for &'a [u8] {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        out.extend_from_slice(self);
    }

    fn take(from: &mut Reader<'a>) -> Result<Self, Damaged> {
        let len = from.take()?;
        from.bytes(len)
    }
}

impl<'a> Kept<'a> for &'a str {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_bytes().put(out);
    }

    fn take(from: &mut Reader<'a>) -> Result<Self, Damaged> {
        core::str::from_utf8(from.take()?).map_err(|_| Damaged)
    }
}

impl<'a> Kept<'a> for Properties<'a> {
    /// Only those that can be written: the caller has looked.
    fn put(&self, out: &mut Vec<u8>) {
        let len = self.body_len();
        len.put(out);
        let start = out.len();
        out.resize(start.saturating_add(len), 0);
        let written = self.write_body(out.get_mut(start..).unwrap_or_default()).unwrap_or(0);
        debug_assert_eq!(written, len, "properties are as long as they say");
    }

    fn take(from: &mut Reader<'a>) -> Result<Self, Damaged> {
        let bytes: &[u8] = from.take()?;
        Ok(if bytes.is_empty() { Self::EMPTY } else { Self::Encoded(EncodedProperties::from_stored(bytes)) })
    }
}

impl Kept<'_> for Qos {
    fn put(&self, out: &mut Vec<u8>) {
        (*self as u8).put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Self::from_u8(from.take()?).ok_or(Damaged)
    }
}

impl Kept<'_> for ReasonCode {
    fn put(&self, out: &mut Vec<u8>) {
        (*self as u8).put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Damaged> {
        Self::from_u8(from.take()?).ok_or(Damaged)
    }
}

/// Enums without fields: each variant and its number.
macro_rules! numbered {
    ($type:ty { $($variant:ident = $number:literal),+ $(,)? }) => {
        impl $crate::tape::kept::Kept<'_> for $type {
            fn put(&self, out: &mut Vec<u8>) {
                let number: u8 = match self { $(Self::$variant => $number,)+ };
                number.put(out);
            }

            fn take(
                from: &mut $crate::tape::kept::Reader<'_>,
            ) -> Result<Self, $crate::tape::kept::Damaged> {
                match from.take::<u8>()? {
                    $($number => Ok(Self::$variant),)+
                    _ => Err($crate::tape::kept::Damaged),
                }
            }
        }
    };
}

/// Structs: each field in its turn. One that is missing here does not compile.
macro_rules! fields {
    ($type:ident { $($field:ident),+ $(,)? }) => {
        impl $crate::tape::kept::Kept<'_> for $type {
            fn put(&self, out: &mut Vec<u8>) {
                let Self { $($field),+ } = self;
                $($field.put(out);)+
            }

            fn take(
                from: &mut $crate::tape::kept::Reader<'_>,
            ) -> Result<Self, $crate::tape::kept::Damaged> {
                Ok(Self { $($field: from.take()?),+ })
            }
        }
    };
}

pub(crate) use {fields, numbered};

numbered!(Version { V3_1 = 3, V3_1_1 = 4, V5 = 5 });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_size_are_read_back() {
        for value in [0, 1, 127, 128, 300, 1 << 32, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            value.put(&mut out);
            let mut reader = Reader(&out);
            assert_eq!(reader.take::<u64>(), Ok(value));
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        assert_eq!(Reader(&[0xFF; 9]).take::<u64>(), Err(Damaged));
        assert_eq!(Reader(&[0xFF; 10]).take::<u64>(), Err(Damaged), "more than 64 bits");
        assert_eq!(Reader(&[0x80, 0x02]).take::<u8>(), Err(Damaged), "256");
        assert_eq!(Reader(&[2]).take::<bool>(), Err(Damaged));
        assert_eq!(Reader(&[5, b'a']).take::<&[u8]>(), Err(Damaged), "longer than there is");
        assert_eq!(Reader(&[1, 0xFF]).take::<&str>(), Err(Damaged));
        assert_eq!(Reader(&[3]).take::<Qos>(), Err(Damaged));
    }
}
