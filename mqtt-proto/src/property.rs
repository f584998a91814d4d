//! One property: what it is called, of which type it is, which packets may carry it and how often.

use core::fmt;

use crate::error::{DecodeError, EncodeError};
use crate::topic::TopicName;
use crate::types::{PacketType, Peer, Qos};
use crate::wire::{Checked, MAX_VARINT, Reader, Text, Writer, binary_len, string_len, varint_len};

/// Where properties stand: each packet type that has them, and the will inside CONNECT.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum PropertyPlace {
    /// CONNECT.
    Connect,
    /// The will message in CONNECT.
    Will,
    /// CONNACK.
    Connack,
    /// PUBLISH.
    Publish,
    /// PUBACK.
    Puback,
    /// PUBREC.
    Pubrec,
    /// PUBREL.
    Pubrel,
    /// PUBCOMP.
    Pubcomp,
    /// SUBSCRIBE.
    Subscribe,
    /// SUBACK.
    Suback,
    /// UNSUBSCRIBE.
    Unsubscribe,
    /// UNSUBACK.
    Unsuback,
    /// DISCONNECT.
    Disconnect,
    /// AUTH.
    Auth,
}

impl PropertyPlace {
    /// Every place.
    pub const ALL: &'static [Self] = &[
        Self::Connect,
        Self::Will,
        Self::Connack,
        Self::Publish,
        Self::Puback,
        Self::Pubrec,
        Self::Pubrel,
        Self::Pubcomp,
        Self::Subscribe,
        Self::Suback,
        Self::Unsubscribe,
        Self::Unsuback,
        Self::Disconnect,
        Self::Auth,
    ];

    /// The packet type; for the will, CONNECT.
    #[must_use]
    pub const fn packet_type(self) -> PacketType {
        match self {
            Self::Connect | Self::Will => PacketType::Connect,
            Self::Connack => PacketType::Connack,
            Self::Publish => PacketType::Publish,
            Self::Puback => PacketType::Puback,
            Self::Pubrec => PacketType::Pubrec,
            Self::Pubrel => PacketType::Pubrel,
            Self::Pubcomp => PacketType::Pubcomp,
            Self::Subscribe => PacketType::Subscribe,
            Self::Suback => PacketType::Suback,
            Self::Unsubscribe => PacketType::Unsubscribe,
            Self::Unsuback => PacketType::Unsuback,
            Self::Disconnect => PacketType::Disconnect,
            Self::Auth => PacketType::Auth,
        }
    }

    pub(crate) const fn bit(self) -> u16 {
        1 << self as u8
    }
}

/// What the standard says about a property: its type on the wire, its places.
#[derive(Clone, Copy)]
pub(crate) struct Spec {
    pub(crate) kind: Kind,
    /// One bit for each [`PropertyPlace`]; none for a number that is no property.
    pub(crate) places: u16,
}

/// The data type on the wire, and the values allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A byte, 0 or 1.
    Flag,
    /// A byte, 0 or 1: Maximum QoS.
    MaxQos,
    U16,
    /// Two bytes, not 0.
    NonZeroU16,
    U32,
    /// Four bytes, not 0.
    NonZeroU32,
    /// A variable byte integer, not 0.
    Varint,
    Str,
    /// A string that is a topic name.
    Topic,
    Bytes,
    Pair,
}

/// A value as it stands on the wire. Its texts are `&str`, or [`Checked`] when only their being right matters.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a, T> {
    Flag(bool),
    MaxQos(Qos),
    U16(u16),
    NonZeroU16(u16),
    U32(u32),
    NonZeroU32(u32),
    Varint(u32),
    Str(T),
    Topic(T),
    Bytes(&'a [u8]),
    Pair(T, T),
}

