//! Counters and round trips.

use crate::common;

use core::time::Duration;

use common::{VERSIONS, id};
use mqtt_session::Stop;
use mqtt_session::proto::{
    PacketType, Pingresp, Properties, Puback, Pubcomp, Publish, Pubrec, Qos, ReasonCodes, Suback,
    Subscription, SubscriptionOptions, TopicFilter, TopicName,
};

scenario!(
    /// Every packet is counted where it is handed out or taken.
    packets_are_counted_by_type_both_ways,
    VERSIONS,
    |t| {
        t.options.keep_alive = 10;
        t.connect();
        t.publish("a", Qos::AtMostOnce, b"0");
        t.publish("a", Qos::AtLeastOnce, b"1");
        t.publish("a", Qos::ExactlyOnce, b"2");
        let filter = TopicFilter::new("a").unwrap();
        let list = [Subscription { filter, options: SubscriptionOptions::new(Qos::AtMostOnce) }];
        t.session.subscribe(&list, Properties::EMPTY).unwrap();
        let queued = t.session.stats();
        assert_eq!((queued.queued, queued.in_flight, queued.open), (1, 2, 3), "messages that may leave are handed out");
        t.drain();
        let handed = t.session.stats();
        assert_eq!((handed.queued, handed.in_flight, handed.open), (0, 3, 3));
        t.send(Puback::new(id(1)));
        t.send(Pubrec::new(id(2)));
        t.send(Pubcomp::new(id(2)));
        t.send(Suback {
            packet_id: id(3),
            properties: Properties::EMPTY,
            codes: ReasonCodes::from_stored(&[0]),
        });
        for number in 1..=2 {
            t.send(Publish {
                dup: false,
                qos: if number == 1 { Qos::AtLeastOnce } else { Qos::ExactlyOnce },
                retain: false,
                topic: TopicName::new("in").ok(),
                packet_id: Some(id(number)),
                properties: Properties::EMPTY,
                payload: b"",
            });
        }
        t.send(mqtt_session::proto::Pubrel::new(id(2)));
        t.after(Duration::from_secs(10));
        t.send(Pingresp);
        t.session.stop(Stop::now()).unwrap();
        t.drain();
        let stats = t.session.stats();
        for (packet_type, out, back) in [
            (PacketType::Connect, 1, 0),
            (PacketType::Connack, 0, 1),
            (PacketType::Publish, 3, 2),
            (PacketType::Puback, 1, 1),
            (PacketType::Pubrec, 1, 1),
            (PacketType::Pubrel, 1, 1),
            (PacketType::Pubcomp, 1, 1),
            (PacketType::Subscribe, 1, 0),
            (PacketType::Suback, 0, 1),
            (PacketType::Pingreq, 1, 0),
            (PacketType::Pingresp, 0, 1),
            (PacketType::Disconnect, 1, 0),
        ] {
            assert_eq!(stats.packets_out.of(packet_type), out, "{packet_type:?}");
            assert_eq!(stats.packets_in.of(packet_type), back, "{packet_type:?}");
        }
        assert_eq!((stats.packets_out.total(), stats.packets_in.total()), (11, 9));
        assert_eq!((stats.publishes_out, stats.publishes_in), (3, 2));
        assert_eq!(stats.connections, 1);
    }
);

scenario!(
    /// The clock is the caller's.
    round_trips_of_pings_and_acknowledgements_are_measured,
    VERSIONS,
    |t| {
        t.options.keep_alive = 60;
        t.connect();
        assert_eq!(t.session.stats().ack_round_trip.last(), None);
        for (number, qos, millis) in [(1, Qos::AtLeastOnce, 40), (2, Qos::ExactlyOnce, 120), (3, Qos::AtLeastOnce, 8)] {
            t.publish("a", qos, b"");
            t.drain();
            t.after(Duration::from_millis(millis));
            if qos == Qos::AtLeastOnce {
                t.send(Puback::new(id(number)));
            } else {
                t.send(Pubrec::new(id(number)));
                t.after(Duration::from_secs(1));
                t.send(Pubcomp::new(id(number)));
            }
        }
        let trips = t.session.stats().ack_round_trip;
        let millis = Duration::from_millis;
        assert_eq!((trips.samples(), trips.last(), trips.shortest()), (3, Some(millis(8)), Some(millis(8))));
        assert_eq!(trips.smoothed(), Some(Duration::from_micros(44_750)));
        t.session.check_link();
        t.drain();
        t.after(millis(25));
        t.send(Pingresp);
        t.send(Pingresp);
        let pings = t.session.stats().ping_round_trip;
        assert_eq!((pings.samples(), pings.last()), (1, Some(millis(25))));
    }
);

scenario!(
    /// One of many is timed, and a cut ends the measuring.
    an_answer_of_another_connection_is_not_measured,
    VERSIONS,
    |t| {
        t.options.session_expiry = if t.version() == mqtt_session::proto::Version::V5 { 100 } else { 0 };
        t.options.clean_start = false;
        t.options.local_state = mqtt_session::LocalState::Held;
        t.connect();
        t.publish("a", Qos::AtLeastOnce, b"");
        t.publish("a", Qos::AtLeastOnce, b"");
        t.drain();
        t.after(Duration::from_secs(1));
        t.cut();
        t.resume();
        t.drain();
        t.after(Duration::from_millis(3));
        t.send(Puback::new(id(2)));
        assert_eq!(t.session.stats().ack_round_trip.samples(), 0);
        t.send(Puback::new(id(1)));
        let trips = t.session.stats().ack_round_trip;
        assert_eq!((trips.samples(), trips.last()), (1, Some(Duration::from_millis(3))));
        assert_eq!(t.session.stats().resends, 2);
    }
);
