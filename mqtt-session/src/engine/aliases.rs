//! Topic aliases at work: a name said once on a connection is then said by its number, both ways.
//!
//! Outgoing ones are a cache. They take what room operations leave of the arena and give it back as soon as one
//! is accepted, so that they never make a difference to what is. Inbound ones are the server's to choose: bytes
//! for their topics are set aside.

use core::num::NonZeroU16;

use mqtt_proto::{PacketType, Properties, Property, Publish, ReasonCode, Version};

use super::Core;
use super::pump::Stop;
use crate::aliases::{Found, GivenAliases, SentAliases};
use crate::arena::cost;
use crate::config::Config;
use crate::event::{Topic, Why};
use crate::planted::planted;
use crate::storage::{Table, Tables, View};

/// How a PUBLISH that is handed out names its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// By its name alone.
    Name,
    /// By a number the server knows, with an empty name.
    Number(u16),
    /// By its name, and with a number for the next time; the hash of the name.
    Both(u16, u32),
}

impl Naming {
    /// The number to be sent.
    pub(super) const fn number(self) -> Option<NonZeroU16> {
        match self {
            Self::Name => None,
            Self::Number(number) | Self::Both(number, _) => NonZeroU16::new(number),
        }
    }
}

/// The bytes of the arena, of `all`, that are set aside for the topics of inbound aliases.
pub(super) fn set_aside(config: &Config, inbound: u16, all: usize) -> usize {
    if inbound == 0 { 0 } else { config.topic_alias_bytes.min(all / 2) }
}

impl Core {
    // ---- outgoing ----------------------------------------------------------------------------

    /// How an operation's topic is to be said. `head`, `whole`: the most bytes its packet can have.
    ///
    /// Squeezing the arena may move what the operation keeps.
    #[inline]
    pub(super) fn naming_of(
        &mut self,
        tables: &mut Tables<'_>,
        index: u32,
        head: usize,
        whole: usize,
    ) -> Result<Naming, Stop> {
        if self.connection.aliases_out.is_off() {
            return Ok(Naming::Name);
        }
        let Some(slot) = tables.slots.get(index as usize) else { return Ok(Naming::Name) };
        // A message that was sent before is sent again with its name: who is to understand it may be another.
        if slot.packet_id.is_some() && !slot.reserved {
            return Ok(Naming::Name);
        }
        let (topic, _) = slot.head(tables.arena);
        let len = topic.len();
        let found = self.connection.aliases_out.find(tables.aliases_out, tables.arena, topic);
        self.naming(tables, found, len, (head, whole), 0)
    }

    /// As `naming_of`, for a topic that is not kept, or is to be: `beside` bytes are kept beside a new alias.
    #[inline]
    pub(super) fn naming_of_topic(
        &mut self,
        tables: &mut Tables<'_>,
        topic: &str,
        whole: usize,
        beside: usize,
    ) -> Result<Naming, Stop> {
        if self.connection.aliases_out.is_off() {
            return Ok(Naming::Name);
        }
        let found = self.connection.aliases_out.find(tables.aliases_out, tables.arena, topic.as_bytes());
        self.naming(tables, found, topic.len(), (whole, whole), beside)
    }

    #[inline(never)]
    fn naming(
        &mut self,
        tables: &mut Tables<'_>,
        found: Found,
        len: usize,
        (head, whole): (usize, usize),
        beside: usize,
    ) -> Result<Naming, Stop> {
        let hash = match found {
            Found::Known(number) => return Ok(Naming::Number(number)),
            Found::Never => return Ok(Naming::Name),
            Found::Unknown(hash) => hash,
        };
        // With a new alias the packet is longer than without.
        let fits = head <= self.bounds.wire
            && whole <= self.limits.maximum_packet_size as usize
            && self.kept.saturating_add(beside).saturating_add(cost(len)) <= self.bounds.arena;
        if !fits {
            return Ok(Naming::Name);
        }
        let limit = self.connection.aliases_out.limit();
        if tables.aliases_out.len() < limit {
            return Err(Stop::Need(Table::AliasesOut, limit));
        }
        if self.connection.aliases_out.next_number().is_none() {
            self.forget_oldest_alias(tables);
        }
        self.yield_room(tables, beside.saturating_add(cost(len)));
        if let Some((table, len)) = self.room_in_arena(tables, beside.saturating_add(len)) {
            return Err(Stop::Need(table, len));
        }
        let number = self.connection.aliases_out.next_number();
        Ok(number.map_or(Naming::Name, |number| Naming::Both(number, hash)))
    }

