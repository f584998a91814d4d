//! Enhanced authentication and redirection: the client engine against the model broker.

use mqtt_proto::{Auth, Properties, Property, ReasonCode};
use mqtt_session::{Closed, Command, Config, ConnectOptions, Event, HeapSession, Instant, Why};
use mqtt_sim::broker::{Authenticator, Broker, BrokerConfig, ConnId, Redirect, Verdict};

const METHOD: &str = "COUNT";

/// Lets in who counts on, for as many steps as it likes.
#[derive(Debug)]
struct Counting {
    steps: u8,
    next: u8,
}

impl Authenticator for Counting {
    fn method(&self) -> &str {
        METHOD
    }

    fn begin(&mut self, _: ConnId, data: Option<&[u8]>) -> Verdict {
        match data {
            Some([number]) => {
                self.next = number + 1;
                Verdict::Challenge(vec![self.next])
            }
            _ => Verdict::Refuse(ReasonCode::NotAuthorized),
        }
    }

    fn step(&mut self, _: ConnId, data: Option<&[u8]>) -> Verdict {
        if data != Some(&[self.next + 1]) {
            return Verdict::Refuse(ReasonCode::NotAuthorized);
        }
        self.next += 2;
        if self.next > 2 * self.steps {
            Verdict::Accept(Some(b"welcome".to_vec()))
        } else {
            Verdict::Challenge(vec![self.next])
        }
    }
}

/// One client and one broker, without a network between them.
struct Pair {
    session: HeapSession,
    broker: Broker,
    conn: Option<ConnId>,
    properties: &'static [Property<'static>],
    /// What the client adds to a challenge.
    adds: u8,
    steps: u32,
    said: Vec<String>,
}

impl Pair {
    fn new(config: Config, broker: BrokerConfig, properties: &'static [Property<'static>]) -> Self {
        let mut pair = Self {
            session: HeapSession::new(config),
            broker: Broker::new(broker),
            conn: None,
            properties,
            adds: 1,
            steps: 0,
            said: Vec::new(),
        };
        let options =
            ConnectOptions { properties: Properties::List(pair.properties), ..ConnectOptions::new("a") };
        pair.session.start(&options).unwrap();
        pair
    }

    fn run(&mut self) {
        let now = Instant::from_micros(1);
        for _ in 0..100 {
            while let Some(event) = self.session.poll_event() {
                if let Event::Disconnected { why, .. } = event {
                    self.said.push(format!("{why:?}"));
                }
            }
            match self.session.poll_command() {
                Some(Command::Open { .. }) => {
                    self.conn = Some(self.broker.open(now));
                    let properties = Properties::List(self.properties);
                    self.session.opened(&ConnectOptions { properties, ..ConnectOptions::new("a") }, now);
                }
                Some(_) => self.close(Closed::Carried, now),
                None => {}
            }
            let Some(conn) = self.conn else { continue };
            let mut sent = [0; 512];
            let count = self.session.outgoing(now).copy_to(&mut sent);
            self.broker.receive(conn, &sent[..count], now);
            let answer = self.broker.outgoing(conn).to_vec();
            self.broker.advance(conn, answer.len());
            let mut input = &answer[..];
            while let Some(event) = self.session.receive(&mut input, now) {
                match event {
                    Event::Auth(auth) => {
                        let data = auth.properties.authentication_data().map(<[u8]>::to_vec);
                        self.said.push(format!("AUTH {:?}", auth.reason_code));
                        if auth.reason_code == ReasonCode::ContinueAuthentication {
                            self.steps += 1;
                            let answer = [data.unwrap()[0] + self.adds];
                            authenticate(&mut self.session, ReasonCode::ContinueAuthentication, &answer);
                        }
                    }
                    Event::Connected(up) => {
                        let data = up.connack.properties.authentication_data();
                        self.said.push(format!("connected {data:?}"));
                    }
                    Event::ServerClosing { properties, .. } => {
                        self.said.push(format!("closing {:?}", properties.server_reference()));
                    }
                    _ => {}
                }
            }
            if self.broker.wants_close(conn) {
                self.close(Closed::Ended, now);
            }
        }
    }

    fn close(&mut self, how: Closed, now: Instant) {
        if let Some(conn) = self.conn.take() {
            self.broker.closed(conn, now);
        }
        self.session.closed(how, now);
    }
}

