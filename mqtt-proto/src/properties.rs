//! The properties of a packet: as they were received, or as a list to be sent.

use core::fmt;

use crate::encode::sealed::KeepReason;
use crate::error::{DecodeError, EncodeError};
use crate::property::{Property, PropertyId, PropertyPlace};
use crate::types::Peer;
use crate::wire::{Reader, Writer, varint_len};

/// The properties of a packet, the same type in both directions.
///
/// What was received stays encoded: it was checked once, and is iterated without a way to fail. What is to be sent is
/// a list. Nothing is ever allocated.
///
/// Two are equal when they give the same properties in the same order, however they are held.
///
/// ```
/// use mqtt_proto::{Properties, Property};
///
/// let list = [Property::TopicAlias(7), Property::UserProperty("unit", "°C"), Property::UserProperty("unit", "K")];
/// let properties = Properties::List(&list);
/// assert_eq!(properties.topic_alias(), Some(7));
/// assert_eq!(properties.message_expiry_interval(), None);
/// assert_eq!(properties.user_properties().map(|(_, unit)| unit).collect::<Vec<_>>(), ["°C", "K"]);
/// ```
#[derive(Clone, Copy)]
pub enum Properties<'a> {
    /// As they stood in a packet that was received.
    Encoded(EncodedProperties<'a>),
    /// To be sent.
    List(&'a [Property<'a>]),
    /// To be sent: some of one's own first, then some that were received or stored.
    Chain(&'a [Property<'a>], EncodedProperties<'a>),
}

/// Properties as they stand on the wire, without the length before them.
#[derive(Clone, Copy)]
pub struct EncodedProperties<'a>(&'a [u8]);

impl<'a> EncodedProperties<'a> {
    /// Takes bytes that [`Properties::write_body`] wrote, or that [`as_bytes`](Self::as_bytes) gave. Anything else is
    /// safe too: the iteration ends where the bytes stop making sense.
    #[must_use]
    #[inline]
    pub const fn from_stored(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes on the wire.
    #[must_use]
    #[inline]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The properties, in their order.
    #[must_use]
    pub const fn iter(&self) -> PropertyIter<'a> {
        PropertyIter { list: &[], encoded: Reader::stored(self.0) }
    }

    fn find(self, wanted: PropertyId) -> Option<Property<'a>> {
        let mut reader = Reader::stored(self.0);
        while !reader.is_empty() {
            let id = PropertyId::from_u8(reader.u8().ok()?)?;
            if id == wanted {
                return Property::read(id, &mut reader).ok();
            }
            id.skip(&mut reader)?;
        }
        None
    }
}

impl fmt::Debug for EncodedProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for EncodedProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for EncodedProperties<'_> {}

impl<'a> IntoIterator for EncodedProperties<'a> {
    type Item = Property<'a>;
    type IntoIter = PropertyIter<'a>;

    fn into_iter(self) -> PropertyIter<'a> {
        self.iter()
    }
}

/// Goes through the properties of a packet in their order.
#[derive(Clone)]
pub struct PropertyIter<'a> {
    list: &'a [Property<'a>],
    encoded: Reader<'a>,
}

impl fmt::Debug for PropertyIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<'a> Iterator for PropertyIter<'a> {
    type Item = Property<'a>;

    #[inline]
    fn next(&mut self) -> Option<Property<'a>> {
        if let Some((first, rest)) = self.list.split_first() {
            self.list = rest;
            return Some(*first);
        }
        if self.encoded.is_empty() {
            return None;
        }
        let id = self.encoded.u8().ok().and_then(PropertyId::from_u8);
        let property = id.and_then(|id| Property::read(id, &mut self.encoded).ok());
        if property.is_none() {
            self.encoded = Reader::stored(&[]);
        }
        property
    }
}

impl core::iter::FusedIterator for PropertyIter<'_> {}

impl<'a> Properties<'a> {
    /// No properties.
    pub const EMPTY: Self = Self::Encoded(EncodedProperties(&[]));

