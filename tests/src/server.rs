//! A server that a test plays, packet by packet.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicU64, Ordering};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use mqtt_proto::{Encode, Packet, Peer, Version, frame_len};

use crate::adapter::CAP;

/// A server that speaks 5.0 and serves one connection after another, as the test plays it.
#[derive(Debug)]
pub struct Played {
    address: SocketAddr,
    bytes: Arc<Bytes>,
}

/// What went over all its connections.
#[derive(Debug, Default)]
struct Bytes {
    read: AtomicU64,
    written: AtomicU64,
}

/// One connection, while it is played. It is cut when the play is over.
#[derive(Debug)]
pub struct Line {
    stream: TcpStream,
    buffer: Vec<u8>,
    bytes: Arc<Bytes>,
}

/// A packet that has come.
#[derive(Debug)]
pub struct Frame(Vec<u8>);

impl Frame {
    /// The packet.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn packet(&self) -> Packet<'_> {
        Packet::decode(&self.0, Version::V5, Peer::Client).expect("a client sends packets")
    }
}

impl Played {
    /// Starts one; `play` is called with each connection.
    ///
    /// # Panics
    /// When no loopback port is free.
    #[must_use]
    pub fn start(mut play: impl FnMut(&mut Line) + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let bytes = Arc::<Bytes>::default();
        let counts = Arc::clone(&bytes);
        // It lives as long as the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = stream.set_read_timeout(Some(CAP));
                let _ = stream.set_nodelay(true);
                play(&mut Line { stream, buffer: Vec::new(), bytes: Arc::clone(&counts) });
            }
        });
        Self { address, bytes }
    }

    /// As a URL for a client.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// Bytes that came.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.bytes.read.load(Ordering::SeqCst)
    }

    /// Bytes that were sent.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.bytes.written.load(Ordering::SeqCst)
    }
}

impl Line {
    /// The next packet; `None`: the client has closed.
    ///
    /// # Panics
    /// When the client sends what is no packet.
    pub fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(len) = frame_len(&self.buffer, 1 << 28).expect("a client sends packets") {
                return Some(Frame(self.buffer.drain(..len).collect()));
            }
            let mut bytes = [0; 4_096];
            let count = self.stream.read(&mut bytes).ok().filter(|count| *count > 0)?;
            self.bytes.read.fetch_add(count as u64, Ordering::SeqCst);
            self.buffer.extend_from_slice(&bytes[..count]);
        }
    }

    /// Sends a packet, to a client that may be gone.
    ///
    /// # Panics
    /// When it cannot be encoded.
    pub fn send(&mut self, packet: &impl Encode) {
        let len = packet.encoded_len(Version::V5).expect("the test makes packets that can be");
        let mut bytes = vec![0; len];
        packet.encode(Version::V5, &mut bytes).expect("the test makes packets that can be");
        self.bytes.written.fetch_add(len as u64, Ordering::SeqCst);
        let _ = self.stream.write_all(&bytes);
    }
}
