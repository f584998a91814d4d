//! The fixed header: where a packet ends, and whether its first byte can be right at all.

use crate::error::{DecodeError, DecodeErrorKind};
use crate::reason::ReasonCode;
use crate::types::{PacketType, Peer, Version};
use crate::wire::{Reader, Varint, read_padded_varint, read_varint};

/// Length of the first whole packet in `input`, judged from the fixed header alone. `Ok(None)`: more bytes are needed.
///
/// ```
/// use mqtt_proto::frame_len;
///
/// let input = [0xD0, 0x00, 0x40, 0x02, 0x00];
/// assert_eq!(frame_len(&input, 1024), Ok(Some(2))); // a PINGRESP
/// assert_eq!(frame_len(&input[2..], 1024), Ok(None)); // half a PUBACK
/// assert!(frame_len(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], 1024).is_err()); // announces 256 MiB
/// ```
///
/// # Errors
/// When the announced length of the whole packet is over `max` (kind [`DecodeErrorKind::TooLarge`], reason code 0x95)
/// — before one byte of the body was buffered —, when the remaining length is not well formed, or when the first byte
/// is one no packet of any version begins with.
#[inline]
pub fn frame_len(input: &[u8], max: usize) -> Result<Option<usize>, DecodeError> {
    Ok(announced_len(input, max)?.filter(|len| input.len() >= *len))
}

/// The same as [`frame_len`] when the packet has not arrived as a whole: the length it announces. `Ok(None)` when the
/// fixed header is not whole yet.
///
/// # Errors
/// As for [`frame_len`].
#[inline]
pub fn announced_len(input: &[u8], max: usize) -> Result<Option<usize>, DecodeError> {
    let Some(header) = Header::read(input)? else {
        return Ok(None);
    };
    Ok(Some(header.limited(max)?))
}

#[cold]
#[inline(never)]
const fn too_large() -> DecodeError {
    // [MQTT-3.1.2-24]
    DecodeError::with(DecodeErrorKind::TooLarge, 1, "MQTT-3.1.2-24", ReasonCode::PacketTooLarge)
}

/// A fixed header.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    pub(crate) first: u8,
    /// Bytes of the header itself: 2 to 5.
    pub(crate) len: usize,
    pub(crate) remaining: usize,
}

impl Header {
    #[inline(always)]
    pub(crate) const fn packet_len(&self) -> usize {
        self.len.wrapping_add(self.remaining)
    }

    /// The length of the whole packet, if it is at most `max`.
    #[inline(always)]
    pub(crate) const fn limited(&self, max: usize) -> Result<usize, DecodeError> {
        let len = self.packet_len();
        if len > max { Err(too_large()) } else { Ok(len) }
    }

    /// `None`: it has not arrived as a whole.
    #[inline(always)]
    pub(crate) fn read(input: &[u8]) -> Result<Option<Self>, DecodeError> {
        let Some((&first, rest)) = input.split_first() else {
            return Ok(None);
        };
        if !flags_possible(first) {
            return Err(impossible_first(first));
        }
        match rest.first() {
            Some(&byte) if byte < 0x80 => Ok(Some(Self { first, len: 2, remaining: usize::from(byte) })),
            _ => Self::read_long(first, rest),
        }
    }

    #[inline(never)]
    fn read_long(first: u8, rest: &[u8]) -> Result<Option<Self>, DecodeError> {
        Self::with_length(first, read_varint(rest))
    }

    /// The same, where the length may be written with more bytes than it needs.
    pub(crate) fn read_padded(input: &[u8]) -> Result<Option<Self>, DecodeError> {
        match input.split_first() {
            Some((&first, rest)) if flags_possible(first) => {
                Self::with_length(first, read_padded_varint(rest))
            }
            _ => Self::read(input),
        }
    }

    fn with_length(first: u8, length: Varint) -> Result<Option<Self>, DecodeError> {
        match length {
            Varint::Done { value, len } => {
                Ok(Some(Self { first, len: len.wrapping_add(1), remaining: value as usize }))
            }
            Varint::More => Ok(None),
            Varint::Wrong(rule) => Err(DecodeError::malformed(1, rule)),
        }
    }
}

/// The flags of PUBLISH: QoS 0 without DUP; QoS 1 and 2 with and without. [MQTT-3.3.1-4], [MQTT-3.3.1-2]
const PUBLISH_FLAGS: u16 = 0b0011_1100_0011_1111;

/// One bit for each of the 16 flag values a packet type may have in some version.
const fn flags_mask(packet_type: u8, version: Option<Version>) -> u16 {
    /// Flags 0000 only.
    const ZERO: u16 = 1 << 0b0000;
    /// Flags 0010 only.
    const TWO: u16 = 1 << 0b0010;
    /// QoS 0 to 2, with DUP or without, no RETAIN: what 3.1 allows where later versions want 0010. U-36
    const OLD: u16 = 0b0001_0101_0001_0101;
    match packet_type {
        0 => 0,
        3 => PUBLISH_FLAGS,
        6 | 8 | 10 => match version {
            Some(Version::V3_1_1 | Version::V5) => TWO,
            Some(Version::V3_1) | None => OLD,
        },
        15 => match version {
            Some(Version::V3_1 | Version::V3_1_1) => 0,
            Some(Version::V5) | None => ZERO,
        },
        _ => ZERO,
    }
}

