//! What a test can do: as a client's application, and as fate.

use core::time::Duration;

use mqtt_proto::{Properties, Qos, ReasonCode, Subscription, SubscriptionOptions, TopicError, TopicFilter};
use mqtt_session::{AckError, AckToken, Message, PublishError, StartError, Stop, SubscribeError, Token};

use crate::broker::{Broker, BrokerConfig};
use crate::checks::{Observation, Operation};
use crate::random::Random;

use super::chance::Draw;
use super::client::Client;
use super::clock::Planned;
use super::engine::engine;
use super::server::Server;
use super::{
    BrokerId, ClientId, ClientOptions, Direction, Fault, Happening, LinkId, Observed, Occasion, World,
};

/// A subscription that could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CannotSubscribe {
    /// The text is no topic filter.
    Filter(TopicError),
    /// The session refused it.
    Session(SubscribeError),
}

impl core::fmt::Display for CannotSubscribe {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Filter(error) => error.fmt(f),
            Self::Session(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for CannotSubscribe {}

impl World {
    /// Adds a broker; it is up at once.
    pub fn add_broker(&mut self, config: BrokerConfig) -> BrokerId {
        let id = BrokerId(u32::try_from(self.servers.len()).unwrap_or(u32::MAX));
        self.servers.push(Server::new(Broker::new(config)));
        id
    }

    /// Adds a client; it does nothing before [`start`](Self::start).
    pub fn add_client(&mut self, options: ClientOptions) -> ClientId {
        let id = ClientId(u32::try_from(self.clients.len()).unwrap_or(u32::MAX));
        let seed = self.random.next();
        let engine = engine(&options, seed);
        self.clients.push(Client::new(options, engine));
        let taped = self.tape_client(id);
        debug_assert!(taped.is_ok(), "the session is new: {taped:?}");
        id
    }

    /// The client's application starts its session.
    ///
    /// Nothing happens while its program is down ([`crash`](Self::crash)).
    ///
    /// # Errors
    /// Those of [`mqtt_session::Session::start`].
    pub fn start(&mut self, client: ClientId) -> Result<(), StartError> {
        let Some(node) = self.client(client).filter(|node| !node.down) else { return Ok(()) };
        let started = node.start();
        self.called(client, "start", 0);
        self.serve_client(client);
        started
    }

    /// The client's application stops its session, giving it `drain` to finish what it has accepted.
    pub fn stop(&mut self, client: ClientId, drain: Duration) {
        if let Some(node) = self.client(client) {
            node.engine.stop(Stop::drain(drain));
            self.called(client, "stop", 0);
            self.serve_client(client);
        }
    }

    /// The client's application publishes.
    ///
    /// # Errors
    /// Those of [`mqtt_session::Session::publish`]; `Stopping` while its program is down.
    pub fn publish(
        &mut self,
        client: ClientId,
        message: &Message<'_>,
        payload: &[u8],
    ) -> Result<Token, PublishError> {
        let Some(node) = self.client(client).filter(|node| !node.down) else {
            return Err(PublishError::Stopping);
        };
        let token = node.engine.publish(message, payload)?;
        self.accepted(client, token, "publish", Operation::Publish { message, payload });
        Ok(token)
    }

    /// The client's application subscribes to one filter.
    ///
    /// # Errors
    /// If `filter` is none, and those of [`mqtt_session::Session::subscribe`].
    pub fn subscribe(&mut self, client: ClientId, filter: &str, qos: Qos) -> Result<Token, CannotSubscribe> {
        let filter = TopicFilter::new(filter).map_err(CannotSubscribe::Filter)?;
        let subscription = Subscription { filter, options: SubscriptionOptions::new(qos) };
        self.subscribe_to(client, &[subscription], Properties::EMPTY).map_err(CannotSubscribe::Session)
    }

    /// The client's application subscribes to several filters, with all options.
    ///
    /// # Errors
    /// Those of [`mqtt_session::Session::subscribe`].
    pub fn subscribe_to(
        &mut self,
        client: ClientId,
        filters: &[Subscription<'_>],
        properties: Properties<'_>,
    ) -> Result<Token, SubscribeError> {
        let Some(node) = self.client(client).filter(|node| !node.down) else {
            return Err(SubscribeError::Stopping);
        };
        let token = node.engine.subscribe(filters, properties)?;
        self.accepted(client, token, "subscribe", Operation::Subscribe);
        Ok(token)
    }

    /// The client's application unsubscribes from one filter.
    ///
    /// # Errors
    /// If `filter` is none, and those of [`mqtt_session::Session::unsubscribe`].
    pub fn unsubscribe(&mut self, client: ClientId, filter: &str) -> Result<Token, CannotSubscribe> {
        let filter = TopicFilter::new(filter).map_err(CannotSubscribe::Filter)?;
        let Some(node) = self.client(client).filter(|node| !node.down) else {
            return Err(CannotSubscribe::Session(SubscribeError::Stopping));
        };
        let token = node.engine.unsubscribe(&[filter]).map_err(CannotSubscribe::Session)?;
        self.accepted(client, token, "unsubscribe", Operation::Unsubscribe);
        Ok(token)
    }

    /// The client's application acknowledges a message ([`AckMode::Manual`](mqtt_session::AckMode::Manual)).
    ///
    /// # Errors
    /// Those of [`mqtt_session::Session::acknowledge`].
    pub fn acknowledge(
        &mut self,
        client: ClientId,
        ack: AckToken,
        reason: ReasonCode,
        properties: Properties<'_>,
    ) -> Result<(), AckError> {
        let Some(node) = self.client(client).filter(|node| !node.down) else {
            return Err(AckError::Stale);
        };
        node.engine.acknowledge(ack, reason, properties)?;
        self.called(client, "acknowledge", 0);
        self.serve_client(client);
        Ok(())
    }

    /// The client's application cancels an operation; false if it is too late.
    pub fn cancel(&mut self, client: ClientId, token: Token) -> bool {
        let cancelled = self.client(client).is_some_and(|node| node.engine.cancel(token));
        self.called(client, "cancel", u64::from(cancelled));
        self.serve_client(client);
        cancelled
    }

    /// The client's application asks for a ping now.
    pub fn check_link(&mut self, client: ClientId) {
        if let Some(node) = self.client(client) {
            node.engine.check_link();
            self.called(client, "check_link", 0);
            self.serve_client(client);
        }
    }

    /// Takes what the client's session told its application since the last time. At most 100,000 are kept.
    pub fn events(&mut self, client: ClientId) -> impl Iterator<Item = Observed> + use<> {
        self.client(client).map(|node| core::mem::take(&mut node.events)).unwrap_or_default().into_iter()
    }

    /// The client identifier that a client was added with.
    pub fn client_name(&self, client: ClientId) -> Option<&str> {
        self.node(client).map(|node| node.options.client_id.as_str())
    }

    /// Whether the client's session has a connection that its broker accepted.
    pub fn is_connected(&self, client: ClientId) -> bool {
        self.node(client).is_some_and(|node| node.engine.is_connected())
    }

    /// Operations the client's session has accepted and not finished.
    pub fn pending(&self, client: ClientId) -> u32 {
        self.node(client).map_or(0, |node| node.engine.pending())
    }

    /// A broker, to look into.
    pub fn broker(&self, broker: BrokerId) -> Option<&Broker> {
        let index = usize::try_from(broker.0).ok()?;
        self.servers.get(index).map(|server| &server.broker)
    }

    /// Does something with a broker directly, for example has it publish; what it has to send then leaves.
    pub fn with_broker<T>(
        &mut self,
        broker: BrokerId,
        act: impl FnOnce(&mut Broker, mqtt_session::Instant) -> T,
    ) -> Option<T> {
        let now = self.now;
        let result = self.server(broker).map(|server| act(&mut server.broker, now));
        self.serve_server(broker);
        result
    }

    /// Breaks the client's connection now, if it has one; both ends learn of it soon.
    pub fn cut(&mut self, client: ClientId) {
        if let Some(link) = self.client(client).and_then(|node| node.link) {
            if let Some(link) = self.links.get_mut(&link) {
                link.unplan();
            }
            self.break_link(link);
        }
    }

    /// Plans to break the client's connection at a byte: `bytes` more get through in that direction, the next does not.
    /// If the client has no connection, its next one breaks there. Both ends learn of it soon.
    pub fn cut_at(&mut self, client: ClientId, direction: Direction, bytes: u64) {
        let Some(node) = self.client(client) else { return };
        let link = node.link;
        if link.is_none() {
            node.planned_cut = Some((direction, bytes));
        }
        if let Some(link) = link.and_then(|link| self.links.get_mut(&link)) {
            link.unplan();
            let pipe = link.pipe(direction);
            pipe.break_at = Some(pipe.written.saturating_add(bytes));
        }
    }

    /// From now on nothing gets through on the client's connection, in either direction, and nobody is told.
    pub fn black_hole(&mut self, client: ClientId) {
        let link = self.client(client).and_then(|node| node.link);
        if let Some(link) = link.and_then(|link| self.links.get_mut(&link)) {
            link.up.swallow();
            link.down.swallow();
        }
    }

    /// A broker fails: its connections break, dials are refused until [`start_broker`](Self::start_broker). Its
    /// sessions are kept, or forgotten with everything under way in them.
    pub fn stop_broker(&mut self, broker: BrokerId, forget_sessions: bool) {
        self.broker_fails(broker, forget_sessions, None);
    }

    pub(super) fn broker_fails(&mut self, broker: BrokerId, amnesia: bool, outage: Option<Duration>) {
        let now = self.now;
        let Some(server) = self.server(broker) else { return };
        server.next_outage += 1;
        let number = server.next_outage;
        server.outage = Some(number);
        let links: Vec<LinkId> = server.links.values().copied().collect();
        if amnesia {
            server.broker.forget_sessions(now);
        }
        self.trace.add(now, Happening::BrokerUp { broker, up: false });
        for link_id in links {
            self.server_learns(link_id);
            if let Some(link) = self.links.get_mut(&link_id) {
                link.reset = false;
            }
            self.break_link(link_id);
        }
        let occasion = Occasion::Stop { broker, number };
        if self.strike(Fault::OtherLimits, self.faults.other_limits, occasion).is_some() {
            self.change_limits(broker, self.chance(Draw::Limits, occasion));
        }
        if amnesia {
            self.observe(&Observation::SessionsForgotten { broker });
        }
        self.agenda.arm_server(broker, None);
        if let Some(outage) = outage {
            self.plan_after(outage, Planned::BrokerBack { broker, outage: number });
        }
    }

    /// Draws new limits for a broker: those that 5.0 clients are told.
    fn change_limits(&mut self, broker: BrokerId, mut random: Random) {
        let receive_maximum = u16::try_from(random.skewed(200) + 1).unwrap_or(1);
        let max_packet_size = u32::try_from(random.between(100, 2_000)).unwrap_or(100);
        let topic_alias_maximum = u16::try_from(random.below(4)).unwrap_or(0);
        let max_qos = if random.below(3) == 0 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
        let retain_available = random.below(2) == 0;
        if let Some(server) = self.server(broker) {
            let config = server.broker.config().clone();
            server.broker.reconfigure(BrokerConfig {
                receive_maximum,
                max_packet_size,
                topic_alias_maximum,
                max_qos,
                retain_available,
                ..config
            });
        }
    }

    /// A broker that failed is there again.
    pub fn start_broker(&mut self, broker: BrokerId) {
        let now = self.now;
        if let Some(server) = self.server(broker)
            && server.outage.take().is_some()
        {
            server.broker.handle_timeout(now);
            self.trace.add(now, Happening::BrokerUp { broker, up: true });
            self.serve_server(broker);
        }
    }

    /// The client is not run for a while, as if its machine were busy or suspended.
    pub fn stall(&mut self, client: ClientId, span: Duration) {
        if let Some(node) = self.client(client) {
            node.next_stall += 1;
            let stall = node.next_stall;
            node.stall = Some(stall);
            self.agenda.arm_client(client, None);
            self.plan_after(span, Planned::Unstall { client, stall });
        }
    }

    pub(super) fn unstall(&mut self, client: ClientId) {
        let now = self.now;
        if let Some(node) = self.client(client)
            && node.stall.take().is_some()
        {
            // A driver that slept first hands over what came in the meantime, then looks at the clock.
            let local = node.local(now);
            self.serve_client(client);
            if let Some(node) = self.client(client) {
                node.engine.handle_timeout(local);
            }
            self.serve_client(client);
        }
    }

    /// The client's clock jumps by some microseconds; back, it seems to stand still until it has caught up.
    pub fn step_clock(&mut self, client: ClientId, micros: i64) {
        if let Some(node) = self.client(client) {
            node.offset = node.offset.saturating_add(micros);
            self.serve_client(client);
        }
    }

    pub(super) fn node(&self, client: ClientId) -> Option<&Client> {
        self.clients.get(usize::try_from(client.0).ok()?)
    }

    fn accepted(&mut self, client: ClientId, token: Token, call: &'static str, operation: Operation<'_>) {
        self.observe(&Observation::Accepted { client, token, operation });
        self.called(client, call, token.into());
        self.serve_client(client);
    }

    pub(super) fn called(&mut self, client: ClientId, call: &'static str, result: u64) {
        self.trace.add(self.now, Happening::Called { client, call, result });
    }
}
