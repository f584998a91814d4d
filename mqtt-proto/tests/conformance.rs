//! Joins the list of the standards' statements with the tests that cite them.
//!
//! A test cites a statement in the documentation above it: `[5.0 MQTT-3.3.2-8]`, `[3.1.1 MQTT-3.3.1-2]`, a rule
//! without a number as `[U-15]`, a bug class as `[C9]`. A statement of the codec that no test of this crate cites, or
//! a citation of something unknown, fails. Statements of other levels that no test cites yet are counted as pending.
//!
//! `UPDATE_DOCS=1 cargo test -p mqtt-proto --test conformance` writes the table to `docs/conformance.md`.

use core::fmt::Write;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Levels whose statements must all be shown. Others join when their tests are complete.
const REQUIRED: [&str; 1] = ["codec"];

/// A statement: what it is cited as, and what the list says about it.
#[derive(Debug)]
struct Statement {
    key: String,
    level: String,
    binds: String,
    text: String,
}

/// A test and what it cites.
#[derive(Debug)]
struct Test {
    package: String,
    name: String,
    cites: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The fields of a line of CSV, with quotes.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => fields.last_mut().expect("at least one").push(letter),
        }
    }
    fields
}

fn statements() -> Vec<Statement> {
    let data = root().join("tests/data");
    let rows = |file: &str| read(&data.join(file)).lines().skip(1).map(fields).collect::<Vec<_>>();
    let mut all = Vec::new();
    for row in rows("normative.csv") {
        let [id, version, level, text, binds] = &row[..] else { panic!("{row:?}") };
        let key = format!("{version} {id}");
        all.push(Statement { key, level: level.clone(), binds: binds.clone(), text: text.clone() });
    }
    for row in rows("normative_unnumbered.csv") {
        let [id, _, level, text, _] = &row[..] else { panic!("{row:?}") };
        all.push(Statement {
            key: id.clone(),
            level: level.clone(),
            binds: String::new(),
            text: text.clone(),
        });
    }
    for row in rows("bug_classes.csv") {
        let [id, level, text] = &row[..] else { panic!("{row:?}") };
        all.push(Statement {
            key: id.clone(),
            level: level.clone(),
            binds: String::new(),
            text: text.clone(),
        });
    }
    all
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What stands in brackets and looks like a citation.
fn citations(doc: &str) -> Vec<String> {
    doc.split('[')
        .skip(1)
        .filter_map(|piece| piece.split_once(']'))
        .map(|(inside, _)| inside.to_owned())
        .filter(|text| is_citation(text))
        .collect()
}

fn is_citation(text: &str) -> bool {
    let (first, last) = text.rsplit_once(' ').unwrap_or(("", text));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let class = last.len() <= 3 && last.starts_with(['C', 'M', 'S', 'A']) && digits(&last[1..]);
    matches!(first, "" | "3.1" | "3.1.1" | "5.0")
        && (last.starts_with("MQTT-") || last.starts_with("U-") || class)
}

/// `c09_duplicate_properties` shows the class C9.
fn class_in_name(name: &str) -> Option<String> {
    let (class, _) = name.split_once('_')?;
    let letter = class.chars().next().filter(|letter| "cmsa".contains(*letter))?;
    let number: u8 = class.get(1..).filter(|digits| digits.len() == 2)?.parse().ok()?;
    Some(format!("{}{number}", letter.to_ascii_uppercase()))
}

fn tests() -> Vec<Test> {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    files.sort();
    let mut tests = Vec::new();
    for file in files {
        let inside = file.strip_prefix(root()).expect("below the root");
        let package =
            inside.components().next().expect("a folder").as_os_str().to_string_lossy().into_owned();
        let (mut doc, mut is_test) = (String::new(), false);
        for line in read(&file).lines().map(str::trim) {
            if let Some(text) = line.strip_prefix("///") {
                doc.push_str(text);
                doc.push(' ');
            } else if line.starts_with("#[") || (is_test && line.starts_with(']')) {
                is_test |= line.starts_with("#[test]");
            } else {
                if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
                    let name = rest.split(['(', '<']).next().unwrap_or_default().to_owned();
                    let cites = citations(&doc).into_iter().chain(class_in_name(&name)).collect();
                    tests.push(Test { package: package.clone(), name, cites });
                }
                doc.clear();
                is_test = false;
            }
        }
    }
    tests
}

