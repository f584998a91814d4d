//! Reading and writing the data types of the standard, every bound checked.

use crate::error::{DecodeError, EncodeError};
use crate::text;
use crate::topic::{MAX_TOPIC_LEN, TopicError, TopicFilter, TopicName};
use crate::types::{PacketId, Version};

/// The largest variable byte integer, and so the largest remaining length.
pub(crate) const MAX_VARINT: u32 = 268_435_455;

/// Reads from what is left of a frame, and knows at which byte of the frame it stands.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// Where `rest` ends, counted in the frame.
    end: usize,
    version: Version,
}

impl<'a> Reader<'a> {
    #[inline(always)]
    pub(crate) const fn new(rest: &'a [u8], end: usize, version: Version) -> Self {
        Self { rest, end, version }
    }

    /// A reader of bytes that were checked before and kept without their frame.
    pub(crate) const fn stored(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, end: bytes.len(), version: Version::V5 }
    }

    /// CONNECT says itself in which version it is written.
    pub(crate) const fn in_version(self, version: Version) -> Self {
        Self { rest: self.rest, end: self.end, version }
    }

    #[inline(always)]
    pub(crate) const fn version(&self) -> Version {
        self.version
    }

    #[inline(always)]
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline(always)]
    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The offset of the next byte in the frame.
    #[inline(always)]
    pub(crate) const fn at(&self) -> u32 {
        // A frame is at most 268,435,460 bytes long.
        self.end.saturating_sub(self.rest.len()) as u32
    }

    #[cold]
    #[inline(never)]
    const fn short(&self) -> DecodeError {
        DecodeError::malformed(self.at(), "U-05")
    }

    /// Everything must have been read. U-04
    #[inline(always)]
    pub(crate) const fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::malformed(self.at(), "U-04")) }
    }

    #[inline(always)]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(len) {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(head)
            }
            None => Err(self.short()),
        }
    }

    /// A reader of the next `len` bytes alone.
    #[inline(always)]
    pub(crate) fn sub(&mut self, len: usize) -> Result<Self, DecodeError> {
        let rest = self.take(len)?;
        Ok(Self { rest, end: self.end.saturating_sub(self.rest.len()), version: self.version })
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(*head)
            }
            None => Err(self.short()),
        }
    }

    #[inline(always)]
    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    #[inline(always)]
    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    #[inline(always)]
    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// A variable byte integer of one to four bytes, written with as few as possible.
    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Result<u32, DecodeError> {
        match self.rest.split_first() {
            Some((&byte, tail)) if byte < 0x80 => {
                self.rest = tail;
                Ok(u32::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u32, DecodeError> {
        match read_varint(self.rest) {
            Varint::Done { value, len } => {
                self.take(len)?;
                Ok(value)
            }
            Varint::More => Err(self.short()),
            Varint::Wrong(rule) => Err(DecodeError::malformed(self.at(), rule)),
        }
    }

    /// Binary data: a length of two bytes, then so many bytes.
    #[inline(always)]
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    #[cold]
    #[inline(never)]
    const fn not_utf8(&self, at: u32) -> DecodeError {
        // [MQTT-1.5.4-1], [MQTT-1.5.3-1]
        DecodeError::malformed(at, self.version.rule("MQTT-1.5.4-1", "MQTT-1.5.3-1"))
    }

    #[cold]
    #[inline(never)]
    const fn nul(&self, at: u32) -> DecodeError {
        // [MQTT-1.5.4-2], [MQTT-1.5.3-2]
        DecodeError::malformed(at, self.version.rule("MQTT-1.5.4-2", "MQTT-1.5.3-2"))
    }

    #[inline(always)]
    fn text(&mut self) -> Result<(u32, &'a str), DecodeError> {
        let at = self.at();
        let bytes = self.binary()?;
        match core::str::from_utf8(bytes) {
            Ok(text) => Ok((at, text)),
            Err(_) => Err(self.not_utf8(at)),
        }
    }

    /// A UTF-8 string. A leading U+FEFF belongs to it. `[MQTT-1.5.4-3]`
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Result<&'a str, DecodeError> {
        let (at, text) = self.text()?;
        if text::has_nul(text.as_bytes()) {
            return Err(self.nul(at));
        }
        Ok(text)
    }

    /// A topic name; `None` when it is empty.
    #[inline(always)]
    pub(crate) fn topic_name(&mut self) -> Result<Option<TopicName<'a>>, DecodeError> {
        let (at, text) = self.text()?;
        match TopicName::new(text) {
            Ok(name) => Ok(Some(name)),
            Err(TopicError::Empty) => Ok(None),
            Err(why) => Err(self.bad_topic(at, why)),
        }
    }

    #[inline(always)]
    pub(crate) fn topic_filter(&mut self) -> Result<TopicFilter<'a>, DecodeError> {
        let (at, text) = self.text()?;
        TopicFilter::new(text).map_err(|why| self.bad_topic(at, why))
    }

    /// `rule` says which statement a wildcard in a topic name breaks.
    #[cold]
    #[inline(never)]
    pub(crate) const fn bad_topic(&self, at: u32, why: TopicError) -> DecodeError {
        let rule = match why {
            TopicError::Nul => return self.nul(at),
            TopicError::Empty | TopicError::TooLong => "MQTT-4.7.3-1",
            TopicError::Wildcard => "MQTT-3.3.2-2",
            TopicError::MisplacedWildcard => self.version.rule("MQTT-4.7.1-1", "MQTT-4.7.1-2"),
            TopicError::InvalidShare => "MQTT-4.8.2-2",
        };
        DecodeError::malformed(at, rule)
    }

    /// A packet identifier, which is never 0.
    #[inline(always)]
    pub(crate) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        let at = self.at();
        match PacketId::new(self.u16()?) {
            Some(id) => Ok(id),
            None => Err(self.zero_id(at)),
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) const fn zero_id(&self, at: u32) -> DecodeError {
        // [MQTT-2.2.1-3], [MQTT-2.3.1-1]
        DecodeError::protocol(at, self.version.rule("MQTT-2.2.1-3", "MQTT-2.3.1-1"))
    }
}