fn authenticate(session: &mut HeapSession, reason_code: ReasonCode, data: &[u8]) {
    let list = [Property::AuthenticationMethod(METHOD), Property::AuthenticationData(data)];
    session.authenticate(&Auth { reason_code, properties: Properties::List(&list) }).unwrap();
}

static FIRST: [Property<'_>; 2] =
    [Property::AuthenticationMethod(METHOD), Property::AuthenticationData(&[0])];

/// [5.0 MQTT-4.12.0-2] [5.0 MQTT-4.12.0-3] [5.0 MQTT-4.12.1-1]
#[test]
fn a_client_is_let_in_after_several_steps_and_again_while_connected() {
    let mut pair = Pair::new(Config::new(1), BrokerConfig::default(), &FIRST);
    pair.broker.set_authenticator(Counting { steps: 3, next: 0 });
    pair.run();
    assert_eq!(pair.steps, 3);
    assert_eq!(pair.said.last().unwrap(), &format!("connected {:?}", Some(b"welcome")));
    authenticate(&mut pair.session, ReasonCode::ReAuthenticate, &[0]);
    pair.run();
    assert_eq!(pair.steps, 6);
    assert_eq!(pair.said.last().unwrap(), "AUTH Success");
    assert!(pair.session.is_connected());
}

/// [5.0 MQTT-4.12.0-4] [5.0 MQTT-4.12.1-2]
#[test]
fn who_answers_wrongly_is_refused_before_and_while_connected() {
    let mut pair = Pair::new(Config::new(1), BrokerConfig::default(), &FIRST);
    pair.broker.set_authenticator(Counting { steps: 3, next: 0 });
    pair.adds = 2;
    pair.run();
    assert_eq!(pair.said.last().unwrap(), &format!("{:?}", Why::Refused(ReasonCode::NotAuthorized)));

    let mut pair = Pair::new(Config::new(1), BrokerConfig::default(), &FIRST);
    pair.broker.set_authenticator(Counting { steps: 1, next: 0 });
    pair.run();
    pair.adds = 2;
    authenticate(&mut pair.session, ReasonCode::ReAuthenticate, &[0]);
    pair.run();
    assert_eq!(
        pair.said.last().unwrap(),
        &format!("{:?}", Why::ServerDisconnected(ReasonCode::NotAuthorized))
    );
}

/// [5.0 MQTT-4.12.0-1]
#[test]
fn a_method_the_broker_does_not_speak_is_refused() {
    static OTHER: [Property<'_>; 1] = [Property::AuthenticationMethod("OTHER")];
    let mut pair = Pair::new(Config::new(1), BrokerConfig::default(), &OTHER);
    pair.broker.set_authenticator(Counting { steps: 1, next: 0 });
    pair.run();
    assert_eq!(pair.said, [format!("{:?}", Why::Refused(ReasonCode::BadAuthenticationMethod))]);
}

/// [A8]
#[test]
fn a_broker_sends_5_0_clients_elsewhere() {
    for for_good in [false, true] {
        let redirect = Redirect { for_good, reference: "other.example:1884".to_owned() };
        let broker = BrokerConfig { redirect: Some(redirect), ..BrokerConfig::default() };
        let mut pair = Pair::new(Config::new(1), broker.clone(), &[]);
        pair.run();
        assert_eq!(pair.said[0], format!("closing {:?}", Some("other.example:1884")));
        let code = if for_good { ReasonCode::ServerMoved } else { ReasonCode::UseAnotherServer };
        assert_eq!(pair.said[1], format!("{:?}", Why::Refused(code)));
        assert_eq!(pair.session.poll_timeout(), None, "not followed unless it was chosen");

        let mut config = Config::new(1);
        config.redirects = 1;
        let mut pair = Pair::new(config, broker, &[]);
        pair.run();
        let due = pair.session.poll_timeout().unwrap();
        pair.session.handle_timeout(due);
        while pair.session.poll_event().is_some() {}
        assert!(matches!(pair.session.poll_command(), Some(Command::Open { .. })));
        assert_eq!(pair.session.redirect(), Some("other.example:1884"));
    }
}
