//! The fault proxies, in a process of their own, so that they are not measured.

use core::net::SocketAddr;
use std::env;
use std::io::{self, BufRead};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use mqtt_sim::schedule::{Mix, Schedule};
use mqtt_tests::process::Running;
use mqtt_tests::proxy::Proxy;

/// The process with the proxies. It ends with this value.
pub(crate) struct Faults {
    child: Running,
    rough: String,
    gentle: String,
    tally: String,
}

impl Faults {
    pub(crate) fn start(broker: SocketAddr, seed: u64) -> Self {
        let program = env::current_exe().expect("a program knows its path");
        let mut command = Command::new(program);
        // In a group of its own: Ctrl-C is for the clients alone.
        command.args(["faults", &broker.to_string(), &seed.to_string()]).process_group(0);
        let child = Running::start(&mut command);
        let line = child.line();
        let (rough, gentle) = line.split_once(' ').expect("it says two URLs");
        let (rough, gentle) = (rough.to_owned(), gentle.to_owned());
        Self { child, rough, gentle, tally: String::new() }
    }

    /// The URL where everything goes wrong.
    pub(crate) fn rough(&self) -> &str {
        &self.rough
    }

    /// The URL where connections are not ended.
    pub(crate) fn gentle(&self) -> &str {
        &self.gentle
    }

    /// From now on nothing goes wrong.
    pub(crate) fn heal(&mut self) {
        self.child.input("heal\n");
        assert_eq!(self.child.line(), "healed");
    }

    /// What has struck so far, in words.
    pub(crate) fn tally(&mut self) -> &str {
        self.child.input("tally\n");
        self.tally = self.child.line();
        &self.tally
    }

    /// How many kinds have not struck so far.
    pub(crate) fn quiet_kinds(&mut self) -> usize {
        self.tally().split(&[':', ',']).filter(|part| part.trim_start().starts_with("0 ")).count()
    }
}

/// What the process does: two proxies, until its input ends.
pub(crate) fn serve(broker: &str, seed: &str) -> ExitCode {
    let (Ok(broker), Ok(seed)) = (broker.parse::<SocketAddr>(), seed.parse::<u64>()) else {
        return ExitCode::from(2);
    };
    // Each connection has a seed of its own, and those of the two proxies differ.
    let drawn = |proxy: u64, mix: Mix| {
        move |number: u64| Schedule::drawn(seed.wrapping_mul(1 << 40).wrapping_add(2 * number + proxy), &mix)
    };
    let rough = Proxy::with(broker, drawn(0, Mix::ALL));
    let gentle = Proxy::with(broker, drawn(1, Mix::GENTLE));
    println!("{} {}", rough.url(), gentle.url());
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        match line.as_str() {
            "heal" => {
                rough.heal();
                gentle.heal();
                println!("healed");
            }
            _ => {
                let (mut all, connections) = (rough.struck(), rough.accepted() + gentle.accepted());
                all.add(&gentle.struck());
                println!("{} faults on {connections} connections: {all}", all.all());
            }
        }
    }
    ExitCode::SUCCESS
}
