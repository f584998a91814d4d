//! Proxies: whom to connect through.

mod connect;
mod environment;
mod handshake;
mod socks;

use core::fmt;
use core::str::FromStr;

use crate::options::Options;
use crate::url::{self, ServerUrl, UrlError};

pub(crate) use environment::Proxies;
pub use handshake::ProxyFailure;
pub(crate) use handshake::{Handshake, ProxyFailed};

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyKind {
    /// SOCKS version 5 (RFC 1928), without credentials or with user name and password (RFC 1929).
    Socks5,
    /// The method CONNECT of HTTP (RFC 9110), without credentials or with those of `Basic` (RFC 7617).
    HttpConnect,
}

/// A proxy to connect through, and with which credentials.
///
/// Written `socks5://user:password@host:port` (also `socks5h://` and `socks://`, which mean the same; port 1080) or
/// `http://user:password@host:port` (CONNECT; port 80). User name and password are percent-encoded as in the address of a
/// server. The connection to the proxy itself is not encrypted; TLS to the server goes through it, with the server's name in
/// the certificate. `Display` and `Debug` never show the password.
///
/// The server's name is looked up by the proxy, never by this client: what a client behind a proxy cannot look up it
/// reaches all the same, and the names it asks for stay between it and the proxy.
///
/// ```
/// use mqtt_adapter_core::{Options, Proxy, ProxyKind};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let proxy = Proxy::parse("socks5://lamp:secret@proxy.example")?;
/// assert_eq!((proxy.kind(), proxy.port()), (ProxyKind::Socks5, 1080));
/// let options = Options::new("mqtts://broker.example")?.with_proxy(proxy);
/// # let _ = options;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    kind: ProxyKind,
    host: String,
    port: u16,
    credentials: Option<(String, Vec<u8>)>,
}

impl Proxy {
    /// Parses an address.
    ///
    /// # Errors
    /// [`ProxyError`] says which part cannot be used.
    pub fn parse(text: &str) -> Result<Self, ProxyError> {
        let text = text.trim();
        let (scheme, _) = text.split_once("://").ok_or(ProxyError::NoScheme)?;
        let scheme = scheme.to_ascii_lowercase();
        let kind = match scheme.as_str() {
            "socks5" | "socks5h" | "socks" => ProxyKind::Socks5,
            "http" => ProxyKind::HttpConnect,
            _ => return Err(ProxyError::Scheme { scheme }),
        };
        let address = ::url::Url::parse(text).map_err(|error| match error {
            ::url::ParseError::InvalidPort => ProxyError::Port,
            _ => ProxyError::Host,
        })?;
        if !matches!(address.path(), "" | "/") || address.query().is_some() || address.fragment().is_some() {
            return Err(ProxyError::Path);
        }
        let host = url::host(&address).map_err(|_| ProxyError::Host)?;
        let port = address.port().unwrap_or(match kind {
            ProxyKind::Socks5 => 1080,
            ProxyKind::HttpConnect => 80,
        });
        let proxy = Self::new(kind, host, port)?;
        let decoded = |text| url::percent_decode(text).map_err(|_| ProxyError::Credentials);
        match (address.username(), address.password()) {
            ("", None) => Ok(proxy),
            (user, password) => {
                let user = String::from_utf8(decoded(user)?).map_err(|_| ProxyError::Credentials)?;
                proxy.with_credentials(user, decoded(password.unwrap_or_default())?)
            }
        }
    }

    /// The proxy at a host name or address (IPv6 without brackets) and a port, without credentials.
    ///
    /// # Errors
    /// [`ProxyError::Host`] or [`ProxyError::Port`] (0).
    pub fn new(kind: ProxyKind, host: impl Into<String>, port: u16) -> Result<Self, ProxyError> {
        let place = ServerUrl::new(host, port).map_err(|error| match error {
            UrlError::Port => ProxyError::Port,
            _ => ProxyError::Host,
        })?;
        Ok(Self { kind, host: place.host().to_owned(), port, credentials: None })
    }

