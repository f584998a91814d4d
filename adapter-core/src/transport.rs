//! What a byte stream must do for the engine.

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

    /// Says that nothing more is written; what was is sent before. Default: there is no way to say it.
    ///
    /// # Errors
    /// The connection is gone already.
    fn shutdown(&self) -> io::Result<()> {
        Ok(())
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
