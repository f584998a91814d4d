//! Which address to try, and for how long.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::net::ToSocketAddrs;
use std::time::Instant;

use crate::event::Cause;
use crate::url::ServerUrl;

/// The addresses of a server, tried in the resolver's order within one deadline.
///
/// Each gets an even share of the time that is left, so that one address that swallows packets does not
/// use up the time of the others.
#[derive(Debug)]
pub struct Addresses {
    list: std::vec::IntoIter<SocketAddr>,
    until: Instant,
}

impl Addresses {
    /// Addresses to be tried until `until`.
    #[must_use]
    pub fn new(list: Vec<SocketAddr>, until: Instant) -> Self {
        Self { list: list.into_iter(), until }
    }

    /// The next address, and how long to wait for it; `None`: all were tried, or the time is over.
    pub fn next(&mut self, now: Instant) -> Option<(SocketAddr, Duration)> {
        let left = self.until.saturating_duration_since(now);
        let share = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        let address = self.list.next()?;
        (!left.is_zero()).then(|| (address, left / share.max(1)))
    }
}

/// The address of a server that needs no resolver.
#[must_use]
pub fn literal(server: &ServerUrl) -> Option<SocketAddr> {
    server.host().parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, server.port()))
}

/// Asks the system's resolver, which may block for long.
///
/// # Errors
/// [`Cause::Resolve`]: no such name, no answer, or no address.
pub fn resolve(server: &ServerUrl) -> Result<Vec<SocketAddr>, Cause> {
    let host = server.host();
    match (host, server.port()).to_socket_addrs() {
        Ok(addresses) => {
            let mut list: Vec<SocketAddr> = Vec::new();
            for address in addresses {
                if !list.contains(&address) {
                    list.push(address);
                }
            }
            if list.is_empty() { Err(Cause::resolve(host, "it has none")) } else { Ok(list) }
        }
        Err(error) => Err(Cause::resolve(host, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_share_the_time_that_is_left() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let list: Vec<SocketAddr> = vec!["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()];
        let mut addresses = Addresses::new(list.clone(), now + 10 * second);
        assert_eq!(addresses.next(now), Some((list[0], 5 * second)));
        assert_eq!(addresses.next(now + 2 * second), Some((list[1], 8 * second)));
        assert_eq!(addresses.next(now), None);
        let mut late = Addresses::new(list, now);
        assert_eq!(late.next(now), None);
    }

    #[test]
    fn a_literal_address_needs_no_resolver() {
        let six = ServerUrl::parse("mqtt://[::1]:7").unwrap();
        assert_eq!(literal(&six), Some("[::1]:7".parse().unwrap()));
        assert_eq!(literal(&ServerUrl::parse("mqtt://localhost").unwrap()), None);
        assert_eq!(resolve(&six), Ok(vec!["[::1]:7".parse().unwrap()]));
    }

    #[test]
    fn a_name_without_address_is_a_typed_error() {
        // A label of more than 63 letters is never asked for on the network.
        let server = ServerUrl::new(format!("{}.invalid", "x".repeat(70)), 1883).unwrap();
        assert!(matches!(resolve(&server), Err(Cause::Resolve { .. })));
    }
}
