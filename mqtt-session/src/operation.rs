//! The operations that were accepted and have not ended: PUBLISH, SUBSCRIBE and UNSUBSCRIBE in one
//! queue, one token space.

use core::num::NonZeroU64;
use core::time::Duration;

use mqtt_proto::{EncodedProperties, PacketId, Qos, ReasonCode};

use crate::list::{FreeList, Linked, Links, List, NONE, change};
use crate::qos::Stage;
use crate::soonest::{Due, Falls, Soonest};
use crate::time::Instant;
use crate::token::Token;

/// What an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub(crate) enum Kind {
    #[default]
    Publish,
    Subscribe,
    Unsubscribe,
}

/// How an operation ended that has not been told yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ending {
    Refused(ReasonCode),
    Sent,
    Expired,
    Cancelled,
    Dropped,
    Lost,
    Unknown,
    Abandoned,
    /// No answer came in time.
    TimedOut,
    /// A subscription that was granted before and cannot be made again.
    Forgotten(ReasonCode),
    Stopped,
    NotStored,
}

/// One operation. What it carries lies in the arena at `at`: a topic, properties and a payload for
/// PUBLISH, properties and filters for the others.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Slot {
    pub(crate) links: Links,
    pub(crate) due: Due,
    pub(crate) at: u32,
    pub(crate) topic_len: u16,
    pub(crate) packet_id: Option<PacketId>,
    pub(crate) properties_len: u32,
    pub(crate) payload_len: u32,
    /// What it counts against the budget.
    pub(crate) cost: u32,
    pub(crate) generation: u32,
    pub(crate) kind: Kind,
    pub(crate) stage: Stage,
    pub(crate) qos: Qos,
    /// What the application asked for; `qos` may be lower (`OverQos::Lower`).
    pub(crate) asked: Qos,
    pub(crate) retain: bool,
    /// The payload lies beside the arena, shared with the caller.
    pub(crate) shared: bool,
    /// The payload is provided while it is sent, and was all provided once since it was accepted.
    pub(crate) sourced: bool,
    pub(crate) complete: bool,
    /// A byte of it may have been sent at some time, in this session or a lost one: it can be neither
    /// cancelled nor dropped.
    pub(crate) touched: bool,
    /// What `touched` was before the last hand-out.
    pub(crate) was_touched: bool,
    /// The journal has its identifier, and it was not handed out with it: as far as the journal knows it
    /// may have been.
    pub(crate) reserved: bool,
    /// The hand-out on connection `epoch` gave it its identifier: nothing of it was sent in this session
    /// before.
    pub(crate) first_time: bool,
    /// The connection it was handed out on last.
    pub(crate) epoch: u32,
    /// Topic filters of a SUBSCRIBE or UNSUBSCRIBE.
    pub(crate) filters: u16,
    pub(crate) ending: Ending,
    /// Where in this connection's outgoing stream its packet begins (`Stage::Sending`: ends).
    pub(crate) position: u64,
    /// Where it ends.
    pub(crate) end: u64,
    pub(crate) tag: u64,
    pub(crate) key: Option<NonZeroU64>,
    /// When it is dropped unless a byte was sent; before the time was told, see `Operations::stamp`,
    /// the span in microseconds.
    pub(crate) expires: Instant,
    /// Its `Done` was told: a SUBSCRIBE that is made again, a refused PUBLISH whose exchange is being
    /// ended. Nobody waits for its end.
    pub(crate) told: bool,
    /// A SUBSCRIBE or UNSUBSCRIBE whose time ran out after it was handed out: only its identifier waits, for
    /// the late answer.
    pub(crate) late: bool,
    /// When it expires at the server, which a 5.0 one is told; stamped like `expires`.
    pub(crate) wire_expires: Instant,
}

