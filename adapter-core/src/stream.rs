//! Transports over a socket.

use core::fmt;
use std::io::{self, IoSlice};
#[cfg(feature = "proxy")]
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::dial::Peer;
use crate::event::Cause;
use crate::options::Options;
#[cfg(feature = "proxy")]
use crate::proxy::{Handshake, ProxyFailed};
use crate::transport::{LinkFacts, Transport};
use crate::url::{Scheme, ServerUrl};

/// Reads of input nobody wants any more, before a socket is closed.
const DISCARDS: usize = 16;

/// What the engine's bytes go through: the socket itself, TLS over it, or WebSocket over either; where there is a proxy,
/// it is spoken to first. Never blocks if the socket does not.
pub struct Stream<S: Transport> {
    kind: Kind<S>,
    peer: Peer,
    /// What is still to be agreed on with the proxy, before anything else.
    #[cfg(feature = "proxy")]
    proxy: Mutex<Option<Handshake>>,
}

enum Kind<S: Transport> {
    Plain(S),
    #[cfg(feature = "tls-no-provider")]
    Tls(Box<crate::tls::TlsStream<S>>),
    #[cfg(feature = "ws")]
    Ws(Box<crate::ws::WsStream<S>>),
}

/// Runs the same code for each kind.
macro_rules! each {
    ($stream:expr, $inner:ident => $code:expr) => {
        match &$stream.kind {
            Kind::Plain($inner) => $code,
            #[cfg(feature = "tls-no-provider")]
            Kind::Tls($inner) => $code,
            #[cfg(feature = "ws")]
            Kind::Ws($inner) => $code,
        }
    };
}

impl<S: Transport> Stream<S> {
    /// What the server asks for, over a socket that is connected to this peer: the server, or a proxy. Nothing is agreed
    /// on before [`handshake`](Self::handshake) says so.
    ///
    /// # Errors
    /// The host cannot be a name in a certificate or for a proxy, a header is not one, or the scheme is not part of this
    /// build: nothing falls back to another.
    pub fn new(socket: S, peer: Peer, server: &ServerUrl, options: &Options) -> io::Result<Self> {
        #[cfg(feature = "proxy")]
        let proxy = peer.proxy().map(|proxy| Handshake::new(proxy, server)).transpose()?;
        let kind = if server.scheme().is_encrypted() {
            encrypted(socket, server, options)?
        } else {
            Kind::Plain(socket)
        };
        let stream = Self {
            kind,
            peer,
            #[cfg(feature = "proxy")]
            proxy: Mutex::new(proxy),
        };
        match server.scheme() {
            Scheme::Tcp | Scheme::Tls | Scheme::Unix => Ok(stream),
            Scheme::Ws | Scheme::Wss => stream.framed(server, options),
        }
    }

    #[cfg(feature = "ws")]
    fn framed(self, server: &ServerUrl, options: &Options) -> io::Result<Self> {
        let peer = self.peer.clone();
        Ok(Self {
            kind: Kind::Ws(Box::new(crate::ws::WsStream::new(self, server, options)?)),
            peer,
            // It belongs to the stream beneath.
            #[cfg(feature = "proxy")]
            proxy: Mutex::new(None),
        })
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
        #[cfg(feature = "proxy")]
        if !self.through_proxy()? {
            return Ok(false);
        }
        match &self.kind {
            Kind::Plain(_) => Ok(true),
            #[cfg(feature = "tls-no-provider")]
            Kind::Tls(tls) => tls.handshake(),
            #[cfg(feature = "ws")]
            Kind::Ws(ws) => ws.handshake(),
        }
    }

