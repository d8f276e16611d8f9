//! The hub's [`Access`]: who comes in, with what, as whom.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde::Serialize;
use tracing::warn;
use yizhan_hub::{
    Access, Action, Credentials, Filter, Peer, Principal, Refused, Store, StoreError, Topic, Verdict,
    access::Exchange, store::Expect,
};
use yizhan_talk::{Now, Timestamp};

use crate::{
    accounts::Accounts,
    audit::{Audit, AuditEntry, What},
    bans::{Ban, Bans, Whom},
    brake::Brake,
    config::Config,
    devices::Devices,
    failure::BadConfig,
    flapping::Leavers,
    jwt::{self, BadKeys, Key},
    names::{ADMIN, NARROW_MARK, OWNER, USER_BYTES_MAX, has_role, is_narrow},
    prove::Prove,
    random::{SECRET_CHARS, fingerprint, letters},
    rows::Rows,
    rules::{Narrowings, Policy, stricter},
    scram,
    seams::Seams,
    tickets::{Ticket, Tickets},
    tokens::Tokens,
};

/// What the token for tools on this machine begins with.
const LOCAL_PREFIX: &str = "yz_local_";
/// Why a client is banned that comes and goes too often, as it is told.
const FLAPPING: &str = "it comes and goes too often: wait a while";
/// Bans for flapping that wait to be written down; those beyond are not.
const FLAPPED_MAX: usize = 100;
/// The row of the secret that salts are made with.
const FAKE_SALTS: &[u8] = b"fake-salts";

/// Who does something, from where, and when.
#[derive(Debug, Clone, Copy)]
pub struct Actor<'a> {
    /// Who.
    pub who: &'a Principal,
    /// From where.
    pub peer: Peer,
    /// When.
    pub now: Now,
}

/// A successful sign-in.
#[derive(Debug, Serialize)]
pub struct SignedIn {
    /// The token to go on with. Its text is in the answer to the one who signed in, and nowhere else.
    #[serde(serialize_with = "shown")]
    pub token: crate::Secret<String>,
    /// Who.
    pub user: String,
    /// The account's roles.
    pub roles: Vec<String>,
    /// When the token ends, ms.
    pub expires_at: u64,
    /// Whether the account has a password.
    pub has_password: bool,
}

fn shown<S: serde::Serializer>(secret: &crate::Secret<String>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(secret.reveal())
}

/// Whether `who` may run the server: an owner or admin, without a token that says less.
#[must_use]
pub fn administers(who: &Principal) -> bool {
    (has_role(who, OWNER) || has_role(who, ADMIN)) && !is_narrow(who)
}

/// Whether `who` is an owner, without a token that says less.
#[must_use]
pub(crate) fn owns(who: &Principal) -> bool {
    has_role(who, OWNER) && !is_narrow(who)
}

/// Accounts, tokens, tickets and rules. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Identity(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) seams: Seams,
    pub(crate) config: ArcSwap<Config>,
    policy: ArcSwap<Policy>,
    pub(crate) shared_key: ArcSwap<Option<Key>>,
    pub(crate) public_keys: ArcSwap<Vec<Key>>,
    pub(crate) keys_wanted_at: Mutex<Option<Instant>>,
    /// The fingerprint of the token for tools on this machine.
    pub(crate) local_token: ArcSwap<Option<String>>,
    /// What the salts of names that are not there are made with.
    pub(crate) fake_salts: String,
    leavers: Leavers,
    /// Bans for flapping that are still to be written to the audit log.
    flapped: Mutex<Vec<Flapped>>,
    pub(crate) narrowings: Narrowings,
    pub(crate) brake: Brake,
    pub(crate) hashing: AtomicUsize,
    pub(crate) accounts: Accounts,
    pub(crate) tokens: Tokens,
    pub(crate) tickets: Tickets,
    pub(crate) devices: Devices,
    pub(crate) bans: Bans,
    audit: Audit,
}

/// A client that was banned for flapping.
struct Flapped {
    now: Now,
    peer: Peer,
    whom: Whom,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// Identity could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The config can't be used.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Identity {
    /// Opens the tables and puts the config in force.
    ///
    /// # Errors
    /// The config is wrong, or the store fails.
    pub async fn open(config: Config, store: &dyn Store, seams: Seams) -> Result<Self, OpenError> {
        config.check()?;
        let tokens = Tokens::open(store)?;
        let narrowings = Narrowings::default();
        tokens
            .each(|id, token| {
                if let Some(rules) = token.rules
                    && let Err(failure) = narrowings.put(&format!("{NARROW_MARK}{id}"), &rules)
                {
                    warn!(id, %failure, "a token's rules can't be used: the token allows nothing");
                }
            })
            .await?;
        Ok(Self(Arc::new(Inner {
            policy: ArcSwap::from_pointee(Policy::new(&config)?),
            shared_key: ArcSwap::from_pointee(jwt::shared_key(&config.jwt)),
            public_keys: ArcSwap::default(),
            keys_wanted_at: Mutex::default(),
            local_token: ArcSwap::default(),
            narrowings,
            brake: Brake::default(),
            hashing: AtomicUsize::new(0),
            accounts: Accounts::open(store).await?,
            tokens,
            tickets: Tickets::open(store)?,
            devices: Devices::open(store)?,
            bans: Bans::open(store).await?,
            fake_salts: own_secret(store).await?,
            leavers: Leavers::default(),
            flapped: Mutex::default(),
            audit: Audit::open(store).await?,
            config: ArcSwap::from_pointee(config),
            seams,
        })))
    }

