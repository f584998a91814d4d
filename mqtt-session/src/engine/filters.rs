//! Subscriptions and their ends: accepted, sent, answered.

use mqtt_proto::{
    Encode, EncodeError, PacketId, Properties, Qos, ReasonCode, ReasonCodes, Subscribe, Subscription,
    Subscriptions, TopicFilter, TopicFilters, Unsubscribe, Version,
};

use super::accept::{Body, Plan};
use super::pump::Stop;
use super::room::Lack;
use super::{ANY_ID, Core};
use crate::arena::cost;
use crate::error::SubscribeError;
use crate::event::{Event, Outcome, Why};
use crate::link::State;
use crate::operation::Kind;
use crate::qos::{Answer, Reaction, Stage, answered};
use crate::storage::Tables;
use crate::time::Instant;
use crate::token::Token;

/// The filters of a SUBSCRIBE or UNSUBSCRIBE.
#[derive(Clone, Copy)]
pub(crate) enum Filters<'a> {
    Subscribe(&'a [Subscription<'a>]),
    Unsubscribe(&'a [TopicFilter<'a>]),
}

impl Filters<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Subscribe(list) => list.len(),
            Self::Unsubscribe(list) => list.len(),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Subscribe(_) => Kind::Subscribe,
            Self::Unsubscribe(_) => Kind::Unsubscribe,
        }
    }

    fn body_len(&self) -> usize {
        match self {
            Self::Subscribe(list) => Subscriptions::from(*list).body_len(),
            Self::Unsubscribe(list) => TopicFilters::from(*list).body_len(),
        }
    }

    fn write_body(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        match self {
            Self::Subscribe(list) => Subscriptions::from(*list).write_body(out),
            Self::Unsubscribe(list) => TopicFilters::from(*list).write_body(out),
        }
    }

    /// The length of the packet, as long as it can get on any version.
    fn packet_len(&self, properties: Properties<'_>) -> Result<usize, EncodeError> {
        let packet_id = ANY_ID;
        match self {
            Self::Subscribe(list) => Subscribe { packet_id, properties, filters: Subscriptions::from(*list) }
                .encoded_len(Version::V5),
            Self::Unsubscribe(list) => {
                Unsubscribe { packet_id, properties, filters: TopicFilters::from(*list) }
                    .encoded_len(Version::V5)
            }
        }
    }

    fn any(&self, test: impl Fn(&TopicFilter<'_>) -> bool) -> bool {
        match self {
            Self::Subscribe(list) => list.iter().any(|subscription| test(&subscription.filter)),
            Self::Unsubscribe(list) => list.iter().any(test),
        }
    }
}

impl Core {
    /// Checks a subscription or its end against everything that is known now.
    pub(crate) fn plan_filters(
        &mut self,
        filters: Filters<'_>,
        properties: Properties<'_>,
    ) -> Result<Plan, SubscribeError> {
        if self.link.stopping {
            return Err(SubscribeError::Stopping);
        }
        let Some(count) = u16::try_from(filters.len()).ok().filter(|count| *count != 0) else {
            return Err(if filters.len() == 0 {
                SubscribeError::NoFilter
            } else {
                SubscribeError::TooLarge { needed: filters.len(), allowed: usize::from(u16::MAX) }
            });
        };
        let needed = filters.packet_len(properties).map_err(SubscribeError::Invalid)?;
        if needed > self.bounds.wire {
            return Err(SubscribeError::TooLarge { needed, allowed: self.bounds.wire });
        }
        if self.link.state == State::Up {
            self.check_filters(filters, properties, needed)?;
        }
        let plan = Plan {
            kind: filters.kind(),
            head_len: 0,
            properties_len: properties.body_len(),
            body_len: filters.body_len(),
            filters: count,
            body: Body::Copied,
        };
        if cost(plan.all()) > self.bounds.arena {
            return Err(SubscribeError::TooLarge { needed: cost(plan.all()), allowed: self.bounds.arena });
        }
        if let Err(lack) = self.room_for(cost(plan.all())) {
            self.blocked = Some(cost(plan.all()));
            return Err(match lack {
                Lack::Slots => SubscribeError::QueueFull,
                Lack::Bytes => SubscribeError::BytesFull,
            });
        }
        Ok(plan)
    }

    fn check_filters(
        &self,
        filters: Filters<'_>,
        properties: Properties<'_>,
        needed: usize,
    ) -> Result<(), SubscribeError> {
        let allowed = self.limits.maximum_packet_size as usize;
        if needed > allowed {
            return Err(SubscribeError::TooLargeForServer { needed, allowed });
        }
        if filters.kind() == Kind::Subscribe {
            if !self.limits.wildcard_subscriptions && filters.any(|filter| filter.has_wildcards()) {
                return Err(SubscribeError::WildcardsNotSupported);
            }
            if !self.limits.shared_subscriptions && filters.any(|filter| filter.share().is_some()) {
                return Err(SubscribeError::SharedNotSupported);
            }
            if !self.limits.subscription_identifiers && properties.subscription_identifiers().next().is_some()
            {
                return Err(SubscribeError::IdentifiersNotSupported);
            }
        }
        Ok(())
    }

