//! The audit log: who did what, when, from where. A ring in a table: the newest entries stay.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures_util::future;
use serde::{Deserialize, Serialize};
use yizhan_hub::{Store, StoreError, store::Expect};

use crate::rows::{PAGE_ROWS, Rows};

/// What somebody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// The first owner was made.
    #[serde(rename = "owner.create")]
    OwnerCreate,
    /// A sign-in with a password.
    #[serde(rename = "login")]
    Login,
    /// A failed attempt.
    #[serde(rename = "login.failed")]
    LoginFailed,
    /// A failed attempt from which on there is a wait.
    #[serde(rename = "login.blocked")]
    LoginBlocked,
    /// A sign-in with a link.
    #[serde(rename = "login.link")]
    LoginLink,
    /// A sign-out.
    #[serde(rename = "logout")]
    Logout,
    /// A sign-in link was made.
    #[serde(rename = "link.create")]
    LinkCreate,
    /// An account was made.
    #[serde(rename = "account.create")]
    AccountCreate,
    /// An account was changed.
    #[serde(rename = "account.change")]
    AccountChange,
    /// An account was removed.
    #[serde(rename = "account.remove")]
    AccountRemove,
    /// Somebody changed his own password.
    #[serde(rename = "password.change")]
    PasswordChange,
    /// A personal token was made.
    #[serde(rename = "token.create")]
    TokenCreate,
    /// A token was revoked.
    #[serde(rename = "token.revoke")]
    TokenRevoke,
    /// A session was ended by an operator, or by its user from elsewhere.
    #[serde(rename = "session.kick")]
    SessionKick,
    /// A session's connection was ended by an operator, or by its user from elsewhere; the session was not.
    #[serde(rename = "session.disconnect")]
    SessionDisconnect,
    /// A topic's retained value was taken away by an operator.
    #[serde(rename = "retained.clear")]
    RetainedClear,
    /// A message that waited for its time was cancelled by an operator.
    #[serde(rename = "delayed.cancel")]
    DelayedCancel,
    /// An operator began to follow a client, packet by packet.
    #[serde(rename = "trace.start")]
    TraceStart,
    /// Somebody was banned: by an operator, or by the server for coming and going too often.
    #[serde(rename = "ban.create")]
    BanCreate,
    /// A ban was ended by an operator.
    #[serde(rename = "ban.remove")]
    BanRemove,
    /// The config was read again.
    #[serde(rename = "config.reload")]
    ConfigReload,
}

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its number: 1, 2, 3, …; after a failure of the store some may be missing.
    #[serde(default)]
    pub id: u64,
    /// When, ms.
    pub at: u64,
    /// Who did it; for failed sign-ins the name that was tried; `$server` for the server itself.
    pub who: String,
    /// What was done.
    pub what: What,
    /// To whom or what.
    pub subject: Option<String>,
    /// From which address.
    pub address: Option<String>,
    /// By which door.
    pub door: Option<String>,
    /// More about it. Never a secret.
    pub detail: Option<String>,
}

/// The ring.
pub(crate) struct Audit {
    rows: Rows<AuditEntry>,
    newest: AtomicU64,
}

impl Audit {
    pub(crate) async fn open(store: &dyn Store) -> Result<Self, StoreError> {
        let rows = Rows::<AuditEntry>::open(store, "audit")?;
        let newest = newest(&rows).await?;
        Ok(Self { rows, newest: AtomicU64::new(newest) })
    }

    /// Writes an entry, and removes the one that no longer fits.
    pub(crate) async fn add(&self, mut entry: AuditEntry, entries_max: u64) -> Result<(), StoreError> {
        let id = self.newest.fetch_add(1, Relaxed) + 1;
        entry.id = id;
        let (old, new) = (id.saturating_sub(entries_max).to_be_bytes(), id.to_be_bytes());
        let added = self.rows.put(&new, &entry, Expect::Any);
        if id > entries_max {
            let (added, removed) = future::join(added, self.rows.remove(&old, Expect::Any)).await;
            added.and(removed)
        } else {
            added.await
        }
    }

    /// Entries older than `before`, newest first, those about `user` or all.
    pub(crate) async fn page(
        &self,
        before: Option<u64>,
        user: Option<&str>,
        most: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let mut upper = before.unwrap_or(u64::MAX).min(self.newest.load(Relaxed).saturating_add(1));
        let mut found = Vec::new();
        while upper > 1 && found.len() < most {
            // Keys are dense but for failures, so a page of numbers is about a page of rows.
            let lower = upper.saturating_sub(PAGE_ROWS as u64);
            let after = lower.saturating_sub(1).to_be_bytes();
            let page = self.rows.scan(b"", Some(&after), PAGE_ROWS).await?;
            // Below the oldest entry there is nothing more, and the page begins behind it.
            if page.iter().all(|(_, entry)| entry.id >= upper) {
                break;
            }
            let about = |e: &AuditEntry| user.is_none_or(|u| e.who == u || e.subject.as_deref() == Some(u));
            let entries = page.into_iter().map(|(_, entry)| entry).filter(|e| e.id < upper && about(e));
            let mut entries: Vec<_> = entries.collect();
            entries.reverse();
            found.append(&mut entries);
            upper = lower;
        }
        found.truncate(most);
        Ok(found)
    }

    /// Removes what a smaller ring no longer holds.
    pub(crate) async fn sweep(&self, entries_max: u64) -> Result<(), StoreError> {
        let keep_after = self.newest.load(Relaxed).saturating_sub(entries_max);
        loop {
            let page = self.rows.scan(b"", None, PAGE_ROWS).await?;
            let old: Vec<_> = page.into_iter().filter(|(_, entry)| entry.id <= keep_after).collect();
            for (key, _) in &old {
                self.rows.remove(key, Expect::Any).await?;
            }
            if old.len() < PAGE_ROWS {
                return Ok(());
            }
        }
    }
}

/// The greatest number there is: by halving, since tables are read forwards only.
async fn newest(rows: &Rows<AuditEntry>) -> Result<u64, StoreError> {
    let (mut at_least, mut at_most) = (0_u64, u64::MAX);
    while at_least < at_most {
        let middle = at_least + (at_most - at_least) / 2;
        match rows.scan(b"", Some(&middle.to_be_bytes()), 1).await?.first() {
            Some((_, entry)) => at_least = entry.id,
            None => at_most = middle,
        }
    }
    Ok(at_least)
}
