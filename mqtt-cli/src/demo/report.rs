//! What the user sees: a line with its time for everything that happens, and the table at the end.

use std::io::{self, Write};
use std::time::Instant;

use mqtt_adapter_std::{Event, Qos};

use crate::Ended;
use crate::exit::End;
use crate::link::name;

/// What became of the messages one client sent in one round.
pub(super) struct Tally {
    pub(super) qos: Qos,
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) sent: u32,
    /// Different messages that arrived.
    pub(super) delivered: u32,
    /// Arrivals beyond the first of each.
    pub(super) duplicates: u32,
}

impl Tally {
    /// Counts from how often each number arrived.
    pub(super) fn new(qos: Qos, from: &'static str, to: &'static str, arrivals: &[u32]) -> Self {
        let count = |arrivals: usize| u32::try_from(arrivals).unwrap_or(u32::MAX);
        Self {
            qos,
            from,
            to,
            sent: count(arrivals.len()),
            delivered: count(arrivals.iter().filter(|&&times| times > 0).count()),
            duplicates: arrivals.iter().map(|times| times.saturating_sub(1)).sum(),
        }
    }

    pub(super) fn lost(&self) -> u32 {
        self.sent - self.delivered
    }
}

/// Writes to standard output.
pub(super) struct Report {
    started: Instant,
}

impl Report {
    pub(super) fn new() -> Self {
        Self { started: Instant::now() }
    }

    /// Something happened to someone.
    pub(super) fn line(&self, who: &str, what: &str) -> Ended {
        let seconds = self.started.elapsed().as_secs_f64();
        self.write(|output| writeln!(output, "{seconds:8.3} s  {who:<9} {what}"))
    }

    /// An event of a client, if it is worth a line. A closed output is noticed by the next line of the program itself.
    pub(super) fn event(&self, who: &str, event: &Event) {
        let _ = match event {
            Event::Connected(connected) if connected.resumed => {
                self.line(who, "connected again, session resumed: what was under way goes on")
            }
            Event::Connected(connected) => self
                .line(who, &format!("connected to {}, MQTT {}", connected.server, name(connected.version))),
            Event::Disconnected(disconnected) => match disconnected.retry {
                Some(retry) => {
                    self.line(who, &format!("{disconnected}; next attempt in {:.3} s", retry.as_secs_f64()))
                }
                None => Ok(()),
            },
            _ => Ok(()),
        };
    }

    pub(super) fn heading(&self, text: &str) -> Ended {
        self.write(|output| writeln!(output, "\n{text}"))
    }

    pub(super) fn table(&self, tallies: &[Tally]) -> Ended {
        let seconds = self.started.elapsed().as_secs_f64();
        self.write(|output| {
            writeln!(
                output,
                "\n{:<6} {:<22} {:>9} {:>9} {:>10} {:>6}",
                "", "", "sent", "delivered", "duplicates", "lost"
            )?;
            for tally in tallies {
                let way = format!("{} to {}", tally.from, tally.to);
                writeln!(
                    output,
                    "QoS {:<2} {way:<22} {:>9} {:>9} {:>10} {:>6}",
                    tally.qos as u8,
                    tally.sent,
                    tally.delivered,
                    tally.duplicates,
                    tally.lost()
                )?;
            }
            writeln!(
                output,
                "\nPromised across cuts: QoS 0 nothing, QoS 1 no loss, QoS 2 exactly once. {seconds:.1} s."
            )
        })
    }

    fn write(&self, write: impl FnOnce(&mut io::StdoutLock<'_>) -> io::Result<()>) -> Ended {
        write(&mut io::stdout().lock()).map_err(|error| End::output(&error))
    }
}
