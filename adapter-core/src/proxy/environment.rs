//! Which proxy a server is reached through, and what the environment says about it.

use core::fmt;
use core::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::proxy::{Proxy, ProxyError};
use crate::url::{Scheme, ServerUrl};

/// Which servers are reached through which proxy.
#[derive(Clone, Default)]
pub(crate) struct Proxies {
    plain: Option<Arc<Proxy>>,
    encrypted: Option<Arc<Proxy>>,
    direct: Arc<[Direct]>,
}

impl Proxies {
    /// This one, for all.
    pub(crate) fn all(proxy: Proxy) -> Self {
        let proxy = Some(Arc::new(proxy));
        Self { plain: proxy.clone(), encrypted: proxy, direct: Arc::default() }
    }

    /// What these variables say.
    pub(crate) fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ProxyError> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let either = |lower: &str| {
            let upper = lower.to_ascii_uppercase();
            set(lower).map(|value| (lower.to_owned(), value)).or_else(|| {
                // What a CGI program finds there may be the header `Proxy` of whoever asks.
                let forged = lower == "http_proxy" && variable("REQUEST_METHOD").is_some();
                set(&upper).filter(|_| !forged).map(|value| (upper, value))
            })
        };
        let proxy = |name: &str| {
            either(name)
                .map(|(name, value)| {
                    let value = value.trim();
                    let proxy = if value.contains("://") {
                        Proxy::parse(value)
                    } else {
                        Proxy::parse(&format!("http://{value}"))
                    };
                    proxy.map(Arc::new).map_err(|error| ProxyError::Variable { name, error: Box::new(error) })
                })
                .transpose()
        };
        let all = proxy("all_proxy")?;
        let (_, list) = either("no_proxy").unwrap_or_default();
        let entries = list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
        Ok(Self {
            plain: proxy("http_proxy")?.or_else(|| all.clone()),
            encrypted: proxy("https_proxy")?.or(all),
            direct: entries.map(Direct::parse).collect(),
        })
    }

    /// The one for this server.
    pub(crate) fn of(&self, server: &ServerUrl) -> Option<&Arc<Proxy>> {
        let proxy = match server.scheme() {
            Scheme::Unix => None,
            scheme if scheme.is_encrypted() => self.encrypted.as_ref(),
            _ => self.plain.as_ref(),
        };
        proxy.filter(|_| !self.direct.iter().any(|direct| direct.holds(server.host(), server.port())))
    }
}

/// Shown by the proxies, which hide their passwords.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies")
            .field("plain", &self.plain)
            .field("encrypted", &self.encrypted)
            .field("direct", &self.direct)
            .finish()
    }
}

/// Who is reached without a proxy: an entry of `no_proxy`.
#[derive(Clone, Debug)]
struct Direct {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug)]
enum Hosts {
    All,
    Network(IpNet),
    /// A name and all beneath it, lower case.
    Domain(String),
}

impl Direct {
    fn parse(entry: &str) -> Self {
        let (hosts, port) = match entry.rsplit_once(':') {
            // More colons than one, and no bracket: an IPv6 address.
            Some((hosts, port)) if !hosts.contains(':') || hosts.ends_with(']') => match port.parse() {
                Ok(port) => (hosts, Some(port)),
                Err(_) => (entry, None),
            },
            _ => (entry, None),
        };
        let hosts = hosts.trim_start_matches('[').trim_end_matches(']');
        let hosts = if hosts == "*" {
            Hosts::All
        } else if let Ok(network) = hosts.parse::<IpNet>() {
            Hosts::Network(network)
        } else if let Ok(address) = hosts.parse::<IpAddr>() {
            Hosts::Network(address.into())
        } else {
            let name = hosts.strip_prefix("*.").unwrap_or(hosts);
            Hosts::Domain(name.trim_matches('.').to_ascii_lowercase())
        };
        Self { hosts, port }
    }

