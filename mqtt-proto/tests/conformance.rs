//! Joins the list of the standards' statements with the tests that cite them.
//!
//! A test, or a `scenario!` of the engine, cites a statement in the comment right above it: `[5.0 MQTT-3.3.2-8]`,
//! `[3.1.1 MQTT-3.3.1-2]`, a rule without a number as `[U-15]`, a bug class as `[C9]` or by its name (`c09_…`). It
//! fails when a statement of a required level has no test where that level is tested, when a test cites something
//! unknown, or when a scenario cites a version it does not run on. Statements of other levels that no test cites yet
//! are counted as pending.
//!
//! `tests/data/levels.csv` moves statements to the level at which they show, with the reason.
//!
//! `UPDATE_DOCS=1 cargo test -p mqtt-proto --test conformance` writes the table to `docs/conformance.md`.

use core::fmt::Write;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Levels whose statements must all be shown, and the folders whose tests show them. Others join when their tests
/// are complete.
const REQUIRED: [(&str, &[&str]); 2] = [("codec", &["mqtt-proto"]), ("session", &["mqtt-session", "tests"])];

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
    let mut all: Vec<Statement> = Vec::new();
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
    for row in rows("levels.csv") {
        let [key, level, reason] = &row[..] else { panic!("{row:?}") };
        let statement = all.iter_mut().find(|statement| statement.key == *key);
        let statement = statement.unwrap_or_else(|| panic!("levels.csv: {key} is unknown"));
        assert_ne!(statement.level, *level, "levels.csv: {key} is there already");
        assert!(!reason.is_empty(), "levels.csv: {key} needs a reason");
        statement.level.clone_from(level);
        write!(statement.text, " (moved here: {reason})").expect("a string");
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

/// `c09_duplicate_properties` shows the class C9, `s07_s08_identifiers` both.
fn classes_in_name(name: &str) -> Vec<String> {
    let class = |part: &str| {
        let letter = part.chars().next().filter(|letter| "cmsa".contains(*letter))?;
        let number: u8 = part.get(1..).filter(|digits| digits.len() == 2)?.parse().ok()?;
        Some(format!("{}{number}", letter.to_ascii_uppercase()))
    };
    name.split('_').map_while(class).collect()
}

/// The versions a scenario runs on, read from what stands between its name and its first closure.
fn versions(head: &str) -> Vec<&'static str> {
    let named = [("V3_1,", "3.1"), ("V3_1]", "3.1"), ("V3_1_1", "3.1.1"), ("V5", "5.0")];
    if head.contains("VERSIONS") {
        return vec!["3.1", "3.1.1", "5.0"];
    }
    if !head.contains("Version::") {
        return vec!["5.0"];
    }
    named.into_iter().filter(|(name, _)| head.contains(name)).map(|(_, version)| version).collect()
}

/// A citation names a version on which the scenario does not run.
fn beside(cites: &[String], runs: &[&str]) -> Vec<String> {
    let other = |cite: &&String| cite.split_once(' ').is_some_and(|(version, _)| !runs.contains(&version));
    cites.iter().filter(other).cloned().collect()
}

/// The tests of one file, and the citations of versions they do not run on.
fn tests_in(text: &str, package: &str, beside_it: &mut Vec<String>) -> Vec<Test> {
    let mut tests = Vec::new();
    let mut add = |name: &str, doc: &str| {
        let name = name.trim().to_owned();
        let cites: Vec<String> = citations(doc).into_iter().chain(classes_in_name(&name)).collect();
        tests.push(Test { package: package.to_owned(), name, cites: cites.clone() });
        cites
    };
    let (mut doc, mut is_test) = (String::new(), false);
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if let Some(text) = line.strip_prefix("//") {
            doc.push_str(text.trim_start_matches('/'));
            doc.push(' ');
        } else if line.starts_with("#[") || (is_test && line.starts_with(']')) {
            is_test |= line.starts_with("#[test]");
        } else if let Some(rest) = line.strip_prefix("scenario!(") {
            // Its name, and what else stands before the first closure, with more comments between.
            let mut head = rest.to_owned();
            while !head.contains('|') {
                let Some(line) = lines.next() else { break };
                match line.strip_prefix("//") {
                    Some(text) => doc.push_str(text.trim_start_matches('/')),
                    None => head.push_str(line),
                }
            }
            let (name, head) = head.split_once(',').unwrap_or((&head, ""));
            let cites = add(name, &doc);
            let runs = versions(head.split('|').next().unwrap_or_default());
            let odd = beside(&cites, &runs);
            beside_it
                .extend(odd.into_iter().map(|cite| format!("{package}::{name} does not run on [{cite}]")));
            doc.clear();
        } else {
            if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
                add(rest.split(['(', '<']).next().unwrap_or_default(), &doc);
            }
            doc.clear();
            is_test = false;
        }
    }
    tests
}