impl Slot {
    pub(crate) const EMPTY: Self = Self {
        links: Links::UNLINKED,
        due: Due::NOT,
        at: 0,
        topic_len: 0,
        packet_id: None,
        properties_len: 0,
        payload_len: 0,
        cost: 0,
        generation: 0,
        kind: Kind::Publish,
        stage: Stage::Ended,
        qos: Qos::AtMostOnce,
        asked: Qos::AtMostOnce,
        retain: false,
        shared: false,
        sourced: false,
        complete: false,
        touched: false,
        was_touched: false,
        reserved: false,
        first_time: false,
        epoch: 0,
        filters: 0,
        ending: Ending::Stopped,
        position: 0,
        end: 0,
        tag: 0,
        key: None,
        expires: Instant::NEVER,
        told: false,
        late: false,
        wire_expires: Instant::NEVER,
    };

    /// PUBLISH that was asked for at QoS 0: nobody waits for its end.
    pub(crate) fn is_qos0(&self) -> bool {
        self.kind == Kind::Publish && self.asked == Qos::AtMostOnce
    }

    /// The operation behind this one on its list.
    pub(crate) const fn next(&self) -> u32 {
        self.links.next()
    }

    /// SUBSCRIBE or UNSUBSCRIBE.
    pub(crate) fn is_request(&self) -> bool {
        self.kind != Kind::Publish
    }

    /// The topic and encoded properties in the arena.
    #[inline]
    pub(crate) fn head<'a>(&self, arena: &'a [u8]) -> (&'a [u8], EncodedProperties<'a>) {
        let start = self.at as usize;
        // Lengths of what lies in the arena: their sum does not overflow.
        let middle = start.wrapping_add(usize::from(self.topic_len));
        let end = middle.wrapping_add(self.properties_len as usize);
        let topic = arena.get(start..middle).unwrap_or_default();
        let properties = arena.get(middle..end).unwrap_or_default();
        (topic, EncodedProperties::from_stored(properties))
    }

    /// What lies behind topic and properties: the payload unless it is shared, or the filters.
    #[inline]
    pub(crate) fn body<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        let start = (self.at as usize)
            .wrapping_add(usize::from(self.topic_len))
            .wrapping_add(self.properties_len as usize);
        arena.get(start..start.wrapping_add(self.payload_len as usize)).unwrap_or_default()
    }
}

impl Falls for Slot {
    fn due(&self) -> (Instant, u32) {
        (self.expires, self.generation)
    }

    fn links(&self) -> Due {
        self.due
    }

    fn links_mut(&mut self) -> &mut Due {
        &mut self.due
    }
}

impl Linked for Slot {
    fn links(&self) -> Links {
        self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// The lists through the slots.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Operations {
    pub(crate) free: FreeList,
    /// Open operations whose `Done` was told already.
    pub(crate) told: u32,
    /// Operations accepted so far: what tells two tokens of one slot apart.
    accepted: u32,
    /// In order of acceptance: first what was handed out on this connection, from `cursor` on what was
    /// not yet.
    pub(crate) order: List,
    pub(crate) cursor: u32,
    /// The first operation for which no identifier was put into the journal ahead of its turn.
    pub(crate) ahead: u32,
    /// SUBSCRIBEs and UNSUBSCRIBEs in that order.
    pub(crate) requests: u32,
    /// The first operation whose time to live has not begun to count.
    unstamped: u32,
    /// What may expire, and perhaps what was sent since.
    pub(crate) expiring: Soonest,
    /// When it is looked for next: not before `calm_until`.
    pub(crate) next_expiry: Instant,
    pub(crate) calm_until: Instant,
    /// Past PUBREC, in the order of the PUBRECs: first those whose PUBREL was handed out on this
    /// connection, from `release_cursor` on the others. [MQTT-4.6.0-4]
    pub(crate) release: List,
    pub(crate) release_cursor: u32,
    /// QoS 0 handed out, last byte not yet taken.
    pub(crate) sending: List,
    /// Subscriptions that were granted, to be made again on a new session.
    pub(crate) held: List,
    /// Ended, `Done` not yet fetched.
    pub(crate) ended: List,
}

impl Operations {
    pub(crate) const fn new() -> Self {
        Self {
            free: FreeList::new(),
            told: 0,
            accepted: 0,
            order: List::new(),
            cursor: NONE,
            ahead: NONE,
            requests: 0,
            unstamped: NONE,
            expiring: Soonest::new(),
            next_expiry: Instant::NEVER,
            calm_until: Instant::ZERO,
            release: List::new(),
            release_cursor: NONE,
            sending: List::new(),
            held: List::new(),
            ended: List::new(),
        }
    }