    /// The same proxy with these credentials. They are sent as they are: whoever sees the way to the proxy sees them.
    ///
    /// # Errors
    /// [`ProxyError::Credentials`]: for SOCKS, a user name without a byte, or one of more than 255 bytes or such a password;
    /// for HTTP, a user name with a colon.
    pub fn with_credentials(
        mut self,
        user: impl Into<String>,
        password: impl Into<Vec<u8>>,
    ) -> Result<Self, ProxyError> {
        let (user, password) = (user.into(), password.into());
        let fit = match self.kind {
            ProxyKind::Socks5 => (1..=255).contains(&user.len()) && password.len() <= 255,
            ProxyKind::HttpConnect => !user.contains(':') && user.len() + password.len() <= 4_096,
        };
        if !fit {
            return Err(ProxyError::Credentials);
        }
        self.credentials = Some((user, password));
        Ok(self)
    }

    /// How it is spoken to.
    #[must_use]
    pub const fn kind(&self) -> ProxyKind {
        self.kind
    }

    /// Host name or address; an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port; where the address named none, 1080 for SOCKS and 80 for HTTP.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// User name.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.credentials.as_ref().map(|(user, _)| user.as_str())
    }

    /// Password.
    #[must_use]
    pub fn password(&self) -> Option<&[u8]> {
        self.credentials.as_ref().map(|(_, password)| password.as_slice())
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        Self::parse(text)
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ProxyKind::Socks5 => "socks5://",
            ProxyKind::HttpConnect => "http://",
        })?;
        if let Some((user, _)) = &self.credentials {
            write!(f, "{user}:***@")?;
        }
        f.write_str(&url::authority(&self.host, self.port))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Why a proxy's address cannot be used. Nothing of the address is repeated: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyError {
    /// There is no `scheme://` in front.
    NoScheme,
    /// Not a kind of proxy these adapters speak to.
    Scheme {
        /// The scheme, lower case.
        scheme: String,
    },
    /// The host is missing, or neither a name nor an address.
    Host,
    /// The port is not a number from 1 to 65,535.
    Port,
    /// A path, query or fragment follows.
    Path,
    /// User name or password cannot be sent to such a proxy, or have a broken percent-encoding.
    Credentials,
    /// An environment variable holds no address of a proxy.
    Variable {
        /// Its name.
        name: String,
        /// What is wrong with it.
        error: Box<Self>,
    },
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoScheme => {
                f.write_str("the proxy's address has no scheme: write socks5://host:port or http://host:port")
            }
            Self::Scheme { scheme } => {
                write!(f, "{scheme}:// is no proxy that can be used: write socks5://host:port or http://host:port")
            }
            Self::Host => f.write_str(
                "the proxy's host is neither a name nor an address (an IPv6 address stands in brackets)",
            ),
            Self::Port => f.write_str("the proxy's port is not a number from 1 to 65535"),
            Self::Path => f.write_str("nothing may follow the port of a proxy's address"),
            Self::Credentials => f.write_str(
                "user name or password of the proxy cannot be used: SOCKS takes at most 255 bytes of each, HTTP no colon in \
                 the user name; in an address write % as %25, @ as %40, : as %3A, / as %2F",
            ),
            Self::Variable { name, error } => write!(f, "the environment variable {name}: {error}"),
        }
    }
}

impl core::error::Error for ProxyError {}

impl Options {
    /// Connects to every server through this proxy. Default none. Unix sockets, and what a connector connects
    /// ([`with_connector`](Self::with_connector)), have none. Nothing falls back to a direct connection.
    ///
    /// What the proxy does counts against the time an attempt has
    /// ([`Config::dial_timeout`](mqtt_session::Config::dial_timeout)). How it fails is told as
    /// [`Cause::Proxy`](crate::Cause::Proxy).
    #[must_use]
    pub fn with_proxy(mut self, proxy: Proxy) -> Self {
        self.proxies = Proxies::all(proxy);
        self
    }

