//! The broker mosquitto as a child process on a free loopback port.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use crate::folder::Folder;

mod listeners;
mod restart;

pub use listeners::{Carrier, Door};

/// What a machine without the broker is told. A test that needs it fails; it is never skipped.
const MISSING: &str = "mosquitto is not installed, and this test runs against it. \
     On Debian: apt-get install mosquitto mosquitto-clients (./check does it for you)";

/// How long a broker may take to answer on its port. A safety cap, not a measurement.
const START_CAP: Duration = Duration::from_secs(20);

/// A running mosquitto with a configuration of its own. It ends with this value.
#[derive(Debug)]
pub struct Mosquitto {
    child: Child,
    address: SocketAddr,
    folder: Folder,
}

impl Mosquitto {
    /// Starts a broker that lets everyone in and keeps all that it queues.
    ///
    /// # Panics
    ///
    /// When mosquitto is not installed or does not start; the message says what to do.
    #[must_use]
    pub fn start() -> Self {
        Self::with("allow_anonymous true\n")
    }

    /// Starts one with these lines of configuration for its only listener.
    ///
    /// # Panics
    ///
    /// When mosquitto is not installed or does not start; the message says what to do.
    #[must_use]
    pub fn with(lines: &str) -> Self {
        Self::inside(Folder::new("mosquitto"), "", lines)
    }

    /// Starts one with these lines before and behind the listener that it is found by, and its files in `folder`.
    pub(crate) fn inside(folder: Folder, before: &str, behind: &str) -> Self {
        // Between finding a free port and using it someone else may take it: then another is tried.
        for _ in 0..5 {
            let address = free_address();
            // Started by root, mosquitto would become a user who cannot read the folder.
            let text = format!(
                "user root\nmax_queued_messages 0\nset_tcp_nodelay true\n{before}listener {} {}\n{behind}",
                address.port(),
                address.ip()
            );
            fs::write(folder.file("broker.conf"), text).expect("the folder was made for this");
            let mut child = run(&folder);
            if answers(&mut child, address) {
                return Self { child, address, folder };
            }
            end(&mut child);
        }
        panic!("mosquitto does not start. Its log:\n{}", log(&folder));
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// Which release it is.
    #[must_use]
    pub fn release(&self) -> String {
        // The first line of its help: "mosquitto version 2.0.11".
        let help = Command::new(program("mosquitto")).arg("-h").output().map(|output| output.stdout);
        let help = String::from_utf8_lossy(&help.unwrap_or_default()).into_owned();
        help.split_whitespace().nth(2).unwrap_or("unknown").to_owned()
    }

    /// What it has logged so far, for the message of a failing test.
    #[must_use]
    pub fn log(&self) -> String {
        log(&self.folder)
    }

    /// Where a file of its folder stands: `authority.pem`, `client.pem` and `client.key` of encrypted listeners.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.file(name)
    }

    /// `mosquitto_pub` or `mosquitto_sub`, set to this broker.
    #[must_use]
    pub fn client(&self, name: &str) -> Command {
        client_of(name, self.address)
    }
}

/// `mosquitto_pub` or `mosquitto_sub`, set to any broker.
#[must_use]
pub fn client_of(name: &str, broker: SocketAddr) -> Command {
    let mut command = Command::new(program(name));
    command.arg("-h").arg(broker.ip().to_string()).arg("-p").arg(broker.port().to_string());
    command
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Stops a child of this process and takes its exit status, so that nothing of it stays.
pub fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// A loopback address nobody listens on, and that nobody else will be given: no two calls of a process get the same one, and
/// it is none of those that the system chooses for connections.
///
/// # Panics
///
/// When the machine has no such port left.
#[must_use]
pub fn free_address() -> SocketAddr {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 22_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..COUNT {
        // Processes that run beside each other begin at places of their own.
        let place = std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = (FIRST + place % COUNT) as u16;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return listener.local_addr().expect("a bound socket has an address");
        }
    }
    panic!("no loopback port is free");
}

/// The broker as the configuration in the folder has it.
fn run(folder: &Folder) -> Child {
    let log = File::options().create(true).append(true).open(folder.file("broker.log"));
    let started = Command::new(program("mosquitto"))
        .arg("-c")
        .arg(folder.file("broker.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.expect("the folder was made for this"))
        // In a group of its own: Ctrl-C is for the program that runs it.
        .process_group(0)
        .spawn();
    match started {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => panic!("{MISSING}"),
        Err(error) => panic!("mosquitto could not be started: {error}"),
    }
}

fn log(folder: &Folder) -> String {
    fs::read_to_string(folder.file("broker.log")).unwrap_or_default()
}

/// Waits until the child accepts connections; false when it ended instead.
pub(crate) fn answers(child: &mut Child, address: SocketAddr) -> bool {
    let cap = Instant::now() + START_CAP;
    while Instant::now() < cap {
        if !matches!(child.try_wait(), Ok(None)) {
            return false;
        }
        if TcpStream::connect(address).is_ok() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}

/// Debian puts brokers where only root's PATH looks.
pub(crate) fn program(name: &str) -> PathBuf {
    for folder in ["/usr/sbin", "/usr/local/sbin"] {
        let path = Path::new(folder).join(name);
        if path.is_file() {
            return path;
        }
    }
    PathBuf::from(name)
}
