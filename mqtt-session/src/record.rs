//! What a journal keeps: keys, and the format of records.
//!
//! A record is a head of [`HEAD`] bytes, little endian, and what the operation keeps behind it:
//!
//! ```text
//!  0  magic "MQS"     4  kind, flags, packet identifier      8  key            16  sequence
//! 24  tag            32  client                             40  server session
//! 44  topic length, number of filters                       48  properties length
//! 52  payload length 56  lifetime here   64  lifetime at the server   72  latest-value key
//! 80  CRC-32 of everything else          84  topic, properties, payload (or filters)
//! ```
//!
//! The record of the session has in place of a topic the client identifier the server assigned; its lifetimes are what is
//! left of the session, and the Session Expiry Interval.
//!
//! Byte 3 is the version of the format. A record is taken whole or refused whole.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use core::fmt;

use crate::error::RestoreError;
use crate::token::Token;

/// Bytes of a record before what the operation keeps.
pub(crate) const HEAD: usize = 84;
const CHECKED: usize = HEAD - 4;
const MAGIC: [u8; 3] = *b"MQS";
const VERSION: u8 = 2;

/// Names a record in the journal: the driver's own key for it.
///
/// A small number of bits, the same for the same record in every run: a file name, a row, a place in a
/// map. Two `Put`s of one key replace each other.
///
/// ```
/// use mqtt_session::Key;
///
/// let key = Key::from(0x0000_0007_0000_0003);
/// assert_eq!(u64::from(key), 0x0000_0007_0000_0003);
/// assert_eq!(key.to_string(), "0000000700000003");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key(u64);

/// Which record a key names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// An operation, with all it keeps.
    Operation,
    /// That a PUBLISH may have been sent, and with which packet identifier.
    Mark,
    /// An inbound QoS 2 exchange; the index is its packet identifier.
    Exchange,
    /// The session itself.
    Session,
}

/// The largest number of operations whose keys differ.
pub(crate) const MOST: u32 = 1 << 30;

impl Key {
    pub(crate) const fn new(part: Part, index: u32, generation: u32) -> Self {
        let part = match part {
            Part::Operation => 0,
            Part::Mark => 1,
            Part::Exchange => 2,
            Part::Session => 3,
        };
        Self((generation as u64) << 32 | part << 30 | (index & (MOST - 1)) as u64)
    }

    pub(crate) const SESSION: Self = Self::new(Part::Session, 0, 0);

    pub(crate) const fn part(self) -> Part {
        match (self.0 >> 30) & 3 {
            0 => Part::Operation,
            1 => Part::Mark,
            2 => Part::Exchange,
            _ => Part::Session,
        }
    }

    pub(crate) const fn index(self) -> u32 {
        (self.0 & (MOST - 1) as u64) as u32
    }

    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl Key {
    /// The operation the record is of, by which its `Event::Done` names it; `None`: it is of an inbound exchange, or of
    /// the session. So a driver knows which outcomes are of an earlier run.
    ///
    /// ```
    /// use mqtt_session::{Key, Token};
    ///
    /// assert_eq!(Key::from(0x0000_0007_0000_0003).token(), Some(Token::from(0x0000_0007_0000_0003)));
    /// ```
    #[must_use]
    pub const fn token(self) -> Option<Token> {
        match self.part() {
            Part::Operation | Part::Mark => Some(Token::new(self.index(), self.generation())),
            Part::Exchange | Part::Session => None,
        }
    }
}

impl From<Key> for u64 {
    fn from(key: Key) -> Self {
        key.0
    }
}

impl From<u64> for Key {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a record is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum RecordKind {
    Publish = 1,
    Subscribe = 2,
    Unsubscribe = 3,
    Mark = 4,
    Exchange = 5,
    Session = 6,
}

impl RecordKind {
    const ALL: [Self; 6] =
        [Self::Publish, Self::Subscribe, Self::Unsubscribe, Self::Mark, Self::Exchange, Self::Session];

