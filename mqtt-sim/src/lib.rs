//! A simulator for MQTT clients: brokers and a faulty network in memory, on a clock of their own.
//!
//! * [`world`]: clients (real sessions of `mqtt-session`), brokers, and connections that split, delay, lose and cut,
//!   all driven by one seed. Use it to test what an application does when the network or the broker fails.
//! * [`schedule`]: which fault strikes a connection when, also for proxies on real sockets.
//! * [`checks`]: independent observers that say when a promise of the protocol was broken.
//! * [`swarm`]: random worlds under random faults with all checks, one per seed; what this project proves itself with.
//! * [`chart`]: a run as a message sequence chart.
//! * [`broker`]: the model broker, sans-IO, for MQTT 3.1, 3.1.1 and 5.0. Use it alone to test a client of any kind.
//! * `tcp` (feature `tcp`): the same broker behind a listening socket, for demonstrations and development.
//! * `memory` (feature `memory`): the same broker on streams of memory, to test real clients without sockets.
//!
//! Three complete examples: `dying_broker` tries a subscriber against a broker that dies, at every moment; `fleet` counts how
//! hard a thousand clients come back; `in_memory`, one in `mqtt-adapter-std` and one in `mqtt-adapter-smol`,
//! drives the real adapters without sockets.
//!
//! A subscriber that must not miss anything, and a broker that dies at a bad moment:
//!
//! ```
//! use std::time::Duration;
//! use mqtt_proto::{Qos, TopicName};
//! use mqtt_session::Message;
//! use mqtt_sim::broker::BrokerConfig;
//! use mqtt_sim::world::{ClientOptions, Observed, World};
//!
//! let mut world = World::new(1);
//! let broker = world.add_broker(BrokerConfig::default());
//! let kept = |name| ClientOptions { session_expiry: 3_600, ..ClientOptions::new(name) };
//! let (meter, archive) = (world.add_client(kept("meter")), world.add_client(kept("archive")));
//! world.start(meter)?;
//! world.start(archive)?;
//! world.subscribe(archive, "power", Qos::ExactlyOnce)?;
//! world.run_for(Duration::from_secs(1))?;
//!
//! let power = Message::new(TopicName::new("power")?).qos(Qos::ExactlyOnce);
//! for watts in ["100", "200", "300"] {
//!     world.publish(meter, &power, watts.as_bytes())?;
//! }
//! world.stop_broker(broker, false); // in the middle of it
//! world.run_for(Duration::from_secs(20))?;
//! world.start_broker(broker);
//! world.run_until(Duration::from_secs(120), |world| world.pending(meter) == 0)?;
//! world.run_for(Duration::from_secs(60))?;
//!
//! let got = world.events(archive).filter(|event| matches!(event, Observed::Message(_))).count();
//! assert_eq!(got, 3, "each exactly once");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod broker;
pub mod chart;
pub mod checks;
pub mod explore;
#[cfg(feature = "memory")]
pub mod memory;
mod random;
pub mod schedule;
pub mod swarm;
#[cfg(feature = "tcp")]
pub mod tcp;
pub mod world;

pub use mqtt_session::Instant;
