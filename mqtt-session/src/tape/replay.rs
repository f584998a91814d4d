//! A log that runs again.

use core::fmt::{self, Debug};
use std::borrow::ToOwned;
use std::collections::BTreeMap;
use std::format;
use std::io::{self, Read};
use std::string::String;
use std::vec::Vec;

use bytes::Bytes;
use mqtt_proto::Auth;

use super::ENGINE;
use super::call::{Call, TIMED, list};
use super::digest::{self, Digest, Frames};
use super::file::{Beginning, Blocks, CALLS, END, TRACK};
use super::kept::{Damaged, Reader};
use super::recorder::{self, After};
use crate::event::{Event, Received, Topic};
use crate::options::{ConnectOptions, Message, Stop};
use crate::record::Key;
use crate::session::HeapSession;
use crate::storage::HeapPayload;
use crate::time::Instant;
use crate::token::{AckToken, Token};

/// Letters of an event that are shown.
const SHOWN: usize = 400;

/// Runs a log again, and compares all that comes out with what came out then. Sessions of either storage are run on the heap, with
/// the limits they had: the engine decides the same.
///
/// # Errors
/// [`ReplayError`]: the first call that differs, or what is wrong with the log. Never panics, whatever the bytes are.
pub fn replay(log: impl Read) -> Result<Replayed, ReplayError> {
    let mut blocks = Blocks::new(log)?;
    let mut players: BTreeMap<u32, Player> = BTreeMap::new();
    let replayed = |players: &BTreeMap<u32, Player>| Replayed {
        tracks: players.values().map(|player| player.track.clone()).collect(),
    };
    loop {
        let start = blocks.at;
        let damaged = |_: Damaged| ReplayError::Damaged { at: start };
        let Some(block) = blocks.next()? else {
            return Err(ReplayError::Cut { replayed: replayed(&players) });
        };
        match block.kind {
            TRACK => {
                let beginning = Beginning::of(&block.content).map_err(damaged)?;
                if beginning.engine != ENGINE {
                    return Err(ReplayError::OtherEngine { engine: beginning.engine.to_owned() });
                }
                let track = ReplayedTrack {
                    label: beginning.label.to_owned(),
                    calls: 0,
                    bytes_in: 0,
                    bytes_out: 0,
                    last: Instant::ZERO,
                };
                let (config, capacity) = beginning.session().map_err(damaged)?;
                let player = Player::new(track, HeapSession::within(config, capacity));
                if players.insert(block.track, player).is_some() {
                    return Err(damaged(Damaged));
                }
            }
            CALLS => {
                let player = players.get_mut(&block.track).ok_or(Damaged).map_err(damaged)?;
                player.run(&block.content).map_err(|end| match end {
                    End::Damaged => damaged(Damaged),
                    End::Differs(difference) => ReplayError::Differs(difference),
                })?;
            }
            END if block.track as usize == players.len() && blocks.is_at_end()? => {
                return Ok(replayed(&players));
            }
            _ => return Err(damaged(Damaged)),
        }
    }
}

/// What was run again, and was the same.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replayed {
    /// The sessions, in the order they began.
    pub tracks: Vec<ReplayedTrack>,
}

/// One session that was run again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayedTrack {
    /// What it was called.
    pub label: String,
    /// Calls of it that were the same.
    pub calls: u64,
    /// Bytes it took.
    pub bytes_in: u64,
    /// Bytes it sent.
    pub bytes_out: u64,
    /// The time it was told last.
    pub last: Instant,
}

/// Why a log does not run again to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReplayError {
    /// Reading failed.
    Io(io::Error),
    /// It is no log.
    NoLog,
    /// It is a log of another format.
    Format {
        /// The version of its format.
        version: u8,
    },
    /// It was made by another engine, which may decide otherwise.
    OtherEngine {
        /// Which one.
        engine: String,
    },
    /// Its bytes were changed.
    Damaged {
        /// The block begins at this byte.
        at: u64,
    },
    /// It has no end: whoever wrote it was interrupted, or something is missing. What there is was the same.
    Cut {
        /// What there is.
        replayed: Replayed,
    },
    /// Something else came out than then.
    Differs(Difference),
}

