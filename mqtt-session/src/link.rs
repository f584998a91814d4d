//! The life of a connection: when to dial, whether to try again, and what happened.
//!
//! ```text
//!          start                opened            CONNACK 0
//!  Idle ──────────▶ Opening ──────────▶ Handshake ──────────▶ Up
//!   ▲                ▲   │ failed           │ failed           │ cut
//!   │ fatal,         │   ▼                  ▼                  ▼
//!   │ stopped        └─ Backoff ◀─────── (Closing: last bytes, Command::Close)
//!   └────────────────────┘
//! ```

use core::time::Duration;

use mqtt_proto::{ReasonCode, Version};

use crate::config::{Backoff, ServerOrder};
use crate::event::{Anomaly, Why};
use crate::time::{Instant, micros};
use crate::token::Token;

/// Where the link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// Not started, or stopped.
    Idle,
    /// Waiting before the next attempt.
    Backoff,
    /// The driver dials.
    Opening,
    /// CONNECT is handed out, CONNACK awaited.
    Handshake,
    /// Connected.
    Up,
    /// The session ends the connection: last bytes leave, then `Command::Close`, then `closed`.
    Closing,
}

/// The link, its attempts and what it owes the driver.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Link {
    pub(crate) state: State,
    /// `Command::Open` is to be fetched.
    pub(crate) open_wanted: bool,
    /// The next attempt fell due while notices were waiting to be fetched.
    pub(crate) attempt_due: bool,
    /// `Command::Close` was fetched.
    pub(crate) close_given: bool,
    /// Closing: nothing more is waited for.
    pub(crate) flushed: bool,
    /// Closing: a DISCONNECT is still to be written.
    pub(crate) disconnect: Option<ReasonCode>,
    /// Closing: why.
    pub(crate) why: Option<Why>,
    /// `stop` was called.
    pub(crate) stopping: bool,
    /// Attempts since the last healthy connection.
    pub(crate) attempt: u32,
    pub(crate) server: u8,
    /// No connection of this run was accepted yet.
    pub(crate) first: bool,
    pub(crate) up_since: Instant,
    /// When a connection last broke with bytes of it possibly still on their way.
    pub(crate) ghost: Option<Instant>,
    pub(crate) version: Version,
    /// The highest version still tried, and whether a server accepted it.
    pub(crate) highest: Version,
    pub(crate) proved: bool,
    /// Connections in a row that the server closed without a word on CONNECT.
    pub(crate) silent: u8,
    random: u64,
}

impl Link {
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            state: State::Idle,
            open_wanted: false,
            attempt_due: false,
            close_given: false,
            flushed: false,
            disconnect: None,
            why: None,
            stopping: false,
            attempt: 0,
            server: 0,
            first: true,
            up_since: Instant::ZERO,
            ghost: None,
            version: Version::V5,
            highest: Version::V5,
            proved: false,
            silent: 0,
            random: seed,
        }
    }

    /// SplitMix64: small, and good enough to spread a fleet.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// The next server to try: after a connection that was up, or after an attempt that failed.
    pub(crate) fn choose_server(&mut self, order: ServerOrder, servers: u8, was_up: bool) {
        let servers = servers.max(1);
        self.server = match order {
            ServerOrder::Random => {
                u8::try_from(self.random().checked_rem(u64::from(servers)).unwrap_or(0)).unwrap_or(0)
            }
            ServerOrder::Priority if was_up => 0,
            ServerOrder::RoundRobin if was_up => self.server,
            _ => self.server.saturating_add(1).checked_rem(servers).unwrap_or(0),
        };
    }

    /// One step down the ladder of versions, if this end of a handshake asks for it and there is one.
    pub(crate) fn step_down(&mut self, why: &Why, silent: bool) -> bool {
        if self.proved {
            return false;
        }
        self.silent = if silent { self.silent.saturating_add(1) } else { 0 };
        let asked = matches!(why, Why::VersionRefused | Why::Refused(ReasonCode::UnsupportedProtocolVersion));
        if !asked && self.silent < 2 {
            return false;
        }
        self.silent = 0;
        self.highest = match self.version {
            Version::V5 => Version::V3_1_1,
            Version::V3_1_1 => Version::V3_1,
            Version::V3_1 => return false,
        };
        true
    }

    /// The delay before the next attempt: even between 0 and the cap of this attempt.
    pub(crate) fn delay(&mut self, backoff: &Backoff) -> Duration {
        let doublings = self.attempt.saturating_sub(1).min(40);
        let bound =
            micros(backoff.base).saturating_mul(1u64.wrapping_shl(doublings)).min(micros(backoff.cap));
        let drawn = self.random() as u128;
        let scaled = drawn.wrapping_mul(u128::from(bound).saturating_add(1)) >> 64;
        Duration::from_micros(u64::try_from(scaled).unwrap_or(bound))
    }
}

