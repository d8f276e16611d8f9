//! What RTMP calls the reasons for which something is refused or ends.

use std::time::Duration;

use yizhan_media::Refused;
use yizhan_talk::{Again, Close};

/// When whoever was refused for want of room may come again.
const AGAIN: Again = Again::After(Duration::from_secs(10));

/// The status code of a publisher that is refused. Encoders know these two, and show the description.
pub(super) const fn of_publish(refused: &Refused) -> &'static str {
    match refused {
        Refused::BadName(_) | Refused::Taken | Refused::NotAnApp(_) | Refused::NotOnAir => {
            "NetStream.Publish.BadName"
        }
        Refused::Denied(_) | Refused::Expired | Refused::Full | Refused::TooMany(_) | Refused::Hook(_) => {
            "NetStream.Publish.Denied"
        }
    }
}

/// The status code of a viewer that is refused.
pub(super) const fn of_play(refused: &Refused) -> &'static str {
    match refused {
        Refused::BadName(_) | Refused::NotAnApp(_) | Refused::NotOnAir | Refused::Taken => {
            "NetStream.Play.StreamNotFound"
        }
        Refused::Denied(_) | Refused::Expired | Refused::Full | Refused::TooMany(_) | Refused::Hook(_) => {
            "NetStream.Play.Failed"
        }
    }
}

/// How the talk ends with whoever was refused.
pub(super) fn close_of(refused: &Refused) -> Close {
    match refused {
        Refused::BadName(_) | Refused::NotAnApp(_) | Refused::NotOnAir => {
            Close::new(4003, "there is no such broadcast", Again::Soon)
        }
        Refused::Taken => Close::new(4003, "this broadcast has a publisher", AGAIN),
        Refused::Denied(_) | Refused::Hook(_) => Close::NOT_ADMITTED,
        Refused::Expired => Close::TOKEN_EXPIRED,
        Refused::Full | Refused::TooMany(_) => Close::new(4029, "there is no room for more", AGAIN),
    }
}
