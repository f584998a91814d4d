//! SCRAM-SHA-256 (RFC 7677) as enhanced authentication: the client beside the session, the server played by the test.
//! Both sides prove that they know the password, and nobody sends it.

use crate::common;

use common::{Seen, Trace};
use mqtt_session::proto::{
    Auth, Connack, Disconnect, Packet, Peer, Properties, Property, Qos, ReasonCode, Version,
};
use mqtt_session::{Command, Event, Stop, Storage, Why};
use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::mechanisms::scram::properties::ScramStoredPassword;
use rsasl::mechanisms::scram::tools::{derive_keys, hash_password};
use rsasl::prelude::{Mechname, SASLClient, SASLConfig, SASLServer, Session, SessionError, Validation};
use rsasl::property::AuthId;
use rsasl::validate::{NoValidation, Validate, ValidationError};
use sha2::{Digest, Sha256};

const METHOD: &str = "SCRAM-SHA-256";

fn mechanism() -> &'static Mechname {
    Mechname::parse(METHOD.as_bytes()).unwrap()
}

/// The client's side: what an application keeps beside its session. `Err`: the server's proof is wrong.
struct Client(Session<NoValidation>);

impl Client {
    fn new(user: &str, password: &str) -> Self {
        let config = SASLConfig::with_credentials(None, user.to_owned(), password.to_owned()).unwrap();
        Self(SASLClient::new(config).start_suggested([mechanism()].as_slice()).unwrap())
    }

    fn step(&mut self, challenge: Option<&[u8]>) -> Result<Vec<u8>, SessionError> {
        let mut answer = Vec::new();
        self.0.step(challenge, &mut answer).map(|_| answer)
    }

    /// Answers what `Session::receive` told. False: the server does not know the password.
    fn answer<S: Storage>(&mut self, session: &mut mqtt_session::Session<S>, event: &Event<'_>) -> bool {
        let (data, more) = match event {
            Event::Auth(auth) => (
                auth.properties.authentication_data(),
                auth.reason_code == ReasonCode::ContinueAuthentication,
            ),
            Event::Connected(up) => (up.connack.properties.authentication_data(), false),
            _ => return true,
        };
        match self.step(data) {
            Ok(answer) if more => {
                let step = [Property::AuthenticationMethod(METHOD), Property::AuthenticationData(&answer)];
                let reason_code = ReasonCode::ContinueAuthentication;
                session.authenticate(&Auth { reason_code, properties: Properties::List(&step) }).is_ok()
            }
            Ok(_) => true,
            Err(_) => false,
        }
    }
}

/// What a server keeps of a password.
struct Stored {
    user: &'static str,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

const SALT: &[u8] = b"some salt";
const ITERATIONS: u32 = 4_096;

impl Stored {
    fn new(user: &'static str, password: &str) -> Self {
        let mut salted = Default::default();
        hash_password::<Sha256>(password.as_bytes(), ITERATIONS, SALT, &mut salted);
        let (client_key, server_key) = derive_keys::<Sha256>(salted.as_slice());
        Self { user, stored_key: Sha256::digest(client_key).to_vec(), server_key: server_key.to_vec() }
    }
}

impl SessionCallback for Stored {
    fn callback(
        &self,
        _: &SessionData,
        context: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        if context.get_ref::<AuthId>() == Some(self.user) {
            let password = ScramStoredPassword::new(ITERATIONS, SALT, &self.stored_key, &self.server_key);
            request.satisfy::<ScramStoredPassword<'_>>(&password)?;
        }
        Ok(())
    }

    fn validate(
        &self,
        _: &SessionData,
        context: &Context<'_>,
        validate: &mut Validate<'_>,
    ) -> Result<(), ValidationError> {
        let known = context.get_ref::<AuthId>() == Some(self.user);
        validate.with::<Known, _>(|| Ok(known))?;
        Ok(())
    }
}

/// Whether the client proved who it is.
struct Known;

impl Validation for Known {
    type Value = bool;
}

/// The server's side.
struct Server(Session<Known>);

impl Server {
    fn new(user: &'static str, password: &str) -> Self {
        let config =
            SASLConfig::builder().with_defaults().with_callback(Stored::new(user, password)).unwrap();
        Self(SASLServer::<Known>::new(config).start_suggested(mechanism()).unwrap())
    }

