//! What the blocking and the async adapter of the MQTT engine share.
//!
//! An application uses an adapter, `mqtt-adapter-std` or `mqtt-adapter-smol`; both re-export what it needs from here. This
//! crate is for whoever writes another adapter, for another runtime or another kind of socket. It moves no
//! bytes by itself and makes no decision of the protocol; it holds
//!
//! * what both say alike: [`Options`], [`ServerUrl`], [`Publish`], [`Message`], [`Event`], [`Outcome`], the errors;
//! * [`Driver`]: one engine and one non-blocking transport, turned by its owner;
//! * [`client`]: the state behind the handles of a client. [`Handle`]s publish, subscribe and wait, one [`Worker`]
//!   does the input and output; both adapters differ only in how they wait.
//!
//! The owner of a [`Worker`] runs this loop, here over a socket of the standard library that is asked again
//! and again; a real adapter waits for readiness and for the waker instead:
//!
//! ```no_run
//! use std::net::TcpStream;
//! use std::sync::Arc;
//!
//! use mqtt_adapter_core::{Cause, Host, Options, client};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (handle, mut worker) = client::<TcpStream>(Options::new("mqtt://localhost")?)?;
//! let mut socket: Option<Arc<TcpStream>> = None;
//! loop {
//!     let turn = worker.turn(false);
//!     if turn.stopped {
//!         break;
//!     }
//!     if let Some(attempt) = turn.open {
//!         let host = Host::of(&attempt.server, worker.options());
//!         let address = host.resolve().map(|list| list[0]);
//!         match address.and_then(|at| TcpStream::connect(at).map_err(|error| Cause::dial(at, &error))) {
//!             Ok(stream) => {
//!                 stream.set_nonblocking(true)?;
//!                 worker.opened(Arc::clone(socket.insert(Arc::new(stream))));
//!             }
//!             Err(cause) => worker.dial_failed(Some(cause)),
//!         }
//!         continue;
//!     }
//!     match &socket {
//!         Some(link) if turn.read => match worker.read(&turn, link) {
//!             Ok(0) => worker.lost(turn.generation, None),
//!             Ok(_) => {}
//!             Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => worker.writable(),
//!             Err(error) => worker.lost(turn.generation, Some(&error)),
//!         },
//!         _ => {}
//!     }
//! }
//! # drop(handle);
//! # Ok(())
//! # }
//! ```

mod connector;
mod dial;
mod driver;
mod error;
mod event;
mod hooks;
mod hub;
mod inbox;
mod input;
mod journal;
mod message;
mod options;
mod properties;
#[cfg(feature = "proxy")]
mod proxy;
mod recording;
mod report;
mod responses;
mod routes;
mod stream;
mod sync;
#[cfg(feature = "tls-no-provider")]
mod tls;
mod transport;
mod url;
mod waiters;
mod wakers;
#[cfg(feature = "ws")]
mod ws;

pub use mqtt_session::{self as session, proto};

pub use bytes::Bytes;
pub use mqtt_session::proto::{
    PacketId, Properties, Property, Qos, ReasonCode, RetainHandling, Subscription, SubscriptionOptions,
    TopicError, TopicFilter, TopicName, Version,
};
pub use mqtt_session::{
    AckError, AckMode, AckToken, Anomaly, AuthError, Backoff, Config, Durability, Key, LocalState, OverQos,
    Oversize, ProvideError, RestoreError, ServerLimits, ServerOrder, SessionLost, Stats, Stop, StopError,
    Suspect, Token, WhenFull, WhenNotStored, Why, request::Request,
};

pub use crate::connector::{ByteStream, Connecting, Connector, Dialling, OwnStream, Raw};
pub use crate::dial::{Addresses, Host, Peer, Way, deadline};
pub use crate::driver::{Driver, Flush, Sink, Turn, subscription, with_payload};
pub use crate::error::{ConnectError, PublishError, RecvError, RequestError, SourceError};
pub use crate::event::{Cause, Connected, Disconnected, Event, Failed, Outcome};
pub use crate::hooks::{Attempt, Authenticator, Draft};
pub use crate::hub::{Ask, Download, Handle, Jobs, Upload, Wait, Watch, Worker, client};
pub use crate::input::Input;
pub use crate::journal::{Change, Journal, JournalError, Store, Take};
pub use crate::message::{Message, Payload, Publish};
pub use crate::options::{Options, WhenInboxFull, Will};
pub use crate::properties::OwnedProperties;
#[cfg(feature = "proxy")]
pub use crate::proxy::{Proxy, ProxyError, ProxyFailure, ProxyKind};
pub use crate::recording::Recording;
pub use crate::responses::ResponseError;
pub use crate::routes::{Handled, RouteId, RouteTable};
pub use crate::stream::Stream;
#[cfg(feature = "tls-no-provider")]
pub use crate::tls::{Tls, TlsBuilder, TlsError};
pub use crate::transport::{LinkFacts, Transport};
pub use crate::url::{Scheme, ServerUrl, UrlError};
