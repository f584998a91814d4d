//! The soak for a minute; for an hour it runs by hand (`docs/reliability.md`).

use std::process::Command;

use mqtt_tests::process::{Running, passes};

/// Memory has a bound that suits a minute: tables and the allocator are still on their way to their size.
#[test]
fn ten_clients_for_a_minute_lose_nothing_double_nothing_and_leak_nothing() {
    let mut soak = Command::new(env!("CARGO_BIN_EXE_soak"));
    passes(soak.args(["--seconds", "60", "--seed", "7", "--memory", "15"]));
}

#[test]
fn ctrl_c_ends_it_in_order() {
    let soak = Running::start(Command::new(env!("CARGO_BIN_EXE_soak")).args(["--seconds", "3600"]));
    assert!(soak.line().starts_with("mosquitto"));
    let kill = Command::new("kill").args(["-INT", &soak.id().to_string()]).status();
    assert!(kill.expect("kill is there").success());
    let ended = soak.ended();
    assert_eq!(ended.status, Some(130), "{ended:?}");
    assert!(ended.output.contains("passed"), "{ended:?}");
}
