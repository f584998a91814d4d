//! `mqtt sub`: prints what arrives, payloads or JSON lines.

use core::fmt::Write as _;
use std::io::{self, BufWriter, Write};

use clap::Args;
use mqtt_adapter_std::{
    AckMode, Message, Properties, Property, Qos, ReasonCode, RecvError, Subscription, SubscriptionOptions,
    TopicFilter,
};
use serde_json::{Map, Value, json};

use crate::Ended;
use crate::args::{self, Connection};
use crate::exit::{End, say};
use crate::link::Link;

/// Subscribe and print what arrives
///
/// Each payload is printed with a line end behind it, or as a JSON object with --json. A message is acknowledged
/// when it has been printed: with --keep-session, what was not printed comes again next time. Ctrl-C ends the program.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mqtt sub mqtt://localhost 'sensors/#'
  mqtt sub mqtt://localhost 'sensors/+/temperature' 'doors/#' --qos 1 --json
  mqtt sub mqtt://localhost jobs --qos 2 --client-id worker-1 --keep-session --count 10
")]
pub(crate) struct Arguments {
    #[command(flatten)]
    connection: Connection,

    /// What to subscribe to: topic filters, + for one level, # for all below
    #[arg(required = true, value_name = "FILTER")]
    filters: Vec<String>,

    /// Highest quality of service to receive with: 0, 1 or 2
    #[arg(short, long, value_name = "0|1|2", default_value = "0", value_parser = args::qos)]
    qos: Qos,

    /// One JSON object a line: topic, payload (or payload_hex, where it is not text), qos, retain, dup, properties
    #[arg(short, long)]
    json: bool,

    /// End after this many messages
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
}

pub(crate) fn run(arguments: &Arguments) -> Ended {
    let wanted = wanted(&arguments.filters, arguments.qos)?;
    let mut options = arguments.connection.options()?;
    options.engine_mut().ack_mode = AckMode::Manual;

    let quiet = arguments.connection.quiet;
    let link = Link::connect(options, quiet, || ())?;
    let printed = subscribe(&link, &arguments.filters, &wanted, quiet).and_then(|()| print(arguments, &link));
    let interrupted = link.interrupted();
    let stopped = link.stop();
    match printed {
        Ok(()) if interrupted => Ok(()),
        // What was the matter with the connection says more than what could not be done without it.
        Ok(()) | Err(End::Failed(_)) if stopped.is_err() => stopped,
        other => other,
    }
}

/// The filters as the protocol has them.
fn wanted(filters: &[String], qos: Qos) -> Result<Vec<Subscription<'_>>, End> {
    let subscription = |filter| {
        TopicFilter::new(filter)
            .map(|filter| Subscription { filter, options: SubscriptionOptions::new(qos) })
            .map_err(|error| End::Usage(format!("cannot subscribe to {filter:?}: {error}")))
    };
    filters.iter().map(String::as_str).map(subscription).collect()
}

fn subscribe(link: &Link, filters: &[String], wanted: &[Subscription<'_>], quiet: bool) -> Ended {
    let codes = match link.client.subscribe_many(wanted, Properties::EMPTY) {
        Ok(codes) => codes,
        Err(_) if link.interrupted() => return Ok(()),
        Err(error) => return Err(End::Failed(format!("cannot subscribe: {error}"))),
    };
    match filters.iter().zip(&codes).find(|(_, code)| code.is_error()) {
        Some((filter, code)) => {
            Err(End::Failed(format!("the server refused the subscription to {filter:?}: {code}")))
        }
        None if quiet => Ok(()),
        None => {
            say(format_args!("subscribed to {}", filters.join(", ")));
            Ok(())
        }
    }
}

/// Prints until enough has come or the client has stopped.
fn print(arguments: &Arguments, link: &Link) -> Ended {
    let mut output = BufWriter::new(io::stdout().lock());
    let mut left = arguments.count.unwrap_or(u64::MAX);
    let mut printed = Vec::new();
    while left > 0 {
        // What is there already goes out in one piece.
        let message = match link.client.try_recv() {
            Ok(message) => Some(message),
            Err(RecvError::Stopped) => None,
            Err(_) => {
                flush(link, &mut output, &mut printed)?;
                link.client.recv()
            }
        };
        let Some(message) = message else { break };
        if arguments.json {
            writeln!(output, "{}", object(&message))
        } else {
            line(&mut output, message.payload())
        }
        .map_err(|error| End::output(&error))?;
        printed.extend(message.ack());
        left -= 1;
    }
    flush(link, &mut output, &mut printed)
}

fn line(output: &mut impl Write, payload: &[u8]) -> io::Result<()> {
    output.write_all(payload)?;
    output.write_all(b"\n")
}

/// What has left this program is acknowledged, and nothing before.
fn flush(link: &Link, output: &mut impl Write, printed: &mut Vec<mqtt_adapter_std::AckToken>) -> Ended {
    output.flush().map_err(|error| End::output(&error))?;
    for ack in printed.drain(..) {
        // One of an earlier connection is void: the server sends the message again.
        let _ = link.client.acknowledge(ack, ReasonCode::Success, Properties::EMPTY);
    }
    Ok(())
}

/// A message as JSON.
fn object(message: &Message) -> Value {
    let mut object = json!({
        "topic": message.topic(),
        "qos": message.qos() as u8,
        "retain": message.retain(),
        "dup": message.dup(),
    });
    let (key, payload) = text_or_hex("payload", message.payload());
    object[key] = payload;
    let properties = properties(message.properties());
    if !properties.is_empty() {
        object["properties"] = Value::Object(properties);
    }
    object
}

fn properties(properties: Properties<'_>) -> Map<String, Value> {
    let mut map = Map::new();
    let mut push = |key: &str, value: Value| {
        if let Value::Array(values) = map.entry(key).or_insert_with(|| json!([])) {
            values.push(value);
        }
    };
    let mut single = Vec::new();
    for property in properties.iter() {
        match property {
            Property::UserProperty(name, value) => push("user_properties", json!([name, value])),
            Property::SubscriptionIdentifier(id) => push("subscription_identifiers", json!(id)),
            Property::ContentType(text) => single.push(("content_type".to_owned(), json!(text))),
            Property::ResponseTopic(text) => single.push(("response_topic".to_owned(), json!(text))),
            Property::CorrelationData(data) => single.push(text_or_hex("correlation_data", data)),
            Property::MessageExpiryInterval(seconds) => {
                single.push(("message_expiry_interval".to_owned(), json!(seconds)));
            }
            Property::PayloadFormatIndicator(text) => {
                single.push(("payload_format_indicator".to_owned(), json!(u8::from(text))));
            }
            _ => {}
        }
    }
    map.extend(single);
    map
}

/// A value under its key where it is text, or in hexadecimal digits under `key_hex`.
fn text_or_hex(key: &str, bytes: &[u8]) -> (String, Value) {
    match str::from_utf8(bytes) {
        Ok(text) => (key.to_owned(), json!(text)),
        Err(_) => {
            let digits = bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut digits, byte| {
                let _ = write!(digits, "{byte:02x}");
                digits
            });
            (format!("{key}_hex"), json!(digits))
        }
    }
}
