//! One of several processes that share a subscription; the tests of shared subscriptions run and kill it.
//!
//! `shared_member DRIVER URL CLIENT-ID SESSION DEED`, where DRIVER is `threads`, `driven` or `smol`, SESSION `kept` or
//! `clean`, and DEED
//!
//! * `take`: acknowledges each message when it has told it;
//! * `hold`: acknowledges nothing.
//!
//! It says `subscribed`, then `got N` for each message, with `again` behind it if the server has sent it before. When its
//! input ends and nothing comes any more it stops in order.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::process::ExitCode;
use std::sync::Arc;
use std::{env, io, thread};

use mqtt_adapter_std::{AckMode, Options, Qos};
use mqtt_tests::adapter::{Adapter, Driven, Smol, Threads};

fn main() -> ExitCode {
    let given: Vec<String> = env::args().skip(1).collect();
    let [driver, url, client_id, session, deed] = &given[..] else {
        eprintln!("shared_member DRIVER URL CLIENT-ID SESSION DEED");
        return ExitCode::FAILURE;
    };
    let mut options = Options::new(url).expect("the test gives a good URL").with_client_id(client_id);
    if session == "kept" {
        options = options.with_clean_start(false).with_session_expiry(Duration::from_secs(3_600));
    }
    options.engine_mut().ack_mode = AckMode::Manual;
    match driver.as_str() {
        "threads" => run::<Threads>(options, deed == "take"),
        "driven" => run::<Driven>(options, deed == "take"),
        _ => run::<Smol>(options, deed == "take"),
    }
    ExitCode::SUCCESS
}

fn run<A: Adapter>(options: Options, take: bool) {
    let closed = Arc::new(AtomicBool::new(false));
    let input = Arc::clone(&closed);
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        input.store(true, Ordering::SeqCst);
    });
    let mut client = A::connect(options).expect("the client connects");
    client.subscribe("$share/g/numbers", Qos::AtLeastOnce).expect("the subscription is granted");
    println!("subscribed");
    loop {
        match client.message(Duration::from_millis(200)) {
            Some(message) => {
                let again = if message.dup() { " again" } else { "" };
                println!("got {}{again}", String::from_utf8_lossy(message.payload()));
                if take {
                    client.acknowledge(&message);
                }
            }
            None if closed.load(Ordering::SeqCst) => break,
            None => {}
        }
    }
    client.stop();
}
