//! Many connections from one process; 5,000 by hand (`docs/reliability.md`), fewer here, as many descriptors as a shell
//! usually allows.

use std::process::Command;

#[test]
fn five_hundred_connections_stay_through_three_keep_alives_and_then_talk() {
    let output = Command::new(env!("CARGO_BIN_EXE_crowd"))
        .args(["--connections", "500", "--messages", "10", "--idle", "6", "--keep-alive", "2"])
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(
        output.status.success(),
        "{}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    // One thread for all clients, one that waits for the sockets.
    let connected = said.lines().find(|line| line.starts_with("connected:")).expect("it says so");
    assert!(connected.contains(" 2 threads"), "{connected}");
}
