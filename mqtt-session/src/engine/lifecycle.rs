//! Beginning, ending and trying again.

use core::time::Duration;

use mqtt_proto::{DecodeError, ReasonCode};

use super::redirect::is_redirect;
use super::{Core, Give};
use crate::event::{Closed, Why};
use crate::link::{Notice, State, is_fatal};
use crate::list::{NONE, change, prev};
use crate::operation::{Ending, Kind};
use crate::planted::planted;
use crate::qos::Stage;
use crate::storage::Tables;
use crate::time::Instant;
use crate::timers::Timer;
use crate::token::Token;
use crate::trace::{debug, trace};

/// How long the last bytes before closing may take to leave.
const FLUSH: Duration = Duration::from_secs(1);

impl Core {
    /// The next attempt: its command waits until the notices before it were fetched.
    pub(super) fn begin_attempt(&mut self) {
        self.link.attempt = self.link.attempt.saturating_add(1);
        self.link.state = State::Opening;
        self.link.open_wanted = true;
        self.link.close_given = false;
        self.link.flushed = false;
        self.link.disconnect = None;
        self.link.why = None;
        self.redirects.begin();
        trace!("attempt {} at server {}", self.link.attempt, self.link.server);
        self.notices.push(Notice::Connecting { attempt: self.link.attempt, server: self.link.server });
    }

    /// Begins the attempt that fell due, unless so many notices wait that there is no room for its own.
    pub(super) fn attempt_if_calm(&mut self) {
        if self.link.attempt_due && self.notices.is_calm() {
            self.link.attempt_due = false;
            self.begin_attempt();
        }
    }

    pub(crate) fn poll_command(&mut self, tables: &mut Tables<'_>) -> Option<Give> {
        if self.records()
            && let Some(give) = self.next_record(tables)
        {
            return Some(give);
        }
        match self.link.state {
            State::Opening if self.link.open_wanted && self.notices.is_calm() && !self.awaits_session() => {
                self.link.open_wanted = false;
                self.timers.set_pending(Timer::Dial, self.config.dial_timeout);
                Some(Give::Open { attempt: self.link.attempt, server: self.link.server })
            }
            State::Closing if !self.link.close_given && self.is_flushed() => {
                self.link.close_given = true;
                self.timers.clear(Timer::Flush);
                Some(Give::Close)
            }
            _ => None,
        }
    }

    fn is_flushed(&self) -> bool {
        self.link.flushed || (self.wire.is_empty() && self.link.disconnect.is_none())
    }

    /// Ends the connection from this side, in 5.0 with a DISCONNECT that says why.
    #[cold]
    pub(super) fn close(&mut self, why: Why, disconnect: Option<ReasonCode>) {
        let was = self.link.state;
        if matches!(was, State::Idle | State::Backoff | State::Closing) {
            return;
        }
        for timer in [Timer::Dial, Timer::Connack, Timer::Ping, Timer::Partial, Timer::Ack, Timer::Source] {
            self.timers.clear(timer);
        }
        self.abort_large();
        self.link.why = Some(why);
        if was == State::Opening && self.link.open_wanted {
            // The driver knows of no transport yet.
            self.link.open_wanted = false;
            self.disconnected(why, false);
            return;
        }
        self.link.state = State::Closing;
        // In the middle of a payload there is no place for a last word.
        let disconnect = disconnect.filter(|_| !self.is_mid_packet());
        // Without a last word there is nothing to wait for.
        self.link.flushed = disconnect.is_none();
        self.link.disconnect = disconnect;
        if disconnect.is_some() {
            self.timers.set_pending(Timer::Flush, FLUSH);
        }
    }

    /// The server sent what it must not: 5.0 tells it, 3.x closes.
    #[cold]
    pub(super) fn malformed(&mut self, error: DecodeError) {
        self.violated(Why::Malformed(error), error.reason_code);
    }

    #[cold]
    pub(super) fn violated(&mut self, why: Why, code: ReasonCode) {
        self.close(why, self.link.version.has_properties().then_some(code));
    }

    pub(crate) fn closed(&mut self, tables: &mut Tables<'_>, closed: Closed, now: Instant) {
        self.tell(now);
        let was = self.link.state;
        if matches!(was, State::Idle | State::Backoff) || (was == State::Opening && self.link.open_wanted) {
            return;
        }
        let why = self.link.why.unwrap_or(match closed {
            Closed::DialFailed => Why::DialFailed,
            Closed::Failed => Why::TransportFailed,
            Closed::Ended | Closed::Carried => Why::PeerClosed,
        });
        // What was on its way when the connection broke may still reach the server: a session may come
        // of it, and an end to the connection that follows.
        let sent = self.wire.taken() != 0;
        let unanswered = self.connection.handshaking && sent;
        self.session_made |= unanswered;
        let own_ghost = self.is_own_ghost(&why);
        if own_ghost {
            self.link.ghost = None;
        } else if sent
            && !matches!(
                why,
                Why::Refused(_) | Why::VersionRefused | Why::ServerDisconnected(_) | Why::Stopped
            )
        {
            self.link.ghost = Some(self.now);
        }
        let silent = was == State::Handshake && sent && self.connection.partial.is_none();
        self.abort_large();
        let stepped = was != State::Up
            && self.config.version_ladder
            && !self.handshake.needs_5
            && self.link.step_down(&why, silent);
        let healthy = self.was_healthy();
        self.start_session_clock();
        self.suspect(tables);
        self.take_back_unsent(tables);
        self.reset_connection(tables);
        if healthy {
            self.link.attempt = 0;
        }
        let (foreign, redirected) = self.redirect_over(tables, was, healthy);
        if !stepped && !foreign {
            self.link.choose_server(self.config.server_order, self.config.servers, was == State::Up);
        }
        self.disconnected(why, own_ghost || stepped || redirected);
        self.settle(tables);
    }

