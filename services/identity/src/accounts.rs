//! Accounts: who has a name of his own here.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::lock::Mutex as AsyncMutex;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use yizhan_hub::{Store, StoreError, store::Expect};
use yizhan_talk::Timestamp;

use crate::{failure::Failure, names::OWNER, password::Hashed, rows::Rows, secret::Secret};

/// How often a change is tried again when another write to the same account was quicker.
const TRIES_MAX: usize = 8;

/// An account as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) roles: Vec<String>,
    #[serde(default)]
    pub(crate) disabled: bool,
    /// The password's hash; `None` before an invited user has set one.
    pub(crate) password: Option<String>,
    /// What SCRAM needs of it; `None` where it was set before SCRAM was on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scram: Option<String>,
    pub(crate) created_at: u64,
    pub(crate) last_login_at: Option<u64>,
}

impl Account {
    pub(crate) fn new(now: Timestamp, roles: Vec<String>, hashed: Option<Hashed>) -> Self {
        let mut account = Self {
            roles,
            disabled: false,
            password: None,
            scram: None,
            created_at: now.as_millis(),
            last_login_at: None,
        };
        account.keep(hashed.as_ref());
        account
    }

    /// Sets the password, where there is a new one.
    pub(crate) fn keep(&mut self, hashed: Option<&Hashed>) {
        if let Some(Hashed { hash, scram }) = hashed {
            self.password = Some(hash.clone());
            self.scram.clone_from(scram);
        }
    }

    /// What is kept of the password.
    pub(crate) fn hashed(&self) -> Option<Hashed> {
        let scram = self.scram.clone();
        self.password.clone().map(|hash| Hashed { hash, scram })
    }

    pub(crate) fn is_owner(&self) -> bool {
        self.roles.iter().any(|role| role == OWNER)
    }

    /// Whether this account can run the server.
    fn is_active_owner(&self) -> bool {
        self.is_owner() && !self.disabled
    }

    pub(crate) fn view(&self, user: &str) -> AccountView {
        AccountView {
            user: user.into(),
            roles: self.roles.clone(),
            disabled: self.disabled,
            has_password: self.password.is_some(),
            created_at: self.created_at,
            last_login_at: self.last_login_at,
        }
    }
}

/// An account, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountView {
    /// Its name.
    pub user: String,
    /// Its roles.
    pub roles: Vec<String>,
    /// Whether it is shut out.
    pub disabled: bool,
    /// Whether it can sign in with a password.
    pub has_password: bool,
    /// When it was made, ms.
    pub created_at: u64,
    /// When it last signed in with a password or a link, ms; right to within ten minutes.
    pub last_login_at: Option<u64>,
}

/// An account to be made.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// Its name.
    pub user: String,
    /// Its password; without one an invitation is the way in.
    #[serde(default)]
    pub password: Option<Secret<String>>,
    /// In place of a password, the hash of one that another server has made: argon2id as a PHC string, or one
    /// of mosquitto's (`$7$…`, `$6$…`). It is replaced when the user first signs in.
    #[serde(default)]
    pub password_hash: Option<Secret<String>>,
    /// Its roles; `user` where left out.
    #[serde(default)]
    pub roles: Option<Vec<String>>,
}

/// What is to change in an account; what is `None` stays.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountChange {
    /// A new password.
    pub password: Option<Secret<String>>,
    /// All roles it shall have.
    pub roles: Option<Vec<String>>,
    /// Whether it is shut out.
    pub disabled: Option<bool>,
}

/// The table of accounts.
pub(crate) struct Accounts {
    rows: Rows<Account>,
    /// Owners that are not disabled.
    owners: Mutex<BTreeSet<Arc<str>>>,
    /// Held while an account is made, changed or removed, so that two owners can't remove each other.
    changing: AsyncMutex<()>,
}

impl Accounts {
    pub(crate) async fn open(store: &dyn Store) -> Result<Self, StoreError> {
        let rows = Rows::<Account>::open(store, "accounts")?;
        let mut owners = BTreeSet::new();
        rows.each(b"", |key, account| {
            if account.is_active_owner() {
                owners.insert(String::from_utf8_lossy(key).into());
            }
        })
        .await?;
        Ok(Self { rows, owners: Mutex::new(owners), changing: AsyncMutex::new(()) })
    }

    pub(crate) fn has_owner(&self) -> bool {
        !self.owners.lock().is_empty()
    }

