//! UNSUBSCRIBE: the client ends subscriptions.

use core::fmt;

use crate::encode::{Encode, sealed::Sealed};
use crate::error::{DecodeError, EncodeError};
use crate::frame;
use crate::properties::{Properties, section_len};
use crate::property::PropertyPlace;
use crate::topic::TopicFilter;
use crate::types::{PacketId, PacketType, Peer, Version};
use crate::wire::{Reader, Writer, packet_len, write_packet};

/// The client ends subscriptions.
///
/// ```
/// use mqtt_proto::{Encode, PacketId, Peer, Properties, TopicFilter, Unsubscribe, Version};
///
/// let filters = [TopicFilter::new("news/#")?, TopicFilter::new("+/alarm")?];
/// let unsubscribe = Unsubscribe {
///     packet_id: PacketId::new(2).unwrap(),
///     properties: Properties::EMPTY,
///     filters: filters[..].into(),
/// };
/// let mut buffer = [0; 64];
/// let len = unsubscribe.encode(Version::V3_1_1, &mut buffer)?;
/// assert_eq!(Unsubscribe::decode(&buffer[..len], Version::V3_1_1, Peer::Client)?, unsubscribe);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unsubscribe<'a> {
    /// The identifier UNSUBACK will answer with.
    pub packet_id: PacketId,
    /// Properties; not sent before 5.0.
    pub properties: Properties<'a>,
    /// The filters, as they were subscribed: at least one. `[MQTT-3.10.3-2]`
    pub filters: TopicFilters<'a>,
}

/// The filters of an UNSUBSCRIBE: as they were received, or a list to be sent.
#[derive(Clone, Copy)]
pub struct TopicFilters<'a>(Repr<'a>);

#[derive(Clone, Copy)]
enum Repr<'a> {
    Encoded(&'a [u8]),
    List(&'a [TopicFilter<'a>]),
}

impl<'a> TopicFilters<'a> {
    /// Takes bytes that [`write_body`](Self::write_body) wrote. Anything else is safe too: the iteration ends where
    /// the bytes stop making sense.
    #[must_use]
    pub const fn from_stored(bytes: &'a [u8]) -> Self {
        Self(Repr::Encoded(bytes))
    }

    /// The filters, in their order.
    #[must_use]
    pub const fn iter(&self) -> TopicFilterIter<'a> {
        match self.0 {
            Repr::Encoded(bytes) => TopicFilterIter { list: &[], encoded: Reader::stored(bytes) },
            Repr::List(list) => TopicFilterIter { list, encoded: Reader::stored(&[]) },
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
                .fold(0, |len: usize, filter| len.saturating_add(filter.as_str().len()).saturating_add(2)),
        }
    }

    /// Writes the filters as they stand in a packet and returns how many bytes that took.
    /// [`from_stored`](Self::from_stored) takes them back.
    ///
    /// # Errors
    /// When `out` is too small.
    pub fn write_body(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let needed = self.body_len();
        let Some(out) = out.get_mut(..needed) else {
            return Err(EncodeError::BufferTooSmall { needed });
        };
        self.write(&mut Writer::new(out)).ok_or(EncodeError::BufferTooSmall { needed })?;
        Ok(needed)
    }

    #[inline]
    fn write(&self, writer: &mut Writer<'_>) -> Option<()> {
        match self.0 {
            Repr::Encoded(bytes) => writer.put(bytes),
            Repr::List(list) => list.iter().try_for_each(|filter| writer.binary(filter.as_str().as_bytes())),
        }
    }

    /// Reads all that is left and checks it.
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let bytes = reader.rest();
        if bytes.is_empty() {
            return Err(DecodeError::protocol(reader.at(), "MQTT-3.10.3-2"));
        }
        while !reader.is_empty() {
            reader.check_filter()?; // [MQTT-3.10.3-1]
        }
        Ok(Self(Repr::Encoded(bytes)))
    }
}

impl fmt::Debug for TopicFilters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for TopicFilters<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for TopicFilters<'_> {}

impl<'a> From<&'a [TopicFilter<'a>]> for TopicFilters<'a> {
    fn from(list: &'a [TopicFilter<'a>]) -> Self {
        Self(Repr::List(list))
    }
}

impl<'a, const N: usize> From<&'a [TopicFilter<'a>; N]> for TopicFilters<'a> {
    fn from(list: &'a [TopicFilter<'a>; N]) -> Self {
        Self(Repr::List(list))
    }
}

impl<'a> IntoIterator for TopicFilters<'a> {
    type Item = TopicFilter<'a>;
    type IntoIter = TopicFilterIter<'a>;

    fn into_iter(self) -> TopicFilterIter<'a> {
        self.iter()
    }
}

/// Goes through the filters of an UNSUBSCRIBE.
#[derive(Clone)]
pub struct TopicFilterIter<'a> {
    list: &'a [TopicFilter<'a>],
    encoded: Reader<'a>,
}

impl fmt::Debug for TopicFilterIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<'a> Iterator for TopicFilterIter<'a> {
    type Item = TopicFilter<'a>;

    fn next(&mut self) -> Option<TopicFilter<'a>> {
        if let Some((first, rest)) = self.list.split_first() {
            self.list = rest;
            return Some(*first);
        }
        if self.encoded.is_empty() {
            return None;
        }
        let item = self.encoded.topic_filter();
        if item.is_none() {
            self.encoded = Reader::stored(&[]);
        }
        item
    }
}

impl core::iter::FusedIterator for TopicFilterIter<'_> {}

impl<'a> Unsubscribe<'a> {
    /// Decodes a frame that is exactly one UNSUBSCRIBE.
    ///
    /// # Errors
    /// When it is not an UNSUBSCRIBE of `version`, or `from` is not the client.
    pub fn decode(frame: &'a [u8], version: Version, from: Peer) -> Result<Self, DecodeError> {
        let (_, reader) = frame::open_as(frame, PacketType::Unsubscribe, version, from)?;
        Self::read(reader)
    }

    pub(crate) fn read(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        let mut properties = Properties::EMPTY;
        if reader.version().has_properties() {
            properties = Properties::read(&mut reader, PropertyPlace::Unsubscribe, Peer::Client)?.0;
        }
        let filters = TopicFilters::read(&mut reader)?;
        Ok(Self { packet_id, properties, filters })
    }

    /// Remaining length, and the length of the properties.
    fn measure(&self, version: Version) -> Result<(usize, usize), EncodeError> {
        if self.filters.is_empty() {
            return Err(EncodeError::Empty); // [MQTT-3.10.3-2]
        }
        let mut remaining = self.filters.body_len().saturating_add(2);
        let mut properties = 0;
        if version.has_properties() {
            properties = self.properties.checked_len(PropertyPlace::Unsubscribe)?;
            remaining = remaining.saturating_add(section_len(properties));
        }
        Ok((remaining, properties))
    }
}

impl Sealed for Unsubscribe<'_> {}

impl Encode for Unsubscribe<'_> {
    fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
        packet_len(self.measure(version)?.0)
    }

    fn encode(&self, version: Version, out: &mut [u8]) -> Result<usize, EncodeError> {
        let (remaining, properties) = self.measure(version)?;
        let whole = packet_len(remaining)?;
        write_packet(out, whole, 0xA2, remaining, |writer| {
            writer.u16(self.packet_id.get())?;
            if version.has_properties() {
                self.properties.write_section(properties, writer)?;
            }
            self.filters.write(writer)?;
            Some(())
        })
    }
}
