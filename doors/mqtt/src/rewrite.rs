//! Topics that become others.

use std::borrow::Cow;

use regex_lite::{Regex, RegexBuilder};
use yizhan_hub::Filter;

use crate::{
    config::{RewriteAction, RewriteRule},
    names::Template,
};

/// Rules: all are looked at for each packet in the worst case.
const RULES_MAX: usize = 1_000;
/// Bytes of an expression's text.
const REGEX_BYTES_MAX: usize = 1024;
/// Bytes that a compiled expression may have.
const REGEX_SIZE_MAX: usize = 64 * 1024;
/// How deep groups may lie in each other.
const REGEX_DEPTH_MAX: u32 = 32;

/// All rules, compiled.
#[derive(Debug, Default)]
pub struct Rewrites {
    publish: Box<[Rule]>,
    subscribe: Box<[Rule]>,
}

#[derive(Debug, Clone)]
struct Rule {
    source: Filter,
    regex: Regex,
    destination: Box<[Part]>,
}

/// A part of what a topic becomes.
#[derive(Debug, Clone)]
enum Part {
    /// What a group took; 0 is all that the expression fitted.
    Group(usize),
    /// Text, the client's id and user.
    Text(Template),
}

impl Rewrites {
    /// Compiles the rules of the config.
    ///
    /// # Errors
    /// Which key of which rule, and what is wrong with it.
    pub fn new(rules: &[RewriteRule]) -> Result<Self, String> {
        if rules.len() > RULES_MAX {
            return Err(format!("rewrite: at most {RULES_MAX} rules are taken"));
        }
        let (mut publish, mut subscribe) = (Vec::new(), Vec::new());
        for (i, rule) in rules.iter().enumerate() {
            let compiled = Rule::new(rule).map_err(|reason| format!("rewrite[{i}].{reason}"))?;
            if rule.action != RewriteAction::Subscribe {
                publish.push(compiled.clone());
            }
            if rule.action != RewriteAction::Publish {
                subscribe.push(compiled);
            }
        }
        // The last rule whose source fits counts, as EMQX has it.
        publish.reverse();
        subscribe.reverse();
        Ok(Self { publish: publish.into(), subscribe: subscribe.into() })
    }

    /// What the topic of a PUBLISH or a will becomes.
    #[must_use]
    pub fn publish<'t>(&self, topic: &'t str, client: &str, user: &str) -> Cow<'t, str> {
        let fits = |rule: &&Rule| rule.source.matches_name(topic);
        apply(self.publish.iter().find(fits), topic, client, user)
    }

    /// What a filter of SUBSCRIBE or UNSUBSCRIBE becomes.
    #[must_use]
    pub fn subscribe<'t>(&self, filter: &'t str, client: &str, user: &str) -> Cow<'t, str> {
        if self.subscribe.is_empty() {
            return Cow::Borrowed(filter);
        }
        // What is no filter fits no source; whoever asked finds out next.
        let Ok(wanted) = Filter::new(filter) else { return Cow::Borrowed(filter) };
        let fits = |rule: &&Rule| rule.source.covers(&wanted);
        apply(self.subscribe.iter().find(fits), filter, client, user)
    }
}

fn apply<'t>(rule: Option<&Rule>, name: &'t str, client: &str, user: &str) -> Cow<'t, str> {
    rule.and_then(|rule| rule.apply(name, client, user)).map_or(Cow::Borrowed(name), Cow::Owned)
}

impl Rule {
    fn new(rule: &RewriteRule) -> Result<Self, String> {
        let source = Filter::new(&rule.source).map_err(|bad| format!("source: {bad}"))?;
        if rule.regex.len() > REGEX_BYTES_MAX {
            return Err(format!("regex: at most {REGEX_BYTES_MAX} bytes are taken"));
        }
        let regex = RegexBuilder::new(&rule.regex)
            .size_limit(REGEX_SIZE_MAX)
            .nest_limit(REGEX_DEPTH_MAX)
            .build()
            .map_err(|bad| format!("regex: {bad}"))?;
        let destination = parts(&rule.destination, regex.captures_len())?;
        Ok(Self { source, regex, destination })
    }

    /// The new name; `None` where the expression does not fit, or the client's id or user cannot be in a name.
    fn apply(&self, name: &str, client: &str, user: &str) -> Option<String> {
        let groups = self.regex.captures(name)?;
        let mut new = String::with_capacity(name.len());
        for part in &self.destination {
            match part {
                Part::Group(i) => new.push_str(groups.get(*i).map_or("", |group| group.as_str())),
                Part::Text(text) => new.push_str(&text.fill(client, user)?),
            }
        }
        Some(new)
    }
}

