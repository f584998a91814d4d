//! TLS in the client, against a server of rustls with certificates made for each test.

#![cfg(feature = "tls")]

#[path = "../../adapter-core/tests/peer/mod.rs"]
mod peer;
#[path = "../../adapter-core/tests/peer/tls.rs"]
mod tls;

use std::io::Read;
use std::sync::Arc;
use std::thread;

use mqtt_adapter_std::{
    Cause, Client, ConnectError, Disconnected, Event, Options, Outcome, Publish, Qos, ReasonCode, Tls,
    TlsBuilder, TlsError, Why,
};
use peer::{Got, PATIENCE, Server};
use rustls::ServerConfig;
use tls::{Authority, self_signed};

fn options(server: &Server, host: &str, tls: TlsBuilder) -> Options {
    let url = format!("mqtts://{host}:{}", server.address().port());
    let mut options = Options::new(&url).unwrap().with_tls(tls.build().unwrap());
    options.engine_mut().backoff.base = core::time::Duration::from_millis(5);
    options
}

fn trusting(authority: &Authority) -> TlsBuilder {
    Tls::builder().roots_pem(&authority.pem()).unwrap()
}

/// How connecting fails to a server with this configuration.
fn refused(config: Arc<ServerConfig>, host: &str, tls: TlsBuilder) -> Disconnected {
    let server = Server::new();
    let options = options(&server, host, tls);
    let script =
        thread::spawn(move || tls::link(&config, server.accept_socket()).map(|mut link| link.next()));
    let Err(ConnectError::Failed(end)) = Client::connect(options) else { panic!("connected") };
    // Nothing was said to the server, in plaintext or otherwise.
    assert!(script.join().unwrap().map_or(true, |got| got == Got::End));
    end
}

fn detail(end: &Disconnected) -> &str {
    match &end.cause {
        Some(Cause::Tls { detail, .. } | Cause::Transport { detail, .. }) => detail,
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_of_every_size_pass_both_ways() {
    let authority = Authority::new();
    let config = tls::server(&authority.issue("localhost"), None);
    let server = Server::new();
    let mut options = options(&server, "localhost", trusting(&authority).alpn(["mqtt"]));
    options.engine_mut().max_packet_in = 1 << 24;
    let script = thread::spawn(move || {
        let mut link = tls::link(&config, server.accept_socket()).unwrap();
        link.welcome(false);
        loop {
            match link.next() {
                Got::Publish { payload, id, .. } => {
                    link.puback(id);
                    link.publish("echo", &payload, Qos::AtMostOnce, 0);
                }
                Got::Disconnect(_) => return link.next(),
                got => panic!("{got:?}"),
            }
        }
    });
    let client = Client::connect(options).unwrap();
    for size in [0, 1, 100, 16_383, 16_384, 16_385, 70_000, 1_000_000, 8_000_000] {
        let payload: Vec<u8> = (0..size).map(|at: usize| (at * 31 % 251) as u8).collect();
        let receipt = client.publish(Publish::new("call", &payload).qos(Qos::AtLeastOnce)).unwrap();
        assert_eq!(client.recv_timeout(PATIENCE).unwrap().payload(), payload, "{size} bytes");
        assert_eq!(receipt.wait(), Ok(Outcome::Acked(ReasonCode::Success)));
    }
    assert_eq!(client.stop(PATIENCE), 0);
    assert_eq!(script.join().unwrap(), Got::End);
}

#[test]
fn many_small_messages_pass() {
    let authority = Authority::new();
    let config = tls::server(&authority.issue("localhost"), None);
    let server = Server::new();
    let options = options(&server, "localhost", trusting(&authority));
    let script = thread::spawn(move || {
        let mut link = tls::link(&config, server.accept_socket()).unwrap();
        link.welcome(false);
        link.serve()
    });
    let client = Client::connect(options).unwrap();
    for number in 0..5_000_u32 {
        client.publish(Publish::new("n", number.to_be_bytes().to_vec()).qos(Qos::AtLeastOnce)).unwrap();
    }
    assert_eq!(client.stop(PATIENCE), 0);
    assert_eq!(script.join().unwrap().len(), 5_001);
}

#[test]
fn a09_a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let end =
        refused(tls::server(&authority.issue("other.example"), None), "localhost", trusting(&authority));
    assert_eq!(end.why, Why::DialFailed);
    assert!(detail(&end).contains("not valid for name"), "{end}");
}

#[test]
fn a09_an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let end =
        refused(tls::server(&authority.issue_expired("localhost"), None), "localhost", trusting(&authority));
    assert!(detail(&end).contains("expired"), "{end}");
}

