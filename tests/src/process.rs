//! Other programs as children of a test, with a cap so that a hang fails.

use core::time::Duration;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use crate::mosquitto::end;

/// How long a program may take for a line, and to its end. A safety cap, not a measurement.
pub const CAP: Duration = Duration::from_secs(90);

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; none if a signal ended it.
    pub status: Option<i32>,
    /// What it said on standard output and was not read before.
    pub output: String,
    /// The same of standard error.
    pub errors: String,
}

/// Runs a program to its end, which must be a good one, prints what it says, and gives that back. For programs that have a
/// cap of their own.
///
/// # Panics
///
/// If it does not start or does not end well.
pub fn passes(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{said}");
    assert!(
        output.status.success(),
        "{}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// A program that runs; it ends with this value.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
}

impl Running {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start(command: &mut Command) -> Self {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let lines = lines_of(child.stdout.take().expect("the output is a pipe"));
        let errors = lines_of(child.stderr.take().expect("the errors are a pipe"));
        Self { child, lines, errors }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its input.
    ///
    /// # Panics
    ///
    /// If it does not read it.
    pub fn input(&mut self, text: &str) {
        let input = self.child.stdin.as_mut().expect("the input is open");
        input.write_all(text.as_bytes()).expect("the program reads its input");
    }

    /// Closes its input.
    pub fn close_input(&mut self) {
        self.child.stdin = None;
    }

    /// The next line of its output.
    ///
    /// # Panics
    ///
    /// If there is none within [`CAP`]; the message has what it said on standard error.
    #[must_use]
    pub fn line(&self) -> String {
        self.lines.recv_timeout(CAP).unwrap_or_else(|error| {
            let said: Vec<String> = self.errors.try_iter().collect();
            panic!("the program does not print a line ({error}); it said {said:?}")
        })
    }

    /// The lines of its output that are there and were not read before.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Ends it with SIGKILL; the lines of its output that were not read before.
    #[must_use]
    pub fn killed(mut self) -> Vec<String> {
        end(&mut self.child);
        self.lines.iter().collect()
    }

    /// Waits for a line of its errors that holds `text`.
    ///
    /// # Panics
    ///
    /// If there is none within [`CAP`].
    pub fn says(&self, text: &str) -> String {
        let mut said = Vec::new();
        while let Ok(line) = self.errors.recv_timeout(CAP) {
            if line.contains(text) {
                return line;
            }
            said.push(line);
        }
        panic!("the program does not say {text:?}, but: {said:?}");
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// If it does not end within [`CAP`].
    #[must_use]
    pub fn ended(mut self) -> Ended {
        self.close_input();
        let cap = Instant::now() + CAP;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status.code(),
                Ok(None) if Instant::now() < cap => thread::sleep(Duration::from_millis(5)),
                _ => panic!(
                    "the program does not end; it said {:?}",
                    self.errors.try_iter().collect::<Vec<_>>()
                ),
            }
        };
        let all = |lines: &Receiver<String>| lines.iter().map(|line| line + "\n").collect();
        Ended { status, output: all(&self.lines), errors: all(&self.errors) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> Ended {
    Running::start(command).ended()
}

/// Reads a pipe on a thread of its own, so that the program never waits for the test.
fn lines_of(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });
    lines
}
