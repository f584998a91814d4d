//! Records that pass their checksum and are not what was stored, or come to a smaller session; and answers of a
//! journal that come late, twice, or for what was never given.

use crate::common;

use core::time::Duration;

use common::{MEMORY, Seen, Small, Trace, config, id};
use mqtt_session::proto::{
    Connack, Encode, Properties, Property, Puback, Pubcomp, Publish, Pubrec, Pubrel, Qos, ReasonCode, Suback,
    Subscription, SubscriptionOptions, TopicFilter, TopicName, Version,
};
use mqtt_session::{
    AckMode, Command, Config, Durability, Event, HeapSession, Key, Message, Outcome, OverQos, RestoreError,
    Session, SessionLost, StartError, Storage, Token,
};

// ---- records ---------------------------------------------------------------------------------------

/// Where the fields of a record lie.
const KIND: usize = 4;
const FLAGS: usize = 5;
const CLIENT: usize = 32;
const TOPIC_LEN: usize = 44;
const PROPERTIES_LEN: usize = 48;
const PAYLOAD_LEN: usize = 52;
const CONTENT: usize = 84;

const SUBSCRIBE_KIND: u8 = 2;

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

fn durable() -> Config {
    Config { durability: Durability::BeforeSend, ..config() }
}

fn message(qos: Qos) -> Message<'static> {
    Message::new(TopicName::new("topic").unwrap()).qos(qos)
}

fn item(filter: &str) -> Subscription<'_> {
    Subscription {
        filter: TopicFilter::new(filter).unwrap(),
        options: SubscriptionOptions::new(Qos::ExactlyOnce),
    }
}

/// What a journal holds after this.
fn journal(config: Config, run: impl FnOnce(&mut Trace<mqtt_session::Heap>)) -> Vec<(Key, Vec<u8>)> {
    let mut t = Trace::heap(config, usize::MAX);
    t.options.clean_start = false;
    t.options.session_expiry = 3_600;
    t.connect();
    run(&mut t);
    t.drain();
    let session = Key::from(3 << 30);
    t.journal.into_iter().filter(|(key, _)| *key != session).collect()
}

/// The records of one PUBLISH, its own and its mark.
fn published(qos: Qos) -> [(Key, Vec<u8>); 2] {
    let properties = [Property::ContentType("text")];
    let message = message(qos).properties(Properties::List(&properties));
    let records = journal(durable(), |t| {
        t.session.publish(&message, b"payload"[..].into()).map_err(|refused| refused.reason).unwrap();
    });
    let mut records: [_; 2] = records.try_into().expect("two records");
    // The operation has its topic in it.
    records.sort_by_key(|(_, record)| core::cmp::Reverse(record.len()));
    records
}

fn subscribed(unsubscribes: bool) -> (Key, Vec<u8>) {
    let records = journal(durable(), |t| {
        let user = [Property::UserProperty("a", "b")];
        if unsubscribes {
            t.session.unsubscribe(&[TopicFilter::new("a/b").unwrap()], Properties::List(&user)).unwrap();
        } else {
            t.session.subscribe(&[item("a/b")], Properties::List(&user)).unwrap();
        }
    });
    records.into_iter().next().expect("one record")
}

fn changed((key, record): &(Key, Vec<u8>), change: impl FnOnce(&mut Vec<u8>)) -> (Key, Vec<u8>) {
    let mut record = record.clone();
    change(&mut record);
    seal(&mut record);
    (*key, record)
}

/// What both storages say of these records, in this order.
fn restored(config: Config, records: &[&(Key, Vec<u8>)]) -> Vec<Result<(), RestoreError>> {
    fn all<S: Storage>(
        mut session: Session<S>,
        records: &[&(Key, Vec<u8>)],
    ) -> Vec<Result<(), RestoreError>> {
        let told = records.iter().map(|(key, record)| session.restore(*key, record, None)).collect();
        // Whatever was taken, the session goes on.
        let _ = session.poll_command();
        told
    }
    let told = all(HeapSession::new(config), records);
    assert_eq!(told, all(Small::new([0; MEMORY], config), records));
    told
}

