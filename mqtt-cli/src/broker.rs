//! `mqtt broker`: the model broker on a port.

use std::thread;

use clap::Args;
use mqtt_sim::broker::BrokerConfig;
use mqtt_sim::tcp::TcpBroker;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::Ended;
use crate::exit::{End, say};

/// Run the model broker on a port, for development and tests
///
/// It speaks MQTT 3.1, 3.1.1 and 5.0, lets everyone in, and keeps everything in memory: when it ends, all is forgotten.
/// Do not use it for anything that matters. Ctrl-C ends it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mqtt broker
  mqtt broker --listen 127.0.0.1:0       a free port, told in the first line
  mqtt broker --listen '[::1]:1883'
")]
pub(crate) struct Arguments {
    /// Where to listen
    #[arg(short, long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:1883")]
    listen: String,
}

pub(crate) fn run(arguments: &Arguments) -> Ended {
    let mut broker =
        TcpBroker::bind(arguments.listen.as_str(), BrokerConfig::default()).map_err(|error| {
            End::NotConnected(format!(
                "cannot listen on {}: {error} (another port: --listen 127.0.0.1:0)",
                arguments.listen
            ))
        })?;
    let handle = broker.handle();
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| End::Failed(format!("cannot wait for signals: {error}")))?;
    thread::spawn(move || {
        for _ in signals.forever() {
            handle.stop();
        }
    });
    say(format_args!(
        "a broker for development and tests listens on mqtt://{}: everyone may connect, nothing is kept on disk",
        broker.local_addr()
    ));
    broker
        .run()
        .map_err(|error| End::Failed(format!("the broker cannot wait for its connections: {error}")))?;
    let stats = broker.broker().stats();
    say(format_args!("stopped: {} connections served", stats.connections));
    Ok(())
}
