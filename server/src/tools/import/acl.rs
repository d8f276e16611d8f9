//! mosquitto's access control list (mosquitto.conf(5), `acl_file`), said in rules of ours.
//!
//! mosquitto looks at the lines of a client's user first and at the patterns behind them, and within each at
//! what is denied before what is allowed. With us the first rule that fits decides, so the rules come out in
//! just that order.

use std::collections::BTreeMap;

use yizhan_hub::Filter;
use yizhan_identity::{
    names::{ANONYMOUS, JWT_USER_BYTES_MAX},
    rules::{Doing, Effect, RoleRule},
};

/// Topics of one rule, and users of one rule: what the config takes.
const TOPICS_MAX: usize = 100;
const USERS_MAX: usize = 1_000;

/// What became of a list.
#[derive(Debug, Default)]
pub(crate) struct Translated {
    pub(crate) rules: Vec<RoleRule>,
    /// What has no rule, in the order of lines.
    pub(crate) left_out: Vec<LeftOut>,
}

/// A line that could not be translated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Counted from one.
    pub(crate) line: usize,
    pub(crate) reason: String,
    /// Whether the rules would allow more without it.
    pub(crate) denies: bool,
}

/// Whom lines are about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    /// Lines before the first user.
    Anonymous,
    User(String),
    /// Patterns without a user's name in them.
    Everybody,
    /// Patterns with one: nobody is meant who has no name.
    Named,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Access {
    Deny,
    Read,
    Write,
    Both,
}

/// Topics by what may be done with them.
type Topics = BTreeMap<Access, Vec<String>>;

/// Translates a list. `roles` are those that accounts get which come from mosquitto.
pub(crate) fn translate(text: &[u8], roles: &[String]) -> Translated {
    let mut reader = Reader { about: About::Anonymous, is_user_fit: true, lists: BTreeMap::new() };
    let mut left_out = Vec::new();
    for (i, line) in text.split(|b| *b == b'\n').enumerate() {
        let lossy = String::from_utf8_lossy(line);
        let read = match std::str::from_utf8(line) {
            Ok(line) => reader.read(line),
            Err(_) => Err("it is no UTF-8".to_owned()),
        };
        if let Err(reason) = read {
            // Who can't be here needs no rule.
            let denies = reader.is_user_fit && lossy.split_whitespace().nth(1) == Some("deny");
            left_out.push(LeftOut { line: i + 1, reason, denies });
        }
    }
    Translated { rules: reader.rules(roles), left_out }
}

struct Reader {
    about: About,
    /// Whether rules can name the user whose lines follow.
    is_user_fit: bool,
    lists: BTreeMap<About, Topics>,
}

