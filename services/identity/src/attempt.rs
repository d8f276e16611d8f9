//! Attempts to sign in with a password: slow on purpose, and as slow for names that are not there.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_channel::oneshot;
use tracing::warn;
use yizhan_hub::{Peer, Refused};
use yizhan_talk::{Now, Timestamp};

use crate::{
    accounts::Account,
    audit::What,
    devices::NOTED_EVERY,
    identity::{Identity, Inner, cut},
    names::USER_BYTES_MAX,
    password::{self, Hashed},
};

/// Passwords that wait to be hashed; more are asked to come again.
const HASHES_WAITING_MAX: usize = 1_000;

impl Identity {
    /// Checks a password. Takes as long for names that are not there.
    pub(crate) async fn check_password(
        &self,
        now: Now,
        peer: Peer,
        user: &str,
        password: &str,
    ) -> Result<Account, Refused> {
        let name = cut(user);
        self.0.brake.check(now.steady, name, peer.address).map_err(Refused::TooManyAttempts)?;
        let found = if user.len() <= USER_BYTES_MAX { self.0.accounts.find(user).await? } else { None };
        let account = found.filter(|account| !account.disabled);
        let stored = account.as_ref().and_then(Account::hashed);
        let attempt = Attempt { now, peer, user: name.into(), password: password.into(), stored };
        let inner = self.0.clone();
        match (self.compute(move || attempt.judge(&inner)).await?, account) {
            (Judged::Good { rehashed }, Some(account)) => {
                self.note_login(now, user, rehashed, &account).await;
                Ok(account)
            }
            (Judged::Blocked(wait), _) => Err(Refused::TooManyAttempts(wait)),
            (Judged::Wrong { wait }, _) => {
                self.note_failure(now, peer, name, wait).await;
                Err(Refused::NotAdmitted)
            }
            // Nothing stored is never good.
            (Judged::Good { .. }, None) => Err(Refused::NotAdmitted),
        }
    }

    /// Writes down an attempt that failed, and how long the next one has to wait.
    pub(crate) async fn note_failure(&self, now: Now, peer: Peer, name: &str, wait: Option<Duration>) {
        let what = if wait.is_some() { What::LoginBlocked } else { What::LoginFailed };
        let detail = wait.map(|wait| format!("next attempt in {} s", wait.as_secs()));
        self.note(Some(peer), now, name, what, None, detail.as_deref()).await;
    }

    pub(crate) async fn note_login(&self, now: Now, user: &str, rehashed: Option<Hashed>, account: &Account) {
        let last = account.last_login_at.map(Timestamp::from_millis);
        let due = last.is_none_or(|at| now.wall.since(at) >= NOTED_EVERY);
        if (due || rehashed.is_some())
            && let Err(error) = self.0.accounts.note_login(user, now.wall, rehashed.as_ref(), account).await
        {
            warn!(%error, "a sign-in could not be noted");
        }
    }

    /// Hashes a new password.
    pub(crate) async fn hash(&self, password: &str) -> Result<Hashed, Refused> {
        let (config, password) = (self.0.config.load_full(), password.to_owned());
        self.compute(move || Hashed::new(&config, &password)).await
    }

    /// Runs something heavy where it disturbs nobody.
    async fn compute<T: Send + 'static>(
        &self,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refused> {
        if self.0.hashing.fetch_add(1, Relaxed) >= HASHES_WAITING_MAX {
            self.0.hashing.fetch_sub(1, Relaxed);
            return Err(Refused::TooFast(Duration::from_secs(1)));
        }
        let place = Place(self.0.clone());
        let (sender, receiver) = oneshot::channel();
        (self.0.seams.work)(Box::new(move || {
            let result = task();
            drop(place);
            // Whoever asked may have gone.
            drop(sender.send(result));
        }));
        receiver.await.map_err(|_| Refused::Stopping)
    }
}

/// A place in the queue of passwords, given back also when the job is dropped.
struct Place(Arc<Inner>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.hashing.fetch_sub(1, Relaxed);
    }
}

/// A password to be checked.
struct Attempt {
    now: Now,
    peer: Peer,
    user: String,
    password: String,
    stored: Option<Hashed>,
}

enum Judged {
    Good { rehashed: Option<Hashed> },
    Wrong { wait: Option<Duration> },
    Blocked(Duration),
}

impl Attempt {
    fn judge(self, inner: &Inner) -> Judged {
        // Many attempts may have been let in at once: those behind the first failures wait all the same.
        if let Err(wait) = inner.brake.check(self.now.steady, &self.user, self.peer.address) {
            return Judged::Blocked(wait);
        }
        let config = inner.config.load();
        let good = match &self.stored {
            _ if self.password.len() > password::PASSWORD_BYTES_MAX => false,
            Some(stored) => password::matches(&stored.hash, &self.password),
            None => false,
        };
        let quick = self.stored.as_ref().is_none_or(|stored| password::is_quick(&stored.hash));
        if !good && quick && self.password.len() <= password::PASSWORD_BYTES_MAX {
            // The same work, so that the time does not tell which names are there.
            std::hint::black_box(password::hash(config.password, &self.password));
        }
        if !good {
            let wait = inner.brake.failed(self.now.steady, &self.user, self.peer.address, &config.attempts);
            return Judged::Wrong { wait };
        }
        inner.brake.succeeded(&self.user);
        let old = self.stored.is_some_and(|stored| password::is_old(&stored, &config, &self.password));
        Judged::Good { rehashed: old.then(|| Hashed::new(&config, &self.password)) }
    }
}
