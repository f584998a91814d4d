//! Where everything stands: times become heights, and no text covers another.

use core::time::Duration;
use std::collections::BTreeMap;

use mqtt_session::Instant;

use super::story::{Column, Fate, Item, Story, What};

/// Width of a letter of the texts in the chart, which all have the same width.
pub(super) const LETTER: f64 = 6.65;
/// Height of a line of text.
pub(super) const LINE: f64 = 13.0;
/// Space between a lane and the texts beside it.
pub(super) const BESIDE: f64 = 11.0;
/// How far a text stands above the line it belongs to.
pub(super) const ABOVE: f64 = 4.0;
/// How far a lost packet sinks on its way to the middle.
pub(super) const SINKS: f64 = 14.0;
/// Height of the panels' heads.
pub(super) const HEAD: f64 = 66.0;

/// From client to broker.
const LANES: f64 = 400.0;
/// From panel to panel.
const BETWEEN: f64 = 26.0;
/// From one packet to the next one that leaves the same end.
const SEND: f64 = 16.0;
/// Where the times stand.
const TIMES: f64 = 84.0;
/// Longest space that time without events takes.
const LONGEST: f64 = 54.0;
/// Time without events from which it is said how long it was.
const SILENCE: Duration = Duration::from_secs(5);

/// A box around a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Rect {
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }
}

/// Where the lanes of a panel stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lanes {
    /// The left end of what belongs to the panel.
    pub(super) left: f64,
    pub(super) client: f64,
    pub(super) link: f64,
    pub(super) broker: f64,
    pub(super) right: f64,
}

impl Lanes {
    pub(super) const fn of(&self, column: Column) -> f64 {
        match column {
            Column::Application | Column::Client => self.client,
            Column::Link => self.link,
            Column::Broker | Column::Fate => self.broker,
        }
    }
}

/// A line of the scale on the left.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mark {
    /// The time at a height.
    At(f64, Instant),
    /// A long time without events, between two heights.
    Silence(f64, f64, Duration),
}

/// The heights of all items and the places of the panels.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) panels: Vec<Lanes>,
    /// One for each item of the story.
    pub(super) heights: Vec<f64>,
    pub(super) marks: Vec<Mark>,
    /// How far the line of each item runs below its text before it slants: as far as the texts of a burst, so that no line
    /// crosses them.
    pub(super) runs: Vec<f64>,
    /// The boxes of all texts.
    pub(super) boxes: Vec<(usize, Rect)>,
    pub(super) width: f64,
    /// Where the lanes end.
    pub(super) bottom: f64,
}

impl Layout {
    pub(super) fn of(story: &Story) -> Self {
        let panels = places(story);
        let width = panels.last().map_or(TIMES + LANES, |last| last.right) + BETWEEN;
        let mut layout = Self {
            panels,
            heights: Vec::new(),
            runs: Vec::new(),
            marks: Vec::new(),
            boxes: Vec::new(),
            width,
            bottom: HEAD,
        };
        let mut lowest: Vec<[f64; 5]> = vec![[HEAD; 5]; story.panels.len()];
        let sent: BTreeMap<usize, usize> = story.arrivals().collect();
        let (mut floor, mut time): (f64, Option<Instant>) = (HEAD + 22.0, None);
        for (index, item) in story.items.iter().enumerate() {
            if time != Some(item.at) {
                if let Some(time) = time {
                    floor = layout.later(floor, item.at.since(time));
                }
                time = Some(item.at);
            }
            let begun = sent.get(&index).and_then(|packet| layout.heights.get(*packet)).copied();
            let y = layout.place(index, item, begun.map_or(floor, |begun| floor.max(begun)), &mut lowest);
            if !matches!(item.what, What::End { .. } | What::Broker { .. }) {
                layout.mark(y, item.at);
            }
        }
        layout.bottom = layout.bottom.max(floor) + 30.0;
        layout.runs = layout.bursts(story);
        layout
    }

    /// The height from which on things stand that happen so much later than all before.
    fn later(&mut self, floor: f64, span: Duration) -> f64 {
        let millis = span.as_secs_f64() * 1e3;
        let space = (3.0 + 5.5 * (1.0 + millis / 2.0).log2()).min(LONGEST);
        let from = self.bottom.max(floor);
        if span >= SILENCE {
            self.marks.push(Mark::Silence(from, from + space, span));
        }
        from + space
    }

