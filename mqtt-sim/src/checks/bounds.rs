//! What a session has and owes when its driver has nothing left to do for it.

use std::collections::BTreeMap;

use mqtt_session::{Instant, Stats};

use super::{Check, Observation, Violation};
use crate::world::ClientId;

/// A session at rest.
#[derive(Clone, Copy, Debug)]
pub struct Rest {
    /// Bytes it has allocated; in a fixed storage, all there are.
    pub memory: usize,
    /// The most it may have ([`Config::peak_memory`](mqtt_session::Config::peak_memory)).
    pub bound: usize,
    /// How long ago, by its own clock, its next deadline was: it was told the time just now.
    pub passed: core::time::Duration,
    /// The connection is up.
    pub connected: bool,
    /// Its counters.
    pub stats: Stats,
}

/// Memory within its bound at every moment, no deadline passed over, and no packet identifier in use when nothing is open.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    clients: BTreeMap<ClientId, Rest>,
}

impl Bounds {
    /// Watches all clients.
    #[must_use]
    pub const fn new() -> Self {
        Self { clients: BTreeMap::new() }
    }
}

impl Check for Bounds {
    fn observe(&mut self, at: Instant, what: &Observation<'_>) -> Result<(), Violation> {
        let Observation::Rested { client, rest } = what else { return Ok(()) };
        self.clients.insert(*client, **rest);
        if rest.memory > rest.bound {
            let detail = format!("{client:?} has {} bytes of {}", rest.memory, rest.bound);
            return Err(Violation::new(at, "memory within its bound", detail));
        }
        if !rest.passed.is_zero() {
            let detail =
                format!("{client:?} was told the time {:?} after a deadline that still stands", rest.passed);
            return Err(Violation::new(at, "every deadline met", detail));
        }
        Ok(())
    }

    fn finish(&mut self, at: Instant) -> Result<(), Violation> {
        for (client, Rest { stats, connected, .. }) in &self.clients {
            if *connected && stats.open == 0 && stats.in_flight != 0 {
                let detail = format!("{client:?}: {} in use and nothing open", stats.in_flight);
                return Err(Violation::new(at, "idle means every identifier free", detail));
            }
        }
        Ok(())
    }
}
