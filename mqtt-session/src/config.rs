//! What the owner of a session may choose. Every field has a default that suits a desktop client.

use core::time::Duration;

/// The choices that hold for the whole life of a session.
///
/// A plain value: start from [`Config::new`] and set the fields that matter. A session on a fixed
/// storage lowers every limit to what its memory holds; what one on the heap can grow to is a function of the limits
/// (`Config::peak_memory`).
///
/// ```
/// use mqtt_session::Config;
///
/// const CONFIG: Config = {
///     let mut config = Config::new(42);
///     config.max_in_flight = 16;
///     config
/// };
/// assert_eq!(CONFIG.max_in_flight, 16);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Seed of the only randomness there is: the jitter of reconnect delays. Give every client of a
    /// fleet its own, or they all come back in the same second.
    pub seed: u64,
    /// Operations (PUBLISH, SUBSCRIBE, UNSUBSCRIBE) accepted and not finished, queued and in flight
    /// together. Default 100,000.
    pub max_operations: u32,
    /// Own cap on operations in flight with a packet identifier, beside the server's Receive Maximum;
    /// also the number of packet identifiers in use. Default 1,024; 0 counts as 1.
    pub max_in_flight: u16,
    /// Own cap on unfinished QoS 2 publishes on 3.x, where a server cannot announce how many it takes:
    /// one that is given too many closes the connection, and would again on the next. Default 20, what
    /// mosquitto takes unless configured otherwise; 0 counts as 1.
    pub max_in_flight_qos2_v3: u16,
    /// Bytes kept for operations: topic, properties and payload of each, plus 8. Default 64 MiB.
    pub queue_bytes: usize,
    /// What happens to a publish when the queue is full.
    pub when_full: WhenFull,
    /// What happens to a publish above the server's Maximum QoS.
    pub over_qos: OverQos,
    /// Bound of the buffer in which packets lie ready for the transport. CONNECT and the head of
    /// every message must fit. Default 256 KiB; it grows from nothing on demand.
    pub wire_bytes: usize,
    /// Inbound QoS 1 and 2 messages that may be unacknowledged; announced as Receive Maximum in 5.0, where
    /// one more is a violation ([MQTT-3.3.4-7], DISCONNECT 0x93). Default 1,024; 0 counts as 1.
    ///
    /// A 3.x server cannot be told. Common ones have a window of 10 to 100, so the default is rarely met; set
    /// no less than the server's window (`max_inflight_messages` in mosquitto, 20 unless configured). One
    /// more at QoS 2 ends the run with `Why::Flooded`, since the next connection would go the same way. At
    /// QoS 1 messages are acknowledged as they come; with [`AckMode::Manual`] one more waits in the input
    /// (`Session::wants_read` is false) until the application has acknowledged one, and with it whatever the
    /// server sent behind: acknowledge without waiting for other answers of the server.
    pub receive_maximum: u16,
    /// Largest inbound packet that is taken as a whole, in bytes: what the driver's read buffer must be
    /// able to hold. Announced as Maximum Packet Size in 5.0, unless [`Oversize::Chunks`] allows more.
    /// Default 1 MiB; less than 64 counts as 64, so that CONNACK and acknowledgements fit.
    pub max_packet_in: u32,
    /// What happens to an inbound packet over `max_packet_in`. Default: it is refused.
    pub oversize: Oversize,
    /// Own cap on outgoing topic aliases (5.0), beside the server's Topic Alias Maximum, which is 0 unless the
    /// server says otherwise. Topics published to most recently are then sent as a number: for each, its bytes
    /// and 28 more are kept, out of what operations leave of `queue_bytes`. Topics of up to 3 bytes have nothing
    /// to gain and are left out. Worth raising where messages are small and topics long and many. Default 16;
    /// 0: none.
    pub max_topic_aliases: u16,
    /// Topic aliases the server may use (5.0); announced as Topic Alias Maximum. 8 bytes for each are kept from
    /// CONNECT on, beside the topics. Default 0: none.
    pub topic_alias_maximum: u16,
    /// Bytes of `queue_bytes`, at most half of them, set aside for the topics of the server's aliases: each, plus 8.
    /// Only where `topic_alias_maximum` is not 0. A server that gives more is disconnected (0x97, Quota exceeded),
    /// and may use no aliases for the rest of the run. Default 8 KiB.
    pub topic_alias_bytes: usize,
    /// Who acknowledges inbound QoS 1 and 2 messages.
    pub ack_mode: AckMode,
    /// Whether a QoS 0 message too ends in a `Done` (`Outcome::Sent`, once the transport took its
    /// last byte). Default false.
    pub qos0_receipts: bool,
    /// How many servers the driver knows; `Command::Open` names them in turn, from 0. Default 1;
    /// 0 counts as 1.
    pub servers: u8,
    /// Whether granted subscriptions are made again, before anything else is sent, whenever the server
    /// has lost the session (and on 3.1, which cannot tell, on every connection). They are kept among
    /// the operations until an UNSUBSCRIBE takes them back; one that would take the last free one is not
    /// kept. Default true.
    pub resubscribe: bool,
    /// How many redirections in a row are followed: a CONNACK or DISCONNECT (5.0) with 0x9C, use another
    /// server, or 0x9D, server moved, and a Server Reference. `Session::redirect` then names the server to
    /// dial: for the next attempt alone (0x9C), or for the rest of the run (0x9D); of several references
    /// the first, and the next one after each attempt at it that fails (0x9D). The count begins anew after a
    /// connection that was up for `Backoff::healthy`. 528 bytes of `queue_bytes` are set aside for
    /// references; of a list of more than 255 bytes the front is kept.
    ///
    /// A server can so send its clients anywhere: follow only one that you trust, over TLS. Default 0: none
    /// is followed; `Event::ServerClosing` shows the reference, and the run ends unless the driver knows
    /// more servers.
    pub redirects: u8,
    /// In which order the servers are tried.
    pub server_order: ServerOrder,
    /// Whether a lower protocol version is tried, one step at a time, when the server says that it does
    /// not speak the one asked for, or twice closes without a word on CONNECT. Never below what the
    /// options need (a session expiry or properties need 5.0), never on any other refusal. The version
    /// that was accepted is kept for the rest of the run. Default false.
    pub version_ladder: bool,
    /// What becomes of unacknowledged publishes when the server no longer has the session.
    pub on_session_lost: SessionLost,
    /// Longest time for the transport to connect. Default 30 s.
    pub dial_timeout: Duration,
    /// Longest time from the transport being open to CONNACK, all steps of an enhanced authentication
    /// included; and from a re-authentication being asked for to its end. Default 10 s.
    pub connack_timeout: Duration,
    /// Longest time from a PINGREQ falling due to any byte of an answer. Default 10 s.
    pub ping_timeout: Duration,
    /// Longest time a packet may stay half received. Default 30 s.
    pub partial_timeout: Duration,
    /// Longest time the source of a payload (`Session::publish_chunked`) may take for its next piece; nothing
    /// else can be sent meanwhile. Then the connection is closed and the message ends as
    /// `Outcome::Abandoned`. Default 30 s.
    pub source_timeout: Duration,
    /// Longest time without any acknowledgement while a publish waits for one; the connection is then
    /// closed, and a resume sends again what a server (or a proxy) lost without a cut. `None` (default):
    /// no limit, as the standard has none.
    pub ack_timeout: Option<Duration>,
    /// Longest time from `subscribe` or `unsubscribe` to the server's answer, the wait for a connection
    /// included; the request then ends as `Outcome::TimedOut`. One that was sent keeps its packet identifier
    /// until the answer comes after all or the session ends, as the standard asks, so that the late answer is
    /// not taken for that of another ([MQTT-2.2.1-3]); one that was not sent is taken back. `None` (default):
    /// no limit. The standard has none, keep-alive finds a dead link, and a request made offline is meant to
    /// wait.
    pub request_timeout: Option<Duration>,
    /// What is done about a message that seems to make the server close the connection.
    pub suspect: Suspect,
    /// When and how often to connect again.
    pub backoff: Backoff,
    /// Whether operations are recorded in a journal, so that they outlive the program, and what waits for
    /// it. Default: no records.
    pub durability: Durability,
    /// What becomes of an operation the journal could not take.
    pub when_not_stored: WhenNotStored,
}

