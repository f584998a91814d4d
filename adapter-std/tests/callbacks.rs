//! Callbacks at the end of operations, and messages by channel.

#[path = "../../adapter-core/tests/peer/mod.rs"]
mod peer;

use core::time::Duration;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;

use mqtt_adapter_std::{Client, Failed, Options, Outcome, Publish, Qos, ReasonCode};
use peer::{Got, Link, PATIENCE, Server};

const ACKED: Result<Outcome, Failed> = Ok(Outcome::Acked(ReasonCode::Success));

fn options(server: &Server) -> Options {
    Options::new(&server.url()).unwrap().with_linger(PATIENCE)
}

/// A client and a server that acknowledges everything until the client leaves: what it got.
fn pair(change: impl FnOnce(Options) -> Options) -> (Client, thread::JoinHandle<Vec<Got>>) {
    let server = Server::new();
    let client = Client::start(change(options(&server))).unwrap();
    let script = thread::spawn(move || server.welcome(false).serve());
    client.connected_timeout(PATIENCE).unwrap();
    (client, script)
}

fn held() -> (Client, Link, Server) {
    let server = Server::new();
    let client = Client::start(options(&server)).unwrap();
    let link = server.welcome(false);
    client.connected_timeout(PATIENCE).unwrap();
    (client, link, server)
}

fn publish(qos: Qos) -> Publish<'static> {
    Publish::new("a", "x").qos(qos)
}

#[test]
fn each_is_called_once_with_the_outcome() {
    let (client, script) = pair(|options| options);
    let (says, said) = channel();
    for number in 0..200 {
        let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][number % 3];
        let says = says.clone();
        let done = move |result| says.send((number, result)).unwrap();
        client.publish(publish(qos)).unwrap().on_done(done).unwrap();
    }
    drop(says);
    let mut all: Vec<_> = said.iter().collect();
    all.sort_by_key(|(number, _)| *number);
    for (expected, (number, result)) in all.iter().enumerate() {
        assert_eq!(expected, *number);
        assert_eq!(*result, if number % 3 == 0 { Ok(Outcome::Accepted) } else { ACKED });
    }
    assert_eq!(all.len(), 200);
    client.stop(PATIENCE);
    script.join().unwrap();
}

#[test]
fn what_has_ended_already_is_told_at_once_and_here() {
    let (client, script) = pair(|options| options);
    let receipt = client.publish(publish(Qos::AtLeastOnce)).unwrap();
    assert!(client.idle_timeout(PATIENCE));
    let (says, said) = channel();
    receipt.on_done(move |result| says.send((thread::current().id(), result)).unwrap()).unwrap();
    // It may have been told on the other thread, if the receipt was not marked yet; it is told all the same.
    assert_eq!(said.recv_timeout(PATIENCE).unwrap().1, ACKED);
    client.stop(PATIENCE);
    script.join().unwrap();
}

#[test]
fn publishing_in_a_callback_waits_for_room_and_does_not_hang() {
    const CHAIN: u32 = 300;
    let (client, script) = pair(|mut options| {
        options.engine_mut().max_operations = 1;
        options
    });
    let (says, said) = channel();
    fn next(client: &Client, left: u32, says: std::sync::mpsc::Sender<()>) {
        if left == 0 {
            says.send(()).unwrap();
            return;
        }
        let receipt = client.publish(publish(Qos::AtLeastOnce)).unwrap();
        let client = client.clone();
        receipt
            .on_done(move |result| {
                assert_eq!(result, ACKED);
                next(&client, left - 1, says);
            })
            .unwrap();
    }
    next(&client, CHAIN, says);
    // Others fill the queue meanwhile.
    for _ in 0..100 {
        client.publish(publish(Qos::AtLeastOnce)).unwrap();
    }
    said.recv_timeout(PATIENCE).unwrap();
    client.stop(PATIENCE);
    assert_eq!(script.join().unwrap().iter().filter(|got| matches!(got, Got::Puback(_))).count(), 400);
}

#[test]
fn waiting_stopping_and_dropping_in_a_callback_do_not_hang() {
    // Waits for another receipt.
    let (client, script) = pair(|options| options);
    let other = client.publish(publish(Qos::ExactlyOnce)).unwrap();
    let (says, said) = channel();
    client
        .publish(publish(Qos::AtLeastOnce))
        .unwrap()
        .on_done(move |_| says.send(other.wait()).unwrap())
        .unwrap();
    assert_eq!(said.recv_timeout(PATIENCE).unwrap(), ACKED);
    // Stops.
    let (says, said) = channel();
    let stopper = client.clone();
    client
        .publish(publish(Qos::AtLeastOnce))
        .unwrap()
        .on_done(move |_| says.send(stopper.stop(PATIENCE)).unwrap())
        .unwrap();
    assert_eq!(said.recv_timeout(PATIENCE).unwrap(), 0);
    script.join().unwrap();
    // Drops the last handle.
    let (client, script) = pair(|options| options);
    let receipt = client.publish(publish(Qos::AtLeastOnce)).unwrap();
    receipt.on_done(move |_| drop(client)).unwrap();
    let got = script.join().unwrap();
    assert_eq!(got.last(), Some(&Got::Disconnect(ReasonCode::Success)));
}

