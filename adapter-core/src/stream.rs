//! Transports over a socket.

use core::fmt;
use std::io::{self, IoSlice};

use crate::options::Options;
use crate::transport::Transport;
use crate::url::{Scheme, ServerUrl};

/// What the engine's bytes go through: the socket itself, or TLS over it. Never blocks if the socket does not.
pub struct Stream<S>(Kind<S>);

enum Kind<S> {
    Plain(S),
    #[cfg(feature = "tls")]
    Tls(Box<crate::tls::TlsStream<S>>),
}

impl<S: Transport> Stream<S> {
    /// What the server asks for, over a connected socket to it. TLS is not agreed on before
    /// [`handshake`](Self::handshake) says so.
    ///
    /// # Errors
    /// The host cannot be a name in a certificate, or TLS is not set up.
    pub fn new(socket: S, server: &ServerUrl, options: &Options) -> io::Result<Self> {
        match server.scheme() {
            #[cfg(feature = "tls")]
            Scheme::Tls => match options.tls() {
                Some(tls) => Ok(Self(Kind::Tls(Box::new(tls.stream(socket, server.host())?)))),
                None => Err(io::Error::new(io::ErrorKind::InvalidInput, "TLS is not set up")),
            },
            // A scheme this build does not know has no address: nothing falls back to plaintext.
            #[cfg(not(feature = "tls"))]
            Scheme::Tls => {
                let _ = options;
                Err(io::ErrorKind::Unsupported.into())
            }
            Scheme::Tcp | Scheme::Unix => Ok(Self(Kind::Plain(socket))),
        }
    }

    /// Goes on with the handshake; true: done. False: to be called again when the socket is ready.
    ///
    /// # Errors
    /// Of the socket, and what is wrong with the peer.
    pub fn handshake(&self) -> io::Result<bool> {
        match &self.0 {
            Kind::Plain(_) => Ok(true),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => tls.handshake(),
        }
    }

    /// Whether the handshake waits for the socket to be writable; else for it to be readable.
    pub fn is_writing(&self) -> bool {
        match &self.0 {
            Kind::Plain(_) => false,
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => tls.is_writing(),
        }
    }

    /// Says that nothing more is written, where the transport has a way to say it.
    pub fn finish(&self) {
        match &self.0 {
            Kind::Plain(_) => {}
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => tls.finish(),
        }
    }

    /// The socket.
    pub const fn socket(&self) -> &S {
        match &self.0 {
            Kind::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => tls.socket(),
        }
    }

    /// Whether a byte read is a byte of the socket, so that a read that was not filled has emptied it.
    pub const fn is_plain(&self) -> bool {
        matches!(self.0, Kind::Plain(_))
    }
}

impl<S: Transport> Transport for Stream<S> {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Kind::Plain(socket) => socket.read(buffer),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => tls.read(buffer),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Kind::Plain(socket) => socket.write(bytes),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => tls.write(bytes),
        }
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.0 {
            Kind::Plain(socket) => socket.write_vectored(slices),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => tls.write_vectored(slices),
        }
    }

    fn flush(&self) -> io::Result<()> {
        match &self.0 {
            Kind::Plain(socket) => socket.flush(),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => tls.flush(),
        }
    }
}

impl<S> fmt::Debug for Stream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Plain(_) => "Stream::Plain",
            #[cfg(feature = "tls")]
            Kind::Tls(_) => "Stream::Tls",
        })
    }
}
