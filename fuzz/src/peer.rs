//! A second decoder's opinion on a frame, and why the two may differ.

use mqtt_proto::*;
use mqtt_protocol_core::mqtt::packet::{v3_1_1 as old, v5_0 as new};

use crate::support::{PEERS, frame};

/// The packet as the other decoder writes it again; `None` when it refuses.
fn other(version: Version, first: u8, body: &[u8]) -> Option<Vec<u8>> {
    macro_rules! parse {
        ($packet:ty) => {{
            let (packet, len) = <$packet>::parse(body).ok()?;
            (len == body.len()).then(|| packet.to_continuous_buffer())
        }};
        (publish $packet:ty) => {{
            let (packet, len) = <$packet>::parse(first & 0x0F, body.into()).ok()?;
            (len == body.len()).then(|| packet.to_continuous_buffer())
        }};
    }
    let v5 = version == Version::V5;
    match first >> 4 {
        1 if v5 => parse!(new::Connect),
        1 => parse!(old::Connect),
        2 if v5 => parse!(new::Connack),
        2 => parse!(old::Connack),
        3 if v5 => parse!(publish new::Publish),
        3 => parse!(publish old::Publish),
        4 if v5 => parse!(new::Puback),
        4 => parse!(old::Puback),
        5 if v5 => parse!(new::Pubrec),
        5 => parse!(old::Pubrec),
        6 if v5 => parse!(new::Pubrel),
        6 => parse!(old::Pubrel),
        7 if v5 => parse!(new::Pubcomp),
        7 => parse!(old::Pubcomp),
        8 if v5 => parse!(new::Subscribe),
        8 => parse!(old::Subscribe),
        9 if v5 => parse!(new::Suback),
        9 => parse!(old::Suback),
        10 if v5 => parse!(new::Unsubscribe),
        10 => parse!(old::Unsubscribe),
        11 if v5 => parse!(new::Unsuback),
        11 => parse!(old::Unsuback),
        14 if v5 => parse!(new::Disconnect),
        15 if v5 => parse!(new::Auth),
        _ => None,
    }
}

/// Statements this decoder enforces and the other does not; each was looked at, and the standard is on this side.
const ENFORCED: [&str; 54] = [
    "MQTT-1.5.3-1",
    "MQTT-1.5.3-2",
    "MQTT-1.5.4-1",
    "MQTT-1.5.4-2",
    "MQTT-1.5.5-1",
    "MQTT-2.1.3-1",
    "MQTT-2.2.1-3",
    "MQTT-2.2.2-2",
    "MQTT-2.3.1-1",
    "MQTT-3.1.2-1",
    "MQTT-3.1.2-11",
    "MQTT-3.1.2-12",
    "MQTT-3.1.2-13",
    "MQTT-3.1.2-14",
    "MQTT-3.1.2-15",
    "MQTT-3.1.2-2",
    "MQTT-3.1.2-22",
    "MQTT-3.1.2-3",
    "MQTT-3.10.1-1",
    "MQTT-3.14.1-1",
    "MQTT-3.14.2-1",
    "MQTT-3.14.2-2",
    "MQTT-3.15.1-1",
    "MQTT-3.15.2-1",
    "MQTT-3.2.2-1",
    "MQTT-3.2.2-4",
    "MQTT-3.2.2-6",
    "MQTT-3.3.1-2",
    "MQTT-3.3.2-14",
    "MQTT-3.3.2-2",
    "MQTT-3.3.2-8",
    "MQTT-3.3.4-6",
    "MQTT-3.4.2-1",
    "MQTT-3.5.2-1",
    "MQTT-3.6.1-1",
    "MQTT-3.6.2-1",
    "MQTT-3.7.2-1",
    "MQTT-3.8.1-1",
    "MQTT-3.8.3-4",
    "MQTT-4.7.0-1",
    "MQTT-4.7.1-1",
    "MQTT-4.7.1-2",
    "MQTT-4.7.3-1",
    "MQTT-4.8.2-2",
    "U-03",
    "U-04",
    "U-05",
    "U-06",
    "U-07",
    "U-08",
    "U-14",
    "U-15",
    "U-17",
    "U-18",
];

