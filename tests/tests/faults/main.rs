//! Faults on real sockets: each kind through a proxy, a soak, a link that goes silent, and many connections at once.

mod crowd;
mod kinds;
mod namespaces;
mod soak;
