//! TLS and WebSocket over a stream of the application's own, in the async client.

#![cfg(all(feature = "tls", feature = "ws"))]

#[path = "../../adapter-core/tests/peer/mod.rs"]
mod peer;
#[path = "../../adapter-core/tests/peer/tls.rs"]
mod tls;
#[path = "../../adapter-core/tests/peer/ws.rs"]
mod ws;

use std::net::TcpStream;
use std::thread;

use async_io::Async;
use futures_lite::future;
use mqtt_adapter_smol::{
    ByteStream, Cause, Client, ConnectError, Connection, Options, Outcome, Publish, Qos, ReasonCode, Tls,
    Why, connect,
};
use peer::{Got, Link, PATIENCE, Server};
use tls::Authority;

/// A client that connects to the server by an async stream, and asks it for what the scheme says.
fn client(server: &Server, url: &str, tls: Option<&Authority>) -> (Client, Connection) {
    let address = server.address();
    let mut options = Options::new(url).unwrap().with_async_connector(move |_| async move {
        Async::<TcpStream>::connect(address).await.map(ByteStream::new)
    });
    if let Some(authority) = tls {
        options = options.with_tls(Tls::builder().roots_pem(&authority.pem()).unwrap().build().unwrap());
    }
    options.engine_mut().max_packet_in = 1 << 24;
    connect(options).unwrap()
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

fn calls((client, connection): (Client, Connection)) {
    let application = async {
        client.connected().await.unwrap();
        for size in [0, 1, 16_385, 1_000_000] {
            let payload: Vec<u8> = (0..size).map(|at: usize| (at * 31 % 251) as u8).collect();
            let receipt = client.publish(Publish::new("call", &payload).qos(Qos::AtLeastOnce)).await.unwrap();
            assert_eq!(client.recv().await.unwrap().payload(), payload, "{size} bytes");
            assert_eq!(receipt.await, Ok(Outcome::Acked(ReasonCode::Success)));
        }
        assert_eq!(client.stop(PATIENCE).await, 0);
    };
    future::block_on(future::zip(application, connection));
}

#[test]
fn tls_runs_over_a_stream_of_ones_own() {
    let authority = Authority::new();
    let config = tls::server(&authority.issue("broker.example"), None);
    let server = Server::new();
    let client = client(&server, "mqtts://broker.example", Some(&authority));
    let script = thread::spawn(move || echo(&mut tls::link(&config, server.accept_socket()).unwrap()));
    calls(client);
    assert_eq!(script.join().unwrap(), Got::End);
}

#[test]
fn websocket_runs_over_a_stream_of_ones_own() {
    let server = Server::new();
    let client = client(&server, "ws://broker.example/mqtt", None);
    let script = thread::spawn(move || {
        let (mut link, asked, _) = ws::link(server.accept_socket(), 10_000);
        assert_eq!((asked.path.as_str(), asked.protocol.as_str()), ("/mqtt", "mqtt"));
        echo(&mut link)
    });
    calls(client);
    assert_eq!(script.join().unwrap(), Got::End);
}

#[test]
fn a09_a_certificate_for_another_name_is_refused_over_a_stream_of_ones_own() {
    let authority = Authority::new();
    let config = tls::server(&authority.issue("localhost"), None);
    let server = Server::new();
    let (client, connection) = client(&server, "mqtts://broker.example", Some(&authority));
    let script =
        thread::spawn(move || tls::link(&config, server.accept_socket()).map(|mut link| link.next()));
    let application = async {
        let Err(ConnectError::Failed(end)) = client.connected().await else { panic!("connected") };
        client.stop(PATIENCE).await;
        end
    };
    let (end, ()) = future::block_on(future::zip(application, connection));
    assert_eq!(end.why, Why::DialFailed);
    let Some(Cause::Connector { detail, .. }) = &end.cause else { panic!("{end:?}") };
    assert!(detail.starts_with("TLS: ") && detail.contains("not valid for name"), "{detail}");
    assert!(script.join().unwrap().map_or(true, |got| got == Got::End), "nothing was said in plaintext");
}
