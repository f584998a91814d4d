//! One engine, one transport, and what goes between them. No lock, no thread, no waiting.

mod authentication;
mod commands;
mod journalled;
mod output;
mod requests;

use core::fmt;
use core::task::Waker;
use core::time::Duration;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time;

use mqtt_session::io::ReadBuffer;
use mqtt_session::proto::Property;
use mqtt_session::{self as session, Closed, Command, HeapSession, Instant, Stop, StopError, Token};

use crate::error::ConnectError;
use crate::event::{Cause, Event};
use crate::hooks::{Attempt, Authenticator};
use crate::input::Input;
use crate::journal::Change;
use crate::message::Message;
use crate::options::{Options, random};
use crate::recording::Tape;
use crate::report;
use crate::responses::Table;
use crate::sync;
use crate::transport::Transport;
use crate::url::ServerUrl;

use authentication::first_step;
pub use commands::{subscription, with_payload};
use journalled::{Journalled, Restored, restore};

/// How long the server has to close its side, once the last byte of a run is written. Who closes at once has the system
/// reset the connection when something still arrives, and the server then throws away what it has not read: the last
/// acknowledgements.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where events go while a [`Driver`] takes its turn.
pub trait Sink {
    /// Whether another message may come. While it says no, input stays where it is.
    fn ready(&self) -> bool;
    /// An event.
    fn event(&mut self, event: Event);
}

/// The engine with its transport: moves bytes, carries out the engine's commands, turns its events into
/// owned ones. What needs a wait — dialling, readiness, time — it asks its owner for, in [`Turn`].
pub struct Driver<T> {
    session: HeapSession,
    options: Arc<Options>,
    epoch: time::Instant,
    link: Option<Arc<T>>,
    /// Counts links, so that input of an earlier one is never taken for input of this one.
    generation: u64,
    server: u8,
    /// When the attempt under way, or the last one, began.
    dialled: Instant,
    blocked: bool,
    /// The transport holds bytes it took and has not passed on.
    unflushed: bool,
    /// The end is to be said, once the link has passed on what it holds.
    unsaid: bool,
    written: Instant,
    gathered: usize,
    /// The engine's next deadline, as the owner was told.
    due: Option<Instant>,
    cause: Option<Cause>,
    stopping: bool,
    /// Everything is written, and nothing more is read but the end: until when.
    ending: Option<Instant>,
    stopped: bool,
    journal: Option<Journalled>,
    /// What there is to tell before anything else.
    notices: Vec<Event>,
    /// Requests that wait for their responses.
    requests: Option<Box<Table>>,
    /// What authenticates on this connection.
    authenticating: Option<Box<dyn Authenticator>>,
    /// Operations of an earlier run.
    restored: HashSet<Token>,
    /// A log of the engine's calls.
    tape: Option<Tape>,
}

/// What became of something published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what was not written needs another turn"]
pub enum Flush {
    /// It is written, or waits for what the owner waits for already.
    Done,
    /// It is gathered with others: the owner's next turn writes it.
    Gathered,
    /// The link would block now, or has failed: the owner's next turn sees to it.
    Stuck,
}

/// What the owner of a [`Driver`] has to do next.
#[derive(Debug)]
#[must_use = "the engine waits for what it asks for"]
pub struct Turn<T> {
    /// Which link is meant by the rest; a socket of an earlier one is to be dropped.
    pub generation: u64,
    /// Dial this server, after giving up a dial that is still under way; then call
    /// [`Driver::opened_with`] or [`Driver::dial_failed`].
    pub open: Option<Attempt>,
    /// Give up dialling.
    pub abandon: bool,
    /// A link that was closed in order: its last bytes are written, it can be shut down and dropped.
    pub closed: Option<Arc<T>>,
    /// There is a link and it is to be read from, as soon as it is readable.
    pub read: bool,
    /// Bytes the packet at the front needs in all; 0: unknown. For [`Input::read_from`].
    pub hint: usize,
    /// The last write would have blocked: take the next turn when the link is writable, after
    /// [`Driver::writable`].
    pub blocked: bool,
    /// Take the next turn after this time at the latest.
    pub deadline: Option<Duration>,
    /// [`Event::Stopped`] was told: nothing is left to do.
    pub stopped: bool,
}

/// The engine holds credentials and messages: nothing of it is shown.
impl<T> fmt::Debug for Driver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("options", &self.options)
            .field("generation", &self.generation)
            .field("stopping", &self.stopping)
            .field("stopped", &self.stopped)
            .finish_non_exhaustive()
    }
}

