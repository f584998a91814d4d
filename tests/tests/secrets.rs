//! No secret is in what is logged or formatted.

use core::any::type_name;
use core::fmt::Debug;
use core::time::Duration;
use std::collections::BTreeSet;
use std::io;
use std::sync::Mutex;
use std::thread;

use futures_lite::future::block_on;
use mqtt_adapter_std::{
    AckError, AckMode, Anomaly, AuthError, Authenticator, ByteStream, Bytes, Change, Client, Config,
    ConnectError, Connection, Dialling, Durability, Event, Failed, Handled, Journal, JournalError, Key,
    LocalState, Options, OverQos, Oversize, OwnedProperties, PacketId, Payload, PollError, Property,
    ProvideError, Proxy, ProxyError, ProxyFailure, ProxyKind, Publish, Qos, ReasonCode, Recording, RecvError,
    Request, RequestError, ResponseError, RestoreError, RetainHandling, RouteId, Routes, Scheme, ServerOrder,
    ServerUrl, SessionLost, SourceError, Stop, StopError, Store, Subscription, SubscriptionOptions, Take,
    Tls, TlsBuilder, TlsError, TopicError, TopicFilter, TopicName, UrlError, Version, WhenFull,
    WhenInboxFull, WhenNotStored, Why, Will,
};
use mqtt_sim::broker::BrokerConfig;
use mqtt_sim::memory::MemoryBroker;
use mqtt_tests::adapter::CAP;
use mqtt_tests::mosquitto::{Mosquitto, free_address};
use mqtt_tests::scripted::Scripted;

/// What must be nowhere, as text and as a list of bytes.
const CANARY: &str = "canary7";
const BYTES: &str = "99, 97, 110, 97, 114, 121, 55";
const BASE64: &str = "Y2FuYXJ5Nw==";

static LINES: Mutex<String> = Mutex::new(String::new());

struct Capture;

impl log::Log for Capture {
    /// Everything, but for what the crate of WebSocket says at level trace: it writes down the request with its headers, and
    /// nobody can tell it not to (`Options::with_ws_header` says so).
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        !(metadata.target().starts_with("tungstenite") && metadata.level() == log::Level::Trace)
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut lines = LINES.lock().unwrap();
        lines.push_str(&format!("{} {}: {}\n", record.level(), record.target(), record.args()));
    }

    fn flush(&self) {}
}

fn clean(what: &str, text: &str) {
    assert!(![CANARY, BYTES, BASE64].iter().any(|secret| text.contains(secret)), "{what}: {text}");
}

/// The types that were shown, with their crates: `mqtt_adapter_std::client::Client`.
static SHOWN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn shows_nothing<T: Debug + ?Sized>(value: &T) {
    clean("plain", &format!("{value:?}"));
    clean("pretty", &format!("{value:#?}"));
    let names =
        type_name::<T>().split(|letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == ':'));
    SHOWN.lock().unwrap().extend(names.map(str::to_owned));
}

/// What is public and holds nothing that could be shown, or has no `Debug`: modules, functions, traits.
const NOT_SHOWN: [&str; 5] = ["proto", "session", "connect", "Store", "Take"];

/// The names a crate makes public, with the crate each comes from: its own, or that of a type it passes on.
fn public(source: &'static str, own: &'static str) -> Vec<(&'static str, &'static str)> {
    let statements = source.split("pub use ").skip(1).map(|rest| rest.split(';').next().unwrap_or_default());
    statements
        .flat_map(|statement| {
            let from = if statement.starts_with("crate::") { own } else { "" };
            let list = statement.rsplit("::").next().unwrap_or_default();
            let list = statement.split_once('{').map_or(list, |(_, list)| list);
            list.split([',', '}'])
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .map(move |name| (from, name))
        })
        .collect()
}

/// A type without a row in this test fails it.
fn every_public_type_was_shown() {
    let shown = SHOWN.lock().unwrap();
    let blocking = public(include_str!("../../adapter-std/src/lib.rs"), "mqtt_adapter_std::");
    let asynchronous = public(include_str!("../../adapter-smol/src/lib.rs"), "mqtt_adapter_smol::");
    assert!(blocking.len() > 80 && asynchronous.len() > 80, "the lists are read wrongly");
    let missing: BTreeSet<_> = blocking
        .into_iter()
        .chain(asynchronous)
        .filter(|(from, name)| {
            let end = format!("::{name}");
            !NOT_SHOWN.contains(name)
                && !shown.iter().any(|path| path.starts_with(from) && path.ends_with(&end))
        })
        .collect();
    assert!(missing.is_empty(), "public, and not shown in this test: {missing:?}");
}

