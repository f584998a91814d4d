//! NATS server: one node, and a cluster of three.

use core::net::SocketAddr;
use std::fs;
use std::process::Command;

use mqtt_adapter_std::Version;

use super::process::Process;
use super::{Broker, packages};
use crate::folder::Folder;
use crate::mosquitto::free_address;

impl Broker {
    /// NATS server, of Debian; one node.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start; the message says what to do.
    #[must_use]
    pub fn nats() -> Self {
        let folder = Folder::new("nats");
        let mqtt = free_address();
        let mut node = start(&folder, "one", mqtt, "");
        node.answers_at(mqtt);
        Self::of("NATS server", packages::debian("nats-server"), vec![node], folder).at(mqtt)
    }
}

/// What was not acknowledged comes again after a second, not after 30, also on a new connection.
fn start(folder: &Folder, name: &str, mqtt: SocketAddr, cluster: &str) -> Process {
    let config = folder.file(&format!("{name}.conf"));
    let text = format!(
        "server_name: {name}\nlisten: \"{}\"\njetstream {{ store_dir: \"./{name}\", max_mem: 64MB, max_file: 256MB }}\n\
         mqtt {{ listen: \"{mqtt}\", ack_wait: \"1s\" }}\n{cluster}",
        free_address()
    );
    fs::write(&config, text).expect("the folder was made for this");
    let mut command = Command::new("nats-server");
    command.arg("-c").arg(config);
    Process::start(command, folder.path(), name)
}

/// Three nodes of NATS server that share their sessions.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<(SocketAddr, Option<Process>)>,
    _folder: Folder,
}

impl Cluster {
    /// Starts it and waits until it has chosen a leader.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start; the message says what to do.
    #[must_use]
    pub fn start() -> Self {
        let folder = Folder::new("cluster");
        let routes = [(); 3].map(|()| free_address());
        let list = routes.map(|route| format!("\"nats://{route}\"")).join(", ");
        let nodes: Vec<_> = ["n1", "n2", "n3"]
            .iter()
            .zip(routes)
            .map(|(name, route)| {
                let mqtt = free_address();
                let cluster = format!("cluster {{ name: c, listen: \"{route}\", routes: [ {list} ] }}");
                (mqtt, Some(start(&folder, name, mqtt, &cluster)))
            })
            .collect();
        let mut cluster = Self { nodes, _folder: folder };
        for (mqtt, node) in &mut cluster.nodes {
            let node = node.as_mut().expect("it was just started");
            node.says("JetStream cluster");
            node.answers_at(*mqtt);
        }
        cluster
    }

    /// Where the nodes listen.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|(address, _)| *address).collect()
    }

    /// Ends the node with this port at once.
    pub fn kill(&mut self, port: u16) {
        for (address, node) in &mut self.nodes {
            if address.port() == port {
                *node = None;
            }
        }
    }

    /// What all nodes said.
    #[must_use]
    pub fn log(&self) -> String {
        self.nodes.iter().filter_map(|(_, node)| node.as_ref()).map(Process::log).collect()
    }

    /// Where it speaks; the version is 3.1.1.
    pub const VERSION: Version = Version::V3_1_1;
}
