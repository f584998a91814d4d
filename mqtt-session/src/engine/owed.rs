//! Acknowledgements that are owed: noted when something came, written when something leaves.

use mqtt_proto::{Encode, EncodeError, PacketId, Properties, Puback, Pubcomp, Pubrec, Pubrel, ReasonCode};

use super::Core;
use super::pump::Stop;
use super::receive::SHORT_ACK;
use crate::inbound::{Owed, OwedKind};
use crate::storage::{Table, Tables};

impl Core {
    #[inline(always)]
    pub(super) fn owe(&mut self, tables: &mut Tables<'_>, kind: OwedKind, id: PacketId, reason: ReasonCode) {
        self.owed.push(tables.owed, Owed::new(kind, id, reason));
    }

    pub(super) fn pump_owed(&mut self, tables: &mut Tables<'_>) -> Result<(), Stop> {
        loop {
            while let Some(owed) = self.owed.front(tables.owed) {
                if owed.explained {
                    self.put_explained(tables, owed)?;
                } else {
                    self.put_owed(tables, owed)?;
                }
                if owed.kind == OwedKind::Pubrec && owed.reason.is_error() {
                    self.exchanges.refusal_written(tables.exchanges, self.wire.position());
                }
                self.owed.pop(tables.owed, owed);
            }
            // What the application acknowledged waits in the exchanges until the ring has room.
            if !self.exchanges.has_acknowledged(tables.exchanges) {
                return Ok(());
            }
            if self.connection.large.is_some() && self.bounds.inbound == 1 {
                // The only place belongs to the message on its way in.
                return Ok(());
            }
            if tables.owed.is_empty() {
                return Err(Stop::Need(Table::Owed, 1));
            }
            let refusable = self.link.version.has_properties();
            if let Some((mut owed, index)) = self.exchanges.next_acknowledged(tables.exchanges, refusable) {
                owed.explained = self.take_note(tables, index);
                self.owed.push(tables.owed, owed);
            }
        }
    }

    #[inline(always)]
    pub(super) fn put_owed(&mut self, tables: &mut Tables<'_>, owed: Owed) -> Result<(), Stop> {
        let Some(id) = owed.id() else { return Ok(()) };
        let version = self.link.version;
        if owed.reason == ReasonCode::Success {
            let mut ack = [0; SHORT_ACK];
            let written = match owed.kind {
                OwedKind::Puback => Puback::new(id).encode(version, &mut ack),
                OwedKind::Pubrec => Pubrec::new(id).encode(version, &mut ack),
                OwedKind::Pubrel => Pubrel::new(id).encode(version, &mut ack),
                OwedKind::Pubcomp => Pubcomp::new(id).encode(version, &mut ack),
            };
            let encode = |out: &mut [u8]| {
                let place = out.first_chunk_mut().ok_or(EncodeError::BufferTooSmall { needed: SHORT_ACK })?;
                *place = ack;
                written
            };
            return self.put(tables, encode, SHORT_ACK);
        }
        self.put_reason(tables, owed, id)
    }

    /// An acknowledgement that says more than that all went well.
    #[cold]
    fn put_reason(&mut self, tables: &mut Tables<'_>, owed: Owed, id: PacketId) -> Result<(), Stop> {
        let (version, reason) = (self.link.version, owed.reason);
        let encode = |out: &mut [u8]| match owed.kind {
            OwedKind::Puback => Puback::with(id, reason, Properties::EMPTY).encode(version, out),
            OwedKind::Pubrec => Pubrec::with(id, reason, Properties::EMPTY).encode(version, out),
            OwedKind::Pubrel => Pubrel::with(id, reason, Properties::EMPTY).encode(version, out),
            OwedKind::Pubcomp => Pubcomp::with(id, reason, Properties::EMPTY).encode(version, out),
        };
        self.put(tables, encode, 5)
    }
}
