//! Where names of MQTT and names of the hub meet: the one place that knows the prefixes of both.
//!
//! MQTT's names are the hub's names, but for what stands before them: `$share/GROUP/FILTER` and
//! `$queue/FILTER` share a subscription, `$exclusive/FILTER` takes one for oneself, and a message to
//! `$delayed/SECONDS/TOPIC` is published later. The hub is stricter than MQTT where MQTT leaves it free:
//! no control characters, 1024 bytes, 64 levels.

use std::{borrow::Cow, sync::Arc, time::Duration};

use yizhan_hub::{Filter, Topic, topic};

use crate::{config::Config, wire::Reason};

/// Before the group and the filter of a shared subscription (MQTT 5 §4.8.2).
const SHARE: &str = "$share/";
/// Before the filter of a subscription shared by all who write it so, as EMQX has it.
const QUEUE: &str = "$queue/";
/// The group of those.
const QUEUE_GROUP: &str = "$queue";
/// Before a filter that one client has for itself, as EMQX has it.
const EXCLUSIVE: &str = "$exclusive/";
/// Before the seconds and the topic of a message that waits, as EMQX has it.
const DELAYED: &str = "$delayed/";
/// The longest wait that can be written, as EMQX has it; the hub's own limit is usually shorter.
const DELAY_SECONDS_MAX: u64 = 4_294_967;

/// How names are read.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    levels_max: usize,
    wildcards: bool,
    shared: bool,
    exclusive: bool,
    delayed: bool,
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The topic.
    pub topic: Topic,
    /// How long it waits before.
    pub delay: Option<Duration>,
}

/// What somebody wants to hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Which topics.
    pub filter: Filter,
    /// With whom.
    pub among: Among,
}

/// Who hears what a subscription hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Among {
    /// Everybody who wants to.
    All,
    /// One of this group.
    Group(Arc<str>),
    /// Nobody else.
    Nobody,
}

/// Why a name is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// A topic has `+` or `#` in it (MQTT-3.3.2-2).
    #[error("a topic has no wildcards")]
    WildcardInTopic,
    /// The hub takes no such name.
    #[error("{0}")]
    Invalid(topic::BadName),
    /// It has more levels than the operator allows.
    #[error("a name has at most {0} levels here")]
    TooDeep(usize),
    /// `$share` without a group or filter, or with a group that has wildcards (MQTT-4.8.2-1, MQTT-4.8.2-2).
    #[error("a shared subscription is $share/GROUP/FILTER, and a group's name has no '/', '+' or '#'")]
    BadShare,
    /// `$delayed` without seconds or topic.
    #[error("a delayed topic is $delayed/SECONDS/TOPIC, with at most {DELAY_SECONDS_MAX} seconds")]
    BadDelay,
    /// The operator allows no shared subscriptions.
    #[error("subscriptions cannot be shared here")]
    SharedOff,
    /// The operator allows no wildcards.
    #[error("filters have no wildcards here")]
    WildcardsOff,
    /// The operator allows no exclusive subscriptions.
    #[error("no subscription is exclusive here")]
    ExclusiveOff,
    /// The operator allows no delayed messages.
    #[error("no message waits here")]
    DelayedOff,
}

impl BadName {
    /// The reason code for a topic that is published to (MQTT 5 §2.4).
    #[must_use]
    pub fn of_topic(self) -> Reason {
        match self {
            Self::DelayedOff => Reason::NotAuthorized,
            _ => Reason::TopicNameInvalid,
        }
    }

    /// The reason code for a filter (MQTT 5 §2.4).
    #[must_use]
    pub fn of_filter(self) -> Reason {
        match self {
            Self::SharedOff => Reason::SharedSubscriptionsNotSupported,
            Self::WildcardsOff => Reason::WildcardSubscriptionsNotSupported,
            Self::ExclusiveOff => Reason::NotAuthorized,
            _ => Reason::TopicFilterInvalid,
        }
    }
}

