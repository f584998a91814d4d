//! RabbitMQ and ejabberd. Their port mapper is one of ours, so that no daemon stays behind.

use core::net::SocketAddr;
use std::fs;
use std::process::Command;

use super::process::Process;
use super::{Broker, packages};
use crate::folder::Folder;
use crate::mosquitto::{Door, free_address};

/// Nodes listen for each other on the loopback interface only.
const LOOPBACK: &str = "inet_dist_use_interface {127,0,0,1}";

fn mapper(folder: &Folder) -> (Process, SocketAddr) {
    let address = free_address();
    let mut command = Command::new("epmd");
    command.args(["-port", &address.port().to_string(), "-address", "127.0.0.1"]);
    let mut mapper = Process::start(command, folder.path(), "epmd");
    mapper.answers_at(address);
    (mapper, address)
}

fn node(program: &str, folder: &Folder, mapper: SocketAddr) -> Command {
    let mut command = Command::new(program);
    command
        .env("HOME", folder.path())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("ERL_EPMD_PORT", mapper.port().to_string());
    command
}

impl Broker {
    /// RabbitMQ with its MQTT plugin, of Debian.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start; the message says what to do.
    #[must_use]
    pub fn rabbitmq() -> Self {
        let folder = Folder::new("rabbitmq");
        let (mapper, port_mapper) = mapper(&folder);
        let [mqtt, amqp, between] = [(); 3].map(|()| free_address());
        let config = format!(
            "listeners.tcp.1 = {amqp}\nmqtt.listeners.tcp.1 = {mqtt}\nmqtt.allow_anonymous = true\n\
             mqtt.default_user = guest\nmqtt.default_pass = guest\nloopback_users = none\n\
             vm_memory_high_watermark.relative = 0.2\ndisk_free_limit.absolute = 50MB\n"
        );
        fs::write(folder.file("rabbitmq.conf"), config).expect("the folder was made for this");
        fs::write(folder.file("plugins"), "[rabbitmq_mqtt].\n").expect("the folder was made for this");
        fs::create_dir_all(folder.file("log")).expect("the folder was made for this");
        let mut command = node("/usr/lib/rabbitmq/bin/rabbitmq-server", &folder, port_mapper);
        command
            .env("RABBITMQ_NODENAME", format!("mq{}@localhost", mqtt.port()))
            .env("RABBITMQ_NODE_PORT", amqp.port().to_string())
            .env("RABBITMQ_DIST_PORT", between.port().to_string())
            .env("RABBITMQ_MNESIA_BASE", folder.file("mnesia"))
            .env("RABBITMQ_LOG_BASE", folder.file("log"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.file("plugins"))
            .env("RABBITMQ_CONFIG_FILE", folder.file("rabbitmq.conf"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_PID_FILE", folder.file("pid"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", format!("-kernel {LOOPBACK}"));
        let mut server = Process::start(command, folder.path(), "server");
        server.answers_at(mqtt);
        Self::of("RabbitMQ", packages::debian("rabbitmq-server"), vec![server, mapper], folder).at(mqtt)
    }

    /// ejabberd with its MQTT module, of Debian.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start; the message says what to do.
    #[must_use]
    pub fn ejabberd() -> Self {
        let folder = Folder::new("ejabberd");
        let (mapper, port_mapper) = mapper(&folder);
        let mqtt = free_address();
        let config = format!(
            "hosts: [localhost]\nloglevel: info\nlisten:\n  - {{port: {}, ip: \"127.0.0.1\", module: mod_mqtt, \
             backlog: 100}}\nauth_method: [anonymous]\nanonymous_protocol: login_anon\nmodules:\n  mod_mqtt:\n    \
             access_publish: {{\"#\": [{{allow: all}}]}}\n    access_subscribe: {{\"#\": [{{allow: all}}]}}\n",
            mqtt.port()
        );
        fs::write(folder.file("ejabberd.yml"), config).expect("the folder was made for this");
        for name in ["contrib", "spool", "logs"] {
            fs::create_dir_all(folder.file(name)).expect("the folder was made for this");
        }
        let mut command = node("erl", &folder, port_mapper);
        command
            .env("EJABBERD_CONFIG_PATH", folder.file("ejabberd.yml"))
            .env("EJABBERD_LOG_PATH", folder.file("logs/ejabberd.log"))
            .env("CONTRIB_MODULES_CONF_DIR", folder.file("contrib"))
            .env("ERL_LIBS", format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH))
            .args(["-noinput", "-sname", &format!("ejt{}@localhost", mqtt.port())])
            .args(["-kernel"])
            .args(LOOPBACK.split(' '))
            .args(["-mnesia", "dir", &format!("{:?}", folder.file("spool")), "-s", "ejabberd"]);
        let mut server = Process::start(command, folder.path(), "server");
        server.answers_at(mqtt);
        let mut broker =
            Self::of("ejabberd", packages::debian("ejabberd"), vec![server, mapper], folder).at(mqtt);
        // Without one the answer is "not authorized".
        broker.door = Door::asking("anyone@localhost", "any");
        broker
    }
}
