//! Time: CONNECT that must come, the keep alive, the end of the credentials, publishes that came too fast.

use std::time::{Duration, Instant};

use yizhan_talk::{Close, Now, Out};

use super::{Connection, HubBackend, Stage};
use crate::wire::Reason;

impl<B: HubBackend> Connection<B> {
    /// Until when the client has to be heard: one and a half times its keep alive (MQTT-3.1.2-22). Who is not
    /// listened to cannot be heard.
    fn heard_by(&self) -> Option<Instant> {
        let silence_max = Duration::from_secs(self.keep_alive.into()) * 3 / 2;
        (self.keep_alive > 0 && self.reads()).then(|| self.heard + silence_max)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Silent | Stage::Proving => Some(self.heard + self.terms.config.connect_within),
            Stage::Greeting | Stage::Ended => None,
            Stage::Open => {
                let expires = self.expires.as_ref().map(|expires| expires.1);
                [self.heard_by(), expires, self.paused_until(), self.owed_due()].into_iter().flatten().min()
            }
        }
    }

    pub(super) fn keep_time(&mut self, now: Now, out: &mut Out<B>) {
        match self.stage {
            Stage::Silent | Stage::Proving => {
                if self.heard + self.terms.config.connect_within <= now.steady {
                    self.end(now, Reason::KeepAliveTimeout, None, Close::HELLO_LATE, out);
                }
            }
            Stage::Open => self.keep_open_time(now, out),
            Stage::Greeting | Stage::Ended => {}
        }
    }

    fn keep_open_time(&mut self, now: Now, out: &mut Out<B>) {
        if let Some((wall, steady)) = self.expires.as_deref_mut()
            && *steady <= now.steady
        {
            if *wall <= now.wall {
                let text = "the credentials have expired";
                return self.end(now, Reason::NotAuthorized, Some(text), Close::TOKEN_EXPIRED, out);
            }
            // The wall clock was set back: what it says counts.
            *steady = now.steady + wall.since(now.wall);
        }
        if self.heard_by().is_some_and(|by| by <= now.steady) {
            let text = "nothing was heard for one and a half times the keep alive (MQTT-3.1.2-22)";
            return self.end(now, Reason::KeepAliveTimeout, Some(text), Close::SILENT, out);
        }
        self.publish_again(now, out);
        self.pay(now, out);
    }
}