    fn place(&mut self, index: usize, item: &Item, floor: f64, lowest: &mut [[f64; 5]]) -> f64 {
        let mut y = floor;
        let lanes = self.panels.get(item.panel).copied();
        let last = lowest.get_mut(item.panel);
        let (Some(lanes), Some(last)) = (lanes, last) else {
            self.heights.push(y);
            return y;
        };
        let column = column_of(&item.what);
        let (space, text) = match &item.what {
            What::Packet { text, .. } => (SEND, Some(text)),
            What::Text { text, .. } => (LINE, Some(text)),
            What::Arrival { .. } => (7.0, None),
            What::End { .. } => (5.0, None),
            What::Broker { .. } => (0.0, None),
        };
        let below = column.and_then(|column| last.get_mut(column as usize));
        if let Some(below) = &below {
            y = y.max(**below + space);
        }
        if let (Some(text), Some(column)) = (text, column) {
            let mut around = frame(&item.what, column, text, lanes, y);
            // Texts further up are long passed.
            while self.boxes.iter().rev().take(60).any(|(_, other)| other.overlaps(&around)) {
                y += 2.0;
                around = frame(&item.what, column, text, lanes, y);
            }
            self.boxes.push((index, around));
        }
        if let What::Packet { fate: Fate::Lost, .. } = item.what {
            // Where it ends.
            let (x, y) = (lanes.link, y + SINKS);
            let cross = Rect { left: x - 7.0, top: y - 6.0, right: x + 7.0, bottom: y + 6.0 };
            self.boxes.push((index, cross));
        }
        if let Some(below) = below {
            *below = y;
        }
        self.heights.push(y);
        self.bottom =
            self.bottom.max(if matches!(item.what, What::Packet { fate: Fate::Lost | Fate::Later, .. }) {
                y + 20.0
            } else {
                y
            });
        y
    }

    fn bursts(&self, story: &Story) -> Vec<f64> {
        let mut runs = vec![0.0; story.items.len()];
        let mut bursts: BTreeMap<(usize, Option<Column>), Burst> = BTreeMap::new();
        for (index, (item, y)) in story.items.iter().zip(&self.heights).enumerate() {
            let What::Packet { text, .. } = &item.what else { continue };
            let burst = bursts.entry((item.panel, column_of(&item.what))).or_default();
            if y - burst.last > SEND * 2.5 {
                burst.end(&mut runs);
            }
            (burst.last, burst.widest) = (*y, burst.widest.max(width(text)));
            burst.packets.push(index);
        }
        for mut burst in bursts.into_values() {
            burst.end(&mut runs);
        }
        runs
    }

    fn mark(&mut self, y: f64, at: Instant) {
        let room = match self.marks.last() {
            Some(Mark::At(last, before)) => y - last >= LINE && millis(*before) != millis(at),
            _ => true,
        };
        if room {
            self.marks.push(Mark::At(y, at));
        }
    }
}

/// Packets that leave the same end close together.
#[derive(Default)]
struct Burst {
    /// The height of the last one.
    last: f64,
    packets: Vec<usize>,
    widest: f64,
}

impl Burst {
    /// The lines of more than one run as far as the longest text; the next one begins.
    fn end(&mut self, runs: &mut [f64]) {
        let ended = core::mem::take(self);
        for index in ended.packets.iter().filter(|_| ended.packets.len() > 1) {
            if let Some(run) = runs.get_mut(*index) {
                *run = (ended.widest + BESIDE).min(LANES * 0.7);
            }
        }
    }
}

fn millis(at: Instant) -> u64 {
    at.as_micros() / 1_000
}

/// The column that something takes its place in.
pub(super) const fn column_of(what: &What) -> Option<Column> {
    use crate::world::Direction;
    match what {
        What::Packet { direction: Direction::Up, .. } | What::Arrival { direction: Direction::Down } => {
            Some(Column::Client)
        }
        What::Packet { direction: Direction::Down, .. } | What::Arrival { direction: Direction::Up } => {
            Some(Column::Broker)
        }
        What::Text { column, .. } | What::End { column, .. } => Some(*column),
        What::Broker { .. } => None,
    }
}

/// Width of a text.
pub(super) fn width(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

/// The box around a text of an item that stands at a height.
fn frame(what: &What, column: Column, text: &str, lanes: Lanes, y: f64) -> Rect {
    let wide = width(text);
    let lane = lanes.of(column);
    let left = match column {
        Column::Application => lane - BESIDE - wide,
        Column::Client | Column::Fate => lane + BESIDE,
        Column::Link => lane - wide / 2.0,
        Column::Broker => lane - BESIDE - wide,
    };
    // Of packets above their line, of remarks beside it.
    let base = if matches!(what, What::Packet { .. }) { y - ABOVE } else { y + 4.0 };
    Rect { left, top: base - 10.0, right: left + wide, bottom: base + 2.5 }
}

/// The panels side by side, each as wide as its texts need.
fn places(story: &Story) -> Vec<Lanes> {
    let mut left = TIMES;
    let mut list = Vec::new();
    for panel in 0..story.panels.len() {
        let widest = |wanted: Column| {
            let texts = story.items.iter().filter_map(|item| match &item.what {
                What::Text { column, text, .. } if item.panel == panel && *column == wanted => {
                    Some(width(text))
                }
                _ => None,
            });
            texts.fold(40.0, f64::max)
        };
        let client = left + widest(Column::Application) + BESIDE;
        let (link, broker) = (client + LANES / 2.0, client + LANES);
        let right = broker + BESIDE + widest(Column::Fate);
        list.push(Lanes { left, client, link, broker, right });
        left = right + BETWEEN;
    }
    list
}
