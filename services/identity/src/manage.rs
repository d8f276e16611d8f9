//! What people do with accounts, tokens and links. Each checks whether the actor may.

mod bans;
mod tokens;

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use yizhan_hub::{Principal, Refused};
use yizhan_talk::{Now, Timestamp};

use crate::{
    accounts::{Account, AccountChange, AccountView, NewAccount},
    audit::What,
    bans::Whom,
    devices::DeviceView,
    failure::Failure,
    identity::{Actor, Identity, SignedIn, administers, owns},
    names::{OWNER, USER, check_roles, check_user, given_roles, has_account, is_narrow, token_of},
    password,
    rules::Rule,
    seams::{Cause, Revoked},
    secret::Secret,
    tickets::{Ticket, TicketKind},
    tokens::{LOGINS_MAX, NewRow, TokenKind},
};

pub use bans::NewBan;

/// How long the first owner's link is good. It is shown only to whoever starts the server.
const OWNER_LINK_FOR: Duration = Duration::from_secs(3600);
/// How long an invitation may be good at most, s.
const INVITATION_SECONDS_MAX: u64 = 7 * 86_400;
/// How short it may be, s.
const INVITATION_SECONDS_MIN: u64 = 60;
/// The first owner's name where nobody gave one.
const FIRST_OWNER: &str = "owner";

const ADMINS_ONLY: Failure = Failure::NotAllowed("only owners and admins may do this");
const OWNERS_ONLY: Failure = Failure::NotAllowed("only owners may do this to an owner");
const TWO_PASSWORDS: Failure = Failure::BadField("give 'password' or 'password_hash', not both");
const NO_ACCOUNT: Failure =
    Failure::NotAllowed("this takes an account of your own, and a token without rules");

/// A sign-in with a link.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkLogin {
    /// What the link has behind `#link=`.
    pub ticket: Secret<String>,
    /// The device's name.
    pub device: Option<String>,
    /// The first owner's name; of no use for other links.
    pub user: Option<String>,
    /// A password for the account.
    pub password: Option<Secret<String>>,
}

/// Somebody to be invited.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// Whom the link signs in.
    pub user: String,
    /// The roles of the account, where it has to be made; `user` where left out.
    pub roles: Option<Vec<String>>,
    /// How long the link is good, s.
    pub expires_in: Option<u64>,
}

/// A token to be made.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is called.
    pub name: String,
    /// How long it is good, s. Left out: as long as the config says; `Some(None)` (null): for ever.
    #[serde(default, deserialize_with = "given")]
    pub expires_in: Option<Option<u64>>,
    /// Rules that narrow what it may do.
    pub rules: Option<Vec<Rule>>,
    /// For whom; the actor where left out.
    pub user: Option<String>,
}

/// Tells `null` from a field that is left out.
fn given<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<u64>>, D::Error> {
    Deserialize::deserialize(from).map(Some)
}

/// Who somebody is, as he sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Me {
    /// The user's name.
    pub user: String,
    /// His roles.
    pub roles: Vec<String>,
    /// When his credentials end, ms.
    pub expires_at: Option<u64>,
    /// Whether he may run the server.
    pub admin: bool,
    /// Whether he has an account here.
    pub account: bool,
    /// Whether it has a password.
    pub has_password: bool,
    /// His devices.
    pub devices: Vec<DeviceView>,
}

// Signing in and out.
impl Identity {
    /// Makes the link for the first owner, while there is none. Links made before are worthless then.
    ///
    /// # Errors
    /// The store fails.
    pub async fn bootstrap(&self, now: Now) -> Result<Option<Secret<String>>, Failure> {
        if self.0.accounts.has_owner() {
            return Ok(None);
        }
        self.0.tickets.remove_owner_links().await?;
        let ticket = Ticket::link(TicketKind::Owner, FIRST_OWNER, now.wall.plus(OWNER_LINK_FOR));
        Ok(self.0.tickets.add(now.wall, &ticket).await?)
    }

    /// Whether there is an owner.
    #[must_use]
    pub fn has_owner(&self) -> bool {
        self.0.accounts.has_owner()
    }

    /// Signs in with a password.
    ///
    /// # Errors
    /// [`Refused::NotAdmitted`], [`Refused::TooManyAttempts`], [`Refused::Banned`]; or the store fails.
    pub async fn login(
        &self,
        now: Now,
        peer: yizhan_hub::Peer,
        user: &str,
        password: &str,
        device: Option<&str>,
    ) -> Result<SignedIn, Failure> {
        let named: Option<Arc<str>> = device.map(Into::into);
        self.check_place(now, peer, named.as_ref())?;
        let account = self.check_password(now, peer, user, password).await?;
        self.check_banned(now, peer, Some(&user.into()), named.as_ref())?;
        let signed_in = self.sign_in(now, user, &account, device).await?;
        self.note(Some(peer), now, user, What::Login, None, device).await;
        Ok(signed_in)
    }