    /// Accepts a planned SUBSCRIBE or UNSUBSCRIBE. The caller has made room.
    pub(crate) fn accept_filters(
        &mut self,
        tables: &mut Tables<'_>,
        filters: Filters<'_>,
        properties: Properties<'_>,
        plan: &Plan,
    ) -> Option<Token> {
        let (index, slot, content) = self.insert(tables, plan)?;
        slot.qos = Qos::AtLeastOnce;
        slot.asked = Qos::AtLeastOnce;
        slot.retain = false;
        slot.tag = 0;
        slot.key = None;
        slot.expires =
            self.config.request_timeout.map_or(Instant::NEVER, |timeout| Instant::ZERO.after(timeout));
        slot.wire_expires = Instant::NEVER;
        let (head, body) = content.split_at_mut_checked(plan.properties_len)?;
        properties.write_body(head).ok()?;
        filters.write_body(body).ok()?;
        let token = Token::new(index, slot.generation);
        self.ops.accept(tables.slots, index);
        if self.records() {
            self.note_accepted(tables, index);
        }
        Some(token)
    }

    /// Why the server does not allow these subscriptions, told after they were accepted.
    fn ruled_out(&self, filters: &Subscriptions<'_>, properties: &Properties<'_>) -> Option<ReasonCode> {
        let limits = &self.limits;
        if limits.wildcard_subscriptions && limits.shared_subscriptions && limits.subscription_identifiers {
            return None;
        }
        if !limits.wildcard_subscriptions && filters.iter().any(|item| item.filter.has_wildcards()) {
            return Some(ReasonCode::WildcardSubscriptionsNotSupported);
        }
        if !limits.shared_subscriptions && filters.iter().any(|item| item.filter.share().is_some()) {
            return Some(ReasonCode::SharedSubscriptionsNotSupported);
        }
        let identified = properties.subscription_identifiers().next().is_some();
        (!limits.subscription_identifiers && identified)
            .then_some(ReasonCode::SubscriptionIdentifiersNotSupported)
    }

    pub(super) fn pump_filters(&mut self, tables: &mut Tables<'_>, index: u32) -> Result<(), Stop> {
        let Some(slot) = tables.slots.get(index as usize) else { return Err(Stop::Pause) };
        let packet_id = match slot.packet_id {
            Some(id) => id,
            None => self.next_id(tables.ids.len())?,
        };
        let version = self.link.version;
        let (_, stored) = slot.head(tables.arena);
        let properties =
            if version.has_properties() { Properties::Encoded(stored) } else { Properties::EMPTY };
        let body = slot.body(tables.arena);
        if slot.kind == Kind::Subscribe
            && let Some(code) = self.ruled_out(&Subscriptions::from_stored(body), &properties)
        {
            return self.refuse(tables, index, code);
        }
        let begins = self.wire.position();
        let longest =
            (slot.properties_len as usize).saturating_add(slot.payload_len as usize).saturating_add(12);
        let space = self.wire.space(tables.wire, longest);
        let (written, stage) = match slot.kind {
            Kind::Unsubscribe => {
                let packet = Unsubscribe { packet_id, properties, filters: TopicFilters::from_stored(body) };
                (packet.encode(version, space), Stage::AwaitUnsuback)
            }
            _ => {
                let packet = Subscribe { packet_id, properties, filters: Subscriptions::from_stored(body) };
                (packet.encode(version, space), Stage::AwaitSuback)
            }
        };
        match written {
            Ok(len) if len > self.limits.maximum_packet_size as usize => {
                self.refuse(tables, index, ReasonCode::PacketTooLarge)
            }
            Ok(len) => {
                self.stats.packets_out.count(space.first().copied().unwrap_or(0));
                self.wire.written(len);
                self.handed_out(tables, index, stage, (begins, self.wire.position()));
                self.connection.requests = self.connection.requests.saturating_add(1);
                self.await_ack();
                Ok(())
            }
            Err(EncodeError::BufferTooSmall { needed }) => Err(self.no_room(tables.wire.len(), needed)),
            Err(_) => self.refuse(tables, index, ReasonCode::ImplementationSpecificError),
        }
    }

    #[inline(never)]
    pub(super) fn handle_codes<'i>(
        &mut self,
        tables: &mut Tables<'_>,
        id: PacketId,
        answer: Answer,
        codes: ReasonCodes<'i>,
        properties: Properties<'i>,
    ) -> Option<Event<'i>> {
        let version = self.link.version;
        let open =
            self.answerable(tables, id).filter(|(_, stage)| answered(*stage, answer) == Reaction::Complete);
        let matches = open.filter(|(index, _)| {
            let filters = tables.slots.get(*index as usize).map_or(0, |slot| usize::from(slot.filters));
            // The UNSUBACK of 3.x has no codes.
            codes.len() == filters || (answer == Answer::Unsuback && !version.has_properties())
        });
        let Some((index, _)) = matches else {
            // One code for each filter, in order. [MQTT-3.8.4-6], [MQTT-3.9.3-1], [MQTT-3.11.3-1]
            let rule = if answer == Answer::Suback { "MQTT-3.8.4-6" } else { "MQTT-3.11.3-1" };
            self.violated(Why::Protocol(ReasonCode::ProtocolError, rule), ReasonCode::ProtocolError);
            return None;
        };
        self.progressed();
        if answer == Answer::Suback && self.config.resubscribe {
            return self.granted(tables, index, codes, properties);
        }
        if answer == Answer::Unsuback {
            self.unsubscribed(tables, index, codes);
        }
        let late = tables.slots.get(index as usize).is_some_and(|slot| slot.late);
        let (token, tag) = self.complete(tables, index)?;
        (!late).then_some(Event::Done { token, tag, outcome: Outcome::Granted(codes), properties })
    }
}
