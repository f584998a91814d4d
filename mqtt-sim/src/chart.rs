//! A recorded run as a message sequence chart, in SVG.
//!
//! Each client gets a panel: on the left its application's calls and events, then the client, the link and the broker,
//! and on the right what happened to the broker. Time runs downwards, short spans stretched and long ones shortened.
//! Packets are arrows, slanted as long as they took; bars show where each end thinks that there is a connection.
//!
//! ```
//! use std::time::Duration;
//! use mqtt_sim::broker::BrokerConfig;
//! use mqtt_sim::chart::Chart;
//! use mqtt_sim::world::{ClientOptions, World};
//!
//! let mut world = World::new(7);
//! world.add_broker(BrokerConfig::default());
//! let sensor = world.add_client(ClientOptions::new("sensor"));
//! world.record();
//! world.start(sensor)?;
//! world.run_for(Duration::from_secs(1))?;
//! world.cut(sensor);
//! world.run_for(Duration::from_secs(5))?;
//!
//! let svg = Chart::new().title("a cut, and what comes of it").draw(&world);
//! assert!(svg.starts_with("<svg") && svg.contains("CONNACK"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod label;
mod layout;
mod story;
mod svg;

use mqtt_session::Instant;

use crate::world::{ClientId, World};

use layout::Layout;
use story::Story;

/// Things that happen up to which a chart is easily read.
const READABLE: usize = 200;
/// Panels drawn when nobody says which.
const PANELS: usize = 3;

/// What to draw, and of which part of a run. The default draws the first 200 things that happen to the first three
/// clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chart {
    title: String,
    failure: Option<(Instant, String)>,
    from: Instant,
    most: usize,
    clients: Vec<ClientId>,
}

impl Default for Chart {
    fn default() -> Self {
        Self { title: String::new(), failure: None, from: Instant::ZERO, most: READABLE, clients: Vec::new() }
    }
}

impl Chart {
    /// The default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A line above it. Default: none.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// What went wrong, and when: it is written there, and the last things before it are drawn.
    #[must_use]
    pub fn failure(mut self, at: Instant, what: impl Into<String>) -> Self {
        self.failure = Some((at, what.into()));
        self
    }

    /// Draws nothing that happened before. Default: the beginning.
    #[must_use]
    pub const fn from(mut self, from: Instant) -> Self {
        self.from = from;
        self
    }

    /// How many things that happen are drawn at most. Default: 200.
    #[must_use]
    pub const fn most(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// Adds a client to those that get a panel. Default: the first three.
    #[must_use]
    pub fn client(mut self, client: ClientId) -> Self {
        self.clients.push(client);
        self
    }

    /// The chart of a world that was [`record`](World::record)ed.
    pub fn draw(&self, world: &World) -> String {
        let clients = if self.clients.is_empty() {
            world.clients().take(PANELS).collect()
        } else {
            self.clients.clone()
        };
        let mut story = Story::of(world, &clients);
        story.cut(self.from, self.failure.as_ref().map(|(at, _)| *at), self.most);
        let layout = Layout::of(&story);
        svg::draw(self, &story, &layout)
    }
}

#[cfg(test)]
mod tests;
