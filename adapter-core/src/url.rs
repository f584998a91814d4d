//! Where a server is: addresses as users write them.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// Schemes other MQTT programs know and these adapters do not speak (or are built without). They are told apart from
/// typing errors, and never answered with a plaintext connection.
const NOT_YET: [&str; 9] = ["ws", "wss", "quic", "mqtt+ssl", "mqtts", "ssl", "tls", "unix", "mqtt+unix"];

/// What carries the packets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Scheme {
    /// `mqtt://` and `tcp://`: TCP, not encrypted.
    Tcp,
    /// `mqtts://`, `ssl://` and `tls://`: TLS over TCP (feature `tls`).
    Tls,
    /// `ws://`: WebSocket over TCP, not encrypted (feature `ws`).
    Ws,
    /// `wss://`: WebSocket over TLS (features `ws` and `tls`).
    Wss,
    /// `unix://`: a Unix socket of this machine (on Unix).
    Unix,
}

impl Scheme {
    fn of(name: &str) -> Option<Self> {
        match name {
            "mqtt" | "tcp" => Some(Self::Tcp),
            "mqtts" | "ssl" | "tls" if cfg!(feature = "tls-no-provider") => Some(Self::Tls),
            "ws" if cfg!(feature = "ws") => Some(Self::Ws),
            "wss" if cfg!(all(feature = "ws", feature = "tls-no-provider")) => Some(Self::Wss),
            "unix" if cfg!(unix) => Some(Self::Unix),
            _ => None,
        }
    }

    /// Whether TLS is part of it.
    #[must_use]
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "mqtt",
            Self::Tls => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Unix => "unix",
        }
    }

    /// As registered for MQTT and HTTP; a Unix socket has none.
    const fn default_port(self) -> u16 {
        match self {
            Self::Tcp => 1883,
            Self::Tls => 8883,
            Self::Ws => 80,
            Self::Wss => 443,
            Self::Unix => 0,
        }
    }
}

/// Where one server is and, if the address says so, with which credentials.
///
/// Written `mqtt://user:password@host:port` or `tcp://…`, which mean the same: MQTT over TCP. `mqtts://`, `ssl://` and
/// `tls://` mean TLS. The port may be left out (1883, with TLS 8883), an IPv6 address stands in brackets, and bytes of
/// user name and password that have a meaning in a URL are percent-encoded (`p%40ss` is `p@ss`).
/// `ws://` and `wss://` are WebSocket (ports 80 and 443) and may have a path, which many brokers want to be `/mqtt`.
/// `unix:///run/broker.sock` is a Unix socket. `Display` and `Debug` never show the password.
///
/// ```
/// use mqtt_adapter_core::ServerUrl;
///
/// # fn main() -> Result<(), mqtt_adapter_core::UrlError> {
/// let server: ServerUrl = "mqtt://lamp:p%40ss@[2001:db8::7]:1884".parse()?;
/// assert_eq!((server.host(), server.port()), ("2001:db8::7", 1884));
/// assert_eq!(server.username(), Some("lamp"));
/// assert_eq!(server.password(), Some(&b"p@ss"[..]));
/// assert_eq!(server.to_string(), "mqtt://lamp:***@[2001:db8::7]:1884");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServerUrl {
    scheme: Scheme,
    /// The path of a Unix socket.
    host: String,
    port: u16,
    /// Of WebSocket, from the first slash on.
    path: String,
    username: Option<String>,
    password: Option<Vec<u8>>,
}

