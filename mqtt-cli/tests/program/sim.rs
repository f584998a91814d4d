//! The simulator: seeds, a summary, one seed in full, Ctrl-C.

use std::fs;
use std::path::Path;

use mqtt_tests::folder::Folder;

use crate::interop::interrupt;
use crate::run::{Running, mqtt, run};

#[test]
fn seeds_are_run_and_summed_up_the_same_on_one_thread_and_on_several() {
    let runs = ["1", "2", "3"].map(|jobs| {
        let ended = run(&mut mqtt(&["sim", "--seeds", "0..30", "--jobs", jobs]));
        assert_eq!(ended.status, Some(0), "{ended:?}");
        let table: Vec<String> = ended
            .output
            .lines()
            .take_while(|line| !line.contains("seeds a second"))
            .map(str::to_owned)
            .collect();
        table
    });
    assert_eq!(runs[0], runs[1]);
    assert_eq!(runs[0], runs[2]);
    let all = runs[0].join("\n");
    for word in [
        "split-read",
        "broker-restart",
        "messages in",
        "resumed sessions",
        "invariants checked",
        "client-hours",
    ] {
        assert!(all.contains(word), "{word} is missing: {all}");
    }
}

#[test]
fn one_seed_is_shown_in_full_and_again_with_only_some_of_its_faults() {
    let seed = ["sim", "--seed", "7", "--scenario", "faithful", "--fault", "stall=1%", "--trace"];
    let first = run(&mut mqtt(&seed));
    assert_eq!(first.status, Some(0), "{first:?}");
    let again = run(&mut mqtt(&seed));
    assert!(first.output == again.output, "the same seed and options give the same run");
    let stall =
        first.output.lines().find_map(|line| line.split("Fault stall@").nth(1)).expect("a stall strikes");
    let only = format!("stall@{stall}");
    let alone = run(mqtt(&seed).args(["--only", &only]));
    let faults: Vec<&str> = alone.output.lines().filter_map(|line| line.split("Fault ").nth(1)).collect();
    assert_eq!(faults, [only]);
}

#[test]
fn a_seed_is_drawn() {
    let folder = Folder::new("cli");
    let path = folder.file("run.svg");
    let path = path.to_str().expect("the path is text");
    let ended =
        run(mqtt(&["sim", "--seed", "7", "--chart", path, "--title", "seven", "--panel", "0", "-V", "5"])
            .args(["--clients", "2", "--from", "0", "--most", "50"]));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.errors.contains("drawn"), "{ended:?}");
    let svg = fs::read_to_string(path).expect("it was written");
    for text in ["<svg", ">seven<", "CONNECT 5.0", "client-0", "are not drawn", "</svg>"] {
        assert!(svg.contains(text), "{text} is missing in {svg}");
    }
    assert!(!svg.contains("client-1"));

    let ended = run(&mut mqtt(&["sim", "--seed", "7", "--chart", "/nowhere/run.svg"]));
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.errors.contains("cannot write /nowhere/run.svg"), "{ended:?}");
    let ended = run(&mut mqtt(&["sim", "--seed", "7", "--chart", path, "--panel", "9"]));
    assert_eq!(ended.status, Some(2), "{ended:?}");
    let ended = run(&mut mqtt(&["sim", "--seeds", "0..2", "--chart", path]));
    assert!(ended.status == Some(0) && ended.errors.contains("nothing was drawn"), "{ended:?}");
}

/// The picture in the README is what its command draws.
#[test]
fn the_chart_of_the_readme_is_what_its_command_draws() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(project.join("README.md")).unwrap().replace("\\\n", " ");
    let command =
        readme.lines().find_map(|line| line.strip_prefix("$ cargo run --release -p mqtt-cli -- sim "));
    let folder = Folder::new("readme-chart");
    let drawn = folder.file("chart.svg");
    let (mut arguments, mut committed) = (vec!["sim".to_owned()], None);
    for (n, part) in command.expect("the README has the command").split('\'').enumerate() {
        // Every other part is quoted.
        if n % 2 == 1 {
            arguments.push(part.to_owned());
            continue;
        }
        for word in part.split_whitespace() {
            if word.ends_with(".svg") {
                committed = Some(word);
                arguments.push(drawn.display().to_string());
            } else {
                arguments.push(word.to_owned());
            }
        }
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = run(&mut mqtt(&arguments));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let committed = fs::read_to_string(project.join(committed.expect("it draws a chart"))).unwrap();
    assert!(
        fs::read_to_string(&drawn).unwrap() == committed,
        "the picture is another now: look for a seed that shows the same, and draw it by the README's command"
    );
}

#[test]
fn what_cannot_be_run_is_a_usage_error() {
    for (arguments, word) in [
        (&["--seeds", "9..9"][..], "no seed"),
        (&["--seeds", "nine"], "as 0..1000"),
        (&["--scenario", "doom"], "faithful"),
        (&["--fault", "doom=1"], "no fault"),
        (&["--fault", "reset"], "reset=20%"),
        (&["--fault", "reset=2"], "part of one"),
        (&["--scenario", "faithful", "--fault", "lost-ack=0.1"], "bad-luck"),
        (&["--only", "reset@c0.1"], "--seed"),
        (&["--seed", "1", "--only", "reset@c0.x"], "no occasion"),
        (&["--duration", "0"], "more than 0"),
        (&["--trace"], "--seed"),
        (&["--jobs", "0"], "0"),
    ] {
        let ended = run(mqtt(&["sim"]).args(arguments));
        assert_eq!(ended.status, Some(2), "{arguments:?}: {ended:?}");
        assert!(ended.errors.contains(word), "{arguments:?}: {}", ended.errors);
    }
}

#[test]
fn ctrl_c_stops_with_the_summary_so_far() {
    let running = Running::start(&mut mqtt(&["sim", "--seeds", "0..1000000000"]));
    running.says("Ctrl-C");
    interrupt(&running);
    let ended = running.ended();
    assert_eq!(ended.status, Some(130), "{ended:?}");
    assert!(ended.output.contains("client-hours"), "{ended:?}");
    assert!(ended.errors.contains("seeds were not run"), "{ended:?}");
}
