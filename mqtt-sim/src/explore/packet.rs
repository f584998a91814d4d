//! The few bytes of a packet that the watch looks at, read by code of its own.

use core::fmt;

/// The types of packets by number.
pub(super) const CONNECT: u8 = 1;
pub(super) const CONNACK: u8 = 2;
pub(super) const PUBLISH: u8 = 3;
pub(super) const PUBACK: u8 = 4;
pub(super) const PUBREC: u8 = 5;
pub(super) const PUBREL: u8 = 6;
pub(super) const PUBCOMP: u8 = 7;
pub(super) const SUBSCRIBE: u8 = 8;
pub(super) const SUBACK: u8 = 9;
pub(super) const DISCONNECT: u8 = 14;

const NAMES: [&str; 16] = [
    "?",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
];

/// What a packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// 0 where it has none.
    pub(super) id: u16,
    /// PUBLISH: the first byte of the payload, which tells messages apart.
    pub(super) mark: u8,
    /// Acknowledgements: the reason code; CONNACK: its return or reason code.
    pub(super) code: u8,
    /// CONNACK: session present; CONNECT: clean start.
    pub(super) session: bool,
}

impl Seen {
    pub(super) const fn dup(&self) -> bool {
        self.flags & 8 != 0
    }

    pub(super) const fn qos(&self) -> u8 {
        self.flags >> 1 & 3
    }

    /// Whether it acknowledges a message.
    pub(super) const fn acknowledges(&self) -> bool {
        matches!(self.kind, PUBACK..=PUBCOMP)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.get(usize::from(self.kind)).unwrap_or(&"?");
        match self.kind {
            PUBLISH => {
                let dup = if self.dup() { " DUP" } else { "" };
                write!(f, "PUBLISH {} QoS {} id {}{dup}", char::from(self.mark), self.qos(), self.id)
            }
            CONNECT if self.session => write!(f, "{name} clean"),
            CONNACK => write!(f, "{name} code {} session present {}", self.code, self.session),
            DISCONNECT => write!(f, "{name} code {:#04x}", self.code),
            _ if self.id != 0 => write!(f, "{name} id {}", self.id),
            _ => f.write_str(name),
        }
    }
}

/// A number of 1 to 4 bytes with 7 bits each, and how many bytes it has.
fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (place, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((value, place + 1));
        }
    }
    None
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// The length of the first packet in `bytes`; none if it is not whole.
pub(super) fn first(bytes: &[u8]) -> Option<usize> {
    let (rest, used) = varint(bytes.get(1..)?)?;
    Some(1 + used + rest).filter(|len| *len <= bytes.len())
}

/// Reads a whole packet.
pub(super) fn read(bytes: &[u8], five: bool) -> Option<Seen> {
    let head = *bytes.first()?;
    let (_, used) = varint(bytes.get(1..)?)?;
    let body = bytes.get(1 + used..)?;
    let (kind, flags) = (head >> 4, head & 15);
    let mut seen = Seen { kind, flags, id: 0, mark: 0, code: 0, session: false };
    match kind {
        CONNECT => {
            let name = usize::from(short(body, 0)?);
            seen.session = body.get(2 + name + 1)? & 2 != 0;
        }
        CONNACK => (seen.session, seen.code) = (body.first()? & 1 != 0, *body.get(1)?),
        PUBLISH => {
            let mut at = 2 + usize::from(short(body, 0)?);
            if seen.qos() != 0 {
                seen.id = short(body, at)?;
                at += 2;
            }
            if five {
                let (properties, used) = varint(body.get(at..)?)?;
                at += used + properties;
            }
            seen.mark = *body.get(at)?;
        }
        PUBACK..=11 => {
            seen.id = short(body, 0)?;
            if seen.acknowledges() {
                seen.code = body.get(2).copied().unwrap_or(0);
            }
        }
        DISCONNECT => seen.code = body.first().copied().unwrap_or(0),
        _ => {}
    }
    Some(seen)
}
