//! Retained messages, one per topic.

use core::ops::Bound;
use std::collections::BTreeMap;
use std::sync::Arc;

use mqtt_proto::{TopicFilter, TopicName};
use mqtt_session::Instant;

use super::message::Message;

/// All retained messages, in the order of their topics.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Retained {
    by_topic: BTreeMap<Box<str>, Arc<Message>>,
    bytes: usize,
}

impl Retained {
    pub(super) fn len(&self) -> usize {
        self.by_topic.len()
    }

    /// Whether a message of `size` bytes for `topic` stays within both bounds.
    pub(super) fn has_room(&self, topic: &str, size: usize, max: usize, max_bytes: usize) -> bool {
        let (others, bytes) = match self.by_topic.get(topic) {
            Some(old) => (self.by_topic.len() - 1, self.bytes.saturating_sub(old.size())),
            None => (self.by_topic.len(), self.bytes),
        };
        others < max && bytes.saturating_add(size) <= max_bytes
    }

    /// Replaces [MQTT-3.3.1-5] what is retained for the message's topic; an empty payload only removes
    /// [MQTT-3.3.1-6] [MQTT-3.3.1-7].
    pub(super) fn set(&mut self, message: &Arc<Message>) {
        let old = if message.payload.is_empty() {
            self.by_topic.remove(&message.topic)
        } else {
            self.bytes = self.bytes.saturating_add(message.size());
            self.by_topic.insert(message.topic.clone(), Arc::clone(message))
        };
        if let Some(old) = old {
            self.bytes = self.bytes.saturating_sub(old.size());
        }
    }

    /// What a new subscription to `filter` is sent, in the order of the topics.
    pub(super) fn matching(&mut self, filter: TopicFilter<'_>, now: Instant) -> Vec<Arc<Message>> {
        let mut found = Vec::new();
        let mut expired = Vec::new();
        let mut visit = |message: &Arc<Message>| {
            if message.expired(now) {
                expired.push(message.topic.clone());
            } else {
                found.push(Arc::clone(message));
            }
        };
        if filter.has_wildcards() {
            // Only topics that begin like the filter up to its first wildcard can match.
            let text = filter.as_str();
            let literal = text.split(['+', '#']).next().unwrap_or("");
            // `sport/#` matches `sport` too, so the last separator is not part of what must be there.
            let literal = literal.strip_suffix('/').unwrap_or(literal);
            for (topic, message) in
                self.by_topic.range::<str, _>((Bound::Included(literal), Bound::Unbounded))
            {
                if !topic.starts_with(literal) {
                    break;
                }
                if TopicName::new(topic).is_ok_and(|name| filter.matches(name)) {
                    visit(message);
                }
            }
        } else if let Some(message) = self.by_topic.get(filter.as_str()) {
            visit(message);
        }
        for topic in expired {
            if let Some(old) = self.by_topic.remove(&topic) {
                self.bytes = self.bytes.saturating_sub(old.size());
            }
        }
        found
    }
}
