//! The model broker on real TCP sockets (feature `tcp`), and on WebSocket (feature `ws`): one thread, non-blocking, for
//! development and tests.
//!
//! ```
//! use std::{io::{Read, Write}, net::TcpStream, thread};
//! use mqtt_sim::{broker::BrokerConfig, tcp::TcpBroker};
//!
//! # fn main() -> std::io::Result<()> {
//! let mut broker = TcpBroker::bind("127.0.0.1:0", BrokerConfig::default())?;
//! let (address, handle) = (broker.local_addr(), broker.handle());
//! let server = thread::spawn(move || broker.run());
//!
//! let mut client = TcpStream::connect(address)?;
//! client.write_all(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a")?; // CONNECT, 3.1.1, client id "a"
//! let mut connack = [0; 4];
//! client.read_exact(&mut connack)?;
//! assert_eq!(connack, [0x20, 2, 0, 0]);
//!
//! handle.stop();
//! server.join().expect("the broker does not panic")?;
//! # Ok(())
//! # }
//! ```

mod transport;
#[cfg(feature = "ws")]
mod ws;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind};
use std::net::ToSocketAddrs;
use std::sync::{Arc, Mutex, PoisonError};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use mqtt_session::Instant;

use crate::broker::{Broker, BrokerConfig, ConnId};

use transport::Transport;

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const WS_LISTENER: Token = Token(2);
/// Tokens of connections begin here.
const FIRST: usize = 3;
/// Bytes read from one connection in one turn, so that a flood does not keep the others waiting.
const READ_PER_TURN: usize = 256 * 1024;
/// How soon a failed accept is tried again: the cause (no more descriptors) raises no event when it is over.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// The model broker behind a listening socket.
///
/// [`run`](Self::run) serves until a [`Handle`] stops it; thousands of connections are served on the one thread.
#[derive(Debug)]
pub struct TcpBroker {
    broker: Broker,
    poll: Poll,
    listener: TcpListener,
    ws_listener: Option<TcpListener>,
    address: SocketAddr,
    control: Arc<Control>,
    sockets: BTreeMap<Token, Socket>,
    /// Sockets with input left over from the last turn.
    readable: BTreeSet<Token>,
    /// Ended connections whose peers have not closed yet, oldest first.
    lingering: VecDeque<(Instant, Token)>,
    accept_at: Option<Instant>,
    started: std::time::Instant,
}

#[derive(Debug)]
struct Socket {
    transport: Transport,
    conn: ConnId,
    /// Our side is shut; what the peer still sends is read and forgotten, so that it gets our last bytes instead of
    /// a reset.
    lingers: bool,
}

/// Stops a [`TcpBroker`] or cuts its connections, from any thread.
#[derive(Clone, Debug)]
pub struct Handle {
    control: Arc<Control>,
}

#[derive(Debug)]
struct Control {
    waker: Waker,
    orders: Mutex<Vec<Order>>,
}

#[derive(Clone, Debug)]
enum Order {
    Stop,
    CutAll,
    Cut(String),
    Forget,
}

impl Handle {
    /// Ends [`TcpBroker::run`]; open connections are dropped.
    pub fn stop(&self) {
        self.give(Order::Stop);
    }

    /// Cuts every connection at once and without a word, with whatever is under way: no DISCONNECT is sent, bytes in
    /// the broker's buffers are lost. Sessions are kept as agreed and wills are sent, as after any loss.
    pub fn cut_all(&self) {
        self.give(Order::CutAll);
    }

    /// Cuts the connection of one client, like [`cut_all`](Self::cut_all). Nothing happens if it is not connected.
    pub fn cut(&self, client_id: &str) {
        self.give(Order::Cut(client_id.to_owned()));
    }

    /// Forgets every session, as [`Broker::forget_sessions`] does: open connections are cut.
    pub fn forget_sessions(&self) {
        self.give(Order::Forget);
    }

    fn give(&self, order: Order) {
        self.control.orders.lock().unwrap_or_else(PoisonError::into_inner).push(order);
        // Fails only if the broker is gone, and with it everything that could be ordered.
        let _gone = self.control.waker.wake();
    }
}

