//! Every accepted operation ends exactly once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mqtt_proto::Qos;
use mqtt_session::{Instant, Token};

use crate::world::{ClientId, Ended, Observed};

use super::{Check, Kept, Observation, Operation, Violation};

const RULE: &str = "every accepted operation ends exactly once";

/// Compares what was accepted with what ended. Messages of QoS 0 may end silently; after a crash what was told to be
/// durable still ends, the rest may, and an end that was told shortly before may be told again.
#[derive(Clone, Debug, Default)]
pub struct Endings {
    open: BTreeMap<(ClientId, u64), &'static str>,
    silent: BTreeMap<(ClientId, u64), ()>,
    /// Of the open ones, those that outlive a crash.
    durable: BTreeSet<(ClientId, u64)>,
    /// The last operations that ended: after a crash their end may be told once more.
    ended: VecDeque<((ClientId, u64), &'static str)>,
    /// Operations of earlier runs that may end, or end again, and need not.
    may_end: BTreeMap<(ClientId, u64), &'static str>,
}

/// Ended operations whose records a journal may still hold.
const REMEMBERED: usize = 4_096;

impl Endings {
    /// Watches from now on.
    pub fn new() -> Self {
        Self::default()
    }

    fn accepted(
        &mut self,
        at: Instant,
        client: ClientId,
        token: Token,
        operation: &Operation<'_>,
    ) -> Result<(), Violation> {
        let kind = match operation {
            Operation::Publish { message, .. } if message.qos == Qos::AtMostOnce => {
                self.silent.insert((client, token.into()), ());
                return Ok(());
            }
            Operation::Publish { .. } => "publish",
            Operation::Subscribe => "subscribe",
            Operation::Unsubscribe => "unsubscribe",
        };
        let key = (client, token.into());
        self.silent.remove(&key);
        self.may_end.remove(&key);
        match self.open.insert(key, kind) {
            None => Ok(()),
            Some(old) => Err(Violation::new(
                at,
                RULE,
                format!("{client:?} got {token:?} for a {kind} while a {old} has it"),
            )),
        }
    }

    fn done(
        &mut self,
        at: Instant,
        client: ClientId,
        token: Token,
        outcome: &Ended,
    ) -> Result<(), Violation> {
        let key = (client, token.into());
        if self.silent.remove(&key).is_some() {
            return Ok(());
        }
        self.durable.remove(&key);
        let Some(kind) = self.open.remove(&key).or_else(|| self.may_end.remove(&key)) else {
            return Err(Violation::new(
                at,
                RULE,
                format!("{client:?}: {token:?} ended without being open: {outcome:?}"),
            ));
        };
        self.ended.push_back((key, kind));
        if self.ended.len() > REMEMBERED {
            self.ended.pop_front();
        }
        let fits = match outcome {
            Ended::Acked(_) => kind == "publish",
            Ended::Granted(_) => kind != "publish",
            _ => true,
        };
        if fits {
            Ok(())
        } else {
            Err(Violation::new(at, RULE, format!("{client:?}: a {kind} ended as {outcome:?}")))
        }
    }

    /// What the next run need not know of is no longer owed.
    fn crashed(&mut self, client: ClientId, kept: Kept) {
        let open = core::mem::take(&mut self.open);
        for (key, kind) in open {
            if key.0 != client || (kept == Kept::All && self.durable.contains(&key)) {
                self.open.insert(key, kind);
            } else if kept != Kept::Nothing {
                self.may_end.insert(key, kind);
            }
        }
        self.silent.retain(|key, ()| key.0 != client);
        self.durable.retain(|key| key.0 != client || kept == Kept::All);
        if kept == Kept::Nothing {
            self.may_end.retain(|key, _| key.0 != client);
        } else {
            self.may_end.extend(self.ended.iter().copied().filter(|(key, _)| key.0 == client));
        }
        self.ended.retain(|(key, _)| key.0 != client);
    }
}

impl Check for Endings {
    fn observe(&mut self, at: Instant, what: &Observation<'_>) -> Result<(), Violation> {
        match what {
            Observation::Accepted { client, token, operation } => {
                self.accepted(at, *client, *token, operation)
            }
            Observation::Event { client, event: Observed::Done { token, outcome, .. } } => {
                self.done(at, *client, *token, outcome)
            }
            Observation::Event { client, event: Observed::Durable { token } } => {
                self.durable.insert((*client, u64::from(*token)));
                Ok(())
            }
            Observation::Crashed { client, kept } => {
                self.crashed(*client, *kept);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, at: Instant) -> Result<(), Violation> {
        match self.open.first_key_value() {
            None => Ok(()),
            Some(((client, token), kind)) => Err(Violation::new(
                at,
                RULE,
                format!("{} open, among them a {kind} of {client:?} with token {token:#x}", self.open.len()),
            )),
        }
    }
}