/// How the two decoders compare on a frame.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Both accept, and mean the same; or both refuse.
    Same,
    /// The other accepts what this one refuses by this statement.
    Stricter(&'static str),
    /// The other refuses what this one accepts; why it is right to accept.
    Laxer(&'static str),
    /// Both accept but mean different things, or a difference that nothing explains.
    Unexplained(String),
}

/// Compares the two on one packet.
pub fn compare(version: Version, from: Peer, first: u8, body: &[u8]) -> Verdict {
    let input = frame(first, body);
    let ours = Packet::decode(&input, version, from);
    // A CONNECT says itself in which version it is written.
    let version = match ours {
        Ok(Packet::Connect(connect)) => connect.version,
        _ => version,
    };
    let theirs = other(version, first, body);
    match (ours, theirs) {
        (Err(_), None) => Verdict::Same,
        (Err(why), Some(_)) if ENFORCED.contains(&why.rule) => Verdict::Stricter(why.rule),
        (Err(why), Some(_)) => Verdict::Unexplained(format!("{why}, but the other accepts {input:02X?}")),
        (Ok(packet), None) => match explain(&packet, version) {
            Some(why) => Verdict::Laxer(why),
            None => Verdict::Unexplained(format!("refused by the other: {packet:?} {input:02X?}")),
        },
        (Ok(packet), Some(theirs)) if Packet::decode(&theirs, version, from) == Ok(packet) => Verdict::Same,
        (Ok(packet), Some(theirs)) => {
            Verdict::Unexplained(format!("{packet:?} {input:02X?} became {theirs:02X?}"))
        }
    }
}

/// What this decoder accepts and the other does not, with the statement that decides.
fn explain(packet: &Packet<'_>, version: Version) -> Option<&'static str> {
    match packet {
        Packet::Connect(connect) if connect.version == Version::V3_1 => Some("3.1 is not known to the other"),
        Packet::Connect(connect) if connect.bridge => {
            Some("the bridge bit is an agreement outside the standard")
        }
        Packet::Connect(connect)
            if version == Version::V5 && connect.username.is_none() && connect.password.is_some() =>
        {
            Some("5.0 3.1.2.9: a password without a user name is allowed")
        }
        Packet::Disconnect(disconnect) if disconnect.reason_code == ReasonCode::BadAuthenticationMethod => {
            Some("5.0 table 2-6 lists 0x8C for DISCONNECT")
        }
        _ => None,
    }
}

/// Any bytes as a packet of 3.1.1 or 5.0.
pub fn differential(data: &[u8]) {
    let [choice, first, body @ ..] = data else { return };
    let version = if choice & 1 == 0 { Version::V3_1_1 } else { Version::V5 };
    let from = PEERS[usize::from(choice >> 1 & 1)];
    // The other decoder is not asked about flags, pings and the empty DISCONNECT.
    if matches!(first >> 4, 0 | 12 | 13) || (first >> 4 == 14 && version != Version::V5) {
        return;
    }
    if body.len() > 100_000 {
        return;
    }
    if let Verdict::Unexplained(what) = compare(version, from, *first, body) {
        panic!("{what}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::corpus::corpus;
    use std::collections::BTreeMap;

    /// Every single-byte change of the corpus: all differences are explained.
    #[test]
    fn every_difference_is_explained() {
        let mut counts: BTreeMap<String, (usize, String)> = BTreeMap::new();
        for entry in corpus() {
            if entry.version == Version::V3_1
                || entry.frame.len() > 130
                || matches!(entry.frame[0] >> 4, 12 | 13)
                || (entry.frame[0] >> 4 == 14 && entry.version != Version::V5)
            {
                continue;
            }
            let (first, body) = (entry.frame[0], &entry.frame[2..]);
            let mut body = body.to_vec();
            for place in 0..body.len() {
                let was = body[place];
                for byte in 0..=255 {
                    body[place] = byte;
                    let verdict = compare(entry.version, entry.from, first, &body);
                    let name = match &verdict {
                        Verdict::Unexplained(_) => format!(
                            "unexplained {} {:.50}",
                            entry.version,
                            format!("{verdict:?}").replace(|c: char| c.is_ascii_digit(), "n")
                        ),
                        other => format!("{other:?}"),
                    };
                    let e = counts.entry(name).or_insert_with(|| {
                        (0, format!("{verdict:?} {} {:?} {first:02X} {body:02X?}", entry.version, entry.from))
                    });
                    e.0 += 1;
                }
                body[place] = was;
            }
        }
        for (name, (count, example)) in &counts {
            println!("{count:8} {name}   {example:.400}");
        }
        assert!(counts.keys().all(|name| !name.starts_with("unexplained")));
    }
}
