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
use tracing::{debug, warn};
use yizhan_hub::{
    Access, Action, Credentials, Filter, Peer, Principal, Refused, Store, StoreError, Topic, Verdict,
};
use yizhan_talk::{Now, Timestamp};

use crate::{
    accounts::{Account, Accounts},
    audit::{Audit, AuditEntry, What},
    brake::Brake,
    config::{Config, Entry},
    devices::{Devices, NOTED_EVERY},
    failure::BadConfig,
    jwt::{self, BadKeys, Key, Rejected},
    names::{
        ADMIN, ANONYMOUS, DEVICE_BYTES_MAX, FOREIGN_MARK, GUEST, GUEST_MARK, NARROW_MARK, OWNER, TOKEN_MARK,
        USER_BYTES_MAX, check_user, has_role, is_narrow,
    },
    random::{SECRET_CHARS, fingerprint, letters},
    rules::{Narrowings, Policy, stricter},
    seams::Seams,
    tickets::{Ticket, TicketKind, Tickets},
    tokens::{TOKEN_PREFIX, Token, Tokens},
};

/// Who comes with the token for tools on this machine: no account can have this name.
const LOCAL: &str = "$local";
/// What that token begins with.
const LOCAL_PREFIX: &str = "yz_local_";
/// How often new keys are asked for at most, when a token names one that is not known.
const KEYS_WANTED_EVERY: Duration = Duration::from_secs(60);
/// Tokens with rules of their own whose rules are in memory. A token beyond is refused.
const NARROWINGS_MAX: usize = 1_000_000;

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
    shared_key: ArcSwap<Option<Key>>,
    public_keys: ArcSwap<Vec<Key>>,
    keys_wanted_at: Mutex<Option<Instant>>,
    /// The fingerprint of the token for tools on this machine.
    local_token: ArcSwap<Option<String>>,
    pub(crate) narrowings: Narrowings,
    pub(crate) brake: Brake,
    pub(crate) hashing: AtomicUsize,
    pub(crate) accounts: Accounts,
    pub(crate) tokens: Tokens,
    pub(crate) tickets: Tickets,
    pub(crate) devices: Devices,
    audit: Audit,
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

    /// Clears away expired tokens and tickets, and audit entries beyond the ring. To be called every hour
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

// Coming in.
impl Identity {
    async fn come_in(
        self,
        now: Now,
        peer: Peer,
        credentials: Credentials,
        device: Option<Arc<str>>,
    ) -> Result<Principal, Refused> {
        if device.as_ref().is_some_and(|name| name.is_empty() || name.len() > DEVICE_BYTES_MAX) {
            return Err(Refused::BadName(yizhan_hub::topic::BadName::TooLong));
        }
        let who = match credentials {
            Credentials::None => self.stranger(device)?,
            Credentials::Password { user, password } if password.is_empty() && self.takes_guests() => {
                self.guest(&user, device)?
            }
            Credentials::Password { user, password } => {
                let account = self.check_password(now, peer, &user, &password).await?;
                self.of_account(&user, device, &account.roles, &[], None)
            }
            Credentials::Token(text) if self.is_local(peer, &text) => {
                self.foreign(LOCAL, device, &[OWNER.into()], None)
            }
            Credentials::Token(text) if text.starts_with(TOKEN_PREFIX) => {
                self.by_token(now, &text, device).await?
            }
            Credentials::Token(text) => self.by_jwt(now, &text, device).await?,
            Credentials::Ticket(text) => self.by_ticket(now, &text, device).await?,
        };
        if let Some(device) = who.device.as_deref().filter(|_| !is_stranger(&who))
            && let Err(error) = self.0.devices.note(now, peer, &who.user, device).await
        {
            // Whoever may come in comes in, also while the disk is full.
            warn!(%error, "a device could not be noted");
        }
        debug!(user = %who.user, door = peer.door, "admitted");
        Ok(who)
    }

    /// Whether this is the token that the server left for tools on this machine.
    fn is_local(&self, peer: Peer, text: &str) -> bool {
        let kept = self.0.local_token.load();
        // Hashes are compared, so how long it takes says nothing about the token.
        peer.address.is_loopback() && kept.as_ref().as_ref().is_some_and(|kept| *kept == fingerprint(text))
    }

    fn takes_guests(&self) -> bool {
        self.0.config.load().guests != Entry::Off
    }

    fn stranger(&self, device: Option<Arc<str>>) -> Result<Principal, Refused> {
        if self.0.config.load().anonymous == Entry::Off {
            return Err(Refused::NotAdmitted);
        }
        Ok(self.foreign(ANONYMOUS, device, &[ANONYMOUS.into()], None))
    }

    /// A guest has a name that nobody checks, and `guest:` before it, so that it is nobody else's.
    fn guest(&self, name: &str, device: Option<Arc<str>>) -> Result<Principal, Refused> {
        check_user(name).map_err(|_| Refused::NotAdmitted)?;
        Ok(self.foreign(&format!("{GUEST_MARK}{name}"), device, &[GUEST.into()], None))
    }

    async fn by_token(&self, now: Now, text: &str, device: Option<Arc<str>>) -> Result<Principal, Refused> {
        let (id, token) = self.0.tokens.check(text).await?.ok_or(Refused::NotAdmitted)?;
        if token.is_expired(now.wall) {
            return Err(Refused::TokenExpired);
        }
        let account = self.open_account(&token.user).await?;
        let mark = self.mark_of(&id, &token)?;
        let due =
            token.last_used_at.is_none_or(|at| now.wall.since(Timestamp::from_millis(at)) >= NOTED_EVERY);
        if due && let Err(error) = self.0.tokens.note_use(&id, now.wall).await {
            warn!(%error, "a token's use could not be noted");
        }
        let expires_at = token.expires_at.map(Timestamp::from_millis);
        Ok(self.of_account(&token.user, device, &account.roles, &[mark], expires_at))
    }

