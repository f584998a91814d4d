//! SCRAM-SHA-256 by the authenticator hook: for each attempt anew, and again while connected.

use core::time::Duration;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use mqtt_adapter_std::{AuthError, Authenticator, Cause, Event, Options, Outcome, Publish, Qos, Why};
use mqtt_proto::{Auth, Connack, Packet, Pingresp, Properties, Property, Puback, ReasonCode};
use mqtt_tests::adapter::{Adapter, CAP};
use mqtt_tests::drivers;
use mqtt_tests::server::{Line, Played};

use super::scram::{Client, METHOD, Server};

drivers!(
    every_attempt_and_every_repetition_has_a_nonce_of_its_own,
    a_server_that_cannot_prove_itself_again_is_left,
    without_an_authenticator_nothing_can_be_repeated,
);

/// The client's side; what it has come to is noted.
struct Scram(Client, Arc<Mutex<Vec<&'static str>>>);

impl Authenticator for Scram {
    fn method(&self) -> &str {
        METHOD
    }

    fn begin(&mut self) -> Result<Option<Vec<u8>>, String> {
        self.0.step(None).map(Some).map_err(|error| error.to_string())
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String> {
        self.0.step(Some(challenge)).map_err(|error| error.to_string())
    }

    fn finish(&mut self, data: Option<&[u8]>) -> Result<(), String> {
        let data = data.ok_or("the server proves nothing")?;
        self.0.step(Some(data)).map_err(|_| "the server does not know the password")?;
        self.1.lock().unwrap().push("proved");
        Ok(())
    }
}

/// What the server saw of each exchange: the client's nonce.
type Nonces = Arc<Mutex<Vec<String>>>;

fn step(data: &[u8]) -> [Property<'_>; 2] {
    [Property::AuthenticationMethod(METHOD), Property::AuthenticationData(data)]
}

fn data<'a>(properties: &Properties<'a>) -> &'a [u8] {
    properties.authentication_data().expect("each step has data")
}

/// One connection of a server that knows the password, or forgets it once the client is connected. A message to `cut`
/// cuts the connection.
fn play(line: &mut Line, nonces: &Nonces, forgets: bool) {
    let begin = |first: &[u8], server: &mut Server| {
        let text = str::from_utf8(first).unwrap();
        let nonce = text.split(',').find_map(|part| part.strip_prefix("r=")).expect("a nonce");
        nonces.lock().unwrap().push(nonce.to_owned());
        server.step(first).0
    };
    let mut server = Server::new("meter", "pencil");
    let mut connected = false;
    while let Some(frame) = line.frame() {
        match frame.packet() {
            Packet::Connect(connect) => {
                let challenge = begin(data(&connect.properties), &mut server);
                let list = step(&challenge);
                let properties = Properties::List(&list);
                line.send(&Auth { reason_code: ReasonCode::ContinueAuthentication, properties });
            }
            Packet::Auth(auth) if auth.reason_code == ReasonCode::ReAuthenticate => {
                server = Server::new("meter", if forgets { "eraser" } else { "pencil" });
                let challenge = begin(data(&auth.properties), &mut server);
                let list = step(&challenge);
                let properties = Properties::List(&list);
                line.send(&Auth { reason_code: ReasonCode::ContinueAuthentication, properties });
            }
            Packet::Auth(auth) => {
                let (signature, verdict) = server.step(data(&auth.properties));
                // One that has forgotten it lets the client in, and cannot prove that it may.
                let signature = if verdict == Some(true) { signature } else { b"v=AAAA".to_vec() };
                let list = step(&signature);
                let properties = Properties::List(&list);
                if connected {
                    line.send(&Auth { reason_code: ReasonCode::Success, properties });
                } else {
                    let reason_code = ReasonCode::Success;
                    line.send(&Connack { session_present: false, reason_code, properties });
                    connected = true;
                }
            }
            Packet::Publish(publish) if publish.topic.is_some_and(|topic| topic.as_str() == "cut") => return,
            Packet::Publish(publish) => {
                if let Some(id) = publish.packet_id {
                    line.send(&Puback::new(id));
                }
            }
            Packet::Pingreq(_) => line.send(&Pingresp),
            _ => {}
        }
    }
}

fn server(forgets: bool) -> (Played, Nonces) {
    let nonces = Nonces::default();
    let seen = Arc::clone(&nonces);
    (Played::start(move |line| play(line, &seen, forgets)), nonces)
}

fn options(server: &Played) -> (Options, Arc<Mutex<Vec<&'static str>>>) {
    let notes = Arc::<Mutex<Vec<&'static str>>>::default();
    let mut options = Options::new(&server.url()).unwrap().with_linger(Duration::ZERO).with_authenticator({
        let notes = Arc::clone(&notes);
        move || Box::new(Scram(Client::new("meter", "pencil"), Arc::clone(&notes)))
    });
    options.engine_mut().backoff.base = Duration::from_millis(5);
    options.engine_mut().backoff.cap = Duration::from_millis(20);
    (options, notes)
}

/// Lets the client go on until something is so.
fn until<A: Adapter>(client: &mut A, what: &str, mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + CAP;
    while !reached() {
        assert!(Instant::now() < end, "{what}");
        let _ = client.message(Duration::from_millis(5));
    }
}

fn every_attempt_and_every_repetition_has_a_nonce_of_its_own<A: Adapter>() {
    const CUTS: usize = 5;
    let (server, nonces) = server(false);
    let (options, notes) = options(&server);
    let proved = || notes.lock().unwrap().len();
    let mut client = A::connect(options).unwrap();
    for round in 1..=CUTS {
        let before = proved();
        client.reauthenticate().unwrap();
        until(&mut client, "it authenticates again", || proved() == before + 1);
        let receipt = client.publish(Publish::new("n", "x").qos(Qos::AtLeastOnce)).unwrap();
        assert!(matches!(client.outcome(receipt), Outcome::Acked(_)));
        let _ = client.publish(Publish::new("cut", "x")).unwrap();
        until(&mut client, "it connects again", || nonces.lock().unwrap().len() == 2 * round + 1);
        until(&mut client, "it is let in", || proved() == 2 * round + 1);
    }
    client.stop();
    let nonces = nonces.lock().unwrap();
    assert_eq!(nonces.iter().collect::<HashSet<_>>().len(), 2 * CUTS + 1, "{nonces:?}");
}

fn a_server_that_cannot_prove_itself_again_is_left<A: Adapter>() {
    let (server, _nonces) = server(true);
    let (options, _notes) = options(&server);
    let mut client = A::connect(options).unwrap();
    client.reauthenticate().unwrap();
    loop {
        if let Event::Disconnected(end) = client.event(CAP).expect("it is told in time") {
            assert_eq!(end.why, Why::Stopped);
            let detail = "the server does not know the password".to_owned();
            assert_eq!((end.cause, end.retry), (Some(Cause::Hook { detail }), None));
            return;
        }
    }
}

fn without_an_authenticator_nothing_can_be_repeated<A: Adapter>() {
    let broker = mqtt_tests::model::Model::start();
    let mut client = A::connect(Options::new(&broker.url()).unwrap()).unwrap();
    assert_eq!(client.reauthenticate(), Err(AuthError::NoMethod));
    let receipt = client.publish(Publish::new("n", "x").qos(Qos::AtLeastOnce)).unwrap();
    assert!(client.outcome(receipt).is_success());
    client.stop();
}
