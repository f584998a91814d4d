//! What users hold: every call of a client, as a poll.

use core::sync::atomic::Ordering;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use mqtt_session::proto::{Properties, Qos, ReasonCode, Subscription, TopicFilter};
use mqtt_session::{
    AckError, AckToken, AuthError, ServerLimits, Stats, Stop, StopError, SubscribeError, Token, Why,
};

use super::{For, Hub, State, Wait, Watch, Watched};
use crate::driver::{Driver, with_payload};
use crate::error::{ConnectError, PublishError, RecvError, RequestError};
use crate::event::{Disconnected, Event, Outcome};
use crate::message::{Message, Publish};
use crate::options::Options;
use crate::sync::MutexGuard;
use crate::transport::Transport;
use crate::wakers::Wakers;

/// One of the handles of a client. When the last one goes, the client delivers what it has accepted for at
/// most [`Options::linger`] and disconnects.
///
/// Every `poll_…` follows the rules of futures: where it is pending, the waker is kept and woken when it is worth asking
/// again, and giving up is no more than dropping the [`Wait`] of the call. No call blocks.
#[derive(Debug)]
pub struct Handle<T: Transport>(
    pub(super) Arc<Hub<T>>,
    /// Whether it keeps the client going.
    pub(super) bool,
);

impl<T: Transport> Clone for Handle<T> {
    fn clone(&self) -> Self {
        self.0.handles.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0), true)
    }
}

impl<T: Transport> Drop for Handle<T> {
    fn drop(&mut self) {
        if self.1 && self.0.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            // A plain drain is never refused.
            let _ = self.stop(Stop::drain(self.0.options.linger()));
        }
    }
}

impl<T: Transport> Handle<T> {
    /// A handle that does not keep the client going: for who works for the client, such as what calls handlers. A clone of
    /// it does.
    #[must_use]
    pub fn lend(&self) -> Self {
        Self(Arc::clone(&self.0), false)
    }

