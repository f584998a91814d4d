//! The brokers of the matrix: each a process of its own on free loopback ports, in an empty folder.
//!
//! `scripts/brokers.sh` installs them. A broker that is missing or does not start fails the test that asked for it;
//! nothing is passed over.

mod erlang;
mod nats;
mod packages;
mod process;

use core::fmt;
use core::net::SocketAddr;

use mqtt_adapter_std::{Options, Version};

use crate::folder::Folder;
use crate::model::Model;
use crate::mosquitto::Mosquitto;
pub use nats::Cluster;
pub use packages::installed;
use process::Process;

/// A running broker. It ends with this value.
pub struct Broker {
    name: &'static str,
    release: String,
    listeners: Vec<(Version, SocketAddr)>,
    user: Option<&'static str>,
    held: Held,
}

/// What keeps it running. The processes come before the folder they use.
enum Held {
    Mosquitto(Mosquitto),
    Model { _broker: Model },
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
            user: None,
            held: Held::Processes { processes, _folder: folder },
        }
    }

    /// All versions on one port.
    fn at(mut self, address: SocketAddr) -> Self {
        self.listeners = VERSIONS.map(|version| (version, address)).to_vec();
        self
    }

    /// Eclipse mosquitto, of Debian.
    #[must_use]
    pub fn mosquitto() -> Self {
        let broker = Mosquitto::start();
        let (release, address) = (broker.release(), broker.address());
        let held = Held::Mosquitto(broker);
        Self { name: "mosquitto", release, listeners: Vec::new(), user: None, held }.at(address)
    }

    /// The broker of this project, as `mqtt broker` serves it.
    #[must_use]
    pub fn model() -> Self {
        let broker = Model::start();
        let address = broker.address();
        let release = env!("CARGO_PKG_VERSION").to_owned();
        Self {
            name: "mqtt broker",
            release,
            listeners: Vec::new(),
            user: None,
            held: Held::Model { _broker: broker },
        }
        .at(address)
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

    /// The options with the credentials it wants.
    #[must_use]
    pub fn admits(&self, options: Options) -> Options {
        match self.user {
            Some(user) => options.with_username(user).with_password("any"),
            None => options,
        }
    }

    /// What it has logged so far, for the message of a failing test.
    #[must_use]
    pub fn log(&self) -> String {
        match &self.held {
            Held::Mosquitto(broker) => broker.log(),
            Held::Model { .. } => String::new(),
            Held::Processes { processes, .. } => {
                let log: String = processes.iter().map(Process::log).collect();
                // The end of it says what went wrong.
                log.chars().skip(log.chars().count().saturating_sub(4_000)).collect()
            }
        }
    }
}
