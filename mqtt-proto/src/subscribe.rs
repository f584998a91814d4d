//! SUBSCRIBE: the client asks for subscriptions.

use core::fmt;

use crate::encode::{Encode, sealed::Sealed};
use crate::error::{DecodeError, EncodeError};
use crate::frame;
use crate::properties::{Properties, section_len};
use crate::property::PropertyPlace;
use crate::topic::TopicFilter;
use crate::types::{PacketId, PacketType, Peer, Qos, Version};
use crate::wire::{Reader, Writer, packet_len, write_packet};

/// The client asks for subscriptions.
///
/// ```
/// use mqtt_proto::{
///     Encode, PacketId, Peer, Properties, Qos, Subscribe, Subscription, SubscriptionOptions, TopicFilter, Version,
/// };
///
/// let filters = [
///     Subscription { filter: TopicFilter::new("news/#")?, options: SubscriptionOptions::new(Qos::AtLeastOnce) },
///     Subscription { filter: TopicFilter::new("+/alarm")?, options: SubscriptionOptions::new(Qos::ExactlyOnce) },
/// ];
/// let subscribe = Subscribe {
///     packet_id: PacketId::new(1).unwrap(),
///     properties: Properties::EMPTY,
///     filters: filters[..].into(),
/// };
/// let mut buffer = [0; 64];
/// let len = subscribe.encode(Version::V5, &mut buffer)?;
/// let received = Subscribe::decode(&buffer[..len], Version::V5, Peer::Client)?;
/// assert_eq!(received.filters.iter().map(|s| s.filter.as_str()).collect::<Vec<_>>(), ["news/#", "+/alarm"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subscribe<'a> {
    /// The identifier SUBACK will answer with.
    pub packet_id: PacketId,
    /// Properties; not sent before 5.0.
    pub properties: Properties<'a>,
    /// What is asked for: at least one. `[MQTT-3.8.3-2]`
    pub filters: Subscriptions<'a>,
}

/// One filter of a SUBSCRIBE, with its options.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subscription<'a> {
    /// Which topics.
    pub filter: TopicFilter<'a>,
    /// How.
    pub options: SubscriptionOptions,
}

/// How the messages of a subscription are to be sent. Before 5.0 there is only the QoS; the others are not written
/// then. The default is QoS 0 and what a server of 3.1.1 does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct SubscriptionOptions {
    /// The highest quality of service wanted.
    pub qos: Qos,
    /// Leave out what this client published itself. Not on a shared subscription. `[MQTT-3.8.3-4]`
    pub no_local: bool,
    /// Keep the RETAIN flag as the publisher set it.
    pub retain_as_published: bool,
    /// What to do with retained messages when the subscription is made.
    pub retain_handling: RetainHandling,
}

/// What a server does with retained messages when a subscription is made. The default is [`RetainHandling::Send`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum RetainHandling {
    /// Send them.
    #[default]
    Send = 0,
    /// Send them if the subscription did not exist before.
    SendIfNew = 1,
    /// Do not send them.
    DoNotSend = 2,
}

impl SubscriptionOptions {
    /// The default with another quality of service.
    #[must_use]
    pub const fn new(qos: Qos) -> Self {
        Self { qos, no_local: false, retain_as_published: false, retain_handling: RetainHandling::Send }
    }

    /// The options a byte of a 5.0 SUBSCRIBE stands for. `None`: QoS 3, Retain Handling 3 or a reserved bit.
    #[must_use]
    #[inline]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        let retain_handling = match byte >> 4 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return None, // U-22, [MQTT-3.8.3-5]
        };
        match Qos::from_u8(byte & 0b11) {
            Some(qos) => Some(Self {
                qos,
                no_local: byte & 0b0100 != 0,
                retain_as_published: byte & 0b1000 != 0,
                retain_handling,
            }),
            None => None,
        }
    }

    /// The byte that stands for them in a 5.0 SUBSCRIBE.
    #[must_use]
    #[inline]
    pub const fn to_byte(self) -> u8 {
        self.qos as u8
            | (self.no_local as u8) << 2
            | (self.retain_as_published as u8) << 3
            | (self.retain_handling as u8) << 4
    }
}

