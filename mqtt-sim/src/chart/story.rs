//! From a trace to what is drawn: packets instead of bytes, with their beginning and their end.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use mqtt_proto::{Connect, Packet, PacketType, Peer, Version, frame_len};
use mqtt_session::Instant;

use crate::world::{BrokerId, ClientId, Direction, Ended, Fault, Happening, LinkId, Observed, World};

use super::label;

/// Small faults of one kind within this time are told together.
const TOGETHER: Duration = Duration::from_millis(50);
/// A packet that was sent so long before the end of a run may still arrive.
const FRESH: Duration = Duration::from_secs(2);

/// What a packet is about, which is its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Connection,
    Publish,
    Ack,
    Subscribe,
    Ping,
}

/// Where something stands in a panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Column {
    /// The client's application, on the left.
    Application,
    Client,
    Link,
    Broker,
    /// What happens to the broker, on the right.
    Fate,
}

/// How it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// For orientation.
    Quiet,
    /// Something went wrong, a little.
    Minor,
    /// Something broke.
    Bad,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives with the item of this number.
    Arrives(usize),
    /// It does not.
    Lost,
    /// It does, after what is drawn.
    Later,
}

/// One thing that is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The first byte of a packet leaves.
    Packet { direction: Direction, kind: Kind, text: String, whole: bool, fate: Fate },
    /// The last byte of one arrives.
    Arrival { direction: Direction },
    /// A remark.
    Text { column: Column, tone: Tone, text: String },
    /// An end of a connection comes to be, or is over.
    End { link: LinkId, column: Column, open: bool },
    /// The broker stops, or comes back.
    Broker { up: bool },
}

/// It, with its time and panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) at: Instant,
    pub(super) panel: usize,
    pub(super) what: What,
}

/// A client with its link and its broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Panel {
    pub(super) client: ClientId,
    pub(super) name: String,
}

/// Everything that is drawn, in the order in which it happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Story {
    pub(super) panels: Vec<Panel>,
    pub(super) items: Vec<Item>,
    /// Things that are left out before and behind.
    pub(super) left_out: (usize, usize),
}

/// One direction of a connection.
struct Flow {
    from: Peer,
    /// Bytes of a packet that is not whole yet.
    held: Vec<u8>,
    /// The item of that packet.
    begun: Option<usize>,
    written: u64,
    delivered: u64,
    /// Items of the packets under way, with the number of the byte behind each.
    under_way: VecDeque<(u64, usize)>,
}

impl Flow {
    const fn new(from: Peer) -> Self {
        Self { from, held: Vec::new(), begun: None, written: 0, delivered: 0, under_way: VecDeque::new() }
    }
}

/// A connection while it is told of.
struct Wire {
    panel: usize,
    broken: bool,
    version: Version,
    up: Flow,
    down: Flow,
}

impl Story {
    pub(super) fn of(world: &World, clients: &[ClientId]) -> Self {
        let panel = |client: &ClientId| Panel {
            client: *client,
            name: world.client_name(*client).unwrap_or("client").to_owned(),
        };
        let mut teller = Teller {
            story: Self { panels: clients.iter().map(panel).collect(), ..Self::default() },
            wires: BTreeMap::new(),
            minor: BTreeMap::new(),
            at: Instant::ZERO,
        };
        for (at, what) in world.trace().entries() {
            teller.at = *at;
            teller.tell(what);
        }
        teller.finish(world.now());
        teller.story
    }

    /// The arrivals, each with its packet.
    pub(super) fn arrivals(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.items.iter().enumerate().filter_map(|(packet, item)| match item.what {
            What::Packet { fate: Fate::Arrives(arrival), .. } => Some((arrival, packet)),
            _ => None,
        })
    }

