//! Who may come in, and who may do what.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use yizhan_talk::{Now, Timestamp};

use crate::{
    link::Refused,
    topic::{Filter, Topic},
};

/// What a client shows to come in. Its `Debug` says which kind it is and nothing else.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Nothing: anonymous, or a guest, where the operator allows it.
    #[default]
    None,
    /// A name and a password.
    Password {
        /// The account's name.
        user: Arc<str>,
        /// The password, as the client sent it.
        password: Arc<str>,
    },
    /// A personal or API token, or a JWT.
    Token(Arc<str>),
    /// A one-time ticket, made by somebody who was already in.
    Ticket(Arc<str>),
    /// A TLS client certificate that the listener has verified, by the user it names.
    Certificate {
        /// The account's name, as the door's config takes it from the certificate.
        user: Arc<str>,
    },
    /// What [`Call::Prove`](crate::Call::Prove) proved just before. The hub answers this one itself.
    Proven,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Password { .. } => "Password(…)",
            Self::Token(_) => "Token(…)",
            Self::Ticket(_) => "Ticket(…)",
            Self::Certificate { .. } => "Certificate(…)",
            Self::Proven => "Proven",
        })
    }
}

/// Where a client comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address, as seen through PROXY protocol or a trusted `Forwarded` header.
    pub address: IpAddr,
    /// The door it uses: `ws`, `sse`, `poll`, `http`, `tcp`, `mqtt`, …
    pub door: &'static str,
    /// Whether the last hop was encrypted.
    pub secure: bool,
}

/// Who somebody is, once admitted.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The account's name; for anonymous clients `anonymous`, for guests `guest:…`.
    pub user: Arc<str>,
    /// The device, where the client named one.
    pub device: Option<Arc<str>>,
    /// Roles, each with rules of its own.
    pub roles: Arc<[Arc<str>]>,
    /// When the credentials end; the connection ends then too.
    pub expires_at: Option<Timestamp>,
    /// What one connection of this principal may do in a time.
    pub rates: Rates,
}

/// What one connection may do in a time; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Messages published per second and per connection, with a burst of two seconds' worth.
    pub messages_per_second: Option<u32>,
    /// Bytes published per second and per connection, with a burst of two seconds' worth.
    pub bytes_per_second: Option<u32>,
    /// Messages published per second by all connections of the user together.
    pub user_messages_per_second: Option<u32>,
    /// Messages published per second by all connections of the address together.
    pub address_messages_per_second: Option<u32>,
}

/// What somebody wants to do with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send to it.
    Publish,
    /// Hear it live, read its state and its history.
    Subscribe,
    /// See who listens to it.
    Presence,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publish => "publish to",
            Self::Subscribe => "subscribe to",
            Self::Presence => "see who listens to",
        })
    }
}

/// An answer to "may I subscribe to this filter".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// To all of it.
    Allowed,
    /// To all but some topics: each record is asked about (`may`) before it is delivered.
    Checked,
    /// To none or too little of it.
    Denied,
}

/// Who may come in and do what.
pub trait Access: Send + Sync + 'static {
    /// Says who this is. May take long (password hashing); the hub waits on no lock meanwhile.
    fn admit(
        &self,
        now: Now,
        peer: Peer,
        credentials: Credentials,
        device: Option<Arc<str>>,
    ) -> BoxFuture<'static, Result<Principal, Refused>>;

    /// Begins an exchange that proves who somebody is (SASL, RFC 4422); `None` where the mechanism is not
    /// known.
    fn begin(
        &self,
        _now: Now,
        _peer: Peer,
        _mechanism: &str,
        _device: Option<Arc<str>>,
    ) -> Option<Box<dyn Exchange>> {
        None
    }

    /// A session of a client ended or lost its connection: what finds out who comes and goes too often.
    fn left(&self, _now: Now, _peer: Peer, _who: &Principal) {}

    /// Whether `who` may do this with one topic. On the hot path: must not wait.
    fn may(&self, who: &Principal, action: Action, topic: &Topic) -> bool;

    /// Whether `who` may do this with everything that `filter` matches.
    fn may_filter(&self, who: &Principal, action: Action, filter: &Filter) -> Verdict;

    /// Whether `who` may use a service at all; what they may do there is the service's to say.
    fn may_ask(&self, _who: &Principal, _service: &str) -> bool {
        true
    }
}

