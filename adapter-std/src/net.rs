//! Sockets: dialling, readiness, the end of one. Knows nothing of MQTT.

use core::net::SocketAddr;
use core::panic::AssertUnwindSafe;
use core::task::{Context, Waker};
use core::time::Duration;
use std::io;
use std::panic;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::task::Wake;
use std::thread;
use std::time::Instant;

use mio::{Events, Interest, Poll, Token};
use mqtt_adapter_core::{
    Addresses, Attempt, ByteStream, Cause, Connecting, Host, Options, Peer, ServerUrl, Stream, Turn, Way,
    deadline,
};

use crate::socket::Socket;
use crate::wait::block;

/// What the engine reads and writes.
pub(crate) type Link = Stream<Socket>;

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);

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
    /// What may block is under way on another thread.
    Elsewhere {
        until: Instant,
        answer: Receiver<Result<Ready, Cause>>,
    },
    Trying {
        /// Other addresses of the same host.
        rest: Option<Addresses>,
        stage: Box<Stage>,
        until: Instant,
    },
    Failed(Cause),
}

/// All of an attempt that may block is done.
struct Ready {
    options: Arc<Options>,
    to: To,
}

/// What is to be connected, or is.
enum To {
    Host(Host, Vec<SocketAddr>),
    Path(String),
    Given(ByteStream),
}

enum Stage {
    Connecting(Socket, Peer),
    /// What goes on between the socket and the first packet: a proxy, TLS, WebSocket.
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

    /// What may block is done on other threads from now on: the hook before an attempt, the resolver, a connector.
    pub(crate) fn block_elsewhere(&mut self) -> io::Result<()> {
        self.elsewhere = true;
        self.waker().map(drop)
    }

    /// Prepares for being woken.
    pub(crate) fn waker(&mut self) -> io::Result<Arc<NetWaker>> {
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
            link.finish();
        }
        if self.link.as_ref().is_some_and(|(generation, _)| *generation != turn.generation) {
            self.unlink();
        }
        if turn.abandon {
            self.dial = None;
        }
        if let Some(attempt) = turn.open.take() {
            // The one before ends first.
            self.dial = None;
            self.attempt = None;
            self.server = Some(attempt.server.clone());
            self.dial = Some(self.begin(options, attempt));
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
    }

