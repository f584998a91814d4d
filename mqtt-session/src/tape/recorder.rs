//! What a recorded session notes of each call.

use core::fmt::{self, Debug};
use std::vec::Vec;

use mqtt_proto::{Auth, Properties, ReasonCode, Subscription, TopicFilter};

use super::call::{Call, TIMED, are_writable, writable};
use super::digest::{self, Digest, Frames};
use super::kept::Kept;
use super::mask;
use crate::engine::Filters;
use crate::event::{Closed, Command, Event};
use crate::options::{ConnectOptions, Message, Stop};
use crate::record::Key;
use crate::time::Instant;
use crate::token::{AckToken, Token};

/// What is asked of the session after each call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct After {
    pub(crate) deadline: Option<Instant>,
    pub(crate) pending: u32,
}

impl After {
    pub(crate) fn digest(self, digest: &mut Digest) {
        digest.number(self.deadline.map_or(u64::MAX, Instant::as_micros));
        digest.number(u64::from(self.pending));
    }
}

/// The calls of one session since they were taken last.
#[derive(Clone, Default)]
pub(crate) struct Recorder {
    out: Vec<u8>,
    /// Up to here it is whole calls.
    whole: usize,
    /// What is called now cannot be written; it is refused.
    unwritable: bool,
    now: Instant,
    input: Input,
    frames: Frames,
}

/// What was offered as input and not consumed.
#[derive(Clone, Default)]
struct Input {
    bytes: Vec<u8>,
    /// Consumed, and not yet forgotten.
    start: usize,
    /// Behind `start`: from here on, nothing was looked at for secrets. May be behind the end.
    seen: usize,
}

impl Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorder({} bytes)", self.whole)
    }
}

impl Recorder {
    /// Bytes that wait to be taken.
    pub(crate) const fn len(&self) -> usize {
        self.whole
    }

    /// The whole calls so far; they are forgotten by [`forget`](Self::forget).
    pub(crate) fn calls(&self) -> &[u8] {
        self.out.get(..self.whole).unwrap_or_default()
    }

    pub(crate) fn forget(&mut self) {
        self.out.drain(..self.whole.min(self.out.len()));
        self.whole = 0;
    }

    fn call(&mut self, call: Call) -> &mut Vec<u8> {
        // Of a call that ended by a panic.
        self.out.truncate(self.whole);
        self.unwritable = false;
        self.out.push(call as u8);
        &mut self.out
    }

    fn timed(&mut self, call: Call, now: Instant) -> &mut Vec<u8> {
        let same = self.now == now;
        let delta = now.as_micros().wrapping_sub(self.now.as_micros()).cast_signed();
        self.now = now;
        let out = self.call(call);
        if !same {
            out.pop();
            out.push(call as u8 | TIMED);
            // Clocks step back, too: the sign is the lowest bit.
            ((delta << 1) ^ (delta >> 63)).cast_unsigned().put(out);
        }
        out
    }

    fn end(&mut self, outcome: u8, digest: &Digest) {
        if self.unwritable {
            self.out.truncate(self.whole);
            return;
        }
        self.out.push(outcome);
        self.out.extend_from_slice(&digest.finish().to_le_bytes());
        self.whole = self.out.len();
    }

    // ---- what came of a call -----------------------------------------------------------------

    pub(crate) fn done(&mut self, after: After) {
        self.outcome(&Ok::<_, ()>(()), after);
    }

    pub(crate) fn outcome<T: Debug, E: Debug>(&mut self, result: &Result<T, E>, after: After) {
        let mut digest = Digest::new();
        digest.debug(result);
        after.digest(&mut digest);
        self.end(digest::of_result(result), &digest);
    }

    // ---- commands ----------------------------------------------------------------------------

    pub(crate) fn start(&mut self, options: &ConnectOptions<'_>) {
        options.put(self.call(Call::Start));
        self.unwritable = !are_writable(options);
    }

    pub(crate) fn stop(&mut self, how: &Stop<'_>) {
        self.with_properties(Call::Stop, how.properties, |out| how.put(out));
    }

