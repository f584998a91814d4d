//! The drawing itself.

use core::fmt::Write;
use std::collections::BTreeMap;

use crate::world::{Direction, LinkId};

use super::Chart;
use super::layout::{ABOVE, BESIDE, HEAD, LETTER, LINE, Lanes, Layout, Mark, SINKS, width};
use super::story::{Column, Fate, Item, Kind, Story, Tone, What};

/// Half of the width of the bar that stands for an end of a connection.
const BAR: f64 = 4.0;

/// Colours by class, for a light and for a dark ground: ground, text, quiet text, lanes, bars, and what is drawn.
const LIGHT: [(&str, &str); 12] = [
    ("ground", "#ffffff"),
    ("ink", "#1f2328"),
    ("quiet", "#6e7781"),
    ("lane", "#afb8c1"),
    ("bar", "#ddf4ff"),
    ("conn", "#8250df"),
    ("pub", "#0969da"),
    ("ack", "#1a7f37"),
    ("subs", "#bc4c00"),
    ("ping", "#6e7781"),
    ("minor", "#9a6700"),
    ("bad", "#cf222e"),
];
const DARK: [(&str, &str); 12] = [
    ("ground", "#0d1117"),
    ("ink", "#e6edf3"),
    ("quiet", "#8b949e"),
    ("lane", "#484f58"),
    ("bar", "#1b3a5c"),
    ("conn", "#bc8cff"),
    ("pub", "#58a6ff"),
    ("ack", "#3fb950"),
    ("subs", "#ffa657"),
    ("ping", "#8b949e"),
    ("minor", "#d29922"),
    ("bad", "#ff7b72"),
];

struct Drawing<'c> {
    story: &'c Story,
    layout: &'c Layout,
    svg: String,
}

/// One line of the picture. Writing to a string does not fail.
macro_rules! line {
    ($drawing:expr, $($text:tt)*) => {{
        let _ = writeln!($drawing.svg, $($text)*);
    }};
}

