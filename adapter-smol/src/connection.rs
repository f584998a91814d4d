//! The task that does the input and output.

use core::fmt;
use core::future::Future;
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use async_io::Timer;
use futures_lite::{FutureExt, future};
use mqtt_adapter_core::{
    Addresses, Attempt, Cause, Connecting, Options, Peer, ServerUrl, Stream, Turn, Way, Worker, deadline,
};

use crate::socket::Socket;

/// What the engine reads and writes.
pub(crate) type Link = Stream<Socket>;

/// Turns in one poll before other tasks of the executor get their chance.
const TURNS: usize = 32;

/// A timer is set anew only if it would fire later than needed by more than this.
const SLACK: Duration = Duration::from_millis(1);

type Dial = Pin<Box<dyn Future<Output = Result<(Arc<Link>, Arc<Options>), Cause>> + Send>>;

/// Does all input and output of a client: a future to be spawned on any executor, or to be awaited beside the
/// application's own.
///
/// It is ready once the client has stopped: after [`Client::stop`](crate::Client::stop), when the last handle has
/// gone, or when the engine gives up. Dropping it before ends the client at once, without a DISCONNECT: every
/// call that waits then ends as stopped.
#[must_use = "nothing is sent or received unless it is polled"]
pub struct Connection {
    worker: Worker<Link>,
    dial: Option<Dial>,
    link: Option<(u64, Arc<Link>)>,
    timer: Option<(Instant, Timer)>,
    /// The last turn, and when the next one was due at the latest.
    last: Option<(Instant, Turn<Link>)>,
    done: bool,
}

impl Connection {
    pub(crate) const fn new(worker: Worker<Link>) -> Self {
        Self { worker, dial: None, link: None, timer: None, last: None, done: false }
    }

    fn obey(&mut self, turn: &mut Turn<Link>) {
        if let Some(link) = turn.closed.take() {
            link.finish();
        }
        if self.link.as_ref().is_some_and(|(generation, _)| *generation != turn.generation) {
            self.link = None;
        }
        if turn.abandon {
            self.dial = None;
        }
        if let Some(attempt) = turn.open.take() {
            // A panic of what the application gave fails this attempt alone.
            let begun = AssertUnwindSafe(begin(Arc::clone(self.worker.options()), attempt)).catch_unwind();
            self.dial = Some(Box::pin(async { begun.await.unwrap_or_else(|_| Err(Cause::panicked())) }));
        }
    }

    /// Whether something has happened since the turn, so that another is worth it.
    fn progress(&mut self, turn: &Turn<Link>, context: &mut Context<'_>) -> bool {
        if let Some(dial) = &mut self.dial
            && let Poll::Ready(result) = dial.as_mut().poll(context)
        {
            self.dial = None;
            match result {
                Ok((link, options)) => {
                    let opened = self.worker.opened_with(Arc::clone(&link), &options);
                    self.link = opened.map(|generation| (generation, link));
                }
                Err(cause) => self.worker.dial_failed(Some(cause)),
            }
            return true;
        }
        if let Some((_, link)) = &self.link {
            let link = Arc::clone(link);
            if turn.blocked && link.socket().poll_writable(context).is_ready() {
                // If it is ready because it failed, the next write says so.
                self.worker.writable();
                return true;
            }
            if turn.read && self.read(turn, &link, context) {
                return true;
            }
        }
        turn.deadline.is_some_and(|deadline| self.due(deadline, context))
    }

    fn read(&mut self, turn: &Turn<Link>, link: &Link, context: &mut Context<'_>) -> bool {
        loop {
            match self.worker.read(turn, link) {
                Ok(0) => self.worker.lost(turn.generation, None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match link.socket().poll_readable(context) {
                        Poll::Pending => return false,
                        Poll::Ready(Ok(())) => continue,
                        Poll::Ready(Err(error)) => self.worker.lost(turn.generation, Some(&error)),
                    }
                }
                Err(error) => self.worker.lost(turn.generation, Some(&error)),
            }
            return true;
        }
    }

