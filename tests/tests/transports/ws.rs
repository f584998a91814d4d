//! MQTT over WebSocket.

use std::io::{Read, Write};
use std::net::TcpStream;

use mqtt_adapter_std::{Cause, ConnectError, Options, Publish, Why};
use mqtt_tests::adapter::Adapter;
use mqtt_tests::drivers;

use crate::common::{self, SIZES, calls, disconnected, echo, refused, rest, script};
use crate::peer::{Got, Server};
use crate::ws_server;

drivers!(
    /// [5.0 MQTT-6.0.0-1] [5.0 MQTT-6.0.0-3] [3.1.1 MQTT-6.0.0-1] [3.1.1 MQTT-6.0.0-3]
    payloads_of_every_size,
    /// [5.0 MQTT-6.0.0-2] [3.1.1 MQTT-6.0.0-2]
    frames_of_one_byte,
    a_batch_is_a_frame,
    a_server_that_is_none_for_websockets,
    a_server_without_the_sub_protocol,
    a_text_frame,
    headers_that_are_none,
);

fn options(server: &Server) -> Options {
    common::options(&format!("ws://{}/mqtt?x=1", server.address()))
}

/// In frames that are never empty, with what was asked for in the request.
fn payloads_of_every_size<A: Adapter>() {
    let server = Server::new();
    let options =
        options(&server).with_ws_header("Authorization", "Bearer canary").with_ws_header("X-Site", "4");
    assert!(!format!("{options:?}").contains("canary"));
    let script = script(server, |server| {
        let (mut link, asked, lengths) = ws_server::link(server.accept_socket(), usize::MAX);
        echo(&mut link);
        (asked, lengths.lock().unwrap().clone())
    });
    calls::<A>(options, &SIZES);
    let (asked, lengths) = script.join().unwrap();
    assert_eq!((asked.path.as_str(), asked.protocol.as_str()), ("/mqtt?x=1", "mqtt"));
    assert_eq!(asked.authorization.as_deref(), Some("Bearer canary"));
    assert!(!lengths.contains(&0));
}

/// Packets may be spread over frames in any way.
fn frames_of_one_byte<A: Adapter>() {
    let server = Server::new();
    let options = options(&server);
    let script = script(server, |server| echo(&mut ws_server::link(server.accept_socket(), 1).0));
    calls::<A>(options, &[0, 1, 300]);
    script.join().unwrap();
}

/// What waits when the connection comes up leaves in one frame.
fn a_batch_is_a_frame<A: Adapter>() {
    const COUNT: usize = 1_000;
    let server = Server::new();
    let options = options(&server);
    let (go, wait) = std::sync::mpsc::channel();
    let script = script(server, move |server| {
        let socket = server.accept_socket();
        // The client has all its messages before it is answered.
        wait.recv().unwrap();
        let (mut link, _, lengths) = ws_server::link(socket, usize::MAX);
        link.welcome(false);
        let before = lengths.lock().unwrap().len();
        for _ in 0..COUNT {
            assert!(matches!(link.next_but_pings(), Got::Publish { .. }));
        }
        let lengths = lengths.lock().unwrap()[before..].to_vec();
        assert_eq!(link.next_but_pings(), Got::Disconnect(mqtt_adapter_std::ReasonCode::Success));
        lengths
    });
    let mut client = A::start(options).unwrap();
    for _ in 0..COUNT {
        client.publish(Publish::new("a", "x")).unwrap();
    }
    go.send(()).unwrap();
    assert_eq!(client.stop(), 0);
    let lengths = script.join().unwrap();
    // A PUBLISH of five bytes and a property length; the engine hands out some kilobytes at a time.
    let packet = lengths.iter().sum::<usize>() / COUNT;
    assert!((6..=7).contains(&packet), "{packet} bytes for a packet");
    assert!(lengths.len() <= 10, "{lengths:?}");
}

fn a_server_that_is_none_for_websockets<A: Adapter>() {
    let server = Server::new();
    let options = options(&server);
    let script = script(server, |server| {
        let mut socket = server.accept_socket();
        let request = head(&mut socket);
        socket.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
        (request, rest(&mut socket))
    });
    let end = refused::<A>(options);
    assert!(matches!(&end.cause, Some(Cause::WebSocket { detail, .. }) if detail.contains("404")), "{end}");
    let (request, rest) = script.join().unwrap();
    assert!(request.starts_with("GET /mqtt?x=1 HTTP/1.1\r\n"));
    assert_eq!(rest, b"");
}

/// The server must agree on `mqtt`; what else it speaks there is not for this client.
fn a_server_without_the_sub_protocol<A: Adapter>() {
    for answer in ["", "Sec-WebSocket-Protocol: soap\r\n"] {
        let server = Server::new();
        let options = options(&server);
        let script = script(server, move |server| {
            let mut socket = server.accept_socket();
            let request = head(&mut socket);
            let key = request.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "));
            let key =
                key.or_else(|| request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")));
            let accept = tungstenite::handshake::derive_accept_key(key.unwrap().as_bytes());
            let response = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n{answer}\r\n"
            );
            socket.write_all(response.as_bytes()).unwrap();
            rest(&mut socket)
        });
        let end = refused::<A>(options);
        assert!(matches!(&end.cause, Some(Cause::WebSocket { .. })), "{end}");
        assert_eq!(script.join().unwrap(), b"", "it was told something");
    }
}

/// A request to its empty line.
fn head(socket: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// It ends the connection; a ping before it is answered.
fn a_text_frame<A: Adapter>() {
    let server = Server::new();
    let options = options(&server);
    let script = script(server, |server| ws_server::text_after_connack(server.accept_socket()));
    let mut client = A::connect(options).unwrap();
    let end = disconnected(&mut client);
    assert_eq!(end.why, Why::TransportFailed);
    assert!(end.to_string().contains("text frame"), "{end}");
    drop(client);
    script.join().unwrap();
}

fn headers_that_are_none<A: Adapter>() {
    let server = Server::new();
    let options = options(&server).with_ws_header("no header", "x\r\ny");
    let script = script(server, |server| rest(&mut server.accept_socket()));
    assert!(matches!(A::connect(options), Err(ConnectError::Failed(_))));
    assert_eq!(script.join().unwrap(), b"");
}
