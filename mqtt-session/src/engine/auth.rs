//! Enhanced authentication: AUTH packets before CONNACK, and again while connected.
//!
//! ```text
//!             CONNECT names a method        ← AUTH 0x18            ← CONNACK 0, AUTH 0x00
//!  (none) ──────────────────────▶ Server ─────────────▶ Client     (from Server only)
//!                                  ▲  ▲ └──────────────── │ ────────────────▶ Over
//!                                  │  └───── → AUTH 0x18 ─┘                    │
//!                                  └──────────────── → AUTH 0x19 ─────────────┘
//! ```

use mqtt_proto::{Auth, Connack, Encode, EncodeError, PacketType, Peer, ReasonCode};

use super::handshake::fingerprint;
use super::pump::Stop;
use super::{Core, Need};
use crate::error::AuthError;
use crate::event::{Event, Why};
use crate::link::State;
use crate::storage::Tables;
use crate::timers::Timer;
use crate::trace::trace;

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Turn {
    /// CONNECT named no method: there is no enhanced authentication on this connection.
    Never,
    /// The server's: it was sent CONNECT or AUTH.
    Server,
    /// The client's: the server asked it to continue.
    Client,
    /// Nobody's: it has ended well, and the client may begin again.
    Over,
}

/// What an AUTH from the server leads to; else the rule it breaks.
const fn from_server(turn: Turn, reason: ReasonCode, connected: bool) -> Result<Turn, &'static str> {
    match (turn, reason) {
        (Turn::Never, _) => Err("MQTT-4.12.0-6"),
        // Before CONNACK an AUTH can only ask for more: success is what CONNACK says.
        (Turn::Server, ReasonCode::ContinueAuthentication) => Ok(Turn::Client),
        (Turn::Server, _) if connected => Ok(Turn::Over),
        (Turn::Server, _) => Err("MQTT-4.12.0-2"),
        // It has asked already and was not answered.
        (Turn::Client, _) => Err("MQTT-4.12.0-3"),
        // Only the client begins again.
        (Turn::Over, _) => Err("MQTT-4.12.1-1"),
    }
}

/// What an AUTH from the client leads to.
const fn from_client(turn: Turn, reason: ReasonCode) -> Result<Turn, AuthError> {
    match (reason, turn) {
        (_, Turn::Never) => Err(AuthError::NoMethod), // [MQTT-4.12.0-7]
        // [MQTT-4.12.0-3], [MQTT-4.12.1-1]
        (ReasonCode::ContinueAuthentication, Turn::Client) | (ReasonCode::ReAuthenticate, Turn::Over) => {
            Ok(Turn::Server)
        }
        (ReasonCode::ContinueAuthentication | ReasonCode::ReAuthenticate, _) => Err(AuthError::OutOfTurn),
        _ => Err(AuthError::InvalidReason),
    }
}

impl Core {
    /// Writes AUTH behind what lies in the wire buffer; `Some`: call again when that table has grown.
    pub(crate) fn authenticate(
        &mut self,
        tables: &mut Tables<'_>,
        auth: &Auth<'_>,
    ) -> Result<Need, AuthError> {
        if !matches!(self.link.state, State::Handshake | State::Up) {
            return Err(AuthError::NotConnected);
        }
        let turn = from_client(self.connection.auth, auth.reason_code)?;
        // [MQTT-4.12.0-5]
        if auth.properties.authentication_method().map(fingerprint) != self.handshake.method {
            return Err(AuthError::MethodChanged);
        }
        let version = self.link.version;
        let longest = auth.encoded_len(version).map_err(AuthError::Invalid)?;
        if longest > self.bounds.wire {
            return Err(AuthError::TooLarge { needed: longest, allowed: self.bounds.wire });
        }
        let allowed = self.limits.maximum_packet_size as usize;
        if self.is_mid_packet() {
            return Err(AuthError::NoRoom);
        }
        let space = self.wire.space(tables.wire, longest);
        // [MQTT-3.15.2-2], [MQTT-3.15.2-3]
        match auth.encode_within(version, allowed, space) {
            Ok(len) => {
                self.stats.packets_out.count(space.first().copied().unwrap_or(0));
                self.wire.written(len);
            }
            Err(EncodeError::BufferTooSmall { needed }) => {
                return match self.no_room(tables.wire.len(), needed) {
                    Stop::Need(table, len) => Ok(Some((table, len))),
                    Stop::Pause => Err(AuthError::NoRoom),
                };
            }
            Err(EncodeError::OverLimit { needed }) => {
                return Err(AuthError::TooLargeForServer { needed, allowed });
            }
            Err(error) => return Err(AuthError::Invalid(error)),
        }
        self.connection.auth = turn;
        trace!("AUTH sent: {}", auth.reason_code);
        if auth.reason_code == ReasonCode::ReAuthenticate {
            self.timers.set_pending(Timer::Connack, self.config.connack_timeout);
        }
        Ok(None)
    }

