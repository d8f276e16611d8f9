//! The ways in: who comes with which credentials, and as whom.

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use tracing::{debug, warn};
use yizhan_hub::{Credentials, Peer, Principal, Refused};
use yizhan_talk::{Now, Timestamp};

use crate::{
    accounts::Account,
    config::{Certificates, Entry},
    devices::NOTED_EVERY,
    identity::{Identity, cut},
    jwt::{self, Rejected},
    names::{
        ANONYMOUS, DEVICE_BYTES_MAX, FOREIGN_MARK, GUEST, GUEST_MARK, LOCAL, NARROW_MARK, OWNER, TOKEN_MARK,
        USER, check_foreign, check_user,
    },
    random::fingerprint,
    tickets::TicketKind,
    tokens::{self, TOKEN_PREFIX, Token},
};

/// How often new keys are asked for at most, when a token names one that is not known.
const KEYS_WANTED_EVERY: Duration = Duration::from_secs(60);
/// Tokens with rules of their own whose rules are in memory. A token beyond is refused.
const NARROWINGS_MAX: usize = 1_000_000;
/// User names beside a token that name nobody.
const NO_USERS: [&str; 3] = ["", "token", "jwt"];
const UNKNOWN_KEY: Refused = Refused::BadToken("its key is not known here");

impl Identity {
    pub(crate) async fn come_in(
        self,
        now: Now,
        peer: Peer,
        credentials: Credentials,
        device: Option<Arc<str>>,
    ) -> Result<Principal, Refused> {
        check_device(device.as_deref())?;
        self.tell_flapping().await;
        let who = if self.is_local(peer, &credentials) {
            self.foreign(LOCAL, device, &[OWNER.into()], None)
        } else {
            self.check_place(now, peer, device.as_ref())?;
            self.identify(now, peer, credentials, device).await?
        };
        self.arrive(now, peer, who).await
    }

    /// Says who comes with these credentials.
    async fn identify(
        &self,
        now: Now,
        peer: Peer,
        credentials: Credentials,
        device: Option<Arc<str>>,
    ) -> Result<Principal, Refused> {
        match credentials {
            Credentials::None => self.stranger(device),
            Credentials::Password { user, password } if password.is_empty() && self.takes_guests() => {
                self.guest(&user, device)
            }
            Credentials::Password { user, password } if self.is_like_token(&password) => {
                self.by_token_as_password(now, peer, &user, &password, device).await
            }
            Credentials::Password { user, password } => {
                let account = self.check_password(now, peer, &user, &password).await?;
                Ok(self.of_account(&user, device, &account.roles, &[], None))
            }
            Credentials::Token(text) => self.by_any_token(now, &text, device).await,
            Credentials::Ticket(text) => self.by_ticket(now, &text, device).await,
            Credentials::Certificate { user } => self.by_certificate(&user, device).await,
            // The hub puts in who was proven; one that comes here was not.
            Credentials::Proven => Err(Refused::NotAdmitted),
        }
    }

    /// What is the same for all who are let in.
    pub(crate) async fn arrive(&self, now: Now, peer: Peer, who: Principal) -> Result<Principal, Refused> {
        if *who.user != *LOCAL {
            self.check_banned(now, peer, Some(&who.user), who.device.as_ref())?;
        }
        if let Some(device) = who.device.as_deref().filter(|_| !is_stranger(&who))
            && let Err(error) = self.0.devices.note(now, peer, &who.user, device).await
        {
            // Whoever may come in comes in, also while the disk is full.
            warn!(%error, "a device could not be noted");
        }
        debug!(user = %who.user, door = peer.door, "admitted");
        Ok(who)
    }

    /// Refuses who is banned whoever he is, before anything is computed for him.
    pub(crate) fn check_place(&self, now: Now, peer: Peer, device: Option<&Arc<str>>) -> Result<(), Refused> {
        self.check_banned(now, peer, None, device)
    }

    /// Refuses who is banned.
    pub(crate) fn check_banned(
        &self,
        now: Now,
        peer: Peer,
        user: Option<&Arc<str>>,
        device: Option<&Arc<str>>,
    ) -> Result<(), Refused> {
        match self.0.bans.find(now.wall, user, device, peer.address) {
            Some(ban) => Err(Refused::Banned(ban.reason.as_str().into())),
            None => Ok(()),
        }
    }