/// The first call that had another outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The label of the session.
    pub track: String,
    /// Which of its calls, from 1.
    pub number: u64,
    /// The time it was told last.
    pub at: Instant,
    /// The method.
    pub call: &'static str,
    /// What came of it then: its kind, and a digest of the rest.
    pub expected: String,
    /// What comes of it now.
    pub got: String,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the log cannot be read: {error}"),
            Self::NoLog => f.write_str("this is no log of a session"),
            Self::Format { version } => write!(
                f,
                "the log is of format {version}, this program reads format {}",
                super::file::MAGIC[7]
            ),
            Self::OtherEngine { engine } => write!(
                f,
                "the log was made by {engine}, and this is {ENGINE}: it may decide otherwise. Replay it with \
                 the engine that made it"
            ),
            Self::Damaged { at } => write!(f, "the log is damaged at byte {at}"),
            Self::Cut { replayed } => write!(
                f,
                "the log has no end; the {} calls in it are the same",
                replayed.tracks.iter().map(|track| track.calls).sum::<u64>()
            ),
            Self::Differs(difference) => fmt::Display::fmt(difference, f),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { track, number, at, call, expected, got } = self;
        write!(
            f,
            "{track}, call {number} ({call}) at {} µs differs: expected {expected}, got {got}",
            at.as_micros()
        )
    }
}

impl core::error::Error for ReplayError {}

enum End {
    Damaged,
    Differs(Difference),
}

impl From<Damaged> for End {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

/// A session that is run again.
struct Player {
    track: ReplayedTrack,
    session: HeapSession,
    now: Instant,
    /// Input that was offered and not consumed.
    input: Vec<u8>,
    frames: Frames,
}

impl Player {
    fn new(track: ReplayedTrack, session: HeapSession) -> Self {
        Self { track, session, now: Instant::ZERO, input: Vec::new(), frames: Frames::default() }
    }

    /// Makes the calls of a block.
    fn run(&mut self, calls: &[u8]) -> Result<(), End> {
        let mut reader = Reader(calls);
        while !reader.is_empty() {
            let [byte] = reader.bytes(1)? else { return Err(End::Damaged) };
            let call = Call::of(byte & !TIMED).ok_or(Damaged)?;
            if byte & TIMED != 0 {
                let coded: u64 = reader.take()?;
                let delta = (coded >> 1).cast_signed() ^ (coded & 1).cast_signed().wrapping_neg();
                self.now = Instant::from_micros(self.now.as_micros().wrapping_add_signed(delta));
                self.track.last = self.now;
            }
            self.track.calls = self.track.calls.saturating_add(1);
            self.make(call, &mut reader)?;
        }
        Ok(())
    }

