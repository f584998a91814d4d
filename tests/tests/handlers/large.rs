//! Payloads that are read while they are sent, and while they come.

use std::io::{Cursor, Read};
use std::thread;

use futures_lite::AsyncReadExt as _;
use futures_lite::future::block_on;
use futures_lite::io::Cursor as AsyncCursor;
use mqtt_adapter_std::{Options, Outcome, Oversize, Publish, Qos, SourceError};
use mqtt_sim::schedule::Schedule;
use mqtt_sim::world::Direction;
use mqtt_tests::mosquitto::Mosquitto;
use mqtt_tests::proxy::Proxy;
use {mqtt_adapter_smol as smol, mqtt_adapter_std as blocking};

const LEN: usize = 5_000_000;

fn bytes() -> Vec<u8> {
    (0..LEN).map(|at| (at / 7) as u8).collect()
}

/// Takes what is over 10,000 bytes in chunks.
fn receiver(url: &str) -> Options {
    let mut options = Options::new(url).unwrap();
    let engine = options.engine_mut();
    engine.max_packet_in = 10_000;
    engine.oversize = Oversize::Chunks { largest: 100_000_000 };
    options
}

fn start(options: Options) -> smol::Client {
    let (client, connection) = smol::connect(options).unwrap();
    thread::spawn(move || block_on(connection));
    block_on(client.connected()).unwrap();
    client
}

fn read_all(client: &blocking::Client) -> Vec<u8> {
    let mut large = client.recv_large().unwrap();
    assert_eq!((large.message().topic(), large.announced() as usize), ("film", LEN));
    let mut all = Vec::new();
    large.read_to_end(&mut all).unwrap();
    all
}

#[test]
fn more_than_a_client_keeps_goes_through_the_blocking_one() {
    let broker = Mosquitto::start();
    let receiver = blocking::Client::connect(receiver(&broker.url())).unwrap();
    receiver.subscribe("film", Qos::ExactlyOnce).unwrap();
    let sender = blocking::Client::connect(Options::new(&broker.url()).unwrap()).unwrap();
    let mut source = Cursor::new([b"head ".to_vec(), bytes(), b" tail".to_vec()].concat());
    source.set_position(5);
    let publish = Publish::new("film", &[]).qos(Qos::ExactlyOnce);
    let outcome = sender.publish_from(publish, LEN as u32, &mut source).unwrap();
    assert!(matches!(outcome, Outcome::Acked(_)));
    assert!(read_all(&receiver) == bytes());
    // What is dropped in the middle holds nobody up.
    for _ in 0..2 {
        source.set_position(5);
        let publish = Publish::new("film", &[]).qos(Qos::AtLeastOnce);
        let _ = sender.publish_from(publish, LEN as u32, &mut source).unwrap();
    }
    let mut first = receiver.recv_large().unwrap();
    first.read_exact(&mut [0; 10]).unwrap();
    drop(first);
    assert!(read_all(&receiver) == bytes());
}

#[test]
fn more_than_a_client_keeps_goes_through_the_async_one() {
    let broker = Mosquitto::start();
    let receiver = start(receiver(&broker.url()));
    let sender = start(Options::new(&broker.url()).unwrap());
    block_on(async {
        receiver.subscribe("film", Qos::ExactlyOnce).await.unwrap();
        let mut source = AsyncCursor::new(bytes());
        let publish = Publish::new("film", &[]).qos(Qos::ExactlyOnce);
        let outcome = sender.publish_from(publish, LEN as u32, &mut source).await.unwrap();
        assert!(matches!(outcome, Outcome::Acked(_)));
        let mut large = receiver.recv_large().await.unwrap();
        let mut all = Vec::new();
        large.read_to_end(&mut all).await.unwrap();
        assert!(all == bytes());
    });
}

#[test]
fn it_is_read_again_after_a_cut() {
    let broker = Mosquitto::start();
    let receiver = blocking::Client::connect(receiver(&broker.url())).unwrap();
    receiver.subscribe("film", Qos::ExactlyOnce).unwrap();
    let proxy = Proxy::start(broker.address(), &[Schedule::cut(Direction::Up, 1_000_003)]);
    let options = Options::new(&proxy.url()).unwrap().with_client_id("film").with_clean_start(false);
    let sender =
        blocking::Client::connect(options.with_session_expiry(core::time::Duration::from_secs(60))).unwrap();
    let publish = Publish::new("film", &[]).qos(Qos::AtLeastOnce);
    let _ = sender.publish_from(publish, LEN as u32, &mut Cursor::new(bytes())).unwrap();
    assert_eq!(proxy.cut(), 1);
    assert!(read_all(&receiver) == bytes());
}

#[test]
fn a_source_with_too_little_is_an_error() {
    let broker = Mosquitto::start();
    let sender = blocking::Client::connect(Options::new(&broker.url()).unwrap()).unwrap();
    let publish = Publish::new("film", &[]).qos(Qos::AtLeastOnce);
    let result = sender.publish_from(publish, 100, &mut Cursor::new(vec![1; 10]));
    assert!(matches!(result, Err(SourceError::Read(_))), "{result:?}");
}

#[test]
fn the_async_client_reads_it_again_after_a_cut_and_finds_a_source_with_too_little() {
    let broker = Mosquitto::start();
    let receiver = blocking::Client::connect(receiver(&broker.url())).unwrap();
    receiver.subscribe("film", Qos::ExactlyOnce).unwrap();
    let proxy = Proxy::start(broker.address(), &[Schedule::cut(Direction::Up, 1_000_003)]);
    let options = Options::new(&proxy.url())
        .unwrap()
        .with_client_id("film")
        .with_clean_start(false)
        .with_session_expiry(core::time::Duration::from_secs(60));
    let sender = start(options);
    block_on(async {
        let publish = Publish::new("film", &[]).qos(Qos::ExactlyOnce);
        let _ = sender.publish_from(publish, LEN as u32, &mut AsyncCursor::new(bytes())).await.unwrap();
        let publish = Publish::new("film", &[]).qos(Qos::AtLeastOnce);
        let result = sender.publish_from(publish, 100, &mut AsyncCursor::new(vec![1; 10])).await;
        assert!(matches!(result, Err(SourceError::Read(_))), "{result:?}");
    });
    assert_eq!(proxy.cut(), 1);
    assert!(read_all(&receiver) == bytes());
}
