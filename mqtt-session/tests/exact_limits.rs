//! What is exactly as long as there is room for is taken; one byte more is refused, with both numbers.

use crate::common;

use common::{Trace, VERSIONS, id};
use mqtt_session::proto::{
    Auth, EncodeError, Packet, Peer, Properties, Property, Puback, Qos, ReasonCode, Suback, Subscription,
    SubscriptionOptions, TopicFilter, TopicName, Version,
};
use mqtt_session::{
    AuthError, ConnectOptions, FixedSession, Message, PublishError, StartError, Stop, StopError, Storage,
    SubscribeError, Token,
};

/// Bytes of the wire buffer, of the queue.
const WIRE: usize = 1_024;
const QUEUE: usize = common::MEMORY - WIRE;

fn publish<S: Storage>(t: &mut Trace<S>, topic: &str, payload: usize) -> Result<Token, PublishError> {
    let message = Message::new(TopicName::new(topic).unwrap()).qos(Qos::AtLeastOnce);
    let payload = vec![b'x'; payload];
    t.session.publish(&message, payload[..].into()).map_err(|refused| refused.reason)
}

fn subscribe<S: Storage>(t: &mut Trace<S>, lens: &[usize]) -> Result<Token, SubscribeError> {
    let filters: Vec<String> = lens.iter().map(|len| "f".repeat(*len)).collect();
    let options = SubscriptionOptions::new(Qos::AtLeastOnce);
    let filters: Vec<_> = filters
        .iter()
        .map(|filter| Subscription { filter: TopicFilter::new(filter).unwrap(), options })
        .collect();
    t.session.subscribe(&filters, Properties::EMPTY)
}

// Fixed header 3, length of the topic 2, identifier 2, properties 1.
scenario!(the_head_of_a_message_may_fill_the_wire_buffer, |t| {
    assert_eq!(
        publish(t, &"t".repeat(WIRE - 7), 0),
        Err(PublishError::TooLarge { needed: WIRE + 1, allowed: WIRE })
    );
    let token = publish(t, &"t".repeat(WIRE - 8), 0).unwrap();
    t.connect();
    let frame = t.next_frame().unwrap();
    assert_eq!(frame.len(), WIRE);
    t.send(Puback::new(id(1)));
    t.done(token, "Acked(Success)");
});

scenario!(one_message_may_fill_the_queue, VERSIONS, |t| {
    // Beside what is kept of it, eight bytes of its own.
    let all = QUEUE - 8;
    assert_eq!(publish(t, "t", all), Err(PublishError::TooLarge { needed: QUEUE + 1, allowed: QUEUE }));
    let token = publish(t, "t", all - 1).unwrap();
    assert_eq!(t.session.stats().bytes_kept, QUEUE);
    assert_eq!(publish(t, "t", 0), Err(PublishError::BytesFull));
    t.connect();
    assert!(t.next_frame().unwrap().len() > all);
    t.send(Puback::new(id(1)));
    t.done(token, "Acked(Success)");
});

// Fixed header 3, identifier 2, properties 1, length of the filter 2, options 1.
scenario!(a_subscription_may_fill_the_wire_buffer, |t| {
    assert_eq!(subscribe(t, &[WIRE - 8]), Err(SubscribeError::TooLarge { needed: WIRE + 1, allowed: WIRE }));
    let token = subscribe(t, &[WIRE - 9]).unwrap();
    t.connect();
    assert_eq!(t.next_frame().unwrap().len(), WIRE);
    let codes = [ReasonCode::GrantedQos1];
    t.send(Suback { packet_id: id(1), properties: Properties::EMPTY, codes: (&codes).into() });
    t.done(token, "Granted([GrantedQos1])");
});

scenario!(a_subscription_may_fill_the_queue, [Version::V5], |c| { c.queue_bytes = 500 }, |t| {
    // Beside its filters, eight bytes of its own.
    let lens = |more: usize| [200, 500 - 8 - 200 - 6 + more];
    assert_eq!(subscribe(t, &lens(1)), Err(SubscribeError::TooLarge { needed: 501, allowed: 500 }));
    subscribe(t, &lens(0)).unwrap();
    assert_eq!(t.session.stats().bytes_kept, 500);
    assert_eq!(subscribe(t, &[1]), Err(SubscribeError::BytesFull));
});

// [5.0 MQTT-3.2.2-15]
scenario!(a_packet_may_be_as_long_as_the_server_takes, |t| {
    t.connect_with(false, &[Property::MaximumPacketSize(60)]);
    // Fixed header 2, length of the topic 2, identifier 2, properties 1.
    assert_eq!(publish(t, "t", 53), Err(PublishError::TooLargeForServer { needed: 61, allowed: 60 }));
    publish(t, "t", 52).unwrap();
    assert_eq!(t.next_frame().unwrap().len(), 60);
    assert_eq!(subscribe(t, &[53]), Err(SubscribeError::TooLargeForServer { needed: 61, allowed: 60 }));
    subscribe(t, &[52]).unwrap();
    assert_eq!(t.next_frame().unwrap().len(), 60);
});

