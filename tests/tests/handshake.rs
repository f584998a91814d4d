//! What a server may ask of a client beside CONNECT, in every driver: to prove who it is, and to go elsewhere.

#[path = "../../adapter-core/tests/peer/mod.rs"]
mod peer;

use core::time::Duration;
use std::thread::{self, JoinHandle};

use mqtt_adapter_std::{
    AuthError, Cause, Event, Options, OwnedProperties, Properties, Property, ReasonCode, Why,
};
use mqtt_proto::{Auth, Connack};
use mqtt_tests::adapter::{Adapter, CAP};
use mqtt_tests::drivers;
use peer::{Got, Server};

drivers!(a_server_elsewhere, a_reference_that_is_no_address, enhanced_authentication);

const METHOD: Property<'static> = Property::AuthenticationMethod("LEMMA");

/// A server that sends its first client elsewhere.
fn refuse_to(reference: &str, server: Server) -> JoinHandle<()> {
    let reference = reference.to_owned();
    thread::spawn(move || {
        let mut link = server.accept();
        link.connect();
        let list = [Property::ServerReference(&reference)];
        link.send(&Connack {
            session_present: false,
            reason_code: ReasonCode::UseAnotherServer,
            properties: Properties::List(&list),
        });
    })
}

/// Options of a client that goes where it is sent, twice.
fn following(server: &Server) -> Options {
    let mut options = Options::new(&server.url()).unwrap();
    options.engine_mut().redirects = 2;
    options.engine_mut().backoff.base = Duration::from_millis(1);
    options
}

fn a_server_elsewhere<A: Adapter>() {
    let (first, second) = (Server::new(), Server::new());
    let options = following(&first);
    let address = second.address();
    let first = refuse_to(&address.to_string(), first);
    let second = thread::spawn(move || second.welcome(false).serve());
    let mut client = A::start(options).unwrap();
    let mut closing = None;
    let place = loop {
        match client.event(CAP).unwrap() {
            Event::ServerClosing { properties, .. } => closing = Some(properties),
            Event::Connected(connected) => break connected.server,
            _ => {}
        }
    };
    assert_eq!(place.port(), address.port());
    assert_eq!(closing.unwrap().as_properties().server_reference(), Some(address.to_string().as_str()));
    assert_eq!(client.stop(), 0);
    first.join().unwrap();
    assert_eq!(second.join().unwrap(), [Got::Disconnect(ReasonCode::Success)]);
}

fn a_reference_that_is_no_address<A: Adapter>() {
    let first = Server::new();
    let mut options = following(&first);
    options.engine_mut().backoff.attempts = Some(2);
    let script = refuse_to("mqtt://elsewhere.example", first);
    let mut client = A::start(options).unwrap();
    let last = loop {
        match client.event(CAP).unwrap() {
            Event::Disconnected(end) if end.retry.is_none() => break end,
            _ => {}
        }
    };
    assert_eq!(last.why, Why::DialFailed);
    assert!(matches!(last.cause, Some(Cause::Redirect { .. })), "{last:?}");
    script.join().unwrap();
}

fn enhanced_authentication<A: Adapter>() {
    let server = Server::new();
    let first = [METHOD, Property::AuthenticationData(b"I am lamp")];
    let options = Options::new(&server.url()).unwrap().with_properties(OwnedProperties::new(&first).unwrap());
    let script = thread::spawn(move || {
        let mut link = server.accept();
        link.connect();
        let why = [METHOD, Property::AuthenticationData(b"why")];
        link.send(&Auth {
            reason_code: ReasonCode::ContinueAuthentication,
            properties: Properties::List(&why),
        });
        let answer = link.next();
        link.send(&Connack {
            session_present: false,
            reason_code: ReasonCode::Success,
            properties: Properties::List(&[METHOD]),
        });
        (answer, link.serve())
    });
    let mut client = A::start(options).unwrap();
    loop {
        match client.event(CAP).unwrap() {
            Event::Auth { reason_code, properties } => {
                assert_eq!(reason_code, ReasonCode::ContinueAuthentication);
                assert_eq!(properties.as_properties().authentication_data(), Some(&b"why"[..]));
                let answer = [METHOD, Property::AuthenticationData(b"because")];
                client.authenticate(reason_code, Properties::List(&answer)).unwrap();
            }
            Event::Connected(_) => break,
            _ => {}
        }
    }
    let late = client.authenticate(ReasonCode::ContinueAuthentication, Properties::List(&[METHOD]));
    assert_eq!(late, Err(AuthError::OutOfTurn));
    assert_eq!(client.stop(), 0);
    let (answer, rest) = script.join().unwrap();
    assert_eq!(answer, Got::Auth(ReasonCode::ContinueAuthentication, b"because".to_vec()));
    assert_eq!(rest, [Got::Disconnect(ReasonCode::Success)]);
}