    /// Leaves out what is before `from`, and of the rest all but so many things: the last of them up to `until`, or,
    /// without it, the first.
    pub(super) fn cut(&mut self, from: Instant, until: Option<Instant>, most: usize) {
        let counts = |item: &Item| !matches!(item.what, What::Arrival { .. } | What::End { .. });
        let first = self.items.partition_point(|item| item.at < from);
        let last =
            until.map_or(self.items.len(), |until| self.items.partition_point(|item| item.at <= until));
        let counted: Vec<usize> =
            (first..last).filter(|index| self.items.get(*index).is_some_and(counts)).collect();
        let (mut first, mut last) = (first, last);
        if counted.len() > most {
            match until {
                Some(_) => first = counted.get(counted.len() - most).copied().unwrap_or(first),
                None => last = counted.get(most).copied().unwrap_or(last),
            }
        }
        // Arrivals just behind the last thing are better drawn than promised.
        let before = self.items.iter().take(first).filter(|item| counts(item)).count();
        let behind = self.items.iter().skip(last).filter(|item| counts(item)).count();
        self.left_out = (before, behind);
        // What was there before, or on its way, begins at the top.
        let mut open: BTreeMap<(LinkId, Column), Item> = BTreeMap::new();
        let mut broker_down = BTreeMap::new();
        for item in self.items.iter().take(first) {
            match &item.what {
                What::End { link, column, open: true } => drop(open.insert((*link, *column), item.clone())),
                What::End { link, column, open: false } => drop(open.remove(&(*link, *column))),
                What::Broker { up: false } => drop(broker_down.insert(item.panel, item.clone())),
                What::Broker { up: true } => drop(broker_down.remove(&item.panel)),
                _ => {}
            }
        }
        let start = self.items.get(first).map_or(from, |item| item.at);
        let on_the_way = self.items.iter().take(first).filter(
            |item| matches!(item.what, What::Packet { fate: Fate::Arrives(index), .. } if index >= first),
        );
        let mut kept: Vec<Item> =
            open.into_values().chain(broker_down.into_values()).chain(on_the_way.cloned()).collect();
        kept.iter_mut().for_each(|item| item.at = start);
        let shift = kept.len();
        kept.extend(self.items.drain(..).skip(first).take(last.saturating_sub(first)));
        for item in &mut kept {
            if let What::Packet { fate, .. } = &mut item.what
                && let Fate::Arrives(index) = fate
            {
                *fate = if *index < last { Fate::Arrives(*index - first + shift) } else { Fate::Later };
            }
        }
        self.items = kept;
    }
}

struct Teller {
    story: Story,
    wires: BTreeMap<LinkId, Wire>,
    /// The last small fault of each kind: its item, its time, and how many there were since.
    minor: BTreeMap<(usize, Fault), (usize, Instant, u32)>,
    at: Instant,
}

impl Teller {
    fn panel(&self, client: ClientId) -> Option<usize> {
        self.story.panels.iter().position(|panel| panel.client == client)
    }

    fn add(&mut self, panel: usize, what: What) -> usize {
        self.story.items.push(Item { at: self.at, panel, what });
        self.story.items.len() - 1
    }

    fn text(&mut self, panel: usize, column: Column, tone: Tone, text: impl Into<String>) {
        self.add(panel, What::Text { column, tone, text: text.into() });
    }

    /// On every panel, or on that of one client.
    fn everywhere(&mut self, what: &What) {
        for panel in 0..self.story.panels.len() {
            self.add(panel, what.clone());
        }
    }

    fn tell(&mut self, what: &Happening) {
        match what {
            Happening::Dialled { client, broker } => self.at_client(*client, Tone::Quiet, || {
                if *broker == BrokerId::FIRST { "dials".to_owned() } else { format!("dials {broker:?}") }
            }),
            Happening::DialFailed { client } => {
                self.at_client(*client, Tone::Minor, || "nobody answers".to_owned());
            }
            Happening::Opened { link, client, .. } => {
                let Some(panel) = self.panel(*client) else { return };
                let flow = |from| Flow::new(from);
                let wire = Wire {
                    panel,
                    broken: false,
                    version: Version::V5,
                    up: flow(Peer::Client),
                    down: flow(Peer::Server),
                };
                self.wires.insert(*link, wire);
                for column in [Column::Client, Column::Broker] {
                    self.add(panel, What::End { link: *link, column, open: true });
                }
            }
            Happening::Written { link, direction, bytes } => self.written(*link, *direction, bytes),
            Happening::Delivered { link, direction, bytes } => {
                self.delivered(*link, *direction, bytes.len());
            }
            Happening::Closed { link, client_side } => {
                let Some(wire) = self.wires.get_mut(link) else { return };
                let column = if *client_side { Column::Client } else { Column::Broker };
                // What it has not read by now it never will.
                let flow = if *client_side { &mut wire.down } else { &mut wire.up };
                flow.under_way.clear();
                let panel = wire.panel;
                self.add(panel, What::End { link: *link, column, open: false });
            }
            Happening::Broke { link } => {
                if let Some(wire) = self.wires.get_mut(link) {
                    wire.broken = true;
                    let panel = wire.panel;
                    self.text(panel, Column::Link, Tone::Bad, "✕ cut");
                }
            }
            Happening::Called { client, call, .. } => {
                self.at_client(*client, Tone::Quiet, || format!("{call}()"));
            }
            Happening::Event { client, event } => {
                if let Some((tone, text)) = heard(event) {
                    self.at_client(*client, tone, || text);
                }
            }
            Happening::Crashed { client, .. } => {
                self.at_client(*client, Tone::Bad, || "✕ crashes".to_owned());
            }
            Happening::Fault { strike } => self.fault(strike.fault, strike.occasion.client()),
            Happening::BrokerUp { up, .. } => {
                self.everywhere(&What::Broker { up: *up });
                let text = if *up { "is back" } else { "stops" };
                let tone = if *up { Tone::Quiet } else { Tone::Bad };
                self.everywhere(&What::Text { column: Column::Fate, tone, text: text.to_owned() });
            }
            Happening::Note(remark) => {
                let text = (*remark).to_owned();
                self.everywhere(&What::Text { column: Column::Link, tone: Tone::Quiet, text });
            }
        }
    }

