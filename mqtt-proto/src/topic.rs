//! Topic names and topic filters: validated when they are made, matched level by level.

use core::fmt;

use crate::text;

/// The longest topic name or filter, in bytes. `[MQTT-4.7.3-3]`
pub const MAX_TOPIC_LEN: usize = 65_535;

/// Why a text is not a topic name, or not a topic filter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TopicError {
    /// It is empty. `[MQTT-4.7.3-1]`
    Empty,
    /// It is longer than 65,535 bytes. `[MQTT-4.7.3-3]`
    TooLong,
    /// It contains U+0000. `[MQTT-4.7.3-2]`
    Nul,
    /// A topic name contains `#` or `+`. `[MQTT-4.7.0-1]`
    Wildcard,
    /// A filter has a `#` that is not the whole last level, or a `+` that is not a whole level.
    /// `[MQTT-4.7.1-1]`, `[MQTT-4.7.1-2]`
    MisplacedWildcard,
    /// A filter starts with `$share/`, but no share name and filter follow. `[MQTT-4.8.2-1]`, `[MQTT-4.8.2-2]`
    InvalidShare,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a topic name or filter needs at least one character",
            Self::TooLong => "a topic name or filter may not be longer than 65,535 bytes",
            Self::Nul => "a topic name or filter may not contain U+0000",
            Self::Wildcard => "a topic name may not contain the wildcards `#` and `+`",
            Self::MisplacedWildcard => {
                "in a topic filter `+` must fill a whole level and `#` the whole last level"
            }
            Self::InvalidShare => {
                "a shared subscription is `$share/name/filter`, with no wildcard in the name"
            }
        })
    }
}

impl core::error::Error for TopicError {}

/// A valid topic name: what a message is published to.
///
/// ```
/// use mqtt_proto::{TopicError, TopicName};
///
/// let topic = TopicName::new("sensors/attic/temperature")?;
/// assert_eq!(topic.as_str(), "sensors/attic/temperature");
/// assert_eq!(TopicName::new("sensors/+/temperature"), Err(TopicError::Wildcard));
/// # Ok::<(), TopicError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicName<'a>(&'a str);

impl<'a> TopicName<'a> {
    /// Takes a text as a topic name.
    ///
    /// # Errors
    /// When it is empty, longer than 65,535 bytes, or contains U+0000, `#` or `+`.
    #[inline]
    pub fn new(name: &'a str) -> Result<Self, TopicError> {
        let bytes = name.as_bytes();
        if bytes.is_empty() {
            return Err(TopicError::Empty); // [MQTT-4.7.3-1]
        }
        if bytes.len() > MAX_TOPIC_LEN {
            return Err(TopicError::TooLong); // [MQTT-4.7.3-3]
        }
        if !text::is_plain_topic(bytes) {
            check_name(bytes)?;
        }
        Ok(Self(name))
    }

    /// Takes a text that was found to be a topic name.
    #[inline(always)]
    pub(crate) const fn checked(name: &'a str) -> Self {
        Self(name)
    }

    /// The text.
    #[must_use]
    #[inline]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for TopicName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl<'a> TryFrom<&'a str> for TopicName<'a> {
    type Error = TopicError;

    fn try_from(name: &'a str) -> Result<Self, TopicError> {
        Self::new(name)
    }
}

/// A valid topic filter: what a subscription asks for.
///
/// `+` stands for one level, a last `#` for the level before it and everything below. A wildcard in the first level
/// does not match names that start with `$`. `$share/name/filter` is a shared subscription.
///
/// ```
/// use mqtt_proto::{TopicFilter, TopicName};
///
/// let filter = TopicFilter::new("sensors/+/temperature")?;
/// assert!(filter.matches(TopicName::new("sensors/attic/temperature")?));
/// assert!(!filter.matches(TopicName::new("sensors/attic/window/temperature")?));
///
/// let shared = TopicFilter::new("$share/workers/jobs/#")?;
/// let (group, inner) = shared.share().unwrap();
/// assert_eq!((group, inner.as_str()), ("workers", "jobs/#"));
/// # Ok::<(), mqtt_proto::TopicError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicFilter<'a>(&'a str);

const SHARE: &str = "$share/";

