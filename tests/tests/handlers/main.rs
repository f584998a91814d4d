//! Messages by handler, hooks, and what happens when the application is slow: on both adapters.

mod asynchronous;
mod blocking;
mod hooks;
mod inbox;
mod large;
mod requests;

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
