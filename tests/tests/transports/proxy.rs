//! Proxies: microsocks and tinyproxy in front of mosquitto, and some with a script that misbehave.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use mqtt_adapter_std::{Cause, Options, Proxy, ProxyFailure, Publish, Qos, Tls};
use mqtt_tests::adapter::{Adapter, CAP};
use mqtt_tests::drivers;
use mqtt_tests::forward::{CREDENTIALS, Forward};
use mqtt_tests::mosquitto::{Mosquitto, free_address};

use crate::common::{self, calls, echo, in_child, refused, rest, script};
use crate::peer::{Got, Link, Server};
use crate::tls_server::{self, Authority};
use crate::ws_server;

drivers!(
    socks,
    socks_with_a_password,
    connect,
    connect_with_a_password,
    wrong_password,
    no_password,
    a_server_the_proxy_cannot_reach,
    a_proxy_that_is_not_there,
    a_proxy_without_a_name,
    tls_through_socks,
    wss_through_connect,
    /// [A9]
    wrong_name_through_a_proxy,
    names_are_left_to_the_proxy,
    the_other_kind_of_proxy,
    answers_that_never_end,
    a_silent_proxy_is_given_up_in_time,
    every_byte_behind_the_answer_is_the_servers,
    from_the_environment,
    from_the_environment_but_not_for_all,
    a_cut_is_mended_through_the_proxy,
);

fn options(url: &str, proxy: &str) -> Options {
    common::options(url).with_proxy(Proxy::parse(proxy).expect("the test makes good addresses"))
}

/// Messages come back from mosquitto at each quality of service.
fn round_trips<A: Adapter>(options: Options) {
    let mut client = A::connect(options).unwrap_or_else(|error| panic!("it connects: {error}"));
    client.subscribe("echo", Qos::ExactlyOnce).expect("it is granted");
    for (qos, size) in [(Qos::AtMostOnce, 10), (Qos::AtLeastOnce, 5_000), (Qos::ExactlyOnce, 500_000)] {
        let payload = vec![b'x'; size];
        let receipt = client.publish(Publish::new("echo", &payload).qos(qos)).expect("there is room");
        assert!(client.outcome(receipt).is_success());
        assert_eq!(client.message(CAP).expect("it comes back").payload(), payload);
    }
    assert_eq!(client.stop(), 0);
}

/// What the proxy did not do.
fn failure<A: Adapter>(options: Options) -> (ProxyFailure, String) {
    let end = refused::<A>(options);
    match &end.cause {
        Some(Cause::Proxy { failure, .. }) => (*failure, end.to_string()),
        other => panic!("{other:?}"),
    }
}

fn through<A: Adapter>(proxy: &Forward, url: &str) {
    let broker = Mosquitto::start();
    round_trips::<A>(options(&broker.url(), url));
    assert!(proxy.log().contains(&broker.address().to_string()), "it went another way: {}", proxy.log());
}

fn socks<A: Adapter>() {
    let proxy = Forward::socks5(false);
    through::<A>(&proxy, &proxy.url());
}

fn socks_with_a_password<A: Adapter>() {
    let proxy = Forward::socks5(true);
    through::<A>(&proxy, &proxy.url_with(CREDENTIALS.0, CREDENTIALS.1));
}

fn connect<A: Adapter>() {
    let proxy = Forward::http(false);
    through::<A>(&proxy, &proxy.url());
}

fn connect_with_a_password<A: Adapter>() {
    let proxy = Forward::http(true);
    through::<A>(&proxy, &proxy.url_with(CREDENTIALS.0, CREDENTIALS.1));
}

fn wrong_password<A: Adapter>() {
    for proxy in [Forward::socks5(true), Forward::http(true)] {
        let url = proxy.url_with(CREDENTIALS.0, "canary");
        let (failure, told) = failure::<A>(options("mqtt://127.0.0.1:1", &url));
        assert_eq!(failure, ProxyFailure::Credentials, "{told}");
        assert!(told.contains("check") && !told.contains("canary"), "{told}");
    }
}

fn no_password<A: Adapter>() {
    for proxy in [Forward::socks5(true), Forward::http(true)] {
        let (failure, told) = failure::<A>(options("mqtt://127.0.0.1:1", &proxy.url()));
        assert_eq!(failure, ProxyFailure::Credentials, "{told}");
        assert!(told.contains("give it some"), "{told}");
    }
}

