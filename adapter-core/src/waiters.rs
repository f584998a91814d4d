//! Who waits for the end of which operation.

use core::task::Waker;

use mqtt_session::Token;

use crate::event::Outcome;

const NONE: u32 = u32::MAX;

/// Names one entry of the table; used up by [`Waiters::poll`] when it is ready, or by [`Waiters::forget`].
#[derive(Debug)]
pub(crate) struct WaiterId(u32);

/// From tokens to waiters, in constant time: the dense index of a token finds its waiter, and the waiter's
/// own place keeps the outcome until it is taken, however soon the token's index is used again.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// By token index: the place of its waiter, or `NONE`.
    by_token: Vec<u32>,
    places: Vec<Place>,
    free: Vec<u32>,
    watched: usize,
}

#[derive(Debug)]
enum Place {
    Free,
    Open { token: Token, waker: Option<Waker>, durable: bool },
    Ended(Outcome),
}

impl Waiters {
    /// Begins to watch an operation that was accepted just now.
    pub(crate) fn watch(&mut self, token: Token) -> WaiterId {
        let place = Place::Open { token, waker: None, durable: false };
        let at = match self.free.pop() {
            Some(at) => {
                self.places[at as usize] = place;
                at
            }
            None => {
                self.places.push(place);
                // As many waiters as operations and unread outcomes: memory ends long before `u32`.
                (self.places.len() - 1) as u32
            }
        };
        let index = token.index() as usize;
        if index >= self.by_token.len() {
            self.by_token.resize(index + 1, NONE);
        }
        self.by_token[index] = at;
        WaiterId(at)
    }

    /// Notes an outcome; the waker of who waits for it.
    pub(crate) fn end(&mut self, token: Token, outcome: Outcome) -> Option<Waker> {
        let entry = self.by_token.get_mut(token.index() as usize)?;
        let place = self.places.get_mut(*entry as usize)?;
        match place {
            Place::Open { token: watched, waker, .. } if *watched == token => {
                let waker = waker.take();
                self.watched -= usize::from(waker.is_some());
                *place = Place::Ended(outcome);
                *entry = NONE;
                waker
            }
            _ => None,
        }
    }

    /// The operation is in the journal; the waker of who waits for it.
    pub(crate) fn durable(&mut self, token: Token) -> Option<Waker> {
        let place = *self.by_token.get(token.index() as usize)?;
        match self.places.get_mut(place as usize)? {
            Place::Open { token: watched, waker, durable } if *watched == token => {
                *durable = true;
                let waker = waker.take();
                self.watched -= usize::from(waker.is_some());
                waker
            }
            _ => None,
        }
    }

    /// Ready when the operation is in the journal, or has ended: how, in that case. The outcome stays.
    pub(crate) fn poll_durable(
        &mut self,
        id: &WaiterId,
        waker: &Waker,
    ) -> Result<Option<Outcome>, Option<Waker>> {
        match &self.places[id.0 as usize] {
            Place::Open { durable: true, .. } => Ok(None),
            Place::Ended(outcome) => Ok(Some(outcome.clone())),
            Place::Free => Ok(Some(Outcome::Unknown)),
            Place::Open { .. } => Err(self.keep(id, waker)),
        }
    }

    /// Ends everything that is open, with the same outcome.
    pub(crate) fn end_all(&mut self, outcome: &Outcome, wake: &mut Vec<Waker>) {
        for place in &mut self.places {
            if let Place::Open { waker, .. } = place {
                wake.extend(waker.take());
                *place = Place::Ended(outcome.clone());
            }
        }
        self.watched = 0;
        self.by_token.fill(NONE);
    }

    /// The outcome, which is then forgotten; or `waker` is kept until there is one, and the one kept before comes
    /// back, to be dropped once no lock is held.
    pub(crate) fn poll(&mut self, id: &WaiterId, waker: &Waker) -> Result<Outcome, Option<Waker>> {
        match &mut self.places[id.0 as usize] {
            Place::Open { .. } => Err(self.keep(id, waker)),
            Place::Ended(_) | Place::Free => {
                match core::mem::replace(&mut self.places[id.0 as usize], Place::Free) {
                    Place::Ended(outcome) => {
                        self.free.push(id.0);
                        Ok(outcome)
                    }
                    // An identifier is used up when it is ready, so nobody has one of a free place.
                    _ => Ok(Outcome::Unknown),
                }
            }
        }
    }

    /// Keeps `waker` with what is open; the one kept before comes back.
    fn keep(&mut self, id: &WaiterId, waker: &Waker) -> Option<Waker> {
        let Place::Open { waker: kept, .. } = &mut self.places[id.0 as usize] else { return None };
        match kept {
            Some(kept) if kept.will_wake(waker) => None,
            Some(kept) => Some(core::mem::replace(kept, waker.clone())),
            None => {
                *kept = Some(waker.clone());
                self.watched += 1;
                None
            }
        }
    }

