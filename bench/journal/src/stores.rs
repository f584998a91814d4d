//! The candidates, each as a store.

use fjall::{Keyspace, KeyspaceCreateOptions, PersistMode};
use mqtt_adapter_std::{Change, Journal, JournalError, Key, RestoreError, Store, Take};
use rusqlite::Connection;
use std::path::Path;

pub const NAMES: [&str; 3] = ["redb", "fjall", "sqlite"];

/// A journal in this folder.
pub fn journal(name: &str, folder: &Path) -> Journal {
    let folder = folder.to_owned();
    match name {
        "redb" => Journal::in_folder(folder),
        "fjall" => Journal::of_store(move |_| Ok(Box::new(Fjall::open(&folder)))),
        "sqlite" => Journal::of_store(move |_| Ok(Box::new(Sqlite::open(&folder)))),
        _ => panic!("one of {NAMES:?}"),
    }
}

struct Fjall {
    database: fjall::Database,
    records: Keyspace,
}

impl Fjall {
    fn open(folder: &Path) -> Self {
        let database = fjall::Database::builder(folder).open().unwrap();
        let records = database.keyspace("records", KeyspaceCreateOptions::default).unwrap();
        Self { database, records }
    }
}

impl Store for Fjall {
    fn load(&mut self, take: &mut Take<'_>) -> Result<(), JournalError> {
        for entry in self.records.iter() {
            let (key, record) = entry.into_inner().unwrap();
            take(Key::from(u64::from_be_bytes(key[..].try_into().unwrap())), &record, None);
        }
        Ok(())
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), JournalError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for change in changes {
            let key = u64::from(change.key()).to_be_bytes();
            match change.record() {
                Some(pieces) => batch.insert(&self.records, key, pieces.map(|piece| &piece[..]).concat()),
                None => batch.remove(&self.records, key),
            }
        }
        batch.commit().unwrap();
        Ok(())
    }

    fn set_aside(&mut self, _: Key, _: RestoreError) -> Result<(), JournalError> {
        Ok(())
    }
}

struct Sqlite(Connection);

impl Sqlite {
    fn open(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let connection = Connection::open(folder.join("journal.sqlite")).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                 CREATE TABLE IF NOT EXISTS records (key INTEGER PRIMARY KEY, record BLOB);",
            )
            .unwrap();
        Self(connection)
    }
}

impl Store for Sqlite {
    fn load(&mut self, take: &mut Take<'_>) -> Result<(), JournalError> {
        let mut all = self.0.prepare("SELECT key, record FROM records").unwrap();
        let mut rows = all.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let key: i64 = row.get(0).unwrap();
            take(Key::from(key as u64), row.get_ref(1).unwrap().as_blob().unwrap(), None);
        }
        Ok(())
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), JournalError> {
        let transaction = self.0.transaction().unwrap();
        {
            let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO records VALUES (?, ?)").unwrap();
            let mut delete = transaction.prepare_cached("DELETE FROM records WHERE key = ?").unwrap();
            for change in changes {
                let key = u64::from(change.key()) as i64;
                match change.record() {
                    Some(pieces) => {
                        put.execute((key, pieces.map(|piece| &piece[..]).concat())).unwrap();
                    }
                    None => {
                        delete.execute([key]).unwrap();
                    }
                }
            }
        }
        transaction.commit().unwrap();
        Ok(())
    }

    fn set_aside(&mut self, _: Key, _: RestoreError) -> Result<(), JournalError> {
        Ok(())
    }
}
