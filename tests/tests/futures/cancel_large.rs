//! Payloads that are read while they are sent or come, given up in the middle.

use core::time::Duration;
use std::thread;

use futures_lite::AsyncReadExt as _;
use futures_lite::future::{block_on, poll_once};
use futures_lite::io::Cursor;
use mqtt_adapter_smol::{Client, Options, Oversize, Publish, Qos};
use mqtt_tests::model::Model;
use mqtt_tests::polls::{Again, dropped_at_every_poll, polled};

use super::{options, start};

const LEN: usize = 300_000;

fn bytes(seed: usize) -> Vec<u8> {
    (0..LEN).map(|at| (at / 7 + seed) as u8).collect()
}

/// Takes what is over 10,000 bytes in chunks.
fn chunked(broker: &Model) -> Options {
    let mut options = options(broker);
    options.engine_mut().max_packet_in = 10_000;
    options.engine_mut().oversize = Oversize::Chunks { largest: 100_000_000 };
    options
}

/// Publishes one in the usual way, and waits until the broker has it.
fn send(client: &Client, seed: usize) {
    let publish = Publish::new("film", bytes(seed)).qos(Qos::AtLeastOnce);
    let _ = block_on(async { client.publish(publish).await.unwrap().await }).unwrap();
}

#[test]
fn an_upload_that_is_given_up_ends_and_the_client_goes_on() {
    let broker = Model::start();
    let mut quick = options(&broker).with_session_expiry(Duration::from_secs(600));
    // What was begun and is given up costs the connection, soon.
    quick.engine_mut().source_timeout = Duration::from_millis(20);
    let running = start(quick);
    let mut ready = false;
    for polls in 0..40 {
        block_on(running.client.connected()).unwrap();
        let mut source = Cursor::new(bytes(0));
        let upload = running.client.publish_from(
            Publish::new("film", &[]).qos(Qos::AtLeastOnce),
            LEN as u32,
            &mut source,
        );
        let outcome = polled(upload, polls, Again::Woken);
        block_on(running.client.idle());
        ready = outcome.is_some();
        if ready {
            assert!(outcome.unwrap().is_ok());
            break;
        }
    }
    assert!(ready, "an upload ends");
    running.ends_well();
}

#[test]
fn a_large_message_whose_taking_is_given_up_is_taken_later() {
    let broker = Model::start();
    let receiver = start(chunked(&broker));
    block_on(receiver.client.subscribe("film", Qos::AtLeastOnce)).unwrap();
    let sender = start(options(&broker));
    for round in 0..4 {
        for again in [Again::Woken, Again::AtOnce] {
            let mut taken = None;
            thread::scope(|scope| {
                scope.spawn(|| send(&sender.client, round));
                dropped_at_every_poll(
                    again,
                    || receiver.client.recv_large(),
                    |large| taken = large.flatten(),
                );
            });
            let mut large = taken.or_else(|| block_on(receiver.client.recv_large())).unwrap();
            let mut all = Vec::new();
            // The reading, too, is given up again and again.
            loop {
                let mut piece = vec![0; 50_000];
                let got = block_on(poll_once(large.read(&mut piece)));
                let got = got.unwrap_or_else(|| block_on(large.read(&mut piece))).unwrap();
                if got == 0 {
                    break;
                }
                all.extend_from_slice(&piece[..got]);
            }
            assert!(all == bytes(round), "round {round}: {} bytes", all.len());
        }
    }
    sender.ends_well();
    receiver.ends_well();
}

#[test]
fn a_large_message_dropped_in_the_middle_lets_the_rest_pass() {
    let broker = Model::start();
    let receiver = start(chunked(&broker));
    block_on(receiver.client.subscribe("film", Qos::AtLeastOnce)).unwrap();
    let sender = start(options(&broker));
    for read in [0, 1, 10, 100_000, LEN - 1] {
        send(&sender.client, read);
        let mut large = block_on(receiver.client.recv_large()).unwrap();
        let mut piece = vec![0; read];
        block_on(large.read_exact(&mut piece)).unwrap();
        assert!(piece == bytes(read)[..read]);
        drop(large);
    }
    sender.ends_well();
    receiver.ends_well();
}