    pub(crate) async fn find(&self, user: &str) -> Result<Option<Account>, StoreError> {
        Ok(self.rows.find(user.as_bytes()).await?.map(|(account, _)| account))
    }

    pub(crate) async fn list(
        &self,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<AccountView>, StoreError> {
        let rows = self.rows.scan(b"", after.map(str::as_bytes), most).await?;
        Ok(rows.iter().map(|(key, account)| account.view(&String::from_utf8_lossy(key))).collect())
    }

    /// Makes an account.
    pub(crate) async fn add(&self, user: &str, account: &Account) -> Result<(), Failure> {
        let _changing = self.changing.lock().await;
        match self.rows.put(user.as_bytes(), account, Expect::Absent).await {
            Err(StoreError::Conflict) => Err(Failure::Exists),
            Err(error) => Err(error.into()),
            Ok(()) => {
                self.note(user, Some(account));
                Ok(())
            }
        }
    }

    /// Makes an account an owner's, where no owner is; makes the account where it is not there.
    pub(crate) async fn add_first_owner(&self, user: &str, account: Account) -> Result<Account, Failure> {
        let _changing = self.changing.lock().await;
        if self.has_owner() {
            return Err(Failure::NotAllowed("there is an owner already: ask for an invitation"));
        }
        let account = match self.find(user).await? {
            None => account,
            Some(mut found) => {
                if !found.is_owner() {
                    found.roles.push(OWNER.into());
                }
                found.disabled = false;
                found.keep(account.hashed().as_ref());
                found
            }
        };
        self.rows.put(user.as_bytes(), &account, Expect::Any).await?;
        self.note(user, Some(&account));
        Ok(account)
    }

    /// Changes an account and gives it as it was and as it is.
    pub(crate) async fn change(
        &self,
        user: &str,
        change: impl Fn(&mut Account) -> Result<(), Failure>,
    ) -> Result<(Account, Account), Failure> {
        let _changing = self.changing.lock().await;
        for _ in 0..TRIES_MAX {
            let Some((before, version)) = self.rows.find(user.as_bytes()).await? else {
                return Err(Failure::NotFound("account"));
            };
            let mut after = before.clone();
            change(&mut after)?;
            if !after.is_active_owner() {
                self.keep_an_owner_besides(user)?;
            }
            match self.rows.put(user.as_bytes(), &after, Expect::Version(version)).await {
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
                Ok(()) => {
                    self.note(user, Some(&after));
                    return Ok((before, after));
                }
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Removes an account, where `may` agrees to it as it is.
    pub(crate) async fn remove(
        &self,
        user: &str,
        may: impl Fn(&Account) -> Result<(), Failure>,
    ) -> Result<Account, Failure> {
        let _changing = self.changing.lock().await;
        let account = self.find(user).await?.ok_or(Failure::NotFound("account"))?;
        may(&account)?;
        self.keep_an_owner_besides(user)?;
        self.rows.remove(user.as_bytes(), Expect::Any).await?;
        self.note(user, None);
        Ok(account)
    }

    /// Notes a sign-in, and what is kept of a password from now on. Somebody else's change at the same time wins: this
    /// is noted at the next sign-in then.
    pub(crate) async fn note_login(
        &self,
        user: &str,
        now: Timestamp,
        rehashed: Option<&Hashed>,
        seen: &Account,
    ) -> Result<(), StoreError> {
        let Some((mut account, version)) = self.rows.find(user.as_bytes()).await? else { return Ok(()) };
        if account.password == seen.password {
            account.keep(rehashed);
        }
        account.last_login_at = Some(now.as_millis());
        match self.rows.put(user.as_bytes(), &account, Expect::Version(version)).await {
            Err(StoreError::Conflict) => Ok(()),
            other => other,
        }
    }

    /// # Errors
    /// [`Failure::LastOwner`], where nobody but `user` is an owner.
    fn keep_an_owner_besides(&self, user: &str) -> Result<(), Failure> {
        let owners = self.owners.lock();
        if owners.len() == 1 && owners.contains(user) { Err(Failure::LastOwner) } else { Ok(()) }
    }

    fn note(&self, user: &str, account: Option<&Account>) {
        let mut owners = self.owners.lock();
        if account.is_some_and(Account::is_active_owner) {
            owners.insert(user.into());
        } else {
            owners.remove(user);
        }
    }
}