/// Reads `a/$1/%c`; there are `groups` groups, number 0 included.
fn parts(destination: &str, groups: usize) -> Result<Box<[Part]>, String> {
    if destination.is_empty() {
        return Err("destination: a topic is not empty".to_owned());
    }
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = destination.chars().peekable();
    while let Some(c) = rest.next() {
        let digit = rest.peek().and_then(|c| c.to_digit(10)).filter(|_| c == '$');
        let Some(digit) = digit else {
            text.push(c);
            continue;
        };
        let group = digit as usize;
        if group >= groups {
            let there = groups - 1;
            return Err(format!("destination: ${group} is not there, the expression has {there} groups"));
        }
        rest.next();
        if !text.is_empty() {
            parts.push(Part::Text(Template::new(&std::mem::take(&mut text))));
        }
        parts.push(Part::Group(group));
    }
    if !text.is_empty() {
        parts.push(Part::Text(Template::new(&text)));
    }
    Ok(parts.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(action: RewriteAction, source: &str, regex: &str, destination: &str) -> RewriteRule {
        RewriteRule { action, source: source.into(), regex: regex.into(), destination: destination.into() }
    }

    fn all(source: &str, regex: &str, destination: &str) -> RewriteRule {
        rule(RewriteAction::All, source, regex, destination)
    }

    #[test]
    fn the_last_rule_whose_source_fits_counts() {
        let rules = Rewrites::new(&[
            all("y/+/z/#", "^y/(.+)/z/(.+)$", "y/z/$2"),
            all("x/#", "^x/y/(.+)$", "z/y/x/$1"),
            all("x/y/+", r"^x/y/(\d+)$", "z/y/$1"),
        ])
        .unwrap();
        for (topic, becomes) in [
            ("y/def", "y/def"),
            ("y/a/z/b", "y/z/b"),
            ("x/1/2", "x/1/2"),
            ("x/y/2", "z/y/2"),
            ("x/y/z", "x/y/z"),
            ("x/y/a/b", "z/y/x/a/b"),
        ] {
            assert_eq!(rules.publish(topic, "c", "u"), becomes, "{topic}");
            assert_eq!(rules.subscribe(topic, "c", "u"), becomes, "{topic}");
        }
    }

    #[test]
    fn a_rule_may_be_for_one_kind_of_packet() {
        let rules = Rewrites::new(&[
            rule(RewriteAction::Publish, "a", "^a$", "p"),
            rule(RewriteAction::Subscribe, "b", "^b$", "s"),
        ])
        .unwrap();
        let both = |name| (rules.publish(name, "c", "u"), rules.subscribe(name, "c", "u"));
        assert_eq!(both("a"), ("p".into(), "a".into()));
        assert_eq!(both("b"), ("b".into(), "s".into()));
    }

    #[test]
    fn the_client_can_be_in_the_new_name_where_it_cannot_widen_it() {
        let rules = Rewrites::new(&[all("up/#", "^up/(.*)$", "devices/%c/%u/$1")]).unwrap();
        assert_eq!(rules.publish("up/t", "c1", "ann"), "devices/c1/ann/t");
        assert_eq!(rules.subscribe("up/#", "c1", "ann"), "devices/c1/ann/#");
        for client in ["#", "+", "a/b", ""] {
            assert_eq!(rules.subscribe("up/#", client, "ann"), "up/#", "{client}");
        }
    }

    #[test]
    fn only_filters_within_the_source_are_rewritten() {
        let rules = Rewrites::new(&[all("a/+", "^a/(.+)$", "b/$1")]).unwrap();
        for (filter, becomes) in
            [("a/x", "b/x"), ("a/+", "b/+"), ("a/#", "a/#"), ("#", "#"), ("a/#/x", "a/#/x")]
        {
            assert_eq!(rules.subscribe(filter, "c", "u"), becomes, "{filter}");
        }
    }

    #[test]
    fn bad_rules_say_which_key_and_why() {
        let deep = format!("{}a{}", "(".repeat(100), ")".repeat(100));
        for (bad, key) in [
            (all("a/#/b", "a", "b"), "rewrite[0].source: "),
            (all("#", "(", "b"), "rewrite[0].regex: "),
            (all("#", &deep, "b"), "rewrite[0].regex: "),
            (all("#", "(a{1000}){1000}", "b"), "rewrite[0].regex: "),
            (all("#", &"a".repeat(2000), "b"), "rewrite[0].regex: "),
            (all("#", "(a)", "$2"), "rewrite[0].destination: $2 is not there, the expression has 1 groups"),
            (all("#", "a", ""), "rewrite[0].destination: "),
        ] {
            let error = Rewrites::new(std::slice::from_ref(&bad)).unwrap_err();
            assert!(error.starts_with(key), "{error}");
        }
        assert!(Rewrites::new(&vec![all("#", "a", "b"); RULES_MAX + 1]).is_err());
    }

    #[test]
    fn a_dollar_without_a_digit_stays() {
        let rules = Rewrites::new(&[all("later/#", "^later/(.*)$", "$delayed/5/$1")]).unwrap();
        assert_eq!(rules.publish("later/a", "c", "u"), "$delayed/5/a");
    }
}
