//! What is to be called when an operation has ended.

use core::mem;
use core::task::{Context, Poll, Waker};
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError};
use std::task::Wake;

use super::Watch;
use crate::event::Outcome;
use crate::sync::Mutex;
use crate::transport::Transport;

/// Where calls go to be made, one after another, on a thread that may wait.
pub type Jobs = Sender<Box<dyn FnOnce() + Send>>;

type Call = Box<dyn FnOnce(Outcome) + Send>;

/// Waits for an outcome without a thread or task of its own: it is what is woken.
struct Then<T: Transport> {
    state: Mutex<State<T>>,
    to: Jobs,
}

enum State<T: Transport> {
    Waiting(Watch<T>, Call),
    /// Somebody looks at it just now; whether it is to look again.
    Looking {
        again: bool,
    },
    Called,
}

/// Has `call` called with the outcome of what is watched.
pub(super) fn begin<T: Transport + Send + Sync + 'static>(watch: Watch<T>, to: Jobs, call: Call) {
    let then = Arc::new(Then { state: Mutex::new(State::Waiting(watch, call)), to });
    then.look();
}

impl<T: Transport + Send + Sync + 'static> Then<T> {
    /// Looks whether it has ended. No lock is held while it does: looking may wake others, this one among them.
    fn look(self: &Arc<Self>) {
        let waker = Waker::from(Arc::clone(self));
        loop {
            let (mut watch, call) = {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                match mem::replace(&mut *state, State::Looking { again: false }) {
                    State::Waiting(watch, call) => (watch, call),
                    State::Looking { .. } => {
                        *state = State::Looking { again: true };
                        return;
                    }
                    State::Called => {
                        *state = State::Called;
                        return;
                    }
                }
            };
            let outcome = watch.poll_outcome(&Context::from_waker(&waker));
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Poll::Ready(outcome) => {
                    *state = State::Called;
                    drop(state);
                    // Whoever makes the calls lives as long as the client, which this one holds.
                    let _ = self.to.send(Box::new(move || call(outcome)));
                    return;
                }
                Poll::Pending => match mem::replace(&mut *state, State::Waiting(watch, call)) {
                    State::Looking { again: true } => {}
                    _ => return,
                },
            }
        }
    }
}

impl<T: Transport + Send + Sync + 'static> Wake for Then<T> {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}
