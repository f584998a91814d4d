//! The end of the process: what is delivered, and what the server is told.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::env;
use std::process::{self, Command};
use std::sync::Arc;

use mqtt_adapter_std::{Client, Options, Publish, Qos, Will};
use mqtt_tests::adapter::{Adapter, CAP, Driven, Smol, Threads};
use mqtt_tests::model::Model;
use mqtt_tests::process::Running;

const DRIVERS: [&str; 3] = ["threads", "driven", "smol"];

/// What the program is to be: `DRIVER HOW URL`.
const ROLE: &str = "MQTT_TESTS_EXIT";

/// The program whose end is looked at: this one, run again with nothing but this test and a role. HOW is
///
/// * `stop`: it publishes a hundred numbers, and stops before it returns;
/// * `signal`: it says `ready` and publishes until SIGTERM comes; then it stops, and says how many it `published`;
/// * `return`: it publishes one number, waits for its acknowledgement, and drops the last handle when it returns;
/// * `exit`: the same, and ends in `std::process::exit` with the handle alive.
#[test]
fn the_program_whose_end_is_looked_at() {
    let Ok(role) = env::var(ROLE) else { return };
    let [driver, how, url] = role.split(' ').collect::<Vec<_>>()[..] else { panic!("{role}") };
    match driver {
        "threads" => run::<Threads>(how, url),
        "driven" => run::<Driven>(how, url),
        _ => run::<Smol>(how, url),
    }
}

fn run<A: Adapter>(how: &str, url: &str) {
    let options = Options::new(url).unwrap().with_will(Will::new("will", "gone"));
    let mut client = A::connect(options).unwrap();
    let publish = |client: &mut A, number: u32| {
        let text = number.to_string();
        client.publish(Publish::new("n", text.as_str()).qos(Qos::AtLeastOnce)).unwrap()
    };
    match how {
        "stop" => {
            for number in 0..100 {
                drop(publish(&mut client, number));
            }
            assert_eq!(client.stop(), 0);
        }
        "signal" => {
            let told = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&told)).unwrap();
            println!("\nready");
            let mut number = 0;
            while !told.load(Ordering::Relaxed) {
                drop(publish(&mut client, number));
                number += 1;
                // The application's own wait, which a signal need not end.
                let _ = client.message(Duration::from_millis(5));
            }
            assert_eq!(client.stop(), 0);
            println!("\npublished {number}");
        }
        _ => {
            let receipt = publish(&mut client, 0);
            assert!(client.outcome(receipt).is_success());
            if how == "exit" {
                process::exit(0);
            }
        }
    }
}

/// Who sees what the program publishes, and its will.
fn observer(broker: &Model) -> Client {
    let observer = Client::connect(Options::new(&broker.url()).unwrap()).unwrap();
    observer.subscribe("n", Qos::ExactlyOnce).unwrap();
    observer.subscribe("will", Qos::ExactlyOnce).unwrap();
    observer
}

fn program(broker: &Model, driver: &str, how: &str) -> Running {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "exit::the_program_whose_end_is_looked_at", "--nocapture"]);
    Running::start(command.env(ROLE, format!("{driver} {how} {}", broker.url())))
}

/// The topics and payloads of what came, until nothing more comes.
fn all(observer: &Client) -> Vec<(String, String)> {
    // Behind whatever the broker has from the program.
    let _ = observer.publish(Publish::new("n", "end").qos(Qos::AtLeastOnce)).unwrap().wait().unwrap();
    let mut all = Vec::new();
    loop {
        let message = observer.recv_timeout(CAP).unwrap();
        let text = String::from_utf8_lossy(message.payload()).into_owned();
        if text == "end" {
            break;
        }
        all.push((message.topic().to_owned(), text));
    }
    // A will may come a little after the end of its connection.
    while let Ok(message) = observer.recv_timeout(Duration::from_millis(200)) {
        all.push((message.topic().to_owned(), String::from_utf8_lossy(message.payload()).into_owned()));
    }
    all
}

fn numbers(count: u32) -> Vec<(String, String)> {
    (0..count).map(|number| ("n".to_owned(), number.to_string())).collect()
}

#[test]
fn a_stop_before_the_end_of_main_delivers_all_and_says_goodbye() {
    for driver in DRIVERS {
        let broker = Model::start();
        let observer = observer(&broker);
        assert_eq!(program(&broker, driver, "stop").ended().status, Some(0), "{driver}");
        assert_eq!(all(&observer), numbers(100), "{driver}");
    }
}

#[test]
fn a_signal_ends_it_in_order() {
    for driver in DRIVERS {
        let broker = Model::start();
        let observer = observer(&broker);
        let program = program(&broker, driver, "signal");
        while program.line() != "ready" {}
        assert_eq!(observer.recv_timeout(CAP).unwrap().payload(), b"0");
        let killed = Command::new("kill").args(["-s", "TERM", &program.id().to_string()]).status();
        assert!(killed.unwrap().success());
        let ended = program.ended();
        assert_eq!(ended.status, Some(0), "{driver}: {}", ended.errors);
        let said = ended.output.lines().find_map(|line| line.strip_prefix("published "));
        let count = said.expect("it says how many").parse().unwrap();
        // All that it published has come, and no will.
        assert_eq!(all(&observer), numbers(count)[1..], "{driver}");
    }
}

#[test]
fn an_exit_with_a_client_alive_is_a_loss_of_it() {
    for driver in DRIVERS {
        let broker = Model::start();
        let observer = observer(&broker);
        assert_eq!(program(&broker, driver, "exit").ended().status, Some(0));
        let mut expected = numbers(1);
        expected.push(("will".to_owned(), "gone".to_owned()));
        let mut all = all(&observer);
        if all.len() < 2 {
            // However late the broker notices.
            let message = observer.recv_timeout(CAP).unwrap();
            all.push((message.topic().to_owned(), String::from_utf8_lossy(message.payload()).into_owned()));
        }
        assert_eq!(all, expected, "{driver}");
    }
}

#[test]
fn a_handle_dropped_by_the_end_of_main_holds_the_process_up_in_no_way() {
    for driver in DRIVERS {
        let broker = Model::start();
        let observer = observer(&broker);
        assert_eq!(program(&broker, driver, "return").ended().status, Some(0));
        // What was acknowledged is there. Whether there was time for DISCONNECT is a matter of luck: the will may come.
        assert_eq!(all(&observer).first(), numbers(1).first(), "{driver}");
    }
}
