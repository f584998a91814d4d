//! Sockets: dialling, readiness, the end of one. Knows nothing of MQTT.

use core::net::SocketAddr;
use core::task::{Context, Waker};
use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::task::Wake;
use std::thread;
use std::time::Instant;

use mio::{Events, Interest, Poll, Token};
use mqtt_adapter_core::{
    Addresses, Attempt, ByteStream, Cause, Connecting, Connector, Dialling, Options, Scheme, ServerUrl,
    Stream, Transport, Turn, literal, resolve,
};

use crate::socket::Socket;
use crate::wait::block;

/// What the engine reads and writes.
pub(crate) type Link = Stream<Socket>;

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);

/// Reads of input nobody wants any more, before a socket is closed.
const DISCARDS: usize = 16;

/// Wakes a thread that waits in [`Net::wait`].
pub(crate) struct NetWaker(mio::Waker);

impl Wake for NetWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // It fails only where the system is out of resources; the thread then wakes at its next deadline.
        let _ = self.0.wake();
    }
}

/// One socket, or the attempt at one.
pub(crate) struct Net {
    poll: Poll,
    events: Events,
    /// Wakes this.
    waker: Option<Arc<NetWaker>>,
    /// What blocks is done on a thread of its own.
    elsewhere: bool,
    dial: Option<Dial>,
    link: Option<(u64, Arc<Link>)>,
    readable: bool,
    /// The peer has closed its side: the socket is read to the end whatever a short read says.
    ending: bool,
    /// The server being dialled.
    server: Option<ServerUrl>,
    /// And the options of that attempt.
    attempt: Option<Arc<Options>>,
}

enum Dial {
    Resolving {
        until: Instant,
        answer: Receiver<Result<Vec<SocketAddr>, Cause>>,
    },
    /// The application's connector is at work.
    Asking {
        until: Instant,
        answer: Receiver<io::Result<ByteStream>>,
    },
    Trying {
        rest: Addresses,
        peer: Peer,
        stage: Stage,
        until: Instant,
    },
    Failed(Cause),
}

/// Who is being connected to.
enum Peer {
    Address(SocketAddr),
    Path(String),
    /// Whatever the connector has connected to.
    Given(ServerUrl),
}

enum Stage {
    Connecting(Socket),
    /// What goes on between the socket and the first packet: TLS, WebSocket.
    Handshake(Link),
}

/// What a dial has come to.
pub(crate) enum Dialled {
    Link(Arc<Link>),
    Failed(Cause),
}