/// The subscriptions of a SUBSCRIBE: as they were received, or a list to be sent.
#[derive(Clone, Copy)]
pub struct Subscriptions<'a>(Repr<'a>);

#[derive(Clone, Copy)]
enum Repr<'a> {
    Encoded(&'a [u8]),
    List(&'a [Subscription<'a>]),
}

impl<'a> Subscriptions<'a> {
    /// Takes bytes that [`write_body`](Self::write_body) wrote. Anything else is safe too: the iteration ends where
    /// the bytes stop making sense.
    #[must_use]
    pub const fn from_stored(bytes: &'a [u8]) -> Self {
        Self(Repr::Encoded(bytes))
    }

    /// The subscriptions, in their order.
    #[must_use]
    pub const fn iter(&self) -> SubscriptionIter<'a> {
        match self.0 {
            Repr::Encoded(bytes) => SubscriptionIter { list: &[], encoded: Reader::stored(bytes) },
            Repr::List(list) => SubscriptionIter { list, encoded: Reader::stored(&[]) },
        }
    }

    /// How many there are. Of received ones they are counted, in time linear in their size.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.0 {
            Repr::Encoded(_) => self.iter().count(),
            Repr::List(list) => list.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        match self.0 {
            Repr::Encoded(bytes) => bytes.is_empty(),
            Repr::List(list) => list.is_empty(),
        }
    }

    /// Bytes on the wire; the same in every version.
    #[must_use]
    pub fn body_len(&self) -> usize {
        match self.0 {
            Repr::Encoded(bytes) => bytes.len(),
            Repr::List(list) => list
                .iter()
                .fold(0, |len: usize, item| len.saturating_add(item.filter.as_str().len()).saturating_add(3)),
        }
    }

    /// Writes the subscriptions as they stand in a 5.0 packet and returns how many bytes that took.
    /// [`from_stored`](Self::from_stored) takes them back.
    ///
    /// # Errors
    /// When `out` is too small.
    pub fn write_body(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let needed = self.body_len();
        let Some(out) = out.get_mut(..needed) else {
            return Err(EncodeError::BufferTooSmall { needed });
        };
        self.write(Version::V5, &mut Writer::new(out)).ok_or(EncodeError::BufferTooSmall { needed })?;
        Ok(needed)
    }

    #[inline]
    fn write(&self, version: Version, writer: &mut Writer<'_>) -> Option<()> {
        match self.0 {
            Repr::Encoded(bytes) if version.has_properties() => writer.put(bytes),
            _ => {
                for item in self.iter() {
                    writer.binary(item.filter.as_str().as_bytes())?;
                    let options = item.options;
                    writer.u8(if version.has_properties() {
                        options.to_byte()
                    } else {
                        options.qos as u8
                    })?;
                }
                Some(())
            }
        }
    }

    /// Reads all that is left and checks it.
    #[inline(always)]
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let bytes = reader.rest();
        if bytes.is_empty() {
            let rule = reader.version().rule("MQTT-3.8.3-2", "MQTT-3.8.3-3");
            return Err(DecodeError::protocol(reader.at(), rule));
        }
        while !reader.is_empty() {
            check_one(reader)?;
        }
        Ok(Self(Repr::Encoded(bytes)))
    }
}

/// One filter that is only checked, and its options.
#[inline(always)]
fn check_one(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let filter = reader.rest();
    reader.check_filter()?; // [MQTT-3.8.3-1]
    let at = reader.at();
    let byte = reader.u8()?;
    if byte <= 2 {
        return Ok(());
    }
    let options = SubscriptionOptions::from_byte(byte);
    match options {
        Some(options) if reader.version().has_properties() => {
            // The filter follows its two bytes of length.
            if options.no_local && filter.get(2..).is_some_and(|filter| filter.starts_with(b"$share/")) {
                return Err(DecodeError::protocol(at, "MQTT-3.8.3-4")); // [MQTT-3.8.3-4]
            }
            Ok(())
        }
        _ => Err(bad_options(byte, at, reader.version())),
    }
}

/// The next of subscriptions that were checked before.
fn read_one<'a>(reader: &mut Reader<'a>) -> Option<Subscription<'a>> {
    let filter = reader.topic_filter()?;
    let options = SubscriptionOptions::from_byte(reader.u8().ok()?)?;
    Some(Subscription { filter, options })
}

