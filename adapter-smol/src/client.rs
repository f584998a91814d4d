//! A client that many tasks share.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use futures_lite::Stream;
use mqtt_adapter_core::{
    AckError, AckToken, AuthError, ConnectError, Event, Failed, Handle, Message, Options, Outcome,
    Properties, Publish, PublishError, Qos, ReasonCode, RecvError, RequestError, ResponseError, ServerLimits,
    Stats, Stop, StopError, Subscription, Token, TopicFilter, Wait, Watch, client, subscription,
    with_payload,
};

use crate::connection::{Connection, Link};

/// Short for [`Client::start`].
///
/// # Errors
/// As there.
pub fn connect(options: Options) -> Result<(Client, Connection), ConnectError> {
    Client::start(options)
}

/// A handle of a client whose input and output happen in its [`Connection`].
///
/// Clones are handles of the same client. When the last one goes, what was accepted is delivered for at most
/// [`Options::linger`], then the client disconnects and the [`Connection`] is ready.
///
/// **The end of the process** waits for no task: when `main` returns or the process exits, what was accepted may be
/// undelivered, and a server that got no DISCONNECT sends the will. Await [`stop`](Self::stop) before, also when a signal came.
///
/// **Cancelling**: every future here may be dropped at any time, because it holds no state of the protocol. A `publish`
/// or `subscribe` dropped before it is ready either was accepted, and is then carried out all the same, or was not, and
/// then never is; a `recv` dropped before it is ready has taken no message.
///
/// **A slow application**: messages wait in an inbox bounded by [`Options::inbox_bytes`]. When it is full the client
/// stops reading from the socket, so that the server is held back and no message is lost here; pings and
/// acknowledgements that are owed go out all the same. While a call waits for an answer of the server, reading goes
/// on over the bound, or the answer could not arrive: QoS 0 messages over the bound are then dropped,
/// and counted by [`dropped`](Self::dropped).
#[derive(Clone)]
pub struct Client {
    handle: Handle<Link>,
}

impl Client {
    /// Starts a client: a handle, and the future that connects, connects again, and does all input and output. To wait for
    /// the first connection there is [`connected`](Self::connected).
    ///
    /// ```no_run
    /// use mqtt_adapter_smol::{Client, Options};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (client, connection) = Client::start(Options::new("mqtt://localhost")?)?;
    /// # drop((client, connection));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// With a [`Journal`](crate::Journal) it reads what that holds, which blocks as long as the disk takes.
    ///
    /// # Errors
    /// [`ConnectError::Options`], [`ConnectError::Will`] or [`ConnectError::Journal`]; whether the server can be reached is
    /// told by [`connected`](Self::connected).
    pub fn start(options: Options) -> Result<(Self, Connection), ConnectError> {
        let (handle, worker) = client(options)?;
        Ok((Self { handle }, Connection::new(worker)))
    }

    /// The same client for who works for it: it does not keep it going, though a clone does.
    pub(crate) fn lend(&self) -> Self {
        Self { handle: self.handle.lend() }
    }

    pub(crate) const fn inner(&self) -> &Handle<Link> {
        &self.handle
    }

    // Publishing

    /// Publishes. While the queue is full it waits for room; it does not wait for the server's answer: that is
    /// what the receipt is for.
    ///
    /// # Errors
    /// [`PublishError`], with the payload if it was an owned one.
    pub async fn publish(&self, publish: Publish<'_>) -> Result<Receipt, PublishError> {
        let mut publish = self.prepared(publish)?;
        call(|wait, context| self.handle.poll_publish(&mut publish, wait, context)).await.map(Receipt)
    }

    /// Publishes if there is room in the queue; never waits.
    ///
    /// # Errors
    /// [`PublishError`]; a full queue is told by [`PublishError::is_full`].
    pub fn try_publish(&self, publish: Publish<'_>) -> Result<Receipt, PublishError> {
        self.handle.try_publish(self.prepared(publish)?).map(Receipt)
    }