macro_rules! properties {
    ($($(#[$doc:meta])* $code:literal $name:ident $getter:ident $text:literal: $kind:ident($type:ty) in $($place:ident)*;)*) => {
        /// The number of a property.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum PropertyId {
            $(
                #[doc = concat!($text, ".")]
                $name = $code,
            )*
            /// User Property.
            UserProperty = 0x26,
        }

        impl PropertyId {
            /// Every property of the standard, User Property last.
            pub const ALL: &'static [Self] = &[$(Self::$name,)* Self::UserProperty];

            /// The property with this number; `None` for a number the standard does not define.
            #[must_use]
            pub const fn from_u8(id: u8) -> Option<Self> {
                match id {
                    $($code => Some(Self::$name),)*
                    0x26 => Some(Self::UserProperty),
                    _ => None,
                }
            }

            /// The name the standard gives it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::UserProperty => "User Property",
                }
            }

            #[inline(always)]
            pub(crate) const fn spec(self) -> Spec {
                match self {
                    $(Self::$name => Spec { kind: Kind::$kind, places: 0 $(| PropertyPlace::$place.bit())* },)*
                    Self::UserProperty => Spec { kind: Kind::Pair, places: 0x3FFF },
                }
            }
        }

        /// A property with its value.
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Property<'a> {
            $(
                $(#[$doc])*
                $name($type),
            )*
            /// A name and a value of the application's own. May appear many times; the order is kept.
            UserProperty(&'a str, &'a str),
        }

        impl<'a> Property<'a> {
            /// Which property it is.
            #[must_use]
            #[inline]
            pub const fn id(&self) -> PropertyId {
                match self {
                    $(Self::$name(_) => PropertyId::$name,)*
                    Self::UserProperty(..) => PropertyId::UserProperty,
                }
            }

            #[inline(always)]
            pub(crate) const fn value(&self) -> Value<'a, &'a str> {
                match *self {
                    $(Self::$name(value) => Value::$kind(value),)*
                    Self::UserProperty(name, value) => Value::Pair(name, value),
                }
            }

            /// Checks the value of the property `id` and moves past it.
            #[inline(always)]
            pub(crate) fn check_encoded(id: PropertyId, reader: &mut Reader<'a>) -> Result<(), DecodeError> {
                Value::<Checked>::read(id, reader).map(drop)
            }

            /// Reads the value of the property `id`.
            #[inline(always)]
            pub(crate) fn read(id: PropertyId, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                Ok(match (id, Value::read(id, reader)?) {
                    $((PropertyId::$name, Value::$kind(value)) => Self::$name(value),)*
                    (_, Value::Pair(name, value)) => Self::UserProperty(name, value),
                    // A value is read by the kind of its property, so no other pair comes up.
                    _ => return Err(DecodeError::malformed(reader.at(), "U-07")),
                })
            }
        }

        /// Typed access by name. Each looks for the first property of that name and takes time linear in the number
        /// of properties; nothing is allocated.
        impl<'a> crate::properties::Properties<'a> {
            $(
                #[doc = concat!("The value of ", $text, ", if it is there.")]
                #[must_use]
                pub fn $getter(&self) -> Option<$type> {
                    match self.find(PropertyId::$name) {
                        Some(Property::$name(value)) => Some(value),
                        _ => None,
                    }
                }
            )*
        }
    };
}

