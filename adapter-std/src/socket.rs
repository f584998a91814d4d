//! The kinds of sockets.

use core::net::SocketAddr;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::event::Source;
use mio::net::TcpStream;
#[cfg(unix)]
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use mqtt_adapter_core::{ByteStream, LinkFacts, OwnStream, Raw, Transport};

/// A socket that never blocks.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    /// A stream of the application's own. It is not registered anywhere: it wakes.
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
    /// Begins to connect.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        TcpStream::connect(address).map(Self::Tcp)
    }

    /// Begins to connect to a Unix socket.
    #[cfg(unix)]
    pub(crate) fn connect_unix(path: &str) -> io::Result<Self> {
        UnixStream::connect(path).map(Self::Unix)
    }

    #[cfg(not(unix))]
    pub(crate) fn connect_unix(_: &str) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// What a connector gave.
    pub(crate) fn given(stream: ByteStream) -> io::Result<Self> {
        Ok(match stream.into_raw() {
            Raw::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                Self::Tcp(TcpStream::from_std(socket))
            }
            #[cfg(unix)]
            Raw::Unix(socket) => {
                socket.set_nonblocking(true)?;
                Self::Unix(UnixStream::from_std(socket))
            }
            Raw::Own(stream) => Self::Own(stream),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    /// Whether the connection is made; `Ok(false)`: not yet.
    pub(crate) fn connected(&self) -> io::Result<bool> {
        let error = each!(self, socket => socket.take_error()?, _ => None);
        if let Some(error) = error {
            return Err(error);
        }
        match each!(self, socket => socket.peer_addr().map(drop), _ => Ok(())) {
            Ok(()) => {
                if let Self::Tcp(socket) = self {
                    // An acknowledgement followed by a publish would wait 40 ms otherwise. It fails only where the
                    // connection is gone already, which reading then tells.
                    let _ = socket.set_nodelay(true);
                }
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Transport for Socket {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        each!(self, socket => (&mut &*socket).read(buffer), own => own.read(buffer))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        each!(self, socket => (&mut &*socket).write(bytes), own => own.write(bytes))
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        each!(self, socket => (&mut &*socket).write_vectored(slices), own => own.write_vectored(slices))
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
            Self::Tcp(socket) => LinkFacts::between(socket.local_addr().ok(), socket.peer_addr().ok()),
            _ => LinkFacts::default(),
        }
    }

    fn shutdown(&self) -> io::Result<()> {
        each!(self, socket => socket.shutdown(Shutdown::Write), own => own.shutdown())
    }
}

impl Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        each!(self, socket => socket.register(registry, token, interest), _ => Ok(()))
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        each!(self, socket => socket.reregister(registry, token, interest), _ => Ok(()))
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        each!(self, socket => socket.deregister(registry), _ => Ok(()))
    }
}