#[test]
fn a_callback_that_takes_its_time_stops_no_ping_and_no_answer() {
    let (client, mut link, _server) = held();
    let (go, wait) = channel::<()>();
    let receipt = client.publish(publish(Qos::AtLeastOnce)).unwrap();
    receipt.on_done(move |_| wait.recv_timeout(PATIENCE).unwrap()).unwrap();
    let Got::Publish { id, .. } = link.next() else { panic!("no publish") };
    link.puback(id);
    for _ in 0..3 {
        client.check_link();
        assert_eq!(link.next(), Got::Ping);
        link.send(&mqtt_proto::Pingresp);
        // Once this is answered the ping is, too; until then another one would not be sent.
        let receipt = client.publish(publish(Qos::AtLeastOnce)).unwrap();
        let Got::Publish { id, .. } = link.next() else { panic!("no publish") };
        link.puback(id);
        assert_eq!(receipt.wait(), ACKED);
    }
    go.send(()).unwrap();
}

#[test]
fn a_panic_ends_that_call_alone_and_a_stop_calls_all_that_wait() {
    let (client, mut link, _server) = held();
    let (says, said) = channel();
    client.publish(publish(Qos::AtLeastOnce)).unwrap().on_done(|_| panic!("planned")).unwrap();
    for _ in 0..5 {
        let says = says.clone();
        let receipt = client.publish(publish(Qos::AtLeastOnce)).unwrap();
        receipt.on_done(move |result| says.send(result).unwrap()).unwrap();
    }
    let Got::Publish { id, .. } = link.next() else { panic!("no publish") };
    link.puback(id);
    // The others are never answered.
    assert_eq!(client.stop(Duration::from_millis(50)), 5);
    for _ in 0..5 {
        assert_eq!(said.recv_timeout(PATIENCE).unwrap(), Err(Failed(Outcome::Stopped)));
    }
}

#[test]
fn the_messages_of_two_clients_come_through_one_channel_in_the_order_of_each() {
    const COUNT: u16 = 100;
    let (sender, messages) = sync_channel(0);
    let mut ends = Vec::new();
    for topic in ["one", "two"] {
        let (client, mut link, server) = held();
        client.messages_to(sender.clone()).unwrap();
        ends.push(thread::spawn(move || {
            for id in 1..=COUNT {
                link.publish(topic, &id.to_be_bytes(), Qos::AtLeastOnce, id);
            }
            for id in 1..=COUNT {
                assert_eq!(link.next_but_pings(), Got::Puback(id));
            }
            client.stop(PATIENCE);
            drop(server);
        }));
    }
    drop(sender);
    let mut last = [0, 0];
    // The channel ends with the clients.
    for message in messages {
        let at = usize::from(message.topic() == "two");
        let number = u16::from_be_bytes(message.payload().try_into().unwrap());
        assert_eq!(number, last[at] + 1);
        last[at] = number;
    }
    assert_eq!(last, [COUNT, COUNT]);
    ends.into_iter().for_each(|end| end.join().unwrap());
}

#[test]
fn a_full_channel_holds_the_server_back_and_a_dropped_one_loses_nothing() {
    const COUNT: u16 = 50;
    let (client, mut link, _server) = held();
    let (sender, messages) = sync_channel(1);
    client.messages_to(sender).unwrap();
    for id in 1..=COUNT {
        link.publish("a", &id.to_be_bytes(), Qos::AtMostOnce, 0);
    }
    let number = |payload: &[u8]| u16::from_be_bytes(payload.try_into().unwrap());
    assert_eq!(number(messages.recv_timeout(PATIENCE).unwrap().payload()), 1);
    let rest: u16 = {
        // What lies in the channel is the receiver's; what its thread held is put back.
        let second = number(messages.recv_timeout(PATIENCE).unwrap().payload());
        assert_eq!(second, 2);
        let left = messages;
        let mut highest = 2;
        while let Ok(message) = left.try_recv() {
            highest = number(message.payload());
        }
        drop(left);
        highest
    };
    // At most one lay in the channel when it was dropped; the one that was put back may come a little later.
    let least = usize::from(COUNT - rest) - 1;
    let mut all: Vec<_> =
        (0..least).map(|_| number(client.recv_timeout(PATIENCE).unwrap().payload())).collect();
    all.extend(client.recv_timeout(Duration::from_millis(300)).map(|message| number(message.payload())));
    all.sort_unstable();
    let first = COUNT - all.len() as u16 + 1;
    assert_eq!(all, (first..=COUNT).collect::<Vec<_>>());
    assert!(first == rest + 1 || first == rest + 2, "{first} after {rest}");
}
