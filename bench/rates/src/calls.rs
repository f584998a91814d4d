//! System calls of a process, counted by strace.

use std::env;
use std::io::ErrorKind;
use std::process::{Command, Stdio};

use crate::Failed;

/// What a process asked of the system.
pub(crate) struct Calls {
    /// How often in all.
    pub(crate) all: f64,
    /// The most frequent calls, and how often each.
    pub(crate) most: Vec<(String, f64)>,
}

/// The system calls that this program makes with these arguments. `None`: strace is not installed.
pub(crate) fn count(arguments: &[String]) -> Result<Option<Calls>, Failed> {
    let traced = Command::new("strace")
        .args(["-f", "-c", "-qq", "-S", "calls", "-U", "calls,name", "--"])
        .arg(env::current_exe()?)
        .args(arguments)
        .stdout(Stdio::null())
        .output();
    let traced = match traced {
        Ok(traced) => traced,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let table = String::from_utf8(traced.stderr)?;
    let mut rows: Vec<(String, f64)> = table
        .lines()
        .filter_map(|line| {
            let (calls, name) = line.trim().split_once(char::is_whitespace)?;
            Some((name.trim().to_owned(), calls.parse().ok()?))
        })
        .collect();
    let total = rows.iter().position(|(name, _)| name == "total").map(|at| rows.remove(at));
    let Some((_, all)) = total else {
        return Err(format!("strace ended with {} and said {table}", traced.status).into());
    };
    rows.truncate(3);
    Ok(Some(Calls { all, most: rows }))
}
