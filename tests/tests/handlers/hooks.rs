//! What the application has a say in: before each attempt, each publish, the end; authentication.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex};

use mqtt_adapter_std::{
    Authenticator, Cause, ConnectError, Event, Message, Options, Outcome, Publish, PublishError, Qos, Will,
};
use mqtt_tests::adapter::{Adapter, CAP};
use mqtt_tests::drivers;
use mqtt_tests::folder::Folder;
use mqtt_tests::mosquitto::Mosquitto;
use mqtt_tests::scripted::Scripted;

drivers!(
    credentials_are_fetched_for_each_attempt,
    an_attempt_may_be_refused,
    a_publish_may_be_changed_or_refused,
    a_publish_in_pieces_may_be_changed_or_refused,
    the_end_is_told_before_it,
    an_authenticator_is_made_for_each_connection,
    a_server_that_cannot_prove_itself_is_left,
);

/// A broker that knows `lamp` with the password `second`.
fn guarded() -> (Mosquitto, Folder) {
    let folder = Folder::new("passwords");
    let file = folder.file("passwords");
    std::fs::write(&file, "").unwrap();
    let program = ["/usr/bin/mosquitto_passwd", "/usr/local/bin/mosquitto_passwd"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
        .expect("mosquitto_passwd comes with mosquitto");
    let made = std::process::Command::new(program).arg("-b").arg(&file).args(["lamp", "second"]).status();
    assert!(made.unwrap().success());
    (Mosquitto::with(&format!("allow_anonymous false\npassword_file {}\n", file.display())), folder)
}

fn credentials_are_fetched_for_each_attempt<A: Adapter>() {
    let (broker, _folder) = guarded();
    let attempts = Arc::new(AtomicU32::new(0));
    let mut options = Options::new(&broker.url()).unwrap().with_before_connect({
        let attempts = Arc::clone(&attempts);
        move |attempt, options| {
            assert_eq!(options.servers().first(), Some(&attempt.server));
            let count = attempts.fetch_add(1, Ordering::Relaxed);
            // The first one is not let in, and a refusal for bad credentials would be final: no server is.
            if count == 0 {
                return Err("the token service sleeps".to_owned());
            }
            Ok(options.with_username("lamp").with_password("second").with_will(Will::new("will", "gone")))
        }
    });
    options.engine_mut().backoff.base = Duration::from_millis(10);
    let mut client = A::start(options).unwrap();
    let mut refused = 0;
    loop {
        match client.event(CAP).expect("it connects in the end") {
            Event::Disconnected(end) => {
                assert_eq!(end.cause, Some(Cause::Hook { detail: "the token service sleeps".into() }));
                refused += 1;
            }
            Event::Connected(_) => break,
            _ => {}
        }
    }
    assert_eq!((refused, attempts.load(Ordering::Relaxed)), (1, 2));
    client.stop();
}

fn an_attempt_may_be_refused<A: Adapter>() {
    let options = Options::new("mqtt://127.0.0.1:1").unwrap().with_before_connect(|_, _| Err("no".into()));
    let Err(ConnectError::Failed(end)) = A::connect(options).map(drop) else { panic!("it was refused") };
    assert_eq!(end.to_string(), format!("{}: no", end.why));
}

fn a_publish_may_be_changed_or_refused<A: Adapter>() {
    let broker = Mosquitto::start();
    let options = Options::new(&broker.url()).unwrap().with_before_publish(|draft| {
        if draft.payload().is_empty() {
            return Err("there is nothing in it".to_owned());
        }
        draft.set_topic(format!("site/{}", draft.topic()));
        draft.set_payload(draft.payload().to_ascii_uppercase());
        draft.set_qos(Qos::ExactlyOnce);
        Ok(())
    });
    let mut client = A::connect(options).unwrap();
    client.subscribe("#", Qos::ExactlyOnce).unwrap();
    let refused = client.publish(Publish::new("t", Vec::new())).map(drop);
    assert!(
        matches!(&refused, Err(PublishError::Vetoed { why, payload: Some(_) }) if why.contains("nothing")),
        "{refused:?}"
    );
    let receipt = client.publish(Publish::new("t", "loud")).unwrap();
    assert!(matches!(client.outcome(receipt), Outcome::Acked(_)));
    let message: Message = client.message(CAP).unwrap();
    assert_eq!((message.topic(), message.payload()), ("site/t", &b"LOUD"[..]));
    assert_eq!(message.qos(), Qos::ExactlyOnce);
    client.stop();
}

fn a_publish_in_pieces_may_be_changed_or_refused<A: Adapter>() {
    let broker = Mosquitto::start();
    let options = Options::new(&broker.url()).unwrap().with_before_publish(|draft| {
        assert!(draft.payload().is_empty(), "it is read later");
        if draft.pieces().is_some_and(|len| len > 100_000) {
            return Err("too long".to_owned());
        }
        draft.set_topic(format!("site/{}", draft.topic()));
        draft.set_payload("something else");
        Ok(())
    });
    let mut client = A::connect(options).unwrap();
    client.subscribe("#", Qos::ExactlyOnce).unwrap();
    let publish = || Publish::new("film", &[]).qos(Qos::AtLeastOnce);
    let refused = client.upload(publish(), &[7; 100_001]);
    assert!(
        matches!(&refused, Err(PublishError::Vetoed { why, payload: None }) if why == "too long"),
        "{refused:?}"
    );
    assert!(matches!(client.upload(publish(), &[7; 100_000]), Ok(Outcome::Acked(_))));
    let message: Message = client.message(CAP).unwrap();
    assert_eq!((message.topic(), message.payload()), ("site/film", &[7; 100_000][..]));
    client.stop();
}

fn the_end_is_told_before_it<A: Adapter>() {
    let broker = Mosquitto::start();
    let called = Arc::new(AtomicU32::new(0));
    let options = Options::new(&broker.url()).unwrap().with_before_disconnect({
        let called = Arc::clone(&called);
        move || {
            called.fetch_add(1, Ordering::Relaxed);
        }
    });
    let mut client = A::connect(options).unwrap();
    client.stop();
    assert_eq!(called.load(Ordering::Relaxed), 1);
}

/// The server asks with a number and wants the next one, and proves itself with a word.
struct Next(Arc<Mutex<Vec<&'static str>>>);

impl Authenticator for Next {
    fn method(&self) -> &'static str {
        "NEXT"
    }

    fn begin(&mut self) -> Result<Option<Vec<u8>>, String> {
        self.0.lock().unwrap().push("begin");
        Ok(Some(b"hello".to_vec()))
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String> {
        self.0.lock().unwrap().push("answer");
        Ok(vec![challenge[0] + 1])
    }

    fn finish(&mut self, data: Option<&[u8]>) -> Result<(), String> {
        self.0.lock().unwrap().push("finish");
        if data == Some(&b"proof"[..]) { Ok(()) } else { Err("the server has no proof".to_owned()) }
    }
}

const CHALLENGE: &[u8] = b"\xF0\x0D\x18\x0B\x15\x00\x04NEXT\x16\x00\x01\x05";
const PROOF: &[u8] = b"\x20\x12\x00\x00\x0F\x15\x00\x04NEXT\x16\x00\x05proof";
const NO_PROOF: &[u8] = b"\x20\x0A\x00\x00\x07\x15\x00\x04NEXT";

fn an_authenticator_is_made_for_each_connection<A: Adapter>() {
    let server = Scripted::start(&[CHALLENGE, PROOF]);
    let made = Arc::new(Mutex::new(Vec::new()));
    let mut options = Options::new(&server.url()).unwrap().with_linger(Duration::ZERO).with_authenticator({
        let made = Arc::clone(&made);
        move || {
            made.lock().unwrap().push("new");
            Box::new(Next(Arc::clone(&made)))
        }
    });
    options.engine_mut().connack_timeout = CAP;
    let client = A::connect(options).unwrap();
    assert_eq!(*made.lock().unwrap(), ["new", "begin", "answer", "finish"]);
    drop(client);
}

fn a_server_that_cannot_prove_itself_is_left<A: Adapter>() {
    let server = Scripted::start(&[CHALLENGE, NO_PROOF]);
    let made = Arc::default();
    let options =
        Options::new(&server.url()).unwrap().with_authenticator(move || Box::new(Next(Arc::clone(&made))));
    let mut client = A::start(options).unwrap();
    loop {
        if let Event::Disconnected(end) = client.event(CAP).expect("it is told in time") {
            assert_eq!(end.cause, Some(Cause::Hook { detail: "the server has no proof".into() }));
            assert_eq!(end.retry, None, "it is not tried again");
            return;
        }
    }
}
