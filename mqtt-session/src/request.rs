//! Requests and their responses, as a small layer on top of the session (5.0).
//!
//! A request is a PUBLISH with two properties: where the response is to go (Response Topic) and what tells
//! it from others (Correlation Data). [`Requests`] is the table of those that wait; it keeps the subscription
//! to the response topic, makes correlation data that no other request has, and finds out which response is
//! whose. [`Reply`] is the other side. Nothing here allocates, and whatever is sent is an ordinary message
//! of the session: it survives cuts as its quality of service says.
//!
//! 3.1 and 3.1.1 have no properties, so they have no requests: they are refused.

use core::fmt;
use core::time::Duration;

use mqtt_proto::{
    EncodedProperties, Properties, Property, Qos, ReasonCode, RetainHandling, Subscription,
    SubscriptionOptions, TopicError, TopicFilter, TopicName,
};

use crate::error::{PublishError, Refused, SubscribeError};
use crate::event::{Connected, Outcome, Received};
use crate::options::Message;
use crate::session::Session;
use crate::storage::Storage;
use crate::time::Instant;
use crate::token::Token;

/// The longest response topic, in bytes.
pub const RESPONSE_TOPIC_MAX: usize = 128;

/// Correlation data: what tells the requests of this table from others, and one request from another.
const CORRELATION: usize = 16;

/// Both properties, encoded: an identifier and a length each.
const OWN_PROPERTIES: usize = 3 + RESPONSE_TOPIC_MAX + 3 + CORRELATION;

/// Where responses are to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseTopic<'t> {
    /// To this topic. It should be this client's own.
    At(&'t str),
    /// To the server's Response Information followed by this text. The server only gives it when
    /// CONNECT asks for it: `Property::RequestResponseInformation(true)` in
    /// [`ConnectOptions::properties`](crate::ConnectOptions::properties).
    Assigned(&'t str),
}

/// Names a request that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request(u64);

impl Request {
    const fn index(self) -> usize {
        (self.0 & 0xFFFF) as usize
    }
}

/// A request that waits no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Which.
    pub request: Request,
    /// `Message::tag` of its message.
    pub tag: u64,
}

/// What a message that arrived is to the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched {
    /// The response to this request, which waits no longer.
    Response(Settled),
    /// It came to the response topic and answers nothing that waits: it is late, a duplicate, or not
    /// meant for this table.
    Unmatched,
    /// It came to another topic.
    Other,
}

/// What the end of an operation is to the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The request did not reach anybody: there will be no response, and it waits no longer.
    Request(Settled),
    /// The subscription to the response topic was refused. What waits can only time out; the next
    /// `connected` tries again.
    Subscription,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// 0: free.
    request: u64,
    token: Token,
    tag: u64,
    deadline: Instant,
}

impl Entry {
    const FREE: Self = Self { request: 0, token: Token::new(0, 0), tag: 0, deadline: Instant::NEVER };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There has been no connection.
    New,
    /// The response topic is subscribed, or asked to be.
    Ready,
    /// The last attempt to get there failed.
    Unready,
    /// The last connection was not 5.0.
    OldVersion,
}

/// A table of at most `N` requests that wait for their responses; `N` is at most 65,536.
///
/// The caller passes on what the session tells: [`connected`](Self::connected) on every
/// `Event::Connected`, [`received`](Self::received) for every message, [`done`](Self::done) for every
/// `Event::Done`; and asks [`expire`](Self::expire) when [`poll_timeout`](Self::poll_timeout) says so.
///
/// ```
/// use core::time::Duration;
/// use mqtt_session::proto::{Properties, Property, Qos, TopicName};
/// use mqtt_session::request::{Matched, Requests, ResponseTopic};
/// use mqtt_session::{ConnectOptions, Event, HeapSession, Instant, Message};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // What the server assigns, if it is asked to.
/// let mut options = ConnectOptions::new("asker");
/// let wanted = [Property::RequestResponseInformation(true)];
/// options.properties = Properties::List(&wanted);
/// let mut requests = Requests::<8>::new(0x5EED, ResponseTopic::Assigned("answers")); // a random number
///
/// fn ask(session: &mut HeapSession, requests: &mut Requests<8>, now: Instant) {
///     let question = Message::new(TopicName::new("lamp/7/query").unwrap()).qos(Qos::AtLeastOnce).tag(1);
///     let asked = requests.request(session, &question, b"state?".into(), Duration::from_secs(5), now);
///     println!("{asked:?}");
/// }
///
/// fn on_event(session: &mut HeapSession, requests: &mut Requests<8>, event: &Event<'_>) {
///     match event {
///         Event::Connected(connected) => {
///             if let Err(error) = requests.connected(session, connected) {
///                 println!("no requests on this connection: {error}");
///             }
///         }
///         Event::Message(message) => match requests.received(session, message) {
///             Matched::Response(settled) => println!("{}: {:?}", settled.tag, message.payload),
///             Matched::Unmatched => println!("late, or twice"),
///             Matched::Other => println!("a message like any other"),
///         },
///         Event::Done { token, outcome, .. } => println!("{:?}", requests.done(*token, outcome)),
///         _ => {}
///     }
/// }
/// # let mut session = HeapSession::new(mqtt_session::Config::new(1));
/// # session.start(&options)?;
/// # let now = Instant::ZERO;
/// # (session.poll_event(), session.poll_command());
/// # session.opened(&options, now);
/// # let mut wire = [0; 256];
/// # session.outgoing(now).copy_to(&mut wire);
/// # let mut input = &b"\x20\x09\x00\x00\x06\x1A\x00\x03c/\x37"[..];
/// # while let Some(event) = session.receive(&mut input, now) {
/// #     on_event(&mut session, &mut requests, &event);
/// # }
/// # ask(&mut session, &mut requests, now);
/// # assert_eq!(requests.topic(), Some("c/7answers"));
/// # assert_eq!(requests.waiting(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Requests<const N: usize> {
    /// What was given: a topic, or what follows what the server assigns.
    place: [u8; RESPONSE_TOPIC_MAX],
    place_len: usize,
    assigned: bool,
    nonce: u64,
    made: u64,
    state: State,
    subscription: Option<Token>,
    topic: [u8; RESPONSE_TOPIC_MAX],
    topic_len: usize,
    entries: [Entry; N],
}

