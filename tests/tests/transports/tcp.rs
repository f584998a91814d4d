//! TCP: every address of a name, both families, and an end to waiting.

use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};

use mqtt_adapter_std::Cause;
use mqtt_tests::adapter::Adapter;
use mqtt_tests::drivers;
use mqtt_tests::folder::Folder;
use mqtt_tests::mosquitto::free_address;

use crate::common::{SIZES, calls, connected, echo, in_child, options, refused, script};
use crate::peer::{Link, Server};

drivers!(
    payloads_of_every_size,
    addresses_are_told,
    ipv6,
    every_address_of_a_name_is_tried,
    nobody_listens,
    a_black_hole
);

fn payloads_of_every_size<A: Adapter>() {
    let server = Server::new();
    let options = options(&server.url());
    let script = script(server, |server| echo(&mut server.accept()));
    calls::<A>(options, &SIZES);
    script.join().unwrap();
}

fn addresses_are_told<A: Adapter>() {
    let server = Server::new();
    let (options, address) = (options(&server.url()), server.address());
    let script = script(server, |server| {
        let socket = server.accept_socket();
        let peer = socket.peer_addr().unwrap();
        echo(&mut Link::over(socket));
        peer
    });
    let mut client = A::start(options).unwrap();
    let link = connected(&mut client).link;
    assert_eq!(client.stop(), 0);
    assert_eq!((link.peer, link.local), (Some(address), Some(script.join().unwrap())));
    assert_eq!((link.tls_version, link.alpn), (None, None));
}

fn ipv6<A: Adapter>() {
    let server = Server::at("[::1]:0");
    assert!(server.url().starts_with("mqtt://[::1]:"));
    let options = options(&server.url());
    let script = script(server, |server| echo(&mut server.accept()));
    calls::<A>(options, &[10]);
    script.join().unwrap();
}

/// The name has two addresses, and somebody listens at one of them only.
fn every_address_of_a_name_is_tried<A: Adapter>() {
    // A name of the test's own, in a mount namespace with another list of hosts.
    let folder = Folder::new("hosts");
    fs::write(folder.file("hosts"), "::1 broker.test\n127.0.0.1 broker.test\n").unwrap();
    let mount = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    let hosts = folder.file("hosts");
    let wrap = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, hosts.to_str().unwrap()];
    if !in_child::<A>("tcp::every_address_of_a_name_is_tried", &[], &wrap) {
        return;
    }
    let found: Vec<SocketAddr> = ("broker.test", 1).to_socket_addrs().unwrap().collect();
    assert!(found.len() >= 2, "the name has two addresses: {found:?}");
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let server = Server::at(address);
        let options = options(&format!("mqtt://broker.test:{}", server.address().port()));
        let script = script(server, |server| echo(&mut server.accept()));
        calls::<A>(options, &[10]);
        script.join().unwrap();
    }
}

fn nobody_listens<A: Adapter>() {
    let there = free_address();
    let end = refused::<A>(options(&format!("mqtt://{there}")));
    assert!(
        matches!(end.cause, Some(Cause::Dial { address, kind: ErrorKind::ConnectionRefused, .. }) if address == there),
        "{end:?}"
    );
}

/// A listener whose queue is full answers nobody: the attempt ends with its time.
fn a_black_hole<A: Adapter>() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(socket) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
        queue.push(socket);
        assert!(queue.len() < 10_000, "the queue has no end");
    }
    let mut options = options(&format!("mqtt://{address}"));
    options.engine_mut().dial_timeout = Duration::from_secs(1);
    let end = refused::<A>(options);
    // Whether the engine or the driver looks at the clock first is all the same.
    assert!(matches!(end.cause, None | Some(Cause::Dial { kind: ErrorKind::TimedOut, .. })), "{end:?}");
}