    pub(crate) fn publish(&mut self, message: &Message<'_>, payload: &[u8], shared: bool) {
        self.with_properties(Call::Publish, message.properties, |out| {
            message.put(out);
            shared.put(out);
            payload.put(out);
        });
    }

    pub(crate) fn publish_chunked(&mut self, message: &Message<'_>, len: u32) {
        self.with_properties(Call::PublishChunked, message.properties, |out| {
            message.put(out);
            len.put(out);
        });
    }

    pub(crate) fn provide(&mut self, token: Token, offset: u32, bytes: &[u8]) {
        let out = self.call(Call::Provide);
        u64::from(token).put(out);
        offset.put(out);
        bytes.put(out);
    }

    pub(crate) fn request(&mut self, filters: Filters<'_>, properties: Properties<'_>) {
        fn all<'a, T: Kept<'a>>(list: &[T], out: &mut Vec<u8>) {
            list.len().put(out);
            list.iter().for_each(|one| one.put(out));
        }
        match filters {
            Filters::Subscribe(list) => self.with_properties(Call::Subscribe, properties, |out| {
                all::<Subscription<'_>>(list, out);
                properties.put(out);
            }),
            Filters::Unsubscribe(list) => self.with_properties(Call::Unsubscribe, properties, |out| {
                all::<TopicFilter<'_>>(list, out);
                properties.put(out);
            }),
        }
    }

    pub(crate) fn acknowledge(&mut self, ack: AckToken, reason: ReasonCode, properties: Properties<'_>) {
        self.with_properties(Call::Acknowledge, properties, |out| {
            ack.index().put(out);
            ack.generation().put(out);
            reason.put(out);
            properties.put(out);
        });
    }

    pub(crate) fn authenticate(&mut self, auth: &Auth<'_>) {
        let masked = mask::properties(auth.properties);
        let out = self.call(Call::Authenticate);
        auth.reason_code.put(out);
        (&masked.as_deref().unwrap_or_default()).put(out);
        self.unwritable = masked.is_none();
    }

    pub(crate) fn cancel(&mut self, token: Token) {
        u64::from(token).put(self.call(Call::Cancel));
    }

    pub(crate) fn check_link(&mut self) {
        self.call(Call::CheckLink);
    }

    pub(crate) fn hold_input(&mut self, held: bool) {
        held.put(self.call(Call::HoldInput));
    }

    fn with_properties(&mut self, call: Call, properties: Properties<'_>, put: impl FnOnce(&mut Vec<u8>)) {
        let out = self.call(call);
        if writable(properties) {
            put(out);
        } else {
            self.unwritable = true;
        }
    }

    // ---- inputs ------------------------------------------------------------------------------

    pub(crate) fn opened(&mut self, options: &ConnectOptions<'_>, now: Instant) {
        options.put(self.timed(Call::Opened, now));
        self.begin_connection();
    }

    pub(crate) fn closed(&mut self, closed: Closed, now: Instant) {
        closed.put(self.timed(Call::Closed, now));
        self.begin_connection();
    }

    fn begin_connection(&mut self) {
        self.input = Input::default();
        self.frames = Frames::default();
    }

