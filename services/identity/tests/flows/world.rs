//! One server's identity with time moved by hand.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use yizhan_hub::{Access as _, Credentials, Peer, Principal, Refused};
use yizhan_identity::{
    Actor, Ban, Config, Failure, Identity, LinkLogin, NewAccount, NewBan, Revoked, Seams, SignedIn,
    config::PasswordConfig,
};
use yizhan_talk::{Now, Timestamp};

use crate::store::MemoryStore;

pub(crate) struct World {
    pub(crate) identity: Identity,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) now: Now,
    pub(crate) revoked: Arc<Mutex<Vec<Revoked>>>,
    pub(crate) keys_wanted: Arc<Mutex<usize>>,
}

/// All tables are in memory, so no future here waits.
pub(crate) trait AtOnce: Future + Sized {
    fn at_once(self) -> Self::Output {
        self.now_or_never().expect("nothing waits here")
    }
}
impl<F: Future> AtOnce for F {}

pub(crate) fn peer() -> Peer {
    peer_at(1)
}

pub(crate) fn peer_at(last: u8) -> Peer {
    Peer { address: [10, 0, 0, last].into(), door: "ws", secure: false }
}

/// Argon2 that costs nothing: what is tested here is not argon2.
pub(crate) fn cheap(config: Config) -> Config {
    let password = PasswordConfig { memory_kib: 8, passes: 1, lanes: 1 };
    Config { password, scram_iterations: 4096, ..config }
}

impl World {
    pub(crate) fn new(config: &str) -> Self {
        Self::on(Arc::default(), cheap(toml_config(config)))
    }

    pub(crate) fn on(store: Arc<MemoryStore>, config: Config) -> Self {
        let (revoked, keys_wanted) = (Arc::<Mutex<Vec<Revoked>>>::default(), Arc::<Mutex<usize>>::default());
        let (heard, wanted) = (revoked.clone(), keys_wanted.clone());
        let seams = Seams {
            revoked: Arc::new(move |r| heard.lock().push(r.clone())),
            keys_wanted: Arc::new(move || *wanted.lock() += 1),
            ..Seams::default()
        };
        let identity = Identity::open(config, &*store, seams).at_once().unwrap();
        let wall = Timestamp::from_millis(1_700_000_000_000);
        Self { identity, store, now: Now { steady: Instant::now(), wall }, revoked, keys_wanted }
    }

    pub(crate) fn wait(&mut self, seconds: u64) {
        let span = Duration::from_secs(seconds);
        self.now = Now { steady: self.now.steady + span, wall: self.now.wall.plus(span) };
    }

    pub(crate) fn admit(&self, credentials: Credentials) -> Result<Principal, Refused> {
        self.admit_on(credentials, None)
    }

    pub(crate) fn admit_on(
        &self,
        credentials: Credentials,
        device: Option<&str>,
    ) -> Result<Principal, Refused> {
        self.identity.admit(self.now, peer(), credentials, device.map(Into::into)).at_once()
    }

    pub(crate) fn password(&self, user: &str, password: &str) -> Result<Principal, Refused> {
        self.admit(Credentials::Password { user: user.into(), password: password.into() })
    }

    pub(crate) fn token(&self, token: &str) -> Result<Principal, Refused> {
        self.admit(Credentials::Token(token.into()))
    }

    pub(crate) fn actor<'a>(&self, who: &'a Principal) -> Actor<'a> {
        Actor { who, peer: peer(), now: self.now }
    }

    /// The first owner, signed in.
    pub(crate) fn owner(&self) -> Principal {
        let link = self.identity.bootstrap(self.now).at_once().unwrap().expect("nobody is owner yet");
        let signed_in = self.follow(link.reveal(), Some("own"), Some("owner's secret")).unwrap();
        self.token(signed_in.token.reveal()).unwrap()
    }

    /// The owner, made where there is none yet.
    pub(crate) fn logged_in_owner(&self) -> Principal {
        if !self.identity.has_owner() {
            return self.owner();
        }
        self.password("own", "owner's secret").unwrap()
    }

    pub(crate) fn follow(
        &self,
        link: &str,
        user: Option<&str>,
        password: Option<&str>,
    ) -> Result<SignedIn, Failure> {
        let login = LinkLogin {
            ticket: link.to_owned().into(),
            device: None,
            user: user.map(Into::into),
            password: password.map(|p| p.to_owned().into()),
        };
        self.identity.login_link(self.now, peer(), &login).at_once()
    }

    pub(crate) fn add(&self, by: &Principal, user: &str, roles: &[&str]) -> Result<(), Failure> {
        let new = NewAccount {
            user: user.into(),
            password: Some(format!("{user}'s secret").into()),
            password_hash: None,
            roles: Some(roles.iter().map(ToString::to_string).collect()),
        };
        self.identity.create_account(self.actor(by), &new).at_once().map(|_| ())
    }

    pub(crate) fn ban(&self, by: &Principal, whom: &str, seconds: Option<u64>) -> Result<Ban, Failure> {
        let (whom, reason) = (whom.parse().unwrap(), Some("because".into()));
        let new = NewBan { whom, reason, expires_in: seconds };
        self.identity.ban(self.actor(by), &new).at_once()
    }

    pub(crate) fn login(&self, user: &str) -> Result<SignedIn, Failure> {
        let password = format!("{user}'s secret");
        self.identity.login(self.now, peer(), user, &password, Some("laptop")).at_once()
    }

    pub(crate) fn logged_in(&self, user: &str) -> Principal {
        self.token(self.login(user).unwrap().token.reveal()).unwrap()
    }
}

pub(crate) fn toml_config(text: &str) -> Config {
    toml::from_str(text).unwrap()
}
