//! A journal in one file.

use core::fmt::Write as _;
use core::time::Duration;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use mqtt_session::{Key, RestoreError};
use redb::{
    CommitError, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
    TableError, TransactionError,
};

use super::{Change, JournalError, Store, Take};

/// By key: when it was stored, in microseconds since 1970, and the record.
const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
/// By the time they were set aside and the key: why, and the record.
const SET_ASIDE: TableDefinition<'_, (u64, u64), (&str, &[u8])> = TableDefinition::new("set aside");
/// What the file is about.
const ABOUT: TableDefinition<'_, &str, &str> = TableDefinition::new("about");
const CLIENT: &str = "client identifier";

/// Bytes before the record.
const STAMP: usize = 8;

/// What is kept of the file in memory, in bytes: records are written and deleted soon, and never read in between.
const CACHE: usize = 4 * 1024 * 1024;

/// A file of this many bytes is made smaller before it is used, if most of it is free.
const LARGE: u64 = 8 * 1024 * 1024;

/// The longest part of a client identifier in a file's name.
const NAME: usize = 120;

struct Disk {
    path: PathBuf,
    client_id: String,
    /// `None` after an error, until the file was opened again.
    database: Option<Database>,
}

/// The name of a client's file: letters, digits and `-_` stay, everything else becomes `%` and its number; capital
/// letters too, for systems to which they are the same as small ones. A long one is cut and told from others by a
/// checksum; the file itself says whose it is.
pub(super) fn file_name(client_id: &str) -> String {
    let mut name = String::from("client-");
    for byte in client_id.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            // Writing to a string does not fail.
            _ => _ = write!(name, "%{byte:02x}"),
        }
    }
    if name.len() > NAME {
        let sum = client_id.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
        name.truncate(NAME);
        let _ = write!(name, "~{sum:016x}");
    }
    name.push_str(".journal");
    name
}

/// Opens the file, or makes it.
pub(super) fn open(path: &Path, client_id: &str) -> Result<Box<dyn Store>, JournalError> {
    let mut disk = Disk { path: path.to_owned(), client_id: client_id.to_owned(), database: None };
    // Every page is looked at, here and only here: a damaged file is found before anything is believed of it.
    let mut database = disk.database(true)?;
    let large = fs::metadata(path).is_ok_and(|file| file.len() > LARGE);
    if large && disk.stored(&database)? < LARGE / 4 {
        // It only gives memory back; what cannot be moved stays.
        let _ = database.compact();
    }
    disk.database = Some(database);
    Ok(Box::new(disk))
}

impl Disk {
    fn database(&self, check: bool) -> Result<Database, JournalError> {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(check);
        let database = builder.create(&self.path).map_err(|error| self.error(error))?;
        self.claim(&database)?;
        Ok(database)
    }

    /// Makes the tables, and the file this client's.
    fn claim(&self, database: &Database) -> Result<(), JournalError> {
        let transaction = database.begin_write().map_err(|error| self.error(error))?;
        let found = {
            let mut about = transaction.open_table(ABOUT).map_err(|error| self.error(error))?;
            let found = about.get(CLIENT).map_err(|error| self.error(error))?;
            let found = found.map(|found| found.value().to_owned());
            if found.is_none() {
                about.insert(CLIENT, self.client_id.as_str()).map_err(|error| self.error(error))?;
                transaction.open_table(RECORDS).map_err(|error| self.error(error))?;
                transaction.open_table(SET_ASIDE).map_err(|error| self.error(error))?;
            }
            found
        };
        match found {
            None => transaction.commit().map_err(|error| self.error(error)),
            Some(found) if found == self.client_id => transaction.abort().map_err(|error| self.error(error)),
            Some(found) => Err(JournalError::OtherClient { path: self.path.clone(), found }),
        }
    }

    /// Bytes of all records.
    fn stored(&self, database: &Database) -> Result<u64, JournalError> {
        let read = database.begin_read().map_err(|error| self.error(error))?;
        let records = read.open_table(RECORDS).map_err(|error| self.error(error))?;
        let mut stored = 0;
        for entry in records.iter().map_err(|error| self.error(error))? {
            stored += entry.map_err(|error| self.error(error))?.1.value().len() as u64;
        }
        Ok(stored)
    }

    /// Does something with the file; after an error it is opened again next time.
    fn with<R>(
        &mut self,
        act: impl FnOnce(&Self, &Database) -> Result<R, JournalError>,
    ) -> Result<R, JournalError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => self.database(false)?,
        };
        let result = act(self, &database)?;
        self.database = Some(database);
        Ok(result)
    }

    fn error(&self, error: impl Into<Fault>) -> JournalError {
        let path = self.path.clone();
        match error.into() {
            Fault::Locked => JournalError::Locked { path },
            Fault::Damaged(detail) => JournalError::Damaged { path, detail },
            Fault::Io(kind, detail) => JournalError::Io { path: Some(path), kind, detail },
        }
    }
}