fn refused(records: &[&(Key, Vec<u8>)]) -> RestoreError {
    restored(durable(), records).pop().expect("a record").expect_err("it is not what was stored")
}

/// [S17]
#[test]
fn s17_a_record_whose_content_no_command_would_have_accepted_is_refused() {
    let [operation, _] = published(Qos::AtLeastOnce);
    let subscribe = subscribed(false);
    let unsubscribe = subscribed(true);
    for good in [&operation, &subscribe, &unsubscribe] {
        assert_eq!(restored(durable(), &[good]), [Ok(())]);
    }
    let property = CONTENT + "topic".len();
    let bad = [
        ("a wildcard in the topic", changed(&operation, |record| record[CONTENT] = b'#')),
        ("quality of service 0", changed(&operation, |record| record[FLAGS] &= !3)),
        ("quality of service 3", changed(&operation, |record| record[FLAGS] |= 3)),
        ("a Reason String", changed(&operation, |record| record[property] = 0x1F)),
        ("no property", changed(&operation, |record| record[property] = 0x7F)),
        ("half a property", changed(&operation, |record| record[property + 2] += 1)),
        ("a Topic Alias", changed(&operation, |record| record[property..property + 3].fill(0x23))),
        ("a payload from elsewhere", changed(&subscribe, |record| record[FLAGS] |= 0x20)),
        (
            "a topic of a SUBSCRIBE",
            changed(&subscribe, |record| {
                record[TOPIC_LEN] = 1;
                record[PROPERTIES_LEN] -= 1;
            }),
        ),
        (
            "a topic of an UNSUBSCRIBE",
            changed(&unsubscribe, |record| {
                record[TOPIC_LEN] = 1;
                record[PROPERTIES_LEN] -= 1;
            }),
        ),
        (
            "a filter that is none",
            changed(&subscribe, |record| {
                let at = record.len() - 4;
                record[at] = b'#';
            }),
        ),
        (
            "no whole filter",
            changed(&unsubscribe, |record| {
                let at = record.len() - 4;
                record[at] += 1;
            }),
        ),
        ("a time to live of a SUBSCRIBE", changed(&subscribe, |record| record[56..64].fill(1))),
    ];
    for (what, record) in &bad {
        let told = restored(durable(), &[record]);
        assert!(matches!(told[0], Err(RestoreError::Invalid | RestoreError::Damaged)), "{what}: {told:?}");
    }
}

/// [S17]
#[test]
fn s17_a_mark_that_no_message_can_have_is_refused() {
    let [_, mark] = published(Qos::ExactlyOnce);
    assert_eq!(restored(durable(), &[&mark]), [Ok(())]);
    for field in [TOPIC_LEN, PROPERTIES_LEN, PAYLOAD_LEN] {
        let with_content = |record: &mut Vec<u8>| {
            record[field] = 1;
            record.push(b'a');
        };
        assert_eq!(refused(&[&changed(&mark, with_content)]), RestoreError::Invalid, "{field}");
    }
    assert_eq!(refused(&[&changed(&mark, |record| record[FLAGS] &= !3)]), RestoreError::Invalid);
    assert_eq!(refused(&[&changed(&mark, |record| record[6..8].fill(0))]), RestoreError::Invalid);
    assert_eq!(refused(&[&changed(&mark, |record| record[6..8].fill(0xFF))]), RestoreError::NoRoom);
}

/// [S17] A mark and a record that do not belong together, whichever comes first.
#[test]
fn s17_a_mark_beside_a_record_of_another_kind_is_refused() {
    let [operation, mark] = published(Qos::ExactlyOnce);
    assert_eq!(restored(durable(), &[&operation, &mark]), [Ok(()), Ok(())]);
    assert_eq!(restored(durable(), &[&mark, &operation]), [Ok(()), Ok(())]);
    let weaker = changed(&operation, |record| record[FLAGS] = record[FLAGS] & !3 | 1);
    assert_eq!(refused(&[&weaker, &mark]), RestoreError::Invalid);
    assert_eq!(refused(&[&mark, &weaker]), RestoreError::Invalid);
    // A SUBSCRIBE in the slot of the message.
    let (_, subscribe) = subscribed(false);
    let (key, own) = &operation;
    let request = changed(&(*key, subscribe), |record| record[8..16].copy_from_slice(&own[8..16]));
    assert_eq!(request.1[KIND], SUBSCRIBE_KIND);
    assert_eq!(restored(durable(), &[&request]), [Ok(())]);
    assert_eq!(refused(&[&request, &mark]), RestoreError::Invalid);
    assert_eq!(refused(&[&mark, &request]), RestoreError::Invalid);
}

