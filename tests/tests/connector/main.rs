//! Streams of the application's own in place of sockets, in every driver: memory, blocking halves, one piece that is read
//! with a time-out, sockets that somebody else connected.

mod unruly;

use core::net::SocketAddr;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use mqtt_adapter_std::{
    Backoff, ByteStream, Cause, ConnectError, Event, Options, Outcome, Publish, Qos, ReasonCode, Why,
};
use mqtt_sim::broker::BrokerConfig;
use mqtt_sim::memory::MemoryBroker;
use mqtt_tests::adapter::{Adapter, CAP};
use mqtt_tests::drivers;
use mqtt_tests::model::Model;

drivers!(
    memory_in_small_pieces,
    sessions_go_on_across_cuts_of_memory,
    blocking_halves,
    one_piece_with_a_short_time_out,
    a_socket_that_was_connected_elsewhere,
    a_unix_socket_of_ones_own,
    a_connector_that_fails_is_told_and_asked_again,
    a_connector_that_is_late_is_given_up,
    a_panic_of_the_application_fails_that_attempt_alone,
);

fn options() -> Options {
    let mut options = Options::new("mqtt://nowhere.invalid:1").expect("it is a URL");
    let engine = options.engine_mut();
    engine.backoff =
        Backoff { base: Duration::from_millis(5), cap: Duration::from_millis(50), ..engine.backoff };
    options
}

fn over_memory(broker: &MemoryBroker) -> Options {
    let broker = broker.clone();
    options().with_async_connector(move |_| {
        let stream = broker.connect();
        async { stream.map(ByteStream::new) }
    })
}

/// Messages of several sizes come back at each quality of service, in order.
fn echo<A: Adapter>(options: Options) {
    let mut client = A::connect(options).expect("it connects");
    client.subscribe("echo", Qos::ExactlyOnce).expect("it is granted");
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        for size in [0, 1, 5_000, 200_000] {
            let payload: Vec<u8> = (0..size).map(|at: usize| (at * 31 % 251) as u8).collect();
            let receipt = client.publish(Publish::new("echo", &payload).qos(qos)).expect("there is room");
            assert!(client.outcome(receipt).is_success());
            let message = client.message(CAP).expect("it comes back");
            assert_eq!((message.payload(), message.qos()), (&payload[..], qos));
        }
    }
    assert_eq!(client.stop(), 0);
}

fn memory_in_small_pieces<A: Adapter>() {
    let broker = MemoryBroker::new(BrokerConfig::default());
    broker.set_piece(1_000);
    echo::<A>(over_memory(&broker));
    assert_eq!(broker.with(|broker| broker.sessions().count()), 0, "it has said goodbye");
}

fn sessions_go_on_across_cuts_of_memory<A: Adapter>() {
    const COUNT: u32 = 200;
    let broker = MemoryBroker::new(BrokerConfig::default());
    broker.set_piece(7);
    let options = over_memory(&broker).with_client_id("me").with_session_expiry(Duration::MAX);
    let mut client = A::connect(options).expect("it connects");
    client.subscribe("count", Qos::ExactlyOnce).expect("it is granted");
    let mut receipts = Vec::new();
    for number in 0..COUNT {
        let payload = number.to_be_bytes();
        let publish = Publish::new("count", &payload).qos(Qos::ExactlyOnce);
        receipts.push(client.publish(publish).expect("there is room"));
        if number % 20 == 10 {
            broker.cut_all();
        }
    }
    for receipt in receipts {
        let outcome = client.outcome(receipt);
        // After a cut between the two, the server has no PUBREL to answer any more.
        let known = [ReasonCode::Success, ReasonCode::PacketIdentifierNotFound];
        assert!(matches!(outcome, Outcome::Acked(code) if known.contains(&code)), "{outcome:?}");
    }
    for number in 0..COUNT {
        assert_eq!(client.message(CAP).expect("it comes").payload(), number.to_be_bytes());
    }
    assert_eq!(client.stop(), 0);
}

fn connect(address: SocketAddr, within: Duration) -> io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&address, within)?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

fn blocking_halves<A: Adapter>() {
    /// Closes the connection when it is dropped, which ends the reader too.
    struct Writer(TcpStream);

    impl io::Write for Writer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Drop for Writer {
        fn drop(&mut self) {
            let _ = self.0.shutdown(std::net::Shutdown::Both);
        }
    }

    let broker = Model::start();
    let address = broker.address();
    echo::<A>(options().with_connector(move |to| {
        let socket = connect(address, to.left())?;
        ByteStream::blocking(socket.try_clone()?, Writer(socket))
    }));
}

