//! What a byte stream must do for the engine.

use core::net::SocketAddr;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};

/// A connected byte stream that never blocks, read and written through a shared reference: any thread that holds the
/// engine's lock writes to it, while another one reads.
///
/// Every method says [`WouldBlock`](io::ErrorKind::WouldBlock) instead of waiting. Sockets of the standard library are such
/// once they are set to be non-blocking.
pub trait Transport {
    /// Reads what is there. `Ok(0)`: the peer has said that nothing more comes.
    ///
    /// # Errors
    /// `WouldBlock`; any other ends the connection.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Takes what there is room for, at least a byte.
    ///
    /// # Errors
    /// `WouldBlock`; any other ends the connection.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Takes what there is room for from several slices, in their order. Default: the first that is not empty.
    ///
    /// # Errors
    /// `WouldBlock`; any other ends the connection.
    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        slices.iter().find(|slice| !slice.is_empty()).map_or(Ok(0), |slice| self.write(slice))
    }

    /// Passes on what was taken and is held back. Default: nothing is.
    ///
    /// # Errors
    /// `WouldBlock`: some is still held back; any other ends the connection.
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    /// What is known of it. Default: nothing.
    fn facts(&self) -> LinkFacts {
        LinkFacts::default()
    }

    /// Says that nothing more is written; what was is sent before. Default: there is no way to say it.
    ///
    /// # Errors
    /// The connection is gone already.
    fn shutdown(&self) -> io::Result<()> {
        Ok(())
    }
}

/// What is known of the link that carries a connection.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LinkFacts {
    /// The address of the other end: the server's or, where there is one, the proxy's. None of Unix sockets and streams of
    /// the application's own.
    pub peer: Option<SocketAddr>,
    /// The address of this end.
    pub local: Option<SocketAddr>,
    /// The version of TLS as IANA's registry has it, 0x0303 for 1.2 and 0x0304 for 1.3; none without TLS.
    pub tls_version: Option<u16>,
    /// The application protocol agreed on in TLS, if any was.
    pub alpn: Option<Vec<u8>>,
}

impl LinkFacts {
    /// Of a socket between two addresses.
    #[must_use]
    pub const fn between(local: Option<SocketAddr>, peer: Option<SocketAddr>) -> Self {
        Self { peer, local, tls_version: None, alpn: None }
    }
}

impl Transport for TcpStream {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut &*self, buffer)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut &*self, bytes)
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Write::write_vectored(&mut &*self, slices)
    }

    fn facts(&self) -> LinkFacts {
        LinkFacts::between(self.local_addr().ok(), self.peer_addr().ok())
    }

    fn shutdown(&self) -> io::Result<()> {
        Self::shutdown(self, Shutdown::Write)
    }
}

/// A transport as the standard library's traits.
pub(crate) struct Through<'t, T>(pub(crate) &'t T);

impl<T: Transport> Read for Through<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<T: Transport> Write for Through<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