properties! {
    /// Whether the payload is UTF-8 text (`true`) or unspecified bytes.
    0x01 PayloadFormatIndicator payload_format_indicator "Payload Format Indicator": Flag(bool) in Publish Will;
    /// Lifetime of the message, in seconds.
    0x02 MessageExpiryInterval message_expiry_interval "Message Expiry Interval": U32(u32) in Publish Will;
    /// What the payload is, for instance a MIME type.
    0x03 ContentType content_type "Content Type": Str(&'a str) in Publish Will;
    /// The topic name an answer should be published to.
    0x08 ResponseTopic response_topic "Response Topic": Topic(&'a str) in Publish Will;
    /// Tells the requester which request an answer belongs to.
    0x09 CorrelationData correlation_data "Correlation Data": Bytes(&'a [u8]) in Publish Will;
    /// A number of the subscriber's own, 1 to 268,435,455. A PUBLISH from a server may carry several.
    0x0B SubscriptionIdentifier subscription_identifier "Subscription Identifier": Varint(u32) in Publish Subscribe;
    /// How long the session outlives the connection, in seconds; 0xFFFF_FFFF: for ever.
    0x11 SessionExpiryInterval session_expiry_interval "Session Expiry Interval": U32(u32) in Connect Connack Disconnect;
    /// The client identifier the server chose.
    0x12 AssignedClientIdentifier assigned_client_identifier "Assigned Client Identifier": Str(&'a str) in Connack;
    /// The keep-alive the server demands instead of the one offered, in seconds.
    0x13 ServerKeepAlive server_keep_alive "Server Keep Alive": U16(u16) in Connack;
    /// Name of the extended authentication.
    0x15 AuthenticationMethod authentication_method "Authentication Method": Str(&'a str) in Connect Connack Auth;
    /// A step of the extended authentication. `Debug` prints its length only.
    0x16 AuthenticationData authentication_data "Authentication Data": Bytes(&'a [u8]) in Connect Connack Auth;
    /// Whether the server may send reason strings and user properties with failures.
    0x17 RequestProblemInformation request_problem_information "Request Problem Information": Flag(bool) in Connect;
    /// How long the server holds the will back, in seconds.
    0x18 WillDelayInterval will_delay_interval "Will Delay Interval": U32(u32) in Will;
    /// Whether the server should send Response Information.
    0x19 RequestResponseInformation request_response_information "Request Response Information": Flag(bool) in Connect;
    /// A basis for response topics.
    0x1A ResponseInformation response_information "Response Information": Str(&'a str) in Connack;
    /// Another server the client should use.
    0x1C ServerReference server_reference "Server Reference": Str(&'a str) in Connack Disconnect;
    /// Words for a human about the reason code.
    0x1F ReasonString reason_string "Reason String": Str(&'a str)
        in Connack Puback Pubrec Pubrel Pubcomp Suback Unsuback Disconnect Auth;
    /// How many QoS 1 and 2 messages the sender of this takes at once; not 0.
    0x21 ReceiveMaximum receive_maximum "Receive Maximum": NonZeroU16(u16) in Connect Connack;
    /// The highest topic alias the sender of this takes; 0: none.
    0x22 TopicAliasMaximum topic_alias_maximum "Topic Alias Maximum": U16(u16) in Connect Connack;
    /// A number for the topic name on this connection; not 0.
    0x23 TopicAlias topic_alias "Topic Alias": NonZeroU16(u16) in Publish;
    /// The highest QoS the server takes: 0 or 1. A server that takes QoS 2 leaves it out.
    0x24 MaximumQos maximum_qos "Maximum QoS": MaxQos(Qos) in Connack;
    /// Whether the server keeps retained messages.
    0x25 RetainAvailable retain_available "Retain Available": Flag(bool) in Connack;
    /// The largest packet the sender of this takes, in bytes; not 0.
    0x27 MaximumPacketSize maximum_packet_size "Maximum Packet Size": NonZeroU32(u32) in Connect Connack;
    /// Whether the server takes filters with wildcards.
    0x28 WildcardSubscriptionAvailable wildcard_subscription_available "Wildcard Subscription Available": Flag(bool) in Connack;
    /// Whether the server takes Subscription Identifiers.
    0x29 SubscriptionIdentifiersAvailable subscription_identifiers_available "Subscription Identifiers Available": Flag(bool) in Connack;
    /// Whether the server takes shared subscriptions.
    0x2A SharedSubscriptionAvailable shared_subscription_available "Shared Subscription Available": Flag(bool) in Connack;
}

impl PropertyId {
    /// Whether properties of this name may stand at `place`, sent by `from`.
    #[must_use]
    pub const fn allowed_in(self, place: PropertyPlace, from: Peer) -> bool {
        if self.spec().places & place.bit() == 0 {
            return false;
        }
        !matches!(
            (self, place, from),
            // [MQTT-3.3.4-6]
            (Self::SubscriptionIdentifier, PropertyPlace::Publish, Peer::Client)
            // [MQTT-3.14.2-2]
            | (Self::SessionExpiryInterval, PropertyPlace::Disconnect, Peer::Server)
            | (Self::ServerReference, PropertyPlace::Disconnect, Peer::Client)
        )
    }

    /// Whether properties of this name may stand at `place` more than once. U-08
    #[must_use]
    pub const fn repeats_in(self, place: PropertyPlace) -> bool {
        match self {
            Self::UserProperty => true,
            Self::SubscriptionIdentifier => matches!(place, PropertyPlace::Publish),
            _ => false,
        }
    }

    /// One bit of its own for each property.
    #[inline(always)]
    pub(crate) const fn bit(self) -> u64 {
        1 << self as u8
    }
}

impl fmt::Display for PropertyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The rule a forbidden value breaks.
#[cold]
#[inline(never)]
const fn bad_value(id: PropertyId, at: u32) -> DecodeError {
    let rule = match id {
        PropertyId::ReceiveMaximum => "U-09",
        PropertyId::MaximumPacketSize => "U-10",
        PropertyId::MaximumQos => "U-11",
        PropertyId::PayloadFormatIndicator => "U-13",
        PropertyId::SubscriptionIdentifier => "U-14",
        PropertyId::TopicAlias => "MQTT-3.3.2-8",
        _ => "U-12",
    };
    DecodeError::protocol(at, rule)
}

/// A wildcard breaks another rule here than in the topic of the message.
#[cold]
#[inline(never)]
fn bad_response_topic(mut why: DecodeError) -> DecodeError {
    if why.rule == "MQTT-3.3.2-2" {
        why.rule = "MQTT-3.3.2-14"; // [MQTT-3.3.2-14]
    }
    why
}

impl<'a, T: Text<'a>> Value<'a, T> {
    #[inline(always)]
    fn read(id: PropertyId, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let at = reader.at();
        Ok(match id.spec().kind {
            Kind::Flag => match reader.u8()? {
                0 => Self::Flag(false),
                1 => Self::Flag(true),
                _ => return Err(bad_value(id, at)),
            },
            Kind::MaxQos => match reader.u8()? {
                0 => Self::MaxQos(Qos::AtMostOnce),
                1 => Self::MaxQos(Qos::AtLeastOnce),
                _ => return Err(bad_value(id, at)),
            },
            Kind::U16 => Self::U16(reader.u16()?),
            Kind::NonZeroU16 => match reader.u16()? {
                0 => return Err(bad_value(id, at)),
                value => Self::NonZeroU16(value),
            },
            Kind::U32 => Self::U32(reader.u32()?),
            Kind::NonZeroU32 => match reader.u32()? {
                0 => return Err(bad_value(id, at)),
                value => Self::NonZeroU32(value),
            },
            Kind::Varint => match reader.varint()? {
                0 => return Err(bad_value(id, at)),
                value => Self::Varint(value),
            },
            Kind::Str => Self::Str(reader.string()?),
            Kind::Topic => match reader.topic() {
                Ok(name) => Self::Topic(name),
                Err(why) => return Err(bad_response_topic(why)),
            },
            Kind::Bytes => Self::Bytes(reader.binary()?),
            // [MQTT-1.5.7-1]
            Kind::Pair => Self::Pair(reader.string()?, reader.string()?),
        })
    }
}

impl PropertyId {
    /// Moves past the value without looking into it. `None` when it runs past the end.
    pub(crate) fn skip(self, reader: &mut Reader<'_>) -> Option<()> {
        let len = match self.spec().kind {
            Kind::Flag | Kind::MaxQos => 1,
            Kind::U16 | Kind::NonZeroU16 => 2,
            Kind::U32 | Kind::NonZeroU32 => 4,
            Kind::Varint => return reader.varint().ok().map(drop),
            Kind::Str | Kind::Topic | Kind::Bytes => return reader.binary().ok().map(drop),
            Kind::Pair => {
                reader.binary().ok()?;
                return reader.binary().ok().map(drop);
            }
        };
        reader.take(len).ok().map(drop)
    }
}

impl<'a> Value<'a, &'a str> {
    /// Bytes on the wire without the number; unchecked.
    #[inline(always)]
    const fn len(&self) -> usize {
        match self {
            Self::Flag(_) | Self::MaxQos(_) => 1,
            Self::U16(_) | Self::NonZeroU16(_) => 2,
            Self::U32(_) | Self::NonZeroU32(_) => 4,
            Self::Varint(value) => varint_len(*value as usize),
            Self::Str(text) | Self::Topic(text) => text.len().saturating_add(2),
            Self::Bytes(bytes) => bytes.len().saturating_add(2),
            Self::Pair(name, value) => name.len().saturating_add(value.len()).saturating_add(4),
        }
    }

    /// Bytes on the wire without the number. Refuses what the standard does not let be sent.
    #[inline(always)]
    fn checked_len(&self, id: PropertyId) -> Result<usize, EncodeError> {
        let fine = match self {
            Self::Str(text) => return string_len(text),
            Self::Bytes(bytes) => return binary_len(bytes),
            // [MQTT-1.5.7-1]
            Self::Pair(name, value) => return Ok(string_len(name)?.wrapping_add(string_len(value)?)),
            Self::Topic(text) => TopicName::new(text).map(|_| true)?, // [MQTT-3.3.2-14]
            Self::MaxQos(qos) => *qos != Qos::ExactlyOnce,            // U-11
            Self::NonZeroU16(value) => *value != 0,                   // U-09, [MQTT-3.3.2-8]
            Self::NonZeroU32(value) => *value != 0,                   // U-10
            Self::Varint(value) => matches!(value, 1..=MAX_VARINT),   // U-14
            Self::Flag(_) | Self::U16(_) | Self::U32(_) => true,
        };
        if fine { Ok(self.len()) } else { Err(EncodeError::InvalidProperty(id)) }
    }

    /// Writes the number of the property, and the value.
    #[inline(always)]
    fn write(&self, id: u8, writer: &mut Writer<'_>) -> Option<()> {
        let (first, second) = match *self {
            Self::Flag(flag) => return writer.array([id, u8::from(flag)]),
            Self::MaxQos(qos) => return writer.array([id, qos as u8]),
            Self::U16(value) | Self::NonZeroU16(value) => {
                let [a, b] = value.to_be_bytes();
                return writer.array([id, a, b]);
            }
            Self::U32(value) | Self::NonZeroU32(value) => {
                let [a, b, c, d] = value.to_be_bytes();
                return writer.array([id, a, b, c, d]);
            }
            Self::Varint(value) => {
                writer.u8(id)?;
                return writer.varint(value as usize);
            }
            Self::Str(text) | Self::Topic(text) => (text.as_bytes(), None),
            Self::Bytes(bytes) => (bytes, None),
            Self::Pair(name, value) => (name.as_bytes(), Some(value.as_bytes())),
        };
        writer.tagged(id, first)?;
        match second {
            Some(second) => writer.binary(second),
            None => Some(()),
        }
    }
}

impl Property<'_> {
    /// Bytes on the wire, with the number of the property.
    #[must_use]
    #[inline]
    pub const fn encoded_len(&self) -> usize {
        self.value().len().saturating_add(1)
    }

    /// Writes the property, with its number, to the front of `out`, and returns how many bytes that took.
    ///
    /// # Errors
    /// When the value is one the standard forbids, a string is too long or holds U+0000, or `out` is too small.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let needed = self.checked_len()?;
        let Some(out) = out.get_mut(..needed) else {
            return Err(EncodeError::BufferTooSmall { needed });
        };
        self.write(&mut Writer::new(out)).ok_or(EncodeError::BufferTooSmall { needed })?;
        Ok(needed)
    }

    /// As [`encoded_len`](Self::encoded_len), but refuses what the standard does not let be sent.
    #[inline(always)]
    pub(crate) fn checked_len(&self) -> Result<usize, EncodeError> {
        Ok(self.value().checked_len(self.id())?.wrapping_add(1))
    }

    #[inline(always)]
    pub(crate) fn write(&self, writer: &mut Writer<'_>) -> Option<()> {
        self.value().write(self.id() as u8, writer)
    }
}

/// Authentication data may be a secret: only its length is printed.
impl fmt::Debug for Property<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}(", self.id())?;
        match self.value() {
            Value::Bytes(bytes) if self.id() == PropertyId::AuthenticationData => {
                write!(f, "{} bytes", bytes.len())?
            }
            Value::Flag(flag) => write!(f, "{flag}")?,
            Value::MaxQos(qos) => write!(f, "{qos:?}")?,
            Value::U16(value) | Value::NonZeroU16(value) => write!(f, "{value}")?,
            Value::U32(value) | Value::NonZeroU32(value) | Value::Varint(value) => write!(f, "{value}")?,
            Value::Str(text) | Value::Topic(text) => write!(f, "{text:?}")?,
            Value::Bytes(bytes) => write!(f, "{bytes:?}")?,
            Value::Pair(name, value) => write!(f, "{name:?}, {value:?}")?,
        }
        f.write_str(")")
    }
}
