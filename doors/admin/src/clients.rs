//! Clients: their sessions, who is kept out, and who is followed packet by packet.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use yizhan_hub::{SessionId, inspect::SessionView};
use yizhan_identity::{Actor, NewBan, What, Whom, administers};
use yizhan_talk::Close;

use crate::{
    api::Api,
    ask::{Answered, Ask, Problem, Reply},
};

/// Sessions that one request looks at; then the caller goes on with `after`.
const SESSIONS_LOOKED_AT_MAX: usize = 20_000;
/// Sessions that the hub is asked for at a time.
const SESSIONS_PAGE: usize = 1_000;
/// How long a client is followed where nothing is said, s.
const TRACE_SECONDS: u64 = 300;

pub(crate) const NO_SESSION: Problem = Problem::new(301, "there is no such session");
const NO_TRACES: Problem = Problem::new(106, "this server has no door whose clients can be followed");

/// Who is to be followed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTrace {
    client: String,
    #[serde(default)]
    seconds: Option<u64>,
}

/// Which sessions are wanted.
struct Wanted<'a> {
    user: Option<&'a str>,
    door: Option<&'a str>,
    live: Option<bool>,
    /// In small letters.
    search: Option<String>,
}

impl Wanted<'_> {
    fn takes(&self, view: &SessionView) -> bool {
        let connection = view.connection.as_ref();
        self.live.is_none_or(|live| live == connection.is_some())
            && self.door.is_none_or(|door| door_of(view) == Some(door))
            && self.search.as_deref().is_none_or(|search| {
                let has = |text: Option<&str>| text.is_some_and(|text| text.to_lowercase().contains(search));
                has(Some(&view.user))
                    || has(view.device.as_deref())
                    || has(view.name.as_deref())
                    || has(Some(&view.id.to_string()))
                    || has(connection.map(|c| c.address.to_string()).as_deref())
            })
    }
}

/// The door of a session's connection, or, of one that is asleep, the one whose name it has.
fn door_of(view: &SessionView) -> Option<&str> {
    let named = || view.name.as_deref().and_then(|name| name.split_once(':')).map(|(door, _)| door);
    view.connection.as_ref().map(|connection| connection.door).or_else(named)
}

impl Api {
    pub(crate) fn sessions(&self, ask: &Ask, actor: Actor<'_>) -> Answered {
        ask.takes(&["user", "door", "state", "search", "limit", "after"])?;
        let live = match ask.query("state") {
            None => None,
            Some("live") => Some(true),
            Some("asleep") => Some(false),
            Some(_) => return Err(Problem::field("'state' is 'live' or 'asleep'")),
        };
        let search = ask.query("search").map(str::to_lowercase);
        let wanted = Wanted { user: whose(ask, actor)?, door: ask.query("door"), live, search };
        self.some_sessions(ask, &wanted)
    }

    pub(crate) fn connections(&self, ask: &Ask, actor: Actor<'_>) -> Answered {
        ask.takes(&["user", "limit", "after"])?;
        let wanted = Wanted { user: whose(ask, actor)?, door: None, live: Some(true), search: None };
        self.some_sessions(ask, &wanted)
    }

    fn some_sessions(&self, ask: &Ask, wanted: &Wanted<'_>) -> Answered {
        let limit = ask.limit()?;
        let mut after: Option<SessionId> = ask.parse("after")?;
        let (mut items, mut looked_at) = (Vec::new(), 0);
        let next = loop {
            let page = self.hub.sessions(wanted.user, after, SESSIONS_PAGE);
            looked_at += page.len();
            let (is_last, mut left) = (page.len() < SESSIONS_PAGE, page.len());
            for view in page {
                (after, left) = (Some(view.id), left - 1);
                if wanted.takes(&view) {
                    items.push(session(&view));
                }
                if items.len() == limit {
                    break;
                }
            }
            if is_last && left == 0 {
                break None;
            }
            if items.len() == limit || looked_at >= SESSIONS_LOOKED_AT_MAX {
                break after.map(|id| id.to_string());
            }
        };
        Reply::list(&items, next)
    }

    pub(crate) fn one_session(&self, ask: &Ask, actor: Actor<'_>, id: &str) -> Answered {
        ask.takes(&[])?;
        Reply::ok(&session(&self.session_of(actor, id)?))
    }

    /// Ends a session and its connection.
    pub(crate) async fn kick(&self, actor: Actor<'_>, id: &str) -> Answered {
        let view = self.session_of(actor, id)?;
        self.hub.kick(view.id, Close::KICKED)?;
        let detail = format!("session {}", view.id);
        self.identity.record(actor, What::SessionKick, Some(&view.user), Some(&detail)).await;
        Reply::empty()
    }