    /// What was offered, how much of it was consumed, and what that told.
    pub(crate) fn received(
        &mut self,
        offered: &[u8],
        consumed: usize,
        now: Instant,
        told: Option<(&Event<'_>, &str)>,
        after: After,
    ) {
        let (same, new) = self.input.offer(offered);
        let out = self.timed(Call::Receive, now);
        same.put(out);
        (&new[..]).put(out);
        self.input.consume(consumed);
        let (outcome, digest) = told_of(told, consumed, after);
        self.end(outcome, &digest);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.timed(Call::HandleTimeout, now);
    }

    pub(crate) fn stored(&mut self, key: Key) {
        u64::from(key).put(self.call(Call::Stored));
    }

    pub(crate) fn not_stored(&mut self, key: Key) {
        u64::from(key).put(self.call(Call::NotStored));
    }

    pub(crate) fn restore(&mut self, key: Key, record: &[u8], age: Option<core::time::Duration>) {
        let out = self.call(Call::Restore);
        u64::from(key).put(out);
        record.put(out);
        age.put(out);
    }

    // ---- outputs -----------------------------------------------------------------------------

    pub(crate) fn command(&mut self, command: Option<&Command<'_>>, after: After) {
        let Some(command) = command else { return self.nothing(Call::NoCommand) };
        self.call(Call::PollCommand);
        let digest = of_command(command, after);
        self.end(digest::of_command(command), &digest);
    }

    pub(crate) fn event(&mut self, event: Option<&Event<'_>>, after: After) {
        let Some(event) = event else { return self.nothing(Call::NoEvent) };
        self.call(Call::PollEvent);
        let (outcome, digest) = told_of(Some((event, "")), 0, after);
        self.end(outcome, &digest);
    }

    fn nothing(&mut self, call: Call) {
        self.call(call);
        self.whole = self.out.len();
    }

    pub(crate) fn outgoing(&mut self, now: Instant, len: usize, after: After) {
        self.timed(Call::Outgoing, now);
        self.end(digest::of_result(&Ok::<_, ()>(())), &of_outgoing(len, after));
    }

    pub(crate) fn advance(&mut self, count: usize, chunks: [&[u8]; 3]) {
        count.put(self.call(Call::Advance));
        let digest = of_sent(count, chunks, &mut self.frames);
        self.end(digest::of_result(&Ok::<_, ()>(())), &digest);
    }
}

impl Input {
    /// How much of this is as it was, and what is new, without secrets.
    fn offer(&mut self, offered: &[u8]) -> (usize, Vec<u8>) {
        let held = self.bytes.get(self.start..).unwrap_or_default();
        let shorter = held.len().min(offered.len());
        let same = if held.get(..shorter) == offered.get(..shorter) {
            shorter
        } else {
            held.iter().zip(offered).take_while(|(one, other)| one == other).count()
        };
        if same == offered.len() {
            return (same, Vec::new());
        }
        self.bytes.truncate(self.start.saturating_add(same));
        self.bytes.extend_from_slice(offered.get(same..).unwrap_or_default());
        // A packet with secrets is looked at from its first byte until it is whole.
        let from = self.seen.min(offered.len());
        let mut masked = offered.get(from..).unwrap_or_default().to_vec();
        if self.seen <= offered.len() {
            self.seen = from.saturating_add(mask::packets(&mut masked));
        }
        let mut new = offered.get(same..from.max(same)).unwrap_or_default().to_vec();
        new.extend_from_slice(masked.get(same.saturating_sub(from)..).unwrap_or_default());
        (same, new)
    }

    fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.bytes.len());
        self.seen = self.seen.saturating_sub(count);
        if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }
}

// What both sides of a comparison are made of.

pub(crate) fn told_of(told: Option<(&Event<'_>, &str)>, consumed: usize, after: After) -> (u8, Digest) {
    let mut digest = Digest::new();
    digest.number(consumed as u64);
    let outcome = told.map_or(digest::NOTHING, |(event, topic)| {
        digest.event(event, topic);
        digest::of_event(event)
    });
    after.digest(&mut digest);
    (outcome, digest)
}

pub(crate) fn of_command(command: &Command<'_>, after: After) -> Digest {
    let mut digest = Digest::new();
    digest.command(command);
    after.digest(&mut digest);
    digest
}

pub(crate) fn of_outgoing(len: usize, after: After) -> Digest {
    let mut digest = Digest::new();
    digest.number(len as u64);
    after.digest(&mut digest);
    digest
}

/// Of the first `count` bytes.
pub(crate) fn of_sent(count: usize, chunks: [&[u8]; 3], frames: &mut Frames) -> Digest {
    let mut digest = Digest::new();
    let mut left = count;
    for chunk in chunks {
        let taken = chunk.get(..left).unwrap_or(chunk);
        left = left.saturating_sub(taken.len());
        frames.digest(taken, &mut digest);
    }
    digest
}
