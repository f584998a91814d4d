//! `mqtt broker`: the model broker on a port.

mod limits;
mod misbehave;

use std::thread;

use clap::Args;
use mqtt_sim::broker::{BrokerConfig, Rule};
use mqtt_sim::tcp::TcpBroker;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::Ended;
use crate::exit::{End, say};

/// Run the model broker on a port, for development and tests
///
/// It speaks MQTT 3.1, 3.1.1 and 5.0 over TCP and WebSocket, lets everyone in unless told otherwise, and keeps everything
/// in memory: when it ends, all is forgotten. Do not use it for anything that matters. Ctrl-C ends it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mqtt broker
  mqtt broker --listen 127.0.0.1:0                    a free port, told in the first line
  mqtt broker --listen '[::1]:1883' --websocket '[::1]:8080'
  mqtt broker --user ada:secret --user bob:hidden
  mqtt broker --receive-maximum 2 --max-qos 1         what does a client make of these limits?
  mqtt broker --misbehave pubrec=drop --misbehave 'puback=delay:1.5*3' --close-on 'jobs/#'
")]
pub(crate) struct Arguments {
    /// Where to listen
    #[arg(short, long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:1883")]
    listen: String,

    /// Where to listen for WebSocket [default: nowhere]
    #[arg(short, long, value_name = "ADDRESS:PORT")]
    websocket: Option<String>,

    /// Let in those who know this name and password only; may be given several times
    #[arg(long = "user", value_name = "NAME:PASSWORD", value_parser = user)]
    users: Vec<(String, String)>,

    #[command(flatten)]
    limits: limits::Limits,

    #[command(flatten)]
    mischief: Mischief,
}

/// What it is to do wrong.
#[derive(Debug, Args)]
#[command(next_help_heading = "Misbehaving, to see how a client takes it")]
struct Mischief {
    /// With the next packet of a type that it sends, do something wrong: drop, duplicate, swap (with the one behind it),
    /// close (without a word), delay:SECONDS, bytes:HEX (instead of it), or, for pubrec, puback; *N: with the next N
    #[arg(long, value_name = "PACKET=DEED[*N]", value_parser = misbehave::rule)]
    misbehave: Vec<Rule>,

    /// Close the connection of whoever publishes the next message to a topic that this filter matches; without a word, and
    /// without taking the message
    #[arg(long, value_name = "FILTER", value_parser = misbehave::filter)]
    close_on: Vec<String>,
}

fn user(text: &str) -> Result<(String, String), String> {
    let (name, password) = text.split_once(':').ok_or_else(|| "as name:password".to_owned())?;
    Ok((name.to_owned(), password.to_owned()))
}

pub(crate) fn run(arguments: &Arguments) -> Ended {
    let users = arguments.users.iter().map(|(name, password)| (name.clone(), password.as_bytes().to_vec()));
    let config = arguments.limits.apply(BrokerConfig { users: users.collect(), ..BrokerConfig::default() });
    let cannot = |address: &str, error| {
        let hint = "another port: 127.0.0.1:0";
        End::NotConnected(format!("cannot listen on {address}: {error} ({hint})"))
    };
    let listen = arguments.listen.as_str();
    let mut broker = TcpBroker::bind(listen, config).map_err(|error| cannot(listen, error))?;
    let websocket = match &arguments.websocket {
        Some(address) => Some(broker.listen_ws(address.as_str()).map_err(|error| cannot(address, error))?),
        None => None,
    };
    for rule in &arguments.mischief.misbehave {
        broker.broker_mut().misbehave(rule.clone());
    }
    for filter in &arguments.mischief.close_on {
        broker.broker_mut().close_on(filter.clone());
    }
    let handle = broker.handle();
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| End::Failed(format!("cannot wait for signals: {error}")))?;
    thread::spawn(move || {
        for _ in signals.forever() {
            handle.stop();
        }
    });
    let framed = websocket.map(|address| format!(" and ws://{address}")).unwrap_or_default();
    let who = if arguments.users.is_empty() { "everyone may connect" } else { "named users may connect" };
    say(format_args!(
        "a broker for development and tests listens on mqtt://{}{framed}: {who}, nothing is kept on disk",
        broker.local_addr()
    ));
    broker
        .run()
        .map_err(|error| End::Failed(format!("the broker cannot wait for its connections: {error}")))?;
    let stats = broker.broker().stats();
    let misdeeds = match broker.broker().misdeeds() {
        0 => String::new(),
        count => format!(", {count} misdeeds"),
    };
    say(format_args!("stopped: {} connections served{misdeeds}", stats.connections));
    Ok(())
}
