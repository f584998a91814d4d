//! What must come of a state in which nothing is under way.

use mqtt_proto::{Properties, Qos, Subscription, SubscriptionOptions, TopicFilter};
use mqtt_session::{Closed, Durability};

use super::action::Action;
use super::setup::Setup;
use super::state::State;
use super::watch::{Verdict, demand};

/// Steps until peace comes at the latest.
const MAX_STEPS: usize = 10_000;

impl State {
    /// Connected, subscribed, and nothing done yet.
    pub(super) fn first(setup: &Setup) -> Result<Self, String> {
        let mut state = Self::new(setup);
        state.start(setup)?;
        if !setup.inbound.is_empty() {
            let filter = TopicFilter::new("i").map_err(|error| error.to_string())?;
            let subscription = Subscription { filter, options: SubscriptionOptions::new(Qos::ExactlyOnce) };
            state.client.subscribe(&[subscription], Properties::EMPTY).map_err(|error| error.to_string())?;
        }
        state.serve()?;
        state.settle(setup)?;
        state.path.clear();
        Ok(state)
    }

    /// Whether nothing happens any more unless something is asked for or goes wrong.
    pub(super) fn is_at_peace(&self, setup: &Setup) -> bool {
        !Action::QUIET.into_iter().any(|action| self.allows(action, setup))
    }

    /// Lets everything happen that is under way.
    pub(super) fn settle(&mut self, setup: &Setup) -> Verdict {
        for _ in 0..MAX_STEPS {
            let Some(action) = Action::QUIET.into_iter().find(|action| self.allows(*action, setup)) else {
                return Ok(());
            };
            self.act(action, setup)?;
        }
        Err("no end of it".to_owned())
    }

    /// Where nothing is under way everything must have ended: at once, or, where the broker failed to acknowledge, after
    /// one more connection. Then all identifiers and all of the quota must be there.
    pub(super) fn must_be_over(&mut self, setup: &Setup) -> Verdict {
        let state = self;
        if state.link.as_ref().is_some_and(|link| link.lossy) {
            state.say(|| "* the connection breaks, to heal".to_owned());
            state.cut(Closed::Failed);
            state.serve()?;
            state.settle(setup)?;
        }
        state.is_over(setup, setup.durability != Durability::Async)?;
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let window = setup.window(qos);
            let left = state.probe(setup, qos, window + 1)?;
            // After a crash the server is asked first what it holds.
            let asks = qos == Qos::ExactlyOnce && setup.durability == Durability::Async;
            demand!(
                left == window || asks,
                "of {window} messages at {qos:?} that may be in flight {left} left"
            );
            state.settle(setup)?;
            state.is_over(setup, qos == Qos::ExactlyOnce)?;
        }
        Ok(())
    }

    /// `clear`: whether the server, too, must have nothing left. What it holds of a run that crashed, and that the journal
    /// did not know of, it is asked for before the identifier is used.
    fn is_over(&self, setup: &Setup, clear: bool) -> Verdict {
        self.watch.over()?;
        demand!(self.link.is_some() && self.client.is_connected(), "no connection");
        let pending = self.client.pending();
        demand!(pending == 0, "{pending} operations never end");
        demand!(!clear || self.broker.is_idle(), "the broker waits for something");
        // The subscription's stays, and the session's.
        let subscriptions = usize::from(!setup.inbound.is_empty());
        let records = self.journal.records();
        demand!(
            records <= subscriptions || self.watch.is_veiled(),
            "records that nobody deletes: {:?}",
            self.journal.stored.keys()
        );
        Ok(())
    }
}