impl Config {
    /// The defaults, with a seed for the reconnect jitter.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            max_operations: 100_000,
            max_in_flight: 1_024,
            max_in_flight_qos2_v3: 20,
            queue_bytes: 64 * 1024 * 1024,
            when_full: WhenFull::Reject,
            over_qos: OverQos::Refuse,
            wire_bytes: 256 * 1024,
            receive_maximum: 1_024,
            max_packet_in: 1024 * 1024,
            oversize: Oversize::Refuse,
            max_topic_aliases: 16,
            topic_alias_maximum: 0,
            topic_alias_bytes: 8 * 1024,
            ack_mode: AckMode::Automatic,
            qos0_receipts: false,
            servers: 1,
            redirects: 0,
            server_order: ServerOrder::RoundRobin,
            version_ladder: false,
            resubscribe: true,
            on_session_lost: SessionLost::Republish,
            dial_timeout: Duration::from_secs(30),
            connack_timeout: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(10),
            partial_timeout: Duration::from_secs(30),
            source_timeout: Duration::from_secs(30),
            ack_timeout: None,
            request_timeout: None,
            suspect: Suspect::new(),
            backoff: Backoff::new(),
            durability: Durability::Off,
            when_not_stored: WhenNotStored::End,
        }
    }

    /// The most bytes a `HeapSession` of these limits ever has allocated, whatever the application and the server do: to
    /// choose limits by, or to reserve memory for a fleet. Most sessions come nowhere near: nothing is allocated before it is
    /// needed.
    ///
    /// It is what each table takes when it is as long as it can get, and once more what the largest one takes, since the
    /// old one is there while a table is copied to a longer one:
    ///
    /// * `max_operations`: about 200 bytes each, and 40 more with a journal,
    /// * `queue_bytes` and `wire_bytes`, as they are,
    /// * `receive_maximum`: about 50 bytes each,
    /// * `max_in_flight`: 8 bytes each,
    /// * `max_topic_aliases` and `topic_alias_maximum`: about 30 bytes each.
    ///
    /// Not in it: the value of the session itself (`size_of`), what the driver reads into, the buffers of shared payloads
    /// (`HeapPayload::Share`), which are the caller's (what is shared of them counts against `queue_bytes`), and the
    /// overhead of the allocator. A `FixedSession` allocates nothing: `size_of` is all it has.
    ///
    /// ```
    /// use mqtt_session::Config;
    ///
    /// const SENSOR: Config = {
    ///     let mut config = Config::new(1);
    ///     config.max_operations = 50;
    ///     config.queue_bytes = 8 * 1024;
    ///     config.wire_bytes = 2 * 1024;
    ///     config.receive_maximum = 10;
    ///     config
    /// };
    /// const { assert!(SENSOR.peak_memory() < 48 * 1024) };
    /// assert!(Config::new(1).peak_memory() > 64 * 1024 * 1024); // 64 MiB may be queued
    /// ```
    #[cfg(feature = "alloc")]
    #[must_use]
    pub const fn peak_memory(&self) -> usize {
        crate::storage::Heap::peak(self)
    }
}