/// An exchange that proves who somebody is, under way.
pub trait Exchange: Send + Sync {
    /// What the client said last, answered. The hub waits on no lock meanwhile.
    fn step(&mut self, now: Now, data: Bytes) -> BoxFuture<'_, Result<Step, Refused>>;
}

/// What follows in an exchange.
#[derive(Debug)]
pub enum Step {
    /// The client has to answer this.
    Challenge(Bytes),
    /// It is proven.
    Proven {
        /// Who it is.
        principal: Principal,
        /// What the client is told with it (SCRAM's server signature).
        data: Bytes,
    },
}

/// Lets everybody in and do everything outside `$` topics, except hearing them: for tests and `--dev`.
#[derive(Debug, Default, Clone, Copy)]
pub struct Open;

impl Access for Open {
    fn admit(
        &self,
        _now: Now,
        _peer: Peer,
        credentials: Credentials,
        device: Option<Arc<str>>,
    ) -> BoxFuture<'static, Result<Principal, Refused>> {
        let user = match credentials {
            Credentials::Password { user, .. } => user,
            _ => "anonymous".into(),
        };
        let principal =
            Principal { user, device, roles: Arc::default(), expires_at: None, rates: Rates::default() };
        Box::pin(std::future::ready(Ok(principal)))
    }
    fn may(&self, _who: &Principal, action: Action, topic: &Topic) -> bool {
        action != Action::Publish || !topic.is_dollar()
    }
    fn may_filter(&self, _who: &Principal, _action: Action, _filter: &Filter) -> Verdict {
        Verdict::Allowed
    }
}

/// A token bucket without a lock (the generic cell rate algorithm): `allow` costs one compare-and-swap.
#[derive(Debug)]
pub struct Bucket {
    /// When the bucket will be full again, µs on the wall clock's scale of the steady time given.
    full_at: std::sync::atomic::AtomicU64,
}

impl Default for Bucket {
    fn default() -> Self {
        Self { full_at: std::sync::atomic::AtomicU64::new(0) }
    }
}

impl Bucket {
    /// Takes `cost` units at `micros` (any steady scale), where `per_second` flow in and two seconds' worth
    /// fit.
    ///
    /// # Errors
    /// How long to wait until the units are there.
    pub fn take(&self, micros: u64, cost: u64, per_second: u32) -> Result<(), Duration> {
        use std::sync::atomic::Ordering::Relaxed;
        const BURST_MICROS: u64 = 2_000_000;
        let price = cost.saturating_mul(1_000_000) / u64::from(per_second.max(1));
        let mut full_at = self.full_at.load(Relaxed);
        loop {
            let start = full_at.max(micros);
            // Something dearer than the whole bucket passes when the bucket is full, and is paid off later.
            let room_at = (start + price.min(BURST_MICROS)).saturating_sub(BURST_MICROS);
            if room_at > micros {
                return Err(Duration::from_micros(room_at - micros));
            }
            match self.full_at.compare_exchange_weak(full_at, start + price, Relaxed, Relaxed) {
                Ok(_) => return Ok(()),
                Err(newer) => full_at = newer,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_two_seconds_worth_and_then_its_rate() {
        let bucket = Bucket::default();
        let mut taken = 0;
        for _ in 0..100 {
            taken += u32::from(bucket.take(1_000_000, 1, 10).is_ok());
        }
        assert_eq!(taken, 20);
        let wait = bucket.take(1_000_000, 1, 10).unwrap_err();
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        assert!(bucket.take(1_100_000, 1, 10).is_ok());
        assert!(bucket.take(1_100_000, 1, 10).is_err());
    }

    #[test]
    fn credentials_do_not_show_in_debug() {
        let shown = format!("{:?}", Credentials::Password { user: "ann".into(), password: "hunter2".into() });
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
