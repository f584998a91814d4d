//! What must not be in a log, replaced by as many `x`.

use std::string::String;
use std::vec;
use std::vec::Vec;

use mqtt_proto::{PacketType, Properties, Property, PropertyId};

/// What stands for a byte of a secret.
const MASK: u8 = b'x';

/// As long as the secret.
pub(super) fn bytes(secret: &[u8]) -> Vec<u8> {
    vec![MASK; secret.len()]
}

/// As long as the secret.
pub(super) fn text(secret: &str) -> String {
    core::iter::repeat_n(char::from(MASK), secret.len()).collect()
}

/// Properties of CONNECT or AUTH, written: without Authentication Data and the values of User Properties. `None`: they cannot
/// be written.
pub(super) fn properties(properties: Properties<'_>) -> Option<Vec<u8>> {
    let mut written = vec![0; properties.body_len()];
    let len = properties.write_body(&mut written).ok()?;
    written.truncate(len);
    let mut masked = Vec::new();
    for property in properties.iter() {
        let (data, value);
        let property = match property {
            Property::AuthenticationData(secret) => {
                data = bytes(secret);
                Property::AuthenticationData(&data)
            }
            Property::UserProperty(name, secret) => {
                value = text(secret);
                Property::UserProperty(name, &value)
            }
            other => other,
        };
        let list = [property];
        let one = Properties::List(&list);
        let start = masked.len();
        masked.resize(start.saturating_add(one.body_len()), 0);
        one.write_body(masked.get_mut(start..).unwrap_or_default()).ok()?;
    }
    (masked.len() == written.len()).then_some(masked)
}

/// Masks Authentication Data in packets of a server, the first of which begins at the front; the last one may be the beginning of
/// a packet. Returns where to go on when there is more: it may be behind the end, in the middle of a packet without secrets.
pub(super) fn packets(bytes: &mut [u8]) -> usize {
    let mut at = 0usize;
    while let Some(rest) = bytes.get_mut(at..)
        && let Some((kind, head, len)) = header(rest)
    {
        let end = head.saturating_add(len);
        if matches!(kind, Some(PacketType::Connack | PacketType::Auth)) {
            let there = end.min(rest.len());
            let is_whole = there == end;
            authentication(rest.get_mut(head..there).unwrap_or_default(), kind == Some(PacketType::Connack));
            if !is_whole {
                break;
            }
        }
        at = at.saturating_add(end);
    }
    at
}

/// What kind of packet begins here, how long its fixed header is, and how much follows; `None`: not yet known.
pub(super) fn header(bytes: &[u8]) -> Option<(Option<PacketType>, usize, usize)> {
    let (first, rest) = bytes.split_first()?;
    let mut len = 0usize;
    for (at, byte) in rest.iter().take(4).enumerate() {
        len |= usize::from(byte & 0x7F) << (at.saturating_mul(7));
        if byte & 0x80 == 0 {
            return Some((PacketType::from_first_byte(*first), at.saturating_add(2), len));
        }
    }
    None
}

/// Masks what is there of the Authentication Data in the body of a CONNACK or AUTH of 5.0.
fn authentication(body: &mut [u8], connack: bool) {
    // CONNACK: flags and code; AUTH: the code. Then the properties' length, at most four bytes.
    let mut at = if connack { 2usize } else { 1 };
    for _ in 0..4 {
        let Some(byte) = body.get(at) else { return };
        at = at.saturating_add(1);
        if byte & 0x80 == 0 {
            break;
        }
    }
    while let Some(id) = body.get(at).copied() {
        at = at.saturating_add(1);
        let len = |from: usize| match body.get(from..from.saturating_add(2)) {
            Some([high, low]) => Some(usize::from(u16::from_be_bytes([*high, *low]))),
            _ => None,
        };
        let skip = match PropertyId::from_u8(id) {
            Some(PropertyId::AuthenticationData) => {
                let Some(len) = len(at) else { return };
                at = at.saturating_add(2);
                let end = at.saturating_add(len).min(body.len());
                body.get_mut(at..end).unwrap_or_default().fill(MASK);
                len
            }
            Some(PropertyId::UserProperty) => {
                let Some(name) = len(at) else { return };
                let Some(value) = len(at.saturating_add(2).saturating_add(name)) else { return };
                name.saturating_add(value).saturating_add(4)
            }
            Some(
                PropertyId::AssignedClientIdentifier
                | PropertyId::AuthenticationMethod
                | PropertyId::ReasonString
                | PropertyId::ResponseInformation
                | PropertyId::ServerReference,
            ) => {
                let Some(len) = len(at) else { return };
                len.saturating_add(2)
            }
            Some(PropertyId::SessionExpiryInterval | PropertyId::MaximumPacketSize) => 4,
            Some(
                PropertyId::ServerKeepAlive | PropertyId::ReceiveMaximum | PropertyId::TopicAliasMaximum,
            ) => 2,
            Some(
                PropertyId::MaximumQos
                | PropertyId::RetainAvailable
                | PropertyId::WildcardSubscriptionAvailable
                | PropertyId::SubscriptionIdentifiersAvailable
                | PropertyId::SharedSubscriptionAvailable,
            ) => 1,
            // None of these packets: the engine refuses it, whatever follows. Nobody knows what it is.
            _ => {
                body.get_mut(at..).unwrap_or_default().fill(MASK);
                return;
            }
        };
        at = at.saturating_add(skip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AUTH 0x18 with a method, a User Property and data.
    const AUTH: &[u8] = b"\xF0\x1A\x18\x18\x15\x00\x05LEMMA\x26\x00\x01k\x00\x01v\x16\x00\x06canary";

    #[test]
    fn authentication_data_is_masked_wherever_the_packet_is_cut() {
        for len in 0..=AUTH.len() {
            let mut stream = b"\xD0\x00".to_vec();
            stream.extend(&AUTH[..len]);
            let at = packets(&mut stream);
            assert!(!stream.windows(2).any(|two| two == b"ca"), "{len}");
            assert_eq!(at, if len == AUTH.len() { stream.len() } else { 2 });
            assert_eq!(&stream[2..][..len.min(22)], &AUTH[..len.min(22)]);
        }
    }

    #[test]
    fn properties_keep_their_lengths() {
        let list = [
            Property::AuthenticationMethod("LEMMA"),
            Property::AuthenticationData(b"canary"),
            Property::UserProperty("token", "canary"),
        ];
        let masked = properties(Properties::List(&list)).unwrap();
        assert_eq!(masked.len(), Properties::List(&list).body_len());
        let text = String::from_utf8_lossy(&masked);
        assert!(text.contains("LEMMA") && text.contains("token") && !text.contains("canary"), "{text}");
    }
}
