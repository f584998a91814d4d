//! Unix sockets.

#![cfg(unix)]

#[path = "../../adapter-core/tests/peer/mod.rs"]
mod peer;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread;

use mqtt_adapter_std::{
    Cause, Client, ConnectError, Options, Outcome, Publish, Qos, ReasonCode, ServerUrl, Why,
};
use peer::{Got, Link, PATIENCE};

fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("mqtt-{}-{name}.sock", std::process::id()));
    let _ = fs::remove_file(&path);
    path
}

#[test]
fn a_client_works_over_a_unix_socket() {
    let path = path("works");
    let listener = UnixListener::bind(&path).unwrap();
    let script = thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut link = Link::over(socket);
        link.welcome(false);
        link.serve()
    });
    let client = Client::connect(Options::new(&format!("unix://{}", path.display())).unwrap()).unwrap();
    let receipt = client.publish(Publish::new("a", "x").qos(Qos::ExactlyOnce)).unwrap();
    assert_eq!(receipt.wait(), Ok(Outcome::Acked(ReasonCode::Success)));
    assert_eq!(client.stop(PATIENCE), 0);
    assert_eq!(script.join().unwrap().last(), Some(&Got::Disconnect(ReasonCode::Success)));
    fs::remove_file(path).unwrap();
}

#[test]
fn a_missing_unix_socket_is_an_error_that_names_it() {
    let path = path("missing").to_str().unwrap().to_owned();
    let options = Options::for_server(ServerUrl::unix(path.clone()).unwrap());
    let Err(ConnectError::Failed(end)) = Client::connect(options) else { panic!("connected") };
    assert_eq!(end.why, Why::DialFailed);
    let Some(Cause::DialPath { path: tried, kind, .. }) = &end.cause else { panic!("{end:?}") };
    assert_eq!((tried, *kind), (&path, ErrorKind::NotFound));
}
