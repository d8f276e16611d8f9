//! Reason codes (MQTT 5 §2.4), and what MQTT 3.1.1 has in their place.

use super::packet::Kind;

macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident = $number:literal $name:literal [$($kind:ident)*],)*) => {
        /// Why, in one byte (MQTT 5 §2.4). From 0x80 on something failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[$doc])* $reason = $number,)*
        }

        impl Reason {
            /// All of them, by number.
            pub const ALL: &[Self] = &[$(Self::$reason,)*];

            /// From its number.
            #[must_use]
            pub const fn find(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$reason),)*
                    _ => None,
                }
            }

            /// The standard's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$reason => $name,)*
                }
            }

            /// Whether packets of this kind may carry it (MQTT 5 §2.4, table 2-6).
            #[must_use]
            pub const fn fits(self, kind: Kind) -> bool {
                match self {
                    $(Self::$reason => matches!(kind, $(Kind::$kind)|*),)*
                }
            }
        }
    };
}

reasons! {
    /// It worked. In DISCONNECT "normal disconnection", in SUBACK "granted QoS 0".
    Success = 0x00 "Success" [Connack Puback Pubrec Pubrel Pubcomp Suback Unsuback Disconnect Auth],
    /// The subscription gets at most QoS 1.
    GrantedQos1 = 0x01 "Granted QoS 1" [Suback],
    /// The subscription gets at most QoS 2.
    GrantedQos2 = 0x02 "Granted QoS 2" [Suback],
    /// The client goes and wants its will published.
    DisconnectWithWill = 0x04 "Disconnect with Will Message" [Disconnect],
    /// The message was taken and nobody listens.
    NoMatchingSubscribers = 0x10 "No matching subscribers" [Puback Pubrec],
    /// There was nothing to unsubscribe from.
    NoSubscriptionExisted = 0x11 "No subscription existed" [Unsuback],
    /// The next step of the authentication, please.
    ContinueAuthentication = 0x18 "Continue authentication" [Auth],
    /// The client begins to authenticate anew.
    Reauthenticate = 0x19 "Re-authenticate" [Auth],
    /// Nothing more is said.
    Unspecified = 0x80 "Unspecified error" [Connack Puback Pubrec Suback Unsuback Disconnect],
    /// The packet cannot be parsed.
    MalformedPacket = 0x81 "Malformed Packet" [Connack Disconnect],
    /// The packet is not allowed here, or says what is not allowed.
    ProtocolError = 0x82 "Protocol Error" [Connack Disconnect],
    /// Valid, and not taken by this server.
    ImplementationSpecific = 0x83 "Implementation specific error"
        [Connack Puback Pubrec Suback Unsuback Disconnect],
    /// This version of MQTT is not spoken here.
    UnsupportedVersion = 0x84 "Unsupported Protocol Version" [Connack],
    /// The client identifier is valid and not taken.
    ClientIdNotValid = 0x85 "Client Identifier not valid" [Connack],
    /// User name or password are not taken.
    BadUserNameOrPassword = 0x86 "Bad User Name or Password" [Connack],
    /// The client may not do this.
    NotAuthorized = 0x87 "Not authorized" [Connack Puback Pubrec Suback Unsuback Disconnect],
    /// The server is not there.
    ServerUnavailable = 0x88 "Server unavailable" [Connack],
    /// The server has too much to do: later.
    ServerBusy = 0x89 "Server busy" [Connack Disconnect],
    /// An operator has shut this client out.
    Banned = 0x8a "Banned" [Connack],
    /// The server stops.
    ServerShuttingDown = 0x8b "Server shutting down" [Disconnect],
    /// The authentication method is not known, or not the one used so far.
    BadAuthenticationMethod = 0x8c "Bad authentication method" [Connack Disconnect],
    /// Nothing was heard for one and a half times the keep alive.
    KeepAliveTimeout = 0x8d "Keep Alive timeout" [Disconnect],
    /// Another connection has the same client identifier.
    SessionTakenOver = 0x8e "Session taken over" [Disconnect],
    /// The filter is well formed and not taken.
    TopicFilterInvalid = 0x8f "Topic Filter invalid" [Suback Unsuback Disconnect],
    /// The topic is well formed and not taken.
    TopicNameInvalid = 0x90 "Topic Name invalid" [Connack Puback Pubrec Disconnect],
    /// The packet identifier is in use already.
    PacketIdInUse = 0x91 "Packet Identifier in use" [Puback Pubrec Suback Unsuback],
    /// The packet identifier is not known.
    PacketIdNotFound = 0x92 "Packet Identifier not found" [Pubrel Pubcomp],
    /// More unacknowledged publishes than the receive maximum.
    ReceiveMaximumExceeded = 0x93 "Receive Maximum exceeded" [Disconnect],
    /// The topic alias is zero, too large, or not known.
    TopicAliasInvalid = 0x94 "Topic Alias invalid" [Disconnect],
    /// The packet is larger than the receiver takes.
    PacketTooLarge = 0x95 "Packet too large" [Connack Disconnect],
    /// Too many messages in too short a time.
    MessageRateTooHigh = 0x96 "Message rate too high" [Disconnect],
    /// A limit of the server or an operator is reached.
    QuotaExceeded = 0x97 "Quota exceeded" [Connack Puback Pubrec Suback Disconnect],
    /// An operator ended the connection.
    AdministrativeAction = 0x98 "Administrative action" [Disconnect],
    /// The payload is not what its format indicator says.
    PayloadFormatInvalid = 0x99 "Payload format invalid" [Connack Puback Pubrec Disconnect],
    /// There are no retained messages here.
    RetainNotSupported = 0x9a "Retain not supported" [Connack Disconnect],
    /// The QoS is above the maximum.
    QosNotSupported = 0x9b "QoS not supported" [Connack Disconnect],
    /// For now another server is the right one.
    UseAnotherServer = 0x9c "Use another server" [Connack Disconnect],
    /// From now on another server is the right one.
    ServerMoved = 0x9d "Server moved" [Connack Disconnect],
    /// There are no shared subscriptions here.
    SharedSubscriptionsNotSupported = 0x9e "Shared Subscriptions not supported" [Suback Disconnect],
    /// Too many connections in too short a time.
    ConnectionRateExceeded = 0x9f "Connection rate exceeded" [Connack Disconnect],
    /// The time this connection was allowed is over.
    MaximumConnectTime = 0xa0 "Maximum connect time" [Disconnect],
    /// There are no subscription identifiers here.
    SubscriptionIdsNotSupported = 0xa1 "Subscription Identifiers not supported" [Suback Disconnect],
    /// There are no wildcards in filters here.
    WildcardSubscriptionsNotSupported = 0xa2 "Wildcard Subscriptions not supported" [Suback Disconnect],
}

