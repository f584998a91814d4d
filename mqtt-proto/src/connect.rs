//! CONNECT: the client asks for a connection.

use core::fmt;

use crate::encode::{Encode, sealed::Sealed};
use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::frame;
use crate::properties::{Properties, section_len};
use crate::property::PropertyPlace;
use crate::reason::ReasonCode;
use crate::topic::TopicName;
use crate::types::{PacketType, Peer, Qos, Version};
use crate::wire::{Reader, binary_len, packet_len, string_len, write_packet};

/// The client asks for a connection.
///
/// ```
/// use mqtt_proto::{Connect, Encode, Peer, Qos, TopicName, Version, Will};
///
/// let connect = Connect {
///     keep_alive: 30,
///     will: Some(Will { qos: Qos::AtLeastOnce, ..Will::new(TopicName::new("status/meter")?, b"gone") }),
///     username: Some("meter"),
///     password: Some(b"secret"),
///     ..Connect::new(Version::V5, "meter-17")
/// };
/// let mut buffer = [0; 128];
/// let len = connect.encode(Version::V5, &mut buffer)?;
/// assert_eq!(Connect::decode(&buffer[..len], Version::V5, Peer::Client)?, connect);
/// assert!(!format!("{connect:?}").contains("secret"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The version the packet announces. It alone decides how the packet is written and read; the `version` argument
    /// of [`Encode`] and [`decode`](Self::decode) is not consulted.
    pub version: Version,
    /// The uppermost bit of the protocol level, by which bridges make themselves known to some brokers. Not in 5.0,
    /// where No Local and Retain As Published serve the purpose.
    pub bridge: bool,
    /// Begin with a new session (before 5.0: and end it with the connection).
    pub clean_start: bool,
    /// The longest silence the client allows itself, in seconds; 0: any.
    pub keep_alive: u16,
    /// Who the client is. Empty: the server chooses. In 3.1 it has 1 to 23 characters: an empty one is refused here, and
    /// a longer one by [`decode`](Self::decode) only, because many servers take it.
    pub client_id: &'a str,
    /// Properties; not sent before 5.0.
    pub properties: Properties<'a>,
    /// A message the server publishes should the connection end without a DISCONNECT.
    pub will: Option<Will<'a>>,
    /// User name.
    pub username: Option<&'a str>,
    /// Password; before 5.0 only with a user name. `Debug` prints its length only.
    pub password: Option<&'a [u8]>,
}

/// A message the server publishes when the client is gone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Will<'a> {
    /// Where the message goes.
    pub topic: TopicName<'a>,
    /// The message itself, up to 65,535 bytes. `Debug` prints its length only.
    pub payload: &'a [u8],
    /// Quality of service.
    pub qos: Qos,
    /// Whether the server keeps the message for later subscribers.
    pub retain: bool,
    /// Properties; not sent before 5.0.
    pub properties: Properties<'a>,
}

impl<'a> Will<'a> {
    /// A will of QoS 0, not retained, without properties.
    #[must_use]
    pub const fn new(topic: TopicName<'a>, payload: &'a [u8]) -> Self {
        Self { topic, payload, qos: Qos::AtMostOnce, retain: false, properties: Properties::EMPTY }
    }
}

const CLEAN: u8 = 0b0000_0010;
const WILL: u8 = 0b0000_0100;
const WILL_QOS: u8 = 0b0001_1000;
const RETAIN: u8 = 0b0010_0000;
const PASSWORD: u8 = 0b0100_0000;
const USERNAME: u8 = 0b1000_0000;

impl<'a> Connect<'a> {
    /// A CONNECT that starts clean, without keep-alive, properties, will and credentials.
    #[must_use]
    pub const fn new(version: Version, client_id: &'a str) -> Self {
        Self {
            version,
            bridge: false,
            clean_start: true,
            keep_alive: 0,
            client_id,
            properties: Properties::EMPTY,
            will: None,
            username: None,
            password: None,
        }
    }

    /// Decodes a frame that is exactly one CONNECT. Which version it is written in, the frame says itself.
    ///
    /// # Errors
    /// When it is not a CONNECT, or `from` is not the client. A protocol or level other than the three known ones is
    /// of the kind [`DecodeErrorKind::UnsupportedVersion`].
    pub fn decode(frame: &'a [u8], version: Version, from: Peer) -> Result<Self, DecodeError> {
        let (_, reader) = frame::open_as(frame, PacketType::Connect, version, from)?;
        Self::read(reader)
    }

