//! Requests and responses on top of a session.

use crate::common;

use core::time::Duration;

use common::{IN, MEMORY, OUT, config, id};
use mqtt_session::proto::{
    Connack, Encode, Packet, Peer, Properties, Property, Puback, Publish, Qos, ReasonCode, Suback, TopicName,
    Version, frame_len,
};
use mqtt_session::request::{
    Failed, Matched, Reply, Request, RequestError, Requests, RequestsError, ResponseTopic, Settled,
};
use mqtt_session::{
    Closed, Command, Config, ConnectOptions, Event, FixedSession, HeapSession, Instant, Message,
    PublishError, Session, Storage,
};

const ASSIGNED: ResponseTopic<'static> = ResponseTopic::Assigned("/answers");
const AT: ResponseTopic<'static> = ResponseTopic::At("me/answers");

/// A client that makes requests, and everything it noticed.
struct Asker<S: Storage> {
    session: Session<S>,
    requests: Requests<3>,
    options: ConnectOptions<'static>,
    now: Instant,
    sent: Vec<u8>,
    connected: Option<Result<(), RequestsError>>,
    matched: Vec<(Matched, Vec<u8>)>,
    failed: Vec<Failed>,
}

/// What one event was to the requests.
#[derive(Default)]
struct Noticed {
    connected: Option<Result<(), RequestsError>>,
    matched: Option<(Matched, Vec<u8>)>,
    failed: Option<Failed>,
}

impl<S: Storage> Asker<S> {
    fn new(session: Session<S>, place: ResponseTopic<'static>) -> Self {
        let mut options = ConnectOptions::new("asker");
        options.properties = Properties::List(&[Property::RequestResponseInformation(true)]);
        options.session_expiry = 100;
        Self {
            session,
            requests: Requests::new(0xAB, place),
            options,
            now: Instant::from_micros(1),
            sent: Vec::new(),
            connected: None,
            matched: Vec::new(),
            failed: Vec::new(),
        }
    }

    fn on_event(session: &mut Session<S>, requests: &mut Requests<3>, event: &Event<'_>) -> Noticed {
        let mut noticed = Noticed::default();
        match event {
            Event::Connected(connected) => noticed.connected = Some(requests.connected(session, connected)),
            Event::Message(message) => {
                let matched = requests.received(session, message);
                noticed.matched = Some((matched, message.payload.to_vec()));
            }
            Event::Done { token, outcome, .. } => noticed.failed = requests.done(*token, outcome),
            _ => {}
        }
        noticed
    }

    fn noticed(&mut self, noticed: Noticed) {
        self.connected = noticed.connected.or(self.connected.take());
        self.matched.extend(noticed.matched);
        self.failed.extend(noticed.failed);
    }

    fn drain(&mut self) {
        for _ in 0..10 {
            let mut buffer = [0; 2_000];
            let count = self.session.outgoing(self.now).copy_to(&mut buffer);
            self.sent.extend(&buffer[..count]);
            while let Some(event) = self.session.poll_event() {
                let noticed = Self::on_event(&mut self.session, &mut self.requests, &event);
                self.noticed(noticed);
            }
        }
    }

    /// Connects; the server answers with these.
    fn connect(&mut self, session_present: bool, properties: &[Property<'_>]) {
        let _ = self.session.start(&self.options);
        for _ in 0..100 {
            self.drain();
            match self.session.poll_command() {
                Some(Command::Open { .. }) => break,
                Some(_) => self.session.closed(Closed::Carried, self.now),
                None => {
                    self.now = self.session.poll_timeout().expect("an attempt").max(self.now);
                    self.session.handle_timeout(self.now);
                }
            }
        }
        self.session.opened(&self.options, self.now);
        self.drain();
        self.sent.clear();
        self.send(Connack {
            session_present,
            reason_code: ReasonCode::Success,
            properties: Properties::List(properties),
        });
    }

    fn cut(&mut self) {
        self.session.closed(Closed::Failed, self.now);
        self.drain();
        self.sent.clear();
    }

    fn send<'p>(&mut self, packet: impl Into<Packet<'p>>) {
        let packet = packet.into();
        let version = self.options.version;
        let mut bytes = vec![0; packet.encoded_len(version).unwrap()];
        packet.encode(version, &mut bytes).unwrap();
        let mut input = &bytes[..];
        while let Some(event) = self.session.receive(&mut input, self.now) {
            let noticed = Self::on_event(&mut self.session, &mut self.requests, &event);
            self.noticed(noticed);
        }
        self.drain();
    }

