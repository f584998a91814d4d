//! MQTT 3.1, 3.1.1 and 5.0 on the wire: every packet, decoded and encoded, in both directions.
//!
//! For clients, brokers, capture tools and fuzzers. Everything is borrowed: a decoded packet points into the frame it
//! came from, an encoded one is written into a buffer of the caller's. There is no allocation, no dependency, no
//! `unsafe`, and no input that panics.
//!
//! * **Version is a value.** There is one type per packet; 3.1 and 3.1.1 are 5.0 without properties and with other
//!   codes.
//! * **Strict.** What the standards forbid is refused, with the byte, the statement and the reason code; both when it
//!   arrives and when it is about to be sent.
//! * **Lazy where it can be.** Properties, filters and codes of a received packet are checked once and stay encoded;
//!   iterating them cannot fail.
//!
//! The way of a byte stream through the crate: [`frame_len`] finds the end of the first packet, [`Packet::decode`]
//! takes it apart, [`Encode::encode`] writes the answer.
//!
//! ```
//! use mqtt_proto::{Encode, Packet, Peer, Puback, Version, frame_len};
//!
//! let mut answers = [0; 256];
//! let mut answered = 0;
//! // What a server has sent so far: a PUBLISH of QoS 1, and the beginning of another packet.
//! let mut input: &[u8] = b"\x32\x0C\x00\x03a/b\x00\x07hello\x30\x80";
//! while let Some(len) = frame_len(input, 1024 * 1024)? {
//!     let (frame, rest) = input.split_at(len);
//!     input = rest;
//!     match Packet::decode(frame, Version::V3_1_1, Peer::Server)? {
//!         Packet::Publish(publish) => {
//!             println!("{:?}: {} bytes", publish.topic, publish.payload.len());
//!             if let Some(id) = publish.packet_id {
//!                 answered += Puback::new(id).encode(Version::V3_1_1, &mut answers[answered..])?;
//!             }
//!         }
//!         other => println!("{other:?}"),
//!     }
//! }
//! assert_eq!(answers[..answered], [0x40, 0x02, 0x00, 0x07]);
//! assert_eq!(input, [0x30, 0x80]); // kept until more has arrived
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A PUBLISH need not arrive as a whole: see [`PublishHead`] and [`Publish::encode_head`].
//!
//! Rules are cited by their numbers: `MQTT-3.3.2-2` in the standards, `U-09` in the project's list of rules the
//! standards state without a number.

#![no_std]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unreachable
    )
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod encode;
mod error;
mod frame;
mod packet;
mod padded;
mod ping;
mod properties;
mod property;
mod publish;
mod reason;
#[cfg(feature = "alloc")]
mod router;
mod stored;
mod suback;
mod subscribe;
mod text;
mod topic;
mod types;
mod unsuback;
mod unsubscribe;
mod wire;

pub use ack::{
    Ack, AckKind, Puback, PubackKind, Pubcomp, PubcompKind, Pubrec, PubrecKind, Pubrel, PubrelKind, short_ack,
};
pub use auth::Auth;
pub use connack::Connack;
pub use connect::{Connect, Will};
pub use disconnect::Disconnect;
pub use encode::Encode;
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use frame::{announced_len, frame_len};
pub use packet::Packet;
pub use padded::{PaddedLength, frame_len_with};
pub use ping::{Pingreq, Pingresp};
pub use properties::{EncodedProperties, Properties, PropertyIter};
pub use property::{Property, PropertyId, PropertyPlace};
pub use publish::{Publish, PublishHead};
pub use reason::{ReasonCode, UnknownReasonCode};
#[cfg(feature = "alloc")]
pub use router::{Matches, Router};
pub use stored::StoredPublish;
pub use suback::{ReasonCodeIter, ReasonCodes, Suback};
pub use subscribe::{
    RetainHandling, Subscribe, Subscription, SubscriptionIter, SubscriptionOptions, Subscriptions,
};
pub use topic::{MAX_TOPIC_LEN, TopicError, TopicFilter, TopicName};
pub use types::{InvalidQos, PacketId, PacketType, Peer, Qos, Version};
pub use unsuback::Unsuback;
pub use unsubscribe::{TopicFilterIter, TopicFilters, Unsubscribe};