    /// A packet was written that names `topic` so: from now on the server knows the number.
    pub(super) fn named_as(&mut self, tables: &mut Tables<'_>, naming: Naming, topic: &str) {
        if let Some(at) = self.add_or_touch(tables, naming, topic.len()) {
            let start = at as usize;
            if let Some(place) = tables.arena.get_mut(start..start.saturating_add(topic.len())) {
                place.copy_from_slice(topic.as_bytes());
            }
        }
    }

    /// As `named_as`, for the topic of an operation.
    pub(super) fn named_as_kept(&mut self, tables: &mut Tables<'_>, naming: Naming, index: u32) {
        let Some(slot) = tables.slots.get(index as usize) else { return };
        let (start, len) = (slot.at as usize, usize::from(slot.topic_len));
        if let Some(at) = self.add_or_touch(tables, naming, len) {
            let (from, to) = (start..start.saturating_add(len), at as usize);
            if from.end.max(to.saturating_add(len)) <= tables.arena.len() {
                tables.arena.copy_within(from, to);
            }
        }
    }

    /// `Some`: where in the arena the topic of a new alias is to be written.
    fn add_or_touch(&mut self, tables: &mut Tables<'_>, naming: Naming, len: usize) -> Option<u32> {
        let aliases = &mut self.connection.aliases_out;
        match naming {
            Naming::Name => None,
            Naming::Number(number) => {
                aliases.touch(tables.aliases_out, number);
                None
            }
            Naming::Both(_, hash) => {
                aliases.add(tables.aliases_out, &mut self.arena, tables.arena, hash, len)
            }
        }
    }

    fn forget_oldest_alias(&mut self, tables: &mut Tables<'_>) -> bool {
        self.connection.aliases_out.forget_oldest(tables.aliases_out, &mut self.arena, tables.arena)
    }

    /// Outgoing aliases make room for `bytes` that the budget has room for. O(1) unless they have to, then
    /// O(aliases).
    pub(super) fn yield_room(&mut self, tables: &mut Tables<'_>, bytes: usize) {
        let wanted = self.kept.saturating_add(bytes);
        while wanted.saturating_add(self.connection.aliases_out.bytes()) > self.bounds.arena {
            if !self.forget_oldest_alias(tables) {
                return;
            }
        }
    }

    // ---- inbound -----------------------------------------------------------------------------

    /// The highest alias the server may use: what CONNECT says.
    pub(super) fn topic_alias_maximum(&self, version: Version) -> u16 {
        if version.has_properties() && !self.aliases_overflowed { self.bounds.aliases_in } else { 0 }
    }

    /// What the arena lacks to keep the topic of the packet at the front of `input`, should it be a PUBLISH with an
    /// alias.
    pub(super) fn room_for_topic(&mut self, tables: &mut Tables<'_>, input: &[u8]) -> super::Need {
        let len = topic_len(input)?;
        if cost(len) > self.bounds.aside {
            return None;
        }
        self.room_in_arena(tables, len)
    }

