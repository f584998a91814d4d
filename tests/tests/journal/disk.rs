//! Journals in files: one client each, disks that are full or cannot be written.

use std::fs;
use std::io::ErrorKind;
use std::process::{Command, Stdio};

use mqtt_adapter_std::{ConnectError, Journal, JournalError, Options, Publish, Qos};
use mqtt_tests::adapter::Adapter;
use mqtt_tests::drivers;
use mqtt_tests::folder::Folder;
use mqtt_tests::mosquitto::{Mosquitto, free_address};
use mqtt_tests::process::passes;

drivers!(a_file_belongs_to_one_client, a_folder_that_cannot_be_made_is_an_error);

/// Each in a process of its own, by each driver.
macro_rules! processes {
    ($($scenario:ident),+ $(,)?) => {
        $(mod $scenario {
            #[test]
            fn by_threads() { super::$scenario("threads"); }
            #[test]
            fn by_driven() { super::$scenario("driven"); }
            #[test]
            fn by_smol() { super::$scenario("smol"); }
        })+
    };
}

processes!(a_full_disk_is_told, a_limit_of_size_is_told, a_disk_that_cannot_be_written_is_told);

fn options(url: &str, folder: &Folder) -> Options {
    Options::new(url).unwrap().with_client_id("Meter/7").with_journal(Journal::in_folder(folder.path()))
}

fn a_file_belongs_to_one_client<A: Adapter>() {
    let (broker, folder) = (Mosquitto::start(), Folder::new("journal"));
    let mut first = A::connect(options(&broker.url(), &folder)).unwrap();
    let Err(ConnectError::Journal(error)) = A::start(options(&broker.url(), &folder)).map(drop) else {
        panic!("it is in use")
    };
    let path = folder.file("client-%4deter%2f7.journal");
    assert_eq!(error, JournalError::Locked { path });
    // By another process too, whose panic says so.
    let mut sender = A::start(options(&broker.url(), &folder).with_client_id("sender")).unwrap();
    let second = Command::new(env!("CARGO_BIN_EXE_journal_client"))
        .args([A::NAME, "finish", &broker.url()])
        .arg(folder.path())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("Locked") && !second.status.success(), "{said}");
    sender.stop();
    assert_eq!(first.stop(), 0);
    // After a stop, the next client can have it at once.
    let mut next = A::connect(options(&broker.url(), &folder)).unwrap();
    let receipt = next.publish(Publish::new("t", "x").qos(Qos::ExactlyOnce)).unwrap();
    assert!(next.outcome(receipt).is_success());
    next.stop();
}

fn a_folder_that_cannot_be_made_is_an_error<A: Adapter>() {
    let folder = Folder::new("journal");
    fs::write(folder.file("file"), "in the way").unwrap();
    let options = Options::new("mqtt://127.0.0.1:1")
        .unwrap()
        .with_client_id("me")
        .with_journal(Journal::in_folder(folder.file("file")));
    let Err(ConnectError::Journal(JournalError::Io { path, kind, .. })) = A::start(options).map(drop) else {
        panic!("there is no folder")
    };
    assert_eq!((path, kind), (Some(folder.file("file")), ErrorKind::AlreadyExists));
}

/// A process that may not write more than so much to a file is told by its client, and ends no other way.
fn a_limit_of_size_is_told(driver: &str) {
    // The signal is ignored, so that writing fails. In blocks of 512 bytes.
    let said = client("sh", "trap '' XFSZ; ulimit -f 4096", driver, "fill", &nobody());
    assert!(said.contains("full") && said.contains("went on"), "{said}");
}

fn a_full_disk_is_told(driver: &str) {
    let said = client(OWN_DISKS, "mount -t tmpfs -o size=3m none \"$4\"", driver, "fill", &nobody());
    assert!(said.contains("full") && said.contains("went on"), "{said}");
}

fn a_disk_that_cannot_be_written_is_told(driver: &str) {
    let broker = Mosquitto::start();
    let said = client(OWN_DISKS, "mount -t tmpfs -o ro none \"$4\"", driver, "read-only", &broker.url());
    assert!(said.contains("refused") && said.contains("went on"), "{said}");
}

/// A shell that may mount what nobody else sees.
const OWN_DISKS: &str = "unshare --user --map-root-user --mount sh";

fn nobody() -> String {
    format!("mqtt://{}", free_address())
}

/// What the client says that this shell runs after this preparation; `$4` is its folder.
fn client(shell: &str, first: &str, driver: &str, role: &str, url: &str) -> String {
    let folder = Folder::new("journal");
    let mut words = shell.split(' ');
    let mut program = Command::new(words.next().expect("a shell has a name"));
    program
        .args(words)
        .args(["-c", &format!("{first} && exec \"$0\" \"$@\"")])
        .args([env!("CARGO_BIN_EXE_journal_client"), driver, role, url])
        .arg(folder.path());
    passes(&mut program)
}
