//! The hand-over between the threads of a client, in every order that matters: run by
//! `RUSTFLAGS="--cfg loom" cargo test -p mqtt-adapter-core --release --test loom`.
//!
//! Each model is a real client, engine and all, over a pipe whose other end answers at once; time stands still. A wake
//! that is lost is a deadlock, and loom finds every deadlock within its bound on preemptions.

#![cfg(loom)]

use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::Wake;

use loom::sync::{Condvar, Mutex};
use loom::thread;
use mqtt_adapter_core::session::proto::{
    Connack, Encode, Packet, Peer, Puback, Publish as Sent, TopicName, Version, frame_len,
};
use mqtt_adapter_core::{
    Handle, Options, Outcome, Publish, Qos, ReasonCode, Transport, Wait, Worker, client,
};

/// Where a thread waits, and what wakes it.
#[derive(Default)]
struct Park {
    woken: Mutex<bool>,
    condition: Condvar,
}

impl Park {
    fn park(&self) {
        let mut woken = self.woken.lock().unwrap();
        while !*woken {
            woken = self.condition.wait(woken).unwrap();
        }
        *woken = false;
    }
}

impl Wake for Park {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.condition.notify_one();
    }
}

/// Asks until there is an answer, as a thread does.
fn block<R>(mut ask: impl FnMut(&Context<'_>) -> Poll<R>) -> R {
    let park = Arc::new(Park::default());
    let waker = Waker::from(Arc::clone(&park));
    loop {
        match ask(&Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => park.park(),
        }
    }
}

#[derive(Default)]
struct Bytes {
    /// What the client has sent and is not yet a packet.
    sent: Vec<u8>,
    /// What it has not read.
    answers: VecDeque<u8>,
    /// It has said DISCONNECT, and the server has closed.
    closed: bool,
}

/// A link to a server that answers within the write, and closes where the client says that it goes.
struct Pipe {
    bytes: Mutex<Bytes>,
    /// Told when there is something to read.
    reader: Arc<Park>,
    /// Whether publishes are acknowledged, and sent back.
    acks: bool,
    echoes: bool,
}

impl Pipe {
    fn answer(&self, frame: &[u8], Bytes { answers, closed, .. }: &mut Bytes) {
        let mut send = |packet: &dyn Fn(&mut [u8]) -> usize| {
            let mut bytes = [0; 256];
            let len = packet(&mut bytes);
            answers.extend(&bytes[..len]);
        };
        match Packet::decode(frame, Version::V5, Peer::Client).unwrap() {
            Packet::Connect(_) => {
                send(&|bytes| Connack::accepted(false).encode(Version::V5, bytes).unwrap());
            }
            Packet::Publish(publish) => {
                if let Some(id) = publish.packet_id.filter(|_| self.acks) {
                    send(&|bytes| Puback::new(id).encode(Version::V5, bytes).unwrap());
                }
                if self.echoes {
                    let echo = Sent::new(TopicName::new("echo").unwrap(), publish.payload);
                    send(&|bytes| echo.encode(Version::V5, bytes).unwrap());
                }
            }
            Packet::Disconnect(_) => *closed = true,
            _ => {}
        }
    }
}

impl Transport for Pipe {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut bytes = self.bytes.lock().unwrap();
        let count = bytes.answers.len().min(buffer.len());
        if count == 0 && !bytes.closed {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for (to, from) in buffer.iter_mut().zip(bytes.answers.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }

    fn write(&self, written: &[u8]) -> io::Result<usize> {
        let mut guard = self.bytes.lock().unwrap();
        let bytes = &mut *guard;
        bytes.sent.extend_from_slice(written);
        let before = bytes.answers.len();
        while let Some(len) = frame_len(&bytes.sent, 1 << 20).unwrap() {
            let frame: Vec<u8> = bytes.sent.drain(..len).collect();
            self.answer(&frame, bytes);
        }
        let news = bytes.answers.len() > before || bytes.closed;
        drop(guard);
        if news {
            Arc::clone(&self.reader).wake();
        }
        Ok(written.len())
    }
}

/// The thread that does the input and output.
struct Io {
    worker: Worker<Pipe>,
    park: Arc<Park>,
    link: Option<Arc<Pipe>>,
    acks: bool,
    echoes: bool,
}

impl Io {
    /// A turn and what it asks for; whether it has ended.
    fn step(&mut self) -> bool {
        let turn = self.worker.turn(false);
        if turn.stopped {
            return true;
        }
        if turn.open.is_some() {
            let link = Arc::new(Pipe {
                bytes: Mutex::default(),
                reader: Arc::clone(&self.park),
                acks: self.acks,
                echoes: self.echoes,
            });
            self.link = Some(Arc::clone(&link));
            self.worker.opened(link);
            return false;
        }
        if let Some(link) = &self.link
            && turn.read
            && let Ok(count) = self.worker.read(&turn, link)
        {
            if count == 0 {
                self.worker.lost(turn.generation, None);
            }
            return false;
        }
        // A deadline that is near is one that comes; the others never do.
        match turn.deadline {
            Some(time) if time <= Duration::from_millis(1) => thread::yield_now(),
            _ => self.park.park(),
        }
        false
    }

    fn run(mut self) {
        while !self.step() {}
    }
}

#[derive(Clone, Copy)]
struct Server {
    acks: bool,
    echoes: bool,
    guard: bool,
    most: u32,
}

const SERVER: Server = Server { acks: true, echoes: false, guard: false, most: 10 };

/// A client that is connected; its thread does not run yet.
fn connected(server: Server) -> (Handle<Pipe>, Io) {
    let mut options = Options::new("mqtt://localhost")
        .unwrap()
        .with_client_id("loom")
        .with_keep_alive(Duration::ZERO)
        .with_linger(Duration::ZERO);
    options.engine_mut().max_operations = server.most;
    let (handle, mut worker) = client::<Pipe>(options).unwrap();
    if server.guard {
        worker.keep_guard();
    }
    let park = Arc::new(Park::default());
    worker.set_waker(&Waker::from(Arc::clone(&park)));
    let mut io = Io { worker, park, link: None, acks: server.acks, echoes: server.echoes };
    while !handle.is_connected() {
        assert!(!io.step());
    }
    (handle, io)
}

fn publish(handle: &Handle<Pipe>) -> mqtt_adapter_core::Watch<Pipe> {
    let mut message = Publish::new("t", "x").qos(Qos::AtLeastOnce);
    let mut wait = Wait::new();
    block(|context| handle.poll_publish(&mut message, &mut wait, context)).unwrap()
}

/// Words of stack for a thread: an engine needs more than loom gives.
const STACK: usize = 128 * 1024;

fn spawn<R: Send + 'static>(run: impl FnOnce() -> R + Send + 'static) -> thread::JoinHandle<R> {
    thread::Builder::new().stack_size(STACK).spawn(run).unwrap()
}

/// Every order with at most so many preemptions.
fn model(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 100_000;
    let run = Arc::new(run);
    builder.check(move || {
        let run = Arc::clone(&run);
        spawn(move || run()).join().unwrap();
    });
}

const ACKED: Outcome = Outcome::Acked(ReasonCode::Success);

#[test]
fn an_outcome_is_never_missed() {
    for guard in [false, true] {
        model(3, move || {
            let (handle, io) = connected(Server { guard, ..SERVER });
            let io = spawn(|| io.run());
            let mut watch = publish(&handle);
            assert_eq!(block(|context| watch.poll_outcome(context)), ACKED);
            drop(handle);
            io.join().unwrap();
        });
    }
}

#[test]
fn what_is_gathered_by_one_thread_leaves_for_the_other() {
    model(3, || {
        let (handle, io) = connected(SERVER);
        let io = spawn(|| io.run());
        let other = spawn({
            let handle = handle.clone();
            move || {
                let mut watch = publish(&handle);
                assert_eq!(block(|context| watch.poll_outcome(context)), ACKED);
            }
        });
        let mut watch = publish(&handle);
        assert_eq!(block(|context| watch.poll_outcome(context)), ACKED);
        other.join().unwrap();
        drop(handle);
        io.join().unwrap();
    });
}

#[test]
fn who_waits_for_room_gets_it() {
    model(3, || {
        let (handle, io) = connected(Server { most: 1, ..SERVER });
        let io = spawn(|| io.run());
        let first = publish(&handle);
        let second = publish(&handle);
        drop((first, second));
        let mut wait = Wait::new();
        block(|context| handle.poll_idle(&mut wait, context));
        assert_eq!(handle.pending(), 0);
        drop((wait, handle));
        io.join().unwrap();
    });
}

#[test]
fn who_gives_up_takes_no_wake_from_another() {
    model(3, || {
        let (handle, io) = connected(Server { most: 1, ..SERVER });
        let first = publish(&handle);
        let other = spawn({
            let handle = handle.clone();
            move || {
                // Once, with whatever comes of it; then it has given up.
                let mut message = Publish::new("t", "x").qos(Qos::AtLeastOnce);
                let mut wait = Wait::new();
                let waker = Waker::from(Arc::new(Park::default()));
                let _ = handle.poll_publish(&mut message, &mut wait, &Context::from_waker(&waker));
            }
        });
        let io = spawn(|| io.run());
        let mut second = publish(&handle);
        assert_eq!(block(|context| second.poll_outcome(context)), ACKED);
        other.join().unwrap();
        drop((first, handle));
        io.join().unwrap();
    });
}

#[test]
fn a_message_is_never_missed_and_the_end_is_told() {
    model(3, || {
        let (handle, io) = connected(Server { echoes: true, ..SERVER });
        let io = spawn(|| io.run());
        let taker = spawn({
            // It keeps nothing alive.
            let handle = handle.lend();
            move || {
                let mut wait = Wait::new();
                let mut count = 0;
                while block(|context| handle.poll_recv(&mut wait, context)).is_some() {
                    count += 1;
                }
                count
            }
        });
        let mut watch = publish(&handle);
        assert_eq!(block(|context| watch.poll_outcome(context)), ACKED);
        drop(handle);
        io.join().unwrap();
        // PUBACK and the echo come in one read.
        assert_eq!(taker.join().unwrap(), 1);
    });
}

#[test]
fn the_last_handle_may_go_while_somebody_waits() {
    model(3, || {
        let (handle, io) = connected(Server { acks: false, ..SERVER });
        let io = spawn(|| io.run());
        let mut watch = publish(&handle);
        let waiting = spawn(move || block(|context| watch.poll_outcome(context)));
        drop(handle);
        assert_eq!(waiting.join().unwrap(), Outcome::Stopped);
        io.join().unwrap();
    });
}

#[test]
fn of_handles_that_go_at_the_same_time_one_is_the_last() {
    model(3, || {
        let (handle, io) = connected(SERVER);
        let other = handle.clone();
        let io = spawn(|| io.run());
        let dropping = spawn(move || drop(other));
        drop(handle);
        dropping.join().unwrap();
        io.join().unwrap();
    });
}

#[test]
fn a_worker_that_goes_ends_whoever_waits() {
    model(3, || {
        let (handle, io) = connected(Server { acks: false, ..SERVER });
        let mut watch = publish(&handle);
        let going = spawn(move || drop(io));
        assert_eq!(block(|context| watch.poll_outcome(context)), Outcome::Stopped);
        let mut wait = Wait::new();
        assert!(block(|context| handle.poll_recv(&mut wait, context)).is_none());
        going.join().unwrap();
    });
}

#[test]
fn a_callback_is_called_once_whenever_the_end_comes() {
    model(3, || {
        let (handle, io) = connected(SERVER);
        let io = spawn(|| io.run());
        let (jobs, calls) = channel::<Box<dyn FnOnce() + Send>>();
        let (says, said) = channel();
        publish(&handle).then(|| Ok(jobs), move |outcome| says.send(outcome).unwrap()).unwrap();
        let mut wait = Wait::new();
        block(|context| handle.poll_idle(&mut wait, context));
        drop((wait, handle));
        io.join().unwrap();
        // Everybody who could send has gone.
        calls.into_iter().for_each(|call| call());
        assert_eq!(said.try_iter().collect::<Vec<_>>(), [ACKED]);
    });
}