/// Whether a session is recorded in a journal (`Command::Put`, `Command::Delete`), and what waits for it.
///
/// QoS 0 messages are never recorded: nothing is promised of them. What can be promised after a crash, with
/// the same client identifier and while the server keeps the session:
///
/// | | `Async` | `BeforeSend` |
/// | --- | --- | --- |
/// | outgoing QoS 1 | at least once, if it was stored | at least once, from `Event::Durable` on |
/// | outgoing QoS 2 | at least once, if it was stored; again only if the crash came before its mark, or its deletion, was stored | exactly once |
/// | incoming QoS 2, `AckMode::Automatic` | as `BeforeSend`, but a message may be lost whose packet identifier is that of a record the crash kept from being deleted | never lost; again, marked `redelivered`, if the crash came before its identifier was stored |
/// | incoming QoS 2, `AckMode::Manual` | the same | exactly once, where the application commits (message, packet identifier) before it acknowledges |
///
/// Incoming QoS 1 needs no record: the server sends again what was not acknowledged. A receipt (`Event::Done`)
/// is told at least once: if the crash comes before the deletes that follow it, the next run tells it again,
/// with the same token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// No records. The default.
    #[default]
    Off,
    /// Records are given to the driver, and nothing waits for them, but for one: when the server has lost a session
    /// in which QoS 2 messages were under way, they go again once that is stored. Where a crash may have taken what
    /// was not, a later run asks the server for packet identifiers it may hold ([`LocalState::Held`] says how).
    ///
    /// [`LocalState::Held`]: crate::LocalState::Held
    Async,
    /// Nothing that depends on a record leaves before `Session::stored`.
    BeforeSend,
}

