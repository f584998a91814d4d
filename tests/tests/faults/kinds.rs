//! Each kind of fault in the middle of a flow, for each driver at QoS 1 and 2: none is lost, at QoS 2 none is doubled.

use core::net::SocketAddr;
use core::time::Duration;

use mqtt_adapter_std::{Publish, Qos, Version};
use mqtt_sim::schedule::{Schedule, Trouble};
use mqtt_sim::world::Direction;
use mqtt_tests::adapter::{Adapter, CAP, Driven, Smol, Threads};
use mqtt_tests::model::Model;
use mqtt_tests::mosquitto::Mosquitto;
use mqtt_tests::numbered::{kept, number, payload};
use mqtt_tests::proxy::Proxy;

/// How many messages a flow has.
const COUNT: u32 = 300;
/// How many connections of each client are struck, if they end by it.
const STRUCK: u64 = 3;

/// What one connection is struck by: once in the middle of messages, once in the middle of acknowledgements.
fn schedules(messages: Direction, trouble: Trouble) -> Vec<Schedule> {
    let acks = if messages == Direction::Up { Direction::Down } else { Direction::Up };
    let schedule = Schedule::new().passed(messages, 4_003, trouble).passed(acks, 302, trouble);
    vec![schedule; if trouble.is_end() { STRUCK as usize } else { 1 }]
}

/// mosquitto 2.0.11 publishes a message again to a receiver that was cut twice in its handshake, so that at QoS 2 only
/// the sender's connections end; against the model broker those of both do.
fn on_mosquitto<A: Adapter>(trouble: Trouble, qos: Qos) {
    let broker = Mosquitto::start();
    let both = qos == Qos::AtLeastOnce || !trouble.is_end();
    numbered::<A>(broker.address(), trouble, qos, both);
}

fn on_the_model<A: Adapter>(trouble: Trouble) {
    let broker = Model::start();
    numbered::<A>(broker.address(), trouble, Qos::ExactlyOnce, true);
}

fn numbered<A: Adapter>(broker: SocketAddr, trouble: Trouble, qos: Qos, both: bool) {
    let sender_side = Proxy::start(broker, &schedules(Direction::Up, trouble));
    let receiver_side =
        Proxy::start(broker, &if both { schedules(Direction::Down, trouble) } else { Vec::new() });
    let mut receiver =
        A::connect(kept(&receiver_side.url(), Version::V5, "receiver")).expect("the receiver connects");
    receiver.subscribe("numbers", qos).expect("the subscription is granted");
    let mut sender =
        A::connect(kept(&sender_side.url(), Version::V5, "sender")).expect("the sender connects");

    let mut receipts = Vec::new();
    for sent in 0..COUNT {
        let message = payload(sent);
        receipts.push(
            sender.publish(Publish::new("numbers", message.as_str()).qos(qos)).expect("it is accepted"),
        );
    }
    for receipt in receipts {
        let outcome = sender.outcome(receipt);
        assert!(outcome.is_success(), "every message ends well, whatever happens: {outcome:?}");
    }
    let mut times = vec![0_u32; COUNT as usize + 1];
    let mut take = || {
        let message = receiver.message(CAP).expect("the flow does not stall");
        assert_eq!(message.qos(), qos);
        let times = &mut times[number(&message) as usize];
        *times += 1;
        (number(&message), *times == 1)
    };
    let mut missing = COUNT;
    while missing > 0 {
        missing -= u32::from(take().1);
    }
    // What happened so far makes the broker repeat comes before this.
    sender_side.heal();
    receiver_side.heal();
    let last = payload(COUNT);
    let receipt = sender.publish(Publish::new("numbers", last.as_str()).qos(qos)).expect("it is accepted");
    assert!(sender.outcome(receipt).is_success());
    while take().0 != COUNT {}
    let wrong: Vec<usize> = (0..times.len())
        .filter(|number| times[*number] == 0 || qos == Qos::ExactlyOnce && times[*number] > 1)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?} of {times:?}");
    assert_eq!((sender.stop(), receiver.stop()), (0, 0));

    for (proxy, struck) in [(&sender_side, true), (&receiver_side, both)] {
        let (all, least) = (proxy.struck(), if trouble.is_end() { STRUCK } else { 2 });
        assert_eq!(all.all(), all.of(trouble), "nothing else struck");
        assert!(if struck { all.all() >= least } else { all.all() == 0 }, "{all}");
        if trouble.is_end() && struck {
            assert!(proxy.accepted() > STRUCK, "each time a connection followed");
        }
    }
}

macro_rules! kinds {
    ($($name:ident $trouble:expr),+ $(,)?) => {$(
        mod $name {
            kinds!(@driver $trouble, threads Threads);
            kinds!(@driver $trouble, driven Driven);
            kinds!(@driver $trouble, smol Smol);
        }
    )+};
    (@driver $trouble:expr, $module:ident $driver:ident) => {
        mod $module {
            use super::super::*;

            #[test]
            fn qos1() {
                on_mosquitto::<$driver>($trouble, Qos::AtLeastOnce);
            }

            #[test]
            fn qos2() {
                on_mosquitto::<$driver>($trouble, Qos::ExactlyOnce);
            }

            #[test]
            fn qos2_on_the_model() {
                on_the_model::<$driver>($trouble);
            }
        }
    };
}

kinds!(
    delay Trouble::Delay(Duration::from_millis(100)),
    stall Trouble::Stall(Duration::from_millis(700)),
    split Trouble::Split(3_000),
    half_close Trouble::HalfClose,
    reset Trouble::Reset,
    cut Trouble::Cut,
);
