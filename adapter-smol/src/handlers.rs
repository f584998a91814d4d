//! Messages by handler: a future that takes them from the inbox.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Poll;
use std::sync::Arc;

use mqtt_adapter_core::{Handled, Message, RouteId, RouteTable, TopicError, Wait};

use crate::client::Client;

type Answer = Pin<Box<dyn Future<Output = Handled> + Send>>;
type Handler = dyn Fn(Client, Message) -> Answer + Send + Sync;

/// Handlers of messages, by topic filter: made before the client is, and given to [`Client::handle`]. Clones are the same
/// table; handlers may be added and removed at any time.
///
/// Handlers whose filters match are asked in the order in which they were added, until one returns
/// [`Handled::Yes`] (or nothing, `()`, which means the same); then the default handler, if there is one. A handler is
/// given a client to publish with; it may wait, subscribe, stop the client, or drop the last handle of it. The
/// client it is given does not keep the connection alive; a clone of it does.
///
/// A handler says what it does with messages; it does not subscribe.
///
/// ```no_run
/// use futures_lite::future;
/// use mqtt_adapter_smol::{Handled, Options, Publish, Qos, Routes, connect};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let routes = Routes::new()
///     .on("#", |_, message| async move {
///         println!("{}", message.topic());
///         Handled::No // the next one is asked too
///     })?
///     .on("lamp/+/set", |client, message| async move {
///         let state = message.topic().replace("/set", "/state");
///         if let Err(error) = client.publish(Publish::new(&state, message.payload())).await {
///             eprintln!("{error}");
///         }
///     })?
///     .otherwise(|_, message| async move { eprintln!("nobody wants {}", message.topic()) });
/// let (client, connection) = connect(Options::new("mqtt://localhost")?)?;
/// let handling = client.handle(&routes, 1);
/// let application = async {
///     client.subscribe("lamp/+/set", Qos::AtLeastOnce).await?;
///     handling.await; // until the client stops
///     Ok::<_, Box<dyn std::error::Error>>(())
/// };
/// future::block_on(future::zip(application, connection)).0
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Routes {
    table: RouteTable<Box<Handler>>,
    unhandled: Arc<AtomicU64>,
}

fn boxed<H, F>(handler: impl Fn(Client, Message) -> F + Send + Sync + 'static) -> Box<Handler>
where
    H: Into<Handled>,
    F: Future<Output = H> + Send + 'static,
{
    Box::new(move |client, message| {
        let answer = handler(client, message);
        Box::pin(async move { answer.await.into() })
    })
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
    pub fn on<H, F>(
        self,
        filter: &str,
        handler: impl Fn(Client, Message) -> F + Send + Sync + 'static,
    ) -> Result<Self, TopicError>
    where
        H: Into<Handled>,
        F: Future<Output = H> + Send + 'static,
    {
        self.add(filter, handler)?;
        Ok(self)
    }

    /// Sets the handler of what no other handles.
    #[must_use]
    pub fn otherwise<H, F>(self, handler: impl Fn(Client, Message) -> F + Send + Sync + 'static) -> Self
    where
        H: Into<Handled>,
        F: Future<Output = H> + Send + 'static,
    {
        self.table.set_default(boxed(handler));
        self
    }

    /// Adds a handler, and names it so that it can be [removed](Self::remove).
    ///
    /// # Errors
    /// The filter is not one.
    pub fn add<H, F>(
        &self,
        filter: &str,
        handler: impl Fn(Client, Message) -> F + Send + Sync + 'static,
    ) -> Result<RouteId, TopicError>
    where
        H: Into<Handled>,
        F: Future<Output = H> + Send + 'static,
    {
        self.table.add(filter, boxed(handler))
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

    async fn handle(self, client: Client, message: Message) {
        for handler in self.table.chain(message.topic()) {
            if handler(client.lend(), message.clone()).await == Handled::Yes {
                return;
            }
        }
        self.unhandled.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").field("table", &self.table).field("unhandled", &self.unhandled()).finish()
    }
}

impl Client {
    /// Gives messages to handlers, so many at once: with one, in the order in which they came, one at a time; with
    /// more, as many are handled at once and overtake each other. Messages that came before wait for it, so that
    /// nothing is lost between the connection and this. The future is ready when the client has stopped and every
    /// message that waited was handled: spawn it, or await it beside the application's own.
    ///
    /// It is no handle: it does not keep the client alive. It takes from the same inbox as [`recv`](Self::recv), so that a
    /// slow handler holds up nothing but messages. Dropped, it drops the handlers' futures that are under way with their
    /// messages. All handlers run in the one task that polls it.
    pub fn handle(
        &self,
        routes: &Routes,
        at_once: usize,
    ) -> impl Future<Output = ()> + Send + Unpin + 'static + use<> {
        let (client, routes) = (self.lend(), routes.clone());
        let mut running: Vec<Pin<Box<dyn Future<Output = ()> + Send>>> = Vec::new();
        let (mut ended, mut wait) = (false, Wait::new());
        poll_fn(move |context| {
            loop {
                running.retain_mut(|one| one.as_mut().poll(context).is_pending());
                if ended || running.len() >= at_once.max(1) {
                    break;
                }
                match client.inner().poll_recv(&mut wait, context) {
                    Poll::Ready(Some(message)) => {
                        running.push(Box::pin(routes.clone().handle(client.lend(), message)));
                    }
                    Poll::Ready(None) => ended = true,
                    Poll::Pending => break,
                }
            }
            if ended && running.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}