/// Keeps nothing, and prints what it is given.
struct Prints;

impl Store for Prints {
    fn load(&mut self, _: &mut Take<'_>) -> Result<(), JournalError> {
        Ok(())
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), JournalError> {
        changes.iter().for_each(|change| {
            shows_nothing(change);
            shows_nothing(&change.key());
        });
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
        .with_before_connect(|attempt, options| {
            shows_nothing(attempt);
            Ok(options.with_password(CANARY))
        })
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
    shows_nothing(&receipt.token());
    shows_nothing(&receipt.wait());
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
        match &event {
            Event::Disconnected(end) => {
                shows_nothing(end);
                shows_nothing(&end.cause);
            }
            Event::Connected(connected) => {
                shows_nothing(connected);
                shows_nothing(&connected.link);
            }
            _ => {}
        }
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

    plain_values();
    tls_values();
    own_streams();
    proxies(&server);
    manual_and_large(&server);
    failures(&server);
    every_public_type_was_shown();

    // Where nobody is, and where a server says no.
    let nobody = Client::connect(options(&free_address().to_string())).map(drop);
    shows_nothing(&nobody);
    clean("why", &nobody.unwrap_err().to_string());

    let lines = LINES.lock().unwrap();
    assert!(lines.contains("INFO mqtt_adapter: lamp: connected to"), "{lines}");
    assert!(lines.contains("mqtt_session"), "{lines}");
    clean("log", &lines);
}

/// Values that hold little or nothing, all the same.
fn plain_values() {
    shows_nothing(&(AckMode::Manual, Durability::Async, LocalState::Held, OverQos::Lower, Oversize::Skip));
    shows_nothing(&(ServerOrder::Random, SessionLost::Fail, WhenFull::Reject, WhenInboxFull::Pause));
    shows_nothing(&(WhenNotStored::Send, RetainHandling::DoNotSend, Qos::AtMostOnce, Version::V5));
    shows_nothing(&(
        ReasonCode::Success,
        PacketId::new(7),
        Handled::Yes,
        Scheme::Tls,
        Bytes::from_static(b"x"),
    ));
    shows_nothing(&(AckError::Stale, AuthError::NoMethod, RestoreError::Off, StopError::InvalidReason));
    shows_nothing(&(Anomaly::UnaskedClientId, ProvideError::Stale, Why::DialFailed, RecvError::Empty));
    let config = Config::new(7);
    shows_nothing(&(config.backoff, config.suspect, config));
    shows_nothing(&ConnectError::Stopped);
    shows_nothing(&RequestError::Stopped);
    shows_nothing(&PollError::Stopped);
    shows_nothing(&SourceError::Read(io::ErrorKind::UnexpectedEof.into()));
    shows_nothing(&Stop::drain(Duration::ZERO));
    shows_nothing(&Failed(mqtt_adapter_std::Outcome::Lost));
    shows_nothing(&TopicName::new("t").map_err(|error: TopicError| error));
    let filter = TopicFilter::new("t").unwrap();
    shows_nothing(&Subscription { filter, options: SubscriptionOptions::new(Qos::AtMostOnce) });
    shows_nothing(&filter);
    shows_nothing(&SubscriptionOptions::new(Qos::AtMostOnce));
    shows_nothing(&Recording::to(io::sink()).unwrap());
    let list = [Property::AuthenticationData(CANARY.as_bytes())];
    shows_nothing(&mqtt_adapter_std::Properties::List(&list));
    shows_nothing(&list[0]);
    let bad = ServerUrl::parse(&format!("mqtt://lamp:{CANARY}@host:99999")).unwrap_err();
    shows_nothing::<UrlError>(&bad);
    clean("why", &bad.to_string());
    let routes = Routes::new();
    let id: RouteId = routes.add("t", |_: &Client, _: &mqtt_adapter_std::Message| ()).unwrap();
    shows_nothing(&id);
    shows_nothing(&mqtt_adapter_smol::Routes::new().otherwise(|_, _| async {}));
}

/// Proxies with a password, and what goes wrong with them.
fn proxies(server: &str) {
    for scheme in ["socks5", "http"] {
        let proxy = Proxy::parse(&format!("{scheme}://lamp:{CANARY}@127.0.0.1:1")).unwrap();
        shows_nothing::<Proxy>(&proxy);
        shows_nothing::<ProxyKind>(&proxy.kind());
        clean("shown", &proxy.to_string());
        let options = Options::new(&format!("mqtt://{server}")).unwrap().with_proxy(proxy);
        shows_nothing(&options);
        let error = Client::connect(options).map(drop).unwrap_err();
        shows_nothing(&error);
        clean("why", &error.to_string());
    }
    shows_nothing(&ProxyFailure::Credentials);
    let error = Proxy::parse(&format!("ftp://lamp:{CANARY}@host")).unwrap_err();
    shows_nothing::<ProxyError>(&error);
    clean("why", &error.to_string());
}

/// A private key that says the canary: only PEM is looked at before it is used.
fn tls_values() {
    let pem = |what: &str| format!("-----BEGIN {what}-----\n{BASE64}\n-----END {what}-----\n");
    let builder =
        Tls::builder().identity_pem(pem("CERTIFICATE").as_bytes(), pem("PRIVATE KEY").as_bytes()).unwrap();
    shows_nothing::<TlsBuilder>(&builder);
    let error = builder.build().unwrap_err();
    shows_nothing::<TlsError>(&error);
    clean("why", &error.to_string());
    let error = Tls::builder().identity_pem(pem("CERTIFICATE").as_bytes(), CANARY.as_bytes()).unwrap_err();
    shows_nothing(&error);
    clean("why", &error.to_string());
    shows_nothing(&Tls::platform().map_err(|error| error.to_string()));
    if let Ok(tls) = Tls::platform() {
        let options = Options::new("mqtts://localhost").unwrap().with_tls(tls.clone());
        shows_nothing::<Tls>(&tls);
        shows_nothing(&options);
    }
}

/// Streams that hold what was read and written.
fn own_streams() {
    let broker = MemoryBroker::new(BrokerConfig::default());
    shows_nothing(&ByteStream::new(broker.connect().unwrap()));
    let options = Options::new(&format!("mqtt://lamp:{CANARY}@memory")).unwrap().with_async_connector(
        move |to: Dialling| {
            shows_nothing(&to);
            let stream = broker.connect();
            async move { stream.map(ByteStream::new) }
        },
    );
    shows_nothing(&options);
    let client = Client::connect(options).unwrap();
    shows_nothing(&client);
    client.stop(Duration::from_secs(10));
}

/// What is acknowledged by the application, and what comes and goes in pieces.
fn manual_and_large(server: &str) {
    let mut options = options(server).with_client_id("large");
    options.engine_mut().ack_mode = AckMode::Manual;
    options.engine_mut().max_packet_in = 1_000;
    options.engine_mut().oversize = Oversize::Chunks { largest: 1_000_000 };
    let client = Client::connect(options.clone().with_client_id("large-1")).unwrap();
    client.subscribe("l", Qos::AtLeastOnce).unwrap();
    let long = CANARY.repeat(1_000);
    let mut source = io::Cursor::new(long.clone());
    let publish = Publish::new("l", &[]).qos(Qos::AtLeastOnce);
    shows_nothing(&client.publish_from(publish, long.len() as u32, &mut source));
    let mut large = client.recv_large().unwrap();
    shows_nothing(&large);
    io::Read::read_exact(&mut large, &mut [0; 100]).unwrap();
    shows_nothing(&large);
    drop(large);
    let _ = client.publish(Publish::new("l", CANARY).qos(Qos::AtLeastOnce)).unwrap();
    let message = client.recv_timeout(CAP).unwrap();
    shows_nothing(&message.ack());
    client.stop(Duration::from_millis(100));

    let (client, connection) = mqtt_adapter_smol::connect(options.clone().with_client_id("large-2")).unwrap();
    let task = thread::spawn(move || block_on(connection));
    block_on(async {
        client.connected().await.unwrap();
        client.subscribe("l", Qos::AtLeastOnce).await.unwrap();
        let publish = Publish::new("l", long.as_str()).qos(Qos::AtLeastOnce);
        let receipt = client.publish(publish).await.unwrap();
        shows_nothing(&receipt.token());
        let _ = receipt.await;
        shows_nothing(&client.recv_large().await.unwrap());
        client.stop(Duration::from_millis(100)).await;
    });
    task.join().unwrap();

    let mut connection = Connection::new(options.with_client_id("large-3")).unwrap();
    let mut asked = false;
    loop {
        match connection.poll(Some(CAP)).unwrap().expect("an event comes") {
            Event::Connected(connected) => {
                shows_nothing(&connected);
                let request = connection.request(Publish::new("nobody", CANARY), Duration::from_millis(10));
                shows_nothing::<Result<Request, ResponseError>>(&request);
                asked = true;
            }
            event @ (Event::NoResponse { .. } | Event::NoResponses { .. }) if asked => {
                shows_nothing(&event);
                break;
            }
            event => shows_nothing(&event),
        }
    }
}

/// Everything that can go wrong says so, without what must not be said.
fn failures(server: &str) {
    let fails = |options: Options| {
        let error = Client::connect(options.clone()).map(drop).unwrap_err();
        shows_nothing(&error);
        clean("why", &error.to_string());
        let (client, connection) = mqtt_adapter_smol::connect(options).unwrap();
        let task = thread::spawn(move || block_on(connection));
        let error = block_on(client.connected()).unwrap_err();
        shows_nothing(&error);
        clean("why", &error.to_string());
        block_on(client.stop(Duration::ZERO));
        task.join().unwrap();
    };
    let one = |url: &str| {
        Options::new(url)
            .unwrap()
            .with_client_id("lamp")
            .with_password(CANARY)
            .with_ws_header("Authorization", CANARY)
            .with_will(Will::new("will", CANARY))
    };
    // Plaintext where TLS and WebSocket are expected.
    fails(one(&format!("mqtts://lamp:{CANARY}@{server}")).with_tls(Tls::platform().unwrap()));
    fails(one(&format!("ws://lamp:{CANARY}@{server}")));
    fails(one(&format!("wss://lamp:{CANARY}@{server}")).with_tls(Tls::platform().unwrap()));
    fails(one(&format!("unix://{CANARY_FREE_PATH}")));
    // A server that refuses what it is given, and one that sends what is not MQTT.
    let refuses = Scripted::start(&[b"\x20\x03\x00\x86\x00"]);
    fails(one(&refuses.url()));
    let broken = Scripted::start(&[CANARY.as_bytes()]);
    let mut options = one(&broken.url());
    options.engine_mut().backoff.retry_first = false;
    fails(options);
    // A server that asks for what the authenticator does not give.
    fails(one(&format!("mqtt://{server}")).with_authenticator(|| Box::new(Secret(CANARY))));
    // A journal that breaks.
    let error = JournalError::io("/journal", &io::Error::other("broken"));
    shows_nothing(&error);
    let broken = || Journal::of_store(|_| Ok(Box::new(Breaks)));
    let mut options = one(&format!("mqtt://{server}")).with_client_id("breaks").with_journal(broken());
    options.engine_mut().durability = Durability::BeforeSend;
    let client = Client::connect(options).unwrap();
    let receipt = client.publish(Publish::new("t", CANARY).qos(Qos::AtLeastOnce));
    if let Ok(receipt) = receipt {
        shows_nothing(&receipt.wait());
    }
    client.stop(Duration::from_millis(100));
    while let Some(event) = client.next_event(Some(Duration::ZERO)) {
        shows_nothing(&event);
    }
}

/// A store that takes nothing.
struct Breaks;

impl Store for Breaks {
    fn load(&mut self, _: &mut Take<'_>) -> Result<(), JournalError> {
        Ok(())
    }

    fn write(&mut self, _: &[Change]) -> Result<(), JournalError> {
        Err(JournalError::io("/journal", &io::Error::other("broken")))
    }

    fn set_aside(&mut self, _: Key, _: RestoreError) -> Result<(), JournalError> {
        Ok(())
    }
}

/// Where no socket is.
const CANARY_FREE_PATH: &str = "/nowhere/at/all";
