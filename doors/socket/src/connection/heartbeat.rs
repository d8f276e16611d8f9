//! Time: the hello that must come, the heartbeat both ways, the end of the credentials.

use std::time::{Duration, Instant};

use yizhan_talk::{Close, Now, Out};

use super::{Connection, HubBackend, Ready, Stage, Transport};

/// Event streams are kept from falling asleep at least this often: proxies often cut at 30 or 60 s.
const EVENTS_BEAT_MAX: Duration = Duration::from_secs(25);

impl<B: HubBackend> Connection<B> {
    /// The interval that both sides keep.
    pub(super) fn beat(&self) -> Duration {
        self.terms.config.heartbeat.of(self.network)
    }

    /// After how long without a packet one is sent.
    fn beat_out(&self) -> Duration {
        match self.transport {
            Transport::Events(_) => self.beat().min(EVENTS_BEAT_MAX),
            _ => self.beat(),
        }
    }

    /// Until when the client has to be heard.
    fn heard_by(&self) -> Option<Instant> {
        // Who is not listened to cannot be heard, and an event stream has no way up.
        let listening = matches!(self.transport, Transport::Lines { .. } | Transport::Messages);
        (listening && self.takes_more()).then(|| self.heard + self.beat() * 3 / 2)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match (self.stage, &self.transport) {
            (Stage::Silent, _) => Some(self.silent_since + self.terms.config.hello_within),
            (Stage::Greeting | Stage::Ended, _) | (Stage::Open, Transport::Replies { .. }) => None,
            (Stage::Open, _) => {
                let beat = Some(self.sent + self.beat_out());
                [beat, self.heard_by(), self.expires.map(|(_, at)| at)].into_iter().flatten().min()
            }
        }
    }

    pub(super) fn keep_time(&mut self, now: Now, out: &mut Out<B>) {
        match self.stage {
            Stage::Silent if self.silent_since + self.terms.config.hello_within <= now.steady => {
                self.end(now, Close::HELLO_LATE, out);
            }
            Stage::Open => self.keep_open_time(now, out),
            _ => {}
        }
    }

    fn keep_open_time(&mut self, now: Now, out: &mut Out<B>) {
        if let Some((wall, steady)) = &mut self.expires
            && *steady <= now.steady
        {
            if *wall <= now.wall {
                return self.end(now, Close::TOKEN_EXPIRED, out);
            }
            // The wall clock was set back: what it says counts.
            *steady = now.steady + wall.since(now.wall);
        }
        if self.heard_by().is_some_and(|by| by <= now.steady) {
            return self.end(now, Close::SILENT, out);
        }
        if self.sent + self.beat_out() <= now.steady {
            match self.transport {
                Transport::Events(_) => {
                    self.sent = now.steady;
                    out.packets.push(b": \n\n");
                }
                _ => self.say(now, None, &Ready::Pong(None), out),
            }
        }
    }
}