    /// Signs in with a link.
    ///
    /// # Errors
    /// [`Refused::NotAdmitted`] for a link that is wrong, used or too old; [`Refused::Banned`]; the name or the
    /// password is not valid; or the store fails.
    pub async fn login_link(
        &self,
        now: Now,
        peer: yizhan_hub::Peer,
        login: &LinkLogin,
    ) -> Result<SignedIn, Failure> {
        // All that may be wrong with the request is looked at before the link is used up.
        let owner = login.user.as_deref().unwrap_or(FIRST_OWNER);
        check_user(owner)?;
        if let Some(password) = &login.password {
            password::check(password.reveal())?;
        }
        let named: Option<Arc<str>> = login.device.as_deref().map(Into::into);
        self.check_place(now, peer, named.as_ref())?;
        let link = |kind| matches!(kind, TicketKind::Link | TicketKind::Owner);
        // Strangers must not make the server hash passwords.
        if !self.0.tickets.is_good(now.wall, login.ticket.reveal(), link).await? {
            return Err(Refused::NotAdmitted.into());
        }
        let hash = match &login.password {
            Some(password) => Some(self.hash(password.reveal()).await?),
            None => None,
        };
        let taken = self.0.tickets.take(now.wall, login.ticket.reveal(), link).await?;
        let ticket = taken.ok_or(Refused::NotAdmitted)?;
        let device = login.device.as_deref();
        if ticket.kind == TicketKind::Owner {
            let account = Account::new(now.wall, vec![OWNER.into()], hash);
            let account = self.0.accounts.add_first_owner(owner, account).await?;
            self.note(Some(peer), now, owner, What::OwnerCreate, Some(owner), None).await;
            return self.sign_in(now, owner, &account, device).await;
        }
        self.check_banned(now, peer, Some(&ticket.user.as_str().into()), named.as_ref())?;
        let mut account = self.open_account(&ticket.user).await?;
        if hash.is_some() {
            let set = |account: &mut Account| {
                account.keep(hash.as_ref());
                Ok(())
            };
            (_, account) = self.0.accounts.change(&ticket.user, set).await?;
        }
        self.note(Some(peer), now, &ticket.user, What::LoginLink, None, device).await;
        self.sign_in(now, &ticket.user, &account, device).await
    }

    async fn sign_in(
        &self,
        now: Now,
        user: &str,
        account: &Account,
        device: Option<&str>,
    ) -> Result<SignedIn, Failure> {
        let logins = self.0.tokens.of(user).await?.into_iter().filter(|(_, t)| t.kind == TokenKind::Login);
        let (old, good): (Vec<_>, Vec<_>) = logins.partition(|(_, token)| token.is_expired(now.wall));
        let too_many = (good.len() + 1).saturating_sub(LOGINS_MAX);
        for (id, _) in old.iter().chain(good.iter().take(too_many)) {
            self.remove_token(user, id).await?;
        }
        let expires_at = now.wall.plus(self.0.config.load().login_for);
        let new = NewRow {
            user,
            name: device.unwrap_or(""),
            kind: TokenKind::Login,
            now: now.wall,
            expires_at: Some(expires_at),
            rules: None,
        };
        let (_, made) = self.0.tokens.add(new).await?;
        Ok(SignedIn {
            token: made.token,
            user: user.into(),
            roles: account.roles.clone(),
            expires_at: expires_at.as_millis(),
            has_password: account.password.is_some(),
        })
    }

    /// Signs out: the sign-in's token is worth nothing from then on. Other credentials stay as they are.
    ///
    /// # Errors
    /// The store fails.
    pub async fn logout(&self, actor: Actor<'_>) -> Result<(), Failure> {
        let Some(id) = token_of(actor.who) else { return Ok(()) };
        let token = self.0.tokens.find(id).await?;
        if token.is_some_and(|token| token.kind == TokenKind::Login) {
            self.remove_token(&actor.who.user, id).await?;
            self.record(actor, What::Logout, None, None).await;
        }
        Ok(())
    }

