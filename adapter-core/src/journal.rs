//! Where a client keeps what is to outlive a crash.

#[cfg(feature = "journal")]
mod disk;
mod writer;

use core::fmt;
use core::time::Duration;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use mqtt_session::{KeptRecord, Key, RestoreError};

pub(crate) use writer::{GATHER, Writer};

/// A record to be stored, or one to be deleted.
#[derive(Clone, Debug)]
pub struct Change {
    key: Key,
    record: Option<KeptRecord>,
}

impl Change {
    /// Store this record.
    #[must_use]
    pub const fn put(key: Key, record: KeptRecord) -> Self {
        Self { key, record: Some(record) }
    }

    /// Delete the record of this key.
    #[must_use]
    pub const fn delete(key: Key) -> Self {
        Self { key, record: None }
    }

    /// Which record.
    #[must_use]
    pub const fn key(&self) -> Key {
        self.key
    }

    /// What to store in place of what is there, in pieces that are to be written one behind the other; `None`:
    /// delete what is there.
    #[must_use]
    pub fn record(&self) -> Option<[&Bytes; 2]> {
        self.record.as_ref().map(KeptRecord::chunks)
    }

    /// Bytes to store.
    #[must_use]
    pub fn len(&self) -> usize {
        self.record.as_ref().map_or(0, KeptRecord::len)
    }

    /// Whether there is nothing to store: the record is to be deleted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.record.is_none()
    }
}

/// What a store gives its records to: their key, what was stored, and the time since then (`None`: not known).
pub type Take<'t> = dyn FnMut(Key, &[u8], Option<Duration>) + 't;

/// Something that keeps records: a file, a database of the application's own.
///
/// It is called by one thread at a time, never while the client is held up by it, and may take its time: what is
/// published meanwhile is gathered for the next [`write`](Self::write). Records check themselves; a store need not.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::{Arc, Mutex};
///
/// use mqtt_adapter_core::session::{Key, RestoreError};
/// use mqtt_adapter_core::{Change, Journal, JournalError, Options, Store, Take};
///
/// /// Outlives the client, though not the process.
/// #[derive(Clone, Default)]
/// struct Memory(Arc<Mutex<BTreeMap<Key, Vec<u8>>>>);
///
/// impl Store for Memory {
///     fn load(&mut self, take: &mut Take<'_>) -> Result<(), JournalError> {
///         self.0.lock().unwrap().iter().for_each(|(key, record)| take(*key, record, None));
///         Ok(())
///     }
///
///     fn write(&mut self, changes: &[Change]) -> Result<(), JournalError> {
///         let mut records = self.0.lock().unwrap();
///         for change in changes {
///             match change.record() {
///                 Some(pieces) => records.insert(change.key(), pieces.map(|piece| &piece[..]).concat()),
///                 None => records.remove(&change.key()),
///             };
///         }
///         Ok(())
///     }
///
///     fn set_aside(&mut self, key: Key, _: RestoreError) -> Result<(), JournalError> {
///         self.0.lock().unwrap().remove(&key);
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let memory = Memory::default();
/// let journal = Journal::of_store(move |_client_id| Ok(Box::new(memory.clone())));
/// let options = Options::new("mqtt://localhost")?.with_client_id("meter-7").with_journal(journal);
/// # let _ = options;
/// # Ok(())
/// # }
/// ```
pub trait Store: Send {
    /// Gives every record that is there to `take`, in any order, with the time since it was stored (`None`: not known).
    /// Called once, before everything else.
    ///
    /// # Errors
    /// [`JournalError`]: there is no client then.
    fn load(&mut self, take: &mut Take<'_>) -> Result<(), JournalError>;

    /// Carries out the changes in their order, and comes back when a crash cannot undo them. What a crash in
    /// the middle leaves must be the effect of the first so many of all changes ever given; best, all of one call or
    /// none.
    ///
    /// # Errors
    /// None of the changes was carried out. Deletions are given again with the next call.
    fn write(&mut self, changes: &[Change]) -> Result<(), JournalError>;

    /// The engine does not take this record: it is damaged, say. It must not be loaded again, and is best kept
    /// for whoever wants to know what happened.
    ///
    /// # Errors
    /// [`JournalError`]: there is no client then.
    fn set_aside(&mut self, key: Key, why: RestoreError) -> Result<(), JournalError>;
}

type Open = dyn Fn(&str) -> Result<Box<dyn Store>, JournalError> + Send + Sync;

/// Where a client keeps what is to outlive a crash; see [`Options::with_journal`](crate::Options::with_journal).
#[derive(Clone)]
pub struct Journal {
    open: Arc<Open>,
    place: Option<PathBuf>,
}

impl Journal {
    /// A file for each client identifier in this folder, which is made if there is none. The file's name is made from
    /// the client identifier, so that it is good on every system.
    ///
    /// The file belongs to one client at a time, in whatever process: a second one is told
    /// [`JournalError::Locked`]. It needs the feature `journal`.
    #[cfg(feature = "journal")]
    #[must_use]
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        let place = Some(folder.clone());
        let open = move |client_id: &str| {
            std::fs::create_dir_all(&folder).map_err(|error| JournalError::io(&folder, &error))?;
            disk::open(&folder.join(disk::file_name(client_id)), client_id)
        };
        Self { open: Arc::new(open), place }
    }