impl Store for Disk {
    fn load(&mut self, take: &mut Take<'_>) -> Result<(), JournalError> {
        let now = now();
        self.with(|disk, database| {
            let read = database.begin_read().map_err(|error| disk.error(error))?;
            let records = read.open_table(RECORDS).map_err(|error| disk.error(error))?;
            for entry in records.iter().map_err(|error| disk.error(error))? {
                let (key, value) = entry.map_err(|error| disk.error(error))?;
                let (age, record) = match value.value().split_first_chunk::<STAMP>() {
                    // A clock that was set back says nothing.
                    Some((stamp, record)) => (now.checked_sub(u64::from_le_bytes(*stamp)), record),
                    None => (None, value.value()),
                };
                take(Key::from(key.value()), record, age.map(Duration::from_micros));
            }
            Ok(())
        })
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), JournalError> {
        let stamp = now().to_le_bytes();
        self.with(|disk, database| {
            let transaction = database.begin_write().map_err(|error| disk.error(error))?;
            {
                let mut records = transaction.open_table(RECORDS).map_err(|error| disk.error(error))?;
                for change in changes {
                    let key = u64::from(change.key());
                    let Some(pieces) = change.record() else {
                        records.remove(key).map_err(|error| disk.error(error))?;
                        continue;
                    };
                    let len = STAMP + change.len();
                    let mut place = records.insert_reserve(key, len).map_err(|error| disk.error(error))?;
                    let mut rest = place.as_mut();
                    for piece in [&stamp[..], pieces[0], pieces[1]] {
                        let Some((front, behind)) = rest.split_at_mut_checked(piece.len()) else { break };
                        front.copy_from_slice(piece);
                        rest = behind;
                    }
                }
            }
            transaction.commit().map_err(|error| disk.error(error))
        })
    }

    fn set_aside(&mut self, key: Key, why: RestoreError) -> Result<(), JournalError> {
        self.with(|disk, database| {
            let transaction = database.begin_write().map_err(|error| disk.error(error))?;
            {
                let mut records = transaction.open_table(RECORDS).map_err(|error| disk.error(error))?;
                let mut aside = transaction.open_table(SET_ASIDE).map_err(|error| disk.error(error))?;
                let taken = records.remove(u64::from(key)).map_err(|error| disk.error(error))?;
                if let Some(record) = taken {
                    let why = why.to_string();
                    let at = (now(), u64::from(key));
                    aside.insert(at, (why.as_str(), record.value())).map_err(|error| disk.error(error))?;
                }
            }
            transaction.commit().map_err(|error| disk.error(error))
        })
    }
}

/// Microseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The errors of the database, as far as they differ for us.
enum Fault {
    Locked,
    Damaged(String),
    Io(io::ErrorKind, String),
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        match error {
            // Bytes that are not ours, or a page that is missing.
            StorageError::Io(error)
                if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
            {
                Self::Damaged(error.to_string())
            }
            StorageError::Io(error) => Self::Io(error.kind(), error.to_string()),
            StorageError::Corrupted(detail) => Self::Damaged(detail),
            error => Self::Io(io::ErrorKind::Other, error.to_string()),
        }
    }
}

impl From<DatabaseError> for Fault {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => Self::Locked,
            DatabaseError::Storage(error) => error.into(),
            error => Self::Damaged(error.to_string()),
        }
    }
}

impl From<TransactionError> for Fault {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Storage(error) => error.into(),
            error => Self::Io(io::ErrorKind::Other, error.to_string()),
        }
    }
}

impl From<TableError> for Fault {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Storage(error) => error.into(),
            error => Self::Damaged(error.to_string()),
        }
    }
}

impl From<CommitError> for Fault {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => error.into(),
            error => Self::Io(io::ErrorKind::Other, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicU32, Ordering};

    use mqtt_session::proto::{Qos, TopicName};
    use mqtt_session::{Command, Config, Durability, HeapSession, Message};

    /// A file of its own for each test.
    struct File(PathBuf);

    impl File {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            Self(std::env::temp_dir().join(format!("mqtt-journal-{}-{number}", std::process::id())))
        }

        fn open(&self) -> Result<Box<dyn Store>, JournalError> {
            open(&self.0, "me")
        }

        fn records(&self) -> Vec<(Key, Vec<u8>)> {
            self.load().into_iter().map(|(key, record, _)| (key, record)).collect()
        }