    /// The server's side of an exchange of AUTH packets.
    pub(super) fn handle_auth<'i>(&mut self, frame: &'i [u8]) -> Option<Event<'i>> {
        let auth = match Auth::decode(frame, self.link.version, Peer::Server) {
            Ok(auth) => auth,
            Err(error) => {
                self.malformed(error);
                return None;
            }
        };
        if self.explains_unasked(Some(PacketType::Auth), &auth.properties) {
            return None;
        }
        let connected = self.link.state == State::Up;
        let turn = from_server(self.connection.auth, auth.reason_code, connected).and_then(|turn| {
            let method = auth.properties.authentication_method().map(fingerprint);
            // [MQTT-4.12.0-5]; only the shortest form, which says success and nothing else, has none (U-18).
            if method.is_some() && method != self.handshake.method { Err("MQTT-4.12.0-5") } else { Ok(turn) }
        });
        match turn {
            Ok(turn) => {
                if turn == Turn::Over {
                    self.timers.clear(Timer::Connack);
                }
                self.connection.auth = turn;
                trace!("AUTH came: {}", auth.reason_code);
                Some(Event::Auth(auth))
            }
            Err(rule) => {
                self.violated(Why::Protocol(ReasonCode::ProtocolError, rule), ReasonCode::ProtocolError);
                None
            }
        }
    }

    /// Whether an accepting CONNACK keeps the rules of enhanced authentication; else the one it breaks.
    pub(super) fn judge_connack_auth(&self, connack: &Connack<'_>) -> Result<(), &'static str> {
        let method = connack.properties.authentication_method().map(fingerprint);
        match self.connection.auth {
            Turn::Never if method.is_some() => Err("MQTT-4.12.0-6"),
            Turn::Never => Ok(()),
            // [MQTT-4.12.0-5]: a CONNACK that accepts names the method, and the same one.
            _ if method != self.handshake.method => Err("MQTT-4.12.0-5"),
            Turn::Client => Err("MQTT-4.12.0-3"),
            Turn::Server | Turn::Over => Ok(()),
        }
    }

    /// The time for a re-authentication is over.
    pub(super) fn auth_overdue(&mut self) {
        if self.connection.held {
            // No answer can be seen while the driver keeps input back.
            self.timers.set(Timer::Connack, self.now.after(self.config.connack_timeout));
            return;
        }
        // [MQTT-4.12.1-2]
        self.close(Why::AuthTimeout, Some(ReasonCode::UnspecifiedError));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURNS: [Turn; 4] = [Turn::Never, Turn::Server, Turn::Client, Turn::Over];

    /// [5.0 MQTT-4.12.0-2] [5.0 MQTT-4.12.0-3] [5.0 MQTT-4.12.0-6] [5.0 MQTT-4.12.1-1] [S15]
    #[test]
    fn every_turn_and_reason_of_the_server_has_its_one_answer() {
        use ReasonCode::{ContinueAuthentication as More, Success as Good};
        let (none, early, again, uncalled) =
            (Err("MQTT-4.12.0-6"), Err("MQTT-4.12.0-2"), Err("MQTT-4.12.0-3"), Err("MQTT-4.12.1-1"));
        for (connected, reason, want) in [
            (false, More, [none, Ok(Turn::Client), again, uncalled]),
            (false, Good, [none, early, again, uncalled]),
            (true, More, [none, Ok(Turn::Client), again, uncalled]),
            (true, Good, [none, Ok(Turn::Over), again, uncalled]),
        ] {
            for (turn, want) in TURNS.into_iter().zip(want) {
                assert_eq!(from_server(turn, reason, connected), want, "{turn:?} {reason} {connected}");
            }
        }
    }

    /// [5.0 MQTT-4.12.0-3] [5.0 MQTT-4.12.0-7] [5.0 MQTT-4.12.1-1]
    #[test]
    fn every_turn_and_reason_of_the_client_has_its_one_answer() {
        use AuthError::{InvalidReason, NoMethod, OutOfTurn};
        for (reason, want) in [
            (
                ReasonCode::ContinueAuthentication,
                [Err(NoMethod), Err(OutOfTurn), Ok(Turn::Server), Err(OutOfTurn)],
            ),
            (ReasonCode::ReAuthenticate, [Err(NoMethod), Err(OutOfTurn), Err(OutOfTurn), Ok(Turn::Server)]),
            (
                ReasonCode::Success,
                [Err(NoMethod), Err(InvalidReason), Err(InvalidReason), Err(InvalidReason)],
            ),
        ] {
            for (turn, want) in TURNS.into_iter().zip(want) {
                assert_eq!(from_client(turn, reason), want, "{turn:?} {reason}");
            }
        }
    }
}
