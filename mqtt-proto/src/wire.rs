//! Reading and writing the data types of the standard, every bound checked.

use crate::error::{DecodeError, EncodeError};
use crate::text;
use crate::topic::{MAX_TOPIC_LEN, TopicError, TopicFilter, TopicName, check_levels, check_name};
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
        // A frame is at most 268,435,460 bytes long, and `rest` a part of it.
        self.end.wrapping_sub(self.rest.len()) as u32
    }

    /// The packet, or the part of it that is read, ends too early. U-05
    #[inline(always)]
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
        Ok(Self { rest, end: self.end.wrapping_sub(self.rest.len()), version: self.version })
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
            _ => match long_varint(self.rest) {
                Ok(value) => {
                    self.rest = self.rest.get(varint_len(value as usize)..).unwrap_or_default();
                    Ok(value)
                }
                Err(rule) => Err(DecodeError::malformed(self.at(), rule)),
            },
        }
    }

    /// Binary data: a length of two bytes, then so many bytes.
    #[inline(always)]
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// A UTF-8 string. A leading U+FEFF belongs to it. `[MQTT-1.5.4-3]`
    #[inline(always)]
    pub(crate) fn string<T: Text<'a>>(&mut self) -> Result<T, DecodeError> {
        let at = self.at();
        let bytes = self.binary()?;
        let plain = text::is_plain_string(bytes);
        let Some(text) = T::from_bytes(bytes, plain) else {
            return Err(not_utf8(at, self.version));
        };
        if !plain && text::has_nul(bytes) {
            return Err(has_nul(at, self.version));
        }
        Ok(text)
    }

    /// A string that is a topic name.
    #[inline(always)]
    pub(crate) fn topic<T: Text<'a>>(&mut self) -> Result<T, DecodeError> {
        let at = self.at();
        let bytes = self.binary()?;
        let plain = text::is_plain_topic(bytes);
        let Some(text) = T::from_bytes(bytes, plain) else {
            return Err(not_utf8(at, self.version));
        };
        if bytes.is_empty() {
            return Err(bad_topic(at, self.version, TopicError::Empty));
        }
        if !plain && let Err(why) = check_name(bytes) {
            return Err(bad_topic(at, self.version, why));
        }
        Ok(text)
    }

    /// A topic name; `None` when it is empty.
    #[inline(always)]
    pub(crate) fn topic_name(&mut self) -> Result<Option<TopicName<'a>>, DecodeError> {
        let at = self.at();
        let bytes = self.binary()?;
        let plain = text::is_plain_topic(bytes);
        let Ok(text) = core::str::from_utf8(bytes) else {
            return Err(not_utf8(at, self.version));
        };
        if !plain && let Err(why) = check_name(bytes) {
            return Err(bad_topic(at, self.version, why));
        }
        Ok(if text.is_empty() { None } else { Some(TopicName::checked(text)) })
    }

    /// A string that is a topic filter, only checked.
    #[inline(always)]
    pub(crate) fn check_filter(&mut self) -> Result<(), DecodeError> {
        let at = self.at();
        let bytes = self.binary()?;
        let scan = text::scan(bytes);
        // Plain text without a wildcard that does not begin with `$` is a filter.
        match bytes.first() {
            Some(first) if *first != b'$' && scan.is_plain_topic() => Ok(()),
            _ if scan.is_plain_string() => match check_levels(bytes) {
                Ok(()) => Ok(()),
                Err(why) => Err(bad_topic(at, self.version, why)),
            },
            _ => check_filter(at, self.version, bytes),
        }
    }

    /// A string that is a topic filter and was checked before.
    pub(crate) fn topic_filter(&mut self) -> Option<TopicFilter<'a>> {
        TopicFilter::new(core::str::from_utf8(self.binary().ok()?).ok()?).ok()
    }

    /// A packet identifier, which is never 0.
    #[inline(always)]
    pub(crate) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        let at = self.at();
        match PacketId::new(self.u16()?) {
            Some(id) => Ok(id),
            None => Err(zero_id(at, self.version)),
        }
    }
}

// Why something cannot be read. Apart from the reader, so that it can stay in registers.

#[cold]
#[inline(never)]
const fn not_utf8(at: u32, version: Version) -> DecodeError {
    // [MQTT-1.5.4-1], [MQTT-1.5.3-1]
    DecodeError::malformed(at, version.rule("MQTT-1.5.4-1", "MQTT-1.5.3-1"))
}

