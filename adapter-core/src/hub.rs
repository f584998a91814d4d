//! The state behind the handles of a client: one engine under one lock, a worker that does the input and
//! output, and everybody who waits for something.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mqtt_session::proto::{Properties, Qos, ReasonCode, Subscription, TopicFilter};
use mqtt_session::{AckError, AckToken, ServerLimits, Stats, Stop, SubscribeError, Token, Why};

use crate::driver::{Driver, Flush, Sink, Turn, with_payload};
use crate::error::{ConnectError, PublishError, RecvError, RequestError};
use crate::event::{Cause, Disconnected, Event, Outcome};
use crate::inbox::Inbox;
use crate::input::Input;
use crate::message::{Message, Publish};
use crate::options::Options;
use crate::transport::Transport;
use crate::waiters::{WaiterId, Waiters};
use crate::wakers::Wakers;

/// Connection events that are kept for [`Handle::poll_event`]; older ones are dropped.
const EVENTS: usize = 1_024;

/// One of the handles of a client. When the last one goes, the client delivers what it has accepted for at
/// most [`Options::linger`] and disconnects.
///
/// Every `poll_…` follows the rules of futures: where it is pending, the waker is kept and woken when it is worth asking
/// again, and giving up is no more than not asking again. No call blocks.
#[derive(Debug)]
pub struct Handle<T: Transport>(Arc<Hub<T>>);

#[derive(Debug)]
struct Hub<T> {
    state: Mutex<State<T>>,
    inbox: Inbox,
    options: Arc<Options>,
    handles: AtomicUsize,
}

#[derive(Debug)]
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

/// How long a worker keeps guard after a burst, before it sleeps. What was gathered and not followed by anything
/// leaves after this time at the latest.
const GUARD: Duration = Duration::from_millis(1);

/// What events leave behind.
#[derive(Debug, Default)]
struct Tell {
    events: VecDeque<Event>,
    connections: u64,
    failures: usize,
    given_up: bool,
    last: Option<Disconnected>,
    left: Option<u32>,
    unblocked: bool,
    changed: bool,
    dropped: u64,
}

/// Sorts events: outcomes to their waiters, messages to the inbox, the rest to whoever asks.
struct Sorter<'s> {
    waiters: &'s mut Waiters,
    tell: &'s mut Tell,
    wake: &'s mut Vec<Waker>,
    messages: &'s mut Vec<Message>,
    bytes: usize,
    limit: usize,
    /// Somebody waits for the server: reading goes on over the limit.
    lifted: bool,
}

impl Sink for Sorter<'_> {
    fn ready(&self) -> bool {
        self.bytes < self.limit || self.lifted
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Message(message) => {
                if self.bytes >= self.limit && message.qos() == Qos::AtMostOnce {
                    self.tell.dropped += 1;
                    return;
                }
                self.bytes += message.size();
                self.messages.push(message);
            }
            Event::Done { token, outcome, .. } => self.wake.extend(self.waiters.end(token, outcome)),
            Event::Unblocked => self.tell.unblocked = true,
            event => {
                self.tell.changed = true;
                match &event {
                    Event::Connected(_) => self.tell.connections += 1,
                    Event::Disconnected(end) => {
                        self.tell.given_up |= end.retry.is_none();
                        // A version the server does not speak is followed by an older one, if at all.
                        self.tell.failures += usize::from(end.why != Why::VersionRefused);
                        self.tell.last = Some(end.clone());
                    }
                    Event::Stopped { left } => self.tell.left = Some(*left),
                    _ => {}
                }
                if self.tell.events.len() >= EVENTS {
                    self.tell.events.pop_front();
                }
                self.tell.events.push_back(event);
            }
        }
    }
}

