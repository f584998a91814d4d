//! Streams that do what they should not: that never run dry, panic, take nothing any more, or are not wanted after all.

use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use futures_lite::{AsyncRead, AsyncWrite};
use mqtt_adapter_std::{
    ByteStream, Cause, Disconnected, Event, Options, Publish, Qos, Version, WhenInboxFull, Will,
};
use mqtt_sim::broker::BrokerConfig;
use mqtt_sim::memory::MemoryBroker;
use mqtt_tests::adapter::{Adapter, CAP};
use mqtt_tests::drivers;

use crate::options;

drivers!(
    what_never_stops_coming_stops_nothing_from_leaving,
    an_async_connector_is_called_once_for_each_attempt,
    a_stream_that_panics_has_failed,
    a_thread_of_a_stream_that_takes_nothing_ends_with_the_client,
    a_stream_for_which_there_is_no_connect_is_dropped_at_once,
);

const CONNACK: &[u8] = &[0x20, 2, 0, 0];

/// A server that sends without end, and takes nothing for a moment after CONNECT.
#[derive(Default)]
struct Flood {
    answers: Vec<u8>,
    /// Where in the packet that is sent again and again.
    at: usize,
    connected: bool,
    reader: Option<Waker>,
    /// Whether it takes bytes again; who waits for that.
    free: Option<Arc<(AtomicBool, Mutex<Option<Waker>>)>>,
}

