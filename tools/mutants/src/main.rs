//! Runs the mutants that `cargo mutants --list` prints, all of them from one build.
//!
//! cargo-mutants builds a crate once for each mutant. This program writes all mutants into a copy of the crate, each
//! behind a switch that is read when the program starts, builds the tests once, and runs for each mutant the tests that
//! reach it, until one fails. What cannot be switched (in what the compiler evaluates, for instance) is left to
//! cargo-mutants.
//!
//! `mutants CRATE OUT [--skip TEST]... [-- OPTIONS OF CARGO TEST] [-- OPTIONS OF CARGO MUTANTS]`. In OUT are then
//! `caught.txt`, `missed.txt`, `timeout.txt`, `unviable.txt`, `left.txt` and `report.md`. A run that was interrupted goes on
//! where it stopped; while only tests change, what was caught is not run again.

mod compile;
mod list;
mod render;
mod report;
mod run;
mod sites;

use std::fs::{self, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use report::Results;
use run::{Tests, Verdict};

fn main() {
    let mut args = std::env::args().skip(1);
    let mut folder = || PathBuf::from(args.next().expect("mutants CRATE OUT [..]"));
    let (copy, out) = (folder(), folder());
    fs::create_dir_all(&out).expect("a folder for the results");
    let (copy, out) = (copy.canonicalize().expect("the crate"), out.canonicalize().expect("the folder"));
    let mut parts = vec![vec![]];
    for arg in args {
        match &*arg {
            "--" => parts.push(vec![]),
            _ => parts.last_mut().expect("a part").push(arg),
        }
    }
    parts.resize(3, vec![]);
    let skip: Vec<String> = parts[0].iter().filter(|arg| *arg != "--skip").cloned().collect();

    let mutants = list::list(&copy, &parts[2]);
    let found = compile::Crate::new(&copy, &out, &mutants);
    let (programs, not_built) = found.build(&parts[1]);
    eprintln!(
        "{} mutants, {} do not compile, {} left to cargo-mutants",
        mutants.len(),
        not_built.unviable.len(),
        not_built.left.len()
    );

    let tests = Tests::record(programs, &found.mutated, &out, &skip);
    eprintln!("{} tests, {} steps", tests.len(), tests.steps());

    let state = out.join("results.tsv");
    let hashes = hashes(&copy);
    let mut results = Results::read(&state, hashes);
    for mutant in &mutants {
        if not_built.unviable.contains(&mutant.number) {
            results.set(&mutant.name, "unviable", "");
        } else if not_built.left.contains(&mutant.number) {
            results.set(&mutant.name, "left", "");
        }
    }
    results.write(&state);
    let to_run: Vec<_> = mutants.iter().filter(|mutant| !results.has(&mutant.name)).collect();
    let log = Mutex::new(OpenOptions::new().append(true).open(&state).expect("the results"));
    let count = AtomicUsize::new(0);
    run::for_all(&to_run, |_, mutant| {
        let (verdict, detail) = match tests.verdict(mutant.number) {
            Verdict::Caught(test) => ("caught", test),
            Verdict::TimedOut => ("timeout", String::new()),
            Verdict::Missed => ("missed", String::new()),
            // The compiler may have come there.
            Verdict::Unreached if not_built.in_const_fn.contains(&mutant.number) => ("left", String::new()),
            Verdict::Unreached => ("missed", "no test comes there".to_owned()),
        };
        writeln!(log.lock().expect("a lock"), "{}\t{verdict}\t{detail}", mutant.name)
            .expect("a result is written");
        let count = count.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_multiple_of(100) {
            eprintln!("{count} of {}", to_run.len());
        }
    });

    let mut results = Results::read(&state, hashes);
    results.merge(&out.join("mutants.out"));
    print!("{}", results.report(&mutants, &out));
}

/// What is mutated, and what tests it: of the files in `src`, the module of tests at the end is of the latter.
fn hashes(copy: &Path) -> (u64, u64) {
    fn add(folder: &Path, source: &mut DefaultHasher, tests: &mut DefaultHasher) {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                add(&path, source, tests);
                continue;
            }
            let text = fs::read(&path).expect("a file");
            let module = b"\n#[cfg(test)]\nmod tests {";
            let at = text.windows(module.len()).position(|window| window == module).unwrap_or(text.len());
            (&path, &text[..at]).hash(source);
            text[at..].hash(tests);
        }
    }
    let (mut source, mut tests, mut none) = Default::default();
    add(&copy.join("src"), &mut source, &mut tests);
    add(&copy.join("tests"), &mut tests, &mut none);
    none.finish().hash(&mut tests);
    (source.finish(), tests.finish())
}