    /// Puts another config in force: rules at once, rates and times for those who come from now on.
    ///
    /// # Errors
    /// The config is wrong; the one before stays in force.
    pub fn reload(&self, config: Config) -> Result<(), BadConfig> {
        config.check()?;
        let policy = Policy::new(&config)?;
        self.0.shared_key.store(Arc::new(jwt::shared_key(&config.jwt)));
        self.0.policy.store(Arc::new(policy));
        self.0.config.store(Arc::new(config));
        Ok(())
    }

    /// Takes the public keys that JWTs are signed with: the text of a JSON Web Key Set. They replace the
    /// ones before. Gives how many are of use.
    ///
    /// # Errors
    /// The keys can't be used; the ones before stay in force.
    pub fn set_keys(&self, text: &str) -> Result<usize, BadKeys> {
        let keys = jwt::read_keys(text)?;
        let count = keys.len();
        self.0.public_keys.store(Arc::new(keys));
        Ok(count)
    }

    /// Clears away expired tokens, tickets and bans, and audit entries beyond the ring. To be called every hour
    /// or so.
    ///
    /// # Errors
    /// The store fails.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        let inner = &self.0;
        let mut expired = Vec::new();
        inner
            .tokens
            .each(|id, token| {
                if token.is_expired(now) {
                    expired.push(id.to_owned());
                }
            })
            .await?;
        for id in expired {
            inner.tokens.remove(&id).await?;
            inner.narrowings.remove(&format!("{NARROW_MARK}{id}"));
        }
        inner.tickets.sweep(now).await?;
        inner.bans.sweep(now).await?;
        self.tell_flapping().await;
        inner.audit.sweep(inner.config.load().audit_max).await
    }

    /// Makes the token for tools on this machine, in place of the one before: whoever shows it from a
    /// loopback address is `$local` with the role `owner`. It is kept nowhere here; the server puts it into
    /// a file that only its own user can read.
    #[must_use]
    pub fn make_local_token(&self) -> crate::Secret<String> {
        let token = format!("{LOCAL_PREFIX}{}", letters(SECRET_CHARS));
        self.0.local_token.store(Arc::new(Some(fingerprint(&token))));
        crate::Secret::new(token)
    }

    /// Makes a one-time ticket with which whoever gets it says hello as `who`.
    ///
    /// # Errors
    /// [`Refused::TooFast`] where too many are there; or the store fails.
    pub async fn ticket(&self, now: Now, who: &Principal) -> Result<crate::Secret<String>, Refused> {
        let good_until = now.wall.plus(self.0.config.load().ticket_for);
        let roles = who.roles.iter().map(|role| role.to_string()).collect();
        let ticket = Ticket::hello(&who.user, who.device.as_deref(), roles, who.expires_at, good_until);
        let made = self.0.tickets.add(now.wall, &ticket).await?;
        made.ok_or(Refused::TooFast(Duration::from_secs(60)))
    }

    /// Writes to the audit log. A failure is logged and not handed on: what was done is done.
    pub async fn record(&self, actor: Actor<'_>, what: What, subject: Option<&str>, detail: Option<&str>) {
        self.note(Some(actor.peer), actor.now, &actor.who.user, what, subject, detail).await;
    }

    /// As [`record`](Self::record), for what the server itself does.
    pub async fn record_own(&self, now: Now, what: What, detail: Option<&str>) {
        self.note(None, now, "$server", what, None, detail).await;
    }

    pub(crate) async fn note(
        &self,
        peer: Option<Peer>,
        now: Now,
        who: &str,
        what: What,
        subject: Option<&str>,
        detail: Option<&str>,
    ) {
        let entry = AuditEntry {
            id: 0,
            at: now.wall.as_millis(),
            who: cut(who).into(),
            what,
            subject: subject.map(Into::into),
            address: peer.map(|peer| peer.address.to_string()),
            door: peer.map(|peer| peer.door.into()),
            detail: detail.map(Into::into),
        };
        if let Err(error) = self.0.audit.add(entry, self.0.config.load().audit_max).await {
            warn!(%error, ?what, "the audit log could not be written");
        }
    }

    /// Entries of the audit log older than the one with number `before`, newest first; of one user (as
    /// the one who did it or the one it was done to) or of all.
    ///
    /// # Errors
    /// The store fails.
    pub async fn audit(
        &self,
        before: Option<u64>,
        user: Option<&str>,
        most: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        self.0.audit.page(before, user, most).await
    }
}