    /// A connection is lost: notes which operation it was lost on, if any was handed out.
    fn suspect(&mut self, tables: &mut Tables<'_>) {
        let epoch = self.connection.epoch;
        let first = [self.ops.release.head(), self.ops.order.head()].into_iter().find_map(|index| {
            let slot = tables.slots.get(index as usize)?;
            (slot.epoch == epoch && slot.position < self.wire.taken())
                .then(|| (index, Token::new(index, slot.generation)))
        });
        let Some((index, token)) = first else { return };
        let times = match self.first_unacked {
            Some((last, times)) if last == token => times.saturating_add(1),
            _ => 1,
        };
        self.first_unacked = Some((token, times));
        if times != self.config.suspect.after {
            return;
        }
        self.notices.push(Notice::Suspect { token });
        if self.config.suspect.end {
            self.tear_session();
            self.end(tables, index, Ending::Abandoned);
        }
    }

    /// Whether the connection that is ending was up long enough for its end to be no sign of a server that
    /// accepts and closes at once.
    pub(super) fn was_healthy(&self) -> bool {
        self.connection.accepted && self.now.since(self.link.up_since) >= self.config.backoff.healthy
    }

    /// Whether the session was taken over by nobody but a CONNECT of its own earlier connection, which
    /// reached the server late. Believed once: two clients that take it from each other stop.
    fn is_own_ghost(&self, why: &Why) -> bool {
        *why == Why::ServerDisconnected(ReasonCode::SessionTakenOver)
            && self
                .link
                .ghost
                .is_some_and(|lost| self.link.up_since.since(lost) <= self.config.connack_timeout)
    }

    /// Makes everything that belongs to one connection like new.
    fn reset_connection(&mut self, tables: &mut Tables<'_>) {
        if !planted!("partial-packet-kept") {
            self.wire.clear();
        }
        if planted!("inbound-set-cleared") {
            self.exchanges.clear(tables.exchanges);
        }
        self.owed.clear();
        self.forget_said(tables);
        self.exchanges.cut(tables.exchanges);
        self.sweep_notes(tables);
        self.forget_aliases(tables);
        self.ask_again(tables);
        self.connection.renew(self.connection.epoch.wrapping_add(1), self.now);
        self.limits = crate::limits::ServerLimits::unlimited();
        for timer in [
            Timer::Dial,
            Timer::Connack,
            Timer::Ping,
            Timer::Partial,
            Timer::Ack,
            Timer::Source,
            Timer::Flush,
        ] {
            self.timers.clear(timer);
        }
        if planted!("resend-reordered")
            && let Some(first) = self.ops.order.pop_front(tables.slots)
        {
            self.ops.order.push_back(tables.slots, first);
        }
        self.ops.rewind();
    }

    /// Operations that were handed out, but of which the transport took no byte, were never sent.
    fn take_back_unsent(&mut self, tables: &mut Tables<'_>) {
        let taken = self.wire.taken();
        let epoch = self.connection.epoch;
        let mut at =
            if self.ops.cursor == NONE { self.ops.order.tail() } else { prev(tables.slots, self.ops.cursor) };
        while let Some(slot) = tables.slots.get(at as usize) {
            if slot.epoch != epoch || slot.position < taken {
                break;
            }
            let before = prev(tables.slots, at);
            let kept = self.records() && slot.kind == Kind::Publish;
            if slot.first_time && kept {
                // The journal has its identifier.
                let was_touched = slot.was_touched;
                self.reserve(tables, at, was_touched);
                change(tables.slots, at, |slot| slot.stage = Stage::Queued);
            } else if slot.first_time {
                self.release_id(tables, at);
                change(tables.slots, at, |slot| {
                    slot.touched = slot.was_touched;
                    slot.stage = Stage::Queued;
                });
                self.ops.may_expire(tables.slots, at);
                self.ops.taken_back(tables.slots, at);
            }
            at = before;
        }
        while self.ops.sending.head() != NONE {
            self.end(tables, self.ops.sending.head(), Ending::Lost);
        }
    }

