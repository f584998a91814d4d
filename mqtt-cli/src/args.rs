//! The arguments that `pub` and `sub` share, and what becomes of them.

use core::time::Duration;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mqtt_adapter_std::{Options, Qos, Recording, ServerUrl, TopicName, Version, Will};

use crate::exit::End;

mod secure;

/// How to reach the server, and as whom.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The server: mqtt://host, mqtt://user:password@host:port, mqtts:// for TLS, ws://host/path or wss:// for WebSocket,
    /// unix:///path of a socket
    pub(crate) url: String,

    /// Version of the protocol
    #[arg(short = 'V', long, value_name = "VERSION", default_value = "5")]
    protocol: Protocol,

    /// Name of the client at the server [default: a random one]
    #[arg(short = 'i', long, value_name = "ID")]
    client_id: Option<String>,

    /// Keep the session at the server when this program ends, and resume it: needs --client-id
    #[arg(short = 'k', long, requires = "client_id")]
    keep_session: bool,

    /// How long the server keeps the session, in seconds (MQTT 5.0)
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, requires = "keep_session")]
    session_expiry: u32,

    /// Longest silence before a ping, in seconds; 0 switches pings off
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    keep_alive: u16,

    /// User name, if the URL has none
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,

    /// Password, if the URL has none; better in a file, or in the environment as MQTT_PASSWORD
    #[arg(short = 'P', long, value_name = "PASSWORD")]
    password: Option<String>,

    /// Read the password from a file; a line end behind it is not part of it
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    password_file: Option<PathBuf>,

    /// Give up after this many connections in a row that failed or did not last 10 s
    #[arg(long, value_name = "N", default_value_t = 8)]
    attempts: u32,

    /// Say nothing about connects and reconnects on standard error
    #[arg(long)]
    pub(crate) quiet: bool,

    /// Write a log of every time, byte and call, for `mqtt replay`: it holds topics and payloads, of credentials only lengths
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    #[command(flatten)]
    transport: secure::Transport,

    #[command(flatten)]
    will: WillArguments,
}

/// What the server publishes when this client vanishes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Will: what the server publishes if this client vanishes without a goodbye")]
struct WillArguments {
    /// Topic of the will
    #[arg(long, value_name = "TOPIC")]
    will_topic: Option<String>,

    /// Its payload
    #[arg(long, value_name = "TEXT", default_value = "", requires = "will_topic")]
    will_payload: String,

    /// Its quality of service
    #[arg(long, value_name = "0|1|2", default_value = "0", value_parser = qos, requires = "will_topic")]
    will_qos: Qos,

    /// Retain it
    #[arg(long, requires = "will_topic")]
    will_retain: bool,
}

/// A version as people write it.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Protocol {
    /// MQTT 3.1
    #[value(name = "3.1")]
    V3_1,
    /// MQTT 3.1.1
    #[value(name = "3.1.1")]
    V3_1_1,
    /// MQTT 5.0
    #[value(name = "5", alias = "5.0")]
    V5,
}

impl From<Protocol> for Version {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::V3_1 => Self::V3_1,
            Protocol::V3_1_1 => Self::V3_1_1,
            Protocol::V5 => Self::V5,
        }
    }
}

/// The value of a `--qos` option.
pub(crate) fn qos(text: &str) -> Result<Qos, String> {
    match text {
        "0" => Ok(Qos::AtMostOnce),
        "1" => Ok(Qos::AtLeastOnce),
        "2" => Ok(Qos::ExactlyOnce),
        _ => Err("0 (at most once), 1 (at least once) or 2 (exactly once)".to_owned()),
    }
}

impl Connection {
    /// The options these arguments ask for.
    pub(crate) fn options(&self) -> Result<Options, End> {
        let server =
            ServerUrl::parse(&self.url).map_err(|error| End::Usage(format!("the server's URL: {error}")))?;
        let password = self.password(&server)?;
        let mut options = self.transport.apply(&server, Options::for_server(server.clone()))?;
        let version = Version::from(self.protocol);
        options = options.with_version(version).with_keep_alive(Duration::from_secs(self.keep_alive.into()));
        if let Some(id) = &self.client_id {
            options = options.with_client_id(id);
        }
        if self.keep_session {
            options = options.with_clean_start(false);
            if version == Version::V5 {
                options = options.with_session_expiry(Duration::from_secs(self.session_expiry.into()));
            }
        }
        if let Some(name) = &self.username {
            options = options.with_username(name);
        }
        if let Some(password) = password {
            options = options.with_password(password);
        }
        if let Some(topic) = &self.will.will_topic {
            TopicName::new(topic).map_err(|error| End::Usage(format!("--will-topic {topic:?}: {error}")))?;
            let will = Will::new(topic, self.will.will_payload.clone())
                .with_qos(self.will.will_qos)
                .with_retain(self.will.will_retain);
            options = options.with_will(will);
        }
        if let Some(path) = &self.record {
            let recording = Recording::create(path)
                .map_err(|error| End::Usage(format!("cannot write {}: {error}", path.display())))?;
            options = options.with_recording(recording);
        }
        let backoff = &mut options.engine_mut().backoff;
        backoff.attempts = Some(self.attempts);
        // Someone is waiting in front of it: rather often than polite.
        backoff.cap = Duration::from_secs(10);
        Ok(options)
    }

    /// The password, from the command line, a file, or the environment if there is a name to go with it.
    fn password(&self, server: &ServerUrl) -> Result<Option<Vec<u8>>, End> {
        if let Some(password) = &self.password {
            return Ok(Some(password.clone().into_bytes()));
        }
        if let Some(path) = &self.password_file {
            let mut password = secure::read("--password-file", path)?;
            for end in [b'\n', b'\r'] {
                password.pop_if(|last| *last == end);
            }
            return Ok(Some(password));
        }
        let from_environment =
            server.password().is_none() && server.username().or(self.username.as_deref()).is_some();
        Ok(from_environment.then(|| std::env::var("MQTT_PASSWORD").ok()).flatten().map(String::into_bytes))
    }
}
