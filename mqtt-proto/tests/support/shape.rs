//! An owned packet, drawn from a string of bytes.

use mqtt_proto::*;

/// A stream of choices. When the bytes run out every choice is 0, so that a shorter input is a simpler packet.
pub struct Choices<'d>(pub &'d [u8]);

impl<'d> Choices<'d> {
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    pub fn below(&mut self, limit: usize) -> usize {
        match limit {
            0..=256 => usize::from(self.byte()) % limit.max(1),
            _ => usize::from(self.u16()) % limit,
        }
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    pub fn u32(&mut self) -> u32 {
        u32::from(self.u16()) << 16 | u32::from(self.u16())
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn bytes(&mut self) -> &'d [u8] {
        let len = match self.byte() {
            255 => self.0.len(),
            len => usize::from(len) % 40,
        };
        let (head, tail) = self.0.split_at(len.min(self.0.len()).min(65_535));
        self.0 = tail;
        head
    }

    /// Any text without U+0000: the next bytes where they are such a text, a piece of a prepared one otherwise.
    pub fn text(&mut self) -> &'d str {
        let bytes = self.bytes();
        match core::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') && !text.is_empty() => text,
            _ => self.pick(TEXTS),
        }
    }

    fn topic(&mut self) -> TopicName<'d> {
        let text = self.text();
        TopicName::new(text).unwrap_or_else(|_| TopicName::new(self.pick(TOPICS)).expect("a topic name"))
    }

    fn filter(&mut self) -> TopicFilter<'d> {
        let text = self.text();
        TopicFilter::new(text)
            .unwrap_or_else(|_| TopicFilter::new(self.pick(FILTERS)).expect("a topic filter"))
    }

    fn id(&mut self) -> PacketId {
        PacketId::new(self.u16()).unwrap_or(PacketId::new(1).expect("not zero"))
    }
}

pub const TEXTS: &[&str] = &[
    "",
    "a",
    "abcdefg",
    "abcdefgh",
    "abcdefghi",
    "\u{FEFF}kept",
    "\u{7F}",
    "\u{80}\u{7FF}",
    "\u{800}\u{D7FF}\u{E000}\u{FFFD}",
    "\u{FFFE}\u{FFFF}",
    "\u{10000}\u{10FFFF}",
    "+#/$",
    "in the middle of a longer text there is 日本 and it goes on",
];
pub const TOPICS: &[&str] =
    &["a", "/", "a/b", "//", "$SYS/up", "sensors/attic/temperature", "été/日本/𝄞", "a b"];
pub const FILTERS: &[&str] = &[
    "#",
    "+",
    "+/+",
    "a/#",
    "/#",
    "/+",
    "+/a",
    "a//+/b/#",
    "$SYS/#",
    "$share/g/#",
    "$share/g/a/+",
    "$share/ü//",
    "$share",
];

/// A packet with lists of its own.
#[derive(Debug, Clone)]
pub struct Shape<'d> {
    pub version: Version,
    pub from: Peer,
    pub packet_type: PacketType,
    bits: u32,
    id: PacketId,
    code: ReasonCode,
    properties: Vec<Property<'d>>,
    will_properties: Vec<Property<'d>>,
    topic: TopicName<'d>,
    text: &'d str,
    other: &'d str,
    binary: &'d [u8],
    payload: &'d [u8],
    subscriptions: Vec<Subscription<'d>>,
    filters: Vec<TopicFilter<'d>>,
    codes: Vec<ReasonCode>,
}

impl<'d> Shape<'d> {
    /// Draws any packet.
    pub fn draw(choices: &mut Choices<'d>) -> Self {
        let version = choices.pick(&super::VERSIONS);
        let from = choices.pick(&super::PEERS);
        let types: Vec<_> = (1..=15)
            .filter_map(|t| PacketType::from_first_byte(t << 4))
            .filter(|t| t.allowed_from(from, version))
            .collect();
        let packet_type = choices.pick(&types);
        Self::draw_as(choices, version, from, packet_type)
    }

