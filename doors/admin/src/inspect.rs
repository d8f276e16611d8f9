//! Looking into the running server.

use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use yizhan_hub::{
    Filter, Keep, Lag, SessionId, Topic,
    inspect::{SessionView, SpaceView, SubscriptionView, TopicView},
};
use yizhan_identity::{Actor, What, administers};
use yizhan_talk::Close;

use crate::{
    api::Api,
    ask::{Answered, Ask, Problem, Reply},
};

/// Sessions that one look for connections goes through; then the caller goes on with `after`.
const SESSIONS_LOOKED_AT_MAX: usize = 20_000;
/// Sessions that the hub is asked for at a time.
const SESSIONS_PAGE: usize = 1_000;
/// Subscriptions of other filters that are passed over when one filter's are looked for.
const SUBSCRIPTIONS_LOOKED_AT_MAX: usize = 100_000;

const NO_SESSION: Problem = Problem::new(301, "there is no such session");

impl Api {
    pub(crate) fn overview(&self, ask: &Ask) -> Answered {
        ask.takes(&[])?;
        let views = &self.views;
        // What the server publishes is JSON; were it not, nothing is shown rather than nonsense.
        let figures = (views.figures)().and_then(|text| RawValue::from_string(text).ok());
        Reply::ok(&json!({
            "version": views.version,
            "started_at": views.started_at.as_millis(),
            "uptime": ask.now.wall.since(views.started_at).as_secs(),
            "draining": (views.draining)(),
            "first_run": views.first_run,
            "figures": figures,
        }))
    }

    pub(crate) fn sessions(&self, ask: &Ask, actor: Actor<'_>) -> Answered {
        ask.takes(&["user", "limit", "after"])?;
        let (limit, after) = (ask.limit()?, ask.parse("after")?);
        let found = self.hub.sessions(whose(ask, actor)?, after, limit);
        let next = if found.len() == limit { found.last().map(|view| view.id.to_string()) } else { None };
        let items: Vec<_> = found.iter().map(session).collect();
        Reply::list(&items, next)
    }

    pub(crate) fn connections(&self, ask: &Ask, actor: Actor<'_>) -> Answered {
        ask.takes(&["user", "limit", "after"])?;
        let (limit, user) = (ask.limit()?, whose(ask, actor)?);
        let mut after: Option<SessionId> = ask.parse("after")?;
        let (mut items, mut looked_at) = (Vec::new(), 0);
        let next = loop {
            let page = self.hub.sessions(user, after, SESSIONS_PAGE);
            looked_at += page.len();
            let is_last = page.len() < SESSIONS_PAGE;
            for view in page {
                after = Some(view.id);
                if view.connection.is_some() {
                    items.push(session(&view));
                }
                if items.len() == limit {
                    break;
                }
            }
            if items.len() == limit || looked_at >= SESSIONS_LOOKED_AT_MAX {
                break after.map(|id| id.to_string());
            }
            if is_last {
                break None;
            }
        };
        Reply::list(&items, next)
    }

    pub(crate) async fn kick(&self, actor: Actor<'_>, id: &str) -> Answered {
        let id: SessionId = id.parse().map_err(|_| NO_SESSION)?;
        let before = id.0.checked_sub(1).map(SessionId);
        let found = self.hub.sessions(None, before, 1);
        let view = found.first().filter(|view| view.id == id).ok_or(NO_SESSION)?;
        // Whoever may not know of it hears that it is not there.
        if view.user != actor.who.user && !administers(actor.who) {
            return Err(NO_SESSION);
        }
        self.hub.kick(id, Close::KICKED)?;
        let detail = format!("session {id}");
        self.identity.record(actor, What::SessionKick, Some(&view.user), Some(&detail)).await;
        Reply::empty()
    }

    pub(crate) fn topics(&self, ask: &Ask) -> Answered {
        ask.takes(&["filter", "after", "limit"])?;
        let limit = ask.limit()?;
        let filter = read_filter(ask.query("filter").unwrap_or("#"))?;
        let after = ask.query("after").map(read_topic).transpose()?;
        let found = self.hub.topics(&filter, after.as_ref(), limit);
        let next = if found.len() == limit { found.last().map(|view| view.topic.as_str()) } else { None };
        let items: Vec<_> = found.iter().map(topic).collect();
        Reply::list(&items, next)
    }