/// What the bytes at the front say about a variable byte integer.
pub(crate) enum Varint {
    /// It is whole.
    Done { value: u32, len: usize },
    /// Its last byte has not arrived.
    More,
    /// It breaks this rule.
    Wrong(&'static str),
}

/// Reads a variable byte integer of any allowed length.
pub(crate) fn read_varint(input: &[u8]) -> Varint {
    let mut value = 0_u32;
    let mut shift = 0_u32;
    for (place, &byte) in input.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << shift;
        shift = shift.wrapping_add(7);
        if byte < 0x80 {
            if byte == 0 && place > 0 {
                return Varint::Wrong("MQTT-1.5.5-1"); // [MQTT-1.5.5-1]
            }
            return Varint::Done { value, len: place.wrapping_add(1) };
        }
    }
    if input.len() < 4 { Varint::More } else { Varint::Wrong("U-01") }
}

/// How many bytes a variable byte integer takes; values over [`MAX_VARINT`] are refused elsewhere.
#[inline(always)]
pub(crate) const fn varint_len(value: usize) -> usize {
    match value {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        _ => 4,
    }
}

/// Writes into a buffer that was found large enough before. Should it not be, it says so instead of panicking.
pub(crate) struct Writer<'o> {
    rest: &'o mut [u8],
}

impl<'o> Writer<'o> {
    #[inline(always)]
    pub(crate) const fn new(rest: &'o mut [u8]) -> Self {
        Self { rest }
    }

    #[inline(always)]
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let rest = core::mem::take(&mut self.rest);
        let Some((head, tail)) = rest.split_at_mut_checked(bytes.len()) else {
            return Err(Self::full());
        };
        head.copy_from_slice(bytes);
        self.rest = tail;
        Ok(())
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self, bytes: [u8; N]) -> Result<(), EncodeError> {
        let rest = core::mem::take(&mut self.rest);
        let Some((head, tail)) = rest.split_first_chunk_mut::<N>() else {
            return Err(Self::full());
        };
        *head = bytes;
        self.rest = tail;
        Ok(())
    }

    #[cold]
    #[inline(never)]
    const fn full() -> EncodeError {
        EncodeError::BufferTooSmall { needed: 0 }
    }

    #[inline(always)]
    pub(crate) fn u8(&mut self, value: u8) -> Result<(), EncodeError> {
        self.array([value])
    }

    #[inline(always)]
    pub(crate) fn u16(&mut self, value: u16) -> Result<(), EncodeError> {
        self.array(value.to_be_bytes())
    }

    #[inline(always)]
    pub(crate) fn u32(&mut self, value: u32) -> Result<(), EncodeError> {
        self.array(value.to_be_bytes())
    }

    #[inline(always)]
    pub(crate) fn varint(&mut self, value: usize) -> Result<(), EncodeError> {
        if value < 0x80 { self.u8(value as u8) } else { self.long_varint(value) }
    }

    #[inline(never)]
    fn long_varint(&mut self, mut value: usize) -> Result<(), EncodeError> {
        while value >= 0x80 {
            self.u8(value as u8 | 0x80)?;
            value >>= 7;
        }
        self.u8(value as u8)
    }

    #[inline(always)]
    pub(crate) fn binary(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let len = u16::try_from(bytes.len()).map_err(|_| EncodeError::StringTooLong)?;
        self.u16(len)?;
        self.put(bytes)
    }
}

/// The size of a binary field, or why it cannot be sent.
#[inline(always)]
pub(crate) const fn binary_len(bytes: &[u8]) -> Result<usize, EncodeError> {
    if bytes.len() > MAX_TOPIC_LEN {
        Err(EncodeError::StringTooLong)
    } else {
        Ok(bytes.len().wrapping_add(2))
    }
}

/// The size of a string field, or why it cannot be sent. `[MQTT-1.5.4-2]`
#[inline(always)]
pub(crate) fn string_len(text: &str) -> Result<usize, EncodeError> {
    let len = binary_len(text.as_bytes())?;
    if text::has_nul(text.as_bytes()) { Err(EncodeError::StringWithNul) } else { Ok(len) }
}

/// The size of a whole packet with this remaining length.
#[inline(always)]
pub(crate) const fn packet_len(remaining: usize) -> Result<usize, EncodeError> {
    if remaining > MAX_VARINT as usize {
        return Err(EncodeError::PacketTooLong);
    }
    Ok(remaining.wrapping_add(varint_len(remaining)).wrapping_add(1))
}

/// Writes the fixed header into `out` cut to the size of the whole packet, which is `whole` bytes long.
#[inline(always)]
pub(crate) fn begin(
    out: &mut [u8],
    whole: usize,
    first: u8,
    remaining: usize,
) -> Result<Writer<'_>, EncodeError> {
    let Some(out) = out.get_mut(..whole) else {
        return Err(EncodeError::BufferTooSmall { needed: whole });
    };
    let mut writer = Writer::new(out);
    writer.u8(first)?;
    writer.varint(remaining)?;
    Ok(writer)
}
