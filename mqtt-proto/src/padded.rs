//! Remaining lengths of more bytes than they need, which 3.1 and 3.1.1 do not forbid in so many words.

use crate::error::DecodeError;
use crate::frame::{self, Header};
use crate::packet::Packet;
use crate::types::{Peer, Version};

/// What to do with a remaining length that is written with more bytes than it needs (`80 00` for 0), in 3.1 and 3.1.1.
///
/// 5.0 forbids it by `[MQTT-1.5.5-1]`. The older standards say how a length is written and not that another way is wrong,
/// so nobody is sure to read it the same: this crate refuses it in every version. This is the one switch for those who
/// must read what such a peer sends, or show it; [`frame_len_with`] and [`Packet::decode_with`] take it. In 5.0, and for
/// the lengths inside a packet, it changes nothing.
///
/// ```
/// use mqtt_proto::{Packet, PaddedLength, Peer, Pingresp, Version, frame_len, frame_len_with};
///
/// let input = [0xD0, 0x80, 0x00]; // a PINGRESP with a length of two bytes
/// assert!(frame_len(&input, 1024).is_err());
/// assert_eq!(frame_len_with(&input, 1024, PaddedLength::Accept), Ok(Some(3)));
/// let packet = Packet::decode_with(&input, Version::V3_1_1, Peer::Server, PaddedLength::Accept)?;
/// assert_eq!(packet, Packet::Pingresp(Pingresp));
/// # Ok::<(), mqtt_proto::DecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum PaddedLength {
    /// It is malformed, as it is in 5.0. The default, and what every other function of this crate does.
    #[default]
    Refuse,
    /// It is read as the number it stands for. Four bytes are still the most it may have.
    Accept,
}

/// The same as [`frame_len`](crate::frame_len), with a say in what a padded length is.
///
/// A frame of 5.0 that is found by this is refused when it is decoded.
///
/// # Errors
/// As for [`frame_len`](crate::frame_len).
pub fn frame_len_with(input: &[u8], max: usize, padded: PaddedLength) -> Result<Option<usize>, DecodeError> {
    let header = match padded {
        PaddedLength::Refuse => Header::read(input)?,
        PaddedLength::Accept => Header::read_padded(input)?,
    };
    let Some(header) = header else {
        return Ok(None);
    };
    Ok(Some(header.limited(max)?).filter(|len| input.len() >= *len))
}

impl<'a> Packet<'a> {
    /// The same as [`decode`](Self::decode), with a say in what a padded length is.
    ///
    /// # Errors
    /// When it is not a packet `from` may send in `version`.
    pub fn decode_with(
        frame: &'a [u8],
        version: Version,
        from: Peer,
        padded: PaddedLength,
    ) -> Result<Self, DecodeError> {
        if padded == PaddedLength::Refuse || version == Version::V5 {
            return Self::decode(frame, version, from);
        }
        let (first, reader) = frame::open_from(Header::read_padded(frame)?, frame, version)?;
        match Self::read(first, reader, from)? {
            // Which version it is written in, CONNECT says itself.
            Self::Connect(connect) if connect.version == Version::V5 => Self::decode(frame, version, from),
            packet => Ok(packet),
        }
    }
}
