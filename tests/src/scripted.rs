//! A server that says what a test tells it to.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// A server that answers what the client sends first with the first of its replies, what it sends next with the second,
/// and so on, and then holds the connection until the client closes it: for refusals, garbage and silence. It serves one
/// connection after another.
#[derive(Debug)]
pub struct Scripted {
    address: SocketAddr,
    accepted: Arc<AtomicU64>,
    closing: Arc<AtomicBool>,
}

impl Scripted {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// When no loopback port is free.
    #[must_use]
    pub fn start(replies: &[&[u8]]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (accepted, closing) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stop) = (Arc::clone(&accepted), Arc::clone(&closing));
        let replies: Vec<Vec<u8>> = replies.iter().map(|reply| reply.to_vec()).collect();
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let _ = client.set_read_timeout(Some(Duration::from_secs(20)));
                let mut buffer = [0; 1024];
                let mut replies = replies.iter();
                while let Ok(1..) = client.read(&mut buffer) {
                    if replies.next().is_some_and(|reply| client.write_all(reply).is_err()) {
                        break;
                    }
                }
            }
        });
        Self { address, accepted, closing }
    }

    /// As a URL for a client.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// How many connections came so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;

    use super::*;

    /// What a reader gets until the end of the stream.
    fn rest(stream: &mut TcpStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        bytes
    }

    #[test]
    fn a_scripted_server_answers_each_connection() {
        let server = Scripted::start(&[b"answer", b"another"]);
        for _ in 0..2 {
            let mut client = TcpStream::connect(server.address).unwrap();
            client.write_all(b"question").unwrap();
            let mut answer = [0; 6];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"answer");
            client.write_all(b"question").unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(rest(&mut client), b"another");
        }
        assert_eq!(server.accepted(), 2);
    }
}
