//! Every future of the client, dropped at every poll: nothing is lost, doubled or left behind, and the client goes on.

use core::time::Duration;
use std::thread;

use futures_lite::StreamExt as _;
use futures_lite::future::{self, block_on};
use mqtt_adapter_smol::{
    Client, Durability, Event, Journal, Options, Properties, Publish, Qos, ReasonCode, Routes, Stop,
    Subscription, SubscriptionOptions, TopicFilter, connect,
};
use mqtt_tests::adapter::CAP;
use mqtt_tests::folder::Folder;
use mqtt_tests::model::Model;
use mqtt_tests::polls::{Again, dropped_at_every_poll, polled, wait};

use super::{Running, options, start};

const BOTH: [Again; 2] = [Again::Woken, Again::AtOnce];

/// Rounds of each, so that more than one interleaving with the connection's thread is seen.
const ROUNDS: usize = 5;

fn each(mut round: impl FnMut(Again)) {
    for again in BOTH {
        (0..ROUNDS).for_each(|_| round(again));
    }
}

fn number(payload: &[u8]) -> u32 {
    str::from_utf8(payload).unwrap().parse().unwrap()
}

/// The numbers that come until the last one does.
fn numbers(client: &Client, last: u32) -> Vec<u32> {
    let mut all = Vec::new();
    while all.last() != Some(&last) {
        all.push(number(block_on(client.recv()).unwrap().payload()));
    }
    all
}

/// Somebody who publishes numbers.
struct Counter(Client, u32);

impl Counter {
    fn new(broker: &Model) -> (Self, Running) {
        let running = start(options(broker));
        (Self(running.client.clone(), 0), running)
    }

    /// Publishes the next one, and waits until the broker has it.
    fn send(&mut self, topic: &str) {
        let text = self.1.to_string();
        self.1 += 1;
        let publish = Publish::new(topic, text.as_str()).qos(Qos::AtLeastOnce);
        let _ = block_on(async { self.0.publish(publish).await.unwrap().await.unwrap() });
    }
}

#[test]
fn a_publish_was_accepted_or_never_is() {
    let broker = Model::start();
    let listener = start(options(&broker));
    block_on(listener.client.subscribe("n", Qos::ExactlyOnce)).unwrap();
    let mut few = options(&broker);
    // So that it mostly waits for room.
    few.engine_mut().max_operations = 1;
    let sender = start(few);
    let (mut next, mut sent) = (0, Vec::new());
    each(|again| {
        let client = &sender.client;
        let make = || {
            let number = next;
            next += 1;
            async move {
                let publish = Publish::new("n", number.to_string()).qos(Qos::ExactlyOnce);
                let _receipt = client.publish(publish).await.unwrap();
                number
            }
        };
        dropped_at_every_poll(again, make, |number| sent.extend(number));
    });
    let last = next;
    let _ = block_on(async {
        let text = last.to_string();
        sender.client.publish(Publish::new("n", text.as_str()).qos(Qos::ExactlyOnce)).await.unwrap().await
    });
    sent.push(last);
    assert_eq!(numbers(&listener.client, last), sent);
    sender.ends_well();
    listener.ends_well();
}

#[test]
fn an_outcome_that_is_not_waited_for_is_there_later() {
    let broker = Model::start();
    let running = start(options(&broker));
    each(|again| {
        let publish = Publish::new("n", "x").qos(Qos::ExactlyOnce);
        let mut receipt = block_on(running.client.publish(publish)).unwrap();
        // The receipt itself lives on, and with it its waker: polled by reference.
        let first = block_on(future::poll_once(&mut receipt));
        assert!(first.is_none_or(|outcome| outcome.is_ok()));
        let token = receipt.token();
        assert!(block_on(&mut receipt).is_ok());
        assert_eq!((receipt.is_done(), receipt.token()), (true, token));
        // And one that is dropped itself.
        dropped_at_every_poll(
            again,
            || block_on(running.client.publish(Publish::new("n", "x").qos(Qos::ExactlyOnce))).unwrap(),
            |outcome| assert!(outcome.is_none_or(|outcome| outcome.is_ok())),
        );
    });
    running.ends_well();
}

