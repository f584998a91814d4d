//! What a server may ask of a client beside CONNECT: to prove who it is, and to go elsewhere.

#[path = "../../adapter-core/tests/peer/mod.rs"]
mod peer;

use core::time::Duration;
use std::thread;

use futures_lite::future;
use mqtt_adapter_smol::{Config, Event, Options, OwnedProperties, Properties, Property, ReasonCode, connect};
use mqtt_proto::{Auth, Connack};
use peer::{Got, PATIENCE, Server};

const METHOD: Property<'static> = Property::AuthenticationMethod("LEMMA");

#[test]
fn a_client_proves_who_it_is_and_follows_its_server_elsewhere() {
    let (first, second) = (Server::new(), Server::new());
    let address = second.address();
    let mut config = Config::new(7);
    config.redirects = 1;
    config.backoff.base = Duration::from_millis(1);
    let options = Options::new(&first.url())
        .unwrap()
        .with_engine(config)
        .with_properties(OwnedProperties::new(&[METHOD]).unwrap());
    let script = thread::spawn(move || {
        let mut link = first.accept();
        link.connect();
        let there = address.to_string();
        let list = [Property::ServerReference(&there)];
        link.send(&Connack {
            session_present: false,
            reason_code: ReasonCode::ServerMoved,
            properties: Properties::List(&list),
        });
        let mut link = second.accept();
        link.connect();
        link.send(&Auth {
            reason_code: ReasonCode::ContinueAuthentication,
            properties: Properties::List(&[METHOD]),
        });
        let answer = link.next();
        link.send(&Connack {
            session_present: false,
            reason_code: ReasonCode::Success,
            properties: Properties::List(&[METHOD]),
        });
        (answer, link.serve())
    });
    let (client, connection) = connect(options).unwrap();
    let work = async {
        loop {
            match client.next_event().await.unwrap() {
                Event::Auth { reason_code, .. } => {
                    let answer = [METHOD, Property::AuthenticationData(b"me")];
                    client.authenticate(reason_code, Properties::List(&answer)).unwrap();
                }
                Event::Connected(connected) => break assert_eq!(connected.server.port(), address.port()),
                _ => {}
            }
        }
        client.stop(PATIENCE).await
    };
    let (left, _) = future::block_on(future::zip(work, connection));
    assert_eq!(left, 0);
    let (answer, rest) = script.join().unwrap();
    assert_eq!(answer, Got::Auth(ReasonCode::ContinueAuthentication, b"me".to_vec()));
    assert_eq!(rest, [Got::Disconnect(ReasonCode::Success)]);
}
