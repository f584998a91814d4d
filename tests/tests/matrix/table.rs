//! The table of one broker, and its place in the document.

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use mqtt_adapter_std::Version;
use mqtt_tests::brokers::{Broker, VERSIONS};

use crate::common::{Found, written};

/// Where a broker does now one thing, now another, and with each driver on its own: all that it may do.
const VARIES: [(&str, &str, &[&str]); 11] = [
    ("ejabberd", "QoS 0, kept", &["ok", "reorders messages"]),
    ("rumqttd", "QoS 1, kept, cut", &["ok", "does not keep the session", "loses messages"]),
    (
        "rumqttd",
        "QoS 2, kept, cut",
        &["ok", "does not keep the session", "ends as Abandoned", "loses messages", "repeats messages"],
    ),
    ("aedes", "QoS 1, kept", &["ok", "loses messages"]),
    ("aedes", "QoS 2, kept", &["ok", "loses messages", "repeats messages"]),
    ("aedes", "QoS 2, kept, cut", &["ok", "loses messages", "repeats messages"]),
    ("amqtt", "QoS 1, kept, cut", &["ok", "loses messages"]),
    (
        "amqtt",
        "QoS 2, kept, cut",
        &["ok", "ends as Abandoned", "ends as Unknown", "loses messages", "repeats messages"],
    ),
    ("amqtt", "QoS 0, retained", &["ok", "is not cleared"]),
    ("amqtt", "QoS 1, retained", &["ok", "is not cleared"]),
    ("amqtt", "QoS 2, retained", &["ok", "is not cleared"]),
];

/// Tests write to the document one after the other.
static DOCUMENT: Mutex<()> = Mutex::new(());

pub(crate) struct Table<'a> {
    broker: &'a Broker,
    columns: Vec<String>,
    cells: BTreeMap<(String, u8), String>,
    ladder: String,
    wrong: Vec<String>,
    ran: usize,
}

impl<'a> Table<'a> {
    pub(crate) fn new(broker: &'a Broker) -> Self {
        let (columns, cells, ladder) = (Vec::new(), BTreeMap::new(), String::new());
        Self { broker, columns, cells, ladder, wrong: Vec::new(), ran: 0 }
    }

    /// Notes what the drivers found, which is the same for all of them, and tells it.
    pub(crate) fn cell(&mut self, version: Version, column: &str, found: &[(&str, Found)]) -> String {
        let place = format!("{} {column}", written(version));
        let varies = VARIES.iter().find(|(broker, row, _)| (*broker, *row) == (self.broker.name(), column));
        let text = if let Some((_, _, allowed)) = varies {
            // Each driver on its own: an error is one whatever the broker does.
            for one in found {
                let text = self.agreed(&place, core::slice::from_ref(one));
                println!("{} {place}, {}: {text}", self.broker.name(), one.0);
                if !allowed.contains(&text.as_str()) {
                    self.wrong.push(format!("{place}, {}: {text:?} is none of {allowed:?}", one.0));
                }
            }
            format!("now and then: {}", allowed.join(", "))
        } else {
            self.agreed(&place, found)
        };
        if !self.columns.iter().any(|known| known == column) {
            self.columns.push(column.to_owned());
        }
        self.cells.insert((column.to_owned(), version as u8), text.clone());
        text
    }

    pub(crate) fn ladder(&mut self, found: &[(&str, Found)]) {
        self.ladder = self.agreed("ladder", found);
    }

    fn agreed(&mut self, place: &str, found: &[(&str, Found)]) -> String {
        self.ran += found.len();
        let mut agreed = None;
        for (driver, found) in found {
            match (found, &agreed) {
                (Err(why), _) => self.wrong.push(format!("{place}, {driver}: {why}")),
                (Ok(text), None) => agreed = Some(text.clone()),
                (Ok(text), Some(first)) if text != first => {
                    self.wrong.push(format!("{place}: {driver} found {text:?}, another driver {first:?}"));
                }
                _ => {}
            }
        }
        agreed.unwrap_or_default()
    }

    fn text(&self, date: &str) -> String {
        let mut text = format!(
            "**{}** {}, {date}: {} scenarios with each of the three drivers",
            self.broker.name(),
            self.broker.release(),
            self.ran / 3
        );
        let versions: Vec<_> = VERSIONS
            .into_iter()
            .filter(|version| self.cells.contains_key(&("speaks it".to_owned(), *version as u8)))
            .collect();
        let _ = write!(text, "\n\n| |");
        for version in &versions {
            let _ = write!(text, " {} |", written(*version));
        }
        let _ = write!(text, "\n| --- |{}", " --- |".repeat(versions.len()));
        for column in &self.columns {
            let _ = write!(text, "\n| {column} |");
            for version in &versions {
                let cell = self.cells.get(&(column.clone(), *version as u8)).map_or("", String::as_str);
                let _ = write!(text, " {cell} |");
            }
        }
        if !self.ladder.is_empty() {
            let _ = write!(text, "\n| from 5.0 down |{} {} |", " |".repeat(versions.len() - 1), self.ladder);
        }
        text
    }

    /// Prints the table, and fails when a scenario failed or the document says something else.
    pub(crate) fn compare(&self) {
        let found = self.text(&today());
        println!("{found}\n");
        assert!(self.wrong.is_empty(), "{:#?}\n{}", self.wrong, self.broker.log());
        let _one = DOCUMENT.lock().unwrap_or_else(PoisonError::into_inner);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/interoperability.md");
        let document = fs::read_to_string(&path).expect("the document is part of the project");
        let begin = format!("<!-- matrix: {} -->\n", self.broker.name());
        let end = "\n<!-- end -->";
        let start = document.find(&begin).expect("the document has a place for each broker") + begin.len();
        let len = document[start..].find(end).expect("the place has an end");
        let before = &document[start..start + len];
        // The day on which it was found is no difference.
        let date = before.find(", 2").and_then(|at| before.get(at + 2..at + 12)).unwrap_or_default();
        if before == self.text(date) {
            return;
        }
        assert!(
            std::env::var_os("UPDATE_DOCS").is_some(),
            "docs/interoperability.md says something else (UPDATE_DOCS=1 writes it anew):\n{before}\nfound:\n{found}"
        );
        let after = format!("{}{found}{}", &document[..start], &document[start + len..]);
        fs::write(&path, after).expect("the document can be written");
    }
}

/// The date, as the system has it.
fn today() -> String {
    let date = Command::new("date").args(["-u", "+%F"]).output().expect("the system tells the date");
    String::from_utf8_lossy(&date.stdout).trim().to_owned()
}
