//! The broker talked to in packets and in bytes.

mod connect;
mod defence;
mod delivery;
mod misbehave;
mod peer;
mod qos;
mod sessions;
mod subscriptions;
