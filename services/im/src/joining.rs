//! Coming in by oneself: where it is open, by a link, after an invitation, or by asking.

use std::sync::Arc;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yizhan_hub::service::Caller;

use crate::{
    conversation::{Conversation, Info, Join, Link, Request, State, info_key},
    denied::Wrong,
    entry::Entry,
    groups::{check_text, whole},
    im::Im,
    ledger::Row,
    load::parsed,
    member::Role,
    members::{come_in, is_banned, may_bring},
    names::Kind,
    op::{Done, Nothing, OfConversation, Op, op},
};

/// People who ask to come in, at once.
const REQUESTS_MAX: usize = 500;
/// Bytes of what they say.
const REQUEST_BYTES_MAX: usize = 512;
/// Invitations that one is shown.
const INVITATIONS_SHOWN: usize = 1000;
/// Links of one conversation.
const LINKS_MAX: usize = 50;
/// How long a link may last: a year.
const LINK_SECONDS_MAX: u64 = 366 * 86_400;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct JoinIn {
    /// Which conversation; or `link`.
    conversation: Option<String>,
    /// The link that one was given.
    link: Option<String>,
    /// What one says to those who decide; at most 512 bytes.
    text: Option<String>,
}

/// What became of it.
#[derive(Debug, Serialize, JsonSchema)]
struct Joined {
    /// One is in it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    joined: bool,
    /// One has asked; an admin decides.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    requested: bool,
    /// The conversation, where one is in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<Entry>,
}