    #[inline(always)]
    pub(crate) fn read(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let (version, bridge) = read_version(&mut reader)?;
        let mut reader = reader.in_version(version);
        let at = reader.at();
        let flags = reader.u8()?;
        let qos = check_flags(flags, version, at)?;
        let keep_alive = reader.u16()?;
        let mut properties = Properties::EMPTY;
        if version.has_properties() {
            properties = Properties::read(&mut reader, PropertyPlace::Connect, Peer::Client)?.0;
        }
        let at = reader.at();
        // [MQTT-3.1.3-3], [MQTT-3.1.3-4]
        let client_id = reader.string()?;
        if version == Version::V3_1 && !old_client_id(client_id) {
            let code = ReasonCode::ClientIdentifierNotValid;
            return Err(DecodeError::with(DecodeErrorKind::Protocol, at, "U-36", code));
        }
        // [MQTT-3.1.3-1]
        let mut will_properties = Properties::EMPTY;
        let mut will_message = None;
        if flags & WILL != 0 {
            if version.has_properties() {
                will_properties = Properties::read(&mut reader, PropertyPlace::Will, Peer::Client)?.0;
            }
            let at = reader.at();
            // [MQTT-3.1.3-10], [MQTT-3.1.3-11]
            let topic = match reader.topic_name() {
                Ok(Some(topic)) => topic,
                Ok(None) => return Err(DecodeError::malformed(at, "MQTT-4.7.3-1")),
                Err(why) => return Err(bad_will_topic(why, version)),
            };
            will_message = Some((topic, reader.binary()?));
        }
        // In 3.1 the remaining length takes precedence over the flags: a name or password may be missing. U-36
        let missing = |reader: &Reader<'_>| version == Version::V3_1 && reader.is_empty();
        // [MQTT-3.1.3-11], [MQTT-3.1.3-12]
        let username = if flags & USERNAME != 0 && !missing(&reader) { Some(reader.string()?) } else { None };
        let password = if flags & PASSWORD != 0 && !missing(&reader) { Some(reader.binary()?) } else { None };
        reader.finish()?;
        let clean_start = flags & CLEAN != 0;
        // Put together at the end: only once do its fields move.
        let will = will_message.map(|(topic, payload)| Will {
            topic,
            payload,
            qos,
            retain: flags & RETAIN != 0,
            properties: will_properties,
        });
        Ok(Self { version, bridge, clean_start, keep_alive, client_id, properties, will, username, password })
    }

    fn flags(&self) -> u8 {
        let mut flags = 0;
        if self.clean_start {
            flags |= CLEAN;
        }
        if let Some(will) = &self.will {
            flags |= WILL | (will.qos as u8) << 3;
            if will.retain {
                flags |= RETAIN;
            }
        }
        if self.password.is_some() {
            flags |= PASSWORD;
        }
        if self.username.is_some() {
            flags |= USERNAME;
        }
        flags
    }

    /// Refuses what may not be sent, and tells the sizes.
    fn measure(&self) -> Result<Size, EncodeError> {
        let version = self.version;
        let mut size = Size { remaining: 0, properties: 0, will_properties: 0 };
        if self.bridge && version == Version::V5 {
            return Err(EncodeError::NotInThisVersion);
        }
        if version == Version::V3_1 && self.client_id.is_empty() {
            return Err(EncodeError::ClientIdNotValid); // U-36
        }
        if version != Version::V5 && self.password.is_some() && self.username.is_none() {
            return Err(EncodeError::PasswordWithoutUserName); // [MQTT-3.1.2-22]
        }
        // Name, level, flags, keep-alive.
        size.add(version.protocol_name().len().saturating_add(6));
        if version.has_properties() {
            size.properties = self.properties.checked_len(PropertyPlace::Connect)?;
            size.add(section_len(size.properties));
        }
        size.add(string_len(self.client_id)?);
        if let Some(will) = &self.will {
            if version.has_properties() {
                size.will_properties = will.properties.checked_len(PropertyPlace::Will)?;
                size.add(section_len(size.will_properties));
            }
            size.add(string_len(will.topic.as_str())?);
            size.add(binary_len(will.payload)?);
        }
        if let Some(username) = self.username {
            size.add(string_len(username)?);
        }
        if let Some(password) = self.password {
            size.add(binary_len(password)?);
        }
        Ok(size)
    }
}

/// Sizes found while a CONNECT was checked.
struct Size {
    remaining: usize,
    properties: usize,
    will_properties: usize,
}

impl Size {
    const fn add(&mut self, len: usize) {
        self.remaining = self.remaining.saturating_add(len);
    }
}