fn a_server_the_proxy_cannot_reach<A: Adapter>() {
    let nobody = format!("mqtt://{}", free_address());
    let (failed, told) = failure::<A>(options(&nobody, &Forward::socks5(false).url()));
    assert_eq!(failed, ProxyFailure::Refused { code: 5 }, "{told}");
    let (failed, told) = failure::<A>(options(&nobody, &Forward::http(false).url()));
    assert!(matches!(failed, ProxyFailure::Refused { code: 500..600 }), "{told}");
}

fn a_proxy_that_is_not_there<A: Adapter>() {
    for scheme in ["socks5", "http"] {
        let proxy = format!("{scheme}://user:canary@{}", free_address());
        let (failed, told) = failure::<A>(options("mqtt://127.0.0.1:1", &proxy));
        assert_eq!(failed, ProxyFailure::Unreachable { kind: ErrorKind::ConnectionRefused }, "{told}");
        assert!(told.contains(scheme) && !told.contains("canary"), "{told}");
    }
}

fn a_proxy_without_a_name<A: Adapter>() {
    let (failed, told) = failure::<A>(options("mqtt://127.0.0.1:1", "socks5://proxy.invalid"));
    assert!(matches!(failed, ProxyFailure::Unreachable { .. }), "{told}");
}

fn trusting(authority: &Authority) -> Tls {
    Tls::builder().roots_pem(&authority.pem()).unwrap().build().unwrap()
}

/// The certificate is that of the server, not of the proxy.
fn tls_through_socks<A: Adapter>() {
    let (proxy, authority, server) = (Forward::socks5(false), Authority::new(), Server::new());
    let config = tls_server::server(&authority.issue("localhost"), None);
    let url = format!("mqtts://localhost:{}", server.address().port());
    let options = options(&url, &proxy.url()).with_tls(trusting(&authority));
    let script = script(server, move |server| tls_server::echo(&config, server.accept_socket()));
    calls::<A>(options, &common::SIZES);
    script.join().unwrap();
}

fn wss_through_connect<A: Adapter>() {
    let (proxy, authority, server) = (Forward::http(true), Authority::new(), Server::new());
    let config = tls_server::server(&authority.issue("localhost"), None);
    let url = format!("wss://localhost:{}/mqtt", server.address().port());
    let proxy_url = proxy.url_with(CREDENTIALS.0, CREDENTIALS.1);
    let options = options(&url, &proxy_url).with_tls(trusting(&authority));
    let script = script(server, move |server| {
        let stream = tls_server::accept(&config, server.accept_socket()).unwrap();
        let (mut link, asked, _) = ws_server::link(stream, usize::MAX);
        echo(&mut link);
        asked.authorization
    });
    calls::<A>(options, &common::SIZES);
    assert_eq!(script.join().unwrap(), None, "what is for the proxy stays with it");
}

fn wrong_name_through_a_proxy<A: Adapter>() {
    let (proxy, authority, server) = (Forward::socks5(false), Authority::new(), Server::new());
    // As if the proxy were the server.
    let config = tls_server::server(&authority.issue("127.0.0.1"), None);
    let url = format!("mqtts://localhost:{}", server.address().port());
    let options = options(&url, &proxy.url()).with_tls(trusting(&authority));
    let script = script(server, move |server| {
        tls_server::link(&config, server.accept_socket()).map(|mut link| link.next())
    });
    let end = refused::<A>(options);
    let Some(Cause::Tls { detail, .. }) = &end.cause else { panic!("{end:?}") };
    assert!(detail.contains("not valid for name") && detail.contains(&proxy.url()), "{detail}");
    assert!(script.join().unwrap().map_or(true, |got| got == Got::End));
}

/// A proxy of SOCKS that lets everyone in, up to the request for a server; the request.
fn socks_request(socket: &mut TcpStream) -> Vec<u8> {
    let mut greeting = [0; 3];
    socket.read_exact(&mut greeting).unwrap();
    assert_eq!(greeting, [5, 1, 0]);
    socket.write_all(&[5, 0]).unwrap();
    let mut request = [0; 300];
    let len = socket.read(&mut request).unwrap();
    request[..len].to_vec()
}

