//! Whoever is turned away again and again comes back more and more slowly.

use core::time::Duration;
use std::collections::BTreeMap;

use mqtt_session::Instant;

use super::{Check, Observation, Violation};
use crate::world::{ClientId, Observed};

/// What is known of one client.
#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    /// The last one told.
    last: u32,
    /// When the server accepted.
    up: Option<Instant>,
    /// The last connection was up for long enough.
    healthy: bool,
}

/// Attempts are counted on until a connection was up for a while: a server that accepts and closes at once is not asked
/// faster and faster (bug class A7). For worlds whose clocks do not step.
#[derive(Clone, Debug)]
pub struct Backoff {
    healthy: Duration,
    clients: BTreeMap<ClientId, Attempts>,
}

impl Backoff {
    /// `healthy`: how long a connection is up before the count may begin anew (`mqtt_session::Backoff::healthy`).
    #[must_use]
    pub const fn new(healthy: Duration) -> Self {
        Self { healthy, clients: BTreeMap::new() }
    }
}

impl Check for Backoff {
    fn observe(&mut self, at: Instant, what: &Observation<'_>) -> Result<(), Violation> {
        let Observation::Event { client, event } = what else { return Ok(()) };
        let known = self.clients.entry(*client).or_default();
        match event {
            Observed::Connected { .. } => known.up = Some(at),
            Observed::Disconnected { retry, .. } => {
                let up = known.up.take();
                known.healthy |= retry.is_none() || up.is_some_and(|since| at.since(since) >= self.healthy);
            }
            Observed::Connecting { attempt, .. } => {
                let next = known.last + 1;
                let anew = *attempt == 1 && core::mem::take(&mut known.healthy);
                if *attempt != next && !anew {
                    let detail = format!("{client:?} begins attempt {attempt}, and it is attempt {next}");
                    return Err(Violation::new(
                        at,
                        "A7: backoff begins anew after a healthy connection",
                        detail,
                    ));
                }
                known.last = *attempt;
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, _: Instant) -> Result<(), Violation> {
        Ok(())
    }
}
