//! The routing table finds what trying every filter finds.

use mqtt_proto::*;
use proptest::prelude::*;

/// Few words, so that much matches much.
fn level() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a"), Just("b"), Just(""), Just("$x"), Just("ü")]
}

fn name() -> impl Strategy<Value = String> {
    proptest::collection::vec(level(), 1..5)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("not empty", |name| !name.is_empty())
}

fn filter() -> impl Strategy<Value = String> {
    let levels = proptest::collection::vec(prop_oneof![3 => level(), 2 => Just("+")], 0..5);
    let share = prop_oneof![4 => Just(""), 1 => Just("$share/g/"), 1 => Just("$share/h/")];
    (levels, any::<bool>(), share).prop_filter_map("not empty", |(levels, hash, share)| {
        let mut levels: Vec<_> = levels;
        if hash {
            levels.push("#");
        }
        let filter = share.to_owned() + &levels.join("/");
        TopicFilter::new(&filter).is_ok().then_some(filter)
    })
}

#[derive(Debug, Clone)]
enum Step {
    Insert(String),
    Remove(String, u8),
    Look(String),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => filter().prop_map(Step::Insert),
        2 => (filter(), any::<u8>()).prop_map(|(filter, which)| Step::Remove(filter, which)),
        4 => name().prop_map(Step::Look),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_tree_finds_what_trying_every_filter_finds(steps in proptest::collection::vec(step(), 1..60)) {
        let mut router = Router::new();
        let mut naive: Vec<(String, usize)> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert(text) => {
                    router.insert(TopicFilter::new(&text).expect("a filter"), number);
                    naive.push((text, number));
                }
                Step::Remove(text, which) => {
                    let filter = TopicFilter::new(&text).expect("a filter");
                    // Some of the values, or all of them.
                    let picked = |value: usize| which > 128 || value % 2 == usize::from(which % 2);
                    let before = naive.len();
                    naive.retain(|(other, value)| !(*other == text && picked(*value)));
                    prop_assert_eq!(router.remove(filter, |value| picked(*value)), before - naive.len());
                }
                Step::Look(text) => {
                    let name = TopicName::new(&text).expect("a name");
                    let mut found: Vec<usize> = router.matches(name).copied().collect();
                    found.sort_unstable();
                    let expected: Vec<usize> = naive
                        .iter()
                        .filter(|(filter, _)| TopicFilter::new(filter).expect("a filter").matches(name))
                        .map(|(_, value)| *value)
                        .collect();
                    prop_assert_eq!(found, expected);
                }
            }
            prop_assert_eq!(router.len(), naive.len());
            prop_assert_eq!(router.is_empty(), naive.is_empty());
        }
        for (text, value) in &naive {
            let values: Vec<_> = router.get(TopicFilter::new(text).expect("a filter")).copied().collect();
            let expected: Vec<_> = naive.iter().filter(|(other, _)| other == text).map(|(_, value)| *value).collect();
            prop_assert!(values.contains(value));
            prop_assert_eq!(values, expected);
        }
    }

    /// Against a second matcher, which tries every way recursively, as the standard describes it.
    #[test]
    fn matching_is_as_described(filter in filter(), name in name()) {
        fn levels(filter: &[&str], name: &[&str]) -> bool {
            match (filter, name) {
                (["#"], _) => true,
                ([], []) => true,
                (["+", filter @ ..], [_, name @ ..]) => levels(filter, name),
                ([level, filter @ ..], [same, name @ ..]) if level == same => levels(filter, name),
                _ => false,
            }
        }
        let checked = TopicFilter::new(&filter).expect("a filter");
        let inner = checked.share().map_or(&*filter, |(_, inner)| inner.as_str());
        let hidden = name.starts_with('$') && inner.starts_with(['+', '#']);
        let split = |text: &'static str| text.split('/').collect::<Vec<_>>();
        let (inner, name): (&'static str, &'static str) = (inner.to_owned().leak(), name.leak());
        let expected = !hidden && levels(&split(inner), &split(name));
        prop_assert_eq!(checked.matches(TopicName::new(name).expect("a name")), expected);
    }
}

/// Thousands of levels: no recursion, neither when looking nor when inserting, removing or dropping. [C16]
#[test]
fn c16_a_deep_filter() {
    let deep = "a/".repeat(32_767) + "a";
    let wild = "+/".repeat(32_766) + "#";
    let (deep_filter, wild_filter) =
        (TopicFilter::new(&deep).expect("a filter"), TopicFilter::new(&wild).expect("a filter"));
    let name = TopicName::new(&deep).expect("a name");
    let mut router = Router::new();
    router.insert(deep_filter, 1);
    router.insert(wild_filter, 2);
    let mut found: Vec<_> = router.matches(name).copied().collect();
    found.sort_unstable();
    assert_eq!(found, [1, 2]);
    assert_eq!(router.get(wild_filter).copied().collect::<Vec<_>>(), [2]);
    assert_eq!(router.remove(deep_filter, |_| true), 1);
    assert_eq!(router.matches(name).copied().collect::<Vec<_>>(), [2]);
    drop(router.clone());
    drop(router);
}

/// Levels no filter needs any longer are freed, and used again for others.
#[test]
fn levels_are_freed() {
    let filter = |text| TopicFilter::new(text).expect("a filter");
    let mut router = Router::new();
    for text in ["a/b/c", "a/x", "a/b/#"] {
        router.insert(filter(text), text);
    }
    // The root, a, b, c, x.
    assert_eq!(format!("{router:?}"), "Router { len: 3, levels: 5, .. }");
    assert_eq!(router.remove(filter("a/b/c"), |_| true), 1);
    assert_eq!(format!("{router:?}"), "Router { len: 2, levels: 4, .. }");
    assert_eq!(router.remove(filter("a/b/#"), |_| true), 1);
    assert_eq!(format!("{router:?}"), "Router { len: 1, levels: 3, .. }");
    router.insert(filter("y/z"), "y/z");
    assert_eq!(format!("{router:?}"), "Router { len: 2, levels: 5, .. }");
    assert!(format!("{:?}", router.matches(TopicName::new("y/z").expect("a name"))).starts_with("Matches"));
    assert_eq!(router.remove(filter("y/z"), |_| true) + router.remove(filter("a/x"), |_| true), 2);
    assert_eq!(format!("{router:?}"), "Router { len: 0, levels: 0, .. }");
}