    fn frame(&mut self) -> Option<Vec<u8>> {
        self.drain();
        let len = frame_len(&self.sent, usize::MAX).unwrap()?;
        Some(self.sent.drain(..len).collect())
    }

    /// The filter of the SUBSCRIBE that was sent, which is granted.
    fn granted(&mut self) -> String {
        let frame = self.frame().expect("SUBSCRIBE");
        let Packet::Subscribe(subscribe) = Packet::decode(&frame, Version::V5, Peer::Client).unwrap() else {
            panic!("expected SUBSCRIBE: {frame:02x?}")
        };
        let filter = subscribe.filters.iter().next().unwrap().filter.to_string();
        let codes = [ReasonCode::GrantedQos2];
        self.send(Suback {
            packet_id: subscribe.packet_id,
            properties: Properties::EMPTY,
            codes: (&codes[..]).into(),
        });
        filter
    }

    fn ask(&mut self, tag: u64) -> Result<Request, RequestError> {
        let message = Message::new(TopicName::new("lamp/query").unwrap()).qos(Qos::AtLeastOnce).tag(tag);
        let list = [Property::ContentType("text")];
        let message = message.properties(Properties::List(&list));
        self.requests
            .request(&mut self.session, &message, b"?"[..].into(), Duration::from_secs(5), self.now)
            .map_err(|refused| {
                assert!(refused.payload.as_ref() == b"?");
                refused.reason
            })
    }

    /// What a responder would answer to the request that was sent.
    fn answer(&mut self, payload: &'static [u8]) -> Answer {
        let frame = self.frame().expect("a request");
        let Packet::Publish(publish) = Packet::decode(&frame, Version::V5, Peer::Client).unwrap() else {
            panic!("expected PUBLISH: {frame:02x?}")
        };
        assert_eq!(publish.properties.content_type(), Some("text"));
        Answer {
            request_id: publish.packet_id.unwrap().get(),
            topic: publish.properties.response_topic().unwrap().to_owned(),
            correlation: publish.properties.correlation_data().unwrap().to_vec(),
            payload,
        }
    }

    fn deliver(&mut self, answer: &Answer) {
        let list = [Property::CorrelationData(&answer.correlation)];
        self.send(Publish {
            properties: Properties::List(&list),
            ..Publish::new(TopicName::new(&answer.topic).unwrap(), answer.payload)
        });
    }
}

#[derive(Clone)]
struct Answer {
    request_id: u16,
    topic: String,
    correlation: Vec<u8>,
    payload: &'static [u8],
}

/// Runs on both storages.
fn both(
    config: Config,
    place: ResponseTopic<'static>,
    heap: impl FnOnce(&mut Asker<mqtt_session::Heap>),
    fixed: impl FnOnce(&mut Asker<mqtt_session::Fixed<[u8; MEMORY], OUT, IN>>),
) {
    heap(&mut Asker::new(HeapSession::new(config), place));
    fixed(&mut Asker::new(FixedSession::<_, OUT, IN>::new([0; MEMORY], config), place));
}

