//! Builds the crate with its mutants, and leaves out those that do not compile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::list::Mutant;
use crate::render::Writer;
use crate::sites::{self, Found};

const SWITCH: &str = include_str!("switch.rs");

pub struct Crate<'a> {
    /// Where the crate as it is lies.
    pub copy: &'a Path,
    /// Where it is written with its mutants.
    pub mutated: PathBuf,
    pub target: PathBuf,
    files: BTreeMap<String, (String, Found)>,
}

/// The mutants that are not in the build.
#[derive(Default)]
pub struct Out {
    /// They do not compile, for themselves.
    pub unviable: BTreeSet<u32>,
    /// Nothing is known of them.
    pub left: BTreeSet<u32>,
    /// They are in the build, but the compiler may evaluate the place they are in.
    pub in_const_fn: BTreeSet<u32>,
}

impl<'a> Crate<'a> {
    pub fn new(copy: &'a Path, out: &Path, mutants: &'a [Mutant]) -> Self {
        let mut by_file: BTreeMap<&str, Vec<&Mutant>> = BTreeMap::new();
        for mutant in mutants {
            by_file.entry(&mutant.file).or_default().push(mutant);
        }
        let read = |(file, mutants): (&str, Vec<&Mutant>)| {
            let source = fs::read_to_string(copy.join(file)).expect("a source file");
            let found = sites::find(&source, &mutants);
            (file.to_owned(), (source, found))
        };
        let files = by_file.into_iter().map(read).collect();
        Self { copy, mutated: out.join("mutated"), target: out.join("build"), files }
    }

    /// The test programs, and what is not in them.
    pub fn build(&self, tests: &[String]) -> (Vec<PathBuf>, Out) {
        let mut out = Out::default();
        for (_, found) in self.files.values() {
            out.unviable.extend(&found.unviable);
            out.left.extend(&found.left);
            out.in_const_fn.extend(&found.in_const_fn);
        }
        copy_all(self.copy, &self.mutated);
        fs::write(self.mutated.join("src/mutant_switch.rs"), SWITCH).expect("the switch is written");
        for round in 1.. {
            self.write(&out);
            let mut cargo = Command::new("cargo");
            // First only whether the crate compiles: that is said sooner.
            let args: &[&str] = if round == 1 { &["check", "--lib"] } else { &["test", "--no-run"] };
            cargo.args(args).args(if round == 1 { &[] } else { tests }).arg("--message-format=json");
            cargo.current_dir(&self.mutated).env("CARGO_TARGET_DIR", &self.target);
            // `on` is a `const fn` with two bodies, which only an unfinished feature of the language allows.
            cargo.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TERM_COLOR", "never");
            let output = cargo.output().expect("cargo runs");
            let messages: Vec<Value> =
                output.stdout.split(|byte| *byte == b'\n').flat_map(serde_json::from_slice).collect();
            if output.status.success() {
                if round > 1 {
                    return (executables(&messages), out);
                }
                continue;
            }
            let taken = self.take_out(&messages, &mut out);
            eprintln!("build {round}: {taken} mutants do not compile");
            assert!(taken > 0, "{}\n{}", said(&messages), String::from_utf8_lossy(&output.stderr));
        }
        unreachable!()
    }

    fn write(&self, out: &Out) {
        let left_out: BTreeSet<u32> = out.unviable.union(&out.left).copied().collect();
        for (file, (source, found)) in &self.files {
            let text = Writer { source, sites: &found.sites, out: &left_out }.file();
            write_if_new(&self.mutated.join(file), &text);
        }
        let root = self.mutated.join("src/lib.rs");
        let text = fs::read_to_string(&root).expect("a crate root");
        let features =
            "#![feature(core_intrinsics, const_eval_select)] #![allow(internal_features, warnings)] ";
        if !text.starts_with(features) {
            fs::write(root, format!("{features}{text}\nmod mutant_switch;\n"))
                .expect("the crate root is written");
        }
    }