    /// Ends a session's connection; the session sleeps as long as it is kept.
    pub(crate) async fn disconnect(&self, actor: Actor<'_>, id: &str) -> Answered {
        let view = self.session_of(actor, id)?;
        self.hub.disconnect(view.id, Close::KICKED)?;
        let detail = format!("session {}", view.id);
        self.identity.record(actor, What::SessionDisconnect, Some(&view.user), Some(&detail)).await;
        Reply::empty()
    }

    /// A session that the actor may know of; who may not hears that it is not there.
    fn session_of(&self, actor: Actor<'_>, id: &str) -> Result<SessionView, Problem> {
        let id: SessionId = id.parse().map_err(|_| NO_SESSION)?;
        let view = self.hub.session(id).ok_or(NO_SESSION)?;
        if view.user == actor.who.user || administers(actor.who) { Ok(view) } else { Err(NO_SESSION) }
    }

    pub(crate) fn bans(&self, ask: &Ask, actor: Actor<'_>) -> Answered {
        ask.takes(&["limit", "after"])?;
        let limit = ask.limit()?;
        let bans = self.identity.bans(actor, ask.query("after"), limit)?;
        let next = if bans.len() == limit { bans.last().map(|ban| ban.whom.to_string()) } else { None };
        Reply::list(&bans, next)
    }

    pub(crate) async fn ban(&self, ask: &Ask, actor: Actor<'_>) -> Answered {
        let new: NewBan = ask.read()?;
        let ban = self.identity.ban(actor, &new).await?;
        Reply::json(http::StatusCode::CREATED, &ban)
    }

    pub(crate) async fn unban(&self, ask: &Ask, actor: Actor<'_>) -> Answered {
        ask.takes(&["whom"])?;
        let whom: Whom = ask.parse("whom")?.ok_or_else(|| Problem::field("'whom' is missing"))?;
        self.identity.unban(actor, &whom).await?;
        Reply::empty()
    }

    pub(crate) fn traces(&self, ask: &Ask) -> Answered {
        ask.takes(&[])?;
        let clients = self.views.traces.as_ref().map(|traces| traces.clients()).unwrap_or_default();
        let items: Vec<_> = clients.iter().map(|client| json!({ "client": client })).collect();
        Reply::list(&items, None::<&str>)
    }

    pub(crate) async fn start_trace(&self, ask: &Ask, actor: Actor<'_>) -> Answered {
        let new: NewTrace = ask.read()?;
        let time = Duration::from_secs(new.seconds.unwrap_or(TRACE_SECONDS));
        let traces = self.views.traces.as_ref().ok_or(NO_TRACES)?;
        let topic = traces.start(ask.now, &new.client, time).map_err(Problem::field)?;
        let detail = format!("for {} s", time.as_secs());
        self.identity.record(actor, What::TraceStart, Some(&new.client), Some(&detail)).await;
        Reply::json(http::StatusCode::CREATED, &json!({ "client": new.client, "topic": topic }))
    }

    pub(crate) fn stop_trace(&self, ask: &Ask) -> Answered {
        ask.takes(&["client"])?;
        let client = ask.query("client").ok_or_else(|| Problem::field("'client' is missing"))?;
        self.views.traces.as_ref().ok_or(NO_TRACES)?.stop(client);
        Reply::empty()
    }
}

/// Whose sessions are shown: everybody's to operators, else one's own.
fn whose<'a>(ask: &'a Ask, actor: Actor<'a>) -> Result<Option<&'a str>, Problem> {
    let user = ask.query("user");
    if administers(actor.who) {
        return Ok(user);
    }
    match user {
        Some(user) if *user != *actor.who.user => Err(crate::api::ADMINS_ONLY),
        _ => Ok(Some(&actor.who.user)),
    }
}

fn session(view: &SessionView) -> Value {
    let connection = view.connection.as_ref().map(|connection| {
        json!({
            "door": connection.door,
            "address": connection.address,
            "secure": connection.secure,
            "since": connection.since.as_millis(),
        })
    });
    let figures: serde_json::Map<_, _> =
        view.figures.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    json!({
        "id": view.id.to_string(),
        "user": view.user,
        "device": view.device,
        "name": view.name,
        "door": door_of(view),
        "keep": view.keep.as_secs(),
        "opened_at": view.opened_at.as_millis(),
        "subscriptions": view.subscriptions,
        "waiting": view.waiting,
        "delivered": view.delivered,
        "missed": view.missed,
        "figures": figures,
        "connection": connection,
    })
}
