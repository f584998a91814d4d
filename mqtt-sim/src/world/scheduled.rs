//! Schedules on the links of the world: the same type that a proxy applies to real sockets.

use mqtt_session::Closed;

use crate::schedule::{Schedule, Tally, Trouble};

use super::clock::Planned;
use super::{ClientId, Direction, LinkId, World};

impl World {
    /// What goes wrong with the client's next connections: the n-th to be opened from now on follows the n-th schedule.
    /// Later ones have none, unless this is called again, which adds to the list.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mqtt_sim::broker::BrokerConfig;
    /// use mqtt_sim::schedule::{Schedule, Trouble};
    /// use mqtt_sim::world::{ClientOptions, Direction, World};
    ///
    /// let mut world = World::new(1);
    /// world.add_broker(BrokerConfig::default());
    /// let client = world.add_client(ClientOptions::new("meter"));
    /// world.schedule(client, [Schedule::new().passed(Direction::Up, 5, Trouble::Reset)]);
    /// world.start(client)?; // the first five bytes of CONNECT get through, and the second attempt as a whole
    /// world.run_for(Duration::from_secs(30))?;
    /// assert!(world.is_connected(client));
    /// assert_eq!(world.scheduled().of(Trouble::Reset), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn schedule(&mut self, client: ClientId, schedules: impl IntoIterator<Item = Schedule>) {
        if let Some(node) = self.client(client) {
            node.schedules.extend(schedules);
        }
    }

    /// How often each kind of trouble of a schedule has struck.
    pub fn scheduled(&self) -> &Tally {
        &self.scheduled_tally
    }

    /// Time for what a schedule has for this time, and for a look at what is next.
    pub(super) fn scheduled_time(&mut self, link_id: LinkId) {
        for direction in [Direction::Up, Direction::Down] {
            self.strike_scheduled(link_id, direction);
        }
        let Some(link) = self.links.get(&link_id).filter(|link| !link.broken) else { return };
        let times = [link.up.course.next_time(), link.down.course.next_time()];
        if let Some(next) = times.into_iter().flatten().min() {
            self.agenda.plan(link.opened.after(next), Planned::Scheduled { link: link_id });
        }
    }

    /// Everything strikes that a schedule has for this byte.
    pub(super) fn strike_scheduled(&mut self, link_id: LinkId, direction: Direction) {
        let now = self.now;
        loop {
            let Some(link) = self.links.get_mut(&link_id).filter(|link| !link.broken) else { return };
            let (elapsed, latency) = (now.since(link.opened), link.latency);
            let pipe = link.pipe(direction);
            let Some(trouble) = pipe.course.strike(elapsed) else { return };
            self.scheduled_tally.count(trouble);
            match trouble {
                // The course keeps these itself.
                Trouble::Delay(_) | Trouble::Split(_) => {}
                Trouble::Stall(span) => pipe.hold(now.after(span)),
                Trouble::HalfClose => {
                    pipe.swallow();
                    let at = pipe.finish(now.after(latency), Closed::Ended);
                    link.half_closed = true;
                    self.agenda.plan(at, Planned::Arrive { link: link_id, direction });
                }
                Trouble::Reset => self.sever(link_id, Closed::Failed, [true; 2], [latency; 2]),
                Trouble::Cut => self.sever(link_id, Closed::Ended, [false; 2], [latency; 2]),
            }
            self.note(trouble.name());
        }
    }
}
