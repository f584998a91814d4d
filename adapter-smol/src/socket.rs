//! The kinds of sockets.

use core::net::SocketAddr;
use core::task::{Context, Poll};
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;

use async_io::Async;
use mqtt_adapter_core::Transport;

/// A socket that never blocks, and tells tasks when it is ready.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(Async<TcpStream>),
    #[cfg(unix)]
    Unix(Async<UnixStream>),
}

/// Runs the same code for each kind.
macro_rules! each {
    ($socket:expr, $inner:ident => $code:expr) => {
        match $socket {
            Socket::Tcp($inner) => $code,
            #[cfg(unix)]
            Socket::Unix($inner) => $code,
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

    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, socket => socket.poll_readable(context))
    }

    pub(crate) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, socket => socket.poll_writable(context))
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        each!(self, socket => socket.readable().await)
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        each!(self, socket => socket.writable().await)
    }

    pub(crate) fn shutdown(&self) -> io::Result<()> {
        each!(self, socket => socket.get_ref().shutdown(Shutdown::Write))
    }
}

impl Transport for Socket {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        each!(self, socket => socket.get_ref().read(buffer))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        each!(self, socket => socket.get_ref().write(bytes))
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        each!(self, socket => socket.get_ref().write_vectored(slices))
    }
}
