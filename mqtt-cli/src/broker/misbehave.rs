//! Misdeeds as they are written on the command line.

use core::time::Duration;

use mqtt_adapter_std::TopicFilter;
use mqtt_adapter_std::proto::PacketType;
use mqtt_sim::broker::{Misdeed, Rule};

/// The packets that a server sends.
const SENT: [(&str, PacketType); 11] = [
    ("connack", PacketType::Connack),
    ("publish", PacketType::Publish),
    ("puback", PacketType::Puback),
    ("pubrec", PacketType::Pubrec),
    ("pubrel", PacketType::Pubrel),
    ("pubcomp", PacketType::Pubcomp),
    ("suback", PacketType::Suback),
    ("unsuback", PacketType::Unsuback),
    ("pingresp", PacketType::Pingresp),
    ("disconnect", PacketType::Disconnect),
    ("auth", PacketType::Auth),
];

/// `puback=drop`, `pubrec=delay:1.5*3`.
pub(super) fn rule(text: &str) -> Result<Rule, String> {
    let (packet, rest) = text.split_once('=').ok_or_else(|| "as puback=drop".to_owned())?;
    let packet =
        SENT.iter().find(|(name, _)| *name == packet).map(|(_, packet)| *packet).ok_or_else(|| {
            let names = SENT.map(|(name, _)| name).join(", ");
            format!("no packet that a server sends is called {packet:?}; there are {names}")
        })?;
    let (deed, times) = match rest.rsplit_once('*') {
        Some((deed, times)) => {
            let times = times.parse().ok().filter(|times| *times > 0);
            (deed, times.ok_or_else(|| "behind * stands how many times".to_owned())?)
        }
        None => (rest, 1),
    };
    Ok(Rule { times, ..Rule::sending(packet, misdeed(deed)?) })
}

fn misdeed(text: &str) -> Result<Misdeed, String> {
    let (name, value) = text.split_once(':').map_or((text, None), |(name, value)| (name, Some(value)));
    match (name, value) {
        ("drop", None) => Ok(Misdeed::Drop),
        ("duplicate", None) => Ok(Misdeed::Duplicate),
        ("swap", None) => Ok(Misdeed::Swap),
        ("close", None) => Ok(Misdeed::Close),
        ("puback", None) => Ok(Misdeed::Puback),
        ("delay", Some(seconds)) => {
            let span = seconds.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            span.map(Misdeed::Delay).ok_or_else(|| "delay: as delay:1.5, in seconds".to_owned())
        }
        ("bytes", Some(hex)) => {
            bytes(hex).map(Misdeed::Replace).ok_or_else(|| "bytes: as bytes:40020001".to_owned())
        }
        _ => Err("drop, duplicate, swap, close, puback, delay:SECONDS or bytes:HEX".to_owned()),
    }
}

/// Pairs of hexadecimal digits.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = hex
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks(2);
    pairs.map(|pair| if let [high, low] = pair { Some(high << 4 | low) } else { None }).collect()
}

pub(super) fn filter(text: &str) -> Result<String, String> {
    TopicFilter::new(text).map(|filter| filter.as_str().to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let read = |text| rule(text).map(|rule| (rule.packet, rule.deed, rule.times));
        assert_eq!(read("puback=drop"), Ok((PacketType::Puback, Misdeed::Drop, 1)));
        assert_eq!(read("pubrec=puback*9"), Ok((PacketType::Pubrec, Misdeed::Puback, 9)));
        let delay = Misdeed::Delay(Duration::from_millis(1_500));
        assert_eq!(read("connack=delay:1.5*2"), Ok((PacketType::Connack, delay, 2)));
        assert_eq!(
            read("publish=bytes:d000Ff"),
            Ok((PacketType::Publish, Misdeed::Replace(vec![0xD0, 0, 0xFF]), 1))
        );
        assert_eq!(read("publish=bytes:"), Ok((PacketType::Publish, Misdeed::Replace(Vec::new()), 1)));
        for wrong in [
            "",
            "puback",
            "puback=",
            "connect=drop",
            "puback=drop*0",
            "puback=delay:x",
            "puback=bytes:abc",
            "puback=bytes:é",
        ] {
            assert!(rule(wrong).is_err(), "{wrong}");
        }
    }
}