fn one_piece_with_a_short_time_out<A: Adapter>() {
    let broker = Model::start();
    let address = broker.address();
    echo::<A>(options().with_connector(move |to| {
        let socket = connect(address, to.left())?;
        socket.set_read_timeout(Some(Duration::from_millis(2)))?;
        ByteStream::polled(socket)
    }));
}

fn a_socket_that_was_connected_elsewhere<A: Adapter>() {
    let broker = Model::start();
    let address = broker.address();
    echo::<A>(options().with_connector(move |to| {
        assert_eq!((to.server.host(), to.server.port()), ("nowhere.invalid", 1));
        connect(address, to.left()).map(ByteStream::from)
    }));
}

fn a_unix_socket_of_ones_own<A: Adapter>() {
    #[cfg(unix)]
    {
        use std::os::unix::net::UnixStream;
        let broker = Model::start();
        let address = broker.address();
        echo::<A>(options().with_connector(move |to| {
            // A pair, the other end of which somebody joins to the broker.
            let (ours, theirs) = UnixStream::pair()?;
            let socket = connect(address, to.left())?;
            let (mut from, mut to) = (theirs.try_clone()?, socket.try_clone()?);
            thread::spawn(move || {
                io::copy(&mut from, &mut to).and_then(|_| to.shutdown(std::net::Shutdown::Write))
            });
            let (mut from, mut to) = (socket, theirs);
            thread::spawn(move || {
                io::copy(&mut from, &mut to).and_then(|_| to.shutdown(std::net::Shutdown::Both))
            });
            Ok(ours.into())
        }));
    }
}

fn a_connector_that_fails_is_told_and_asked_again<A: Adapter>() {
    let broker = MemoryBroker::new(BrokerConfig::default());
    broker.set_reachable(false);
    let Err(ConnectError::Failed(end)) = A::connect(over_memory(&broker)) else { panic!("connected") };
    assert_eq!(end.why, Why::DialFailed);
    let Some(Cause::Connector { server, kind, .. }) = &end.cause else { panic!("{end:?}") };
    assert_eq!((server.as_str(), *kind), ("mqtt://nowhere.invalid:1", ErrorKind::ConnectionRefused));

    let calls = Arc::new(AtomicU32::new(0));
    let options = options().with_connector({
        let (broker, calls) = (broker.clone(), Arc::clone(&calls));
        move |to| {
            let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
            assert_eq!(to.number, call);
            broker.set_reachable(call == 3);
            broker.connect().map(ByteStream::new)
        }
    });
    let mut client = A::start(options).expect("the options are good");
    loop {
        if let Event::Connected(_) = client.event(CAP).expect("it comes up") {
            break;
        }
    }
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    assert_eq!(client.stop(), 0);
}

fn a_connector_that_is_late_is_given_up<A: Adapter>() {
    let broker = MemoryBroker::new(BrokerConfig::default());
    let mut options = options().with_connector({
        let broker = broker.clone();
        move |to| {
            thread::sleep(to.left() + Duration::from_millis(50));
            broker.connect().map(ByteStream::new)
        }
    });
    options.engine_mut().dial_timeout = Duration::from_millis(50);
    let begin = Instant::now();
    let Err(ConnectError::Failed(end)) = A::connect(options) else { panic!("connected") };
    assert!(matches!(end.why, Why::DialTimeout | Why::DialFailed), "{end}");
    assert!(begin.elapsed() < CAP);
}

fn a_panic_of_the_application_fails_that_attempt_alone<A: Adapter>() {
    let broker = MemoryBroker::new(BrokerConfig::default());
    let hooked = || {
        options().with_before_connect(|attempt, options| {
            assert_ne!(attempt.number, 1, "planned: the hook");
            Ok(options)
        })
    };
    let blocking = hooked().with_connector({
        let broker = broker.clone();
        move |to| {
            assert_ne!(to.number, 2, "planned: the connector");
            broker.connect().map(ByteStream::new)
        }
    });
    let later = hooked().with_async_connector(move |to| {
        let (broker, number) = (broker.clone(), to.number);
        async move {
            assert_ne!(number, 2, "planned: the future of the connector");
            broker.connect().map(ByteStream::new)
        }
    });
    for options in [blocking, later] {
        let mut client = A::start(options).expect("the options are good");
        let mut failed = 0;
        loop {
            match client.event(CAP).expect("it comes up") {
                Event::Connected(_) => break,
                Event::Disconnected(end) => {
                    assert!(matches!(end.cause, Some(Cause::Hook { .. })), "{end:?}");
                    failed += 1;
                }
                _ => {}
            }
        }
        assert_eq!((failed, client.stop()), (2, 0));
    }
}
