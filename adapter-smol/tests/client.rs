//! The async client, against a server with a script on a thread of its own.

#[path = "../../adapter-core/tests/peer/mod.rs"]
mod peer;

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::ErrorKind;
use std::thread;

use futures_lite::{StreamExt, future};
use mqtt_adapter_smol::{
    Cause, Client, ConnectError, Connection, Event, Failed, Options, Outcome, Properties, Publish,
    PublishError, Qos, ReasonCode, RecvError, RequestError, Version, Why, connect,
};
use mqtt_proto::Connack;
use peer::{Got, Link, PATIENCE, Server};

fn options(server: &Server) -> Options {
    let mut options = Options::new(&server.url()).unwrap().with_linger(PATIENCE);
    options.engine_mut().backoff.base = Duration::from_millis(5);
    options.engine_mut().backoff.cap = Duration::from_millis(20);
    options
}

/// Runs `application` beside its connection, without an executor, until the application is done.
fn run<R>(connection: Connection, application: impl Future<Output = R>) -> R {
    let forever = async {
        connection.await;
        future::pending().await
    };
    let patience = async {
        async_io::Timer::after(PATIENCE).await;
        panic!("it hangs")
    };
    future::block_on(future::or(application, future::or(forever, patience)))
}

/// Runs `application` with a client that a server with this script has accepted.
fn with<R, F: Future<Output = R>>(
    change: impl FnOnce(Options) -> Options,
    script: impl FnOnce(Server, Link) + Send + 'static,
    application: impl FnOnce(Client) -> F,
) -> R {
    let server = Server::new();
    let (client, connection) = connect(change(options(&server))).unwrap();
    let script = thread::spawn(move || {
        let link = server.welcome(false);
        script(server, link);
    });
    let result = run(connection, async {
        client.connected().await.unwrap();
        application(client).await
    });
    script.join().unwrap();
    result
}

