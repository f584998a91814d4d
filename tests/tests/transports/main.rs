//! Everything that carries the packets, in every driver: TCP, TLS, WebSocket, both, Unix sockets, proxies, and streams of the
//! application's own beneath them.
//!
//! A scenario is a generic function over the driver, against a server with a script or a program that others wrote;
//! `drivers!` makes a test of it for each driver, so that the name of a failing test says which:
//! `tls::wrong_name::smol`.

mod common;
#[path = "../../../adapter-core/tests/peer/mod.rs"]
mod peer;
mod tls_server;
mod ws_server;

mod attempts;
mod own;
mod proxy;
mod tcp;
mod tls;
mod unix;
mod ws;
mod wss;
