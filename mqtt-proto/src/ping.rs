//! PINGREQ and PINGRESP.

use crate::encode::{Encode, sealed::Sealed};
use crate::error::{DecodeError, EncodeError};
use crate::frame;
use crate::types::{PacketType, Peer, Version};
use crate::wire::Reader;

macro_rules! ping {
    ($(#[$doc:meta])* $name:ident $first:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
        pub struct $name;

        impl $name {
            /// Decodes a frame that is exactly one such packet.
            ///
            /// # Errors
            /// When it is anything else, or `from` may not send it.
            pub fn decode(frame: &[u8], version: Version, from: Peer) -> Result<Self, DecodeError> {
                let (_, reader) = frame::open_as(frame, PacketType::$name, version, from)?;
                Self::read(reader)
            }

            #[inline(always)]
            pub(crate) const fn read(reader: Reader<'_>) -> Result<Self, DecodeError> {
                match reader.finish() {
                    Ok(()) => Ok(Self),
                    Err(why) => Err(why),
                }
            }
        }

        impl Sealed for $name {}

        impl Encode for $name {
            fn encoded_len(&self, _: Version) -> Result<usize, EncodeError> {
                Ok(2)
            }

            fn encode(&self, _: Version, out: &mut [u8]) -> Result<usize, EncodeError> {
                let Some(out) = out.first_chunk_mut::<2>() else {
                    return Err(EncodeError::BufferTooSmall { needed: 2 });
                };
                *out = [$first, 0];
                Ok(2)
            }
        }
    };
}

ping! {
    /// The client asks for a sign of life.
    ///
    /// ```
    /// use mqtt_proto::{Encode, Pingreq, Version};
    ///
    /// let mut buffer = [0; 2];
    /// Pingreq.encode(Version::V5, &mut buffer)?;
    /// assert_eq!(buffer, [0xC0, 0x00]);
    /// # Ok::<(), mqtt_proto::EncodeError>(())
    /// ```
    Pingreq 0xC0
}

ping! {
    /// The server's sign of life.
    ///
    /// ```
    /// use mqtt_proto::{Peer, Pingresp, Version};
    ///
    /// assert_eq!(Pingresp::decode(&[0xD0, 0x00], Version::V5, Peer::Server), Ok(Pingresp));
    /// assert!(Pingresp::decode(&[0xD0, 0x01, 0x00], Version::V5, Peer::Server).is_err());
    /// ```
    Pingresp 0xD0
}