impl Names {
    /// As the config has it.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            levels_max: config.levels_max,
            wildcards: config.wildcards,
            shared: config.share.on,
            exclusive: config.exclusive,
            delayed: config.delayed,
        }
    }

    /// Where a message to `name` goes.
    ///
    /// # Errors
    /// The name is no topic, or its prefix makes no sense.
    pub fn destination(&self, name: &str) -> Result<Destination, BadName> {
        let (name, delay) = match name.strip_prefix(DELAYED) {
            None => (name, None),
            Some(_) if !self.delayed => return Err(BadName::DelayedOff),
            Some(rest) => {
                let (seconds, name) = rest.split_once('/').ok_or(BadName::BadDelay)?;
                (name, delay(seconds)?)
            }
        };
        let topic = Topic::new(name).map_err(|bad| match bad {
            topic::BadName::Wildcard => BadName::WildcardInTopic,
            bad => BadName::Invalid(bad),
        })?;
        self.check_depth(name)?;
        Ok(Destination { topic, delay })
    }

    /// What a subscription to `text` means; `rewrite` is asked about the filter without its prefix.
    ///
    /// # Errors
    /// It is no filter, its prefix makes no sense, or the operator allows no such thing.
    pub fn wish<'t>(
        &self,
        text: &'t str,
        rewrite: impl FnOnce(&'t str) -> Cow<'t, str>,
    ) -> Result<Wish, BadName> {
        let (plain, among) = self.among(text)?;
        let plain = rewrite(plain);
        let filter = Filter::new(&plain).map_err(BadName::Invalid)?;
        self.check_depth(&plain)?;
        if !self.wildcards && filter.is_wild() {
            return Err(BadName::WildcardsOff);
        }
        Ok(Wish { filter, among })
    }

    /// Takes the prefix off.
    fn among<'t>(&self, text: &'t str) -> Result<(&'t str, Among), BadName> {
        if let Some(rest) = text.strip_prefix(SHARE) {
            let (group, plain) = rest.split_once('/').ok_or(BadName::BadShare)?;
            if group.is_empty() || group.contains(['+', '#']) || plain.is_empty() {
                return Err(BadName::BadShare);
            }
            let among = Among::Group(group.into());
            return if self.shared { Ok((plain, among)) } else { Err(BadName::SharedOff) };
        }
        if let Some(plain) = text.strip_prefix(QUEUE) {
            let among = Among::Group(QUEUE_GROUP.into());
            return if self.shared { Ok((plain, among)) } else { Err(BadName::SharedOff) };
        }
        if let Some(plain) = text.strip_prefix(EXCLUSIVE) {
            return if self.exclusive { Ok((plain, Among::Nobody)) } else { Err(BadName::ExclusiveOff) };
        }
        // Without a group there is nothing to share, and as a plain filter it would hear nothing ever.
        if text == "$share" { Err(BadName::BadShare) } else { Ok((text, Among::All)) }
    }

    fn check_depth(&self, name: &str) -> Result<(), BadName> {
        let levels = 1 + name.bytes().filter(|b| *b == b'/').count();
        if levels > self.levels_max { Err(BadName::TooDeep(self.levels_max)) } else { Ok(()) }
    }
}

/// No time is no wait.
fn delay(seconds: &str) -> Result<Option<Duration>, BadName> {
    // `parse` would take a sign.
    if seconds.is_empty() || !seconds.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BadName::BadDelay);
    }
    match seconds.parse() {
        Ok(0) => Ok(None),
        Ok(seconds) if seconds <= DELAY_SECONDS_MAX => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(BadName::BadDelay),
    }
}

/// A name of the config in which `%c` stands for the client id and `%u` for the user; `${clientid}` and
/// `${username}` are taken, too, as EMQX writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Box<[Part]>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Plain(Box<str>),
    Client,
    User,
}

