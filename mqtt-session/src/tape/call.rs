//! The calls a log holds, and what they are given.

use core::time::Duration;
use std::vec::Vec;

use mqtt_proto::{
    Properties, Property, ReasonCode, Subscription, SubscriptionOptions, TopicFilter, TopicName, Will,
};

use super::kept::{Damaged, Kept, Reader, numbered};
use super::mask;
use crate::event::Closed;
use crate::options::{ConnectOptions, LocalState, Message, Stop};

/// Set in the byte of a call that brings another time than the one before.
pub(crate) const TIMED: u8 = 0x80;

/// A call, by number.
macro_rules! calls {
    ($($call:ident = $number:literal, $name:literal;)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Call { $($call = $number),+ }

        impl Call {
            pub(crate) const fn of(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$call),)+ _ => None }
            }

            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$call => $name),+ }
            }
        }
    };
}

calls! {
    Start = 1, "start";
    Stop = 2, "stop";
    Publish = 3, "publish";
    PublishChunked = 4, "publish_chunked";
    Provide = 5, "provide";
    Subscribe = 6, "subscribe";
    Unsubscribe = 7, "unsubscribe";
    Acknowledge = 8, "acknowledge";
    Authenticate = 9, "authenticate";
    Cancel = 10, "cancel";
    CheckLink = 11, "check_link";
    HoldInput = 12, "hold_input";
    Opened = 13, "opened";
    Closed = 14, "closed";
    Receive = 15, "receive";
    HandleTimeout = 16, "handle_timeout";
    Stored = 17, "stored";
    NotStored = 18, "not_stored";
    Restore = 19, "restore";
    PollCommand = 20, "poll_command";
    NoCommand = 21, "poll_command";
    PollEvent = 22, "poll_event";
    NoEvent = 23, "poll_event";
    Outgoing = 24, "outgoing";
    Advance = 25, "advance";
}

numbered!(Closed { DialFailed = 0, Ended = 1, Failed = 2, Carried = 3 });
numbered!(LocalState { None = 0, Held = 1 });

impl<'a> Kept<'a> for ConnectOptions<'a> {
    /// Without its secrets, and with a mark where properties cannot be written: such options are refused.
    fn put(&self, out: &mut Vec<u8>) {
        let is_whole = are_writable(self);
        let Self {
            version,
            client_id,
            clean_start,
            local_state,
            keep_alive,
            session_expiry,
            username,
            password,
            will,
            properties,
        } = self;
        version.put(out);
        client_id.put(out);
        clean_start.put(out);
        local_state.put(out);
        keep_alive.put(out);
        session_expiry.put(out);
        username.map(mask::text).as_deref().put(out);
        password.map(mask::bytes).as_deref().put(out);
        will.is_some().put(out);
        if let Some(will) = will {
            will.topic.as_str().put(out);
            (&mask::bytes(will.payload)[..]).put(out);
            will.qos.put(out);
            will.retain.put(out);
            if is_whole { will.properties } else { Properties::EMPTY }.put(out);
        }
        is_whole.put(out);
        (&mask::properties(*properties).unwrap_or_default()[..]).put(out);
    }

    fn take(from: &mut Reader<'a>) -> Result<Self, Damaged> {
        Ok(Self {
            version: from.take()?,
            client_id: from.take()?,
            clean_start: from.take()?,
            local_state: from.take()?,
            keep_alive: from.take()?,
            session_expiry: from.take()?,
            username: from.take()?,
            password: from.take()?,
            will: if from.take()? {
                Some(Will {
                    topic: TopicName::new(from.take()?).map_err(|_| Damaged)?,
                    payload: from.take()?,
                    qos: from.take()?,
                    retain: from.take()?,
                    properties: from.take()?,
                })
            } else {
                None
            },
            properties: match (from.take()?, from.take()?) {
                (true, properties) => properties,
                // What CONNECT cannot have.
                (false, _) => Properties::List(&[Property::ReasonString("")]),
            },
        })
    }
}

/// Whether the properties of a CONNECT can be written.
pub(crate) fn are_writable(options: &ConnectOptions<'_>) -> bool {
    writable(options.properties) && options.will.as_ref().is_none_or(|will| writable(will.properties))
}

impl<'a> Kept<'a> for Message<'a> {
    fn put(&self, out: &mut Vec<u8>) {
        let Self { topic, qos, retain, properties, ttl, key, tag } = self;
        topic.as_str().put(out);
        qos.put(out);
        retain.put(out);
        properties.put(out);
        ttl.put(out);
        key.put(out);
        tag.put(out);
    }

    fn take(from: &mut Reader<'a>) -> Result<Self, Damaged> {
        Ok(Self {
            topic: TopicName::new(from.take()?).map_err(|_| Damaged)?,
            qos: from.take()?,
            retain: from.take()?,
            properties: from.take()?,
            ttl: from.take()?,
            key: from.take()?,
            tag: from.take()?,
        })
    }
}

impl<'a> Kept<'a> for Stop<'a> {
    fn put(&self, out: &mut Vec<u8>) {
        let Self { drain, reason_code, properties } = self;
        drain.put(out);
        reason_code.put(out);
        properties.put(out);
    }

    fn take(from: &mut Reader<'a>) -> Result<Self, Damaged> {
        let (drain, reason_code, properties) =
            (from.take::<Duration>()?, from.take::<ReasonCode>()?, from.take::<Properties<'_>>()?);
        Ok(Self { drain, reason_code, properties })
    }
}

impl<'a> Kept<'a> for Subscription<'a> {
    fn put(&self, out: &mut Vec<u8>) {
        self.filter.put(out);
        out.push(self.options.to_byte());
    }

    fn take(from: &mut Reader<'a>) -> Result<Self, Damaged> {
        let filter = from.take()?;
        let [options] = from.bytes(1)? else { return Err(Damaged) };
        Ok(Self { filter, options: SubscriptionOptions::from_byte(*options).ok_or(Damaged)? })
    }
}

impl<'a> Kept<'a> for TopicFilter<'a> {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_str().put(out);
    }

    fn take(from: &mut Reader<'a>) -> Result<Self, Damaged> {
        TopicFilter::new(from.take()?).map_err(|_| Damaged)
    }
}

/// A list; memory follows what is there.
pub(crate) fn list<'a, T: Kept<'a>>(from: &mut Reader<'a>) -> Result<Vec<T>, Damaged> {
    let count: usize = from.take()?;
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(from.take()?);
    }
    Ok(list)
}

/// Properties that can be written as they are.
pub(crate) fn writable(properties: Properties<'_>) -> bool {
    let mut buffer = std::vec![0; properties.body_len()];
    properties.write_body(&mut buffer).is_ok_and(|written| written == buffer.len())
}
