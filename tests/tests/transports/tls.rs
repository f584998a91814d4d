//! TLS, against a server of rustls with certificates made for each test.

use std::fs;
use std::io::Write;
use std::sync::Arc;

use mqtt_adapter_std::{Cause, Disconnected, Options, Tls, TlsBuilder, TlsError, Why};
use mqtt_adapter_std::{Publish, Qos};
use mqtt_tests::adapter::Adapter;
use mqtt_tests::drivers;
use mqtt_tests::folder::Folder;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CipherSuite, ClientConfig, RootCertStore, ServerConfig};

use crate::common::{self, SIZES, calls, connected, disconnected, echo, in_child, refused, rest, script};
use crate::peer::{Got, Server};
use crate::tls_server::{self, Authority, self_signed, server};

drivers!(
    payloads_of_every_size,
    many_small_messages,
    /// [A9]
    wrong_name,
    /// [A9]
    expired,
    /// [A9]
    unknown_authority,
    /// [A9]
    self_signed_certificate,
    another_name_by_choice,
    client_certificate_shown,
    client_certificate_missing,
    client_certificate_of_a_stranger,
    /// [A9]
    a_server_without_tls_hears_no_plaintext,
    /// [A10]
    an_end_without_notice_is_an_error,
    protocol_agreed_on,
    what_was_agreed_on_is_told,
    protocol_not_agreed_on,
    roots_of_the_platform,
    no_roots_on_the_platform,
    a_configuration_of_ones_own,
    cryptography_of_ones_own,
);

fn options(server: &Server, host: &str, tls: TlsBuilder) -> Options {
    common::options(&format!("mqtts://{host}:{}", server.address().port())).with_tls(tls.build().unwrap())
}

fn trusting(authority: &Authority) -> TlsBuilder {
    Tls::builder().roots_pem(&authority.pem()).unwrap()
}

/// A client with these options is served in full by a server with this configuration.
fn served<A: Adapter>(config: Arc<ServerConfig>, options: impl FnOnce(&Server) -> Options, sizes: &[usize]) {
    let server = Server::new();
    let options = options(&server);
    let script = script(server, move |server| tls_server::echo(&config, server.accept_socket()));
    calls::<A>(options, sizes);
    script.join().unwrap();
}

/// How connecting fails to a server with this configuration, which hears no packet.
fn turned_away<A: Adapter>(config: Arc<ServerConfig>, tls: TlsBuilder) -> Disconnected {
    let server = Server::new();
    let options = options(&server, "localhost", tls);
    let script = script(server, move |server| {
        tls_server::link(&config, server.accept_socket()).map(|mut link| link.next())
    });
    let end = refused::<A>(options);
    assert!(script.join().unwrap().map_or(true, |got| got == Got::End), "it was told something");
    end
}

fn detail(end: &Disconnected) -> &str {
    match &end.cause {
        Some(Cause::Tls { detail, .. } | Cause::Transport { detail, .. }) => detail,
        other => panic!("{other:?}"),
    }
}

fn payloads_of_every_size<A: Adapter>() {
    let authority = Authority::new();
    let config = server(&authority.issue("localhost"), None);
    served::<A>(config, |server| options(server, "localhost", trusting(&authority)), &SIZES);
}

fn many_small_messages<A: Adapter>() {
    let authority = Authority::new();
    let config = server(&authority.issue("localhost"), None);
    let server = Server::new();
    let options = options(&server, "localhost", trusting(&authority));
    let script = script(server, move |server| {
        let mut link = tls_server::link(&config, server.accept_socket()).unwrap();
        link.welcome(false);
        link.serve()
    });
    let mut client = A::connect(options).unwrap();
    let mut last = None;
    for number in 0..5_000_u32 {
        let publish = Publish::new("n", number.to_be_bytes().to_vec()).qos(Qos::AtLeastOnce);
        last = Some(client.publish(publish).unwrap());
    }
    assert!(client.outcome(last.unwrap()).is_success());
    assert_eq!(client.stop(), 0);
    assert_eq!(script.join().unwrap().len(), 5_001);
}

