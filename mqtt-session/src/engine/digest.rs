//! What decides the future of a session, as a hash.

use core::hash::{Hash, Hasher};

use super::Core;
use crate::storage::Contents;

impl Core {
    /// Feeds `state` with all but what never changes (the configuration and the bounds that follow from it), what
    /// decides nothing (counters), and bytes that nobody will read.
    pub(crate) fn digest<H: Hasher>(&self, tables: &Contents<'_>, state: &mut H) {
        // Named one by one: a new field has to be put on one side.
        let Self {
            config: _,
            bounds: _,
            stats: _,
            now,
            link,
            timers,
            notices,
            limits,
            connection,
            assigned,
            session_held,
            session_client,
            session_kept,
            session_expires,
            session_left,
            session_interval,
            session_made,
            session_torn,
            ops,
            ids,
            arena,
            kept,
            blocked,
            farewell,
            farewell_code,
            redirects,
            ghosts,
            first_unacked,
            wire,
            exchanges,
            owed,
            notes,
            said,
            alias_marks,
            aliases_overflowed,
            handshake,
            doubts,
            unanswered,
            journal,
            held_back,
        } = self;
        (now, link, timers, notices, limits, connection, assigned).hash(state);
        (session_held, session_client, session_kept, session_expires, session_left).hash(state);
        (session_interval, session_made, session_torn, ops, ids, kept, blocked).hash(state);
        (farewell, farewell_code, redirects, ghosts, first_unacked, exchanges, owed).hash(state);
        (notes, said, alias_marks, aliases_overflowed, handshake, doubts, unanswered).hash(state);
        (journal, held_back, wire).hash(state);

        let Contents { view, journal, ids, exchanges, owed, aliases_out } = tables;
        (view.slots, view.aliases_in, *journal, *ids, *exchanges, *owed, *aliases_out).hash(state);
        #[cfg(feature = "alloc")]
        view.shared.hash(state);
        arena.written(view.arena).hash(state);
        self.chunks(view).hash(state);
    }
}