/// Protocol name and level, and whether the bridge bit is set.
#[inline(always)]
fn read_version(reader: &mut Reader<'_>) -> Result<(Version, bool), DecodeError> {
    let at = reader.at();
    let name = reader.binary()?;
    let level = reader.u8()?;
    match (name, level) {
        (b"MQIsdp", 3) => Ok((Version::V3_1, false)),
        (b"MQIsdp", 0x83) => Ok((Version::V3_1, true)),
        (b"MQTT", 4) => Ok((Version::V3_1_1, false)),
        (b"MQTT", 0x84) => Ok((Version::V3_1_1, true)),
        (b"MQTT", 5) => Ok((Version::V5, false)),
        _ => {
            // [MQTT-3.1.2-1], [MQTT-3.1.2-2]
            let rule = if matches!(name, b"MQTT" | b"MQIsdp") { "MQTT-3.1.2-2" } else { "MQTT-3.1.2-1" };
            let code = ReasonCode::UnsupportedProtocolVersion;
            Err(DecodeError::with(DecodeErrorKind::UnsupportedVersion, at, rule, code))
        }
    }
}

/// The QoS of the will, or what is wrong.
#[inline(always)]
const fn check_flags(flags: u8, version: Version, at: u32) -> Result<Qos, DecodeError> {
    let rule = if flags & 1 != 0 {
        "MQTT-3.1.2-3"
    } else if flags & WILL == 0 && flags & WILL_QOS != 0 {
        version.rule("MQTT-3.1.2-11", "MQTT-3.1.2-13")
    } else if flags & WILL == 0 && flags & RETAIN != 0 {
        version.rule("MQTT-3.1.2-13", "MQTT-3.1.2-15")
    } else if flags & USERNAME == 0 && flags & PASSWORD != 0 && !version.has_properties() {
        "MQTT-3.1.2-22"
    } else if let Some(qos) = Qos::from_u8((flags & WILL_QOS) >> 3) {
        return Ok(qos);
    } else {
        version.rule("MQTT-3.1.2-12", "MQTT-3.1.2-14")
    };
    Err(DecodeError::malformed(at, rule))
}

/// A wildcard breaks another rule here than in a PUBLISH. [MQTT-4.7.0-1], [MQTT-4.7.1-1]
#[cold]
fn bad_will_topic(mut why: DecodeError, version: Version) -> DecodeError {
    if why.rule == "MQTT-3.3.2-2" {
        why.rule = version.rule("MQTT-4.7.0-1", "MQTT-4.7.1-1");
    }
    why
}

/// What 3.1 allows as a client identifier. U-36
fn old_client_id(id: &str) -> bool {
    matches!(id.chars().take(24).count(), 1..=23)
}

impl Sealed for Connect<'_> {}

impl Encode for Connect<'_> {
    fn encoded_len(&self, _: Version) -> Result<usize, EncodeError> {
        packet_len(self.measure()?.remaining)
    }

    fn encode(&self, _: Version, out: &mut [u8]) -> Result<usize, EncodeError> {
        let version = self.version;
        let size = self.measure()?;
        let whole = packet_len(size.remaining)?;
        write_packet(out, whole, 0x10, size.remaining, |writer| {
            writer.binary(version.protocol_name().as_bytes())?;
            writer.u8(version.level() | if self.bridge { 0x80 } else { 0 })?;
            writer.u8(self.flags())?;
            writer.u16(self.keep_alive)?;
            if version.has_properties() {
                self.properties.write_section(size.properties, writer)?;
            }
            writer.binary(self.client_id.as_bytes())?;
            if let Some(will) = &self.will {
                if version.has_properties() {
                    will.properties.write_section(size.will_properties, writer)?;
                }
                writer.binary(will.topic.as_str().as_bytes())?;
                writer.binary(will.payload)?;
            }
            if let Some(username) = self.username {
                writer.binary(username.as_bytes())?;
            }
            if let Some(password) = self.password {
                writer.binary(password)?;
            }
            Some(())
        })
    }
}

impl fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("bridge", &self.bridge)
            .field("clean_start", &self.clean_start)
            .field("keep_alive", &self.keep_alive)
            .field("client_id", &self.client_id)
            .field("properties", &self.properties)
            .field("will", &self.will)
            .field("username", &self.username)
            .field("password", &self.password.map(Hidden))
            .finish()
    }
}

impl fmt::Debug for Will<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Will")
            .field("topic", &self.topic.as_str())
            .field("payload", &Hidden(self.payload))
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("properties", &self.properties)
            .finish()
    }
}

/// Prints the length of a secret.
struct Hidden<'a>(&'a [u8]);

impl fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}
