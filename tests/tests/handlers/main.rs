//! What clients offer beyond publish and subscribe, on both adapters: messages by handler, hooks, requests, payloads in
//! pieces, authentication, what they tell of themselves, their end.

mod asynchronous;
mod authentication;
mod blocking;
mod exit;
mod hooks;
mod inbox;
mod large;
mod leaks;
mod requests;
#[path = "../../../mqtt-session/tests/scram_sides.rs"]
mod scram;
mod story;

use core::time::Duration;
use std::sync::mpsc::{Receiver, Sender, channel};

use mqtt_adapter_std::Options;
use mqtt_tests::adapter::CAP;
use mqtt_tests::mosquitto::Mosquitto;

/// A client that pings every second.
fn options(broker: &Mosquitto) -> Options {
    Options::new(&broker.url()).expect("a good URL").with_keep_alive(Duration::from_secs(1))
}

/// What handlers say, in the order in which they say it.
fn notes() -> (Sender<String>, Receiver<String>) {
    channel()
}

fn next(notes: &Receiver<String>) -> String {
    notes.recv_timeout(CAP).expect("a handler says something in time")
}

/// An inbox that holds one message.
fn tiny(options: Options) -> Options {
    options.with_inbox_bytes(1)
}
