//! What an operator's own programs do: look at everything, act for anybody, tell everybody.

use std::sync::Arc;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use yizhan_hub::{Principal, service::Caller};

use crate::{
    changing::OfMessage,
    content::Content,
    conversation::Info,
    denied::Wrong,
    im::Im,
    load::parsed,
    names::Kind,
    op::{Done, Nothing, Op, admin_op},
    person::Person,
};

/// Rows of a page.
const PAGE_MAX: usize = 1000;
/// People to whom one call sends.
const BROADCAST_MAX: usize = 10_000;
/// Rows read at once where all are looked at.
const ROWS: usize = 4096;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct As {
    /// For whom.
    user: String,
    /// Which operation: `send`, `create`, `add` and so on; not one of `admin/`.
    op: String,
    /// What is said with it.
    #[serde(default)]
    data: Option<Value>,
}

/// What the operation answered.
#[derive(Debug, Serialize, JsonSchema)]
struct Answered {
    /// The answer.
    data: Value,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Paged {
    /// Go on behind an earlier answer: its `next`.
    after: Option<String>,
    /// At most, up to 1000; 100 where nothing is said.
    limit: Option<usize>,
}

/// People who have used conversations.
#[derive(Debug, Serialize, JsonSchema)]
struct Users {
    /// In the order of names.
    users: Vec<User>,
    /// For `after` of the next question; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A person, for operators.
#[derive(Debug, Serialize, JsonSchema)]
struct User {
    /// The account's name.
    user: String,
    /// What they are called.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Their own name, by which they are found.
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<String>,
    /// Whether they are here.
    online: bool,
    /// When they were here last, milliseconds since 1970.
    last_seen: u64,
    /// How many friends they have.
    friends: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    /// In the order of ids.
    conversations: Vec<Shown>,
    /// For `after` of the next question; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A conversation, for operators.
#[derive(Debug, Serialize, JsonSchema)]
struct Shown {
    /// Its id.
    id: String,
    /// What it is.
    kind: Kind,
    /// What it is called.
    title: String,
    /// Whose it is; empty for direct conversations.
    owner: Arc<str>,
    /// The two of a direct conversation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pair: Vec<Arc<str>>,
    /// How many members there are.
    members: u64,
    /// When it was made, milliseconds since 1970.
    created_at: u64,
    /// When it was dismissed, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    dismissed_at: Option<u64>,
}

/// To whom something is sent; what is named narrows it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Broadcast {
    /// By whom: each gets it in the direct conversation with this person.
    from: String,
    /// What.
    content: Content,
    /// Only these people.
    users: Option<Vec<String>>,
    /// Only people who are here.
    #[serde(default)]
    online: bool,
    /// Only people whose profile has these attributes.
    attributes: Option<serde_json::Map<String, Value>>,
    /// Sent again with the same id, nobody gets it twice.
    id: String,
    /// Go on behind an earlier answer: its `next`.
    after: Option<String>,
}

/// What became of it.
#[derive(Debug, Serialize, JsonSchema)]
struct Sent {
    /// How many got it.
    sent: usize,
    /// Who did not, and why; at most 100 are named.
    failed: Vec<Failed>,
    /// There are more people: for `after` of the next call. Left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Somebody did not get it.
#[derive(Debug, Serialize, JsonSchema)]
struct Failed {
    /// Who.
    user: Arc<str>,
    /// Why.
    reason: String,
}

/// Figures, at this moment.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct Stats {
    /// People who have used conversations.
    users: u64,
    /// People who are here.
    online: u64,
    /// Direct conversations.
    direct: u64,
    /// Groups.
    groups: u64,
    /// Channels.
    channels: u64,
    /// Chatrooms.
    rooms: u64,
    /// Memberships.
    memberships: u64,
    /// Files.
    files: u64,
    /// Reports that wait.
    reports_open: u64,
    /// Messages and events that are kept.
    records: u64,
    /// Bytes of them on disk.
    bytes: u64,
    /// Memberships in memory.
    memory_memberships: u64,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        admin_op(
            "admin/as",
            "Does anything in somebody's name: sends, makes groups, changes members.",
            |im: Im, caller: Caller, input: As| async move { im.act_as(&caller, input).await },
        ),
        admin_op(
            "admin/users",
            "People who have used conversations.",
            |im: Im, _: Caller, input: Paged| async move { im.users(input).await },
        ),
        admin_op("admin/conversations", "All conversations.", |im: Im, _: Caller, input: Paged| async move {
            im.all_conversations(input).await
        }),
        admin_op(
            "admin/broadcast",
            "Sends a message to many people, each in a conversation of their own.",
            |im: Im, caller: Caller, input: Broadcast| async move { im.broadcast(&caller, input).await },
        ),
        admin_op(
            "admin/recall",
            "Takes a message back, whoever sent it and whenever.",
            |im: Im, caller: Caller, input: OfMessage| async move {
                let conversation = im.conversation(&input.conversation).await?;
                let record = im.record(&conversation, input.seq).await?;
                im.take_back(&conversation, &record, &caller.sender(), |_| Ok(())).await?;
                Ok(Done {})
            },
        ),
        admin_op("admin/stats", "Figures, at this moment.", |im: Im, _: Caller, _: Nothing| async move {
            im.stats().await
        }),
    ]
}

impl Im {
    /// Somebody, as if they asked themselves over the operator's connection.
    pub(crate) fn caller_as(&self, caller: &Caller, user: Arc<str>) -> Caller {
        let who = Principal {
            user,
            device: Some("admin".into()),
            roles: Arc::default(),
            expires_at: None,
            rates: yizhan_hub::access::Rates::default(),
        };
        Caller { who: Arc::new(who), ..caller.clone() }
    }