    /// Draws a packet of one type.
    pub fn draw_as(choices: &mut Choices<'d>, version: Version, from: Peer, packet_type: PacketType) -> Self {
        let place = PropertyPlace::ALL.iter().copied().find(|place| place.packet_type() == packet_type);
        let bits = choices.u32();
        let id = choices.id();
        let code = choices.pick(reason_codes(packet_type, from));
        let properties = place.map_or(vec![], |place| properties(choices, place, from));
        let will_properties = properties_of_will(choices, packet_type);
        let subscriptions = (0..=choices.below(4))
            .map(|_| {
                let filter = choices.filter();
                let mut options = SubscriptionOptions::new(qos(choices.byte()));
                options.no_local = choices.flag() && filter.share().is_none();
                options.retain_as_published = choices.flag();
                options.retain_handling = choices.pick(&[
                    RetainHandling::Send,
                    RetainHandling::SendIfNew,
                    RetainHandling::DoNotSend,
                ]);
                Subscription { filter, options }
            })
            .collect();
        let filters = (0..=choices.below(4)).map(|_| choices.filter()).collect();
        let codes = (0..=choices.below(5)).map(|_| choices.pick(reason_codes(packet_type, from))).collect();
        let topic = choices.topic();
        let (text, other, binary) = (choices.text(), choices.text(), choices.bytes());
        Self {
            version,
            from,
            packet_type,
            bits,
            id,
            code,
            properties,
            will_properties,
            topic,
            text,
            other,
            binary,
            payload: choices.0,
            subscriptions,
            filters,
            codes,
        }
    }

    fn bit(&self, bit: u32) -> bool {
        self.bits >> bit & 1 == 1
    }

    /// The packet as the application would build it.
    pub fn packet(&self) -> Packet<'_> {
        let v5 = self.version == Version::V5;
        let packet_id = self.id;
        let properties = if v5 { Properties::List(&self.properties) } else { Properties::EMPTY };
        let reason_code = if v5 { self.code } else { ReasonCode::Success };
        match self.packet_type {
            PacketType::Connect => self.connect(properties),
            PacketType::Connack => Connack {
                session_present: self.bit(0)
                    && self.code == ReasonCode::Success
                    && self.version != Version::V3_1,
                reason_code: if v5 || old_connack(self.code) { self.code } else { ReasonCode::NotAuthorized },
                properties,
            }
            .into(),
            PacketType::Publish => {
                let qos = qos(self.bits as u8);
                let alias = v5 && properties.topic_alias().is_some();
                Publish {
                    dup: self.bit(9) && qos != Qos::AtMostOnce,
                    qos,
                    retain: self.bit(10),
                    topic: if alias && self.bit(11) { None } else { Some(self.topic) },
                    packet_id: (qos != Qos::AtMostOnce).then_some(packet_id),
                    properties,
                    payload: self.payload,
                }
                .into()
            }
            PacketType::Puback => Puback::with(packet_id, reason_code, properties).into(),
            PacketType::Pubrec => Pubrec::with(packet_id, reason_code, properties).into(),
            PacketType::Pubrel => Pubrel::with(packet_id, reason_code, properties).into(),
            PacketType::Pubcomp => Pubcomp::with(packet_id, reason_code, properties).into(),
            PacketType::Subscribe => {
                Subscribe { packet_id, properties, filters: self.subscriptions[..].into() }.into()
            }
            PacketType::Suback => Suback { packet_id, properties, codes: self.codes[..].into() }.into(),
            PacketType::Unsubscribe => {
                Unsubscribe { packet_id, properties, filters: self.filters[..].into() }.into()
            }
            PacketType::Unsuback => {
                let codes = if v5 { self.codes[..].into() } else { ReasonCodes::EMPTY };
                Unsuback { packet_id, properties, codes }.into()
            }
            PacketType::Pingreq => Pingreq.into(),
            PacketType::Pingresp => Pingresp.into(),
            PacketType::Disconnect => Disconnect { reason_code, properties }.into(),
            PacketType::Auth => Auth { reason_code, properties }.into(),
        }
    }

    fn connect<'s>(&'s self, properties: Properties<'s>) -> Packet<'s> {
        let v5 = self.version == Version::V5;
        let will_properties = if v5 { Properties::List(&self.will_properties) } else { Properties::EMPTY };
        let old = self.version == Version::V3_1;
        let short = matches!(self.text.chars().count(), 1..=23);
        let username = self.bit(5).then_some(self.other);
        Connect {
            version: self.version,
            bridge: self.bit(0) && !v5,
            clean_start: self.bit(1),
            keep_alive: self.bits as u16,
            client_id: if old && !short { "an old client" } else { self.text },
            properties,
            will: self.bit(4).then_some(Will {
                topic: self.topic,
                payload: self.payload.get(..60_000).unwrap_or(self.payload),
                qos: qos((self.bits >> 8) as u8),
                retain: self.bit(3),
                properties: will_properties,
            }),
            username,
            password: (self.bit(6) && (v5 || username.is_some())).then_some(self.binary),
        }
        .into()
    }
}