impl<const N: usize> Requests<N> {
    /// An empty table. `nonce` tells its requests from those of other tables and of earlier runs that use the
    /// same response topic: draw it at random. The text is copied.
    #[must_use]
    pub const fn new(nonce: u64, place: ResponseTopic<'_>) -> Self {
        const { assert!(N > 0 && N <= 65_536, "a table holds 1 to 65,536 requests") };
        let (text, assigned) = match place {
            ResponseTopic::At(topic) => (topic, false),
            ResponseTopic::Assigned(suffix) => (suffix, true),
        };
        let mut copy = [0; RESPONSE_TOPIC_MAX];
        let (mut to, mut from) = (copy.as_mut_slice(), text.as_bytes());
        while let (Some((place, rest)), Some((byte, behind))) = (to.split_first_mut(), from.split_first()) {
            *place = *byte;
            (to, from) = (rest, behind);
        }
        Self {
            place: copy,
            // One that is too long is told when it is needed.
            place_len: text.len(),
            assigned,
            nonce,
            made: 0,
            state: State::New,
            subscription: None,
            topic: [0; RESPONSE_TOPIC_MAX],
            topic_len: 0,
            entries: [Entry::FREE; N],
        }
    }

    /// Where responses are to go; `None` before the first connection.
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        let bytes = self.topic.get(..self.topic_len).filter(|bytes| !bytes.is_empty())?;
        core::str::from_utf8(bytes).ok()
    }

    /// Requests that wait. O(`N`).
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.entries.iter().filter(|entry| entry.request != 0).count()
    }

    /// A connection was accepted (`Event::Connected`): subscribes to the response topic unless that is done.
    /// A subscription that was made is made again by the session when the server has lost it
    /// (`Config::resubscribe`), before anything that waits is sent; without that, it is made again here.
    ///
    /// Where the server assigns another response topic than before, the old one is unsubscribed; responses to
    /// what was asked before will not come, and those requests time out.
    ///
    /// # Errors
    /// No request can be made on this connection; see [`RequestsError`].
    pub fn connected<S: Storage>(
        &mut self,
        session: &mut Session<S>,
        connected: &Connected<'_>,
    ) -> Result<(), RequestsError> {
        if !connected.version.has_properties() {
            self.state = State::OldVersion;
            return Err(RequestsError::NotInThisVersion);
        }
        let was = core::mem::replace(&mut self.state, State::Unready);
        let base = match (self.assigned, connected.connack.properties.response_information()) {
            (false, _) => "",
            (true, base) => base.ok_or(RequestsError::NotAssigned)?,
        };
        let place = self.place.get(..self.place_len);
        let suffix = place.and_then(|text| core::str::from_utf8(text).ok());
        let suffix = suffix.ok_or(RequestsError::TopicTooLong { needed: self.place_len })?;
        let mut topic = [0; RESPONSE_TOPIC_MAX];
        let needed = base.len().saturating_add(suffix.len());
        for (place, byte) in topic.iter_mut().zip(base.bytes().chain(suffix.bytes())) {
            *place = byte;
        }
        let bytes = topic.get(..needed).ok_or(RequestsError::TopicTooLong { needed })?;
        let text = core::str::from_utf8(bytes).unwrap_or_default();
        let name = TopicName::new(text).map_err(RequestsError::Topic)?;
        let filter = TopicFilter::new(name.as_str()).map_err(RequestsError::Topic)?;
        let same = self.topic() == Some(text);
        let kept = self.subscription.is_some_and(|token| connected.resumed || session.keeps(token));
        if same && kept {
            self.state = State::Ready;
            return Ok(());
        }
        if !same
            && was != State::New
            && self.subscription.is_some()
            && let Some(Ok(old)) = self.topic().map(TopicFilter::new)
        {
            // Best effort: what still comes there is unmatched.
            let _ = session.unsubscribe(&[old], Properties::EMPTY);
        }
        let mut options = SubscriptionOptions::new(Qos::ExactlyOnce);
        // What is retained there answers nothing that was asked.
        options.retain_handling = RetainHandling::DoNotSend;
        self.subscription = None;
        let asked = session.subscribe(&[Subscription { filter, options }], Properties::EMPTY);
        self.subscription = Some(asked.map_err(RequestsError::Subscribe)?);
        self.topic = topic;
        self.topic_len = needed;
        self.state = State::Ready;
        Ok(())
    }

    /// Sends a request: `message` and `payload` as for [`Session::publish`], with Response Topic and Correlation
    /// Data added. Accepted while disconnected too, once there has been a connection. O(`N`).
    ///
    /// # Errors
    /// The payload comes back with the reason.
    pub fn request<'p, S: Storage>(
        &mut self,
        session: &mut Session<S>,
        message: &Message<'_>,
        payload: S::Payload<'p>,
        timeout: Duration,
        now: Instant,
    ) -> Result<Request, Refused<S::Payload<'p>, RequestError>> {
        let refuse = |reason, payload| Err(Refused { reason, payload });
        match self.state {
            State::Ready => {}
            State::OldVersion => return refuse(RequestError::NotInThisVersion, payload),
            State::New | State::Unready => return refuse(RequestError::NotReady, payload),
        }
        let Some(index) = self.entries.iter().position(|entry| entry.request == 0) else {
            return refuse(RequestError::TableFull, payload);
        };
        let Some(topic) = self.topic() else { return refuse(RequestError::NotReady, payload) };
        let request = Request((self.made.wrapping_add(1) << 16) | index as u64);
        let correlation = self.correlation(request);
        let own = [Property::ResponseTopic(topic), Property::CorrelationData(&correlation)];
        let mut encoded = [0; OWN_PROPERTIES];
        let written = Properties::List(&own).write_body(&mut encoded).unwrap_or(0);
        let encoded = EncodedProperties::from_stored(encoded.get(..written).unwrap_or_default());
        let properties = match message.properties {
            Properties::List(list) => Properties::Chain(list, encoded),
            Properties::Encoded(stored) => Properties::Chain(&own, stored),
            Properties::Chain(..) => return refuse(RequestError::ChainedProperties, payload),
        };
        let published = session.publish(&Message { properties, ..*message }, payload);
        let token = match published {
            Ok(token) => token,
            Err(Refused { reason, payload }) => return refuse(RequestError::Publish(reason), payload),
        };
        self.made = self.made.wrapping_add(1);
        if let Some(entry) = self.entries.get_mut(index) {
            *entry = Entry { request: request.0, token, tag: message.tag, deadline: now.after(timeout) };
        }
        Ok(request)
    }

    /// What a message that arrived is: also for the message of `Event::Start`. O(1).
    pub fn received<S: Storage>(&mut self, session: &Session<S>, message: &Received<'_>) -> Matched {
        if self.topic() != Some(session.topic(message)) {
            return Matched::Other;
        }
        let request = message.properties.correlation_data().and_then(|data| self.read(data));
        match request.and_then(|request| self.settle(request)) {
            Some(settled) => Matched::Response(settled),
            None => Matched::Unmatched,
        }
    }

    /// An operation has ended (`Event::Done`); `Some`: that ends hopes. O(`N`).
    pub fn done(&mut self, token: Token, outcome: &Outcome<'_>) -> Option<Failed> {
        if self.subscription == Some(token) {
            let granted = match outcome {
                Outcome::Granted(codes) => !codes.iter().any(ReasonCode::is_error),
                _ => false,
            };
            if granted {
                return None;
            }
            self.subscription = None;
            self.state = State::Unready;
            return Some(Failed::Subscription);
        }
        let on_its_way = match outcome {
            Outcome::Acked(code) => *code != ReasonCode::NoMatchingSubscribers,
            // Whether it arrived cannot be known: a response may still come.
            Outcome::Sent | Outcome::Unknown => true,
            _ => false,
        };
        let entry = self.entries.iter().find(|entry| entry.request != 0 && entry.token == token)?;
        let request = Request(entry.request);
        if on_its_way { None } else { self.settle(request).map(Failed::Request) }
    }

    /// Takes out one request whose time has run out; to be called until it says `None`. O(`N`).
    pub fn expire(&mut self, now: Instant) -> Option<Settled> {
        let entry = self.entries.iter().find(|entry| entry.request != 0 && entry.deadline <= now)?;
        self.settle(Request(entry.request))
    }

    /// When `expire` is to be called at the latest. O(`N`).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.entries.iter().filter(|entry| entry.request != 0).map(|entry| entry.deadline).min()
    }

    /// Gives a request up: its response will be unmatched. The message is sent all the same. O(1).
    pub fn cancel(&mut self, request: Request) -> Option<Settled> {
        self.settle(request)
    }

    fn settle(&mut self, request: Request) -> Option<Settled> {
        let entry = self.entries.get_mut(request.index()).filter(|entry| entry.request == request.0)?;
        let settled = Settled { request, tag: entry.tag };
        *entry = Entry::FREE;
        Some(settled)
    }

    fn correlation(&self, request: Request) -> [u8; CORRELATION] {
        ((u128::from(self.nonce) << 64) | u128::from(request.0)).to_be_bytes()
    }

    /// The request that correlation data of this table names.
    fn read(&self, data: &[u8]) -> Option<Request> {
        let value = u128::from_be_bytes(data.try_into().ok()?);
        let request = u64::try_from(value & u128::from(u64::MAX)).ok().filter(|request| *request != 0)?;
        (value >> 64 == u128::from(self.nonce)).then_some(Request(request))
    }
}

