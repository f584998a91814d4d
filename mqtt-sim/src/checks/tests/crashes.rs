//! What a crash excuses, and what it does not.

use super::*;

fn crash(check: &mut dyn Check, kept: Kept) {
    check.observe(NOW, &Observation::Crashed { client: client(), kept }).unwrap();
}

impl Talk {
    fn crash(&mut self, kept: Kept) {
        self.cut(&[]);
        self.show(&Observation::Crashed { client: client(), kept }).unwrap();
        self.connect(true);
    }
}

#[test]
fn publish_goes_again_with_dup_unless_pubrel_had_left() {
    let mut talk = Talk::new();
    talk.sends(&publish(TWO, 1, "a")).unwrap();
    talk.sends(&publish(TWO, 2, "b")).unwrap();
    for number in [1, 2] {
        talk.gets(&Packet::Pubrec(Pubrec::new(id(number))));
    }
    talk.sends(&Packet::Pubrel(Pubrel::new(id(1)))).unwrap();
    talk.crash(Kept::All);
    // The journal may not have heard of the second PUBREC.
    assert_eq!(talk.sends(&publish(TWO, 2, "b")), Err("MQTT-3.3.1-1"));
    talk.sends(&again(TWO, 2, "b")).unwrap();
    assert_eq!(talk.sends(&again(TWO, 1, "a")), Err("MQTT-4.3.3-6"));
}

#[test]
fn an_exchange_that_had_ended_may_come_again_and_another_one_may_not() {
    let mut talk = Talk::new();
    let message = accepted(ONE);
    talk.show(&accept(&message, 1, b"a")).unwrap();
    talk.sends(&publish(ONE, 1, "a")).unwrap();
    talk.gets(&Packet::Puback(Puback::new(id(1))));
    talk.show(&Observation::Event { client: client(), event: &done(1) }).unwrap();
    talk.crash(Kept::All);
    assert_eq!(talk.sends(&again(ONE, 2, "b")), Err("MQTT-3.3.1-1"));
    talk.sends(&again(ONE, 1, "a")).unwrap();
    talk.crash(Kept::Nothing);
    assert_eq!(talk.sends(&again(ONE, 1, "a")), Err("MQTT-3.3.1-1"));
}

#[test]
fn pubrel_comes_again_only_for_what_was_there() {
    let mut talk = Talk::new();
    talk.sends(&publish(TWO, 1, "a")).unwrap();
    talk.gets(&Packet::Pubrec(Pubrec::new(id(1))));
    talk.sends(&Packet::Pubrel(Pubrel::new(id(1)))).unwrap();
    talk.gets(&Packet::Pubcomp(Pubcomp::new(id(1))));
    talk.crash(Kept::All);
    assert_eq!(talk.sends(&Packet::Pubrel(Pubrel::new(id(2)))), Err("MQTT-4.3.3-4"));
    talk.sends(&Packet::Pubrel(Pubrel::new(id(1)))).unwrap();
}

#[test]
fn what_was_told_to_be_durable_ends_after_all() {
    let message = accepted(TWO);
    let check = |kept| {
        let mut check = Endings::new();
        check.observe(NOW, &accept(&message, 1, b"a")).unwrap();
        check.observe(NOW, &accept(&message, 2, b"b")).unwrap();
        let durable = Observed::Durable { token: Token::from(1) };
        check.observe(NOW, &Observation::Event { client: client(), event: &durable }).unwrap();
        crash(&mut check, kept);
        check
    };
    let see = |check: &mut Endings, token| {
        check.observe(NOW, &Observation::Event { client: client(), event: &done(token) })
    };
    let mut all = check(Kept::All);
    assert!(all.finish(NOW).is_err());
    see(&mut all, 1).unwrap();
    // The other one may have been stored, or not; and an end that was told may be told once more.
    all.finish(NOW).unwrap();
    see(&mut all, 2).unwrap();
    crash(&mut all, Kept::All);
    see(&mut all, 1).unwrap();
    assert!(see(&mut all, 1).is_err());
    check(Kept::Some).finish(NOW).unwrap();
    assert!(see(&mut check(Kept::Nothing), 1).is_err());
}

#[test]
fn a_message_comes_twice_at_qos_2_only_with_a_mark_or_where_nothing_better_was_promised() {
    let twice = |kept, redelivered| {
        let subscriber = Subscriber { client: client(), filter: "t".to_owned(), qos: TWO };
        let mut check = Deliveries::new(vec![subscriber]);
        check.observe(NOW, &accept(&accepted(TWO), 1, b"a")).unwrap();
        let first = arrival(TWO, "t", b"a");
        check.observe(NOW, &Observation::Event { client: client(), event: &first }).unwrap();
        crash(&mut check, kept);
        let Observed::Message(delivered) = first else { return false };
        let second = Observed::Message(Delivered { redelivered, ..delivered });
        check.observe(NOW, &Observation::Event { client: client(), event: &second }).is_ok()
    };
    assert!(twice(Kept::All, true));
    assert!(!twice(Kept::All, false));
    assert!(twice(Kept::Some, false));
    assert!(!twice(Kept::Nothing, false));
}

#[test]
fn what_the_journal_knows_as_answered_may_be_answered_before_what_it_does_not() {
    let pubrec = |n| Packet::Pubrec(Pubrec::new(id(n)));
    let mut talk = Talk::new();
    talk.gets(&publish(TWO, 1, "a"));
    talk.gets(&publish(TWO, 2, "b"));
    talk.crash(Kept::Some);
    talk.gets(&again(TWO, 1, "a"));
    talk.gets(&again(TWO, 2, "b"));
    talk.gets(&publish(TWO, 3, "c"));
    talk.sends(&pubrec(2)).unwrap();
    assert_eq!(talk.sends(&pubrec(3)), Err("MQTT-4.6.0-3"), "it was not there before");
    talk.sends(&pubrec(1)).unwrap();
    talk.sends(&pubrec(3)).unwrap();
}
