//! The client with its own thread, against a server with a script.

#[path = "../../adapter-core/tests/peer/mod.rs"]
mod peer;

use core::num::NonZeroU64;
use core::time::Duration;
use std::io::ErrorKind;
use std::thread;

use mqtt_adapter_std::{
    AckMode, Bytes, Cause, Client, ConnectError, Event, Failed, Options, Outcome, Properties, Publish,
    PublishError, Qos, ReasonCode, RecvError, RequestError, Version, WhenFull, Why,
};
use mqtt_proto::Connack;
use peer::{Got, PATIENCE, Server};

/// Quick reconnects, so that tests with cuts are.
fn options(server: &Server) -> Options {
    let mut options = Options::new(&server.url()).unwrap().with_linger(PATIENCE);
    options.engine_mut().backoff.base = Duration::from_millis(5);
    options.engine_mut().backoff.cap = Duration::from_millis(20);
    options
}

/// A client, and a server's side that has accepted it.
fn pair(options: impl FnOnce(Options) -> Options) -> (Client, Server, peer::Link) {
    let server = Server::new();
    let client = Client::start(options(self::options(&server))).unwrap();
    let link = server.welcome(false);
    client.connected_timeout(PATIENCE).unwrap();
    (client, server, link)
}

fn failed(options: Options) -> mqtt_adapter_std::Disconnected {
    match Client::connect(options) {
        Err(ConnectError::Failed(end)) => end,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_refused_connection_is_an_error_that_names_the_address() {
    let server = Server::new();
    let (address, options) = (server.address(), options(&server));
    drop(server);
    let end = failed(options);
    assert_eq!(end.why, Why::DialFailed);
    let Some(Cause::Dial { address: tried, kind, .. }) = &end.cause else { panic!("{end:?}") };
    assert_eq!((*tried, *kind), (address, ErrorKind::ConnectionRefused));
    assert!(end.to_string().contains(&address.to_string()), "{end}");
}

#[test]
fn a_refused_connack_is_an_error_with_its_reason_in_every_version() {
    for version in [Version::V3_1, Version::V3_1_1, Version::V5] {
        let server = Server::new();
        let options = options(&server).with_version(version).with_username("me").with_password("wrong");
        let client = thread::spawn(move || failed(options));
        let mut link = server.accept();
        let Got::Connect { username, password, .. } = link.connect() else { unreachable!() };
        assert_eq!((username.as_deref(), password.as_deref()), (Some("me"), Some(&b"wrong"[..])));
        link.send(&Connack::refused(ReasonCode::BadUserNameOrPassword));
        let end = client.join().unwrap();
        assert_eq!(end.why, Why::Refused(ReasonCode::BadUserNameOrPassword), "{version}");
        assert!(!format!("{end} {end:?}").contains("wrong"));
    }
}

#[test]
fn an_unknown_host_is_an_error_that_names_it() {
    // A label over 63 letters is refused by the resolver itself: nothing is asked on the network.
    let host = format!("{}.invalid", "x".repeat(70));
    let end = failed(Options::new(&format!("mqtt://{host}")).unwrap());
    assert_eq!(end.why, Why::DialFailed);
    assert!(matches!(&end.cause, Some(Cause::Resolve { host: asked, .. }) if *asked == host), "{end:?}");
}

#[test]
fn every_server_is_tried_before_connecting_fails() {
    let (first, second) = (Server::new(), Server::new());
    let second_url = second.url().parse().unwrap();
    let options = options(&first).with_server(second_url);
    drop(first);
    let client = thread::spawn(move || Client::connect(options).unwrap());
    let _link = second.welcome(false);
    assert!(client.join().unwrap().is_connected());
}

#[test]
fn a_first_connection_that_is_lost_at_once_was_a_connection() {
    for _ in 0..20 {
        let server = Server::new();
        let mut options = options(&server);
        options.engine_mut().backoff.base = Duration::from_secs(3_600);
        options.engine_mut().backoff.cap = Duration::from_secs(3_600);
        let client = thread::spawn(move || Client::connect(options).unwrap());
        let mut link = server.accept();
        link.connect();
        // CONNACK and DISCONNECT in one piece: both are seen before whoever waits for the connection can look.
        link.send_bytes(&[0x20, 0x03, 0x00, 0x00, 0x00, 0xE0, 0x01, 0x89]);
        drop(client.join().unwrap());
    }
}

#[test]
fn broken_bytes_are_an_error_and_end_only_the_connection() {
    let (client, server, mut link) = pair(|options| options);
    // A PUBLISH with QoS 3.
    link.send_bytes(&[0x36, 0x05, 0x00, 0x01, b'a', 0x00, 0x01]);
    let end = loop {
        if let Event::Disconnected(end) = client.next_event(Some(PATIENCE)).unwrap() {
            break end;
        }
    };
    assert!(matches!(end.why, Why::Malformed(_)), "{end:?}");
    assert_eq!(link.next(), Got::Disconnect(ReasonCode::MalformedPacket));
    assert_eq!(link.next(), Got::End);
    let _link = server.welcome(false);
    client.connected_timeout(PATIENCE).unwrap();
}

#[test]
fn bytes_that_are_not_mqtt_instead_of_connack_are_an_error() {
    let server = Server::new();
    let mut options = options(&server);
    options.engine_mut().backoff.retry_first = false;
    let client = thread::spawn(move || failed(options));
    let mut link = server.accept();
    link.connect();
    link.send_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let end = client.join().unwrap();
    assert!(matches!(end.why, Why::Malformed(_) | Why::Protocol(..)), "{end:?}");
}

#[test]
fn ipv6_works() {
    let server = Server::at("[::1]:0");
    assert!(server.url().contains("[::1]"));
    let options = options(&server);
    let client = thread::spawn(move || Client::connect(options).unwrap());
    let _link = server.welcome(false);
    assert!(client.join().unwrap().is_connected());
}

#[test]
fn a_host_name_is_resolved() {
    let server = Server::new();
    let url = format!("mqtt://localhost:{}", server.address().port());
    let client = thread::spawn(move || Client::connect(Options::new(&url).unwrap()).unwrap());
    let _link = server.welcome(false);
    assert!(client.join().unwrap().is_connected());
}

#[test]
fn a_publish_wakes_the_sleeping_thread_and_its_receipt_the_publisher() {
    let (client, _server, mut link) = pair(|options| options);
    for id in 1..=3_u16 {
        let receipt = client.publish(Publish::new("a/b", "hello").qos(Qos::AtLeastOnce)).unwrap();
        assert!(!receipt.is_done());
        let Got::Publish { topic, payload, id: sent, .. } = link.next() else { panic!("no publish") };
        assert_eq!((topic.as_str(), &payload[..]), ("a/b", &b"hello"[..]));
        let _ = id;
        let waiting = thread::spawn(move || receipt.wait());
        link.puback(sent);
        assert_eq!(waiting.join().unwrap(), Ok(Outcome::Acked(ReasonCode::Success)));
    }
    assert!(client.idle_timeout(PATIENCE));
}

#[test]
fn an_outcome_can_be_waited_for_in_steps_and_asked_for_again() {
    let (client, _server, mut link) = pair(|options| options);
    let mut receipt = client.publish(Publish::new("a", "x").qos(Qos::ExactlyOnce)).unwrap();
    assert_eq!(receipt.wait_timeout(Duration::from_millis(1)), None);
    let Got::Publish { id, .. } = link.next() else { panic!("no publish") };
    link.pubrec(id);
    assert_eq!(link.next(), Got::Pubrel(id));
    link.pubcomp(id);
    let acked = Some(Ok(Outcome::Acked(ReasonCode::Success)));
    assert_eq!(receipt.wait_timeout(PATIENCE), acked);
    assert_eq!(receipt.wait_timeout(Duration::ZERO), acked);
    assert!(receipt.is_done());
}

#[test]
fn messages_published_by_many_threads_all_arrive_once_and_in_each_threads_order() {
    const EACH: u32 = 2_000;
    let (client, _server, mut link) = pair(|options| options);
    let threads: Vec<_> = (0..4_u32)
        .map(|thread| {
            let client = client.clone();
            thread::spawn(move || {
                for number in 0..EACH {
                    let qos = if number % 2 == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce };
                    client.publish(Publish::new("n", format!("{thread} {number}")).qos(qos)).unwrap();
                }
            })
        })
        .collect();
    let mut next = [0_u32; 4];
    while next != [EACH; 4] {
        let Got::Publish { payload, id, .. } = link.next() else { panic!("no publish") };
        let text = String::from_utf8(payload).unwrap();
        let (thread, number) = text.split_once(' ').unwrap();
        let expected = &mut next[thread.parse::<usize>().unwrap()];
        assert_eq!(number.parse(), Ok(*expected), "thread {thread}");
        *expected += 1;
        if id != 0 {
            link.puback(id);
        }
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(client.idle_timeout(PATIENCE));
}

#[test]
fn subscribing_gives_the_granted_codes_and_messages_arrive_in_order() {
    let (client, _server, mut link) = pair(|options| options);
    let subscriber = thread::spawn({
        let client = client.clone();
        move || client.subscribe("a/+", Qos::ExactlyOnce)
    });
    let Got::Subscribe { id, filters } = link.next() else { panic!("no subscribe") };
    assert_eq!(filters, ["a/+"]);
    link.suback(id, &[ReasonCode::GrantedQos1]);
    assert_eq!(subscriber.join().unwrap(), Ok(ReasonCode::GrantedQos1));
    for number in 1..=100_u16 {
        link.publish("a/b", &number.to_be_bytes(), Qos::AtLeastOnce, number);
    }
    for (number, message) in (1..=100_u16).zip(client.messages()) {
        assert_eq!((message.topic(), message.payload()), ("a/b", &number.to_be_bytes()[..]));
        assert_eq!(link.next(), Got::Puback(number));
    }
    assert_eq!(client.try_recv(), Err(RecvError::Empty));
    assert_eq!(client.recv_timeout(Duration::from_millis(1)), Err(RecvError::TimedOut));
}

#[test]
fn refused_filters_are_errors_here_and_there() {
    let (client, _server, mut link) = pair(|options| options);
    assert!(matches!(client.subscribe("a/#/b", Qos::AtMostOnce), Err(RequestError::Filter(_))));
    assert!(matches!(client.request_subscribe(&[], Properties::EMPTY), Err(RequestError::Rejected(_))));
    let refused = thread::spawn({
        let client = client.clone();
        move || (client.subscribe("secret", Qos::AtMostOnce), client.unsubscribe("other"))
    });
    let Got::Subscribe { id, .. } = link.next() else { panic!("no subscribe") };
    link.suback(id, &[ReasonCode::NotAuthorized]);
    let Got::Unsubscribe { id, filters } = link.next() else { panic!("no unsubscribe") };
    assert_eq!(filters, ["other"]);
    link.unsuback(id, &[ReasonCode::NoSubscriptionExisted]);
    let (subscribed, unsubscribed) = refused.join().unwrap();
    assert_eq!(subscribed, Err(RequestError::Refused(ReasonCode::NotAuthorized)));
    assert_eq!(unsubscribed, Ok(ReasonCode::NoSubscriptionExisted));
}

#[test]
fn a_wrong_topic_comes_back_with_its_payload() {
    let (client, _server, _link) = pair(|options| options);
    let payload = Bytes::from_static(b"mine");
    let error = client.publish(Publish::new("a/+", payload.clone())).unwrap_err();
    assert!(matches!(error, PublishError::Topic { .. }));
    assert_eq!(error.into_payload(), Some(payload));
    let error = client.publish(Publish::new("", "borrowed")).unwrap_err();
    assert_eq!(error.into_payload(), None);
}

#[test]
fn a_publish_waits_for_room_and_goes_on_when_there_is() {
    let (client, _server, mut link) = pair(|mut options| {
        options.engine_mut().max_operations = 1;
        options
    });
    let publish = |text: &'static str| Publish::new("a", text).qos(Qos::AtLeastOnce);
    let first = client.publish(publish("one")).unwrap();
    assert!(client.try_publish(publish("two")).unwrap_err().is_full());
    let error = client.publish_timeout(publish("two"), Duration::from_millis(1)).unwrap_err();
    assert!(matches!(error, PublishError::TimedOut { .. }));
    let second = thread::spawn({
        let client = client.clone();
        move || client.publish(publish("three")).unwrap().wait()
    });
    let Got::Publish { id, .. } = link.next() else { panic!("no publish") };
    link.puback(id);
    assert!(first.wait().is_ok());
    let Got::Publish { id, payload, .. } = link.next() else { panic!("no publish") };
    assert_eq!(payload, b"three");
    link.puback(id);
    assert!(second.join().unwrap().is_ok());
}

#[test]
fn a_cut_in_the_middle_is_resumed_and_the_receipt_ends_well() {
    let (client, server, mut link) = pair(|options| options.with_session_expiry(Duration::from_secs(60)));
    let receipts: Vec<_> = (0..10_u8)
        .map(|number| client.publish(Publish::new("a", vec![number]).qos(Qos::AtLeastOnce)).unwrap())
        .collect();
    for _ in 0..5 {
        assert!(matches!(link.next(), Got::Publish { .. }));
    }
    link.cut();
    let mut link = server.welcome(true);
    let mut numbers = Vec::new();
    while numbers.len() < 10 {
        let Got::Publish { payload, dup, id, .. } = link.next() else { panic!("no publish") };
        assert!(dup || payload[0] >= 5, "number {} was sent before", payload[0]);
        numbers.extend(payload);
        link.puback(id);
    }
    assert_eq!(numbers, (0..10).collect::<Vec<u8>>());
    for receipt in receipts {
        assert_eq!(receipt.wait(), Ok(Outcome::Acked(ReasonCode::Success)));
    }
}

#[test]
fn a_packet_cut_at_every_byte_is_read_whole_once_it_comes() {
    let (client, server, mut link) = pair(|options| options.with_session_expiry(Duration::from_secs(60)));
    let packet = [0x32, 0x0A, 0x00, 0x01, b'a', 0x00, 0x07, 0x00, b'h', b'e', b'l', b'l'];
    for at in 0..packet.len() {
        link.send_bytes(&packet[..at]);
        link.cut();
        link = server.welcome(true);
    }
    for byte in packet {
        link.send_bytes(&[byte]);
    }
    let message = client.recv_timeout(PATIENCE).unwrap();
    assert_eq!((message.topic(), message.payload()), ("a", &b"hell"[..]));
    assert_eq!(link.next(), Got::Puback(7));
    assert_eq!(client.try_recv(), Err(RecvError::Empty));
}

#[test]
fn stopping_delivers_what_was_accepted_and_then_disconnects() {
    let (client, _server, mut link) = pair(|options| options);
    for _ in 0..100 {
        client.publish(Publish::new("a", "x").qos(Qos::ExactlyOnce)).unwrap();
    }
    let script = thread::spawn(move || link.serve());
    assert_eq!(client.stop(PATIENCE), 0);
    let all = script.join().unwrap();
    assert_eq!(all.iter().filter(|got| matches!(got, Got::Pubcomp(_))).count(), 100);
    assert_eq!(all.last(), Some(&Got::Disconnect(ReasonCode::Success)));
    assert!(matches!(client.publish(Publish::new("a", "x")), Err(PublishError::Stopped { .. })));
    assert_eq!(client.subscribe("a", Qos::AtMostOnce), Err(RequestError::Stopped));
    assert_eq!(client.recv(), None);
    assert_eq!(client.stop(PATIENCE), 0);
}

#[test]
fn stopping_with_a_deadline_tells_what_was_left_and_ends_whoever_waits() {
    let (client, _server, mut link) = pair(|options| options);
    let receipt = client.publish(Publish::new("a", "x").qos(Qos::AtLeastOnce)).unwrap();
    let waiting = thread::spawn(move || receipt.wait());
    let reader = thread::spawn({
        let client = client.clone();
        move || client.recv()
    });
    assert_eq!(client.stop(Duration::from_millis(10)), 1);
    assert_eq!(waiting.join().unwrap(), Err(Failed(Outcome::Stopped)));
    assert_eq!(reader.join().unwrap(), None);
    assert!(matches!(link.next(), Got::Publish { .. }));
    assert_eq!(link.next(), Got::Disconnect(ReasonCode::Success));
}

#[test]
fn stopping_works_before_there_is_a_connection() {
    let server = Server::new();
    let client = Client::start(options(&server)).unwrap();
    let link = server.accept();
    assert_eq!(client.stop(Duration::from_millis(10)), 0);
    drop(link);
    let client = Client::start(options(&server)).unwrap();
    assert_eq!(client.stop(Duration::ZERO), 0);
    assert!(matches!(client.connected_timeout(PATIENCE), Err(ConnectError::Stopped)));
}

#[test]
fn dropping_the_last_handle_delivers_what_was_accepted_and_disconnects() {
    let (client, _server, mut link) = pair(|options| options);
    let other = client.clone();
    drop(client);
    let messages = other.messages();
    drop(other.publish(Publish::new("a", "x").qos(Qos::AtLeastOnce)).unwrap());
    drop(other);
    let Got::Publish { id, .. } = link.next() else { panic!("no publish") };
    drop(messages);
    link.puback(id);
    assert_eq!(link.next(), Got::Disconnect(ReasonCode::Success));
    assert_eq!(link.next(), Got::End);
}

#[test]
fn a_receipt_that_outlives_the_client_ends() {
    let (client, _server, mut link) = pair(|options| options.with_linger(Duration::from_millis(10)));
    let receipt = client.publish(Publish::new("a", "x").qos(Qos::AtLeastOnce)).unwrap();
    drop(client);
    assert_eq!(receipt.wait(), Err(Failed(Outcome::Stopped)));
    assert!(matches!(link.next(), Got::Publish { .. }));
}

#[test]
fn a_client_that_gives_up_ends_whoever_waits() {
    let (client, server, mut link) = pair(|options| options);
    let receipt = client.publish(Publish::new("a", "x").qos(Qos::AtLeastOnce)).unwrap();
    assert!(matches!(link.next(), Got::Publish { .. }));
    link.cut();
    let mut link = server.accept();
    link.connect();
    link.send(&Connack::refused(ReasonCode::Banned));
    assert_eq!(receipt.wait(), Err(Failed(Outcome::Stopped)));
    let Err(ConnectError::Failed(end)) = client.connected_timeout(PATIENCE) else { panic!("connected") };
    assert_eq!((end.why, end.retry), (Why::Refused(ReasonCode::Banned), None));
    assert_eq!(client.recv(), None);
}

#[test]
fn a_slow_application_stops_neither_pings_nor_the_answers_it_waits_for() {
    let (client, _server, mut link) =
        pair(|options| options.with_inbox_bytes(64 * 1024).with_keep_alive(Duration::from_secs(1)));
    // Far more than the inbox holds, at QoS 1, and nobody takes any of it.
    let script = thread::spawn(move || {
        for id in 1..=1_000_u16 {
            link.publish("flood", &[0; 1_000], Qos::AtLeastOnce, id);
        }
        let mut pings = 0;
        loop {
            match link.next() {
                Got::Ping => {
                    pings += 1;
                    link.send(&mqtt_proto::Pingresp);
                }
                Got::Publish { id, .. } => {
                    link.puback(id);
                    return (pings, link);
                }
                Got::Puback(_) => {}
                got => panic!("{got:?}"),
            }
        }
    });
    // The answer to this lies behind all that was not read.
    thread::sleep(Duration::from_millis(2_500));
    assert!(client.is_connected());
    let receipt = client.publish(Publish::new("a", "x").qos(Qos::AtLeastOnce)).unwrap();
    assert_eq!(receipt.wait(), Ok(Outcome::Acked(ReasonCode::Success)));
    let (pings, _link) = script.join().unwrap();
    assert!(pings >= 1, "no ping in two intervals");
    for _ in 0..1_000 {
        assert_eq!(client.recv_timeout(PATIENCE).unwrap().payload().len(), 1_000);
    }
}

#[test]
fn a_full_inbox_holds_the_server_back_and_loses_nothing() {
    const COUNT: u32 = 20_000;
    let (client, _server, mut link) = pair(|options| options.with_inbox_bytes(10_000));
    let script = thread::spawn(move || {
        for number in 0..COUNT {
            link.publish("n", &number.to_be_bytes(), Qos::AtMostOnce, 0);
        }
        link
    });
    for number in 0..COUNT {
        assert_eq!(client.recv_timeout(PATIENCE).unwrap().payload(), number.to_be_bytes());
    }
    assert_eq!(client.dropped(), 0);
    script.join().unwrap();
}

#[test]
fn with_manual_acknowledgement_nothing_is_acknowledged_before_the_application_does() {
    let (client, _server, mut link) = pair(|mut options| {
        options.engine_mut().ack_mode = AckMode::Manual;
        options
    });
    link.publish("a", b"1", Qos::AtLeastOnce, 1);
    link.publish("a", b"2", Qos::AtLeastOnce, 2);
    let (one, two) = (client.recv().unwrap(), client.recv().unwrap());
    client.acknowledge(two.ack().unwrap(), ReasonCode::Success, Properties::EMPTY).unwrap();
    client.acknowledge(one.ack().unwrap(), ReasonCode::Success, Properties::EMPTY).unwrap();
    // In the order the messages came in, whatever the application's.
    assert_eq!(link.next(), Got::Puback(1));
    assert_eq!(link.next(), Got::Puback(2));
    assert!(client.acknowledge(one.ack().unwrap(), ReasonCode::Success, Properties::EMPTY).is_err());
}

#[test]
fn what_was_not_sent_can_be_cancelled() {
    let server = Server::new();
    let client = Client::start(options(&server)).unwrap();
    let receipt = client.publish(Publish::new("a", "x").qos(Qos::AtLeastOnce)).unwrap();
    assert!(client.cancel(receipt.token().unwrap()));
    assert_eq!(receipt.wait(), Err(Failed(Outcome::Cancelled)));
    assert_eq!(client.pending(), 0);
}

#[test]
fn a_message_that_waits_beyond_its_time_to_live_ends_although_nothing_else_happens() {
    let server = Server::new();
    let client = Client::start(options(&server)).unwrap();
    // The server accepts the connection and never answers.
    let _link = server.accept();
    thread::sleep(Duration::from_millis(20));
    let publish = Publish::new("a", "x").qos(Qos::AtLeastOnce).ttl(Duration::from_millis(50));
    let mut receipt = client.publish(publish).unwrap();
    assert_eq!(receipt.wait_timeout(Duration::from_secs(5)), Some(Err(Failed(Outcome::Expired))));
}

#[test]
fn messages_dropped_for_others_end_their_own_receipts() {
    let server = Server::new();
    let mut options = options(&server);
    options.engine_mut().max_operations = 10;
    options.engine_mut().when_full = WhenFull::DropOldest;
    let client = Client::start(options).unwrap();
    let publish = |number: u8| client.publish(Publish::new("a", vec![number]).qos(Qos::AtLeastOnce)).unwrap();
    let receipts: Vec<_> = (0..100).map(publish).collect();
    let mut link = server.welcome(false);
    let script = thread::spawn(move || link.serve());
    for (number, receipt) in receipts.into_iter().enumerate() {
        let outcome = receipt.wait();
        if number < 90 {
            assert_eq!(outcome, Err(Failed(Outcome::Dropped)), "message {number}");
        } else {
            assert_eq!(outcome, Ok(Outcome::Acked(ReasonCode::Success)), "message {number}");
        }
    }
    client.stop(PATIENCE);
    script.join().unwrap();
}

#[test]
fn the_latest_value_replaces_one_that_waits() {
    let server = Server::new();
    let client = Client::start(options(&server)).unwrap();
    let key = NonZeroU64::new(7).unwrap();
    let publish =
        |text: &'static str| client.publish(Publish::new("a", text).qos(Qos::AtLeastOnce).key(key)).unwrap();
    let (old, new) = (publish("old"), publish("new"));
    let mut link = server.welcome(false);
    let Got::Publish { payload, id, .. } = link.next() else { panic!("no publish") };
    assert_eq!(payload, b"new");
    link.puback(id);
    assert_eq!(old.wait(), Err(Failed(Outcome::Dropped)));
    assert_eq!(new.wait(), Ok(Outcome::Acked(ReasonCode::Success)));
}

#[test]
fn subscriptions_are_made_again_when_the_server_has_lost_the_session() {
    let (client, server, mut link) = pair(|options| options);
    let subscriber = thread::spawn({
        let client = client.clone();
        move || client.subscribe("a", Qos::AtLeastOnce)
    });
    let Got::Subscribe { id, .. } = link.next() else { panic!("no subscribe") };
    link.suback(id, &[ReasonCode::GrantedQos1]);
    assert_eq!(subscriber.join().unwrap(), Ok(ReasonCode::GrantedQos1));
    assert!(client.idle_timeout(PATIENCE));
    link.cut();
    let mut link = server.welcome(false);
    let Got::Subscribe { id, filters } = link.next() else { panic!("no subscribe") };
    assert_eq!(filters, ["a"]);
    link.suback(id, &[ReasonCode::GrantedQos1]);
    loop {
        if let Event::Resubscribed { codes, .. } = client.next_event(Some(PATIENCE)).unwrap() {
            assert_eq!(codes, [ReasonCode::GrantedQos1]);
            break;
        }
    }
}

#[test]
fn qos_0_has_a_receipt_only_on_request() {
    let (client, _server, _link) = pair(|options| options);
    let receipt = client.publish(Publish::new("a", "x")).unwrap();
    assert_eq!(receipt.token(), None);
    assert_eq!(receipt.wait(), Ok(Outcome::Accepted));
    let (client, _server, _link) = pair(|mut options| {
        options.engine_mut().qos0_receipts = true;
        options
    });
    let receipt = client.publish(Publish::new("a", "x")).unwrap();
    assert_eq!(receipt.wait(), Ok(Outcome::Sent));
}

#[test]
fn check_link_pings_at_once() {
    let (client, _server, mut link) = pair(|options| options);
    client.check_link();
    assert_eq!(link.next(), Got::Ping);
}

#[test]
fn connection_events_tell_the_whole_story() {
    let (client, server, mut link) = pair(|options| options);
    link.send(&mqtt_proto::Disconnect {
        reason_code: ReasonCode::ServerShuttingDown,
        properties: Properties::EMPTY,
    });
    assert_eq!(link.next(), Got::End);
    let _link = server.welcome(false);
    client.connected_timeout(PATIENCE).unwrap();
    client.stop(Duration::ZERO);
    let mut story = Vec::new();
    while let Some(event) = client.next_event(Some(PATIENCE)) {
        story.push(match event {
            Event::Connecting { server: to, .. } => {
                assert_eq!(to.port(), server.address().port());
                "connecting".to_owned()
            }
            Event::Connected(connected) => format!("connected {}", connected.version),
            Event::Disconnected(end) => format!("disconnected: {end}"),
            Event::Stopped { left } => format!("stopped {left}"),
            other => format!("{other:?}"),
        });
    }
    let mut story = story.iter().map(String::as_str);
    assert_eq!(story.next(), Some("connecting"));
    assert_eq!(story.next(), Some("connected 5.0"));
    assert!(story.next().unwrap().starts_with("disconnected: the server disconnected"));
    assert!(story.any(|line| line == "connected 5.0"));
    assert_eq!(story.next_back(), Some("stopped 0"));
}

#[test]
fn no_public_value_shows_a_secret() {
    let server = Server::new();
    let url = format!("mqtt://me:canary@{}", server.address());
    let will = mqtt_adapter_std::Will::new("w", "canary");
    let options = Options::new(&url).unwrap().with_will(will);
    let client = Client::start(options).unwrap();
    let _link = server.welcome(false);
    client.connected_timeout(PATIENCE).unwrap();
    let mut shown = format!("{client:?} {:?} {:?}", client.options(), client.messages());
    while let Some(event) = client.next_event(Some(Duration::from_millis(1))) {
        shown += &format!("{event:?}");
    }
    let publish = Publish::new("a", "canary");
    shown += &format!("{publish:?} {:?}", client.publish(publish.clone()));
    assert!(!shown.contains("canary"), "{shown}");
}