#[cold]
#[inline(never)]
const fn has_nul(at: u32, version: Version) -> DecodeError {
    // [MQTT-1.5.4-2], [MQTT-1.5.3-2]
    DecodeError::malformed(at, version.rule("MQTT-1.5.4-2", "MQTT-1.5.3-2"))
}

/// A filter that is not plain.
#[inline(never)]
fn check_filter(at: u32, version: Version, bytes: &[u8]) -> Result<(), DecodeError> {
    if core::str::from_utf8(bytes).is_err() {
        return Err(not_utf8(at, version));
    }
    if text::has_nul(bytes) {
        return Err(has_nul(at, version));
    }
    check_levels(bytes).map_err(|why| bad_topic(at, version, why))
}

#[cold]
#[inline(never)]
const fn bad_topic(at: u32, version: Version, why: TopicError) -> DecodeError {
    let rule = match why {
        TopicError::Nul => return has_nul(at, version),
        TopicError::Empty | TopicError::TooLong => "MQTT-4.7.3-1",
        TopicError::Wildcard => "MQTT-3.3.2-2",
        TopicError::MisplacedWildcard => version.rule("MQTT-4.7.1-1", "MQTT-4.7.1-2"),
        TopicError::InvalidShare => "MQTT-4.8.2-2",
    };
    DecodeError::malformed(at, rule)
}

#[cold]
#[inline(never)]
const fn zero_id(at: u32, version: Version) -> DecodeError {
    // [MQTT-2.2.1-3], [MQTT-2.3.1-1]
    DecodeError::protocol(at, version.rule("MQTT-2.2.1-3", "MQTT-2.3.1-1"))
}

/// Text that is read, or text that is only checked and will be read another time.
pub(crate) trait Text<'a>: Sized {
    /// `None` when `bytes` are not UTF-8. `plain`: they are known to be ASCII.
    fn from_bytes(bytes: &'a [u8], plain: bool) -> Option<Self>;
}

impl<'a> Text<'a> for &'a str {
    #[inline(always)]
    fn from_bytes(bytes: &'a [u8], _: bool) -> Option<Self> {
        core::str::from_utf8(bytes).ok()
    }
}

/// A text that was checked.
pub(crate) struct Checked;

impl Text<'_> for Checked {
    #[inline(always)]
    fn from_bytes(bytes: &[u8], plain: bool) -> Option<Self> {
        (plain || is_utf8(bytes)).then_some(Self)
    }
}

#[inline(never)]
fn is_utf8(bytes: &[u8]) -> bool {
    core::str::from_utf8(bytes).is_ok()
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
    read_varint_as::<false>(input)
}

/// The same, where it may be written with more bytes than it needs.
pub(crate) fn read_padded_varint(input: &[u8]) -> Varint {
    read_varint_as::<true>(input)
}

#[inline(always)]
fn read_varint_as<const PADDED: bool>(input: &[u8]) -> Varint {
    let mut value = 0_u32;
    let mut shift = 0_u32;
    for (place, &byte) in input.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << shift;
        shift = shift.wrapping_add(7);
        if byte < 0x80 {
            if byte == 0 && place > 0 && !PADDED {
                return Varint::Wrong("MQTT-1.5.5-1"); // [MQTT-1.5.5-1]
            }
            return Varint::Done { value, len: place.wrapping_add(1) };
        }
    }
    if input.len() < 4 { Varint::More } else { Varint::Wrong("U-01") }
}

/// A whole variable byte integer, or the rule it breaks.
#[inline(never)]
fn long_varint(input: &[u8]) -> Result<u32, &'static str> {
    match read_varint(input) {
        Varint::Done { value, .. } => Ok(value),
        Varint::More => Err("U-05"),
        Varint::Wrong(rule) => Err(rule),
    }
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

/// Writes into a buffer that was found large enough before: `None` does not come up, but is no panic either.
pub(crate) struct Writer<'o>(&'o mut [u8]);

impl<'o> Writer<'o> {
    #[inline(always)]
    pub(crate) const fn new(out: &'o mut [u8]) -> Self {
        Self(out)
    }

