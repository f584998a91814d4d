//! A way to a broker that is cut at a chosen byte, whatever carries the packets.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, Ordering};
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use mqtt_adapter_std::Version;
use mqtt_sim::schedule::Schedule;

use super::Broker;
use crate::folder::Folder;
use crate::proxy::Proxy;

/// A proxy in front of a broker. What is cut are the bytes of the connection: of TLS and WebSocket the encoded ones.
#[derive(Debug)]
pub struct Route {
    proxy: Proxy,
    url: String,
    _bridges: Option<(Bridge, Bridge, Folder)>,
}

impl Broker {
    /// A way to its listener for this version; the n-th connection follows the n-th schedule of the list.
    ///
    /// # Panics
    ///
    /// When no loopback port is free.
    #[must_use]
    pub fn route(&self, version: Version, schedules: &[Schedule]) -> Route {
        let Some(socket) = self.door.socket() else {
            let proxy = Proxy::start(self.address(version), schedules);
            let url = self.door.url(proxy.address());
            return Route { proxy, url, _bridges: None };
        };
        // The proxy knows TCP alone: a bridge leads from it to the broker's socket, and another one to it.
        let folder = Folder::new("route");
        let (there, inner) = Bridge::to_socket(socket.clone());
        let proxy = Proxy::start(there, schedules);
        let socket = folder.file("route.sock");
        let outer = Bridge::from_socket(&socket, proxy.address());
        Route { proxy, url: format!("unix://{}", socket.display()), _bridges: Some((outer, inner, folder)) }
    }
}

impl Route {
    /// Its beginning, as a URL for a client.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// How many connections were cut at their byte.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.proxy.cut()
    }

    /// Cuts all that is open now.
    pub fn cut_now(&self) {
        self.proxy.cut_now();
    }
}

/// Carries connections between a Unix socket and a TCP port; it ends with this value.
#[derive(Debug)]
struct Bridge {
    closing: Arc<AtomicBool>,
    end: End,
}

/// Where it listens.
#[derive(Debug)]
enum End {
    Port(SocketAddr),
    Socket(PathBuf),
}

impl Bridge {
    /// From a free port to a socket.
    fn to_socket(socket: PathBuf) -> (SocketAddr, Self) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let closing = Arc::new(AtomicBool::new(false));
        let closed = Arc::clone(&closing);
        thread::spawn(move || {
            for tcp in listener.incoming().flatten().take_while(|_| !closed.load(Ordering::SeqCst)) {
                if let Ok(unix) = UnixStream::connect(&socket) {
                    carry(unix, tcp);
                }
            }
        });
        (address, Self { closing, end: End::Port(address) })
    }

    /// From a new socket to a port.
    fn from_socket(socket: &Path, address: SocketAddr) -> Self {
        let listener = UnixListener::bind(socket).expect("the folder was made for this");
        let closing = Arc::new(AtomicBool::new(false));
        let closed = Arc::clone(&closing);
        thread::spawn(move || {
            for unix in listener.incoming().flatten().take_while(|_| !closed.load(Ordering::SeqCst)) {
                if let Ok(tcp) = TcpStream::connect(address) {
                    carry(unix, tcp);
                }
            }
        });
        Self { closing, end: End::Socket(socket.to_owned()) }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for connections.
        match &self.end {
            End::Port(address) => drop(TcpStream::connect(address)),
            End::Socket(path) => drop(UnixStream::connect(path)),
        }
    }
}

/// Both ways, each on a thread of its own, until one side ends.
fn carry(unix: UnixStream, tcp: TcpStream) {
    let _ = tcp.set_nodelay(true);
    let both = Arc::new((unix, tcp));
    let other = Arc::clone(&both);
    let close = |(unix, tcp): &(UnixStream, TcpStream)| {
        let _ = (unix.shutdown(Shutdown::Both), tcp.shutdown(Shutdown::Both));
    };
    thread::spawn(move || {
        let _ = io::copy(&mut &both.0, &mut &both.1);
        close(&both);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut &other.1, &mut &other.0);
        close(&other);
    });
}
