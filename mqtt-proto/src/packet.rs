//! Any packet.

use crate::ack::{Puback, Pubcomp, Pubrec, Pubrel};
use crate::auth::Auth;
use crate::connack::Connack;
use crate::connect::Connect;
use crate::disconnect::Disconnect;
use crate::encode::{
    Encode,
    sealed::{KeepReason, Sealed},
};
use crate::error::{DecodeError, EncodeError};
use crate::frame;
use crate::ping::{Pingreq, Pingresp};
use crate::publish::Publish;
use crate::suback::Suback;
use crate::subscribe::Subscribe;
use crate::types::{PacketId, PacketType, Peer, Version};
use crate::unsuback::Unsuback;
use crate::unsubscribe::Unsubscribe;
use crate::wire::Reader;

macro_rules! packets {
    ($($name:ident($type:ty), $text:literal;)*) => {
        /// Any packet.
        ///
        /// ```
        /// use mqtt_proto::{Packet, Peer, Version};
        ///
        /// let frame = b"\x30\x0A\x00\x03a/bhello";
        /// match Packet::decode(frame, Version::V3_1_1, Peer::Server)? {
        ///     Packet::Publish(publish) => assert_eq!(publish.payload, b"hello"),
        ///     other => println!("{other:?}"),
        /// }
        /// # Ok::<(), mqtt_proto::DecodeError>(())
        /// ```
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub enum Packet<'a> {
            $(
                #[doc = $text]
                $name($type),
            )*
        }

        impl Packet<'_> {
            /// The type of the packet.
            #[must_use]
            pub const fn packet_type(&self) -> PacketType {
                match self {
                    $(Self::$name(_) => PacketType::$name,)*
                }
            }
        }

        impl Sealed for Packet<'_> {
            fn encode_trimmed(
                &self,
                version: Version,
                keep: KeepReason,
                max: usize,
                out: &mut [u8],
            ) -> Result<usize, EncodeError> {
                match self {
                    $(Self::$name(packet) => packet.encode_trimmed(version, keep, max, out),)*
                }
            }
        }

        impl Encode for Packet<'_> {
            #[inline]
            fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
                match self {
                    $(Self::$name(packet) => packet.encoded_len(version),)*
                }
            }

            #[inline]
            fn encode(&self, version: Version, out: &mut [u8]) -> Result<usize, EncodeError> {
                match self {
                    $(Self::$name(packet) => packet.encode(version, out),)*
                }
            }
        }

        $(
            impl<'a> From<$type> for Packet<'a> {
                fn from(packet: $type) -> Self {
                    Self::$name(packet)
                }
            }
        )*
    };
}

