//! The state behind the handles of a client: one engine under one lock, a worker that does the input and
//! output, and everybody who waits for something.

mod ask;
mod handle;
mod large;
mod source;
mod then;
mod wait;
mod watch;
mod worker;

use core::fmt;
use core::sync::atomic::AtomicU64;
use core::task::Waker;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, PoisonError};

use mqtt_session::proto::{Qos, ReasonCode};
use mqtt_session::request::Request;
use mqtt_session::{Token, Why};

use crate::driver::{Driver, Flush, Sink};
use crate::error::ConnectError;
use crate::event::{Disconnected, Event, Outcome};
use crate::inbox::{Bound, Inbox, Load};
use crate::input::Input;
use crate::message::Message;
use crate::options::{Options, WhenInboxFull};
use crate::responses::ResponseError;
use crate::sync::{AtomicUsize, Mutex, MutexGuard};
use crate::transport::Transport;
use crate::waiters::Waiters;
use crate::wakers::Wakers;

pub use ask::Ask;
pub use handle::Handle;
pub use large::Download;
use large::Large;
use source::Source;
pub use source::Upload;
pub use then::Jobs;
use wait::For;
pub use wait::Wait;
pub use watch::Watch;
use watch::Watched;
pub use worker::Worker;

/// Connection events that are kept for [`Handle::poll_event`]; older ones are dropped.
const EVENTS: usize = 1_024;

struct Hub<T> {
    state: Mutex<State<T>>,
    inbox: Inbox,
    options: Arc<Options>,
    handles: AtomicUsize,
    /// Numbers the calls that wait.
    calls: AtomicU64,
    /// Makes the calls that were asked for with [`Watch::then`], once there was one.
    jobs: Mutex<Option<Jobs>>,
}

struct State<T> {
    driver: Driver<T>,
    waiters: Waiters,
    tell: Tell,
    /// How many wait right now for an answer of the server or for room in the queue.
    room: Wakers,
    /// Waiting for a change of connection, for an event, for idleness, for the end.
    changes: Wakers,
    idle: Wakers,
    /// Wakes the worker.
    worker: Option<Waker>,
    rest: Rest,
    /// Messages gathered since the worker last looked.
    gathers: u32,
    /// The worker has stopped reading because the inbox is full.
    paused: bool,
    /// The engine lets the link wait: it is not read until something leaves, or the application acknowledges.
    held: bool,
    /// Set once, with the number of operations left.
    ended: Option<u32>,
}

/// What the worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// It is at work, or was woken: another turn comes by itself.
    Awake,
    /// It waits, but not for long: in a burst, what is gathered need not wake it.
    Guarding,
    /// It waits until something happens.
    Asleep,
}

/// What events leave behind.
#[derive(Debug, Default)]
struct Tell {
    events: VecDeque<Event>,
    /// How many are kept.
    room: usize,
    /// Operations of an earlier run whose end was not told yet.
    restored: HashSet<Token>,
    connections: u64,
    failures: usize,
    /// Redirections that may still come without being failures.
    redirects: u8,
    given_up: bool,
    last: Option<Disconnected>,
    /// The last failure of the first round through the servers, while there was no connection.
    first_round: Option<Disconnected>,
    left: Option<u32>,
    unblocked: bool,
    changed: bool,
    dropped: u64,
    /// Payloads that are provided piece by piece.
    sources: HashMap<Token, Source>,
    /// Messages that come piece by piece.
    large: Large,
    /// Requests somebody waits for.
    asked: HashMap<Request, Asked>,
}

/// What has become of a request.
#[derive(Debug, Default)]
struct Asked {
    answer: Option<Result<Message, ResponseError>>,
    waker: Option<Waker>,
}

