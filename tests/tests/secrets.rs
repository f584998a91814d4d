//! No secret is in what is logged or formatted.

use core::fmt::Debug;
use core::time::Duration;
use std::sync::Mutex;
use std::thread;

use futures_lite::future::block_on;
use mqtt_adapter_std::{
    Authenticator, Change, Client, Connection, Event, Journal, JournalError, Key, Options, OwnedProperties,
    Payload, Property, Publish, Qos, RestoreError, Routes, ServerUrl, Store, Take, Will,
};
use mqtt_tests::adapter::CAP;
use mqtt_tests::mosquitto::{Mosquitto, free_address};

/// What must be nowhere, as text and as a list of bytes.
const CANARY: &str = "canary7";
const BYTES: &str = "99, 97, 110, 97, 114, 121, 55";

static LINES: Mutex<String> = Mutex::new(String::new());

struct Capture;

impl log::Log for Capture {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let mut lines = LINES.lock().unwrap();
        lines.push_str(&format!("{} {}: {}\n", record.level(), record.target(), record.args()));
    }

    fn flush(&self) {}
}

fn clean(what: &str, text: &str) {
    assert!(!text.contains(CANARY) && !text.contains(BYTES), "{what}: {text}");
}

fn shows_nothing(value: &impl Debug) {
    clean("plain", &format!("{value:?}"));
    clean("pretty", &format!("{value:#?}"));
}

/// Keeps nothing, and prints what it is given.
struct Prints;

impl Store for Prints {
    fn load(&mut self, _: &mut Take<'_>) -> Result<(), JournalError> {
        Ok(())
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), JournalError> {
        changes.iter().for_each(shows_nothing);
        Ok(())
    }

    fn set_aside(&mut self, _: Key, _: RestoreError) -> Result<(), JournalError> {
        Ok(())
    }
}

struct Secret(&'static str);

impl Authenticator for Secret {
    fn method(&self) -> &'static str {
        "SECRET"
    }

    fn begin(&mut self) -> Result<Option<Vec<u8>>, String> {
        Ok(Some(self.0.as_bytes().to_vec()))
    }

    fn answer(&mut self, _: &[u8]) -> Result<Vec<u8>, String> {
        Ok(self.0.as_bytes().to_vec())
    }

    fn finish(&mut self, _: Option<&[u8]>) -> Result<(), String> {
        Ok(())
    }
}

fn options(server: &str) -> Options {
    Options::new(&format!("mqtt://lamp:{CANARY}@{server}"))
        .unwrap()
        .with_server(ServerUrl::parse(&format!("wss://:{CANARY}@127.0.0.1:1")).unwrap())
        .with_client_id("lamp")
        .with_password(CANARY)
        .with_username("lamp")
        .with_ws_header("Authorization", CANARY)
        .with_will(Will::new("will", CANARY))
        .with_response_topic("lamp/answers")
        .with_before_connect(|_, options| Ok(options.with_password(CANARY)))
        .with_before_publish(|draft| {
            shows_nothing(draft);
            Ok(())
        })
}

#[test]
fn nothing_that_is_secret_is_logged_or_formatted() {
    log::set_logger(&Capture).unwrap();
    log::set_max_level(log::LevelFilter::Trace);

    let broker = Mosquitto::start();
    let server = broker.address().to_string();
    shows_nothing(&options(&server));
    shows_nothing(&options(&server).servers()[0]);
    clean("shown", &options(&server).servers()[0].to_string());
    shows_nothing(&options(&server).will());
    shows_nothing(&options(&server).with_authenticator(|| Box::new(Secret(CANARY))));
    shows_nothing(&(Box::new(Secret(CANARY)) as Box<dyn Authenticator>));
    shows_nothing(&OwnedProperties::new(&[Property::AuthenticationData(CANARY.as_bytes())]).unwrap());
    shows_nothing(&Payload::from(CANARY));
    shows_nothing(&Publish::new("t", CANARY));
    shows_nothing(&Journal::of_store(|_| Ok(Box::new(Prints))));

    let client =
        Client::connect(options(&server).with_journal(Journal::of_store(|_| Ok(Box::new(Prints))))).unwrap();
    client.subscribe("t", Qos::ExactlyOnce).unwrap();
    let receipt = client.publish(Publish::new("t", CANARY).qos(Qos::ExactlyOnce)).unwrap();
    shows_nothing(&receipt);
    let _ = receipt.wait().unwrap();
    let message = client.recv_timeout(CAP).unwrap();
    assert_eq!(message.payload(), CANARY.as_bytes());
    shows_nothing(&message);
    shows_nothing(&client);
    shows_nothing(&client.messages());
    shows_nothing(&client.stats());
    shows_nothing(&client.server_limits());
    shows_nothing(&Routes::new().otherwise(|_: &Client, _: &mqtt_adapter_std::Message| ()));
    shows_nothing(&client.handle(&Routes::new(), 1).unwrap());
    shows_nothing(&client.request(Publish::new("t/nobody", CANARY), Duration::from_millis(10)));
    client.stop(Duration::from_secs(10));
    shows_nothing(&client.publish(Publish::new("t", CANARY.to_owned())));
    shows_nothing(&client);
    while let Some(event) = client.next_event(Some(Duration::ZERO)) {
        shows_nothing(&event);
    }

    let mut connection = Connection::new(options(&server)).unwrap();
    connection.subscribe("t", Qos::AtMostOnce).unwrap();
    let _ = connection.publish(Publish::new("t", CANARY)).unwrap();
    let mut seen = false;
    while !seen {
        let event = connection.poll(Some(CAP)).unwrap().expect("the message comes");
        seen = matches!(event, Event::Message(_));
        shows_nothing(&event);
        shows_nothing(&connection);
        shows_nothing(connection.session());
    }
    drop(connection);

    let (client, connection) = mqtt_adapter_smol::connect(options(&server)).unwrap();
    shows_nothing(&connection);
    let task = thread::spawn(move || block_on(connection));
    block_on(async {
        client.connected().await.unwrap();
        let receipt = client.publish(Publish::new("t", CANARY).qos(Qos::AtLeastOnce)).await.unwrap();
        shows_nothing(&receipt);
        shows_nothing(&client);
        shows_nothing(&client.messages());
        let _ = receipt.await;
        client.stop(Duration::from_secs(10)).await;
    });
    task.join().unwrap();

    // Where nobody is, and where a server says no.
    let nobody = Client::connect(options(&free_address().to_string())).map(drop);
    shows_nothing(&nobody);
    clean("why", &nobody.unwrap_err().to_string());

    let lines = LINES.lock().unwrap();
    assert!(lines.contains("INFO mqtt_adapter: lamp: connected to"), "{lines}");
    assert!(lines.contains("mqtt_session"), "{lines}");
    clean("log", &lines);
}