// Who comes and goes too often.
impl Identity {
    /// Counts a client that left. One that leaves too often is banned from the next time on; a client that
    /// is back already stays.
    fn note_left(&self, now: Now, peer: Peer, who: &Principal) {
        let config = self.0.config.load().flapping;
        let Some(device) = who.device.as_ref().filter(|_| config.enabled && !administers(who)) else {
            return;
        };
        if !self.0.leavers.left(now.steady, &who.user, device, &config) {
            return;
        }
        let whom = Whom::Client { user: who.user.clone(), device: device.clone() };
        let until = now.wall.plus(config.ban_for);
        if self.0.bans.add_passing(now.wall, Ban::passing(whom.clone(), FLAPPING, now.wall, until)) {
            let mut flapped = self.0.flapped.lock();
            if flapped.len() < FLAPPED_MAX {
                flapped.push(Flapped { now, peer, whom });
            }
        }
    }

    /// Writes down who was banned for flapping. That is noticed where nothing can wait for a disk, so
    /// whoever comes next does the writing.
    pub(crate) async fn tell_flapping(&self) {
        let flapped = std::mem::take(&mut *self.0.flapped.lock());
        for Flapped { now, peer, whom } in flapped {
            let subject = whom.to_string();
            self.note(Some(peer), now, "$server", What::BanCreate, Some(&subject), Some(FLAPPING)).await;
        }
    }
}

/// The server's own secret, made when it is first needed.
async fn own_secret(store: &dyn Store) -> Result<String, StoreError> {
    let rows = Rows::<String>::open(store, "identity-secrets")?;
    if let Some((secret, _)) = rows.find(FAKE_SALTS).await? {
        return Ok(secret);
    }
    let secret = letters(SECRET_CHARS);
    rows.put(FAKE_SALTS, &secret, Expect::Any).await?;
    Ok(secret)
}

/// As much of a name as is looked at and logged.
pub(crate) fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(USER_BYTES_MAX)]
}

impl Identity {
    /// Whether somebody may come in by this name: one with an account that is not disabled, a guest, or anybody
    /// where another system says who there is (JWT, certificates).
    ///
    /// # Errors
    /// The store failed.
    pub async fn knows(&self, user: &str) -> Result<bool, StoreError> {
        if let Some(account) = self.0.accounts.find(user).await? {
            return Ok(!account.disabled);
        }
        let config = self.0.config.load();
        if user.starts_with(crate::names::GUEST_MARK) {
            return Ok(config.guests != crate::config::Entry::Off);
        }
        let elsewhere = config.jwt.secret.is_some() || config.jwt.jwks_url.is_some();
        let by_certificate = config.certificates == crate::config::Certificates::Any;
        Ok(crate::names::check_user(user).is_ok() && (elsewhere || by_certificate))
    }
}

impl Access for Identity {
    fn admit(
        &self,
        now: Now,
        peer: Peer,
        credentials: Credentials,
        device: Option<Arc<str>>,
    ) -> BoxFuture<'static, Result<Principal, Refused>> {
        Box::pin(self.clone().come_in(now, peer, credentials, device))
    }

    fn begin(
        &self,
        _now: Now,
        peer: Peer,
        mechanism: &str,
        device: Option<Arc<str>>,
    ) -> Option<Box<dyn Exchange>> {
        let is_on = mechanism == scram::MECHANISM && self.0.config.load().scram_iterations > 0;
        is_on.then(|| Box::new(Prove::new(self.clone(), peer, device)) as Box<dyn Exchange>)
    }

    fn left(&self, now: Now, peer: Peer, who: &Principal) {
        self.note_left(now, peer, who);
    }

    fn may(&self, who: &Principal, action: Action, topic: &Topic) -> bool {
        self.0.policy.load().may(who, action, topic) && self.0.narrowings.may(who, action, topic)
    }

    fn may_filter(&self, who: &Principal, action: Action, filter: &Filter) -> Verdict {
        let wide = self.0.config.load().wide_filters;
        stricter(
            self.0.policy.load().may_filter(who, action, filter),
            self.0.narrowings.may_filter(who, action, filter, wide),
        )
    }

    /// Not with a token that has rules of its own: they name topics, and a service is more than its topics.
    fn may_ask(&self, who: &Principal, _service: &str) -> bool {
        !is_narrow(who)
    }
}
