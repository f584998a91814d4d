//! A TCP proxy that cuts connections at a chosen byte, and a server that says what a test tells it to.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Which way bytes flow, seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// From the client to the server.
    Out,
    /// From the server to the client.
    In,
}

/// Where one connection ends: when this many bytes have passed one way.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// The counted way.
    pub flow: Flow,
    /// The last byte that passes.
    pub after: u64,
}

/// Listens on a free loopback port and carries every connection to one server.
///
/// The n-th connection is cut as the n-th entry of the list says; those beyond its end pass whole.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    cuts: Vec<Cut>,
    accepted: AtomicU64,
    cut: AtomicU64,
    closing: AtomicBool,
    open: Mutex<Vec<(TcpStream, TcpStream)>>,
}

impl Proxy {
    /// Starts one in front of `server`.
    ///
    /// # Panics
    ///
    /// When no loopback port is free.
    #[must_use]
    pub fn start(server: SocketAddr, cuts: &[Cut]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            server,
            cuts: cuts.to_vec(),
            accepted: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            open: Mutex::new(Vec::new()),
        });
        let inner = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if inner.closing.load(Ordering::SeqCst) {
                    break;
                }
                inner.carry(client);
            }
        });
        Self { address, shared }
    }

    /// As a URL for a client.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// How many connections came so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many of them were cut at their byte.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.shared.cut.load(Ordering::SeqCst)
    }

    /// Cuts all that is open now.
    pub fn cut_now(&self) {
        for (client, server) in self.shared.open().drain(..) {
            close(&client, &server);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.cut_now();
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn open(&self) -> std::sync::MutexGuard<'_, Vec<(TcpStream, TcpStream)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry(self: &Arc<Self>, client: TcpStream) {
        let number = self.accepted.fetch_add(1, Ordering::SeqCst);
        let Ok(server) = TcpStream::connect(self.server) else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let cut = usize::try_from(number).ok().and_then(|number| self.cuts.get(number).copied());
        if let (Ok(one), Ok(other)) = (client.try_clone(), server.try_clone()) {
            self.open().push((one, other));
        }
        for flow in [Flow::Out, Flow::In] {
            let (Ok(client), Ok(server)) = (client.try_clone(), server.try_clone()) else { return };
            let shared = Arc::clone(self);
            let left = cut.filter(|cut| cut.flow == flow).map(|cut| cut.after);
            thread::spawn(move || {
                let (from, to) = if flow == Flow::Out { (&client, &server) } else { (&server, &client) };
                if pump(from, to, left) {
                    shared.cut.fetch_add(1, Ordering::SeqCst);
                }
                close(&client, &server);
            });
        }
    }
}

/// Carries bytes one way until the end of the stream, an error, or the last byte allowed; true for the last.
fn pump(mut from: &TcpStream, mut to: &TcpStream, mut left: Option<u64>) -> bool {
    let mut buffer = [0; 4096];
    loop {
        let room = left.map_or(buffer.len(), |left| {
            usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()))
        });
        if room == 0 {
            return true;
        }
        let Ok(count @ 1..) = from.read(&mut buffer[..room]) else { return false };
        if to.write_all(&buffer[..count]).is_err() {
            return false;
        }
        left = left.map(|left| left - count as u64);
    }
}

fn close(client: &TcpStream, server: &TcpStream) {
    let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
}

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
    use super::*;

    /// What a reader gets until the end of the stream.
    fn rest(stream: &mut TcpStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        bytes
    }

    #[test]
    fn connections_are_cut_at_their_byte_and_later_ones_pass() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let cuts = [Cut { flow: Flow::Out, after: 5 }, Cut { flow: Flow::In, after: 3 }];
        let proxy = Proxy::start(server.local_addr().unwrap(), &cuts);

        let mut client = TcpStream::connect(proxy.address).unwrap();
        let (mut accepted, _) = server.accept().unwrap();
        client.write_all(b"0123456789").unwrap();
        assert_eq!(rest(&mut accepted), b"01234");
        assert_eq!(rest(&mut client), b"", "both sides end");

        let mut client = TcpStream::connect(proxy.address).unwrap();
        let (mut accepted, _) = server.accept().unwrap();
        accepted.write_all(b"0123456789").unwrap();
        assert_eq!(rest(&mut client), b"012");

        let mut client = TcpStream::connect(proxy.address).unwrap();
        let (mut accepted, _) = server.accept().unwrap();
        client.write_all(b"0123456789").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut accepted), b"0123456789");
        assert_eq!((proxy.accepted(), proxy.cut()), (3, 2));
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