    fn holds(&self, host: &str, port: u16) -> bool {
        if self.port.is_some_and(|own| own != port) {
            return false;
        }
        match (&self.hosts, host.parse::<IpAddr>()) {
            (Hosts::All, _) => true,
            (Hosts::Network(network), Ok(address)) => network.contains(&address),
            (Hosts::Domain(name), Err(_)) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let above = host.strip_suffix(name.as_str());
                !name.is_empty() && above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which proxy the server is reached through, by its host.
    fn host(proxies: &Proxies, server: &str) -> Option<String> {
        proxies.of(&ServerUrl::parse(server).unwrap()).map(|proxy| proxy.host().to_owned())
    }

    fn read(variables: &[(&str, &str)]) -> Result<Proxies, ProxyError> {
        Proxies::from_variables(|name| {
            variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[cfg(feature = "tls-no-provider")]
    #[test]
    fn each_scheme_has_a_variable_and_one_is_for_the_rest() {
        let proxies = read(&[
            ("http_proxy", "plain.example:3128"),
            ("HTTPS_PROXY", "http://encrypted.example"),
            ("ALL_PROXY", "socks5://all.example"),
        ])
        .unwrap();
        assert_eq!(host(&proxies, "mqtt://h").as_deref(), Some("plain.example"));
        assert_eq!(host(&proxies, "mqtts://h").as_deref(), Some("encrypted.example"));
        assert_eq!(host(&proxies, "unix:///run/broker.sock"), None);
        let proxies = read(&[("https_proxy", " "), ("all_proxy", "socks5://u:p@all.example")]).unwrap();
        assert_eq!(host(&proxies, "mqtt://h").as_deref(), Some("all.example"));
        assert_eq!(host(&proxies, "mqtts://h").as_deref(), Some("all.example"));
        assert_eq!(host(&read(&[("HTTPS_PROXY", "p")]).unwrap(), "mqtt://h"), None);
        assert_eq!(host(&read(&[]).unwrap(), "mqtt://h"), None);
    }

    #[test]
    fn the_lower_spelling_counts_and_a_cgi_program_does_not_trust_the_upper() {
        let both = [("HTTP_PROXY", "upper"), ("http_proxy", "lower")];
        assert_eq!(host(&read(&both).unwrap(), "mqtt://h").as_deref(), Some("lower"));
        assert_eq!(host(&read(&both[..1]).unwrap(), "mqtt://h").as_deref(), Some("upper"));
        let cgi = [("HTTP_PROXY", "upper"), ("REQUEST_METHOD", "GET")];
        assert_eq!(host(&read(&cgi).unwrap(), "mqtt://h"), None);
    }

    #[test]
    fn a_variable_that_names_no_proxy_is_an_error_with_its_name() {
        let Err(error) = read(&[("ALL_PROXY", "https://u:canary@p")]) else { panic!("taken") };
        assert!(matches!(&error, ProxyError::Variable { name, .. } if name == "ALL_PROXY"), "{error:?}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }

    #[test]
    fn some_servers_are_reached_directly() {
        let list = "localhost,.Example.com *.org., 10.0.0.0/8,192.168.1.7,::1 fd00::/8,at.port:1884,[::2]:7";
        let proxies = read(&[("all_proxy", "p"), ("no_proxy", list)]).unwrap();
        for server in [
            "localhost",
            "LOCALHOST:1",
            "example.com",
            "a.b.EXAMPLE.com",
            "example.com.",
            "x.org",
            "org",
            "10.1.2.3",
            "192.168.1.7",
            "[::1]",
            "[fd00::5]",
            "at.port:1884",
            "[::2]:7",
        ] {
            assert_eq!(host(&proxies, &format!("mqtt://{server}")), None, "{server}");
        }
        for server in [
            "notexample.com",
            "com",
            "11.0.0.1",
            "192.168.1.8",
            "[::3]",
            "at.port",
            "[::2]",
            "localhost.x",
            "127.0.0.1",
        ] {
            assert!(host(&proxies, &format!("mqtt://{server}")).is_some(), "{server}");
        }
        let proxies = read(&[("all_proxy", "p"), ("NO_PROXY", "*")]).unwrap();
        assert_eq!(host(&proxies, "mqtt://h"), None);
    }
}
