//! Who gets a message: subscriptions by filter, and the turns of shared ones.

use core::ops::Bound;
use std::collections::BTreeMap;

use mqtt_proto::{Qos, TopicFilter, TopicName};

use super::session::{SessionKey, Subscribed};

type Subscribers = BTreeMap<SessionKey, Subscribed>;

/// The subscriptions of all sessions.
///
/// Filters without wildcards are looked up; filters with wildcards are grouped by their first level and compared one
/// by one. Everything is kept sorted, so the order of deliveries is the same in every run.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Routes {
    exact: BTreeMap<Box<str>, Subscribers>,
    wild: BTreeMap<Box<str>, BTreeMap<Box<str>, Subscribers>>,
    shared: BTreeMap<Box<str>, Shared>,
}

/// The members of one `$share/group/filter`.
#[derive(Clone, Debug, Default, Hash)]
struct Shared {
    members: Subscribers,
    /// Who had the last turn.
    last: Option<SessionKey>,
}

/// What all matching subscriptions of one session come to: one copy of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) session: SessionKey,
    /// The highest of the subscriptions. [MQTT-3.3.4-2]
    pub(super) qos: Qos,
    pub(super) retain_as_published: bool,
    /// All of them. [MQTT-3.3.4-3] [MQTT-3.3.4-4]
    pub(super) identifiers: Vec<u32>,
}

impl Routes {
    pub(super) fn insert(&mut self, filter: TopicFilter<'_>, session: SessionKey, subscribed: Subscribed) {
        let text = filter.as_str();
        let subscribers = if filter.share().is_some() {
            &mut self.shared.entry(text.into()).or_default().members
        } else if filter.has_wildcards() {
            self.wild.entry(first_level(text).into()).or_default().entry(text.into()).or_default()
        } else {
            self.exact.entry(text.into()).or_default()
        };
        subscribers.insert(session, subscribed);
    }

    pub(super) fn remove(&mut self, filter: TopicFilter<'_>, session: SessionKey) {
        let text = filter.as_str();
        if filter.share().is_some() {
            if let Some(shared) = self.shared.get_mut(text) {
                shared.members.remove(&session);
                if shared.members.is_empty() {
                    self.shared.remove(text);
                }
            }
        } else if filter.has_wildcards() {
            let level = first_level(text);
            if let Some(filters) = self.wild.get_mut(level) {
                remove_from(filters, text, session);
                if filters.is_empty() {
                    self.wild.remove(level);
                }
            }
        } else {
            remove_from(&mut self.exact, text, session);
        }
    }

    /// The sessions that get a message for `topic`: first the plain subscriptions in the order of the sessions, then
    /// one member of each shared one. `connected` says whom a shared message can reach at once.
    pub(super) fn matches(
        &mut self,
        topic: TopicName<'_>,
        publisher: Option<SessionKey>,
        connected: impl Fn(SessionKey) -> bool,
    ) -> Vec<Match> {
        let mut plain: BTreeMap<SessionKey, Match> = BTreeMap::new();
        let mut merge = |subscribers: &Subscribers| {
            for (&session, subscribed) in subscribers {
                // [MQTT-3.8.3-3]
                if subscribed.options.no_local && publisher == Some(session) {
                    continue;
                }
                let entry = plain.entry(session).or_insert_with(|| Match {
                    session,
                    qos: Qos::AtMostOnce,
                    retain_as_published: false,
                    identifiers: Vec::new(),
                });
                entry.add(subscribed);
            }
        };
        let name = topic.as_str();
        if let Some(subscribers) = self.exact.get(name) {
            merge(subscribers);
        }
        for level in [first_level(name), "#", "+"] {
            for (filter, subscribers) in self.wild.get(level).into_iter().flatten() {
                if TopicFilter::new(filter).is_ok_and(|filter| filter.matches(topic)) {
                    merge(subscribers);
                }
            }
        }
        let mut found: Vec<Match> = plain.into_values().collect();
        for (filter, shared) in &mut self.shared {
            let inner = TopicFilter::new(filter).ok().and_then(TopicFilter::share);
            if !inner.is_some_and(|(_, inner)| inner.matches(topic)) {
                continue;
            }
            if let Some((session, subscribed)) = shared.next(&connected) {
                let mut entry = Match {
                    session,
                    qos: Qos::AtMostOnce,
                    retain_as_published: false,
                    identifiers: Vec::new(),
                };
                entry.add(&subscribed);
                found.push(entry);
            }
        }
        found
    }
}

impl Match {
    fn add(&mut self, subscribed: &Subscribed) {
        self.qos = self.qos.max(subscribed.options.qos);
        self.retain_as_published |= subscribed.options.retain_as_published;
        self.identifiers.extend(subscribed.identifier);
    }
}

impl Shared {
    /// The member after the last one, connected ones first.
    fn next(&mut self, connected: impl Fn(SessionKey) -> bool) -> Option<(SessionKey, Subscribed)> {
        let after = match self.last {
            Some(last) => Bound::Excluded(last),
            None => Bound::Unbounded,
        };
        let turn = self.members.range((after, Bound::Unbounded)).chain(&self.members);
        let chosen = turn.clone().find(|(key, _)| connected(**key)).or_else(|| turn.clone().next());
        let (key, subscribed) = chosen.map(|(key, subscribed)| (*key, *subscribed))?;
        self.last = Some(key);
        Some((key, subscribed))
    }
}

fn first_level(text: &str) -> &str {
    text.split('/').next().unwrap_or("")
}

fn remove_from(filters: &mut BTreeMap<Box<str>, Subscribers>, text: &str, session: SessionKey) {
    if let Some(subscribers) = filters.get_mut(text) {
        subscribers.remove(&session);
        if subscribers.is_empty() {
            filters.remove(text);
        }
    }
}
