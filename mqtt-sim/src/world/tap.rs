//! Listens to one direction of a connection and tells packets apart.

use mqtt_proto::{Connect, Packet, PacketType, Peer, Version, frame_len};

/// Bytes of a packet that is not whole yet. It gives up at the first bytes that are no packet.
#[derive(Clone, Debug)]
pub(super) struct Tap {
    from: Peer,
    held: Vec<u8>,
    lost: bool,
}

impl Tap {
    pub(super) fn new(from: Peer) -> Self {
        Self { from, held: Vec::new(), lost: false }
    }

    /// Shows every packet that is whole now to `see`: decoded, or not if it cannot be.
    pub(super) fn listen(
        &mut self,
        bytes: &[u8],
        version: &mut Version,
        mut see: impl FnMut(Result<Packet<'_>, &[u8]>),
    ) {
        if self.lost {
            return;
        }
        self.held.extend_from_slice(bytes);
        let mut used = 0;
        while let Some(rest) = self.held.get(used..).filter(|rest| !rest.is_empty()) {
            let frame = match frame_len(rest, usize::MAX) {
                Ok(Some(len)) => rest.get(..len).unwrap_or(rest),
                Ok(None) => break,
                Err(_) => {
                    self.lost = true;
                    see(Err(rest));
                    break;
                }
            };
            used += frame.len();
            if frame.first().and_then(|first| PacketType::from_first_byte(*first))
                == Some(PacketType::Connect)
                && let Ok(connect) = Connect::decode(frame, *version, self.from)
            {
                *version = connect.version;
            }
            let packet = Packet::decode(frame, *version, self.from).map_err(|_| frame);
            let broken = packet.is_err();
            see(packet);
            if broken {
                self.lost = true;
                break;
            }
        }
        self.held.drain(..used);
    }

    /// Nobody minds any more what comes.
    pub(super) fn ignore(&mut self) {
        self.lost = true;
    }

    /// What has been sent of a packet that was not finished.
    pub(super) fn partial(&self) -> &[u8] {
        &self.held
    }
}
