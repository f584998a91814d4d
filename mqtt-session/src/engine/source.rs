//! Sending a message whose payload is not kept: it is asked for while its packet is sent.
//!
//! Once the head is in the wire buffer, nothing else may be written there until the payload is complete:
//! acknowledgements, pings and other messages wait. What is kept of it is this state and the head.

use super::Core;
use super::accept::{Accepted, Body};
use super::pump::GATHER;
use crate::error::{ProvideError, PublishError};
use crate::event::{Event, Why};
use crate::limits::LONGEST_PACKET;
use crate::link::State;
use crate::list::change;
use crate::operation::Ending;
use crate::options::Message;
use crate::storage::{Table, Tables};
use crate::timers::Timer;
use crate::token::Token;

/// The packet in progress.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Source {
    slot: u32,
    token: Token,
    /// Bytes of the payload that were provided.
    given: u32,
    /// Bytes of it in all.
    len: u32,
    /// It was asked for, and nothing was provided since.
    asked: bool,
}

impl Source {
    const fn left(&self) -> u32 {
        self.len.saturating_sub(self.given)
    }
}

/// What became of a piece of payload.
pub(crate) enum Provided {
    /// So many bytes of it were taken.
    Taken(usize),
    /// A table is too short; call again when it has grown.
    Need((Table, usize)),
    Refused(ProvideError),
}

impl Core {
    /// Accepts a message of which the payload, of `len` bytes, is not kept. Called again after `Need`, it goes
    /// on.
    pub(crate) fn publish_sourced(
        &mut self,
        tables: &mut Tables<'_>,
        message: &Message<'_>,
        len: u32,
    ) -> Accepted {
        if len > LONGEST_PACKET {
            let (needed, allowed) = (len as usize, LONGEST_PACKET as usize);
            return Accepted::Refused(PublishError::TooLarge { needed, allowed });
        }
        match self.plan_publish(tables, message, len as usize, Body::Sourced) {
            Ok(plan) => self.accept_planned(tables, message, &[], &plan),
            Err(reason) => Accepted::Refused(reason),
        }
    }

    /// The head of a message was written whose payload comes from elsewhere.
    pub(super) fn begin_source(&mut self, tables: &Tables<'_>, slot: u32) {
        let Some(operation) = tables.slots.get(slot as usize) else { return };
        let (token, len) = (Token::new(slot, operation.generation), operation.payload_len);
        if len != 0 {
            self.connection.source = Some(Source { slot, token, given: 0, len, asked: false });
        }
    }

    /// Whether the last packet in the wire buffer is not complete: nothing may be written behind it.
    pub(super) const fn is_mid_packet(&self) -> bool {
        self.connection.source.is_some()
    }

    /// The most bytes that lie in the wire buffer while a payload is provided.
    fn source_window(&self) -> usize {
        self.bounds.wire.min(GATHER)
    }

    fn source_room(&self) -> usize {
        self.source_window().saturating_sub(self.wire.pending())
    }

    /// The packet in progress, if there is room for a piece that is worth asking for.
    fn wanting(&self) -> Option<Source> {
        let source = self.connection.source.filter(|_| self.link.state == State::Up)?;
        let left = usize::try_from(source.left()).unwrap_or(usize::MAX);
        let worth = (self.source_window() / 2).clamp(1, left.max(1));
        (self.source_room() >= worth).then_some(source)
    }

    pub(super) fn next_wanted(&mut self) -> Option<Event<'static>> {
        let Source { token, given, .. } = self.wanting().filter(|source| !source.asked)?;
        if let Some(source) = &mut self.connection.source {
            source.asked = true;
        }
        Some(Event::PayloadWanted { token, offset: given })
    }

    /// Takes the next piece of the payload of the packet in progress.
    pub(crate) fn provide(
        &mut self,
        tables: &mut Tables<'_>,
        token: Token,
        offset: u32,
        bytes: &[u8],
    ) -> Provided {
        let progress = self.connection.source.filter(|_| self.link.state == State::Up);
        let Some(mut source) = progress.filter(|source| source.token == token) else {
            return Provided::Refused(ProvideError::Stale);
        };
        if offset != source.given {
            return Provided::Refused(ProvideError::OutOfPlace { wanted: source.given });
        }
        if bytes.len() > source.left() as usize {
            return Provided::Refused(ProvideError::TooLong { left: source.left() });
        }
        let count = bytes.len().min(self.source_room());
        if count == 0 {
            return Provided::Taken(0);
        }
        let space = self.wire.space(tables.wire, count);
        let (Some(place), Some(part)) = (space.get_mut(..count), bytes.get(..count)) else {
            return match self.no_room(tables.wire.len(), count) {
                super::pump::Stop::Need(table, len) => Provided::Need((table, len)),
                super::pump::Stop::Pause => Provided::Taken(0),
            };
        };
        place.copy_from_slice(part);
        self.wire.written(count);
        source.given = source.given.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        source.asked = false;
        self.timers.clear(Timer::Source);
        if source.left() == 0 {
            self.connection.source = None;
            change(tables.slots, source.slot, |slot| slot.complete = true);
        } else {
            self.connection.source = Some(source);
            if self.wanting().is_some() {
                self.timers.set_pending(Timer::Source, self.config.source_timeout);
            }
        }
        Provided::Taken(count)
    }

    /// The source has its time from when there is room for what it is asked for.
    pub(super) fn watch_source(&mut self) {
        if self.connection.source.is_none() {
            return;
        }
        if self.wanting().is_none() {
            self.timers.clear(Timer::Source);
        } else if !self.timers.is_set(Timer::Source) {
            self.timers.set(Timer::Source, self.now.after(self.config.source_timeout));
        }
    }

    /// The source fell silent: the packet can neither be completed nor taken back, so the connection goes;
    /// and the message with it, or the next connection would wait for it again.
    pub(super) fn source_silent(&mut self, tables: &mut Tables<'_>) {
        let Some(source) = self.connection.source else { return };
        let known =
            tables.slots.get(source.slot as usize).is_some_and(|slot| !slot.first_time && slot.complete);
        // Sent as a whole before and not acknowledged: the server may hold a half of its exchange.
        if known {
            self.tear_session();
        }
        self.end(tables, source.slot, Ending::Abandoned);
        self.close(Why::SourceTimeout, None);
    }

    /// The transport took bytes of a packet that is not complete: a ping that is owed can only follow it,
    /// so its answer has its time from now.
    pub(super) fn put_ping_off(&mut self) {
        if self.is_mid_packet() && self.connection.ping_open {
            self.timers.set(Timer::Ping, self.now.after(self.ping_timeout()));
        }
    }
}