impl Tell {
    /// Keeps an event for who asks.
    fn keep(&mut self, event: Event) {
        self.changed = true;
        if self.events.len() >= self.room {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

/// Sorts events: outcomes to their waiters, messages to the inbox, the rest to whoever asks.
struct Sorter<'s> {
    waiters: &'s mut Waiters,
    tell: &'s mut Tell,
    wake: &'s mut Vec<Waker>,
    messages: &'s mut Vec<Message>,
    /// What is in the inbox.
    load: Load,
    bound: Bound,
    /// How many servers there are.
    servers: usize,
    /// Somebody waits for the server: reading goes on over the limit.
    lifted: bool,
}

impl Sink for Sorter<'_> {
    fn ready(&self) -> bool {
        if !self.lifted && self.tell.large.is_full() {
            return false;
        }
        self.lifted || self.bound.when != WhenInboxFull::Pause || !self.bound.is_full(self.load)
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Message(message) => {
                let refused = match self.bound.when {
                    WhenInboxFull::Pause => message.qos() == Qos::AtMostOnce,
                    WhenInboxFull::DropNewest => message.ack().is_none(),
                    WhenInboxFull::DropOldest => false,
                };
                if refused && self.bound.is_full(self.load) {
                    self.tell.dropped += 1;
                    return;
                }
                self.load.add(&message);
                self.messages.push(message);
            }
            // Nobody here can have a receipt for it.
            Event::Done { token, .. } if self.tell.restored.remove(&token) => self.tell.keep(event),
            Event::Done { token, outcome, .. } => self.wake.extend(self.waiters.end(token, outcome)),
            Event::Durable { token } => self.wake.extend(self.waiters.durable(token)),
            Event::Response { request, message } => self.answer(request, Ok(message)),
            Event::NoResponse { request, error } => self.answer(request, Err(error)),
            Event::Start { message, len } => {
                self.tell.large.start(message, len);
                self.tell.changed = true;
            }
            Event::Chunk(part) => self.wake.extend(self.tell.large.add(part)),
            Event::End { ack } => self.wake.extend(self.tell.large.end(Some(ack))),
            Event::Aborted => self.wake.extend(self.tell.large.end(None)),
            Event::PayloadWanted { token, offset } => {
                // Who gave it up has taken it away.
                if let Some(source) = self.tell.sources.get_mut(&token) {
                    source.wanted = Some(offset);
                    self.wake.extend(source.waker.take());
                }
            }
            Event::Unblocked => self.tell.unblocked = true,
            event => {
                match &event {
                    Event::Connected(_) => self.tell.connections += 1,
                    Event::Disconnected(end) => {
                        self.tell.given_up |= end.retry.is_none();
                        // A version the server does not speak is followed by an older one, if at all, and a server
                        // that sends its clients away by another.
                        let away = matches!(
                            end.why,
                            Why::Refused(ReasonCode::UseAnotherServer | ReasonCode::ServerMoved)
                        );
                        if away && self.tell.redirects > 0 {
                            self.tell.redirects -= 1;
                        } else {
                            self.tell.failures += usize::from(end.why != Why::VersionRefused);
                        }
                        if self.tell.connections == 0 && self.tell.failures <= self.servers {
                            self.tell.first_round = Some(end.clone());
                        }
                        self.tell.last = Some(end.clone());
                    }
                    Event::Stopped { left } => self.tell.left = Some(*left),
                    _ => {}
                }
                self.tell.keep(event);
            }
        }
    }
}

impl Sorter<'_> {
    fn answer(&mut self, request: Request, answer: Result<Message, ResponseError>) {
        if let Some(asked) = self.tell.asked.get_mut(&request) {
            asked.answer = Some(answer);
            self.wake.extend(asked.waker.take());
        }
    }
}

/// Makes a client: its first handle, and the worker that does its input and output.
///
/// # Errors
/// [`ConnectError::Will`] or [`ConnectError::Options`].
pub fn client<T: Transport>(options: Options) -> Result<(Handle<T>, Worker<T>), ConnectError> {
    let mut driver = Driver::new(options)?;
    let options = Arc::clone(driver.options());
    let restored = driver.take_restored();
    let hub = Arc::new(Hub {
        state: Mutex::new(State {
            driver,
            waiters: Waiters::default(),
            tell: Tell {
                redirects: options.engine().redirects,
                // Each operation of an earlier run has an end to be told.
                room: EVENTS.saturating_add(restored.len()),
                restored,
                ..Tell::default()
            },
            room: Wakers::default(),
            changes: Wakers::default(),
            idle: Wakers::default(),
            worker: None,
            rest: Rest::Awake,
            gathers: 0,
            paused: false,
            held: false,
            ended: None,
        }),
        inbox: Inbox::new(options.inbox_bound()),
        options,
        handles: AtomicUsize::new(1),
        calls: AtomicU64::new(0),
        jobs: Mutex::new(None),
    });
    let worker = Worker {
        hub: Arc::clone(&hub),
        input: Input::new(),
        input_of: 0,
        wake: Vec::new(),
        messages: Vec::new(),
        guard: false,
    };
    Ok((Handle(hub, true), worker))
}