impl<T: Transport> Driver<T> {
    /// An engine that begins to connect with the first turn. With a journal, everything in it is read now, which
    /// blocks as long as the disk takes.
    ///
    /// # Errors
    /// [`ConnectError::Will`], [`ConnectError::Options`], [`ConnectError::Journal`] or `ConnectError::Tls`.
    pub fn new(mut options: Options) -> Result<Self, ConnectError> {
        options.connect(0).map_err(ConnectError::Will)?;
        options.prepare()?;
        let (restored, notices) = restore(&options)?;
        let Restored { mut session, tokens, journal, tape } = restored;
        let connect = options.connect(0).map_err(ConnectError::Will)?;
        session.start(&connect).map_err(ConnectError::Options)?;
        let requests = options.responses().map(|place| Box::new(Table::new(random(), place.borrow())));
        Ok(Self {
            session,
            options: Arc::new(options),
            epoch: sync::now(),
            link: None,
            generation: 0,
            server: 0,
            dialled: Instant::ZERO,
            blocked: false,
            unflushed: false,
            unsaid: false,
            written: Instant::ZERO,
            gathered: 0,
            due: None,
            cause: None,
            stopping: false,
            ending: None,
            stopped: false,
            journal,
            notices,
            authenticating: None,
            requests,
            restored: tokens,
            tape,
        })
    }

    /// What to wake when the journal has an answer; to be set before the first turn.
    pub fn set_waker(&self, waker: &Waker) {
        if let Some(journal) = &self.journal {
            journal.writer.set_waker(waker);
        }
    }

    /// Whether there is a journal, whose thread wakes the waker.
    #[must_use]
    pub const fn has_journal(&self) -> bool {
        self.journal.is_some()
    }

    /// Operations of an earlier run: nobody here has a receipt for them. It forgets them.
    pub fn take_restored(&mut self) -> HashSet<Token> {
        core::mem::take(&mut self.restored)
    }

    // Commands

    /// Ends the run; [`Event::Stopped`] follows.
    ///
    /// # Errors
    /// [`StopError`]: DISCONNECT cannot say what is asked for, and nothing happens.
    pub fn stop(&mut self, how: Stop<'_>) -> Result<(), StopError> {
        self.session.stop(how)?;
        self.stopping = true;
        Ok(())
    }

    /// Nobody drives it any more: the link is dropped, the journal closed, and commands are refused from now on.
    pub fn abandon(&mut self) {
        self.link = None;
        self.stopped = true;
        // Nobody is left to tell.
        let _ = self.write_tape();
        // What was given to it is written all the same.
        self.journal = None;
    }

    /// The engine, for everything else.
    pub const fn session_mut(&mut self) -> &mut HeapSession {
        &mut self.session
    }

    // Inputs

    /// The dial that [`Turn::open`] asked for has a link, connected and non-blocking.
    pub fn opened(&mut self, link: Arc<T>) {
        let options = Arc::clone(&self.options);
        let _ = self.opened_with(link, &options);
    }

    /// As [`opened`](Self::opened), for an attempt with options of its own ([`Options::for_attempt`]); false: CONNECT
    /// cannot be made of them, and the link is not wanted.
    #[must_use]
    pub fn opened_with(&mut self, link: Arc<T>, options: &Options) -> bool {
        let now = self.now();
        self.generation += 1;
        self.blocked = false;
        self.unflushed = false;
        self.link = Some(link);
        self.authenticating = options.hooks().authenticator();
        let mut list: Vec<_> = options.properties().iter().collect();
        if options.responses().is_some_and(|place| place.assigned)
            && options.properties().request_response_information().is_none()
        {
            list.push(Property::RequestResponseInformation(true));
        }
        let all = first_step(self.authenticating.as_deref_mut(), &list);
        let connect = options.connect(usize::from(self.server)).map_err(|error| error.to_string());
        match (all, connect) {
            (Ok(all), Ok(mut connect)) => {
                connect.properties = all.as_properties();
                self.session.opened(&connect, now);
            }
            (Err(detail), _) | (_, Err(detail)) => self.closed(Closed::Failed, Some(Cause::Hook { detail })),
        }
        self.link.is_some()
    }

    /// The dial that [`Turn::open`] asked for has failed.
    pub fn dial_failed(&mut self, cause: Option<Cause>) {
        self.closed(Closed::DialFailed, cause);
    }