    /// When the dial under way is to be looked at, at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.dial {
            Some(Dial::Trying { until, .. }) => Some(*until),
            Some(Dial::Failed(_)) => Some(Instant::now()),
            _ => None,
        }
    }

    /// Waits for the socket, the waker, the dial or the time; whether the socket can be written.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        if matches!(self.dial, Some(Dial::Failed(_))) {
            return Ok(false);
        }
        let dial = self.deadline().map(|until| until.saturating_duration_since(Instant::now()));
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
    pub(crate) fn dialled(&mut self) -> Option<Dialled> {
        loop {
            match self.dial.take()? {
                Dial::Failed(cause) => return Some(Dialled::Failed(cause)),
                Dial::Elsewhere { until, answer } => match answer.try_recv() {
                    Ok(Ok(ready)) => self.dial = Some(self.go_on(ready, until)),
                    Ok(Err(cause)) => return Some(Dialled::Failed(cause)),
                    Err(TryRecvError::Empty) => {
                        self.dial = Some(Dial::Elsewhere { until, answer });
                        return None;
                    }
                    Err(TryRecvError::Disconnected) => return Some(Dialled::Failed(Cause::panicked())),
                },
                Dial::Trying { rest, stage, until } => match self.progress(*stage) {
                    Ok(Progress::Done(link)) => return Some(Dialled::Link(Arc::new(link))),
                    Ok(Progress::Wait(stage)) if Instant::now() < until => {
                        self.dial = Some(Dial::Trying { rest, stage: Box::new(stage), until });
                        return None;
                    }
                    // Dropping the socket ends its registration too.
                    Ok(Progress::Wait(stage)) => {
                        let cause = stage.peer().cause(&io::ErrorKind::TimedOut.into());
                        self.dial = Some(self.try_next(rest, cause));
                    }
                    Err(cause) => self.dial = Some(self.try_next(rest, cause)),
                },
            }
        }
    }

    fn begin(&mut self, options: &Arc<Options>, attempt: Attempt) -> Dial {
        let until = deadline(options.engine().dial_timeout);
        if !self.elsewhere {
            return match guarded(options, &attempt, until) {
                Ok(ready) => self.go_on(ready, until),
                Err(cause) => Dial::Failed(cause),
            };
        }
        // A thread is not worth it where nothing blocks.
        if !options.has_before_connect() {
            let to = match options.way(&attempt, until) {
                Way::Path(path) => Some(To::Path(path)),
                Way::Host(host) => host.literal().map(|address| To::Host(host, vec![address])),
                Way::Connector(_) => None,
            };
            if let Some(to) = to {
                return self.go_on(Ready { options: Arc::clone(options), to }, until);
            }
        }
        let waker = match self.waker() {
            Ok(waker) => waker,
            Err(error) => return Dial::Failed(Cause::resolve(attempt.server.host(), error)),
        };
        let (send, answer) = mpsc::channel();
        let (options, server) = (Arc::clone(options), attempt.server.clone());
        // The system's resolver may take half a minute and cannot be interrupted; on a thread of its own it
        // delays neither the deadline nor a stop. The thread ends with the answer.
        let spawned = thread::Builder::new().name("mqtt-dial".to_owned()).spawn(move || {
            /// Also where there is no answer.
            struct WakeAtLast(Arc<NetWaker>);

            impl Drop for WakeAtLast {
                fn drop(&mut self) {
                    self.0.wake_by_ref();
                }
            }

            let _wake = WakeAtLast(waker);
            // Of the two what is declared last goes first: when this wakes, the channel has its end.
            let send = send;
            // Nobody listens any more when the dial was given up.
            let _ = send.send(guarded(&options, &attempt, until));
        });
        match spawned {
            Ok(_) => Dial::Elsewhere { until, answer },
            Err(error) => Dial::Failed(Cause::resolve(server.host(), error)),
        }
    }

    /// Begins with the sockets.
    fn go_on(&mut self, ready: Ready, until: Instant) -> Dial {
        self.attempt = Some(ready.options);
        let (peer, socket) = match ready.to {
            To::Host(host, list) => return self.connect(Addresses::new(host, list, until), None),
            To::Path(path) => {
                let socket = Socket::connect_unix(&path);
                (Peer::path(path), socket)
            }
            To::Given(stream) => {
                let Some(server) = self.server.clone() else { return Dial::Failed(nowhere()) };
                let in_time =
                    if Instant::now() < until { Ok(stream) } else { Err(io::ErrorKind::TimedOut.into()) };
                (Peer::given(server), in_time.and_then(Socket::given))
            }
        };
        let registered = socket.and_then(|socket| {
            if let Socket::Own(own) = &socket {
                own.set_waker(&Waker::from(self.waker()?));
            }
            self.register(socket)
        });
        match registered {
            Ok(socket) => {
                Dial::Trying { rest: None, stage: Box::new(Stage::Connecting(socket, peer)), until }
            }
            Err(error) => Dial::Failed(peer.cause(&error)),
        }
    }

    /// Begins to connect to the next address that can be tried; `last` is why the one before failed.
    fn connect(&mut self, mut rest: Addresses, mut last: Option<Cause>) -> Dial {
        loop {
            let now = Instant::now();
            let Some((address, time)) = rest.next(now) else {
                return Dial::Failed(last.unwrap_or_else(|| rest.untried()));
            };
            let peer = rest.host().peer(address);
            match Socket::connect(address).and_then(|socket| self.register(socket)) {
                Ok(socket) => {
                    let (stage, until) = (Box::new(Stage::Connecting(socket, peer)), now + time);
                    return Dial::Trying { rest: Some(rest), stage, until };
                }
                Err(error) => last = Some(peer.cause(&error)),
            }
        }
    }

    /// After one that failed.
    fn try_next(&mut self, rest: Option<Addresses>, cause: Cause) -> Dial {
        match rest {
            Some(rest) => self.connect(rest, Some(cause)),
            None => Dial::Failed(cause),
        }
    }

    /// Goes on with an attempt.
    fn progress(&self, stage: Stage) -> Result<Progress, Cause> {
        let link = match stage {
            Stage::Connecting(socket, peer) => {
                if !socket.connected().map_err(|error| peer.cause(&error))? {
                    return Ok(Progress::Wait(Stage::Connecting(socket, peer)));
                }
                let (Some(server), Some(options)) = (&self.server, &self.attempt) else {
                    return Err(nowhere());
                };
                Stream::new(socket, peer.clone(), server, options).map_err(|error| peer.cause(&error))?
            }
            Stage::Handshake(link) => link,
        };
        match link.handshake() {
            Ok(true) => Ok(Progress::Done(link)),
            Ok(false) => Ok(Progress::Wait(Stage::Handshake(link))),
            Err(error) => Err(link.cause(&error)),
        }
    }

    fn register(&mut self, mut socket: Socket) -> io::Result<Socket> {
        self.ending = false;
        self.poll.registry().register(&mut socket, SOCKET, Interest::READABLE | Interest::WRITABLE)?;
        Ok(socket)
    }

    fn unlink(&mut self) {
        self.readable = false;
        // Dropping the last reference closes the socket, which ends its registration too.
        self.link = None;
    }

    /// Whether a read shows that the socket has no more; `filled`: it took all the room it was given.
    ///
    /// Where readiness is edge-triggered by epoll, a read that was given more room than it filled has emptied
    /// the socket; what comes later gives another event. It saves one system call for each batch.
    pub(crate) fn emptied(&self, filled: bool) -> bool {
        let plain = match &self.link {
            // Where it is not known what a short read means, the stream is asked.
            Some((_, link)) => link.is_plain() && !matches!(link.socket(), Socket::Own(_)),
            None => false,
        };
        cfg!(any(target_os = "linux", target_os = "android")) && plain && !self.ending && !filled
    }
}