packets! {
    Connect(Connect<'a>), "The client asks for a connection.";
    Connack(Connack<'a>), "The server's answer to CONNECT.";
    Publish(Publish<'a>), "A message.";
    Puback(Puback<'a>), "The answer to a PUBLISH of QoS 1.";
    Pubrec(Pubrec<'a>), "The first answer to a PUBLISH of QoS 2.";
    Pubrel(Pubrel<'a>), "The answer to PUBREC.";
    Pubcomp(Pubcomp<'a>), "The answer to PUBREL.";
    Subscribe(Subscribe<'a>), "The client asks for subscriptions.";
    Suback(Suback<'a>), "The server's answer to SUBSCRIBE.";
    Unsubscribe(Unsubscribe<'a>), "The client ends subscriptions.";
    Unsuback(Unsuback<'a>), "The server's answer to UNSUBSCRIBE.";
    Pingreq(Pingreq), "The client asks for a sign of life.";
    Pingresp(Pingresp), "The server's sign of life.";
    Disconnect(Disconnect<'a>), "The sender is about to close the connection.";
    Auth(Auth<'a>), "A step of an extended authentication.";
}

impl<'a> Packet<'a> {
    /// Decodes a frame that is exactly one packet: as many bytes as [`frame_len`](crate::frame_len) told.
    ///
    /// # Errors
    /// When it is not a packet `from` may send in `version`.
    #[inline]
    pub fn decode(frame: &'a [u8], version: Version, from: Peer) -> Result<Self, DecodeError> {
        // Short acknowledgements, which are half of the packets of many a connection. U-20
        if let [first, 2, high, low] = *frame
            && let Some(id) = PacketId::new(u16::from_be_bytes([high, low]))
        {
            match first {
                0x40 => return Ok(Self::Puback(Puback::new(id))),
                0x50 => return Ok(Self::Pubrec(Pubrec::new(id))),
                0x62 => return Ok(Self::Pubrel(Pubrel::new(id))),
                0x70 => return Ok(Self::Pubcomp(Pubcomp::new(id))),
                _ => {}
            }
        }
        // The way of each frequent or large packet is straight, so that its fields are written to their places at once.
        match frame.first() {
            Some(0x30..=0x3F) => {
                if let Some((first, reader)) = frame::open_publish(frame, version) {
                    return Publish::read(first, reader, from).map(Self::Publish);
                }
            }
            Some(0x10) => return Self::decode_connect(frame, version, from),
            Some(0x82) => return Self::decode_subscribe(frame, version, from),
            _ => {}
        }
        Self::decode_other(frame, version, from)
    }

    #[inline(never)]
    fn decode_connect(frame: &'a [u8], version: Version, from: Peer) -> Result<Self, DecodeError> {
        match frame::open_short(frame, version) {
            Some((_, reader)) if from == Peer::Client => Connect::read(reader).map(Self::Connect),
            _ => Self::decode_other(frame, version, from),
        }
    }

    #[inline(never)]
    fn decode_subscribe(frame: &'a [u8], version: Version, from: Peer) -> Result<Self, DecodeError> {
        match frame::open_short(frame, version) {
            Some((_, reader)) if from == Peer::Client => Subscribe::read(reader).map(Self::Subscribe),
            _ => Self::decode_other(frame, version, from),
        }
    }

    #[inline(never)]
    fn decode_other(frame: &'a [u8], version: Version, from: Peer) -> Result<Self, DecodeError> {
        let (first, reader) = frame::open(frame, version)?;
        Self::read(first, reader, from)
    }

    /// Reads a packet of any type behind its fixed header.
    pub(crate) fn read(first: u8, reader: Reader<'a>, from: Peer) -> Result<Self, DecodeError> {
        let Some(packet_type) = PacketType::from_first_byte(first) else {
            return Err(DecodeError::malformed(0, "U-02"));
        };
        frame::check_direction(packet_type, from, reader.version())?;
        Ok(match packet_type {
            PacketType::Connect => Self::Connect(Connect::read(reader)?),
            PacketType::Connack => Self::Connack(Connack::read(reader)?),
            PacketType::Publish => Self::Publish(Publish::read(first, reader, from)?),
            PacketType::Puback => Self::Puback(Puback::read(reader, from)?),
            PacketType::Pubrec => Self::Pubrec(Pubrec::read(reader, from)?),
            PacketType::Pubrel => Self::Pubrel(Pubrel::read(reader, from)?),
            PacketType::Pubcomp => Self::Pubcomp(Pubcomp::read(reader, from)?),
            PacketType::Subscribe => Self::Subscribe(Subscribe::read(reader)?),
            PacketType::Suback => Self::Suback(Suback::read(reader)?),
            PacketType::Unsubscribe => Self::Unsubscribe(Unsubscribe::read(reader)?),
            PacketType::Unsuback => Self::Unsuback(Unsuback::read(reader)?),
            PacketType::Pingreq => Self::Pingreq(Pingreq::read(reader)?),
            PacketType::Pingresp => Self::Pingresp(Pingresp::read(reader)?),
            PacketType::Disconnect => Self::Disconnect(Disconnect::read(reader, from)?),
            PacketType::Auth => Self::Auth(Auth::read(reader, from)?),
        })
    }
}