    /// The topic of a PUBLISH that arrived; `None`: the server used an alias it must not, and the connection ends.
    pub(super) fn topic_of<'i>(
        &mut self,
        tables: &mut Tables<'_>,
        publish: &Publish<'i>,
    ) -> Option<Topic<'i>> {
        let alias = if publish.properties.is_empty() { None } else { publish.properties.topic_alias() };
        let Some(number) = alias else {
            // The codec lets no PUBLISH pass that has neither.
            return publish.topic.map(|topic| Topic::Name(topic.as_str()));
        };
        let aliases = &self.connection.aliases_in;
        let Some(index) = aliases.index(number) else {
            let rule = if aliases.is_off() { "MQTT-3.1.2-27" } else { "MQTT-3.1.2-26" };
            let code = ReasonCode::TopicAliasInvalid;
            self.violated(Why::Protocol(code, rule), code);
            return None;
        };
        let Some(topic) = publish.topic else {
            let alias = GivenAliases::find(tables.aliases_in, index);
            if alias.is_none() {
                self.violated(Why::Protocol(ReasonCode::ProtocolError, "U-16"), ReasonCode::ProtocolError);
            }
            return alias.map(Topic::Alias);
        };
        let topic = topic.as_str();
        if !GivenAliases::is(tables.aliases_in, tables.arena, index, topic.as_bytes()) {
            let beside = aliases.bytes_beside(tables.aliases_in, tables.arena, index);
            if beside.saturating_add(cost(topic.len())) > self.bounds.aside {
                // The server keeps to what it was told, so the next connection tells it less.
                self.aliases_overflowed = true;
                self.violated(Why::AliasesTooLong, ReasonCode::QuotaExceeded);
                return None;
            }
            self.alias_marks = self.alias_marks.wrapping_add(1);
            let (mark, aliases) = (self.alias_marks, &mut self.connection.aliases_in);
            let bytes = topic.as_bytes();
            aliases.set(tables.aliases_in, &mut self.arena, tables.arena, index, bytes, mark);
        }
        Some(Topic::Name(topic))
    }

    pub(crate) fn topic<'a>(&self, view: &View<'a>, topic: Topic<'a>) -> &'a str {
        match topic {
            Topic::Name(name) => name,
            Topic::Alias(alias) => GivenAliases::topic(view.aliases_in, view.arena, alias),
        }
    }

    // ---- both --------------------------------------------------------------------------------

    /// The connection has ended, and with it all aliases. [MQTT-3.3.2-7] O(aliases).
    pub(super) fn forget_aliases(&mut self, tables: &mut Tables<'_>) {
        let connection = &mut self.connection;
        if planted!("aliases-kept") {
            return;
        }
        connection.aliases_out.clear(tables.aliases_out, &mut self.arena, tables.arena);
        connection.aliases_in.clear(tables.aliases_in, &mut self.arena, tables.arena);
    }

    /// The server has said how many aliases it takes. [MQTT-3.2.2-17], [MQTT-3.2.2-18]
    pub(super) fn begin_aliases(&mut self) {
        if planted!("aliases-kept") && !self.connection.aliases_out.is_off() {
            return;
        }
        let limit = self.limits.topic_alias_maximum.min(self.bounds.aliases_out);
        self.connection.aliases_out = SentAliases::new(limit);
    }
}

/// The length of the topic of the PUBLISH at the front of the input.
fn topic_len(input: &[u8]) -> Option<usize> {
    if input.first()? >> 4 != PacketType::Publish as u8 {
        return None;
    }
    // The fixed header has a type and up to four bytes of length, the last of them below 0x80.
    let length = input.get(1..)?.iter().position(|byte| *byte < 0x80)?;
    let topic = input.get(length.checked_add(2)?..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*topic).into())
}

/// The most properties of a list that can be sent behind one of the session's own without being kept first.
const LIST: usize = 8;

/// An alias and the properties of a message that is not kept, put together.
pub(super) struct WithAlias<'a> {
    list: [Property<'a>; LIST],
    len: usize,
}

impl<'a> WithAlias<'a> {
    /// `None`: there are too many of them.
    pub(super) fn new(number: NonZeroU16, properties: Properties<'a>) -> Option<Self> {
        let mut with = Self { list: [Property::TopicAlias(number.get()); LIST], len: 1 };
        for property in properties.iter() {
            *with.list.get_mut(with.len)? = property;
            with.len = with.len.checked_add(1)?;
        }
        Some(with)
    }

    pub(super) fn properties(&self) -> Properties<'_> {
        Properties::List(self.list.get(..self.len).unwrap_or_default())
    }
}