/// Bit f of entry t: packet type t may have the flags f.
const fn flags_table(version: Option<Version>) -> [u16; 16] {
    let [a, b, c, d] = [
        [flags_mask(0, version), flags_mask(1, version), flags_mask(2, version), flags_mask(3, version)],
        [flags_mask(4, version), flags_mask(5, version), flags_mask(6, version), flags_mask(7, version)],
        [flags_mask(8, version), flags_mask(9, version), flags_mask(10, version), flags_mask(11, version)],
        [flags_mask(12, version), flags_mask(13, version), flags_mask(14, version), flags_mask(15, version)],
    ];
    let ([a0, a1, a2, a3], [b0, b1, b2, b3], [c0, c1, c2, c3], [d0, d1, d2, d3]) = (a, b, c, d);
    [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3]
}

static ANY: [u16; 16] = flags_table(None);
static V3_1: [u16; 16] = flags_table(Some(Version::V3_1));
static V3_1_1: [u16; 16] = flags_table(Some(Version::V3_1_1));
static V5: [u16; 16] = flags_table(Some(Version::V5));

#[inline(always)]
fn in_table(table: &[u16; 16], first: u8) -> bool {
    table.get(usize::from(first >> 4)).is_some_and(|mask| mask >> (first & 0x0F) & 1 != 0)
}

#[inline(always)]
fn flags_possible(first: u8) -> bool {
    in_table(&ANY, first)
}

#[inline(always)]
fn flags_allowed(first: u8, version: Version) -> bool {
    let table = match version {
        Version::V3_1 => &V3_1,
        Version::V3_1_1 => &V3_1_1,
        Version::V5 => &V5,
    };
    in_table(table, first)
}

/// A first byte that no packet of any version begins with.
#[cold]
#[inline(never)]
const fn impossible_first(first: u8) -> DecodeError {
    let rule = match first >> 4 {
        0 => "U-02",
        3 if first & 0b0110 == 0b0110 => "MQTT-3.3.1-4",
        3 => "MQTT-3.3.1-2",
        15 => "MQTT-3.15.1-1",
        14 => "MQTT-3.14.1-1",
        _ => "MQTT-2.1.3-1",
    };
    DecodeError::malformed(0, rule)
}

#[cold]
#[inline(never)]
const fn wrong_first(first: u8, version: Version) -> DecodeError {
    let rule = match first >> 4 {
        15 => "U-02",
        6 => "MQTT-3.6.1-1",
        8 => "MQTT-3.8.1-1",
        10 => "MQTT-3.10.1-1",
        _ => version.rule("MQTT-2.1.3-1", "MQTT-2.2.2-2"),
    };
    DecodeError::malformed(0, rule)
}

/// Takes a frame apart that is exactly one packet with a first byte `version` allows, and with a remaining length of
/// one or two bytes, as nearly every packet has. `None`: ask [`open`].
#[inline(always)]
pub(crate) fn open_short(frame: &[u8], version: Version) -> Option<(u8, Reader<'_>)> {
    open_if(frame, version, |first| flags_allowed(first, version))
}

/// As [`open_short`], for a PUBLISH, whose flags are the same in every version.
#[inline(always)]
pub(crate) fn open_publish(frame: &[u8], version: Version) -> Option<(u8, Reader<'_>)> {
    open_if(frame, version, |first| first >> 4 == 3 && PUBLISH_FLAGS >> (first & 0x0F) & 1 != 0)
}

#[inline(always)]
fn open_if(frame: &[u8], version: Version, fine: impl Fn(u8) -> bool) -> Option<(u8, Reader<'_>)> {
    let (first, remaining, body) = match frame {
        [first, len, body @ ..] if *len < 0x80 => (*first, usize::from(*len), body),
        [first, low, high @ 1..=0x7F, body @ ..] => {
            (*first, usize::from(*low & 0x7F) | usize::from(*high) << 7, body)
        }
        _ => return None,
    };
    if remaining != body.len() || !fine(first) {
        return None;
    }
    Some((first, Reader::new(body, frame.len(), version)))
}

/// As [`open_publish`], for the packet at the front of `input`, of at most `max` bytes; and its length.
#[inline(always)]
pub(crate) fn front_publish(input: &[u8], version: Version, max: usize) -> Option<(u8, Reader<'_>, usize)> {
    let (remaining, header) = match input {
        [_, len, ..] if *len < 0x80 => (usize::from(*len), 2),
        [_, low, high @ 1..=0x7F, ..] => (usize::from(*low & 0x7F) | usize::from(*high) << 7, 3_usize),
        _ => return None,
    };
    let len = header.wrapping_add(remaining);
    let (first, frame) = (*input.first()?, input.get(..len)?);
    let fine = len <= max && first >> 4 == 3 && PUBLISH_FLAGS >> (first & 0x0F) & 1 != 0;
    if fine { Some((first, Reader::new(frame.get(header..)?, len, version), len)) } else { None }
}

