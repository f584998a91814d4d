//! The record of the session itself: the next run goes on with it under the name the server gave, for as long as the
//! server keeps it.

use core::time::Duration;

use crate::common::{self, MEMORY, Seen, Small, Trace, id};
use mqtt_session::proto::{
    Connack, Connect, Packet, Peer, Properties, Property, Puback, Publish, Pubrel, Qos, ReasonCode,
    TopicName, Version,
};
use mqtt_session::{
    Closed, Config, Durability, HeapSession, Key, RestoreError, Session, SessionLost, Storage,
};

const SESSION: u64 = 3 << 30;
const HOUR: Duration = Duration::from_secs(3_600);

/// Runs with each kind of journal on both storages.
macro_rules! recorded {
    ($(#[$meta:meta])* $name:ident, |$c:ident| $set:expr, |$t:ident, $fresh:ident| $body:block) => {
        $(#[$meta])*
        #[test]
        fn $name() {
            fn go<S: Storage>($t: &mut Trace<S>, $fresh: &dyn Fn() -> Session<S>) $body
            for durability in [Durability::Async, Durability::BeforeSend] {
                let config = Config { durability, ..common::config() };
                #[allow(unused_mut)]
                let mut $c = config;
                $set;
                let config = $c;
                let (mut heap, mut fixed) = (Trace::heap(config, usize::MAX), Trace::fixed(config, 1));
                keep(&mut heap);
                keep(&mut fixed);
                go(&mut heap, &|| HeapSession::new(config));
                go(&mut fixed, &|| Small::new([0; MEMORY], config));
            }
        }
    };
    ($(#[$meta:meta])* $name:ident, |$t:ident, $fresh:ident| $body:block) => {
        recorded!($(#[$meta])* $name, |_c| (), |$t, $fresh| $body);
    };
}

fn keep<S: Storage>(t: &mut Trace<S>) {
    t.options.clean_start = false;
    t.options.session_expiry = 3_600;
}

/// The next run, after so long; `None`: nobody knows.
fn restart<S: Storage>(t: &mut Trace<S>, session: Session<S>, age: Option<Duration>) {
    let records = core::mem::take(&mut t.journal);
    t.restart(session);
    for (key, record) in &records {
        t.session.restore(*key, record, age).expect("what was stored");
    }
    t.journal = records;
}

/// Time passes while no attempt succeeds; what is told meanwhile.
fn offline<S: Storage>(t: &mut Trace<S>, span: Duration) -> Vec<Seen> {
    let end = t.now.after(span);
    let mut seen = Vec::new();
    while t.now < end {
        if t.command().is_some() {
            t.close(Closed::DialFailed);
        }
        let due = t.session.poll_timeout().map_or(end, |due| due.min(end));
        t.after(due.since(t.now));
        seen.extend(t.events());
    }
    seen
}

/// Client identifier and Clean Start of the CONNECT that is sent.
fn open<S: Storage>(t: &mut Trace<S>) -> (String, bool) {
    let frame = t.open();
    let connect = Connect::decode(&frame, Version::V5, Peer::Client).unwrap();
    (connect.client_id.to_owned(), connect.clean_start)
}

fn accept<S: Storage>(t: &mut Trace<S>, session_present: bool, properties: &[Property<'_>]) {
    t.send(Packet::Connack(Connack {
        session_present,
        reason_code: ReasonCode::Success,
        properties: Properties::List(properties),
    }));
    t.events();
}

fn again(packet_id: u16) -> Publish<'static> {
    Publish {
        dup: true,
        qos: Qos::AtLeastOnce,
        retain: false,
        topic: Some(TopicName::new("a").unwrap()),
        packet_id: Some(id(packet_id)),
        properties: Properties::EMPTY,
        payload: b"1",
    }
}

/// A message is under way on a connection of the session.
fn begin<S: Storage>(t: &mut Trace<S>) {
    t.connect();
    t.publish("a", Qos::AtLeastOnce, b"1");
    assert!(t.next_frame().is_some());
}

// ---- the name --------------------------------------------------------------------------------------

recorded!(
    /// [5.0 MQTT-3.1.3-7] [U-37]
    the_next_run_goes_on_under_the_name_the_server_gave, |t, fresh| {
    t.options.client_id = "";
    assert_eq!(open(t).0, "");
    accept(t, false, &[Property::AssignedClientIdentifier("auto-4711")]);
    t.publish("a", Qos::AtLeastOnce, b"1");
    assert!(t.next_frame().is_some());
    for _ in 0..2 {
        restart(t, fresh(), None);
        assert_eq!(open(t), ("auto-4711".to_owned(), false));
        assert_eq!(t.session.assigned_client_id(), Some("auto-4711"));
        accept(t, true, &[]);
        t.expect(again(1));
    }
    t.send(Puback::new(id(1)));
    // A session may be lost, and its name stays.
    t.cut();
    assert_eq!(open(t).0, "auto-4711");
    accept(t, false, &[]);
    restart(t, fresh(), None);
    assert_eq!(open(t).0, "auto-4711");
});

recorded!(with_a_journal_the_name_outlives_a_stop, |t, _fresh| {
    t.options.client_id = "";
    open(t);
    accept(t, false, &[Property::AssignedClientIdentifier("auto-4711")]);
    t.session.stop(mqtt_session::Stop::now()).unwrap();
    t.expect_closing();
    t.events();
    assert_eq!(open(t).0, "auto-4711");
});

recorded!(who_gives_a_name_of_its_own_is_another_client, |t, fresh| {
    t.options.client_id = "";
    open(t);
    accept(t, false, &[Property::AssignedClientIdentifier("auto-4711")]);
    restart(t, fresh(), None);
    t.options.client_id = "other";
    assert_eq!(t.session.start(&t.options), Err(mqtt_session::StartError::OtherClient));
    t.options.client_id = "auto-4711";
    assert_eq!(open(t), ("auto-4711".to_owned(), false));
});

recorded!(a_name_too_long_to_keep_is_asked_for_anew, |t, fresh| {
    t.options.client_id = "";
    open(t);
    let long = "x".repeat(65);
    accept(t, false, &[Property::AssignedClientIdentifier(&long)]);
    restart(t, fresh(), None);
    assert_eq!(open(t).0, "");
});

// ---- the clock -------------------------------------------------------------------------------------

recorded!(
    /// A connection that was up when the program ended: the interval counts from the next run.
    the_interval_counts_from_the_next_run_where_a_connection_was_up, |t, fresh| {
    begin(t);
    restart(t, fresh(), Some(HOUR * 24));
    assert!(!open(t).1, "not over before it began to count");
    t.close(Closed::Failed);
    assert!(offline(t, HOUR).contains(&Seen::SessionLost { republished: 1, ended: 0 }));
    assert!(open(t).1, "a new session");
});

recorded!(what_is_left_of_the_session_runs_on_while_no_program_does, |t, fresh| {
    begin(t);
    t.cut();
    t.after(HOUR / 2);
    t.drain();
    restart(t, fresh(), Some(HOUR - Duration::from_secs(1)));
    assert!(!open(t).1, "the record is of when the connection ended: a second is left");
    accept(t, true, &[]);
    t.expect(again(1));
    // It does not count while a connection is up, and begins anew after it.
    t.cut();
    restart(t, fresh(), Some(HOUR - Duration::from_secs(1)));
    assert!(!open(t).1);
    accept(t, true, &[]);
    t.cut();
    restart(t, fresh(), Some(HOUR));
    t.session.start(&t.options).unwrap();
    t.drain();
    t.after(Duration::ZERO);
    assert!(t.events().contains(&Seen::SessionLost { republished: 1, ended: 0 }));
    assert!(open(t).1);
    accept(t, false, &[]);
    let frame = t.next_frame().unwrap();
    assert_eq!(frame[0], 0x32, "PUBLISH without DUP");
});

recorded!(
    /// What of it has passed is not forgotten by a run that never got a connection.
    a_run_without_a_connection_goes_on_counting, |t, fresh| {
    begin(t);
    restart(t, fresh(), None);
    t.session.start(&t.options).unwrap();
    t.drain();
    t.after(HOUR / 2);
    t.drain();
    restart(t, fresh(), Some(HOUR));
    assert!(open(t).1, "since the run before this one began to wait");
});

recorded!(without_an_age_the_clock_goes_on_where_it_stood, |t, fresh| {
    begin(t);
    t.cut();
    t.drain();
    restart(t, fresh(), None);
    assert!(!open(t).1);
    t.close(Closed::Failed);
    offline(t, HOUR);
    assert!(open(t).1);
});

recorded!(
    what_is_under_way_in_a_session_that_is_over_ends_by_the_chosen_policy,
    |c| c.on_session_lost = SessionLost::Fail,
    |t, fresh| {
        t.connect();
        let token = t.publish("a", Qos::AtLeastOnce, b"1");
        assert!(t.next_frame().is_some());
        t.cut();
        t.drain();
        restart(t, fresh(), Some(HOUR));
        t.session.start(&t.options).unwrap();
        let seen = t.events();
        let lost = |seen: &Seen| matches!(seen, Seen::Done { token: of, outcome, .. } if *of == token && outcome == "Lost");
        assert!(seen.iter().any(lost), "{seen:?}");
    }
);

recorded!(
    /// [U-34]
    a_session_without_end_has_no_clock, |t, fresh| {
    t.options.session_expiry = u32::MAX;
    begin(t);
    t.cut();
    t.drain();
    restart(t, fresh(), Some(HOUR * 100_000));
    assert!(!open(t).1);
});

recorded!(a_session_that_ends_with_its_connection_has_no_clock, |t, fresh| {
    t.options.session_expiry = 0;
    begin(t);
    t.cut();
    t.drain();
    restart(t, fresh(), Some(HOUR));
    assert!(!open(t).1, "left to the server");
    accept(t, false, &[]);
    assert_eq!(t.next_frame().unwrap()[0], 0x32);
});

/// What is sent in it, the next run must not send in another.
#[test]
fn nothing_leaves_in_a_session_that_goes_on_before_the_journal_knows() {
    for durability in [Durability::Async, Durability::BeforeSend] {
        let mut t = Trace::heap(Config { durability, ..common::config() }, usize::MAX);
        keep(&mut t);
        begin(&mut t);
        t.cut();
        t.open();
        t.syncs = false;
        accept(&mut t, true, &[]);
        if durability == Durability::BeforeSend {
            t.expect_silence();
            t.sync();
        }
        t.expect(again(1));
    }
}

// ---- the rest --------------------------------------------------------------------------------------

recorded!(a_session_that_must_not_go_on_does_not_in_the_next_run_either, |t, fresh| {
    t.connect();
    t.publish("a", Qos::ExactlyOnce, b"1");
    assert!(t.next_frame().is_some());
    // The server may hold a half of the exchange, under an identifier that is free here.
    t.send(Puback::new(id(1)));
    t.expect_closing();
    restart(t, fresh(), None);
    assert!(open(t).1);
    accept(t, false, &[]);
    restart(t, fresh(), None);
    assert!(!open(t).1, "once it has begun, it goes on");
});

/// Its marks were not waited for, whatever this run does.
#[test]
fn a_session_in_which_nobody_waited_stays_in_doubt_for_a_run_that_waits() {
    let config = |durability| Config { durability, max_in_flight: 2, ..common::config() };
    let mut t = Trace::heap(config(Durability::Async), usize::MAX);
    keep(&mut t);
    t.connect();
    t.drain();
    for asked in [1, 2] {
        restart(&mut t, HeapSession::new(config(Durability::BeforeSend)), None);
        t.resume();
        if asked == 1 {
            t.publish("a", Qos::ExactlyOnce, b"1");
        }
        t.expect(Pubrel::new(id(1)));
        t.expect(Pubrel::new(id(2)));
    }
    t.cut();
    t.connect();
    t.drain();
    restart(&mut t, HeapSession::new(config(Durability::BeforeSend)), None);
    t.resume();
    t.publish("a", Qos::ExactlyOnce, b"2");
    assert_eq!(t.next_frame().unwrap()[0] & 0xF0, 0x30, "in a new session there is no doubt");
}

/// The checksum of a record, which is in bytes 80 to 83 and over all others.
fn seal(record: &mut [u8]) {
    let mut sum = u32::MAX;
    for byte in record[..80].iter().chain(&record[84..]) {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 };
        }
    }
    record[80..84].copy_from_slice(&(!sum).to_le_bytes());
}

/// [S17]
#[test]
fn s17_a_session_record_whose_name_is_not_the_one_of_its_fingerprint_is_refused() {
    let config = Config { durability: Durability::BeforeSend, ..common::config() };
    let mut t = Trace::heap(config, usize::MAX);
    keep(&mut t);
    t.options.client_id = "";
    open(&mut t);
    accept(&mut t, false, &[Property::AssignedClientIdentifier("auto-4711")]);
    t.drain();
    let key = Key::from(SESSION);
    let record = t.journal[&key].clone();
    assert_eq!(HeapSession::new(config).restore(key, &record, None), Ok(()));
    for (at, byte) in [(84, b'b'), (84, 0xFF), (48, 1), (52, 1), (44, 8)] {
        let mut other = record.clone();
        other[at] = byte;
        seal(&mut other);
        assert_eq!(HeapSession::new(config).restore(key, &other, None), Err(RestoreError::Invalid), "{at}");
    }
    // The format before had neither name nor clock.
    let mut older = record;
    older[3] = 1;
    seal(&mut older);
    assert_eq!(HeapSession::new(config).restore(key, &older, None), Err(RestoreError::Version(1)));
}
