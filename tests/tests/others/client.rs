//! A client of somebody else as a child process that does what it is told; the scripts say which lines it knows.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Command;

use mqtt_tests::brokers::installed;
use mqtt_tests::model::Model;
use mqtt_tests::process::Running;

/// Whose client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Language {
    /// paho-mqtt, in Python.
    Paho,
    /// MQTT.js, in JavaScript.
    MqttJs,
}

/// Whose client, and how it connects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) language: Language,
    /// `3.1`, `3.1.1` or `5`.
    pub(crate) version: &'static str,
    /// `tcp` or `ws`.
    pub(crate) transport: &'static str,
}

/// A running client. It dies without a word with this value.
#[derive(Debug)]
pub(crate) struct Other {
    running: Running,
    /// Messages that came while something else was expected.
    messages: VecDeque<String>,
}

/// What a message was like when it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) topic: String,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) payload: String,
}

impl Other {
    /// Starts it and waits until it is connected.
    pub(crate) fn connect(kind: Kind, broker: &Model, client_id: &str, clean: bool) -> Self {
        let (other, _) = Self::start(kind, broker, client_id, clean, None);
        other
    }

    /// The same, and whether the broker had kept a session; with a will if there is a topic for it.
    pub(crate) fn start(
        kind: Kind,
        broker: &Model,
        client_id: &str,
        clean: bool,
        will: Option<&str>,
    ) -> (Self, bool) {
        let address = if kind.transport == "ws" { broker.ws_address() } else { broker.address() };
        let mut command = program(kind.language);
        command
            .args([kind.version, kind.transport, &address.ip().to_string(), &address.port().to_string()])
            .args([client_id, if clean { "1" } else { "0" }])
            .args(will);
        let other = Self { running: Running::start(&mut command), messages: VecDeque::new() };
        let line = other.running.line();
        let present = line.strip_prefix("connected ").unwrap_or_else(|| panic!("{kind:?} says {line:?}"));
        (other, present == "1")
    }

    /// Has it do something.
    pub(crate) fn tell(&mut self, line: &str) {
        self.running.input(line);
        self.running.input("\n");
    }

    /// Waits for a line that begins with `word`; messages are kept for later, and what says that a connection went or came
    /// is passed over.
    pub(crate) fn expect(&mut self, word: &str) -> String {
        loop {
            let line = self.running.line();
            if line.starts_with(word) {
                return line;
            }
            if line.starts_with("message") {
                self.messages.push_back(line);
                continue;
            }
            let of_connections = ["lost", "connected", "error"].iter().any(|start| line.starts_with(start));
            assert!(of_connections, "{word:?} is expected, not {line:?}");
        }
    }

    pub(crate) fn subscribe(&mut self, filter: &str, qos: u8) {
        self.tell(&format!("subscribe {filter} {qos}"));
        assert_eq!(self.expect("granted"), format!("granted {qos}"));
    }

    /// The next message.
    pub(crate) fn message(&mut self) -> Arrived {
        let line = self.messages.pop_front().unwrap_or_else(|| self.expect("message"));
        let [_, topic, qos, retain, payload] = line.splitn(5, ' ').collect::<Vec<_>>()[..] else {
            panic!("{line:?}");
        };
        Arrived {
            topic: topic.to_owned(),
            qos: qos.parse().expect("it is a number"),
            retain: retain == "1",
            payload: payload.to_owned(),
        }
    }

    /// Ends it in order.
    pub(crate) fn disconnect(mut self) {
        self.tell("disconnect");
        let ended = self.running.ended();
        assert_eq!(ended.status, Some(0), "{ended:?}");
    }
}

/// The program that runs the script of a language; the tests fail where it is missing.
fn program(language: Language) -> Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/others/clients");
    let (python, node) = (installed("venv/bin/python"), installed("node/node_modules"));
    for path in [&python, &node.join("mqtt")] {
        assert!(
            path.exists(),
            "{} is missing, and this test runs against paho-mqtt and MQTT.js: scripts/brokers.sh installs them \
             (./check does it for you)",
            path.display()
        );
    }
    match language {
        Language::Paho => {
            let mut command = Command::new(python);
            command.arg(scripts.join("paho_client.py"));
            command
        }
        Language::MqttJs => {
            let mut command = Command::new("node");
            command.env("NODE_PATH", node);
            command.arg(scripts.join("mqttjs_client.cjs"));
            command
        }
    }
}
