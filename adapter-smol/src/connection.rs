//! The task that does the input and output.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use async_io::{Async, Timer};
use futures_lite::future;
use mqtt_adapter_core::{Addresses, Cause, ServerUrl, Turn, Worker, literal, resolve};

/// Turns in one poll before other tasks of the executor get their chance.
const TURNS: usize = 32;

/// Reads of input nobody wants any more, before a socket is closed.
const DISCARDS: usize = 16;

/// A timer is set anew only if it would fire later than needed by more than this.
const SLACK: Duration = Duration::from_millis(1);

/// A socket that is read and written through a shared reference, without blocking.
#[derive(Debug)]
pub(crate) struct Socket(Async<TcpStream>);

impl Read for &Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.get_ref().read(buffer)
    }
}

impl Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_ref().write(bytes)
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.get_ref().write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Dial = Pin<Box<dyn Future<Output = Result<Arc<Socket>, Cause>> + Send>>;

/// Does all input and output of a client: a future to be spawned on any executor, or to be awaited beside the
/// application's own.
///
/// It is ready once the client has stopped: after [`Client::stop`](crate::Client::stop), when the last handle has
/// gone, or when the engine gives up. Dropping it before ends the client at once, without a DISCONNECT: every
/// call that waits then ends as stopped.
#[must_use = "nothing is sent or received unless it is polled"]
pub struct Connection {
    worker: Worker<Socket>,
    dial: Option<Dial>,
    link: Option<(u64, Arc<Socket>)>,
    timer: Option<(Instant, Timer)>,
    /// The last turn, and when the next one was due at the latest.
    last: Option<(Instant, Turn<Socket>)>,
    done: bool,
}

impl Connection {
    pub(crate) const fn new(worker: Worker<Socket>) -> Self {
        Self { worker, dial: None, link: None, timer: None, last: None, done: false }
    }

    fn obey(&mut self, turn: &mut Turn<Socket>) {
        if let Some(link) = turn.closed.take() {
            finish(&link.0);
        }
        if self.link.as_ref().is_some_and(|(generation, _)| *generation != turn.generation) {
            self.link = None;
        }
        if turn.abandon {
            self.dial = None;
        }
        if let Some(server) = turn.open {
            let options = self.worker.options();
            self.dial = options
                .servers()
                .get(server)
                .map(|server| -> Dial { Box::pin(dial(server.clone(), options.engine().dial_timeout)) });
        }
    }

    /// Whether something has happened since the turn, so that another is worth it.
    fn progress(&mut self, turn: &Turn<Socket>, context: &mut Context<'_>) -> bool {
        if let Some(dial) = &mut self.dial
            && let Poll::Ready(result) = dial.as_mut().poll(context)
        {
            self.dial = None;
            match result {
                Ok(link) => {
                    let generation = self.worker.opened(Arc::clone(&link));
                    self.link = Some((generation, link));
                }
                Err(cause) => self.worker.dial_failed(Some(cause)),
            }
            return true;
        }
        if let Some((_, link)) = &self.link {
            let link = Arc::clone(link);
            if turn.blocked && link.0.poll_writable(context).is_ready() {
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

    fn read(&mut self, turn: &Turn<Socket>, link: &Socket, context: &mut Context<'_>) -> bool {
        loop {
            match self.worker.read(turn, link) {
                Ok(0) => self.worker.lost(turn.generation, None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match link.0.poll_readable(context) {
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

async fn dial(server: ServerUrl, time: Duration) -> Result<Arc<Socket>, Cause> {
    let now = Instant::now();
    // A time beyond what the clock can say: a year.
    let until = now.checked_add(time).unwrap_or(now + Duration::from_secs(365 * 86_400));
    let list = match literal(&server) {
        Some(address) => vec![address],
        None => {
            let server = server.clone();
            blocking::unblock(move || resolve(&server)).await?
        }
    };
    let failed = |last: Option<Cause>| {
        last.unwrap_or_else(|| Cause::resolve(server.host(), "no time was left to try its addresses"))
    };
    connect(Addresses::new(list, until)).await.map_err(failed)
}

/// Connects to the first of the addresses that can be; else why the last one could not.
async fn connect(mut addresses: Addresses) -> Result<Arc<Socket>, Option<Cause>> {
    let mut last = None;
    while let Some((address, time)) = addresses.next(Instant::now()) {
        let connect = Async::<TcpStream>::connect(address);
        let timeout = async {
            Timer::after(time).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        match future::or(connect, timeout).await {
            Ok(socket) => {
                // An acknowledgement followed by a publish would wait 40 ms otherwise. It fails only where the
                // connection is gone already, which reading then tells.
                let _ = socket.get_ref().set_nodelay(true);
                return Ok(Arc::new(Socket(socket)));
            }
            Err(error) => last = Some(Cause::dial(address, &error)),
        }
    }
    Err(last)
}

/// Ends a connection in order. What was received and not read would make the system reset it, and the peer might
/// then lose the last packets sent to it: it is read and forgotten first.
fn finish(link: &Async<TcpStream>) {
    let mut socket = link.get_ref();
    if socket.shutdown(Shutdown::Write).is_err() {
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
    use core::net::SocketAddr;
    use std::net::TcpListener;

    fn dial(list: Vec<SocketAddr>) -> Result<SocketAddr, Option<Cause>> {
        let until = Instant::now() + Duration::from_secs(20);
        future::block_on(connect(Addresses::new(list, until)))
            .map(|link| link.0.get_ref().peer_addr().unwrap())
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
        assert!(matches!(failed, Err(Some(Cause::Dial { address, .. })) if address == last), "{failed:?}");
    }
}
