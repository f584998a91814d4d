//! What was set, read back.

use core::time::Duration;

use mqtt_session::proto::{Properties, Version};
use mqtt_session::{Config, Durability, LocalState};

use super::{Options, WhenInboxFull, Will};
use crate::journal::Journal;
use crate::recording::Recording;
#[cfg(feature = "tls-no-provider")]
use crate::tls::Tls;
use crate::url::ServerUrl;

impl Options {
    /// The servers, in the order they are tried; at least one.
    #[must_use]
    pub fn servers(&self) -> &[ServerUrl] {
        &self.servers
    }

    /// The client identifier.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The protocol version to ask for.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Whether the first connection begins a new session.
    #[must_use]
    pub const fn clean_start(&self) -> bool {
        self.clean_start
    }

    /// What the application holds of an earlier session.
    #[must_use]
    pub const fn local_state(&self) -> LocalState {
        match self.local_state {
            Some(state) => state,
            None if self.clean_start => LocalState::None,
            None => LocalState::Held,
        }
    }

    /// The keep-alive interval; zero: off.
    #[must_use]
    pub const fn keep_alive(&self) -> Duration {
        Duration::from_secs(self.keep_alive as u64)
    }

    /// How long the server keeps the session; [`Duration::MAX`]: for ever.
    #[must_use]
    pub const fn session_expiry(&self) -> Duration {
        match self.session_expiry {
            u32::MAX => Duration::MAX,
            seconds => Duration::from_secs(seconds as u64),
        }
    }

    /// The user name set here; a URL may have one of its own.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The password set here; a URL may have one of its own.
    #[must_use]
    pub fn password(&self) -> Option<&[u8]> {
        self.password.as_deref()
    }

    /// The will.
    #[must_use]
    pub const fn will(&self) -> Option<&Will> {
        self.will.as_ref()
    }

    /// Further CONNECT properties.
    #[must_use]
    pub fn properties(&self) -> Properties<'_> {
        self.properties.as_properties()
    }

    /// The engine's choices.
    #[must_use]
    pub const fn engine(&self) -> &Config {
        &self.engine
    }

    /// The engine's choices, to change single ones.
    ///
    /// ```
    /// # fn main() -> Result<(), mqtt_adapter_core::UrlError> {
    /// let mut options = mqtt_adapter_core::Options::new("mqtt://localhost")?;
    /// options.engine_mut().max_operations = 1_000;
    /// # Ok(())
    /// # }
    /// ```
    pub const fn engine_mut(&mut self) -> &mut Config {
        &mut self.engine
    }

    /// Bytes of received messages that may wait for the application.
    #[must_use]
    pub const fn inbox_bytes(&self) -> usize {
        self.inbox_bytes
    }

    /// How many received messages may wait for the application.
    #[must_use]
    pub const fn inbox_messages(&self) -> usize {
        self.inbox_messages
    }

    /// What happens when as much waits as may.
    #[must_use]
    pub const fn when_inbox_full(&self) -> WhenInboxFull {
        self.when_inbox_full
    }

    /// How long a client without handles goes on.
    #[must_use]
    pub const fn linger(&self) -> Duration {
        self.linger
    }

    /// The journal.
    #[must_use]
    pub const fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// What waits for the journal; [`Durability::Off`]: there is none.
    #[must_use]
    pub const fn durability(&self) -> Durability {
        match (&self.journal, self.engine.durability) {
            (None, _) => Durability::Off,
            (Some(_), Durability::Async) => Durability::Async,
            (Some(_), _) => Durability::BeforeSend,
        }
    }

    /// The log of the engine's calls.
    #[must_use]
    pub const fn recording(&self) -> Option<&Recording> {
        self.recording.as_ref()
    }

    /// How to encrypt, if it was set or a client was started with these options and needs it.
    #[cfg(feature = "tls-no-provider")]
    #[must_use]
    pub const fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Headers added to the request that opens a WebSocket.
    #[cfg(feature = "ws")]
    pub fn ws_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.ws_headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether [`for_attempt`](Self::for_attempt) calls a function of the application's.
    #[must_use]
    pub const fn has_before_connect(&self) -> bool {
        self.hooks.has_connect()
    }
}
