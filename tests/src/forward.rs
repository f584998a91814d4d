//! Proxies that others wrote, as child processes on a free loopback port: microsocks for SOCKS5, tinyproxy for CONNECT.

use core::net::SocketAddr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::process::{Child, Command, Stdio};

use crate::folder::Folder;
use crate::mosquitto::{answers, end, free_address, program};

/// What a machine without them is told. A test that needs one fails; it is never skipped.
const MISSING: &str = "is not installed, and this test runs through it. \
     On Debian: apt-get install microsocks tinyproxy (./check does it for you)";

/// User name and password that those proxies want which want any.
pub const CREDENTIALS: (&str, &str) = ("lamp", "s3cret");

/// A running proxy; it ends with this value.
#[derive(Debug)]
pub struct Forward {
    child: Child,
    address: SocketAddr,
    scheme: &'static str,
    folder: Folder,
}

impl Forward {
    /// SOCKS5, with [`CREDENTIALS`] or open to everyone.
    ///
    /// # Panics
    ///
    /// When microsocks is not installed or does not start; the message says what to do.
    #[must_use]
    pub fn socks5(locked: bool) -> Self {
        Self::start("microsocks", "socks5", |command, address, _| {
            command.args(["-i", &address.ip().to_string(), "-p", &address.port().to_string()]);
            if locked {
                command.args(["-u", CREDENTIALS.0, "-P", CREDENTIALS.1]);
            }
        })
    }

    /// HTTP CONNECT, with [`CREDENTIALS`] or open to everyone.
    ///
    /// # Panics
    ///
    /// When tinyproxy is not installed or does not start; the message says what to do.
    #[must_use]
    pub fn http(locked: bool) -> Self {
        Self::start("tinyproxy", "http", |command, address, folder| {
            let lock = if locked {
                format!("BasicAuth {} {}\n", CREDENTIALS.0, CREDENTIALS.1)
            } else {
                String::new()
            };
            let text = format!(
                "Port {}\nListen {}\nTimeout 600\nLogLevel Connect\n{lock}",
                address.port(),
                address.ip()
            );
            let file = folder.file("tinyproxy.conf");
            fs::write(&file, text).expect("the folder was made for this");
            command.arg("-d").arg("-c").arg(file);
        })
    }

    fn start(
        name: &str,
        scheme: &'static str,
        configure: impl Fn(&mut Command, SocketAddr, &Folder),
    ) -> Self {
        let folder = Folder::new(name);
        let log = folder.file("proxy.log");
        // Between finding a free port and using it someone else may take it: then another is tried.
        for _ in 0..5 {
            let address = free_address();
            let file = File::create(&log).expect("the folder was made for this");
            let other = file.try_clone().expect("a file can be shared");
            let mut command = Command::new(program(name));
            configure(&mut command, address, &folder);
            command.stdin(Stdio::null()).stdout(file).stderr(other);
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(error) if error.kind() == ErrorKind::NotFound => panic!("{name} {MISSING}"),
                Err(error) => panic!("{name} could not be started: {error}"),
            };
            if answers(&mut child, address) {
                return Self { child, address, scheme, folder };
            }
            end(&mut child);
        }
        panic!("{name} does not start. Its log:\n{}", fs::read_to_string(&log).unwrap_or_default());
    }

    /// Its address, without credentials.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// The same with credentials.
    #[must_use]
    pub fn url_with(&self, user: &str, password: &str) -> String {
        format!("{}://{user}:{password}@{}", self.scheme, self.address)
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.file("proxy.log")).unwrap_or_default()
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}