    /// The message as the hook before a publish leaves it.
    fn prepared<'p>(&self, mut publish: Publish<'p>) -> Result<Publish<'p>, PublishError> {
        match self.handle.prepare(&mut publish, None) {
            Ok(()) => Ok(publish),
            Err(error) => Err(with_payload(error, publish)),
        }
    }

    // Asking

    /// Asks, and waits for the response (5.0): publishes the message with a Response Topic and Correlation Data of its own
    /// ([`Options::with_response_topic`](crate::Options::with_response_topic)) and gives back the message that answers it.
    /// [`Message::reply`](crate::Message::reply) is the other side.
    ///
    /// # Errors
    /// [`ResponseError`].
    pub async fn request(&self, publish: Publish<'_>, timeout: Duration) -> Result<Message, ResponseError> {
        let mut publish = self.prepared(publish)?;
        let mut ask =
            call(|wait, context| self.handle.poll_request(&mut publish, timeout, wait, context)).await?;
        poll_fn(|context| ask.poll_response(context)).await
    }

    // Subscribing

    /// Subscribes and waits for the server's answer: the quality of service it granted.
    ///
    /// # Errors
    /// [`RequestError`]; a refusing answer is [`RequestError::Refused`].
    pub async fn subscribe(&self, filter: &str, qos: Qos) -> Result<ReasonCode, RequestError> {
        single(&self.subscribe_many(&[subscription(filter, qos)?], Properties::EMPTY).await?)
    }

    /// Subscribes to several filters in one packet and waits for the server's answers, one for each filter in order,
    /// refusing ones included.
    ///
    /// # Errors
    /// [`RequestError`], if there was no answer.
    pub async fn subscribe_many(
        &self,
        filters: &[Subscription<'_>],
        properties: Properties<'_>,
    ) -> Result<Vec<ReasonCode>, RequestError> {
        let watch =
            call(|wait, context| self.handle.poll_subscribe(filters, properties, wait, context)).await?;
        codes(Receipt(watch).await)
    }

    /// Ends a subscription and waits for the server's answer. 3.x servers give none: success.
    ///
    /// # Errors
    /// [`RequestError`]; a refusing answer is [`RequestError::Refused`].
    pub async fn unsubscribe(&self, filter: &str) -> Result<ReasonCode, RequestError> {
        let filter = TopicFilter::new(filter).map_err(RequestError::Filter)?;
        single(&self.unsubscribe_many(&[filter], Properties::EMPTY).await?)
    }

    /// Ends several subscriptions in one packet and waits for the server's answers (none from a 3.x server).
    ///
    /// # Errors
    /// [`RequestError`], if there was no answer.
    pub async fn unsubscribe_many(
        &self,
        filters: &[TopicFilter<'_>],
        properties: Properties<'_>,
    ) -> Result<Vec<ReasonCode>, RequestError> {
        let watch =
            call(|wait, context| self.handle.poll_unsubscribe(filters, properties, wait, context)).await?;
        codes(Receipt(watch).await)
    }

    /// Asks for subscriptions and does not wait; the receipt ends with
    /// [`Outcome::Granted`](crate::Outcome::Granted).
    ///
    /// # Errors
    /// [`RequestError::Rejected`] or [`RequestError::Stopped`].
    pub fn request_subscribe(
        &self,
        filters: &[Subscription<'_>],
        properties: Properties<'_>,
    ) -> Result<Receipt, RequestError> {
        self.handle.subscribe(filters, properties).map(Receipt)
    }

    /// Asks to end subscriptions and does not wait.
    ///
    /// # Errors
    /// [`RequestError::Rejected`] or [`RequestError::Stopped`].
    pub fn request_unsubscribe(
        &self,
        filters: &[TopicFilter<'_>],
        properties: Properties<'_>,
    ) -> Result<Receipt, RequestError> {
        self.handle.unsubscribe(filters, properties).map(Receipt)
    }

    // Receiving

    /// The next message. Each message is given to one caller only. `None`: the client has stopped and nothing is left.
    pub async fn recv(&self) -> Option<Message> {
        call(|wait, context| self.handle.poll_recv(wait, context)).await
    }

    /// The next message, if one is waiting.
    ///
    /// # Errors
    /// [`RecvError::Empty`] or [`RecvError::Stopped`].
    pub fn try_recv(&self) -> Result<Message, RecvError> {
        self.handle.try_recv()
    }

    /// The messages, one after another, until the client has stopped. The stream is a handle: while it lives, the
    /// client does.
    pub fn messages(&self) -> Messages {
        Messages { client: self.clone(), wait: Wait::new() }
    }

    /// Acknowledges a message of [`AckMode::Manual`](crate::AckMode::Manual), in any order. `properties` explain it (5.0): a Reason
    /// String, User Properties; what is too much for the server is left out.
    ///
    /// # Errors
    /// [`AckError::Stale`] after a reconnect, [`AckError::InvalidReason`], [`AckError::Invalid`].
    pub fn acknowledge(
        &self,
        ack: AckToken,
        reason: ReasonCode,
        properties: Properties<'_>,
    ) -> Result<(), AckError> {
        self.handle.acknowledge(ack, reason, properties)
    }

    /// Sends a step of an enhanced authentication (5.0): 0x18 answers an [`Event::Auth`] that asked for it, 0x19 begins a
    /// re-authentication while connected. The properties repeat the Authentication Method of
    /// [`Options::with_properties`](crate::Options::with_properties).
    ///
    /// # Errors
    /// [`AuthError`]: it is not the client's turn, the method is another, or there is no room.
    pub fn authenticate(&self, reason: ReasonCode, properties: Properties<'_>) -> Result<(), AuthError> {
        self.handle.authenticate(reason, properties)
    }

    /// Begins to authenticate again (5.0), with a new [`Authenticator`](crate::Authenticator) of
    /// [`Options::with_authenticator`](crate::Options::with_authenticator).
    ///
    /// # Errors
    /// [`AuthError`]: it is not the client's turn, there is no room, or no authenticator.
    pub fn reauthenticate(&self) -> Result<(), AuthError> {
        self.handle.reauthenticate()
    }

    // The connection

    /// The next connection event: everything but [`Event::Message`], [`Event::Done`] and [`Event::Unblocked`]. `None`: the
    /// client has stopped and all were taken. Each event is given to one caller only; the newest 1,024 are kept.
    pub async fn next_event(&self) -> Option<Event> {
        call(|wait, context| self.handle.poll_event(wait, context)).await
    }

    /// Waits for the first connection. One failed attempt for each server is an error, though the client goes on
    /// trying; once the connection was up, this waits until it is up again.
    ///
    /// # Errors
    /// [`ConnectError::Failed`] or [`ConnectError::Stopped`].
    pub async fn connected(&self) -> Result<(), ConnectError> {
        let since = self.handle.connections();
        call(|wait, context| self.handle.poll_first_connection(since, wait, context)).await
    }

    /// Whether a server has accepted the connection and it is up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.handle.is_connected()
    }

    /// Pings now, whatever the keep-alive interval says: after the computer slept, or the network changed.
    pub fn check_link(&self) {
        self.handle.check_link();
    }

    // Operations

    /// Takes an operation back; false if something of it was sent already.
    #[must_use]
    pub fn cancel(&self, token: Token) -> bool {
        self.handle.cancel(token)
    }

    /// Operations accepted and not ended.
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.handle.pending()
    }

    /// Waits until every accepted operation has ended.
    pub async fn idle(&self) {
        call(|wait, context| self.handle.poll_idle(wait, context)).await;
    }

    // Questions

    /// The engine's counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.stats()
    }

    /// QoS 0 messages dropped because the inbox was full while a call waited for the server.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.handle.dropped()
    }

    /// What the server allows on the present connection.
    #[must_use]
    pub fn server_limits(&self) -> ServerLimits {
        self.handle.server_limits()
    }

    /// What the client was made with.
    #[must_use]
    pub fn options(&self) -> &Options {
        self.handle.options()
    }

    // The end

    /// Refuses new work, delivers what was accepted for at most this long, disconnects and waits for the end: how
    /// many operations were left. Messages that wait can still be taken. The server has a second to close
    /// the connection when everything is written, so that it reads the last acknowledgements. The stop goes on if this is
    /// dropped.
    pub async fn stop(&self, within: Duration) -> u32 {
        // A plain drain is never refused.
        self.stop_with(Stop::drain(within)).await.unwrap_or(0)
    }

    /// As [`stop`](Self::stop), with all that can be said about it.
    ///
    /// # Errors
    /// [`StopError`]: DISCONNECT cannot say what is asked for, and nothing happens.
    pub async fn stop_with(&self, how: Stop<'_>) -> Result<u32, StopError> {
        self.handle.stop(how)?;
        Ok(call(|wait, context| self.handle.poll_stopped(wait, context)).await)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("options", self.options())
            .field("is_connected", &self.is_connected())
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}

