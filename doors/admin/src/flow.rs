//! What goes through, besides topics: groups that share a filter, messages that wait for their time, topics' own
//! values, and bridges to other brokers.

use serde_json::{Value, json};
use yizhan_hub::{
    Content,
    delayed::{DelayedId, DelayedView},
    inspect::GroupView,
    link::Deal,
    message::RETAINED,
};
use yizhan_identity::{Actor, What};

use crate::{
    api::Api,
    ask::{Answered, Ask, Problem, Reply},
    inspect::read_topic,
};

const NO_DELAYED: Problem = Problem::new(106, "this message does not wait: it was published or cancelled");

impl Api {
    pub(crate) fn groups(&self, ask: &Ask) -> Answered {
        ask.takes(&["limit"])?;
        let items: Vec<_> = self.hub.groups().iter().take(ask.limit()?).map(group).collect();
        Reply::list(&items, None::<&str>)
    }

    pub(crate) async fn delayed(&self, ask: &Ask) -> Answered {
        ask.takes(&["limit", "after"])?;
        let limit = ask.limit()?;
        let found = self.hub.delayed(ask.parse("after")?, limit).await?;
        let next = if found.len() == limit { found.last().map(|view| view.id.to_string()) } else { None };
        let items: Vec<_> = found.iter().map(delayed).collect();
        Reply::ok(&json!({ "items": items, "next": next, "count": self.hub.delayed_count() }))
    }

    pub(crate) async fn cancel_delayed(&self, actor: Actor<'_>, id: &str) -> Answered {
        let id: DelayedId = id.parse().map_err(|_| NO_DELAYED)?;
        if !self.hub.cancel_delayed(id).await? {
            return Err(NO_DELAYED);
        }
        self.identity.record(actor, What::DelayedCancel, Some(&id.to_string()), None).await;
        Reply::empty()
    }

    /// Takes a topic's own value away, as a client of MQTT does with an empty retained message.
    pub(crate) async fn clear_retained(&self, ask: &Ask, actor: Actor<'_>) -> Answered {
        ask.takes(&["topic"])?;
        let topic = read_topic(ask.query("topic").unwrap_or_default())?;
        let subject = topic.as_str().to_owned();
        self.hub.announce(topic, Some(RETAINED.into()), Content::Binary, bytes::Bytes::new());
        self.identity.record(actor, What::RetainedClear, Some(&subject), None).await;
        Reply::empty()
    }

    pub(crate) fn bridges(&self, ask: &Ask) -> Answered {
        ask.takes(&["limit"])?;
        let mut items = (self.views.bridges)();
        items.truncate(ask.limit()?);
        Reply::list(&items, None::<&str>)
    }
}

fn group(view: &GroupView) -> Value {
    let deal = match view.deal {
        Deal::RoundRobin => "round_robin",
        Deal::LeastInflight => "least_inflight",
        Deal::HashSender => "hash_sender",
        Deal::Sticky => "sticky",
    };
    json!({
        "name": view.name,
        "filter": view.filter.as_str(),
        "deal": deal,
        "members": view.members,
        "live": view.live,
        "waiting": view.waiting,
        "unacked": view.unacked,
        "missed": view.missed,
        "behind": view.behind,
    })
}

fn delayed(view: &DelayedView) -> Value {
    json!({
        "id": view.id.to_string(),
        "topic": view.topic.as_str(),
        "user": view.from.user,
        "device": view.from.device,
        "session": view.from.session.to_string(),
        "bytes": view.bytes,
        "taken_at": view.taken.as_millis(),
        "due_at": view.due.as_millis(),
    })
}
