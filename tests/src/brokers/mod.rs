//! The brokers of the matrix: each a process of its own on free loopback ports, in an empty folder.
//!
//! `scripts/brokers.sh` installs them. A broker that is missing or does not start fails the test that asked for it;
//! nothing is passed over.

mod erlang;
mod nats;
mod packages;
mod process;
mod route;

use core::fmt;
use core::net::SocketAddr;
use std::process::Command;

use mqtt_adapter_std::{Options, Version};

use crate::folder::Folder;
use crate::mosquitto::{Carrier, Door, Mosquitto, free_address};
pub use nats::Cluster;
pub use packages::installed;
use process::Process;
pub use route::Route;

/// A running broker. It ends with this value.
pub struct Broker {
    name: &'static str,
    release: String,
    listeners: Vec<(Version, SocketAddr)>,
    door: Door,
    held: Held,
}

/// What keeps it running. The processes come before the folder they use.
enum Held {
    Mosquitto(Mosquitto),
    Processes { processes: Vec<Process>, _folder: Folder },
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("name", &self.name)
            .field("release", &self.release)
            .finish_non_exhaustive()
    }
}

/// Every version, from the oldest.
pub const VERSIONS: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

impl Broker {
    fn of(name: &'static str, release: String, processes: Vec<Process>, folder: Folder) -> Self {
        Self {
            name,
            release,
            listeners: Vec::new(),
            door: Door::OPEN,
            held: Held::Processes { processes, _folder: folder },
        }
    }

    /// All versions on one port.
    fn at(mut self, address: SocketAddr) -> Self {
        self.listeners = VERSIONS.map(|version| (version, address)).to_vec();
        self
    }

    /// Eclipse mosquitto, of Debian, with one kind of listener.
    #[must_use]
    pub fn mosquitto(carrier: Carrier) -> Self {
        let name = match carrier {
            Carrier::Tcp => "mosquitto",
            Carrier::Password => "mosquitto with a password",
            Carrier::Tls => "mosquitto over TLS",
            Carrier::MutualTls => "mosquitto over mutual TLS",
            Carrier::Ws => "mosquitto over WebSocket",
            Carrier::Wss => "mosquitto over WebSocket and TLS",
            Carrier::Unix => "mosquitto over a Unix socket",
        };
        let (broker, door) = Mosquitto::over(carrier);
        let (release, address) = (broker.release(), broker.address());
        Self { name, release, listeners: Vec::new(), door, held: Held::Mosquitto(broker) }.at(address)
    }

    /// The broker of this project: the built program `mqtt`, with its command `broker`.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn program(program: &str) -> Self {
        let folder = Folder::new("model");
        let address = free_address();
        let mut command = Command::new(program);
        command.args(["broker", "--listen", &address.to_string()]);
        let mut server = Process::start(command, folder.path(), "server");
        server.answers_at(address);
        Self::of("mqtt broker", env!("CARGO_PKG_VERSION").to_owned(), vec![server], folder).at(address)
    }

    /// What it is called.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Which release it is.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The versions with a listener.
    #[must_use]
    pub fn versions(&self) -> Vec<Version> {
        self.listeners.iter().map(|(version, _)| *version).collect()
    }

    /// Where it speaks this version.
    ///
    /// # Panics
    ///
    /// When it has no listener for the version; then a test asks for what cannot be.
    #[must_use]
    pub fn address(&self, version: Version) -> SocketAddr {
        let found = self.listeners.iter().find(|(speaks, _)| *speaks == version);
        found.unwrap_or_else(|| panic!("{} has no listener for {version:?}", self.name)).1
    }

    /// The same as a URL.
    #[must_use]
    pub fn url(&self, version: Version) -> String {
        self.door.url(self.address(version))
    }

    /// The options with what it asks of who comes in.
    #[must_use]
    pub fn admits(&self, options: Options) -> Options {
        self.door.admits(options)
    }

    /// What it has logged so far, for the message of a failing test.
    #[must_use]
    pub fn log(&self) -> String {
        match &self.held {
            Held::Mosquitto(broker) => broker.log(),
            Held::Processes { processes, .. } => {
                let log: String = processes.iter().map(Process::log).collect();
                // The end of it says what went wrong.
                log.chars().skip(log.chars().count().saturating_sub(4_000)).collect()
            }
        }
    }
}