/// [S17] A record of a run that had no client identifier yet is anybody's.
#[test]
fn s17_a_record_without_a_client_is_taken_beside_others() {
    let [operation, mark] = published(Qos::ExactlyOnce);
    let nobodys = changed(&mark, |record| record[CLIENT..CLIENT + 8].fill(0));
    assert_eq!(restored(durable(), &[&operation, &nobodys]), [Ok(()), Ok(())]);
}

#[test]
fn what_a_smaller_session_cannot_hold_is_refused() {
    let records = journal(durable(), |t| {
        t.session.publish(&message(Qos::AtLeastOnce), [7; 500][..].into()).map_err(|_| ()).unwrap();
        t.session.subscribe(&[item(&"a".repeat(300))], Properties::EMPTY).unwrap();
    });
    let records: Vec<&(Key, Vec<u8>)> = records.iter().filter(|(_, record)| record.len() > 300).collect();
    assert_eq!(records.len(), 2);
    let small_wire = Config { wire_bytes: 200, ..durable() };
    let told = restored(small_wire, &records);
    assert_eq!(told.iter().filter(|told| **told == Err(RestoreError::NoRoom)).count(), 1, "{told:?}");
    let small_memory = Config { queue_bytes: 400, ..durable() };
    let told = restored(small_memory, &records);
    assert_eq!(told.iter().filter(|told| **told == Err(RestoreError::NoRoom)).count(), 1, "{told:?}");

    let exchanges = journal(durable(), |t| {
        for number in [5, 6] {
            t.send(inbound(number));
        }
    });
    let few = Config { receive_maximum: 1, ..durable() };
    let exchanges: Vec<&(Key, Vec<u8>)> = exchanges.iter().collect();
    assert_eq!(restored(few, &exchanges), [Ok(()), Err(RestoreError::NoRoom)]);
}

#[test]
fn records_come_before_start() {
    let [operation, _] = published(Qos::AtLeastOnce);
    let mut session = HeapSession::new(durable());
    session.start(&mqtt_session::ConnectOptions::new("tester")).unwrap();
    assert_eq!(session.restore(operation.0, &operation.1, None), Err(RestoreError::Started));
}

#[test]
fn a_run_without_a_name_goes_on_with_what_is_left() {
    let [operation, _] = published(Qos::AtLeastOnce);
    for (client_id, told) in [("tester", Ok(())), ("", Ok(())), ("other", Err(StartError::OtherClient))] {
        let mut session = HeapSession::new(durable());
        session.restore(operation.0, &operation.1, None).unwrap();
        assert_eq!(session.start(&mqtt_session::ConnectOptions::new(client_id)), told, "{client_id}");
    }
}

/// What was open in a session of the server that a later one has followed.
#[test]
fn records_of_a_session_that_was_lost_end_as_the_policy_says() {
    let [operation, mark] = published(Qos::ExactlyOnce);
    let later = changed(&mark, |record| {
        // Another slot and identifier, in the next session.
        record[8] ^= 1;
        record[6] += 1;
        record[40] += 1;
    });
    let later = (Key::from(u64::from(later.0) ^ 1), later.1);
    for (policy, ends) in [
        (SessionLost::Drop, Some("Dropped")),
        (SessionLost::Fail, Some("Lost")),
        (SessionLost::Republish, None),
    ] {
        let config = Config { on_session_lost: policy, ..durable() };
        let mut session = HeapSession::new(config);
        for (key, record) in [&operation, &mark, &later] {
            session.restore(*key, record, None).unwrap();
        }
        let _ = session.poll_command();
        let told = core::iter::from_fn(|| session.poll_event())
            .filter_map(|event| match event {
                Event::Done { outcome, .. } => Some(common::outcome_text(&outcome)),
                _ => None,
            })
            .next();
        assert_eq!(told.as_deref(), ends);
    }
}