    /// Connects through the proxies that the environment names, as other programs do. The environment is read here and now,
    /// and never without this call. In place of what [`with_proxy`](Self::with_proxy) said.
    ///
    /// | variable | for |
    /// | --- | --- |
    /// | `https_proxy`, `HTTPS_PROXY` | servers of `mqtts://` and `wss://` |
    /// | `http_proxy`, `HTTP_PROXY` | servers of `mqtt://` and `ws://` |
    /// | `all_proxy`, `ALL_PROXY` | all for which the others name none |
    /// | `no_proxy`, `NO_PROXY` | who is reached directly |
    ///
    /// * Of two spellings the lower one counts; an empty variable counts as none.
    /// * Each holds an address as [`Proxy::parse`] takes it; without a scheme it is one of `http://`.
    /// * `no_proxy` is a list, with commas or spaces: a name stands for itself and everything beneath it, with a dot in front or
    ///   not; an address or a network (`10.0.0.0/8`, `fd00::/8`) for servers given by address; `*` for all. A port may
    ///   follow, `broker.example:1883`. Names are never looked up to compare them with networks.
    /// * `HTTP_PROXY` is not read in a CGI program (`REQUEST_METHOD` is set): there whoever asks sets it.
    ///
    /// # Errors
    /// [`ProxyError::Variable`]: a variable holds no address of a proxy. Going without would be worse.
    pub fn with_proxy_from_env(mut self) -> Result<Self, ProxyError> {
        self.proxies = Proxies::from_variables(|name| std::env::var(name).ok())?;
        Ok(self)
    }

    /// The proxy that this server is reached through, if any.
    ///
    /// ```
    /// use mqtt_adapter_core::{Options, Proxy};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let options = Options::new("mqtt://broker.example")?.with_proxy(Proxy::parse("http://user:secret@proxy:3128")?);
    /// let proxy = options.proxy_for(&options.servers()[0]);
    /// assert_eq!(proxy.map(ToString::to_string).as_deref(), Some("http://user:***@proxy:3128"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn proxy_for(&self, server: &ServerUrl) -> Option<&Proxy> {
        self.proxies.of(server).map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_proxies_are_parsed() {
        for (text, kind, host, port) in [
            ("socks5://p", ProxyKind::Socks5, "p", 1080),
            ("socks5h://p:1", ProxyKind::Socks5, "p", 1),
            ("SOCKS://[::1]:9050/", ProxyKind::Socks5, "::1", 9050),
            ("http://p", ProxyKind::HttpConnect, "p", 80),
            (" http://10.0.0.1:3128/ ", ProxyKind::HttpConnect, "10.0.0.1", 3128),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            assert_eq!((proxy.kind(), proxy.host(), proxy.port()), (kind, host, port), "{text}");
            assert_eq!((proxy.username(), proxy.password()), (None, None), "{text}");
        }
        let proxy: Proxy = "http://us%40r:p%3Aw@p".parse().unwrap();
        assert_eq!((proxy.username(), proxy.password()), (Some("us@r"), Some(&b"p:w"[..])));
        let proxy = Proxy::parse("socks5://user@p").unwrap();
        assert_eq!((proxy.username(), proxy.password()), (Some("user"), Some(&b""[..])));
    }

    #[test]
    fn what_is_no_address_of_a_proxy_is_refused_without_repeating_it() {
        let long = "x".repeat(256);
        let cases = [
            ("proxy:3128".to_owned(), ProxyError::NoScheme),
            ("https://p".to_owned(), ProxyError::Scheme { scheme: "https".to_owned() }),
            ("socks4://p".to_owned(), ProxyError::Scheme { scheme: "socks4".to_owned() }),
            ("socks5://u:canary@".to_owned(), ProxyError::Host),
            ("socks5://u:canary@a%20b".to_owned(), ProxyError::Host),
            ("socks5://u:canary@p:0".to_owned(), ProxyError::Port),
            ("http://u:canary@p:70000".to_owned(), ProxyError::Port),
            ("http://u:canary@p/path".to_owned(), ProxyError::Path),
            ("http://u:canary@p?query".to_owned(), ProxyError::Path),
            ("http://u%3A:canary@p".to_owned(), ProxyError::Credentials),
            ("socks5://u:canary%f@p".to_owned(), ProxyError::Credentials),
            ("socks5://:canary@p".to_owned(), ProxyError::Credentials),
            (format!("socks5://{long}:canary@p"), ProxyError::Credentials),
            (format!("socks5://u:canary{long}@p"), ProxyError::Credentials),
        ];
        for (text, expected) in cases {
            let error = Proxy::parse(&text).unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[test]
    fn no_password_is_shown() {
        let proxy = Proxy::parse("socks5://user:canary@[::1]").unwrap();
        assert_eq!(proxy.to_string(), "socks5://user:***@[::1]:1080");
        let options = Options::new("mqtt://h").unwrap().with_proxy(proxy.clone());
        assert!(!format!("{proxy:?} {options:?} {options:#?}").contains("canary"));
    }
}