    async fn act_as(&self, caller: &Caller, input: As) -> Result<Answered, Wrong> {
        if input.op.starts_with("admin/") {
            return Err(Wrong::NotAllowed("operations of admins are asked for themselves"));
        }
        let user = self.somebody(&input.user).await?.user.clone();
        tracing::info!(admin = &*caller.who.user, user = &*user, op = input.op, "an admin acts for somebody");
        let body = input.data.map(|data| Bytes::from(data.to_string())).unwrap_or_default();
        let told = self.clone().run(self.caller_as(caller, user), format!("im/{}", input.op).into(), body);
        // An operation may take this one's place on the stack: it is the same kind of future.
        let told: futures_util::future::BoxFuture<'static, _> = Box::pin(told);
        let told = told.await?;
        Ok(Answered { data: serde_json::from_slice(&told).unwrap_or_default() })
    }

    /// Rows with a prefix, and where to go on.
    async fn page(
        &self,
        prefix: &str,
        input: &Paged,
    ) -> Result<(Vec<(String, Bytes)>, Option<String>), Wrong> {
        let limit = input.limit.unwrap_or(100).clamp(1, PAGE_MAX);
        let after = input.after.as_ref().map(|after| format!("{prefix}{after}"));
        let after = after.as_ref().map(String::as_bytes);
        let rows = self.inner.ledger.table().scan(prefix.as_bytes(), after, limit + 1).await?;
        let more = rows.len() > limit;
        let name =
            |key: &Bytes| String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default()).into_owned();
        let rows: Vec<_> = rows.into_iter().take(limit).map(|(key, value)| (name(&key), value)).collect();
        let next = rows.last().filter(|_| more).map(|(name, _)| name.clone());
        Ok((rows, next))
    }

    async fn users(&self, input: Paged) -> Result<Users, Wrong> {
        let (rows, next) = self.page("p/", &input).await?;
        let mut users = Vec::with_capacity(rows.len());
        for (user, row) in rows {
            let person: Person = parsed(user.as_bytes(), &row)?;
            users.push(User {
                online: self.inner.online.is_here(&user),
                user,
                name: person.name,
                handle: person.handle,
                last_seen: person.last_seen,
                friends: person.friends.len(),
            });
        }
        Ok(Users { users, next })
    }