impl AsyncRead for Flood {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if !self.connected {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let packet = b"\x30\x04\x00\x01fx";
        for byte in &mut *buffer {
            // Answers come between two packets.
            *byte = if self.at == 0 && !self.answers.is_empty() {
                self.answers.remove(0)
            } else {
                let byte = packet[self.at];
                self.at = (self.at + 1) % packet.len();
                byte
            };
        }
        Poll::Ready(Ok(buffer.len()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match (bytes[0], &self.free) {
            (0x10, _) => {
                self.connected = true;
                self.answers.extend(CONNACK);
                self.reader.take().into_iter().for_each(Waker::wake);
            }
            (_, None) => {
                let free = Arc::new((AtomicBool::new(false), Mutex::new(Some(context.waker().clone()))));
                self.free = Some(Arc::clone(&free));
                thread::spawn(move || {
                    thread::sleep(Duration::from_millis(50));
                    free.0.store(true, Ordering::SeqCst);
                    let waker = free.1.lock().unwrap().take();
                    waker.into_iter().for_each(Waker::wake);
                });
                return Poll::Pending;
            }
            (first, Some(free)) => {
                *free.1.lock().unwrap() = Some(context.waker().clone());
                if !free.0.load(Ordering::SeqCst) {
                    return Poll::Pending;
                }
                if first == 0x32 {
                    self.answers.extend([0x40, 2, bytes[5], bytes[6]]);
                }
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn what_never_stops_coming_stops_nothing_from_leaving<A: Adapter>() {
    let options = options()
        .with_version(Version::V3_1_1)
        .with_when_inbox_full(WhenInboxFull::DropNewest)
        .with_connector(|_| Ok(ByteStream::new(Flood::default())));
    let mut client = A::connect(options).expect("it connects");
    let receipt = client.publish(Publish::new("u", "x").qos(Qos::AtLeastOnce)).expect("there is room");
    assert!(client.outcome(receipt).is_success());
}

fn an_async_connector_is_called_once_for_each_attempt<A: Adapter>() {
    let (broker, calls) = (MemoryBroker::new(BrokerConfig::default()), Arc::new(AtomicU32::new(0)));
    let options = options().with_async_connector({
        let calls = Arc::clone(&calls);
        move |to| {
            // Outside of the future, too, a panic is a failed attempt.
            assert_ne!(to.number, 1, "planned");
            assert_eq!(calls.fetch_add(1, Ordering::SeqCst), 0);
            let stream = broker.connect();
            async { stream.map(ByteStream::new) }
        }
    });
    let mut client = A::start(options).expect("the options are good");
    let end = disconnected(&mut client);
    assert!(matches!(end.cause, Some(Cause::Hook { .. })), "{end:?}");
    while !matches!(client.event(CAP).expect("it comes up"), Event::Connected(_)) {}
    assert_eq!((calls.load(Ordering::SeqCst), client.stop()), (1, 0));
}

fn disconnected<A: Adapter>(client: &mut A) -> Disconnected {
    loop {
        if let Event::Disconnected(end) = client.event(CAP).expect("it is told") {
            return end;
        }
    }
}

/// Answers CONNECT, and then has nothing to say; dropped with the last of its threads.
#[derive(Clone)]
struct Silent {
    connack: Arc<Mutex<&'static [u8]>>,
    sent: Arc<AtomicBool>,
    panics: bool,
}

impl Silent {
    fn new(panics: bool) -> Self {
        Self { connack: Arc::new(Mutex::new(CONNACK)), sent: Arc::default(), panics }
    }
}

impl Read for Silent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut left = self.connack.lock().unwrap();
        if left.is_empty() || !self.sent.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
            return Err(ErrorKind::TimedOut.into());
        }
        left.read(buffer)
    }
}

impl Write for Silent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.sent.swap(true, Ordering::SeqCst) {
            return Ok(bytes.len());
        }
        assert!(!self.panics, "planned");
        Err(ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn silent(panics: bool, halves: bool, made: &Arc<Mutex<Vec<Silent>>>) -> Options {
    let made = Arc::clone(made);
    options().with_version(Version::V3_1_1).with_connector(move |_| {
        let stream = Silent::new(panics);
        made.lock().unwrap().push(stream.clone());
        if halves { ByteStream::blocking(stream.clone(), stream) } else { ByteStream::polled(stream) }
    })
}

fn a_stream_that_panics_has_failed<A: Adapter>() {
    for halves in [true, false] {
        let mut options = silent(true, halves, &Arc::default()).with_keep_alive(Duration::ZERO);
        options.engine_mut().ack_timeout = None;
        let mut client = A::connect(options).expect("it connects");
        let _receipt = client.publish(Publish::new("u", "x").qos(Qos::AtLeastOnce)).expect("there is room");
        let end = disconnected(&mut client);
        assert!(matches!(end.cause, Some(Cause::Transport { .. })), "{end:?}");
    }
}

fn a_thread_of_a_stream_that_takes_nothing_ends_with_the_client<A: Adapter>() {
    for halves in [true, false] {
        let made = Arc::default();
        let client = A::connect(silent(false, halves, &made)).map(|mut client| {
            let _receipt = client.publish(Publish::new("u", "x").qos(Qos::AtLeastOnce));
            client
        });
        drop(client.expect("it connects"));
        let began = Instant::now();
        loop {
            // What is kept here, and nothing else.
            let left = made.lock().unwrap().iter().map(|made: &Silent| Arc::strong_count(&made.sent)).max();
            if left == Some(1) {
                break;
            }
            assert!(began.elapsed() < CAP, "{left:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn a_stream_for_which_there_is_no_connect_is_dropped_at_once<A: Adapter>() {
    let made = Arc::<Mutex<Vec<Silent>>>::default();
    let options = silent(false, false, &made)
        .with_before_connect(|_, options| Ok(options.with_will(Will::new("no/#", "topic"))));
    let mut client = A::start(options).expect("these options are good");
    let end = disconnected(&mut client);
    assert!(matches!(end.cause, Some(Cause::Hook { .. })), "{end:?}");
    let _second = disconnected(&mut client);
    let began = Instant::now();
    // The thread of the first is told before the second attempt, not by it: nothing of it is left long before the last.
    while Arc::strong_count(&made.lock().unwrap()[0].sent) > 1 {
        assert!(began.elapsed() < CAP);
        thread::sleep(Duration::from_millis(1));
    }
}
