//! Reason codes: one closed enum for all packets of 5.0, the return codes of 3.x mapped to it.

use core::fmt;

use crate::error::DecodeError;

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// Why something succeeded or failed, as the 5.0 standard numbers it.
        ///
        /// The return codes of 3.x are mapped both ways: CONNACK 1 to 5 are `UnsupportedProtocolVersion`,
        /// `ClientIdentifierNotValid`, `ServerUnavailable`, `BadUserNameOrPassword` and `NotAuthorized`; SUBACK
        /// 0x80 is `UnspecifiedError`. Which packet may carry which code, and from whom, is checked where packets
        /// are decoded and encoded.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum ReasonCode {
            $(
                $(#[$doc])*
                #[doc = concat!("`", stringify!($code), "`: ", $text, ".")]
                $name = $code,
            )*
        }

        impl ReasonCode {
            /// Every code, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code with this number; `None` for a number the standard does not define.
            #[must_use]
            pub const fn from_u8(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The name the standard gives it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reason_codes! {
    Success = 0x00, "Success";
    GrantedQos1 = 0x01, "Granted QoS 1";
    GrantedQos2 = 0x02, "Granted QoS 2";
    DisconnectWithWill = 0x04, "Disconnect with Will Message";
    NoMatchingSubscribers = 0x10, "No matching subscribers";
    NoSubscriptionExisted = 0x11, "No subscription existed";
    ContinueAuthentication = 0x18, "Continue authentication";
    ReAuthenticate = 0x19, "Re-authenticate";
    UnspecifiedError = 0x80, "Unspecified error";
    MalformedPacket = 0x81, "Malformed Packet";
    ProtocolError = 0x82, "Protocol Error";
    ImplementationSpecificError = 0x83, "Implementation specific error";
    UnsupportedProtocolVersion = 0x84, "Unsupported Protocol Version";
    ClientIdentifierNotValid = 0x85, "Client Identifier not valid";
    BadUserNameOrPassword = 0x86, "Bad User Name or Password";
    NotAuthorized = 0x87, "Not authorized";
    ServerUnavailable = 0x88, "Server unavailable";
    ServerBusy = 0x89, "Server busy";
    Banned = 0x8A, "Banned";
    ServerShuttingDown = 0x8B, "Server shutting down";
    BadAuthenticationMethod = 0x8C, "Bad authentication method";
    KeepAliveTimeout = 0x8D, "Keep Alive timeout";
    SessionTakenOver = 0x8E, "Session taken over";
    TopicFilterInvalid = 0x8F, "Topic Filter invalid";
    TopicNameInvalid = 0x90, "Topic Name invalid";
    PacketIdentifierInUse = 0x91, "Packet Identifier in use";
    PacketIdentifierNotFound = 0x92, "Packet Identifier not found";
    ReceiveMaximumExceeded = 0x93, "Receive Maximum exceeded";
    TopicAliasInvalid = 0x94, "Topic Alias invalid";
    PacketTooLarge = 0x95, "Packet too large";
    MessageRateTooHigh = 0x96, "Message rate too high";
    QuotaExceeded = 0x97, "Quota exceeded";
    AdministrativeAction = 0x98, "Administrative action";
    PayloadFormatInvalid = 0x99, "Payload format invalid";
    RetainNotSupported = 0x9A, "Retain not supported";
    QosNotSupported = 0x9B, "QoS not supported";
    UseAnotherServer = 0x9C, "Use another server";
    ServerMoved = 0x9D, "Server moved";
    SharedSubscriptionsNotSupported = 0x9E, "Shared Subscriptions not supported";
    ConnectionRateExceeded = 0x9F, "Connection rate exceeded";
    MaximumConnectTime = 0xA0, "Maximum connect time";
    SubscriptionIdentifiersNotSupported = 0xA1, "Subscription Identifiers not supported";
    WildcardSubscriptionsNotSupported = 0xA2, "Wildcard Subscriptions not supported";
}

impl ReasonCode {
    /// `0x00` in SUBACK: granted QoS 0.
    pub const GRANTED_QOS_0: Self = Self::Success;
    /// `0x00` in DISCONNECT: normal disconnection.
    pub const NORMAL_DISCONNECTION: Self = Self::Success;

    /// Whether the code tells of a failure: 0x80 and above.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self as u8 >= 0x80
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The number is not a reason code of the standard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownReasonCode(
    /// The number that was offered.
    pub u8,
);

impl fmt::Display for UnknownReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x} is not a reason code", self.0)
    }
}

impl core::error::Error for UnknownReasonCode {}

impl TryFrom<u8> for ReasonCode {
    type Error = UnknownReasonCode;

    fn try_from(code: u8) -> Result<Self, UnknownReasonCode> {
        Self::from_u8(code).ok_or(UnknownReasonCode(code))
    }
}

impl From<ReasonCode> for u8 {
    fn from(code: ReasonCode) -> Self {
        code as Self
    }
}

/// Takes a byte as a reason code that may stand here: an unknown number is malformed, a known one out of place is a
/// protocol error.
#[inline(always)]
pub(crate) fn read_code(
    byte: u8,
    at: u32,
    rule: &'static str,
    allowed: impl Fn(ReasonCode) -> bool,
) -> Result<ReasonCode, DecodeError> {
    match ReasonCode::from_u8(byte) {
        Some(code) if allowed(code) => Ok(code),
        Some(_) => Err(DecodeError::protocol(at, rule)),
        None => Err(DecodeError::malformed(at, rule)),
    }
}