fn wrong_name<A: Adapter>() {
    let authority = Authority::new();
    let end = turned_away::<A>(server(&authority.issue("other.example"), None), trusting(&authority));
    assert!(detail(&end).contains("not valid for name"), "{end}");
}

fn expired<A: Adapter>() {
    let authority = Authority::new();
    let end = turned_away::<A>(server(&authority.issue_expired("localhost"), None), trusting(&authority));
    assert!(detail(&end).contains("expired"), "{end}");
}

fn unknown_authority<A: Adapter>() {
    let config = server(&Authority::new().issue("localhost"), None);
    let end = turned_away::<A>(config, trusting(&Authority::new()));
    assert!(detail(&end).contains("UnknownIssuer"), "{end}");
}

fn self_signed_certificate<A: Adapter>() {
    let end = turned_away::<A>(server(&self_signed("localhost"), None), trusting(&Authority::new()));
    assert!(detail(&end).contains("invalid peer certificate"), "{end}");
}

/// The certificate is checked for the name that was asked for, whatever the address.
fn another_name_by_choice<A: Adapter>() {
    let authority = Authority::new();
    let config = server(&authority.issue("broker.example"), None);
    let tls = trusting(&authority).server_name("broker.example").unwrap();
    served::<A>(Arc::clone(&config), |server| options(server, "127.0.0.1", tls), &[10]);
    let end = turned_away::<A>(config, trusting(&authority).server_name("other.example").unwrap());
    assert!(detail(&end).contains("not valid for name"), "{end}");
}

fn client_certificate_shown<A: Adapter>() {
    let authority = Authority::new();
    let config = server(&authority.issue("localhost"), Some(&authority));
    let lamp = authority.issue("lamp-7");
    let tls = trusting(&authority).identity_pem(lamp.chain.as_bytes(), lamp.key.as_bytes()).unwrap();
    served::<A>(config, |server| options(server, "localhost", tls), &[10]);
}

fn client_certificate_missing<A: Adapter>() {
    let authority = Authority::new();
    let config = server(&authority.issue("localhost"), Some(&authority));
    let end = turned_away_late::<A>(config, trusting(&authority));
    assert!(detail(&end).contains("CertificateRequired"), "{end}");
}

fn client_certificate_of_a_stranger<A: Adapter>() {
    let authority = Authority::new();
    let config = server(&authority.issue("localhost"), Some(&authority));
    let lamp = Authority::new().issue("lamp-7");
    let tls = trusting(&authority).identity_pem(lamp.chain.as_bytes(), lamp.key.as_bytes()).unwrap();
    let end = turned_away_late::<A>(config, tls);
    assert!(detail(&end).contains("alert"), "{end}");
}

/// As `turned_away`; in TLS 1.3 the client learns only after its own handshake what the server thinks of its certificate.
fn turned_away_late<A: Adapter>(config: Arc<ServerConfig>, tls: TlsBuilder) -> Disconnected {
    let server = Server::new();
    let options = options(&server, "localhost", tls);
    let script = script(server, move |server| tls_server::link(&config, server.accept_socket()).map(|_| ()));
    let mut client = A::start(options).unwrap();
    let end = disconnected(&mut client);
    assert!(matches!(end.why, Why::DialFailed | Why::TransportFailed), "{end}");
    assert!(script.join().unwrap().is_err(), "it was let in");
    client.stop();
    end
}

fn a_server_without_tls_hears_no_plaintext<A: Adapter>() {
    let server = Server::new();
    let options = options(&server, "localhost", trusting(&Authority::new()));
    let script = script(server, |server| {
        let mut socket = server.accept_socket();
        let mut first = [0; 3];
        std::io::Read::read_exact(&mut socket, &mut first).unwrap();
        // What a server of MQTT would say.
        socket.write_all(b"\x20\x03\x00\x00\x00").unwrap();
        (first, rest(&mut socket))
    });
    let end = refused::<A>(options);
    assert!(matches!(end.cause, Some(Cause::Tls { .. })), "{end:?}");
    let (first, rest) = script.join().unwrap();
    assert_eq!(first[..2], [0x16, 0x03], "no TLS handshake");
    assert!(!rest.windows(4).any(|bytes| bytes == b"MQTT"));
}