impl Reason {
    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether it says that something failed (MQTT 5 §2.4).
    #[must_use]
    pub const fn is_failure(self) -> bool {
        self.number() >= 0x80
    }

    /// The CONNACK return code of MQTT 3.1.1 that comes nearest (MQTT 3.1.1 §3.2.2.3).
    #[must_use]
    pub const fn connack_v4(self) -> u8 {
        match self {
            Self::UnsupportedVersion => 1,
            Self::ClientIdNotValid => 2,
            Self::BadUserNameOrPassword | Self::BadAuthenticationMethod => 4,
            Self::NotAuthorized | Self::Banned => 5,
            reason if reason.is_failure() => 3,
            _ => 0,
        }
    }

    /// From a CONNACK return code of MQTT 3.1.1 (MQTT 3.1.1 §3.2.2.3).
    #[must_use]
    pub const fn from_connack_v4(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Success,
            1 => Self::UnsupportedVersion,
            2 => Self::ClientIdNotValid,
            3 => Self::ServerUnavailable,
            4 => Self::BadUserNameOrPassword,
            5 => Self::NotAuthorized,
            _ => return None,
        })
    }

    /// The SUBACK return code of MQTT 3.1.1: the granted QoS or 0x80 (MQTT 3.1.1 §3.9.3).
    #[must_use]
    pub const fn suback_v4(self) -> u8 {
        if self.is_failure() { 0x80 } else { self.number() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_one_number_and_some_packet() {
        assert_eq!(Reason::ALL.len(), 43);
        for (i, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(Reason::find(reason.number()), Some(*reason));
            assert!(Kind::ALL.iter().any(|kind| reason.fits(*kind)), "{reason:?}");
            assert!(i == 0 || Reason::ALL[i - 1] < *reason);
        }
        assert_eq!((0..=255).filter_map(Reason::find).count(), Reason::ALL.len());
    }

    #[test]
    fn return_codes_of_3_1_1_come_back() {
        for code in 0..=5 {
            assert_eq!(Reason::from_connack_v4(code).map(Reason::connack_v4), Some(code));
        }
        assert_eq!(Reason::from_connack_v4(6), None);
        assert_eq!(Reason::QuotaExceeded.connack_v4(), 3);
        assert_eq!(Reason::QuotaExceeded.suback_v4(), 0x80);
        assert_eq!(Reason::GrantedQos2.suback_v4(), 2);
    }
}