    /// The part of a key under which it is kept.
    pub(crate) const fn part(self) -> Part {
        match self {
            Self::Publish | Self::Subscribe | Self::Unsubscribe => Part::Operation,
            Self::Mark => Part::Mark,
            Self::Exchange => Part::Exchange,
            Self::Session => Part::Session,
        }
    }
}

/// The message is retained.
pub(crate) const RETAIN: u8 = 0b0000_0100;
/// The subscription was granted; the server's session was kept (`RecordKind::Session`).
pub(crate) const HELD: u8 = 0b0000_1000;
/// The server accepted a connection of the session (`RecordKind::Session`).
pub(crate) const ACCEPTED: u8 = 0b0001_0000;
/// The payload is not kept: it is provided when it is sent.
pub(crate) const SOURCED: u8 = 0b0010_0000;
/// The next connection must begin a new session (`RecordKind::Session`).
pub(crate) const TORN: u8 = 0b0100_0000;
/// Something may have been sent in the session that left no trace (`RecordKind::Session`).
pub(crate) const LOOSE: u8 = 0b1000_0000;
const QOS: u8 = 0b0000_0011;

/// "No end" of a lifetime.
pub(crate) const FOR_EVER: u64 = u64::MAX;

/// The head of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) kind: RecordKind,
    pub(crate) flags: u8,
    pub(crate) packet_id: u16,
    pub(crate) key: Key,
    pub(crate) sequence: u64,
    pub(crate) tag: u64,
    /// Fingerprint of the client identifier; 0: it was not known yet.
    pub(crate) client: u64,
    /// Counts the sessions on the server.
    pub(crate) session: u32,
    pub(crate) topic_len: u16,
    pub(crate) filters: u16,
    pub(crate) properties_len: u32,
    pub(crate) payload_len: u32,
    /// Microseconds left when it was written.
    pub(crate) expires: u64,
    pub(crate) wire_expires: u64,
    /// Latest-value key; 0: none.
    pub(crate) latest: u64,
}

impl Head {
    pub(crate) const fn new(kind: RecordKind, key: Key, client: u64, session: u32) -> Self {
        Self {
            kind,
            flags: 0,
            packet_id: 0,
            key,
            sequence: 0,
            tag: 0,
            client,
            session,
            topic_len: 0,
            filters: 0,
            properties_len: 0,
            payload_len: 0,
            expires: FOR_EVER,
            wire_expires: FOR_EVER,
            latest: 0,
        }
    }

    pub(crate) const fn qos(&self) -> u8 {
        self.flags & QOS
    }

    /// The bytes of the head, with the checksum of the whole record.
    pub(crate) fn encode(&self, content: &[u8], payload: &[u8]) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        let mut rest = &mut bytes[..];
        let fields: [&[u8]; 16] = [
            &MAGIC,
            &[VERSION, self.kind as u8, self.flags],
            &self.packet_id.to_le_bytes(),
            &self.key.0.to_le_bytes(),
            &self.sequence.to_le_bytes(),
            &self.tag.to_le_bytes(),
            &self.client.to_le_bytes(),
            &self.session.to_le_bytes(),
            &self.topic_len.to_le_bytes(),
            &self.filters.to_le_bytes(),
            &self.properties_len.to_le_bytes(),
            &self.payload_len.to_le_bytes(),
            &self.expires.to_le_bytes(),
            &self.wire_expires.to_le_bytes(),
            &self.latest.to_le_bytes(),
            &[],
        ];
        for field in fields {
            let Some((place, behind)) = rest.split_at_mut_checked(field.len()) else { break };
            place.copy_from_slice(field);
            rest = behind;
        }
        let (checked, sum) = bytes.split_at_mut(CHECKED);
        sum.copy_from_slice(&crc([checked, content, payload]).to_le_bytes());
        bytes
    }
}

