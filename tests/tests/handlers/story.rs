//! What a client tells of itself: events, counters, the end.

use core::time::Duration;
use std::thread;

use mqtt_adapter_std::proto::PacketType;
use mqtt_adapter_std::{Cause, Event, Message, Options, Outcome, Publish, PublishError, Qos, Version, Why};
use mqtt_proto::{Connack, Packet, Pingresp, Puback, Publish as Sent, TopicName};
use mqtt_tests::adapter::{Adapter, CAP};
use mqtt_tests::drivers;
use mqtt_tests::model::Model;
use mqtt_tests::mosquitto::free_address;
use mqtt_tests::server::Played;

drivers!(
    events_tell_every_connection_and_its_end,
    a_server_that_is_away_is_told_with_its_address,
    the_counters_of_packets_add_up,
    the_counters_of_bytes_are_what_the_server_counts,
    another_thread_may_stop_it,
);

fn quick(url: &str) -> Options {
    let mut options = Options::new(url).unwrap().with_client_id("story");
    options.engine_mut().backoff.base = Duration::from_millis(5);
    options.engine_mut().backoff.cap = Duration::from_millis(20);
    options
}

/// The next event of the connection.
fn next<A: Adapter>(client: &mut A) -> Event {
    loop {
        match client.event(CAP).expect("it is told in time") {
            Event::Done { .. } => {}
            event => return event,
        }
    }
}

fn connecting(event: Event, url: &str) {
    let Event::Connecting { attempt: 1.., server, .. } = event else { panic!("{event:?}") };
    assert_eq!(server, url.parse().unwrap());
}

fn events_tell_every_connection_and_its_end<A: Adapter>() {
    let broker = Model::start();
    let url = broker.url();
    let mut client = A::start(quick(&url).with_session_expiry(Duration::from_secs(60))).unwrap();
    connecting(next(&mut client), &url);
    let Event::Connected(first) = next(&mut client) else { panic!("no connection") };
    assert_eq!((first.session_present, first.resumed, first.version), (false, false, Version::V5));
    assert_eq!((first.server.clone(), first.client_id.clone()), (url.parse().unwrap(), None));
    for _ in 0..3 {
        broker.handle().cut("story");
        let Event::Disconnected(end) = next(&mut client) else { panic!("no end") };
        assert!(matches!(end.why, Why::PeerClosed | Why::TransportFailed), "{end:?}");
        assert!(end.retry.is_some());
        connecting(next(&mut client), &url);
        let Event::Connected(again) = next(&mut client) else { panic!("no connection") };
        assert_eq!((again.session_present, again.resumed), (true, true));
    }
    client.stop();
    let mut rest = Vec::new();
    while let Some(event) = client.event(Duration::ZERO) {
        rest.push(event);
    }
    assert!(matches!(rest.last(), Some(Event::Stopped { left: 0 })), "{rest:?}");
}

fn a_server_that_is_away_is_told_with_its_address<A: Adapter>() {
    let address = free_address();
    let url = format!("mqtt://{address}");
    let mut client = A::start(quick(&url)).unwrap();
    for _ in 0..3 {
        connecting(next(&mut client), &url);
        let Event::Disconnected(end) = next(&mut client) else { panic!("no end") };
        assert_eq!(end.why, Why::DialFailed);
        assert!(matches!(&end.cause, Some(Cause::Dial { address: at, .. }) if *at == address), "{end:?}");
        assert!(end.to_string().contains(&address.to_string()), "{end}");
    }
}

fn the_counters_of_packets_add_up<A: Adapter>() {
    let broker = Model::start();
    let mut client = A::connect(quick(&broker.url())).unwrap();
    client.subscribe("n", Qos::ExactlyOnce).unwrap();
    // The subscription, to be made again when the server loses it.
    let kept = client.stats().bytes_kept;
    let mut receipts = Vec::new();
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        for _ in 0..3 {
            receipts.push(client.publish(Publish::new("n", "x").qos(qos)).unwrap());
        }
    }
    for receipt in receipts {
        assert!(client.outcome(receipt).is_success());
    }
    let messages: Vec<Message> = (0..9).map(|_| client.message(CAP).expect("it comes")).collect();
    assert_eq!(messages.iter().filter(|message| message.qos() == Qos::ExactlyOnce).count(), 3);
    // The last PUBCOMP leaves after its message was handed over.
    while client.stats().packets_out.of(PacketType::Pubcomp) < 3 {
        let _ = client.message(Duration::from_millis(5));
    }
    let stats = client.stats();
    let out = |packet| stats.packets_out.of(packet);
    let back = |packet| stats.packets_in.of(packet);
    assert_eq!((out(PacketType::Connect), back(PacketType::Connack)), (1, 1));
    assert_eq!((out(PacketType::Subscribe), back(PacketType::Suback)), (1, 1));
    assert_eq!((out(PacketType::Publish), back(PacketType::Publish)), (9, 9));
    assert_eq!((out(PacketType::Puback), back(PacketType::Puback)), (3, 3));
    assert_eq!((out(PacketType::Pubrec), back(PacketType::Pubrec)), (3, 3));
    assert_eq!((out(PacketType::Pubrel), back(PacketType::Pubrel)), (3, 3));
    assert_eq!((out(PacketType::Pubcomp), back(PacketType::Pubcomp)), (3, 3));
    assert_eq!((stats.packets_out.total(), stats.packets_in.total()), (23, 23));
    assert_eq!((stats.publishes_out, stats.publishes_in, stats.connections), (9, 9, 1));
    assert_eq!((stats.resends, stats.duplicates, stats.unexpected_acks), (0, 0, 0));
    assert_eq!((stats.open, stats.in_flight, stats.queued, stats.bytes_kept), (0, 0, 0, kept));
    client.stop();
    assert_eq!(client.stats().packets_out.of(PacketType::Disconnect), 1);
}

