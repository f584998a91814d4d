//! The end of a run: the server has read everything before the connection is gone.

use mqtt_adapter_std::{Publish, Qos, Version};
use mqtt_tests::adapter::{Adapter, CAP};
use mqtt_tests::mosquitto::Mosquitto;

use crate::common::{kept, number, payload};

matrix!(acknowledgements_outlive_a_stop);

/// What a subscriber has taken before it stopped does not come to the next one of its name, though the server was still
/// answering when it stopped, and neither of them has a journal.
fn acknowledgements_outlive_a_stop<A: Adapter>(version: Version) {
    const COUNT: u32 = 50;
    let broker = Mosquitto::start();
    let connect = |name: &str| A::connect(kept(&broker.url(), version, name)).expect("it connects");
    let mut sender: A = connect("sender");
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let topic = format!("numbers/{}", qos as u8);
        let name = format!("receiver-{}", qos as u8);
        let mut receiver: A = connect(&name);
        receiver.subscribe(&topic, qos).expect("the subscription is granted");
        let mut publish = |sent| {
            let receipt =
                sender.publish(Publish::new(&topic, payload(sent)).qos(qos)).expect("there is room");
            assert!(sender.outcome(receipt).is_success());
        };
        (0..COUNT).for_each(&mut publish);
        for expected in 0..COUNT {
            let message = receiver.message(CAP).expect("it comes");
            assert_eq!(number(&message), expected);
        }
        assert_eq!(receiver.stop(), 0);
        publish(COUNT);
        let mut receiver: A = connect(&name);
        let first = receiver.message(CAP).expect("it comes");
        assert_eq!(number(&first), COUNT, "at {qos:?}; {}", broker.log());
        assert_eq!(receiver.stop(), 0);
    }
}
