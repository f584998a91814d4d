//! Transports over a socket.

use core::fmt;
use core::net::SocketAddr;
use std::io::{self, IoSlice};

use crate::event::Cause;
use crate::options::Options;
use crate::transport::Transport;
use crate::url::{Scheme, ServerUrl};

/// What the engine's bytes go through: the socket itself, TLS over it, or WebSocket over either. Never blocks if the
/// socket does not.
pub struct Stream<S: Transport>(Kind<S>);

enum Kind<S: Transport> {
    Plain(S),
    #[cfg(feature = "tls")]
    Tls(Box<crate::tls::TlsStream<S>>),
    #[cfg(feature = "ws")]
    Ws(Box<crate::ws::WsStream<S>>),
}

/// Runs the same code for each kind.
macro_rules! each {
    ($stream:expr, $inner:ident => $code:expr) => {
        match &$stream.0 {
            Kind::Plain($inner) => $code,
            #[cfg(feature = "tls")]
            Kind::Tls($inner) => $code,
            #[cfg(feature = "ws")]
            Kind::Ws($inner) => $code,
        }
    };
}

impl<S: Transport> Stream<S> {
    /// What the server asks for, over a connected socket to it. Nothing is agreed on before
    /// [`handshake`](Self::handshake) says so.
    ///
    /// # Errors
    /// The host cannot be a name in a certificate, a header is not one, or the scheme is not part of this build: nothing
    /// falls back to another.
    pub fn new(socket: S, server: &ServerUrl, options: &Options) -> io::Result<Self> {
        let stream = if server.scheme().is_encrypted() {
            Self::encrypted(socket, server, options)?
        } else {
            Self(Kind::Plain(socket))
        };
        match server.scheme() {
            Scheme::Tcp | Scheme::Tls | Scheme::Unix => Ok(stream),
            Scheme::Ws | Scheme::Wss => stream.framed(server, options),
        }
    }

    #[cfg(feature = "tls")]
    fn encrypted(socket: S, server: &ServerUrl, options: &Options) -> io::Result<Self> {
        match options.tls() {
            Some(tls) => Ok(Self(Kind::Tls(Box::new(tls.stream(socket, server.host())?)))),
            None => Err(io::Error::new(io::ErrorKind::InvalidInput, "TLS is not set up")),
        }
    }

    #[cfg(not(feature = "tls"))]
    fn encrypted(_: S, _: &ServerUrl, _: &Options) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(feature = "ws")]
    fn framed(self, server: &ServerUrl, options: &Options) -> io::Result<Self> {
        Ok(Self(Kind::Ws(Box::new(crate::ws::WsStream::new(self, server, options)?))))
    }

    #[cfg(not(feature = "ws"))]
    fn framed(self, _: &ServerUrl, _: &Options) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
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
            #[cfg(feature = "ws")]
            Kind::Ws(ws) => ws.handshake(),
        }
    }

    /// What a failed handshake with the peer at this address is told as.
    pub fn cause(&self, address: SocketAddr, error: &io::Error) -> Cause {
        match &self.0 {
            Kind::Plain(_) => Cause::dial(address, error),
            #[cfg(feature = "tls")]
            Kind::Tls(_) => Cause::tls(address, error),
            #[cfg(feature = "ws")]
            Kind::Ws(ws) if ws.is_under_failed() => ws.under().cause(address, error),
            #[cfg(feature = "ws")]
            Kind::Ws(_) => Cause::web_socket(address, error),
        }
    }

    /// What a failed handshake over a stream of the application's own is told as.
    pub fn cause_to(&self, server: &ServerUrl, error: &io::Error) -> Cause {
        match &self.0 {
            Kind::Plain(_) => Cause::connector(server, error),
            #[cfg(feature = "tls")]
            Kind::Tls(_) => Cause::layer(server, "TLS", error),
            #[cfg(feature = "ws")]
            Kind::Ws(ws) if ws.is_under_failed() => ws.under().cause_to(server, error),
            #[cfg(feature = "ws")]
            Kind::Ws(_) => Cause::layer(server, "WebSocket", error),
        }
    }

    /// Whether the handshake waits for the socket to be writable; else for it to be readable.
    pub fn is_writing(&self) -> bool {
        match &self.0 {
            Kind::Plain(_) => false,
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => tls.is_writing(),
            #[cfg(feature = "ws")]
            Kind::Ws(ws) => ws.under().is_writing(),
        }
    }

    /// Says that nothing more is written, where the transport has a way to say it.
    pub fn finish(&self) {
        match &self.0 {
            Kind::Plain(_) => {}
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => tls.finish(),
            #[cfg(feature = "ws")]
            Kind::Ws(ws) => ws.finish(),
        }
    }

    /// The socket.
    pub fn socket(&self) -> &S {
        match &self.0 {
            Kind::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => tls.socket(),
            #[cfg(feature = "ws")]
            Kind::Ws(ws) => ws.under().socket(),
        }
    }

    /// Whether a byte read is a byte of the socket, so that a read that was not filled has emptied it.
    pub const fn is_plain(&self) -> bool {
        matches!(self.0, Kind::Plain(_))
    }
}

impl<S: Transport> Transport for Stream<S> {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        each!(self, stream => stream.read(buffer))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        each!(self, stream => stream.write(bytes))
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        each!(self, stream => stream.write_vectored(slices))
    }

    fn flush(&self) -> io::Result<()> {
        each!(self, stream => stream.flush())
    }
}

impl<S: Transport> fmt::Debug for Stream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Plain(_) => "Stream(plain)",
            #[cfg(feature = "tls")]
            Kind::Tls(_) => "Stream(TLS)",
            #[cfg(feature = "ws")]
            Kind::Ws(_) => "Stream(WebSocket)",
        })
    }
}