    /// A store of the caller's own. `open` is given the client identifier, once for each client that is made.
    #[must_use]
    pub fn of_store(
        open: impl Fn(&str) -> Result<Box<dyn Store>, JournalError> + Send + Sync + 'static,
    ) -> Self {
        Self { open: Arc::new(open), place: None }
    }

    /// The folder of its files, if it has one.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.place.as_deref()
    }

    /// Opens the store of this client identifier, as a client with it would: for tools, and for adapters of one's own.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(&self, client_id: &str) -> Result<Box<dyn Store>, JournalError> {
        (self.open)(client_id)
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => f.debug_tuple("Journal").field(place).finish(),
            None => f.write_str("Journal(a store of the application's own)"),
        }
    }
}

/// What is wrong with a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalError {
    /// The options give no client identifier: one that is drawn or assigned names another session each time.
    NoClientId,
    /// Another client, of this process or another, has the journal open.
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a journal, or is damaged as a whole. Nothing was changed; move it away to begin a new one.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The file is of another client identifier.
    OtherClient {
        /// The file.
        path: PathBuf,
        /// The client identifier in it.
        found: String,
    },
    /// A sound record that cannot be taken: it is of a newer version of the program, or beyond the limits in
    /// [`Config`](mqtt_session::Config). It stays where it is.
    Record {
        /// Which.
        key: Key,
        /// Why.
        error: RestoreError,
    },
    /// Reading or writing failed: a disk is full or read-only, say.
    Io {
        /// The file or folder, if it has one.
        path: Option<PathBuf>,
        /// The kind of error.
        kind: io::ErrorKind,
        /// What the operating system said.
        detail: String,
    },
}

impl JournalError {
    /// A read or write that failed.
    pub fn io(path: impl Into<PathBuf>, error: &io::Error) -> Self {
        Self::Io { path: Some(path.into()), kind: error.kind(), detail: error.to_string() }
    }

    /// Whether the disk, or what the process may use of it, is full.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(
            self,
            Self::Io {
                kind: io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge,
                ..
            }
        )
    }

    /// Whether the disk cannot be written at all.
    #[must_use]
    pub const fn is_read_only(&self) -> bool {
        matches!(
            self,
            Self::Io { kind: io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied, .. }
        )
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoClientId => f.write_str("a journal needs a client identifier: set one in the options"),
            Self::Locked { path } => write!(f, "the journal {} is in use by another client", path.display()),
            Self::Damaged { path, detail } => {
                write!(
                    f,
                    "the journal {} is damaged ({detail}): move it away to begin a new one",
                    path.display()
                )
            }
            Self::OtherClient { path, found } => {
                write!(f, "the journal {} is of the client {found:?}", path.display())
            }
            Self::Record { key, error } => write!(f, "record {key} of the journal: {error}"),
            Self::Io { path: Some(path), detail, .. } => {
                write!(f, "the journal {}: {detail}", path.display())
            }
            Self::Io { path: None, detail, .. } => write!(f, "the journal: {detail}"),
        }
    }
}

impl core::error::Error for JournalError {}
