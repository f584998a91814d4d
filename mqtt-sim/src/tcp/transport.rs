//! What a connection's bytes go through: the socket itself, or WebSocket frames over it.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;

/// A transport that never blocks: every method says `WouldBlock` instead of waiting.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(TcpStream),
    #[cfg(feature = "ws")]
    Ws(super::ws::WsStream),
}

impl Transport {
    /// `Ok(0)`: the peer has said that nothing more comes.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            #[cfg(feature = "ws")]
            Self::Ws(ws) => ws.read(buffer),
        }
    }

    /// Takes what there is room for; some of that may be held back until [`flush`](Self::flush).
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            #[cfg(feature = "ws")]
            Self::Ws(ws) => ws.write(bytes),
        }
    }

    /// Passes on what is held back.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            #[cfg(feature = "ws")]
            Self::Ws(ws) => ws.flush(),
        }
    }

    /// Says that nothing more is written.
    pub(super) fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(feature = "ws")]
            Self::Ws(ws) => ws.shutdown(),
        }
    }
}