/// Somebody who asks to come in.
#[derive(Debug, Serialize, JsonSchema)]
struct Asking {
    /// Who.
    user: Arc<str>,
    /// What they say.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// When, milliseconds since 1970.
    at: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Requests {
    /// In the order of names.
    requests: Vec<Asking>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Decide {
    /// In which conversation.
    conversation: String,
    /// Who asked.
    user: String,
    /// Whether they come in.
    accept: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewLink {
    /// To which conversation.
    conversation: String,
    /// Seconds after which it is no good any more; at most a year.
    expires_s: Option<u64>,
    /// How many may use it.
    uses: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct LinkMade {
    /// For `join`. Whoever has it comes in.
    link: String,
}

/// One may come into a conversation.
#[derive(Debug, Serialize, JsonSchema)]
struct InvitedTo {
    /// Which one: `join` takes it, `decline` does not.
    conversation: Arc<str>,
    /// What it is.
    kind: Kind,
    /// What it is called.
    title: String,
    /// How many are in it.
    members: u64,
    /// Who wants one there.
    by: Arc<str>,
    /// Since when, milliseconds since 1970.
    at: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Invitations {
    /// In the order of ids; at most 1000.
    invitations: Vec<InvitedTo>,
}

/// How somebody comes in.
enum Way {
    In,
    Ask,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        whole(
            "join",
            "Comes into a group, or asks to; by a link where one has one.",
            |im: Im, caller: Caller, input: JoinIn| async move { im.join(caller, input).await },
        ),
        op(
            "requests",
            "Who asks to come in; for admins.",
            |im: Im, caller: Caller, input: OfConversation| async move { im.requests(caller, input).await },
        ),
        op(
            "invitations",
            "Where one was invited to come in.",
            |im: Im, caller: Caller, _: Nothing| async move { im.invitations(caller).await },
        ),
        whole(
            "decline",
            "Does not come in where one was invited, or takes back that one asked to.",
            |im: Im, caller: Caller, input: OfConversation| async move { im.decline(caller, input).await },
        ),
        whole(
            "decide",
            "Lets somebody in who asked, or not; for admins.",
            |im: Im, caller: Caller, input: Decide| async move { im.decide(caller, input).await },
        ),
        whole(
            "link",
            "A link by which others come in.",
            |im: Im, caller: Caller, input: NewLink| async move { im.link(caller, input).await },
        ),
        whole(
            "unlink",
            "All links of a conversation are no good any more; for admins.",
            |im: Im, caller: Caller, input: OfConversation| async move { im.unlink(caller, input).await },
        ),
    ]
}

/// What the keys of somebody's invitations begin with.
fn invited_prefix(user: &str) -> String {
    // As with memberships: the length says where the name ends.
    format!("i/{:04x}{user}/", user.len())
}

/// The key of the row that says that somebody was invited.
pub(crate) fn invited_key(user: &str, id: &str) -> Bytes {
    format!("{}{id}", invited_prefix(user)).into()
}

/// The link of this code, where it is still good.
fn link_of<'a>(state: &'a mut State, code: &str, now: u64) -> Result<&'a mut Link, Wrong> {
    let good = |link: &&mut Link| link.code == code && (link.expires_at == 0 || link.expires_at > now);
    state.info.links.iter_mut().find(good).ok_or(Wrong::NoSuch("link: it may have expired or been used up"))
}

/// How somebody who is no member comes in, by a link or without.
fn way_in(state: &mut State, user: &str, code: Option<&str>, now: u64) -> Result<Way, Wrong> {
    if state.info.dismissed_at > 0 {
        return Err(Wrong::Gone);
    }
    if is_banned(state, user, now) {
        return Err(Wrong::Banned);
    }
    if let Some(code) = code {
        return link_of(state, code, now).map(|_| Way::In);
    }
    if state.info.invited.contains_key(user) {
        return Ok(Way::In);
    }
    match state.info.join {
        Join::Open => Ok(Way::In),
        Join::Request => Ok(Way::Ask),
        Join::Invite => Err(Wrong::NotAllowed("one is brought into this conversation, or has a link")),
    }
}

impl Im {
    async fn join(&self, caller: Caller, input: JoinIn) -> Result<Joined, Wrong> {
        check_text("text", input.text.as_deref().unwrap_or_default(), REQUEST_BYTES_MAX)?;
        let (id, code) = match (&input.conversation, &input.link) {
            (Some(id), None) => (id.as_str(), None),
            (None, Some(link)) => match link.rsplit_once('.') {
                Some((id, code)) => (id, Some(code)),
                None => return Err(Wrong::NoSuch("link")),
            },
            _ => return Err(Wrong::BadInput("name either 'conversation' or 'link'".to_owned())),
        };
        let conversation = self.group(id).await?;
        let me = &caller.who.user;
        if conversation.lock().member(me).is_err() {
            self.count_groups(std::slice::from_ref(me)).await?;
            if let Way::Ask = self.come(&caller, &conversation, code, input.text).await? {
                return Ok(Joined { joined: false, requested: true, conversation: None });
            }
        }
        let entry = self.entry(&conversation, me).await?;
        Ok(Joined { joined: true, requested: false, conversation: Some(entry) })
    }

    /// Comes in, or asks to.
    async fn come(
        &self,
        caller: &Caller,
        conversation: &Arc<Conversation>,
        code: Option<&str>,
        text: Option<String>,
    ) -> Result<Way, Wrong> {
        let me = &caller.who.user;
        let at = caller.now.wall.as_millis();
        let (written, way, after, admins) = {
            let mut guard = conversation.lock();
            let state = &mut *guard;
            if state.members.contains_key(me) {
                return Ok(Way::In);
            }
            let way = way_in(state, me, code, at)?;
            let mut rows = Vec::new();
            let mut admins = Vec::new();
            match way {
                Way::In => {
                    rows.extend(self.let_in(conversation, state, me, at)?);
                    if let Some(code) = code {
                        use_link(state, code);
                    }
                }
                Way::Ask => {
                    let requests = &mut state.info.requests;
                    if requests.len() >= REQUESTS_MAX && !requests.contains_key(me) {
                        return Err(Wrong::TooMany { what: "requests that wait", max: REQUESTS_MAX });
                    }
                    requests.insert(me.clone(), Request { text: text.clone(), at });
                    let leading = state.members.iter().filter(|(_, member)| member.role >= Role::Admin);
                    admins.extend(leading.map(|(user, _)| user.clone()));
                }
            }
            rows.push(conversation.row(state));
            (self.keep(conversation, rows), way, state.head.newest, admins)
        };
        written.await?;
        match way {
            Way::In => self.say_joined(caller, conversation, after, me).await,
            Way::Ask => self.tell_asked(conversation, &admins, me, text.as_deref()),
        }
        Ok(way)
    }

    /// Somebody comes in, under the conversation's lock; the conversation's own row is the caller's to put.
    fn let_in(
        &self,
        conversation: &Conversation,
        state: &mut State,
        user: &Arc<str>,
        at: u64,
    ) -> Result<impl Iterator<Item = Row> + use<>, Wrong> {
        let config = self.config();
        if state.members.len() >= config.members_max {
            return Err(Wrong::Full(config.members_max));
        }
        if !self.inner.groups.counts.take(user, config.conversations_max) {
            return Err(Wrong::TooMany { what: "groups of one person", max: config.conversations_max });
        }
        // One that is over is not kept on.
        state.info.banned.remove(user);
        Ok(come_in(conversation, state, user, at))
    }

    async fn say_joined(&self, by: &Caller, conversation: &Arc<Conversation>, after: u64, user: &Arc<str>) {
        let users = [user.clone()];
        self.say_members(conversation, &by.sender(), after, "joined", &users);
        self.tell_entries(conversation, &users).await;
    }

    fn tell_asked(&self, conversation: &Conversation, admins: &[Arc<str>], user: &str, text: Option<&str>) {
        #[derive(Serialize)]
        struct Asked<'a> {
            event: &'static str,
            conversation: &'a str,
            user: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            text: Option<&'a str>,
        }
        for admin in admins {
            self.tell_own(admin, &Asked { event: "request", conversation: &conversation.id, user, text });
        }
    }

    async fn requests(&self, caller: Caller, input: OfConversation) -> Result<Requests, Wrong> {
        let conversation = self.group(&input.conversation).await?;
        let state = conversation.lock();
        state.admin(&caller.who.user)?;
        let asking = |(user, request): (&Arc<str>, &Request)| Asking {
            user: user.clone(),
            text: request.text.clone(),
            at: request.at,
        };
        Ok(Requests { requests: state.info.requests.iter().map(asking).collect() })
    }

    async fn invitations(&self, caller: Caller) -> Result<Invitations, Wrong> {
        let me = &caller.who.user;
        let table = self.inner.ledger.table();
        let prefix = invited_prefix(me);
        let rows = table.scan(prefix.as_bytes(), None, INVITATIONS_SHOWN).await?;
        let id_of = |key: &Bytes| Some(Arc::<str>::from(std::str::from_utf8(key.get(prefix.len()..)?).ok()?));
        let ids: Vec<Arc<str>> = rows.iter().filter_map(|(key, _)| id_of(key)).collect();
        let keys: Vec<Bytes> = ids.iter().map(|id| info_key(id)).collect();
        let infos = table.get_many(keys.clone()).await?;
        let mut invitations = Vec::with_capacity(ids.len());
        for ((conversation, key), row) in ids.into_iter().zip(keys).zip(infos) {
            let info = row.map(|row| parsed::<Info>(&key, &row)).transpose()?;
            let held = info.as_ref().and_then(|info| Some((info, info.invited.get(me)?)));
            let Some((info, held)) = held else {
                // It is gone, or was taken back.
                self.inner.ledger.put([(invited_key(me, &conversation), None)]);
                continue;
            };
            invitations.push(InvitedTo {
                conversation,
                kind: info.kind,
                title: info.title.clone(),
                members: info.members,
                by: held.by.clone(),
                at: held.at,
            });
        }
        Ok(Invitations { invitations })
    }

    async fn decline(&self, caller: Caller, input: OfConversation) -> Result<Done, Wrong> {
        let conversation = self.group(&input.conversation).await?;
        let me = &caller.who.user;
        let written = {
            let mut guard = conversation.lock();
            let state = &mut *guard;
            let invited = state.info.invited.remove(me).is_some();
            let asked = state.info.requests.remove(me).is_some();
            if !invited && !asked {
                return Err(Wrong::NoSuch("invitation"));
            }
            let rows = vec![conversation.row(state), (invited_key(me, &conversation.id), None)];
            self.keep(&conversation, rows)
        };
        written.await?;
        Ok(Done {})
    }

    async fn decide(&self, caller: Caller, input: Decide) -> Result<Done, Wrong> {
        #[derive(Serialize)]
        struct Declined<'a> {
            event: &'static str,
            conversation: &'a str,
        }
        let conversation = self.group(&input.conversation).await?;
        let at = caller.now.wall.as_millis();
        let user: Arc<str> = input.user.into();
        conversation.lock().admin(&caller.who.user)?;
        self.count_groups(std::slice::from_ref(&user)).await?;
        let (written, after) = {
            let mut guard = conversation.lock();
            let state = &mut *guard;
            state.admin(&caller.who.user)?;
            if !state.info.requests.contains_key(&user) {
                return Err(Wrong::NoSuch("request"));
            }
            let mut rows = Vec::new();
            if input.accept {
                rows.extend(self.let_in(&conversation, state, &user, at)?);
            } else {
                state.info.requests.remove(&user);
            }
            rows.push(conversation.row(state));
            (self.keep(&conversation, rows), state.head.newest)
        };
        written.await?;
        if input.accept {
            self.say_joined(&caller, &conversation, after, &user).await;
        } else {
            self.tell_own(&user, &Declined { event: "declined", conversation: &conversation.id });
        }
        Ok(Done {})
    }

