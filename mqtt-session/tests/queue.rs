//! What waits: times to live, latest values, and what gives way when there is no room.

use crate::common;

use core::num::NonZeroU64;
use core::time::Duration;

use common::{Seen, Trace, VERSIONS, id};
use mqtt_session::proto::{
    Packet, Peer, Properties, Property, Puback, Publish, Qos, Subscription, SubscriptionOptions, TopicFilter,
    TopicName, Version,
};
use mqtt_session::{Message, PublishError, Storage, Token, WhenFull};

fn message() -> Message<'static> {
    Message::new(TopicName::new("a").unwrap()).qos(Qos::AtLeastOnce)
}

fn publish<S: Storage>(
    t: &mut Trace<S>,
    message: &Message<'_>,
    payload: &[u8],
) -> Result<Token, PublishError> {
    t.session.publish(message, payload.into()).map_err(|refused| refused.reason)
}

/// The payloads of the PUBLISH packets that were sent.
fn sent<S: Storage>(t: &mut Trace<S>) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(frame) = t.next_frame() {
        match Packet::decode(&frame, t.version(), Peer::Client).unwrap() {
            Packet::Publish(Publish { payload, .. }) => all.push(payload.to_vec()),
            Packet::Pingreq(_) => {}
            other => panic!("{other:?}"),
        }
    }
    all
}

scenario!(a_time_to_live_counts_from_the_next_time_told_and_ends_what_waits, VERSIONS, |t| {
    t.after(Duration::from_secs(100));
    let short = publish(t, &message().ttl(Duration::from_secs(5)), b"short").unwrap();
    let long = publish(t, &message().ttl(Duration::from_secs(50)), b"long").unwrap();
    publish(t, &message(), b"forever").unwrap();
    t.after(Duration::from_millis(4_990));
    t.see_nothing();
    t.after(Duration::from_millis(20));
    t.done(short, "Expired");
    t.see_nothing();
    t.after(Duration::from_secs(60));
    t.done(long, "Expired");
    t.connect();
    assert_eq!(sent(t), [b"forever"]);
});

scenario!(what_expired_while_connecting_is_not_sent, VERSIONS, |t| {
    let token = publish(t, &message().ttl(Duration::from_secs(5)), b"short").unwrap();
    t.open();
    t.now = t.now.after(Duration::from_secs(6));
    t.connect_accepted();
    assert!(t.events().iter().any(
        |seen| matches!(seen, Seen::Done { token: ended, outcome, .. } if *ended == token && outcome == "Expired")
    ));
    assert_eq!(sent(t), Vec::<Vec<u8>>::new());
});

// [5.0 MQTT-4.3.3-7]
scenario!(what_was_sent_does_not_expire_and_leaves_again_on_a_resume, VERSIONS, |t| {
    t.options.clean_start = false;
    t.connect();
    let token = publish(t, &message().ttl(Duration::from_secs(5)), b"x").unwrap();
    assert_eq!(sent(t), [b"x"]);
    t.after(Duration::from_secs(6));
    t.cut();
    t.resume();
    assert_eq!(sent(t), [b"x"]);
    t.send(Puback::new(id(1)));
    t.done(token, "Acked(Success)");
});

scenario!(the_server_is_told_what_is_left_of_the_message_expiry, |t| {
    let properties = [Property::MessageExpiryInterval(60), Property::ContentType("t")];
    let message = message().properties(Properties::List(&properties));
    publish(t, &message, b"x").unwrap();
    t.drain();
    t.after(Duration::from_secs(20));
    t.connect();
    let frame = t.next_frame().unwrap();
    let Ok(Packet::Publish(publish)) = Packet::decode(&frame, Version::V5, Peer::Client) else { panic!() };
    let left = publish.properties.message_expiry_interval().unwrap();
    assert!((38..=40).contains(&left), "{left}");
    assert_eq!(publish.properties.content_type(), Some("t"));
});

scenario!(a_message_expiry_is_a_time_to_live_on_3_x, [Version::V3_1, Version::V3_1_1], |t| {
    let properties = [Property::MessageExpiryInterval(10)];
    let token = publish(t, &message().properties(Properties::List(&properties)), b"x").unwrap();
    t.drain();
    t.after(Duration::from_secs(11));
    t.done(token, "Expired");
});