impl Net {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(4),
            waker: None,
            elsewhere: false,
            dial: None,
            link: None,
            readable: false,
            ending: false,
            server: None,
            attempt: None,
        })
    }

    /// The options of the attempt that is under way, or was last.
    pub(crate) fn attempt(&self) -> Option<&Options> {
        self.attempt.as_deref()
    }

    /// Prepares for being woken, and with that for resolving elsewhere.
    pub(crate) fn waker(&mut self) -> io::Result<Arc<NetWaker>> {
        self.elsewhere = true;
        self.own_waker()
    }

    fn own_waker(&mut self) -> io::Result<Arc<NetWaker>> {
        if let Some(waker) = &self.waker {
            return Ok(Arc::clone(waker));
        }
        let waker = Arc::new(NetWaker(mio::Waker::new(self.poll.registry(), WAKER)?));
        self.waker = Some(Arc::clone(&waker));
        Ok(waker)
    }

    pub(crate) const fn poll(&self) -> &Poll {
        &self.poll
    }

    /// Carries out what a turn asks for.
    pub(crate) fn obey(&mut self, turn: &mut Turn<Link>, options: &Arc<Options>) {
        if let Some(link) = turn.closed.take() {
            finish(&link);
        }
        if self.link.as_ref().is_some_and(|(generation, _)| *generation != turn.generation) {
            self.unlink();
        }
        if turn.abandon {
            self.dial = None;
        }
        if let Some(attempt) = turn.open.take() {
            self.dial = None;
            self.dial = Some(match options.for_attempt(&attempt) {
                Ok(own) => {
                    let connector = own.connector().cloned();
                    self.attempt = Some(own);
                    self.begin(&attempt, options.engine().dial_timeout, connector)
                }
                Err(cause) => Dial::Failed(cause),
            });
            self.server = Some(attempt.server);
        }
    }

    /// The socket, if it is worth reading.
    pub(crate) fn readable(&self) -> Option<Arc<Link>> {
        if self.readable { self.link.as_ref().map(|(_, link)| Arc::clone(link)) } else { None }
    }

    /// A read gave nothing more.
    pub(crate) const fn drained(&mut self) {
        self.readable = false;
    }

    /// The dialled socket is the link from now on.
    pub(crate) fn adopt(&mut self, generation: u64, link: Arc<Link>) {
        self.link = Some((generation, link));
        // Whatever came while it was dialled gave its event already.
        self.readable = true;
        self.ending = false;
    }

    /// Waits for the socket, the waker, the dial or the time; whether the socket can be written.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        let until = match &self.dial {
            Some(Dial::Trying { until, .. }) => Some(*until),
            Some(Dial::Failed(_)) => return Ok(false),
            _ => None,
        };
        let dial = until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = match (timeout, dial) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
            other => other?,
        }
        let mut writable = false;
        for event in &self.events {
            if event.token() == SOCKET {
                self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
                self.ending |= event.is_read_closed() || event.is_error();
                writable |= event.is_writable() || event.is_write_closed() || event.is_error();
            }
        }
        if let Some((_, link)) = &self.link
            && let Socket::Own(own) = link.socket()
        {
            let (read, write) = own.take_ready();
            self.readable |= read;
            writable |= write;
        }
        Ok(writable)
    }

    /// What the dial under way has come to, if it has.
    pub(crate) fn dialled(&mut self, options: &Options) -> Option<Dialled> {
        let own = self.attempt.clone();
        let options = own.as_deref().unwrap_or(options);
        loop {
            match self.dial.take()? {
                Dial::Failed(cause) => return Some(Dialled::Failed(cause)),
                Dial::Resolving { until, answer } => match answer.try_recv() {
                    Ok(Ok(list)) => self.dial = Some(self.connect(Addresses::new(list, until), None)),
                    Ok(Err(cause)) => return Some(Dialled::Failed(cause)),
                    Err(TryRecvError::Empty) => {
                        self.dial = Some(Dial::Resolving { until, answer });
                        return None;
                    }
                    Err(TryRecvError::Disconnected) => {
                        return Some(Dialled::Failed(Cause::resolve(
                            "the server",
                            "the resolver gave no answer",
                        )));
                    }
                },
                Dial::Asking { until, answer } => match answer.try_recv() {
                    Ok(result) => self.dial = Some(self.given(result, until)),
                    Err(TryRecvError::Empty) => {
                        self.dial = Some(Dial::Asking { until, answer });
                        return None;
                    }
                    // It has panicked.
                    Err(TryRecvError::Disconnected) => {
                        self.dial =
                            Some(self.given(Err(io::Error::other("the connector gave no answer")), until));
                    }
                },
                Dial::Trying { rest, peer, stage, until } => {
                    match progress(stage, &peer, self.server.as_ref(), options) {
                        Ok(Progress::Done(link)) => return Some(Dialled::Link(Arc::new(link))),
                        Ok(Progress::Wait(stage)) if Instant::now() < until => {
                            self.dial = Some(Dial::Trying { rest, peer, stage, until });
                            return None;
                        }
                        // Dropping the socket ends its registration too.
                        Ok(Progress::Wait(_)) => {
                            let cause = peer.cause(&io::ErrorKind::TimedOut.into());
                            self.dial = Some(self.connect(rest, Some(cause)));
                        }
                        Err(cause) => self.dial = Some(self.connect(rest, Some(cause))),
                    }
                }
            }
        }
    }

    fn begin(&mut self, attempt: &Attempt, time: Duration, connector: Option<Connector>) -> Dial {
        let server = &attempt.server;
        let now = Instant::now();
        // A time beyond what the clock can say: a year.
        let until = now.checked_add(time).unwrap_or(now + Duration::from_secs(365 * 86_400));
        if let Some(connector) = connector {
            self.server = Some(server.clone());
            return self.ask(connector.connect(Dialling::new(server.clone(), attempt.number, until)), until);
        }
        if server.scheme() == Scheme::Unix {
            let path = server.host();
            return match Socket::connect_unix(path).and_then(|socket| self.register(socket)) {
                Ok(socket) => Dial::Trying {
                    rest: Addresses::new(Vec::new(), until),
                    peer: Peer::Path(path.to_owned()),
                    stage: Stage::Connecting(socket),
                    until,
                },
                Err(error) => Dial::Failed(Cause::dial_path(path, &error)),
            };
        }
        if let Some(address) = literal(server) {
            return self.connect(Addresses::new(vec![address], until), None);
        }
        let Some(waker) = self.waker.clone().filter(|_| self.elsewhere) else {
            return match resolve(server) {
                Ok(list) => self.connect(Addresses::new(list, until), None),
                Err(cause) => Dial::Failed(cause),
            };
        };
        let (send, answer) = mpsc::channel();
        let name = server.clone();
        // The system's resolver may take half a minute and cannot be interrupted; on a thread of its own it
        // delays neither the deadline nor a stop. The thread ends with the resolver's answer.
        let spawned = thread::Builder::new().name("mqtt-resolve".to_owned()).spawn(move || {
            // Nobody listens any more when the dial was given up.
            if send.send(resolve(&name)).is_ok() {
                waker.wake_by_ref();
            }
        });
        match spawned {
            Ok(_) => Dial::Resolving { until, answer },
            Err(error) => Dial::Failed(Cause::resolve(server.host(), error)),
        }
    }

    /// Has the application's connector connect.
    fn ask(&mut self, connecting: Connecting, until: Instant) -> Dial {
        let waker = match self.own_waker() {
            Ok(waker) => waker,
            Err(error) => return self.given(Err(error), until),
        };
        let connect = move || match connecting {
            Connecting::Blocking(connect) => connect(),
            Connecting::Async(mut future) => {
                block(|context| future.as_mut().poll(&mut Context::from_waker(context.waker())))
            }
        };
        if !self.elsewhere {
            return self.given(connect(), until);
        }
        let (send, answer) = mpsc::channel();
        let spawned = thread::Builder::new().name("mqtt-connect".to_owned()).spawn(move || {
            // Nobody listens any more when the dial was given up.
            if send.send(connect()).is_ok() {
                waker.wake_by_ref();
            }
        });
        match spawned {
            Ok(_) => Dial::Asking { until, answer },
            Err(error) => self.given(Err(error), until),
        }
    }

    /// Goes on with what the connector gave.
    fn given(&self, result: io::Result<ByteStream>, until: Instant) -> Dial {
        let Some(server) = self.server.clone() else {
            return Dial::Failed(Cause::resolve("the server", "there is none"));
        };
        let in_time = result.and_then(|stream| {
            if Instant::now() < until { Ok(stream) } else { Err(io::ErrorKind::TimedOut.into()) }
        });
        match in_time.and_then(Socket::given).and_then(|socket| self.register(socket)) {
            Ok(socket) => {
                if let (Socket::Own(own), Some(waker)) = (&socket, &self.waker) {
                    own.set_waker(&Waker::from(Arc::clone(waker)));
                }
                let (rest, stage) = (Addresses::new(Vec::new(), until), Stage::Connecting(socket));
                Dial::Trying { rest, peer: Peer::Given(server), stage, until }
            }
            Err(error) => Dial::Failed(Cause::connector(&server, &error)),
        }
    }

    /// Begins to connect to the next address that can be tried; `last` is why the one before failed.
    fn connect(&self, mut rest: Addresses, mut last: Option<Cause>) -> Dial {
        loop {
            let now = Instant::now();
            let Some((address, time)) = rest.next(now) else {
                return Dial::Failed(
                    last.unwrap_or_else(|| Cause::resolve("the server", "no time was left to try")),
                );
            };
            match Socket::connect(address).and_then(|socket| self.register(socket)) {
                Ok(socket) => {
                    let (peer, stage) = (Peer::Address(address), Stage::Connecting(socket));
                    return Dial::Trying { rest, peer, stage, until: now + time };
                }
                Err(error) => last = Some(Cause::dial(address, &error)),
            }
        }
    }

    fn register(&self, mut socket: Socket) -> io::Result<Socket> {
        self.poll.registry().register(&mut socket, SOCKET, Interest::READABLE | Interest::WRITABLE)?;
        Ok(socket)
    }

    fn unlink(&mut self) {
        self.readable = false;
        // Dropping the last reference closes the socket, which ends its registration too.
        self.link = None;
    }

    /// Whether a read of this many bytes shows that the socket has no more.
    ///
    /// Where readiness is edge-triggered by epoll, a read that was given more room than it filled has emptied
    /// the socket; what comes later gives another event. It saves one system call for each batch.
    pub(crate) fn emptied(&self, read: usize) -> bool {
        let plain = match &self.link {
            // Where it is not known what a short read means, the stream is asked.
            Some((_, link)) => link.is_plain() && !matches!(link.socket(), Socket::Own(_)),
            None => false,
        };
        cfg!(any(target_os = "linux", target_os = "android")) && plain && !self.ending && read < SHORT
    }
}