// The room that CONNECT needs is what the wire buffer must have; three bytes of it are for the longest length field.
scenario!(connect_may_need_the_whole_wire_buffer, VERSIONS, |t| {
    let user = |len: usize| -> &'static str { "u".repeat(len).leak() };
    let start = |t: &mut Trace<S>, len: usize| {
        t.options = ConnectOptions { username: Some(user(len)), ..t.options };
        t.session.start(&t.options)
    };
    let Err(StartError::ConnectTooLarge { needed, room }) = start(t, WIRE) else { panic!() };
    assert_eq!(room, WIRE);
    let most = WIRE - (needed - WIRE);
    assert_eq!(start(t, most + 1), Err(StartError::ConnectTooLarge { needed: WIRE + 1, room }));
    assert_eq!(start(t, most), Ok(()));
    let frame = t.open();
    let Ok(Packet::Connect(connect)) = Packet::decode(&frame, t.version(), Peer::Client) else { panic!() };
    assert_eq!(connect.username, Some(user(most)));
});

scenario!(an_auth_may_need_the_whole_wire_buffer, |t| {
    let method = [Property::AuthenticationMethod("m")];
    t.options = ConnectOptions { properties: Properties::List(method.to_vec().leak()), ..t.options };
    t.connect_with(false, &[Property::AuthenticationMethod("m")]);
    let auth = |t: &mut Trace<S>, len: usize| {
        let data = vec![7; len];
        let list = [Property::AuthenticationMethod("m"), Property::AuthenticationData(&data)];
        t.session.authenticate(&Auth {
            reason_code: ReasonCode::ReAuthenticate,
            properties: Properties::List(&list),
        })
    };
    // Fixed header 3, reason 1, length of the properties 2, method 4, data 3 before its own bytes.
    assert_eq!(auth(t, WIRE - 12), Err(AuthError::TooLarge { needed: WIRE + 1, allowed: WIRE }));
    assert_eq!(auth(t, WIRE - 13), Ok(()));
    assert_eq!(t.next_frame().unwrap().len(), WIRE);
});

scenario!(the_properties_of_disconnect_may_take_what_is_left_of_the_queue, |t| {
    t.connect();
    let reason = "r".repeat(400);
    // Three bytes before the reason itself, and eight bytes of its own beside them.
    let needs = 400 + 3 + 8;
    publish(t, "t", QUEUE - needs - 8).unwrap();
    let list = [Property::ReasonString(&reason)];
    assert_eq!(t.session.stop(Stop::now().properties(Properties::List(&list))), Err(StopError::NoRoom));
    t.send(Puback::new(id(1)));
    publish(t, "t", QUEUE - needs - 9).unwrap();
    t.session.stop(Stop::now().properties(Properties::List(&list))).unwrap();
    let last = core::iter::from_fn(|| t.next_frame()).last().unwrap();
    let Ok(Packet::Disconnect(disconnect)) = Packet::decode(&last, Version::V5, Peer::Client) else {
        panic!()
    };
    assert_eq!(disconnect.properties.reason_string(), Some(&*reason));
});

/// However much is asked for: the queue needs room too.
#[test]
fn at_most_half_of_a_fixed_memory_is_the_outgoing_buffer() {
    let mut config = common::config();
    (config.wire_bytes, config.queue_bytes) = (100_000, 100_000);
    let mut session = FixedSession::<[u8; 2_048], 4, 2>::new([0; 2_048], config);
    let message = Message::new(TopicName::new("t").unwrap()).qos(Qos::AtLeastOnce);
    let refused = session.publish(&message, [7; 2_000][..].into()).map_err(|refused| refused.reason);
    assert_eq!(refused, Err(PublishError::TooLarge { needed: 2_009, allowed: 1_024 }));
    session.publish(&message, [7; 1_015][..].into()).map_err(|refused| refused.reason).unwrap();
}

scenario!(no_message_is_longer_than_a_length_field_can_say, |t| {
    const LONGEST: u32 = 268_435_460;
    let message = Message::new(TopicName::new("t").unwrap());
    let refused = PublishError::TooLarge { needed: LONGEST as usize + 1, allowed: LONGEST as usize };
    assert_eq!(t.session.publish_chunked(&message, LONGEST + 1), Err(refused));
    assert_eq!(
        t.session.publish_chunked(&message, LONGEST),
        Err(PublishError::Invalid(EncodeError::PacketTooLong))
    );
});