/// What stands for what.
const PLACES: [(&str, Part); 4] =
    [("%c", Part::Client), ("${clientid}", Part::Client), ("%u", Part::User), ("${username}", Part::User)];

impl Template {
    /// Reads a template; every text is one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let next = PLACES.iter().filter_map(|(mark, part)| Some((rest.find(mark)?, *mark, part)));
            let Some((at, mark, part)) = next.min_by_key(|(at, ..)| *at) else { break };
            if at > 0 {
                parts.push(Part::Plain(rest[..at].into()));
            }
            parts.push(part.clone());
            rest = &rest[at + mark.len()..];
        }
        if !rest.is_empty() {
            parts.push(Part::Plain(rest.into()));
        }
        Self(parts.into())
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is the same for everybody.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Plain(_)))
    }

    /// The name for this client. `None` where an id or user that is wanted is empty or has `/`, `+` or `#` in
    /// it: it would be more than a part of one level, and could widen what it stands in.
    #[must_use]
    pub fn fill(&self, client: &str, user: &str) -> Option<String> {
        let mut name = String::new();
        for part in &self.0 {
            name.push_str(match part {
                Part::Plain(text) => text,
                Part::Client => plain(client)?,
                Part::User => plain(user)?,
            });
        }
        Some(name)
    }
}

