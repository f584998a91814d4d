//! The checks find what they are there for: each rule broken once, in a conversation made up for it.

use core::time::Duration;

use mqtt_proto::{
    Connack, Connect, Disconnect, Encode, Packet, PacketId, Pingreq, Properties, Property, Puback, Pubcomp,
    Publish, Pubrec, Pubrel, Qos, ReasonCode, Subscribe, Subscription, SubscriptionOptions, Subscriptions,
    TopicFilter, TopicName, Version,
};
use mqtt_session::{Config, HeapSession, Instant, Message, Token};

use crate::world::{ClientId, Delivered, Ended, LinkId, Observed};

mod crashes;

use super::{
    Bounds, Check, Deliveries, Endings, Kept, Observation, Operation, Rest, Subscriber, Violation, Wire,
};

const NOW: Instant = Instant::ZERO;

fn client() -> ClientId {
    ClientId::for_tests(0)
}

/// What a client and its server say, each line shown to the check in turn.
struct Talk {
    wire: Wire,
    link: LinkId,
    links: u64,
}

impl Talk {
    /// Up, with a server that allows three messages in flight.
    fn new() -> Self {
        Self::of(false)
    }

    /// The same; whether the server had a session before.
    fn of(session_present: bool) -> Self {
        let mut talk = Self { wire: Wire::new(), link: LinkId::for_tests(0), links: 0 };
        talk.connect(session_present);
        talk
    }

    fn connect(&mut self, session_present: bool) {
        self.link = LinkId::for_tests(self.links);
        self.links += 1;
        self.show(&Observation::Opened { client: client(), link: self.link }).unwrap();
        self.sends(&Packet::Connect(Connect::new(Version::V5, "a"))).unwrap();
        let limits = [Property::ReceiveMaximum(3), Property::MaximumPacketSize(100)];
        let connack = Connack {
            session_present,
            reason_code: ReasonCode::Success,
            properties: Properties::List(&limits),
        };
        self.gets(&Packet::Connack(connack));
    }

    fn cut(&mut self, partial: &[u8]) {
        self.show(&Observation::Closed { client: client(), link: self.link, partial }).unwrap();
    }

    fn show(&mut self, what: &Observation<'_>) -> Result<(), Violation> {
        self.wire.observe(NOW, what)
    }

