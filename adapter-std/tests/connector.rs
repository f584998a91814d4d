//! TLS and WebSocket over a stream of the application's own.

#![cfg(all(feature = "tls", feature = "ws"))]

#[path = "../../adapter-core/tests/peer/mod.rs"]
mod peer;
#[path = "../../adapter-core/tests/peer/tls.rs"]
mod tls;
#[path = "../../adapter-core/tests/peer/ws.rs"]
mod ws;

use core::time::Duration;
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;

use mqtt_adapter_std::{
    ByteStream, Cause, Client, ConnectError, Options, Outcome, Publish, Qos, ReasonCode, Tls, Why,
};
use peer::{Got, Link, PATIENCE, Server};
use tls::Authority;

/// Options that connect to the server by two blocking halves, and ask it for what the scheme says.
fn options(server: &Server, url: &str, tls: Option<&Authority>) -> Options {
    let address = server.address();
    let mut options = Options::new(url).unwrap().with_connector(move |to| {
        let socket = TcpStream::connect_timeout(&address, to.left())?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        ByteStream::blocking(socket.try_clone()?, socket)
    });
    if let Some(authority) = tls {
        options = options.with_tls(Tls::builder().roots_pem(&authority.pem()).unwrap().build().unwrap());
    }
    options.engine_mut().max_packet_in = 1 << 24;
    options
}

fn echo(link: &mut Link) -> Got {
    link.welcome(false);
    loop {
        match link.next() {
            Got::Publish { payload, id, .. } => {
                link.puback(id);
                link.publish("echo", &payload, Qos::AtMostOnce, 0);
            }
            Got::Disconnect(_) => return link.next(),
            got => panic!("{got:?}"),
        }
    }
}

fn calls(options: Options) {
    let client = Client::connect(options).unwrap();
    for size in [0, 1, 16_385, 1_000_000] {
        let payload: Vec<u8> = (0..size).map(|at: usize| (at * 31 % 251) as u8).collect();
        let receipt = client.publish(Publish::new("call", &payload).qos(Qos::AtLeastOnce)).unwrap();
        assert_eq!(client.recv_timeout(PATIENCE).unwrap().payload(), payload, "{size} bytes");
        assert_eq!(receipt.wait(), Ok(Outcome::Acked(ReasonCode::Success)));
    }
    assert_eq!(client.stop(PATIENCE), 0);
}

#[test]
fn tls_runs_over_a_stream_of_ones_own() {
    let authority = Authority::new();
    let config = tls::server(&authority.issue("broker.example"), None);
    let server = Server::new();
    let options = options(&server, "mqtts://broker.example", Some(&authority));
    let script = thread::spawn(move || echo(&mut tls::link(&config, server.accept_socket()).unwrap()));
    calls(options);
    assert_eq!(script.join().unwrap(), Got::End);
}

#[test]
fn websocket_runs_over_a_stream_of_ones_own() {
    let server = Server::new();
    let options = options(&server, "ws://broker.example/mqtt", None);
    let script = thread::spawn(move || {
        let (mut link, asked, _) = ws::link(server.accept_socket(), 10_000);
        assert_eq!((asked.path.as_str(), asked.protocol.as_str()), ("/mqtt", "mqtt"));
        echo(&mut link)
    });
    calls(options);
    assert_eq!(script.join().unwrap(), Got::End);
}

#[test]
fn a09_a_certificate_for_another_name_is_refused_over_a_stream_of_ones_own() {
    let authority = Authority::new();
    let config = tls::server(&authority.issue("localhost"), None);
    let server = Server::new();
    let options = options(&server, "mqtts://broker.example", Some(&authority));
    let script =
        thread::spawn(move || tls::link(&config, server.accept_socket()).map(|mut link| link.next()));
    let Err(ConnectError::Failed(end)) = Client::connect(options) else { panic!("connected") };
    assert_eq!(end.why, Why::DialFailed);
    let Some(Cause::Connector { detail, .. }) = &end.cause else { panic!("{end:?}") };
    assert!(detail.starts_with("TLS: ") && detail.contains("not valid for name"), "{detail}");
    assert!(script.join().unwrap().map_or(true, |got| got == Got::End), "nothing was said in plaintext");
}

#[test]
fn threads_of_blocking_halves_end_with_the_connection() {
    /// Tells when it is dropped.
    struct Half(TcpStream, #[expect(dead_code, reason = "it is dropped")] mpsc::Sender<()>);

    impl std::io::Read for Half {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl std::io::Write for Half {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let server = Server::new();
    let (address, (alive, gone)) = (server.address(), mpsc::channel());
    let options = Options::new("mqtt://nowhere.invalid").unwrap().with_connector(move |_| {
        let socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(Duration::from_millis(5)))?;
        ByteStream::blocking(Half(socket.try_clone()?, alive.clone()), Half(socket, alive.clone()))
    });
    let script = thread::spawn(move || {
        let mut link = server.welcome(false);
        let got = link.next();
        // The client's side stays open as long as this one.
        (got, link)
    });
    let client = Client::connect(options).unwrap();
    client.stop(PATIENCE);
    drop(client);
    let (got, link) = script.join().unwrap();
    assert!(matches!(got, Got::Disconnect(_)));
    // The connector's own sender goes with the options, those of the halves with their threads.
    assert_eq!(gone.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
    drop(link);
}