/// What becomes of an operation whose record could not be stored (`Session::not_stored`), where it was to be
/// stored before anything leaves (`Durability::BeforeSend`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WhenNotStored {
    /// It ends as `Outcome::NotStored`, and nothing of it is sent. The default.
    #[default]
    End,
    /// It goes on as if it were stored; a crash may lose it, or send it twice.
    Send,
}

/// When and how often a lost connection is tried again: exponential with full jitter.
///
/// The delay before attempt *n* is drawn evenly between 0 and `base` · 2ⁿ, at most `cap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the first delay. Default 1 s.
    pub base: Duration,
    /// Upper bound of every delay. Default 60 s.
    pub cap: Duration,
    /// A connection must have been up this long before the delays start from `base` again: a server
    /// that accepts and then closes at once is not asked faster and faster. Default 10 s.
    pub healthy: Duration,
    /// Attempts in a row without a healthy connection before giving up; `None` (default): never.
    pub attempts: Option<u32>,
    /// Whether a failed very first attempt is tried again. Default true.
    pub retry_first: bool,
}

impl Backoff {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            base: Duration::from_secs(1),
            cap: Duration::from_secs(60),
            healthy: Duration::from_secs(10),
            attempts: None,
            retry_first: true,
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

/// What happens to an inbound packet larger than [`Config::max_packet_in`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Oversize {
    /// Close the connection, in 5.0 with DISCONNECT 0x95 (Packet too large). The default.
    #[default]
    Refuse,
    /// Let the packet pass unread if it is a PUBLISH and the version is 3.x, where the limit cannot be
    /// announced: it is acknowledged by its quality of service, its payload is never held, and
    /// `Event::Skipped` tells of it. In 5.0 the server was told the limit, so it is refused.
    Skip,
    /// A PUBLISH is delivered in chunks as it arrives: `Event::Start`, `Event::Chunk`s and `Event::End`, or
    /// `Event::Aborted` if the connection ends before. It is acknowledged only after its end, in either
    /// [`AckMode`]. Its topic and properties must fit `max_packet_in`; any other packet over that is
    /// refused.
    ///
    /// ```
    /// use mqtt_session::{Config, Oversize};
    ///
    /// let mut config = Config::new(1);
    /// config.max_packet_in = 4 * 1024; // the read buffer of this device
    /// config.oversize = Oversize::Chunks { largest: 16 * 1024 * 1024 }; // a firmware image
    ///
    /// # use mqtt_session::Event;
    /// /// Writes it to flash as it comes; true: it is complete.
    /// fn write(event: &Event<'_>, flash: &mut Vec<u8>) -> bool {
    ///     match event {
    ///         // From the first byte, also after a cut. `len` is a claim: nothing is to be reserved for it.
    ///         Event::Start { .. } | Event::Aborted => flash.clear(),
    ///         Event::Chunk(part) => flash.extend_from_slice(part),
    ///         Event::End { .. } => return true,
    ///         _ => {}
    ///     }
    ///     false
    /// }
    /// # let mut flash = Vec::new();
    /// # assert!(!write(&Event::Chunk(b"ab"), &mut flash) && flash == b"ab");
    /// # assert!(write(&Event::End { packet_id: None, ack: None }, &mut flash));
    /// ```
    Chunks {
        /// Largest packet in bytes, announced as Maximum Packet Size in 5.0; a larger one is refused. It
        /// costs no memory. Less than `max_packet_in` counts as that.
        largest: u32,
    },
}

