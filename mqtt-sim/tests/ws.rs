//! The model broker on WebSocket.

use core::net::SocketAddr;
use core::time::Duration;
use std::net::TcpStream;
use std::thread::JoinHandle;

use mqtt_sim::broker::{BrokerConfig, BrokerStats};
use mqtt_sim::tcp::{Handle, TcpBroker};
use tungstenite::handshake::client::generate_key;
use tungstenite::http::Request;
use tungstenite::{Error, Message, WebSocket, client};

const PATIENCE: Duration = Duration::from_secs(10);
/// CONNECT of 3.1.1, client id "a", and its CONNACK.
const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a";
const CONNACK: &[u8] = &[0x20, 2, 0, 0];

struct Server {
    plain: SocketAddr,
    address: SocketAddr,
    handle: Handle,
    thread: JoinHandle<BrokerStats>,
}

impl Server {
    fn start(config: BrokerConfig) -> Self {
        let mut broker = TcpBroker::bind("127.0.0.1:0", config).unwrap();
        let address = broker.listen_ws("127.0.0.1:0").unwrap();
        let (plain, handle) = (broker.local_addr(), broker.handle());
        let thread = std::thread::spawn(move || {
            broker.run().unwrap();
            broker.broker().stats()
        });
        Self { plain, address, handle, thread }
    }

    fn stop(self) -> BrokerStats {
        self.handle.stop();
        self.thread.join().unwrap()
    }

    /// Asks for these sub-protocols; what was chosen.
    fn open(&self, protocols: &str) -> Result<(WebSocket<TcpStream>, String), Error> {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = Request::builder()
            .uri(format!("ws://{}/any/path", self.address))
            .header("Host", "here")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", generate_key())
            .header("Sec-WebSocket-Protocol", protocols)
            .body(())
            .unwrap();
        match client(request, stream) {
            Ok((socket, response)) => {
                let chosen = response.headers().get("Sec-WebSocket-Protocol").unwrap();
                Ok((socket, chosen.to_str().unwrap().to_owned()))
            }
            Err(tungstenite::HandshakeError::Failure(error)) => Err(error),
            Err(interrupted) => panic!("{interrupted:?}"),
        }
    }

    fn connected(&self) -> WebSocket<TcpStream> {
        let (mut socket, _) = self.open("mqtt").unwrap();
        send(&mut socket, CONNECT);
        assert_eq!(read(&mut socket, 4), CONNACK);
        socket
    }
}

fn send(socket: &mut WebSocket<TcpStream>, bytes: &[u8]) {
    socket.send(Message::Binary(bytes.to_vec().into())).unwrap();
}

/// So many bytes, from as many frames as they come in.
fn read(socket: &mut WebSocket<TcpStream>, n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < n {
        match socket.read().unwrap() {
            Message::Binary(data) => bytes.extend_from_slice(&data),
            Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
    bytes
}

/// [5.0 MQTT-6.0.0-4]
#[test]
fn the_sub_protocol_is_chosen_and_without_it_nobody_comes_in() {
    let server = Server::start(BrokerConfig::default());
    for (offered, chosen) in
        [("mqtt", "mqtt"), ("soap, mqtt", "mqtt"), ("mqttv3.1", "mqttv3.1"), ("mqttv3.1,mqtt", "mqtt")]
    {
        assert_eq!(server.open(offered).unwrap().1, chosen);
    }
    for offered in ["soap", "mqtt2"] {
        assert!(matches!(server.open(offered), Err(Error::Http(response)) if response.status() == 400));
    }
    server.stop();
}

/// [5.0 MQTT-6.0.0-2]
#[test]
fn packets_come_in_any_frames() {
    let server = Server::start(BrokerConfig::default());
    let (mut socket, _) = server.open("mqtt").unwrap();
    for byte in CONNECT {
        send(&mut socket, &[*byte]);
    }
    assert_eq!(read(&mut socket, 4), CONNACK);
    // Two pings, and the beginning of a third, in one frame.
    send(&mut socket, &[0xC0, 0, 0xC0, 0, 0xC0]);
    assert_eq!(read(&mut socket, 4), [0xD0, 0, 0xD0, 0]);
    send(&mut socket, &[0]);
    assert_eq!(read(&mut socket, 2), [0xD0, 0]);
    server.stop();
}

/// [5.0 MQTT-6.0.0-1]
#[test]
fn a_text_frame_ends_the_connection_and_a_ping_does_not() {
    let server = Server::start(BrokerConfig::default());
    let mut socket = server.connected();
    socket.send(Message::Ping(b"there?".to_vec().into())).unwrap();
    assert!(matches!(socket.read().unwrap(), Message::Pong(_)));
    socket.send(Message::Text("hello".into())).unwrap();
    assert!(socket.read().is_err());
    server.stop();
}

#[test]
fn plain_and_framed_clients_meet() {
    use std::io::{Read, Write};
    let server = Server::start(BrokerConfig::default());
    let mut framed = server.connected();
    send(&mut framed, b"\x82\x06\x00\x01\x00\x01t\x00");
    assert_eq!(read(&mut framed, 5), b"\x90\x03\x00\x01\x00");
    let mut plain = TcpStream::connect(server.plain).unwrap();
    plain.write_all(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01b").unwrap();
    let mut answer = [0; 4];
    plain.read_exact(&mut answer).unwrap();
    // Larger than a frame, and than what a socket takes at once.
    let len: u32 = 1_000_000;
    let mut packet = vec![0x30];
    for shift in [0, 7, 14] {
        packet.push(u8::try_from(len >> shift & 0x7F).unwrap() | if shift == 14 { 0 } else { 0x80 });
    }
    packet.extend(b"\x00\x01t");
    packet.resize(4 + len as usize, b'x');
    plain.write_all(&packet).unwrap();
    assert!(read(&mut framed, packet.len()) == packet, "every byte arrives, in order");
    let stats = server.stop();
    assert_eq!((stats.connects, stats.messages_out), (2, 1));
}

#[test]
fn the_end_of_a_session_is_a_close_frame_after_the_last_packet() {
    let server = Server::start(BrokerConfig::default());
    let (mut socket, _) = server.open("mqtt").unwrap();
    send(&mut socket, b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01a");
    assert!(matches!(socket.read().unwrap(), Message::Binary(connack) if connack[0] == 0x20));
    send(&mut socket, &[0xF0, 0]);
    assert!(matches!(socket.read().unwrap(), Message::Binary(end) if end[..] == [0xE0, 1, 0x82]));
    assert!(matches!(socket.read().unwrap(), Message::Close(_)));
    server.stop();
}

#[test]
fn who_never_shakes_hands_is_dropped_and_stopping_waits_for_nobody() {
    use std::io::Read;
    let config = BrokerConfig { connect_timeout: Duration::from_millis(100), ..BrokerConfig::default() };
    let server = Server::start(config);
    let mut silent = TcpStream::connect(server.address).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(silent.read(&mut [0; 8]).unwrap(), 0);
    let _half = TcpStream::connect(server.address).unwrap();
    server.stop();
}
