//! A TCP proxy that does to connections what schedules say.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Instant;

use mqtt_sim::schedule::{Course, Schedule, Tally, Trouble};
use mqtt_sim::world::Direction;
use socket2::SockRef;

/// How soon a thread that waits for a socket sees that its connection is over, or that all is healed.
const TICK: Duration = Duration::from_millis(100);
/// Time between bytes that pass one by one, so that they are not read together.
const SINGLE_PAUSE: Duration = Duration::from_micros(20);

/// Listens on a free loopback port and carries every connection to one server, by two threads each.
///
/// The n-th connection follows the n-th schedule of the list; those beyond its end pass whole.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    schedule: Box<dyn Fn(u64) -> Schedule + Send + Sync>,
    accepted: AtomicU64,
    tally: Mutex<Tally>,
    healed: AtomicBool,
    closing: AtomicBool,
    open: Mutex<Vec<Weak<Carried>>>,
}

/// A connection and its continuation to the server.
struct Carried {
    client: TcpStream,
    server: TcpStream,
    opened: Instant,
    over: AtomicBool,
}

impl Proxy {
    /// Starts one in front of `server`.
    ///
    /// # Panics
    ///
    /// When no loopback port is free.
    #[must_use]
    pub fn start(server: SocketAddr, schedules: &[Schedule]) -> Self {
        let schedules = schedules.to_vec();
        Self::with(server, move |number| {
            usize::try_from(number).ok().and_then(|number| schedules.get(number).cloned()).unwrap_or_default()
        })
    }

    /// Starts one that asks for the schedule of each connection, which are counted from 0.
    ///
    /// # Panics
    ///
    /// When no loopback port is free.
    #[must_use]
    pub fn with(server: SocketAddr, schedule: impl Fn(u64) -> Schedule + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            server,
            schedule: Box::new(schedule),
            accepted: AtomicU64::new(0),
            tally: Mutex::default(),
            healed: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let inner = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if inner.closing.load(Ordering::SeqCst) {
                    break;
                }
                // A server that is away ends the connection, as it would without a proxy.
                let _ = inner.carry(client);
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL for a client.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// How many connections came so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How often each kind of trouble has struck.
    #[must_use]
    pub fn struck(&self) -> Tally {
        *lock(&self.shared.tally)
    }

    /// How many connections were cut at their byte.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.struck().of(Trouble::Cut)
    }

    /// Cuts all that is open now.
    pub fn cut_now(&self) {
        for carried in lock(&self.shared.open).drain(..) {
            if let Some(carried) = carried.upgrade() {
                carried.cut();
            }
        }
    }

    /// From now on nothing goes wrong any more, on connections that are open and on those to come. A direction that
    /// was closed stays closed.
    pub fn heal(&self) {
        self.shared.healed.store(true, Ordering::SeqCst);
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("address", &self.address).finish_non_exhaustive()
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
    fn carry(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        let number = self.accepted.fetch_add(1, Ordering::SeqCst);
        let server = TcpStream::connect(self.server)?;
        for socket in [&client, &server] {
            socket.set_nodelay(true)?;
            socket.set_write_timeout(Some(TICK))?;
        }
        let carried =
            Arc::new(Carried { client, server, opened: Instant::now(), over: AtomicBool::new(false) });
        let mut open = lock(&self.open);
        open.retain(|carried| carried.strong_count() > 0);
        open.push(Arc::downgrade(&carried));
        drop(open);
        let schedule = (self.schedule)(number);
        for direction in [Direction::Up, Direction::Down] {
            let (shared, carried) = (Arc::clone(self), Arc::clone(&carried));
            let course = schedule.course(direction);
            thread::spawn(move || {
                // A connection that fails on one side fails on the other.
                if shared.pump(&carried, direction, course).is_err() {
                    carried.reset();
                }
            });
        }
        Ok(())
    }

    /// Carries bytes one way, until this way is over.
    fn pump(&self, carried: &Carried, direction: Direction, mut course: Course) -> io::Result<()> {
        let (mut from, to) = match direction {
            Direction::Up => (&carried.client, &carried.server),
            Direction::Down => (&carried.server, &carried.client),
        };
        let mut buffer = [0; 16 * 1024];
        let (mut timeout, mut closed) = (Duration::ZERO, false);
        while !carried.is_over() {
            if self.healed.load(Ordering::SeqCst) {
                course.heal();
            }
            closed |= self.strike(carried, &mut course, to)?;
            let next = course.next_time().map_or(TICK, |at| at.saturating_sub(carried.opened.elapsed()));
            let next = next.clamp(Duration::from_millis(1), TICK);
            if next != timeout {
                from.set_read_timeout(Some(next))?;
                timeout = next;
            }
            let count = match from.read(&mut buffer) {
                Ok(0) => {
                    return if carried.is_over() || closed { Ok(()) } else { to.shutdown(Shutdown::Write) };
                }
                Ok(count) => count,
                Err(error) if is_timeout(&error) => continue,
                Err(error) => return Err(error),
            };
            self.pause(carried, course.delay());
            let mut rest = &buffer[..count];
            while !rest.is_empty() {
                closed |= self.strike(carried, &mut course, to)?;
                if closed || carried.is_over() {
                    break;
                }
                if course.is_splitting() {
                    thread::sleep(SINGLE_PAUSE);
                }
                let (piece, more) = rest.split_at(course.room(rest.len()));
                carried.write(to, piece)?;
                course.pass(piece.len());
                rest = more;
            }
        }
        Ok(())
    }

    /// Does what is due; true if nothing more passes this way.
    fn strike(&self, carried: &Carried, course: &mut Course, to: &TcpStream) -> io::Result<bool> {
        let mut closed = false;
        while let Some(trouble) = course.strike(carried.opened.elapsed()) {
            lock(&self.tally).count(trouble);
            match trouble {
                Trouble::Stall(span) => self.pause(carried, span),
                Trouble::HalfClose => {
                    closed = true;
                    to.shutdown(Shutdown::Write)?;
                }
                Trouble::Reset => carried.reset(),
                Trouble::Cut => carried.cut(),
                // The course keeps delays and split bytes.
                _ => {}
            }
            if closed || carried.is_over() {
                break;
            }
        }
        Ok(closed)
    }

    /// Waits; not for a connection that is over, nor when all is healed.
    fn pause(&self, carried: &Carried, span: Duration) {
        let until = Instant::now() + span;
        while !carried.is_over() && !self.healed.load(Ordering::SeqCst) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::sleep(left.min(TICK));
        }
    }
}