    /// Whether the time is over; if not, the task is woken when it is.
    fn due(&mut self, deadline: Duration, context: &mut Context<'_>) -> bool {
        if deadline.is_zero() {
            return true;
        }
        let now = Instant::now();
        let Some(at) = now.checked_add(deadline) else { return false };
        match &mut self.timer {
            // One that fires too early only makes the engine look at the time.
            Some((set, _)) if *set <= at + SLACK && *set > now => {}
            timer => *timer = Some((at, Timer::at(at))),
        }
        let fired = self.timer.as_mut().is_some_and(|(_, timer)| Pin::new(timer).poll(context).is_ready());
        if fired {
            self.timer = None;
        }
        fired
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.done {
            return Poll::Ready(());
        }
        this.worker.set_waker(context.waker());
        if let Some((due, turn)) = this.last.take()
            && turn.read
            && due <= Instant::now()
            && let Some((_, link)) = &this.link
        {
            // The executor is late. What has arrived in time counts as in time.
            let link = Arc::clone(link);
            this.read(&turn, &link, context);
        }
        for _ in 0..TURNS {
            let mut turn = this.worker.turn(false);
            this.obey(&mut turn);
            if turn.stopped {
                this.done = true;
                this.link = None;
                return Poll::Ready(());
            }
            if !this.progress(&turn, context) {
                let due = turn.deadline.and_then(|deadline| Instant::now().checked_add(deadline));
                this.last = due.map(|due| (due, turn));
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("options", self.worker.options()).finish_non_exhaustive()
    }
}

async fn begin(options: Arc<Options>, attempt: Attempt) -> Result<(Arc<Link>, Arc<Options>), Cause> {
    let until = deadline(options.engine().dial_timeout);
    let options = if options.has_before_connect() {
        // It may wait for something.
        let attempt = attempt.clone();
        blocking::unblock(move || options.for_attempt(&attempt)).await?
    } else {
        options
    };
    Ok((dial(&options, &attempt, until).await?, options))
}

async fn dial(options: &Options, attempt: &Attempt, until: Instant) -> Result<Arc<Link>, Cause> {
    let server = &attempt.server;
    match options.way(attempt, until) {
        Way::Connector(connecting) => {
            let peer = Peer::given(server.clone());
            let socket = async {
                let stream = match connecting {
                    Connecting::Blocking(connect) => blocking::unblock(connect).await,
                    Connecting::Async(connecting) => connecting.await,
                };
                stream.and_then(Socket::given)
            };
            link(socket, peer, server, options, until).await
        }
        Way::Path(path) => {
            link(Socket::connect_unix(&path), Peer::path(path.clone()), server, options, until).await
        }
        Way::Host(host) => {
            let list = match host.literal() {
                Some(address) => vec![address],
                None => {
                    let host = host.clone();
                    blocking::unblock(move || host.resolve()).await?
                }
            };
            connect(Addresses::new(host, list, until), server, options).await
        }
    }
}

/// Connects to the first of the addresses that can be; else why the last one could not.
async fn connect(
    mut addresses: Addresses,
    server: &ServerUrl,
    options: &Options,
) -> Result<Arc<Link>, Cause> {
    let mut last = None;
    loop {
        let now = Instant::now();
        let Some((address, time)) = addresses.next(now) else {
            return Err(last.unwrap_or_else(|| addresses.untried()));
        };
        let peer = addresses.host().peer(address);
        match link(Socket::connect(address), peer, server, options, now + time).await {
            Ok(link) => return Ok(link),
            Err(cause) => last = Some(cause),
        }
    }
}

/// Connects a socket to this peer and agrees on all that comes before the first packet.
async fn link(
    socket: impl Future<Output = io::Result<Socket>>,
    peer: Peer,
    server: &ServerUrl,
    options: &Options,
    until: Instant,
) -> Result<Arc<Link>, Cause> {
    let failed = |error| peer.cause(&error);
    let connect = async {
        let socket = socket.await.map_err(failed)?;
        let link = Stream::new(socket, peer.clone(), server, options).map_err(failed)?;
        handshake(&link).await.map_err(|error| link.cause(&error))?;
        Ok(Arc::new(link))
    };
    let timeout = async {
        Timer::at(until).await;
        Err(failed(io::ErrorKind::TimedOut.into()))
    };
    future::or(connect, timeout).await
}

/// What goes on between the socket and the first packet: TLS, WebSocket.
async fn handshake(link: &Link) -> io::Result<()> {
    while !link.handshake()? {
        // Which of the two it waits for only TLS knows; mostly the socket can be written all along.
        if link.is_writing() {
            link.socket().writable().await?;
        } else {
            link.socket().readable().await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::SocketAddr;
    use std::net::TcpListener;

    use mqtt_adapter_core::Host;

    fn dial(list: Vec<SocketAddr>) -> Result<SocketAddr, Cause> {
        let options = Options::new("mqtt://localhost").unwrap();
        let server = &options.servers()[0];
        let addresses =
            Addresses::new(Host::of(server, &options), list, Instant::now() + Duration::from_secs(20));
        let link = future::block_on(connect(addresses, server, &options))?;
        match link.socket() {
            Socket::Tcp(socket) => Ok(socket.get_ref().peer_addr().unwrap()),
            Socket::Unix(_) | Socket::Own(_) => unreachable!(),
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
            assert_eq!(dial(vec![refusing(), refusing(), good]), Ok(good));
        }
    }

    #[test]
    fn the_last_address_that_refused_is_named() {
        let last = refusing();
        let failed = dial(vec![refusing(), last]);
        assert!(matches!(failed, Err(Cause::Dial { address, .. }) if address == last), "{failed:?}");
    }
}
