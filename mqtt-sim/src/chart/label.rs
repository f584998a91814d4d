//! What is written at a packet.

use mqtt_proto::{Packet, Publish, ReasonCode, Version};

use super::story::Kind;

/// Letters of a text of somebody else's that are shown.
const SHOWN: usize = 12;

/// Kind and text of a packet.
pub(super) fn of(packet: &Packet<'_>) -> (Kind, String) {
    let code = |reason: ReasonCode| match reason as u8 {
        0 => String::new(),
        code => format!(" 0x{code:02X}"),
    };
    match packet {
        Packet::Connect(connect) => {
            let version = match connect.version {
                Version::V3_1 => "3.1",
                Version::V3_1_1 => "3.1.1",
                Version::V5 => "5.0",
            };
            let clean = if connect.clean_start { ", clean" } else { "" };
            (Kind::Connection, format!("CONNECT {version}{clean}"))
        }
        Packet::Connack(connack) => {
            let present = if connack.session_present { ", session present" } else { "" };
            (Kind::Connection, format!("CONNACK{}{present}", code(connack.reason_code)))
        }
        Packet::Disconnect(disconnect) => {
            (Kind::Connection, format!("DISCONNECT{}", code(disconnect.reason_code)))
        }
        Packet::Auth(auth) => (Kind::Connection, format!("AUTH{}", code(auth.reason_code))),
        Packet::Publish(publish) => (Kind::Publish, publish_text(publish)),
        Packet::Puback(ack) => (Kind::Ack, format!("PUBACK {}{}", ack.packet_id, code(ack.reason_code))),
        Packet::Pubrec(ack) => (Kind::Ack, format!("PUBREC {}{}", ack.packet_id, code(ack.reason_code))),
        Packet::Pubrel(ack) => (Kind::Ack, format!("PUBREL {}{}", ack.packet_id, code(ack.reason_code))),
        Packet::Pubcomp(ack) => (Kind::Ack, format!("PUBCOMP {}{}", ack.packet_id, code(ack.reason_code))),
        Packet::Subscribe(subscribe) => (Kind::Subscribe, format!("SUBSCRIBE {}", subscribe.packet_id)),
        Packet::Suback(suback) => (Kind::Subscribe, format!("SUBACK {}", suback.packet_id)),
        Packet::Unsubscribe(unsubscribe) => {
            (Kind::Subscribe, format!("UNSUBSCRIBE {}", unsubscribe.packet_id))
        }
        Packet::Unsuback(unsuback) => (Kind::Subscribe, format!("UNSUBACK {}", unsuback.packet_id)),
        Packet::Pingreq(_) => (Kind::Ping, "PINGREQ".to_owned()),
        Packet::Pingresp(_) => (Kind::Ping, "PINGRESP".to_owned()),
        _ => (Kind::Ping, "?".to_owned()),
    }
}

fn publish_text(publish: &Publish<'_>) -> String {
    let mut text = "PUBLISH".to_owned();
    if let Some(id) = publish.packet_id {
        text += &format!(" {id}");
    }
    text += &format!(" QoS {}", publish.qos as u8);
    if publish.dup {
        text += " DUP";
    }
    if publish.retain {
        text += " retain";
    }
    let topic = publish.topic.map_or("(alias)", |topic| topic.as_str());
    text + " " + &short(topic) + &payload(publish.payload)
}

/// The beginning of a payload, if it is a text.
pub(super) fn payload(payload: &[u8]) -> String {
    match core::str::from_utf8(payload) {
        Ok(text) if !text.is_empty() && text.chars().all(|c| !c.is_control()) => {
            format!(" “{}”", short(text.split_once(':').map_or(text, |(mark, _)| mark)))
        }
        _ => String::new(),
    }
}

/// At most so many letters.
pub(super) fn short(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN - 1).chain(['…']).collect()
}

/// The first word of a name with details behind it.
pub(super) fn short_name(text: &str) -> String {
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or(text).to_owned()
}
