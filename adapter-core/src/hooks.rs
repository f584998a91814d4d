//! What the application has a say in, at the moment it happens.

use core::fmt;
use core::time::Duration;
use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use mqtt_session::proto::{Properties, Qos};

use crate::connector::Connector;
use crate::error::PublishError;
use crate::message::{Carried, Payload, Publish};
use crate::options::Options;
use crate::properties::OwnedProperties;
use crate::url::ServerUrl;

/// An attempt to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Where to.
    pub server: ServerUrl,
    /// Counts the attempts since the last healthy connection, from 1.
    pub number: u32,
}

/// A message about to be published; see [`Options::with_before_publish`].
#[derive(Debug)]
pub struct Draft<'d, 'p> {
    publish: &'d mut Publish<'p>,
    pieces: Option<u32>,
}

impl Draft<'_, '_> {
    /// Where it is to be published.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.publish.topic
    }

    /// Bytes of the payload, where it is published in pieces: it is read later.
    #[must_use]
    pub const fn pieces(&self) -> Option<u32> {
        self.pieces
    }

    /// What is to be published; empty where it is published in pieces.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        if self.pieces.is_some() { &[] } else { self.publish.payload.as_bytes() }
    }

    /// How surely it is to be delivered.
    #[must_use]
    pub const fn qos(&self) -> Qos {
        self.publish.qos
    }

    /// Whether the server is to keep it for later subscribers.
    #[must_use]
    pub const fn retain(&self) -> bool {
        self.publish.retain
    }

    /// PUBLISH properties (5.0).
    #[must_use]
    pub fn properties(&self) -> Properties<'_> {
        self.publish.properties.borrow()
    }

    /// The caller's mark.
    #[must_use]
    pub const fn tag(&self) -> u64 {
        self.publish.tag
    }

    /// Publishes it elsewhere.
    pub fn set_topic(&mut self, topic: impl Into<String>) {
        self.publish.topic = Cow::Owned(topic.into());
    }

    /// Publishes something else; nothing changes where it is published in pieces.
    pub fn set_payload(&mut self, payload: impl Into<Bytes>) {
        self.publish.payload = Payload::from(payload.into());
    }

    /// Sets how surely it is to be delivered.
    pub const fn set_qos(&mut self, qos: Qos) {
        self.publish.qos = qos;
    }

    /// Sets whether the server is to keep it.
    pub const fn set_retain(&mut self, retain: bool) {
        self.publish.retain = retain;
    }

    /// Sets all its properties.
    pub fn set_properties(&mut self, properties: OwnedProperties) {
        self.publish.properties = Carried::Owned(properties);
    }

    /// Sets how long it may wait to be sent; `None`: for ever.
    pub const fn set_ttl(&mut self, ttl: Option<Duration>) {
        self.publish.ttl = ttl;
    }
}

/// One enhanced authentication (5.0), step by step: made anew for each, so that nothing of an earlier one is used again.
///
/// Its methods run while the client is held: they may compute, not wait. What they say in an error becomes
/// [`Cause::Hook`](crate::Cause::Hook), and the client stops.
///
/// ```
/// use mqtt_adapter_core::{Authenticator, Options};
///
/// /// The server gives a number, and wants the next one.
/// struct Next;
///
/// impl Authenticator for Next {
///     fn method(&self) -> &str {
///         "NEXT"
///     }
///
///     fn begin(&mut self) -> Result<Option<Vec<u8>>, String> {
///         Ok(None)
///     }
///
///     fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String> {
///         let number = challenge.first().ok_or("the server asks for nothing")?;
///         Ok(vec![number.wrapping_add(1)])
///     }
///
///     fn finish(&mut self, _: Option<&[u8]>) -> Result<(), String> {
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let options = Options::new("mqtt://localhost")?.with_authenticator(|| Box::new(Next));
/// # let _ = options;
/// # Ok(())
/// # }
/// ```
pub trait Authenticator: Send {
    /// The Authentication Method.
    fn method(&self) -> &str;

    /// The first step: Authentication Data of CONNECT, or of the AUTH that begins a re-authentication.
    ///
    /// # Errors
    /// What is wrong, in words; no secrets.
    fn begin(&mut self) -> Result<Option<Vec<u8>>, String>;

    /// The answer to what the server asks.
    ///
    /// # Errors
    /// What is wrong, in words; no secrets.
    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String>;

    /// The server is content. Where the method proves the server, what it said last is to be checked here.
    ///
    /// # Errors
    /// The server has not proved itself; no secrets.
    fn finish(&mut self, data: Option<&[u8]>) -> Result<(), String>;
}

impl fmt::Debug for dyn Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authenticator").field(&self.method()).finish()
    }
}

type BeforeConnect = dyn Fn(&Attempt, Options) -> Result<Options, String> + Send + Sync;
type BeforePublish = dyn for<'d, 'p> Fn(&mut Draft<'d, 'p>) -> Result<(), String> + Send + Sync;
type BeforeDisconnect = dyn Fn() + Send + Sync;
type NewAuthenticator = dyn Fn() -> Box<dyn Authenticator> + Send + Sync;