fn plain(text: &str) -> Option<&str> {
    (!text.is_empty() && !text.contains(['/', '+', '#'])).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::of(&Config { levels_max: 5, ..Config::default() })
    }

    fn wish(text: &str) -> Result<(String, Among), BadName> {
        names().wish(text, Cow::Borrowed).map(|w| (w.filter.as_str().to_owned(), w.among))
    }

    #[test]
    fn a_topic_is_a_topic_and_delayed_ones_wait() {
        for (name, topic, seconds) in [
            ("a/b", "a/b", None),
            ("/", "/", None),
            ("$delayed/5/a/b", "a/b", Some(5)),
            ("$delayed/0/a", "a", None),
            ("$delayed/4294967//a", "/a", Some(4_294_967)),
            ("$delayed", "$delayed", None),
            ("$share/g/a", "$share/g/a", None),
            ("Ünï/😀", "Ünï/😀", None),
        ] {
            let destination = names().destination(name).unwrap();
            assert_eq!(destination.topic.as_str(), topic, "{name}");
            assert_eq!(destination.delay, seconds.map(Duration::from_secs), "{name}");
        }
    }

    #[test]
    fn topics_that_are_none_have_their_reason() {
        use topic::BadName as Hub;
        for (name, bad) in [
            ("", BadName::Invalid(Hub::Empty)),
            ("a/+", BadName::WildcardInTopic),
            ("a/#", BadName::WildcardInTopic),
            ("a\u{7}", BadName::Invalid(Hub::Control)),
            ("a\u{fffe}", BadName::Invalid(Hub::Control)),
            ("a/b/c/d/e/f", BadName::TooDeep(5)),
            ("$delayed/", BadName::BadDelay),
            ("$delayed/5", BadName::BadDelay),
            ("$delayed/5/", BadName::Invalid(Hub::Empty)),
            ("$delayed/+5/a", BadName::BadDelay),
            ("$delayed/-5/a", BadName::BadDelay),
            ("$delayed/4294968/a", BadName::BadDelay),
            ("$delayed/99999999999999999999999/a", BadName::BadDelay),
            ("$delayed/5/a/#", BadName::WildcardInTopic),
        ] {
            assert_eq!(names().destination(name), Err(bad), "{name:?}");
            assert_eq!(bad.of_topic(), Reason::TopicNameInvalid, "{name:?}");
        }
        let long = "x".repeat(topic::NAME_BYTES_MAX + 1);
        assert_eq!(names().destination(&long), Err(BadName::Invalid(Hub::TooLong)));
    }

    #[test]
    fn a_prefix_says_with_whom_a_subscription_is_shared() {
        let group = |name: &str| Among::Group(name.into());
        for (text, filter, among) in [
            ("a/#", "a/#", Among::All),
            ("$SYS/#", "$SYS/#", Among::All),
            ("$share/g/a/+", "a/+", group("g")),
            ("$share/g//a", "/a", group("g")),
            ("$share/g/$SYS/#", "$SYS/#", group("g")),
            ("$queue/a", "a", group("$queue")),
            ("$exclusive/a", "a", Among::Nobody),
            ("$shared/a", "$shared/a", Among::All),
        ] {
            assert_eq!(wish(text), Ok((filter.to_owned(), among)), "{text}");
        }
    }

    #[test]
    fn filters_that_are_none_have_their_reason() {
        use topic::BadName as Hub;
        for (text, bad) in [
            ("", BadName::Invalid(Hub::Empty)),
            ("a/#/b", BadName::Invalid(Hub::MisplacedWildcard)),
            ("a+", BadName::Invalid(Hub::MisplacedWildcard)),
            ("a\u{1}", BadName::Invalid(Hub::Control)),
            ("a/b/c/d/e/f", BadName::TooDeep(5)),
            ("$share", BadName::BadShare),
            ("$share/", BadName::BadShare),
            ("$share/g", BadName::BadShare),
            ("$share/g/", BadName::BadShare),
            ("$share//a", BadName::BadShare),
            ("$share/g+/a", BadName::BadShare),
            ("$share/#/a", BadName::BadShare),
            ("$share/g/a#", BadName::Invalid(Hub::MisplacedWildcard)),
            ("$queue/", BadName::Invalid(Hub::Empty)),
            ("$exclusive/", BadName::Invalid(Hub::Empty)),
        ] {
            assert_eq!(wish(text), Err(bad), "{text:?}");
            assert_eq!(bad.of_filter(), Reason::TopicFilterInvalid, "{text:?}");
        }
    }

    #[test]
    fn what_the_operator_has_switched_off_is_refused_by_its_name() {
        let mut config = Config { wildcards: false, exclusive: false, delayed: false, ..Config::default() };
        config.share.on = false;
        let names = Names::of(&config);
        for (text, bad, reason) in [
            ("a/+", BadName::WildcardsOff, Reason::WildcardSubscriptionsNotSupported),
            ("$share/g/a", BadName::SharedOff, Reason::SharedSubscriptionsNotSupported),
            ("$queue/a", BadName::SharedOff, Reason::SharedSubscriptionsNotSupported),
            ("$exclusive/a", BadName::ExclusiveOff, Reason::NotAuthorized),
        ] {
            assert_eq!(names.wish(text, Cow::Borrowed), Err(bad), "{text}");
            assert_eq!(bad.of_filter(), reason, "{text}");
        }
        assert_eq!(names.destination("$delayed/1/a"), Err(BadName::DelayedOff));
        assert!(names.wish("a", Cow::Borrowed).is_ok() && names.destination("a").is_ok());
    }

    #[test]
    fn a_template_takes_names_that_are_a_part_of_one_level() {
        for (template, filled) in [
            ("", Some("")),
            ("a/b", Some("a/b")),
            ("to/%c/%u", Some("to/c1/ann")),
            ("${clientid}-${username}", Some("c1-ann")),
            ("%x%c%", Some("%xc1%")),
        ] {
            assert_eq!(Template::new(template).fill("c1", "ann").as_deref(), filled, "{template}");
        }
        for bad in ["", "a/b", "+", "#", "x#"] {
            assert_eq!(Template::new("to/%c").fill(bad, "ann"), None, "{bad}");
            assert_eq!(Template::new("to/%u").fill("c1", bad), None, "{bad}");
            assert_eq!(Template::new("to/%u").fill(bad, "ann").as_deref(), Some("to/ann"), "{bad}");
        }
    }
}
