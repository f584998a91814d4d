//! A broker with its connections.

use std::collections::BTreeMap;

use crate::broker::{Broker, ConnId};

use super::LinkId;

/// A broker of the world.
pub(super) struct Server {
    pub(super) broker: Broker,
    pub(super) links: BTreeMap<ConnId, LinkId>,
    /// The outage it is in.
    pub(super) outage: Option<u64>,
    pub(super) next_outage: u64,
}

impl Server {
    pub(super) fn new(broker: Broker) -> Self {
        Self { broker, links: BTreeMap::new(), outage: None, next_outage: 0 }
    }

    pub(super) fn is_up(&self) -> bool {
        self.outage.is_none()
    }
}
