//! Help texts, and options that do not fit together.

use crate::run::{mqtt, run};

#[test]
fn help_has_examples_and_the_exit_status() {
    let ended = run(&mut mqtt(&["--help"]));
    assert_eq!(ended.status, Some(0));
    for word in ["demo", "pub", "sub", "broker", "Exit status"] {
        assert!(ended.output.contains(word), "{word} is missing: {}", ended.output);
    }
    for command in ["pub", "sub", "broker"] {
        let ended = run(&mut mqtt(&[command, "--help"]));
        assert_eq!(ended.status, Some(0));
        assert!(ended.output.contains("Examples:"), "{}", ended.output);
        assert!(ended.output.contains(&format!("mqtt {command} ")), "{}", ended.output);
    }
}

#[test]
fn usage_errors_have_status_2() {
    for arguments in [
        &[][..],
        &["publish"],
        &["pub"],
        &["pub", "mqtt://localhost"],
        &["pub", "mqtt://localhost", "topic"],
        &["pub", "mqtt://localhost", "topic", "payload", "--lines"],
        &["pub", "mqtt://localhost", "topic", "payload", "--qos", "3"],
        &["pub", "mqtt://localhost", "topic", "payload", "--protocol", "4"],
        &["pub", "mqtt://localhost", "topic", "payload", "--keep-session"],
        &["pub", "mqtt://localhost", "topic", "payload", "--will-retain"],
        &["sub", "mqtt://localhost"],
        &["sub", "mqtt://localhost", "filter", "--count", "many"],
    ] {
        let ended = run(&mut mqtt(arguments));
        assert_eq!(ended.status, Some(2), "{arguments:?}: {ended:?}");
        assert!(!ended.errors.is_empty() && !ended.errors.contains("panicked"), "{ended:?}");
    }
}
