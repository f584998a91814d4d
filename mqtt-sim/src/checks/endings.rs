//! Every accepted operation ends exactly once.

use std::collections::BTreeMap;

use mqtt_proto::Qos;
use mqtt_session::{Instant, Token};

use crate::world::{ClientId, Ended, Observed};

use super::{Check, Observation, Operation, Violation};

const RULE: &str = "every accepted operation ends exactly once";

/// Compares what was accepted with what ended. Messages of QoS 0 may end silently.
#[derive(Clone, Debug, Default)]
pub struct Endings {
    open: BTreeMap<(ClientId, u64), &'static str>,
    silent: BTreeMap<(ClientId, u64), ()>,
    /// Operations of each client that ended, by kind.
    ended: u64,
}

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
        self.silent.remove(&(client, token.into()));
        match self.open.insert((client, token.into()), kind) {
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
        let Some(kind) = self.open.remove(&key) else {
            return Err(Violation::new(
                at,
                RULE,
                format!("{client:?}: {token:?} ended without being open: {outcome:?}"),
            ));
        };
        self.ended += 1;
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