impl Stage {
    const fn peer(&self) -> &Peer {
        match self {
            Self::Connecting(_, peer) => peer,
            Self::Handshake(link) => link.peer(),
        }
    }
}

enum Progress {
    Done(Link),
    Wait(Stage),
}

/// As [`prepare`]; a panic of what the application gave fails this attempt alone.
fn guarded(options: &Arc<Options>, attempt: &Attempt, until: Instant) -> Result<Ready, Cause> {
    panic::catch_unwind(AssertUnwindSafe(|| prepare(options, attempt, until)))
        .unwrap_or_else(|_| Err(Cause::panicked()))
}

/// Does all of an attempt that may block: the application's hook, its connector, the resolver.
fn prepare(options: &Arc<Options>, attempt: &Attempt, until: Instant) -> Result<Ready, Cause> {
    let options = options.for_attempt(attempt)?;
    let to = match options.way(attempt, until) {
        Way::Path(path) => To::Path(path),
        Way::Host(host) => match host.literal() {
            Some(address) => To::Host(host, vec![address]),
            None => {
                let list = host.resolve()?;
                To::Host(host, list)
            }
        },
        Way::Connector(connecting) => {
            let result = match connecting {
                Connecting::Blocking(connect) => connect(),
                Connecting::Async(mut future) => {
                    block(|context| future.as_mut().poll(&mut Context::from_waker(context.waker())))
                }
            };
            To::Given(result.map_err(|error| Cause::connector(&attempt.server, &error))?)
        }
    };
    Ok(Ready { options, to })
}

/// An attempt that nobody asked for.
fn nowhere() -> Cause {
    Cause::resolve("the server", "there is none")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Dials the addresses in order, with a common deadline.
    fn dial(list: Vec<SocketAddr>, time: Duration) -> Result<SocketAddr, Cause> {
        let options = Arc::new(Options::new("mqtt://localhost").unwrap());
        let mut net = Net::new().unwrap();
        let server = options.servers()[0].clone();
        let to = To::Host(Host::of(&server, &options), list);
        net.server = Some(server);
        net.dial = Some(net.go_on(Ready { options, to }, Instant::now() + time));
        loop {
            let _writable = net.wait(Some(Duration::from_secs(20))).unwrap();
            match net.dialled() {
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