fn qos(byte: u8) -> Qos {
    Qos::from_u8(byte % 3).expect("below 3")
}

fn old_connack(code: ReasonCode) -> bool {
    use ReasonCode::*;
    matches!(
        code,
        Success
            | UnsupportedProtocolVersion
            | ClientIdentifierNotValid
            | ServerUnavailable
            | BadUserNameOrPassword
            | NotAuthorized
    )
}

fn properties_of_will<'d>(choices: &mut Choices<'d>, packet_type: PacketType) -> Vec<Property<'d>> {
    if packet_type == PacketType::Connect {
        properties(choices, PropertyPlace::Will, Peer::Client)
    } else {
        vec![]
    }
}

fn properties<'d>(choices: &mut Choices<'d>, place: PropertyPlace, from: Peer) -> Vec<Property<'d>> {
    let mut list: Vec<Property<'d>> = Vec::new();
    let allowed: Vec<_> = PropertyId::ALL.iter().copied().filter(|id| id.allowed_in(place, from)).collect();
    for _ in 0..choices.below(6) {
        let id = choices.pick(&allowed);
        if id.repeats_in(place) || list.iter().all(|other| other.id() != id) {
            list.push(property(choices, id));
        }
    }
    let has = |list: &[Property<'_>], id| list.iter().any(|other| other.id() == id);
    let auth = place == PropertyPlace::Auth || has(&list, PropertyId::AuthenticationData);
    if auth && !has(&list, PropertyId::AuthenticationMethod) {
        list.push(property(choices, PropertyId::AuthenticationMethod));
    }
    list
}

/// A property with a legal value.
pub fn property<'d>(choices: &mut Choices<'d>, id: PropertyId) -> Property<'d> {
    use Property as P;
    match id {
        PropertyId::PayloadFormatIndicator => P::PayloadFormatIndicator(choices.flag()),
        PropertyId::MessageExpiryInterval => P::MessageExpiryInterval(choices.u32()),
        PropertyId::ContentType => P::ContentType(choices.text()),
        PropertyId::ResponseTopic => P::ResponseTopic(choices.topic().as_str()),
        PropertyId::CorrelationData => P::CorrelationData(choices.bytes()),
        PropertyId::SubscriptionIdentifier => {
            let bits = choices.below(28) + 1;
            P::SubscriptionIdentifier((choices.u32() & ((1 << bits) - 1)).max(1))
        }
        PropertyId::SessionExpiryInterval => P::SessionExpiryInterval(choices.u32()),
        PropertyId::AssignedClientIdentifier => P::AssignedClientIdentifier(choices.text()),
        PropertyId::ServerKeepAlive => P::ServerKeepAlive(choices.u16()),
        PropertyId::AuthenticationMethod => P::AuthenticationMethod(choices.text()),
        PropertyId::AuthenticationData => P::AuthenticationData(choices.bytes()),
        PropertyId::RequestProblemInformation => P::RequestProblemInformation(choices.flag()),
        PropertyId::WillDelayInterval => P::WillDelayInterval(choices.u32()),
        PropertyId::RequestResponseInformation => P::RequestResponseInformation(choices.flag()),
        PropertyId::ResponseInformation => P::ResponseInformation(choices.text()),
        PropertyId::ServerReference => P::ServerReference(choices.text()),
        PropertyId::ReasonString => P::ReasonString(choices.text()),
        PropertyId::ReceiveMaximum => P::ReceiveMaximum(choices.u16().max(1)),
        PropertyId::TopicAliasMaximum => P::TopicAliasMaximum(choices.u16()),
        PropertyId::TopicAlias => P::TopicAlias(choices.u16().max(1)),
        PropertyId::MaximumQos => {
            P::MaximumQos(if choices.flag() { Qos::AtLeastOnce } else { Qos::AtMostOnce })
        }
        PropertyId::RetainAvailable => P::RetainAvailable(choices.flag()),
        PropertyId::UserProperty => P::UserProperty(choices.text(), choices.text()),
        PropertyId::MaximumPacketSize => P::MaximumPacketSize(choices.u32().max(1)),
        PropertyId::WildcardSubscriptionAvailable => P::WildcardSubscriptionAvailable(choices.flag()),
        PropertyId::SubscriptionIdentifiersAvailable => P::SubscriptionIdentifiersAvailable(choices.flag()),
        PropertyId::SharedSubscriptionAvailable => P::SharedSubscriptionAvailable(choices.flag()),
    }
}