/// A record that is written later says what is left then.
#[test]
fn a_time_to_live_is_recorded_as_what_is_left_of_it() {
    let mut config = durable();
    config.durability = Durability::Async;
    let mut t = Trace::heap(config, usize::MAX);
    t.connect();
    let mortal = message(Qos::AtLeastOnce).ttl(Duration::from_secs(60));
    t.session.publish(&mortal, b"x"[..].into()).map_err(|refused| refused.reason).unwrap();
    // The time is told before the record is fetched.
    t.session.handle_timeout(t.now);
    t.now = t.now.after(Duration::from_secs(20));
    t.session.handle_timeout(t.now);
    t.writable = false;
    t.drain();
    let (key, record) = t.journal.iter().find(|(_, record)| record.len() > CONTENT).expect("a record");
    let expires = u64::from_le_bytes(record[56..64].try_into().unwrap());
    assert_eq!(expires, 40_000_000, "microseconds");
    assert_eq!(HeapSession::new(config).restore(*key, record, None), Ok(()));
}

// ---- answers of the journal ------------------------------------------------------------------------

fn inbound(number: u16) -> Publish<'static> {
    Publish {
        qos: Qos::ExactlyOnce,
        packet_id: Some(id(number)),
        ..Publish::new(TopicName::new("in").unwrap(), b"x")
    }
}

fn prepared(config: Config) -> Trace<mqtt_session::Heap> {
    let mut t = Trace::heap(config, usize::MAX);
    t.options.clean_start = false;
    t.options.session_expiry = 3_600;
    t
}

fn done<S: Storage>(t: &mut Trace<S>, token: Token, outcome: &str) -> bool {
    t.events().iter().any(|seen| {
        matches!(
            seen,
            Seen::Done { token: ended, outcome: told, .. } if *ended == token && told == outcome
        )
    })
}

/// Nothing that an answer claims before its record was given, or claims twice, changes anything.
#[test]
fn an_answer_for_what_was_not_given_or_was_answered_is_no_answer() {
    let mut other = prepared(durable());
    other.connect();
    other.publish("a", Qos::ExactlyOnce, b"x");
    other.drain();
    let keys: Vec<Key> = other.journal.keys().copied().collect();

    let mut t = prepared(durable());
    t.connect();
    let token = t.publish("a", Qos::ExactlyOnce, b"x");
    for key in &keys {
        t.session.stored(*key);
        t.session.not_stored(*key);
    }
    // The key of an exchange without an identifier, and of one beyond all identifiers.
    t.session.stored(Key::from(2 << 30));
    t.session.stored(Key::from(2 << 30 | 0x1_0000));
    t.syncs = false;
    t.expect_silence();
    t.see_nothing();
    t.sync();
    t.see(Seen::Durable(token));
    assert!(t.next_frame().is_some());
    for key in &keys {
        t.session.not_stored(*key);
        t.session.stored(*key);
    }
    t.see_nothing();
    t.send(Pubrec::new(id(1)));
    t.sync();
    t.expect(Pubrel::new(id(1)));
    t.send(Pubcomp::new(id(1)));
    assert!(done(&mut t, token, "Acked(Success)"));
}

/// The first mark was for a session that is lost: only the second one's answer lets the message leave.
#[test]
fn the_answer_for_a_mark_of_a_lost_session_does_not_count() {
    for fetched in [false, true] {
        let mut t = prepared(durable());
        t.connect();
        t.syncs = false;
        let token = t.publish("a", Qos::ExactlyOnce, b"x");
        t.drain();
        let (operation, mark) = (t.unanswered[0].0, t.unanswered[1].0);
        t.session.stored(operation);
        t.cut();
        t.open();
        t.events();
        t.syncs = false;
        t.unanswered.clear();
        let mut input = [0; 8];
        let len = Connack::accepted(false).encode(Version::V5, &mut input).unwrap();
        assert!(t.session.receive(&mut &input[..len], t.now).is_some());
        // The message has its identifier in the new session.
        let _ = t.session.outgoing(t.now);
        if fetched {
            t.drain();
        }
        t.session.stored(mark);
        t.drain();
        t.expect_silence();
        t.sync();
        let frame = t.next_frame().expect("PUBLISH");
        assert_eq!(frame[0], 0x34, "not sent before");
        // Behind the fixed header and the topic.
        let packet_id = id(u16::from_be_bytes([frame[5], frame[6]]));
        t.send(Pubrec::new(packet_id));
        t.sync();
        t.send(Pubcomp::new(packet_id));
        assert!(done(&mut t, token, "Acked(Success)"));
    }
}