    /// Who the actor is.
    ///
    /// # Errors
    /// The store fails.
    pub async fn me(&self, who: &Principal) -> Result<Me, Failure> {
        let account = if has_account(who) { self.0.accounts.find(&who.user).await? } else { None };
        Ok(Me {
            user: who.user.to_string(),
            roles: given_roles(who).map(ToString::to_string).collect(),
            expires_at: who.expires_at.map(Timestamp::as_millis),
            admin: administers(who),
            account: account.is_some(),
            has_password: account.is_some_and(|account| account.password.is_some()),
            devices: if is_narrow(who) { Vec::new() } else { self.0.devices.of(&who.user).await? },
        })
    }

    /// Changes the actor's own password. Other sign-ins, and connections made without the token that the
    /// actor came with, end.
    ///
    /// # Errors
    /// The old password is wrong, the new one not valid; there is no account; or the store fails.
    pub async fn change_password(
        &self,
        actor: Actor<'_>,
        old: Option<&str>,
        new: &str,
    ) -> Result<(), Failure> {
        let user = own_account(actor.who)?;
        password::check(new)?;
        let account = self.open_account(user).await?;
        if account.password.is_some() {
            self.check_password(actor.now, actor.peer, user, old.unwrap_or("")).await?;
        }
        let hash = self.hash(new).await?;
        let set = |now: &mut Account| {
            // Somebody else may have set one in the meantime.
            if now.password.is_some() != account.password.is_some() {
                return Err(Refused::NotAdmitted.into());
            }
            now.keep(Some(&hash));
            Ok(())
        };
        self.0.accounts.change(user, set).await?;
        let keep = token_of(actor.who);
        self.remove_logins(user, keep).await?;
        self.revoke(user, Cause::Password { keep: keep.map(Into::into) });
        self.record(actor, What::PasswordChange, Some(user), None).await;
        Ok(())
    }
}

// Accounts.
impl Identity {
    /// Accounts with names after `after`, in the order of names.
    ///
    /// # Errors
    /// The actor may not, or the store fails.
    pub async fn accounts(
        &self,
        actor: Actor<'_>,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<AccountView>, Failure> {
        admin(actor.who)?;
        Ok(self.0.accounts.list(after, most).await?)
    }

    /// One account and its devices.
    ///
    /// # Errors
    /// There is none, the actor may not, or the store fails.
    pub async fn account(
        &self,
        actor: Actor<'_>,
        user: &str,
    ) -> Result<(AccountView, Vec<DeviceView>), Failure> {
        admin(actor.who)?;
        let account = self.0.accounts.find(user).await?.ok_or(Failure::NotFound("account"))?;
        Ok((account.view(user), self.0.devices.of(user).await?))
    }

    /// Makes an account.
    ///
    /// # Errors
    /// It exists, something about it is not valid, the actor may not, or the store fails.
    pub async fn create_account(&self, actor: Actor<'_>, new: &NewAccount) -> Result<AccountView, Failure> {
        admin(actor.who)?;
        check_user(&new.user)?;
        let roles = new.roles.clone().unwrap_or_else(|| vec![USER.into()]);
        may_give(actor.who, &roles)?;
        if self.0.accounts.find(&new.user).await?.is_some() {
            return Err(Failure::Exists);
        }
        let hash = match (&new.password, &new.password_hash) {
            (Some(_), Some(_)) => return Err(TWO_PASSWORDS),
            (Some(password), None) => {
                password::check(password.reveal())?;
                Some(self.hash(password.reveal()).await?)
            }
            (None, Some(hash)) => Some(password::Hashed::foreign(hash.reveal())?),
            (None, None) => None,
        };
        let account = Account::new(actor.now.wall, roles, hash);
        self.0.accounts.add(&new.user, &account).await?;
        let detail = format!("roles: {}", account.roles.join(", "));
        self.record(actor, What::AccountCreate, Some(&new.user), Some(&detail)).await;
        Ok(account.view(&new.user))
    }

    /// Changes an account. Its connections end; where it is disabled, its tokens are revoked, too.
    ///
    /// # Errors
    /// There is none, it is the last owner, something is not valid, the actor may not, or the store
    /// fails.
    pub async fn change_account(
        &self,
        actor: Actor<'_>,
        user: &str,
        change: &AccountChange,
    ) -> Result<AccountView, Failure> {
        admin(actor.who)?;
        let roles = change.roles.clone();
        if let Some(roles) = &roles {
            may_give(actor.who, roles)?;
        }
        let hash = match &change.password {
            Some(password) => {
                password::check(password.reveal())?;
                Some(self.hash(password.reveal()).await?)
            }
            None => None,
        };
        let apply = |account: &mut Account| {
            may_touch(actor.who, account)?;
            if let Some(roles) = &roles {
                account.roles.clone_from(roles);
            }
            account.keep(hash.as_ref());
            account.disabled = change.disabled.unwrap_or(account.disabled);
            Ok(())
        };
        let (before, after) = self.0.accounts.change(user, apply).await?;
        if after.disabled {
            self.remove_tokens(user).await?;
            self.revoke(user, Cause::Gone);
        } else if before.roles != after.roles || hash.is_some() {
            if hash.is_some() {
                let own = (*actor.who.user == *user).then(|| token_of(actor.who)).flatten();
                self.remove_logins(user, own).await?;
            }
            self.revoke(user, Cause::Changed);
        }
        let detail = described(&before, &after, hash.is_some());
        self.record(actor, What::AccountChange, Some(user), Some(&detail)).await;
        Ok(after.view(user))
    }

