//! MQTT over WebSocket.

#![cfg(feature = "ws")]

#[path = "../../adapter-core/tests/peer/mod.rs"]
mod peer;
#[path = "../../adapter-core/tests/peer/ws.rs"]
mod ws;

use std::io::{Read, Write};
use std::thread;

use mqtt_adapter_std::{
    Cause, Client, ConnectError, Event, Options, Outcome, Publish, Qos, ReasonCode, Stop, Why,
};
use peer::{Got, PATIENCE, Server};

fn options(server: &Server) -> Options {
    let mut options = Options::new(&format!("ws://{}/mqtt?x=1", server.address())).unwrap();
    options.engine_mut().backoff.base = core::time::Duration::from_millis(5);
    options.engine_mut().max_packet_in = 1 << 24;
    options
}

/// Acknowledges and sends back, in frames of at most so many bytes.
fn echo(server: &Server, frame: usize) -> (ws::Asked, Vec<usize>) {
    let (mut link, asked, lengths) = ws::link(server.accept_socket(), frame);
    link.welcome(false);
    loop {
        match link.next() {
            Got::Publish { payload, id, .. } => {
                link.puback(id);
                link.publish("echo", &payload, Qos::AtMostOnce, 0);
            }
            Got::Disconnect(_) => break,
            got => panic!("{got:?}"),
        }
    }
    assert_eq!(link.next(), Got::End);
    let lengths = lengths.lock().unwrap().clone();
    (asked, lengths)
}

#[test]
fn messages_of_every_size_pass_both_ways_in_frames_that_are_never_empty() {
    let server = Server::new();
    let options = options(&server).with_ws_header("Authorization", "Bearer canary");
    assert!(!format!("{options:?}").contains("canary"));
    let script = thread::spawn(move || echo(&server, usize::MAX));
    let client = Client::connect(options).unwrap();
    for size in [0, 1, 125, 126, 65_535, 65_536, 300_000, 3_000_000] {
        let payload: Vec<u8> = (0..size).map(|at: usize| (at * 31 % 251) as u8).collect();
        let receipt = client.publish(Publish::new("call", &payload).qos(Qos::AtLeastOnce)).unwrap();
        assert_eq!(client.recv_timeout(PATIENCE).unwrap().payload(), payload, "{size} bytes");
        assert_eq!(receipt.wait(), Ok(Outcome::Acked(ReasonCode::Success)));
    }
    assert_eq!(client.stop(PATIENCE), 0);
    let (asked, lengths) = script.join().unwrap();
    assert_eq!((asked.path.as_str(), asked.protocol.as_str()), ("/mqtt?x=1", "mqtt"));
    assert_eq!(asked.authorization.as_deref(), Some("Bearer canary"));
    assert!(!lengths.contains(&0));
}

#[test]
fn packets_may_be_spread_over_frames_of_one_byte() {
    let server = Server::new();
    let options = options(&server);
    let script = thread::spawn(move || echo(&server, 1));
    let client = Client::connect(options).unwrap();
    for size in [0, 1, 300] {
        let payload = vec![7; size];
        client.publish(Publish::new("call", &payload).qos(Qos::AtLeastOnce)).unwrap();
        assert_eq!(client.recv_timeout(PATIENCE).unwrap().payload(), payload);
    }
    client.stop(PATIENCE);
    script.join().unwrap();
}

#[test]
fn a_burst_travels_in_few_frames() {
    let server = Server::new();
    let options = options(&server);
    let script = thread::spawn(move || {
        let (mut link, _, lengths) = ws::link(server.accept_socket(), usize::MAX);
        link.welcome(false);
        let mut messages = 0;
        while matches!(link.next(), Got::Publish { .. }) {
            messages += 1;
        }
        let count = lengths.lock().unwrap().len();
        (messages, count)
    });
    let client = Client::connect(options).unwrap();
    for _ in 0..10_000 {
        client.publish(Publish::new("a", "x")).unwrap();
    }
    assert_eq!(client.stop(PATIENCE), 0);
    let (messages, frames) = script.join().unwrap();
    assert_eq!(messages, 10_000);
    assert!(frames < 5_000, "{frames} frames for 10,000 messages");
}

#[test]
fn a_server_that_is_none_for_websockets_is_an_error() {
    let server = Server::new();
    let options = options(&server);
    let script = thread::spawn(move || {
        let mut socket = server.accept_socket();
        let mut bytes = [0; 1_024];
        let read = socket.read(&mut bytes).unwrap();
        socket.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
        (bytes[..read].to_vec(), rest)
    });
    let Err(ConnectError::Failed(end)) = Client::connect(options) else { panic!("connected") };
    assert_eq!(end.why, Why::DialFailed);
    assert!(matches!(&end.cause, Some(Cause::WebSocket { detail, .. }) if detail.contains("404")), "{end}");
    let (request, rest) = script.join().unwrap();
    assert!(request.starts_with(b"GET /mqtt?x=1 HTTP/1.1\r\n"));
    assert_eq!(rest, b"");
}

#[test]
fn a_text_frame_ends_the_connection_and_a_ping_is_answered() {
    let server = Server::new();
    let options = options(&server);
    let script = thread::spawn(move || ws::text_after_connack(server.accept_socket()));
    let client = Client::connect(options).unwrap();
    let end = loop {
        if let Event::Disconnected(end) = client.next_event(Some(PATIENCE)).unwrap() {
            break end;
        }
    };
    assert_eq!(end.why, Why::TransportFailed);
    assert!(end.to_string().contains("text frame"), "{end}");
    client.stop_with(Stop::now()).unwrap();
    script.join().unwrap();
}

#[test]
fn headers_that_are_none_are_an_error_before_anything_is_sent() {
    let server = Server::new();
    let options = options(&server).with_ws_header("no header", "x\r\ny");
    let script = thread::spawn(move || {
        let mut rest = Vec::new();
        let _ = server.accept_socket().read_to_end(&mut rest);
        rest
    });
    assert!(matches!(Client::connect(options), Err(ConnectError::Failed(_))));
    assert_eq!(script.join().unwrap(), b"");
}
