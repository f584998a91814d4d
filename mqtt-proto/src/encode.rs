//! What every packet can do: tell its size, and write itself.

use crate::error::EncodeError;
use crate::types::Version;

pub(crate) mod sealed {
    use crate::error::EncodeError;
    use crate::types::Version;

    /// Only the packets of this crate encode themselves.
    #[expect(unnameable_types, reason = "that it cannot be named outside is what seals `Encode`")]
    pub trait Sealed {
        /// Writes the packet without what only explains it, if it has such a thing.
        #[doc(hidden)]
        fn encode_trimmed(
            &self,
            _: Version,
            _: KeepReason,
            _: usize,
            _: &mut [u8],
        ) -> Result<usize, EncodeError> {
            Err(EncodeError::PacketTooLong)
        }
    }

    /// Whether the Reason String stays; the User Properties go.
    #[derive(Clone, Copy, PartialEq, Eq)]
    #[expect(unnameable_types, reason = "it is a part of the sealed trait")]
    pub enum KeepReason {
        /// It stays.
        Yes,
        /// It goes too.
        No,
    }
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

    /// Writes the packet if it is at most `max` bytes long: the Maximum Packet Size the peer announced.
    ///
    /// From a packet that answers or ends something (CONNACK, the four acknowledgements, SUBACK, UNSUBACK, DISCONNECT,
    /// AUTH) the User Properties and then the Reason String are left out when it would be too long with them.
    /// `[MQTT-3.4.2-2]`, `[MQTT-3.4.2-3]` and alike
    ///
    /// ```
    /// use mqtt_proto::{Encode, EncodeError, PacketId, Properties, Property, Puback, ReasonCode, Version};
    ///
    /// let why = [Property::ReasonString("the disk is full")];
    /// let id = PacketId::new(1).unwrap();
    /// let puback = Puback::with(id, ReasonCode::QuotaExceeded, Properties::List(&why));
    /// let mut buffer = [0; 64];
    /// assert_eq!(puback.encode_within(Version::V5, 64, &mut buffer), Ok(25));
    /// assert_eq!(puback.encode_within(Version::V5, 16, &mut buffer), Ok(5));
    /// assert_eq!(puback.encode_within(Version::V5, 4, &mut buffer), Err(EncodeError::OverLimit { needed: 25 }));
    /// ```
    ///
    /// # Errors
    /// [`EncodeError::OverLimit`] when it is too long for the peer; otherwise as for [`encode`](Self::encode).
    fn encode_within(&self, version: Version, max: usize, out: &mut [u8]) -> Result<usize, EncodeError> {
        let needed = self.encoded_len(version)?;
        if needed <= max {
            return self.encode(version, out);
        }
        for keep in [sealed::KeepReason::Yes, sealed::KeepReason::No] {
            match self.encode_trimmed(version, keep, max, out) {
                Err(EncodeError::OverLimit { .. } | EncodeError::PacketTooLong) => {}
                done => return done,
            }
        }
        Err(EncodeError::OverLimit { needed })
    }
}

/// Lets a packet be written without what only explains it.
macro_rules! trim {
    ($packet:ty) => {
        fn encode_trimmed(
            &self,
            version: $crate::types::Version,
            keep: $crate::encode::sealed::KeepReason,
            max: usize,
            out: &mut [u8],
        ) -> Result<usize, $crate::error::EncodeError> {
            let mut list = $crate::properties::TRIMMED;
            let mut smaller: $packet = *self;
            smaller.properties = self.properties.trimmed(keep, &mut list);
            let needed = smaller.encoded_len(version)?;
            if needed > max {
                return Err($crate::error::EncodeError::OverLimit { needed });
            }
            smaller.encode(version, out)
        }
    };
}

pub(crate) use trim;