impl<'a> TopicFilter<'a> {
    /// Takes a text as a topic filter. The rules of shared subscriptions are applied in every version, since brokers
    /// of 3.1.1 offer them too.
    ///
    /// # Errors
    /// When it is empty, longer than 65,535 bytes, contains U+0000 or a wildcard out of place, or starts with
    /// `$share/` without being a shared subscription.
    #[inline]
    pub fn new(filter: &'a str) -> Result<Self, TopicError> {
        let bytes = filter.as_bytes();
        if bytes.len() > MAX_TOPIC_LEN {
            return Err(TopicError::TooLong); // [MQTT-4.7.3-3]
        }
        if !text::is_plain_string(bytes) && text::has_nul(bytes) {
            return Err(TopicError::Nul); // [MQTT-4.7.3-2]
        }
        check_levels(bytes)?;
        Ok(Self(filter))
    }

    /// The text.
    #[must_use]
    #[inline]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether the filter has a `#` or `+`.
    #[must_use]
    pub fn has_wildcards(self) -> bool {
        text::has_wildcard(self.0.as_bytes())
    }

    /// Share name and inner filter of a shared subscription; `None` for any other filter.
    #[must_use]
    pub fn share(self) -> Option<(&'a str, Self)> {
        let (name, inner) = self.0.strip_prefix(SHARE)?.split_once('/')?;
        Some((name, Self(inner)))
    }

    /// Whether messages published to `name` belong to this subscription; of a shared subscription the inner filter
    /// is asked. Takes time linear in the shorter of the two texts, without recursion.
    #[must_use]
    pub fn matches(self, name: TopicName<'_>) -> bool {
        let filter = self.share().map_or(self, |(_, inner)| inner).0.as_bytes();
        let name = name.0.as_bytes();
        // [MQTT-4.7.2-1]
        if name.first() == Some(&b'$') && matches!(filter.first(), Some(b'#' | b'+')) {
            return false;
        }
        let mut levels = name.split(is_slash);
        for wanted in filter.split(is_slash) {
            if wanted == b"#" {
                return true; // also when no level is left: `a/#` matches `a`
            }
            match levels.next() {
                Some(level) if wanted == b"+" || wanted == level => {}
                _ => return false,
            }
        }
        levels.next().is_none()
    }
}

/// Whether UTF-8 text that is not plain is a topic name.
#[inline(never)]
pub(crate) fn check_name(name: &[u8]) -> Result<(), TopicError> {
    if text::has_nul(name) {
        return Err(TopicError::Nul); // [MQTT-4.7.3-2]
    }
    if text::has_wildcard(name) {
        return Err(TopicError::Wildcard); // [MQTT-4.7.0-1], [MQTT-4.7.1-1]
    }
    Ok(())
}

/// Whether UTF-8 text without U+0000 is a topic filter, but for its size.
#[inline]
pub(crate) fn check_levels(filter: &[u8]) -> Result<(), TopicError> {
    if filter.is_empty() {
        return Err(TopicError::Empty); // [MQTT-4.7.3-1]
    }
    let mut rest = filter;
    if let Some(shared) = filter.strip_prefix(SHARE.as_bytes()) {
        // [MQTT-4.8.2-1], [MQTT-4.8.2-2]
        let mut halves = shared.splitn(2, is_slash);
        let (Some(name), Some(inner)) = (halves.next(), halves.next()) else {
            return Err(TopicError::InvalidShare);
        };
        if name.is_empty() || name.contains(&b'#') || name.contains(&b'+') || inner.is_empty() {
            return Err(TopicError::InvalidShare);
        }
        rest = inner;
    }
    if text::wildcards_in_place(rest) { Ok(()) } else { Err(TopicError::MisplacedWildcard) }
}

const fn is_slash(byte: &u8) -> bool {
    *byte == b'/'
}

impl fmt::Display for TopicFilter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl<'a> TryFrom<&'a str> for TopicFilter<'a> {
    type Error = TopicError;

    fn try_from(filter: &'a str) -> Result<Self, TopicError> {
        Self::new(filter)
    }
}

/// Every topic name is a filter that matches itself alone, unless it looks like a shared subscription.
impl<'a> TryFrom<TopicName<'a>> for TopicFilter<'a> {
    type Error = TopicError;

    fn try_from(name: TopicName<'a>) -> Result<Self, TopicError> {
        Self::new(name.0)
    }
}