    pub(crate) fn subscriptions(&self, ask: &Ask) -> Answered {
        ask.takes(&["topic", "filter", "session", "limit"])?;
        let limit = ask.limit()?;
        let mut found = match (ask.query("topic"), ask.query("filter"), ask.query("session")) {
            (Some(topic), None, None) => self.hub.subscriptions_to(&read_topic(topic)?, limit),
            (None, Some(filter), None) => self.subscriptions_by_filter(&read_filter(filter)?)?,
            (None, None, Some(id)) => self.hub.subscriptions_of(id.parse().map_err(|_| NO_SESSION)?)?,
            _ => return Err(Problem::field("exactly one of 'topic', 'filter' and 'session' is needed")),
        };
        found.truncate(limit);
        let items: Vec<_> = found.iter().map(subscription).collect();
        Reply::list(&items, None::<&str>)
    }

    /// Subscriptions with just this filter: among those that hear a topic that it matches.
    fn subscriptions_by_filter(&self, filter: &Filter) -> Result<Vec<SubscriptionView>, Problem> {
        let levels: Vec<_> =
            filter.levels().map(|level| if matches!(level, "+" | "#") { "_" } else { level }).collect();
        let sample = read_topic(&levels.join("/"))?;
        let mut found = self.hub.subscriptions_to(&sample, SUBSCRIPTIONS_LOOKED_AT_MAX);
        found.retain(|view| view.filter == *filter);
        Ok(found)
    }

    pub(crate) fn spaces(&self, ask: &Ask) -> Answered {
        ask.takes(&[])?;
        let items: Vec<_> = self.hub.spaces().iter().map(space).collect();
        Reply::list(&items, None::<&str>)
    }

    pub(crate) async fn audit(&self, ask: &Ask) -> Answered {
        ask.takes(&["limit", "before", "user"])?;
        let limit = ask.limit()?;
        let entries = self.identity.audit(ask.parse("before")?, ask.query("user"), limit).await?;
        let next = if entries.len() == limit { entries.last().map(|entry| entry.id) } else { None };
        Reply::list(&entries, next)
    }

    pub(crate) fn config(&self, ask: &Ask) -> Answered {
        ask.takes(&[])?;
        Reply::ok(&(self.views.config)())
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

fn read_topic(name: &str) -> Result<Topic, Problem> {
    Topic::new(name).map_err(|bad| yizhan_hub::Refused::from(bad).into())
}

fn read_filter(name: &str) -> Result<Filter, Problem> {
    Filter::new(name).map_err(|bad| yizhan_hub::Refused::from(bad).into())
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
    json!({
        "id": view.id.to_string(),
        "user": view.user,
        "device": view.device,
        "opened_at": view.opened_at.as_millis(),
        "subscriptions": view.subscriptions,
        "waiting": view.waiting,
        "delivered": view.delivered,
        "missed": view.missed,
        "connection": connection,
    })
}

fn topic(view: &TopicView) -> Value {
    let kept = view.kept.as_ref();
    let kept = kept.map(|kept| json!({ "oldest_seq": kept.oldest_seq, "newest_seq": kept.newest_seq }));
    json!({
        "topic": view.topic.as_str(),
        "space": view.space,
        "listeners": view.listeners,
        "kept": kept,
    })
}

fn subscription(view: &SubscriptionView) -> Value {
    json!({
        "session": view.session.to_string(),
        "user": view.user,
        "id": view.id,
        "filter": view.filter.as_str(),
        "delivered": view.delivered,
        "behind": view.behind,
    })
}

#[derive(Serialize)]
struct LimitsShown {
    records_max: Option<u64>,
    bytes_max: Option<u64>,
    age_max: Option<u64>,
}

fn space(view: &SpaceView) -> Value {
    let some = |limit: u64| (limit != u64::MAX).then_some(limit);
    let (keep, limits) = match view.space.keep {
        Keep::Nothing => ("nothing", None),
        Keep::Memory(limits) => ("memory", Some(limits)),
        Keep::Disk(limits) => ("disk", Some(limits)),
    };
    let limits = limits.map(|limits| LimitsShown {
        records_max: some(limits.records_max),
        bytes_max: some(limits.bytes_max),
        age_max: some(limits.age_max.as_secs()),
    });
    let lag = match view.space.lag {
        Lag::CatchUp => "catch_up",
        Lag::Skip => "skip",
        Lag::Close => "close",
        Lag::Latest => "latest",
    };
    let figures = view.figures.map(|figures| {
        json!({
            "records": figures.records,
            "bytes": figures.bytes,
            "topics": figures.topics,
            "waiting": figures.waiting,
        })
    });
    json!({
        "name": view.space.name,
        "topics": view.space.topics.as_str(),
        "keep": keep,
        "lag": lag,
        "lanes": view.space.lanes,
        "limits": limits,
        "figures": figures,
    })
}
