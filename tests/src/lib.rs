//! Harness of the tests against real brokers.
//!
//! * [`mosquitto`]: a broker as a child process on a free loopback port; [`certificates`] for its encrypted listeners.
//! * [`brokers`]: the other brokers of the matrix.
//! * [`model`]: the model broker on a port, for what mosquitto cannot show.
//! * [`proxy`]: connections under a schedule of faults; [`scripted`]: servers that say what a test tells them to.
//! * [`gauge`]: memory, descriptors, threads and processor time of this process.
//! * [`numbered`]: options and messages of a flow whose messages are counted.
//! * [`forward`]: proxies that others wrote, as child processes.
//! * [`polls`]: futures that are given up in the middle.
//! * [`process`]: other programs as children of a test.
//! * [`server`]: a server that a test plays, packet by packet.
//! * [`adapter`]: one face over the drivers, so that each test is written once.
//!
//! The tests themselves stand in `tests/tests/`.

pub mod adapter;
pub mod brokers;
pub mod certificates;
pub mod folder;
pub mod forward;
pub mod gauge;
pub mod model;
pub mod mosquitto;
pub mod numbered;
pub mod polls;
pub mod process;
pub mod proxy;
pub mod scripted;
pub mod server;

/// The examples of the project's front page, compiled and run as tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
