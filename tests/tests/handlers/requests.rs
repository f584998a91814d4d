//! Requests and their responses, from both adapters to both.

use core::time::Duration;
use std::sync::{Arc, Mutex};
use std::thread;

use futures_lite::future::block_on;
use mqtt_adapter_std as blocking;
use mqtt_adapter_std::{Event, Options, Outcome, Publish, Qos, ReasonCode, ResponseError, Version};
use mqtt_proto::{
    Connack, Packet, Pingresp, Properties, Property, Puback, Publish as Sent, ReasonCodes, Suback, TopicName,
};
use mqtt_tests::adapter::{Adapter, CAP};
use mqtt_tests::drivers;
use mqtt_tests::mosquitto::Mosquitto;
use mqtt_tests::server::Played;

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

fn start(options: Options) -> mqtt_adapter_smol::Client {
    let (client, connection) = mqtt_adapter_smol::connect(options).unwrap();
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

drivers!(
    the_topic_the_server_assigns_is_used,
    a_server_that_assigns_no_topic_is_told,
    what_cannot_be_answered_says_why,
);

/// A server that assigns `srv/7`, or nothing, and answers in capitals at the topic that is asked for.
fn assigning(topic: Option<&'static str>) -> (Played, Arc<Mutex<Vec<String>>>) {
    let subscribed = Arc::<Mutex<Vec<String>>>::default();
    let filters = Arc::clone(&subscribed);
    let server = Played::start(move |line| {
        while let Some(frame) = line.frame() {
            match frame.packet() {
                Packet::Connect(connect) => {
                    assert_eq!(connect.properties.request_response_information(), Some(true));
                    let list: Vec<_> = topic.map(Property::ResponseInformation).into_iter().collect();
                    let properties = Properties::List(&list);
                    let reason_code = ReasonCode::Success;
                    line.send(&Connack { session_present: false, reason_code, properties });
                }
                Packet::Subscribe(subscribe) => {
                    let asked = subscribe.filters.iter().map(|item| item.filter.as_str().to_owned());
                    filters.lock().unwrap().extend(asked);
                    let codes = ReasonCodes::from(&[ReasonCode::GrantedQos2][..]);
                    let properties = Properties::EMPTY;
                    line.send(&Suback { packet_id: subscribe.packet_id, properties, codes });
                }
                Packet::Publish(publish) => {
                    if let Some(id) = publish.packet_id {
                        line.send(&Puback::new(id));
                    }
                    let to = publish.properties.response_topic().expect("it is a request");
                    let data = publish.properties.correlation_data().expect("it is a request");
                    let loud = publish.payload.to_ascii_uppercase();
                    let list = [Property::CorrelationData(data)];
                    let mut answer = Sent::new(TopicName::new(to).unwrap(), &loud);
                    answer.properties = Properties::List(&list);
                    line.send(&answer);
                }
                Packet::Pingreq(_) => line.send(&Pingresp),
                _ => {}
            }
        }
    });
    (server, subscribed)
}

fn assigned(server: &Played) -> Options {
    Options::new(&server.url()).unwrap().with_assigned_response_topic("/answers")
}

fn the_topic_the_server_assigns_is_used<A: Adapter>() {
    let (server, subscribed) = assigning(Some("srv/7"));
    let mut client = A::connect(assigned(&server)).unwrap();
    for text in ["one", "two"] {
        let answer = client.request(Publish::new("ask", text).qos(Qos::AtLeastOnce), CAP).unwrap();
        assert_eq!((answer.topic(), answer.payload()), ("srv/7/answers", text.to_uppercase().as_bytes()));
    }
    client.stop();
    assert_eq!(*subscribed.lock().unwrap(), ["srv/7/answers"]);
}

fn a_server_that_assigns_no_topic_is_told<A: Adapter>() {
    let (server, subscribed) = assigning(None);
    let mut client = A::connect(assigned(&server)).unwrap();
    let refused = client.request(Publish::new("ask", "x"), CAP);
    assert!(matches!(refused, Err(ResponseError::NotReady(_))), "{refused:?}");
    loop {
        if let Event::NoResponses { .. } = client.event(CAP).expect("it is told in time") {
            break;
        }
    }
    client.stop();
    assert!(subscribed.lock().unwrap().is_empty());
}

fn what_cannot_be_answered_says_why<A: Adapter>() {
    let broker = Mosquitto::start();
    let ask = || Publish::new("nobody", "x").qos(Qos::AtLeastOnce);
    let mut plain = A::connect(Options::new(&broker.url()).unwrap()).unwrap();
    assert_eq!(plain.request(ask(), CAP).unwrap_err(), ResponseError::NotEnabled);
    let mut client = A::connect(asker(&broker.url())).unwrap();
    let error = client.request(ask(), CAP).unwrap_err();
    assert_eq!(error, ResponseError::Failed(Outcome::Acked(ReasonCode::NoMatchingSubscribers)));
    let error = client.request(Publish::new("nobody", "x"), Duration::from_millis(200)).unwrap_err();
    assert_eq!(error, ResponseError::TimedOut);
    let mut old = A::connect(asker(&broker.url()).with_version(Version::V3_1_1)).unwrap();
    assert!(matches!(old.request(ask(), CAP), Err(ResponseError::NotReady(_))));
    client.stop();
    assert_eq!(client.request(ask(), CAP).unwrap_err(), ResponseError::Stopped);
}
