//! What the engine and an attempt to connect are given.

use std::sync::Arc;

use mqtt_session::proto::TopicError;
use mqtt_session::{Config, ConnectOptions};

use super::Options;
use crate::error::ConnectError;
use crate::event::Cause;
use crate::hooks::Attempt;
#[cfg(feature = "tls-no-provider")]
use crate::tls::Tls;
use crate::url::ServerUrl;

impl Options {
    /// The options of one attempt to connect: these, as the hook before it has changed them
    /// ([`with_before_connect`](Self::with_before_connect)). For whoever dials; it may take as long as the hook does.
    ///
    /// # Errors
    /// The hook's own: the attempt has failed.
    pub fn for_attempt(self: &Arc<Self>, attempt: &Attempt) -> Result<Arc<Self>, Cause> {
        let Some(hook) = self.hooks.connect() else { return Ok(Arc::clone(self)) };
        let mut own = hook(attempt, Self::clone(self)).map_err(|detail| Cause::Hook { detail })?;
        // The session and its journal have this name.
        own.client_id.clone_from(&self.client_id);
        Ok(Arc::new(own))
    }

    /// Fills in what is made only when it is needed.
    #[cfg_attr(
        not(feature = "tls-no-provider"),
        expect(clippy::unnecessary_wraps, clippy::needless_pass_by_ref_mut, reason = "TLS is what may fail")
    )]
    pub(crate) fn prepare(&mut self) -> Result<(), ConnectError> {
        #[cfg(feature = "tls-no-provider")]
        if self.tls.is_none() && self.servers.iter().any(|server| server.scheme().is_encrypted()) {
            self.tls = Some(Tls::by_default().map_err(ConnectError::Tls)?);
        }
        Ok(())
    }

    /// The engine's configuration with the number of servers filled in, and durability only with a journal.
    pub(crate) fn config(&self) -> Config {
        let mut config = self.engine;
        config.durability = self.durability();
        config.servers = u8::try_from(self.servers.len()).unwrap_or(u8::MAX);
        config
    }

    /// What to tell the engine for a connection to the server at `index`.
    ///
    /// # Errors
    /// The will's topic is not one.
    pub(crate) fn connect(&self, index: usize) -> Result<ConnectOptions<'_>, TopicError> {
        let server = self.servers.get(index);
        let mut connect = ConnectOptions::new(&self.client_id);
        connect.version = self.version;
        connect.clean_start = self.clean_start;
        connect.local_state = self.local_state();
        connect.keep_alive = self.keep_alive;
        connect.session_expiry = self.session_expiry;
        // Credentials go together: a password of the URL never joins a user name given otherwise.
        if self.username.is_some() || self.password.is_some() {
            connect.username = self.username();
            connect.password = self.password();
        } else {
            connect.username = server.and_then(ServerUrl::username);
            connect.password = server.and_then(ServerUrl::password);
        }
        connect.will = match &self.will {
            Some(will) => Some(will.borrow()?),
            None => None,
        };
        connect.properties = self.properties();
        Ok(connect)
    }
}
