//! Who may publish and who may watch.
//!
//! Read in this order: [`config`] (what an operator sets), [`keys`] and [`token`] (what people show), `rules` (what
//! decides, in which order), `bounds` (guessing made slow, limits of an address), and [`Gate`] here, which is the
//! server's [`Porter`]. Webhooks stand before it, in the door.

use std::{collections::BTreeMap, fmt, net::IpAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use yizhan_hub::{Action, Credentials, Peer, Principal, Refused as HubRefused, Topic};
use yizhan_talk::{Called, Now, Timestamp};

mod bounds;
pub mod config;
pub mod keys;
mod params;
mod rules;
pub mod secret;
pub mod token;

pub(crate) use self::bounds::client;
use self::{
    bounds::{Brake, Crowd, Used},
    config::{Access, PlayBy, Tokens},
    keys::KeyList,
    rules::{Rules, Weighed},
    token::{BadToken, Doing, Grant, Signer},
};
use crate::{
    Broadcast, Name,
    media::Media,
    porter::{Gone, Pass, Porter, Wish},
    refused::Refused,
};

/// Names that are blocked at one time.
const BLOCKED_MAX: usize = 10_000;

/// What the gate needs of the server.
#[derive(Clone)]
pub struct Doormen {
    /// Who somebody is, and what the hub's rules let them do: identity.
    pub access: Arc<dyn yizhan_hub::Access>,
    /// Whether somebody is an owner or admin of the server.
    pub administers: Arc<dyn Fn(&Principal) -> bool + Send + Sync>,
}

impl fmt::Debug for Doormen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Doormen")
    }
}

/// Decides who may publish and watch, by keys, tokens and accounts. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    rules: ArcSwap<Rules>,
    doormen: Doormen,
    brake: Mutex<Brake>,
    used: Mutex<Used>,
    crowd: Mutex<Crowd>,
    /// Names that nobody may publish under, until then.
    blocked: Mutex<FxHashMap<Name, Timestamp>>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&*self.0.rules.load()).finish()
    }
}

impl Gate {
    /// With the rules of a config: `[live.access]`, `[live.keys]`, `[live.tokens]`.
    ///
    /// # Errors
    /// What makes no sense, in words for the operator.
    pub fn new(
        access: &Access,
        keys: &BTreeMap<String, KeyList>,
        tokens: &Tokens,
        doormen: Doormen,
    ) -> Result<Self, String> {
        Ok(Self(Arc::new(Inner {
            rules: ArcSwap::from_pointee(Rules::new(access, keys, tokens)?),
            doormen,
            brake: Mutex::default(),
            used: Mutex::default(),
            crowd: Mutex::default(),
            blocked: Mutex::default(),
        })))
    }

    /// Puts other rules in force for those who come from now on.
    ///
    /// # Errors
    /// As [`new`](Self::new); those before stay in force.
    pub fn reload(
        &self,
        access: &Access,
        keys: &BTreeMap<String, KeyList>,
        tokens: &Tokens,
    ) -> Result<(), String> {
        self.0.rules.store(Arc::new(Rules::new(access, keys, tokens)?));
        Ok(())
    }

    /// Forgets what is over, and counts the viewers of each address anew. To be called every second or so.
    pub fn maintain(&self, now: Now, media: &Media) {
        self.0.used.lock().forget(now.wall);
        self.0.blocked.lock().retain(|_, until| *until > now.wall);
        if self.0.rules.load().access.address_viewers_max == 0 || !self.0.crowd.lock().is_old(now.steady) {
            return;
        }
        let all = media.list();
        let here = |of: &Broadcast| {
            let (name, viewers) = (of.name().clone(), of.viewers());
            viewers
                .into_iter()
                .filter(move |viewer| is_one(&name, viewer.door))
                .filter_map(|viewer| viewer.address)
        };
        let addresses: Vec<IpAddr> = all.iter().flat_map(here).collect();
        self.0.crowd.lock().recount(now.steady, addresses.into_iter());
    }