fn names_are_left_to_the_proxy<A: Adapter>() {
    let proxy = Server::new();
    // Nobody but the proxy knows this one.
    let options = options("mqtt://broker.invalid:1884", &format!("socks5://{}", proxy.address()));
    let script = script(proxy, |proxy| {
        let mut socket = proxy.accept_socket();
        let request = socks_request(&mut socket);
        socket.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        echo(&mut Link::over(socket));
        request
    });
    calls::<A>(options, &[0, 10, 100_000]);
    assert_eq!(script.join().unwrap(), b"\x05\x01\x00\x03\x0ebroker.invalid\x07\x5c");
}

fn the_other_kind_of_proxy<A: Adapter>() {
    let socks = Forward::socks5(false);
    let (failed, told) = failure::<A>(options("mqtt://127.0.0.1:1", &socks.url().replace("socks5", "http")));
    // microsocks says nothing to what it does not know, and closes; with what was sent unread, or read.
    let reset = ProxyFailure::Unreachable { kind: ErrorKind::ConnectionReset };
    assert!([ProxyFailure::Broken, reset].contains(&failed), "{told}");

    let http = Server::new();
    let options = options("mqtt://127.0.0.1:1", &format!("socks5://{}", http.address()));
    let script = script(http, |http| {
        let mut socket = http.accept_socket();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        rest(&mut socket)
    });
    let (failed, told) = failure::<A>(options);
    assert_eq!(failed, ProxyFailure::Broken, "{told}");
    assert_eq!(script.join().unwrap(), [5, 1, 0]);
}

fn answers_that_never_end<A: Adapter>() {
    let head = b"HTTP/1.1 200 OK\r\nX-Long: ";
    for filler in [&[b'a'; 4_096][..], &b"b\r\nX: ".repeat(700)] {
        let (proxy, filler) = (Server::new(), filler.to_vec());
        let options = options("mqtt://h:1", &format!("http://{}", proxy.address()));
        let script = script(proxy, move |proxy| {
            let mut socket = proxy.accept_socket();
            let _ = socket.write_all(head);
            // Until the client has enough of it.
            while socket.write_all(&filler).is_ok() {}
        });
        let (failed, told) = failure::<A>(options);
        assert_eq!(failed, ProxyFailure::Broken, "{told}");
        script.join().unwrap();
    }
}

fn a_silent_proxy_is_given_up_in_time<A: Adapter>() {
    for (scheme, half) in [("socks5", &b""[..]), ("socks5", b"\x05"), ("http", b"HTTP/1.1 200 OK\r\n")] {
        let proxy = Server::new();
        let mut options = options("mqtt://h:1", &format!("{scheme}://{}", proxy.address()));
        options.engine_mut().dial_timeout = Duration::from_millis(300);
        let script = script(proxy, move |proxy| {
            let mut socket = proxy.accept_socket();
            let _ = socket.write_all(half);
            // The client is the one that ends it, with no word of MQTT.
            rest(&mut socket)
        });
        let end = refused::<A>(options);
        // Whether the engine or the driver looks at the clock first is all the same.
        let late = ProxyFailure::Unreachable { kind: ErrorKind::TimedOut };
        assert!(
            end.cause.is_none()
                || matches!(&end.cause, Some(Cause::Proxy { failure, .. }) if *failure == late),
            "{end:?}"
        );
        let heard = script.join().unwrap();
        assert!(!heard.windows(4).any(|bytes| bytes == b"MQTT"), "{heard:?}");
    }
}

/// CONNACK comes in one piece with the proxy's last word, before the client has said a word of MQTT.
fn every_byte_behind_the_answer_is_the_servers<A: Adapter>() {
    const CONNACK: &[u8] = &[0x20, 3, 0, 0, 0];
    for scheme in ["socks5", "http"] {
        let proxy = Server::new();
        let options = options("mqtt://broker.invalid", &format!("{scheme}://{}", proxy.address()));
        let script = script(proxy, move |proxy| {
            let mut socket = proxy.accept_socket();
            let answer: &[u8] = if scheme == "socks5" {
                socks_request(&mut socket);
                &[5, 0, 0, 3, 1, b'x', 0, 0]
            } else {
                let _ = socket.read(&mut [0; 1_000]).unwrap();
                b"HTTP/1.1 200 Fine\r\nVia: this\r\n\r\n"
            };
            socket.write_all(&[answer, CONNACK].concat()).unwrap();
            let mut link = Link::over(socket);
            assert!(matches!(link.next(), Got::Connect { .. }));
            link.serve().pop()
        });
        let mut client = A::connect(options).unwrap();
        client.stop();
        assert!(matches!(script.join().unwrap(), Some(Got::Disconnect(_))));
    }
}

