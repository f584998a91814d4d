//! Programs that end without a word, between any two things they do, and start again with what their journal holds.

use core::time::Duration;

use mqtt_session::{Durability, Instant, Key, StartError};

use crate::checks::{Kept, Observation, Violation};

use super::chance::{Draw, Occasion};
use super::clock::Planned;
use super::engine::engine;
use super::{ClientId, Fault, Happening, Observed, Rate, World};

impl World {
    /// The client's program ends without a word. Its connection breaks; of what its journal had not synced yet a part
    /// survives, as it came, and the whole journal is lost if `lose_journal` (or if it has none:
    /// [`Durability::Off`]). Nothing happens to the client until [`restart`](Self::restart).
    pub fn crash(&mut self, client: ClientId, lose_journal: bool) {
        let now = self.now;
        let Some(node) = self.client(client).filter(|node| !node.down) else { return };
        let durability = node.options.config.durability;
        let lost = lose_journal || durability == Durability::Off;
        let behind = node.journal.behind();
        node.down = true;
        node.run += 1;
        node.stall = None;
        node.dial = None;
        let link = node.link.take();
        node.inbox.clear();
        let occasion = Occasion::Deed { client, number: node.deeds };
        let mut random = self.chance(Draw::Crash, occasion);
        let (kept, seed) = (random.size_below(behind + 1), random.next());
        let Some(node) = self.client(client) else { return };
        // Nobody is there; what is asked of it meanwhile is answered by an empty session.
        let empty = engine(&node.options, seed);
        self.change_session(client, empty);
        let Some(node) = self.client(client) else { return };
        node.journal.crash(kept);
        let kept = if lost {
            Kept::Nothing
        } else if durability == Durability::BeforeSend && !node.journal.gaps {
            Kept::All
        } else {
            Kept::Some
        };
        if lost {
            node.journal.lose();
        }
        self.agenda.arm_client(client, None);
        self.trace.add(now, Happening::Crashed { client, kept });
        if let Some(link_id) = link {
            self.trace.add(now, Happening::Closed { link: link_id, client_side: true });
            self.break_link(link_id);
            if let Some(link) = self.links.get_mut(&link_id) {
                link.client_open = false;
                let partial = link.up.tap.partial().to_vec();
                self.observe(&Observation::Closed { client, link: link_id, partial: &partial });
            }
            self.forget_link(link_id);
        }
        self.observe(&Observation::Crashed { client, kept });
    }

    /// The client's program starts again with what its journal holds, and goes on. Where nothing was kept its session
    /// begins anew, as an application must that knows nothing of the one on the server; what it was subscribed to it
    /// has to subscribe to again: [`Observed::Restarted`] tells.
    ///
    /// # Errors
    /// Those of [`mqtt_session::Session::start`].
    pub fn restart(&mut self, client: ClientId) -> Result<(), StartError> {
        let now = self.now;
        let Some(node) = self.client(client).filter(|node| node.down) else { return Ok(()) };
        node.down = false;
        let mut refused = Vec::new();
        let mut restored = 0;
        for (key, written, record) in node.journal.records() {
            match node.engine.restore(key, record, Some(now.since(written))) {
                Ok(()) => restored += 1,
                Err(error) => refused.push((key, error)),
            }
        }
        if let Some((key, error)) = refused.first()
            && !node.journal.gaps
        {
            let detail = format!("{client:?}: {error:?} for {key}, one of {}", refused.len());
            self.violation.get_or_insert(Violation::new(now, "what was stored is restored", detail));
            return Ok(());
        }
        // A program that goes on has no use for records that make no sense to it.
        for (key, _) in refused {
            node.journal.forget(key);
        }
        node.journal.gaps = false;
        node.anew = node.journal.is_empty();
        let started = node.start();
        self.called(client, "restart", restored);
        self.tell(client, Observed::Restarted { restored });
        self.serve_client(client);
        started
    }

    /// Whether the client's program has ended, and was not started again.
    pub fn is_down(&self, client: ClientId) -> bool {
        self.node(client).is_some_and(|node| node.down)
    }

    /// Whether the program ends here, by a fault.
    pub(super) fn crashes(&mut self, client: ClientId) -> bool {
        let faults = self.faults;
        if faults.crash == Rate::NEVER {
            return false;
        }
        let Some(node) = self.client(client).filter(|node| !node.down) else { return false };
        node.deeds += 1;
        let occasion = Occasion::Deed { client, number: node.deeds };
        let mut random = self.chance(Draw::Fault(Fault::Crash), occasion);
        if !random.happens(faults.crash) {
            return false;
        }
        let lost = random.happens(faults.journal_lost);
        let fault = if lost { Fault::JournalLost } else { Fault::Crash };
        if !self.allows(fault, occasion) {
            return false;
        }
        self.struck(fault, occasion);
        self.crash(client, lost);
        let span = random.span(Duration::ZERO, faults.down_max);
        if let Some(run) = self.client(client).map(|node| node.run) {
            self.plan_after(span, Planned::Restart { client, run });
        }
        true
    }

    /// A program that was to be started again is.
    pub(super) fn restart_due(&mut self, client: ClientId, run: u64) {
        if self.client(client).is_some_and(|node| node.run == run)
            && let Err(error) = self.restart(client)
        {
            let detail = format!("{client:?}: {error:?}");
            let violation = Violation::new(self.now, "a program can start again", detail);
            self.violation.get_or_insert(violation);
        }
    }

    /// The client's driver is to put or delete a record.
    pub(super) fn write_journal(&mut self, client: ClientId, key: Key, record: Option<Vec<u8>>) {
        let now = self.now;
        let Some(node) = self.client(client) else { return };
        let occasion = Occasion::Record { client, number: node.records };
        node.records += 1;
        let fails = self.strike(Fault::NotStored, self.faults.not_stored, occasion).is_some();
        let Some(node) = self.client(client) else { return };
        if node.journal.write(key, record, now, fails) {
            self.plan_sync(client);
        }
    }

    fn plan_sync(&mut self, client: ClientId) {
        let begun = self.now;
        let Some(node) = self.client(client) else { return };
        let (run, occasion) = (node.run, Occasion::Record { client, number: node.records });
        let span = self.chance(Draw::Sync, occasion).span(Duration::ZERO, self.faults.sync_max);
        self.plan_after(span, Planned::Synced { client, run, begun });
    }

    /// The disk has what was written until `begun`; the session is told, in one order or the other.
    pub(super) fn synced(&mut self, client: ClientId, run: u64, begun: Instant) {
        let Some(node) = self.client(client).filter(|node| node.run == run) else { return };
        let backwards = node.records % 2 == 0;
        let mut answers = node.journal.sync(begun);
        if backwards {
            answers.reverse();
        }
        for answer in answers {
            if answer.stored {
                node.engine.stored(answer.key);
            } else {
                node.engine.not_stored(answer.key);
            }
        }
        if node.journal.is_behind() {
            self.plan_sync(client);
        }
        self.serve_client(client);
    }
}
