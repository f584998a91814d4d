//! The front page's examples of both clients, as they stand, against the program `mqtt broker` and against mosquitto.
//!
//! The examples are files of their own, which the front page repeats word for word.

use std::fs;
use std::path::Path;
use std::process::Command;

use mqtt_adapter_std::Version;
use mqtt_tests::brokers::Broker;
use mqtt_tests::mosquitto::Mosquitto;
use mqtt_tests::process::run;

const BLOCKING: &str = env!("CARGO_BIN_EXE_readme_blocking");
const ASYNC: &str = env!("CARGO_BIN_EXE_readme_async");

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The first block of code below a heading of the front page.
fn shown(heading: &str) -> String {
    let page = read("README.md");
    let (_, behind) = page.split_once(&format!("\n### {heading}\n")).expect("the page has this heading");
    let (_, code) = behind.split_once("```rust,no_run\n").expect("code stands below it");
    code.split_once("```\n").expect("the code ends").0.to_owned()
}

/// A program without the documentation at its top.
fn program(path: &str) -> String {
    read(path)
        .lines()
        .skip_while(|line| line.is_empty() || line.starts_with("//!"))
        .fold(String::new(), |text, line| text + line + "\n")
}

fn runs(program: &str, url: &str) {
    let ended = run(Command::new(program).arg(url));
    assert_eq!(ended.status, Some(0), "{url}: {ended:?}");
}

#[test]
fn the_page_shows_the_examples_word_for_word() {
    assert_eq!(shown("Blocking"), program("adapter-std/examples/hello.rs"));
    assert_eq!(shown("Async"), program("adapter-smol/examples/hello_async.rs"));
}

#[test]
fn blocking_on_mosquitto() {
    runs(BLOCKING, &Mosquitto::start().url());
}

#[test]
fn async_on_mosquitto() {
    runs(ASYNC, &Mosquitto::start().url());
}

#[test]
fn blocking_on_mqtt_broker() {
    runs(BLOCKING, &Broker::program(env!("CARGO_BIN_EXE_mqtt_program")).url(Version::V5));
}

#[test]
fn async_on_mqtt_broker() {
    runs(ASYNC, &Broker::program(env!("CARGO_BIN_EXE_mqtt_program")).url(Version::V5));
}