fn tests(beside_it: &mut Vec<String>) -> Vec<Test> {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    files.sort();
    let mut tests = Vec::new();
    for file in files {
        let inside = file.strip_prefix(root()).expect("below the root");
        let package = inside.components().next().expect("a folder").as_os_str().to_string_lossy();
        tests.extend(tests_in(&read(&file), &package, beside_it));
    }
    tests
}

#[test]
fn every_required_statement_is_shown_and_every_citation_is_known() {
    let statements = statements();
    let mut unknown = Vec::new();
    let tests = tests(&mut unknown);
    let known: BTreeSet<&str> = statements.iter().map(|statement| &*statement.key).collect();
    let mut cited: BTreeMap<&str, Vec<&Test>> = BTreeMap::new();
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
        for (level, folders) in REQUIRED {
            let wanted = statement.level.split('+').any(|part| part == level);
            if wanted && !tests.iter().any(|test| folders.contains(&&*test.package)) {
                missing.push(format!("{level}: {}: {}", statement.key, statement.text));
            }
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
             ```sh\nUPDATE_DOCS=1 cargo test -p mqtt-proto --test conformance\n```\n\nwhich fails when a statement of a level \
             that is complete has no test or a test cites something unknown. Statements of the other levels without a test are \
             pending; `none` stands for what a client can neither breach nor see.\n\n\
             {summary}\n| statement | level | binds | in short | tests |\n| --- | --- | --- | --- | --- |\n{table}"
        );
        fs::write(root().join("docs/conformance.md"), text).expect("docs can be written");
    }
    assert!(unknown.is_empty(), "unknown: {unknown:#?}");
    assert!(missing.is_empty(), "no test where it belongs cites {missing:#?}");
}

#[test]
fn citations_are_found_where_they_are() {
    let text = "see [5.0 MQTT-1.2.3-4] and [U-07] [C9], not [`frame_len`] nor [Cat]";
    assert_eq!(citations(text), ["5.0 MQTT-1.2.3-4", "U-07", "C9"]);
    assert_eq!(classes_in_name("c09_duplicates"), ["C9"]);
    assert_eq!(classes_in_name("s07_s08_c2_x"), ["S7", "S8"]);
    assert!(classes_in_name("calls_x").is_empty());
    assert_eq!(fields("a,\"b, c\",d"), ["a", "b, c", "d"]);
}

#[test]
fn scenarios_are_read_as_tests_and_cite_only_what_they_run_on() {
    let text = [
        "// [5.0 MQTT-1.0.0-1]",
        "scenario!(s01_short, VERSIONS, |t| {",
        "    // [U-09]",
        "    t.go();",
        "});",
        "scenario!(",
        "    /// [3.1.1 MQTT-1.0.0-2]",
        "    long,",
        "    [Version::V5],",
        "    |c| { c.x = 1 },",
        "    |t| {}",
        ");",
        "// [5.0 MQTT-1.0.0-3], [U-7]",
        "scenario!(plain, |t| {});",
    ]
    .join("\n");
    let mut odd = Vec::new();
    let tests = tests_in(&text, "p", &mut odd);
    let read: Vec<(&str, &[String])> = tests.iter().map(|test| (&*test.name, &*test.cites)).collect();
    let cites = |list: &[&str]| list.iter().map(|cite| (*cite).to_owned()).collect::<Vec<_>>();
    assert_eq!(read[0], ("s01_short", &*cites(&["5.0 MQTT-1.0.0-1", "S1"])));
    assert_eq!(read[1], ("long", &*cites(&["3.1.1 MQTT-1.0.0-2"])));
    assert_eq!(read[2], ("plain", &*cites(&["5.0 MQTT-1.0.0-3", "U-7"])));
    assert_eq!(odd, ["p::long does not run on [3.1.1 MQTT-1.0.0-2]"]);
    assert_eq!(versions("[Version::V3_1, Version::V3_1_1]"), ["3.1", "3.1.1"]);
    assert_eq!(versions("[Version::V3_1_1, Version::V5]"), ["3.1.1", "5.0"]);
}
