//! Messages by handler: threads that take them from the inbox.

use core::any::Any;
use core::fmt;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicU64, Ordering};
use std::io;
use std::panic;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use mqtt_adapter_core::{Handled, Message, RouteId, RouteTable, TopicError};

use crate::client::Client;

type Handler = dyn Fn(&Client, &Message) -> Handled + Send + Sync;

/// Handlers of messages, by topic filter: made before the client is, and given to [`Client::handle`]. Clones are the same
/// table; handlers may be added and removed at any time.
///
/// Handlers whose filters match are asked in the order in which they were added, until one returns
/// [`Handled::Yes`] (or nothing, `()`, which means the same); then the default handler, if there is one. A handler is
/// given a client to publish with; it may block, subscribe, stop the client, or drop the last handle of it.
///
/// A handler says what it does with messages; it does not subscribe.
///
/// ```no_run
/// use mqtt_adapter_std::{Client, Handled, Options, Publish, Qos, Routes};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let routes = Routes::new()
///     .on("#", |_, message| {
///         println!("{}", message.topic());
///         Handled::No // the next one is asked too
///     })?
///     .on("lamp/+/set", |client, message| {
///         let state = message.topic().replace("/set", "/state");
///         if let Err(error) = client.publish(Publish::new(&state, message.payload())) {
///             eprintln!("{error}");
///         }
///     })?
///     .otherwise(|_, message| eprintln!("nobody wants {}", message.topic()));
/// let client = Client::connect(Options::new("mqtt://localhost")?)?;
/// let handling = client.handle(&routes, 1)?;
/// client.subscribe("lamp/+/set", Qos::AtLeastOnce)?;
/// handling.join(); // until the client stops
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Routes {
    table: RouteTable<Box<Handler>>,
    unhandled: Arc<AtomicU64>,
}

impl Routes {
    /// No handlers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a handler behind those that are there.
    ///
    /// # Errors
    /// The filter is not one.
    pub fn on<H: Into<Handled>>(
        self,
        filter: &str,
        handler: impl Fn(&Client, &Message) -> H + Send + Sync + 'static,
    ) -> Result<Self, TopicError> {
        self.add(filter, handler)?;
        Ok(self)
    }

    /// Sets the handler of what no other handles.
    #[must_use]
    pub fn otherwise<H: Into<Handled>>(
        self,
        handler: impl Fn(&Client, &Message) -> H + Send + Sync + 'static,
    ) -> Self {
        self.table.set_default(Box::new(move |client, message| handler(client, message).into()));
        self
    }

    /// Adds a handler, and names it so that it can be [removed](Self::remove).
    ///
    /// # Errors
    /// The filter is not one.
    pub fn add<H: Into<Handled>>(
        &self,
        filter: &str,
        handler: impl Fn(&Client, &Message) -> H + Send + Sync + 'static,
    ) -> Result<RouteId, TopicError> {
        self.table.add(filter, Box::new(move |client, message| handler(client, message).into()))
    }

    /// Takes a handler away; false: it is not there.
    pub fn remove(&self, id: RouteId) -> bool {
        self.table.remove(id)
    }

    /// Messages that no handler, the default one included, has handled.
    #[must_use]
    pub fn unhandled(&self) -> u64 {
        self.unhandled.load(Ordering::Relaxed)
    }

    fn handle(&self, client: &Client, message: &Message) {
        if !self.table.chain(message.topic()).any(|handler| handler(client, message) == Handled::Yes) {
            self.unhandled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").field("table", &self.table).field("unhandled", &self.unhandled()).finish()
    }
}

/// The threads that handle messages; see [`Client::handle`]. Dropping it changes nothing.
#[derive(Debug)]
#[must_use = "join it, or drop it: the threads end with the client"]
pub struct Handling(Vec<JoinHandle<Option<Box<dyn Any + Send>>>>);

impl Handling {
    /// Waits until the client has stopped and every message that waited was handled.
    ///
    /// # Panics
    /// If a handler has: with what the first one that did panicked with.
    pub fn join(self) {
        let panics: Vec<_> =
            self.0.into_iter().filter_map(|thread| thread.join().unwrap_or_else(Some)).collect();
        if let Some(first) = panics.into_iter().next() {
            panic::resume_unwind(first);
        }
    }
}

impl Client {
    /// Begins to give messages to handlers, on so many threads: with one, in the order in which they came, one at a
    /// time; with more, as many are handled at once and overtake each other. Messages that came before wait for it,
    /// so that nothing is lost between the connection and this.
    ///
    /// The threads are no handles: they end when the client has stopped and no message is left. They take from the
    /// same inbox as [`recv`](Self::recv), so that a slow handler holds up nothing but messages. A handler that panics
    /// has handled its message; [`Handling::join`] tells.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn handle(&self, routes: &Routes, threads: usize) -> io::Result<Handling> {
        let mut handling = Vec::new();
        for _ in 0..threads.max(1) {
            let (client, routes) = (self.lend(), routes.clone());
            let thread = thread::Builder::new().name("mqtt-handler".to_owned()).spawn(move || {
                let mut first = None;
                while let Some(message) = client.recv() {
                    // What a handler leaves half done is its own; the client is not.
                    let result = panic::catch_unwind(AssertUnwindSafe(|| routes.handle(&client, &message)));
                    first = first.or(result.err());
                }
                first
            })?;
            handling.push(thread);
        }
        Ok(Handling(handling))
    }
}
