//! The built program `mqtt`: alone, and with mosquitto's own clients on the other end.

mod bad_input;
mod broker;
mod demo;
mod interop;
mod run;
mod secure;
mod sim;
mod tape;
mod usage;
