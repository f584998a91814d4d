//! Everything that carries the packets, in every driver: TCP, TLS, WebSocket, both, Unix sockets, proxies, and streams of the
//! application's own beneath them.
//!
//! A scenario is a generic function over the driver, against a server with a script or a program that others wrote;
//! `drivers!` makes a test of it for each driver, so that the name of a failing test says which:
//! `tls::wrong_name::smol`.

/// Tests for each driver of scenarios `fn name<A: Adapter>()` that stand beside it.
macro_rules! drivers {
    ($($(#[$about:meta])* $name:ident),+ $(,)?) => {$(
        mod $name {
            $(#[$about])*
            #[test]
            fn threads() {
                super::$name::<mqtt_tests::adapter::Threads>();
            }

            $(#[$about])*
            #[test]
            fn driven() {
                super::$name::<mqtt_tests::adapter::Driven>();
            }

            $(#[$about])*
            #[test]
            fn smol() {
                super::$name::<mqtt_tests::adapter::Smol>();
            }
        }
    )+};
}

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