/// The record was never given, so there is none to delete.
#[test]
fn a_message_that_is_released_before_its_record_is_fetched_has_none() {
    let mut t = prepared(Config { durability: Durability::Async, ..config() });
    t.connect();
    t.drain();
    t.journal.clear();
    t.session.publish(&message(Qos::ExactlyOnce), b"x"[..].into()).map_err(|_| ()).unwrap();
    t.session.outgoing(t.now).advance(usize::MAX);
    let mut pubrec = &[0x50, 2, 0, 1][..];
    assert!(t.session.receive(&mut pubrec, t.now).is_none());
    t.session.outgoing(t.now).advance(usize::MAX);
    t.drain();
    let longest = t.journal.values().map(Vec::len).max().unwrap_or(0);
    assert!(longest <= CONTENT, "the mark alone");
    t.send(Pubcomp::new(id(1)));
    t.drain();
    assert_eq!(t.journal.len(), 0);
    assert_eq!(t.session.pending(), 0);
}

/// An exchange that is over before its record was fetched leaves nothing in the journal.
#[test]
fn an_exchange_that_ends_before_its_record_is_fetched_has_none() {
    let mut t = prepared(Config { durability: Durability::Async, ..config() });
    t.connect();
    t.drain();
    let before = t.journal.len();
    let mut all = Vec::new();
    for packet in [inbound(5).into(), inbound(6).into()] as [mqtt_session::proto::Packet<'_>; 2] {
        let mut bytes = vec![0; packet.encoded_len(Version::V5).unwrap()];
        packet.encode(Version::V5, &mut bytes).unwrap();
        all.extend(bytes);
    }
    all.extend([0x62, 2, 0, 6, 0x62, 2, 0, 5]);
    t.send_bytes(&all);
    assert_eq!(t.events().len(), 2);
    t.drain();
    assert_eq!(t.journal.len(), before);
    let frames: Vec<u8> = core::iter::from_fn(|| t.next_frame()).map(|frame| frame[0]).collect();
    assert_eq!(frames, [0x50, 0x50, 0x70, 0x70]);
}

/// [5.0 MQTT-4.3.3-11] What was refused is over with its PUBREC, in the journal too.
#[test]
fn a_message_that_was_refused_leaves_no_record() {
    let mut t = prepared(Config { ack_mode: AckMode::Manual, ..durable() });
    t.connect();
    t.drain();
    let before = t.journal.len();
    t.send(inbound(5));
    let Seen::Message { ack: Some(ack), .. } = t.event() else { panic!() };
    t.session.acknowledge(ack, ReasonCode::QuotaExceeded, Properties::EMPTY).unwrap();
    t.expect(Pubrec::with(id(5), ReasonCode::QuotaExceeded, Properties::EMPTY));
    t.drain();
    assert_eq!(t.journal.len(), before);
    // The next one of its identifier is a new message.
    t.send(inbound(5));
    assert!(matches!(t.event(), Seen::Message { .. }));
}

/// PUBREL comes again, on another connection, while the journal still deletes.
#[test]
fn pubcomp_waits_for_the_deletion_across_a_cut() {
    let mut t = prepared(durable());
    t.connect();
    t.send(inbound(5));
    t.expect(Pubrec::new(id(5)));
    t.syncs = false;
    t.send(Pubrel::new(id(5)));
    t.expect_silence();
    t.cut();
    t.resume();
    t.events();
    t.send(Pubrel::new(id(5)));
    t.expect_silence();
    t.sync();
    t.expect(Pubcomp::new(id(5)));
    t.see_nothing();
}

