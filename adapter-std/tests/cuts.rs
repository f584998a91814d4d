//! Many threads publish while the connection is cut again and again.

#[path = "../../adapter-core/tests/peer/honest.rs"]
mod honest;
#[path = "../../adapter-core/tests/peer/mod.rs"]
mod peer;

use core::time::Duration;
use std::thread;

use mqtt_adapter_std::{Client, Options, Outcome, Publish, Qos, ReasonCode};
use peer::{PATIENCE, Server};

#[test]
fn through_a_hundred_cuts_qos_1_loses_nothing_and_qos_2_doubles_nothing() {
    const THREADS: u32 = 4;
    const EACH: u32 = 1_500;
    let server = Server::new();
    let mut options = Options::new(&server.url()).unwrap().with_session_expiry(Duration::from_secs(3_600));
    options.engine_mut().backoff.base = Duration::from_millis(1);
    options.engine_mut().backoff.cap = Duration::from_millis(2);
    // A small queue, so that publishers wait for room as well.
    options.engine_mut().max_operations = 200;
    options.engine_mut().max_in_flight = 50;
    let client = Client::start(options).unwrap();
    let script = thread::spawn(move || honest::serve(&server, 100, 150));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let client = client.clone();
            thread::spawn(move || {
                let mut receipts = Vec::new();
                for number in 0..EACH {
                    let qos = if number % 2 == 0 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
                    let publish = Publish::new("n", format!("{thread} {number}")).qos(qos);
                    receipts.push(client.publish(publish).unwrap());
                    if number % 100 == 99 {
                        // Some wait for each answer, some for many at once, some for none.
                        match thread {
                            0 => receipts.drain(..).for_each(|receipt| {
                                assert_eq!(receipt.wait(), Ok(Outcome::Acked(ReasonCode::Success)));
                            }),
                            1 => receipts.clear(),
                            _ => {}
                        }
                    }
                }
                for receipt in receipts {
                    assert_eq!(receipt.wait(), Ok(Outcome::Acked(ReasonCode::Success)));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(client.idle_timeout(PATIENCE));
    assert_eq!(client.stop(PATIENCE), 0);
    let ledger = script.join().unwrap();
    assert!(ledger.cuts >= 30, "{} cuts", ledger.cuts);
    let half = (THREADS * EACH / 2) as usize;
    assert_eq!((ledger.at_least_once.len(), ledger.exactly_once.len()), (half, half));
    assert!(ledger.exactly_once.values().all(|count| *count == 1));
}