scenario!(the_oldest_gives_way, VERSIONS, |c| { c.when_full = WhenFull::DropOldest }, |t| {
    let first: Vec<Token> = (0..common::OUT as u8).map(|n| publish(t, &message(), &[n]).unwrap()).collect();
    for n in 0..3 {
        publish(t, &message(), &[100 + n]).unwrap();
    }
    for token in &first[..3] {
        t.done(*token, "Dropped");
    }
    t.see_nothing();
    t.connect();
    let all = sent(t);
    assert_eq!(all.first().unwrap(), &[3]);
    assert_eq!(all.last().unwrap(), &[102]);
    assert_eq!(all.len(), common::OUT);
});

scenario!(the_newest_gives_way, VERSIONS, |c| { c.when_full = WhenFull::DropNewest }, |t| {
    let first: Vec<Token> = (0..common::OUT as u8).map(|n| publish(t, &message(), &[n]).unwrap()).collect();
    publish(t, &message(), b"z").unwrap();
    t.done(*first.last().unwrap(), "Dropped");
    t.connect();
    let all = sent(t);
    assert_eq!(all.first().unwrap(), &[0]);
    assert_eq!(all.last().unwrap(), b"z");
});

scenario!(as_many_give_way_as_the_bytes_need, VERSIONS, |c| { c.when_full = WhenFull::DropOldest }, |t| {
    let first: Vec<Token> = (0..5).map(|_| publish(t, &message(), &[0; 550]).unwrap()).collect();
    publish(t, &message(), &[1; 1_200]).unwrap();
    t.done(first[0], "Dropped");
    t.done(first[1], "Dropped");
    t.see_nothing();
});

scenario!(what_was_sent_never_gives_way, VERSIONS, |c| { c.when_full = WhenFull::DropOldest }, |t| {
    t.connect();
    for n in 0..common::OUT as u8 {
        publish(t, &message(), &[n]).unwrap();
    }
    assert_eq!(sent(t).len(), common::OUT);
    assert_eq!(publish(t, &message(), b"x"), Err(PublishError::QueueFull));
    t.see_nothing();
});

scenario!(a_later_value_takes_the_place_of_one_that_waits, VERSIONS, |t| {
    let key = |value| NonZeroU64::new(value).unwrap();
    let old = publish(t, &message().key(key(1)), b"old").unwrap();
    publish(t, &message().key(key(2)), b"other").unwrap();
    publish(t, &message().key(key(1)), b"new").unwrap();
    t.done(old, "Dropped");
    t.connect();
    assert_eq!(sent(t), [&b"other"[..], b"new"]);
    // What was sent stays.
    publish(t, &message().key(key(1)), b"newer").unwrap();
    assert_eq!(sent(t), [b"newer"]);
    t.see_nothing();
});

// However many give way before anybody asks what became of them.
scenario!(more_than_a_few_later_values_may_come_between_two_looks, VERSIONS, |t| {
    let key = NonZeroU64::new(7).unwrap();
    let tokens: Vec<Token> =
        (0..16).map(|n| publish(t, &message().key(key), &[n]).expect("the older one gives way")).collect();
    for token in &tokens[..15] {
        t.done(*token, "Dropped");
    }
    t.see_nothing();
    t.connect();
    assert_eq!(sent(t), [[15]]);
});

scenario!(
    as_many_give_way_at_once_as_the_bytes_need,
    VERSIONS,
    |c| { c.when_full = WhenFull::DropOldest },
    |t| {
        let small: Vec<Token> = (0..12).map(|_| publish(t, &message(), &[0; 200]).unwrap()).collect();
        publish(t, &message(), &[1; 2_900]).unwrap();
        for token in &small {
            t.done(*token, "Dropped");
        }
        t.see_nothing();
        t.connect();
        assert_eq!(sent(t), [[1; 2_900]]);
    }
);