#[test]
fn every_statement_of_the_codec_is_shown_and_every_citation_is_known() {
    let statements = statements();
    let tests = tests();
    let known: BTreeSet<&str> = statements.iter().map(|statement| &*statement.key).collect();
    let mut cited: BTreeMap<&str, Vec<&Test>> = BTreeMap::new();
    let mut unknown = Vec::new();
    for test in &tests {
        for key in &test.cites {
            if known.contains(&**key) {
                cited.entry(key).or_default().push(test);
            } else {
                unknown.push(format!("{}::{} cites [{key}]", test.package, test.name));
            }
        }
    }
    let mut missing = Vec::new();
    let mut table = String::new();
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for statement in statements.iter().filter(|statement| statement.level != "none") {
        let tests = cited.get(&*statement.key).map_or(&[][..], |tests| tests);
        let count = counts.entry(&statement.level).or_default();
        count.0 += usize::from(!tests.is_empty());
        count.1 += 1;
        let of_codec = statement.level.split('+').any(|level| REQUIRED.contains(&level));
        if of_codec && !tests.iter().any(|test| test.package == "mqtt-proto") {
            missing.push(&*statement.key);
        }
        let names: BTreeSet<String> = tests.iter().map(|test| format!("`{}`", test.name)).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        let names = if names.is_empty() { "pending".to_owned() } else { names };
        let Statement { key, level, binds, text } = statement;
        writeln!(table, "| {key} | {level} | {binds} | {} | {names} |", text.replace('|', "\\|"))
            .expect("a string");
    }
    let mut summary = String::from("| level | shown | of |\n| --- | ---: | ---: |\n");
    for (level, (shown, of)) in &counts {
        println!("{level}: {shown} of {of}");
        writeln!(summary, "| {level} | {shown} | {of} |").expect("a string");
    }
    let (shown, of) = counts.values().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    println!(
        "all levels: {shown} of {of} statements and bug classes, by {} citing tests",
        tests.iter().filter(|test| !test.cites.is_empty()).count()
    );
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let text = format!(
            "# Conformance\n\nEvery statement of the standards that a client can breach, every rule they state without a number \
             (`U-`), every class of bugs met in the field (`C`, `M`, `S`, `A`), and the tests that cite it. Written by\n\n\
             ```sh\nUPDATE_DOCS=1 cargo test -p mqtt-proto --test conformance\n```\n\nwhich fails when a statement of the codec \
             has no test or a test cites something unknown. Statements of the other levels without a test are pending.\n\n\
             {summary}\n| statement | level | binds | in short | tests |\n| --- | --- | --- | --- | --- |\n{table}"
        );
        fs::write(root().join("docs/conformance.md"), text).expect("docs can be written");
    }
    assert!(unknown.is_empty(), "unknown: {unknown:#?}");
    assert!(missing.is_empty(), "no test of the codec cites {missing:?}");
}

#[test]
fn citations_are_found_where_they_are() {
    let text = "see [5.0 MQTT-1.2.3-4] and [U-07] [C9], not [`frame_len`] nor [Cat]";
    assert_eq!(citations(text), ["5.0 MQTT-1.2.3-4", "U-07", "C9"]);
    assert_eq!(class_in_name("c09_duplicates"), Some("C9".to_owned()));
    assert_eq!(class_in_name("calls_x"), None);
    assert_eq!(fields("a,\"b, c\",d"), ["a", "b, c", "d"]);
}