fn failed(options: Options) -> mqtt_adapter_smol::Disconnected {
    let (client, connection) = connect(options).unwrap();
    match run(connection, client.connected()) {
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
    let Some(Cause::Dial { address: tried, kind, .. }) = end.cause else { panic!("{end:?}") };
    assert_eq!((tried, kind), (address, ErrorKind::ConnectionRefused));
}

#[test]
fn a_refused_connack_is_an_error_with_its_reason() {
    for version in [Version::V3_1, Version::V3_1_1, Version::V5] {
        let server = Server::new();
        let options = options(&server).with_version(version);
        let script = thread::spawn(move || {
            let mut link = server.accept();
            link.connect();
            link.send(&Connack::refused(ReasonCode::NotAuthorized));
        });
        assert_eq!(failed(options).why, Why::Refused(ReasonCode::NotAuthorized));
        script.join().unwrap();
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
fn ipv6_and_host_names_work() {
    for (listen, host) in [("[::1]:0", "[::1]"), ("127.0.0.1:0", "localhost")] {
        let server = Server::at(listen);
        let url = format!("mqtt://{host}:{}", server.address().port());
        let (client, connection) = connect(Options::new(&url).unwrap()).unwrap();
        let script = thread::spawn(move || server.welcome(false));
        run(connection, client.connected()).unwrap();
        script.join().unwrap();
    }
}

#[test]
fn broken_bytes_are_an_error_and_end_only_the_connection() {
    with(
        |options| options,
        |server, mut link| {
            link.send_bytes(&[0x36, 0x05, 0x00, 0x01, b'a', 0x00, 0x01]);
            assert_eq!(link.next(), Got::Disconnect(ReasonCode::MalformedPacket));
            assert_eq!(link.next(), Got::End);
            assert_eq!(server.welcome(false).next(), Got::Disconnect(ReasonCode::Success));
        },
        |client| async move {
            loop {
                if let Event::Disconnected(end) = client.next_event().await.unwrap() {
                    assert!(matches!(end.why, Why::Malformed(_)), "{end:?}");
                    break;
                }
            }
            client.connected().await.unwrap();
            client.stop(PATIENCE).await
        },
    );
}

#[test]
fn one_task_publishes_subscribes_and_receives() {
    with(
        |options| options,
        |_server, mut link| {
            let Got::Subscribe { id, filters } = link.next() else { panic!("no subscribe") };
            assert_eq!(filters, ["a/#"]);
            link.suback(id, &[ReasonCode::GrantedQos2]);
            let Got::Publish { payload, id, .. } = link.next() else { panic!("no publish") };
            link.puback(id);
            link.publish("a/b", &payload, Qos::ExactlyOnce, 7);
            assert_eq!(link.next(), Got::Pubrec(7));
            link.pubrel(7);
            // The application may unsubscribe before PUBREL has come.
            for _ in 0..2 {
                match link.next() {
                    Got::Pubcomp(7) => {}
                    Got::Unsubscribe { id, .. } => link.unsuback(id, &[ReasonCode::NoSubscriptionExisted]),
                    got => panic!("{got:?}"),
                }
            }
            assert_eq!(link.next(), Got::Disconnect(ReasonCode::Success));
            assert_eq!(link.next(), Got::End);
        },
        |client| async move {
            assert_eq!(client.subscribe("a/#", Qos::ExactlyOnce).await, Ok(ReasonCode::GrantedQos2));
            let receipt = client.publish(Publish::new("b", "hello").qos(Qos::AtLeastOnce)).await.unwrap();
            assert_eq!(receipt.await, Ok(Outcome::Acked(ReasonCode::Success)));
            let message = client.messages().next().await.unwrap();
            assert_eq!((message.topic(), message.payload()), ("a/b", &b"hello"[..]));
            assert_eq!(client.unsubscribe("a/#").await, Ok(ReasonCode::NoSubscriptionExisted));
            assert_eq!(client.stop(PATIENCE).await, 0);
            assert_eq!(client.recv().await, None);
            assert_eq!(client.try_recv(), Err(RecvError::Stopped));
            let stopped = client.publish(Publish::new("a", "x")).await;
            assert!(matches!(stopped, Err(PublishError::Stopped { .. })));
            assert_eq!(client.subscribe("a", Qos::AtMostOnce).await, Err(RequestError::Stopped));
        },
    );
}

#[test]
fn wrong_topics_and_filters_are_errors() {
    let server = Server::new();
    let (client, connection) = connect(options(&server)).unwrap();
    run(connection, async {
        assert!(matches!(client.subscribe("a/#/b", Qos::AtMostOnce).await, Err(RequestError::Filter(_))));
        let none = client.request_subscribe(&[], Properties::EMPTY);
        assert!(matches!(none, Err(RequestError::Rejected(_))));
        let error = client.publish(Publish::new("a/+", String::from("mine"))).await.unwrap_err();
        assert_eq!(error.into_payload().as_deref(), Some(&b"mine"[..]));
    });
}

#[test]
fn a_cut_in_the_middle_is_resumed_and_the_receipts_end_well() {
    with(
        |options| options.with_session_expiry(Duration::from_secs(60)),
        |server, mut link| {
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
        },
        |client| async move {
            let mut receipts = Vec::new();
            for number in 0..10_u8 {
                receipts.push(
                    client.publish(Publish::new("a", vec![number]).qos(Qos::AtLeastOnce)).await.unwrap(),
                );
            }
            for receipt in receipts {
                assert_eq!(receipt.await, Ok(Outcome::Acked(ReasonCode::Success)));
            }
            client.idle().await;
        },
    );
}

#[test]
fn a_publish_waits_for_room_and_a_cancelled_one_was_never_accepted() {
    with(
        |mut options| {
            options.engine_mut().max_operations = 1;
            options
        },
        |_server, mut link| {
            for expected in ["one", "three"] {
                let Got::Publish { id, payload, .. } = link.next() else { panic!("no publish") };
                assert_eq!(payload, expected.as_bytes());
                link.puback(id);
            }
            assert_eq!(link.next(), Got::Disconnect(ReasonCode::Success));
        },
        |client| async move {
            let publish = |text: &'static str| client.publish(Publish::new("a", text).qos(Qos::AtLeastOnce));
            let first = publish("one").await.unwrap();
            if client.pending() == 1 {
                // Dropped while it waits, if the server has not answered yet.
                let waiting = future::poll_once(publish("two")).await;
                if let Some(accepted) = waiting {
                    // The server was quick: take it back.
                    assert!(client.cancel(accepted.unwrap().token().unwrap()));
                }
            }
            let third = publish("three").await.unwrap();
            assert!(first.await.is_ok());
            assert!(third.await.is_ok());
            client.stop(PATIENCE).await;
        },
    );
}

/// Ready with `None` if the future is still pending when it has been polled this often.
struct Polls<F>(F, usize);

impl<F: Future + Unpin> Future for Polls<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self(future, left) = &mut *self;
        match Pin::new(future).poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if *left == 0 => Poll::Ready(None),
            Poll::Pending => {
                *left -= 1;
                // Whether anything happens or not: the next poll is soon.
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

#[test]
fn dropping_any_future_at_any_poll_loses_and_doubles_nothing() {
    const ROUNDS: usize = 40;
    with(
        |options| options,
        |_server, mut link| {
            // Subscriptions are answered, publishes acknowledged and sent back.
            let mut id = 0;
            loop {
                match link.next_but_pings() {
                    Got::Subscribe { id, .. } => link.suback(id, &[ReasonCode::GrantedQos1]),
                    Got::Publish { payload, id: published, .. } => {
                        link.puback(published);
                        id = id % 60_000 + 1;
                        link.publish("echo", &payload, Qos::AtLeastOnce, id);
                    }
                    Got::Puback(_) => {}
                    Got::Disconnect(_) => return,
                    got => panic!("{got:?}"),
                }
            }
        },
        |client| async move {
            let mut echoes = client.messages();
            let mut sent = Vec::new();
            let mut heard = Vec::new();
            for round in 0..ROUNDS {
                for polls in 0..6 {
                    let number = (round * 6 + polls) as u32;
                    // Subscribing, cancelled.
                    let _ = Polls(Box::pin(client.subscribe("echo", Qos::AtLeastOnce)), polls).await;
                    // Publishing: there is room, so it is accepted at the first poll or never.
                    let publish = Publish::new("call", number.to_be_bytes().to_vec()).qos(Qos::AtLeastOnce);
                    let receipt = Polls(Box::pin(client.publish(publish)), polls).await;
                    sent.push(number);
                    // The answer, cancelled.
                    let _ = Polls(receipt.unwrap().unwrap(), polls).await;
                    // Receiving, cancelled: what was not returned is returned later.
                    heard.extend(Polls(Box::pin(client.recv()), polls).await.flatten());
                    heard.extend(Polls(echoes.next(), polls).await.flatten());
                    let _ = Polls(Box::pin(client.idle()), polls).await;
                    let _ = Polls(Box::pin(client.next_event()), 0).await;
                }
            }
            while heard.len() < sent.len() {
                heard.push(client.recv().await.unwrap());
            }
            let heard: Vec<u32> = heard
                .iter()
                .map(|message| u32::from_be_bytes(message.payload().try_into().unwrap()))
                .collect();
            assert_eq!(heard, sent);
            client.idle().await;
            // The stop goes on though nobody waits for it.
            let _ = Polls(Box::pin(client.stop(PATIENCE)), 0).await;
            while client.next_event().await.is_some() {}
        },
    );
}

#[test]
fn a_connection_that_is_dropped_ends_whoever_waits() {
    let server = Server::new();
    let (client, mut connection) = connect(options(&server)).unwrap();
    let script = thread::spawn(move || {
        let mut link = server.welcome(false);
        // Whether it left or was still gathered with others when the connection was dropped.
        if matches!(link.next(), Got::Publish { .. }) {
            assert_eq!(link.next(), Got::End);
        }
    });
    let receipt = future::block_on(future::or(
        async {
            client.connected().await.unwrap();
            Some(client.publish(Publish::new("a", "x").qos(Qos::AtLeastOnce)).await.unwrap())
        },
        async {
            (&mut connection).await;
            None
        },
    ));
    let receipt = receipt.unwrap();
    drop(connection);
    assert_eq!(future::block_on(receipt), Err(Failed(Outcome::Stopped)));
    assert_eq!(future::block_on(client.recv()), None);
    assert!(matches!(future::block_on(client.connected()), Err(ConnectError::Stopped)));
    assert_eq!(future::block_on(client.stop(PATIENCE)), 1);
    script.join().unwrap();
}

#[test]
fn the_connection_ends_when_the_last_handle_goes_and_has_delivered_what_was_accepted() {
    let server = Server::new();
    let (client, connection) = connect(options(&server)).unwrap();
    let script = thread::spawn(move || server.welcome(false).serve());
    let other = client.clone();
    let application = async {
        client.connected().await.unwrap();
        drop(client);
        for _ in 0..100 {
            drop(other.publish(Publish::new("a", "x").qos(Qos::ExactlyOnce)).await.unwrap());
        }
        drop(other);
    };
    future::block_on(future::zip(application, connection));
    let all = script.join().unwrap();
    assert_eq!(all.iter().filter(|got| matches!(got, Got::Pubcomp(_))).count(), 100);
    assert_eq!(all.last(), Some(&Got::Disconnect(ReasonCode::Success)));
}

#[test]
fn handles_on_other_threads_wake_the_connection() {
    with(
        |options| options,
        |_server, mut link| {
            link.serve();
        },
        |client| async move {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let client = client.clone();
                    thread::spawn(move || {
                        for _ in 0..500 {
                            let publish = Publish::new("a", "x").qos(Qos::AtLeastOnce);
                            let outcome =
                                future::block_on(async { client.publish(publish).await.unwrap().await });
                            assert!(outcome.is_ok());
                        }
                    })
                })
                .collect();
            while client.stats().publishes_out < 2_000 {
                async_io::Timer::after(Duration::from_millis(1)).await;
            }
            client.idle().await;
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(client.stop(PATIENCE).await, 0);
        },
    );
}

#[test]
fn a_slow_application_stops_neither_pings_nor_the_answers_it_waits_for() {
    with(
        |options| options.with_inbox_bytes(64 * 1024).with_keep_alive(Duration::from_secs(1)),
        |_server, mut link| {
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
                        assert!(pings >= 1, "no ping in two intervals");
                        link.puback(id);
                    }
                    Got::Puback(_) => {}
                    Got::Disconnect(_) => return,
                    got => panic!("{got:?}"),
                }
            }
        },
        |client| async move {
            async_io::Timer::after(Duration::from_millis(2_500)).await;
            assert!(client.is_connected());
            // The answer to this lies behind all that was not read.
            let receipt = client.publish(Publish::new("a", "x").qos(Qos::AtLeastOnce)).await.unwrap();
            assert_eq!(receipt.await, Ok(Outcome::Acked(ReasonCode::Success)));
            for _ in 0..1_000 {
                assert_eq!(client.recv().await.unwrap().payload().len(), 1_000);
            }
            client.stop(PATIENCE).await;
        },
    );
}

#[test]
fn no_public_value_shows_a_secret() {
    let server = Server::new();
    let url = format!("mqtt://me:canary@{}", server.address());
    let (client, connection) = connect(Options::new(&url).unwrap()).unwrap();
    let shown = format!("{client:?} {connection:?} {:?}", client.messages());
    assert!(shown.contains("me"));
    assert!(!shown.contains("canary"), "{shown}");
}