        fn load(&self) -> Vec<(Key, Vec<u8>, Option<Duration>)> {
            let mut all = Vec::new();
            let mut store = self.open().unwrap();
            store.load(&mut |key, record, age| all.push((key, record.to_vec(), age))).unwrap();
            all
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    /// The changes of so many publishes.
    fn changes(count: u32) -> Vec<Change> {
        let mut session = HeapSession::new(Config { durability: Durability::BeforeSend, ..Config::new(1) });
        let mut changes = Vec::new();
        for _ in 0..count {
            let message = Message::new(TopicName::new("t").unwrap()).qos(Qos::AtLeastOnce);
            let _ = session.publish(&message, b"payload"[..].into()).unwrap();
            while let Some(command) = session.poll_command() {
                if let Command::Put { key, record } = command {
                    changes.push(Change::put(key, record.keep()));
                }
            }
        }
        changes
    }

    #[test]
    fn names_of_files_are_good_everywhere_and_differ() {
        assert_eq!(file_name("meter-7"), "client-meter-7.journal");
        assert_eq!(file_name("../A b"), "client-%2e%2e%2f%41%20b.journal");
        assert_ne!(file_name("A"), file_name("a"));
        let long = |last: char| format!("{}{last}", "ä".repeat(30_000));
        assert!(file_name(&long('x')).len() < 160);
        assert_ne!(file_name(&long('x')), file_name(&long('y')));
    }

    #[test]
    fn what_was_written_is_loaded_with_its_age_and_what_was_deleted_is_not() {
        let file = File::new();
        let puts = changes(3);
        file.open().unwrap().write(&puts).unwrap();
        let mut store = file.open().unwrap();
        store.write(&[Change::delete(puts[1].key())]).unwrap();
        drop(store);
        let loaded = file.load();
        let expected = [&puts[0], &puts[2]]
            .map(|put| (put.key(), put.record().unwrap().map(|piece| &piece[..]).concat()));
        assert_eq!(
            loaded.iter().map(|(key, record, _)| (*key, record.clone())).collect::<Vec<_>>(),
            expected
        );
        assert!(loaded.iter().all(|(_, _, age)| age.is_some_and(|age| age < Duration::from_secs(60))));
    }

    #[test]
    fn a_file_belongs_to_one_client_at_a_time() {
        let file = File::new();
        let first = file.open().unwrap();
        assert_eq!(file.open().err(), Some(JournalError::Locked { path: file.0.clone() }));
        drop(first);
        let other = open(&file.0, "you").err();
        assert_eq!(other, Some(JournalError::OtherClient { path: file.0.clone(), found: "me".into() }));
        assert!(file.open().is_ok());
    }

    #[test]
    fn a_record_that_was_set_aside_is_kept_and_not_loaded_again() {
        let file = File::new();
        let puts = changes(2);
        let mut store = file.open().unwrap();
        store.write(&puts).unwrap();
        store.set_aside(puts[0].key(), RestoreError::Damaged).unwrap();
        drop(store);
        assert_eq!(file.load().len(), 1);
        let database = Database::open(&file.0).unwrap();
        let aside = database.begin_read().unwrap().open_table(SET_ASIDE).unwrap();
        let (_, value) = aside.first().unwrap().unwrap();
        assert_eq!(value.value().0, "the record is damaged");
        assert!(value.value().1.len() > STAMP);
    }

    /// Every page, one after the other, has a byte changed; a sound file is never taken for granted.
    #[test]
    fn a_damaged_file_is_told_and_left_as_it_is() {
        let file = File::new();
        file.open().unwrap().write(&changes(200)).unwrap();
        let sound = fs::read(&file.0).unwrap();
        let whole = file.records();
        let mut damaged = 0;
        for page in (0..sound.len()).step_by(4_096).take(64) {
            for at in [page + 9, page + 700] {
                let mut bytes = sound.clone();
                bytes[at] ^= 0x40;
                fs::write(&file.0, &bytes).unwrap();
                match file.open() {
                    // What was hit is not in use.
                    Ok(store) => {
                        drop(store);
                        assert!(file.records() == whole, "byte {at}");
                    }
                    Err(JournalError::Damaged { .. }) => damaged += 1,
                    Err(error) => panic!("byte {at}: {error:?}"),
                }
            }
        }
        assert!(damaged > 3, "{damaged}");
        for len in [0, 1, 100, 5_000, sound.len() / 2] {
            fs::write(&file.0, &sound[..len]).unwrap();
            let error = file.open().err();
            assert!(
                len == 0 || matches!(error, Some(JournalError::Damaged { .. })),
                "{len} bytes: {error:?}"
            );
        }
        fs::write(&file.0, b"my diary, not a journal at all, and long enough to be one: ".repeat(200))
            .unwrap();
        assert!(matches!(file.open().err(), Some(JournalError::Damaged { .. })));
        assert!(fs::read(&file.0).unwrap().starts_with(b"my diary"));
    }
}
