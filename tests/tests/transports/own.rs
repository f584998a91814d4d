//! TLS and WebSocket over streams of the application's own; what else such streams do is tested in `connector`.

use core::time::Duration;
use std::net::TcpStream;

use async_io::Async;
use mqtt_adapter_std::{ByteStream, Cause, Options, Tls};
use mqtt_tests::adapter::Adapter;
use mqtt_tests::drivers;

use crate::common::{self, calls, echo, refused, script};
use crate::peer::{Got, Server};
use crate::tls_server::{self, Authority};
use crate::ws_server;

drivers!(
    tls_over_blocking_halves,
    tls_over_an_async_stream,
    websocket_over_blocking_halves,
    websocket_over_an_async_stream,
    wss_over_an_async_stream,
    /// [A9]
    wrong_name,
);

const SIZES: [usize; 4] = [0, 1, 16_385, 1_000_000];

fn options(url: &str, authority: &Authority) -> Options {
    common::options(url).with_tls(Tls::builder().roots_pem(&authority.pem()).unwrap().build().unwrap())
}

/// By two blocking halves of a socket.
fn blocking(server: &Server, options: Options) -> Options {
    let address = server.address();
    options.with_connector(move |to| {
        let socket = TcpStream::connect_timeout(&address, to.left())?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        ByteStream::blocking(socket.try_clone()?, socket)
    })
}

/// By a stream of another library.
fn asynchronous(server: &Server, options: Options) -> Options {
    let address = server.address();
    options.with_async_connector(move |_| async move {
        Async::<TcpStream>::connect(address).await.map(ByteStream::new)
    })
}

fn tls<A: Adapter>(way: fn(&Server, Options) -> Options) {
    let authority = Authority::new();
    let config = tls_server::server(&authority.issue("broker.example"), None);
    let server = Server::new();
    let options = way(&server, options("mqtts://broker.example", &authority));
    let script = script(server, move |server| tls_server::echo(&config, server.accept_socket()));
    calls::<A>(options, &SIZES);
    script.join().unwrap();
}

fn tls_over_blocking_halves<A: Adapter>() {
    tls::<A>(blocking);
}

fn tls_over_an_async_stream<A: Adapter>() {
    tls::<A>(asynchronous);
}

fn websocket<A: Adapter>(way: fn(&Server, Options) -> Options) {
    let server = Server::new();
    let options = way(&server, common::options("ws://broker.example/mqtt"));
    let script = script(server, |server| {
        let (mut link, asked, _) = ws_server::link(server.accept_socket(), 10_000);
        assert_eq!((asked.path.as_str(), asked.protocol.as_str()), ("/mqtt", "mqtt"));
        echo(&mut link);
    });
    calls::<A>(options, &SIZES);
    script.join().unwrap();
}

fn websocket_over_blocking_halves<A: Adapter>() {
    websocket::<A>(blocking);
}

fn websocket_over_an_async_stream<A: Adapter>() {
    websocket::<A>(asynchronous);
}

fn wss_over_an_async_stream<A: Adapter>() {
    let authority = Authority::new();
    let config = tls_server::server(&authority.issue("broker.example"), None);
    let server = Server::new();
    let options = asynchronous(&server, options("wss://broker.example/mqtt", &authority));
    let script = script(server, move |server| {
        let stream = tls_server::accept(&config, server.accept_socket()).unwrap();
        echo(&mut ws_server::link(stream, 10_000).0);
    });
    calls::<A>(options, &SIZES);
    script.join().unwrap();
}

fn wrong_name<A: Adapter>() {
    let authority = Authority::new();
    let config = tls_server::server(&authority.issue("localhost"), None);
    let server = Server::new();
    let options = blocking(&server, options("mqtts://broker.example", &authority));
    let script = script(server, move |server| {
        tls_server::link(&config, server.accept_socket()).map(|mut link| link.next())
    });
    let end = refused::<A>(options);
    let Some(Cause::Connector { detail, .. }) = &end.cause else { panic!("{end:?}") };
    assert!(detail.starts_with("TLS: ") && detail.contains("not valid for name"), "{detail}");
    assert!(script.join().unwrap().map_or(true, |got| got == Got::End), "nothing was said in plaintext");
}