    /// What is left to write into, to be handed back by [`resume`](Self::resume).
    #[inline(always)]
    pub(crate) fn lend(&mut self) -> &'o mut [u8] {
        core::mem::take(&mut self.0)
    }

    #[inline(always)]
    pub(crate) fn resume(&mut self, rest: &'o mut [u8]) {
        self.0 = rest;
    }

    #[inline(always)]
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let (head, tail) = self.lend().split_at_mut_checked(bytes.len())?;
        head.copy_from_slice(bytes);
        self.0 = tail;
        Some(())
    }

    #[inline(always)]
    pub(crate) fn array<const N: usize>(&mut self, bytes: [u8; N]) -> Option<()> {
        let (head, tail) = self.lend().split_first_chunk_mut::<N>()?;
        *head = bytes;
        self.0 = tail;
        Some(())
    }

    #[inline(always)]
    pub(crate) fn u8(&mut self, value: u8) -> Option<()> {
        self.array([value])
    }

    #[inline(always)]
    pub(crate) fn u16(&mut self, value: u16) -> Option<()> {
        self.array(value.to_be_bytes())
    }

    #[inline(always)]
    pub(crate) fn u32(&mut self, value: u32) -> Option<()> {
        self.array(value.to_be_bytes())
    }

    #[inline(always)]
    pub(crate) fn varint(&mut self, value: usize) -> Option<()> {
        let low = value as u8 | 0x80;
        match value {
            0..=127 => self.u8(value as u8),
            128..=16_383 => self.array([low, (value >> 7) as u8]),
            16_384..=2_097_151 => self.array([low, (value >> 7) as u8 | 0x80, (value >> 14) as u8]),
            _ => {
                self.array([low, (value >> 7) as u8 | 0x80, (value >> 14) as u8 | 0x80, (value >> 21) as u8])
            }
        }
    }

    /// A byte and a text.
    #[inline(always)]
    pub(crate) fn tagged(&mut self, tag: u8, text: &[u8]) -> Option<()> {
        let [high, low] = u16::try_from(text.len()).ok()?.to_be_bytes();
        self.array([tag, high, low])?;
        self.short(text)
    }

    /// Texts are short, so they are copied in place.
    #[inline(always)]
    pub(crate) fn binary(&mut self, bytes: &[u8]) -> Option<()> {
        self.u16(u16::try_from(bytes.len()).ok()?)?;
        self.short(bytes)
    }

    /// As [`put`](Self::put), for what mostly is short.
    #[inline(always)]
    pub(crate) fn short(&mut self, bytes: &[u8]) -> Option<()> {
        let (head, tail) = self.lend().split_at_mut_checked(bytes.len())?;
        copy(head, bytes);
        self.0 = tail;
        Some(())
    }
}

/// Copies what is as long as `to`: up to 32 bytes as two halves that overlap, cheaper than a call.
#[inline]
fn copy(to: &mut [u8], from: &[u8]) {
    fn halves<const N: usize>(to: &mut [u8], from: &[u8]) -> Option<()> {
        let (first, last) = (*from.first_chunk::<N>()?, *from.last_chunk::<N>()?);
        *to.first_chunk_mut()? = first;
        *to.last_chunk_mut()? = last;
        Some(())
    }
    let done = match from.len() {
        4..8 => halves::<4>(to, from),
        8..16 => halves::<8>(to, from),
        16..=32 => halves::<16>(to, from),
        _ => None,
    };
    if done.is_none() {
        to.copy_from_slice(from);
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
    if !text::is_plain_string(text.as_bytes()) && text::has_nul(text.as_bytes()) {
        return Err(EncodeError::StringWithNul);
    }
    Ok(len)
}

/// The size of a whole packet with this remaining length.
#[inline(always)]
pub(crate) const fn packet_len(remaining: usize) -> Result<usize, EncodeError> {
    if remaining > MAX_VARINT as usize {
        return Err(EncodeError::PacketTooLong);
    }
    Ok(remaining.wrapping_add(varint_len(remaining)).wrapping_add(1))
}

/// Writes a packet of `whole` bytes: the fixed header, then what `body` writes. Returns `whole`.
#[inline(always)]
pub(crate) fn write_packet<'o>(
    out: &'o mut [u8],
    whole: usize,
    first: u8,
    remaining: usize,
    body: impl FnOnce(&mut Writer<'o>) -> Option<()>,
) -> Result<usize, EncodeError> {
    let full = EncodeError::BufferTooSmall { needed: whole };
    let mut writer = Writer::new(out.get_mut(..whole).ok_or(full)?);
    let write = || {
        writer.u8(first)?;
        writer.varint(remaining)?;
        body(&mut writer)
    };
    match write() {
        Some(()) => Ok(whole),
        None => Err(full),
    }
}