impl TcpBroker {
    /// Listens on `address` (port 0: a free one) with a new broker.
    ///
    /// # Errors
    /// If no address can be bound, or the system has no readiness queue left.
    pub fn bind(address: impl ToSocketAddrs, config: BrokerConfig) -> io::Result<Self> {
        let mut listener = listen(address)?;
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        Ok(Self {
            broker: Broker::new(config),
            poll,
            address: listener.local_addr()?,
            listener,
            ws_listener: None,
            control: Arc::new(Control { waker, orders: Mutex::default() }),
            sockets: BTreeMap::new(),
            readable: BTreeSet::new(),
            lingering: VecDeque::new(),
            accept_at: None,
            started: std::time::Instant::now(),
        })
    }

    /// Listens for WebSocket, too, on an address of its own; says where. Clients must offer the sub-protocol `mqtt` (or, as
    /// those of 3.1 did, `mqttv3.1`); the path does not matter. A second call takes the place of the first.
    ///
    /// # Errors
    /// If no address can be bound.
    #[cfg(feature = "ws")]
    pub fn listen_ws(&mut self, address: impl ToSocketAddrs) -> io::Result<SocketAddr> {
        let mut listener = listen(address)?;
        self.poll.registry().register(&mut listener, WS_LISTENER, Interest::READABLE)?;
        let address = listener.local_addr()?;
        self.ws_listener = Some(listener);
        Ok(address)
    }

    /// Where it listens for TCP.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// A handle for other threads.
    pub fn handle(&self) -> Handle {
        Handle { control: Arc::clone(&self.control) }
    }

    /// The broker itself, for its counters and sessions.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The same, to have it misbehave or authenticate before it runs.
    pub fn broker_mut(&mut self) -> &mut Broker {
        &mut self.broker
    }

