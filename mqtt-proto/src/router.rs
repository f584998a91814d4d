//! A table from many topic filters to many values.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use crate::topic::{TopicFilter, TopicName};

/// Finds, among many topic filters, those that match a topic name, without trying each. Needs the feature `alloc`.
///
/// A tree with one step per topic level: a look-up takes time in proportion to the parts of the tree that can match,
/// not to the number of filters; it allocates a small stack, freed with the iterator. A filter may have many values,
/// a value many filters. A shared subscription matches as its inner filter does, and is kept apart from it.
///
/// ```
/// use mqtt_proto::{Router, TopicFilter, TopicName};
///
/// let mut router = Router::new();
/// router.insert(TopicFilter::new("sensors/+/temperature")?, "thermometers");
/// router.insert(TopicFilter::new("sensors/#")?, "log");
/// let name = TopicName::new("sensors/attic/temperature")?;
/// let mut found: Vec<_> = router.matches(name).copied().collect();
/// found.sort();
/// assert_eq!(found, ["log", "thermometers"]);
///
/// assert_eq!(router.remove(TopicFilter::new("sensors/#")?, |_| true), 1);
/// assert_eq!(router.matches(name).count(), 1);
/// # Ok::<(), mqtt_proto::TopicError>(())
/// ```
#[derive(Clone)]
pub struct Router<T> {
    /// The root is the first, once there is one. Nodes name each other by their places here, so that neither dropping
    /// nor cloning a deep tree recurses.
    nodes: Vec<Node<T>>,
    /// Places that are free.
    free: Vec<usize>,
    len: usize,
}

/// A level of the tree. The way to it from the root spells a filter.
#[derive(Clone)]
struct Node<T> {
    /// By the text of the next level, `+` for any.
    children: BTreeMap<Box<str>, usize>,
    /// Values of the filter that ends here.
    values: Vec<Value<T>>,
    /// Values of the filter that ends with a `#` below here.
    below: Vec<Value<T>>,
}

#[derive(Clone)]
struct Value<T> {
    /// Share name of a shared subscription.
    share: Option<Box<str>>,
    value: T,
}

const ROOT: usize = 0;

impl<T> Node<T> {
    const fn new() -> Self {
        Self { children: BTreeMap::new(), values: Vec::new(), below: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.values.is_empty() && self.below.is_empty()
    }
}

/// A filter taken apart: its share name, the levels that name nodes, and whether a `#` comes behind them.
fn parts<'a>(filter: TopicFilter<'a>) -> (Option<&'a str>, impl Iterator<Item = &'a str>, bool) {
    let (share, inner) = match filter.share() {
        Some((share, inner)) => (Some(share), inner.as_str()),
        None => (None, filter.as_str()),
    };
    // A `#` is the whole last level.
    let hash = inner.ends_with('#');
    (share, inner.split('/').take_while(|level| *level != "#"), hash)
}

