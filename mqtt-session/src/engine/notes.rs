//! What the application says with an acknowledgement (5.0): its properties, kept until its turn comes.

use mqtt_proto::{
    Encode, EncodeError, EncodedProperties, Properties, PropertyPlace, Puback, Pubrec, ReasonCode, Version,
};

use super::pump::Stop;
use super::{ANY_ID, Core};
use crate::arena::{Arena, cost, owner};
use crate::error::AckError;
use crate::inbound::{Exchange, Owed, OwedKind};
use crate::list::{NONE, change};
use crate::storage::Tables;
use crate::token::AckToken;

/// The most bytes an acknowledgement has beside its properties: fixed header, identifier, reason code, property
/// length.
const HEAD: usize = 5 + 2 + 1 + 4;

impl Core {
    /// Checks an acknowledgement, and tells the bytes that its properties will keep; 0: there are none, or no room
    /// for them.
    pub(crate) fn plan_acknowledge(
        &self,
        tables: &Tables<'_>,
        ack: AckToken,
        reason: ReasonCode,
        properties: Properties<'_>,
    ) -> Result<usize, AckError> {
        if Puback::with(ANY_ID, reason, Properties::EMPTY).encoded_len(Version::V5).is_err() {
            return Err(AckError::InvalidReason);
        }
        properties.check(PropertyPlace::Puback).map_err(AckError::Invalid)?;
        if !self.exchanges.is_delivered(tables.exchanges, ack) {
            return Err(AckError::Stale);
        }
        if properties.is_empty() || !self.link.version.has_properties() {
            return Ok(0);
        }
        let len = properties.body_len();
        let fits = len.saturating_add(HEAD) <= self.bounds.wire
            && self.kept.saturating_add(cost(len)) <= self.bounds.arena;
        Ok(if fits { len } else { 0 })
    }

    /// Takes a planned acknowledgement. The caller has made room.
    pub(crate) fn acknowledge(
        &mut self,
        tables: &mut Tables<'_>,
        ack: AckToken,
        reason: ReasonCode,
        properties: Properties<'_>,
        len: usize,
    ) {
        self.exchanges.acknowledge(tables.exchanges, ack, reason);
        self.exchanges.record_acknowledged(tables.exchanges);
        if len == 0 {
            return;
        }
        let of = owner::ACK.saturating_add(ack.index().into());
        // Planned on the same properties, so they fit.
        let put = self.arena.put(tables.arena, of, len, |place| {
            let _ = properties.write_body(place);
        });
        let Some(at) = put else { return };
        change(tables.exchanges, ack.index().into(), |entry| entry.note = at);
        self.kept = self.kept.saturating_add(cost(len));
        self.notes = self.notes.saturating_add(1);
    }

    /// An acknowledgement's turn has come: what is to be said with it no longer hangs on its exchange. False: nothing.
    ///
    /// One at a time: it leaves the ring of owed ones before the next comes there.
    pub(super) fn take_note(&mut self, tables: &mut Tables<'_>, index: u32) -> bool {
        let Some(entry) = tables.exchanges.get_mut(index as usize).filter(|entry| entry.note != NONE) else {
            return false;
        };
        let note = core::mem::replace(&mut entry.note, NONE);
        self.notes = self.notes.saturating_sub(1);
        Arena::give(tables.arena, note, owner::SAID);
        self.said = note;
        true
    }

    /// Writes an acknowledgement with what the application says in it, as far as the server takes packets that long.
    /// [MQTT-3.4.2-2], [MQTT-3.4.2-3], [MQTT-3.5.2-2], [MQTT-3.5.2-3]
    pub(super) fn put_explained(&mut self, tables: &mut Tables<'_>, owed: Owed) -> Result<(), Stop> {
        let Some(id) = owed.id() else { return Ok(()) };
        if self.is_mid_packet() {
            return Err(Stop::Pause);
        }
        let stored = Arena::entry(tables.arena, self.said);
        let properties = Properties::Encoded(EncodedProperties::from_stored(stored));
        let space = self.wire.space(tables.wire, stored.len().saturating_add(HEAD));
        let (version, max) = (self.link.version, self.limits.maximum_packet_size as usize);
        let written = match owed.kind {
            OwedKind::Pubrec => Pubrec::with(id, owed.reason, properties).encode_within(version, max, space),
            _ => Puback::with(id, owed.reason, properties).encode_within(version, max, space),
        };
        match written {
            Ok(len) => {
                self.stats.packets_out.count(space.first().copied().unwrap_or(0));
                self.wire.written(len);
            }
            Err(EncodeError::BufferTooSmall { needed }) => {
                return Err(self.no_room(tables.wire.len(), needed));
            }
            Err(_) => self.put_owed(tables, owed)?,
        }
        self.forget_said(tables);
        Ok(())
    }

    /// What was to be said with the acknowledgement whose turn it was is not needed any more.
    pub(super) fn forget_said(&mut self, tables: &mut Tables<'_>) {
        let note = core::mem::replace(&mut self.said, NONE);
        if note != NONE {
            self.free_note(tables, note);
        }
    }

    fn free_note(&mut self, tables: &mut Tables<'_>, note: u32) {
        self.kept = self.kept.saturating_sub(cost(Arena::entry(tables.arena, note).len()));
        self.arena.free(tables.arena, note);
    }

    pub(super) fn forget_note(&mut self, tables: &mut Tables<'_>, index: u32) {
        let Some(entry) = tables.exchanges.get_mut(index as usize).filter(|entry| entry.note != NONE) else {
            return;
        };
        let note = core::mem::replace(&mut entry.note, NONE);
        self.notes = self.notes.saturating_sub(1);
        self.free_note(tables, note);
    }

    /// Exchanges have ended without their acknowledgement. O(table), only where there are notes.
    pub(super) fn sweep_notes(&mut self, tables: &mut Tables<'_>) {
        if self.notes == 0 {
            return;
        }
        let len = u32::try_from(tables.exchanges.len()).unwrap_or(NONE);
        for index in 0..len {
            if tables.exchanges.get(index as usize).is_some_and(|entry| !entry.is_acknowledged()) {
                self.forget_note(tables, index);
            }
        }
    }
}

/// Squeezing moved an entry of the arena: where it is an acknowledgement's, who has it is told.
pub(super) fn moved(exchanges: &mut [Exchange], said: &mut u32, of: u32, at: u32) -> bool {
    if of == owner::SAID {
        *said = at;
        return true;
    }
    let index = of.checked_sub(owner::ACK).filter(|index| *index < 0xFFFF);
    if let Some(entry) = index.and_then(|index| exchanges.get_mut(index as usize)) {
        entry.note = at;
    }
    index.is_some()
}