impl ServerUrl {
    /// Parses an address.
    ///
    /// # Errors
    /// [`UrlError`] says which part cannot be used.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let Some((scheme, _)) = text.split_once("://") else {
            return Err(UrlError::NoScheme);
        };
        let scheme = scheme.to_ascii_lowercase();
        let Some(kind) = Scheme::of(&scheme) else {
            return Err(if NOT_YET.contains(&scheme.as_str()) {
                UrlError::SchemeNotSupported { scheme }
            } else {
                UrlError::SchemeUnknown { scheme }
            });
        };
        if kind == Scheme::Unix {
            let path = text.get("unix://".len()..).unwrap_or_default();
            let path = String::from_utf8(percent_decode(path).map_err(|_| UrlError::Path)?);
            return Self::unix(path.map_err(|_| UrlError::Path)?);
        }
        let url = url::Url::parse(text).map_err(|error| match error {
            url::ParseError::EmptyHost => UrlError::NoHost,
            url::ParseError::InvalidPort => UrlError::Port,
            url::ParseError::InvalidIpv6Address => UrlError::Host,
            error => UrlError::Malformed(error),
        })?;
        let host = host(&url)?;
        let path = match (kind, url.query()) {
            _ if url.fragment().is_some() => return Err(UrlError::Path),
            (Scheme::Ws | Scheme::Wss, Some(query)) => format!("{}?{query}", url.path()),
            (Scheme::Ws | Scheme::Wss, None) => url.path().to_owned(),
            (_, None) if matches!(url.path(), "" | "/") => String::new(),
            _ => return Err(UrlError::Path),
        };
        let port = match url.port() {
            Some(0) => return Err(UrlError::Port),
            Some(port) => port,
            None => kind.default_port(),
        };
        let username = match url.username() {
            "" => None,
            user => Some(
                String::from_utf8(percent_decode(user)?)
                    .ok()
                    .filter(|user| !user.contains('\0'))
                    .ok_or(UrlError::UserInfo)?,
            ),
        };
        let password = url.password().map(percent_decode).transpose()?;
        Ok(Self { scheme: kind, host, port, path, username, password })
    }

    /// The server at a host name or address (IPv6 without brackets) and a port, without credentials.
    ///
    /// # Errors
    /// [`UrlError::NoHost`], [`UrlError::Host`] or [`UrlError::Port`] (0).
    pub fn new(host: impl Into<String>, port: u16) -> Result<Self, UrlError> {
        let host = host.into();
        if host.is_empty() {
            return Err(UrlError::NoHost);
        }
        let address = host.parse::<IpAddr>().is_ok();
        let odd = |c: char| c.is_whitespace() || c.is_control() || "/?#@:[]%\\".contains(c);
        if !address && host.contains(odd) {
            return Err(UrlError::Host);
        }
        if port == 0 {
            return Err(UrlError::Port);
        }
        Ok(Self { scheme: Scheme::Tcp, host, port, path: String::new(), username: None, password: None })
    }

    /// The server that this one refers its clients to, by a Server Reference of the standard: a host, and a port if it
    /// is not the usual one. All else stays: transport, TLS, path, credentials.
    ///
    /// # Errors
    /// [`UrlError::NoHost`], [`UrlError::Host`] or [`UrlError::Port`]; [`UrlError::SocketPath`] where this server is a
    /// Unix socket.
    pub fn referred(&self, reference: &str) -> Result<Self, UrlError> {
        if self.scheme == Scheme::Unix {
            return Err(UrlError::SocketPath);
        }
        let (host, port) = if let Some(rest) = reference.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or(UrlError::Host)?;
            if host.parse::<core::net::Ipv6Addr>().is_err() {
                return Err(UrlError::Host);
            }
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(UrlError::Host),
            }
        } else if reference.parse::<core::net::Ipv6Addr>().is_ok() {
            (reference, None)
        } else {
            match reference.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (reference, None),
            }
        };
        let port = match port {
            Some(port) => port.parse().map_err(|_| UrlError::Port)?,
            None => self.scheme.default_port(),
        };
        let there = Self::new(host, port)?;
        Ok(Self { host: there.host, port: there.port, ..self.clone() })
    }

    /// The server at a Unix socket, given by its absolute path. User name and password, if any, are set in
    /// [`Options`](crate::Options).
    ///
    /// # Errors
    /// [`UrlError::SocketPath`]; [`UrlError::SchemeNotSupported`] where there are no such sockets.
    pub fn unix(path: impl Into<String>) -> Result<Self, UrlError> {
        let path = path.into();
        if !cfg!(unix) {
            return Err(UrlError::SchemeNotSupported { scheme: "unix".to_owned() });
        }
        if !path.starts_with('/') || path.contains('\0') {
            return Err(UrlError::SocketPath);
        }
        Ok(Self {
            scheme: Scheme::Unix,
            host: path,
            port: 0,
            path: String::new(),
            username: None,
            password: None,
        })
    }

    /// The same server over TLS, at the same port.
    #[cfg(feature = "tls-no-provider")]
    #[must_use]
    pub fn over_tls(mut self) -> Self {
        self.scheme = match self.scheme {
            Scheme::Tcp => Scheme::Tls,
            Scheme::Ws => Scheme::Wss,
            other => other,
        };
        self
    }

    /// What carries the packets.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host name or address; an IPv6 address without brackets. Of a Unix socket its path.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port; where the address named none, 1883 or with TLS 8883. Of a Unix socket 0.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Path of a WebSocket, with its query; empty for everything else.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// User name, decoded.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// Password, decoded.
    #[must_use]
    pub fn password(&self) -> Option<&[u8]> {
        self.password.as_deref()
    }
}

