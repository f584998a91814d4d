//! Streams of the application's own in place of sockets.

mod readiness;
mod threads;

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};

use crate::options::Options;
use crate::url::ServerUrl;

pub use readiness::OwnStream;

/// What a connector is to connect to, and until when.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dialling {
    /// The server of this attempt. TLS and WebSocket are not the connector's: where the scheme asks for them, the
    /// client runs them over the stream.
    pub server: ServerUrl,
    /// Counts the attempts since the last healthy connection, from 1.
    pub number: u32,
    /// When the client gives the attempt up ([`Config::dial_timeout`](mqtt_session::Config::dial_timeout)); what comes
    /// later is dropped.
    pub until: Instant,
}

impl Dialling {
    /// For whoever dials.
    #[must_use]
    pub const fn new(server: ServerUrl, number: u32, until: Instant) -> Self {
        Self { server, number, until }
    }

    /// The time that is left.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// A connected byte stream of whatever kind: what a connector ([`Options::with_connector`]) gives back.
///
/// A socket of the standard library is used as the client's own would be (`From`). For everything else:
///
/// | the stream | made by | cost |
/// | --- | --- | --- |
/// | `AsyncRead + AsyncWrite` of `futures-io` | [`new`](Self::new) | a lock |
/// | a blocking `Read` and a blocking `Write` | [`blocking`](Self::blocking) | two threads |
/// | one `Read + Write` that does not block for long | [`polled`](Self::polled) | a thread, up to a millisecond for each turn |
pub struct ByteStream(Raw);

/// What is in a [`ByteStream`]; for whoever dials.
#[non_exhaustive]
pub enum Raw {
    /// A TCP socket; whether it blocks is not known.
    Tcp(TcpStream),
    /// A Unix socket; whether it blocks is not known.
    #[cfg(unix)]
    Unix(UnixStream),
    /// Something else.
    Own(OwnStream),
}

impl ByteStream {
    /// An async stream. It is polled with a waker of the client's, by any thread and without any executor around it: a
    /// stream that works inside one runtime only must be driven there, and joined to this client by a pipe.
    ///
    /// * Each write is followed by a flush; a stream that buffers is fine.
    /// * When the client has said its last word it closes the stream (`poll_close`, once) and drops it.
    #[must_use]
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        Self(Raw::Own(OwnStream::new(stream)))
    }

    /// A stream that blocks, in two halves, each served by a thread of its own. At most 64 KiB wait between a thread and
    /// the client in each direction; then the reader is not read, or the client is held back.
    ///
    /// When the connection is over the writer is dropped, once the last bytes are written, or after a second in which writes
    /// time out: that must end the reader, or
    /// its thread stays until the reader returns. A reader with a time-out (`WouldBlock`, `TimedOut`) ends
    /// with its next one.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn blocking(
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
    ) -> io::Result<Self> {
        threads::halves(reader, writer).map(Self::new)
    }

    /// A stream in one piece that gives up a read after a while: one that does not block at all, or one with a short read
    /// time-out (`WouldBlock`, `TimedOut`). A thread reads and writes it in turn; what is to be written waits
    /// for the end of the read that is under way, so let the time-out be a few milliseconds.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn polled(stream: impl Read + Write + Send + 'static) -> io::Result<Self> {
        threads::whole(stream).map(Self::new)
    }

    /// What is in it; for whoever dials.
    #[must_use]
    pub fn into_raw(self) -> Raw {
        self.0
    }
}

impl From<TcpStream> for ByteStream {
    fn from(socket: TcpStream) -> Self {
        Self(Raw::Tcp(socket))
    }
}

#[cfg(unix)]
impl From<UnixStream> for ByteStream {
    fn from(socket: UnixStream) -> Self {
        Self(Raw::Unix(socket))
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ByteStream").field(&self.0).finish()
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp(_) => "Tcp",
            #[cfg(unix)]
            Self::Unix(_) => "Unix",
            Self::Own(_) => "Own",
        })
    }
}

type Result = io::Result<ByteStream>;
type BlockingConnector = dyn Fn(&Dialling) -> Result + Send + Sync;
type AsyncConnector = dyn Fn(Dialling) -> Pin<Box<dyn Future<Output = Result> + Send>> + Send + Sync;

/// The application's way to a server.
#[derive(Clone)]
pub struct Connector(Kind);

#[derive(Clone)]
enum Kind {
    Blocking(Arc<BlockingConnector>),
    Async(Arc<AsyncConnector>),
}

