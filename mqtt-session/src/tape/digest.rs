//! What came out of a session, in four bytes, and a name for a reader.

use core::fmt::{self, Debug, Write};

use super::mask;
use crate::event::{Command, Event, Received};
use mqtt_proto::PacketType;

/// FNV-1a of 64 bits, folded to 32. It tells apart what differs by accident; nobody needs to be kept from forging a log.
pub(crate) struct Digest(u64);

impl Digest {
    pub(crate) const fn new() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }

    fn raw(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    /// Bytes, told apart from others that are followed by more.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.raw(&number.to_le_bytes());
    }

    pub(crate) fn debug(&mut self, value: &dyn Debug) {
        // It cannot fail.
        let _ = write!(self, "{value:?}");
        self.raw(&[0xFF]);
    }

    pub(crate) const fn finish(&self) -> u32 {
        (self.0 ^ self.0 >> 32) as u32
    }

    fn message(&mut self, message: &Received<'_>, topic: &str) {
        let Received { topic: sent, payload, qos, retain, dup, properties, packet_id, ack, redelivered } =
            message;
        self.bytes(topic.as_bytes());
        self.bytes(payload);
        self.debug(&(sent, qos, retain, dup, properties));
        self.debug(&(packet_id, ack, redelivered));
    }

    pub(crate) fn event(&mut self, event: &Event<'_>, topic: &str) {
        match event {
            Event::Message(message) => self.message(message, topic),
            Event::Start { message, len } => {
                self.message(message, topic);
                self.number(u64::from(*len));
            }
            Event::Chunk(bytes) => self.bytes(bytes),
            other => self.debug(other),
        }
    }

    pub(crate) fn command(&mut self, command: &Command<'_>) {
        match command {
            Command::Put { key, record } => {
                self.debug(key);
                record.chunks().iter().for_each(|chunk| self.bytes(chunk));
            }
            other => self.debug(other),
        }
    }
}

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.raw(text.as_bytes());
        Ok(())
    }
}

/// Outcomes by number; the names are for whoever reads of a difference.
const NAMES: &[&str] = &[
    "nothing",
    "done",
    "refused",
    "Open",
    "Close",
    "Put",
    "Delete",
    "Connecting",
    "Connected",
    "Auth",
    "ServerClosing",
    "Disconnected",
    "SessionLost",
    "Message",
    "Start",
    "Chunk",
    "End",
    "Aborted",
    "Skipped",
    "Done",
    "PayloadWanted",
    "Resubscribed",
    "SubscriptionLost",
    "Suspect",
    "Durable",
    "Unblocked",
    "Anomaly",
    "Stopped",
];

pub(crate) const NOTHING: u8 = 0;

/// The name of an outcome.
pub(crate) fn name(number: u8) -> &'static str {
    NAMES.get(usize::from(number)).copied().unwrap_or("something unknown")
}

pub(crate) const fn of_result<T, E>(result: &Result<T, E>) -> u8 {
    if result.is_ok() { 1 } else { 2 }
}

pub(crate) const fn of_command(command: &Command<'_>) -> u8 {
    match command {
        Command::Open { .. } => 3,
        Command::Close => 4,
        Command::Put { .. } => 5,
        Command::Delete { .. } => 6,
    }
}

pub(crate) const fn of_event(event: &Event<'_>) -> u8 {
    match event {
        Event::Connecting { .. } => 7,
        Event::Connected(_) => 8,
        Event::Auth(_) => 9,
        Event::ServerClosing { .. } => 10,
        Event::Disconnected { .. } => 11,
        Event::SessionLost { .. } => 12,
        Event::Message(_) => 13,
        Event::Start { .. } => 14,
        Event::Chunk(_) => 15,
        Event::End { .. } => 16,
        Event::Aborted => 17,
        Event::Skipped { .. } => 18,
        Event::Done { .. } => 19,
        Event::PayloadWanted { .. } => 20,
        Event::Resubscribed { .. } => 21,
        Event::SubscriptionLost { .. } => 22,
        Event::Suspect { .. } => 23,
        Event::Durable { .. } => 24,
        Event::Unblocked => 25,
        Event::Anomaly(_) => 26,
        Event::Stopped { .. } => 27,
    }
}

/// Where in a packet the outgoing bytes are, so that CONNECT and AUTH count by their lengths alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frames {
    /// The beginning of a packet whose length is not known yet.
    head: [u8; 5],
    held: usize,
    /// Bytes of the packet's body to come.
    left: usize,
    secret: bool,
}

impl Frames {
    /// Takes bytes of a stream of packets into a digest.
    pub(crate) fn digest(&mut self, mut bytes: &[u8], digest: &mut Digest) {
        digest.number(bytes.len() as u64);
        while let Some((first, rest)) = bytes.split_first() {
            if self.left == 0 {
                digest.raw(&[*first]);
                if let Some(place) = self.head.get_mut(self.held) {
                    *place = *first;
                }
                self.held = self.held.saturating_add(1);
                match mask::header(self.head.get(..self.held).unwrap_or(&self.head)) {
                    Some((kind, _, len)) => {
                        self.secret = matches!(kind, Some(PacketType::Connect | PacketType::Auth));
                        self.left = len;
                        self.held = 0;
                    }
                    // The engine sends no such header; whatever it is, it is compared.
                    None if self.held >= self.head.len() => self.held = 0,
                    None => {}
                }
                bytes = rest;
            } else {
                let (body, rest) = bytes.split_at(self.left.min(bytes.len()));
                if !self.secret {
                    digest.raw(body);
                }
                self.left = self.left.saturating_sub(body.len());
                bytes = rest;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn digests(pieces: &[&[u8]]) -> Vec<u32> {
        let mut frames = Frames::default();
        pieces
            .iter()
            .map(|piece| {
                let mut digest = Digest::new();
                frames.digest(piece, &mut digest);
                digest.finish()
            })
            .collect()
    }

    #[test]
    fn of_connect_and_auth_only_the_length_counts() {
        assert_eq!(digests(&[b"\x10\x03abc\xC0\x00"]), digests(&[b"\x10\x03xyz\xC0\x00"]));
        assert_eq!(
            digests(&[b"\xF0", b"\x02a", b"b\x30\x01c"]),
            digests(&[b"\xF0", b"\x02y", b"z\x30\x01c"])
        );
        assert_ne!(digests(&[b"\x30\x03abc"]), digests(&[b"\x30\x03abd"]));
        assert_ne!(digests(&[b"\x10\x01a\x30\x01c"]), digests(&[b"\x10\x01a\x30\x01d"]));
        assert_ne!(digests(&[b"\x10\x02a"]), digests(&[b"\x10\x03a"]));
    }
}