    const fn parts(&self) -> (&'a [Property<'a>], EncodedProperties<'a>) {
        match *self {
            Self::Encoded(encoded) => (&[], encoded),
            Self::List(list) => (list, EncodedProperties(&[])),
            Self::Chain(list, encoded) => (list, encoded),
        }
    }

    /// The properties, in their order.
    #[must_use]
    pub const fn iter(&self) -> PropertyIter<'a> {
        let (list, encoded) = self.parts();
        PropertyIter { list, encoded: Reader::stored(encoded.0) }
    }

    /// Whether there are none.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        let (list, encoded) = self.parts();
        list.is_empty() && encoded.0.is_empty()
    }

    /// The first property of this name.
    #[must_use]
    pub fn find(&self, id: PropertyId) -> Option<Property<'a>> {
        let (list, encoded) = self.parts();
        list.iter().find(|property| property.id() == id).copied().or_else(|| encoded.find(id))
    }

    /// All user properties, name and value, in their order.
    pub fn user_properties(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.iter().filter_map(|property| match property {
            Property::UserProperty(name, value) => Some((name, value)),
            _ => None,
        })
    }

    /// All Subscription Identifiers, in their order. `[MQTT-3.3.4-4]`
    pub fn subscription_identifiers(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.iter().filter_map(|property| match property {
            Property::SubscriptionIdentifier(id) => Some(id),
            _ => None,
        })
    }

    /// Whether a packet may carry these: each allowed at `place`, none twice that may not be, each value legal.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, place: PropertyPlace) -> Result<(), EncodeError> {
        self.checked_len(place).map(drop)
    }

    /// As [`check`](Self::check), and whether it is `from` who may send them: a client sends no Subscription
    /// Identifier with a message, for instance. Encoding does not know who sends, so it does not ask.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check_from(&self, place: PropertyPlace, from: Peer) -> Result<(), EncodeError> {
        self.check(place)?;
        match self.iter().find(|property| !property.id().allowed_in(place, from)) {
            Some(property) => Err(EncodeError::PropertyNotAllowed(property.id())), // [MQTT-3.3.4-6], [MQTT-3.14.2-2]
            None => Ok(()),
        }
    }

    /// Checks as [`check`](Self::check) does, and tells the size.
    #[inline(always)]
    pub(crate) fn checked_len(&self, place: PropertyPlace) -> Result<usize, EncodeError> {
        if self.is_empty() { Ok(0) } else { self.checked_len_of_some(place) }
    }

    #[inline(never)]
    fn checked_len_of_some(&self, place: PropertyPlace) -> Result<usize, EncodeError> {
        let mut len = 0_usize;
        let mut seen = 0_u64;
        let (list, encoded) = self.parts();
        for property in list {
            check_place(property.id(), place, &mut seen)?;
            len = len.wrapping_add(property.checked_len()?);
        }
        if !encoded.0.is_empty() {
            // The values were checked when they were received or stored.
            let mut reader = Reader::stored(encoded.0);
            while !reader.is_empty() {
                let id =
                    reader.u8().ok().and_then(PropertyId::from_u8).ok_or(EncodeError::DamagedProperties)?;
                id.skip(&mut reader).ok_or(EncodeError::DamagedProperties)?;
                check_place(id, place, &mut seen)?;
            }
            len = len.saturating_add(encoded.0.len());
        }
        if seen & PropertyId::AuthenticationData.bit() != 0 || place == PropertyPlace::Auth {
            check_auth(seen)?;
        }
        Ok(len)
    }

    /// The properties without the User Properties, and without the Reason String unless it is to be kept.
    pub(crate) fn trimmed<'l>(&self, keep: KeepReason, list: &'l mut Trimmed<'a>) -> Properties<'l> {
        let stays = self.iter().filter(|property| match property.id() {
            PropertyId::UserProperty => false,
            PropertyId::ReasonString => keep == KeepReason::Yes,
            _ => true,
        });
        let mut len = 0_usize;
        for (place, property) in list.iter_mut().zip(stays) {
            *place = property;
            len = len.saturating_add(1);
        }
        Properties::List(list.get(..len).unwrap_or_default())
    }

    /// Bytes on the wire, without the length that stands before them in a packet.
    #[must_use]
    pub fn body_len(&self) -> usize {
        let (list, encoded) = self.parts();
        list.iter().fold(encoded.0.len(), |len, property| len.saturating_add(property.encoded_len()))
    }

    /// Writes the properties, without the length that stands before them in a packet, and returns how many bytes that
    /// took. [`EncodedProperties::from_stored`] takes them back.
    ///
    /// # Errors
    /// When a value is one the standard forbids, or `out` is too small.
    pub fn write_body(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let (list, encoded) = self.parts();
        let mut needed = encoded.0.len();
        for property in list {
            needed = needed.saturating_add(property.checked_len()?);
        }
        let Some(out) = out.get_mut(..needed) else {
            return Err(EncodeError::BufferTooSmall { needed });
        };
        self.write(out).ok_or(EncodeError::BufferTooSmall { needed })?;
        Ok(needed)
    }

    /// Writes what was checked before and returns what is left of `out`.
    #[inline(never)]
    fn write<'o>(&self, out: &'o mut [u8]) -> Option<&'o mut [u8]> {
        let mut writer = Writer::new(out);
        let (list, encoded) = self.parts();
        for property in list {
            property.write(&mut writer)?;
        }
        if !encoded.0.is_empty() {
            writer.put(encoded.0)?;
        }
        Some(writer.lend())
    }

    /// Writes what was checked before and is `len` bytes long, with that length before it. `[MQTT-2.2.2-1]`
    #[inline(always)]
    pub(crate) fn write_section(&self, len: usize, writer: &mut Writer<'_>) -> Option<()> {
        writer.varint(len)?;
        if len != 0 {
            let rest = self.write(writer.lend())?;
            writer.resume(rest);
        }
        Some(())
    }

    /// Reads the length and the properties of a packet, checks them all, and tells which there were.
    #[inline(always)]
    pub(crate) fn read(
        reader: &mut Reader<'a>,
        place: PropertyPlace,
        from: Peer,
    ) -> Result<(Self, Seen), DecodeError> {
        let len = reader.varint()?;
        if len == 0 {
            return Ok((Self::EMPTY, Seen(0)));
        }
        // U-06
        let Ok(section) = reader.sub(len as usize) else {
            return Err(DecodeError::malformed(reader.at(), "U-06"));
        };
        let bytes = section.rest();
        let seen = check_encoded(section, place, from)?;
        Ok((Self::Encoded(EncodedProperties(bytes)), seen))
    }
}