/// The engine holds credentials and messages: nothing of it is shown.
impl<T> fmt::Debug for Hub<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<T> Hub<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Transport> State<T> {
    /// The worker's waker, if it sleeps and was not woken yet.
    fn rouse(&mut self) -> Option<Waker> {
        match core::mem::replace(&mut self.rest, Rest::Awake) {
            Rest::Awake => None,
            Rest::Guarding | Rest::Asleep => self.worker.clone(),
        }
    }

    /// After a publish: out with it, or gather. The wakers of all that must be woken.
    fn sent(&mut self, wake: &mut Vec<Waker>) {
        let flushed = self.driver.flush_or_gather();
        if self.held && !self.driver.is_held() {
            // What the engine waited for is there: the link may be read again.
            self.held = false;
            wake.extend(self.rouse());
        }
        self.told(wake);
        match flushed {
            // What is to be stored is given to the journal by the worker's next turn.
            Flush::Done if self.driver.has_journal() => wake.extend(self.rouse()),
            Flush::Done => self.rearm(wake),
            Flush::Gathered => {
                self.gathers = self.gathers.saturating_add(1);
                if self.rest == Rest::Asleep || self.driver.has_journal() {
                    wake.extend(self.rouse());
                }
            }
            Flush::Stuck => wake.extend(self.rouse()),
        }
    }

    /// Wakes the worker if it would sleep over a deadline.
    fn rearm(&mut self, wake: &mut Vec<Waker>) {
        if self.rest == Rest::Asleep && self.driver.is_due_earlier() {
            wake.extend(self.rouse());
        }
    }

    /// Somebody is about to wait: out with what was gathered.
    fn hurry(&mut self, wake: &mut Vec<Waker>) {
        if self.driver.has_gathered() {
            self.driver.flush();
            self.told(wake);
            if !self.driver.is_flushed() {
                wake.extend(self.rouse());
            }
        }
    }

    /// Takes what a write has ended, outside of the worker's turn.
    fn told(&mut self, wake: &mut Vec<Waker>) {
        let mut messages = Vec::new();
        let servers = self.driver.options().servers().len();
        let mut sorter = Sorter {
            waiters: &mut self.waiters,
            tell: &mut self.tell,
            wake,
            messages: &mut messages,
            load: Load::default(),
            bound: Bound::NONE,
            servers,
            lifted: false,
        };
        self.driver.events(&mut sorter);
        self.settle(wake);
    }

    /// Wakes who waits for what has happened.
    fn settle(&mut self, wake: &mut Vec<Waker>) {
        if core::mem::take(&mut self.tell.unblocked) {
            self.room.take(wake);
        }
        if core::mem::take(&mut self.tell.changed) {
            self.changes.take(wake);
        }
        if !self.idle.is_empty() && self.driver.session().pending() == 0 {
            self.idle.take(wake);
        }
        if self.ended.is_none()
            && let Some(left) = self.tell.left
        {
            self.end(left, wake);
        }
    }

    fn end(&mut self, left: u32, wake: &mut Vec<Waker>) {
        self.ended = Some(left);
        self.waiters.end_all(&Outcome::Stopped, wake);
        wake.extend(self.tell.large.end(None));
        for asked in self.tell.asked.values_mut() {
            asked.answer.get_or_insert(Err(ResponseError::Stopped));
            wake.extend(asked.waker.take());
        }
        self.room.take(wake);
        self.changes.take(wake);
        self.idle.take(wake);
    }

    /// Whether somebody waits for an answer that only reading can bring.
    fn lifted(&self) -> bool {
        self.waiters.watched() > 0
            || !self.room.is_empty()
            || !self.idle.is_empty()
            || !self.tell.asked.is_empty()
            || self.driver.is_stopping()
    }

    /// Somebody begins to wait for the server.
    fn lift(&mut self) -> Option<Waker> {
        if core::mem::take(&mut self.paused) { self.rouse() } else { None }
    }
}
