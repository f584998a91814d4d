//! Moving bytes between a session and a non-blocking transport: any `Read` and `Write` that says
//! `WouldBlock` instead of waiting. Every driver shares this; none of it decides anything.

use alloc::vec::Vec;
use core::mem;
use std::io::{self, ErrorKind, IoSlice, Read, Write};

use crate::session::Session;
use crate::storage::Storage;
use crate::time::Instant;

/// Writes what the session has to send, until there is nothing more or the transport would block.
/// `Ok(true)`: it would block and more is waiting; call again when it is writable.
///
/// # Errors
/// What the transport says, and `WriteZero` where it takes nothing; the driver then drops it and calls
/// `closed(Closed::Failed)`.
pub fn write_to<S: Storage>(
    session: &mut Session<S>,
    transport: &mut impl Write,
    now: Instant,
) -> io::Result<bool> {
    let mut outgoing = session.outgoing(now);
    while !outgoing.is_empty() {
        let [first, lent, last] = outgoing.chunks();
        let result = if lent.is_empty() {
            transport.write(first)
        } else {
            transport.write_vectored(&[IoSlice::new(first), IoSlice::new(lent), IoSlice::new(last)])
        };
        match result {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => outgoing.advance(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Bytes that were read and not consumed. It takes memory when something is read, at first little, twice as
/// much after each read that filled it, and gives it back when all of it was consumed and the connection has
/// gone quiet.
pub struct ReadBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes asked of the transport at a time.
    room: usize,
}

/// Bytes asked of the transport at first: an acknowledgement now and then needs no more.
const LEAST: usize = 4 * 1024;

/// Bytes asked of it at most: large reads make few system calls, and the acknowledgements of one read leave
/// in one write.
const MOST: usize = 64 * 1024;

impl Default for ReadBuffer {
    fn default() -> Self {
        Self::new()
    }
}

/// What was received is not shown.
impl core::fmt::Debug for ReadBuffer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ReadBuffer({} bytes unread)", self.end.saturating_sub(self.start))
    }
}

impl ReadBuffer {
    /// An empty buffer; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), start: 0, end: 0, room: LEAST }
    }

    /// Reads once, behind what is there. `hint` is `Session::read_hint`: the buffer grows to hold the
    /// packet at its front, by at most what has arrived once more, so that memory follows the bytes
    /// received and not the length announced. `Ok(0)`: the peer has closed.
    ///
    /// # Errors
    /// What the transport says, `WouldBlock` included; an interrupted read is tried again.
    pub fn read_from(&mut self, transport: &mut impl Read, hint: usize) -> io::Result<usize> {
        let held = self.end.saturating_sub(self.start);
        let want = hint.saturating_sub(held).min(held).max(self.room);
        if self.bytes.len().saturating_sub(self.end) < self.room {
            self.bytes.copy_within(self.start..self.end, 0);
            self.start = 0;
            self.end = held;
            let len = held.saturating_add(want);
            if self.bytes.len() < len {
                self.bytes.resize(len, 0);
            }
        }
        loop {
            match transport.read(self.bytes.get_mut(self.end..).unwrap_or_default()) {
                Ok(count) => {
                    self.end = self.end.saturating_add(count).min(self.bytes.len());
                    if self.is_filled() {
                        self.room = self.room.saturating_mul(2).min(MOST);
                    }
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the last read took all the room it was given, so that the transport may have more. To be asked
    /// before anything is consumed.
    pub fn is_filled(&self) -> bool {
        self.end == self.bytes.len()
    }

    /// What is there, to be given to `Session::receive`.
    pub fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// The session consumed `count` bytes from the front.
    pub fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Forgets everything: the connection has ended.
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Gives the memory back if nothing is held; for connections that have gone quiet.
    pub fn shrink(&mut self) {
        if self.start == self.end {
            mem::take(&mut self.bytes);
            self.room = LEAST;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives `pieces` one read at a time.
    struct Pieces<'a>(&'a [&'a [u8]]);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Err(ErrorKind::WouldBlock.into()) };
            buffer[..first.len()].copy_from_slice(first);
            self.0 = rest;
            Ok(first.len())
        }
    }

    #[test]
    fn what_was_not_consumed_stays_in_front_of_what_follows() {
        let mut buffer = ReadBuffer::new();
        let mut source = Pieces(&[b"abc", b"def", b"g"]);
        buffer.read_from(&mut source, 0).unwrap();
        buffer.consume(2);
        buffer.read_from(&mut source, 0).unwrap();
        assert_eq!(buffer.unread(), b"cdef");
        buffer.consume(4);
        assert_eq!(buffer.unread(), b"");
        buffer.read_from(&mut source, 0).unwrap();
        assert_eq!(buffer.unread(), b"g");
        assert_eq!(buffer.read_from(&mut source, 0).unwrap_err().kind(), ErrorKind::WouldBlock);
        buffer.clear();
        buffer.shrink();
        assert_eq!(buffer.unread(), b"");
    }

    #[test]
    fn m01_memory_follows_the_bytes_received_not_the_length_announced() {
        let mut buffer = ReadBuffer::new();
        let mut source = Pieces(&[b"\x30\xff\xff\xff\x7f"]);
        buffer.read_from(&mut source, 0).unwrap();
        let _ = buffer.read_from(&mut source, 268_435_460);
        assert!(buffer.bytes.len() <= 2 * LEAST, "{}", buffer.bytes.len());
    }

    /// What comes next of each read or write: so many bytes, or an error. Behind its end it takes everything.
    struct Script(Vec<io::Result<usize>>, Vec<u8>);

    impl Script {
        fn of<const N: usize>(steps: [io::Result<usize>; N]) -> Self {
            Self(steps.into_iter().rev().collect(), Vec::new())
        }

        fn next(&mut self, most: usize) -> io::Result<usize> {
            self.0.pop().unwrap_or(Ok(most)).map(|count| count.min(most))
        }
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.next(buffer.len())
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.next(bytes.len())?;
            self.1.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
            let all: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            self.write(&all)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn fails<T>(kind: ErrorKind) -> io::Result<T> {
        Err(kind.into())
    }

    /// A connected session, and the bytes of CONNECT.
    fn connected() -> (crate::HeapSession, Vec<u8>) {
        let options = crate::ConnectOptions::new("tester");
        let mut session = crate::HeapSession::new(crate::Config::new(1));
        session.start(&options).unwrap();
        while session.poll_event().is_some() {}
        let _ = session.poll_command();
        session.opened(&options, Instant::ZERO);
        let mut transport = Script::of([]);
        assert!(!write_to(&mut session, &mut transport, Instant::ZERO).unwrap());
        assert!(session.receive(&mut &b"\x20\x03\x00\x00\x00"[..], Instant::ZERO).is_some());
        (session, transport.1)
    }

    fn publish(session: &mut crate::HeapSession, payload: &[u8]) {
        let message = crate::Message::new(mqtt_proto::TopicName::new("a").unwrap());
        session.publish(&message, payload.into()).map_err(|refused| refused.reason).unwrap();
    }

    #[test]
    fn everything_is_written_in_order_whatever_the_transport_takes_at_a_time() {
        let (mut session, connect) = connected();
        assert_eq!(connect[0], 0x10);
        publish(&mut session, b"first");
        publish(&mut session, &[7; 10_000]); // lent, not copied
        publish(&mut session, b"last");
        let mut transport = Script::of([
            fails(ErrorKind::Interrupted),
            Ok(3),
            Ok(5_000),
            fails(ErrorKind::Interrupted),
            fails(ErrorKind::WouldBlock),
        ]);
        assert!(write_to(&mut session, &mut transport, Instant::ZERO).unwrap(), "more is waiting");
        assert_eq!(transport.1.len(), 5_003);
        assert!(!write_to(&mut session, &mut transport, Instant::ZERO).unwrap());
        let mut rest = &transport.1[..];
        for payload in [&b"first"[..], &[7; 10_000], b"last"] {
            let len = mqtt_proto::frame_len(rest, usize::MAX).unwrap().unwrap();
            assert!(rest[..len].ends_with(payload));
            rest = &rest[len..];
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn a_transport_that_takes_nothing_or_fails_is_told() {
        for (step, kind) in
            [(Ok(0), ErrorKind::WriteZero), (fails(ErrorKind::BrokenPipe), ErrorKind::BrokenPipe)]
        {
            let (mut session, _) = connected();
            publish(&mut session, b"x");
            let result = write_to(&mut session, &mut Script::of([step]), Instant::ZERO);
            assert_eq!(result.unwrap_err().kind(), kind);
        }
    }

    #[test]
    fn an_interrupted_read_is_tried_again_and_every_other_error_is_told() {
        let mut buffer = ReadBuffer::new();
        let mut source =
            Script::of([fails(ErrorKind::Interrupted), Ok(5), fails(ErrorKind::ConnectionReset), Ok(0)]);
        assert_eq!(buffer.read_from(&mut source, 0).unwrap(), 5);
        assert_eq!(buffer.read_from(&mut source, 0).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(buffer.read_from(&mut source, 0).unwrap(), 0, "the peer has closed");
        assert_eq!(buffer.unread().len(), 5);
    }

    #[test]
    fn memory_that_is_there_is_used_again_before_more_is_taken() {
        let mut buffer = ReadBuffer::new();
        let mut source = Script::of([Ok(LEAST), Ok(2 * LEAST - 100), Ok(7)]);
        buffer.read_from(&mut source, 0).unwrap();
        buffer.read_from(&mut source, 0).unwrap();
        assert_eq!(buffer.bytes.len(), 3 * LEAST);
        buffer.consume(3 * LEAST - 1_100);
        assert_eq!(buffer.unread().len(), 1_000);
        buffer.read_from(&mut source, 0).unwrap();
        assert_eq!((buffer.bytes.len(), buffer.unread().len()), (3 * LEAST, 1_007));
        buffer.shrink();
        assert_eq!(buffer.unread().len(), 1_007, "what was not consumed stays");
    }

    #[test]
    fn what_is_asked_for_doubles_with_every_read_that_was_filled_and_starts_anew_after_a_rest() {
        let mut buffer = ReadBuffer::new();
        let mut rooms = Vec::new();
        for _ in 0..6 {
            rooms.push(buffer.read_from(&mut Script::of([]), 0).unwrap());
            assert!(buffer.is_filled());
            buffer.consume(usize::MAX);
        }
        assert_eq!(rooms, [4_096, 8_192, 16_384, 32_768, 65_536, 65_536]);
        buffer.read_from(&mut Script::of([Ok(65_535)]), 0).unwrap();
        assert!(!buffer.is_filled(), "a read that was not filled has emptied the socket");
        buffer.consume(usize::MAX);
        buffer.shrink();
        assert_eq!(buffer.read_from(&mut Script::of([]), 0).unwrap(), LEAST);
    }

    #[test]
    fn memory_is_given_back_and_contents_are_not_shown() {
        let mut buffer = ReadBuffer::new();
        buffer.read_from(&mut Pieces(&[b"canary"]), 0).unwrap();
        buffer.consume(1);
        assert_eq!(format!("{buffer:?}"), "ReadBuffer(5 bytes unread)");
        assert!(buffer.bytes.capacity() >= LEAST);
        buffer.consume(5);
        buffer.shrink();
        assert_eq!(buffer.bytes.capacity(), 0);
    }
}