scenario!(
    the_newest_give_way_but_never_what_was_sent,
    VERSIONS,
    |c| { c.when_full = WhenFull::DropNewest },
    |t| {
        t.connect();
        for n in 0..4 {
            publish(t, &message(), &[n; 300]).unwrap();
        }
        assert_eq!(sent(t).len(), 4);
        t.cut();
        t.events();
        let waiting: Vec<Token> = (4..7).map(|n| publish(t, &message(), &[n; 300]).unwrap()).collect();
        publish(t, &message(), &[9; 1_400]).unwrap();
        for token in waiting[1..].iter().rev() {
            t.done(*token, "Dropped");
        }
        t.see_nothing();
        assert_eq!(publish(t, &message(), &[9; 2_500]), Err(PublishError::BytesFull));
    }
);

// A value that fills the place of the older one to the last byte has room; one byte more has not, and the older one stays.
scenario!(a_later_value_may_be_as_long_as_the_older_one_and_the_rest_of_the_queue, VERSIONS, |t| {
    let key = NonZeroU64::new(7).unwrap();
    let whole = common::MEMORY - 1_024;
    let first = publish(t, &message().key(key), b"first").unwrap();
    publish(t, &message(), &[0; 1_000]).unwrap();
    // A topic of one byte, and eight bytes of its own for each.
    let most = whole - 1_009 - 9;
    assert_eq!(publish(t, &message().key(key), &vec![1; most + 1]), Err(PublishError::BytesFull));
    t.see_nothing();
    publish(t, &message().key(key), &vec![1; most]).unwrap();
    t.done(first, "Dropped");
    assert_eq!(t.session.stats().bytes_kept, whole);
});

// Nobody asked what becomes of a message at QoS 0.
scenario!(a_qos_0_message_gives_way_in_silence, VERSIONS, |c| { c.when_full = WhenFull::DropOldest }, |t| {
    for n in 0..2 * common::OUT as u8 {
        publish(t, &message().qos(Qos::AtMostOnce), &[n]).unwrap();
    }
    t.see_nothing();
    t.connect();
    assert_eq!(sent(t).len(), common::OUT);
});

// With every slot in use too.
scenario!(
    as_many_give_way_as_needed_where_every_slot_is_in_use,
    VERSIONS,
    |c| { c.when_full = WhenFull::DropOldest },
    |t| {
        let small: Vec<Token> =
            (0..common::OUT).map(|_| publish(t, &message(), &[0; 180]).unwrap()).collect();
        publish(t, &message(), &[1; 500]).unwrap();
        for token in &small[..3] {
            t.done(*token, "Dropped");
        }
        t.see_nothing();
    }
);

scenario!(requests_never_give_way, VERSIONS, |c| { c.when_full = WhenFull::DropOldest }, |t| {
    let filter = TopicFilter::new("in/#").unwrap();
    let item = Subscription { filter, options: SubscriptionOptions::new(Qos::AtMostOnce) };
    t.session.subscribe(&[item], Properties::EMPTY).unwrap();
    let first = publish(t, &message(), b"x").unwrap();
    for n in 2..common::OUT as u8 + 1 {
        publish(t, &message(), &[n]).unwrap();
    }
    t.done(first, "Dropped");
    t.connect();
    assert_eq!(t.next_frame().unwrap()[0], 0x82, "SUBSCRIBE");
});

// The server may have had it: only its acknowledgement says what became of it.
scenario!(
    what_was_sent_in_a_lost_session_does_not_give_way,
    [Version::V5],
    |c| { c.when_full = WhenFull::DropOldest },
    |t| {
        t.connect();
        for n in 0..3 {
            publish(t, &message(), &[n]).unwrap();
        }
        assert_eq!(sent(t).len(), 3);
        t.cut();
        t.connect_with(false, &[Property::ReceiveMaximum(1)]);
        assert_eq!(sent(t), [[0]]);
        t.events();
        let waiting: Vec<Token> = (3..16).map(|n| publish(t, &message(), &[n]).unwrap()).collect();
        publish(t, &message(), &[16]).unwrap();
        t.done(waiting[0], "Dropped");
        t.see_nothing();
    }
);
