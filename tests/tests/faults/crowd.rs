//! Many connections from one process; 5,000 by hand (`docs/reliability.md`), fewer here, as many descriptors as a shell
//! usually allows.

use std::process::Command;

use mqtt_tests::process::passes;

#[test]
fn five_hundred_connections_stay_idle_with_little_memory_and_then_talk() {
    // Idle for longer than the broker waits for a ping, and looked at well between two pings.
    let mut crowd = Command::new(env!("CARGO_BIN_EXE_crowd"));
    crowd
        .args(["--connections", "500", "--messages", "10", "--idle", "13", "--keep-alive", "8"])
        // glibc then gives back what is freed, so that it is seen.
        .env("MALLOC_MMAP_THRESHOLD_", "32768");
    let said = passes(&mut crowd);
    // One thread for all clients, one that waits for the sockets.
    let connected = said.lines().find(|line| line.starts_with("connected:")).expect("it says so");
    assert!(connected.contains(" 2 threads"), "{connected}");
    // While it receives, and for a second after, each holds 64 KiB to read into.
    let idle = said.lines().skip_while(|line| !line.starts_with("idle:")).nth(1).expect("it says so");
    let each = idle.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).expect("a number");
    assert!(each < 40.0, "{idle}");
}