    /// Nobody waits actively any more, though the outcome is still wanted.
    pub(crate) fn rest(&mut self, id: &WaiterId) -> Option<Waker> {
        let Place::Open { waker, .. } = &mut self.places[id.0 as usize] else { return None };
        let waker = waker.take()?;
        self.watched -= 1;
        Some(waker)
    }

    /// Whether the outcome is there.
    pub(crate) fn is_ended(&self, id: &WaiterId) -> bool {
        !matches!(self.places[id.0 as usize], Place::Open { .. })
    }

    /// The outcome is not wanted any more.
    pub(crate) fn forget(&mut self, id: &WaiterId) -> Option<Waker> {
        let waker = self.rest(id);
        match core::mem::replace(&mut self.places[id.0 as usize], Place::Free) {
            Place::Open { token, .. } => {
                if let Some(entry) = self.by_token.get_mut(token.index() as usize)
                    && *entry == id.0
                {
                    *entry = NONE;
                }
                self.free.push(id.0);
            }
            Place::Ended(_) => self.free.push(id.0),
            Place::Free => {}
        }
        waker
    }

    /// How many are being waited for right now.
    pub(crate) const fn watched(&self) -> usize {
        self.watched
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt_session::proto::ReasonCode;

    const ACKED: Outcome = Outcome::Acked(ReasonCode::Success);

    fn token(index: u32, generation: u32) -> Token {
        Token::from(u64::from(generation) << 32 | u64::from(index))
    }

    #[test]
    fn an_outcome_waits_for_its_reader_while_the_index_is_used_again() {
        let mut waiters = Waiters::default();
        let first = waiters.watch(token(0, 1));
        assert!(waiters.end(token(0, 1), ACKED).is_none());
        let second = waiters.watch(token(0, 2));
        assert!(waiters.end(token(0, 2), Outcome::Lost).is_none());
        assert_eq!(waiters.poll(&first, Waker::noop()).ok(), Some(ACKED));
        assert_eq!(waiters.poll(&second, Waker::noop()).ok(), Some(Outcome::Lost));
        assert_eq!(waiters.free.len(), 2);
    }

    #[test]
    fn an_outcome_of_another_generation_ends_nothing() {
        let mut waiters = Waiters::default();
        let id = waiters.watch(token(3, 7));
        assert!(waiters.end(token(3, 6), ACKED).is_none());
        assert!(waiters.end(token(9, 7), ACKED).is_none());
        assert!(!waiters.is_ended(&id));
    }

    #[test]
    fn only_those_who_wait_now_are_counted() {
        let mut waiters = Waiters::default();
        let id = waiters.watch(token(0, 0));
        assert_eq!(waiters.watched(), 0);
        assert!(waiters.poll(&id, Waker::noop()).is_err());
        assert!(waiters.poll(&id, Waker::noop()).is_err());
        assert_eq!(waiters.watched(), 1);
        assert!(waiters.rest(&id).is_some());
        assert_eq!(waiters.watched(), 0);
        assert!(waiters.poll(&id, Waker::noop()).is_err());
        assert!(waiters.end(token(0, 0), ACKED).is_some());
        assert_eq!(waiters.watched(), 0);
    }

    #[test]
    fn a_forgotten_waiter_gives_its_place_back_in_every_state() {
        let mut waiters = Waiters::default();
        let open = waiters.watch(token(0, 0));
        let ended = waiters.watch(token(1, 0));
        assert!(waiters.poll(&open, Waker::noop()).is_err());
        assert!(waiters.end(token(1, 0), ACKED).is_none());
        assert!(waiters.forget(&open).is_some());
        assert!(waiters.forget(&ended).is_none());
        assert_eq!((waiters.free.len(), waiters.watched()), (2, 0));
        assert!(waiters.end(token(0, 0), ACKED).is_none());
    }

    #[test]
    fn everything_open_can_be_ended_at_once() {
        let mut waiters = Waiters::default();
        let one = waiters.watch(token(0, 0));
        let two = waiters.watch(token(1, 0));
        assert!(waiters.poll(&two, Waker::noop()).is_err());
        let mut wake = Vec::new();
        waiters.end_all(&Outcome::Stopped, &mut wake);
        assert_eq!((wake.len(), waiters.watched()), (1, 0));
        assert_eq!(waiters.poll(&one, Waker::noop()).ok(), Some(Outcome::Stopped));
        assert_eq!(waiters.poll(&two, Waker::noop()).ok(), Some(Outcome::Stopped));
    }
}