    fn make(&mut self, call: Call, from: &mut Reader<'_>) -> Result<(), End> {
        let now = self.now;
        match call {
            Call::Start => {
                let options: ConnectOptions<'_> = from.take()?;
                let result = self.session.start(&options);
                self.result(call, from, &result)
            }
            Call::Stop => {
                let how: Stop<'_> = from.take()?;
                let result = self.session.stop(how);
                self.result(call, from, &result)
            }
            Call::Publish => {
                let (message, shared, payload): (Message<'_>, bool, &[u8]) =
                    (from.take()?, from.take()?, from.take()?);
                let payload = if shared {
                    HeapPayload::Share(Bytes::copy_from_slice(payload))
                } else {
                    HeapPayload::Copy(payload)
                };
                let result = self.session.publish(&message, payload).map_err(|refused| refused.reason);
                self.result(call, from, &result)
            }
            Call::PublishChunked => {
                let (message, len): (Message<'_>, _) = (from.take()?, from.take()?);
                let result = self.session.publish_chunked(&message, len);
                self.result(call, from, &result)
            }
            Call::Provide => {
                let (token, offset, bytes): (u64, _, &[u8]) = (from.take()?, from.take()?, from.take()?);
                let result = self.session.provide(Token::from(token), offset, bytes);
                self.result(call, from, &result)
            }
            Call::Subscribe => {
                let filters = list(from)?;
                let result = self.session.subscribe(&filters, from.take()?);
                self.result(call, from, &result)
            }
            Call::Unsubscribe => {
                let filters = list(from)?;
                let result = self.session.unsubscribe(&filters, from.take()?);
                self.result(call, from, &result)
            }
            Call::Acknowledge => {
                let ack = AckToken::new(from.take()?, from.take()?);
                let result = self.session.acknowledge(ack, from.take()?, from.take()?);
                self.result(call, from, &result)
            }
            Call::Authenticate => {
                let auth = Auth { reason_code: from.take()?, properties: from.take()? };
                let result = self.session.authenticate(&auth);
                self.result(call, from, &result)
            }
            Call::Cancel => {
                let done = self.session.cancel(Token::from(from.take::<u64>()?));
                self.result(call, from, &Ok::<_, ()>(done))
            }
            Call::CheckLink => {
                self.session.check_link();
                self.done(call, from)
            }
            Call::HoldInput => {
                self.session.hold_input(from.take()?);
                self.done(call, from)
            }
            Call::Opened => {
                let options: ConnectOptions<'_> = from.take()?;
                self.begin_connection();
                self.session.opened(&options, now);
                self.done(call, from)
            }
            Call::Closed => {
                self.begin_connection();
                self.session.closed(from.take()?, now);
                self.done(call, from)
            }
            Call::Receive => self.receive(from),
            Call::HandleTimeout => {
                self.session.handle_timeout(now);
                self.done(call, from)
            }
            Call::Stored => {
                self.session.stored(Key::from(from.take::<u64>()?));
                self.done(call, from)
            }
            Call::NotStored => {
                self.session.not_stored(Key::from(from.take::<u64>()?));
                self.done(call, from)
            }
            Call::Restore => {
                let (key, record, age): (u64, &[u8], _) = (from.take()?, from.take()?, from.take()?);
                let result = self.session.restore(Key::from(key), record, age);
                self.result(call, from, &result)
            }
            Call::PollCommand | Call::NoCommand => self.command(call, from),
            Call::PollEvent | Call::NoEvent => self.event(call, from),
            Call::Outgoing => self.outgoing(from),
            // It belongs to the call before.
            Call::Advance => Err(End::Damaged),
        }
    }

    fn begin_connection(&mut self) {
        self.input.clear();
        self.frames = Frames::default();
    }

    fn receive(&mut self, from: &mut Reader<'_>) -> Result<(), End> {
        let (same, new): (usize, &[u8]) = (from.take()?, from.take()?);
        if same > self.input.len() {
            return Err(End::Damaged);
        }
        if !new.is_empty() {
            self.input.truncate(same);
            self.input.extend_from_slice(new);
        }
        let len = same.saturating_add(new.len());
        let input = core::mem::take(&mut self.input);
        let offered = input.get(..len).unwrap_or_default();
        let mut rest = offered;
        let event = self.session.receive(&mut rest, self.now);
        let consumed = offered.len().saturating_sub(rest.len());
        let after = self.session.after();
        let told = event.as_ref().map(|event| (event, topic(&self.session, event)));
        let (outcome, digest) = recorder::told_of(told, consumed, after);
        let got = |got: &mut dyn fmt::Write| match told {
            Some((event, topic)) => write!(got, "{event:?} of {topic:?}, {consumed} bytes taken"),
            None => write!(got, "nothing, {consumed} bytes taken"),
        };
        compare(&self.track, Call::Receive, from, outcome, &digest, after, got)?;
        self.track.bytes_in = self.track.bytes_in.saturating_add(consumed as u64);
        self.input = input;
        self.input.drain(..consumed);
        Ok(())
    }

    fn command(&mut self, call: Call, from: &mut Reader<'_>) -> Result<(), End> {
        let (before, session) = (&self.track, &mut self.session);
        let Some((outcome, digest, text)) = session.with_command(|command, after| {
            let text = format!("{command:?}");
            (digest::of_command(command), recorder::of_command(command, after), text)
        }) else {
            return nothing(before, call, Call::NoCommand, from);
        };
        if call == Call::NoCommand {
            return Err(End::Differs(difference(before, call, "nothing".to_owned(), text)));
        }
        compare(before, call, from, outcome, &digest, session.after(), |got| got.write_str(&text))
    }

    fn event(&mut self, call: Call, from: &mut Reader<'_>) -> Result<(), End> {
        let event = self.session.poll_event();
        let after = self.session.after();
        let Some(event) = event else { return nothing(&self.track, call, Call::NoEvent, from) };
        if call == Call::NoEvent {
            let got = format!("{event:?}");
            return Err(End::Differs(difference(&self.track, call, "nothing".to_owned(), got)));
        }
        let (outcome, digest) = recorder::told_of(Some((&event, "")), 0, after);
        compare(&self.track, call, from, outcome, &digest, after, |got| write!(got, "{event:?}"))
    }

    fn outgoing(&mut self, from: &mut Reader<'_>) -> Result<(), End> {
        let done = digest::of_result(&Ok::<_, ()>(()));
        let _ = self.session.outgoing(self.now);
        let after = self.session.after();
        let len = self.session.chunks().iter().fold(0usize, |sum, chunk| sum.saturating_add(chunk.len()));
        let digest = recorder::of_outgoing(len, after);
        compare(&self.track, Call::Outgoing, from, done, &digest, after, |got| write!(got, "{len} bytes"))?;
        // As long as its value lives, nothing else can be called.
        while let Some((first, rest)) = from.0.split_first()
            && *first == Call::Advance as u8
        {
            from.0 = rest;
            self.track.calls = self.track.calls.saturating_add(1);
            let count: usize = from.take()?;
            let chunks = self.session.chunks();
            let digest = recorder::of_sent(count, chunks, &mut self.frames);
            let sent = chunks.concat();
            let got = |got: &mut dyn fmt::Write| {
                let sent = sent.get(..count).unwrap_or(&sent);
                write!(got, "{} bytes to send: {:02x?}", sent.len(), sent)
            };
            compare(&self.track, Call::Advance, from, done, &digest, after, got)?;
            self.track.bytes_out = self.track.bytes_out.saturating_add(count as u64);
            self.session.advance(count, self.now);
            if !self.session.has_outgoing() {
                self.session.pump(self.now);
            }
        }
        Ok(())
    }

    fn done(&self, call: Call, from: &mut Reader<'_>) -> Result<(), End> {
        self.result(call, from, &Ok::<_, ()>(()))
    }

    fn result<T: Debug, E: Debug>(
        &self,
        call: Call,
        from: &mut Reader<'_>,
        result: &Result<T, E>,
    ) -> Result<(), End> {
        let after = self.session.after();
        let mut digest = Digest::new();
        digest.debug(result);
        after.digest(&mut digest);
        let outcome = digest::of_result(result);
        compare(&self.track, call, from, outcome, &digest, after, |got| write!(got, "{result:?}"))
    }
}

fn topic<'a>(session: &'a HeapSession, event: &Event<'a>) -> &'a str {
    let (Event::Message(message) | Event::Start { message, .. }) = event else { return "" };
    let Received { topic: Topic::Name(name), .. } = message else { return session.topic(message) };
    name
}

/// Nothing came; was something expected?
fn nothing(track: &ReplayedTrack, call: Call, none: Call, from: &mut Reader<'_>) -> Result<(), End> {
    if call == none {
        return Ok(());
    }
    let (outcome, sum) = expected(from)?;
    Err(End::Differs(difference(track, call, named(outcome, sum), "nothing".to_owned())))
}

/// What a log says came of a call.
fn expected(from: &mut Reader<'_>) -> Result<(u8, u32), End> {
    let [outcome, sum @ ..] = from.bytes(5)? else { return Err(End::Damaged) };
    let sum = sum.first_chunk::<4>().ok_or(Damaged)?;
    Ok((*outcome, u32::from_le_bytes(*sum)))
}

fn named(outcome: u8, sum: u32) -> String {
    format!("{} (digest {sum:08x})", digest::name(outcome))
}

fn compare(
    track: &ReplayedTrack,
    call: Call,
    from: &mut Reader<'_>,
    outcome: u8,
    digest: &Digest,
    after: After,
    got: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result,
) -> Result<(), End> {
    let (then, sum) = expected(from)?;
    if (then, sum) == (outcome, digest.finish()) {
        return Ok(());
    }
    let mut text = named(outcome, digest.finish());
    text.push_str(": ");
    // Writing to a string does not fail.
    let _ = got(&mut text);
    if let Some((end, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(end);
        text.push_str("..");
    }
    let deadline = after.deadline.map_or("none".to_owned(), |at| format!("{} µs", at.as_micros()));
    let text = format!("{text}; deadline {deadline}, {} pending", after.pending);
    Err(End::Differs(difference(track, call, named(then, sum), text)))
}

fn difference(track: &ReplayedTrack, call: Call, expected: String, got: String) -> Difference {
    Difference {
        track: track.label.clone(),
        number: track.calls,
        at: track.last,
        call: call.name(),
        expected,
        got,
    }
}
