//! Server redirection (5.0, section 4.13), by choice and bounded.
//!
//! A reference the server gave is kept in the arena, in room that is set aside for it, and is dialled in place
//! of the driver's own server: once (0x9C, use another server), or for the rest of the run (0x9D, server moved).

use mqtt_proto::{PacketType, Properties, ReasonCode};

use super::{Core, Need};
use crate::arena::{cost, owner};
use crate::config::Config;
use crate::event::Why;
use crate::link::State;
use crate::list::NONE;
use crate::storage::Tables;
use crate::trace::debug;

/// The longest list of references that is kept; of a longer one, the references at its front that fit.
const LONGEST: usize = 255;

/// Bytes of the arena that are set aside.
pub(super) const fn reserve(config: &Config) -> usize {
    if config.redirects == 0 { 0 } else { cost(LONGEST).saturating_mul(owner::REDIRECTS.len()) }
}

/// Which of the two kinds of reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// 0x9C: for the next attempt alone.
    Once,
    /// 0x9D: for the rest of the run.
    Moved,
}

/// A list of references in the arena.
#[derive(Clone, Copy, Debug, Hash)]
struct Kept {
    at: u32,
    len: usize,
}

impl Kept {
    fn text<'a>(&self, arena: &'a [u8]) -> &'a str {
        let start = self.at as usize;
        let bytes = arena.get(start..start.saturating_add(self.len)).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

/// What is kept of redirections.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Redirects {
    once: Option<Kept>,
    moved: Option<Kept>,
    /// What the connection that is ending was told: the next attempt dials it.
    due: Option<Kind>,
    /// What the present attempt dials.
    dialled: Option<Kind>,
    /// Redirections followed since the last healthy connection.
    hops: u8,
    /// Failed attempts at where the server moved: each takes the next reference of the list.
    failed: u8,
}

impl Redirects {
    pub(super) const fn new() -> Self {
        Self { once: None, moved: None, due: None, dialled: None, hops: 0, failed: 0 }
    }

    const fn kept(&mut self, kind: Kind) -> &mut Option<Kept> {
        match kind {
            Kind::Once => &mut self.once,
            Kind::Moved => &mut self.moved,
        }
    }

    /// An entry of the arena moved.
    pub(super) fn moved_to(&mut self, owner: u32, at: u32) {
        for (kind, own) in [Kind::Once, Kind::Moved].into_iter().zip(owner::REDIRECTS) {
            if let (true, Some(kept)) = (own == owner, self.kept(kind)) {
                kept.at = at;
            }
        }
    }

    /// An attempt begins.
    pub(super) fn begin(&mut self) {
        self.dialled = self.due.take().or(self.moved.map(|_| Kind::Moved));
    }
}

/// The references of a list, in order.
fn references(list: &str) -> impl Iterator<Item = &str> {
    list.split(' ').filter(|reference| !reference.is_empty())
}

/// The front of the list that is kept: whole references of at most [`LONGEST`] bytes together.
fn front(list: &str) -> &str {
    let list = list.trim_matches(' ');
    if list.len() <= LONGEST {
        return list;
    }
    let end = list.bytes().take(LONGEST.saturating_add(1)).rposition(|byte| byte == b' ');
    list.get(..end.unwrap_or(0)).unwrap_or_default().trim_matches(' ')
}

/// Whether the server sends its clients away.
pub(super) const fn is_redirect(why: &Why) -> bool {
    matches!(
        why,
        Why::Refused(ReasonCode::UseAnotherServer | ReasonCode::ServerMoved)
            | Why::ServerDisconnected(ReasonCode::UseAnotherServer | ReasonCode::ServerMoved)
    )
}

/// Whether this packet from the server may be one that redirects.
fn may_redirect(frame: &[u8]) -> bool {
    let Some((first, rest)) = frame.split_first() else { return false };
    let code = match PacketType::from_first_byte(*first) {
        Some(PacketType::Connack) => 1usize,
        Some(PacketType::Disconnect) => 0,
        _ => return false,
    };
    let length = rest.iter().take_while(|byte| **byte >= 0x80).count().saturating_add(1);
    let code = rest.get(length.saturating_add(code)).copied();
    code == Some(ReasonCode::UseAnotherServer as u8) || code == Some(ReasonCode::ServerMoved as u8)
}

impl Core {
    /// What the arena lacks to keep the reference that this packet may carry.
    #[inline]
    pub(super) fn room_for_reference(&mut self, tables: &mut Tables<'_>, frame: &[u8]) -> Need {
        if self.config.redirects == 0 || !may_redirect(frame) {
            return None;
        }
        self.room_in_arena(tables, LONGEST)
    }

