//! SCRAM-SHA-256 (RFC 7677) as enhanced authentication: the client beside the session, the server played by the test.
//! Both sides prove that they know the password, and nobody sends it.

use crate::common;
use crate::scram_sides::{Client, METHOD, Server};

use common::{Seen, Trace};
use mqtt_session::proto::{
    Auth, Connack, Disconnect, Packet, Peer, Properties, Property, Qos, ReasonCode, Version,
};
use mqtt_session::{Command, Event, Stop, Storage, Why};

/// Answers what `Session::receive` told. False: the server does not know the password.
fn answer<S: Storage>(
    client: &mut Client,
    session: &mut mqtt_session::Session<S>,
    event: &Event<'_>,
) -> bool {
    let (data, more) = match event {
        Event::Auth(auth) => {
            (auth.properties.authentication_data(), auth.reason_code == ReasonCode::ContinueAuthentication)
        }
        Event::Connected(up) => (up.connack.properties.authentication_data(), false),
        _ => return true,
    };
    match client.step(data) {
        Ok(answer) if more => {
            let step = [Property::AuthenticationMethod(METHOD), Property::AuthenticationData(&answer)];
            let reason_code = ReasonCode::ContinueAuthentication;
            session.authenticate(&Auth { reason_code, properties: Properties::List(&step) }).is_ok()
        }
        Ok(_) => true,
        Err(_) => false,
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
        content &= answer(client, &mut t.session, &event);
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
