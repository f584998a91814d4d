//! A broker's process, with everything it starts itself.

use core::net::SocketAddr;
use core::time::Duration;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

/// How long a broker may take to answer on its port. A safety cap, not a measurement.
const START_CAP: Duration = Duration::from_secs(90);

const INSTALL: &str = "scripts/brokers.sh installs all brokers of the matrix (./check runs it)";

/// A process and its children; all of them end with this value.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program inside `folder`; what it says goes to a file there.
    ///
    /// # Panics
    ///
    /// When it cannot be started; the message says what to do.
    pub(super) fn start(mut command: Command, folder: &Path, name: &str) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).expect("the folder was made for this");
        let errors = file.try_clone().expect("a file can be opened twice");
        command.current_dir(folder).stdin(Stdio::null()).stdout(file).stderr(errors).process_group(0);
        match command.spawn() {
            Ok(child) => Self { child, log },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("{:?} is not installed. {INSTALL}", command.get_program())
            }
            Err(error) => panic!("{:?} could not be started: {error}", command.get_program()),
        }
    }

    /// Waits until something accepts connections there.
    ///
    /// # Panics
    ///
    /// When the process ends, or the time is up; with what it said.
    pub(super) fn answers_at(&mut self, address: SocketAddr) {
        self.until("accepts no connection", || TcpStream::connect(address).is_ok());
    }

    /// Waits until one of these processes' logs has this text.
    pub(super) fn says(&mut self, text: &str) {
        let log = self.log.clone();
        self.until(text, || fs::read_to_string(&log).is_ok_and(|log| log.contains(text)));
    }

    fn until(&mut self, what: &str, mut ready: impl FnMut() -> bool) {
        let cap = Instant::now() + START_CAP;
        while !ready() {
            let ended = !matches!(self.child.try_wait(), Ok(None));
            assert!(!ended && Instant::now() < cap, "the broker does not start: {what}\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it said so far.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The whole group: some brokers are started by a script.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