/// Checks the properties of a packet, which fill `section`, and tells which there are.
#[inline(never)]
fn check_encoded(mut section: Reader<'_>, place: PropertyPlace, from: Peer) -> Result<Seen, DecodeError> {
    let mut seen = 0_u64;
    while !section.is_empty() {
        let at = section.at();
        let number = section.u8()?;
        // U-07
        let Some(id) = PropertyId::from_u8(number).filter(|id| id.spec().places & place.bit() != 0) else {
            return Err(DecodeError::malformed(at, "U-07"));
        };
        let bit = id.bit();
        if seen & bit != 0 && !id.repeats_in(place) {
            return Err(DecodeError::protocol(at, "U-08"));
        }
        seen |= bit;
        if let Err(why) = Property::check_encoded(id, &mut section) {
            return Err(inside(why));
        }
    }
    let seen = Seen(seen);
    check_peer(seen, place, from, section.at())?;
    Ok(seen)
}

/// The section ends inside the property. U-06
#[cold]
fn inside(mut why: DecodeError) -> DecodeError {
    if why.rule == "U-05" {
        why.rule = "U-06";
    }
    why
}

/// Room for all properties but User Properties that a packet may carry: each at most once, CONNACK the most.
pub(crate) type Trimmed<'a> = [Property<'a>; 16];

/// Empty room.
pub(crate) const TRIMMED: Trimmed<'static> = [Property::TopicAliasMaximum(0); 16];

/// Which properties a packet carries.
#[derive(Clone, Copy)]
pub(crate) struct Seen(u64);

impl Seen {
    #[inline(always)]
    pub(crate) const fn has(self, id: PropertyId) -> bool {
        self.0 & id.bit() != 0
    }
}

/// What only one side may send, and what only comes together.
#[inline(always)]
fn check_peer(seen: Seen, place: PropertyPlace, from: Peer, at: u32) -> Result<(), DecodeError> {
    let wrong = match place {
        // [MQTT-3.3.4-6]
        PropertyPlace::Publish if from == Peer::Client && seen.has(PropertyId::SubscriptionIdentifier) => {
            "MQTT-3.3.4-6"
        }
        // [MQTT-3.14.2-2]
        PropertyPlace::Disconnect if from == Peer::Server && seen.has(PropertyId::SessionExpiryInterval) => {
            "MQTT-3.14.2-2"
        }
        PropertyPlace::Disconnect if from == Peer::Client && seen.has(PropertyId::ServerReference) => "U-07",
        _ if seen.has(PropertyId::AuthenticationData) && !seen.has(PropertyId::AuthenticationMethod) => {
            "U-17"
        }
        _ => return Ok(()),
    };
    Err(DecodeError::protocol(at, wrong))
}

#[inline(always)]
fn check_place(id: PropertyId, place: PropertyPlace, seen: &mut u64) -> Result<(), EncodeError> {
    if id.spec().places & place.bit() == 0 {
        return Err(EncodeError::PropertyNotAllowed(id));
    }
    if *seen & id.bit() != 0 && !id.repeats_in(place) {
        return Err(EncodeError::DuplicateProperty(id));
    }
    *seen |= id.bit();
    Ok(())
}

#[cold]
const fn check_auth(seen: u64) -> Result<(), EncodeError> {
    if seen & PropertyId::AuthenticationMethod.bit() == 0 {
        return Err(EncodeError::MissingProperty(PropertyId::AuthenticationMethod)); // U-17, U-18
    }
    Ok(())
}

/// Size of a section of properties: the length before them, and they. One that is too long makes a packet that is.
#[inline(always)]
pub(crate) const fn section_len(len: usize) -> usize {
    len.saturating_add(varint_len(len))
}

impl Default for Properties<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl PartialEq for Properties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Properties<'_> {}

impl fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for Properties<'a> {
    type Item = Property<'a>;
    type IntoIter = PropertyIter<'a>;

    fn into_iter(self) -> PropertyIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Properties<'a> {
    type Item = Property<'a>;
    type IntoIter = PropertyIter<'a>;

    fn into_iter(self) -> PropertyIter<'a> {
        self.iter()
    }
}

impl<'a> From<&'a [Property<'a>]> for Properties<'a> {
    fn from(list: &'a [Property<'a>]) -> Self {
        Self::List(list)
    }
}

impl<'a> From<EncodedProperties<'a>> for Properties<'a> {
    fn from(encoded: EncodedProperties<'a>) -> Self {
        Self::Encoded(encoded)
    }
}
