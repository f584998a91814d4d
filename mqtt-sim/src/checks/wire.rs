//! What clients may put on the wire.

use std::collections::{BTreeMap, VecDeque};

use mqtt_proto::{Encode, Packet, Version};
use mqtt_session::Instant;

use crate::world::{ClientId, Ended, LinkId, Observed};

use super::inbound::Inbound;
use super::outbound::Outbound;
use super::{Check, Kept, Observation, Operation, Violation};

/// Payloads of ended messages whose records a journal may still hold.
const REMEMBERED: usize = 1_024;

/// Follows every connection of every client, packet by packet. Payloads that are published must be unique.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    clients: BTreeMap<ClientId, Peer>,
}

/// One client.
#[derive(Clone, Debug, Default)]
struct Peer {
    link: Option<Line>,
    outbound: Outbound,
    inbound: Inbound,
    /// Payloads of the messages that were accepted and have not ended.
    payloads: BTreeMap<u64, Vec<u8>>,
    /// The last ones that have ended: after a crash they may come again.
    ended: VecDeque<Vec<u8>>,
}

/// Its connection.
#[derive(Clone, Copy, Debug)]
struct Line {
    id: LinkId,
    version: Version,
    connect_sent: bool,
    disconnect_sent: bool,
    max_packet: usize,
}

impl Wire {
    /// Watches from now on; best from before the first client starts.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Peer {
    fn sent(&mut self, link: LinkId, packet: &Packet<'_>) -> Result<(), (&'static str, String)> {
        let Some(line) = self.link.as_mut().filter(|line| line.id == link) else {
            return Err((
                "a connection has one client",
                format!("{packet:?} on a connection it is done with"),
            ));
        };
        if line.disconnect_sent {
            return Err(("MQTT-3.14.4-2", format!("{packet:?} after DISCONNECT")));
        }
        if let Packet::Connect(connect) = packet {
            if line.connect_sent {
                return Err(("MQTT-3.1.0-2", "a second CONNECT".to_owned()));
            }
            line.connect_sent = true;
            line.version = connect.version;
            self.outbound.connecting(connect.clean_start);
            return Ok(());
        }
        if !line.connect_sent {
            return Err(("MQTT-3.1.0-1", format!("{packet:?} before CONNECT")));
        }
        if packet.encoded_len(line.version).is_ok_and(|len| len > line.max_packet) {
            return Err(("MQTT-3.2.2-15", format!("{packet:?} is larger than {}", line.max_packet)));
        }
        line.disconnect_sent = matches!(packet, Packet::Disconnect(_));
        self.outbound.sent(link, packet)?;
        self.inbound.sent(packet)
    }

    fn reached(&mut self, link: LinkId, packet: &Packet<'_>) {
        let Some(line) = self.link.as_mut().filter(|line| line.id == link) else { return };
        if let Packet::Connack(connack) = packet {
            let max = connack.properties.maximum_packet_size();
            line.max_packet = max.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
        }
        let version = line.version;
        self.outbound.reached(link, version, packet);
        if matches!(packet, Packet::Connack(_)) && !self.outbound.is_resumed() {
            self.inbound.session_lost();
        }
        self.inbound.reached(packet);
    }
}

impl Check for Wire {
    fn observe(&mut self, at: Instant, what: &Observation<'_>) -> Result<(), Violation> {
        match *what {
            Observation::Opened { client, link } => {
                let peer = self.clients.entry(client).or_default();
                peer.link = Some(Line {
                    id: link,
                    version: Version::V5,
                    connect_sent: false,
                    disconnect_sent: false,
                    max_packet: usize::MAX,
                });
                peer.outbound.opened();
                peer.inbound.opened();
                Ok(())
            }
            Observation::Sent { client, link, packet } => {
                self.clients.entry(client).or_default().sent(link, packet).map_err(|(rule, detail)| {
                    Violation::new(at, rule, format!("{client:?} on {link:?}: {detail}"))
                })
            }
            Observation::Garbage { client, link, bytes } => {
                let shown = bytes.get(..32).unwrap_or(bytes);
                Err(Violation::new(
                    at,
                    "clients send packets",
                    format!("{client:?} on {link:?}: {shown:02x?}.."),
                ))
            }
            Observation::Reached { client, link, packet } => {
                self.clients.entry(client).or_default().reached(link, packet);
                Ok(())
            }
            Observation::Closed { client, link, partial } => {
                let peer = self.clients.entry(client).or_default();
                if let Some(line) = peer.link.take_if(|line| line.id == link) {
                    peer.outbound.closed(line.version, partial);
                }
                Ok(())
            }
            Observation::Accepted { client, token, operation: Operation::Publish { payload, .. } } => {
                let peer = self.clients.entry(client).or_default();
                peer.payloads.insert(token.into(), payload.to_vec());
                Ok(())
            }
            Observation::Event { client, event: Observed::Done { token, outcome, .. } } => {
                let peer = self.clients.entry(client).or_default();
                let payload = peer.payloads.remove(&u64::from(*token));
                if let Some(payload) = payload {
                    if !matches!(outcome, Ended::Acked(_)) {
                        peer.outbound.abandoned(&payload);
                    }
                    peer.ended.push_back(payload);
                    if peer.ended.len() > REMEMBERED {
                        peer.ended.pop_front();
                    }
                }
                Ok(())
            }
            Observation::Crashed { client, kept } => {
                let peer = self.clients.entry(client).or_default();
                match kept {
                    Kept::Nothing => peer.inbound.session_lost(),
                    _ => peer.inbound.crashed(),
                }
                let ended = peer.ended.drain(..);
                if kept == Kept::Nothing {
                    drop(ended);
                    peer.payloads.clear();
                    peer.outbound = Outbound::default();
                } else {
                    let earlier = ended.chain(peer.payloads.values().cloned());
                    peer.outbound.crashed(kept, earlier);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, at: Instant) -> Result<(), Violation> {
        for (client, peer) in &self.clients {
            if peer.link.is_some() {
                peer.inbound
                    .finish()
                    .map_err(|(rule, detail)| Violation::new(at, rule, format!("{client:?}: {detail}")))?;
            }
        }
        Ok(())
    }
}