    /// Its answer, and whether it is content once the exchange is over.
    fn step(&mut self, data: &[u8]) -> (Vec<u8>, Option<bool>) {
        let mut answer = Vec::new();
        let state = self.0.step(Some(data), &mut answer).unwrap();
        let verdict = (!state.is_running()).then(|| self.0.validation().unwrap_or(false));
        (answer, verdict)
    }
}

/// Sends CONNECT with the client's first message; returns what the server gets.
fn open<S: Storage>(t: &mut Trace<S>, first: &[u8]) -> Vec<u8> {
    t.session.start(&t.options).unwrap();
    t.drain();
    assert!(matches!(t.command(), Some(Command::Open { .. })));
    let list = [Property::AuthenticationMethod(METHOD), Property::AuthenticationData(first)];
    let options = mqtt_session::ConnectOptions { properties: Properties::List(&list), ..t.options };
    t.session.opened(&options, t.now);
    data_of(&t.next_frame().unwrap())
}

/// The authentication data in a packet the session sent.
fn data_of(frame: &[u8]) -> Vec<u8> {
    let properties = match Packet::decode(frame, Version::V5, Peer::Client).unwrap() {
        Packet::Connect(connect) => connect.properties,
        Packet::Auth(auth) => auth.properties,
        other => panic!("{other:?}"),
    };
    assert_eq!(properties.authentication_method(), Some(METHOD));
    properties.authentication_data().unwrap().to_vec()
}

/// The server sends this packet; the client answers it. False: the client found the proof wrong.
fn deliver<'p, S: Storage>(t: &mut Trace<S>, client: &mut Client, packet: impl Into<Packet<'p>>) -> bool {
    use mqtt_session::proto::Encode;
    let packet = packet.into();
    let mut bytes = vec![0; packet.encoded_len(Version::V5).unwrap()];
    packet.encode(Version::V5, &mut bytes).unwrap();
    let mut input = &bytes[..];
    let mut content = true;
    while let Some(event) = t.session.receive(&mut input, t.now) {
        content &= client.answer(&mut t.session, &event);
    }
    content
}

fn step<'a>(data: &'a [u8]) -> [Property<'a>; 2] {
    [Property::AuthenticationMethod(METHOD), Property::AuthenticationData(data)]
}

scenario!(
    /// [5.0 MQTT-4.12.0-2] [5.0 MQTT-4.12.0-3] [5.0 MQTT-4.12.0-5] [5.0 MQTT-4.12.1-1]
    scram_proves_both_sides_and_again_while_connected,
    |t| {
        let mut client = Client::new("meter", "pencil");
        let mut server = Server::new("meter", "pencil");
        let first = open(t, &client.step(None).unwrap());
        let (challenge, verdict) = server.step(&first);
        assert_eq!(verdict, None);
        assert!(deliver(t, &mut client, Auth {
            reason_code: ReasonCode::ContinueAuthentication,
            properties: Properties::List(&step(&challenge)),
        }));
        let proof = data_of(&t.next_frame().unwrap());
        let (signature, verdict) = server.step(&proof);
        assert_eq!(verdict, Some(true));
        assert!(deliver(t, &mut client, Connack {
            session_present: false,
            reason_code: ReasonCode::Success,
            properties: Properties::List(&step(&signature)),
        }));
        assert!(t.session.is_connected());

        // Again, with the server's proof in the AUTH that ends it.
        let mut client = Client::new("meter", "pencil");
        let mut server = Server::new("meter", "pencil");
        let first = client.step(None).unwrap();
        let again =
            Auth { reason_code: ReasonCode::ReAuthenticate, properties: Properties::List(&step(&first)) };
        t.session.authenticate(&again).unwrap();
        let (challenge, _) = server.step(&data_of(&t.next_frame().unwrap()));
        assert!(deliver(t, &mut client, Auth {
            reason_code: ReasonCode::ContinueAuthentication,
            properties: Properties::List(&step(&challenge)),
        }));
        let (signature, verdict) = server.step(&data_of(&t.next_frame().unwrap()));
        assert_eq!(verdict, Some(true));
        assert!(deliver(t, &mut client, Auth {
            reason_code: ReasonCode::Success,
            properties: Properties::List(&step(&signature)),
        }));
        assert!(t.session.is_connected());
    }
);

scenario!(
    /// [5.0 MQTT-4.12.0-4] The server refuses who does not know the password.
    scram_with_a_wrong_password_is_refused_and_says_so,
    |t| {
        let mut client = Client::new("meter", "guess");
        let mut server = Server::new("meter", "pencil");
        let first = open(t, &client.step(None).unwrap());
        let (challenge, _) = server.step(&first);
        assert!(deliver(t, &mut client, Auth {
            reason_code: ReasonCode::ContinueAuthentication,
            properties: Properties::List(&step(&challenge)),
        }));
        let (_, verdict) = server.step(&data_of(&t.next_frame().unwrap()));
        assert_eq!(verdict, Some(false));
        deliver(t, &mut client, Connack::refused(ReasonCode::NotAuthorized));
        assert_eq!(t.closes_somehow(), Why::Refused(ReasonCode::NotAuthorized));
        t.see(Seen::Stopped { left: 0 });
    }
);

scenario!(
    /// A server that does not know the password is found out before a message leaves.
    scram_finds_a_false_server_before_anything_is_sent_to_it,
    |t| {
        t.publish("secret", Qos::AtLeastOnce, b"for the right server only");
        let mut client = Client::new("meter", "pencil");
        let mut server = Server::new("meter", "pencil");
        let first = open(t, &client.step(None).unwrap());
        let (challenge, _) = server.step(&first);
        assert!(deliver(t, &mut client, Auth {
            reason_code: ReasonCode::ContinueAuthentication,
            properties: Properties::List(&step(&challenge)),
        }));
        t.next_frame().unwrap();
        let forged = b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let content = deliver(t, &mut client, Connack {
            session_present: false,
            reason_code: ReasonCode::Success,
            properties: Properties::List(&step(forged)),
        });
        assert!(!content);
        t.session.stop(Stop::now().reason(ReasonCode::ProtocolError)).unwrap();
        t.expect(Disconnect::new(ReasonCode::ProtocolError));
        t.expect_silence();
    }
);