/// Its answer was due and the cut came first: the server asks again.
#[test]
fn pubcomp_that_was_due_at_a_cut_is_owed_anew_when_pubrel_comes_again() {
    let mut t = prepared(durable());
    t.connect();
    t.send(inbound(5));
    t.expect(Pubrec::new(id(5)));
    t.writable = false;
    t.send(Pubrel::new(id(5)));
    t.drain();
    t.cut();
    t.writable = true;
    t.resume();
    t.send(Pubrel::new(id(5)));
    assert_eq!(t.next_frame(), Some(vec![0x70, 3, 0, 5, 0x92]));
}

/// One place, and an exchange of the last connection in it that the server does not come back to: its record is
/// deleted before the place is another's.
#[test]
fn a_new_message_waits_until_the_journal_has_let_go_of_a_stale_exchange() {
    for large in [false, true] {
        let mut config = Config { receive_maximum: 1, ..durable() };
        config.max_packet_in = 64;
        config.oversize = mqtt_session::Oversize::Chunks { largest: 1_000 };
        let mut t = prepared(config);
        t.connect();
        t.send(inbound(5));
        t.expect(Pubrec::new(id(5)));
        t.cut();
        t.resume();
        t.events();
        let payload = vec![7; if large { 200 } else { 1 }];
        let publish = Publish { payload: &payload, ..inbound(6) };
        let mut bytes = vec![0; 300];
        let len = publish.encode(Version::V5, &mut bytes).unwrap();
        let mut input = &bytes[..len];
        let told = core::iter::from_fn(|| t.session.receive(&mut input, t.now)).count();
        assert_eq!(told, 0, "nothing before the record is gone");
        assert_eq!(input.len(), len, "and it stays in the input");
        t.drain();
        let told = core::iter::from_fn(|| t.session.receive(&mut input, t.now)).count();
        assert_eq!(told, if large { 3 } else { 1 });
        t.expect(Pubrec::new(id(6)));
    }
}

/// The server keeps the session for another time than before: the record of the session says so.
#[test]
fn what_the_server_keeps_of_the_session_is_recorded_when_it_changes() {
    let mut t = prepared(durable());
    t.connect();
    t.drain();
    let session = Key::from(3 << 30);
    let before = t.journal[&session].clone();
    t.cut();
    t.resume();
    t.drain();
    assert_eq!(t.journal[&session], before);
    t.cut();
    t.connect_with(true, &[Property::SessionExpiryInterval(0)]);
    t.drain();
    assert_ne!(t.journal[&session], before);
}

/// A publish that is safe is told before the run ends.
#[test]
fn what_is_durable_is_told_before_the_end() {
    let mut t = prepared(durable());
    t.syncs = false;
    t.session.start(&t.options).unwrap();
    let token = t.publish("a", Qos::AtLeastOnce, b"x");
    t.events();
    let unanswered: Vec<Key> = t.unanswered.iter().map(|(key, _)| *key).collect();
    t.session.stop(mqtt_session::Stop::now()).unwrap();
    for key in unanswered {
        t.session.stored(key);
    }
    let told = t.events();
    let at = |wanted: &Seen| told.iter().position(|seen| seen == wanted);
    assert!(
        at(&Seen::Durable(token)).is_some_and(|durable| Some(durable) < at(&Seen::Stopped { left: 1 })),
        "{told:?}"
    );
}

/// What is left of a subscription could not be recorded: it stays subscribed.
#[test]
fn a_subscription_whose_record_cannot_be_changed_stays() {
    let mut t = prepared(durable());
    t.connect();
    let token = t.session.subscribe(&[item("a")], Properties::EMPTY).unwrap();
    let _ = t.next_frame();
    t.syncs = false;
    let codes = [ReasonCode::GrantedQos2];
    t.send(Suback { packet_id: id(1), properties: Properties::EMPTY, codes: (&codes).into() });
    assert!(done(&mut t, token, "Granted([GrantedQos2])"));
    for (key, _) in core::mem::take(&mut t.unanswered) {
        t.session.not_stored(key);
    }
    t.see_nothing();
    t.syncs = true;
    t.cut();
    t.connect();
    assert_eq!(t.next_frame().map(|frame| frame[0]), Some(0x82), "SUBSCRIBE again");
}