    /// The role that marks those who come with this token. A token with rules has them in memory from
    /// then on, where the hot path looks.
    fn mark_of(&self, id: &str, token: &Token) -> Result<String, Refused> {
        let Some(rules) = &token.rules else { return Ok(format!("{TOKEN_MARK}{id}")) };
        let mark = format!("{NARROW_MARK}{id}");
        if !self.0.narrowings.has(&mark) {
            if self.0.narrowings.len() >= NARROWINGS_MAX {
                return Err(Refused::TooFast(Duration::from_secs(60)));
            }
            self.0.narrowings.put(&mark, rules).map_err(|_| Refused::BadToken("its rules can't be used"))?;
        }
        Ok(mark)
    }

    async fn by_jwt(&self, now: Now, text: &str, device: Option<Arc<str>>) -> Result<Principal, Refused> {
        let config = self.0.config.load_full();
        if !config.jwt.is_on() {
            return Err(Refused::BadToken("it is not one that this server made"));
        }
        let (shared, public) = (self.0.shared_key.load_full(), self.0.public_keys.load_full());
        let keys = shared.iter().chain(public.iter());
        let claims = jwt::verify(&config.jwt, keys, now.wall, text).map_err(|rejected| match rejected {
            Rejected::Expired => Refused::TokenExpired,
            Rejected::Bad(reason) => Refused::BadToken(reason),
            Rejected::UnknownKey => {
                self.want_keys(now.steady);
                Refused::BadToken("its key is not known here")
            }
        })?;
        // A name that is shut out here is shut out whoever vouches for it.
        if self.0.accounts.find(&claims.user).await?.is_some_and(|account| account.disabled) {
            return Err(Refused::NotAdmitted);
        }
        Ok(self.foreign(&claims.user, device, &claims.roles, claims.expires_at))
    }

    fn want_keys(&self, now: Instant) {
        let mut wanted_at = self.0.keys_wanted_at.lock();
        if wanted_at.is_some_and(|at| now.saturating_duration_since(at) < KEYS_WANTED_EVERY) {
            return;
        }
        *wanted_at = Some(now);
        drop(wanted_at);
        (self.0.seams.keys_wanted)();
    }

    async fn by_ticket(&self, now: Now, text: &str, device: Option<Arc<str>>) -> Result<Principal, Refused> {
        let taken = self.0.tickets.take(now.wall, text, |kind| kind == TicketKind::Hello).await?;
        let ticket = taken.ok_or(Refused::NotAdmitted)?;
        let expires_at = ticket.expires_at.map(Timestamp::from_millis);
        if expires_at.is_some_and(|at| at <= now.wall) {
            return Err(Refused::TokenExpired);
        }
        let device = device.or_else(|| ticket.device.as_deref().map(Into::into));
        let (marks, given): (Vec<_>, Vec<_>) = ticket.roles.into_iter().partition(|role| role.contains(':'));
        if marks.iter().any(|mark| mark.starts_with(FOREIGN_MARK)) {
            return Ok(self.foreign(&ticket.user, device, &given, expires_at));
        }
        // What was taken from the maker in the meantime, the ticket does not bring back.
        let account = self.open_account(&ticket.user).await?;
        for mark in &marks {
            let id = mark.split_once(':').map_or("", |(_, id)| id);
            let token = self.0.tokens.find(id).await?.ok_or(Refused::NotAdmitted)?;
            self.mark_of(id, &token)?;
        }
        Ok(self.of_account(&ticket.user, device, &account.roles, &marks, expires_at))
    }

    /// The account of this name, if it is not shut out.
    pub(crate) async fn open_account(&self, user: &str) -> Result<Account, Refused> {
        self.0.accounts.find(user).await?.filter(|account| !account.disabled).ok_or(Refused::NotAdmitted)
    }

    fn foreign(
        &self,
        user: &str,
        device: Option<Arc<str>>,
        roles: &[String],
        expires_at: Option<Timestamp>,
    ) -> Principal {
        self.of_account(user, device, roles, &[FOREIGN_MARK.to_owned()], expires_at)
    }

    fn of_account(
        &self,
        user: &str,
        device: Option<Arc<str>>,
        roles: &[String],
        marks: &[String],
        expires_at: Option<Timestamp>,
    ) -> Principal {
        Principal {
            user: user.into(),
            device,
            roles: roles.iter().chain(marks).map(|role| Arc::from(role.as_str())).collect(),
            expires_at,
            rates: self.0.config.load().rates_of(roles),
        }
    }
}

/// Whether nobody vouches for the name.
fn is_stranger(who: &Principal) -> bool {
    *who.user == *ANONYMOUS || who.user.starts_with(GUEST_MARK)
}

/// As much of a name as is looked at and logged.
pub(crate) fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(USER_BYTES_MAX)]
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

    fn may(&self, who: &Principal, action: Action, topic: &Topic) -> bool {
        self.0.policy.load().may(who, action, topic) && self.0.narrowings.may(who, action, topic)
    }

    fn may_filter(&self, who: &Principal, action: Action, filter: &Filter) -> Verdict {
        stricter(
            self.0.policy.load().may_filter(who, action, filter),
            self.0.narrowings.may_filter(who, action, filter),
        )
    }
}
