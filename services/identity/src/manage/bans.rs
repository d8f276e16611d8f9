//! Bans that operators make and end.

use std::time::Duration;

use serde::Deserialize;
use yizhan_talk::Timestamp;

use super::{admin, may_touch};
use crate::{
    audit::What,
    bans::{Ban, Whom},
    failure::Failure,
    identity::{Actor, Identity},
    seams::{Cause, Revoked},
};

/// How long a ban may last at most, s, where it is not for ever: 100 years.
const BAN_SECONDS_MAX: u64 = 100 * 366 * 86_400;
/// Bytes of a ban's reason.
const REASON_BYTES_MAX: usize = 200;
/// The reason where nobody gave one.
const NO_REASON: &str = "by an operator";

/// Somebody to be kept out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBan {
    /// Whom: `user:NAME`, `device:NAME`, `client:USER/DEVICE` or `address:RANGE`.
    pub whom: Whom,
    /// Why; the client is told.
    #[serde(default)]
    pub reason: Option<String>,
    /// For how long, s; for ever where left out.
    #[serde(default)]
    pub expires_in: Option<u64>,
}

impl Identity {
    /// Bans after `after` (the text of [`Whom`]), in the order of their texts.
    ///
    /// # Errors
    /// The actor may not.
    pub fn bans(&self, actor: Actor<'_>, after: Option<&str>, most: usize) -> Result<Vec<Ban>, Failure> {
        admin(actor.who)?;
        Ok(self.0.bans.list(actor.now.wall, after, most))
    }

    /// Keeps somebody out from now on, and ends the connections that are there. A ban for the same is
    /// replaced.
    ///
    /// # Errors
    /// It would keep the actor out, or an owner while the actor is none; something is not valid; the actor
    /// may not; or the store fails.
    pub async fn ban(&self, actor: Actor<'_>, new: &NewBan) -> Result<Ban, Failure> {
        admin(actor.who)?;
        let Actor { who, peer, now } = actor;
        if new.whom.means(who, peer.address) {
            return Err(Failure::NotAllowed("this ban would keep you out yourself"));
        }
        if let Whom::User(user) | Whom::Client { user, .. } = &new.whom
            && let Some(account) = self.0.accounts.find(user).await?
        {
            may_touch(who, &account)?;
        }
        let reason = new.reason.as_deref().filter(|reason| !reason.is_empty()).unwrap_or(NO_REASON);
        if reason.len() > REASON_BYTES_MAX || reason.contains(char::is_control) {
            return Err(Failure::BadField("'reason' has at most 200 bytes and no control characters"));
        }
        let until = match new.expires_in {
            None => None,
            Some(seconds) if (1..=BAN_SECONDS_MAX).contains(&seconds) => {
                Some(now.wall.plus(Duration::from_secs(seconds)))
            }
            Some(_) => return Err(Failure::BadField("'expires_in' is 1 second to 100 years")),
        };
        let ban = Ban {
            whom: new.whom.clone(),
            reason: reason.into(),
            by: who.user.to_string(),
            at: now.wall.as_millis(),
            until: until.map(Timestamp::as_millis),
        };
        self.0.bans.add(now.wall, ban.clone()).await?;
        (self.0.seams.revoked)(&Revoked { whom: ban.whom.clone(), cause: Cause::Banned });
        self.record(actor, What::BanCreate, Some(&ban.whom.to_string()), Some(reason)).await;
        Ok(ban)
    }

    /// Ends a ban.
    ///
    /// # Errors
    /// There is none, the actor may not, or the store fails.
    pub async fn unban(&self, actor: Actor<'_>, whom: &Whom) -> Result<(), Failure> {
        admin(actor.who)?;
        if !self.0.bans.remove(actor.now.wall, whom).await? {
            return Err(Failure::NotFound("ban"));
        }
        self.record(actor, What::BanRemove, Some(&whom.to_string()), None).await;
        Ok(())
    }
}