/// Recorded under its identifier, not sent: what the server's limits rule out is over.
#[test]
fn a_reserved_message_above_the_servers_maximum_is_refused_without_an_exchange() {
    let mut t = prepared(durable());
    t.connect();
    t.syncs = false;
    let token = t.publish("a", Qos::ExactlyOnce, b"x");
    t.drain();
    t.cut();
    t.syncs = true;
    t.connect_with(true, &[Property::MaximumQos(Qos::AtLeastOnce)]);
    assert!(done(&mut t, token, "Refused(QosNotSupported)"));
    t.expect_silence();
    assert_eq!(t.session.stats().in_flight, 0);
}

/// The server holds the first half of an exchange that may not go on: PUBREL ends it, and the journal with it.
#[test]
fn an_exchange_above_the_servers_maximum_is_ended_on_both_sides_and_in_the_journal() {
    let mut t = prepared(durable());
    t.connect();
    t.drain();
    let before = t.journal.len();
    let token = t.publish("a", Qos::ExactlyOnce, b"x");
    assert!(t.next_frame().is_some());
    t.cut();
    t.connect_with(true, &[Property::MaximumQos(Qos::AtLeastOnce)]);
    assert!(done(&mut t, token, "Refused(QosNotSupported)"));
    t.expect(Pubrel::new(id(1)));
    t.send(Pubcomp::new(id(1)));
    t.drain();
    assert_eq!(t.journal.len(), before);
}

/// A mark that fell due in a session that is lost is not given any more.
#[test]
fn a_mark_that_was_not_fetched_before_its_session_was_lost_is_never_given() {
    let mut t = prepared(durable());
    t.options.session_expiry = 20;
    t.connect();
    t.drain();
    t.publish("a", Qos::ExactlyOnce, b"x");
    // It has its identifier; of the two records only its own is fetched.
    let _ = t.session.outgoing(t.now);
    let Some(Command::Put { key: own, .. }) = t.session.poll_command() else { panic!() };
    t.session.closed(mqtt_session::Closed::Failed, t.now);
    t.session.handle_timeout(t.now.after(Duration::from_secs(21)));
    while t.session.poll_event().is_some() {}
    while let Some(command) = t.session.poll_command() {
        match command {
            Command::Put { key, .. } if key == Key::from(3 << 30) => {}
            Command::Put { key, .. } => assert_eq!(key, own, "it waits as new"),
            Command::Open { .. } => return,
            other => panic!("{other:?}"),
        }
    }
    panic!("no attempt to connect");
}

/// Lowered before it was recorded: what is sent is what the journal has.
#[test]
fn a_message_that_is_lowered_is_recorded_as_it_is_sent() {
    let mut t = prepared(Config { over_qos: OverQos::Lower, ..durable() });
    t.session.start(&t.options).unwrap();
    let token = t.publish("a", Qos::ExactlyOnce, b"x");
    t.connect_with(false, &[Property::MaximumQos(Qos::AtLeastOnce)]);
    assert_eq!(t.next_frame().map(|frame| frame[0]), Some(0x32));
    t.send(Puback::new(id(1)));
    assert!(done(&mut t, token, "Acked(Success)"));
}

/// A command to be fetched is something to do: the tables stay.
#[test]
fn a_quiet_session_with_records_to_fetch_keeps_its_tables() {
    let mut t = prepared(durable());
    t.connect();
    t.session.subscribe(&[item("a")], Properties::EMPTY).unwrap();
    let _ = t.next_frame();
    let mut suback = &[0x90, 4, 0, 1, 0, 2][..];
    assert!(matches!(
        t.session.receive(&mut suback, t.now),
        Some(Event::Done { outcome: Outcome::Granted(_), .. })
    ));
    t.now = t.now.after(Duration::from_secs(9));
    t.session.handle_timeout(t.now);
    let put = t.session.poll_command();
    assert!(matches!(put, Some(Command::Put { .. })), "{put:?}");
}

