//! A client with a journal that is made to be killed: the tests of the journal run it again and again.
//!
//! `journal_client DRIVER ROLE URL FOLDER [FIRST]`, where DRIVER is `threads`, `driven` or `smol`, and ROLE
//!
//! * `send1`, `send2`: publishes numbers from FIRST on at that QoS, without end. It says `try N` before, `durable N`
//!   when the journal has it, and `done N` when the server has;
//! * `finish`: publishes nothing, says `left N`, waits until what earlier runs have left is delivered, says `receipt N` for each,
//!   and `finished`;
//! * `fill`: publishes large messages to nobody until the journal takes no more, says `full`, and `went on` after it has
//!   stopped in order;
//! * `read-only`: has no journal, because its folder cannot be written, says `refused`, and `went on` after it has published without,
//!   as it was told to;
//! * `receive1`, `receive2`: subscribes at that QoS, says `subscribed`, then `got N` for each message, with `again` if the client knows
//!   that it may have come before, and acknowledges it then.

use core::time::Duration;
use std::collections::VecDeque;
use std::env;
use std::process::ExitCode;

use mqtt_adapter_std::{
    AckMode, Backoff, ConnectError, Event, Journal, Options, Outcome, Publish, Qos, WhenNotStored,
};
use mqtt_tests::adapter::{Adapter, Driven, Smol, Threads};

/// Publishes that wait for the journal, and for the server.
const WINDOW: usize = 64;

fn main() -> ExitCode {
    let given: Vec<String> = env::args().skip(1).collect();
    let [driver, role, url, folder, rest @ ..] = &given[..] else {
        eprintln!("journal_client DRIVER ROLE URL FOLDER [FIRST]");
        return ExitCode::FAILURE;
    };
    let first = rest.first().and_then(|first| first.parse().ok()).unwrap_or(0);
    match driver.as_str() {
        "threads" => run::<Threads>(role, url, folder, first),
        "driven" => run::<Driven>(role, url, folder, first),
        _ => run::<Smol>(role, url, folder, first),
    }
    ExitCode::SUCCESS
}

fn run<A: Adapter>(role: &str, url: &str, folder: &str, first: u64) {
    let mut options = Options::new(url)
        .expect("the test gives a good URL")
        .with_client_id(if role.starts_with("receive") { "receiver" } else { "sender" })
        .with_journal(Journal::in_folder(folder));
    let engine = options.engine_mut();
    engine.backoff =
        Backoff { base: Duration::from_millis(20), cap: Duration::from_millis(200), ..engine.backoff };
    if role.starts_with("receive") {
        engine.ack_mode = AckMode::Manual;
    }
    if role == "read-only" {
        return without_journal::<A>(options);
    }
    let client = A::start(options).expect("the client starts");
    match role {
        "send1" => send(client, Qos::AtLeastOnce, first),
        "send2" => send(client, Qos::ExactlyOnce, first),
        "finish" => finish(client),
        "fill" => fill(client),
        "receive1" => receive(client, Qos::AtLeastOnce),
        _ => receive(client, Qos::ExactlyOnce),
    }
}

fn send<A: Adapter>(mut client: A, qos: Qos, first: u64) {
    let (mut stored, mut delivered) = (VecDeque::new(), VecDeque::new());
    for number in first.. {
        println!("try {number}");
        let text = number.to_string();
        let publish = Publish::new("numbers", text.as_str()).qos(qos).tag(number);
        stored.push_back((number, client.publish(publish).expect("there is room")));
        if stored.len() < WINDOW {
            continue;
        }
        if let Some((number, mut receipt)) = stored.pop_front() {
            assert!(client.durable(&mut receipt), "it is stored");
            println!("durable {number}");
            delivered.push_back((number, receipt));
        }
        if delivered.len() >= WINDOW
            && let Some((number, receipt)) = delivered.pop_front()
        {
            assert!(client.outcome(receipt).is_success());
            println!("done {number}");
        }
    }
}

fn finish<A: Adapter>(mut client: A) {
    println!("left {}", client.pending());
    loop {
        // Those of earlier runs are told as events, once each.
        match client.event(Duration::from_millis(20)) {
            Some(Event::Done { tag, outcome, .. }) => {
                assert!(outcome.is_success(), "{outcome:?}");
                println!("receipt {tag}");
            }
            None if client.pending() == 0 => break,
            _ => {}
        }
    }
    client.stop();
    println!("finished");
}

fn fill<A: Adapter>(mut client: A) {
    let large = vec![7; 100_000];
    // Nobody takes them, so that they pile up.
    let mut refused = None;
    for _ in 0..100 {
        let mut receipt =
            client.publish(Publish::new("large", &large).qos(Qos::AtLeastOnce)).expect("there is room");
        if !client.durable(&mut receipt) {
            refused = Some(client.outcome(receipt));
            break;
        }
    }
    assert_eq!(refused, Some(Outcome::NotStored));
    loop {
        match client.event(Duration::from_secs(20)) {
            Some(Event::JournalFailed(error)) => {
                assert!(error.is_full(), "{error:?}");
                println!("full: {error}");
                break;
            }
            Some(_) => {}
            None => panic!("a full disk is told"),
        }
    }
    client.stop();
    println!("went on");
}

fn without_journal<A: Adapter>(mut options: Options) {
    let Err(ConnectError::Journal(error)) = A::start(options.clone()).map(drop) else {
        panic!("there can be no journal");
    };
    assert!(error.is_read_only(), "{error:?}");
    println!("refused: {error}");
    options.engine_mut().when_not_stored = WhenNotStored::Send;
    let mut client = A::connect(options).expect("the client goes on without, if told so");
    let receipt = client.publish(Publish::new("numbers", "0").qos(Qos::ExactlyOnce)).expect("there is room");
    assert!(client.outcome(receipt).is_success());
    client.stop();
    println!("went on");
}

fn receive<A: Adapter>(mut client: A, qos: Qos) {
    client.subscribe("numbers", qos).expect("the subscription is granted");
    println!("subscribed");
    loop {
        if let Some(message) = client.message(Duration::from_secs(1)) {
            let again = if message.redelivered() || message.dup() { " again" } else { "" };
            println!("got {}{again}", String::from_utf8_lossy(message.payload()));
            client.acknowledge(&message);
        }
    }
}