/// Why there are no requests on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestsError {
    /// The connection is not 5.0: there are no properties to say where a response is to go.
    NotInThisVersion,
    /// The server gave no Response Information: it has none, or CONNECT did not ask for it.
    NotAssigned,
    /// The response topic has more than [`RESPONSE_TOPIC_MAX`] bytes.
    TopicTooLong {
        /// Bytes it has.
        needed: usize,
    },
    /// The response topic is not a topic name.
    Topic(TopicError),
    /// The response topic cannot be subscribed now.
    Subscribe(SubscribeError),
}

impl fmt::Display for RequestsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInThisVersion => f.write_str("requests need MQTT 5.0"),
            Self::NotAssigned => f.write_str("the server assigned no response topic"),
            Self::TopicTooLong { needed } => {
                write!(f, "the response topic has {needed} bytes, the limit is {RESPONSE_TOPIC_MAX}")
            }
            Self::Topic(error) => write!(f, "the response topic is not valid: {error}"),
            Self::Subscribe(error) => write!(f, "the response topic cannot be subscribed: {error}"),
        }
    }
}

impl core::error::Error for RequestsError {}

/// Why a request was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// The connection is not 5.0: there are no properties to say where a response is to go.
    NotInThisVersion,
    /// `Requests::connected` has not succeeded.
    NotReady,
    /// All entries wait for responses.
    TableFull,
    /// The message's properties are a `Properties::Chain`, to which none can be added: give a list.
    ChainedProperties,
    /// The session did not take the message. Properties that already have a Response Topic or Correlation
    /// Data are refused so.
    Publish(PublishError),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInThisVersion => f.write_str("requests need MQTT 5.0"),
            Self::NotReady => f.write_str("there is no response topic yet"),
            Self::TableFull => f.write_str("as many requests wait as the table holds"),
            Self::ChainedProperties => f.write_str("the properties cannot be added to"),
            Self::Publish(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for RequestError {}

/// The response to a request that arrived: where it goes, and what it must carry.
///
/// ```
/// use mqtt_session::request::Reply;
/// use mqtt_session::{HeapSession, Received};
///
/// fn answer(session: &mut HeapSession, request: &Received<'_>) {
///     // A message without Response Topic asks for nothing.
///     if let Some(reply) = Reply::to(request) {
///         let _ = session.publish(&reply.message(), b"on".into());
///     }
/// }
/// # let _ = answer;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    topic: TopicName<'a>,
    qos: Qos,
    correlation: Option<[Property<'a>; 1]>,
}

impl<'a> Reply<'a> {
    /// The response to `request`, which borrows it; `None`: it asks for none.
    #[must_use]
    pub fn to(request: &Received<'a>) -> Option<Self> {
        let topic = TopicName::new(request.properties.response_topic()?).ok()?;
        let correlation = request.properties.correlation_data().map(|data| [Property::CorrelationData(data)]);
        Some(Self { topic, qos: request.qos, correlation })
    }

    /// The message to publish: to the Response Topic, with the request's Correlation Data if it had some, at
    /// its quality of service.
    #[must_use]
    pub fn message(&self) -> Message<'_> {
        let properties = self.correlation.as_ref().map_or(Properties::EMPTY, |list| Properties::List(list));
        Message::new(self.topic).qos(self.qos).properties(properties)
    }
}
