//! The kinds of sockets.

use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll};
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;

use async_io::Async;
use mqtt_adapter_core::{ByteStream, LinkFacts, OwnStream, Raw, Transport};

/// A socket that never blocks, and tells tasks when it is ready.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(Async<TcpStream>),
    #[cfg(unix)]
    Unix(Async<UnixStream>),
    /// A stream of the application's own.
    Own(OwnStream),
}

/// Runs the same code for each kind; what is last, for a stream of the application's own.
macro_rules! each {
    ($socket:expr, $inner:ident => $code:expr, $own:pat => $other:expr) => {
        match $socket {
            Socket::Tcp($inner) => $code,
            #[cfg(unix)]
            Socket::Unix($inner) => $code,
            Socket::Own($own) => $other,
        }
    };
}

impl Socket {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = Async::<TcpStream>::connect(address).await?;
        // An acknowledgement followed by a publish would wait 40 ms otherwise. It fails only where the connection is
        // gone already, which reading then tells.
        let _ = socket.get_ref().set_nodelay(true);
        Ok(Self::Tcp(socket))
    }

    #[cfg(unix)]
    pub(crate) async fn connect_unix(path: &str) -> io::Result<Self> {
        Async::<UnixStream>::connect(path).await.map(Self::Unix)
    }

    #[cfg(not(unix))]
    pub(crate) async fn connect_unix(_: &str) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// What a connector gave.
    pub(crate) fn given(stream: ByteStream) -> io::Result<Self> {
        Ok(match stream.into_raw() {
            Raw::Tcp(socket) => {
                // As for one of the client's own.
                let _ = socket.set_nodelay(true);
                Self::Tcp(Async::new(socket)?)
            }
            #[cfg(unix)]
            Raw::Unix(socket) => Self::Unix(Async::new(socket)?),
            Raw::Own(stream) => Self::Own(stream),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, socket => socket.poll_readable(context), own => own.poll_readable(context).map(Ok))
    }

    pub(crate) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, socket => socket.poll_writable(context), own => own.poll_writable(context).map(Ok))
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        poll_fn(|context| self.poll_readable(context)).await
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        poll_fn(|context| self.poll_writable(context)).await
    }
}

impl Transport for Socket {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        each!(self, socket => socket.get_ref().read(buffer), own => own.read(buffer))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        each!(self, socket => socket.get_ref().write(bytes), own => own.write(bytes))
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        each!(self, socket => socket.get_ref().write_vectored(slices), own => own.write_vectored(slices))
    }

    fn flush(&self) -> io::Result<()> {
        match self {
            Self::Own(own) => own.flush(),
            // What they take has left.
            _ => Ok(()),
        }
    }

    fn facts(&self) -> LinkFacts {
        match self {
            Self::Tcp(socket) => {
                LinkFacts::between(socket.get_ref().local_addr().ok(), socket.get_ref().peer_addr().ok())
            }
            _ => LinkFacts::default(),
        }
    }

    fn shutdown(&self) -> io::Result<()> {
        each!(self, socket => socket.get_ref().shutdown(Shutdown::Write), own => own.shutdown())
    }
}
