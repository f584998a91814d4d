//! The last packet of a connection, and what `stop` wants said in it.

use mqtt_proto::{
    Disconnect, Encode, EncodeError, EncodedProperties, Peer, Properties, PropertyPlace, ReasonCode, Version,
};

use super::Core;
use super::pump::Stop as Pause;
use crate::arena::{cost, owner};
use crate::error::StopError;
use crate::event::Why;
use crate::link::State;
use crate::options::Stop;
use crate::storage::Tables;
use crate::timers::Timer;

/// The most bytes a DISCONNECT has beside its properties.
const HEAD: usize = 12;

/// Whether a client may send DISCONNECT with this code. [MQTT-3.14.2-1]
fn is_allowed(code: ReasonCode) -> bool {
    let mut packet = [0; 4];
    let written = Disconnect::new(code).encode(Version::V5, &mut packet).unwrap_or(0);
    let packet = packet.get(..written).unwrap_or_default();
    Disconnect::decode(packet, Version::V5, Peer::Client).is_ok()
}

impl Core {
    /// The bytes that the DISCONNECT properties will keep.
    pub(crate) fn plan_farewell(&self, how: &Stop<'_>) -> Result<usize, StopError> {
        if !is_allowed(how.reason_code) {
            return Err(StopError::InvalidReason);
        }
        let properties = &how.properties;
        properties.check_from(PropertyPlace::Disconnect, Peer::Client).map_err(StopError::Invalid)?;
        let connected = matches!(self.link.state, State::Handshake | State::Up);
        if connected && self.raises_expiry(properties) {
            return Err(StopError::ExpiryRaised);
        }
        if self.farewell.is_some() {
            // What the first call said stands.
            return Ok(0);
        }
        let len = properties.body_len();
        if len == 0 {
            return Ok(0);
        }
        if len.saturating_add(HEAD) > self.bounds.wire
            || self.kept.saturating_add(cost(len)) > self.bounds.arena
        {
            return Err(StopError::NoRoom);
        }
        Ok(len)
    }

    /// U-19: a session that was to end with the connection cannot be made to outlive it.
    fn raises_expiry(&self, properties: &Properties<'_>) -> bool {
        self.handshake.session_expiry == 0 && properties.session_expiry_interval().is_some_and(|new| new != 0)
    }

    /// Keeps planned DISCONNECT properties until they can be sent. The caller has made room.
    pub(crate) fn keep_farewell(&mut self, tables: &mut Tables<'_>, properties: Properties<'_>, len: usize) {
        // Planned on the same properties, so they fit.
        let put = self.arena.put(tables.arena, owner::STOP, len, |place| {
            let _ = properties.write_body(place);
        });
        let Some(at) = put else { return };
        self.kept = self.kept.saturating_add(cost(len));
        self.farewell = Some((at, len));
    }

    pub(super) fn forget_farewell(&mut self, tables: &mut Tables<'_>) {
        if let Some((at, len)) = self.farewell.take() {
            self.arena.free(tables.arena, at);
            self.kept = self.kept.saturating_sub(cost(len));
        }
    }

    pub(crate) fn stop(&mut self, tables: &mut Tables<'_>, how: &Stop<'_>) {
        if !self.link.stopping {
            self.link.stopping = true;
            self.farewell_code = how.reason_code;
            if !how.drain.is_zero() {
                self.timers.set_pending(Timer::Drain, how.drain);
            }
        }
        if how.drain.is_zero() {
            self.finish();
        }
        self.settle(tables);
    }

    /// The last packet of a connection.
    pub(super) fn pump_farewell(&mut self, tables: &mut Tables<'_>) -> Result<(), Pause> {
        let Some(reason_code) = self.link.disconnect else { return Ok(()) };
        let version = self.link.version;
        let own = self.link.why == Some(Why::Stopped) && version.has_properties();
        let stored = if own { self.farewell.map_or(0, |(_, len)| len) } else { 0 };
        let bytes = self.farewell.filter(|_| own).and_then(|(at, len)| {
            let start = at as usize;
            tables.arena.get(start..start.saturating_add(len))
        });
        let mut properties = Properties::Encoded(EncodedProperties::from_stored(bytes.unwrap_or_default()));
        if self.raises_expiry(&properties) {
            // The CONNECT of a later connection than the one `stop` was called on asked for less.
            properties = Properties::EMPTY;
        }
        let packet = Disconnect { reason_code, properties };
        let expiry = properties.session_expiry_interval();
        let space = self.wire.space(tables.wire, stored.saturating_add(HEAD));
        // [MQTT-3.14.2-3], [MQTT-3.14.2-4]
        match packet.encode_within(version, self.limits.maximum_packet_size as usize, space) {
            Ok(len) => {
                self.stats.packets_out.count(space.first().copied().unwrap_or(0));
                self.wire.written(len);
                self.link.disconnect = None;
                self.connection.last_word = expiry;
                Ok(())
            }
            Err(EncodeError::BufferTooSmall { needed }) => Err(self.no_room(tables.wire.len(), needed)),
            Err(_) => {
                self.link.disconnect = None;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [5.0 MQTT-3.14.2-1]
    #[test]
    fn a_client_sends_only_the_reasons_the_table_gives_it() {
        for code in [
            ReasonCode::Success,
            ReasonCode::DisconnectWithWill,
            ReasonCode::UnspecifiedError,
            ReasonCode::AdministrativeAction,
            ReasonCode::ImplementationSpecificError,
        ] {
            assert!(is_allowed(code), "{code}");
        }
        for code in [
            ReasonCode::ServerBusy,
            ReasonCode::SessionTakenOver,
            ReasonCode::ServerMoved,
            ReasonCode::GrantedQos1,
            ReasonCode::ContinueAuthentication,
        ] {
            assert!(!is_allowed(code), "{code}");
        }
    }
}
