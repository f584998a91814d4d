//! Topic names and filters.

use crate::support::{field, frame, join};
use crate::*;

/// Wildcards stand in filters only, in no version in a topic name.
/// [3.1.1 MQTT-3.3.2-2] [3.1.1 MQTT-4.7.1-1] [5.0 MQTT-3.3.2-2] [5.0 MQTT-4.7.0-1] [5.0 MQTT-3.3.2-14] [C15]
#[test]
fn c15_wildcards_in_a_topic_name() {
    for name in ["#", "+", "a/#", "+/a", "a+", "a#b", "abcdefgh+", "ü/#", "$SYS/#"] {
        assert_eq!(TopicName::new(name), Err(TopicError::Wildcard), "{name}");
        for version in ALL {
            let none: &[u8] = if version == V5 { &[0] } else { &[] };
            for from in PEERS {
                let frame = frame(0x30, &join(&[&field(name), none]));
                malformed(version, from, &frame, "MQTT-3.3.2-2");
            }
            let head =
                join(&[&field(version.protocol_name()), &[version.level(), 0x06, 0, 0], none, &field("c")]);
            let frame = frame(0x10, &join(&[&head, none, &field(name), &field("will")]));
            let rule = if version == V5 { "MQTT-4.7.0-1" } else { "MQTT-4.7.1-1" };
            malformed(version, Client, &frame, rule);
        }
        let property = join(&[&[0x08], &field(name)]);
        let body = join(&[&field("t"), &[property.len() as u8], &property]);
        malformed(V5, Server, &frame(0x30, &body), "MQTT-3.3.2-14");
        let list = [Property::ResponseTopic(name)];
        let publish = Publish { properties: Properties::List(&list), ..Publish::new(topic("a"), b"") };
        assert_eq!(no_encode(&publish, V5), EncodeError::InvalidTopic(TopicError::Wildcard));
    }
}

/// At least one character. Only the name of a 5.0 PUBLISH with an alias may be empty.
/// [3.1.1 MQTT-4.7.3-1] [5.0 MQTT-4.7.3-1] [5.0 MQTT-3.3.2-1] [U-15] [C15]
#[test]
fn c15_an_empty_topic() {
    assert_eq!(TopicName::new(""), Err(TopicError::Empty));
    assert_eq!(TopicFilter::new(""), Err(TopicError::Empty));
    for version in OLD {
        malformed(version, Server, b"\x30\x03\x00\x00x", "MQTT-4.7.3-1");
        malformed(version, Client, b"\x82\x05\x00\x01\x00\x00\x00", "MQTT-4.7.3-1");
        malformed(version, Client, b"\xA2\x04\x00\x01\x00\x00", "MQTT-4.7.3-1");
    }
    malformed(V5, Client, b"\x82\x06\x00\x01\x00\x00\x00\x00", "MQTT-4.7.3-1");
    malformed(V5, Client, b"\xA2\x05\x00\x01\x00\x00\x00", "MQTT-4.7.3-1");
    malformed(
        V5,
        Client,
        b"\x10\x17\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01c\x00\x00\x00\x00\x04will",
        "MQTT-4.7.3-1",
    );
    malformed(V5, Server, b"\x30\x08\x00\x01a\x03\x08\x00\x00x", "MQTT-4.7.3-1"); // response topic
    protocol(V5, Server, b"\x30\x04\x00\x00\x00x", "U-15");
    let with_alias = accept(V5, Server, b"\x30\x07\x00\x00\x03\x23\x00\x07x");
    assert!(matches!(with_alias, Packet::Publish(publish) if publish.topic.is_none()));

    let publish = Publish { topic: None, ..Publish::new(topic("a"), b"") };
    assert_eq!(no_encode(&publish, V5), EncodeError::MissingTopic);
    assert_eq!(no_encode(&publish, V3_1_1), EncodeError::NotInThisVersion);
}