#[test]
fn waiting_for_the_journal_can_be_given_up() {
    let (broker, folder) = (Model::start(), Folder::new("durable"));
    let mut options = options(&broker)
        .with_client_id("durable")
        .with_session_expiry(Duration::from_secs(60))
        .with_journal(Journal::in_folder(folder.path()));
    options.engine_mut().durability = Durability::BeforeSend;
    let running = start(options);
    each(|again| {
        let client = &running.client;
        dropped_at_every_poll(
            again,
            || async {
                let publish = Publish::new("n", "x").qos(Qos::AtLeastOnce);
                let mut receipt = client.publish(publish).await.unwrap();
                receipt.durable().await.unwrap();
                Some(receipt)
            },
            |receipt| {
                if let Some(receipt) = receipt.flatten() {
                    let _ = block_on(receipt).unwrap();
                }
            },
        );
        // The receipt outlives the wait.
        let mut receipt = block_on(client.publish(Publish::new("n", "x").qos(Qos::AtLeastOnce))).unwrap();
        for polls in 0..3 {
            let _ = polled(receipt.durable(), polls, Again::AtOnce);
        }
        block_on(receipt.durable()).unwrap();
        assert!(block_on(receipt).is_ok());
    });
    running.ends_well();
}

#[test]
fn subscribing_and_unsubscribing_can_be_given_up() {
    let broker = Model::start();
    let running = start(options(&broker));
    let client = &running.client;
    let filter = || TopicFilter::new("n").unwrap();
    let one = || [Subscription { filter: filter(), options: SubscriptionOptions::new(Qos::AtLeastOnce) }];
    each(|again| {
        dropped_at_every_poll(
            again,
            || client.subscribe("n", Qos::AtLeastOnce),
            |code| assert!(code.is_none_or(|code| code == Ok(ReasonCode::GrantedQos1))),
        );
        dropped_at_every_poll(
            again,
            || async { client.subscribe_many(&one(), Properties::EMPTY).await },
            |codes| assert!(codes.is_none_or(|codes| codes.unwrap() == [ReasonCode::GrantedQos1])),
        );
        dropped_at_every_poll(
            again,
            || client.unsubscribe("n"),
            |code| assert!(code.is_none_or(|code| code.is_ok())),
        );
        dropped_at_every_poll(
            again,
            || async { client.unsubscribe_many(&[filter()], Properties::EMPTY).await },
            |codes| assert!(codes.is_none_or(|codes| codes.unwrap().len() == 1)),
        );
    });
    // All that was asked for is answered, wanted or not, and the last word counts.
    block_on(client.idle());
    assert_eq!(block_on(client.unsubscribe("n")), Ok(ReasonCode::NoSubscriptionExisted));
    running.ends_well();
}

#[test]
fn a_message_that_was_not_returned_is_returned_later() {
    let broker = Model::start();
    let running = start(options(&broker));
    block_on(running.client.subscribe("n", Qos::AtLeastOnce)).unwrap();
    let (mut counter, sender) = Counter::new(&broker);
    let mut heard = Vec::new();
    let mut stream = running.client.messages();
    each(|again| {
        // One comes while it is waited for: sometimes before the first poll, sometimes after.
        thread::scope(|scope| {
            scope.spawn(|| counter.send("n"));
            dropped_at_every_poll(again, || running.client.recv(), |got| heard.extend(got.flatten()));
        });
        thread::scope(|scope| {
            scope.spawn(|| counter.send("n"));
            for polls in 0..4 {
                // The stream lives on and keeps its place in the queue; what is dropped is what polls it.
                let got = block_on(future::or(async { Some(stream.next().await) }, async {
                    for _ in 0..polls {
                        future::yield_now().await;
                    }
                    None
                }));
                heard.extend(got.flatten());
            }
        });
    });
    counter.send("n");
    while heard.len() < counter.1 as usize {
        heard.push(block_on(running.client.recv()).unwrap());
    }
    let heard: Vec<_> = heard.iter().map(|message| number(message.payload())).collect();
    assert_eq!(heard, (0..counter.1).collect::<Vec<_>>());
    drop(stream);
    sender.ends_well();
    running.ends_well();
}