fn the_counters_of_bytes_are_what_the_server_counts<A: Adapter>() {
    let server = Played::start(|line| {
        while let Some(frame) = line.frame() {
            match frame.packet() {
                Packet::Connect(_) => line.send(&Connack::accepted(false)),
                Packet::Publish(publish) => {
                    line.send(&Puback::new(publish.packet_id.expect("QoS 1")));
                    line.send(&Sent::new(TopicName::new("echo").unwrap(), publish.payload));
                }
                Packet::Pingreq(_) => line.send(&Pingresp),
                _ => {}
            }
        }
    });
    let mut client = A::connect(quick(&server.url())).unwrap();
    for len in [0, 1, 100, 5_000] {
        let publish = Publish::new("n", vec![7; len]).qos(Qos::AtLeastOnce);
        let receipt = client.publish(publish).unwrap();
        assert!(matches!(client.outcome(receipt), Outcome::Acked(_)));
        assert_eq!(client.message(CAP).expect("its echo").payload().len(), len);
    }
    client.stop();
    let stats = client.stats();
    mqtt_tests::polls::wait("the server has read all", || server.read() >= stats.bytes_out);
    assert_eq!((stats.bytes_out, stats.bytes_in), (server.read(), server.written()));
}

/// Three ways of driving it, and with each a client made by one thread is stopped by another.
fn another_thread_may_stop_it<A: Adapter + Send + 'static>() {
    let broker = Model::start();
    let mut client = A::connect(quick(&broker.url())).unwrap();
    let receipt = client.publish(Publish::new("n", "x").qos(Qos::ExactlyOnce)).unwrap();
    drop(receipt);
    let (mut client, left) = thread::spawn(move || {
        let left = client.stop();
        (client, left)
    })
    .join()
    .unwrap();
    assert_eq!(left, 0);
    let refused = client.publish(Publish::new("n", "x")).map(drop);
    assert!(matches!(refused, Err(PublishError::Stopped { .. })), "{refused:?}");
}

#[test]
fn a_stop_by_another_thread_ends_every_call_that_waits() {
    use mqtt_adapter_std::{Client, RequestError};
    // It never answers: everybody waits.
    let server = Played::start(|line| {
        while let Some(frame) = line.frame() {
            if matches!(frame.packet(), Packet::Connect(_)) {
                line.send(&Connack::accepted(false));
            }
        }
    });
    let mut options = quick(&server.url());
    options.engine_mut().max_operations = 2;
    let client = Client::connect(options).unwrap();
    let receipt = client.publish(Publish::new("n", "x").qos(Qos::AtLeastOnce)).unwrap();
    thread::scope(|scope| {
        let waits = [
            scope.spawn(|| assert!(client.recv().is_none())),
            scope.spawn(|| assert_eq!(client.subscribe("n", Qos::AtMostOnce), Err(RequestError::Stopped))),
            scope.spawn(|| while client.next_event(None).is_some() {}),
            scope.spawn(|| assert!(client.recv_large().is_none())),
            scope.spawn(|| client.idle()),
        ];
        let full = scope.spawn(|| {
            // Room for one more, which is the subscription's or this one's.
            loop {
                if let Err(error) = client.publish(Publish::new("n", "x").qos(Qos::AtLeastOnce)) {
                    assert!(matches!(error, PublishError::Stopped { .. }), "{error}");
                    return;
                }
            }
        });
        while client.pending() < 2 {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(20));
        client.stop(Duration::ZERO);
        waits.into_iter().for_each(|wait| wait.join().unwrap());
        full.join().unwrap();
    });
    assert_eq!(receipt.wait().unwrap_err().0, Outcome::Stopped);
}
