//! Clients of others against the model broker, as `mqtt broker` serves it: paho-mqtt (Python) and MQTT.js, each in all
//! versions and on TCP and WebSocket, and mosquitto's programs; and this project's own client on the other end.
//!
//! The name of a failing test says which: `paho::v5::ws::sessions_are_kept`.

/// Tests for each version and transport of scenarios `fn name(language, version, transport)` that stand beside it.
macro_rules! others {
    ($($module:ident: $language:expr),+ $(,)?) => {$(
        mod $module {
            use crate::client::Language;
            others!(@version $language, v3_1: "3.1");
            others!(@version $language, v3_1_1: "3.1.1");
            others!(@version $language, v5: "5");
        }
    )+};
    (@version $language:expr, $name:ident: $version:expr) => {
        mod $name {
            use super::Language;
            others!(@transport $language, $version, tcp: "tcp");
            others!(@transport $language, $version, ws: "ws");
        }
    };
    (@transport $language:expr, $version:expr, $name:ident: $transport:expr) => {
        mod $name {
            use super::Language;
            use crate::client::Kind;

            const KIND: Kind = Kind { language: $language, version: $version, transport: $transport };

            #[test]
            fn messages_arrive_in_order_and_once() {
                crate::scenarios::messages(KIND);
            }

            #[test]
            fn sessions_are_kept() {
                crate::scenarios::sessions(KIND);
            }

            #[test]
            fn cuts_lose_nothing() {
                crate::scenarios::cuts(KIND);
            }

            #[test]
            fn wills_come_after_a_loss_only() {
                crate::scenarios::wills(KIND);
            }
        }
    };
}

mod client;
mod mosquitto;
mod scenarios;

others!(paho: Language::Paho, mqttjs: Language::MqttJs);
