//! How an attempt to connect begins: which address to try, for how long, and whom the socket belongs to.

#[cfg(feature = "proxy")]
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io;
use std::net::ToSocketAddrs;
#[cfg(feature = "proxy")]
use std::sync::Arc;
use std::time::Instant;

use crate::connector::{Connecting, Dialling};
use crate::event::Cause;
use crate::hooks::Attempt;
use crate::options::Options;
#[cfg(feature = "proxy")]
use crate::proxy::{Proxy, ProxyFailure};
use crate::url::{Scheme, ServerUrl};

/// When something that begins now and may take so long is over; a time beyond what the clock can say is a year.
#[must_use]
pub fn deadline(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now + Duration::from_secs(365 * 86_400))
}

/// How an attempt begins.
#[derive(Debug)]
pub enum Way {
    /// The application's connector connects.
    Connector(Connecting),
    /// A Unix socket, by its path.
    Path(String),
    /// TCP.
    Host(Host),
}

impl Options {
    /// What an attempt with these options connects to first. Nothing happens yet.
    #[must_use]
    pub fn way(&self, attempt: &Attempt, until: Instant) -> Way {
        let server = &attempt.server;
        match self.connector() {
            Some(connector) => {
                Way::Connector(connector.connect(Dialling::new(server.clone(), attempt.number, until)))
            }
            None if server.scheme() == Scheme::Unix => Way::Path(server.host().to_owned()),
            None => Way::Host(Host::of(server, self)),
        }
    }
}

/// Who is connected by TCP: the server, or the proxy it is reached through.
#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    port: u16,
    #[cfg(feature = "proxy")]
    proxy: Option<Arc<Proxy>>,
}

impl Host {
    /// The first on the way to this server.
    #[must_use]
    #[cfg_attr(not(feature = "proxy"), expect(unused_variables, reason = "proxies are in the options"))]
    pub fn of(server: &ServerUrl, options: &Options) -> Self {
        #[cfg(feature = "proxy")]
        if let Some(proxy) = options.proxies.of(server) {
            return Self {
                name: proxy.host().to_owned(),
                port: proxy.port(),
                proxy: Some(Arc::clone(proxy)),
            };
        }
        Self {
            name: server.host().to_owned(),
            port: server.port(),
            #[cfg(feature = "proxy")]
            proxy: None,
        }
    }

    /// Its address, if that needs no resolver.
    #[must_use]
    pub fn literal(&self) -> Option<SocketAddr> {
        self.name.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, self.port))
    }

    /// Asks the system's resolver, which may block for long.
    ///
    /// # Errors
    /// [`Cause::Resolve`], for a proxy `Cause::Proxy`: no such name, no answer, or no address.
    pub fn resolve(&self) -> Result<Vec<SocketAddr>, Cause> {
        match (self.name.as_str(), self.port).to_socket_addrs() {
            Ok(addresses) => {
                let mut list: Vec<SocketAddr> = Vec::new();
                for address in addresses {
                    if !list.contains(&address) {
                        list.push(address);
                    }
                }
                if list.is_empty() {
                    Err(self.unresolved(&io::Error::other("it has no address")))
                } else {
                    Ok(list)
                }
            }
            Err(error) => Err(self.unresolved(&error)),
        }
    }

    /// What it is told as that no address is known, or that there is no time to try one.
    #[must_use]
    pub fn unresolved(&self, error: &io::Error) -> Cause {
        #[cfg(feature = "proxy")]
        if let Some(proxy) = &self.proxy {
            return Cause::unreachable(proxy, error, format_args!("it cannot be reached: {error}"));
        }
        Cause::resolve(&self.name, error)
    }

    /// Who is at one of its addresses.
    #[must_use]
    pub fn peer(&self, address: SocketAddr) -> Peer {
        #[cfg(feature = "proxy")]
        if let Some(proxy) = &self.proxy {
            return Peer(Kind::Proxy(address, Arc::clone(proxy)));
        }
        Peer::address(address)
    }
}

/// The addresses of a host, tried in the resolver's order within one deadline.
///
/// Each gets an even share of the time that is left, so that one address that swallows packets does not
/// use up the time of the others.
#[derive(Debug)]
pub struct Addresses {
    host: Host,
    list: std::vec::IntoIter<SocketAddr>,
    until: Instant,
}

impl Addresses {
    /// Addresses of this host, to be tried until `until`.
    #[must_use]
    pub fn new(host: Host, list: Vec<SocketAddr>, until: Instant) -> Self {
        Self { host, list: list.into_iter(), until }
    }

    /// The next address, and how long to wait for it; `None`: all were tried, or the time is over.
    pub fn next(&mut self, now: Instant) -> Option<(SocketAddr, Duration)> {
        let left = self.until.saturating_duration_since(now);
        let share = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        let address = self.list.next()?;
        (!left.is_zero()).then(|| (address, left / share.max(1)))
    }

    /// Whose they are.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// What it is told as that there was no time to try any.
    #[must_use]
    pub fn untried(&self) -> Cause {
        self.host
            .unresolved(&io::Error::new(io::ErrorKind::TimedOut, "no time was left to try its addresses"))
    }
}

