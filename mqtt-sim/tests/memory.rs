//! The model broker on streams of memory.

use core::time::Duration;
use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::Instant;

use mqtt_sim::broker::BrokerConfig;
use mqtt_sim::memory::{MemoryBroker, MemoryStream};

const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a";

fn connected(broker: &MemoryBroker) -> MemoryStream {
    let mut stream = broker.connect().unwrap();
    stream.write_all(CONNECT).unwrap();
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).unwrap();
    assert_eq!(connack, [0x20, 2, 0, 0]);
    stream
}

#[test]
fn what_one_thread_publishes_another_reads() {
    let broker = MemoryBroker::new(BrokerConfig::default());
    let mut stream = connected(&broker);
    stream.write_all(b"\x82\x06\x00\x01\x00\x01t\x00").unwrap();
    let mut suback = [0; 5];
    stream.read_exact(&mut suback).unwrap();
    let reader = thread::spawn(move || {
        let mut all = vec![0; 200_000 + 7];
        stream.read_exact(&mut all).unwrap();
        all
    });
    let mut other = broker.connect().unwrap();
    other.write_all(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01b").unwrap();
    let mut publish = b"\x30\xc3\x9a\x0c\x00\x01t".to_vec();
    publish.extend([7; 200_000]);
    broker.set_piece(1_000);
    other.write_all(&publish).unwrap();
    assert_eq!(reader.join().unwrap(), publish);
}

#[test]
fn time_goes_on_in_the_broker_while_nobody_calls_it() {
    let config = BrokerConfig { connect_timeout: Duration::from_millis(30), ..BrokerConfig::default() };
    let broker = MemoryBroker::new(config);
    let begin = Instant::now();
    let mut stream = broker.connect().unwrap();
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0, "closed without CONNECT");
    assert!(begin.elapsed() >= Duration::from_millis(30));
    assert_eq!(stream.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_broker_that_is_gone_has_ended_its_connections() {
    let broker = MemoryBroker::new(BrokerConfig::default());
    let mut stream = connected(&broker);
    let clone = broker.clone();
    drop(broker);
    clone.set_reachable(false);
    assert_eq!(clone.connect().unwrap_err().kind(), ErrorKind::ConnectionRefused);
    stream.write_all(b"\xc0\x00").unwrap();
    drop(clone);
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn a_stream_that_is_dropped_is_a_connection_that_is_lost() {
    let broker = MemoryBroker::new(BrokerConfig::default());
    let stream = connected(&broker);
    assert_eq!(broker.with(|broker| broker.connections()), 1);
    drop(stream);
    assert_eq!(broker.with(|broker| broker.connections()), 0);
}
