//! Payloads that are read while they are sent, or while they come.

use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, SeekFrom};

use futures_lite::{AsyncRead, AsyncReadExt as _, AsyncSeek, AsyncSeekExt as _};
use mqtt_adapter_core::{AckToken, Download, Message, Outcome, Publish, SourceError};

use crate::client::{Client, call};
use crate::connection::Link;

/// Bytes read at once.
const PIECE: usize = 64 * 1024;

impl Client {
    /// Publishes a message whose payload is the next `len` bytes of `source`, read while they are sent, so that it may be
    /// larger than memory; the payload in `publish` is not looked at. Waits for the end. After a lost connection it is
    /// read again from where it began. Dropped before something was sent, the message is taken back; later, the
    /// connection ends when [`Config::source_timeout`](crate::Config::source_timeout) is over.
    ///
    /// It is one packet: nothing else is sent while it is, not even pings. Choose a
    /// [keep alive](crate::Options::with_keep_alive) of more than the longest one takes.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn publish_from(
        &self,
        mut publish: Publish<'_>,
        len: u32,
        source: &mut (impl AsyncRead + AsyncSeek + Unpin),
    ) -> Result<Outcome, SourceError> {
        let begin = source.seek(SeekFrom::Current(0)).await.map_err(SourceError::Read)?;
        self.inner().prepare(&mut publish, Some(len)).map_err(SourceError::Publish)?;
        let mut upload = call(|wait, context| self.inner().poll_upload(&publish, len, wait, context))
            .await
            .map_err(SourceError::Publish)?;
        let mut buffer = vec![0; PIECE];
        loop {
            let mut offset = match poll_fn(|context| upload.poll_wanted(context)).await {
                Ok(offset) => offset,
                Err(outcome) => return outcome.into_result().map_err(SourceError::Failed),
            };
            while offset < len {
                let most = usize::try_from(len.saturating_sub(offset)).unwrap_or(PIECE).min(PIECE);
                let read = async {
                    source.seek(SeekFrom::Start(begin.saturating_add(offset.into()))).await?;
                    match source.read(&mut buffer[..most]).await? {
                        0 => Err(io::ErrorKind::UnexpectedEof.into()),
                        count => Ok(count),
                    }
                };
                let count = match read.await {
                    Ok(count) => count,
                    Err(error) => {
                        upload.cancel();
                        return Err(SourceError::Read(error));
                    }
                };
                // An error: the connection was lost, and it is asked for again.
                let Ok(taken) = upload.provide(offset, &buffer[..count]) else { break };
                offset = offset.saturating_add(u32::try_from(taken).unwrap_or(u32::MAX));
                if taken < count {
                    break;
                }
            }
        }
    }

    /// The next message over [`Config::max_packet_in`](crate::Config::max_packet_in), to be read while it comes; only with
    /// [`Oversize::Chunks`](crate::Oversize). `None`: the client has stopped. Handlers and [`recv`](Self::recv) do not see
    /// these.
    pub async fn recv_large(&self) -> Option<Large> {
        call(|wait, context| self.inner().poll_large(wait, context)).await.map(Large)
    }
}

/// A message that is read while it comes; see [`Client::recv_large`]. It is an error (`ConnectionAborted`) if the connection
/// ends in the middle, and at QoS 1 and 2 the message then comes again, as another one. At most 256 KiB of all such messages
/// wait to be read; then the server is held back, unless a call waits for its answer. Dropped, the rest is let pass.
pub struct Large(Download<Link>);

impl Large {
    /// The message, with an empty payload.
    #[must_use]
    pub const fn message(&self) -> &Message {
        self.0.message()
    }

    /// Bytes of the payload, as announced: a server may announce more than it ever sends.
    #[must_use]
    pub const fn announced(&self) -> u32 {
        self.0.announced()
    }

    /// What to acknowledge it with, once it was read to its end; only with [`AckMode::Manual`](crate::AckMode::Manual).
    #[must_use]
    pub fn ack(&self) -> Option<AckToken> {
        self.0.ack()
    }
}

impl AsyncRead for Large {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.0.poll_read(buffer, context)
    }
}

impl fmt::Debug for Large {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Large")
            .field("message", self.message())
            .field("announced", &self.announced())
            .finish()
    }
}