    /// The connection, or the attempt, is over: try again, or stop.
    fn disconnected(&mut self, why: Why, pardoned: bool) {
        debug!("{why}");
        let backoff = &self.config.backoff;
        // A server that sends its clients away, and nowhere else to go.
        let nowhere = is_redirect(&why) && self.config.servers <= 1;
        let given_up = ((is_fatal(&why) || nowhere) && !pardoned)
            || (self.link.stopping && (self.ops.pending() == 0 || !self.timers.is_set(Timer::Drain)))
            || backoff.attempts.is_some_and(|limit| self.link.attempt >= limit)
            || (self.link.first && !backoff.retry_first);
        if given_up {
            self.link.state = State::Idle;
            self.notices.push(Notice::Disconnected { why, retry: None });
            if !self.link.stopping {
                self.notices.push(Notice::Stopped { left: self.ops.pending() });
            }
            return;
        }
        let delay = self.link.delay(&self.config.backoff);
        trace!("next attempt in {} ms", delay.as_millis());
        self.link.state = State::Backoff;
        self.timers.set(Timer::Backoff, self.now.after(delay));
        self.notices.push(Notice::Disconnected { why, retry: Some(delay) });
    }

    /// While stopping: goes on to DISCONNECT once everything that was accepted has been delivered, and
    /// ends the run once the link is down.
    pub(super) fn settle(&mut self, tables: &mut Tables<'_>) {
        if !self.link.stopping {
            return;
        }
        let delivered = self.ops.pending() == 0
            && self.owed.is_empty()
            && !self.exchanges.has_acknowledged(tables.exchanges)
            && (self.wire.is_empty() || self.link.state == State::Handshake);
        if delivered && self.link.state != State::Idle {
            self.finish();
        }
        if self.link.state == State::Idle {
            self.end_run(tables);
        }
    }

    /// Ends the connection, or the waiting for one, because `stop` asked for it.
    pub(super) fn finish(&mut self) {
        self.timers.clear(Timer::Drain);
        match self.link.state {
            State::Backoff => {
                self.link.attempt_due = false;
                self.timers.clear(Timer::Backoff);
                self.link.state = State::Idle;
            }
            // In 3.x a DISCONNECT cannot ask for the will: not sending one does.
            State::Up | State::Handshake => {
                let silent = self.farewell_code != ReasonCode::Success && !self.link.version.has_properties();
                self.close(Why::Stopped, (!silent).then_some(self.farewell_code));
            }
            _ => self.close(Why::Stopped, None),
        }
    }

    /// The run is over: what is left ends with it.
    fn end_run(&mut self, tables: &mut Tables<'_>) {
        let left = self.ops.pending();
        debug!("stopped, {left} operations left");
        if self.records() {
            // What is recorded outlives the run; of the rest nothing was promised.
            self.end_unrecorded(tables);
            self.run_ended(tables, left);
            return;
        }
        // An exchange that is given up here may be half done on the server: going on with that session
        // would let the server take a new message for the old one.
        self.session_torn |= self.ids.used() != 0;
        for list in [self.ops.order, self.ops.release, self.ops.sending, self.ops.held] {
            let mut at = list.head();
            while at != NONE {
                let following = crate::list::next(tables.slots, at);
                self.end(tables, at, Ending::Stopped);
                at = following;
            }
        }
        self.run_ended(tables, left);
    }

    fn run_ended(&mut self, tables: &mut Tables<'_>, left: u32) {
        self.forget_farewell(tables);
        self.blocked = None;
        self.link.stopping = false;
        self.timers.clear(Timer::Drain);
        self.notices.push(Notice::Stopped { left });
    }

    fn end_unrecorded(&mut self, tables: &mut Tables<'_>) {
        let mut at = self.ops.order.head();
        while let Some(slot) = tables.slots.get(at as usize) {
            let ends = slot.is_qos0();
            let following = crate::list::next(tables.slots, at);
            if ends {
                self.end(tables, at, Ending::Stopped);
            }
            at = following;
        }
    }

    pub(crate) fn handle_timeout(&mut self, tables: &mut Tables<'_>, now: Instant) {
        self.tell(now);
        self.expire(tables);
        self.expire_session(tables);
        self.ping_if_due();
        while let Some(timer) = self.timers.expired(self.now) {
            match timer {
                Timer::Dial => self.close(Why::DialTimeout, None),
                Timer::Connack if self.link.state == State::Up => self.auth_overdue(),
                Timer::Connack => self.close(Why::HandshakeTimeout, None),
                Timer::Ping => self.close(Why::PingTimeout, None),
                Timer::Partial => self.close(Why::PartialTimeout, None),
                Timer::Ack => self.no_ack(tables),
                Timer::Source => self.source_silent(tables),
                Timer::Backoff => {
                    self.link.attempt_due = true;
                    self.attempt_if_calm();
                }
                Timer::Drain => self.finish(),
                Timer::Flush => self.link.flushed = true,
            }
        }
        self.settle(tables);
    }
}