fn an_end_without_notice_is_an_error<A: Adapter>() {
    let authority = Authority::new();
    let config = server(&authority.issue("localhost"), None);
    let server = Server::new();
    let options = options(&server, "localhost", trusting(&authority));
    let script = script(server, move |server| {
        let mut link = tls_server::link(&config, server.accept_socket()).unwrap();
        link.welcome(false);
        link.cut();
        tls_server::echo(&config, server.accept_socket());
    });
    let mut client = A::connect(options).unwrap();
    let end = disconnected(&mut client);
    assert_eq!(end.why, Why::TransportFailed);
    assert!(matches!(&end.cause, Some(Cause::Transport { .. })), "{end:?}");
    let receipt = client.publish(Publish::new("a", "x").qos(Qos::AtLeastOnce)).unwrap();
    assert!(client.outcome(receipt).is_success(), "and it connects again");
    client.stop();
    script.join().unwrap();
}

fn protocol_agreed_on<A: Adapter>() {
    let authority = Authority::new();
    let config = server(&authority.issue("localhost"), None);
    let server = Server::new();
    let options = options(&server, "localhost", trusting(&authority).alpn(["x-other", "mqtt"]));
    let script = script(server, move |server| {
        let stream = tls_server::accept(&config, server.accept_socket()).unwrap();
        let agreed = stream.conn.alpn_protocol().map(<[u8]>::to_vec);
        echo(&mut tls_server::over(stream));
        agreed
    });
    calls::<A>(options, &[10]);
    assert_eq!(script.join().unwrap().as_deref(), Some(&b"mqtt"[..]));
}

fn what_was_agreed_on_is_told<A: Adapter>() {
    let authority = Authority::new();
    let config = server(&authority.issue("localhost"), None);
    let server = Server::new();
    let address = server.address();
    let options = options(&server, "localhost", trusting(&authority).alpn(["mqtt"]));
    let script = script(server, move |server| {
        let socket = server.accept_socket();
        let peer = socket.peer_addr().unwrap();
        tls_server::echo(&config, socket);
        peer
    });
    let mut client = A::start(options).unwrap();
    let connected = connected(&mut client);
    assert_eq!(client.stop(), 0);
    assert_eq!(connected.link.peer, Some(address));
    assert_eq!(connected.link.local, Some(script.join().unwrap()));
    assert_eq!(connected.link.tls_version, Some(0x0304));
    assert_eq!(connected.link.alpn.as_deref(), Some(&b"mqtt"[..]));
    assert!(!connected.took.is_zero());
}

fn protocol_not_agreed_on<A: Adapter>() {
    let authority = Authority::new();
    let config = server(&authority.issue("localhost"), None);
    let end = turned_away::<A>(config, trusting(&authority).alpn(["x-other"]));
    assert!(detail(&end).contains("NoApplicationProtocol"), "{end}");
}

