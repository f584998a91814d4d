//! Running the program.

use std::process::Command;

pub(crate) use mqtt_tests::process::{CAP, Ended, Running, run};

/// The program under test.
pub(crate) fn mqtt(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqtt"));
    command.args(arguments).env_remove("MQTT_PASSWORD");
    command
}
