//! A link that goes silent, between two network namespaces: `iptables` drops every packet, both ways, and neither side is
//! told. The client must find that within one and a half keep-alive intervals, and lose nothing.

use core::sync::atomic::{AtomicU32, Ordering};
use std::env;
use std::fs;
use std::process::{self, Command};

use mqtt_tests::folder::Folder;
use mqtt_tests::process::{Ended, Running, run};

/// In seconds.
const KEEP_ALIVE: u32 = 4;
/// The bound of the engine is exact: 1.5 keep-alive intervals after the last sign of life. This is for the scheduler of a
/// busy machine, in milliseconds.
const SLACK: u32 = 750;
/// Says that the test already runs in a user namespace.
const INSIDE: &str = "MQTT_TESTS_IN_USER_NAMESPACE";
/// What a machine is told that cannot do this. The test fails; it is never skipped.
const NEEDED: &str = "this test makes network namespaces. It needs `ip` (Debian: iproute2), `iptables`, and either root with \
     CAP_NET_ADMIN and CAP_SYS_ADMIN, or unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1; \
     with AppArmor, kernel.apparmor_restrict_unprivileged_userns=0)";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Two namespaces joined by a pair of virtual interfaces. They go with this value.
struct Namespaces {
    server: String,
    client: String,
}

impl Namespaces {
    const SERVER: &str = "10.77.0.1";
    const CLIENT: &str = "10.77.0.2";

    fn make() -> Self {
        let id = format!("mqtt-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let this = Self { server: format!("{id}-s"), client: format!("{id}-c") };
        for name in [&this.server, &this.client] {
            ip(&["netns", "add", name]);
        }
        ip(&[
            "link",
            "add",
            "joint",
            "netns",
            &this.server,
            "type",
            "veth",
            "peer",
            "name",
            "joint",
            "netns",
            &this.client,
        ]);
        for (name, address) in [(&this.server, Self::SERVER), (&this.client, Self::CLIENT)] {
            ip(&["-n", name, "address", "add", &format!("{address}/30"), "dev", "joint"]);
            ip(&["-n", name, "link", "set", "joint", "up"]);
            ip(&["-n", name, "link", "set", "lo", "up"]);
        }
        this
    }

    /// A program in one of them.
    fn command(name: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", name, program]);
        command
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in [&self.server, &self.client] {
            let _ = Command::new("ip").args(["netns", "delete", name]).status();
        }
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("ip does not run ({error}): {NEEDED}"));
    assert!(
        output.status.success(),
        "ip {arguments:?}: {}\n{NEEDED}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("`id` is there");
    output.stdout == b"0\n"
}

/// Runs the test as root of a user namespace of its own, where the user is not root.
fn as_root(test: &str, body: impl FnOnce()) {
    if is_root() {
        return body();
    }
    assert!(env::var_os(INSIDE).is_none(), "not root in a user namespace: {NEEDED}");
    let program = env::current_exe().expect("a program knows its path");
    // Where `ip netns` keeps its names belongs to the real root: here it is an empty folder.
    let Ended { status, output, errors } = run(Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount", "sh", "-c"])
        .arg(r#"mount -t tmpfs none /run && exec "$0" --exact --nocapture "$1""#)
        .arg(program)
        .arg(test)
        .env(INSIDE, "1"));
    assert!(status == Some(0), "{status:?}\n{output}\n{errors}\n{NEEDED}");
    assert!(output.contains("1 passed"), "{output}");
}

fn found_and_resumed(driver: &str) {
    let namespaces = Namespaces::make();
    let folder = Folder::new("namespaces");
    let config = folder.file("broker.conf");
    let lines = format!("user root\nallow_anonymous true\nlistener 1883 {}\n", Namespaces::SERVER);
    fs::write(&config, lines).expect("the folder was made for this");
    let mosquitto = ["/usr/sbin/mosquitto", "mosquitto"]
        .into_iter()
        .find(|path| fs::exists(path).unwrap_or(false))
        .unwrap_or("mosquitto");
    let mut broker = Namespaces::command(&namespaces.server, mosquitto);
    let _broker = Running::start(broker.arg("-c").arg(&config));

    let mut client = Namespaces::command(&namespaces.client, env!("CARGO_BIN_EXE_silent_link"));
    let url = format!("mqtt://{}", Namespaces::SERVER);
    let client = Running::start(client.args([driver, &url, &KEEP_ALIVE.to_string()]));
    let line = client.line();
    let found = line.strip_prefix("found ").and_then(|found| found.parse::<u32>().ok());
    let found = found.unwrap_or_else(|| panic!("it says {line:?}"));
    println!("{driver}: found after {found} ms, keep-alive {KEEP_ALIVE} s");
    let bound = KEEP_ALIVE * 1_500;
    assert!(found <= bound + SLACK, "found after {found} ms, and {bound} are allowed");
    assert_eq!(client.line(), "back");
    let ended = client.ended();
    assert_eq!(ended.status, Some(0), "{ended:?}");
}

macro_rules! drivers {
    ($($driver:ident),+) => {$(
        /// [A2]
        #[test]
        fn $driver() {
            as_root(concat!("namespaces::", stringify!($driver)), || found_and_resumed(stringify!($driver)));
        }
    )+};
}

drivers!(threads, driven, smol);