pub(super) fn draw(chart: &Chart, story: &Story, layout: &Layout) -> String {
    let mut drawing = Drawing { story, layout, svg: String::new() };
    let notes = drawing.notes(chart);
    let longest = notes.iter().map(|(_, note)| width(note)).fold(layout.width, |a, b| a.max(b + 24.0));
    let wide = longest.max(width(&chart.title) * 1.1 + 24.0).ceil();
    let high = (layout.bottom + 34.0 + LINE * 1.5 * notes.len() as f64 + 8.0).ceil();
    line!(
        drawing,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" viewBox="0 0 {wide} {high}" role="img">"#
    );
    line!(drawing, "<title>{}</title>", escaped(&chart.title));
    drawing.style();
    line!(drawing, r#"<rect class="ground" width="{wide}" height="{high}"/>"#);
    if !chart.title.is_empty() {
        line!(drawing, r#"<text class="t ink title" x="12" y="22">{}</text>"#, escaped(&chart.title));
    }
    drawing.scale();
    drawing.lanes();
    drawing.bars();
    drawing.silences();
    for (index, item) in story.items.iter().enumerate() {
        drawing.arrow(index, item);
    }
    for (index, item) in story.items.iter().enumerate() {
        drawing.text(index, item);
    }
    for (number, (class, note)) in notes.iter().enumerate() {
        let y = layout.bottom + 34.0 + LINE * 1.5 * (number as f64 + 0.5);
        line!(drawing, r#"<text class="t {class}" x="12" y="{y:.1}">{}</text>"#, escaped(note));
    }
    line!(drawing, "</svg>");
    drawing.svg
}

impl Drawing<'_> {
    /// What stands below the chart.
    fn notes(&self, chart: &Chart) -> Vec<(&'static str, String)> {
        let mut notes = Vec::new();
        let (before, behind) = self.story.left_out;
        if before + behind > 0 {
            notes.push(("quiet", format!("{before} things before and {behind} behind are not drawn")));
        }
        if let Some((at, what)) = &chart.failure {
            let most = (self.layout.width.max(900.0) / LETTER) as usize - 4;
            let text = format!("✕ at {} s: {what}", seconds(at.as_micros()));
            let mut rest: &str = &text;
            while !rest.is_empty() {
                let end = rest.char_indices().nth(most).map_or(rest.len(), |(end, _)| end);
                let (part, next) = rest.split_at(end);
                notes.push(("bad", part.to_owned()));
                rest = next;
            }
        }
        notes
    }

    fn style(&mut self) {
        line!(self, "<style>");
        line!(
            self,
            ".t{{font:11px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;paint-order:stroke;\
             stroke-width:3.5px;stroke-linejoin:round}}.title{{font-size:13px;font-weight:bold}}.mid{{text-anchor:middle}}\
             .end{{text-anchor:end}}.head{{font-weight:bold}}.l{{fill:none;stroke-width:1.4px}}.dash{{stroke-dasharray:4 3}}\
             .thin{{stroke-width:1px}}.grid{{stroke-width:1px;stroke-dasharray:1 5}}.x{{stroke-width:2px}}.none{{fill:none}}"
        );
        colours(&mut self.svg, &LIGHT);
        line!(self, "@media (prefers-color-scheme:dark){{");
        colours(&mut self.svg, &DARK);
        line!(self, "}}\n</style>");
    }

    /// Times on the left, with a fine line through all panels.
    fn scale(&mut self) {
        let right = self.layout.width;
        for mark in &self.layout.marks {
            match mark {
                Mark::At(y, at) => {
                    let time = seconds(at.as_micros());
                    line!(self, r#"<path class="l grid lane" d="M80 {y:.1}H{right:.1}"/>"#);
                    line!(self, r#"<text class="t quiet end" x="76" y="{:.1}">{time}</text>"#, y + 4.0);
                }
                Mark::Silence(from, to, span) => {
                    let (y, text) = ((from + to) / 2.0 + 4.0, format!("{:.0} s", span.as_secs_f64()));
                    line!(self, r#"<text class="t quiet end" x="76" y="{y:.1}">⋮ {text}</text>"#);
                }
            }
        }
    }

    fn lanes(&mut self) {
        let bottom = self.layout.bottom;
        for (panel, lanes) in self.story.panels.iter().zip(&self.layout.panels) {
            for (x, name) in [(lanes.client, &*panel.name), (lanes.link, "link"), (lanes.broker, "broker")] {
                let dash = if name == "link" { " dash" } else { "" };
                line!(self, r#"<path class="l lane{dash}" d="M{x:.1} {:.1}V{bottom:.1}"/>"#, HEAD - 8.0);
                for y in [HEAD - 20.0, bottom + 12.0] {
                    self.head(x, y, name);
                }
            }
        }
    }

    /// Lanes and bars are interrupted where time is.
    fn silences(&mut self) {
        for mark in &self.layout.marks {
            let Mark::Silence(from, to, _) = mark else { continue };
            let y = (from + to) / 2.0;
            for x in self.layout.panels.iter().flat_map(|lanes| [lanes.client, lanes.link, lanes.broker]) {
                let (left, right) = (x - 7.0, x + 7.0);
                line!(
                    self,
                    r#"<path class="ground" d="M{left:.1} {:.1}L{right:.1} {:.1}V{:.1}L{left:.1} {:.1}Z"/>"#,
                    y - 1.0,
                    y - 5.0,
                    y + 1.0,
                    y + 5.0
                );
                for y in [y - 3.0, y + 3.0] {
                    let (low, high) = (y + 2.0, y - 2.0);
                    line!(self, r#"<path class="l lane" d="M{left:.1} {low:.1}L{right:.1} {high:.1}"/>"#);
                }
            }
        }
    }

    fn head(&mut self, x: f64, y: f64, name: &str) {
        let half = width(name) / 2.0 + 12.0;
        line!(
            self,
            r#"<rect class="ground stroke" x="{:.1}" y="{:.1}" width="{:.1}" height="22" rx="5"/>"#,
            x - half,
            y - 11.0,
            half * 2.0
        );
        line!(self, r#"<text class="t ink mid head" x="{x:.1}" y="{:.1}">{}</text>"#, y + 4.0, escaped(name));
    }

    /// Where each end thinks that there is a connection, and where there is no broker.
    fn bars(&mut self) {
        let mut open: BTreeMap<(LinkId, Column), (f64, usize)> = BTreeMap::new();
        let mut down: BTreeMap<usize, f64> = BTreeMap::new();
        let (mut bars, mut gaps) = (Vec::new(), Vec::new());
        for (item, y) in self.story.items.iter().zip(&self.layout.heights) {
            match &item.what {
                What::End { link, column, open: true } => {
                    open.insert((*link, *column), (*y, item.panel));
                }
                What::End { link, column, open: false } => {
                    if let Some((from, panel)) = open.remove(&(*link, *column)) {
                        bars.push((*link, *column, panel, from, *y, true));
                    }
                }
                What::Broker { up: false } => {
                    down.entry(item.panel).or_insert(*y);
                }
                What::Broker { up: true } => {
                    if let Some(from) = down.remove(&item.panel) {
                        gaps.push((item.panel, from, *y));
                    }
                }
                _ => {}
            }
        }
        let bottom = self.layout.bottom;
        bars.extend(
            open.into_iter()
                .map(|((link, column), (from, panel))| (link, column, panel, from, bottom, false)),
        );
        gaps.extend(down.into_iter().map(|(panel, from)| (panel, from, bottom)));
        bars.sort_by_key(|(link, ..)| *link);
        for (panel, from, to) in gaps {
            let Some(lanes) = self.layout.panels.get(panel) else { continue };
            let x = lanes.broker;
            line!(self, r#"<path class="l ground thin" stroke-width="3" d="M{x:.1} {from:.1}V{to:.1}"/>"#);
            line!(self, r#"<path class="l bad dash" d="M{x:.1} {from:.1}V{to:.1}"/>"#);
        }
        for (_, column, panel, from, to, ended) in bars {
            let Some(lanes) = self.layout.panels.get(panel) else { continue };
            let x = lanes.of(column);
            let high = (to - from).max(4.0);
            line!(
                self,
                r#"<rect class="bar stroke" x="{:.1}" y="{from:.1}" width="{:.1}" height="{high:.1}" rx="2"/>"#,
                x - BAR,
                BAR * 2.0
            );
            if ended {
                let y = from + high;
                line!(
                    self,
                    r#"<path class="l x lane" d="M{:.1} {y:.1}H{:.1}"/>"#,
                    x - BAR - 3.0,
                    x + BAR + 3.0
                );
            }
        }
    }

    /// A packet's way.
    fn arrow(&mut self, index: usize, item: &Item) {
        let What::Packet { direction, kind, fate, .. } = &item.what else { return };
        let (Some(lanes), Some(y)) = (self.layout.panels.get(item.panel), self.layout.heights.get(index))
        else {
            return;
        };
        let (from, to) = ends(lanes, *direction);
        let class = class_of(*kind);
        let run = self.layout.runs.get(index).copied().unwrap_or(0.0);
        let bend = from + run.copysign(to - from);
        let begin = format!("M{from:.1} {y:.1}L{bend:.1} {y:.1}");
        match fate {
            Fate::Arrives(arrival) => {
                let end = self.layout.heights.get(*arrival).copied().unwrap_or(*y);
                line!(self, r#"<path class="l {class}" d="{begin}L{to:.1} {end:.1}"/>"#);
                self.tip((bend, *y), (to, end), class);
            }
            Fate::Later => {
                let (x, end) = (to + (bend - to) * 0.2, y + SINKS);
                line!(self, r#"<path class="l dash {class}" d="{begin}L{x:.1} {end:.1}"/>"#);
            }
            Fate::Lost => {
                let far = if run > 0.0 { bend + 24.0_f64.copysign(to - from) } else { lanes.link };
                let x = if (far - from).abs() > (lanes.link - from).abs() { far } else { lanes.link };
                let end = y + SINKS;
                line!(self, r#"<path class="l dash {class}" d="{begin}L{x:.1} {end:.1}"/>"#);
                line!(self, r#"<path class="l x bad" d="M{:.1} {:.1}l8 8m0 -8l-8 8"/>"#, x - 4.0, end - 4.0);
            }
        }
    }

    /// The tip of an arrow.
    fn tip(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let len = dx.hypot(dy).max(1.0);
        let (ux, uy) = (dx / len, dy / len);
        let (bx, by) = (to.0 - ux * 8.0, to.1 - uy * 8.0);
        line!(
            self,
            r#"<path class="{class}" d="M{:.1} {:.1}L{:.1} {:.1}L{:.1} {:.1}Z"/>"#,
            to.0,
            to.1,
            bx - uy * 3.5,
            by + ux * 3.5,
            bx + uy * 3.5,
            by - ux * 3.5
        );
    }

    fn text(&mut self, index: usize, item: &Item) {
        let (Some(lanes), Some(y)) = (self.layout.panels.get(item.panel), self.layout.heights.get(index))
        else {
            return;
        };
        match &item.what {
            What::Packet { direction, kind, text, whole, .. } => {
                let (x, anchor) = match direction {
                    Direction::Up => (lanes.client + BESIDE, ""),
                    Direction::Down => (lanes.broker - BESIDE, " end"),
                };
                let class = if *whole { class_of(*kind) } else { "bad" };
                let text = escaped(text).replace(" DUP", r#" <tspan class="minor head">DUP</tspan>"#);
                line!(
                    self,
                    r#"<text class="t {class}{anchor}" x="{x:.1}" y="{:.1}">{text}</text>"#,
                    y - ABOVE
                );
            }
            What::Text { column, tone, text } => {
                let (x, anchor) = match column {
                    Column::Application => (lanes.client - BESIDE, " end"),
                    Column::Client | Column::Fate => (lanes.broker + BESIDE, ""),
                    Column::Link => (lanes.link, " mid"),
                    Column::Broker => (lanes.broker - BESIDE, " end"),
                };
                let class = match tone {
                    Tone::Quiet => "quiet",
                    Tone::Minor => "minor",
                    Tone::Bad => "bad head",
                };
                let y = y + 4.0;
                line!(
                    self,
                    r#"<text class="t {class}{anchor}" x="{x:.1}" y="{y:.1}">{}</text>"#,
                    escaped(text)
                );
            }
            _ => {}
        }
    }
}

/// Where a packet leaves and arrives.
fn ends(lanes: &Lanes, direction: Direction) -> (f64, f64) {
    match direction {
        Direction::Up => (lanes.client + BAR, lanes.broker - BAR),
        Direction::Down => (lanes.broker - BAR, lanes.client + BAR),
    }
}

const fn class_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Connection => "conn",
        Kind::Publish => "pub",
        Kind::Ack => "ack",
        Kind::Subscribe => "subs",
        Kind::Ping => "ping",
    }
}

/// A class for each colour: as a fill, of lines as a stroke; texts have a rim in the colour of the ground, so that
/// lines behind them do not make them hard to read.
fn colours(svg: &mut String, colours: &[(&str, &str)]) {
    for (class, colour) in colours {
        let _ = write!(svg, ".{class}{{fill:{colour}}}.l.{class}{{fill:none;stroke:{colour}}}");
        if *class == "ground" {
            let _ = write!(svg, ".t{{stroke:{colour}}}");
        }
        if *class == "lane" {
            let _ = write!(svg, ".stroke{{stroke:{colour};stroke-width:1px}}");
        }
    }
    svg.push('\n');
}

fn seconds(micros: u64) -> String {
    format!("{:.3}", micros as f64 / 1e6)
}

/// Text as XML has it; what XML cannot hold is left out.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}
