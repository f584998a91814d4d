//! Blocks: what a log is written in and read from.

use core::fmt;
use std::io::{self, Read, Write};
use std::vec::Vec;

use super::ENGINE;
use super::kept::{Damaged, Kept, Reader};
use super::replay::ReplayError;
use crate::config::Config;
use crate::record::crc;
use crate::session::Session;
use crate::storage::{Capacity, Storage};

/// What a log begins with; the last byte is the version of the format.
pub(super) const MAGIC: [u8; 8] = *b"MQTAPE\r\x01";
/// Kind, track, length, CRC-32.
const HEAD: usize = 13;
pub(super) const TRACK: u8 = 1;
pub(super) const CALLS: u8 = 2;
pub(super) const END: u8 = 3;

/// A session's place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Track(u32);

/// A log that is being written: recorded sessions, and where their calls go. See the [module](super).
///
/// Each write is a block; give it a writer that buffers where the disk is slow.
#[derive(Debug)]
pub struct Log<W: Write> {
    writer: W,
    tracks: u32,
}

impl<W: Write> Log<W> {
    /// A new log.
    ///
    /// # Errors
    /// Of the writer.
    pub fn new(mut writer: W) -> io::Result<Self> {
        writer.write_all(&MAGIC)?;
        Ok(Self { writer, tracks: 0 })
    }

    /// Records a session from now on, as a track of its own; `label` is for the reader. A clone of the session is recorded
    /// too, but has no track.
    ///
    /// # Errors
    /// Of the writer; [`TooLate`] in an error of kind `InvalidInput` where the session was used already, or is recorded
    /// elsewhere.
    pub fn track<S: Storage>(&mut self, session: &mut Session<S>, label: &str) -> io::Result<Track> {
        let (config, capacity) =
            session.begin_recording().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, TooLate))?;
        let track = Track(self.tracks);
        self.tracks = self.tracks.saturating_add(1);
        let mut content = Vec::new();
        label.put(&mut content);
        ENGINE.put(&mut content);
        config.put(&mut content);
        capacity.put(&mut content);
        self.block(TRACK, track.0, &content)?;
        Ok(track)
    }

    /// Takes what the session has recorded since the last time.
    ///
    /// # Errors
    /// Of the writer; the session is then not recorded any more.
    pub fn take<S: Storage>(&mut self, track: Track, session: &mut Session<S>) -> io::Result<()> {
        let Some(recorder) = session.recorder() else { return Ok(()) };
        if recorder.len() == 0 {
            return Ok(());
        }
        let written = self.block(CALLS, track.0, recorder.calls());
        match written {
            Ok(()) => recorder.forget(),
            Err(_) => session.stop_recording(),
        }
        written
    }

    /// Ends the log: what a reader sees that has an end has it all.
    ///
    /// # Errors
    /// Of the writer.
    pub fn finish(mut self) -> io::Result<W> {
        let tracks = self.tracks;
        self.block(END, tracks, &[])?;
        self.writer.flush()?;
        Ok(self.writer)
    }

    /// Passes on what the writer holds back.
    ///
    /// # Errors
    /// Of the writer.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    fn block(&mut self, kind: u8, track: u32, content: &[u8]) -> io::Result<()> {
        let len = u32::try_from(content.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut head = Vec::with_capacity(HEAD.saturating_add(content.len()));
        head.push(kind);
        head.extend_from_slice(&track.to_le_bytes());
        head.extend_from_slice(&len.to_le_bytes());
        let sum = crc([&head, content, &[]]);
        head.extend_from_slice(&sum.to_le_bytes());
        // One write: who is interrupted leaves whole blocks, mostly.
        head.extend_from_slice(content);
        self.writer.write_all(&head)
    }
}

/// A session that was used before it was to be recorded, or that is recorded already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLate;

impl fmt::Display for TooLate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a session can be recorded only from its first call on, and only once")
    }
}

impl core::error::Error for TooLate {}

/// A block as it was read.
pub(super) struct Block {
    pub(super) kind: u8,
    pub(super) track: u32,
    pub(super) content: Vec<u8>,
}

/// What a track begins with.
pub(super) struct Beginning<'a> {
    pub(super) label: &'a str,
    pub(super) engine: &'a str,
    rest: Reader<'a>,
}

impl<'a> Beginning<'a> {
    pub(super) fn of(content: &'a [u8]) -> Result<Self, Damaged> {
        let mut reader = Reader(content);
        Ok(Self { label: reader.take()?, engine: reader.take()?, rest: reader })
    }

    /// To be asked only where the engine is this one.
    pub(super) fn session(mut self) -> Result<(Config, Capacity), Damaged> {
        let made = (self.rest.take()?, self.rest.take()?);
        if self.rest.is_empty() { Ok(made) } else { Err(Damaged) }
    }
}

/// Reads blocks, and counts bytes.
pub(super) struct Blocks<R> {
    reader: R,
    pub(super) at: u64,
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(reader: R) -> Result<Self, ReplayError> {
        let mut blocks = Self { reader, at: 0 };
        let head = blocks.read(MAGIC.len())?;
        match (head.strip_prefix(&MAGIC[..7]), head.last()) {
            (Some([version]), _) if *version == MAGIC[7] => Ok(blocks),
            (Some([version]), _) => Err(ReplayError::Format { version: *version }),
            _ => Err(ReplayError::NoLog),
        }
    }

    /// The next block; `None`: the log breaks off here.
    pub(super) fn next(&mut self) -> Result<Option<Block>, ReplayError> {
        let start = self.at;
        let head = self.read(HEAD)?;
        let (Some([kind, track @ .., _, _, _, _]), Some(len)) =
            (head.first_chunk::<9>(), head.get(5..9).and_then(|len| len.first_chunk::<4>()))
        else {
            return Ok(None);
        };
        let (track, len) = (u32::from_le_bytes(*track), u32::from_le_bytes(*len));
        let Some(sum) = head.get(9..HEAD).and_then(|sum| sum.first_chunk::<4>()) else { return Ok(None) };
        let content = self.read(len as usize)?;
        if content.len() < len as usize {
            return Ok(None);
        }
        if crc([head.get(..9).unwrap_or_default(), &content, &[]]) != u32::from_le_bytes(*sum) {
            return Err(ReplayError::Damaged { at: start });
        }
        Ok(Some(Block { kind: *kind, track, content }))
    }

    pub(super) fn is_at_end(&mut self) -> Result<bool, ReplayError> {
        Ok(self.read(1)?.is_empty())
    }

    /// So many bytes, or as many as there are. Memory grows with what comes.
    fn read(&mut self, len: usize) -> Result<Vec<u8>, ReplayError> {
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(len as u64).read_to_end(&mut bytes);
        self.at = self.at.saturating_add(read.map_err(ReplayError::Io)? as u64);
        Ok(bytes)
    }
}
