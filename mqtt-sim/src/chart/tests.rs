//! Charts of whole worlds: nothing covers anything else, and what is cut out is what matters.

use core::time::Duration;

use mqtt_proto::{Qos, TopicName};
use mqtt_session::Message;

use crate::broker::BrokerConfig;
use crate::swarm::{Mood, Swarm};
use crate::world::{ClientOptions, World};

use super::Chart;
use super::layout::Layout;
use super::story::{Fate, Story, What};

const SECOND: Duration = Duration::from_secs(1);

/// A QoS 2 message in the middle of which the connection is cut.
fn cut() -> World {
    let mut world = World::new(3);
    world.add_broker(BrokerConfig::default());
    let client = world.add_client(ClientOptions { session_expiry: 60, ..ClientOptions::new("me<&>") });
    world.record();
    world.start(client).unwrap();
    world.run_for(SECOND).unwrap();
    let message = Message::new(TopicName::new("a/b").unwrap()).qos(Qos::ExactlyOnce);
    world.publish(client, &message, b"x").unwrap();
    world.run_for(Duration::from_millis(1)).unwrap();
    world.cut(client);
    world.run_for(10 * SECOND).unwrap();
    world
}

#[test]
fn packets_are_told_with_name_identifier_qos_and_dup() {
    let svg = Chart::new().title("t").draw(&cut());
    for text in [
        "CONNECT 5.0",
        "CONNACK, session present",
        "PUBLISH 1 QoS 2 a/b",
        ">DUP<",
        "PUBREC 1",
        "PUBCOMP 1",
        "✕ cut",
    ] {
        assert!(svg.contains(text), "{text} is missing in {svg}");
    }
    assert!(svg.contains("me&lt;&amp;&gt;") && !svg.contains("me<"), "names are escaped");
}

#[test]
fn it_is_well_formed() {
    let svg = Chart::new().title("\u{1}<>&\"").draw(&cut());
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap();
        let name = tag.split_whitespace().next().unwrap();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
}

#[test]
fn a_lost_packet_does_not_arrive() {
    let world = cut();
    let story = Story::of(&world, &world.clients().collect::<Vec<_>>());
    let fates: Vec<(&str, Fate)> = story
        .items
        .iter()
        .filter_map(|item| match &item.what {
            What::Packet { text, fate, .. } => Some((text.as_str(), *fate)),
            _ => None,
        })
        .collect();
    let first = fates.iter().find(|(text, _)| text.starts_with("PUBLISH 1 QoS 2 a/b")).unwrap();
    let again = fates.iter().find(|(text, _)| text.starts_with("PUBLISH 1 QoS 2 DUP")).unwrap();
    assert_eq!(first.1, Fate::Lost);
    assert!(matches!(again.1, Fate::Arrives(_)));
}

#[test]
fn no_text_covers_another_and_time_runs_downwards() {
    for mood in Mood::ALL {
        for seed in 0..6 {
            let swarm = Swarm { mood: Some(mood), duration: 20 * SECOND, ..Swarm::default() };
            let (world, _) = swarm.record(seed);
            let mut story = Story::of(&world, &world.clients().collect::<Vec<_>>());
            story.cut(mqtt_session::Instant::ZERO, (seed % 2 == 0).then(|| world.now()), 200);
            let layout = Layout::of(&story);
            let boxes = &layout.boxes;
            for (n, (_, one)) in boxes.iter().enumerate() {
                assert!(one.left > 80.0 && one.right < layout.width, "{one:?}");
                for (_, other) in boxes.iter().skip(n + 1) {
                    assert!(!one.overlaps(other), "{mood:?} {seed}: {one:?} {other:?}");
                }
            }
            let mut last = (mqtt_session::Instant::ZERO, 0.0, 0.0);
            for (item, y) in story.items.iter().zip(&layout.heights) {
                if item.at > last.0 {
                    last = (item.at, last.2, last.2);
                }
                assert!(*y >= last.1, "{mood:?} {seed}: {item:?}");
                last.2 = y.max(last.2);
            }
            for (arrival, packet) in story.arrivals() {
                assert!(layout.heights[arrival] >= layout.heights[packet], "an arrow never rises");
            }
        }
    }
}

#[test]
fn of_a_long_run_the_part_before_the_failure_is_drawn() {
    let (world, _) = Swarm { duration: 40 * SECOND, ..Swarm::default() }.record(5);
    let drawn = |chart: &Chart| {
        let mut story = Story::of(&world, &world.clients().collect::<Vec<_>>());
        let all = story.items.len();
        story.cut(chart.from, chart.failure.as_ref().map(|(at, _)| *at), chart.most);
        (all, story)
    };
    let (all, first) = drawn(&Chart::new());
    let (_, last) = drawn(&Chart::new().failure(world.now(), "it"));
    assert!(all > 500, "{all}");
    let counts = |story: &Story| {
        let counted = |what: &What| !matches!(what, What::Arrival { .. } | What::End { .. });
        story.items.iter().filter(|item| counted(&item.what)).count()
    };
    assert_eq!((counts(&first), first.left_out.0), (200, 0));
    assert!(counts(&last) >= 200 && counts(&last) < 230 && last.left_out.1 == 0, "{}", counts(&last));
    assert!(first.items.last().unwrap().at < last.items[last.items.len() / 2].at);
    let svg = Chart::new().failure(world.now(), "a rule <was> broken").draw(&world);
    assert!(svg.contains("a rule &lt;was&gt; broken"));
}