/// Room every read of [`Input`](mqtt_adapter_core::Input) is given at least.
const SHORT: usize = 64 * 1024;

impl Peer {
    fn cause(&self, error: &io::Error) -> Cause {
        match self {
            Self::Address(address) => Cause::dial(*address, error),
            Self::Path(path) => Cause::dial_path(path, error),
            Self::Given(server) => Cause::connector(server, error),
        }
    }
}

enum Progress {
    Done(Link),
    Wait(Stage),
}

/// Goes on with an attempt.
fn progress(
    stage: Stage,
    peer: &Peer,
    server: Option<&ServerUrl>,
    options: &Options,
) -> Result<Progress, Cause> {
    let link = match stage {
        Stage::Connecting(socket) => {
            if !socket.connected().map_err(|error| peer.cause(&error))? {
                return Ok(Progress::Wait(Stage::Connecting(socket)));
            }
            let server = server.ok_or_else(|| Cause::resolve("the server", "there is none"))?;
            Stream::new(socket, server, options).map_err(|error| peer.cause(&error))?
        }
        Stage::Handshake(link) => link,
    };
    match (link.handshake(), peer) {
        (Ok(true), _) => Ok(Progress::Done(link)),
        (Ok(false), _) => Ok(Progress::Wait(Stage::Handshake(link))),
        (Err(error), Peer::Address(address)) => Err(link.cause(*address, &error)),
        (Err(error), Peer::Given(server)) => Err(link.cause_to(server, &error)),
        (Err(error), Peer::Path(_)) => Err(peer.cause(&error)),
    }
}