impl Carried {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn write(&self, mut to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() && !self.is_over() {
            match to.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Both sides end, behind what has passed.
    fn cut(&self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = (self.client.shutdown(Shutdown::Both), self.server.shutdown(Shutdown::Both));
    }

    /// Both sides get RST: a socket that does not linger sends it when it is closed, which it is when both threads are
    /// gone. Closing for reading only wakes them; it sends nothing.
    fn reset(&self) {
        if self.over.swap(true, Ordering::SeqCst) {
            return;
        }
        for socket in [&self.client, &self.server] {
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
            let _ = socket.shutdown(Shutdown::Read);
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection through a proxy with this schedule: the client's end, the server's, and the proxy.
    fn through(schedule: Schedule) -> (TcpStream, TcpStream, Proxy) {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy::start(server.local_addr().unwrap(), &[schedule]);
        let client = TcpStream::connect(proxy.address()).unwrap();
        let (accepted, _) = server.accept().unwrap();
        (client, accepted, proxy)
    }

    /// What a reader gets until the end of the stream.
    fn rest(stream: &mut TcpStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        bytes
    }

    #[test]
    fn connections_are_cut_at_their_byte_and_later_ones_pass() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let cuts = [Schedule::cut(Direction::Up, 5), Schedule::cut(Direction::Down, 3)];
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
    fn a_reset_is_an_error_on_both_sides() {
        let (mut client, mut server, proxy) =
            through(Schedule::new().passed(Direction::Up, 3, Trouble::Reset));
        client.write_all(b"012").unwrap();
        // What has passed may have been read before, or is lost.
        let ends = [&mut client, &mut server].map(|end| {
            let mut buffer = [0; 8];
            loop {
                match end.read(&mut buffer) {
                    Ok(0) => break None,
                    Ok(_) => {}
                    Err(error) => break Some(error.kind()),
                }
            }
        });
        assert_eq!(ends, [Some(ErrorKind::ConnectionReset); 2]);
        assert_eq!(proxy.struck().of(Trouble::Reset), 1);
    }

    #[test]
    fn a_half_closed_connection_goes_on_the_other_way() {
        let (mut client, mut server, _proxy) =
            through(Schedule::new().passed(Direction::Up, 3, Trouble::HalfClose));
        client.write_all(b"012345").unwrap();
        assert_eq!(rest(&mut server), b"012");
        server.write_all(b"still here").unwrap();
        drop(server);
        assert_eq!(rest(&mut client), b"still here");
    }

    #[test]
    fn split_bytes_come_alone_and_stalled_ones_late() {
        let schedule = Schedule::new().passed(Direction::Up, 2, Trouble::Split(3)).passed(
            Direction::Up,
            5,
            Trouble::Stall(TICK),
        );
        let (mut client, mut server, proxy) = through(schedule);
        let began = Instant::now();
        client.write_all(b"0123456789").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut server), b"0123456789");
        assert!(began.elapsed() >= TICK);
        assert_eq!(proxy.struck().to_string(), "0 delay, 1 stall, 1 split, 0 half-close, 0 reset, 0 cut");
    }

    #[test]
    fn a_time_strikes_an_idle_connection_and_healing_ends_all() {
        let schedule = Schedule::new().elapsed(Direction::Down, TICK, Trouble::Delay(1_000 * TICK)).elapsed(
            Direction::Up,
            2 * TICK,
            Trouble::Cut,
        );
        let (mut client, mut server, proxy) = through(schedule.clone());
        assert_eq!((rest(&mut client).len(), rest(&mut server).len()), (0, 0));
        assert_eq!(proxy.cut(), 1);

        let (mut client, mut server, proxy) = through(schedule);
        proxy.heal();
        server.write_all(b"on time").unwrap();
        drop(server);
        assert_eq!(rest(&mut client), b"on time");
    }
}