#[test]
fn an_event_that_was_not_returned_is_returned_later() {
    let broker = Model::start();
    let running = start(options(&broker).with_client_id("cut"));
    let mut seen = Vec::new();
    each(|again| {
        broker.handle().cut("cut");
        dropped_at_every_poll(again, || running.client.next_event(), |event| seen.extend(event.flatten()));
        dropped_at_every_poll(
            again,
            || running.client.connected(),
            |result| {
                assert!(result.is_none_or(|result| result.is_ok()));
            },
        );
        block_on(running.client.connected()).unwrap();
    });
    let client = running.client.clone();
    running.ends_well();
    while let Some(event) = block_on(client.next_event()) {
        seen.push(event);
    }
    // None is missing and none came twice: each connection that ended had begun.
    let mut up = false;
    for event in seen {
        match event {
            Event::Connected(_) => assert!(!core::mem::replace(&mut up, true)),
            Event::Disconnected(_) => up = false,
            _ => {}
        }
    }
}

#[test]
fn waiting_until_nothing_is_left_can_be_given_up() {
    let broker = Model::start();
    let running = start(options(&broker));
    each(|again| {
        dropped_at_every_poll(
            again,
            || async {
                let publish = Publish::new("n", "x").qos(Qos::ExactlyOnce);
                drop(running.client.publish(publish).await.unwrap());
                running.client.idle().await;
            },
            |_| {},
        );
    });
    block_on(running.client.idle());
    assert_eq!(running.client.pending(), 0);
    running.ends_well();
}

#[test]
fn a_request_that_is_given_up_leaves_room_for_others() {
    let broker = Model::start();
    let answerer = start(options(&broker));
    block_on(answerer.client.subscribe("ask", Qos::AtLeastOnce)).unwrap();
    let routes = Routes::new()
        .on("ask", |client: Client, message| async move {
            let _ = client.publish(message.reply("yes").unwrap()).await;
        })
        .unwrap();
    let handling = answerer.client.handle(&routes, 1);
    let handling = thread::spawn(move || block_on(handling));
    let running = start(options(&broker).with_response_topic("answers/1"));
    let ask = || running.client.request(Publish::new("ask", "well?").qos(Qos::AtLeastOnce), CAP);
    // More than may wait at once.
    for round in 0..150 {
        let again = BOTH[round % 2];
        dropped_at_every_poll(again, ask, |answer| {
            assert!(answer.is_none_or(|answer| answer.unwrap().payload() == b"yes"));
        });
    }
    assert_eq!(block_on(ask()).unwrap().payload(), b"yes");
    running.ends_well();
    assert_eq!(block_on(answerer.client.stop(CAP)), 0);
    handling.join().unwrap();
    wait("the connection ends", || answerer.thread.is_finished());
}

#[test]
fn handlers_that_are_dropped_take_only_their_own_message_along() {
    let broker = Model::start();
    let running = start(options(&broker));
    block_on(running.client.subscribe("n", Qos::AtLeastOnce)).unwrap();
    let (mut counter, sender) = Counter::new(&broker);
    let (says, said) = std::sync::mpsc::channel();
    let routes = Routes::new().otherwise(move |_, message| {
        says.send(number(message.payload())).unwrap();
        async {}
    });
    each(|again| {
        for polls in 0..4 {
            counter.send("n");
            let _ = polled(running.client.handle(&routes, 1), polls, Again::AtOnce);
        }
        assert_eq!(polled(running.client.handle(&routes, 2), 1, again), None);
    });
    counter.send("n");
    let rest = {
        let client = running.client.clone();
        let handling = running.client.handle(&routes, 1);
        let handling = thread::spawn(move || block_on(handling));
        let mut heard = Vec::new();
        while heard.len() < counter.1 as usize {
            heard.push(said.recv_timeout(CAP).unwrap());
        }
        block_on(client.stop(CAP));
        handling.join().unwrap();
        heard
    };
    assert_eq!(rest, (0..counter.1).collect::<Vec<_>>());
    wait("the connection ends", || running.thread.is_finished());
    sender.ends_well();
}