    /// What was sent just before the end is still on its way.
    fn finish(&mut self, end: Instant) {
        for wire in self.wires.values().filter(|wire| !wire.broken) {
            for (_, index) in wire.up.under_way.iter().chain(&wire.down.under_way) {
                if let Some(item) = self.story.items.get_mut(*index)
                    && end.since(item.at) < FRESH
                    && let What::Packet { fate, .. } = &mut item.what
                {
                    *fate = Fate::Later;
                }
            }
        }
    }

    fn at_client(&mut self, client: ClientId, tone: Tone, text: impl FnOnce() -> String) {
        if let Some(panel) = self.panel(client) {
            self.text(panel, Column::Application, tone, text());
        }
    }

    fn fault(&mut self, fault: Fault, client: Option<ClientId>) {
        let (column, tone) = match fault {
            // They are drawn as a cut, as a stop and as a crash.
            Fault::Reset | Fault::BrokerRestart | Fault::Crash => return,
            Fault::SplitRead | Fault::PartialWrite | Fault::Delay => (Column::Link, Tone::Minor),
            Fault::HalfOpen | Fault::BlackHole | Fault::Malformed | Fault::DialLost => {
                (Column::Link, Tone::Bad)
            }
            Fault::ClockStep | Fault::Stall | Fault::JournalLost | Fault::NotStored => {
                (Column::Application, Tone::Bad)
            }
            Fault::BrokerAmnesia | Fault::Duplicate | Fault::LostAck | Fault::OtherLimits => {
                (Column::Fate, Tone::Bad)
            }
        };
        let what = What::Text { column, tone, text: fault.name().replace('-', " ") };
        match client {
            Some(client) => {
                let Some(panel) = self.panel(client) else { return };
                if tone == Tone::Minor && self.again(panel, fault) {
                    return;
                }
                let index = self.add(panel, what);
                self.minor.insert((panel, fault), (index, self.at, 1));
            }
            None => self.everywhere(&what),
        }
    }

    /// Counts a fault of a kind that has just been told, where it was told.
    fn again(&mut self, panel: usize, fault: Fault) -> bool {
        let Some((index, since, count)) = self.minor.get_mut(&(panel, fault)) else { return false };
        if self.at.since(*since) > TOGETHER {
            return false;
        }
        *count += 1;
        if let Some(Item { what: What::Text { text, .. }, .. }) = self.story.items.get_mut(*index) {
            *text = format!("{} ×{count}", fault.name().replace('-', " "));
        }
        true
    }

