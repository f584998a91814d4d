//! Threads of the process come and go with the clients. Alone in its file, so that no other test's threads are seen.

#![cfg(target_os = "linux")]

#[path = "../../adapter-core/tests/peer/mod.rs"]
mod peer;

use core::time::Duration;
use std::fs;
use std::thread;
use std::time::Instant;

use mqtt_adapter_std::{Client, Connection, Options};
use peer::{Got, PATIENCE, Server};

/// Threads of this process whose name begins like this.
fn threads(name: &str) -> usize {
    fs::read_dir("/proc/self/task")
        .unwrap()
        .filter(|task| {
            let path = task.as_ref().unwrap().path().join("comm");
            fs::read_to_string(path).is_ok_and(|comm| comm.starts_with(name))
        })
        .count()
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let start = Instant::now();
    while !reached() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_client_has_one_thread_that_ends_with_it_and_a_connection_has_none() {
    let server = Server::new();
    let before = descriptors();

    let client = Client::start(Options::new(&server.url()).unwrap()).unwrap();
    let mut link = server.welcome(false);
    client.connected_timeout(PATIENCE).unwrap();
    assert_eq!(threads("mqtt"), 1);
    let other = client.clone();
    drop(client);
    assert_eq!(threads("mqtt"), 1);
    drop(other);
    assert_eq!(link.next(), Got::Disconnect(mqtt_proto::ReasonCode::Success));
    until("the thread outlives the last handle", || threads("mqtt") == 0);

    let client = Client::start(Options::new(&server.url()).unwrap()).unwrap();
    let mut link2 = server.welcome(false);
    client.stop(PATIENCE);
    assert_eq!(threads("mqtt"), 0);
    assert_eq!(link2.next(), Got::Disconnect(mqtt_proto::ReasonCode::Success));

    drop((client, link, link2));
    until("descriptors leak", || descriptors() == before);

    let address = server.address();
    drop(server);
    let options = Options::new(&format!("mqtt://{address}")).unwrap();
    assert!(Client::connect(options.clone()).is_err());
    assert_eq!(threads("mqtt"), 0);

    let mut connection = Connection::new(options).unwrap();
    connection.poll(Some(Duration::from_millis(1))).unwrap();
    assert_eq!(threads("mqtt"), 0);
}