    /// The link with this generation is at its end, or failed; an earlier one is forgotten already.
    pub fn lost(&mut self, generation: u64, error: Option<&io::Error>) {
        if generation == self.generation && self.link.is_some() {
            if self.ending.is_some() {
                self.closed(Closed::Carried, None);
                return;
            }
            let how = if error.is_some() { Closed::Failed } else { Closed::Ended };
            self.closed(how, error.map(Cause::transport));
        }
    }

    /// The link can be written again.
    pub const fn writable(&mut self) {
        self.blocked = false;
    }

    /// Does everything that can be done now: timers, input, output, events, commands.
    pub fn turn(&mut self, input: &mut Input, sink: &mut impl Sink) -> Turn<T> {
        let input = input.buffer();
        let now = self.now();
        let mut open = None;
        let mut abandon = false;
        let mut closed = None;
        for notice in self.notices.drain(..) {
            report::event(self.options.client_id(), &notice);
            sink.event(notice);
        }
        self.answered(sink);
        if self.ending.is_some_and(|until| until <= now) {
            self.closed(Closed::Carried, None);
        }
        // Input first: what has arrived in time is not late because this turn is.
        self.feed(input, sink, now);
        if self.session.poll_timeout().is_some_and(|at| at <= now) {
            self.session.handle_timeout(now);
        }
        loop {
            // Output first: it makes room for the acknowledgements input may need.
            self.flush_at(now);
            self.say_end(now);
            let mut progress = self.feed(input, sink, now);
            while let Some(event) = self.session.poll_event() {
                progress = true;
                self.tell(&event, sink);
            }
            while let Some(command) = self.session.poll_command() {
                progress = true;
                match command {
                    Command::Open { server, attempt } => {
                        self.server = server;
                        self.dialled = now;
                        abandon = false;
                        open = match target(&self.session, &self.options, server) {
                            Ok(server) => Some(Attempt { server, number: attempt }),
                            Err(cause) => {
                                self.closed(Closed::DialFailed, Some(cause));
                                None
                            }
                        };
                    }
                    Command::Put { key, record } => match &mut self.journal {
                        Some(journal) => journal.changes.push(Change::put(key, record.keep())),
                        // None was asked for.
                        None => self.session.not_stored(key),
                    },
                    Command::Delete { key } => match &mut self.journal {
                        Some(journal) => journal.changes.push(Change::delete(key)),
                        None => self.session.not_stored(key),
                    },
                    // And whatever the engine may add: a driver that cannot do it closes.
                    _ => {
                        abandon = self.link.is_none();
                        open = None;
                        if self.stopping && self.ending.is_none() && self.link.is_some() {
                            self.ending = Some(now.after(FAREWELL));
                            self.unsaid = true;
                            self.say_end(now);
                        } else {
                            closed = self.link.clone().or(closed);
                            self.closed(Closed::Carried, None);
                        }
                    }
                }
            }
            if !progress {
                break;
            }
        }
        if self.link.is_none() {
            input.clear();
        }
        self.record(sink);
        let request_due = self.expire_requests(now, sink);
        let ready = sink.ready();
        // While the application is slow no answer can be seen, so none must be missed.
        self.session.hold_input(!ready);
        self.due = [self.session.poll_timeout(), request_due, self.ending].into_iter().flatten().min();
        if let Err(error) = self.write_tape() {
            let event = Event::RecordingFailed { kind: error.kind(), detail: error.to_string() };
            report::event(self.options.client_id(), &event);
            sink.event(event);
        }
        Turn {
            generation: self.generation,
            open,
            abandon,
            closed,
            read: self.link.is_some() && (self.ending.is_some() || (ready && self.session.wants_read())),
            hint: self.session.read_hint(),
            blocked: self.link.is_some() && self.blocked,
            deadline: self.due.map(|at| at.since(now)),
            stopped: self.stopped,
        }
    }

    /// Whether a command has brought a deadline before the one the owner knows of.
    #[must_use]
    pub fn is_due_earlier(&self) -> bool {
        let requests = self.requests.as_ref().and_then(|requests| requests.poll_timeout());
        let due = [self.session.poll_timeout(), requests].into_iter().flatten().min();
        match (due, self.due) {
            (Some(at), Some(known)) => at < known,
            (at, None) => at.is_some(),
            (None, Some(_)) => false,
        }
    }

    /// Gives the engine's events to `sink`.
    pub fn events(&mut self, sink: &mut impl Sink) {
        while let Some(event) = self.session.poll_event() {
            self.tell(&event, sink);
        }
    }