/// Whether it makes no sense to try again: the next attempt would end the same way, or the server
/// asked for none.
pub(crate) const fn is_fatal(why: &Why) -> bool {
    match why {
        Why::Refused(code) => !matches!(
            code,
            ReasonCode::ServerUnavailable
                | ReasonCode::ServerBusy
                | ReasonCode::QuotaExceeded
                | ReasonCode::ConnectionRateExceeded
                | ReasonCode::UnspecifiedError
                | ReasonCode::ImplementationSpecificError
                | ReasonCode::UseAnotherServer
                | ReasonCode::ServerMoved
        ),
        // Two clients of one identifier would take the session from each other for ever.
        Why::ServerDisconnected(code) => {
            matches!(
                code,
                ReasonCode::SessionTakenOver
                    | ReasonCode::NotAuthorized
                    | ReasonCode::Banned
                    | ReasonCode::BadAuthenticationMethod
            )
        }
        // In 3.x the own limit cannot be announced: the server would flood the next connection too.
        Why::Flooded { .. } | Why::VersionRefused | Why::ConnectInvalid | Why::Stopped => true,
        _ => false,
    }
}

/// What time and transport did, to be fetched with `poll_event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Notice {
    Connecting { attempt: u32, server: u8 },
    Disconnected { why: Why, retry: Option<Duration> },
    SessionLost { republished: u32, ended: u32 },
    Aborted,
    Suspect { token: Token },
    Stopped { left: u32 },
}

const NOTICES: usize = 9;

/// A short queue of notices. It cannot overflow: no new attempt begins while more than
/// `Notices::CALM` wait, and one attempt makes at most seven.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Notices {
    ring: [Notice; NOTICES],
    len: usize,
    /// The last anomaly that was not fetched yet.
    pub(crate) anomaly: Option<Anomaly>,
}

impl Notices {
    const CALM: usize = 2;

    pub(crate) const fn new() -> Self {
        Self { ring: [Notice::Stopped { left: 0 }; NOTICES], len: 0, anomaly: None }
    }

    pub(crate) const fn is_calm(&self) -> bool {
        self.len <= Self::CALM
    }

    /// Whether the end of a run was not fetched yet.
    pub(crate) fn has_stopped(&self) -> bool {
        self.ring.iter().take(self.len).any(|notice| matches!(notice, Notice::Stopped { .. }))
    }

    pub(crate) fn push(&mut self, notice: Notice) {
        if let Some(place) = self.ring.get_mut(self.len) {
            *place = notice;
            self.len = self.len.saturating_add(1);
        }
    }

    pub(crate) fn front(&self) -> Option<&Notice> {
        self.ring.get(..self.len)?.first()
    }

    pub(crate) fn pop(&mut self) {
        self.ring.rotate_left(1);
        self.len = self.len.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_cap_and_use_the_whole_range() {
        let backoff = Backoff::new();
        let mut link = Link::new(7);
        for attempt in 1..60 {
            link.attempt = attempt;
            let bound = backoff.cap.min(backoff.base.saturating_mul(1 << (attempt - 1).min(20)));
            let drawn: Vec<Duration> = (0..200).map(|_| link.delay(&backoff)).collect();
            assert!(drawn.iter().all(|delay| *delay <= bound), "attempt {attempt}");
            assert!(drawn.iter().any(|delay| *delay > bound * 9 / 10), "attempt {attempt}");
            assert!(drawn.iter().any(|delay| *delay < bound / 10), "attempt {attempt}");
        }
    }

    /// The numbers of the generator's author, so that a seed means the same in every version.
    #[test]
    fn the_generator_is_split_mix_64() {
        let mut link = Link::new(0);
        let drawn = [link.random(), link.random(), link.random()];
        assert_eq!(drawn, [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F]);
    }

    #[test]
    fn two_seeds_draw_different_delays_and_one_seed_the_same() {
        let draw = |seed| {
            let mut link = Link::new(seed);
            link.attempt = 5;
            link.delay(&Backoff::new())
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn a07_bad_credentials_and_a_take_over_are_fatal_and_a_busy_server_is_not() {
        for code in [
            ReasonCode::BadUserNameOrPassword,
            ReasonCode::NotAuthorized,
            ReasonCode::Banned,
            ReasonCode::ClientIdentifierNotValid,
            ReasonCode::BadAuthenticationMethod,
            ReasonCode::UnsupportedProtocolVersion,
        ] {
            assert!(is_fatal(&Why::Refused(code)), "{code}");
        }
        assert!(!is_fatal(&Why::Refused(ReasonCode::ServerBusy)));
        assert!(is_fatal(&Why::ServerDisconnected(ReasonCode::SessionTakenOver)));
        assert!(!is_fatal(&Why::ServerDisconnected(ReasonCode::ServerShuttingDown)));
        assert!(!is_fatal(&Why::PeerClosed));
    }
}