    /// For so long nobody may publish under this name. False where too many names are blocked.
    #[must_use]
    pub fn block(&self, now: Now, name: &Name, wait: Duration) -> bool {
        let mut blocked = self.0.blocked.lock();
        if blocked.len() >= BLOCKED_MAX && !blocked.contains_key(name) {
            return false;
        }
        blocked.insert(name.clone(), now.wall.plus(wait));
        true
    }

    /// Makes a token for a broadcast. `None` where no secret is set.
    #[must_use]
    pub fn sign(&self, name: &Name, grant: &Grant) -> Option<String> {
        self.signer().sign(name, grant)
    }

    /// What signs tokens.
    #[must_use]
    pub fn signer(&self) -> Signer {
        self.0.rules.load().signer.clone()
    }

    /// The settings of tokens that are in force.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        self.0.rules.load().tokens.clone()
    }

    /// Whether watching a broadcast takes nothing.
    #[must_use]
    pub fn is_open(&self, name: &Name) -> bool {
        self.0.rules.load().access.play_in(&name.app) == PlayBy::Open
    }

    /// Whether an account may watch a broadcast without a token for it. On the hot path: does not wait.
    #[must_use]
    pub fn may_watch(&self, who: &Principal, name: &Name) -> bool {
        match self.0.rules.load().access.play_in(&name.app) {
            PlayBy::Open => true,
            PlayBy::Tokens => (self.0.doormen.administers)(who),
            PlayBy::Accounts => self.0.doormen.access.may(who, Action::Subscribe, &name.topic("")),
        }
    }

    /// Whether the hub's rules let somebody publish to a topic of a broadcast: write in its chat, give gifts.
    #[must_use]
    pub fn may_write(&self, who: &Principal, topic: &Topic) -> bool {
        self.0.doormen.access.may(who, Action::Publish, topic)
    }

    /// Whether somebody is an owner or admin of the server.
    #[must_use]
    pub fn administers(&self, who: &Principal) -> bool {
        (self.0.doormen.administers)(who)
    }

    /// Looks at a token made for watching, and uses up one for one time. Gives when it expires.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn enter(
        &self,
        now: Now,
        name: &Name,
        token: &str,
        address: Option<IpAddr>,
    ) -> Result<Timestamp, Refused> {
        let rules = self.0.rules.load();
        match rules.signer.check(token, Doing::Play, name, address, now.wall) {
            Ok(grant) if self.0.is_used(now, &grant) => Err(used()),
            Ok(grant) => Ok(Timestamp::from_millis(grant.until.saturating_mul(1000))),
            Err(BadToken::Expired) => Err(Refused::Expired),
            Err(bad) => Err(Refused::Denied(bad.to_string().into())),
        }
    }
}

impl Porter for Gate {
    fn may(&self, wish: Wish) -> Called<Result<Pass, Refused>> {
        let address = wish.party.address;
        if address.is_some_and(|address| self.0.brake.lock().holds(wish.now.steady, address)) {
            return Called::Done(Err(Refused::TooMany(
                "too many wrong keys or tokens: try again in a minute".into(),
            )));
        }
        if wish.publishing
            && self.0.blocked.lock().get(&wish.name).is_some_and(|until| *until > wish.now.wall)
        {
            return Called::Done(Err(Refused::Denied(
                "an operator ended this broadcast: try again later".into(),
            )));
        }
        let weighed = self.0.rules.load().weigh(&wish);
        let inner = self.0.clone();
        match weighed {
            Weighed::No(refused, guessed) => {
                if let Some(address) = address.filter(|_| guessed) {
                    inner.brake.lock().wrong(wish.now.steady, address);
                }
                Called::Done(Err(refused))
            }
            Weighed::Yes(grant) => Called::Later(Box::pin(async move {
                inner.check_ban(&wish).await?;
                inner.let_in(&wish, grant)
            })),
            Weighed::Account { token, open } => {
                Called::Later(Box::pin(async move { inner.by_account(&wish, token, open).await }))
            }
        }
    }