    // Questions

    /// The engine.
    pub const fn session(&self) -> &HeapSession {
        &self.session
    }

    /// What it was made with.
    pub const fn options(&self) -> &Arc<Options> {
        &self.options
    }

    /// Whether a server has accepted the connection and it is up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.link.is_some() && self.session.is_connected()
    }

    /// Whether the link is not to be read, for what the engine still has to send or to hear of the application.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.link.is_some() && self.ending.is_none() && !self.session.wants_read()
    }

    /// Whether [`stop`](Self::stop) was called.
    pub const fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether [`Event::Stopped`] was told.
    pub const fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Which link this is; see [`Turn::generation`].
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    fn now(&self) -> Instant {
        Instant::from_micros(
            u64::try_from(sync::now().saturating_duration_since(self.epoch).as_micros()).unwrap_or(u64::MAX),
        )
    }

    fn closed(&mut self, how: Closed, cause: Option<Cause>) {
        let now = self.now();
        self.generation += 1;
        self.link = None;
        self.ending = None;
        self.unsaid = false;
        self.blocked = false;
        if cause.is_some() {
            self.cause = cause;
        }
        self.session.closed(how, now);
    }

    /// Whether input was taken.
    fn feed(&mut self, input: &mut ReadBuffer, sink: &mut impl Sink, now: Instant) -> bool {
        if self.link.is_none() {
            return false;
        }
        if self.ending.is_some() {
            input.clear();
            return false;
        }
        let unread = input.unread();
        let mut rest = unread;
        while sink.ready() {
            let Some(event) = self.session.receive(&mut rest, now) else { break };
            if self.authenticated(&event) || self.answered_request(&event, sink) {
                continue;
            }
            let Self { session, options, cause, .. } = self;
            let topic = |received: &session::Received<'_>| Message::copy(session.topic(received), received);
            if let Some(event) = Event::copy(&event, |index| place(session, options, index), cause, topic) {
                self.pass_on(event, sink);
            }
        }
        let taken = unread.len() - rest.len();
        input.consume(taken);
        taken > 0
    }

    fn tell(&mut self, event: &session::Event<'_>, sink: &mut impl Sink) {
        self.answered_request(event, sink);
        let Self { session, options, cause, .. } = self;
        let topic = |received: &session::Received<'_>| Message::copy(session.topic(received), received);
        if let Some(event) = Event::copy(event, |index| place(session, options, index), cause, topic) {
            self.pass_on(event, sink);
        }
    }

    fn pass_on(&mut self, mut event: Event, sink: &mut impl Sink) {
        if let Event::Connected(connected) = &mut event {
            connected.link = self.link.as_deref().map(Transport::facts).unwrap_or_default();
            connected.took = self.now().since(self.dialled);
        }
        report::event(self.options.client_id(), &event);
        if let (Event::Stopped { .. }, Some(journal)) = (&event, &mut self.journal) {
            journal.farewell = Some(event);
            return;
        }
        self.stopped |= matches!(event, Event::Stopped { .. });
        sink.event(event);
    }

    /// Writes down what was called, where that is wanted.
    fn write_tape(&mut self) -> io::Result<()> {
        let Some(tape) = &mut self.tape else { return Ok(()) };
        tape.write(&mut self.session)
    }

    /// Whether the engine's run has ended.
    fn is_over(&self) -> bool {
        self.stopped || self.journal.as_ref().is_some_and(|journal| journal.farewell.is_some())
    }
}

/// The last calls are recorded, too.
impl<T> Drop for Driver<T> {
    fn drop(&mut self) {
        if let Some(tape) = &mut self.tape {
            // Nobody is left to tell.
            let _ = tape.write(&mut self.session);
        }
    }
}

/// The server to dial: the one with this index, or the one it sends its clients to, by the same rules.
fn target(session: &HeapSession, options: &Options, index: u8) -> Result<ServerUrl, Cause> {
    // The engine was told how many there are; the first one always is.
    let own = options.servers().get(usize::from(index)).unwrap_or(&options.servers()[0]);
    match session.redirect() {
        None => Ok(own.clone()),
        Some(reference) => own.referred(reference).map_err(|error| Cause::redirect(reference, &error)),
    }
}

/// The same, to be told of.
fn place(session: &HeapSession, options: &Options, index: u8) -> ServerUrl {
    target(session, options, index).unwrap_or_else(|_| options.servers()[0].clone())
}
