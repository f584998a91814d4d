//! Requests and their responses, from both adapters to both.

use core::time::Duration;
use std::thread;

use futures_lite::future::block_on;
use mqtt_adapter_std::{Options, Outcome, Publish, Qos, ReasonCode, ResponseError, Version};
use mqtt_tests::adapter::CAP;
use mqtt_tests::model::Model;
use mqtt_tests::mosquitto::Mosquitto;
use {mqtt_adapter_smol as smol, mqtt_adapter_std as blocking};

fn asker(url: &str) -> Options {
    Options::new(url).unwrap().with_response_topic("asker/answers")
}

/// Answers what is asked with the same in capitals, until its client stops.
fn answerer(url: &str) -> blocking::Client {
    let client = blocking::Client::connect(Options::new(url).unwrap()).unwrap();
    client.subscribe("ask", Qos::ExactlyOnce).unwrap();
    let routes = blocking::Routes::new()
        .on("ask", |client: &blocking::Client, message: &blocking::Message| {
            let loud = message.payload().to_ascii_uppercase();
            if let Some(reply) = message.reply(loud) {
                let _ = client.publish(reply).unwrap();
            }
        })
        .unwrap();
    drop(client.handle(&routes, 1).unwrap());
    client
}

fn start(options: Options) -> smol::Client {
    let (client, connection) = smol::connect(options).unwrap();
    thread::spawn(move || block_on(connection));
    block_on(client.connected()).unwrap();
    client
}

#[test]
fn each_request_has_its_own_response() {
    let broker = Mosquitto::start();
    let _answerer = answerer(&broker.url());
    let blocking = blocking::Client::connect(asker(&broker.url())).unwrap();
    let asynchronous = start(asker(&broker.url()).with_response_topic("other/answers"));
    thread::scope(|scope| {
        for number in 0..20 {
            let (blocking, asynchronous) = (&blocking, &asynchronous);
            scope.spawn(move || {
                let (text, loud) = (format!("a{number}"), format!("A{number}"));
                let ask = || Publish::new("ask", text.as_str()).qos(Qos::AtLeastOnce);
                assert_eq!(blocking.request(ask(), CAP).unwrap().payload(), loud.as_bytes());
                let response = block_on(asynchronous.request(ask(), CAP)).unwrap();
                assert_eq!(response.payload(), loud.as_bytes());
            });
        }
    });
    // No response comes to the inbox.
    assert!(blocking.try_recv().is_err());
}

#[test]
fn a_server_assigns_the_topic_where_it_is_asked_to() {
    let broker = Model::start();
    let _answerer = answerer(&broker.url());
    let options = Options::new(&broker.url()).unwrap().with_assigned_response_topic("/answers");
    let client = blocking::Client::connect(options).unwrap();
    let result = client.request(Publish::new("ask", "x").qos(Qos::AtLeastOnce), CAP);
    match result {
        Ok(response) => assert_eq!(response.payload(), b"X"),
        // A server need not assign one; then it is told.
        Err(ResponseError::NotReady(_)) => loop {
            if let Some(blocking::Event::NoResponses { .. }) = client.next_event(Some(CAP)) {
                break;
            }
        },
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_cannot_be_answered_says_why() {
    let broker = Mosquitto::start();
    let plain = blocking::Client::connect(Options::new(&broker.url()).unwrap()).unwrap();
    let ask = || Publish::new("nobody", "x").qos(Qos::AtLeastOnce);
    assert_eq!(plain.request(ask(), CAP).unwrap_err(), ResponseError::NotEnabled);
    let client = blocking::Client::connect(asker(&broker.url())).unwrap();
    let error = client.request(ask(), CAP).unwrap_err();
    assert_eq!(error, ResponseError::Failed(Outcome::Acked(ReasonCode::NoMatchingSubscribers)));
    let error = client.request(Publish::new("nobody", "x"), Duration::from_millis(200)).unwrap_err();
    assert_eq!(error, ResponseError::TimedOut);
    let old = blocking::Client::connect(asker(&broker.url()).with_version(Version::V3_1_1)).unwrap();
    assert!(matches!(old.request(ask(), CAP), Err(ResponseError::NotReady(_))));
    client.stop(Duration::from_secs(5));
    assert_eq!(client.request(ask(), CAP).unwrap_err(), ResponseError::Stopped);
}
