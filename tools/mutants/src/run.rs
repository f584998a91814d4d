//! Runs tests with mutants on.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Processes at a time.
const JOBS: usize = 2;
/// KiB of memory a process may have.
const MEMORY: u32 = 4 * 1024 * 1024;
/// What a process may take that asks for no mutant, as a loop in a test does.
const PATIENCE: Duration = Duration::from_secs(60);
/// Steps that a list of tests may take more than it takes without a mutant, beside ten times that.
const MORE_STEPS: u64 = 100_000_000;

pub struct Test {
    program: usize,
    pub name: String,
    steps: u64,
    reaches: Vec<u32>,
}

pub struct Tests {
    programs: Vec<PathBuf>,
    folder: PathBuf,
    tests: Vec<Test>,
    /// The tests that reach each mutant.
    reached_by: BTreeMap<u32, Vec<usize>>,
}

#[derive(Debug)]
pub enum Verdict {
    /// By that test.
    Caught(String),
    TimedOut,
    Missed,
    /// No test comes there.
    Unreached,
}

impl Tests {
    /// Runs each test by itself and notes which mutants it reaches.
    pub fn record(programs: Vec<PathBuf>, folder: &Path, out: &Path, skip: &[String]) -> Self {
        let mut named = vec![];
        for (program, path) in programs.iter().enumerate() {
            let list =
                Command::new(path).args(["--list", "--format", "terse"]).output().expect("a list of tests");
            for line in String::from_utf8_lossy(&list.stdout).lines() {
                let Some(name) = line.strip_suffix(": test") else { continue };
                if !skip.iter().any(|skip| name.contains(&**skip)) {
                    named.push((program, name.to_owned()));
                }
            }
        }
        let records = out.join("records");
        fs::create_dir_all(&records).expect("a folder");
        let tests = for_all(&named, |index, (program, name)| {
            let file = records.join(index.to_string());
            let mut command = Command::new(&programs[*program]);
            command.current_dir(folder).env("MUTANT", &file).env_remove("MUTANT_STEPS");
            command.args([name, "--exact", "--test-threads=1"]);
            let output = command.output().expect("a test runs");
            assert!(
                output.status.success(),
                "{name} fails without a mutant:\n{}",
                String::from_utf8_lossy(&output.stdout)
            );
            let record = fs::read(&file).unwrap_or_default();
            let (steps, reaches) = record.split_at(record.len().min(8));
            let steps = steps.try_into().map_or(0, u64::from_le_bytes);
            let reaches =
                reaches.chunks_exact(4).map(|n| u32::from_le_bytes(n.try_into().expect("four"))).collect();
            Test { program: *program, name: name.clone(), steps, reaches }
        });
        fs::remove_dir_all(&records).expect("the records are removed");
        let mut reached_by: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (index, test) in tests.iter().enumerate() {
            for number in &test.reaches {
                reached_by.entry(*number).or_default().push(index);
            }
        }
        Self { programs, folder: folder.to_owned(), tests, reached_by }
    }

    pub fn len(&self) -> usize {
        self.tests.len()
    }

    /// Steps of all tests.
    pub fn steps(&self) -> u64 {
        self.tests.iter().map(|test| test.steps).sum()
    }

    /// Quick tests first: by a few lists of tests for each program.
    pub fn verdict(&self, number: u32) -> Verdict {
        let Some(tests) = self.reached_by.get(&number) else { return Verdict::Unreached };
        let mut tests: Vec<&Test> = tests.iter().map(|index| &self.tests[*index]).collect();
        tests.sort_by_key(|test| test.steps);
        for part in [0..20_000, 20_000..1_000_000, 1_000_000..u64::MAX] {
            for program in 0..self.programs.len() {
                let list: Vec<&Test> = tests
                    .iter()
                    .filter(|test| test.program == program && part.contains(&test.steps))
                    .copied()
                    .collect();
                match self.run(program, &list, number) {
                    Verdict::Missed => {}
                    verdict => return verdict,
                }
            }
        }
        Verdict::Missed
    }

    fn run(&self, program: usize, tests: &[&Test], number: u32) -> Verdict {
        if tests.is_empty() {
            return Verdict::Missed;
        }
        let steps = tests.iter().map(|test| test.steps).sum::<u64>() * 10 + MORE_STEPS;
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -v {MEMORY}; exec \"$0\" \"$@\"")]).arg(&self.programs[program]);
        command.args(tests.iter().map(|test| &test.name)).args(["--exact", "--test-threads=1"]);
        command
            .current_dir(&self.folder)
            .env("MUTANT", number.to_string())
            .env("MUTANT_STEPS", steps.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("a program of tests");
        let output = child.stdout.take().expect("its output");
        let (told, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                if told.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        let end = Instant::now() + PATIENCE;
        loop {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let failed = line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED"));
                    if let Some(name) = failed {
                        kill(child);
                        return Verdict::Caught(name.to_owned());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    kill(child);
                    return Verdict::TimedOut;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = child.wait().expect("a status");
        match status.code() {
            Some(0) => Verdict::Missed,
            Some(124) => Verdict::TimedOut,
            _ => Verdict::Caught(status.to_string()),
        }
    }
}

fn kill(mut child: Child) {
    // It may have ended by itself in the meantime.
    let _ = child.kill();
    let _ = child.wait();
}

/// What `work` makes of each item, in order.
pub fn for_all<T: Sync, R: Send>(items: &[T], work: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    let result = work(index, item);
                    done.lock().expect("a lock").push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("a lock");
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}
