//! The tests of the engine, in one program: each file is a module, `cargo test -p mqtt-session --test all link::` runs one.
//! Only the test of the log is a program of its own, since there is one log in a process.

#[macro_use]
mod common;
mod drive;

mod acknowledging;
mod aliases;
mod allocations;
mod answers;
mod auth;
mod bug_classes;
mod chunks;
mod client_ids;
mod clocks;
mod corners;
mod crashes;
mod doubts;
mod edges;
mod exact_limits;
mod fuzz_corpus;
mod judging;
mod link;
mod lowered;
mod operations;
mod others_defects;
mod outliving;
mod payloads;
mod peak;
mod persistence;
mod publishing;
mod queue;
mod receiving;
mod redirect;
mod refusals;
mod refused_messages;
mod requests;
mod restoring;
mod scram;
mod scram_sides;
mod session_record;
mod short_ways;
mod squeezing;
mod statements_connect;
mod statements_publish;
mod statements_subscribe;
mod stats;
mod stopping;
mod subscriptions;
mod superseded;
mod tape;
mod windows;

/// A file that is not listed above would not run.
#[test]
fn every_file_is_part_of_this_program() {
    let listed = include_str!("all.rs");
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let Some(module) = name.strip_suffix(".rs").filter(|name| !["all", "log"].contains(name)) else {
            continue;
        };
        assert!(listed.contains(&format!("\nmod {module};\n")), "{name} is not listed in all.rs");
    }
}