    /// Calls the hook before a publish, if there is one; to be called once for each message, before it is offered.
    /// `pieces`: the length of a payload that comes in pieces.
    ///
    /// # Errors
    /// [`PublishError::Vetoed`].
    pub fn prepare(&self, publish: &mut Publish<'_>, pieces: Option<u32>) -> Result<(), PublishError> {
        self.0.options.hooks().publish(publish, pieces)
    }

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
        wait: &mut Wait<T>,
        context: &Context<'_>,
    ) -> Poll<Result<Watch<T>, PublishError>> {
        match self.accept(publish, Some((wait, context.waker()))) {
            Ok(watch) => Poll::Ready(Ok(watch)),
            Err(error) if error.is_full() => Poll::Pending,
            Err(error) => {
                let publish = core::mem::replace(publish, Publish::new("", &[]));
                Poll::Ready(Err(with_payload(error, publish)))
            }
        }
    }

    fn accept(
        &self,
        publish: &mut Publish<'_>,
        wait: Option<(&mut Wait<T>, &Waker)>,
    ) -> Result<Watch<T>, PublishError> {
        let mut wake = Vec::new();
        let mut old = None;
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
                    && let Some((wait, waker)) = wait
                {
                    old = self.wait_for_room(&mut state, wait, waker, &mut wake);
                }
                Err(error)
            }
        };
        drop(state);
        drop(old);
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
        wait: &mut Wait<T>,
        context: &Context<'_>,
    ) -> Poll<Result<Watch<T>, RequestError>> {
        let wait = Some((wait, context.waker()));
        full_is_pending(self.request(wait, |driver| driver.subscribe(filters, properties)))
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
        wait: &mut Wait<T>,
        context: &Context<'_>,
    ) -> Poll<Result<Watch<T>, RequestError>> {
        let wait = Some((wait, context.waker()));
        full_is_pending(self.request(wait, |driver| driver.unsubscribe(filters, properties)))
    }

    fn request(
        &self,
        wait: Option<(&mut Wait<T>, &Waker)>,
        ask: impl FnOnce(&mut Driver<T>) -> Result<Token, RequestError>,
    ) -> Result<Watch<T>, RequestError> {
        let mut wake = Vec::new();
        let mut old = None;
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
                    && let Some((wait, waker)) = wait
                {
                    old = self.wait_for_room(&mut state, wait, waker, &mut wake);
                }
                Err(error)
            }
        };
        drop(state);
        drop(old);
        wake.into_iter().for_each(Waker::wake);
        result
    }

    /// Somebody begins to wait for room; the waker to be dropped once no lock is held.
    pub(super) fn wait_for_room(
        &self,
        state: &mut State<T>,
        wait: &mut Wait<T>,
        waker: &Waker,
        wake: &mut Vec<Waker>,
    ) -> Option<Waker> {
        wake.extend(state.lift());
        wait.keep(&self.0, For::Room, &mut state.room, waker)
    }

    /// Somebody begins to wait for a change.
    pub(super) fn wait_for_change(
        &self,
        mut state: MutexGuard<'_, State<T>>,
        wait: &mut Wait<T>,
        context: &Context<'_>,
    ) {
        let old = wait.keep(&self.0, For::Change, &mut state.changes, context.waker());
        // Dropping a waker may run an executor's code.
        drop(state);
        drop(old);
    }

    /// The oldest message that waits.
    ///
    /// # Errors
    /// [`RecvError::Empty`] or [`RecvError::Stopped`].
    pub fn try_recv(&self) -> Result<Message, RecvError> {
        let (message, resume) = self.0.inbox.take(|_| ())?;
        self.resume(resume);
        Ok(message)
    }

    /// The oldest message that waits; `None`: the client has stopped and nothing is left.
    pub fn poll_recv(&self, wait: &mut Wait<T>, context: &Context<'_>) -> Poll<Option<Message>> {
        let mut old = None;
        let keep = |takers: &mut Wakers| old = wait.keep(&self.0, For::Message, takers, context.waker());
        match self.0.inbox.take(keep) {
            Ok((message, resume)) => {
                self.resume(resume);
                Poll::Ready(Some(message))
            }
            Err(RecvError::Empty) => {
                drop(old);
                let mut wake = Vec::new();
                self.0.lock().hurry(&mut wake);
                wake.into_iter().for_each(Waker::wake);
                Poll::Pending
            }
            Err(_) => Poll::Ready(None),
        }
    }

    /// Gives back a message that nobody wants after all: who asks next gets it.
    pub fn put_back(&self, message: Message) {
        let mut wake = Vec::new();
        self.0.inbox.put_back(message, &mut wake);
        wake.into_iter().for_each(Waker::wake);
    }

    pub(super) fn resume(&self, resume: bool) {
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
    pub fn poll_event(&self, wait: &mut Wait<T>, context: &Context<'_>) -> Poll<Option<Event>> {
        let mut state = self.0.lock();
        match state.tell.events.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if state.ended.is_some() => Poll::Ready(None),
            None => {
                self.wait_for_change(state, wait, context);
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
    pub fn poll_first_connection(
        &self,
        since: u64,
        wait: &mut Wait<T>,
        context: &Context<'_>,
    ) -> Poll<Result<(), ConnectError>> {
        self.poll_connection(wait, context, since, self.0.options.servers().len())
    }

    /// As [`poll_first_connection`](Self::poll_first_connection), whatever number of attempts it takes.
    pub fn poll_connected(
        &self,
        since: u64,
        wait: &mut Wait<T>,
        context: &Context<'_>,
    ) -> Poll<Result<(), ConnectError>> {
        self.poll_connection(wait, context, since, usize::MAX)
    }

    fn poll_connection(
        &self,
        wait: &mut Wait<T>,
        context: &Context<'_>,
        since: u64,
        attempts: usize,
    ) -> Poll<Result<(), ConnectError>> {
        let state = self.0.lock();
        if state.driver.is_connected() || state.tell.connections > since {
            return Poll::Ready(Ok(()));
        }
        let tell = &state.tell;
        let failed = tell.given_up || (tell.connections == 0 && tell.failures >= attempts);
        // Attempts go on meanwhile: what is told is how the first round through the servers ended.
        let told = if tell.given_up { &tell.last } else { &tell.first_round };
        if failed && let Some(last) = told {
            return Poll::Ready(Err(match last.why {
                Why::Stopped => ConnectError::Stopped,
                _ => ConnectError::Failed(last.clone()),
            }));
        }
        if state.ended.is_some() {
            return Poll::Ready(Err(ConnectError::Stopped));
        }
        self.wait_for_change(state, wait, context);
        Poll::Pending
    }

    /// Waits until every operation that was accepted has ended, or the client has.
    pub fn poll_idle(&self, wait: &mut Wait<T>, context: &Context<'_>) -> Poll<()> {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        if state.ended.is_some() || state.driver.session().pending() == 0 {
            return Poll::Ready(());
        }
        let mut wake = Vec::new();
        let old = wait.keep(&self.0, For::Idle, &mut state.idle, context.waker());
        state.hurry(&mut wake);
        wake.extend(state.lift());
        drop(guard);
        drop(old);
        wake.into_iter().for_each(Waker::wake);
        Poll::Pending
    }

    /// Ends the client.
    ///
    /// # Errors
    /// [`StopError`]: DISCONNECT cannot say what is asked for, and nothing happens.
    pub fn stop(&self, how: Stop<'_>) -> Result<(), StopError> {
        let state = self.0.lock();
        let first = state.ended.is_none() && !state.driver.is_stopping();
        drop(state);
        if first {
            self.0.options.hooks().disconnect();
        }
        let worker = {
            let mut state = self.0.lock();
            if state.ended.is_some() {
                return Ok(());
            }
            state.driver.stop(how)?;
            state.paused = false;
            state.rouse()
        };
        worker.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Waits for the end, once [`stop`](Self::stop) was called or the client gave up: how many operations were
    /// left.
    pub fn poll_stopped(&self, wait: &mut Wait<T>, context: &Context<'_>) -> Poll<u32> {
        let state = self.0.lock();
        match state.ended {
            Some(left) => Poll::Ready(left),
            None => {
                self.wait_for_change(state, wait, context);
                Poll::Pending
            }
        }
    }

    /// Acknowledges a message of [`AckMode::Manual`](mqtt_session::AckMode::Manual).
    ///
    /// # Errors
    /// [`AckError`].
    pub fn acknowledge(
        &self,
        ack: AckToken,
        reason: ReasonCode,
        properties: Properties<'_>,
    ) -> Result<(), AckError> {
        let mut wake = Vec::new();
        let mut state = self.0.lock();
        let result = state.driver.session_mut().acknowledge(ack, reason, properties);
        if result.is_ok() {
            state.sent(&mut wake);
        }
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        result
    }

    /// Sends a step of an enhanced authentication.
    ///
    /// # Errors
    /// [`AuthError`].
    pub fn authenticate(&self, reason: ReasonCode, properties: Properties<'_>) -> Result<(), AuthError> {
        let mut wake = Vec::new();
        let mut state = self.0.lock();
        let result = state.driver.authenticate(reason, properties);
        if result.is_ok() {
            state.sent(&mut wake);
        }
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        result
    }

    /// Begins to authenticate again (5.0), with a new [`Authenticator`](crate::Authenticator).
    ///
    /// # Errors
    /// [`AuthError`]; [`AuthError::NoMethod`] also where the options have no authenticator.
    pub fn reauthenticate(&self) -> Result<(), AuthError> {
        let mut wake = Vec::new();
        let mut state = self.0.lock();
        let result = state.driver.reauthenticate();
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