/// What happens to a publish above the Maximum QoS of a server (5.0).
///
/// ```
/// use mqtt_session::{Config, OverQos};
///
/// let mut config = Config::new(1);
/// config.over_qos = OverQos::Lower; // rather at most once than not at all
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OverQos {
    /// It is refused while connected to such a server (`PublishError::QosNotSupported`), and ends as
    /// `Outcome::Refused` where it was accepted before. The default. [MQTT-3.2.2-11]
    #[default]
    Refuse,
    /// One of which no byte was ever sent goes out at the highest QoS the server takes, and ends as that does: at
    /// QoS 0 as `Outcome::Sent` once the transport took its last byte, or `Outcome::Lost` where the connection was
    /// cut before. One that was sent is never altered: it ends as `Outcome::Refused`.
    Lower,
}

/// What happens to a publish when `Config::max_operations` or `Config::queue_bytes` are in use.
/// Only messages of which no byte was sent are ever dropped; each ends as `Outcome::Dropped`.
///
/// Each of those ends is told, and what is to be told needs memory. With all `Config::max_operations` in
/// use, a message that is dropped gives its place to the new one, and its `Event::Done` waits in one of
/// eight places more: with eight unfetched, `publish` refuses (`PublishError::QueueFull`) until events are
/// fetched. Who publishes at QoS 0 without receipts, or fetches events between publishes, never sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// It is refused, with its payload handed back, and `Event::Unblocked` follows. The default.
    #[default]
    Reject,
    /// Messages that wait longest are dropped to make room. What can be dropped is looked for among
    /// all that wait: O(queue).
    DropOldest,
    /// Messages that came last are dropped to make room. O(dropped).
    DropNewest,
}

/// In which order the driver's servers are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ServerOrder {
    /// The next one after each attempt that failed; a connection that was up is first tried again at
    /// the same server. The default.
    #[default]
    RoundRobin,
    /// The first that answers, in their order: after a connection that was up, from the first again.
    Priority,
    /// Drawn for each attempt.
    Random,
}

/// What is done about a message that seems to make the server close the connection: the same first
/// unacknowledged operation on connection after connection, and no other progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// After how many such connections in a row `Event::Suspect` names the operation. Default 3; 0: never.
    pub after: u8,
    /// Whether the operation then ends, as `Outcome::Abandoned`. The session on the server may hold a half
    /// of its exchange, so the next connection begins a new session. Default false.
    pub end: bool,
}

impl Suspect {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { after: 3, end: false }
    }
}

impl Default for Suspect {
    fn default() -> Self {
        Self::new()
    }
}

/// Who acknowledges inbound messages at QoS 1 and 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AckMode {
    /// The session does, as soon as it has handed the message out; the acknowledgement leaves with the
    /// next `outgoing`. The default.
    #[default]
    Automatic,
    /// The application does, with `Session::acknowledge`, in any order; the session keeps the order the
    /// standard asks for on the wire.
    Manual,
}

/// What becomes of publishes that were sent and not acknowledged when the server has lost the session.
/// Publishes of which nothing was sent stay queued in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SessionLost {
    /// Publish them again as new messages, first and in their order: QoS 1 and 2 messages may then
    /// reach a subscriber twice. A QoS 2 message past PUBREC ends as `Outcome::Unknown`. The default.
    #[default]
    Republish,
    /// End them as `Outcome::Lost`.
    Fail,
    /// End them as `Outcome::Dropped`.
    Drop,
}
