//! What decides the future of a broker, as a hash: for the exploration of state spaces.

use core::hash::{Hash, Hasher};

use super::Broker;

impl Broker {
    /// Feeds `state` with all but the limits, the counters, and what a broker has in mind to do wrong.
    pub(crate) fn digest<H: Hasher>(&self, state: &mut H) {
        let Self {
            config: _,
            stats: _,
            mischief: _,
            authenticator: _,
            now,
            connections,
            next_connection,
            sessions,
            routes,
            retained,
            timers,
            active,
        } = self;
        (now, connections, next_connection, sessions, routes, retained, timers, active).hash(state);
    }
}