#[cold]
#[inline(never)]
const fn bad_options(byte: u8, at: u32, version: Version) -> DecodeError {
    if !version.has_properties() {
        return DecodeError::malformed(at, "MQTT-3.8.3-4");
    }
    if byte & 0b1100_0000 != 0 {
        return DecodeError::malformed(at, "MQTT-3.8.3-5");
    }
    DecodeError::protocol(at, "U-22")
}

impl fmt::Debug for Subscriptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for Subscriptions<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Subscriptions<'_> {}

impl<'a> From<&'a [Subscription<'a>]> for Subscriptions<'a> {
    fn from(list: &'a [Subscription<'a>]) -> Self {
        Self(Repr::List(list))
    }
}

impl<'a, const N: usize> From<&'a [Subscription<'a>; N]> for Subscriptions<'a> {
    fn from(list: &'a [Subscription<'a>; N]) -> Self {
        Self(Repr::List(list))
    }
}

impl<'a> IntoIterator for Subscriptions<'a> {
    type Item = Subscription<'a>;
    type IntoIter = SubscriptionIter<'a>;

    fn into_iter(self) -> SubscriptionIter<'a> {
        self.iter()
    }
}

/// Goes through the subscriptions of a SUBSCRIBE.
#[derive(Clone)]
pub struct SubscriptionIter<'a> {
    list: &'a [Subscription<'a>],
    encoded: Reader<'a>,
}

impl fmt::Debug for SubscriptionIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<'a> Iterator for SubscriptionIter<'a> {
    type Item = Subscription<'a>;

    fn next(&mut self) -> Option<Subscription<'a>> {
        if let Some((first, rest)) = self.list.split_first() {
            self.list = rest;
            return Some(*first);
        }
        if self.encoded.is_empty() {
            return None;
        }
        let item = read_one(&mut self.encoded);
        if item.is_none() {
            self.encoded = Reader::stored(&[]);
        }
        item
    }
}

impl core::iter::FusedIterator for SubscriptionIter<'_> {}

impl<'a> Subscribe<'a> {
    /// Decodes a frame that is exactly one SUBSCRIBE.
    ///
    /// # Errors
    /// When it is not a SUBSCRIBE of `version`, or `from` is not the client.
    #[inline]
    pub fn decode(frame: &'a [u8], version: Version, from: Peer) -> Result<Self, DecodeError> {
        let (_, reader) = frame::open_as(frame, PacketType::Subscribe, version, from)?;
        Self::read(reader)
    }

    #[inline(always)]
    pub(crate) fn read(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        let mut properties = Properties::EMPTY;
        if reader.version().has_properties() {
            properties = Properties::read(&mut reader, PropertyPlace::Subscribe, Peer::Client)?.0;
        }
        let filters = Subscriptions::read(&mut reader)?;
        Ok(Self { packet_id, properties, filters })
    }

    /// Remaining length, and the length of the properties.
    fn measure(&self, version: Version) -> Result<(usize, usize), EncodeError> {
        if self.filters.is_empty() {
            return Err(EncodeError::Empty); // [MQTT-3.8.3-2], [MQTT-3.8.3-3]
        }
        let mut remaining = self.filters.body_len().saturating_add(2);
        let mut properties = 0;
        if version.has_properties() {
            // [MQTT-3.8.3-4]
            if self.filters.iter().any(|item| item.options.no_local && item.filter.share().is_some()) {
                return Err(EncodeError::NoLocalOnShared);
            }
            properties = self.properties.checked_len(PropertyPlace::Subscribe)?;
            remaining = remaining.saturating_add(section_len(properties));
        }
        Ok((remaining, properties))
    }
}

impl Sealed for Subscribe<'_> {}

impl Encode for Subscribe<'_> {
    fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
        packet_len(self.measure(version)?.0)
    }

    fn encode(&self, version: Version, out: &mut [u8]) -> Result<usize, EncodeError> {
        let (remaining, properties) = self.measure(version)?;
        let whole = packet_len(remaining)?;
        write_packet(out, whole, 0x82, remaining, |writer| {
            writer.u16(self.packet_id.get())?;
            if version.has_properties() {
                self.properties.write_section(properties, writer)?;
            }
            self.filters.write(version, writer)?;
            Some(())
        })
    }
}
