//! A journal beside the engine: what it held at the start, what it is given, what it answers.

use core::time::Duration;
use std::collections::HashSet;

use mqtt_session::{Durability, HeapSession, Key, Token, WhenNotStored};

use super::{Driver, Sink};
use crate::error::ConnectError;
use crate::event::Event;
use crate::journal::{self, Change, JournalError, Writer};
use crate::options::Options;
use crate::recording::Tape;
use crate::report;
use crate::transport::Transport;

/// A journal and what is between it and the engine.
#[derive(Debug)]
pub(super) struct Journalled {
    pub(super) writer: Writer,
    pub(super) changes: Vec<Change>,
    pub(super) answers: Vec<(Key, bool)>,
    pub(super) news: Vec<Option<JournalError>>,
    /// [`Event::Stopped`], kept back until the journal is closed.
    pub(super) farewell: Option<Event>,
}

/// An engine before its start.
pub(super) struct Restored {
    pub(super) session: HeapSession,
    pub(super) tape: Option<Tape>,
    pub(super) tokens: HashSet<Token>,
    pub(super) journal: Option<Journalled>,
}

/// Makes the engine, with what its journal holds.
pub(super) fn restore(options: &Options) -> Result<(Restored, Vec<Event>), ConnectError> {
    let mut config = options.config();
    let mut notices = Vec::new();
    let mut store = None;
    if let Some(journal) = options.journal() {
        if !options.has_own_client_id() {
            return Err(ConnectError::Journal(JournalError::NoClientId));
        }
        match journal.open(options.client_id()) {
            Ok(opened) => store = Some(opened),
            Err(error @ JournalError::Io { .. }) if config.when_not_stored == WhenNotStored::Send => {
                config.durability = Durability::Off;
                notices.push(Event::JournalFailed(error));
            }
            Err(error) => return Err(ConnectError::Journal(error)),
        }
    }
    let mut session = HeapSession::new(config);
    let tape = match options.recording() {
        Some(recording) => recording.track(&mut session, options.client_id()).map_err(ConnectError::Io)?,
        None => None,
    };
    let mut tokens = HashSet::new();
    let Some(mut store) = store else {
        return Ok((Restored { session, tokens, journal: None, tape }, notices));
    };
    let mut refused = Vec::new();
    let load = store.load(&mut |key, record, age| match session.restore(key, record, age) {
        Ok(()) => tokens.extend(key.token()),
        Err(error) => refused.push((key, error)),
    });
    load.map_err(ConnectError::Journal)?;
    for (key, error) in refused {
        if !error.is_damage() {
            return Err(ConnectError::Journal(JournalError::Record { key, error }));
        }
        store.set_aside(key, error).map_err(ConnectError::Journal)?;
        notices.push(Event::RecordSetAside { key, error });
    }
    let gather = match config.durability {
        Durability::Async => journal::GATHER,
        _ => Duration::ZERO,
    };
    let writer = Writer::start(store, gather).map_err(ConnectError::Io)?;
    let journal =
        Journalled { writer, changes: Vec::new(), answers: Vec::new(), news: Vec::new(), farewell: None };
    Ok((Restored { session, tokens, journal: Some(journal), tape }, notices))
}

impl<T: Transport> Driver<T> {
    /// Passes the journal's answers on.
    pub(super) fn answered(&mut self, sink: &mut impl Sink) {
        let Some(Journalled { writer, answers, news, .. }) = &mut self.journal else { return };
        writer.answers(answers, news);
        for (key, stored) in answers.drain(..) {
            if stored { self.session.stored(key) } else { self.session.not_stored(key) }
        }
        for news in news.drain(..) {
            let event = news.map_or(Event::JournalRecovered, Event::JournalFailed);
            report::event(self.options.client_id(), &event);
            sink.event(event);
        }
    }

    /// Gives the journal what is to be stored. After the end it is closed, and only then the end is told.
    pub(super) fn record(&mut self, sink: &mut impl Sink) {
        let Some(journal) = &mut self.journal else { return };
        journal.writer.give(&mut journal.changes);
        if journal.farewell.is_some() {
            if !journal.writer.is_busy() {
                journal.writer.close();
            }
            if journal.writer.is_closed() {
                self.stopped = true;
                journal.farewell.take().into_iter().for_each(|farewell| sink.event(farewell));
            }
        }
    }
}
