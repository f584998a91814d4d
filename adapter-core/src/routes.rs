//! Which handlers are for which messages.

use core::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use mqtt_session::proto::{Router, TopicError, TopicFilter, TopicName};

/// What a handler has done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// All that is to be done: later handlers are not asked.
    Yes,
    /// Not all: the next handler in the chain is asked, and after the last one the default handler.
    No,
}

impl From<()> for Handled {
    fn from((): ()) -> Self {
        Self::Yes
    }
}

/// Names a handler that was added, to take it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteId(u64);

/// A table from topic filters to handlers. Clones are the same table, which may change while messages are handled.
///
/// Handlers whose filters match a message are asked one after the other, in the order in which they were added, until
/// one says [`Handled::Yes`]; if none does, the default handler is. `H` is what the adapter calls.
///
/// ```
/// use mqtt_adapter_core::{RouteTable, TopicName};
///
/// # fn main() -> Result<(), mqtt_adapter_core::TopicError> {
/// let table = RouteTable::new();
/// table.add("lamp/#", "lamps")?;
/// let seven = table.add("lamp/7/+", "lamp seven")?;
/// table.set_default("the rest");
/// let found = |topic| table.chain(topic).map(|handler| *handler).collect::<Vec<_>>();
/// assert_eq!(found("lamp/7/state"), ["lamps", "lamp seven", "the rest"]);
/// table.remove(seven);
/// assert_eq!(found("lamp/7/state"), ["lamps", "the rest"]);
/// # Ok(())
/// # }
/// ```
pub struct RouteTable<H>(Arc<RwLock<Table<H>>>);

struct Table<H> {
    router: Router<(RouteId, Arc<H>)>,
    filters: Vec<(RouteId, String)>,
    default: Option<Arc<H>>,
    made: u64,
}

impl<H> RouteTable<H> {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        let table = Table { router: Router::new(), filters: Vec::new(), default: None, made: 0 };
        Self(Arc::new(RwLock::new(table)))
    }

    /// Adds a handler behind those that are there. The filter of a shared subscription (`$share/group/a/#`) is for the
    /// messages it brings.
    ///
    /// # Errors
    /// The filter is not one.
    pub fn add(&self, filter: &str, handler: H) -> Result<RouteId, TopicError> {
        let parsed = TopicFilter::new(filter)?;
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        table.made += 1;
        let id = RouteId(table.made);
        table.router.insert(parsed, (id, Arc::new(handler)));
        table.filters.push((id, filter.to_owned()));
        Ok(id)
    }

    /// Sets the handler for what no other handles; the one before is dropped.
    pub fn set_default(&self, handler: H) {
        let old = {
            let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
            table.default.replace(Arc::new(handler))
        };
        // It may hold a client, whose end may run anything.
        drop(old);
    }

    /// Takes a handler away; false: it is not there. It may still be at work on an earlier message.
    pub fn remove(&self, id: RouteId) -> bool {
        let mut removed = None;
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = table.filters.iter().position(|(known, _)| *known == id) else { return false };
        let (_, filter) = table.filters.swap_remove(at);
        if let Ok(filter) = TopicFilter::new(&filter) {
            removed =
                table.router.get(filter).find(|(known, _)| *known == id).map(|(_, kept)| Arc::clone(kept));
            table.router.remove(filter, |(known, _)| *known == id);
        }
        drop(table);
        drop(removed);
        true
    }

    /// The handlers for a message of this topic, in the order in which they are to be asked, the default handler last.
    /// No lock is held while they are.
    pub fn chain(&self, topic: &str) -> impl Iterator<Item = Arc<H>> + use<H> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<_> = TopicName::new(topic)
            .map(|name| table.router.matches(name).cloned().collect())
            .unwrap_or_default();
        found.sort_unstable_by_key(|(id, _)| id.0);
        let default = table.default.clone();
        found.into_iter().map(|(_, handler)| handler).chain(default)
    }

    /// Handlers, but for the default one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).filters.len()
    }

    /// Whether there is no handler but the default one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<H> Default for RouteTable<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H> Clone for RouteTable<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<H> fmt::Debug for RouteTable<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("RouteTable")
            .field("filters", &table.filters.iter().map(|(_, filter)| filter).collect::<Vec<_>>())
            .field("has_default", &table.default.is_some())
            .finish()
    }
}
