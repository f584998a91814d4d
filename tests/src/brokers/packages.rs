//! Brokers from the registries of Python and Node.js, and which release of each is there.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use mqtt_adapter_std::Version;

use super::Broker;
use super::process::Process;
use crate::folder::Folder;
use crate::mosquitto::free_address;

/// Where `scripts/brokers.sh` puts what does not come from Debian.
#[must_use]
pub fn installed(path: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/brokers");
    root.canonicalize().unwrap_or(root).join(path)
}

fn said(command: &mut Command) -> String {
    let output = command.output().ok().filter(|output| output.status.success());
    output
        .map_or_else(|| "unknown".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The upstream part of the version of a package of Debian.
pub(super) fn debian(package: &str) -> String {
    let whole = said(Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]));
    whole.split(['-', '+']).next().unwrap_or_default().to_owned()
}

fn python(package: &str) -> String {
    let program = format!("import importlib.metadata as m; print(m.version('{package}'))");
    said(Command::new(installed("venv/bin/python")).args(["-c", &program]))
}

fn node(package: &str) -> String {
    let program = format!("console.log(require('./node_modules/{package}/package.json').version)");
    said(Command::new("node").args(["-e", &program]).current_dir(installed("node")))
}

const AEDES: &str = "import { Aedes } from 'aedes'; import net from 'net'
const broker = await Aedes.createBroker()
net.createServer(broker.handle).listen(+process.argv[2], '127.0.0.1')
";

impl Broker {
    /// rumqttd, as the package iotcore of Python carries it. It has a port for each version, and knows no 3.1.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start; the message says what to do.
    #[must_use]
    pub fn rumqttd() -> Self {
        let folder = Folder::new("rumqttd");
        let listeners = [(Version::V3_1_1, "v4", free_address()), (Version::V5, "v5", free_address())];
        let mut config =
            "id = 0\n[router]\nid = 0\nmax_connections = 1000\nmax_outgoing_packet_count = 200\n\
                          max_segment_size = 1048576\nmax_segment_count = 10\n"
                .to_owned();
        for (_, name, address) in listeners {
            config.push_str(&format!(
                "[{name}.1]\nname = \"{name}\"\nlisten = \"{address}\"\nnext_connection_delay_ms = 1\n\
                 [{name}.1.connections]\nconnection_timeout_ms = 60000\nmax_payload_size = 524288\n\
                 max_inflight_count = 100\ndynamic_filters = true\n"
            ));
        }
        fs::write(folder.file("rumqttd.toml"), config).expect("the folder was made for this");
        let mut command = Command::new(installed("venv/bin/python"));
        command.args(["-m", "iotcore", "--config", "rumqttd.toml"]);
        let mut server = Process::start(command, folder.path(), "server");
        for (_, _, address) in listeners {
            server.answers_at(address);
        }
        let release = format!("in iotcore {}", python("iotcore"));
        let mut broker = Self::of("rumqttd", release, vec![server], folder);
        broker.listeners = listeners.map(|(version, _, address)| (version, address)).to_vec();
        broker
    }

    /// amqtt, of Python.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start; the message says what to do.
    #[must_use]
    pub fn amqtt() -> Self {
        let folder = Folder::new("amqtt");
        let address = free_address();
        let config = format!(
            "listeners:\n  default: {{type: tcp, bind: \"{address}\"}}\nplugins:\n  \
             amqtt.plugins.authentication.AnonymousAuthPlugin: {{allow_anonymous: true}}\n"
        );
        fs::write(folder.file("broker.yaml"), config).expect("the folder was made for this");
        let mut command = Command::new(installed("venv/bin/amqtt"));
        command.args(["-c", "broker.yaml"]);
        let mut server = Process::start(command, folder.path(), "server");
        server.answers_at(address);
        Self::of("amqtt", python("amqtt"), vec![server], folder).at(address)
    }

    /// aedes, of Node.js.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start; the message says what to do.
    #[must_use]
    pub fn aedes() -> Self {
        let folder = Folder::new("aedes");
        let address = free_address();
        // A module is looked for from where the file stands.
        let program = installed("node").join("aedes.mjs");
        fs::write(&program, AEDES).unwrap_or_else(|error| {
            panic!("{}: {error}. scripts/brokers.sh makes the folder", program.display())
        });
        let mut command = Command::new("node");
        command.arg(program).arg(address.port().to_string());
        let mut server = Process::start(command, folder.path(), "server");
        server.answers_at(address);
        Self::of("aedes", node("aedes"), vec![server], folder).at(address)
    }
}