impl<T> Router<T> {
    /// An empty table. Allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { nodes: Vec::new(), free: Vec::new(), len: 0 }
    }

    /// How many pairs of filter and value there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a value for a filter. The same filter may be given again, with the same or another value. Memory grows
    /// with the levels of the filter that no other filter shares.
    pub fn insert(&mut self, filter: TopicFilter<'_>, value: T) {
        let (share, levels, hash) = parts(filter);
        if self.nodes.is_empty() {
            self.nodes.push(Node::new());
        }
        let mut place = ROOT;
        for level in levels {
            place = match self.child(place, level) {
                Some(child) => child,
                None => self.add(place, level),
            };
        }
        if let Some(node) = self.nodes.get_mut(place) {
            let value = Value { share: share.map(Into::into), value };
            if hash {
                node.below.push(value)
            } else {
                node.values.push(value)
            }
            self.len = self.len.saturating_add(1);
        }
    }

    /// Removes those values of exactly this filter that `which` picks, and returns how many they were. Levels that
    /// are no longer needed are freed for others; an empty table gives all its memory back.
    pub fn remove(&mut self, filter: TopicFilter<'_>, mut which: impl FnMut(&T) -> bool) -> usize {
        let (share, levels, hash) = parts(filter);
        let mut passed = Vec::new();
        let mut place = ROOT;
        for level in levels {
            passed.push((place, level));
            match self.child(place, level) {
                Some(child) => place = child,
                None => return 0,
            }
        }
        let Some(node) = self.nodes.get_mut(place) else { return 0 };
        let values = if hash { &mut node.below } else { &mut node.values };
        let before = values.len();
        values.retain(|value| !(value.share.as_deref() == share && which(&value.value)));
        let removed = before.saturating_sub(values.len());
        // Upwards, as long as nothing else needs the level.
        while let Some((parent, level)) = passed.pop() {
            if !self.nodes.get(place).is_some_and(Node::is_empty) {
                break;
            }
            if let Some(node) = self.nodes.get_mut(parent) {
                node.children.remove(level);
            }
            if let Some(node) = self.nodes.get_mut(place) {
                *node = Node::new();
            }
            self.free.push(place);
            place = parent;
        }
        self.len = self.len.saturating_sub(removed);
        if self.len == 0 {
            *self = Self::new();
        }
        removed
    }

    /// The values of exactly this filter, in the order they were inserted.
    pub fn get<'r>(&'r self, filter: TopicFilter<'r>) -> impl Iterator<Item = &'r T> + use<'r, T> {
        let (share, mut levels, hash) = parts(filter);
        let node = levels
            .try_fold(ROOT, |place, level| self.child(place, level))
            .and_then(|place| self.nodes.get(place));
        let values = node.map_or(&[][..], |node| if hash { &node.below } else { &node.values });
        values.iter().filter(move |value| value.share.as_deref() == share).map(|value| &value.value)
    }

    /// The values of all filters that match `name`, once for each pair of filter and value, in no particular order.
    #[must_use]
    pub fn matches<'r, 'n>(&'r self, name: TopicName<'n>) -> Matches<'r, 'n, T> {
        let mut open = Vec::with_capacity(8);
        open.push((ROOT, Some(name.as_str())));
        // [MQTT-4.7.2-1]
        Matches { router: self, open, values: [].iter().chain(&[]), system: name.as_str().starts_with('$') }
    }

    fn child(&self, place: usize, level: &str) -> Option<usize> {
        self.nodes.get(place)?.children.get(level).copied()
    }

    fn add(&mut self, parent: usize, level: &str) -> usize {
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                self.nodes.push(Node::new());
                self.nodes.len().saturating_sub(1)
            }
        };
        if let Some(node) = self.nodes.get_mut(parent) {
            node.children.insert(level.into(), place);
        }
        place
    }
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for Router<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels = self.nodes.len().saturating_sub(self.free.len());
        f.debug_struct("Router").field("len", &self.len).field("levels", &levels).finish_non_exhaustive()
    }
}

/// Values found by [`Router::matches`].
#[derive(Clone)]
pub struct Matches<'r, 'n, T> {
    router: &'r Router<T>,
    /// Nodes still to look at, with what is left of the name there; `None` behind its last level.
    open: Vec<(usize, Option<&'n str>)>,
    values: core::iter::Chain<core::slice::Iter<'r, Value<T>>, core::slice::Iter<'r, Value<T>>>,
    /// The name begins with `$`: at the root it is hidden from wildcards.
    system: bool,
}

impl<T> fmt::Debug for Matches<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matches").finish_non_exhaustive()
    }
}

impl<'r, T> Iterator for Matches<'r, '_, T> {
    type Item = &'r T;

    fn next(&mut self) -> Option<&'r T> {
        loop {
            if let Some(value) = self.values.next() {
                return Some(&value.value);
            }
            let (place, left) = self.open.pop()?;
            let node = self.router.nodes.get(place)?;
            let Some(left) = left else {
                // Behind the last level: the filter that ends here, and `#`, which stands for this level too.
                self.values = node.values.iter().chain(&node.below);
                continue;
            };
            let (level, rest) = match left.split_once('/') {
                Some((level, rest)) => (level, Some(rest)),
                None => (left, None),
            };
            if let Some(child) = node.children.get(level) {
                self.open.push((*child, rest));
            }
            if place == ROOT && self.system {
                continue;
            }
            if let Some(child) = node.children.get("+") {
                self.open.push((*child, rest));
            }
            self.values = node.below.iter().chain(&[]);
        }
    }
}

impl<T> core::iter::FusedIterator for Matches<'_, '_, T> {}
