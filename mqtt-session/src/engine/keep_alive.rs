//! Pings: when one falls due, and how long its answer may take.

use core::time::Duration;

use super::Core;
use crate::link::State;
use crate::time::Instant;
use crate::timers::Timer;
use crate::trace::trace;

impl Core {
    /// When the next PINGREQ falls due.
    pub(super) fn ping_due(&self) -> Option<Instant> {
        let interval = self.limits.keep_alive;
        if self.link.state != State::Up || interval.is_zero() {
            return None;
        }
        let connection = &self.connection;
        if self.is_mid_packet() && self.wire.is_empty() {
            // The source is waited for, not the link; a ping could not be sent.
            return None;
        }
        // Nothing sent for the interval [MQTT-3.1.2-20], unless a ping is owed already; or nothing received,
        // so that the link may be half open, unless an answer is awaited, input is held back, or a payload is
        // being provided, behind which a ping would have to wait.
        let sent = (!connection.ping_owed).then_some(connection.last_out);
        let asks = !connection.ping_open && !connection.held && !self.is_mid_packet();
        let received = asks.then_some(connection.last_in);
        let from = match (sent, received) {
            (Some(sent), Some(received)) => sent.min(received),
            (sent, received) => sent.or(received)?,
        };
        Some(from.after(interval))
    }

    /// How long an answer to PINGREQ may take: a half-open link is found within 1.5 intervals.
    pub(super) fn ping_timeout(&self) -> Duration {
        self.config
            .ping_timeout
            .min(self.limits.keep_alive.checked_div(2).unwrap_or_default())
            .max(Duration::from_micros(1))
    }

    pub(super) fn ping_if_due(&mut self) {
        if let Some(due) = self.ping_due()
            && due <= self.now
        {
            self.connection.ping_owed = true;
            trace!("a ping is due");
            if !self.connection.ping_open && !self.connection.held {
                self.connection.ping_open = true;
                // Told the time so late that the answer would be overdue already (a suspend): the ping is
                // still to be sent, so its answer has its time from now.
                let deadline = due.after(self.ping_timeout());
                let late = deadline <= self.now;
                self.timers
                    .set(Timer::Ping, if late { self.now.after(self.ping_timeout()) } else { deadline });
            }
        }
    }

    /// Something arrived.
    #[inline(always)]
    pub(super) fn heard(&mut self) {
        self.connection.last_in = self.now;
        if self.connection.ping_open {
            self.link_lives();
        }
    }

    #[cold]
    fn link_lives(&mut self) {
        self.connection.ping_open = false;
        self.timers.clear(Timer::Ping);
    }

    /// The driver holds input back.
    pub(crate) fn hold_input(&mut self, held: bool) {
        self.connection.paused = held;
        self.weigh_input();
    }

    /// A message in the input has to wait.
    pub(super) fn stall(&mut self, stalled: bool) {
        self.connection.stalled = stalled;
        self.weigh_input();
    }

    fn weigh_input(&mut self) {
        let held = self.connection.paused || self.connection.stalled;
        if self.connection.held == held {
            return;
        }
        self.connection.held = held;
        self.connection.last_in = self.now;
        self.connection.ping_open = false;
        self.timers.clear(Timer::Ping);
        if held {
            self.timers.clear(Timer::Partial);
            self.timers.clear(Timer::Ack);
            return;
        }
        if self.connection.partial.is_some() {
            self.timers.set_pending(Timer::Partial, self.config.partial_timeout);
        }
        if let Some(timeout) = self.config.ack_timeout
            && self.awaits_ack()
        {
            self.timers.set_pending(Timer::Ack, timeout);
        }
    }

    /// Something was handed out that the server must acknowledge: unless a deadline runs, one begins.
    pub(super) fn await_ack(&mut self) {
        if let Some(timeout) = self.config.ack_timeout
            && !self.connection.held
            && !self.timers.is_set(Timer::Ack)
        {
            self.timers.set(Timer::Ack, self.now.after(timeout));
        }
    }

    pub(crate) fn check_link(&mut self) {
        if self.link.state == State::Up && !self.connection.ping_open {
            self.connection.ping_owed = true;
            if self.connection.held {
                return;
            }
            self.connection.ping_open = true;
            let timeout =
                if self.limits.keep_alive.is_zero() { self.config.ping_timeout } else { self.ping_timeout() };
            self.timers.set_pending(Timer::Ping, timeout);
        }
    }
}