/// The application's functions.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    connect: Option<Arc<BeforeConnect>>,
    publish: Option<Arc<BeforePublish>>,
    disconnect: Option<Arc<BeforeDisconnect>>,
    authenticator: Option<Arc<NewAuthenticator>>,
    pub(crate) connector: Option<Connector>,
}

impl Hooks {
    pub(crate) fn connect(&self) -> Option<&BeforeConnect> {
        self.connect.as_deref()
    }

    pub(crate) const fn has_connect(&self) -> bool {
        self.connect.is_some()
    }

    pub(crate) fn publish(&self, publish: &mut Publish<'_>, pieces: Option<u32>) -> Result<(), PublishError> {
        match &self.publish {
            Some(hook) => hook(&mut Draft { publish, pieces })
                .map_err(|why| PublishError::Vetoed { why, payload: None }),
            None => Ok(()),
        }
    }

    pub(crate) fn disconnect(&self) {
        if let Some(hook) = &self.disconnect {
            hook();
        }
    }

    pub(crate) fn authenticator(&self) -> Option<Box<dyn Authenticator>> {
        self.authenticator.as_ref().map(|new| new())
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = [
            ("before_connect", self.connect.is_some()),
            ("before_publish", self.publish.is_some()),
            ("before_disconnect", self.disconnect.is_some()),
            ("authenticator", self.authenticator.is_some()),
            ("connector", self.connector.is_some()),
        ];
        f.debug_list().entries(set.iter().filter(|(_, set)| *set).map(|(name, _)| name)).finish()
    }
}

impl Options {
    /// Calls this before each attempt to connect, with a copy of these options to change as the attempt needs: credentials
    /// that were fetched just now, CONNECT properties, the will, headers of the WebSocket's request, TLS, the
    /// version. What it returns is for this attempt only. The client identifier, the servers, the engine's limits
    /// and the journal stay as they are.
    ///
    /// It may take its time, which counts against that of the attempt
    /// ([`Config::dial_timeout`](mqtt_session::Config::dial_timeout)): the blocking `Client` and the async adapter call it on
    /// another thread, so that nothing is held up, not even a stop; `Connection` of the blocking one calls it on the thread
    /// that polls. An error, or a panic, is the end of the attempt, told as [`Cause::Hook`](crate::Cause::Hook); others
    /// follow as always.
    ///
    /// ```
    /// # fn fetch_token() -> Result<String, std::io::Error> { Ok("t".into()) }
    /// # fn main() -> Result<(), mqtt_adapter_core::UrlError> {
    /// let options = mqtt_adapter_core::Options::new("mqtt://localhost")?.with_before_connect(|attempt, options| {
    ///     let token = fetch_token().map_err(|error| format!("no token for {}: {error}", attempt.server))?;
    ///     Ok(options.with_username("lamp").with_password(token))
    /// });
    /// # let _ = options;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_before_connect(
        mut self,
        hook: impl Fn(&Attempt, Self) -> Result<Self, String> + Send + Sync + 'static,
    ) -> Self {
        self.hooks_mut().connect = Some(Arc::new(hook));
        self
    }

    /// Calls this before each publish, on the thread or task that publishes: to change the message, or to refuse it with a
    /// word why, which is then [`PublishError::Vetoed`].
    ///
    /// ```
    /// use core::time::Duration;
    ///
    /// # fn main() -> Result<(), mqtt_adapter_core::UrlError> {
    /// let options = mqtt_adapter_core::Options::new("mqtt://localhost")?.with_before_publish(|draft| {
    ///     if draft.payload().len() > 1_000 {
    ///         return Err("too long for our radio".to_owned());
    ///     }
    ///     draft.set_topic(format!("site-4/{}", draft.topic()));
    ///     draft.set_ttl(Some(Duration::from_secs(60)));
    ///     Ok(())
    /// });
    /// # let _ = options;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_before_publish(
        mut self,
        hook: impl for<'d, 'p> Fn(&mut Draft<'d, 'p>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.hooks_mut().publish = Some(Arc::new(hook));
        self
    }

    /// Calls this when the client is told to stop, before it refuses new work and, in the end, sends DISCONNECT: on the
    /// thread that stops it, or that drops the last handle. What is published meanwhile is delivered yet.
    #[must_use]
    pub fn with_before_disconnect(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.hooks_mut().disconnect = Some(Arc::new(hook));
        self
    }

    /// Authenticates with what this makes (5.0), a new one for each connection and each re-authentication. It adds the
    /// Authentication Method and Data to CONNECT, and answers the server; the application then sees no
    /// [`Event::Auth`](crate::Event::Auth).
    #[must_use]
    pub fn with_authenticator(
        mut self,
        new: impl Fn() -> Box<dyn Authenticator> + Send + Sync + 'static,
    ) -> Self {
        self.hooks_mut().authenticator = Some(Arc::new(new));
        self
    }
}
