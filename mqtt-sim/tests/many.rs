//! Thousands of connections on one thread.

use core::time::Duration;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use mqtt_sim::broker::BrokerConfig;
use mqtt_sim::tcp::TcpBroker;

const CLIENTS: u16 = 2_000;
/// Files that this process has open then: both ends of each connection.
const FILES: u64 = 2 * CLIENTS as u64 + 100;
/// Set in the process that may open enough of them.
const INSIDE: &str = "MQTT_SIM_TESTS_MANY";

/// How many files this process may open, as far as the system tells.
fn limit() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    limits.lines().find(|line| line.starts_with("Max open files"))?.split_whitespace().nth(3)?.parse().ok()
}

#[test]
fn two_thousand_clients_are_served_on_one_thread() {
    if limit().is_none_or(|limit| limit >= FILES) {
        return serve();
    }
    assert!(
        std::env::var_os(INSIDE).is_none(),
        "no more than {:?} files can be opened; this needs {FILES}: ulimit -n",
        limit()
    );
    // A process may raise its own limit up to a bound, which here takes a shell.
    let this = std::env::current_exe().expect("this program has a path");
    let script = "ulimit -n \"$(ulimit -Hn)\" && exec \"$0\" two_thousand_clients_are_served_on_one_thread";
    let status = Command::new("sh").args(["-c", script]).arg(this).env(INSIDE, "1").status();
    assert!(status.is_ok_and(|status| status.success()), "see above");
}

fn serve() {
    let mut broker =
        TcpBroker::bind("127.0.0.1:0", BrokerConfig::default()).expect("a loopback port is free");
    let (address, handle) = (broker.local_addr(), broker.handle());
    let thread = std::thread::spawn(move || {
        broker.run().expect("the broker can wait for its sockets");
        broker.broker().stats()
    });
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let mut stream = TcpStream::connect(address).expect("the broker accepts");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("it is a time");
        stream.set_nodelay(true).expect("it is a socket");
        let mut connect = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04".to_vec();
        connect.extend(format!("{number:04}").bytes());
        // SUBSCRIBE to "all" at QoS 1.
        connect.extend(b"\x82\x08\x00\x01\x00\x03all\x01");
        stream.write_all(&connect).expect("it is taken");
        clients.push(stream);
    }
    let read = |stream: &mut TcpStream, expected: &[u8]| {
        let mut bytes = vec![0; expected.len()];
        stream.read_exact(&mut bytes).expect("the broker answers");
        assert_eq!(bytes, expected);
    };
    for stream in &mut clients {
        read(stream, b"\x20\x02\x00\x00\x90\x03\x00\x01\x01");
    }
    // Everybody gets what one of them publishes, and everybody is still served.
    let begin = Instant::now();
    clients[0].write_all(b"\x32\x09\x00\x03all\x00\x07hi").expect("it is taken");
    for (number, stream) in clients.iter_mut().enumerate() {
        if number == 0 {
            let mut both = [0; 15];
            stream.read_exact(&mut both).expect("the broker answers");
            assert!(both.windows(4).any(|bytes| bytes == b"\x40\x02\x00\x07"), "{both:?}");
        } else {
            read(stream, b"\x32\x09\x00\x03all\x00\x01hi");
        }
        stream.write_all(b"\x40\x02\x00\x01\xc0\x00").expect("it is taken");
    }
    for stream in &mut clients {
        read(stream, b"\xd0\x00");
    }
    println!("{CLIENTS} clients got one message each, and a ping, in {:?}", begin.elapsed());
    handle.stop();
    let stats = thread.join().expect("the broker does not panic");
    assert_eq!((stats.connects, stats.messages_out), (CLIENTS.into(), CLIENTS.into()));
    for stream in &mut clients {
        assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0, "stopping ends every connection");
    }
}