    /// Removes an account, its tokens and its devices. Its connections end.
    ///
    /// # Errors
    /// There is none, it is the last owner, the actor may not, or the store fails.
    pub async fn remove_account(&self, actor: Actor<'_>, user: &str) -> Result<(), Failure> {
        admin(actor.who)?;
        self.0.accounts.remove(user, |account| may_touch(actor.who, account)).await?;
        self.remove_tokens(user).await?;
        self.0.devices.forget(user).await?;
        self.revoke(user, Cause::Gone);
        self.record(actor, What::AccountRemove, Some(user), None).await;
        Ok(())
    }

    /// Makes a link that signs `user` in once, and the account where it is not there. Gives the ticket
    /// and when it ends.
    ///
    /// # Errors
    /// Something is not valid, the actor may not, or the store fails.
    pub async fn invite(
        &self,
        actor: Actor<'_>,
        invitation: &Invitation,
    ) -> Result<(Secret<String>, Timestamp), Failure> {
        admin(actor.who)?;
        let user = &invitation.user;
        check_user(user)?;
        let span = match invitation.expires_in {
            None => self.0.config.load().link_for,
            Some(seconds) if (INVITATION_SECONDS_MIN..=INVITATION_SECONDS_MAX).contains(&seconds) => {
                Duration::from_secs(seconds)
            }
            Some(_) => return Err(Failure::BadField("'expires_in' is 60 to 604800 seconds")),
        };
        match self.0.accounts.find(user).await? {
            Some(account) => {
                may_touch(actor.who, &account)?;
                if account.disabled {
                    return Err(Failure::NotAllowed("this account is disabled: enable it first"));
                }
            }
            None => {
                let roles = invitation.roles.clone();
                let new = NewAccount { user: user.clone(), password: None, password_hash: None, roles };
                self.create_account(actor, &new).await?;
            }
        }
        let good_until = actor.now.wall.plus(span);
        let ticket = Ticket::link(TicketKind::Link, user, good_until);
        let made = self.0.tickets.add(actor.now.wall, &ticket).await?;
        let made = made.ok_or(Refused::TooFast(Duration::from_secs(60)))?;
        self.record(actor, What::LinkCreate, Some(user), None).await;
        Ok((made, good_until))
    }
}

impl Identity {
    /// Tells that somebody's credentials are worth less than before.
    fn revoke(&self, user: &str, cause: Cause) {
        (self.0.seams.revoked)(&Revoked { whom: Whom::User(user.into()), cause });
    }
}

fn admin(who: &Principal) -> Result<(), Failure> {
    if administers(who) { Ok(()) } else { Err(ADMINS_ONLY) }
}

/// The actor's own account's name.
fn own_account(who: &Principal) -> Result<&str, Failure> {
    if has_account(who) && !is_narrow(who) { Ok(&who.user) } else { Err(NO_ACCOUNT) }
}

/// Owners are touched by owners only.
fn may_touch(who: &Principal, account: &Account) -> Result<(), Failure> {
    if !account.is_owner() || owns(who) { Ok(()) } else { Err(OWNERS_ONLY) }
}

fn may_give(who: &Principal, roles: &[String]) -> Result<(), Failure> {
    check_roles(roles)?;
    if !roles.iter().any(|role| role == OWNER) || owns(who) { Ok(()) } else { Err(OWNERS_ONLY) }
}

/// What has changed, for the audit log.
fn described(before: &Account, after: &Account, password: bool) -> String {
    let mut parts = Vec::new();
    if before.roles != after.roles {
        parts.push(format!("roles: {} -> {}", before.roles.join(", "), after.roles.join(", ")));
    }
    if before.disabled != after.disabled {
        parts.push(if after.disabled { "disabled".into() } else { "enabled".into() });
    }
    if password {
        parts.push("password".into());
    }
    parts.join("; ")
}
