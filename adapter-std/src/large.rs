//! Payloads that are read while they are sent, or while they come.

use core::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use mqtt_adapter_core::{AckToken, Download, Message, Outcome, Publish, SourceError};

use crate::client::Client;
use crate::net::Link;
use crate::wait::{block, call};

/// Bytes read at once.
const PIECE: usize = 64 * 1024;

impl Client {
    /// Publishes a message whose payload is the next `len` bytes of `source`, read while they are sent, so that it may be
    /// larger than memory; the payload in `publish` is not looked at. Waits for the end. After a lost connection it is
    /// read again from where it began.
    ///
    /// It is one packet: nothing else is sent while it is, not even pings. Choose a
    /// [keep alive](crate::Options::with_keep_alive) of more than the longest one takes.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = mqtt_adapter_std::Client::connect(mqtt_adapter_std::Options::new("mqtt://localhost")?)?;
    /// use mqtt_adapter_std::{Publish, Qos};
    ///
    /// let mut film = std::fs::File::open("film.mkv")?;
    /// let len = u32::try_from(film.metadata()?.len())?;
    /// let _ = client.publish_from(Publish::new("films", &[]).qos(Qos::AtLeastOnce), len, &mut film)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn publish_from(
        &self,
        mut publish: Publish<'_>,
        len: u32,
        source: &mut (impl Read + Seek),
    ) -> Result<Outcome, SourceError> {
        let begin = source.stream_position().map_err(SourceError::Read)?;
        self.inner().prepare(&mut publish, Some(len)).map_err(SourceError::Publish)?;
        let mut upload = call(|wait, context| self.inner().poll_upload(&publish, len, wait, context))
            .map_err(SourceError::Publish)?;
        let mut buffer = vec![0; PIECE];
        loop {
            let mut offset = match block(|context| upload.poll_wanted(context)) {
                Ok(offset) => offset,
                Err(outcome) => return outcome.into_result().map_err(SourceError::Failed),
            };
            let mut read = |offset: u32, buffer: &mut [u8]| -> io::Result<usize> {
                let most = usize::try_from(len.saturating_sub(offset)).unwrap_or(PIECE).min(PIECE);
                source.seek(SeekFrom::Start(begin.saturating_add(offset.into())))?;
                match source.read(&mut buffer[..most])? {
                    0 if most > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
                    count => Ok(count),
                }
            };
            while offset < len {
                let count = match read(offset, &mut buffer) {
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
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
    /// [`Oversize::Chunks`](crate::Oversize). Waits for it; `None`: the client has stopped. Handlers and [`recv`](Self::recv)
    /// do not see these.
    #[must_use]
    pub fn recv_large(&self) -> Option<Large> {
        call(|wait, context| self.inner().poll_large(wait, context)).map(Large)
    }
}

/// A message that is read while it comes; see [`Client::recv_large`]. Reading waits for what has not come; it is an error
/// (`ConnectionAborted`) if the connection ends in the middle, and at QoS 1 and 2 the message then comes again, as
/// another one. At most 256 KiB of all such messages wait to be read; then the server is held
/// back, unless a call waits for its answer. Dropped, the rest is let pass.
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

impl Read for Large {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        block(|context| self.0.poll_read(buffer, context))
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