impl FromStr for ServerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.name())?;
        if self.scheme == Scheme::Unix {
            return f.write_str(&self.host);
        }
        match (&self.username, &self.password) {
            (None, None) => {}
            (user, password) => {
                f.write_str(user.as_deref().unwrap_or(""))?;
                f.write_str(if password.is_some() { ":***@" } else { "@" })?;
            }
        }
        f.write_str(&authority(&self.host, self.port))?;
        // A query may hold a token.
        let (path, query) = match self.path.split_once('?') {
            Some((path, _)) => (path, "?***"),
            None => (self.path.as_str(), ""),
        };
        write!(f, "{path}{query}")
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({self})")
    }
}

/// Why an address cannot be used. Nothing of the address is repeated: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// There is no `scheme://` in front.
    NoScheme,
    /// A scheme of MQTT that is not supported yet; nothing is sent in plaintext instead.
    SchemeNotSupported {
        /// The scheme, lower case.
        scheme: String,
    },
    /// Not a scheme of MQTT.
    SchemeUnknown {
        /// The scheme, lower case.
        scheme: String,
    },
    /// There is no host.
    NoHost,
    /// The host is neither a name nor an address.
    Host,
    /// The port is not a number from 1 to 65,535.
    Port,
    /// A path, query or fragment follows; MQTT over TCP has none.
    Path,
    /// What follows `unix://` is not an absolute path.
    SocketPath,
    /// User name or password have a broken percent-encoding, or the user name is not UTF-8 without NUL.
    UserInfo,
    /// Not a URL.
    Malformed(url::ParseError),
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoScheme => f.write_str("the address has no scheme: write mqtt://host or mqtt://host:port"),
            Self::SchemeNotSupported { scheme } => {
                let when = match scheme.as_str() {
                    "mqtts" | "ssl" | "tls" | "ws" | "wss" | "unix" => "by this build",
                    _ => "yet",
                };
                write!(f, "{scheme}:// is not supported {when}: use mqtt:// (TCP, not encrypted) or mqtts:// (TLS)")
            }
            Self::SchemeUnknown { scheme } => {
                write!(f, "{scheme}:// is not a scheme of MQTT: write mqtt://host or mqtt://host:port")
            }
            Self::NoHost => f.write_str("the address names no host: write mqtt://host or mqtt://host:port"),
            Self::Host => f.write_str(
                "the host is neither a name nor an address (an IPv6 address stands in brackets: mqtt://[::1])",
            ),
            Self::Port => f.write_str("the port is not a number from 1 to 65535"),
            Self::Path => f.write_str("nothing may follow the port of an address: write mqtt://host:port"),
            Self::SocketPath => f.write_str("a Unix socket is given by its absolute path: unix:///run/broker.sock"),
            Self::UserInfo => f.write_str(
                "user name or password are not percent-encoded: write % as %25, @ as %40, : as %3A, / as %2F",
            ),
            Self::Malformed(error) => write!(f, "the address is not a URL: {error}"),
        }
    }
}