/// A record that was read: its head, then topic and properties, then payload or filters.
pub(crate) struct Parsed<'r> {
    pub(crate) head: Head,
    pub(crate) content: &'r [u8],
    pub(crate) payload: &'r [u8],
}

impl<'r> Parsed<'r> {
    /// Reads a record; whatever is wrong with it is told, nothing is guessed.
    pub(crate) fn read(key: Key, record: &'r [u8]) -> Result<Self, RestoreError> {
        let Some((magic, rest)) = record.split_first_chunk::<3>() else { return Err(RestoreError::Damaged) };
        if *magic != MAGIC {
            return Err(RestoreError::Foreign);
        }
        let version = rest.first().copied().ok_or(RestoreError::Damaged)?;
        if version != VERSION {
            return Err(RestoreError::Version(version));
        }
        let (bytes, behind) = record.split_first_chunk::<HEAD>().ok_or(RestoreError::Damaged)?;
        let (checked, sum) = bytes.split_at(CHECKED);
        if crc([checked, behind, &[]]).to_le_bytes() != *sum {
            return Err(RestoreError::Damaged);
        }
        let mut fields = Fields(checked.get(4..).unwrap_or_default());
        let [kind, flags] = fields.take()?;
        let kind = RecordKind::ALL.into_iter().find(|known| *known as u8 == kind);
        let head = Head {
            kind: kind.ok_or(RestoreError::Invalid)?,
            flags,
            packet_id: u16::from_le_bytes(fields.take()?),
            key: Key(u64::from_le_bytes(fields.take()?)),
            sequence: u64::from_le_bytes(fields.take()?),
            tag: u64::from_le_bytes(fields.take()?),
            client: u64::from_le_bytes(fields.take()?),
            session: u32::from_le_bytes(fields.take()?),
            topic_len: u16::from_le_bytes(fields.take()?),
            filters: u16::from_le_bytes(fields.take()?),
            properties_len: u32::from_le_bytes(fields.take()?),
            payload_len: u32::from_le_bytes(fields.take()?),
            expires: u64::from_le_bytes(fields.take()?),
            wire_expires: u64::from_le_bytes(fields.take()?),
            latest: u64::from_le_bytes(fields.take()?),
        };
        if head.key != key || head.kind.part() != key.part() {
            return Err(RestoreError::WrongKey);
        }
        let content_len = usize::from(head.topic_len).saturating_add(head.properties_len as usize);
        let (content, payload) = behind.split_at_checked(content_len).ok_or(RestoreError::Invalid)?;
        let kept = if head.flags & SOURCED == 0 { head.payload_len as usize } else { 0 };
        if payload.len() != kept {
            return Err(RestoreError::Invalid);
        }
        Ok(Self { head, content, payload })
    }
}

struct Fields<'r>(&'r [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], RestoreError> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(RestoreError::Damaged)?;
        self.0 = rest;
        Ok(*field)
    }
}

/// A record to be stored, lent by the session: write its [`chunks`](Self::chunks) one behind the other.
///
/// With the feature `alloc`, [`keep`](Self::keep) makes one that can be stored while the session goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Record<'s> {
    pub(crate) head: [u8; HEAD],
    pub(crate) content: &'s [u8],
    pub(crate) payload: &'s [u8],
    #[cfg(feature = "alloc")]
    pub(crate) shared: Option<&'s bytes::Bytes>,
}

impl<'s> Record<'s> {
    pub(crate) const fn of(head: [u8; HEAD], content: &'s [u8]) -> Self {
        Self {
            head,
            content,
            payload: &[],
            #[cfg(feature = "alloc")]
            shared: None,
        }
    }

    pub(crate) const fn of_head(head: [u8; HEAD]) -> Self {
        Self::of(head, &[])
    }

    /// The record in pieces, in order. The second and third may be empty.
    #[must_use]
    pub const fn chunks(&self) -> [&[u8]; 3] {
        [&self.head, self.content, self.payload]
    }

