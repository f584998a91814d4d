//! The model broker on real sockets.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread::JoinHandle;
use std::time::Instant;

use mqtt_sim::broker::{BrokerConfig, BrokerStats};
use mqtt_sim::tcp::{Handle, TcpBroker};

const PATIENCE: Duration = Duration::from_secs(10);

struct Server {
    address: SocketAddr,
    handle: Handle,
    thread: JoinHandle<BrokerStats>,
}

impl Server {
    fn start(config: BrokerConfig) -> Self {
        let mut broker = TcpBroker::bind("127.0.0.1:0", config).unwrap();
        let (address, handle) = (broker.local_addr(), broker.handle());
        let thread = std::thread::spawn(move || {
            broker.run().unwrap();
            broker.broker().stats()
        });
        Self { address, handle, thread }
    }

    fn stop(self) -> BrokerStats {
        self.handle.stop();
        self.thread.join().unwrap()
    }

    /// A client with a 3.1.1 session of its own.
    fn connect(&self, client_id: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let id = client_id.as_bytes();
        let mut connect = vec![0x10, 12 + u8::try_from(id.len()).unwrap()];
        connect.extend(b"\x00\x04MQTT\x04\x02\x00\x00\x00");
        connect.push(u8::try_from(id.len()).unwrap());
        connect.extend(id);
        stream.write_all(&connect).unwrap();
        assert_eq!(read(&mut stream, 4), [0x20, 2, 0, 0]);
        stream
    }
}

fn read(stream: &mut TcpStream, n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn assert_cut(stream: &mut TcpStream) {
    match stream.read(&mut [0; 16]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("still open: {other:?}"),
    }
}

fn subscribe(stream: &mut TcpStream) {
    stream.write_all(b"\x82\x06\x00\x01\x00\x01t\x00").unwrap();
    assert_eq!(read(stream, 5), b"\x90\x03\x00\x01\x00");
}

#[test]
fn messages_go_from_client_to_client() {
    let server = Server::start(BrokerConfig::default());
    let mut receiver = server.connect("receiver");
    subscribe(&mut receiver);
    let mut sender = server.connect("sender");
    sender.write_all(b"\x30\x05\x00\x01thi").unwrap();
    assert_eq!(read(&mut receiver, 7), b"\x30\x05\x00\x01thi");
    let stats = server.stop();
    assert_eq!((stats.connects, stats.messages_in, stats.messages_out), (2, 1, 1));
    assert_cut(&mut receiver);
}

#[test]
fn a_thousand_connections_are_served_on_one_thread() {
    let server = Server::start(BrokerConfig::default());
    let mut clients: Vec<_> = (0..1_000).map(|n| server.connect(&format!("c{n}"))).collect();
    for client in &mut clients {
        client.write_all(&[0xC0, 0]).unwrap();
    }
    for client in &mut clients {
        assert_eq!(read(client, 2), [0xD0, 0]);
    }
    assert_eq!(server.stop().connects, 1_000);
}

#[test]
fn one_or_all_connections_can_be_cut() {
    let server = Server::start(BrokerConfig::default());
    let (mut a, mut b, mut c) = (server.connect("a"), server.connect("b"), server.connect("c"));
    server.handle.cut("nobody");
    server.handle.cut("b");
    assert_cut(&mut b);
    for client in [&mut a, &mut c] {
        client.write_all(&[0xC0, 0]).unwrap();
        assert_eq!(read(client, 2), [0xD0, 0]);
    }
    server.handle.cut_all();
    assert_cut(&mut a);
    assert_cut(&mut c);
    server.connect("a");
    server.stop();
}

#[test]
fn the_reason_of_a_disconnect_arrives_even_if_the_client_goes_on_sending() {
    let server = Server::start(BrokerConfig::default());
    let mut client = TcpStream::connect(server.address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01a").unwrap();
    client.write_all(&[0xF0, 0]).unwrap();
    client.write_all(&vec![0xC0; 100_000]).unwrap();
    let mut all = Vec::new();
    let _reset_after_the_end = client.read_to_end(&mut all);
    assert!(all.ends_with(&[0xE0, 1, 0x82]) || all.ends_with(&[0xE0, 2, 0x82, 0]), "{all:?}");
    drop(client);
    server.stop();
}

#[test]
fn a_client_that_does_not_read_is_bounded_and_the_others_are_served() {
    let config =
        BrokerConfig { max_output_bytes: 100_000, max_queued_bytes: 100_000, ..BrokerConfig::default() };
    let server = Server::start(config);
    let mut slow = server.connect("slow");
    subscribe(&mut slow);
    let mut sender = server.connect("sender");
    let mut packet = b"\x30\x83\xa0\x03\x00\x01t".to_vec();
    packet.resize(4 + 0xD003, b'x');
    for _ in 0..2_000 {
        sender.write_all(&packet).unwrap();
    }
    sender.write_all(&[0xC0, 0]).unwrap();
    assert_eq!(read(&mut sender, 2), [0xD0, 0]);
    let stats = server.stop();
    assert!(stats.dropped > 500, "{stats:?}");
}

#[test]
fn stopping_does_not_wait_for_anybody() {
    let server = Server::start(BrokerConfig::default());
    let _half = TcpStream::connect(server.address).unwrap();
    let _whole = server.connect("a");
    let begin = Instant::now();
    server.stop();
    assert!(begin.elapsed() < PATIENCE);
}

#[test]
fn sessions_can_be_forgotten_from_another_thread() {
    let server = Server::start(BrokerConfig::default());
    let kept = b"\x10\x0d\x00\x04MQTT\x04\x00\x00\x00\x00\x01a";
    let connect = |present| {
        let mut client = TcpStream::connect(server.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(kept).unwrap();
        assert_eq!(read(&mut client, 4), [0x20, 2, present, 0]);
        client
    };
    drop(connect(0));
    let mut client = connect(1);
    server.handle.forget_sessions();
    assert_cut(&mut client);
    connect(0);
    server.stop();
}

#[test]
fn sessions_survive_from_one_run_to_the_next() {
    let mut broker = TcpBroker::bind("127.0.0.1:0", BrokerConfig::default()).unwrap();
    for connects in 1..=2 {
        let (address, handle) = (broker.local_addr(), broker.handle());
        let client = std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"\x10\x0d\x00\x04MQTT\x04\x00\x00\x00\x00\x01a").unwrap();
            let answer = read(&mut stream, 4);
            handle.stop();
            answer
        });
        broker.run().unwrap();
        assert_eq!(client.join().unwrap(), [0x20, 2, u8::from(connects == 2), 0]);
        assert_eq!(broker.broker().stats().connects, connects);
    }
}

#[test]
fn an_address_that_is_taken_is_an_error() {
    let broker = TcpBroker::bind("127.0.0.1:0", BrokerConfig::default()).unwrap();
    assert!(TcpBroker::bind(broker.local_addr(), BrokerConfig::default()).is_err());
}