    /// Whether this is the token that the server left for tools on this machine.
    fn is_local(&self, peer: Peer, credentials: &Credentials) -> bool {
        let text = match credentials {
            Credentials::Token(text) => text,
            Credentials::Password { user, password } if NO_USERS.contains(&&**user) => password,
            _ => return false,
        };
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
        // All of them share one name and one list of roles: there may be very many.
        let (user, roles) = STRANGER.clone();
        let rates = self.0.config.load().rates_of(&[ANONYMOUS]);
        Ok(Principal { user, device, roles, expires_at: None, rates })
    }

    /// A guest has a name that nobody checks, and `guest:` before it, so that it is nobody else's.
    fn guest(&self, name: &str, device: Option<Arc<str>>) -> Result<Principal, Refused> {
        check_user(name).map_err(|_| Refused::NotAdmitted)?;
        Ok(self.foreign(&format!("{GUEST_MARK}{name}"), device, &[GUEST.into()], None))
    }

    /// Whether a password is rather a token: clients that can send only user and password put it there.
    fn is_like_token(&self, password: &str) -> bool {
        tokens::is_like_one(password) || (self.0.config.load().jwt.is_on() && jwt::is_like_one(password))
    }

    /// A token in place of a password. The user has to be the token's own, or one that says nothing: empty,
    /// `token` or `jwt`.
    async fn by_token_as_password(
        &self,
        now: Now,
        peer: Peer,
        user: &str,
        text: &str,
        device: Option<Arc<str>>,
    ) -> Result<Principal, Refused> {
        let name = Some(cut(user)).filter(|name| !NO_USERS.contains(name));
        self.0.brake.check_at(now.steady, name, peer.address).map_err(Refused::TooManyAttempts)?;
        let refused = match self.by_any_token(now, text, device).await {
            Ok(who) if name.is_none_or(|name| *name == *who.user) => return Ok(who),
            Ok(_) => Refused::NotAdmitted,
            Err(refused) => refused,
        };
        // A good token that has ended and one whose key is still to come are no attempts to guess.
        if matches!(refused, Refused::NotAdmitted | Refused::BadToken(_)) && refused != UNKNOWN_KEY {
            let attempts = self.0.config.load().attempts;
            let wait = self.0.brake.failed_at(now.steady, name, peer.address, &attempts);
            self.note_failure(now, peer, name.unwrap_or("token"), wait).await;
        }
        Err(refused)
    }

    async fn by_any_token(
        &self,
        now: Now,
        text: &str,
        device: Option<Arc<str>>,
    ) -> Result<Principal, Refused> {
        if text.starts_with(TOKEN_PREFIX) {
            self.by_token(now, text, device).await
        } else {
            self.by_jwt(now, text, device).await
        }
    }

    /// The listener has verified the certificate, and the door has taken the name out of it.
    async fn by_certificate(&self, user: &str, device: Option<Arc<str>>) -> Result<Principal, Refused> {
        check_foreign(user).map_err(|_| Refused::NotAdmitted)?;
        match (self.0.accounts.find(user).await?, self.0.config.load().certificates) {
            (Some(account), _) if !account.disabled => {
                Ok(self.of_account(user, device, &account.roles, &[], None))
            }
            (None, Certificates::Any) => Ok(self.foreign(user, device, &[USER.into()], None)),
            _ => Err(Refused::NotAdmitted),
        }
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
                UNKNOWN_KEY
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

    pub(crate) fn of_account(
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

/// A name and its roles.
type Named = (Arc<str>, Arc<[Arc<str>]>);

/// The name and the roles of clients that show nothing.
static STRANGER: LazyLock<Named> =
    LazyLock::new(|| (ANONYMOUS.into(), [ANONYMOUS, FOREIGN_MARK].map(Arc::from).into()));

/// Whether nobody vouches for the name.
fn is_stranger(who: &Principal) -> bool {
    *who.user == *ANONYMOUS || who.user.starts_with(GUEST_MARK)
}

/// Refuses a device's name that is too long, or empty.
pub(crate) fn check_device(device: Option<&str>) -> Result<(), Refused> {
    match device {
        Some(name) if name.is_empty() || name.len() > DEVICE_BYTES_MAX => {
            Err(Refused::BadName(yizhan_hub::topic::BadName::TooLong))
        }
        _ => Ok(()),
    }
}
