//! What the hook before each attempt may change: credentials, headers, TLS, properties of CONNECT, the proxy.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

use mqtt_adapter_std::{Cause, OwnedProperties, Property, Proxy, ProxyFailure, ReasonCode, Tls};
use mqtt_proto::Connack;
use mqtt_tests::adapter::{Adapter, Smol, Threads};
use mqtt_tests::drivers;
use mqtt_tests::forward::Forward;
use mqtt_tests::mosquitto::{Mosquitto, free_address};

use crate::common::{connected, disconnected, echo, options, refused, script};
use crate::peer::{Got, Server};
use crate::tls_server::{self, Authority};
use crate::ws_server;

drivers!(
    credentials_and_properties,
    headers,
    roots_and_a_client_certificate,
    a_proxy,
    a_slow_hook_counts_against_the_attempt,
    a_hook_that_says_no_ends_the_attempt,
);

fn credentials_and_properties<A: Adapter>() {
    let server = Server::new();
    let options = options(&server.url()).with_before_connect(|attempt, options| {
        let number = attempt.number.to_string();
        let properties = [Property::UserProperty("attempt", &number)];
        let properties = OwnedProperties::new(&properties).map_err(|error| error.to_string())?;
        Ok(options.with_username(number.clone()).with_password(number).with_properties(properties))
    });
    let script = script(server, |server| {
        let mut first = server.accept();
        let one = (first.connect(), first.connect_properties());
        first.send(&Connack { reason_code: ReasonCode::ServerUnavailable, ..Connack::accepted(false) });
        let mut second = server.accept();
        let two = (second.connect(), second.connect_properties());
        second.send(&Connack::accepted(false));
        second.serve();
        [one, two]
    });
    let mut client = A::start(options).unwrap();
    connected(&mut client);
    assert_eq!(client.stop(), 0);
    for (at, (got, properties)) in script.join().unwrap().into_iter().enumerate() {
        let number = (at + 1).to_string();
        let Got::Connect { username, password, .. } = got else { panic!("{got:?}") };
        assert_eq!((username, password), (Some(number.clone()), Some(number.clone().into_bytes())));
        assert!(properties.contains(&("attempt".to_owned(), number)), "{properties:?}");
    }
}

fn headers<A: Adapter>() {
    let server = Server::new();
    let options = options(&format!("ws://{}/", server.address())).with_before_connect(|attempt, options| {
        Ok(options.with_ws_header("Authorization", format!("Bearer {}", attempt.number)))
    });
    let script = script(server, |server| {
        let (first, one, _) = ws_server::link(server.accept_socket(), usize::MAX);
        first.cut();
        let (mut second, two, _) = ws_server::link(server.accept_socket(), usize::MAX);
        echo(&mut second);
        [one, two].map(|asked| asked.authorization.unwrap_or_default())
    });
    let mut client = A::start(options).unwrap();
    connected(&mut client);
    assert_eq!(client.stop(), 0);
    assert_eq!(script.join().unwrap(), ["Bearer 1", "Bearer 2"]);
}

/// The first attempt trusts the wrong authority, the second shows no certificate, the third does both right.
fn roots_and_a_client_certificate<A: Adapter>() {
    let (authority, server) = (Authority::new(), Server::new());
    let config = tls_server::server(&authority.issue("localhost"), Some(&authority));
    let lamp = authority.issue("lamp-7");
    let (right, wrong) = (authority.pem(), Authority::new().pem());
    let url = format!("mqtts://localhost:{}", server.address().port());
    let stranger = Tls::builder().roots_pem(&wrong).unwrap().build().unwrap();
    let options = options(&url).with_tls(stranger).with_before_connect(move |attempt, options| {
        let tls = Tls::builder().roots_pem(&right).and_then(|tls| match attempt.number {
            2 => tls.build(),
            _ => tls.identity_pem(lamp.chain.as_bytes(), lamp.key.as_bytes())?.build(),
        });
        Ok(if attempt.number == 1 {
            options
        } else {
            options.with_tls(tls.map_err(|error| error.to_string())?)
        })
    });
    let script = script(server, move |server| {
        assert!(tls_server::accept(&config, server.accept_socket()).is_err());
        assert!(tls_server::accept(&config, server.accept_socket()).is_err());
        tls_server::echo(&config, server.accept_socket());
    });
    let mut client = A::start(options).unwrap();
    let first = disconnected(&mut client);
    assert!(
        matches!(&first.cause, Some(Cause::Tls { detail, .. }) if detail.contains("UnknownIssuer")),
        "{first}"
    );
    let second = disconnected(&mut client);
    assert!(second.to_string().contains("CertificateRequired"), "{second}");
    connected(&mut client);
    assert_eq!(client.stop(), 0);
    script.join().unwrap();
}

fn a_proxy<A: Adapter>() {
    let (broker, good) = (Mosquitto::start(), Forward::socks5(false));
    let bad = format!("http://{}", free_address());
    let good_url = good.url();
    let options = options(&broker.url()).with_before_connect(move |attempt, options| {
        let url = if attempt.number == 1 { &bad } else { &good_url };
        Ok(options.with_proxy(Proxy::parse(url).map_err(|error| error.to_string())?))
    });
    let mut client = A::start(options).unwrap();
    let first = disconnected(&mut client);
    let refused = ProxyFailure::Unreachable { kind: ErrorKind::ConnectionRefused };
    assert!(matches!(first.cause, Some(Cause::Proxy { failure, .. }) if failure == refused), "{first:?}");
    connected(&mut client);
    assert_eq!(client.stop(), 0);
    assert!(good.log().contains(&broker.address().to_string()), "{}", good.log());
}

fn a_slow_hook_counts_against_the_attempt<A: Adapter>() {
    let server = Server::new();
    let mut options = options(&server.url()).with_before_connect(|_, options| {
        std::thread::sleep(Duration::from_millis(600));
        Ok(options)
    });
    options.engine_mut().dial_timeout = Duration::from_millis(200);
    let begun = Instant::now();
    refused::<A>(options);
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

fn a_hook_that_says_no_ends_the_attempt<A: Adapter>() {
    let calls = Arc::new(AtomicU32::new(0));
    let (server, count) = (Server::new(), Arc::clone(&calls));
    let options = options(&server.url()).with_before_connect(move |_, options| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            return Err("not yet".to_owned());
        }
        Ok(options)
    });
    let script = script(server, |server| server.welcome(false).serve());
    let mut client = A::start(options).unwrap();
    let first = disconnected(&mut client);
    assert!(matches!(&first.cause, Some(Cause::Hook { detail }) if detail == "not yet"), "{first:?}");
    connected(&mut client);
    assert_eq!(client.stop(), 0);
    script.join().unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

/// Where there is a thread for it, a stop does not wait for the hook.
fn a_hook_that_waits_holds_nothing_up<A: Adapter>() {
    let server = Server::new();
    let (release, released) = mpsc::channel::<()>();
    let (entered, inside) = mpsc::channel();
    let released = Mutex::new(released);
    let options = options(&server.url()).with_before_connect(move |_, options| {
        let _ = entered.send(());
        // Until the test lets it go.
        let _ = released.lock().unwrap().recv();
        Ok(options)
    });
    let mut client = A::start(options).unwrap();
    inside.recv().unwrap();
    client.stop();
    drop(release);
}

#[test]
fn a_hook_that_waits_holds_nothing_up_threads() {
    a_hook_that_waits_holds_nothing_up::<Threads>();
}

#[test]
fn a_hook_that_waits_holds_nothing_up_smol() {
    a_hook_that_waits_holds_nothing_up::<Smol>();
}
