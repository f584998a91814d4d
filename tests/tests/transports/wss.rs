//! MQTT over WebSocket over TLS.

use mqtt_adapter_std::{Cause, Tls};
use mqtt_tests::adapter::Adapter;
use mqtt_tests::drivers;

use crate::common::{SIZES, calls, echo, options, refused, script};
use crate::peer::Server;
use crate::tls_server::{self, Authority};
use crate::ws_server;

drivers!(
    payloads_of_every_size,
    /// [A9]
    wrong_name,
    a_server_that_is_none_for_websockets,
);

fn url(server: &Server) -> String {
    format!("wss://localhost:{}/mqtt", server.address().port())
}

fn trusting(authority: &Authority) -> Tls {
    Tls::builder().roots_pem(&authority.pem()).unwrap().build().unwrap()
}

fn payloads_of_every_size<A: Adapter>() {
    let authority = Authority::new();
    let config = tls_server::server(&authority.issue("localhost"), None);
    let server = Server::new();
    let options = options(&url(&server)).with_tls(trusting(&authority));
    let script = script(server, move |server| {
        let stream = tls_server::accept(&config, server.accept_socket()).unwrap();
        let (mut link, asked, lengths) = ws_server::link(stream, usize::MAX);
        echo(&mut link);
        (asked, lengths.lock().unwrap().clone())
    });
    calls::<A>(options, &SIZES);
    let (asked, lengths) = script.join().unwrap();
    assert_eq!((asked.path.as_str(), asked.protocol.as_str()), ("/mqtt", "mqtt"));
    assert!(!lengths.contains(&0));
}

/// Told as what it is, a fault of TLS; nothing is asked of the server.
fn wrong_name<A: Adapter>() {
    let authority = Authority::new();
    let config = tls_server::server(&authority.issue("other.example"), None);
    let server = Server::new();
    let options = options(&url(&server)).with_tls(trusting(&authority));
    let script = script(server, move |server| tls_server::accept(&config, server.accept_socket()).is_err());
    let end = refused::<A>(options);
    assert!(
        matches!(&end.cause, Some(Cause::Tls { detail, .. }) if detail.contains("not valid for name")),
        "{end:?}"
    );
    assert!(script.join().unwrap());
}

fn a_server_that_is_none_for_websockets<A: Adapter>() {
    let authority = Authority::new();
    let config = tls_server::server(&authority.issue("localhost"), None);
    let server = Server::new();
    let options = options(&url(&server)).with_tls(trusting(&authority));
    let script = script(server, move |server| {
        let mut stream = tls_server::accept(&config, server.accept_socket()).unwrap();
        let mut first = [0; 4];
        std::io::Read::read_exact(&mut stream, &mut first).unwrap();
        std::io::Write::write_all(&mut stream, b"\x20\x03\x00\x00\x00 this is MQTT itself\r\n\r\n").unwrap();
        first
    });
    let end = refused::<A>(options);
    assert!(matches!(&end.cause, Some(Cause::WebSocket { .. })), "{end:?}");
    assert_eq!(&script.join().unwrap(), b"GET ");
}
