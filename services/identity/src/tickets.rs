//! Tickets and sign-in links: random, good once and not for long, kept by their SHA-256.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use serde::{Deserialize, Serialize};
use yizhan_hub::{Store, StoreError, store::Expect};
use yizhan_talk::Timestamp;

use crate::{random, rows::Rows, secret::Secret};

/// Tickets that are made between two rounds of clearing away the expired ones.
const MADE_BETWEEN_SWEEPS: usize = 1_000;
/// Tickets that are good at the same time; more are refused.
const TICKETS_MAX: usize = 100_000;

/// What a ticket opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TicketKind {
    /// One hello, as the one who made it.
    Hello,
    /// One sign-in of a user.
    Link,
    /// The first owner's sign-in.
    Owner,
}

/// A ticket as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ticket {
    pub(crate) kind: TicketKind,
    pub(crate) user: String,
    pub(crate) device: Option<String>,
    /// The maker's roles, marks included; empty for links, which take them from the account.
    pub(crate) roles: Vec<String>,
    /// When the maker's own credentials end, ms.
    pub(crate) expires_at: Option<u64>,
    /// Until when it opens, ms.
    good_until: u64,
}

impl Ticket {
    pub(crate) fn link(kind: TicketKind, user: &str, good_until: Timestamp) -> Self {
        Self {
            kind,
            user: user.into(),
            device: None,
            roles: Vec::new(),
            expires_at: None,
            good_until: good_until.as_millis(),
        }
    }

    pub(crate) fn hello(
        user: &str,
        device: Option<&str>,
        roles: Vec<String>,
        expires_at: Option<Timestamp>,
        good_until: Timestamp,
    ) -> Self {
        Self {
            device: device.map(Into::into),
            roles,
            expires_at: expires_at.map(Timestamp::as_millis),
            ..Self::link(TicketKind::Hello, user, good_until)
        }
    }
}

/// The table of tickets.
pub(crate) struct Tickets {
    rows: Rows<Ticket>,
    made: AtomicUsize,
    good: AtomicUsize,
}

impl Tickets {
    pub(crate) fn open(store: &dyn Store) -> Result<Self, StoreError> {
        Ok(Self { rows: Rows::open(store, "tickets")?, made: AtomicUsize::new(0), good: AtomicUsize::new(0) })
    }

    /// Makes a ticket; `None` where too many are good already.
    pub(crate) async fn add(
        &self,
        now: Timestamp,
        ticket: &Ticket,
    ) -> Result<Option<Secret<String>>, StoreError> {
        if self.made.fetch_add(1, Relaxed) >= MADE_BETWEEN_SWEEPS {
            self.sweep(now).await?;
        }
        if self.good.load(Relaxed) + self.made.load(Relaxed) > TICKETS_MAX {
            return Ok(None);
        }
        let text = random::letters(random::SECRET_CHARS);
        self.rows.put(random::fingerprint(&text).as_bytes(), ticket, Expect::Absent).await?;
        Ok(Some(text.into()))
    }

    /// Whether a ticket could be taken now. Costs nothing but a look, so that what is dear can come
    /// between this and [`take`](Self::take).
    pub(crate) async fn is_good(
        &self,
        now: Timestamp,
        text: &str,
        fits: impl Fn(TicketKind) -> bool,
    ) -> Result<bool, StoreError> {
        let found = self.find(text).await?;
        Ok(found.is_some_and(|(_, ticket, _)| fits(ticket.kind) && ticket.good_until > now.as_millis()))
    }

    /// Takes a ticket, if it is of a kind that `fits`: of several who try, one gets it.
    pub(crate) async fn take(
        &self,
        now: Timestamp,
        text: &str,
        fits: impl Fn(TicketKind) -> bool,
    ) -> Result<Option<Ticket>, StoreError> {
        let Some((key, ticket, version)) = self.find(text).await? else { return Ok(None) };
        if !fits(ticket.kind) {
            return Ok(None);
        }
        match self.rows.remove(key.as_bytes(), Expect::Version(version)).await {
            Err(StoreError::Conflict) => Ok(None),
            Err(error) => Err(error),
            Ok(()) => Ok(Some(ticket).filter(|t| t.good_until > now.as_millis())),
        }
    }

    /// A ticket, its key and its version.
    async fn find(&self, text: &str) -> Result<Option<(String, Ticket, u64)>, StoreError> {
        if text.len() != random::SECRET_CHARS {
            return Ok(None);
        }
        let key = random::fingerprint(text);
        Ok(self.rows.find(key.as_bytes()).await?.map(|(ticket, version)| (key, ticket, version)))
    }

    /// Clears away what has expired.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        self.made.store(0, Relaxed);
        let good = self.remove_where(|ticket| ticket.good_until <= now.as_millis()).await?;
        self.good.store(good, Relaxed);
        Ok(())
    }

    /// Makes all links for a first owner worthless.
    pub(crate) async fn remove_owner_links(&self) -> Result<(), StoreError> {
        self.remove_where(|ticket| ticket.kind == TicketKind::Owner).await.map(|_| ())
    }

    /// Removes tickets; how many stay.
    async fn remove_where(&self, goes: impl Fn(&Ticket) -> bool) -> Result<usize, StoreError> {
        let (mut removed, mut stay) = (Vec::new(), 0);
        self.rows
            .each(b"", |key, ticket| if goes(&ticket) { removed.push(key.to_vec()) } else { stay += 1 })
            .await?;
        for key in removed {
            self.rows.remove(&key, Expect::Any).await?;
        }
        Ok(stay)
    }
}
