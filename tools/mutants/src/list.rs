//! The mutants, as `cargo mutants --list --json` prints them.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Line and column, both from 1, the column in characters.
pub type Place = (usize, usize);

pub struct Mutant {
    /// From 1; 0 is the crate as it is.
    pub number: u32,
    pub name: String,
    pub file: String,
    pub genre: String,
    pub replacement: String,
    pub returns: String,
    pub start: Place,
}

pub fn list(copy: &Path, options: &[String]) -> Vec<Mutant> {
    let output = Command::new("cargo")
        .args(["mutants", "--list", "--json", "-d"])
        .arg(copy)
        .args(options)
        .output()
        .expect("cargo mutants runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed: Vec<Value> = serde_json::from_slice(&output.stdout).expect("a list");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let place = |value: &Value| {
        let number = |key: &str| value[key].as_u64().expect("a number") as usize;
        (number("line"), number("column"))
    };
    let mutant = |(number, value): (u32, &Value)| Mutant {
        number,
        name: text(&value["name"]),
        file: text(&value["file"]),
        genre: text(&value["genre"]),
        replacement: text(&value["replacement"]),
        returns: text(&value["function"]["return_type"]),
        start: place(&value["span"]["start"]),
    };
    (1..).zip(&listed).map(mutant).collect()
}
