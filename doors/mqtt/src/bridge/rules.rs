//! Which topics cross a bridge, and what they are called on the other side.

use std::{collections::BTreeSet, sync::Arc};

use yizhan_hub::{Filter, Qos, Topic, topic::BadName};

use super::config::Rule;

/// The header, and the user property of MQTT 5, that says which nodes a message has left over a bridge: their
/// names, with spaces between.
pub const VIA: &str = "yizhan-via";

/// A rule, ready for use.
#[derive(Debug, Clone)]
pub(super) struct Path {
    /// What is heard: here for what goes out, there for what comes in.
    pub(super) filter: Filter,
    /// The prefix on the side that it comes from.
    from: String,
    /// The prefix on the side that it goes to.
    to: String,
    pub(super) qos: Qos,
}

impl Path {
    fn new(filter: String, from: &str, to: &str, qos: u8) -> Result<Self, BadName> {
        let qos = match qos {
            0 => Qos::AtMostOnce,
            1 => Qos::AtLeastOnce,
            _ => Qos::ExactlyOnce,
        };
        Ok(Self { filter: Filter::new(&filter)?, from: from.to_owned(), to: to.to_owned(), qos })
    }

    /// The topic's name on the other side; `None` where this path is not for it.
    pub(super) fn across(&self, topic: &str) -> Option<String> {
        if !self.filter.matches_name(topic) {
            return None;
        }
        Some(format!("{}{}", self.to, topic.strip_prefix(&self.from)?))
    }
}

/// All paths of a bridge.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    /// What goes out, by rank: the paths of the highest priority first.
    pub(super) out: Vec<Rank>,
    /// What comes in.
    pub(super) into: Vec<Path>,
}

/// The paths of one priority; each has a session at the hub.
#[derive(Debug, Clone)]
pub(super) struct Rank {
    pub(super) priority: u8,
    pub(super) paths: Vec<Path>,
}

impl Paths {
    /// From rules that were checked.
    pub(super) fn new(out: &[Rule], into: &[Rule]) -> Result<Self, BadName> {
        let priorities: BTreeSet<u8> = out.iter().map(|rule| rule.priority).collect();
        let of = |priority: u8| {
            let rules = out.iter().filter(|rule| rule.priority == priority);
            let paths = rules.map(|r| Path::new(r.local(), &r.local_prefix, &r.remote_prefix, r.qos));
            Ok(Rank { priority, paths: paths.collect::<Result<_, BadName>>()? })
        };
        Ok(Self {
            out: priorities.into_iter().rev().map(of).collect::<Result<_, BadName>>()?,
            into: into
                .iter()
                .map(|r| Path::new(r.remote(), &r.remote_prefix, &r.local_prefix, r.qos))
                .collect::<Result<_, BadName>>()?,
        })
    }

    /// What a topic of the other broker is called here.
    pub(super) fn arriving(&self, topic: &str) -> Option<Result<Topic, BadName>> {
        self.into.iter().find_map(|path| path.across(topic)).map(|name| Topic::new(&name))
    }
}

/// The way of a message over bridges: may it go on, and what is it then?
#[derive(Debug, Clone)]
pub(super) struct Hops {
    /// This node's name, one word.
    node: Arc<str>,
    max: usize,
}

impl Hops {
    pub(super) fn new(node: &str, max: u8) -> Self {
        let node = node.split_whitespace().collect::<Vec<_>>().join("-");
        Self { node: node.into(), max: max.into() }
    }

    /// Whether a message that came this way may come in: not where it left from here before.
    pub(super) fn may_enter(&self, via: Option<&str>) -> bool {
        let mut nodes = via.unwrap_or_default().split_whitespace();
        nodes.clone().count() <= self.max && nodes.all(|node| *node != *self.node)
    }

    /// The way of a message that leaves; `None` where it has come far enough, or has left from here before and
    /// came back by the door.
    pub(super) fn leaving(&self, via: Option<&str>) -> Option<String> {
        let via = via.unwrap_or_default();
        let mut nodes = via.split_whitespace();
        if nodes.clone().count() >= self.max || nodes.any(|node| *node == *self.node) {
            return None;
        }
        Some(if via.is_empty() { self.node.to_string() } else { format!("{via} {}", self.node) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(filter: &str, local: &str, remote: &str, priority: u8) -> Rule {
        Rule {
            filter: filter.into(),
            local_prefix: local.into(),
            remote_prefix: remote.into(),
            qos: 1,
            priority,
        }
    }

    #[test]
    fn a_topic_changes_its_prefix() {
        let out = [rule("#", "site/", "berlin/", 0), rule("alarm/+", "", "", 9)];
        let into = [rule("cmd/#", "cloud/", "", 0), rule("#", "", "to/berlin/", 0)];
        let paths = Paths::new(&out, &into).unwrap();
        assert_eq!(paths.out.iter().map(|rank| rank.priority).collect::<Vec<_>>(), [9, 0]);
        let alarms = &paths.out[0].paths[0];
        assert_eq!(alarms.across("alarm/fire").as_deref(), Some("alarm/fire"));
        assert_eq!(alarms.across("alarm/fire/x"), None);
        let site = &paths.out[1].paths[0];
        assert_eq!(site.across("site/t/1").as_deref(), Some("berlin/t/1"));
        assert_eq!(site.across("elsewhere/t"), None);
        // `#` matches its parent too, which has no slash to cut off.
        assert_eq!(site.across("site"), None);
        let name = |topic: &str| paths.arriving(topic).map(|topic| topic.unwrap().as_str().to_owned());
        assert_eq!(name("cmd/stop").as_deref(), Some("cloud/cmd/stop"));
        assert_eq!(name("to/berlin/a/b").as_deref(), Some("a/b"));
        assert_eq!(name("other"), None);
        assert!(paths.arriving("to/berlin/").unwrap().is_err(), "nothing is left of it");
    }

    #[test]
    fn a_message_does_not_come_back_and_does_not_go_on_for_ever() {
        let hops = Hops::new("node a", 2);
        assert_eq!(hops.leaving(None).as_deref(), Some("node-a"));
        assert_eq!(hops.leaving(Some("b")).as_deref(), Some("b node-a"));
        assert_eq!(hops.leaving(Some("b c")), None);
        assert_eq!(hops.leaving(Some("node-a")), None);
        assert!(hops.may_enter(None) && hops.may_enter(Some("b c")));
        assert!(!hops.may_enter(Some("b node-a")) && !hops.may_enter(Some("b c d")));
    }
}
