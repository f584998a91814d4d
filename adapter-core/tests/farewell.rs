//! The end of a connection over a link that holds bytes back, as TLS and WebSocket do.

#![cfg(not(loom))]

use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;
use std::io;
use std::sync::{Arc, Mutex};

use mqtt_adapter_core::{Options, Transport, Worker, client};

/// Takes all it is given, and passes it on only while it is not stuck; answers CONNECT.
#[derive(Default)]
struct Holding {
    stuck: AtomicBool,
    held: Mutex<Vec<u8>>,
    passed: Mutex<Vec<u8>>,
    answers: Mutex<Vec<u8>>,
    ended: AtomicBool,
}

impl Transport for Holding {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut answers = self.answers.lock().unwrap();
        if answers.is_empty() {
            let ended = self.ended.load(Ordering::Relaxed);
            return if ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let count = answers.len().min(buffer.len());
        buffer[..count].copy_from_slice(&answers[..count]);
        answers.drain(..count);
        Ok(count)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.ended.load(Ordering::Relaxed), "nothing is written behind the end");
        self.held.lock().unwrap().extend_from_slice(bytes);
        if bytes[0] == 0x10 {
            self.answers.lock().unwrap().extend([0x20, 3, 0, 0, 0]);
        }
        Ok(bytes.len())
    }

    fn flush(&self) -> io::Result<()> {
        if self.stuck.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.passed.lock().unwrap().append(&mut self.held.lock().unwrap());
        Ok(())
    }

    fn shutdown(&self) -> io::Result<()> {
        assert_eq!(*self.held.lock().unwrap(), [0_u8; 0], "what is held at the end is lost");
        self.ended.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// Turns until nothing more is to be read; whether the link is blocked, and whether the run has ended.
fn turn(worker: &mut Worker<Holding>, link: &Arc<Holding>) -> (bool, bool) {
    loop {
        let turn = worker.turn(false);
        if turn.open.is_some() {
            worker.opened(Arc::clone(link));
            continue;
        }
        if turn.read {
            match worker.read(&turn, link) {
                Ok(0) => {
                    worker.lost(turn.generation, None);
                    continue;
                }
                Ok(_) => continue,
                Err(_) => {}
            }
        }
        return (turn.blocked, turn.stopped);
    }
}

#[test]
fn a_stop_waits_until_the_link_has_passed_on_what_it_holds() {
    let (handle, mut worker) = client(Options::new("mqtt://localhost").unwrap()).unwrap();
    worker.set_waker(Waker::noop());
    let link = Arc::new(Holding::default());
    assert_eq!(turn(&mut worker, &link), (false, false));
    link.stuck.store(true, Ordering::Relaxed);
    // The last handle: the client says DISCONNECT, and ends.
    drop(handle);
    assert_eq!(turn(&mut worker, &link), (true, false), "DISCONNECT has not left");
    assert_eq!(link.held.lock().unwrap().first(), Some(&0xe0));
    link.stuck.store(false, Ordering::Relaxed);
    worker.writable();
    assert_eq!(turn(&mut worker, &link), (false, true));
    let passed = link.passed.lock().unwrap();
    assert!(passed.ends_with(&[0xe0, 0]), "{passed:02x?}");
    assert!(link.ended.load(Ordering::Relaxed));
}
