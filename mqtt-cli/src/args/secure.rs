//! Whom to trust, who to be, and what else a transport is told.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use mqtt_adapter_std::{Options, Proxy, Scheme, ServerUrl, Tls};

use crate::exit::End;

/// For the encrypted URLs, and for WebSocket.
#[derive(Debug, Args)]
#[command(next_help_heading = "Transport: mqtts:// and wss:// are encrypted, ws:// and wss:// are WebSocket")]
pub(super) struct Transport {
    /// Trust the certificate authorities in this file (PEM) instead of the platform's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Show the server this client certificate (PEM, the chain behind it)
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,

    /// The private key of --cert (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,

    /// Application protocol to offer, such as mqtt where a port serves several; may be given several times
    #[arg(long, value_name = "NAME")]
    alpn: Vec<String>,

    /// The name the server's certificate must be for [default: the host of the URL]
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,

    /// Connect through a proxy: socks5://host:port or http://host:port (CONNECT), with user:password@ if it asks for them; or
    /// env: the one that the environment names (https_proxy, http_proxy, all_proxy, no_proxy) [default: none]
    #[arg(long, value_name = "URL|env")]
    proxy: Option<String>,

    /// Header of the request that opens a WebSocket; may be given several times
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    ws_header: Vec<(String, String)>,
}

impl Transport {
    /// The options with what these arguments ask for.
    pub(super) fn apply(&self, server: &ServerUrl, mut options: Options) -> Result<Options, End> {
        let scheme = server.scheme();
        if let (Some(option), false) = (self.first_of_tls(), scheme.is_encrypted()) {
            let hint = "take a URL with mqtts:// or wss://";
            return Err(End::Usage(format!("{option} is for encrypted connections: {hint}")));
        }
        if !self.ws_header.is_empty() && !matches!(scheme, Scheme::Ws | Scheme::Wss) {
            let hint = "take a URL with ws:// or wss://";
            return Err(End::Usage(format!("--ws-header is for WebSocket: {hint}")));
        }
        let proxy = |error| End::Usage(format!("--proxy: {error}"));
        options = match self.proxy.as_deref() {
            None => options,
            Some("env") => options.with_proxy_from_env().map_err(proxy)?,
            Some(url) => options.with_proxy(Proxy::parse(url).map_err(proxy)?),
        };
        for (name, value) in &self.ws_header {
            options = options.with_ws_header(name, value);
        }
        if self.first_of_tls().is_some() {
            options = options.with_tls(self.tls()?);
        }
        Ok(options)
    }

    /// An option that makes sense with TLS only, if one was given.
    fn first_of_tls(&self) -> Option<&'static str> {
        let given = [
            ("--ca", self.ca.is_some()),
            ("--cert", self.cert.is_some()),
            ("--alpn", !self.alpn.is_empty()),
            ("--server-name", self.server_name.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
    }

    fn tls(&self) -> Result<Tls, End> {
        let usage = |option: &str, error: &dyn core::fmt::Display| End::Usage(format!("{option}: {error}"));
        let builder = Tls::builder().alpn(self.alpn.iter().map(String::as_str));
        let mut builder = match &self.ca {
            Some(path) => builder
                .roots_pem(&read("--ca", path)?)
                .map_err(|error| usage(&format!("--ca {}", path.display()), &error))?,
            None => builder.platform_roots().map_err(|error| {
                usage("the platform's certificate authorities", &format!("{error}; name your own with --ca"))
            })?,
        };
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            let both = format!("--cert {} --key {}", cert.display(), key.display());
            builder = builder
                .identity_pem(&read("--cert", cert)?, &read("--key", key)?)
                .map_err(|error| usage(&both, &error))?;
        }
        if let Some(name) = &self.server_name {
            builder = builder
                .server_name(name)
                .map_err(|error| usage(&format!("--server-name {name:?}"), &error))?;
        }
        builder.build().map_err(|error| usage("--cert and --key", &error))
    }
}

/// A file named by an option.
pub(super) fn read(option: &str, path: &Path) -> Result<Vec<u8>, End> {
    fs::read(path).map_err(|error| End::Usage(format!("{option}: cannot read {}: {error}", path.display())))
}

/// `Name: value`, as HTTP has it.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or_else(|| "as 'Name: value'".to_owned())?;
    let (name, value) = (name.trim(), value.trim());
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(is_token) {
        return Err(format!("{name:?} is no name of a header"));
    }
    if value.chars().any(|c| c.is_control() || !c.is_ascii()) {
        return Err("a value holds printable ASCII characters only".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}