    /// Serves until [`Handle::stop`]. Afterwards it can be run again: sessions are kept, connections are not.
    ///
    /// # Errors
    /// Only if waiting for readiness fails; what goes wrong with a connection ends that connection.
    pub fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1_024);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match self.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                match event.token() {
                    LISTENER | WS_LISTENER => self.accept(),
                    WAKER => {}
                    token => self.ready(token, event),
                }
            }
            for token in core::mem::take(&mut self.readable) {
                self.read(token, &mut buffer);
            }
            if self.obey() {
                return Ok(());
            }
            let now = self.now();
            if self.accept_at.is_some_and(|at| at <= now) {
                self.accept();
            }
            self.broker.handle_timeout(now);
            while let Some(conn) = self.broker.poll_active() {
                self.flush(token_of(conn));
            }
            while let Some((at, token)) = self.lingering.front().copied() {
                if at > now {
                    break;
                }
                self.lingering.pop_front();
                self.sockets.remove(&token);
            }
        }
    }

    fn now(&self) -> Instant {
        Instant::ZERO.after(self.started.elapsed())
    }

    /// How long to wait for readiness: until the next deadline, not at all while input is left over.
    fn patience(&self) -> Option<Duration> {
        if !self.readable.is_empty() {
            return Some(Duration::ZERO);
        }
        let lingering = self.lingering.front().map(|(at, _)| *at);
        let next = [self.broker.poll_timeout(), self.accept_at, lingering].into_iter().flatten().min()?;
        // Rounded up: waking a little early would only spin.
        Some(next.since(self.now()) + Duration::from_millis(1))
    }

    fn accept(&mut self) {
        self.accept_at = None;
        let mut web_socket = false;
        loop {
            let listener = if web_socket { self.ws_listener.as_ref() } else { Some(&self.listener) };
            match listener.map(TcpListener::accept) {
                Some(Ok((stream, _))) => self.admit(stream, web_socket),
                Some(Err(error))
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Some(Err(error)) if error.kind() != ErrorKind::WouldBlock => {
                    self.accept_at = Some(self.now().after(ACCEPT_RETRY));
                    return;
                }
                _ if web_socket => return,
                _ => web_socket = true,
            }
        }
    }

    fn admit(&mut self, mut stream: TcpStream, web_socket: bool) {
        let now = self.now();
        let conn = self.broker.open(now);
        let token = token_of(conn);
        // Small packets leave at once; a socket that cannot do so is served all the same.
        let _slower = stream.set_nodelay(true);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(&mut stream, token, interest).is_err() {
            return self.broker.closed(conn, now);
        }
        let transport = if web_socket { self.web_socket(stream) } else { Transport::Plain(stream) };
        self.sockets.insert(token, Socket { transport, conn, lingers: false });
    }

    #[cfg(feature = "ws")]
    fn web_socket(&self, stream: TcpStream) -> Transport {
        let max_packet = usize::try_from(self.broker.config().max_packet_size).unwrap_or(usize::MAX);
        Transport::Ws(ws::WsStream::accept(stream, max_packet))
    }

    #[cfg(not(feature = "ws"))]
    fn web_socket(&self, stream: TcpStream) -> Transport {
        Transport::Plain(stream)
    }

    fn ready(&mut self, token: Token, event: &Event) {
        if event.is_writable() {
            self.flush(token);
        }
        if event.is_readable() || event.is_error() || event.is_read_closed() {
            self.readable.insert(token);
        }
    }

    fn read(&mut self, token: Token, buffer: &mut [u8]) {
        let now = self.now();
        let mut total = 0;
        while total < READ_PER_TURN {
            let Some(socket) = self.sockets.get_mut(&token) else { return };
            match socket.transport.read(buffer) {
                Ok(0) => return self.drop_socket(token),
                Ok(n) => {
                    total += n;
                    if !socket.lingers {
                        self.broker.receive(socket.conn, buffer.get(..n).unwrap_or(&[]), now);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.drop_socket(token),
            }
        }
        self.readable.insert(token);
    }

    fn flush(&mut self, token: Token) {
        let Some(socket) = self.sockets.get_mut(&token) else { return };
        if socket.lingers {
            return;
        }
        loop {
            let bytes = self.broker.outgoing(socket.conn);
            let written = match bytes {
                [] => socket.transport.flush().map(|()| None),
                bytes => socket.transport.write(bytes).map(Some),
            };
            match written {
                Ok(None) => break,
                Ok(Some(0)) => return self.drop_socket(token),
                Ok(Some(n)) => self.broker.advance(socket.conn, n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.drop_socket(token),
            }
        }
        if self.broker.wants_close(socket.conn) {
            let conn = socket.conn;
            if socket.transport.shutdown().is_err() {
                return self.drop_socket(token);
            }
            socket.lingers = true;
            let now = self.now();
            self.broker.closed(conn, now);
            self.lingering.push_back((now.after(self.broker.config().close_timeout), token));
            self.readable.insert(token);
        }
    }

    fn drop_socket(&mut self, token: Token) {
        if let Some(socket) = self.sockets.remove(&token) {
            let now = self.now();
            self.broker.closed(socket.conn, now);
        }
    }

    /// Carries out what the handles asked for; true: stop.
    fn obey(&mut self) -> bool {
        let orders =
            core::mem::take(&mut *self.control.orders.lock().unwrap_or_else(PoisonError::into_inner));
        let mut stop = false;
        for order in orders {
            match order {
                Order::Stop => stop = true,
                Order::CutAll => self.cut_all(),
                Order::Forget => {
                    let now = self.now();
                    self.broker.forget_sessions(now);
                }
                Order::Cut(client_id) => {
                    if let Some(conn) = self.broker.connection_of(&client_id) {
                        self.drop_socket(token_of(conn));
                    }
                }
            }
        }
        if stop {
            self.cut_all();
            self.lingering.clear();
        }
        stop
    }

    fn cut_all(&mut self) {
        for token in self.sockets.keys().copied().collect::<Vec<_>>() {
            self.drop_socket(token);
        }
    }
}

fn listen(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let mut failed = io::Error::new(ErrorKind::InvalidInput, "no address to listen on");
    for address in address.to_socket_addrs()? {
        match TcpListener::bind(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Connections are never given out twice, and so neither are tokens: a late event finds nothing.
fn token_of(conn: ConnId) -> Token {
    Token(usize::try_from(u64::from(conn)).unwrap_or(usize::MAX).saturating_add(FIRST))
}
