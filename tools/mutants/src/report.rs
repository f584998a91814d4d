//! What became of each mutant, on disk and as tables.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::list::Mutant;

pub struct Results {
    source: u64,
    tests: u64,
    /// Verdict and detail by the name of the mutant.
    known: BTreeMap<String, (String, String)>,
}

impl Results {
    /// What an earlier run found of the same source. With other tests, of what those found that were not enough nothing
    /// is kept.
    pub fn read(path: &Path, (source, tests): (u64, u64)) -> Self {
        let mut known = BTreeMap::new();
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut lines = text.lines();
        let head: Vec<u64> = lines.next().unwrap_or_default().split('\t').flat_map(str::parse).collect();
        if head.first() == Some(&source) {
            for line in lines {
                let mut parts = line.splitn(3, '\t').map(str::to_owned);
                let (Some(name), Some(verdict)) = (parts.next(), parts.next()) else { continue };
                if head.get(1) == Some(&tests) || ["caught", "timeout"].contains(&&*verdict) {
                    known.insert(name, (verdict, parts.next().unwrap_or_default()));
                }
            }
        }
        Self { source, tests, known }
    }

    pub fn write(&self, path: &Path) {
        let mut text = format!("{}\t{}\n", self.source, self.tests);
        for (name, (verdict, detail)) in &self.known {
            writeln!(text, "{name}\t{verdict}\t{detail}").expect("a text grows");
        }
        fs::write(path, text).expect("the results are written");
    }

    pub fn has(&self, name: &str) -> bool {
        self.known.contains_key(name)
    }

    pub fn set(&mut self, name: &str, verdict: &str, detail: &str) {
        self.known.insert(name.to_owned(), (verdict.to_owned(), detail.to_owned()));
    }

    /// Takes over what cargo-mutants found of those that were left to it.
    pub fn merge(&mut self, mutants_out: &Path) {
        for verdict in ["caught", "missed", "timeout", "unviable"] {
            let text = fs::read_to_string(mutants_out.join(format!("{verdict}.txt"))).unwrap_or_default();
            for name in text.lines() {
                if self.known.get(name).is_some_and(|(known, _)| known == "left") {
                    self.set(name, verdict, "by cargo-mutants");
                }
            }
        }
    }

    /// A table of the files; a list of the mutants of each verdict goes to `out`.
    pub fn report(&self, mutants: &[Mutant], out: &Path) -> String {
        let verdicts = ["caught", "timeout", "missed", "unviable", "left"];
        let mut lists = [const { String::new() }; 5];
        let mut files: BTreeMap<&str, [usize; 5]> = BTreeMap::new();
        let mut sums = [0; 5];
        for mutant in mutants {
            let Some((verdict, detail)) = self.known.get(&mutant.name) else { continue };
            let Some(column) = verdicts.iter().position(|known| known == verdict) else { continue };
            files.entry(&mutant.file).or_default()[column] += 1;
            sums[column] += 1;
            let detail =
                if detail.is_empty() || column == 0 { String::new() } else { format!("  ({detail})") };
            writeln!(lists[column], "{}{detail}", mutant.name).expect("a text grows");
        }
        for (verdict, list) in verdicts.iter().zip(lists) {
            fs::write(out.join(format!("{verdict}.txt")), list).expect("a list is written");
        }
        let mut text = String::from(
            "| file | mutants | caught | timed out | missed | do not compile | left | score |\n",
        );
        text += "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
        for (file, counts) in files.iter().map(|(file, counts)| (*file, counts)).chain([("all", &sums)]) {
            let [caught, timeout, missed, unviable, left] = counts;
            let found = caught + timeout;
            let score = 100.0 * found as f64 / (found + missed).max(1) as f64;
            let all: usize = counts.iter().sum();
            let file = file.trim_start_matches("src/");
            writeln!(
                text,
                "| `{file}` | {all} | {caught} | {timeout} | {missed} | {unviable} | {left} | {score:.1} % |"
            )
            .expect("a text grows");
        }
        fs::write(out.join("report.md"), &text).expect("the report is written");
        text
    }
}