#[test]
fn a09_an_unknown_authority_is_refused() {
    let config = tls::server(&Authority::new().issue("localhost"), None);
    let end = refused(config, "localhost", trusting(&Authority::new()));
    assert!(detail(&end).contains("UnknownIssuer"), "{end}");
}

#[test]
fn a09_a_self_signed_certificate_is_refused() {
    let end = refused(tls::server(&self_signed("localhost"), None), "localhost", trusting(&Authority::new()));
    assert!(detail(&end).contains("invalid peer certificate"), "{end}");
}

#[test]
fn a_certificate_is_checked_for_the_name_that_was_asked_for() {
    let authority = Authority::new();
    let config = tls::server(&authority.issue("broker.example"), None);
    let server = Server::new();
    let tls = trusting(&authority).server_name("broker.example").unwrap();
    let options = options(&server, "127.0.0.1", tls);
    let script = thread::spawn(move || {
        let mut link = tls::link(&config, server.accept_socket()).unwrap();
        link.welcome(false);
        link
    });
    assert!(Client::connect(options).unwrap().is_connected());
    script.join().unwrap();
}

#[test]
fn a_client_certificate_is_shown_where_it_is_asked_for() {
    let authority = Authority::new();
    let config = tls::server(&authority.issue("localhost"), Some(&authority));
    let end = refused(Arc::clone(&config), "localhost", trusting(&authority));
    assert!(detail(&end).contains("CertificateRequired"), "{end}");

    let identity = authority.issue("lamp-7");
    let tls = trusting(&authority).identity_pem(identity.chain.as_bytes(), identity.key.as_bytes()).unwrap();
    let server = Server::new();
    let options = options(&server, "localhost", tls);
    let script = thread::spawn(move || {
        let mut link = tls::link(&config, server.accept_socket()).unwrap();
        link.welcome(false);
        link
    });
    assert!(Client::connect(options).unwrap().is_connected());
    script.join().unwrap();
}

#[test]
fn a09_a_server_without_tls_hears_no_plaintext() {
    let server = Server::new();
    let options = options(&server, "localhost", trusting(&Authority::new()));
    let script = thread::spawn(move || {
        let mut socket = server.accept_socket();
        let mut first = [0; 3];
        socket.read_exact(&mut first).unwrap();
        std::io::Write::write_all(&mut socket, b"\x20\x03\x00\x00\x00").unwrap();
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
        (first, rest)
    });
    let Err(ConnectError::Failed(end)) = Client::connect(options) else { panic!("connected") };
    assert!(matches!(end.cause, Some(Cause::Tls { .. })), "{end:?}");
    let (first, rest) = script.join().unwrap();
    assert_eq!(first[..2], [0x16, 0x03], "no TLS handshake");
    assert!(!rest.windows(4).any(|bytes| bytes == b"MQTT"));
}

#[test]
fn a10_an_end_without_notice_is_an_error_not_an_end() {
    let authority = Authority::new();
    let config = tls::server(&authority.issue("localhost"), None);
    let server = Server::new();
    let options = options(&server, "localhost", trusting(&authority));
    let script = thread::spawn(move || {
        let mut link = tls::link(&config, server.accept_socket()).unwrap();
        link.welcome(false);
        link.cut();
        let mut link = tls::link(&config, server.accept_socket()).unwrap();
        link.welcome(false);
        link
    });
    let client = Client::connect(options).unwrap();
    let end = loop {
        if let Event::Disconnected(end) = client.next_event(Some(PATIENCE)).unwrap() {
            break end;
        }
    };
    assert_eq!(end.why, Why::TransportFailed);
    assert!(matches!(&end.cause, Some(Cause::Transport { .. })), "{end:?}");
    client.wait_connected(PATIENCE).unwrap();
    script.join().unwrap();
}

#[test]
fn what_cannot_be_trusted_or_shown_is_an_error_before_anything_is_sent() {
    assert!(matches!(Tls::builder().build(), Err(TlsError::NoRoots(_))));
    assert!(matches!(Tls::builder().roots_pem(b"nothing"), Err(TlsError::Certificate(_))));
    assert!(matches!(Tls::builder().server_name("a b"), Err(TlsError::ServerName)));
    let authority = Authority::new();
    let (one, other) = (authority.issue("one"), authority.issue("other"));
    let mixed = trusting(&authority).identity_pem(one.chain.as_bytes(), other.key.as_bytes()).unwrap();
    assert!(matches!(mixed.build(), Err(TlsError::Key(_))));
    let none = trusting(&authority).identity_pem(one.chain.as_bytes(), b"nothing");
    assert!(matches!(none, Err(TlsError::Key(_))));
    let shown = format!("{:?}", trusting(&authority).identity_pem(one.chain.as_bytes(), one.key.as_bytes()));
    assert!(!shown.contains("PRIVATE") && !shown.contains(&one.key));
}