    /// Bytes in all.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a record is never empty")]
    pub fn len(&self) -> usize {
        HEAD.saturating_add(self.content.len()).saturating_add(self.payload.len())
    }

    /// Copies the record to the start of `buffer` and gives its length; `None`: the buffer is too short.
    pub fn copy_to(&self, buffer: &mut [u8]) -> Option<usize> {
        let mut rest = buffer.get_mut(..self.len())?;
        for chunk in self.chunks() {
            let (place, behind) = rest.split_at_mut_checked(chunk.len())?;
            place.copy_from_slice(chunk);
            rest = behind;
        }
        Some(self.len())
    }

    /// A record that no longer borrows the session, so that nobody waits for the session while it is
    /// written. A payload the session shares is not copied, the rest is: one or two allocations.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn keep(&self) -> KeptRecord {
        let mut head = Vec::with_capacity(HEAD.saturating_add(self.content.len()));
        head.extend_from_slice(&self.head);
        head.extend_from_slice(self.content);
        let payload = match self.shared {
            Some(payload) => payload.clone(),
            None => bytes::Bytes::copy_from_slice(self.payload),
        };
        KeptRecord { head: head.into(), payload }
    }
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({} bytes)", self.len())
    }
}

/// A record to be stored that borrows nothing: see [`Record::keep`].
#[cfg(feature = "alloc")]
#[derive(Clone, PartialEq, Eq)]
pub struct KeptRecord {
    head: bytes::Bytes,
    payload: bytes::Bytes,
}

#[cfg(feature = "alloc")]
impl KeptRecord {
    /// The record in pieces, in order. The second may be empty.
    #[must_use]
    pub const fn chunks(&self) -> [&bytes::Bytes; 2] {
        [&self.head, &self.payload]
    }

    /// Bytes in all.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a record is never empty")]
    pub fn len(&self) -> usize {
        self.head.len().saturating_add(self.payload.len())
    }
}

#[cfg(feature = "alloc")]
impl fmt::Debug for KeptRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeptRecord({} bytes)", self.len())
    }
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 };
            bit += 1;
        }
        #[expect(clippy::indexing_slicing, reason = "runs when it is compiled")]
        {
            table[byte] = sum;
        }
        byte += 1;
    }
    table
};

/// CRC-32 (IEEE 802.3) of the pieces, one behind the other.
pub(crate) fn crc(pieces: [&[u8]; 3]) -> u32 {
    let mut sum = u32::MAX;
    for byte in pieces.into_iter().flatten() {
        let index = (sum ^ u32::from(*byte)) & 0xFF;
        sum = sum >> 8 ^ TABLE.get(index as usize).copied().unwrap_or(0);
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc_32() {
        assert_eq!(crc([b"1234", b"", b"56789"]), 0xCBF4_3926);
    }

    #[test]
    fn a_head_reads_as_it_was_written_and_any_changed_bit_is_seen() {
        let key = Key::new(Part::Operation, 5, 9);
        let mut head = Head::new(RecordKind::Publish, key, 77, 3);
        head.flags = 2 | RETAIN;
        head.topic_len = 1;
        head.payload_len = 2;
        head.tag = u64::MAX - 1;
        head.expires = 12;
        let mut bytes = head.encode(b"t", b"xy").to_vec();
        bytes.extend_from_slice(b"txy");
        let read = Parsed::read(key, &bytes).ok().unwrap();
        assert_eq!((read.head.tag, read.head.expires, read.head.session), (u64::MAX - 1, 12, 3));
        assert_eq!((read.content, read.payload), (&b"t"[..], &b"xy"[..]));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Parsed::read(key, &bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for len in 0..bytes.len() {
            assert!(Parsed::read(key, &bytes[..len]).is_err(), "{len} bytes");
        }
        assert_eq!(Parsed::read(Key::SESSION, &bytes).err(), Some(RestoreError::WrongKey));
    }
}