    fn sends(&mut self, packet: &Packet<'_>) -> Result<(), &'static str> {
        let sent = Observation::Sent { client: client(), link: self.link, packet };
        self.show(&sent).map_err(|violation| violation.rule)
    }

    fn gets(&mut self, packet: &Packet<'_>) {
        self.show(&Observation::Reached { client: client(), link: self.link, packet }).unwrap();
    }
}

fn id(n: u16) -> PacketId {
    PacketId::new(n).unwrap()
}

fn publish(qos: Qos, n: u16, payload: &'static str) -> Packet<'static> {
    Packet::Publish(message(qos, n, payload))
}

fn message(qos: Qos, n: u16, payload: &'static str) -> Publish<'static> {
    let topic = TopicName::new("t").unwrap();
    Publish { qos, packet_id: Some(id(n)), ..Publish::new(topic, payload.as_bytes()) }
}

fn again(qos: Qos, n: u16, payload: &'static str) -> Packet<'static> {
    Packet::Publish(Publish { dup: true, ..message(qos, n, payload) })
}

const ONE: Qos = Qos::AtLeastOnce;
const TWO: Qos = Qos::ExactlyOnce;

#[test]
fn a_flawless_conversation_passes() {
    let mut talk = Talk::new();
    talk.sends(&publish(ONE, 1, "a")).unwrap();
    talk.sends(&publish(TWO, 2, "b")).unwrap();
    talk.sends(&publish(TWO, 3, "c")).unwrap();
    talk.gets(&Packet::Pubrec(Pubrec::new(id(3))));
    talk.sends(&Packet::Pubrel(Pubrel::new(id(3)))).unwrap();
    talk.cut(&[]);
    talk.connect(true);
    talk.sends(&Packet::Pubrel(Pubrel::new(id(3)))).unwrap();
    talk.sends(&again(ONE, 1, "a")).unwrap();
    talk.sends(&again(TWO, 2, "b")).unwrap();
    talk.gets(&Packet::Puback(Puback::new(id(1))));
    talk.gets(&Packet::Pubcomp(Pubcomp::new(id(3))));
    talk.sends(&publish(ONE, 1, "d")).unwrap();
    talk.gets(&publish(ONE, 1, "from the server"));
    talk.sends(&Packet::Puback(Puback::new(id(1)))).unwrap();
    talk.sends(&Packet::Disconnect(Disconnect::new(ReasonCode::Success))).unwrap();
    talk.wire.finish(NOW).unwrap();
}

#[test]
fn an_identifier_used_twice_is_found() {
    let mut talk = Talk::new();
    talk.sends(&publish(ONE, 1, "a")).unwrap();
    assert_eq!(talk.sends(&publish(ONE, 1, "b")), Err("MQTT-2.2.1-3"));
    // Also while only PUBREL is outstanding.
    let mut talk = Talk::new();
    talk.sends(&publish(TWO, 1, "a")).unwrap();
    talk.gets(&Packet::Pubrec(Pubrec::new(id(1))));
    talk.sends(&Packet::Pubrel(Pubrel::new(id(1)))).unwrap();
    assert_eq!(talk.sends(&publish(ONE, 1, "b")), Err("MQTT-2.2.1-3"));
    let filter =
        Subscription { filter: TopicFilter::new("t").unwrap(), options: SubscriptionOptions::default() };
    let filters = [filter];
    let request = Packet::Subscribe(Subscribe {
        packet_id: id(1),
        properties: Properties::EMPTY,
        filters: Subscriptions::from(&filters[..]),
    });
    assert_eq!(talk.sends(&request), Err("MQTT-2.2.1-3"));
    // And over a resume.
    let mut talk = Talk::new();
    talk.sends(&publish(ONE, 1, "a")).unwrap();
    talk.cut(&[]);
    talk.connect(true);
    assert_eq!(talk.sends(&again(ONE, 1, "b")), Err("MQTT-2.2.1-3"));
}

#[test]
fn dup_is_missed_where_it_must_be_and_found_where_it_must_not() {
    let mut talk = Talk::new();
    assert_eq!(talk.sends(&again(ONE, 1, "a")), Err("MQTT-3.3.1-1"));
    let mut talk = Talk::new();
    talk.sends(&publish(ONE, 1, "a")).unwrap();
    talk.cut(&[]);
    talk.connect(true);
    assert_eq!(talk.sends(&publish(ONE, 1, "a")), Err("MQTT-3.3.1-1"));
    // In a new session it is a new message.
    talk.cut(&[]);
    talk.connect(false);
    talk.sends(&publish(ONE, 1, "a")).unwrap();
}

#[test]
fn a_message_of_which_only_a_part_was_sent_may_come_either_way() {
    let packet = message(ONE, 1, "a");
    let mut bytes = [0; 16];
    let len = packet.encode(Version::V5, &mut bytes).unwrap();
    for cut in 0..len {
        for dup in [false, true] {
            let mut talk = Talk::new();
            talk.cut(&bytes[..cut]);
            talk.connect(true);
            let result = talk.sends(&Packet::Publish(Publish { dup, ..packet }));
            assert_eq!(result.is_ok(), !dup || cut > 0, "{cut} {dup}");
        }
    }
}

#[test]
fn a_message_cut_before_its_identifier_was_out_may_be_ended_on_each_connection_until_it_is() {
    let pubrel = Packet::Pubrel(Pubrel::new(id(3)));
    let mut talk = Talk::new();
    talk.cut(&[0x34, 10, 0]);
    talk.connect(true);
    talk.sends(&pubrel).unwrap();
    talk.cut(&[]);
    talk.connect(true);
    talk.sends(&pubrel).unwrap();
    assert_eq!(talk.sends(&Packet::Pubrel(Pubrel::new(id(4)))), Err("MQTT-4.3.3-4"));
    talk.gets(&Packet::Pubcomp(Pubcomp::new(id(3))));
    assert_eq!(talk.sends(&pubrel), Err("MQTT-4.3.3-4"));
}

#[test]
fn a_repetition_outside_a_resume_is_found() {
    let mut talk = Talk::new();
    talk.sends(&publish(ONE, 1, "a")).unwrap();
    assert_eq!(talk.sends(&again(ONE, 1, "a")), Err("MQTT-4.4.0-1"));
}

#[test]
fn a_publish_after_its_pubrec_is_found() {
    let mut talk = Talk::new();
    talk.sends(&publish(TWO, 1, "a")).unwrap();
    talk.gets(&Packet::Pubrec(Pubrec::new(id(1))));
    talk.cut(&[]);
    talk.connect(true);
    assert_eq!(talk.sends(&again(TWO, 1, "a")), Err("MQTT-4.3.3-6"));
}

#[test]
fn repetitions_out_of_order_are_found() {
    let mut talk = Talk::new();
    talk.sends(&publish(ONE, 1, "a")).unwrap();
    talk.sends(&publish(ONE, 2, "b")).unwrap();
    talk.cut(&[]);
    talk.connect(true);
    talk.sends(&again(ONE, 2, "b")).unwrap();
    assert_eq!(talk.sends(&again(ONE, 1, "a")), Err("MQTT-4.6.0-1"));
}

#[test]
fn a_new_message_before_the_repetitions_is_found() {
    let mut talk = Talk::new();
    talk.sends(&publish(ONE, 1, "a")).unwrap();
    talk.cut(&[]);
    talk.connect(true);
    assert_eq!(talk.sends(&publish(ONE, 2, "b")), Err("MQTT-4.6.0-1"));
}

#[test]
fn one_in_flight_too_many_is_found_also_on_a_resume() {
    let mut talk = Talk::new();
    for n in 1..=3 {
        talk.sends(&publish(TWO, n, "x")).unwrap();
    }
    assert_eq!(talk.sends(&publish(TWO, 4, "x")), Err("MQTT-3.3.4-7"));
    let mut talk = Talk::new();
    for n in 1..=3 {
        talk.sends(&publish(TWO, n, "x")).unwrap();
    }
    talk.gets(&Packet::Pubrec(Pubrec::new(id(1))));
    assert_eq!(talk.sends(&publish(ONE, 5, "x")), Err("MQTT-3.3.4-7"));
}

#[test]
fn a_pubrel_out_of_place_is_found() {
    let mut talk = Talk::new();
    assert_eq!(talk.sends(&Packet::Pubrel(Pubrel::new(id(1)))), Err("MQTT-4.3.3-4"));
    talk.sends(&publish(TWO, 1, "a")).unwrap();
    assert_eq!(talk.sends(&Packet::Pubrel(Pubrel::new(id(1)))), Err("MQTT-4.3.3-4"));
    // For a PUBREC nobody knows it is the answer.
    let unknown = Pubrel::with(id(7), ReasonCode::PacketIdentifierNotFound, Properties::EMPTY);
    talk.sends(&Packet::Pubrel(unknown)).unwrap();
}

#[test]
fn a_session_older_than_its_client_may_be_asked_for_identifiers_a_few_times_on_each_connection() {
    let mut talk = Talk::of(true);
    let ask = |number| Packet::Pubrel(Pubrel::new(id(number)));
    talk.sends(&ask(1)).unwrap();
    talk.sends(&ask(2)).unwrap();
    for _ in 1..8 {
        talk.sends(&ask(1)).unwrap();
    }
    assert_eq!(talk.sends(&ask(1)), Err("MQTT-4.3.3-4"));
    talk.sends(&publish(TWO, 1, "a")).unwrap();
    assert_eq!(talk.sends(&ask(1)), Err("MQTT-4.3.3-4"));
    talk.cut(&[]);
    talk.connect(true);
    talk.sends(&ask(2)).unwrap();
    talk.cut(&[]);
    talk.connect(false);
    assert_eq!(talk.sends(&ask(2)), Err("MQTT-4.3.3-4"));
}

#[test]
fn acknowledgements_of_nothing_or_out_of_order_are_found() {
    let mut talk = Talk::new();
    assert_eq!(talk.sends(&Packet::Puback(Puback::new(id(1)))), Err("MQTT-4.6.0-2"));
    assert_eq!(talk.sends(&Packet::Pubrec(Pubrec::new(id(1)))), Err("MQTT-4.6.0-3"));
    assert_eq!(talk.sends(&Packet::Pubcomp(Pubcomp::new(id(1)))), Err("MQTT-4.3.3-11"));
    talk.gets(&publish(ONE, 1, "x"));
    talk.gets(&publish(ONE, 2, "x"));
    assert_eq!(talk.sends(&Packet::Puback(Puback::new(id(2)))), Err("MQTT-4.6.0-2"));
    // What came on an earlier connection is not acknowledged on this one.
    let mut talk = Talk::new();
    talk.gets(&publish(ONE, 1, "x"));
    assert_eq!(talk.wire.finish(NOW).unwrap_err().rule, "what came is acknowledged");
    talk.cut(&[]);
    talk.connect(true);
    assert_eq!(talk.sends(&Packet::Puback(Puback::new(id(1)))), Err("MQTT-4.6.0-2"));
}

#[test]
fn a_pubrec_that_crosses_the_repetition_may_come_twice_and_no_more() {
    let pubrec = Packet::Pubrec(Pubrec::new(id(1)));
    let mut talk = Talk::new();
    talk.gets(&publish(TWO, 1, "x"));
    talk.cut(&[]);
    talk.connect(true);
    talk.gets(&again(TWO, 1, "x"));
    talk.sends(&pubrec).unwrap();
    talk.sends(&pubrec).unwrap();
    assert_eq!(talk.sends(&pubrec), Err("MQTT-4.6.0-3"));
    talk.gets(&publish(TWO, 2, "y"));
    let pubrec = Packet::Pubrec(Pubrec::new(id(2)));
    talk.sends(&pubrec).unwrap();
    assert_eq!(talk.sends(&pubrec), Err("MQTT-4.6.0-3"));
}

/// On 3.1 nobody tells that the server has a new session.
#[test]
fn a_new_message_under_the_identifier_of_an_old_one_may_be_taken_for_it() {
    let pubrec = |n| Packet::Pubrec(Pubrec::new(id(n)));
    let mut talk = Talk::new();
    talk.gets(&publish(TWO, 1, "a"));
    talk.gets(&publish(TWO, 2, "b"));
    talk.cut(&[]);
    talk.connect(true);
    talk.gets(&publish(TWO, 3, "c"));
    talk.gets(&publish(TWO, 2, "d"));
    talk.gets(&publish(TWO, 1, "e"));
    talk.gets(&publish(TWO, 4, "f"));
    assert_eq!(talk.sends(&pubrec(4)), Err("MQTT-4.6.0-3"));
    talk.sends(&pubrec(2)).unwrap();
    for number in [3, 1, 4] {
        talk.sends(&pubrec(number)).unwrap();
    }
}

#[test]
fn packets_before_connect_and_after_disconnect_are_found() {
    let mut talk = Talk::new();
    assert_eq!(talk.sends(&Packet::Connect(Connect::new(Version::V5, "a"))), Err("MQTT-3.1.0-2"));
    talk.sends(&Packet::Disconnect(Disconnect::new(ReasonCode::Success))).unwrap();
    assert_eq!(talk.sends(&Packet::Pingreq(Pingreq)), Err("MQTT-3.14.4-2"));
    let mut talk = Talk::new();
    talk.cut(&[]);
    assert_eq!(talk.sends(&Packet::Pingreq(Pingreq)), Err("a connection has one client"));
    talk.show(&Observation::Opened { client: client(), link: talk.link }).unwrap();
    assert_eq!(talk.sends(&Packet::Pingreq(Pingreq)), Err("MQTT-3.1.0-1"));
}

#[test]
fn limits_of_the_server_that_are_passed_over_are_found() {
    let mut talk = Talk::new();
    let long = Packet::Publish(Publish { payload: &[0; 100], ..message(ONE, 1, "") });
    assert_eq!(talk.sends(&long), Err("MQTT-3.2.2-15"));
    let alias = [Property::TopicAlias(1)];
    let aliased = Packet::Publish(Publish { properties: Properties::List(&alias), ..message(ONE, 1, "") });
    assert_eq!(talk.sends(&aliased), Err("MQTT-3.3.2-9"));
    let less = [Property::MaximumQos(Qos::AtLeastOnce), Property::RetainAvailable(false)];
    talk.gets(&Packet::Connack(Connack {
        session_present: false,
        reason_code: ReasonCode::Success,
        properties: Properties::List(&less),
    }));
    assert_eq!(talk.sends(&publish(TWO, 1, "x")), Err("MQTT-3.2.2-11"));
    let retain = Packet::Publish(Publish { retain: true, ..message(ONE, 1, "") });
    assert_eq!(talk.sends(&retain), Err("MQTT-3.2.2-14"));
}

#[test]
fn bytes_that_are_no_packet_are_found() {
    let mut talk = Talk::new();
    let garbage = Observation::Garbage { client: client(), link: talk.link, bytes: &[0xFF; 99] };
    assert_eq!(talk.show(&garbage).unwrap_err().rule, "clients send packets");
}

fn accepted(qos: Qos) -> Message<'static> {
    Message::new(TopicName::new("t").unwrap()).qos(qos)
}

fn accept<'a>(message: &'a Message<'a>, token: u64, payload: &'a [u8]) -> Observation<'a> {
    let operation = Operation::Publish { message, payload };
    Observation::Accepted { client: client(), token: Token::from(token), operation }
}

fn done(token: u64) -> Observed {
    Observed::Done { token: Token::from(token), tag: 0, outcome: Ended::Acked(ReasonCode::Success) }
}

#[test]
fn an_operation_that_ends_twice_or_never_is_found() {
    let message = accepted(ONE);
    let mut check = Endings::new();
    check.observe(NOW, &accept(&message, 1, b"x")).unwrap();
    assert!(check.finish(NOW).is_err());
    assert!(check.observe(NOW, &accept(&message, 1, b"y")).is_err(), "a live token given out again");
    let ended = done(1);
    let event = Observation::Event { client: client(), event: &ended };
    check.observe(NOW, &event).unwrap();
    assert!(check.observe(NOW, &event).is_err());
    check.observe(NOW, &accept(&message, 1, b"z")).unwrap();
    let granted = Observed::Done { token: Token::from(1), tag: 0, outcome: Ended::Granted(Vec::new()) };
    assert!(check.observe(NOW, &Observation::Event { client: client(), event: &granted }).is_err());
}

fn arrival(qos: Qos, topic: &str, payload: &[u8]) -> Observed {
    Observed::Message(Delivered {
        topic: topic.to_owned(),
        payload: payload.to_vec(),
        qos,
        retain: false,
        dup: false,
        subscription_ids: Vec::new(),
        redelivered: false,
        ack: None,
    })
}

#[test]
fn messages_that_arrive_too_often_too_rarely_or_out_of_order_are_found() {
    let check = || {
        let subscriber = Subscriber { client: client(), filter: "t".to_owned(), qos: TWO };
        let mut check = Deliveries::new(vec![subscriber]);
        for (token, qos, payload) in [(1, TWO, "a"), (2, TWO, "b"), (3, ONE, "c"), (4, Qos::AtMostOnce, "d")]
        {
            check.observe(NOW, &accept(&accepted(qos), token, payload.as_bytes())).unwrap();
        }
        check
    };
    let see = |check: &mut Deliveries, event: &Observed| {
        let event = Observation::Event { client: client(), event };
        check.observe(NOW, &event).map_err(|violation| violation.rule)
    };
    let mut twice = check();
    see(&mut twice, &arrival(TWO, "t", b"a")).unwrap();
    assert_eq!(see(&mut twice, &arrival(TWO, "t", b"a")), Err("QoS 2 exactly once"));
    see(&mut twice, &arrival(ONE, "t", b"c")).unwrap();
    see(&mut twice, &arrival(ONE, "t", b"c")).unwrap();
    see(&mut twice, &arrival(Qos::AtMostOnce, "t", b"d")).unwrap();
    assert_eq!(see(&mut twice, &arrival(Qos::AtMostOnce, "t", b"d")), Err("QoS 0 at most once"));

    let mut order = check();
    see(&mut order, &arrival(TWO, "t", b"b")).unwrap();
    assert_eq!(see(&mut order, &arrival(TWO, "t", b"a")), Err("MQTT-4.6.0-6"));

    let mut wrong = check();
    assert_eq!(see(&mut wrong, &arrival(ONE, "t", b"a")), Err("MQTT-3.8.4-8"));
    assert_eq!(see(&mut wrong, &arrival(TWO, "u", b"a")), Err("MQTT-3.3.2-1"));

    let mut missing = check();
    missing.finish(NOW).unwrap();
    see(&mut missing, &done(3)).unwrap();
    assert_eq!(missing.finish(NOW).unwrap_err().rule, "QoS 1 at least once");
    see(&mut missing, &done(1)).unwrap();
    assert_eq!(missing.finish(NOW).unwrap_err().rule, "QoS 2 exactly once");
    for (qos, payload) in [(TWO, b"a"), (ONE, b"c")] {
        see(&mut missing, &arrival(qos, "t", payload)).unwrap();
    }
    missing.finish(NOW).unwrap();
}

#[test]
fn what_the_server_does_not_take_any_more_is_given_up_and_its_identifier_cleared() {
    let mut talk = Talk::new();
    talk.sends(&publish(TWO, 1, "a")).unwrap();
    talk.sends(&publish(ONE, 2, "b")).unwrap();
    talk.cut(&[]);
    talk.connect(true);
    let less = [Property::MaximumQos(Qos::AtLeastOnce)];
    talk.gets(&Packet::Connack(Connack {
        session_present: true,
        reason_code: ReasonCode::Success,
        properties: Properties::List(&less),
    }));
    // The server may wait for the PUBREL of number 1: it is not free for another message before.
    assert_eq!(talk.sends(&again(ONE, 1, "c")), Err("MQTT-2.2.1-3"));
    talk.sends(&Packet::Pubrel(Pubrel::new(id(1)))).unwrap();
    talk.gets(&Packet::Pubcomp(Pubcomp::new(id(1))));
    talk.sends(&again(ONE, 2, "b")).unwrap();
    talk.sends(&publish(ONE, 1, "c")).unwrap();
}

#[test]
fn a_message_that_fitted_only_with_its_alias_may_be_given_up() {
    for (len, fits) in [(40, true), (60, false)] {
        let topic = "t".repeat(len);
        let payload = "p".repeat(40);
        let alias = [Property::TopicAlias(1)];
        let message = |qos, packet_id, topic, payload| Publish {
            qos,
            packet_id,
            topic,
            properties: Properties::List(&alias),
            ..Publish::new(TopicName::new("t").unwrap(), payload)
        };
        let mut talk = Talk::new();
        let more = [Property::TopicAliasMaximum(1)];
        let properties = Properties::List(&more);
        let reason_code = ReasonCode::Success;
        talk.gets(&Packet::Connack(Connack { session_present: false, reason_code, properties }));
        talk.sends(&Packet::Publish(message(Qos::AtMostOnce, None, TopicName::new(&topic).ok(), b"")))
            .unwrap();
        talk.sends(&Packet::Publish(message(ONE, Some(id(1)), None, payload.as_bytes()))).unwrap();
        talk.cut(&[]);
        talk.connect(true);
        let overtakes = talk.sends(&publish(ONE, 2, "b"));
        assert_eq!(overtakes, if fits { Err("MQTT-4.6.0-1") } else { Ok(()) });
    }
}

#[test]
fn a_pubcomp_of_an_earlier_exchange_ends_nothing() {
    let mut talk = Talk::new();
    talk.sends(&publish(TWO, 1, "a")).unwrap();
    talk.gets(&Packet::Pubcomp(Pubcomp::new(id(1))));
    talk.cut(&[]);
    talk.connect(true);
    talk.sends(&again(TWO, 1, "a")).unwrap();
}

#[test]
fn what_waits_in_a_session_is_lost_with_it_only_where_a_broken_broker_makes_clients_begin_anew() {
    let finish = |resets| {
        let subscriber = Subscriber { client: client(), filter: "t".to_owned(), qos: ONE };
        let mut check = Deliveries::new(vec![subscriber]);
        if resets {
            check = check.with_resets();
        }
        check.observe(NOW, &accept(&accepted(ONE), 1, b"a")).unwrap();
        check.observe(NOW, &Observation::Event { client: client(), event: &done(1) }).unwrap();
        let connect = Packet::Connect(Connect { clean_start: true, ..Connect::new(Version::V5, "a") });
        let sent = Observation::Sent { client: client(), link: LinkId::for_tests(1), packet: &connect };
        check.observe(NOW, &sent).unwrap();
        check.finish(NOW)
    };
    assert_eq!(finish(false).unwrap_err().rule, "QoS 1 at least once");
    finish(true).unwrap();
}

#[test]
fn memory_over_its_bound_a_deadline_passed_over_and_an_identifier_left_over_are_found() {
    let found = |change: &dyn Fn(&mut Rest)| {
        let session = HeapSession::new(Config::new(1));
        let (memory, stats) = (session.memory(), session.stats());
        let mut rest = Rest { memory, bound: 100, passed: Duration::ZERO, connected: true, stats };
        change(&mut rest);
        let mut check = Bounds::new();
        let seen = check.observe(NOW, &Observation::Rested { client: client(), rest: &rest });
        seen.and_then(|()| check.finish(NOW)).err().map(|violation| violation.rule)
    };
    assert_eq!(found(&|_| {}), None);
    assert_eq!(found(&|rest| rest.memory = 100), None);
    assert_eq!(found(&|rest| rest.memory = 101), Some("memory within its bound"));
    assert_eq!(found(&|rest| rest.passed = Duration::from_micros(1)), Some("every deadline met"));
    assert_eq!(found(&|rest| rest.stats.in_flight = 1), Some("idle means every identifier free"));
    assert_eq!(found(&|rest| (rest.stats.in_flight, rest.stats.open) = (1, 1)), None);
}

#[test]
fn a_new_session_may_get_a_repetition_of_what_the_one_before_had() {
    let finish = |kept: Option<Kept>| {
        let subscriber = Subscriber { client: client(), filter: "t".to_owned(), qos: ONE };
        let mut check = Deliveries::new(vec![subscriber]);
        for (token, payload) in [(1, b"a"), (2, b"b")] {
            check.observe(NOW, &accept(&accepted(ONE), token, payload)).unwrap();
        }
        if let Some(kept) = kept {
            check.observe(NOW, &Observation::Crashed { client: client(), kept }).unwrap();
        }
        [b"b", b"a"].into_iter().find_map(|payload| {
            let event = arrival(ONE, "t", payload);
            check.observe(NOW, &Observation::Event { client: client(), event: &event }).err()
        })
    };
    assert_eq!(finish(None).unwrap().rule, "MQTT-4.6.0-6");
    assert_eq!(finish(Some(Kept::All)).unwrap().rule, "MQTT-4.6.0-6");
    assert_eq!(finish(Some(Kept::Nothing)), None);
}