/// U+0000 stands in neither. [3.1.1 MQTT-4.7.3-2] [5.0 MQTT-4.7.3-2]
#[test]
fn nul_in_a_topic() {
    for text in ["\0", "a\0", "a/b/c/d/e/f\0", "ü\0", "+/\0", "$share/a\0/b", "$share/a/b\0"] {
        assert_eq!(TopicFilter::new(text), Err(TopicError::Nul), "{text:?}");
        if !text.contains('+') {
            assert_eq!(TopicName::new(text), Err(TopicError::Nul), "{text:?}");
        }
    }
}

/// At most 65,535 bytes. [3.1.1 MQTT-4.7.3-3] [5.0 MQTT-4.7.3-3]
#[test]
fn the_longest_topic() {
    for unit in ["x", "/", "ü", "日"] {
        let longest = unit.repeat(65_535 / unit.len());
        assert!(TopicName::new(&longest).is_ok());
        assert!(TopicFilter::new(&longest).is_ok());
        let longer = longest.clone() + unit;
        assert_eq!(TopicName::new(&longer), Err(TopicError::TooLong));
        assert_eq!(TopicFilter::new(&longer), Err(TopicError::TooLong));
        let frame = encode(&Publish::new(topic(&longest), b""), V5);
        assert!(matches!(accept(V5, Server, &frame), Packet::Publish(p) if p.topic == Some(topic(&longest))));
    }
    let list = ["x".repeat(65_536)];
    let list = [Property::ResponseTopic(&list[0])];
    assert_eq!(
        Properties::List(&list).check(PropertyPlace::Publish),
        Err(EncodeError::InvalidTopic(TopicError::TooLong))
    );
}

/// `#` is the whole last level, `+` a whole level.
/// [3.1.1 MQTT-4.7.1-2] [3.1.1 MQTT-4.7.1-3] [5.0 MQTT-4.7.1-1] [5.0 MQTT-4.7.1-2]
#[test]
fn wildcards_out_of_place() {
    let wrong = [
        "a#",
        "#a",
        "#/a",
        "a/#/b",
        "##",
        "#/",
        "a/b#",
        "a/#b",
        "a+",
        "+a",
        "a/+b",
        "a/b+",
        "++",
        "+#",
        "#+",
        "a/+#",
        "abcdefgh/ijklmno+",
        "abcdefg+/x",
        "$SYS#",
        "ü+",
        "/#/",
        "+/+b/+",
    ];
    for text in wrong {
        assert_eq!(TopicFilter::new(text), Err(TopicError::MisplacedWildcard), "{text}");
        for version in ALL {
            let none: &[u8] = if version == V5 { &[0] } else { &[] };
            let rule = if version == V5 { "MQTT-4.7.1-1" } else { "MQTT-4.7.1-2" };
            malformed(version, Client, &frame(0x82, &join(&[&[0, 1], none, &field(text), &[0]])), rule);
            malformed(version, Client, &frame(0xA2, &join(&[&[0, 1], none, &field(text)])), rule);
        }
    }
    let right = [
        "#",
        "+",
        "a/#",
        "/#",
        "+/#",
        "+/+/+",
        "+/a",
        "a/+",
        "a/+/b",
        "/+",
        "+/",
        "//+//",
        "$SYS/#",
        "$SYS/+/a",
        "a b/+",
        "ü/+/日",
        "abcdefg/+/abcdefg/#",
    ];
    for text in right {
        assert_eq!(filter(text).as_str(), text);
        assert!(filter(text).has_wildcards());
        let frame = frame(0x82, &join(&[&[0, 1, 0], &field(text), &[0]]));
        assert!(matches!(accept(V5, Client, &frame), Packet::Subscribe(_)));
    }
    assert!(!filter("a/b").has_wildcards());
}