macro_rules! on_both {
    ($(#[$meta:meta])* $name:ident, $config:expr, $place:expr, |$a:ident| $body:block) => {
        $(#[$meta])*
        #[test]
        fn $name() {
            fn go<S: Storage>($a: &mut Asker<S>) $body
            both($config, $place, go, go);
        }
    };
}

fn settled(request: Request, tag: u64) -> Matched {
    Matched::Response(Settled { request, tag })
}

on_both!(a_response_finds_its_request_whatever_the_order, config(), ASSIGNED, |a| {
    a.connect(false, &[Property::ResponseInformation("clients/7")]);
    assert_eq!(a.connected, Some(Ok(())));
    assert_eq!(a.granted(), "clients/7/answers");
    let first = a.ask(1).unwrap();
    let second = a.ask(2).unwrap();
    let (one, two) = (a.answer(b"one"), a.answer(b"two"));
    assert_eq!(one.topic, "clients/7/answers");
    assert_ne!(one.correlation, two.correlation);
    a.deliver(&two);
    a.deliver(&one);
    assert_eq!(a.matched, [(settled(second, 2), b"two".to_vec()), (settled(first, 1), b"one".to_vec()),]);
    assert_eq!(a.requests.waiting(), 0);
    // Once more, late, or of somebody else.
    a.matched.clear();
    a.deliver(&one);
    a.deliver(&Answer { correlation: vec![0; 16], ..one.clone() });
    a.deliver(&Answer { correlation: vec![1], ..one.clone() });
    a.deliver(&Answer { topic: "elsewhere".to_owned(), ..one });
    let kinds: Vec<Matched> = a.matched.iter().map(|(matched, _)| *matched).collect();
    assert_eq!(kinds, [Matched::Unmatched, Matched::Unmatched, Matched::Unmatched, Matched::Other]);
});

on_both!(an_entry_used_again_does_not_take_the_response_to_the_one_before, config(), AT, |a| {
    a.connect(false, &[]);
    a.granted();
    let first = a.ask(1).unwrap();
    let late = a.answer(b"late");
    assert!(a.requests.cancel(first).is_some());
    assert_eq!(a.requests.cancel(first), None);
    let second = a.ask(2).unwrap();
    let right = a.answer(b"right");
    a.deliver(&late);
    a.deliver(&right);
    assert_eq!(a.matched[0].0, Matched::Unmatched);
    assert_eq!(a.matched[1].0, settled(second, 2));
});

on_both!(requests_survive_a_resumed_connection, config(), AT, |a| {
    a.connect(false, &[]);
    assert_eq!(a.granted(), "me/answers");
    a.cut();
    // While there is no connection too.
    let request = a.ask(1).unwrap();
    a.connect(true, &[]);
    assert_eq!(a.connected, Some(Ok(())));
    let answer = a.answer(b"yes");
    a.send(Puback::new(id(answer.request_id)));
    a.cut();
    a.connect(true, &[]);
    a.deliver(&answer);
    assert_eq!(a.matched, [(settled(request, 1), b"yes".to_vec())]);
    assert_eq!(a.frame(), None, "nothing is subscribed twice");
});

on_both!(the_response_topic_is_subscribed_again_before_the_request_on_a_lost_session, config(), AT, |a| {
    a.connect(false, &[]);
    a.granted();
    a.cut();
    let request = a.ask(1).unwrap();
    a.connect(false, &[]);
    assert_eq!(a.granted(), "me/answers");
    let answer = a.answer(b"yes");
    a.deliver(&answer);
    assert_eq!(a.matched[0].0, settled(request, 1));
    assert_eq!(a.frame(), None);
});

on_both!(
    without_resubscribe_it_is_subscribed_again_here,
    Config { resubscribe: false, ..config() },
    AT,
    |a| {
        a.connect(false, &[]);
        a.granted();
        a.cut();
        a.connect(false, &[]);
        assert_eq!(a.granted(), "me/answers");
        a.cut();
        a.connect(true, &[]);
        assert_eq!(a.frame(), None);
    }
);

on_both!(a_new_run_of_the_session_subscribes_again, config(), AT, |a| {
    a.connect(false, &[]);
    a.granted();
    a.session.stop(mqtt_session::Stop::now()).unwrap();
    a.drain();
    assert_eq!(a.session.poll_command(), Some(Command::Close));
    a.session.closed(Closed::Carried, a.now);
    a.drain();
    a.connect(false, &[]);
    assert_eq!(a.granted(), "me/answers");
});

on_both!(another_response_information_moves_the_subscription, config(), ASSIGNED, |a| {
    a.connect(false, &[Property::ResponseInformation("a")]);
    assert_eq!(a.granted(), "a/answers");
    a.cut();
    a.connect(true, &[Property::ResponseInformation("b")]);
    assert_eq!(a.frame().unwrap()[0], 0xA2, "UNSUBSCRIBE");
    assert_eq!(a.granted(), "b/answers");
    assert_eq!(a.requests.topic(), Some("b/answers"));
    a.ask(1).unwrap();
    assert_eq!(a.answer(b"").topic, "b/answers");
});

on_both!(what_gets_no_response_times_out_by_the_clock_of_the_caller, config(), AT, |a| {
    a.connect(false, &[]);
    a.granted();
    assert_eq!(a.requests.poll_timeout(), None);
    let first = a.ask(1).unwrap();
    a.now = a.now.after(Duration::from_secs(2));
    let second = a.ask(2).unwrap();
    let start = Instant::from_micros(1);
    assert_eq!(a.requests.poll_timeout(), Some(start.after(Duration::from_secs(5))));
    assert_eq!(a.requests.expire(start.after(Duration::from_micros(4_999_999))), None);
    let late = start.after(Duration::from_secs(7));
    assert_eq!(a.requests.expire(late), Some(Settled { request: first, tag: 1 }));
    assert_eq!(a.requests.expire(late), Some(Settled { request: second, tag: 2 }));
    assert_eq!(a.requests.expire(late), None);
    let answer = a.answer(b"late");
    a.deliver(&answer);
    assert_eq!(a.matched[0].0, Matched::Unmatched);
});

on_both!(a_request_that_reaches_nobody_waits_no_longer, config(), AT, |a| {
    a.connect(false, &[]);
    a.granted();
    let first = a.ask(1).unwrap();
    let second = a.ask(2).unwrap();
    let third = a.ask(3).unwrap();
    let ids: Vec<u16> = (0..3).map(|_| a.answer(b"").request_id).collect();
    a.send(Puback::with(id(ids[0]), ReasonCode::NoMatchingSubscribers, Properties::EMPTY));
    a.send(Puback::with(id(ids[1]), ReasonCode::NotAuthorized, Properties::EMPTY));
    a.send(Puback::new(id(ids[2])));
    assert_eq!(
        a.failed,
        [
            Failed::Request(Settled { request: first, tag: 1 }),
            Failed::Request(Settled { request: second, tag: 2 }),
        ]
    );
    assert_eq!(a.requests.waiting(), 1);
    assert!(a.requests.cancel(third).is_some());
});

on_both!(a_refused_response_topic_is_told_and_tried_again, config(), AT, |a| {
    a.connect(false, &[]);
    let frame = a.frame().unwrap();
    let Packet::Subscribe(subscribe) = Packet::decode(&frame, Version::V5, Peer::Client).unwrap() else {
        panic!()
    };
    let packet_id = subscribe.packet_id;
    a.send(Suback {
        packet_id,
        properties: Properties::EMPTY,
        codes: (&[ReasonCode::NotAuthorized][..]).into(),
    });
    assert_eq!(a.failed, [Failed::Subscription]);
    assert_eq!(a.ask(1), Err(RequestError::NotReady));
    a.cut();
    a.connect(true, &[]);
    a.granted();
    a.ask(1).unwrap();
});

on_both!(what_cannot_be_accepted_comes_back_with_the_reason, config(), ASSIGNED, |a| {
    assert_eq!(a.ask(1), Err(RequestError::NotReady));
    a.connect(false, &[]);
    assert_eq!(a.connected, Some(Err(RequestsError::NotAssigned)));
    assert_eq!(a.ask(1), Err(RequestError::NotReady));
    a.cut();
    let long = "t".repeat(128);
    a.connect(true, &[Property::ResponseInformation(&long)]);
    assert_eq!(a.connected, Some(Err(RequestsError::TopicTooLong { needed: 136 })));
    a.cut();
    a.connect(true, &[Property::ResponseInformation("a/#")]);
    assert!(matches!(a.connected, Some(Err(RequestsError::Topic(_)))));
    a.cut();
    a.connect(true, &[Property::ResponseInformation("a")]);
    a.granted();
    for tag in 0..3 {
        a.ask(tag).unwrap();
    }
    assert_eq!(a.ask(3), Err(RequestError::TableFull));
    let request = a.requests.expire(Instant::from_micros(u64::MAX - 1)).unwrap();
    assert_eq!(request.tag, 0);
    // Properties of its own for the same purpose.
    let message = Message::new(TopicName::new("q").unwrap());
    let list = [Property::ResponseTopic("mine")];
    let message = message.properties(Properties::List(&list));
    let refused = a
        .requests
        .request(&mut a.session, &message, b""[..].into(), Duration::from_secs(1), a.now)
        .unwrap_err();
    assert!(matches!(refused.reason, RequestError::Publish(PublishError::Invalid(_))), "{refused:?}");
    assert_eq!(a.requests.waiting(), 2, "a refused one does not wait");
});

on_both!(the_versions_without_properties_have_no_requests, config(), AT, |a| {
    a.options.version = Version::V3_1_1;
    a.options.properties = Properties::EMPTY;
    a.options.session_expiry = 0;
    a.connect(false, &[]);
    assert_eq!(a.connected, Some(Err(RequestsError::NotInThisVersion)));
    assert_eq!(a.ask(1), Err(RequestError::NotInThisVersion));
    assert_eq!(a.frame(), None);
});

on_both!(
    /// [5.0 MQTT-3.3.2-15] [5.0 MQTT-3.3.2-16]: what the responder copies.
    a_reply_goes_where_the_request_says_with_its_correlation_data,
    config(),
    AT,
    |a| {
        a.connect(false, &[]);
        a.granted();
        let list = [Property::ResponseTopic("asker/in"), Property::CorrelationData(b"\x00\xFF")];
        let request = Publish {
            qos: Qos::AtLeastOnce,
            packet_id: Some(id(4)),
            properties: Properties::List(&list),
            ..Publish::new(TopicName::new("me/query").unwrap(), b"?")
        };
        let mut bytes = vec![0; request.encoded_len(Version::V5).unwrap()];
        request.encode(Version::V5, &mut bytes).unwrap();
        let mut input = &bytes[..];
        let Some(Event::Message(message)) = a.session.receive(&mut input, a.now) else { panic!("a message") };
        let reply = Reply::to(&message).expect("it asks for a response");
        a.session.publish(&reply.message(), b"!"[..].into()).map_err(|refused| refused.reason).unwrap();
        assert_eq!(a.frame().unwrap()[0], 0x40, "PUBACK");
        let frame = a.frame().unwrap();
        let Packet::Publish(sent) = Packet::decode(&frame, Version::V5, Peer::Client).unwrap() else { panic!() };
        assert_eq!(sent.topic.unwrap().as_str(), "asker/in");
        assert_eq!(sent.properties, Properties::List(&[Property::CorrelationData(b"\x00\xFF")]));
        assert_eq!((sent.payload, sent.qos), (&b"!"[..], Qos::AtLeastOnce));
        // A message that asks for nothing.
        let plain = Publish::new(TopicName::new("me/query").unwrap(), b"?");
        let mut bytes = vec![0; plain.encoded_len(Version::V5).unwrap()];
        plain.encode(Version::V5, &mut bytes).unwrap();
        let mut input = &bytes[..];
        let Some(Event::Message(message)) = a.session.receive(&mut input, a.now) else { panic!("a message") };
        assert!(Reply::to(&message).is_none());
    }
);