    /// The server ends the connection: keeps where it sends its clients, if it does and that is followed.
    pub(super) fn redirected(
        &mut self,
        tables: &mut Tables<'_>,
        code: ReasonCode,
        properties: &Properties<'_>,
    ) {
        let kind = match code {
            ReasonCode::UseAnotherServer => Kind::Once,
            ReasonCode::ServerMoved => Kind::Moved,
            _ => return,
        };
        let list = front(properties.server_reference().unwrap_or_default());
        if self.was_healthy() {
            self.redirects.hops = 0;
        }
        if list.is_empty() || self.redirects.hops >= self.config.redirects {
            return;
        }
        if let Some(old) = self.redirects.kept(kind).take() {
            self.arena.free(tables.arena, old.at);
        }
        let owner = owner::REDIRECTS.get(kind as usize).copied().unwrap_or(NONE);
        let copy = |place: &mut [u8]| place.copy_from_slice(list.as_bytes());
        let Some(at) = self.arena.put(tables.arena, owner, list.len(), copy) else { return };
        *self.redirects.kept(kind) = Some(Kept { at, len: list.len() });
        debug!("sent to another server: {code}");
        self.redirects.due = Some(kind);
        self.redirects.hops = self.redirects.hops.saturating_add(1);
        if kind == Kind::Moved {
            self.redirects.failed = 0;
        }
    }

    /// A connection, or an attempt, has ended. Whether it was not one of the driver's own servers, or the next
    /// will not be; and whether the next attempt follows a redirection.
    pub(super) fn redirect_over(
        &mut self,
        tables: &mut Tables<'_>,
        was: State,
        healthy: bool,
    ) -> (bool, bool) {
        let follows = self.redirects.due.is_some();
        if healthy && !follows {
            self.redirects.hops = 0;
        }
        let dialled = self.redirects.dialled.take();
        match dialled {
            Some(Kind::Once) if self.redirects.due != Some(Kind::Once) => {
                if let Some(old) = self.redirects.once.take() {
                    self.arena.free(tables.arena, old.at);
                }
            }
            Some(Kind::Moved) if was != State::Up && !follows => {
                self.redirects.failed = self.redirects.failed.wrapping_add(1);
            }
            _ => {}
        }
        (follows || dialled.is_some(), follows)
    }

    /// A new run begins at the driver's own servers.
    pub(super) fn forget_redirects(&mut self, tables: &mut Tables<'_>) {
        for kept in [self.redirects.once, self.redirects.moved].into_iter().flatten() {
            self.arena.free(tables.arena, kept.at);
        }
        self.redirects = Redirects::new();
    }

    /// What the present attempt dials, or the connection is to, in place of the driver's own server.
    pub(crate) fn redirect<'a>(&self, arena: &'a [u8]) -> Option<&'a str> {
        if !matches!(self.link.state, State::Opening | State::Handshake | State::Up) {
            return None;
        }
        let (kept, number) = match self.redirects.dialled? {
            Kind::Once => (self.redirects.once, 0),
            Kind::Moved => (self.redirects.moved, usize::from(self.redirects.failed)),
        };
        let list = kept?.text(arena);
        references(list).nth(number.checked_rem(references(list).count())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_list_the_references_that_fit_are_kept_whole() {
        assert_eq!(front("  a b:1  "), "a b:1");
        let long = "x".repeat(100);
        let list = format!("{long} {long} {long}");
        assert_eq!(front(&list), format!("{long} {long}"));
        assert_eq!(front(&"y".repeat(256)), "");
        assert_eq!(front(&"y".repeat(255)), "y".repeat(255));
        let exact = format!("{} z", "y".repeat(255));
        assert_eq!(front(&exact), "y".repeat(255));
        assert_eq!(references(" a  b ").collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn only_the_two_codes_in_the_two_packets_may_redirect() {
        assert!(may_redirect(&[0x20, 0x03, 0x00, 0x9C, 0x00]));
        assert!(may_redirect(&[0xE0, 0x01, 0x9D]));
        assert!(may_redirect(&[0x20, 0x83, 0x01, 0x00, 0x9D]));
        assert!(!may_redirect(&[0x20, 0x03, 0x9C, 0x00, 0x00]));
        assert!(!may_redirect(&[0x40, 0x01, 0x9D]));
        assert!(!may_redirect(&[0xE0, 0x00]));
        assert!(!may_redirect(&[]));
    }
}
