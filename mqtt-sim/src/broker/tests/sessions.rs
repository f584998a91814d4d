//! Sessions, their ends, and wills.

use core::time::Duration;

use mqtt_proto::{Connect, Disconnect, Properties, Property, Qos, ReasonCode, TopicName, Version, Will};

use super::peer::{Bench, Client, VERSIONS};
use crate::broker::BrokerConfig;

const SECOND: Duration = Duration::from_secs(1);

fn session_present(bench: &mut Bench, connect: &Connect<'_>) -> bool {
    let conn = bench.open();
    bench.send(conn, connect, connect.version);
    bench.take(Client { conn, version: connect.version })[0].contains(" present")
}

#[test]
fn a_kept_session_gets_what_came_meanwhile() {
    for version in VERSIONS {
        let mut bench = Bench::new();
        let client = bench.join_kept(version, "a");
        bench.subscribe(client, "t", 1);
        bench.cut(client);
        let sender = bench.join(version, "sender");
        for (qos, payload) in [(0, "lost"), (1, "one"), (2, "two")] {
            bench.publish(sender, "t", qos, 1, payload);
        }
        assert_eq!(bench.broker.stats().dropped, 0);
        let conn = bench.open();
        let connect = Connect { clean_start: false, ..Connect::new(version, "a") };
        bench.send(conn, &connect, version);
        let answer = bench.take(Client { conn, version });
        // 3.1 cannot say that the session was found, but it was.
        assert_eq!(answer[0].contains(" present"), version != Version::V3_1);
        assert_eq!(answer[1..], ["PUBLISH q1 #1 t one", "PUBLISH q1 #2 t two"]);
    }
}

#[test]
fn a_clean_start_forgets_the_session() {
    for version in VERSIONS {
        let mut bench = Bench::new();
        let client = bench.join_kept(version, "a");
        bench.subscribe(client, "t", 1);
        bench.cut(client);
        let client = bench.join(version, "a");
        bench.publish(client, "t", 1, 1, "x");
        assert!(bench.take(client)[0].starts_with("PUBACK"));
        assert_eq!(bench.broker.stats().sessions_ended, 1);
    }
}

#[test]
fn a_session_without_expiry_ends_with_its_connection() {
    for version in VERSIONS {
        let mut bench = Bench::new();
        let client = bench.join(version, "a");
        bench.subscribe(client, "t", 1);
        assert_eq!(bench.broker.sessions().count(), 1);
        bench.cut(client);
        assert_eq!(bench.broker.sessions().count(), 0);
        assert!(!session_present(&mut bench, &Connect { clean_start: false, ..Connect::new(version, "a") }));
    }
}

#[test]
fn a_session_expires_in_time() {
    let mut bench = Bench::new();
    let expiry = [Property::SessionExpiryInterval(10)];
    let connect = Connect {
        clean_start: false,
        properties: Properties::List(&expiry),
        ..Connect::new(Version::V5, "a")
    };
    let client = bench.connect(&connect);
    bench.cut(client);
    bench.after(9 * SECOND);
    let client = Client { conn: bench.open(), version: Version::V5 };
    bench.send(client.conn, &connect, Version::V5);
    assert!(bench.take(client)[0].contains(" present"));
    bench.after(30 * SECOND);
    bench.assert_up(client);
    bench.cut(client);
    bench.after(10 * SECOND);
    assert_eq!(bench.broker.sessions().count(), 0);
    assert!(!session_present(&mut bench, &connect));
}

#[test]
fn disconnect_can_change_the_expiry_but_not_revive_a_session() {
    let mut bench = Bench::new();
    let client = bench.join_kept(Version::V5, "a");
    let zero = [Property::SessionExpiryInterval(0)];
    let goodbye = Disconnect { properties: Properties::List(&zero), ..Disconnect::new(ReasonCode::Success) };
    bench.send(client.conn, &goodbye, Version::V5);
    assert_eq!(bench.broker.sessions().count(), 0);
    assert!(bench.take(client).is_empty());

    let client = bench.join(Version::V5, "a");
    let some = [Property::SessionExpiryInterval(5)];
    let goodbye = Disconnect { properties: Properties::List(&some), ..Disconnect::new(ReasonCode::Success) };
    bench.send(client.conn, &goodbye, Version::V5);
    assert_eq!(bench.take(client), ["DISCONNECT 0x82"]);
}