/// Whom a socket belongs to.
#[derive(Clone, Debug)]
pub struct Peer(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Address(SocketAddr),
    #[cfg(feature = "proxy")]
    Proxy(SocketAddr, Arc<Proxy>),
    Path(String),
    /// Whoever the connector has connected to.
    Given(ServerUrl),
}

impl Peer {
    /// A server at an address.
    #[must_use]
    pub const fn address(address: SocketAddr) -> Self {
        Self(Kind::Address(address))
    }

    /// A server at a Unix socket.
    #[must_use]
    pub fn path(path: impl Into<String>) -> Self {
        Self(Kind::Path(path.into()))
    }

    /// Whoever the application's connector has connected to for this server.
    #[must_use]
    pub const fn given(server: ServerUrl) -> Self {
        Self(Kind::Given(server))
    }

    /// The proxy, if it is one.
    #[cfg(feature = "proxy")]
    pub(crate) const fn proxy(&self) -> Option<&Arc<Proxy>> {
        match &self.0 {
            Kind::Proxy(_, proxy) => Some(proxy),
            _ => None,
        }
    }

    /// What it is told as that it could not be connected.
    #[must_use]
    pub fn cause(&self, error: &io::Error) -> Cause {
        match &self.0 {
            Kind::Address(address) => Cause::dial(*address, error),
            #[cfg(feature = "proxy")]
            Kind::Proxy(address, proxy) => {
                Cause::unreachable(proxy, error, format_args!("it cannot be reached at {address}: {error}"))
            }
            Kind::Path(path) => Cause::dial_path(path, error),
            Kind::Given(server) => Cause::connector(server, error),
        }
    }

    /// What it is told as that TLS was not agreed on with the server.
    #[cfg(feature = "tls-no-provider")]
    pub(crate) fn tls(&self, error: &io::Error) -> Cause {
        self.layer("TLS", error, |address, detail| Cause::Tls { address, detail })
    }

    /// The same of a WebSocket.
    #[cfg(feature = "ws")]
    pub(crate) fn web_socket(&self, error: &io::Error) -> Cause {
        self.layer("WebSocket", error, |address, detail| Cause::WebSocket { address, detail })
    }

    #[cfg(any(feature = "tls-no-provider", feature = "ws"))]
    fn layer(&self, name: &str, error: &io::Error, cause: impl FnOnce(SocketAddr, String) -> Cause) -> Cause {
        match &self.0 {
            Kind::Address(address) => cause(*address, error.to_string()),
            #[cfg(feature = "proxy")]
            Kind::Proxy(address, proxy) => cause(*address, format!("{error} (through the proxy {proxy})")),
            Kind::Path(path) => Cause::dial_path(path, error),
            Kind::Given(server) => Cause::Connector {
                server: server.to_string(),
                kind: error.kind(),
                detail: format!("{name}: {error}"),
            },
        }
    }
}

#[cfg(feature = "proxy")]
impl Cause {
    fn unreachable(proxy: &Proxy, error: &io::Error, detail: fmt::Arguments<'_>) -> Self {
        let failure = ProxyFailure::Unreachable { kind: error.kind() };
        Self::Proxy { proxy: proxy.to_string(), failure, detail: detail.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(url: &str) -> Host {
        let options = Options::new(url).unwrap();
        Host::of(&options.servers()[0], &options)
    }

    #[test]
    fn addresses_share_the_time_that_is_left() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let list: Vec<SocketAddr> = vec!["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()];
        let mut addresses = Addresses::new(host("mqtt://h"), list.clone(), now + 10 * second);
        assert_eq!(addresses.next(now), Some((list[0], 5 * second)));
        assert_eq!(addresses.next(now + 2 * second), Some((list[1], 8 * second)));
        assert_eq!(addresses.next(now), None);
        let mut late = Addresses::new(host("mqtt://h"), list, now);
        assert_eq!(late.next(now), None);
    }

    #[test]
    fn a_literal_address_needs_no_resolver() {
        let six = host("mqtt://[::1]:7");
        assert_eq!(six.literal(), Some("[::1]:7".parse().unwrap()));
        assert_eq!(host("mqtt://localhost").literal(), None);
        assert_eq!(six.resolve(), Ok(vec!["[::1]:7".parse().unwrap()]));
    }

    #[test]
    fn a_name_without_address_is_a_typed_error() {
        // A label of more than 63 letters is never asked for on the network.
        let server = ServerUrl::new(format!("{}.invalid", "x".repeat(70)), 1883).unwrap();
        let options = Options::for_server(server);
        let host = Host::of(&options.servers()[0], &options);
        assert!(matches!(host.resolve(), Err(Cause::Resolve { .. })));
    }

    #[cfg(feature = "proxy")]
    #[test]
    fn a_proxy_is_resolved_in_place_of_the_server() {
        let proxy = Proxy::parse("socks5://u:canary@127.0.0.1:9").unwrap();
        let options = Options::new("mqtt://broker.invalid").unwrap().with_proxy(proxy);
        let host = Host::of(&options.servers()[0], &options);
        assert_eq!(host.literal(), Some("127.0.0.1:9".parse().unwrap()));
        let cause = host.unresolved(&io::ErrorKind::TimedOut.into());
        assert!(matches!(&cause, Cause::Proxy { failure: ProxyFailure::Unreachable { .. }, .. }));
        assert!(!format!("{cause} {cause:?} {host:?}").contains("canary"));
    }
}
