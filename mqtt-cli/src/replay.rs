//! `mqtt replay`: a log of a session, run again.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use mqtt_adapter_std::session::tape::{ReplayError, replay};

use crate::Ended;
use crate::exit::End;

/// Run a log again that --record wrote, and compare all that comes out, bit for bit
///
/// The engine is called as it was then: the same configuration, times, bytes and calls, without a network, as fast as it
/// goes. Every event, command, deadline and byte to send must be the same; the first that differs is named, and the
/// status is 1. A log that is damaged, cut short, or made by another engine is refused.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mqtt sub mqtt://localhost 'plant/#' --record incident.tape
  mqtt replay incident.tape
  mqtt sim --seed 42 --record seed.tape
  mqtt sim --replay seed.tape                         the same as mqtt replay

A log holds topics and payloads. User name, password, authentication data, the payload of the will and the values of
User Properties in CONNECT are not in it, only their lengths.
")]
pub(crate) struct Arguments {
    /// The log
    #[arg(value_name = "FILE")]
    log: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Ended {
    file(&arguments.log)
}

/// Runs this log again.
pub(crate) fn file(path: &Path) -> Ended {
    let log =
        File::open(path).map_err(|error| End::Usage(format!("cannot read {}: {error}", path.display())))?;
    match replay(BufReader::new(log)) {
        Ok(replayed) => {
            let mut out = io::stdout().lock();
            for track in &replayed.tracks {
                writeln!(
                    out,
                    "{}: {} calls in {:.3} s, {} bytes in, {} bytes out: the same",
                    track.label,
                    track.calls,
                    track.last.as_micros() as f64 / 1e6,
                    track.bytes_in,
                    track.bytes_out
                )
                .map_err(|error| End::output(&error))?;
            }
            Ok(())
        }
        Err(error @ (ReplayError::NoLog | ReplayError::Format { .. } | ReplayError::OtherEngine { .. })) => {
            Err(End::Usage(format!("{}: {error}", path.display())))
        }
        Err(error) => Err(End::Failed(format!("{}: {error}", path.display()))),
    }
}