/// `$share/name/filter`, with a name that has no wildcard and no slash.
/// [5.0 MQTT-4.8.2-1] [5.0 MQTT-4.8.2-2] [C16]
#[test]
fn c16_shared_subscriptions() {
    let long = format!("$share/{}", "ab".repeat(30_000));
    for text in [
        "$share/",
        "$share/a",
        "$share//a",
        "$share/a/",
        "$share/+/a",
        "$share/#/a",
        "$share/a+/b",
        "$share/a#b/c",
        &long,
    ] {
        assert_eq!(TopicFilter::new(text), Err(TopicError::InvalidShare), "{text:.20}");
        let frame = frame(0x82, &join(&[&[0, 1, 0], &field(text), &[0]]));
        malformed(V5, Client, &frame, "MQTT-4.8.2-2");
    }
    assert_eq!(TopicFilter::new("$share/a/b#"), Err(TopicError::MisplacedWildcard));
    for (text, group, inner) in [
        ("$share/g/a/b", "g", "a/b"),
        ("$share/g/#", "g", "#"),
        ("$share/grüpp/+/x", "grüpp", "+/x"),
        ("$share/g//", "g", "/"),
        ("$share/g/$SYS/x", "g", "$SYS/x"),
    ] {
        assert_eq!(filter(text).share(), Some((group, filter(inner))));
    }
    for text in ["$share", "a/$share/b/c", "$shared/a/b", "#"] {
        assert_eq!(filter(text).share(), None, "{text}");
    }
    assert!(filter("$share/g/a/+").matches(topic("a/b")));
    assert!(!filter("$share/g/a/+").matches(topic("b/b")));
    assert!(!filter("$share/g/#").matches(topic("$SYS/a")));
}

/// What matches what. [3.1.1 MQTT-4.7.1-2] [3.1.1 MQTT-4.7.1-3] [5.0 MQTT-4.7.1-1] [5.0 MQTT-4.7.1-2]
#[test]
fn matching() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        (
            "sport/tennis/player1/#",
            &["sport/tennis/player1", "sport/tennis/player1/", "sport/tennis/player1/a/b"],
            &["sport/tennis", "sport/tennis/player10"],
        ),
        ("sport/#", &["sport", "sport/", "sport/a"], &["sports", "a/sport"]),
        ("#", &["a", "/", "a/b", "/a"], &["$SYS", "$SYS/a"]),
        ("+", &["a", "ü"], &["a/b", "/a", "a/", "/", "$SYS"]),
        ("sport/+", &["sport/", "sport/a"], &["sport", "sport/a/b"]),
        ("+/+", &["/finance", "a/b", "/"], &["a", "a/b/c", "$SYS/a"]),
        ("/+", &["/finance", "/"], &["finance", "a/b"]),
        ("+/monitor/Clients", &["a/monitor/Clients"], &["$SYS/monitor/Clients"]),
        ("$SYS/#", &["$SYS", "$SYS/a", "$SYS/"], &["SYS/a", "a"]),
        ("$SYS/monitor/+", &["$SYS/monitor/Clients"], &["$SYS/monitor"]),
        ("a/+/c", &["a/b/c", "a//c"], &["a/b", "a/b/c/d", "a/b/d"]),
        ("a/b", &["a/b"], &["a/b/", "/a/b", "a/B", "a", "a/bc"]),
        ("+/#", &["a", "a/b", "/"], &["$a", "$a/b"]),
        ("a/$b/+", &["a/$b/c"], &[]),
        ("a/+/#", &["a/b", "a/$b/c"], &["a"]),
    ];
    for (wanted, yes, no) in cases {
        for name in *yes {
            assert!(filter(wanted).matches(topic(name)), "{wanted} should match {name}");
        }
        for name in *no {
            assert!(!filter(wanted).matches(topic(name)), "{wanted} should not match {name}");
        }
    }
}

/// Thousands of levels take linear time and no stack. [C16]
#[test]
fn c16_deep_topics() {
    let deep = "a/".repeat(32_767) + "a";
    assert!(filter(&deep).matches(topic(&deep)));
    let wild = "+/".repeat(32_767) + "+";
    assert!(filter(&wild).matches(topic(&deep)));
    let almost = "+/".repeat(32_766) + "#";
    assert!(filter(&almost).matches(topic(&deep)));
}
