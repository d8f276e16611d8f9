//! Looking into the running server.

use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use yizhan_hub::{
    Filter, Keep, Lag, Topic,
    inspect::{SpaceView, SubscriptionView, TopicView},
};

use crate::{
    api::Api,
    ask::{Answered, Ask, Problem, Reply},
    clients::NO_SESSION,
};

/// Subscriptions of other filters that are passed over when one filter's are looked for.
const SUBSCRIPTIONS_LOOKED_AT_MAX: usize = 100_000;

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

pub(crate) fn read_topic(name: &str) -> Result<Topic, Problem> {
    Topic::new(name).map_err(|bad| yizhan_hub::Refused::from(bad).into())
}

fn read_filter(name: &str) -> Result<Filter, Problem> {
    Filter::new(name).map_err(|bad| yizhan_hub::Refused::from(bad).into())
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
        "qos": view.qos as u8,
        "group": view.group,
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