/// Makes a client: its first handle, and the worker that does its input and output.
///
/// # Errors
/// [`ConnectError::Will`] or [`ConnectError::Options`].
pub fn client<T: Transport>(options: Options) -> Result<(Handle<T>, Worker<T>), ConnectError> {
    let driver = Driver::new(options)?;
    let options = Arc::clone(driver.options());
    let hub = Arc::new(Hub {
        state: Mutex::new(State {
            driver,
            waiters: Waiters::default(),
            tell: Tell::default(),
            room: Wakers::default(),
            changes: Wakers::default(),
            idle: Wakers::default(),
            worker: None,
            rest: Rest::Awake,
            gathers: 0,
            paused: false,
            ended: None,
        }),
        inbox: Inbox::new(options.inbox_bytes()),
        options,
        handles: AtomicUsize::new(1),
    });
    let worker = Worker {
        hub: Arc::clone(&hub),
        input: Input::new(),
        input_of: 0,
        wake: Vec::new(),
        messages: Vec::new(),
        guard: false,
    };
    Ok((Handle(hub), worker))
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
        self.told(wake);
        match flushed {
            Flush::Done => self.rearm(wake),
            Flush::Gathered => {
                self.gathers = self.gathers.saturating_add(1);
                if self.rest == Rest::Asleep {
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
        let mut sorter = Sorter {
            waiters: &mut self.waiters,
            tell: &mut self.tell,
            wake,
            messages: &mut messages,
            bytes: 0,
            limit: 0,
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
        self.room.take(wake);
        self.changes.take(wake);
        self.idle.take(wake);
    }

    /// Whether somebody waits for an answer that only reading can bring.
    fn lifted(&self) -> bool {
        self.waiters.watched() > 0
            || !self.room.is_empty()
            || !self.idle.is_empty()
            || self.driver.is_stopping()
    }

    /// Somebody begins to wait for the server.
    fn lift(&mut self) -> Option<Waker> {
        if core::mem::take(&mut self.paused) { self.rouse() } else { None }
    }
}

impl<T: Transport> Clone for Handle<T> {
    fn clone(&self) -> Self {
        self.0.handles.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl<T: Transport> Drop for Handle<T> {
    fn drop(&mut self) {
        if self.0.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.stop(Stop::drain(self.0.options.linger()));
        }
    }
}

impl<T: Transport> Handle<T> {
    /// Takes a message over, if there is room.
    ///
    /// # Errors
    /// [`PublishError`], with the payload if it was an owned one.
    pub fn try_publish(&self, mut publish: Publish<'_>) -> Result<Watch<T>, PublishError> {
        match self.accept(&mut publish, None) {
            Ok(watch) => Ok(watch),
            Err(error) => Err(with_payload(error, publish)),
        }
    }

    /// Takes a message over when there is room. Ready once: then `publish` is used up.
    pub fn poll_publish(
        &self,
        publish: &mut Publish<'_>,
        context: &Context<'_>,
    ) -> Poll<Result<Watch<T>, PublishError>> {
        match self.accept(publish, Some(context.waker())) {
            Ok(watch) => Poll::Ready(Ok(watch)),
            Err(error) if error.is_full() => Poll::Pending,
            Err(error) => {
                let publish = core::mem::replace(publish, Publish::new("", &[]));
                Poll::Ready(Err(with_payload(error, publish)))
            }
        }
    }

    fn accept(&self, publish: &mut Publish<'_>, waker: Option<&Waker>) -> Result<Watch<T>, PublishError> {
        let mut wake = Vec::new();
        let mut state = self.0.lock();
        let result = match state.driver.publish(publish) {
            Ok(token) => {
                // Outcomes of messages that were dropped for this one, whose token may have the same index.
                state.told(&mut wake);
                let watched = publish.qos != Qos::AtMostOnce || self.0.options.engine().qos0_receipts;
                let id = watched.then(|| state.waiters.watch(token));
                state.sent(&mut wake);
                Ok((token, id))
            }
            Err(error) => {
                if error.is_full()
                    && let Some(waker) = waker
                {
                    state.room.keep(waker, &mut wake);
                    wake.extend(state.lift());
                }
                Err(error)
            }
        };
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        result.map(|(token, id)| match id {
            Some(id) => Watch(Watched::Open { hub: Arc::clone(&self.0), token, id }),
            None => Watch(Watched::Ended { token: None, outcome: Outcome::Accepted }),
        })
    }

    /// Asks for subscriptions, if there is room.
    ///
    /// # Errors
    /// [`RequestError::Rejected`] or [`RequestError::Stopped`].
    pub fn subscribe(
        &self,
        filters: &[Subscription<'_>],
        properties: Properties<'_>,
    ) -> Result<Watch<T>, RequestError> {
        self.request(None, |driver| driver.subscribe(filters, properties))
    }

    /// Asks for subscriptions when there is room.
    pub fn poll_subscribe(
        &self,
        filters: &[Subscription<'_>],
        properties: Properties<'_>,
        context: &Context<'_>,
    ) -> Poll<Result<Watch<T>, RequestError>> {
        full_is_pending(self.request(Some(context.waker()), |driver| driver.subscribe(filters, properties)))
    }

    /// Asks to end subscriptions, if there is room.
    ///
    /// # Errors
    /// [`RequestError::Rejected`] or [`RequestError::Stopped`].
    pub fn unsubscribe(
        &self,
        filters: &[TopicFilter<'_>],
        properties: Properties<'_>,
    ) -> Result<Watch<T>, RequestError> {
        self.request(None, |driver| driver.unsubscribe(filters, properties))
    }

    /// Asks to end subscriptions when there is room.
    pub fn poll_unsubscribe(
        &self,
        filters: &[TopicFilter<'_>],
        properties: Properties<'_>,
        context: &Context<'_>,
    ) -> Poll<Result<Watch<T>, RequestError>> {
        full_is_pending(self.request(Some(context.waker()), |driver| driver.unsubscribe(filters, properties)))
    }

    fn request(
        &self,
        waker: Option<&Waker>,
        ask: impl FnOnce(&mut Driver<T>) -> Result<Token, RequestError>,
    ) -> Result<Watch<T>, RequestError> {
        let mut wake = Vec::new();
        let mut state = self.0.lock();
        let result = match ask(&mut state.driver) {
            Ok(token) => {
                state.told(&mut wake);
                let id = state.waiters.watch(token);
                state.sent(&mut wake);
                Ok(Watch(Watched::Open { hub: Arc::clone(&self.0), token, id }))
            }
            Err(error) => {
                if is_full(&error)
                    && let Some(waker) = waker
                {
                    state.room.keep(waker, &mut wake);
                    wake.extend(state.lift());
                }
                Err(error)
            }
        };
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        result
    }

    /// The oldest message that waits.
    ///
    /// # Errors
    /// [`RecvError::Empty`] or [`RecvError::Stopped`].
    pub fn try_recv(&self) -> Result<Message, RecvError> {
        let (message, resume) = self.0.inbox.take(None)?;
        self.resume(resume);
        Ok(message)
    }

    /// The oldest message that waits; `None`: the client has stopped and nothing is left.
    pub fn poll_recv(&self, context: &Context<'_>) -> Poll<Option<Message>> {
        let mut wake = Vec::new();
        match self.0.inbox.take(Some((context.waker(), &mut wake))) {
            Ok((message, resume)) => {
                self.resume(resume);
                Poll::Ready(Some(message))
            }
            Err(RecvError::Empty) => {
                self.0.lock().hurry(&mut wake);
                wake.into_iter().for_each(Waker::wake);
                Poll::Pending
            }
            Err(_) => Poll::Ready(None),
        }
    }

    fn resume(&self, resume: bool) {
        if resume {
            let worker = {
                let mut state = self.0.lock();
                state.paused = false;
                state.rouse()
            };
            worker.into_iter().for_each(Waker::wake);
        }
    }

    /// The oldest connection event that was not taken yet; `None`: the client has stopped and all were taken.
    pub fn poll_event(&self, context: &Context<'_>) -> Poll<Option<Event>> {
        let mut state = self.0.lock();
        match state.tell.events.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if state.ended.is_some() => Poll::Ready(None),
            None => {
                let mut wake = Vec::new();
                state.changes.keep(context.waker(), &mut wake);
                drop(state);
                wake.into_iter().for_each(Waker::wake);
                Poll::Pending
            }
        }
    }

    /// How many connections there were. Who waits for one begins by asking this.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.0.lock().tell.connections
    }

    /// Waits until there is a connection, or was one `since` that count of [`connections`](Self::connections) (it may have
    /// been lost again at once). If there never was any: an error after one failed attempt for each server. Always: an
    /// error when the client gives up or is stopped.
    pub fn poll_first_connection(&self, since: u64, context: &Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.poll_connection(context, since, self.0.options.servers().len())
    }

    /// As [`poll_first_connection`](Self::poll_first_connection), whatever number of attempts it takes.
    pub fn poll_connected(&self, since: u64, context: &Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.poll_connection(context, since, usize::MAX)
    }

    fn poll_connection(
        &self,
        context: &Context<'_>,
        since: u64,
        attempts: usize,
    ) -> Poll<Result<(), ConnectError>> {
        let mut state = self.0.lock();
        if state.driver.is_connected() || state.tell.connections > since {
            return Poll::Ready(Ok(()));
        }
        let tell = &state.tell;
        let failed = tell.given_up || (tell.connections == 0 && tell.failures >= attempts);
        if failed && let Some(last) = &tell.last {
            return Poll::Ready(Err(match last.why {
                Why::Stopped => ConnectError::Stopped,
                _ => ConnectError::Failed(last.clone()),
            }));
        }
        if state.ended.is_some() {
            return Poll::Ready(Err(ConnectError::Stopped));
        }
        let mut wake = Vec::new();
        state.changes.keep(context.waker(), &mut wake);
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        Poll::Pending
    }

    /// Waits until every operation that was accepted has ended, or the client has.
    pub fn poll_idle(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.ended.is_some() || state.driver.session().pending() == 0 {
            return Poll::Ready(());
        }
        let mut wake = Vec::new();
        state.idle.keep(context.waker(), &mut wake);
        state.hurry(&mut wake);
        wake.extend(state.lift());
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        Poll::Pending
    }

    /// Ends the client.
    pub fn stop(&self, how: Stop<'_>) {
        let worker = {
            let mut state = self.0.lock();
            if state.ended.is_some() {
                return;
            }
            state.driver.stop(how);
            state.paused = false;
            state.rouse()
        };
        worker.into_iter().for_each(Waker::wake);
    }

    /// Waits for the end, once [`stop`](Self::stop) was called or the client gave up: how many operations were
    /// left.
    pub fn poll_stopped(&self, context: &Context<'_>) -> Poll<u32> {
        let mut state = self.0.lock();
        match state.ended {
            Some(left) => Poll::Ready(left),
            None => {
                let mut wake = Vec::new();
                state.changes.keep(context.waker(), &mut wake);
                drop(state);
                wake.into_iter().for_each(Waker::wake);
                Poll::Pending
            }
        }
    }

    /// A call that waited for room or for idleness with this waker has given up.
    pub fn give_up(&self, waker: &Waker) {
        let mut state = self.0.lock();
        let removed = (state.room.remove(waker), state.idle.remove(waker));
        // Dropping a waker may run an executor's code.
        drop(state);
        drop(removed);
    }

    /// Acknowledges a message of [`AckMode::Manual`](mqtt_session::AckMode::Manual).
    ///
    /// # Errors
    /// [`AckError`].
    pub fn acknowledge(&self, ack: AckToken, reason: ReasonCode) -> Result<(), AckError> {
        let mut wake = Vec::new();
        let mut state = self.0.lock();
        let result = state.driver.session_mut().acknowledge(ack, reason);
        if result.is_ok() {
            state.sent(&mut wake);
        }
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        result
    }

    /// Takes an operation back, if nothing of it was sent.
    pub fn cancel(&self, token: Token) -> bool {
        let mut wake = Vec::new();
        let mut state = self.0.lock();
        let cancelled = state.driver.session_mut().cancel(token);
        state.told(&mut wake);
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        cancelled
    }

    /// Pings now.
    pub fn check_link(&self) {
        let worker = {
            let mut state = self.0.lock();
            state.driver.session_mut().check_link();
            state.rouse()
        };
        worker.into_iter().for_each(Waker::wake);
    }

    /// Whether a server has accepted the connection and it is up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.lock().driver.is_connected()
    }

    /// Operations accepted and not ended.
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.0.lock().driver.session().pending()
    }

    /// How the last connection, or attempt at one, ended.
    #[must_use]
    pub fn last_disconnect(&self) -> Option<Disconnected> {
        self.0.lock().tell.last.clone()
    }

    /// QoS 0 messages that were dropped because the inbox was full while a call waited for the server.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.lock().tell.dropped
    }

    /// The engine's counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.lock().driver.session().stats()
    }

    /// What the server allows.
    #[must_use]
    pub fn server_limits(&self) -> ServerLimits {
        *self.0.lock().driver.session().server()
    }

    /// What the client was made with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.0.options
    }
}

const fn is_full(error: &RequestError) -> bool {
    matches!(error, RequestError::Rejected(SubscribeError::QueueFull | SubscribeError::BytesFull))
}

fn full_is_pending<W>(result: Result<W, RequestError>) -> Poll<Result<W, RequestError>> {
    match result {
        Err(error) if is_full(&error) => Poll::Pending,
        result => Poll::Ready(result),
    }
}

/// The end of one operation, to be waited for. Dropping it loses nothing but the answer.
#[derive(Debug)]
pub struct Watch<T: Transport>(Watched<T>);

#[derive(Debug)]
enum Watched<T> {
    Open { hub: Arc<Hub<T>>, token: Token, id: WaiterId },
    Ended { token: Option<Token>, outcome: Outcome },
}

impl<T: Transport> Watch<T> {
    /// The operation; `None`: a QoS 0 message without receipt.
    #[must_use]
    pub const fn token(&self) -> Option<Token> {
        match &self.0 {
            Watched::Open { token, .. } => Some(*token),
            Watched::Ended { token, .. } => *token,
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match &self.0 {
            Watched::Open { hub, id, .. } => hub.lock().waiters.is_ended(id),
            Watched::Ended { .. } => true,
        }
    }

    /// The outcome; may be asked for again and gives the same.
    pub fn poll_outcome(&mut self, context: &Context<'_>) -> Poll<Outcome> {
        let (outcome, token) = match &self.0 {
            Watched::Ended { outcome, .. } => return Poll::Ready(outcome.clone()),
            Watched::Open { hub, token, id } => {
                let mut state = hub.lock();
                // While others wait, their answers bring the worker's next turn soon, and with it a write for
                // all; else this one goes out now.
                let alone = state.waiters.watched() == 0;
                match state.waiters.poll(id, context.waker()) {
                    Ok(outcome) => (outcome, *token),
                    Err(replaced) => {
                        let mut wake = Vec::new();
                        if alone {
                            state.hurry(&mut wake);
                        }
                        wake.extend(state.lift());
                        drop(state);
                        drop(replaced);
                        wake.into_iter().for_each(Waker::wake);
                        return Poll::Pending;
                    }
                }
            }
        };
        // The waiter is used up; the link to it must not be dropped as an open one.
        self.0 = Watched::Ended { token: Some(token), outcome: outcome.clone() };
        Poll::Ready(outcome)
    }

    /// Nobody waits for the outcome right now.
    pub fn rest(&self) {
        if let Watched::Open { hub, id, .. } = &self.0 {
            // The waker is dropped after the lock.
            let _waker = hub.lock().waiters.rest(id);
        }
    }
}

impl<T: Transport> Drop for Watch<T> {
    fn drop(&mut self) {
        if let Watched::Open { hub, id, .. } = &self.0 {
            // The waker is dropped after the lock.
            let _waker = hub.lock().waiters.forget(id);
        }
    }
}

/// Does the input and output of a client. It belongs to one thread or task at a time; when it is dropped, the client
/// has stopped.
#[derive(Debug)]
pub struct Worker<T: Transport> {
    hub: Arc<Hub<T>>,
    input: Input,
    /// The generation of the link the input came from.
    input_of: u64,
    wake: Vec<Waker>,
    messages: Vec<Message>,
    guard: bool,
}

impl<T: Transport> Worker<T> {
    /// What wakes the worker's thread or task; to be set before the first turn.
    pub fn set_waker(&self, waker: &Waker) {
        let mut state = self.hub.lock();
        match &mut state.worker {
            Some(kept) => kept.clone_from(waker),
            None => state.worker = Some(waker.clone()),
        }
    }

    /// Waking this worker costs more than its looking once in a while: after a burst of publishes it asks for another
    /// turn soon, and is not woken for what is gathered meanwhile. Off unless called; for workers with a thread of
    /// their own.
    pub const fn keep_guard(&mut self) {
        self.guard = true;
    }

    /// What the client was made with.
    #[must_use]
    pub fn options(&self) -> &Arc<Options> {
        &self.hub.options
    }

    /// One read, outside of the lock; `Ok(0)` is the end of the stream. The next turn takes the input.
    ///
    /// # Errors
    /// Of the link; `WouldBlock` where there is nothing.
    pub fn read(&mut self, turn: &Turn<T>, link: &T) -> io::Result<usize> {
        if self.input_of != turn.generation {
            self.input.clear();
            self.input_of = turn.generation;
        }
        self.input.read_from(link, turn.hint)
    }

    /// The dial that was asked for has a link; its generation.
    pub fn opened(&mut self, link: Arc<T>) -> u64 {
        let mut state = self.hub.lock();
        state.driver.opened(link);
        state.driver.generation()
    }

    /// The dial that was asked for has failed.
    pub fn dial_failed(&mut self, cause: Option<Cause>) {
        self.hub.lock().driver.dial_failed(cause);
    }

    /// The link of this generation is at its end, or failed.
    pub fn lost(&mut self, generation: u64, error: Option<&io::Error>) {
        self.hub.lock().driver.lost(generation, error);
    }

    /// The link can be written again.
    pub fn writable(&mut self) {
        self.hub.lock().driver.writable();
    }

    /// Does everything that can be done now. Unless the owner is `busy` and takes another turn without waiting, the
    /// worker counts as asleep afterwards: its waker is woken when the next turn is worth it.
    pub fn turn(&mut self, busy: bool) -> Turn<T> {
        let inbox = &self.hub.inbox;
        let bytes = inbox.bytes();
        let mut guard = self.hub.lock();
        let state = &mut *guard;
        state.rest = Rest::Awake;
        if self.input_of != state.driver.generation() {
            self.input.clear();
            self.input_of = state.driver.generation();
        }
        let lifted = state.lifted();
        let mut sorter = Sorter {
            waiters: &mut state.waiters,
            tell: &mut state.tell,
            wake: &mut self.wake,
            messages: &mut self.messages,
            bytes,
            limit: inbox.limit(),
            lifted,
        };
        let mut turn = state.driver.turn(&mut self.input, &mut sorter);
        let ready = sorter.ready();
        self.input_of = turn.generation;
        state.settle(&mut self.wake);
        // Under the engine's lock, so that who is about to wait finds the pause noted.
        let full = inbox.put(&mut self.messages, &mut self.wake);
        if turn.stopped {
            inbox.end(&mut self.wake);
        }
        state.paused = full;
        if !ready && !full {
            // The application took messages meanwhile.
            turn.deadline = Some(Duration::ZERO);
        }
        if !busy {
            if let Some(rest) = self.input.rest() {
                turn.deadline = Some(turn.deadline.map_or(rest, |deadline| deadline.min(rest)));
            }
            state.rest = if self.guard && core::mem::take(&mut state.gathers) > 0 {
                turn.deadline = Some(turn.deadline.map_or(GUARD, |deadline| deadline.min(GUARD)));
                Rest::Guarding
            } else {
                Rest::Asleep
            };
        }
        drop(guard);
        self.wake.drain(..).for_each(Waker::wake);
        turn
    }
}

impl<T: Transport> Drop for Worker<T> {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        if state.ended.is_none() {
            let left = state.driver.session().pending();
            state.driver.abandon();
            state.end(left, &mut self.wake);
        }
        self.hub.inbox.end(&mut self.wake);
        state.worker = None;
        drop(state);
        self.wake.drain(..).for_each(Waker::wake);
    }
}