/// Takes a frame apart that must be exactly one packet with a first byte `version` allows.
#[inline(never)]
pub(crate) fn open(frame: &[u8], version: Version) -> Result<(u8, Reader<'_>), DecodeError> {
    open_from(Header::read(frame)?, frame, version)
}

/// As [`open`], behind a header that was read before.
#[inline]
pub(crate) fn open_from(
    header: Option<Header>,
    frame: &[u8],
    version: Version,
) -> Result<(u8, Reader<'_>), DecodeError> {
    let Some(header) = header else {
        return Err(DecodeError::malformed(frame.len() as u32, "U-05"));
    };
    if !flags_allowed(header.first, version) {
        return Err(wrong_first(header.first, version));
    }
    let body = frame.get(header.len..).unwrap_or_default();
    if body.len() < header.remaining {
        return Err(DecodeError::malformed(frame.len() as u32, "U-05"));
    }
    if body.len() > header.remaining {
        return Err(DecodeError::malformed(header.packet_len() as u32, "U-04"));
    }
    Ok((header.first, Reader::new(body, frame.len(), version)))
}

/// Whether a first byte is right for this packet type, from this peer, in this version.
pub(crate) fn expect_first(
    first: u8,
    packet_type: PacketType,
    version: Version,
    from: Peer,
) -> Result<(), DecodeError> {
    if !flags_allowed(first, version) {
        return Err(wrong_first(first, version));
    }
    if first >> 4 != packet_type as u8 {
        return Err(other_packet());
    }
    check_direction(packet_type, from, version)
}

/// As [`open`], for one packet type from one peer.
#[inline]
pub(crate) fn open_as(
    frame: &[u8],
    packet_type: PacketType,
    version: Version,
    from: Peer,
) -> Result<(u8, Reader<'_>), DecodeError> {
    let (first, reader) = open(frame, version)?;
    if first >> 4 != packet_type as u8 {
        return Err(other_packet());
    }
    check_direction(packet_type, from, version)?;
    Ok((first, reader))
}

#[cold]
#[inline(never)]
const fn other_packet() -> DecodeError {
    DecodeError::with(DecodeErrorKind::OtherPacket, 0, "U-03", ReasonCode::ProtocolError)
}

/// Whether this peer may send this packet at all. U-03
#[inline(always)]
pub(crate) const fn check_direction(
    packet_type: PacketType,
    from: Peer,
    version: Version,
) -> Result<(), DecodeError> {
    if packet_type.allowed_from(from, version) { Ok(()) } else { Err(DecodeError::protocol(0, "U-03")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(frame: &[u8]) -> Option<(u8, &[u8])> {
        open_short(frame, Version::V3_1_1).map(|(first, reader)| (first, reader.rest()))
    }

    /// The short way must be taken wherever it can be: the long one would give the same, only later.
    #[test]
    fn frames_with_short_lengths_take_the_short_way() {
        assert_eq!(short(&[0xC0, 0]), Some((0xC0, &[][..])));
        assert_eq!(short(&[0x40, 2, 0, 1]), Some((0x40, &[0, 1][..])));
        for len in [127, 128, 129, 255, 256, 16_383] {
            let mut frame = std::vec![0x55; len];
            if len < 128 {
                frame.splice(0..0, [0x30, len as u8]);
            } else {
                frame.splice(0..0, [0x30, len as u8 | 0x80, (len >> 7) as u8]);
            }
            let body = &frame[frame.len() - len..];
            assert_eq!(short(&frame), Some((0x30, body)));
            assert_eq!(open_publish(&frame, Version::V5).map(|(_, reader)| reader.rest()), Some(body));
            assert_eq!(short(&frame[..frame.len() - 1]), None);
            frame.push(0);
            assert_eq!(short(&frame), None);
        }
    }

    /// What the short way refuses, the long way gives a reason for.
    #[test]
    fn the_short_way_is_for_good_frames_alone() {
        assert_eq!(short(&[]), None);
        assert_eq!(short(&[0xC0]), None);
        assert_eq!(short(&[0xC0, 0x80]), None);
        assert_eq!(short(&[0xC0, 0x80, 0]), None);
        assert_eq!(short(&[0xC1, 0]), None);
        assert_eq!(short(&[0xF0, 0]), None);
        for first in 0..=255 {
            let taken = open_publish(&[first, 0], Version::V5).is_some();
            assert_eq!(taken, [0, 1, 2, 3, 4, 5, 10, 11, 12, 13].map(|flags| 0x30 | flags).contains(&first));
        }
    }
}