    /// Goes on with what is said to the proxy; true: the server is connected.
    #[cfg(feature = "proxy")]
    fn through_proxy(&self) -> io::Result<bool> {
        let mut proxy = self.lock();
        let Some(handshake) = &mut *proxy else { return Ok(true) };
        let socket = self.socket();
        while handshake.wants() > 0 {
            let mut buffer = [0; 64];
            let result = if handshake.outgoing().is_empty() {
                let room = handshake.wants().min(buffer.len());
                let read = socket.read(buffer.get_mut(..room).unwrap_or_default());
                read.and_then(|count| match buffer.get(..count) {
                    None | Some([]) => Err(ProxyFailed::closed().into()),
                    Some(bytes) => Ok(handshake.received(bytes)?),
                })
            } else {
                socket.write(handshake.outgoing()).map(|count| handshake.sent(count))
            };
            match result {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        *proxy = None;
        Ok(true)
    }

    #[cfg(feature = "proxy")]
    fn lock(&self) -> MutexGuard<'_, Option<Handshake>> {
        self.proxy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a failed handshake is told as.
    pub fn cause(&self, error: &io::Error) -> Cause {
        #[cfg(feature = "proxy")]
        if let Some(proxy) = self.peer.proxy() {
            if let Some(failed) = error.get_ref().and_then(|inner| inner.downcast_ref::<ProxyFailed>()) {
                let (failure, detail) = (failed.failure, failed.detail.clone());
                return Cause::Proxy { proxy: proxy.to_string(), failure, detail };
            }
            if self.lock().is_some() {
                return self.peer.cause(error);
            }
        }
        match &self.kind {
            Kind::Plain(_) => self.peer.cause(error),
            #[cfg(feature = "tls-no-provider")]
            Kind::Tls(_) => self.peer.tls(error),
            #[cfg(feature = "ws")]
            Kind::Ws(ws) if ws.is_under_failed() => ws.under().cause(error),
            #[cfg(feature = "ws")]
            Kind::Ws(_) => self.peer.web_socket(error),
        }
    }

    /// Whom the socket belongs to.
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Whether the handshake waits for the socket to be writable; else for it to be readable.
    pub fn is_writing(&self) -> bool {
        #[cfg(feature = "proxy")]
        if let Some(handshake) = &*self.lock() {
            return !handshake.outgoing().is_empty();
        }
        match &self.kind {
            Kind::Plain(_) => false,
            #[cfg(feature = "tls-no-provider")]
            Kind::Tls(tls) => tls.is_writing(),
            #[cfg(feature = "ws")]
            Kind::Ws(ws) => ws.under().is_writing(),
        }
    }

    /// Ends the connection in order. What was received and not read would make the system reset it, and the peer might
    /// then lose the last packets sent to it: it is read and forgotten first.
    pub fn finish(&self) {
        if self.shutdown().is_err() {
            return;
        }
        let mut waste = [0; 4_096];
        for _ in 0..DISCARDS {
            match self.socket().read(&mut waste) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// Says that nothing more is written, where the transport over the socket has a way to say it.
    pub(crate) fn say_end(&self) {
        match &self.kind {
            Kind::Plain(_) => {}
            #[cfg(feature = "tls-no-provider")]
            Kind::Tls(tls) => tls.finish(),
            #[cfg(feature = "ws")]
            Kind::Ws(ws) => ws.finish(),
        }
    }

    /// The socket.
    pub fn socket(&self) -> &S {
        match &self.kind {
            Kind::Plain(socket) => socket,
            #[cfg(feature = "tls-no-provider")]
            Kind::Tls(tls) => tls.socket(),
            #[cfg(feature = "ws")]
            Kind::Ws(ws) => ws.under().socket(),
        }
    }

    /// Whether a byte read is a byte of the socket, so that a read that was not filled has emptied it.
    pub const fn is_plain(&self) -> bool {
        matches!(self.kind, Kind::Plain(_))
    }
}

#[cfg(feature = "tls-no-provider")]
fn encrypted<S: Transport>(socket: S, server: &ServerUrl, options: &Options) -> io::Result<Kind<S>> {
    match options.tls() {
        Some(tls) => Ok(Kind::Tls(Box::new(tls.stream(socket, server.host())?))),
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, "TLS is not set up")),
    }
}

#[cfg(not(feature = "tls-no-provider"))]
fn encrypted<S: Transport>(_: S, _: &ServerUrl, _: &Options) -> io::Result<Kind<S>> {
    Err(io::ErrorKind::Unsupported.into())
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

    fn facts(&self) -> LinkFacts {
        each!(self, stream => stream.facts())
    }

    fn shutdown(&self) -> io::Result<()> {
        self.say_end();
        self.socket().shutdown()
    }
}

impl<S: Transport> fmt::Debug for Stream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            Kind::Plain(_) => "Stream(plain)",
            #[cfg(feature = "tls-no-provider")]
            Kind::Tls(_) => "Stream(TLS)",
            #[cfg(feature = "ws")]
            Kind::Ws(_) => "Stream(WebSocket)",
        })
    }
}