/// Calls until there is an answer. Dropped before, it has given up.
pub(crate) async fn call<R>(mut ask: impl FnMut(&mut Wait<Link>, &Context<'_>) -> Poll<R>) -> R {
    let mut wait = Wait::new();
    poll_fn(|context| ask(&mut wait, context)).await
}

fn codes(result: Result<Outcome, Failed>) -> Result<Vec<ReasonCode>, RequestError> {
    match result {
        Ok(Outcome::Granted(codes)) => Ok(codes),
        Ok(_) => Ok(Vec::new()),
        Err(Failed(Outcome::Stopped)) => Err(RequestError::Stopped),
        Err(Failed(Outcome::Refused(code))) => Err(RequestError::Refused(code)),
        Err(failed) => Err(RequestError::Failed(failed)),
    }
}

fn single(codes: &[ReasonCode]) -> Result<ReasonCode, RequestError> {
    match codes.first() {
        Some(code) if code.is_error() => Err(RequestError::Refused(*code)),
        Some(code) => Ok(*code),
        None => Ok(ReasonCode::Success),
    }
}

/// The end of one operation: a future. Dropping it loses nothing but the answer; polled after the end it gives
/// the same again. A QoS 0 message without receipt has ended with its acceptance.
///
/// Its error is [`Failed`]: the operation did not do what it was for.
#[derive(Debug)]
#[must_use = "an operation may fail; drop the receipt where that does not matter"]
pub struct Receipt(Watch<Link>);

impl Receipt {
    /// The operation; `None`: a QoS 0 message without receipt.
    #[must_use]
    pub const fn token(&self) -> Option<Token> {
        self.0.token()
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0.is_done()
    }

    /// Waits until the message is in the journal, so that a crash does not lose it. What has ended well counts too: then
    /// the server has it. Without a journal, and at QoS 0, that is what it waits for.
    ///
    /// # Errors
    /// [`Failed`]: it has ended, and did not do what it was for.
    pub async fn durable(&mut self) -> Result<(), Failed> {
        let resting = Resting(&mut self.0);
        poll_fn(|context| resting.0.poll_durable(context)).await
    }
}

/// Nobody waits for the operation when this is dropped, though its end is still wanted.
struct Resting<'r>(&'r mut Watch<Link>);

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        self.0.rest();
    }
}

impl Future for Receipt {
    type Output = Result<Outcome, Failed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_outcome(context).map(Outcome::into_result)
    }
}

/// The messages of a client; see [`Client::messages`].
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Messages {
    client: Client,
    wait: Wait<Link>,
}

impl Stream for Messages {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        let Self { client, wait } = &mut *self;
        client.handle.poll_recv(wait, context)
    }
}
