//! How the program ends: one line on standard error, and a status that a script can tell apart.

use core::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// Printed under every help text.
pub(crate) const HELP: &str = "Exit status:
    0  done
    1  a message or a subscription was not accepted, not delivered or not printed
    2  the command line is wrong: an option, the URL, a topic, a filter, a file
    3  no connection: unknown host, nobody listens, refused by the server
    4  the connection was lost for good
  130  interrupted before the work was done";

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) enum End {
    /// The operation failed.
    Failed(String),
    /// The command line asks for something that cannot be.
    Usage(String),
    /// The first connection did not come up.
    NotConnected(String),
    /// A connection that was up is gone and does not come back.
    Lost(String),
    /// By the user, too early.
    Interrupted(String),
    /// Whoever read the output has closed it: no error, and nobody left to tell.
    OutputClosed,
}

impl End {
    /// Prints the line and gives the status.
    pub(crate) fn report(self) -> ExitCode {
        let (code, line) = match self {
            Self::OutputClosed => return ExitCode::SUCCESS,
            Self::Failed(line) => (1, line),
            Self::Usage(line) => (2, line),
            Self::NotConnected(line) => (3, line),
            Self::Lost(line) => (4, line),
            Self::Interrupted(line) => (130, line),
        };
        say(line);
        ExitCode::from(code)
    }

    /// What a failed write to standard output means.
    pub(crate) fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Failed(format!("cannot write to standard output: {error}")),
        }
    }
}

/// One line for the user on standard error, where it does not mix with payloads. A closed one is no reason to fail.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "mqtt: {line}");
}
