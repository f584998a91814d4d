//! An MQTT client for threads.
//!
//! Two ways to use the engine, over TCP, TLS, WebSocket or a Unix socket, with the same [`Options`] and the same [`Event`]s:
//!
//! * [`Client`]: a handle that any number of threads share. Calls block until there is room or an answer; one thread
//!   of its own does the input and output.
//! * [`Connection`]: no thread at all; yours calls [`poll`](Connection::poll) and gets one event after another.
//!
//! Both connect again by themselves, with growing and random delays, and carry on where the connection broke: what was
//! accepted at QoS 1 and 2 is delivered. Protocol versions 3.1, 3.1.1 and 5.0 are a value in [`Options`].
//!
//! ```no_run
//! use std::time::Duration;
//! use mqtt_adapter_std::{Client, Options, Publish, Qos};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(Options::new("mqtt://user:secret@localhost:1883")?)?;
//! client.subscribe("greetings/#", Qos::ExactlyOnce)?;
//!
//! std::thread::spawn({
//!     let client = client.clone();
//!     move || client.publish(Publish::new("greetings/me", "hello").qos(Qos::ExactlyOnce))
//! });
//!
//! for message in client.messages().take(1) {
//!     println!("{}: {}", message.topic(), String::from_utf8_lossy(message.payload()));
//! }
//! client.stop(Duration::from_secs(5));
//! # Ok(())
//! # }
//! ```
//!
//! # More than publish and subscribe
//!
//! | what | where |
//! | --- | --- |
//! | sessions that outlive a crash | [`Options::with_journal`], [`Receipt::durable`]; receipts of an earlier run come as [`Event::Done`] from `next_event` |
//! | messages by handler | [`Routes`], [`Client::handle`]: chains, a default handler, several at a time |
//! | messages by iterator, one by one, by channel | [`Client::messages`], [`Client::recv`], [`Client::messages_to`] |
//! | a callback at the end of an operation | [`Receipt::on_done`] |
//! | an application that is slow | [`Options::with_inbox_bytes`], [`Options::with_inbox_messages`], [`Options::with_when_inbox_full`] |
//! | credentials, headers, TLS for each attempt | [`Options::with_before_connect`] |
//! | a say before each publish, before the end | [`Options::with_before_publish`], [`Options::with_before_disconnect`] |
//! | enhanced authentication | [`Options::with_authenticator`], [`Client::reauthenticate`] |
//! | requests and responses | [`Client::request`], [`Message::reply`] |
//! | payloads larger than memory | [`Client::publish_from`], [`Client::recv_large`] |
//! | streams of your own in place of sockets | [`Options::with_connector`], [`Options::with_async_connector`], [`ByteStream`] |
//! | a log of times, bytes and calls, to be run again | [`Options::with_recording`] |
//! | a log | feature `log`; never content or credentials |
//!
//! # Sockets
//!
//! `mqtt://` and `tcp://` are TCP with `TCP_NODELAY`, `mqtts://`, `ssl://` and `tls://` are TLS (feature `tls`, on by default) with what
//! `Options::with_tls` says, `ws://` and `wss://` are WebSocket
//! (feature `ws`, on by default), `unix://` is a Unix socket. None falls back to another. All are non-blocking. All addresses of a host name are tried in the resolver's order, within
//! [`Config::dial_timeout`](Config::dial_timeout). The first message after a pause is written at once by the thread that publishes it. What
//! follows within 50 µs is gathered and leaves in one write: when 32 KiB are there, when a thread begins to wait for an
//! answer or a message, with the next publish after the 50 µs, or after 1 ms.

mod channel;
mod client;
mod connection;
mod handlers;
mod large;
mod net;
mod socket;
mod wait;

pub use mqtt_adapter_core::{
    AckError, AckMode, AckToken, Anomaly, Attempt, AuthError, Authenticator, Backoff, ByteStream, Bytes,
    Cause, Change, Config, ConnectError, Connected, Dialling, Disconnected, Draft, Durability, Event, Failed,
    Handled, Journal, JournalError, Key, LocalState, Message, Options, Outcome, OverQos, Oversize,
    OwnedProperties, PacketId, Payload, Properties, Property, ProvideError, Publish, PublishError, Qos,
    ReasonCode, Recording, RecvError, Request, RequestError, ResponseError, RestoreError, RetainHandling,
    RouteId, Scheme, ServerLimits, ServerOrder, ServerUrl, SessionLost, SourceError, Stats, Stop, StopError,
    Store, Subscription, SubscriptionOptions, Suspect, Take, Token, TopicError, TopicFilter, TopicName,
    UrlError, Version, WhenFull, WhenInboxFull, WhenNotStored, Why, Will, proto, session,
};

#[cfg(feature = "proxy")]
pub use mqtt_adapter_core::{Proxy, ProxyError, ProxyFailure, ProxyKind};
#[cfg(feature = "tls")]
pub use mqtt_adapter_core::{Tls, TlsBuilder, TlsError};

pub use crate::client::{Client, Messages, Receipt};
pub use crate::connection::{Connection, PollError};
pub use crate::handlers::{Handling, Routes};
pub use crate::large::Large;