/// Carries one connection after another to the server, without a word: a proxy's way in.
fn door(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(to).unwrap();
            for (mut from, mut into) in
                [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
            {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut into);
                    let _ = into.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    address
}

fn from_the_environment<A: Adapter>() {
    let (socks, http) = (Forward::socks5(false), Forward::http(true));
    let variables = [
        ("ALL_PROXY", socks.url()),
        ("HTTPS_PROXY", http.url_with(CREDENTIALS.0, CREDENTIALS.1)),
        ("SOCKS", socks.url()),
        ("HTTP", http.url()),
    ];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    if !in_child::<A>("proxy::from_the_environment", &variables, &[]) {
        return;
    }
    let broker = Mosquitto::start();
    // Nothing is read unless it is asked for.
    let silent = common::options(&broker.url());
    assert_eq!(silent.proxy_for(&silent.servers()[0]), None);
    round_trips::<A>(silent);
    let plain = common::options(&broker.url()).with_proxy_from_env().unwrap();
    let used = plain.proxy_for(&plain.servers()[0]).map(ToString::to_string);
    assert_eq!(used, std::env::var("SOCKS").ok());
    round_trips::<A>(plain);
    let (authority, server) = (Authority::new(), Server::new());
    let config = tls_server::server(&authority.issue("localhost"), None);
    let encrypted = common::options(&format!("mqtts://localhost:{}", server.address().port()));
    let encrypted = encrypted.with_tls(trusting(&authority)).with_proxy_from_env().unwrap();
    let used = encrypted
        .proxy_for(&encrypted.servers()[0])
        .map(|proxy| (proxy.username().map(str::to_owned), proxy.port()));
    let port = Proxy::parse(&std::env::var("HTTP").unwrap()).unwrap().port();
    assert_eq!(used, Some((Some(CREDENTIALS.0.to_owned()), port)));
    let script = script(server, move |server| tls_server::echo(&config, server.accept_socket()));
    calls::<A>(encrypted, &[10]);
    script.join().unwrap();
}

fn from_the_environment_but_not_for_all<A: Adapter>() {
    let nobody = format!("http://{}", free_address());
    let variables = [("all_proxy", nobody.as_str()), ("no_proxy", "127.0.0.0/8,.example")];
    if !in_child::<A>("proxy::from_the_environment_but_not_for_all", &variables, &[]) {
        return;
    }
    let broker = Mosquitto::start();
    round_trips::<A>(common::options(&broker.url()).with_proxy_from_env().unwrap());
    let named = common::options(&format!("mqtt://localhost:{}", broker.address().port()));
    let (failed, told) = failure::<A>(named.with_proxy_from_env().unwrap());
    assert!(matches!(failed, ProxyFailure::Unreachable { .. }), "no proxy means no connection: {told}");
}

/// A session goes on over a new connection through the same proxy.
fn a_cut_is_mended_through_the_proxy<A: Adapter>() {
    const COUNT: u32 = 100;
    let (socks, server) = (Forward::socks5(false), Server::new());
    let way_in = door(socks.url().trim_start_matches("socks5://").parse().unwrap());
    let options = options(&server.url(), &format!("socks5://{way_in}"))
        .with_client_id("me")
        .with_clean_start(false)
        .with_session_expiry(Duration::MAX);
    let server = Arc::new(server);
    let script = thread::spawn(move || {
        let mut first = server.welcome(false);
        assert!(matches!(first.next_but_pings(), Got::Publish { .. }));
        first.cut();
        let mut second = server.welcome(true);
        let served = second.serve();
        served.iter().filter(|got| matches!(got, Got::Puback(_))).count()
    });
    let mut client = A::connect(options).unwrap();
    let mut receipts = Vec::new();
    for number in 0..COUNT {
        let payload = number.to_be_bytes();
        receipts.push(client.publish(Publish::new("n", &payload).qos(Qos::AtLeastOnce)).unwrap());
    }
    for receipt in receipts {
        assert!(client.outcome(receipt).is_success());
    }
    assert_eq!(client.stop(), 0);
    assert_eq!(script.join().unwrap(), COUNT as usize);
}
