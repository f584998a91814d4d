//! What a session can be asked.

use mqtt_proto::Qos;

use super::Session;
use crate::event::Received;
use crate::limits::ServerLimits;
use crate::stats::Stats;
use crate::storage::Storage;

impl<S: Storage> Session<S> {
    /// The topic of a message that arrived, also where the server sent only an alias for it.
    ///
    /// To be asked before the next `receive` or `closed`: the server may then let the alias stand for another
    /// topic. What is asked too late is empty, which no topic is, and never another one's name. O(1).
    ///
    /// ```
    /// use mqtt_session::{Event, Session, Storage};
    ///
    /// fn show<S: Storage>(session: &Session<S>, event: &Event<'_>) {
    ///     if let Event::Message(message) = event {
    ///         println!("{}: {} bytes", session.topic(message), message.payload.len());
    ///     }
    /// }
    /// ```
    pub fn topic<'a>(&'a self, message: &Received<'a>) -> &'a str {
        self.core.topic(&self.store.view(), message.topic)
    }

    /// The Server Reference to dial in place of the driver's own server, `host` or `host:port` as the server
    /// gave it; only with `Config::redirects`. To be asked when `Command::Open` comes, which names the server
    /// that sent here: security (TLS) and credentials are to be that server's. It stays the same until the
    /// connection ends. O(length).
    pub fn redirect(&self) -> Option<&str> {
        self.core.redirect(self.store.view().arena)
    }

    /// Bytes the packet at the front of the input has in all; 0: unknown.
    pub fn read_hint(&self) -> usize {
        self.core.read_hint()
    }

    /// Whether the next packet could be taken. False: an acknowledgement it may need has no room until
    /// owed ones were sent, or (`AckMode::Manual` on 3.x) the application has to acknowledge a message first;
    /// read no more, flush, then give `receive` again what is there.
    pub fn wants_read(&self) -> bool {
        self.core.wants_read()
    }

    /// Whether a message published now would lie in the outgoing buffer after the next `outgoing`: nothing waits
    /// before it, the server's quota and the outgoing buffer have room. It is a promise for a message whose
    /// topic, properties and payload together have at most a quarter of `Config::wire_bytes`, and no more
    /// than 4,096 bytes, and for which `Config::queue_bytes` has room. A larger one may wait for the
    /// transport. False does not mean that `publish` would refuse: it keeps what has to wait. O(1).
    pub fn can_publish(&self, qos: Qos) -> bool {
        self.core.can_publish(qos)
    }

    /// Whether the server has accepted the connection and it has not ended.
    pub fn is_connected(&self) -> bool {
        self.core.is_connected()
    }

    /// The client identifier the server of this run assigned, where the options gave none (5.0) and it has at most
    /// 64 bytes. A later run with the same journal, whose options give none either, goes on under it
    /// (`Config::durability`); without a journal, give it in the options of the run that is to resume.
    ///
    /// ```
    /// # use mqtt_session::{Config, ConnectOptions, HeapSession, Instant};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let options = ConnectOptions::new("");
    /// let mut session = HeapSession::new(Config::new(1));
    /// session.start(&options)?;
    /// # while session.poll_event().is_some() {}
    /// # let _ = session.poll_command();
    /// session.opened(&options, Instant::ZERO);
    /// let mut input = &b"\x20\x09\x00\x00\x06\x12\x00\x03abc"[..]; // CONNACK, from the network
    /// while session.receive(&mut input, Instant::ZERO).is_some() {}
    /// assert_eq!(session.assigned_client_id(), Some("abc"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn assigned_client_id(&self) -> Option<&str> {
        self.core.assigned_client_id()
    }

    /// Operations accepted and not ended.
    pub fn pending(&self) -> u32 {
        self.core.open()
    }

    /// What the server allows; while not connected, the widest.
    pub fn server(&self) -> &ServerLimits {
        self.core.limits()
    }

    /// Bytes its tables have now. On a heap that is what it has allocated: nothing at first, more when it is needed, at most
    /// `Config::peak_memory`, and next to nothing again when nothing has happened for 5 s. In a fixed
    /// session it is always the same. Payloads that are shared with the caller are not in it. O(1).
    ///
    /// ```
    /// use mqtt_session::{Config, HeapSession};
    ///
    /// assert_eq!(HeapSession::new(Config::new(1)).memory(), 0);
    /// ```
    pub fn memory(&self) -> usize {
        self.store.contents().bytes()
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }
}
