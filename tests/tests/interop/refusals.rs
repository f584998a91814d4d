//! What must not work: each gives a typed error, nothing panics, nothing hangs.

use mqtt_adapter_std::{
    Cause, ConnectError, Event, Outcome, Publish, PublishError, Qos, ReasonCode, RequestError, TopicError,
    Version, Why,
};
use mqtt_tests::adapter::Adapter;
use mqtt_tests::mosquitto::{Mosquitto, free_address};
use mqtt_tests::scripted::Scripted;

use crate::common::{event_until, options};

matrix!(
    nobody_listens,
    unknown_host,
    not_authorized,
    wildcard_in_a_topic,
    misplaced_wildcard_in_a_filter,
    payload_too_large_for_the_server,
    garbage_for_a_connack,
    garbage_after_the_connack,
);

/// What the driver says about its first connection.
fn refused<A: Adapter>(url: &str, version: Version) -> (Why, Option<Cause>) {
    match A::connect(options(url, version)) {
        Ok(_) => panic!("nobody could accept this"),
        Err(ConnectError::Failed(disconnected)) => (disconnected.why, disconnected.cause),
        Err(other) => panic!("another error than a failed connection: {other:?}"),
    }
}

fn nobody_listens<A: Adapter>(version: Version) {
    let (why, cause) = refused::<A>(&format!("mqtt://{}", free_address()), version);
    assert!(matches!(why, Why::DialFailed), "{why}");
    assert!(
        matches!(cause, Some(Cause::Dial { kind: std::io::ErrorKind::ConnectionRefused, .. })),
        "{cause:?}"
    );
}

fn unknown_host<A: Adapter>(version: Version) {
    // A name that is reserved for never being there.
    let (why, cause) = refused::<A>("mqtt://broker.invalid", version);
    assert!(matches!(why, Why::DialFailed), "{why}");
    assert!(matches!(&cause, Some(Cause::Resolve { host, .. }) if host == "broker.invalid"), "{cause:?}");
}

fn not_authorized<A: Adapter>(version: Version) {
    let broker = Mosquitto::with("allow_anonymous false\n");
    let (why, _) = refused::<A>(&broker.url(), version);
    assert!(matches!(why, Why::Refused(ReasonCode::NotAuthorized)), "{why}");
    // And it stays away: the same credentials would be refused again.
    let mut client = A::start(options(&broker.url(), version)).expect("the options are good");
    let retry = event_until(&mut client, |event| match event {
        Event::Disconnected(disconnected) => Some(disconnected.retry),
        _ => None,
    });
    assert_eq!(retry, None);
    event_until(&mut client, |event| matches!(event, Event::Stopped { .. }).then_some(()));
}

fn wildcard_in_a_topic<A: Adapter>(version: Version) {
    let broker = Mosquitto::start();
    let mut client = A::connect(options(&broker.url(), version)).expect("the client connects");
    let refused = client.publish(Publish::new("rooms/+/light", "on")).err();
    assert!(matches!(refused, Some(PublishError::Topic { error: TopicError::Wildcard, .. })), "{refused:?}");
}

fn misplaced_wildcard_in_a_filter<A: Adapter>(version: Version) {
    let broker = Mosquitto::start();
    let mut client = A::connect(options(&broker.url(), version)).expect("the client connects");
    let refused = client.subscribe("a/#/b", Qos::AtMostOnce).err();
    assert!(matches!(refused, Some(RequestError::Filter(TopicError::MisplacedWildcard))), "{refused:?}");
}

/// MQTT 5.0 announces the limit and the message is refused before a byte of it leaves. 3.x cannot announce it: this
/// server closes instead, and the client tells so and comes back.
fn payload_too_large_for_the_server<A: Adapter>(version: Version) {
    let broker = Mosquitto::with("allow_anonymous true\nmax_packet_size 300\n");
    let mut client = A::connect(options(&broker.url(), version)).expect("the client connects");
    let message = Publish::new("large", vec![b'x'; 1_000]).qos(Qos::AtLeastOnce);
    if version == Version::V5 {
        match client.publish(message) {
            Ok(receipt) => {
                let outcome = client.outcome(receipt);
                assert!(matches!(outcome, Outcome::Violated), "{outcome:?}");
            }
            Err(refused) => assert!(matches!(refused, PublishError::Refused { .. }), "{refused:?}"),
        }
        let receipt =
            client.publish(Publish::new("small", "fits").qos(Qos::AtLeastOnce)).expect("it is accepted");
        assert!(client.outcome(receipt).is_success(), "the connection has not suffered");
    } else {
        let _receipt = client.publish(message).expect("3.x has no limit to compare with");
        let why = event_until(&mut client, |event| match event {
            Event::Disconnected(disconnected) => Some(disconnected.why),
            _ => None,
        });
        assert!(matches!(why, Why::PeerClosed | Why::TransportFailed), "{why}");
    }
}

fn garbage_for_a_connack<A: Adapter>(version: Version) {
    let server = Scripted::start(&[b"HTTP/1.1 400 Bad Request\r\n\r\n"]);
    let (why, _) = refused::<A>(&server.url(), version);
    assert!(matches!(why, Why::Malformed(_) | Why::Protocol(..)), "{why}");
}

fn garbage_after_the_connack<A: Adapter>(version: Version) {
    // A PUBLISH of QoS 3, which no version has.
    let reply: &[u8] = match version {
        Version::V5 => &[0x20, 3, 0, 0, 0, 0x36, 5, 0, 1, b'a', 0, 1],
        _ => &[0x20, 2, 0, 0, 0x36, 5, 0, 1, b'a', 0, 1],
    };
    let server = Scripted::start(&[reply]);
    let mut client = A::start(options(&server.url(), version)).expect("the options are good");
    let why = event_until(&mut client, |event| match event {
        Event::Disconnected(disconnected) => Some(disconnected.why),
        _ => None,
    });
    assert!(matches!(why, Why::Malformed(_)), "{why}");
    // The client is alive and tries again, later.
    event_until(&mut client, |event| matches!(event, Event::Connecting { .. }).then_some(()));
}