/// Where they are is said by the environment, so the test runs in a process of its own.
fn roots_of_the_platform<A: Adapter>() {
    let (folder, authority) = (Folder::new("roots"), Authority::new());
    let (file, identity) = (folder.file("ca.pem"), authority.issue("localhost"));
    fs::write(&file, authority.pem()).unwrap();
    fs::write(folder.file("chain.pem"), &identity.chain).unwrap();
    fs::write(folder.file("key.pem"), &identity.key).unwrap();
    let variables = [
        ("SSL_CERT_FILE", file.to_str().unwrap()),
        ("SSL_CERT_DIR", ""),
        ("IDENTITY", folder.path().to_str().unwrap()),
    ];
    if !in_child::<A>("tls::roots_of_the_platform", &variables, &[]) {
        return;
    }
    let at = std::path::PathBuf::from(std::env::var_os("IDENTITY").unwrap());
    let read = |name| fs::read_to_string(at.join(name)).unwrap();
    let config = server(&tls_server::Identity { chain: read("chain.pem"), key: read("key.pem") }, None);
    // Without a word about TLS: the default.
    let url = |server: &Server| format!("mqtts://localhost:{}", server.address().port());
    served::<A>(config, |server| common::options(&url(server)), &[10]);
    // And nobody else is trusted.
    let end = turned_away::<A>(
        server(&Authority::new().issue("localhost"), None),
        Tls::builder().platform_roots().unwrap(),
    );
    assert!(detail(&end).contains("UnknownIssuer"), "{end}");
}

fn no_roots_on_the_platform<A: Adapter>() {
    let folder = Folder::new("roots");
    let file = folder.file("none.pem");
    fs::write(&file, "").unwrap();
    let variables = [("SSL_CERT_FILE", file.to_str().unwrap()), ("SSL_CERT_DIR", "")];
    if !in_child::<A>("tls::no_roots_on_the_platform", &variables, &[]) {
        return;
    }
    let error = A::start(common::options("mqtts://localhost")).err().expect("nobody is trusted");
    assert!(matches!(error, mqtt_adapter_std::ConnectError::Tls(TlsError::NoRoots(_))), "{error:?}");
}

fn a_configuration_of_ones_own<A: Adapter>() {
    let authority = Authority::new();
    let config = server(&authority.issue("localhost"), None);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&authority.pem()).unwrap()).unwrap();
    let mut own = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    own.alpn_protocols = vec![b"mqtt".to_vec()];
    let server = Server::new();
    let url = format!("mqtts://localhost:{}", server.address().port());
    let options = common::options(&url).with_tls(Tls::from_config(Arc::new(own)));
    let script = script(server, move |server| {
        let stream = tls_server::accept(&config, server.accept_socket()).unwrap();
        let version = stream.conn.protocol_version();
        echo(&mut tls_server::over(stream));
        version
    });
    calls::<A>(options, &[10]);
    assert_eq!(
        script.join().unwrap(),
        Some(rustls::ProtocolVersion::TLSv1_2),
        "what it allows is what is used"
    );
}

fn cryptography_of_ones_own<A: Adapter>() {
    let mut provider = default_provider();
    provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
    only_this::<A>(provider, CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
}

#[cfg(feature = "aws-lc-rs")]
drivers!(the_other_cryptography);

#[cfg(feature = "aws-lc-rs")]
fn the_other_cryptography<A: Adapter>() {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let first = provider.cipher_suites[0].suite();
    only_this::<A>(provider, first);
}

/// A client with this cryptography takes this suite, and still trusts only whom it should.
fn only_this<A: Adapter>(provider: CryptoProvider, suite: CipherSuite) {
    let (authority, server_side, provider) = (Authority::new(), Server::new(), Arc::new(provider));
    let config = server(&authority.issue("localhost"), None);
    let tls = Tls::builder_with(Arc::clone(&provider)).roots_pem(&authority.pem()).unwrap();
    let options = options(&server_side, "localhost", tls);
    let script = script(server_side, move |server| {
        let stream = tls_server::accept(&config, server.accept_socket()).unwrap();
        let agreed = stream.conn.negotiated_cipher_suite().map(|suite| suite.suite());
        echo(&mut tls_server::over(stream));
        agreed
    });
    calls::<A>(options, &SIZES);
    assert_eq!(script.join().unwrap(), Some(suite));
    let stranger = server(&Authority::new().issue("localhost"), None);
    let tls = Tls::builder_with(provider).roots_pem(&authority.pem()).unwrap();
    assert!(detail(&turned_away::<A>(stranger, tls)).contains("UnknownIssuer"));
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