/// Ends a connection in order. What was received and not read would make the system reset it, and the peer might
/// then lose the last packets sent to it: it is read and forgotten first.
fn finish(link: &Link) {
    link.finish();
    let socket = link.socket();
    if socket.shutdown().is_err() {
        return;
    }
    let mut waste = [0; 4_096];
    for _ in 0..DISCARDS {
        match socket.read(&mut waste) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Dials the addresses in order, with a common deadline.
    fn dial(list: Vec<SocketAddr>, time: Duration) -> Result<SocketAddr, Cause> {
        let options = Options::new("mqtt://localhost").unwrap();
        let mut net = Net::new().unwrap();
        net.server = options.servers().first().cloned();
        net.dial = Some(net.connect(Addresses::new(list, Instant::now() + time), None));
        loop {
            let _writable = net.wait(Some(Duration::from_secs(20))).unwrap();
            match net.dialled(&options) {
                Some(Dialled::Link(link)) => match link.socket() {
                    Socket::Tcp(socket) => return Ok(socket.peer_addr().unwrap()),
                    Socket::Unix(_) | Socket::Own(_) => unreachable!(),
                },
                Some(Dialled::Failed(cause)) => return Err(cause),
                None => {}
            }
        }
    }

    fn refusing() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    #[test]
    fn addresses_that_refuse_are_passed_over() {
        let (four, six) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("[::1]:0").unwrap());
        for listener in [four, six] {
            let good = listener.local_addr().unwrap();
            assert_eq!(dial(vec![refusing(), refusing(), good], Duration::from_secs(20)), Ok(good));
        }
    }

    #[test]
    fn the_last_address_that_refused_is_named() {
        let last = refusing();
        let failed = dial(vec![refusing(), last], Duration::from_secs(20));
        assert!(matches!(failed, Err(Cause::Dial { address, .. }) if address == last), "{failed:?}");
    }

    #[test]
    fn no_address_is_tried_when_the_time_is_over() {
        assert!(dial(vec![refusing()], Duration::ZERO).is_err());
    }
}