    async fn all_conversations(&self, input: Paged) -> Result<Listed, Wrong> {
        let (rows, next) = self.page("c/", &input).await?;
        let mut conversations = Vec::with_capacity(rows.len());
        for (id, row) in rows {
            let info: Info = parsed(id.as_bytes(), &row)?;
            conversations.push(Shown {
                id,
                kind: info.kind,
                title: info.title,
                owner: info.owner,
                pair: info.pair,
                members: info.members,
                created_at: info.created_at,
                dismissed_at: (info.dismissed_at > 0).then_some(info.dismissed_at),
            });
        }
        Ok(Listed { conversations, next })
    }

    async fn broadcast(&self, caller: &Caller, input: Broadcast) -> Result<Sent, Wrong> {
        let Broadcast { from, mut content, users, online, attributes, id, after } = input;
        content.id = Some(id);
        content.check()?;
        let from = self.somebody(&from).await?.user.clone();
        let (users, next): (Vec<Arc<str>>, _) = match users {
            Some(users) if users.len() > BROADCAST_MAX => {
                return Err(Wrong::TooMany { what: "users", max: BROADCAST_MAX });
            }
            Some(users) => (users.into_iter().map(Arc::from).collect(), None),
            None => {
                let (rows, next) = self.page("p/", &Paged { after, limit: Some(PAGE_MAX) }).await?;
                (rows.into_iter().map(|(user, _)| user.into()).collect(), next)
            }
        };
        let people = self.persons(&users).await?;
        let wanted = |known: &Arc<crate::person::Known>| {
            let person = known.lock();
            let has = |(name, value): (&String, &Value)| person.attributes.get(name) == Some(value);
            attributes.as_ref().is_none_or(|wanted| wanted.iter().all(has))
                && (!online || self.inner.online.is_here(&known.user))
                && known.user != from
        };
        let (mut sent, mut failed) = (0, Vec::new());
        let as_from = self.caller_as(caller, from.clone());
        for known in people.iter().filter(|known| wanted(known)) {
            match self.send_to(&as_from, &known.user, content.clone()).await {
                Ok(()) => sent += 1,
                Err(wrong) if failed.len() < 100 => {
                    failed.push(Failed { user: known.user.clone(), reason: wrong.to_string() });
                }
                Err(_) => {}
            }
        }
        Ok(Sent { sent, failed, next })
    }

    async fn stats(&self) -> Result<Stats, Wrong> {
        let mut stats = Stats { online: self.inner.online.len() as u64, ..Stats::default() };
        for (prefix, place) in [
            ("p/", &mut stats.users),
            ("m/", &mut stats.memberships),
            ("f/", &mut stats.files),
            ("rp/o/", &mut stats.reports_open),
        ] {
            *place = self.count(prefix, |_| {}).await?;
        }
        let mut kinds = [0_u64; 4];
        self.count("c/", |id| match Kind::of_id(id) {
            Some(Kind::Direct) => kinds[0] += 1,
            Some(Kind::Group) => kinds[1] += 1,
            Some(Kind::Channel) => kinds[2] += 1,
            Some(Kind::Room) => kinds[3] += 1,
            None => {}
        })
        .await?;
        [stats.direct, stats.groups, stats.channels, stats.rooms] = kinds;
        if let Some(journal) = self.inner.hub.journal(&crate::names::messages("g00000000000")) {
            let figures = journal.figures();
            (stats.records, stats.bytes) = (figures.records, figures.bytes);
        }
        stats.memory_memberships = self.inner.conversations.members() as u64;
        Ok(stats)
    }

    /// How many rows begin with this; each is shown by the rest of its key.
    async fn count(&self, prefix: &str, mut each: impl FnMut(&str)) -> Result<u64, Wrong> {
        let (mut count, mut after) = (0, None::<Bytes>);
        loop {
            let rows = self.inner.ledger.table().scan(prefix.as_bytes(), after.as_deref(), ROWS).await?;
            count += rows.len() as u64;
            for (key, _) in &rows {
                each(key.get(prefix.len()..).and_then(|k| std::str::from_utf8(k).ok()).unwrap_or_default());
            }
            match rows.last() {
                Some((last, _)) if rows.len() == ROWS => after = Some(last.clone()),
                _ => return Ok(count),
            }
        }
    }
}
