//! System calls of a process, counted by strace.

use std::env;
use std::io::ErrorKind;
use std::process::{Command, Stdio};

use crate::Failed;

/// How many system calls this program makes with these arguments. `None`: strace is not installed.
pub(crate) fn count(arguments: &[String]) -> Result<Option<f64>, Failed> {
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
    let total = table.lines().rev().find_map(|line| line.trim().strip_suffix("total")?.trim().parse().ok());
    total.map(Some).ok_or_else(|| format!("strace ended with {} and said {table}", traced.status).into())
}
