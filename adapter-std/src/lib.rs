//! An MQTT client for threads.
//!
//! Two ways to use the engine, over TCP, TLS, WebSocket or a Unix socket, directly or through a proxy, with the same [`Options`] and the same [`Event`]s:
//!
//! * [`Client`]: a handle that any number of threads share. Calls block until there is room or an answer; one thread
//!   of its own connects, reads, and writes what they have not written themselves.
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
//! | proxies | `Options::with_proxy`, `Options::with_proxy_from_env` |
//! | streams of your own in place of sockets | [`Options::with_connector`], [`Options::with_async_connector`], [`ByteStream`] |
//! | a log of times, bytes and calls, to be run again | [`Options::with_recording`] |
//! | a log | feature `log`; never content or credentials |
//!
//! # Transports
//!
//! | address | what | feature |
//! | --- | --- | --- |
//! | `mqtt://`, `tcp://` | TCP, port 1883, with `TCP_NODELAY` | |
//! | `mqtts://`, `ssl://`, `tls://` | TLS, port 8883, as `Options::with_tls` says; roots of the platform by default | `tls`, `tls-aws-lc-rs` or `tls-no-provider` |
//! | `ws://`, `wss://` | WebSocket, ports 80 and 443, `wss` over TLS; each batch of packets is one frame, and a payload of more than 256 KiB is several | `ws` |
//! | `unix://` | a Unix socket | |
//! | any, through a proxy | SOCKS5 and HTTP CONNECT, as `Options::with_proxy` or `with_proxy_from_env` says | `proxy` |
//! | any, over a stream of your own | [`Options::with_connector`] | |
//!
//! None falls back to another. All addresses of a host name are tried in the resolver's order. Everything before the connection
//! is up happens within [`Config::dial_timeout`](Config::dial_timeout). [`Connected::link`] tells what it came to.
//!
//! # Features
//!
//! | feature | what | by default |
//! | --- | --- | --- |
//! | `tls` | TLS by rustls with ring, and the roots of the platform | yes |
//! | `tls-aws-lc-rs` | the same with aws-lc-rs; ring goes first where both are there | |
//! | `tls-no-provider` | TLS by rustls with your own `ClientConfig` (`Tls::from_config`) or `CryptoProvider` (`Tls::builder_with`) | |
//! | `ws` | WebSocket | yes |
//! | `proxy` | proxies | yes |
//! | `journal` | durable sessions in a file | yes |
//! | `log` | connections and their ends go to the log of that name | |
//!
//! # When bytes leave
//!
//! Sockets never block. The first message after a pause is written at once by the thread that publishes it. What
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
    Handled, Journal, JournalError, Key, LinkFacts, LocalState, Message, Options, Outcome, OverQos, Oversize,
    OwnedProperties, PacketId, Payload, Properties, Property, ProvideError, Publish, PublishError, Qos,
    ReasonCode, Recording, RecvError, Request, RequestError, ResponseError, RestoreError, RetainHandling,
    RouteId, Scheme, ServerLimits, ServerOrder, ServerUrl, SessionLost, SourceError, Stats, Stop, StopError,
    Store, Subscription, SubscriptionOptions, Suspect, Take, Token, TopicError, TopicFilter, TopicName,
    UrlError, Version, WhenFull, WhenInboxFull, WhenNotStored, Why, Will, proto, session,
};

#[cfg(feature = "proxy")]
pub use mqtt_adapter_core::{Proxy, ProxyError, ProxyFailure, ProxyKind};
#[cfg(feature = "tls-no-provider")]
pub use mqtt_adapter_core::{Tls, TlsBuilder, TlsError};

pub use crate::client::{Client, Messages, Receipt};
pub use crate::connection::{Connection, PollError};
pub use crate::handlers::{Handling, Routes};
pub use crate::large::Large;