impl core::error::Error for UrlError {}

/// Host name or address of a URL; an IPv6 address without brackets.
pub(crate) fn host(url: &url::Url) -> Result<String, UrlError> {
    let host = match url.host() {
        None | Some(url::Host::Domain("")) => return Err(UrlError::NoHost),
        Some(url::Host::Domain(name)) => name.to_owned(),
        Some(url::Host::Ipv4(address)) => address.to_string(),
        Some(url::Host::Ipv6(address)) => address.to_string(),
    };
    if host.contains('%') { Err(UrlError::Host) } else { Ok(host) }
}

/// Host and port as URLs and HTTP write them.
pub(crate) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

pub(crate) fn percent_decode(text: &str) -> Result<Vec<u8>, UrlError> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(UrlError::UserInfo);
        };
        // Two hexadecimal digits are at most 255.
        out.push((high << 4 | low) as u8);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [A8] The same rules hold where a server sends its clients.
    #[test]
    fn a08_a_reference_changes_host_and_port_and_nothing_else() {
        let own = ServerUrl::parse("mqtt://user:secret@first.example:1884").unwrap();
        for (reference, host, port) in [
            ("other.example", "other.example", 1883),
            ("other.example:8000", "other.example", 8000),
            ("10.0.0.1:1", "10.0.0.1", 1),
            ("[::1]:5", "::1", 5),
            ("[::1]", "::1", 1883),
            ("::1", "::1", 1883),
        ] {
            let there = own.referred(reference).unwrap();
            assert_eq!((there.host(), there.port(), there.scheme()), (host, port, own.scheme()));
            assert_eq!(there.username(), Some("user"));
        }
        for (reference, error) in [
            ("", UrlError::NoHost),
            (":1883", UrlError::NoHost),
            ("mqtt://elsewhere.example", UrlError::Port),
            ("user@elsewhere.example", UrlError::Host),
            ("other.example:0", UrlError::Port),
            ("other.example:65536", UrlError::Port),
            ("[::1", UrlError::Host),
            ("[no]:1", UrlError::Host),
        ] {
            assert_eq!(own.referred(reference), Err(error), "{reference}");
        }
    }

    #[test]
    fn parts_are_read_and_defaults_filled_in() {
        let plain = ServerUrl::parse("mqtt://broker.example").unwrap();
        assert_eq!((plain.host(), plain.port()), ("broker.example", 1883));
        assert_eq!((plain.username(), plain.password()), (None, None));
        let tcp = ServerUrl::parse("TCP://10.0.0.1:1999/").unwrap();
        assert_eq!((tcp.host(), tcp.port()), ("10.0.0.1", 1999));
        let six = ServerUrl::parse("mqtt://[::1]").unwrap();
        assert_eq!((six.host(), six.port()), ("::1", 1883));
        assert_eq!(six.to_string(), "mqtt://[::1]:1883");
    }

    #[cfg(feature = "tls-no-provider")]
    #[test]
    fn addresses_over_tls_have_their_own_port() {
        for scheme in ["mqtts", "ssl", "tls"] {
            let server = ServerUrl::parse(&format!("{scheme}://h")).unwrap();
            assert_eq!((server.scheme(), server.port()), (Scheme::Tls, 8883));
            assert_eq!(server.to_string(), "mqtts://h:8883");
        }
        let server = ServerUrl::new("h", 1).unwrap().over_tls();
        assert_eq!((server.scheme(), server.port()), (Scheme::Tls, 1));
    }

    #[cfg(all(feature = "ws", feature = "tls-no-provider"))]
    #[test]
    fn websockets_have_a_path_and_hide_their_query() {
        let server = ServerUrl::parse("wss://me:secret@h/mqtt?token=canary").unwrap();
        assert_eq!((server.scheme(), server.port(), server.path()), (Scheme::Wss, 443, "/mqtt?token=canary"));
        assert_eq!(server.to_string(), "wss://me:***@h:443/mqtt?***");
        let server = ServerUrl::parse("ws://[::1]:8080").unwrap();
        assert_eq!((server.host(), server.port(), server.path()), ("::1", 8080, "/"));
        assert_eq!(ServerUrl::parse("ws://h/#a"), Err(UrlError::Path));
    }

    #[cfg(unix)]
    #[test]
    fn a_unix_socket_has_a_path() {
        let server = ServerUrl::parse("unix:///run/a%20b.sock").unwrap();
        assert_eq!((server.scheme(), server.host(), server.port()), (Scheme::Unix, "/run/a b.sock", 0));
        assert_eq!(server.to_string(), "unix:///run/a b.sock");
        assert_eq!(ServerUrl::parse("unix://run"), Err(UrlError::SocketPath));
        assert_eq!(ServerUrl::parse("unix://"), Err(UrlError::SocketPath));
    }

    #[test]
    fn credentials_are_percent_decoded() {
        let server = ServerUrl::parse("mqtt://us%C3%A9r:%00%ff%2F%3a@h:1").unwrap();
        assert_eq!(server.username(), Some("usér"));
        assert_eq!(server.password(), Some(&[0, 0xff, b'/', b':'][..]));
        let only_user = ServerUrl::parse("mqtt://me@h").unwrap();
        assert_eq!((only_user.username(), only_user.password()), (Some("me"), None));
    }

    #[test]
    fn broken_credentials_are_refused_without_repeating_them() {
        for text in ["mqtt://a%zz:b@h", "mqtt://a:canary%f@h", "mqtt://%ff@h", "mqtt://%00@h"] {
            let error = ServerUrl::parse(text).unwrap_err();
            assert_eq!(error, UrlError::UserInfo, "{text}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[test]
    fn schemes_known_unknown_and_missing_are_told_apart() {
        for scheme in NOT_YET.into_iter().filter(|scheme| Scheme::of(scheme).is_none()) {
            let error = ServerUrl::parse(&format!("{scheme}://h")).unwrap_err();
            assert_eq!(error, UrlError::SchemeNotSupported { scheme: scheme.to_owned() });
        }
        assert_eq!(ServerUrl::parse("http://h"), Err(UrlError::SchemeUnknown { scheme: "http".to_owned() }));
        assert_eq!(ServerUrl::parse("localhost:1883"), Err(UrlError::NoScheme));
        assert_eq!(ServerUrl::parse(""), Err(UrlError::NoScheme));
    }

    #[test]
    fn wrong_hosts_ports_and_tails_are_refused() {
        assert_eq!(ServerUrl::parse("mqtt://"), Err(UrlError::NoHost));
        assert_eq!(ServerUrl::parse("mqtt://:1883"), Err(UrlError::NoHost));
        assert_eq!(ServerUrl::parse("mqtt://h:0"), Err(UrlError::Port));
        assert_eq!(ServerUrl::parse("mqtt://h:65536"), Err(UrlError::Port));
        assert_eq!(ServerUrl::parse("mqtt://h:x"), Err(UrlError::Port));
        assert_eq!(ServerUrl::parse("mqtt://[::g]"), Err(UrlError::Host));
        assert_eq!(ServerUrl::parse("mqtt://a%20b"), Err(UrlError::Host));
        assert_eq!(ServerUrl::parse("mqtt://h/path"), Err(UrlError::Path));
        assert_eq!(ServerUrl::parse("mqtt://h?x=1"), Err(UrlError::Path));
        assert_eq!(ServerUrl::new("", 1), Err(UrlError::NoHost));
        assert_eq!(ServerUrl::new("a b", 1), Err(UrlError::Host));
        assert_eq!(ServerUrl::new("h", 0), Err(UrlError::Port));
        assert!(ServerUrl::new("::1", 1883).is_ok());
    }
}