    fn written(&mut self, link: LinkId, direction: Direction, bytes: &[u8]) {
        let at = self.at;
        let Some(wire) = self.wires.get_mut(&link) else { return };
        let (panel, mut version) = (wire.panel, wire.version);
        let flow = if direction == Direction::Up { &mut wire.up } else { &mut wire.down };
        let start = flow.written.saturating_sub(flow.held.len() as u64);
        flow.written += bytes.len() as u64;
        flow.held.extend_from_slice(bytes);
        let mut used = 0;
        while let Some(rest) = flow.held.get(used..).filter(|rest| !rest.is_empty()) {
            let whole = frame_len(rest, usize::MAX).ok().flatten();
            let frame = whole.map_or(rest, |len| rest.get(..len).unwrap_or(rest));
            let first = frame.first().copied().and_then(PacketType::from_first_byte);
            if whole.is_some()
                && first == Some(PacketType::Connect)
                && let Ok(connect) = Connect::decode(frame, version, flow.from)
            {
                version = connect.version;
            }
            let packet = whole.and_then(|_| Packet::decode(frame, version, flow.from).ok());
            let (kind, text) = packet.map_or_else(|| unfinished(first), |packet| label::of(&packet));
            let what = What::Packet { direction, kind, text, whole: whole.is_some(), fate: Fate::Lost };
            let index = match flow.begun.take() {
                Some(index) => {
                    if let Some(item) = self.story.items.get_mut(index) {
                        item.what = what;
                    }
                    index
                }
                None => {
                    self.story.items.push(Item { at, panel, what });
                    self.story.items.len() - 1
                }
            };
            if whole.is_none() {
                flow.begun = Some(index);
                break;
            }
            used += frame.len();
            flow.under_way.push_back((start + used as u64, index));
        }
        flow.held.drain(..used);
        wire.version = version;
    }

    fn delivered(&mut self, link: LinkId, direction: Direction, len: usize) {
        let at = self.at;
        let Some(wire) = self.wires.get_mut(&link) else { return };
        let panel = wire.panel;
        let flow = if direction == Direction::Up { &mut wire.up } else { &mut wire.down };
        flow.delivered += len as u64;
        while let Some((_, index)) = flow.under_way.front().copied().filter(|(end, _)| *end <= flow.delivered)
        {
            flow.under_way.pop_front();
            self.story.items.push(Item { at, panel, what: What::Arrival { direction } });
            let arrival = self.story.items.len() - 1;
            if let Some(Item { what: What::Packet { fate, .. }, .. }) = self.story.items.get_mut(index) {
                *fate = Fate::Arrives(arrival);
            }
        }
    }
}

/// Kind and text of a packet of which only the beginning was sent.
fn unfinished(first: Option<PacketType>) -> (Kind, String) {
    let kind = match first {
        Some(PacketType::Publish) => Kind::Publish,
        Some(PacketType::Connect | PacketType::Connack | PacketType::Disconnect) => Kind::Connection,
        Some(PacketType::Subscribe | PacketType::Suback) => Kind::Subscribe,
        Some(PacketType::Pingreq | PacketType::Pingresp) | None => Kind::Ping,
        Some(_) => Kind::Ack,
    };
    let name = first.map_or_else(|| "bytes".to_owned(), |first| format!("{first:?}").to_uppercase());
    (kind, format!("{name}, its beginning"))
}

/// What an application hears, as far as it is worth a line.
fn heard(event: &Observed) -> Option<(Tone, String)> {
    Some(match event {
        Observed::Connected { resumed: true, .. } => (Tone::Quiet, "connected, resumed".to_owned()),
        Observed::Connected { .. } => (Tone::Quiet, "connected".to_owned()),
        Observed::Disconnected { why, retry } => {
            let next = retry.map_or_else(|| " for good".to_owned(), |_| String::new());
            (Tone::Minor, format!("lost{next}: {}", label::short_name(&format!("{why:?}"))))
        }
        Observed::SessionLost { .. } => (Tone::Bad, "session lost".to_owned()),
        Observed::Message(message) => {
            let text = format!("gets {}{}", label::short(&message.topic), label::payload(&message.payload));
            (Tone::Quiet, text)
        }
        Observed::Done { outcome, .. } => match outcome {
            Ended::Acked(reason) if reason.is_error() => {
                (Tone::Minor, format!("done: 0x{:02X}", *reason as u8))
            }
            Ended::Acked(_) => (Tone::Quiet, "done: acked".to_owned()),
            Ended::Granted(_) => (Tone::Quiet, "done: granted".to_owned()),
            other => {
                (Tone::Minor, format!("done: {}", label::short_name(&format!("{other:?}").to_lowercase())))
            }
        },
        Observed::Stopped { .. } => (Tone::Quiet, "stopped".to_owned()),
        _ => return None,
    })
}