    /// Operations on the lists of what is under way.
    pub(crate) const fn open(&self) -> u32 {
        self.order.len().saturating_add(self.release.len()).saturating_add(self.sending.len())
    }

    /// Operations that were not answered, handed out or not.
    pub(crate) const fn waiting(&self) -> u32 {
        self.order.len().saturating_add(self.release.len())
    }

    /// Operations whose `Done` is still to come.
    pub(crate) const fn pending(&self) -> u32 {
        self.open().saturating_sub(self.told)
    }

    /// Slots in use: open operations, ended ones whose `Done` was not fetched or whose records are not
    /// deleted, held subscriptions.
    pub(crate) const fn in_use(&self) -> u32 {
        self.free.used()
    }

    /// Whether nothing was ever accepted.
    pub(crate) const fn is_new(&self) -> bool {
        self.accepted == 0
    }

    /// An operation of an earlier run has this generation: new ones go on above it.
    pub(crate) fn saw(&mut self, generation: u32) {
        self.accepted = self.accepted.max(generation);
    }

    /// The generation of a new operation.
    pub(crate) fn next_generation(&mut self) -> u32 {
        self.accepted = self.accepted.wrapping_add(1);
        self.accepted
    }

    /// Nothing is open: the slots may be new ones.
    pub(crate) fn renew(&mut self) {
        *self = Self { accepted: self.accepted, ..Self::new() };
    }

    /// Puts a new operation at the end of the order.
    #[inline]
    pub(crate) fn accept(&mut self, slots: &mut [Slot], index: u32) {
        self.order.push_back(slots, index);
        if self.cursor == NONE {
            self.cursor = index;
        }
        if self.ahead == NONE {
            self.ahead = index;
        }
        let slot = slots.get(index as usize);
        self.requests = self.requests.saturating_add(u32::from(slot.is_some_and(|slot| slot.is_request())));
        // It expires here no later than at the server.
        let mortal = slot.is_some_and(|slot| slot.expires != Instant::NEVER);
        if mortal && self.unstamped == NONE {
            self.unstamped = index;
        }
    }

    /// An operation behind the cursor was handed out: it is before it now.
    #[cold]
    pub(crate) fn overtook(&mut self, slots: &mut [Slot], index: u32) {
        self.put_before(slots, index, self.cursor);
    }

    /// An operation was not sent after all: it goes behind those that were, which hold identifiers that it
    /// may have to wait for. O(in flight) where it had overtaken some.
    pub(crate) fn taken_back(&mut self, slots: &mut [Slot], index: u32) {
        let holds = |slots: &[Slot], at: u32| {
            slots.get(at as usize).is_some_and(|slot| slot.stage != Stage::Queued || slot.reserved)
        };
        let following = crate::list::next(slots, index);
        let mut behind = following;
        while holds(slots, behind) {
            behind = crate::list::next(slots, behind);
        }
        if behind != following {
            self.put_before(slots, index, behind);
        }
    }

    fn put_before(&mut self, slots: &mut [Slot], index: u32, behind: u32) {
        for at in [&mut self.unstamped, &mut self.ahead] {
            if *at == index {
                *at = crate::list::next(slots, index);
            }
        }
        self.order.unlink(slots, index);
        self.order.insert_before(slots, index, behind);
    }

    /// Whether a time to live waits for the time to be told.
    pub(crate) const fn is_unstamped(&self) -> bool {
        self.unstamped != NONE
    }

    /// The first operation whose time to live has not begun to count, or `NONE`.
    pub(crate) const fn unstamped(&self) -> u32 {
        self.unstamped
    }

    /// No time to live has begun to count.
    pub(crate) fn unstamp_all(&mut self) {
        self.unstamped = self.order.head();
    }

    /// The time is told: times to live begin to count.
    pub(crate) fn stamp(&mut self, slots: &mut [Slot], now: Instant) {
        while let Some(slot) = slots.get_mut(self.unstamped as usize) {
            for expires in [&mut slot.expires, &mut slot.wire_expires] {
                if *expires != Instant::NEVER {
                    *expires = now.after(Duration::from_micros(expires.as_micros()));
                }
            }
            let (index, mortal) = (self.unstamped, slot.expires != Instant::NEVER);
            self.unstamped = slot.next();
            if mortal {
                self.may_expire(slots, index);
            }
        }
    }