impl Reader {
    fn read(&mut self, line: &str) -> Result<(), String> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "user" => self.user(rest),
            "topic" => {
                if !self.is_user_fit {
                    return Err("it belongs to a user that rules can't name".into());
                }
                let (access, topic) = access(rest)?;
                let topic = checked(topic, topic)?;
                self.add(self.about.clone(), access, topic);
                Ok(())
            }
            "pattern" => {
                let (access, topic) = access(rest)?;
                let about = if topic.contains("%u") { About::Named } else { About::Everybody };
                let topic = checked(topic, &filled(topic)?)?;
                self.add(about, access, topic);
                Ok(())
            }
            _ => Err("it begins with none of user, topic and pattern".into()),
        }
    }

    fn user(&mut self, name: &str) -> Result<(), String> {
        let ours = name == ANONYMOUS || name.starts_with('$') || name.starts_with("guest:");
        self.is_user_fit = !ours && (1..=JWT_USER_BYTES_MAX).contains(&name.len());
        if ours {
            return Err("'anonymous', 'guest:…' and '$…' are the server's own names".into());
        }
        if !self.is_user_fit {
            return Err(format!("a user's name has 1 to {JWT_USER_BYTES_MAX} bytes"));
        }
        self.about = About::User(name.into());
        Ok(())
    }

    fn add(&mut self, about: About, access: Access, topic: String) {
        let topics = self.lists.entry(about).or_default().entry(access).or_default();
        if !topics.contains(&topic) {
            topics.push(topic);
        }
    }

    fn rules(mut self, roles: &[String]) -> Vec<RoleRule> {
        let mut rules = Vec::new();
        let (everybody, named) = (self.lists.remove(&About::Everybody), self.lists.remove(&About::Named));
        // Users with the same list share its rules.
        let mut alike: BTreeMap<Topics, Vec<String>> = BTreeMap::new();
        for (about, topics) in self.lists {
            match about {
                About::User(user) => alike.entry(topics).or_default().push(user),
                _ => add(&mut rules, &[ANONYMOUS.to_owned()], &[], &topics, &ALL),
            }
        }
        for (topics, users) in alike {
            for users in users.chunks(USERS_MAX) {
                add(&mut rules, &[], users, &topics, &ALL);
            }
        }
        // Of both kinds of patterns, what is denied comes first.
        for accesses in [&ALL[..1], &ALL[1..]] {
            for (roles, topics) in [(&[][..], &everybody), (roles, &named)] {
                if let Some(topics) = topics {
                    add(&mut rules, roles, &[], topics, accesses);
                }
            }
        }
        if rules.is_empty() {
            // An empty list lets nobody do anything; no rules at all would let users do everything.
            let everything = Topics::from([(Access::Deny, vec!["#".to_owned()])]);
            add(&mut rules, &[], &[], &everything, &ALL);
        }
        rules
    }
}

const ALL: [Access; 4] = [Access::Deny, Access::Read, Access::Write, Access::Both];

/// Adds the rules of one list, in the order of `accesses`.
fn add(rules: &mut Vec<RoleRule>, roles: &[String], users: &[String], topics: &Topics, accesses: &[Access]) {
    for access in accesses {
        let (effect, actions) = match access {
            Access::Deny => (Effect::Deny, vec![Doing::Publish, Doing::Subscribe, Doing::Presence]),
            Access::Read => (Effect::Allow, vec![Doing::Subscribe]),
            Access::Write => (Effect::Allow, vec![Doing::Publish]),
            Access::Both => (Effect::Allow, vec![Doing::Publish, Doing::Subscribe]),
        };
        for topics in topics.get(access).into_iter().flat_map(|topics| topics.chunks(TOPICS_MAX)) {
            rules.push(RoleRule {
                effect,
                roles: roles.to_vec(),
                users: users.to_vec(),
                actions: actions.clone(),
                topics: topics.to_vec(),
            });
        }
    }
}

/// What may be done, and with which topic. The first word is an access where something follows it.
fn access(text: &str) -> Result<(Access, &str), String> {
    let Some((word, topic)) = text.split_once(' ') else {
        return if text.is_empty() { Err("the topic is missing".into()) } else { Ok((Access::Both, text)) };
    };
    let access = match word {
        "read" => Access::Read,
        "write" => Access::Write,
        "readwrite" => Access::Both,
        "deny" => Access::Deny,
        _ => return Err(format!("'{word}' is none of read, write, readwrite and deny")),
    };
    Ok((access, topic.trim()))
}

/// A pattern with our names for what is put in.
fn filled(pattern: &str) -> Result<String, String> {
    let level = |level: &str| match level {
        "%u" => Ok("${user}".to_owned()),
        "%c" => Ok("${client}".to_owned()),
        _ if level.contains("%u") || level.contains("%c") => {
            Err(format!("'{level}': %u and %c can stand for whole levels only"))
        }
        _ => Ok(level.to_owned()),
    };
    Ok(pattern.split('/').map(level).collect::<Result<Vec<_>, _>>()?.join("/"))
}

/// Checks that a topic means the same to us.
fn checked(topic: &str, filled: &str) -> Result<String, String> {
    if topic.contains("${") {
        return Err("'${' would mean something else here".into());
    }
    Filter::new(filled).map_err(|bad| format!("'{topic}': {bad}"))?;
    Ok(filled.into())
}

#[cfg(test)]
#[path = "acl_tests.rs"]
mod tests;
