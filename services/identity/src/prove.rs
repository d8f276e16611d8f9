//! Coming in with SCRAM: the password is proven and never sent.
//!
//! A name that is not there is answered like one that is, with a salt that is always the same for it, and
//! fails where a wrong password does.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tracing::debug;
use yizhan_hub::{
    Peer, Refused,
    access::{Exchange, Step},
};
use yizhan_talk::Now;

use crate::{
    accounts::Account,
    admit::check_device,
    identity::{Identity, cut},
    names::USER_BYTES_MAX,
    scram::{ITERATIONS_MIN, Malformed, Opening, Pending, Verifier},
};

/// One exchange with one client.
pub(crate) struct Prove {
    identity: Identity,
    peer: Peer,
    device: Option<Arc<str>>,
    stage: Stage,
}

enum Stage {
    /// Nothing was said.
    Silent,
    /// The client has to show its proof.
    Challenged(Box<Challenged>),
    /// It is over, well or not.
    Over,
}

struct Challenged {
    user: String,
    /// The account as it was when its salt was told; `None` where there is none that SCRAM can be used with.
    account: Option<Account>,
    pending: Pending,
}

impl Prove {
    pub(crate) fn new(identity: Identity, peer: Peer, device: Option<Arc<str>>) -> Self {
        Self { identity, peer, device, stage: Stage::Silent }
    }

    async fn challenge(&mut self, now: Now, data: &[u8]) -> Result<Step, Refused> {
        let Self { identity, peer, device, .. } = self;
        check_device(device.as_deref())?;
        identity.tell_flapping().await;
        identity.check_place(now, *peer, device.as_ref())?;
        let opening = Opening::read(data).map_err(|fault| refuse(*peer, fault))?;
        let user = opening.user.clone();
        let inner = &identity.0;
        inner.brake.check(now.steady, cut(&user), peer.address).map_err(Refused::TooManyAttempts)?;
        let found = if user.len() <= USER_BYTES_MAX { inner.accounts.find(&user).await? } else { None };
        let kept = |account: Account| Some((Verifier::read(account.scram.as_deref()?)?, account));
        let (verifier, account) = match found.filter(|account| !account.disabled).and_then(kept) {
            Some((verifier, account)) => (verifier, Some(account)),
            None => {
                let iterations = inner.config.load().scram_iterations.max(ITERATIONS_MIN);
                (Verifier::fake(inner.fake_salts.as_bytes(), &user, iterations), None)
            }
        };
        let (challenge, pending) = opening.answer(verifier);
        self.stage = Stage::Challenged(Box::new(Challenged { user, account, pending }));
        Ok(Step::Challenge(challenge.into()))
    }

    async fn prove(&self, now: Now, data: &[u8], challenged: Challenged) -> Result<Step, Refused> {
        let Self { identity, peer, device, .. } = self;
        let Challenged { user, account, pending } = challenged;
        let name = cut(&user);
        let brake = &identity.0.brake;
        // Many exchanges may have been begun at once: those behind the first failures wait all the same.
        brake.check(now.steady, name, peer.address).map_err(Refused::TooManyAttempts)?;
        let checked = pending.check(data).map_err(|fault| refuse(*peer, fault));
        let (Ok(Some(signature)), Some(seen)) = (&checked, account) else {
            let attempts = identity.0.config.load().attempts;
            let wait = brake.failed(now.steady, name, peer.address, &attempts);
            identity.note_failure(now, *peer, name, wait).await;
            return Err(Refused::NotAdmitted);
        };
        // The account may have been shut out or got another password since it was challenged.
        let account = identity.open_account(&user).await?;
        if account.scram != seen.scram {
            return Err(Refused::NotAdmitted);
        }
        brake.succeeded(name);
        let who = identity.of_account(&user, device.clone(), &account.roles, &[], None);
        let principal = identity.arrive(now, *peer, who).await?;
        identity.note_login(now, &user, None, &account).await;
        Ok(Step::Proven { principal, data: Bytes::from(signature.clone()) })
    }
}

impl Exchange for Prove {
    fn step(&mut self, now: Now, data: Bytes) -> BoxFuture<'_, Result<Step, Refused>> {
        Box::pin(async move {
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Silent => self.challenge(now, &data).await,
                Stage::Challenged(challenged) => self.prove(now, &data, *challenged).await,
                Stage::Over => Err(Refused::NotAdmitted),
            }
        })
    }
}

/// What is wrong with a message stands in the log: to the client it is a proof like any other bad one.
fn refuse(peer: Peer, Malformed(reason): Malformed) -> Refused {
    debug!(door = peer.door, reason, "a SCRAM message was refused");
    Refused::NotAdmitted
}