    /// From now on the operation can expire. O(1).
    pub(crate) fn may_expire(&mut self, slots: &mut [Slot], index: u32) {
        if slots.get(index as usize).is_some_and(|slot| slot.expires != Instant::NEVER) {
            self.expiring.insert(slots, index);
            self.plan_expiry(slots);
        }
    }

    /// The operation ends, or is let go of. O(log n).
    #[inline(never)]
    pub(crate) fn cannot_expire(&mut self, slots: &mut [Slot], index: u32) {
        self.expiring.remove(slots, index);
        self.plan_expiry(slots);
    }

    pub(crate) fn plan_expiry(&mut self, slots: &[Slot]) {
        let first = slots.get(self.expiring.first() as usize);
        self.next_expiry = first.map_or(Instant::NEVER, |slot| slot.expires.max(self.calm_until));
    }

    /// Takes an operation off the list its stage puts it on.
    #[inline]
    pub(crate) fn unlink(&mut self, slots: &mut [Slot], index: u32) {
        let Some(slot) = slots.get(index as usize) else { return };
        match slot.stage {
            Stage::Sending => self.sending.unlink(slots, index),
            Stage::Held => self.held.unlink(slots, index),
            Stage::Ended => self.ended.unlink(slots, index),
            Stage::AwaitPubcomp => self.unlink_released(slots, index),
            _ => self.unlink_waiting(slots, index),
        }
    }

    /// Takes an operation off the order of PUBRECs.
    #[inline(always)]
    pub(crate) fn unlink_released(&mut self, slots: &mut [Slot], index: u32) {
        if self.release_cursor == index {
            self.release_cursor = crate::list::next(slots, index);
        }
        self.release.unlink(slots, index);
    }

    /// Takes an operation off the order of acceptance.
    #[inline(always)]
    pub(crate) fn unlink_waiting(&mut self, slots: &mut [Slot], index: u32) {
        let Some(slot) = slots.get(index as usize) else { return };
        let following = slot.next();
        for place in [&mut self.cursor, &mut self.unstamped, &mut self.ahead] {
            if *place == index {
                *place = following;
            }
        }
        self.requests = self.requests.wrapping_sub(u32::from(slot.is_request()));
        self.order.unlink(slots, index);
    }

    /// PUBREC came: from the order of acceptance to the order of PUBRECs.
    #[inline]
    pub(crate) fn released(&mut self, slots: &mut [Slot], index: u32) {
        self.unlink_waiting(slots, index);
        change(slots, index, |slot| slot.stage = Stage::AwaitPubcomp);
        self.release.push_back(slots, index);
        if self.release_cursor == NONE {
            self.release_cursor = index;
        }
    }

    /// Held subscriptions are to be made again: before everything that was never handed out, and behind
    /// what was, which holds identifiers that they may have to wait for. O(in flight).
    pub(crate) fn make_again(&mut self, slots: &mut [Slot]) {
        let mut behind = self.order.head();
        while slots.get(behind as usize).is_some_and(|slot| slot.stage != Stage::Queued || slot.reserved) {
            behind = crate::list::next(slots, behind);
        }
        while let Some(index) = self.held.pop_front(slots) {
            change(slots, index, |slot| {
                slot.stage = Stage::Queued;
                slot.touched = false;
                slot.told = true;
            });
            self.told = self.told.saturating_add(1);
            self.requests = self.requests.saturating_add(1);
            self.order.insert_before(slots, index, behind);
        }
    }

    /// Everything is to be handed out again, in its order.
    pub(crate) fn rewind(&mut self) {
        self.cursor = self.order.head();
        self.ahead = self.order.head();
        self.release_cursor = self.release.head();
    }

    /// The operation a token names, if it is still open.
    pub(crate) fn find(&self, slots: &[Slot], token: Token) -> Option<u32> {
        let slot = slots.get(token.index() as usize)?;
        (slot.generation == token.generation() && slot.stage != Stage::Ended).then_some(token.index())
    }
}
