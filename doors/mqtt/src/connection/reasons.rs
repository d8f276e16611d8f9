//! What is said where something is refused: one table for refusals, one for the ends of talks.

use yizhan_hub::{Refused, StoreError};
use yizhan_talk::{Again, Close};

use crate::wire::{Kind, Reason, Version};

/// The reason code of a refusal, in a packet of this kind (MQTT 5 §2.4).
pub(crate) fn reason_of(refused: &Refused, kind: Kind) -> Reason {
    let reason = match refused {
        Refused::NotAdmitted | Refused::TokenExpired | Refused::BadToken(_) => Reason::BadUserNameOrPassword,
        Refused::TooManyAttempts(_) => Reason::ConnectionRateExceeded,
        Refused::NoMechanism(_) => Reason::BadAuthenticationMethod,
        Refused::Banned(_) => Reason::Banned,
        Refused::NotAllowed { .. } | Refused::Denied(_) => Reason::NotAuthorized,
        Refused::BadName(_) | Refused::NotOneTopic if is_about_filters(kind) => Reason::TopicFilterInvalid,
        Refused::BadName(_) | Refused::NoSpace(_) => Reason::TopicNameInvalid,
        Refused::NoSubscription => Reason::NoSubscriptionExisted,
        Refused::HeadersTooLarge
        | Refused::TooLarge { .. }
        | Refused::Taken(_)
        | Refused::TooManySubscriptions(_)
        | Refused::TooManyDelayed(_)
        | Refused::DelayTooLong(_)
        | Refused::Store(StoreError::Full) => Reason::QuotaExceeded,
        Refused::TooFast(_) if kind == Kind::Connack => Reason::ConnectionRateExceeded,
        Refused::TooFast(_) => Reason::QuotaExceeded,
        Refused::Stopping | Refused::Store(_) if kind == Kind::Connack => Reason::ServerUnavailable,
        Refused::Stopping | Refused::Store(_) => Reason::Unspecified,
        Refused::NotOneTopic
        | Refused::NoService(_)
        | Refused::NotKept(_)
        | Refused::NotDurable { .. }
        | Refused::BadPosition
        | Refused::HelloFirst
        | Refused::HelloTwice
        | Refused::NoSession => Reason::ImplementationSpecific,
    };
    fitting(reason, kind)
}

fn is_about_filters(kind: Kind) -> bool {
    matches!(kind, Kind::Suback | Kind::Unsuback)
}

/// This reason, or the one that says nothing more where a packet of this kind cannot have it.
pub(super) fn fitting(reason: Reason, kind: Kind) -> Reason {
    if reason.fits(kind) { reason } else { Reason::Unspecified }
}

/// The same for PUBACK and PUBREC. MQTT 3.1.1 cannot say no: the message is dropped and acknowledged.
pub(super) fn fitting_ack(reason: Reason, kind: Kind, version: Version) -> Reason {
    match version {
        Version::V4 => Reason::Success,
        Version::V5 => fitting(reason, kind),
    }
}

/// How the talk ends where this reason is the last word.
pub(super) fn close_of(reason: Reason) -> Close {
    match reason {
        Reason::PacketTooLarge => Close::TOO_BIG,
        Reason::BadUserNameOrPassword
        | Reason::NotAuthorized
        | Reason::Banned
        | Reason::BadAuthenticationMethod
        | Reason::ClientIdNotValid => Close::NOT_ADMITTED,
        Reason::ServerUnavailable | Reason::ServerBusy | Reason::Unspecified => Close::INTERNAL,
        Reason::ConnectionRateExceeded | Reason::QuotaExceeded | Reason::ReceiveMaximumExceeded => {
            Close::TOO_MANY
        }
        Reason::KeepAliveTimeout => Close::SILENT,
        _ => Close::PROTOCOL,
    }
}

/// The reason code for the way in which the server ends a talk (MQTT 5 §3.14.2.1).
pub(super) fn reason_of_close(close: &Close) -> Reason {
    match close.code {
        1000 => Reason::Success,
        1001 => Reason::ServerShuttingDown,
        1002 | 1003 | 1007 => Reason::ProtocolError,
        1009 => Reason::PacketTooLarge,
        4003 | 4004 => Reason::NotAuthorized,
        4001 | 4008 => Reason::KeepAliveTimeout,
        4009 => Reason::SessionTakenOver,
        4010 => Reason::QuotaExceeded,
        4029 => Reason::MessageRateTooHigh,
        4030 => Reason::AdministrativeAction,
        _ => Reason::Unspecified,
    }
}

/// Told to a client of MQTT 3.1.1 whose message could not be made safe: it sends it again when it is back.
pub(super) const NOT_SAFE: Close =
    Close::new(1011, "a message could not be made safe", Again::After(std::time::Duration::from_secs(5)));
/// Told where what a session remembers could not be made safe.
pub(super) const NOT_SAVED: Close =
    Close::new(1011, "a session could not be made safe", Again::After(std::time::Duration::from_secs(5)));

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_refusal_has_a_reason_that_its_packet_may_carry() {
        let refusals = [
            Refused::NotAdmitted,
            Refused::TokenExpired,
            Refused::BadToken("x"),
            Refused::NoMechanism("x".into()),
            Refused::Banned("x".into()),
            Refused::TooManyAttempts(Duration::ZERO),
            Refused::NotAllowed { action: yizhan_hub::Action::Publish, name: "x".into() },
            Refused::BadName(yizhan_hub::topic::BadName::Empty),
            Refused::HelloFirst,
            Refused::NoSubscription,
            Refused::TooManySubscriptions(1),
            Refused::TooFast(Duration::ZERO),
            Refused::NotOneTopic,
            Refused::HeadersTooLarge,
            Refused::Stopping,
            Refused::Store(StoreError::Full),
            Refused::Store(StoreError::Busy),
        ];
        for refused in refusals {
            for kind in [Kind::Connack, Kind::Puback, Kind::Pubrec, Kind::Suback] {
                let reason = reason_of(&refused, kind);
                assert!(reason.is_failure() && reason.fits(kind), "{refused}: {reason:?}");
            }
        }
    }

    #[test]
    fn ends_have_the_standards_reasons() {
        for (close, reason) in [
            (Close::GOING_AWAY, Reason::ServerShuttingDown),
            (Close::TAKEN_OVER, Reason::SessionTakenOver),
            (Close::KICKED, Reason::AdministrativeAction),
            (Close::SILENT, Reason::KeepAliveTimeout),
            (Close::TOKEN_EXPIRED, Reason::NotAuthorized),
            (Close::TOO_MANY, Reason::MessageRateTooHigh),
            (Close::TOO_BIG, Reason::PacketTooLarge),
        ] {
            assert_eq!(reason_of_close(&close), reason);
            assert!(reason.fits(Kind::Disconnect));
        }
    }
}
