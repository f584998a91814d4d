//! A connection with a user in front of it: what happens is told on standard error, and Ctrl-C ends it gracefully.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use mqtt_adapter_std::{Cause, Client, ConnectError, Connected, Disconnected, Event, Options, Version};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::{End, say};

/// How long a graceful stop goes on sending what was accepted.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);

/// Where a signal finds what it has to stop.
#[derive(Default)]
struct Interrupts {
    client: Option<Client>,
    seen: bool,
}

/// A client that reports to the user.
pub(crate) struct Link {
    /// The client itself.
    pub(crate) client: Client,
    interrupts: Arc<Mutex<Interrupts>>,
    reporter: JoinHandle<Option<Disconnected>>,
}

impl Link {
    /// Connects, and from then on tells what happens. `stopped` is called on another thread when the client has stopped,
    /// whatever the reason.
    pub(crate) fn connect(
        options: Options,
        quiet: bool,
        stopped: impl FnOnce() + Send + 'static,
    ) -> Result<Self, End> {
        let interrupts = Arc::new(Mutex::new(Interrupts::default()));
        stop_on_signals(Arc::clone(&interrupts))?;
        let client = Client::connect(options).map_err(|error| not_connected(&error))?;
        lock(&interrupts).client = Some(client.clone());
        let watched = client.clone();
        let reporter = thread::spawn(move || {
            let lost = report(&watched, quiet);
            stopped();
            lost
        });
        Ok(Self { client, interrupts, reporter })
    }

    /// Whether the user has asked for the end.
    pub(crate) fn interrupted(&self) -> bool {
        lock(&self.interrupts).seen
    }

    /// Stops and waits for the end; an error if the connection had been lost for good before.
    pub(crate) fn stop(self) -> Result<(), End> {
        self.client.stop(DRAIN);
        if let Some(recording) = self.client.options().recording()
            && let Err(error) = recording.finish()
        {
            say(format_args!("the recording has ended: {error}"));
        }
        match self.reporter.join() {
            Ok(Some(lost)) => Err(End::Lost(lost.to_string())),
            _ => Ok(()),
        }
    }
}

/// The first signal stops the client gracefully, the second ends the process at once.
fn stop_on_signals(interrupts: Arc<Mutex<Interrupts>>) -> Result<(), End> {
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| End::Failed(format!("cannot wait for signals: {error}")))?;
    thread::spawn(move || {
        for _ in signals.forever() {
            let mut interrupts = lock(&interrupts);
            let again = core::mem::replace(&mut interrupts.seen, true);
            let Some(client) = interrupts.client.take().filter(|_| !again) else {
                let _ = End::Interrupted("interrupted".to_owned()).report();
                std::process::exit(130);
            };
            drop(interrupts);
            // On a thread of its own: the next signal must be heard meanwhile.
            thread::spawn(move || client.stop(DRAIN));
        }
    });
    Ok(())
}

/// Tells the user what happens until the client stops; the loss it stopped for, if that was it.
fn report(client: &Client, quiet: bool) -> Option<Disconnected> {
    let tell = |line: String| {
        if !quiet {
            say(line);
        }
    };
    let mut connections = 0_u32;
    let mut lost = None;
    while let Some(event) = client.next_event(None) {
        match event {
            Event::Connected(connected) => {
                connections += 1;
                tell(up(&connected, connections > 1));
            }
            Event::Disconnected(disconnected) => {
                if let Some(retry) = disconnected.retry {
                    tell(format!("{disconnected}; next attempt in {:.1} s", retry.as_secs_f32()));
                } else {
                    lost = Some(disconnected);
                }
            }
            Event::SessionLost { republished, ended } if republished + ended > 0 => {
                tell(format!(
                    "the server has lost the session: {republished} messages sent again, {ended} given up"
                ));
            }
            Event::Resubscribed { codes, .. } => {
                if let Some(code) = codes.iter().find(|code| code.is_error()) {
                    tell(format!("the server refused a subscription it had granted before: {code}"));
                }
            }
            Event::SubscriptionLost { code, .. } => {
                tell(format!("a subscription could not be made again: {code}"));
            }
            Event::RecordingFailed { detail, .. } => tell(format!("the recording has ended: {detail}")),
            Event::Stopped { .. } => break,
            _ => {}
        }
    }
    // A stop by the user is an end without an attempt to come, too, but no loss.
    lost.filter(|lost| !matches!(lost.why, mqtt_adapter_std::Why::Stopped))
}

fn up(connected: &Connected, again: bool) -> String {
    let session = if connected.resumed { ", session resumed" } else { "" };
    let again = if again { " again" } else { "" };
    format!("connected{again} to {}, MQTT {}{session}", connected.server, name(connected.version))
}

/// A version as people write it.
pub(crate) const fn name(version: Version) -> &'static str {
    match version {
        Version::V3_1 => "3.1",
        Version::V3_1_1 => "3.1.1",
        Version::V5 => "5.0",
    }
}

fn not_connected(error: &ConnectError) -> End {
    match error {
        ConnectError::Options(error) => End::Usage(error.to_string()),
        other => End::NotConnected(format!("{other}{}", hint(other))),
    }
}

/// Which option may help.
fn hint(error: &ConnectError) -> &'static str {
    let ConnectError::Failed(Disconnected { cause: Some(cause), .. }) = error else { return "" };
    let (Cause::Tls { detail, .. } | Cause::Transport { detail, .. }) = cause else { return "" };
    let known = [
        ("UnknownIssuer", " (--ca names an authority to trust)"),
        ("not valid for name", " (--server-name names another)"),
        ("CertificateRequired", " (--cert and --key show one)"),
    ];
    known.into_iter().find(|(said, _)| detail.contains(said)).map_or("", |(_, hint)| hint)
}

fn lock(interrupts: &Mutex<Interrupts>) -> std::sync::MutexGuard<'_, Interrupts> {
    interrupts.lock().unwrap_or_else(PoisonError::into_inner)
}