/// The journal has deleted the record while there was no connection: nothing is left to answer for.
#[test]
fn an_exchange_that_ends_while_nothing_is_connected_is_over() {
    let mut t = prepared(durable());
    t.connect();
    t.send(inbound(5));
    t.expect(Pubrec::new(id(5)));
    t.syncs = false;
    t.send(Pubrel::new(id(5)));
    t.drain();
    t.cut();
    t.sync();
    t.syncs = true;
    t.resume();
    t.events();
    t.send(Pubrel::new(id(5)));
    assert_eq!(t.next_frame(), Some(vec![0x70, 3, 0, 5, 0x92]));
    t.send(inbound(5));
    assert!(t.events().iter().any(|seen| matches!(seen, Seen::Message { .. })), "a new message");
}

/// [5.0 MQTT-4.3.3-10] The record was on its way when the connection was cut.
#[test]
fn a_message_whose_record_was_not_stored_before_a_cut_is_told_once() {
    let mut t = prepared(durable());
    t.connect();
    t.syncs = false;
    t.send(inbound(5));
    t.drain();
    assert_eq!(t.events().iter().filter(|seen| matches!(seen, Seen::Message { .. })).count(), 1);
    t.cut();
    t.open();
    t.syncs = true;
    t.send(Connack::accepted(true));
    t.events();
    t.send(Publish { dup: true, ..inbound(5) });
    t.see_nothing();
    t.expect(Pubrec::new(id(5)));
    t.send(Pubrel::new(id(5)));
    t.expect(Pubcomp::new(id(5)));
}

/// [5.0 MQTT-4.3.3-9] Several at once, of which nothing had left before the cut.
#[test]
fn messages_that_were_refused_before_a_cut_are_refused_again_and_not_told() {
    for durability in [Durability::Off, Durability::Async, Durability::BeforeSend] {
        let mut t = prepared(Config { ack_mode: AckMode::Manual, durability, ..config() });
        t.connect();
        t.send(inbound(5));
        t.send(inbound(6));
        t.writable = false;
        let acks: Vec<_> = t
            .events()
            .into_iter()
            .filter_map(|seen| if let Seen::Message { ack, .. } = seen { ack } else { None })
            .collect();
        for ack in acks {
            t.session.acknowledge(ack, ReasonCode::QuotaExceeded, Properties::EMPTY).unwrap();
        }
        t.drain();
        let _ = t.session.outgoing(t.now);
        t.cut();
        t.writable = true;
        t.resume();
        t.events();
        let mut both = Vec::new();
        for number in [5, 6] {
            let mut bytes = [0; 32];
            let len = Publish { dup: true, ..inbound(number) }.encode(Version::V5, &mut bytes).unwrap();
            both.extend_from_slice(&bytes[..len]);
        }
        t.send_bytes(&both);
        t.see_nothing();
        for number in [5, 6] {
            t.expect(Pubrec::with(id(number), ReasonCode::QuotaExceeded, Properties::EMPTY));
        }
        t.send(inbound(6));
        assert!(matches!(t.event(), Seen::Message { .. }), "a new message");
    }
}

/// [S17]
#[test]
fn s17_a_record_of_the_session_with_a_payload_is_refused() {
    let mut t = prepared(durable());
    t.connect();
    t.drain();
    let key = Key::from(3 << 30);
    let record = (key, t.journal[&key].clone());
    assert_eq!(restored(durable(), &[&record]), [Ok(())]);
    let longer = changed(&record, |record| {
        record[PAYLOAD_LEN] = 1;
        record.push(0);
    });
    assert_eq!(refused(&[&longer]), RestoreError::Invalid);
}

/// Before 5.0 a session has no interval that could be recorded, whatever the options say.
#[test]
fn a_session_before_5_0_is_recorded_as_one_that_is_kept() {
    let mut t = prepared(durable());
    t.options.version = Version::V3_1_1;
    t.options.session_expiry = 100;
    t.connect();
    t.publish("a", Qos::AtLeastOnce, b"x");
    t.drain();
    let options = t.options;
    t.restart(HeapSession::new(durable()));
    t.options = options;
    t.now = t.now.after(Duration::from_secs(10_000));
    t.resume();
    assert_eq!(t.next_frame().map(|frame| frame[0]), Some(0x3A), "PUBLISH with DUP");
}
