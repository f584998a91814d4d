//! Unix sockets.

#![cfg(unix)]

use std::io::ErrorKind;
use std::os::unix::net::UnixListener;
use std::thread;

use mqtt_adapter_std::{Cause, Options, ServerUrl};
use mqtt_tests::adapter::Adapter;
use mqtt_tests::drivers;
use mqtt_tests::folder::Folder;

use crate::common::{SIZES, calls, echo, options, refused};
use crate::peer::{Link, PATIENCE};

drivers!(payloads_of_every_size, a_missing_socket_is_named, a_socket_that_nobody_serves);

fn payloads_of_every_size<A: Adapter>() {
    let folder = Folder::new("unix");
    let path = folder.file("broker.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let script = thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        echo(&mut Link::over(socket));
    });
    calls::<A>(options(&format!("unix://{}", path.display())), &SIZES);
    script.join().unwrap();
}

fn a_missing_socket_is_named<A: Adapter>() {
    let folder = Folder::new("unix");
    let path = folder.file("missing.sock").to_str().unwrap().to_owned();
    let end = refused::<A>(Options::for_server(ServerUrl::unix(path.clone()).unwrap()));
    let Some(Cause::DialPath { path: tried, kind, .. }) = &end.cause else { panic!("{end:?}") };
    assert_eq!((tried, *kind), (&path, ErrorKind::NotFound));
}

fn a_socket_that_nobody_serves<A: Adapter>() {
    let folder = Folder::new("unix");
    let path = folder.file("dead.sock").to_str().unwrap().to_owned();
    drop(UnixListener::bind(&path).unwrap());
    let end = refused::<A>(Options::for_server(ServerUrl::unix(path).unwrap()));
    assert!(matches!(end.cause, Some(Cause::DialPath { kind: ErrorKind::ConnectionRefused, .. })), "{end:?}");
}