    /// How many mutants the errors come from.
    fn take_out(&self, messages: &[Value], out: &mut Out) -> usize {
        let before = out.unviable.len() + out.left.len();
        for message in messages.iter().filter(|message| message["message"]["level"] == "error") {
            let mut spans = vec![];
            for span in message["message"]["spans"].as_array().into_iter().flatten() {
                // An error in a macro of the standard library is one of the place where it is used.
                let mut span = span;
                while !span["expansion"].is_null() {
                    span = &span["expansion"]["span"];
                }
                spans.push((span["is_primary"] != true, span));
            }
            spans.sort_by_key(|(secondary, _)| *secondary);
            for (_, span) in spans {
                let Some(file) = span["file_name"].as_str().filter(|file| self.files.contains_key(*file))
                else {
                    continue;
                };
                let text = fs::read_to_string(self.mutated.join(file)).expect("what was written");
                let at = |key: &str| span[key].as_u64().expect("a number") as usize;
                if let Some(blamed) = blamed(&text, at("byte_start"), at("byte_end")) {
                    match blamed {
                        Blamed::One(number) => drop(out.unviable.insert(number)),
                        Blamed::Site(numbers) => out.left.extend(numbers),
                    }
                    break;
                }
            }
        }
        out.unviable.len() + out.left.len() - before
    }
}

enum Blamed {
    One(u32),
    Site(Vec<u32>),
}

/// The innermost piece that holds `start..end`.
fn blamed(text: &str, start: usize, end: usize) -> Option<Blamed> {
    let mut open: Vec<(usize, Option<u32>, Vec<u32>)> = vec![];
    let mut best: Option<(usize, Blamed)> = None;
    let mut at = 0;
    while let Some(found) = text[at..].find("/*") {
        let from = at + found;
        let close = from + text[from..].find("*/")? + 2;
        let inside = &text[from + 2..close - 2];
        let begins = |mark: char| inside.strip_prefix(mark);
        if let Some(number) = begins('<').and_then(|number| number.parse().ok()) {
            open.push((from, Some(number), vec![]));
        } else if let Some(numbers) = begins('{') {
            open.push((from, None, numbers.split(',').flat_map(str::parse).collect()));
        } else if inside == "}"
            || inside.strip_suffix('>').is_some_and(|number| number.parse::<u32>().is_ok())
        {
            let (from, one, numbers) = open.pop()?;
            let shorter = best.as_ref().is_none_or(|(len, _)| close - from < *len);
            if from <= start && end <= close && shorter {
                best = Some((close - from, one.map_or(Blamed::Site(numbers), Blamed::One)));
            }
        }
        at = close;
    }
    best.map(|(_, blamed)| blamed)
}

fn said(messages: &[Value]) -> String {
    messages.iter().filter_map(|message| message["message"]["rendered"].as_str()).take(5).collect()
}

fn executables(messages: &[Value]) -> Vec<PathBuf> {
    messages.iter().filter_map(|message| message["executable"].as_str()).map(PathBuf::from).collect()
}

/// Copies what has changed, so that cargo builds no more than that.
fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_all(&path, &to);
        } else {
            let new = fs::read(&path).expect("a file");
            if fs::read(&to).ok().as_ref() != Some(&new) {
                fs::write(&to, new).expect("a file is written");
            }
        }
    }
    // What is no longer there would still be listed.
    for entry in fs::read_dir(to).expect("a folder") {
        let entry = entry.expect("an entry");
        let kept = ["Cargo.lock", "mutant_switch.rs"].iter().any(|name| entry.file_name() == *name);
        if !kept && !from.join(entry.file_name()).exists() && entry.path().is_file() {
            fs::remove_file(entry.path()).expect("a file is removed");
        }
    }
}

fn write_if_new(path: &Path, text: &str) {
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::write(path, text).expect("a source file is written");
    }
}