    fn gone(&self, _gone: Gone) {}
}

impl Inner {
    /// Refuses whose address is banned from the server.
    async fn check_ban(&self, wish: &Wish) -> Result<(), Refused> {
        let admitted = self.doormen.access.admit(wish.now, peer(wish), Credentials::None, None).await;
        match admitted {
            Err(HubRefused::Banned(reason)) => Err(Refused::Denied(format!("banned: {reason}").into())),
            // Whether strangers may use the hub is another question.
            _ => Ok(()),
        }
    }

    async fn by_account(&self, wish: &Wish, token: Arc<str>, open: bool) -> Result<Pass, Refused> {
        let admitted = self.doormen.access.admit(wish.now, peer(wish), Credentials::Token(token), None).await;
        let who = match admitted {
            Ok(who) => who,
            Err(HubRefused::Banned(reason)) => {
                return Err(Refused::Denied(format!("banned: {reason}").into()));
            }
            Err(_) if open => {
                self.check_ban(wish).await?;
                return self.let_in(wish, None);
            }
            Err(HubRefused::TokenExpired) => return Err(Refused::Expired),
            Err(refused @ HubRefused::Store(_)) => return Err(Refused::TooMany(refused.to_string().into())),
            Err(refused) => return Err(Refused::Denied(refused.to_string().into())),
        };
        let may = open || self.account_may(&who, wish);
        if !may {
            let what = if wish.publishing { "publish" } else { "watch" };
            return Err(Refused::Denied(format!("this account may not {what} '{}'", wish.name).into()));
        }
        self.let_in(wish, None)?;
        Ok(Pass { user: Some(who.user), until: who.expires_at.filter(|_| !open) })
    }

    fn account_may(&self, who: &Principal, wish: &Wish) -> bool {
        let (topic, rules) = (wish.name.topic(""), self.rules.load());
        let (access, admin) = (&self.doormen.access, (self.doormen.administers)(who));
        if wish.publishing {
            return access.may(who, Action::Publish, &topic);
        }
        match rules.access.play_in(&wish.name.app) {
            PlayBy::Open => true,
            PlayBy::Tokens => admin,
            PlayBy::Accounts => access.may(who, Action::Subscribe, &topic),
        }
    }

    /// The last step: what is good for one time is used, and the address has room.
    fn let_in(&self, wish: &Wish, grant: Option<Grant>) -> Result<Pass, Refused> {
        let max = self.rules.load().access.address_viewers_max;
        if let Some(address) = wish.party.address.filter(|_| !wish.publishing && max > 0)
            && !self.crowd.lock().enter(address, max)
        {
            return Err(Refused::TooMany("as many viewers as may be come from this address".into()));
        }
        if grant.as_ref().is_some_and(|grant| self.is_used(wish.now, grant)) {
            return Err(used());
        }
        Ok(Pass { user: grant.and_then(|grant| grant.user).map(Into::into), ..Pass::default() })
    }

    /// Whether a token is for one time and was used, or cannot be remembered as used. It is used from now on.
    fn is_used(&self, now: Now, grant: &Grant) -> bool {
        grant.once.as_ref().is_some_and(|once| !self.used.lock().take(now.wall, once, grant.until))
    }
}

/// Whether a viewer counts here: one of HLS or DASH is counted by the source and by each rung that it has looked at, and
/// is one all the same.
pub(crate) fn is_one(name: &Name, door: &str) -> bool {
    name.rung_name().is_none() || !matches!(door, "hls" | "dash")
}

fn used() -> Refused {
    Refused::Denied("this token was for one time, and was used: get a new one".into())
}

/// Where somebody comes from, as identity wants it.
fn peer(wish: &Wish) -> Peer {
    // One without an address is a part of this server.
    let address = wish.party.address.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
    Peer { address, door: wish.party.door, secure: false }
}
