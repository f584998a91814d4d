//! What will happen, in the order of its time.

use std::collections::{BTreeMap, BTreeSet};

use mqtt_session::Instant;

use super::{BrokerId, ClientId, Direction, LinkId};

/// Something that was planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Planned {
    /// A dial reaches its broker.
    Dial { client: ClientId, dial: u64, broker: BrokerId },
    /// Bytes, or the end of them, reach their receiver.
    Arrive { link: LinkId, direction: Direction },
    /// A sender may write again.
    Room { link: LinkId, direction: Direction },
    /// A connection breaks.
    Break { link: LinkId },
    /// A schedule has something for this time.
    Scheduled { link: LinkId },
    /// A second has passed: draws the faults that strike by time.
    Second,
    /// A broker comes back.
    BrokerBack { broker: BrokerId, outage: u64 },
    /// A stalled client is run again.
    Unstall { client: ClientId, stall: u64 },
    /// A crashed client starts again.
    Restart { client: ClientId, run: u64 },
    /// A client's journal has on its disk what was written until `begun`.
    Synced { client: ClientId, run: u64, begun: Instant },
}

/// Who has a deadline of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Client(ClientId),
    Server(BrokerId),
}

/// What is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wakeup {
    Planned(Planned),
    Client(ClientId),
    Server(BrokerId),
}

/// The plan of the world: single happenings, and one deadline for each client and broker. What is due at the same
/// time happens in the order in which it was planned, deadlines last.
#[derive(Clone, Debug, Default)]
pub(super) struct Agenda {
    planned: BTreeMap<(Instant, u64), Planned>,
    next_number: u64,
    deadlines: BTreeSet<(Instant, Owner)>,
    armed: BTreeMap<Owner, Instant>,
}

impl Agenda {
    pub(super) fn plan(&mut self, at: Instant, what: Planned) {
        self.planned.insert((at, self.next_number), what);
        self.next_number += 1;
    }

    pub(super) fn arm_client(&mut self, client: ClientId, at: Option<Instant>) {
        self.arm(Owner::Client(client), at);
    }

    pub(super) fn arm_server(&mut self, broker: BrokerId, at: Option<Instant>) {
        self.arm(Owner::Server(broker), at);
    }

    fn arm(&mut self, owner: Owner, at: Option<Instant>) {
        let old = match at {
            Some(at) => self.armed.insert(owner, at),
            None => self.armed.remove(&owner),
        };
        if old == at {
            return;
        }
        if let Some(old) = old {
            self.deadlines.remove(&(old, owner));
        }
        if let Some(at) = at {
            self.deadlines.insert((at, owner));
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        let planned = self.planned.first_key_value().map(|((at, _), _)| *at);
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        [planned, deadline].into_iter().flatten().min()
    }

    pub(super) fn pop(&mut self) -> Option<(Instant, Wakeup)> {
        let planned = self.planned.first_key_value().map(|((at, _), _)| *at);
        match (planned, self.deadlines.first().copied()) {
            (planned, Some((at, owner))) if planned.is_none_or(|planned| at < planned) => {
                self.arm(owner, None);
                let wakeup = match owner {
                    Owner::Client(client) => Wakeup::Client(client),
                    Owner::Server(broker) => Wakeup::Server(broker),
                };
                Some((at, wakeup))
            }
            _ => {
                let ((at, _), what) = self.planned.pop_first()?;
                Some((at, Wakeup::Planned(what)))
            }
        }
    }
}
