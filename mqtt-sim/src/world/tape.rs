//! Logs of a world's sessions, to be run again without the world.

use std::collections::BTreeMap;
use std::io;

use mqtt_session::tape::{Log, Track};

use super::engine::Engine;
use super::{ClientId, World};

/// A log, and where in it each client is.
pub(super) struct Tape {
    log: Log<Vec<u8>>,
    tracks: BTreeMap<ClientId, Track>,
}

impl World {
    /// From now on every time, byte and call of each client's session goes to a log, a track for each, with the client's
    /// name, and one more for each of its crashes.
    /// To be called before any client is started; memory grows with what happens. The log is
    /// [taken](Self::take_tape) at the end and run again by [`mqtt_session::tape::replay()`].
    ///
    /// # Errors
    /// A session was used already.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mqtt_sim::broker::BrokerConfig;
    /// use mqtt_sim::world::{ClientOptions, World};
    ///
    /// let mut world = World::new(3);
    /// world.add_broker(BrokerConfig::default());
    /// let client = world.add_client(ClientOptions::new("sensor"));
    /// world.tape()?;
    /// world.start(client)?;
    /// world.run_for(Duration::from_secs(1))?;
    /// let log = world.take_tape()?.unwrap_or_default();
    /// assert_eq!(mqtt_session::tape::replay(&log[..])?.tracks[0].label, "sensor");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tape(&mut self) -> io::Result<()> {
        self.tape = Some(Tape { log: Log::new(Vec::new())?, tracks: BTreeMap::new() });
        for client in self.clients() {
            self.tape_client(client)?;
        }
        Ok(())
    }

    /// A client has a session, which is new.
    pub(super) fn tape_client(&mut self, id: ClientId) -> io::Result<()> {
        let Some(mut tape) = self.tape.take() else { return Ok(()) };
        if let Some(client) = self.client(id) {
            let name = match client.run {
                0 => client.options.client_id.clone(),
                run => format!("{}, after crash {run}", client.options.client_id),
            };
            tape.tracks.insert(id, client.engine.tape(&mut tape.log, &name)?);
        }
        self.tape = Some(tape);
        Ok(())
    }

    /// A client's program has ended, and another session takes the place of its own.
    pub(super) fn change_session(&mut self, id: ClientId, session: Box<dyn Engine>) {
        let untaped = self.untape_client(id);
        if let Some(client) = self.client(id) {
            client.engine = session;
        }
        let taped = untaped.and_then(|()| self.tape_client(id));
        debug_assert!(taped.is_ok(), "the session is new: {taped:?}");
    }

    fn untape_client(&mut self, id: ClientId) -> io::Result<()> {
        let Some(mut tape) = self.tape.take() else { return Ok(()) };
        if let Some(track) = tape.tracks.remove(&id)
            && let Some(client) = self.client(id)
        {
            client.engine.take_tape(&mut tape.log, track)?;
        }
        self.tape = Some(tape);
        Ok(())
    }

    /// Ends the log and gives it out; `None`: [`tape`](Self::tape) was not called. What follows is not in it.
    ///
    /// # Errors
    /// None that memory can have.
    pub fn take_tape(&mut self) -> io::Result<Option<Vec<u8>>> {
        for client in self.clients() {
            self.untape_client(client)?;
        }
        self.tape.take().map(|tape| tape.log.finish()).transpose()
    }
}