fn with_will<'a>(version: Version, properties: &'a [Property<'a>], own: &'a [Property<'a>]) -> Connect<'a> {
    let will = Will::new(TopicName::new("gone").unwrap(), b"a");
    Connect {
        will: Some(Will { qos: Qos::AtLeastOnce, properties: Properties::List(properties), ..will }),
        properties: Properties::List(own),
        keep_alive: 60,
        ..Connect::new(version, "a")
    }
}

#[test]
fn a_will_is_sent_when_a_connection_is_lost_and_not_after_a_goodbye() {
    for version in VERSIONS {
        let mut bench = Bench::new();
        let watcher = bench.join(version, "watcher");
        bench.subscribe(watcher, "gone", 1);
        let connect = with_will(version, &[], &[]);
        let client = bench.connect(&connect);
        bench.cut(client);
        assert_eq!(bench.take(watcher), ["PUBLISH q1 #1 gone a"]);

        let client = bench.connect(&connect);
        bench.send(client.conn, &Disconnect::new(ReasonCode::Success), version);
        assert!(bench.take(watcher).is_empty());
        bench.assert_ended(client);

        if version == Version::V5 {
            let client = bench.connect(&connect);
            bench.send(client.conn, &Disconnect::new(ReasonCode::DisconnectWithWill), version);
            assert_eq!(bench.take(watcher), ["PUBLISH q1 #2 gone a"]);
        }
    }
}

#[test]
fn a_will_is_sent_for_protocol_errors_timeouts_and_take_overs_too() {
    for version in VERSIONS {
        let mut bench = Bench::new();
        let watcher = bench.connect(&Connect { keep_alive: 0, ..Connect::new(version, "watcher") });
        bench.subscribe(watcher, "gone", 0);
        let connect = with_will(version, &[], &[]);
        let client = bench.connect(&connect);
        bench.bytes(client.conn, &[0xFF, 0]);
        assert_eq!(bench.take(watcher), ["PUBLISH q0 gone a"]);
        bench.connect(&connect);
        bench.connect(&connect);
        assert_eq!(bench.take(watcher), ["PUBLISH q0 gone a"]);
        bench.after(90 * SECOND);
        assert_eq!(bench.take(watcher), ["PUBLISH q0 gone a"]);
    }
}

#[test]
fn a_delayed_will_waits_and_a_return_cancels_it() {
    let mut bench = Bench::new();
    let watcher = bench.connect(&Connect { keep_alive: 0, ..Connect::new(Version::V5, "watcher") });
    bench.subscribe(watcher, "gone", 0);
    let (delay, expiry) = ([Property::WillDelayInterval(5)], [Property::SessionExpiryInterval(60)]);
    let connect = with_will(Version::V5, &delay, &expiry);
    let back = Connect { clean_start: false, ..connect };
    let client = bench.connect(&connect);
    bench.cut(client);
    bench.after(4 * SECOND);
    let conn = bench.open();
    bench.send(conn, &back, Version::V5);
    bench.after(10 * SECOND);
    assert!(bench.take(watcher).is_empty());
    bench.broker.closed(conn, bench.now);
    bench.after(5 * SECOND);
    assert_eq!(bench.take(watcher), ["PUBLISH q0 gone a"]);
    bench.after(100 * SECOND);
    assert_eq!(bench.broker.stats().wills, 1);
}

#[test]
fn a_delayed_will_does_not_outlive_its_session() {
    let mut bench = Bench::new();
    let watcher = bench.connect(&Connect { keep_alive: 0, ..Connect::new(Version::V5, "watcher") });
    bench.subscribe(watcher, "gone", 0);
    let (delay, expiry) = ([Property::WillDelayInterval(50)], [Property::SessionExpiryInterval(3)]);
    let connect = with_will(Version::V5, &delay, &expiry);
    let client = bench.connect(&connect);
    bench.cut(client);
    bench.after(3 * SECOND);
    assert_eq!(bench.take(watcher), ["PUBLISH q0 gone a"]);
    // A clean start ends the session, too.
    let client = bench.connect(&connect);
    bench.cut(client);
    bench.connect(&connect);
    assert_eq!(bench.take(watcher), ["PUBLISH q0 gone a"]);
    assert_eq!(bench.broker.stats().wills, 2);
}

#[test]
fn a_retained_will_is_retained() {
    let mut bench = Bench::new();
    let will = Will { retain: true, ..Will::new(TopicName::new("gone").unwrap(), b"a") };
    let client = bench.connect(&Connect { will: Some(will), ..Connect::new(Version::V3_1_1, "a") });
    bench.cut(client);
    let late = bench.join(Version::V3_1_1, "late");
    assert_eq!(bench.subscribe(late, "gone", 0)[1..], ["PUBLISH retain q0 gone a"]);
}

#[test]
fn the_broker_can_forget_and_disconnect() {
    let mut bench = Bench::new();
    let client = bench.join_kept(Version::V5, "a");
    let other = bench.connect(&with_will(Version::V5, &[], &[Property::SessionExpiryInterval(9)]));
    assert!(!bench.broker.disconnect("nobody", ReasonCode::ServerShuttingDown, bench.now));
    bench.assert_ended(client);
    let client = bench.join_kept(Version::V5, "b");
    assert!(bench.broker.disconnect("b", ReasonCode::ServerShuttingDown, bench.now));
    assert_eq!(bench.take(client), ["DISCONNECT 0x8b"]);
    bench.broker.forget_sessions(bench.now);
    assert_eq!(bench.broker.sessions().count(), 0);
    assert_eq!(bench.broker.stats().wills, 0);
    assert!(bench.take(other).is_empty());
    bench.assert_ended(other);
}

#[test]
fn expiry_for_ever_and_the_brokers_own_bound() {
    let mut bench = Bench::with(BrokerConfig { max_session_expiry: 20, ..BrokerConfig::default() });
    let client = bench.join_kept(Version::V3_1_1, "a");
    bench.cut(client);
    bench.after(20 * SECOND);
    assert_eq!(bench.broker.sessions().count(), 0);

    let mut bench = Bench::new();
    let client = bench.join_kept(Version::V3_1_1, "a");
    bench.cut(client);
    bench.after(Duration::from_secs(u64::from(u32::MAX) * 2));
    assert_eq!(bench.broker.sessions().count(), 1);
}

#[test]
fn timers_do_not_pile_up() {
    let mut bench = Bench::new();
    let (delay, expiry) = ([Property::WillDelayInterval(500)], [Property::SessionExpiryInterval(600)]);
    let connect = Connect { clean_start: false, ..with_will(Version::V5, &delay, &expiry) };
    for _ in 0..1_000 {
        let conn = bench.open();
        bench.send(conn, &connect, Version::V5);
        bench.broker.closed(conn, bench.now);
    }
    assert_eq!(bench.broker.timers.len(), 2);
    bench.after(600 * SECOND);
    assert_eq!(bench.broker.timers.len(), 0);
}
