//! What every packet can do: tell its size, and write itself.

use crate::error::EncodeError;
use crate::types::Version;

pub(crate) mod sealed {
    /// Only the packets of this crate encode themselves.
    #[expect(unnameable_types, reason = "that it cannot be named outside is what seals `Encode`")]
    pub trait Sealed {}
}

/// Writing a packet. Implemented by every packet type and by [`Packet`](crate::Packet).
///
/// Before 5.0 properties and reason codes have no place in a packet and are left out, so that one and the same value
/// can be sent in any version. What the standard forbids is refused before a byte is written; so is a buffer that is
/// too small.
pub trait Encode: sealed::Sealed {
    /// The size of the whole packet in bytes.
    ///
    /// # Errors
    /// When the standard forbids to send this packet in `version`.
    fn encoded_len(&self, version: Version) -> Result<usize, EncodeError>;

    /// Writes the packet to the front of `out` and returns its size in bytes.
    ///
    /// # Errors
    /// When the standard forbids to send this packet in `version`, or `out` is too small. Nothing has been written
    /// then.
    fn encode(&self, version: Version, out: &mut [u8]) -> Result<usize, EncodeError>;
}