/// The codes of the standard's tables, written down a second time here.
pub fn reason_codes(packet_type: PacketType, from: Peer) -> &'static [ReasonCode] {
    use ReasonCode::*;
    match (packet_type, from) {
        (PacketType::Connack, _) => &[
            Success,
            UnspecifiedError,
            MalformedPacket,
            ProtocolError,
            ImplementationSpecificError,
            UnsupportedProtocolVersion,
            ClientIdentifierNotValid,
            BadUserNameOrPassword,
            NotAuthorized,
            ServerUnavailable,
            ServerBusy,
            Banned,
            BadAuthenticationMethod,
            TopicNameInvalid,
            PacketTooLarge,
            QuotaExceeded,
            PayloadFormatInvalid,
            RetainNotSupported,
            QosNotSupported,
            UseAnotherServer,
            ServerMoved,
            ConnectionRateExceeded,
        ],
        (PacketType::Puback | PacketType::Pubrec, Peer::Server) => &[
            Success,
            NoMatchingSubscribers,
            UnspecifiedError,
            ImplementationSpecificError,
            NotAuthorized,
            TopicNameInvalid,
            PacketIdentifierInUse,
            QuotaExceeded,
            PayloadFormatInvalid,
        ],
        (PacketType::Puback | PacketType::Pubrec, Peer::Client) => &[
            Success,
            UnspecifiedError,
            ImplementationSpecificError,
            NotAuthorized,
            TopicNameInvalid,
            PacketIdentifierInUse,
            QuotaExceeded,
            PayloadFormatInvalid,
        ],
        (PacketType::Pubrel | PacketType::Pubcomp, _) => &[Success, PacketIdentifierNotFound],
        (PacketType::Suback, _) => &[
            Success,
            GrantedQos1,
            GrantedQos2,
            UnspecifiedError,
            ImplementationSpecificError,
            NotAuthorized,
            TopicFilterInvalid,
            PacketIdentifierInUse,
            QuotaExceeded,
            SharedSubscriptionsNotSupported,
            SubscriptionIdentifiersNotSupported,
            WildcardSubscriptionsNotSupported,
        ],
        (PacketType::Unsuback, _) => &[
            Success,
            NoSubscriptionExisted,
            UnspecifiedError,
            ImplementationSpecificError,
            NotAuthorized,
            TopicFilterInvalid,
            PacketIdentifierInUse,
        ],
        (PacketType::Disconnect, Peer::Client) => &[
            Success,
            DisconnectWithWill,
            UnspecifiedError,
            MalformedPacket,
            ProtocolError,
            ImplementationSpecificError,
            BadAuthenticationMethod,
            TopicNameInvalid,
            ReceiveMaximumExceeded,
            TopicAliasInvalid,
            PacketTooLarge,
            MessageRateTooHigh,
            QuotaExceeded,
            AdministrativeAction,
            PayloadFormatInvalid,
        ],
        // The table gives 0x00 to the client; servers close normally too, and the short form says so.
        (PacketType::Disconnect, Peer::Server) => &[
            Success,
            UnspecifiedError,
            MalformedPacket,
            ProtocolError,
            ImplementationSpecificError,
            NotAuthorized,
            ServerBusy,
            ServerShuttingDown,
            BadAuthenticationMethod,
            KeepAliveTimeout,
            SessionTakenOver,
            TopicFilterInvalid,
            TopicNameInvalid,
            ReceiveMaximumExceeded,
            TopicAliasInvalid,
            PacketTooLarge,
            MessageRateTooHigh,
            QuotaExceeded,
            AdministrativeAction,
            PayloadFormatInvalid,
            RetainNotSupported,
            QosNotSupported,
            UseAnotherServer,
            ServerMoved,
            SharedSubscriptionsNotSupported,
            ConnectionRateExceeded,
            MaximumConnectTime,
            SubscriptionIdentifiersNotSupported,
            WildcardSubscriptionsNotSupported,
        ],
        (PacketType::Auth, Peer::Client) => &[ContinueAuthentication, ReAuthenticate],
        (PacketType::Auth, Peer::Server) => &[Success, ContinueAuthentication],
        _ => &[Success],
    }
}