    async fn link(&self, caller: Caller, input: NewLink) -> Result<LinkMade, Wrong> {
        if input.uses == Some(0) || input.expires_s.is_some_and(|s| s == 0 || s > LINK_SECONDS_MAX) {
            let bounds = format!("'uses' is 1 or more, 'expires_s' is 1 to {LINK_SECONDS_MAX}");
            return Err(Wrong::BadInput(bounds));
        }
        let conversation = self.group(&input.conversation).await?;
        let now = caller.now.wall.as_millis();
        let me = &caller.who.user;
        let code = format!("{:032x}", (self.inner.seams.random)());
        let written = {
            let mut guard = conversation.lock();
            let state = &mut *guard;
            may_bring(state, me)?;
            if state.info.join == Join::Request {
                // Else a link would be the way round those who decide.
                state.admin(me)?;
            }
            state.info.links.retain(|link| link.expires_at == 0 || link.expires_at > now);
            if state.info.links.len() >= LINKS_MAX {
                return Err(Wrong::TooMany { what: "links", max: LINKS_MAX });
            }
            let expires_at = input.expires_s.map_or(0, |seconds| now + seconds * 1000);
            state.info.links.push(Link { code: code.clone(), by: me.clone(), expires_at, uses: input.uses });
            let row = conversation.row(state);
            self.keep(&conversation, vec![row])
        };
        written.await?;
        Ok(LinkMade { link: format!("{}.{code}", conversation.id) })
    }

    async fn unlink(&self, caller: Caller, input: OfConversation) -> Result<Done, Wrong> {
        let conversation = self.group(&input.conversation).await?;
        let written = {
            let mut guard = conversation.lock();
            let state = &mut *guard;
            state.admin(&caller.who.user)?;
            state.info.links.clear();
            let row = conversation.row(state);
            self.keep(&conversation, vec![row])
        };
        written.await?;
        Ok(Done {})
    }
}

/// One more has come by this link.
fn use_link(state: &mut State, code: &str) {
    for link in &mut state.info.links {
        if link.code == code {
            link.uses = link.uses.map(|uses| uses.saturating_sub(1));
        }
    }
    state.info.links.retain(|link| link.uses != Some(0));
}