#[test]
fn a_stop_goes_on_when_nobody_waits_for_it() {
    let broker = Model::start();
    each(|again| {
        let mut polls = 0;
        loop {
            let running = start(options(&broker));
            let publish = Publish::new("n", "x").qos(Qos::ExactlyOnce);
            let receipt = block_on(running.client.publish(publish)).unwrap();
            let stop = running.client.stop(CAP);
            let left = polled(stop, polls, again);
            if polls == 0 {
                // It never began.
                running.ends_well();
            } else {
                wait("the stop goes on", || running.thread.is_finished());
                assert!(left.is_none_or(|left| left == 0));
                assert!(block_on(receipt).is_ok());
                assert_eq!(polled(running.client.stop_with(Stop::drain(CAP)), 5, again), Some(Ok(0)));
            }
            if left.is_some() || polls > 20 {
                break;
            }
            polls += 1;
        }
    });
}

#[test]
fn a_connection_dropped_at_any_poll_ends_everybody_who_waits() {
    let broker = Model::start();
    // By name, so that there is something to resolve; and where nobody answers.
    let port = broker.address().port();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for url in [format!("mqtt://localhost:{port}"), format!("mqtt://{}", silent.local_addr().unwrap())] {
        for polls in 0..12 {
            let (client, connection) = connect(Options::new(&url).unwrap()).unwrap();
            let receipt = block_on(client.publish(Publish::new("n", "x").qos(Qos::AtLeastOnce))).unwrap();
            // It is never ready: nobody stops it. Where nobody answers, nothing wakes it for long either.
            let again = if url.contains("localhost") && polls < 4 { Again::Woken } else { Again::AtOnce };
            assert_eq!(polled(connection, polls, again), None);
            let answered = block_on(receipt);
            assert!(polls > 2 || answered.is_err(), "{answered:?}");
            assert!(!client.is_connected());
            assert_eq!(block_on(client.recv()), None);
            assert!(block_on(client.connected()).is_err());
            assert!(client.try_publish(Publish::new("n", "x")).is_err());
            block_on(client.idle());
            while block_on(client.next_event()).is_some() {}
        }
    }
}

#[test]
fn a_call_that_gives_up_takes_no_other_of_its_task_along() {
    let broker = Model::start();
    let mut one = options(&broker);
    one.engine_mut().max_operations = 1;
    let running = start(one);
    let client = &running.client;
    let publish = || client.publish(Publish::new("n", "x").qos(Qos::ExactlyOnce));
    for _ in 0..200 {
        // All in one task, with one waker: two wait for room, then one of them is dropped.
        block_on(async {
            let first = publish().await.unwrap();
            let (second, ()) = future::zip(publish(), async {
                let _ = future::poll_once(publish()).await;
                let _ = future::poll_once(client.recv()).await;
            })
            .await;
            assert!(first.await.is_ok());
            assert!(second.unwrap().await.is_ok());
        });
    }
    block_on(async {
        let receive = async { client.recv().await.unwrap() };
        let (message, ()) = future::zip(receive, async {
            let _ = future::poll_once(client.recv()).await;
            client.subscribe("n", Qos::AtMostOnce).await.unwrap();
            drop(publish().await.unwrap());
        })
        .await;
        assert_eq!(message.payload(), b"x");
    });
    running.ends_well();
}

#[test]
fn many_that_wait_for_room_do_not_keep_each_other_awake() {
    // More than some bound: each is woken for room, and for nothing else.
    const TASKS: usize = 600;
    let broker = Model::start();
    let mut one = options(&broker);
    one.engine_mut().max_operations = 1;
    let (client, connection) = connect(one).unwrap();
    let polls = core::cell::Cell::new(0_usize);
    let executor = async_executor::LocalExecutor::new();
    let tasks: Vec<_> = (0..=TASKS)
        .map(|_| {
            executor.spawn(async {
                let mut publish =
                    core::pin::pin!(client.publish(Publish::new("n", "x").qos(Qos::AtLeastOnce)));
                let receipt = future::poll_fn(|context| {
                    polls.set(polls.get() + 1);
                    publish.as_mut().poll(context)
                });
                assert!(receipt.await.unwrap().await.is_ok());
            })
        })
        .collect();
    // Without a connection: all but one wait, and then nothing happens.
    while executor.try_tick() {
        assert!(polls.get() <= TASKS + 1, "they wake each other");
    }
    assert_eq!(polls.get(), TASKS + 1);
    let connection = thread::spawn(move || block_on(connection));
    block_on(executor.run(async {
        for task in tasks {
            task.await;
        }
        client.stop(CAP).await;
    }));
    connection.join().unwrap();
}
