//! What the scenarios share: options that suit a test, a server that sends back what it gets, and a client that asks it to.

use core::any::type_name;
use core::time::Duration;
use std::io::Read;
use std::net::TcpStream;
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use mqtt_adapter_std::{
    Backoff, ConnectError, Connected, Disconnected, Event, Options, Outcome, Publish, Qos, ReasonCode, Why,
};
use mqtt_tests::adapter::{Adapter, CAP};

use crate::peer::{Got, Link, Server};

/// Sizes of payloads around every edge of TCP, TLS records and WebSocket frames.
pub(crate) const SIZES: [usize; 10] = [0, 1, 125, 126, 16_384, 16_385, 65_535, 65_536, 300_000, 3_000_000];

/// Options that suit a test; the short backoff only saves time.
pub(crate) fn options(url: &str) -> Options {
    let mut options = Options::new(url).expect("the test makes good URLs");
    let engine = options.engine_mut();
    engine.backoff =
        Backoff { base: Duration::from_millis(5), cap: Duration::from_millis(50), ..engine.backoff };
    engine.max_packet_in = 1 << 24;
    options
}

/// What the server got for its answer, with a script on a thread.
pub(crate) fn script<T: Send + 'static>(
    server: Server,
    script: impl FnOnce(&Server) -> T + Send + 'static,
) -> JoinHandle<T> {
    thread::spawn(move || script(&server))
}

/// Welcomes a client, acknowledges what it publishes and sends it back, until it disconnects in order.
pub(crate) fn echo(link: &mut Link) {
    link.welcome(false);
    loop {
        match link.next_but_pings() {
            Got::Publish { payload, id, .. } => {
                link.puback(id);
                link.publish("echo", &payload, Qos::AtMostOnce, 0);
            }
            Got::Disconnect(_) => break assert_eq!(link.next(), Got::End),
            got => panic!("{got:?}"),
        }
    }
}

/// Payloads of these sizes go to a server that sends them back, and return as they were.
pub(crate) fn calls<A: Adapter>(options: Options, sizes: &[usize]) {
    let mut client = A::connect(options).unwrap_or_else(|error| panic!("it connects: {error}"));
    for &size in sizes {
        let payload: Vec<u8> = (0..size).map(|at| (at * 31 % 251) as u8).collect();
        let receipt =
            client.publish(Publish::new("call", &payload).qos(Qos::AtLeastOnce)).expect("there is room");
        assert_eq!(client.message(CAP).expect("it comes back").payload(), payload, "{size} bytes");
        assert_eq!(client.outcome(receipt), Outcome::Acked(ReasonCode::Success));
    }
    assert_eq!(client.stop(), 0);
}

/// How the first attempt fails. Where it is its time that is over, the engine's clock may be looked at first, or that
/// of whoever dials, who knows more.
pub(crate) fn refused<A: Adapter>(options: Options) -> Disconnected {
    match A::connect(options) {
        Err(ConnectError::Failed(end)) => {
            assert!(matches!(end.why, Why::DialFailed | Why::DialTimeout), "{end}");
            assert_eq!(end.why == Why::DialTimeout, end.cause.is_none(), "{end}");
            end
        }
        Err(other) => panic!("another error than a failed connection: {other:?}"),
        Ok(_) => panic!("nobody could accept this"),
    }
}

/// The next event that `wanted` takes; those before it are passed over.
pub(crate) fn event_until<A: Adapter, T>(client: &mut A, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    let cap = Instant::now() + CAP;
    loop {
        let left = cap.saturating_duration_since(Instant::now());
        let event = client.event(left).expect("the event came before the cap");
        if let Some(found) = wanted(event) {
            return found;
        }
    }
}

/// The next connection's facts.
pub(crate) fn connected<A: Adapter>(client: &mut A) -> Connected {
    event_until(client, |event| match event {
        Event::Connected(connected) => Some(connected),
        _ => None,
    })
}

/// The next end of a connection.
pub(crate) fn disconnected<A: Adapter>(client: &mut A) -> Disconnected {
    event_until(client, |event| match event {
        Event::Disconnected(end) => Some(end),
        _ => None,
    })
}

/// All that comes until the end of the stream.
pub(crate) fn rest(socket: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = socket.read_to_end(&mut bytes);
    bytes
}

/// Set in a test that runs again in a process of its own.
const CHILD: &str = "MQTT_TESTS_CHILD";

/// Whether this is the process with these variables; if not, the scenario runs in one, and must succeed there. `wrap` may put
/// another program in front.
pub(crate) fn in_child<A>(scenario: &str, variables: &[(&str, &str)], wrap: &[&str]) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let driver = type_name::<A>().rsplit(':').next().unwrap_or_default().to_lowercase();
    let this = std::env::current_exe().expect("this program has a path");
    let mut command = match wrap {
        [] => Command::new(&this),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(&this);
            command
        }
    };
    for name in ["all_proxy", "http_proxy", "https_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command
        .args(["--exact", &format!("{scenario}::{driver}")])
        .env(CHILD, "1")
        .envs(variables.iter().copied());
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{command:?}: {said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}
