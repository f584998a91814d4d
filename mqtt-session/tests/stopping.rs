//! The last packet: DISCONNECT with a reason and properties, and nothing behind it.

use crate::common;

use core::time::Duration;

use common::{Seen, Trace, VERSIONS};
use mqtt_session::proto::{
    Disconnect, EncodeError, Properties, Property, PropertyId, Qos, ReasonCode, Version,
};
use mqtt_session::{Closed, Command, Stop, StopError, Storage, Why};

fn list<'a>(list: &'a [Property<'a>]) -> Properties<'a> {
    Properties::List(list)
}

fn stopped<S: Storage>(t: &mut Trace<S>) {
    assert_eq!(t.command(), Some(Command::Close));
    t.close(Closed::Carried);
    assert_eq!(t.event(), Seen::Disconnected { why: Why::Stopped, retry: None });
    assert_eq!(t.event(), Seen::Stopped { left: 0 });
}

scenario!(
    /// [5.0 MQTT-3.14.2-1] [5.0 MQTT-3.14.4-1] [5.0 MQTT-3.14.4-2] [3.1.1 MQTT-3.14.4-1] [3.1.1 MQTT-3.14.4-2]
    disconnect_is_the_last_packet_and_the_transport_is_closed,
    VERSIONS,
    |t| {
        t.connect();
        t.events();
        t.session.stop(Stop::now()).unwrap();
        t.expect(Disconnect::new(ReasonCode::Success));
        // Nothing more is taken in, and nothing sent.
        t.send_bytes(&[0xD0, 0x00]);
        t.session.check_link();
        t.after(Duration::from_millis(100));
        t.expect_silence();
        stopped(t);
    }
);

scenario!(
    /// [5.0 MQTT-3.14.2-1] The reason, where the version has one; the will is wanted with any but the normal one.
    a_reason_is_sent_or_disconnect_is_left_out,
    VERSIONS,
    |t| {
        for how in [Stop::now().with_will(), Stop::now().reason(ReasonCode::AdministrativeAction)] {
            t.connect();
            t.events();
            t.session.stop(how).unwrap();
            if t.version() == Version::V5 {
                assert!([0x04, 0x98].contains(&t.next_frame().unwrap()[2]));
            }
            t.expect_silence();
            stopped(t);
        }
    }
);

scenario!(
    /// [5.0 MQTT-3.14.2-1] [U-07] What a client cannot say is refused, and nothing happens.
    what_a_disconnect_cannot_say_is_refused_and_the_run_goes_on,
    VERSIONS,
    |t| {
        t.connect();
        let refused = [
            (Stop::now().reason(ReasonCode::ServerBusy), StopError::InvalidReason),
            (Stop::now().reason(ReasonCode::GrantedQos1), StopError::InvalidReason),
            (
                Stop::now().properties(list(&[Property::TopicAlias(1)])),
                StopError::Invalid(EncodeError::PropertyNotAllowed(PropertyId::TopicAlias)),
            ),
            (
                Stop::now().properties(list(&[Property::ServerReference("x")])),
                StopError::Invalid(EncodeError::PropertyNotAllowed(PropertyId::ServerReference)),
            ),
            (
                Stop::now().properties(list(&[Property::ReasonString(LONG)])),
                StopError::NoRoom,
            ),
        ];
        for (how, want) in refused {
            assert_eq!(t.session.stop(how), Err(want));
        }
        t.expect_silence();
        t.publish("a", Qos::AtMostOnce, b"still running");
        assert!(t.next_frame().is_some());
    }
);

/// Longer than the wire buffer of the tests.
const LONG: &str = {
    static BYTES: [u8; 2_000] = [b'x'; 2_000];
    match core::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
};

scenario!(
    /// [U-19]
    a_session_that_was_to_end_with_the_connection_cannot_be_made_to_outlive_it,
    |t| {
        t.connect_with(false, &[Property::SessionExpiryInterval(100)]);
        t.events();
        let raise = [Property::SessionExpiryInterval(1)];
        assert_eq!(t.session.stop(Stop::now().properties(list(&raise))), Err(StopError::ExpiryRaised));
        // 0 stays 0.
        let zero = [Property::SessionExpiryInterval(0)];
        t.session.stop(Stop::now().properties(list(&zero))).unwrap();
        t.expect(Disconnect { reason_code: ReasonCode::Success, properties: list(&zero) });
        stopped(t);
    }
);

scenario!(
    /// [U-19] The CONNECT that counts is that of the connection DISCONNECT ends.
    an_expiry_that_a_later_connect_does_not_allow_is_left_out,
    |t| {
        t.options.session_expiry = 10;
        t.connect();
        t.publish("a", Qos::AtLeastOnce, b"");
        t.next_frame();
        let raise = [Property::SessionExpiryInterval(20)];
        t.session.stop(Stop::drain(Duration::from_secs(60)).properties(list(&raise))).unwrap();
        t.cut();
        t.options.session_expiry = 0;
        t.resume();
        assert_eq!(t.next_frame().unwrap()[0], 0x3A);
        t.send(mqtt_session::proto::Puback::new(common::id(1)));
        t.expect(Disconnect::new(ReasonCode::Success));
    }
);

scenario!(
    /// [5.0 MQTT-3.14.2-3] [5.0 MQTT-3.14.2-4]
    disconnect_leaves_out_what_only_explains_when_the_server_takes_no_more,
    |t| {
        t.options.session_expiry = 10;
        t.connect_with(false, &[Property::MaximumPacketSize(12)]);
        t.events();
        let all = [
            Property::ReasonString("going home"),
            Property::SessionExpiryInterval(20),
            Property::UserProperty("name", "value"),
        ];
        t.session.stop(Stop::now().properties(list(&all))).unwrap();
        t.expect(Disconnect { reason_code: ReasonCode::Success, properties: list(&all[1..2]) });
        stopped(t);
    }
);

scenario!(
    /// [5.0 MQTT-3.14.2-2] [U-39] [U-21]
    a_servers_disconnect_is_judged_as_a_servers,
    |t| {
        // Session Expiry Interval is the client's.
        t.connect();
        t.send_bytes(&[0xE0, 0x07, 0x00, 0x05, 0x11, 0, 0, 0, 1]);
        assert!(matches!(t.refuses(ReasonCode::ProtocolError), Why::Malformed(error)
            if error.rule == "MQTT-3.14.2-2"));
        // So is 0x04.
        t.connect();
        t.send_bytes(&[0xE0, 0x01, 0x04]);
        let Why::Malformed(error) = t.expect_closing() else { panic!() };
        assert_eq!(error.rule, "MQTT-3.14.2-1");
        // The short forms.
        for bytes in [&[0xE0, 0x00][..], &[0xE0, 0x01, 0x8B], &[0xE0, 0x02, 0x8B, 0x00]] {
            t.connect();
            t.send_bytes(bytes);
            t.expect_silence();
            let code = if bytes.len() == 2 { ReasonCode::Success } else { ReasonCode::ServerShuttingDown };
            assert_eq!(t.closes_somehow(), Why::ServerDisconnected(code));
        }
    }
);

scenario!(
    /// [5.0 MQTT-3.14.1-1]
    a_disconnect_with_wrong_flags_is_malformed,
    |t| {
        t.connect();
        t.send_bytes(&[0xE1, 0x00]);
        assert!(matches!(t.refuses(ReasonCode::MalformedPacket), Why::Malformed(_)));
    }
);
