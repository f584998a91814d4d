//! A simulator for MQTT clients: a broker and a network in memory, on a clock of their own.
//!
//! * [`broker`]: the model broker, sans-IO, for MQTT 3.1, 3.1.1 and 5.0. Use it to test a client without a network.
//! * `tcp` (feature `tcp`): the same broker behind a listening socket, for demonstrations and development.
//!
//! ```
//! use mqtt_sim::broker::{Broker, BrokerConfig};
//! use mqtt_session::Instant;
//!
//! let mut broker = Broker::new(BrokerConfig::default());
//! let conn = broker.open(Instant::ZERO);
//! // MQTT 3.1.1 CONNECT with the client id "a", in two pieces, and its CONNACK.
//! broker.receive(conn, b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c", Instant::ZERO);
//! broker.receive(conn, b"\x00\x01a", Instant::ZERO);
//! assert_eq!(broker.outgoing(conn), [0x20, 2, 0, 0]);
//! ```

pub mod broker;
#[cfg(feature = "tcp")]
pub mod tcp;
