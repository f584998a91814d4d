//! What becomes of operations when the session on the server is gone.

use mqtt_proto::Qos;

use super::Core;
use crate::config::SessionLost;
use crate::link::Notice;
use crate::list::{NONE, next};
use crate::operation::{Ending, Kind};
use crate::qos::Stage;
use crate::storage::Tables;
use crate::trace::debug;

impl Core {
    /// The server has no session any more: its half of every exchange is gone.
    pub(super) fn lose_session(&mut self, tables: &mut Tables<'_>, unexpected: bool) {
        self.exchanges.clear(tables.exchanges);
        self.sweep_notes(tables);
        self.forget_doubts(tables);
        if !self.session_held {
            return;
        }
        self.session_held = false;
        let gated = self.gates();
        let mut republished = 0u32;
        let mut ended = 0u32;
        let mut at = self.ops.order.head();
        while let Some(slot) = tables.slots.get_mut(at as usize) {
            if slot.stage == Stage::Queued && !slot.told && !slot.reserved {
                // What was never handed out is behind all that was.
                break;
            }
            let following = next(tables.slots, at);
            if self.records() && self.unreserve_lost(tables, at) {
                at = following;
                continue;
            }
            if tables.slots.get(at as usize).is_some_and(|slot| slot.late) {
                // Nobody waits for it, and its answer can no longer come.
                let _ = self.complete(tables, at);
                at = following;
                continue;
            }
            let again = match tables.slots.get(at as usize).map(|slot| slot.kind) {
                // Requests are not part of a session: they are simply made again.
                Some(Kind::Subscribe | Kind::Unsubscribe) => true,
                _ => self.config.on_session_lost == SessionLost::Republish,
            };
            let counts = tables.slots.get(at as usize).is_some_and(|slot| slot.kind == Kind::Publish);
            if again {
                self.release_id(tables, at);
                if let Some(slot) = tables.slots.get_mut(at as usize) {
                    slot.stage = Stage::Queued;
                    // Where everything waits for its mark, that is enough.
                    self.journal.moved |= slot.qos == Qos::ExactlyOnce && !gated;
                }
                republished = republished.saturating_add(u32::from(counts));
            } else {
                self.end(tables, at, self.lost_ending(Ending::Lost));
                ended = ended.saturating_add(1);
            }
            at = following;
        }
        while self.ops.release.head() != NONE {
            let told = tables.slots.get(self.ops.release.head() as usize).is_some_and(|slot| slot.told);
            self.end(tables, self.ops.release.head(), self.lost_ending(Ending::Unknown));
            ended = ended.saturating_add(u32::from(!told));
        }
        if unexpected || republished != 0 || ended != 0 {
            debug!("session lost: {republished} messages go again, {ended} operations ended");
            self.notices.push(Notice::SessionLost { republished, ended });
        }
    }

    fn lost_ending(&self, otherwise: Ending) -> Ending {
        match self.config.on_session_lost {
            SessionLost::Republish => otherwise,
            SessionLost::Fail => Ending::Lost,
            SessionLost::Drop => Ending::Dropped,
        }
    }
}