/// A connector at work; for whoever dials.
pub enum Connecting {
    /// To be called where it may block.
    Blocking(Box<dyn FnOnce() -> Result + Send>),
    /// To be awaited; dropping it gives the attempt up.
    Async(Pin<Box<dyn Future<Output = Result> + Send>>),
}

impl Connector {
    /// Begins an attempt; nothing happens yet.
    #[must_use]
    pub fn connect(&self, to: Dialling) -> Connecting {
        match &self.0 {
            Kind::Blocking(connect) => {
                let connect = Arc::clone(connect);
                Connecting::Blocking(Box::new(move || connect(&to)))
            }
            Kind::Async(connect) => {
                let connect = Arc::clone(connect);
                Connecting::Async(Box::pin(async move { connect(to).await }))
            }
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl fmt::Debug for Connecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connecting")
    }
}

impl Options {
    /// Connects by this function in place of a socket: over a serial line, a tunnel, another program's pipes, a proxy, a
    /// network interface of choice, or nothing but memory. It is called for each attempt, with the server's address;
    /// the name in it is not looked up. Default none.
    ///
    /// * The scheme still counts: over the stream of an `mqtts://` or `wss://` server TLS is spoken, with the
    ///   host of the address as the name in the certificate; `ws://` opens a WebSocket; `unix://` is plain.
    ///   Nothing falls back to plaintext.
    /// * It may block until [`Dialling::until`]; the client gives the attempt up then, whatever the function does. The blocking
    ///   `Client` and the async adapter call it on another thread, `Connection` of the blocking one on the thread that polls.
    /// * An error ends the attempt, told as [`Cause::Connector`](crate::Cause::Connector); others follow as always.
    ///
    /// ```
    /// use std::net::TcpStream;
    ///
    /// # fn main() -> Result<(), mqtt_adapter_core::UrlError> {
    /// let options = mqtt_adapter_core::Options::new("mqtt://broker.example")?.with_connector(|to| {
    ///     // Through a tunnel that ends here; with mqtts://, TLS would be between this client and broker.example.
    ///     let socket = TcpStream::connect_timeout(&([127, 0, 0, 1], 4_000).into(), to.left())?;
    ///     Ok(socket.into())
    /// });
    /// # let _ = options;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_connector(
        mut self,
        connect: impl Fn(&Dialling) -> io::Result<ByteStream> + Send + Sync + 'static,
    ) -> Self {
        self.hooks_mut().connector = Some(Connector(Kind::Blocking(Arc::new(connect))));
        self
    }

    /// As [`with_connector`](Self::with_connector), with a future. The async adapter awaits it in the task that runs the
    /// connection, and drops it when the attempt is given up; the blocking one waits for it on another thread,
    /// without any executor around it.
    ///
    /// ```
    /// use mqtt_adapter_core::{ByteStream, Options};
    /// # use core::{pin::Pin, task::{Context, Poll}};
    /// # use futures_io::{AsyncRead, AsyncWrite};
    /// # async fn open_tunnel(_: &str) -> std::io::Result<Tunnel> { Ok(Tunnel) }
    /// # struct Tunnel;
    /// # impl AsyncRead for Tunnel {
    /// #     fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<std::io::Result<usize>> {
    /// #         Poll::Ready(Ok(0))
    /// #     }
    /// # }
    /// # impl AsyncWrite for Tunnel {
    /// #     fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
    /// #         Poll::Ready(Ok(bytes.len()))
    /// #     }
    /// #     fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> { Poll::Ready(Ok(())) }
    /// #     fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> { Poll::Ready(Ok(())) }
    /// # }
    ///
    /// # fn main() -> Result<(), mqtt_adapter_core::UrlError> {
    /// let options = Options::new("mqtt://broker.example")?.with_async_connector(|to| async move {
    ///     let tunnel = open_tunnel(to.server.host()).await?;
    ///     Ok(ByteStream::new(tunnel))
    /// });
    /// # let _ = options;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_async_connector<F>(mut self, connect: impl Fn(Dialling) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<ByteStream>> + Send + 'static,
    {
        let connect = move |to| -> Pin<Box<dyn Future<Output = Result> + Send>> { Box::pin(connect(to)) };
        self.hooks_mut().connector = Some(Connector(Kind::Async(Arc::new(connect))));
        self
    }

    /// The connector, for whoever dials.
    #[must_use]
    pub const fn connector(&self) -> Option<&Connector> {
        self.hooks().connector.as_ref()
    }
}
