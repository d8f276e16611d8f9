//! Who may do what: ordered rules, the first that fits decides.
//!
//! A rule is compiled once and compared with the topic as it stands, so that the hot path neither
//! substitutes nor allocates. `${user}` and `${device}` stand for one whole level and nothing else: a
//! name that is more than a plain level ([`is_plain_level`]) matches nothing, so it can't widen a rule.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use yizhan_hub::{Action, Filter, Principal, Topic, Verdict};

use crate::{
    config::{Config, Entry, WideFilters},
    failure::{BadConfig, Failure},
    names::{
        ADMIN, ANONYMOUS, GUEST, JWT_USER_BYTES_MAX, NARROW_MARK, OWNER, USER, check_role, is_plain_level,
    },
};

/// Rules in the config that name no users, and rules that name the same user: all of both are looked at for
/// each publish in the worst case.
const RULES_MAX: usize = 1_000;
/// Rules in the config altogether.
const RULES_ALL_MAX: usize = 100_000;
/// Users that one rule names.
const USERS_MAX: usize = 1_000;
/// Filters of one rule.
const TOPICS_MAX: usize = 100;
/// Different roles that rules may name, the built-in ones included: one bit each.
const ROLES_NAMED_MAX: usize = 63;
/// Rules of one token.
pub const TOKEN_RULES_MAX: usize = 32;
/// All roles, also those that no rule names.
const EVERYBODY: u64 = u64::MAX;

/// Whether a rule lets or stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It lets.
    Allow,
    /// It stops.
    Deny,
}

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Doing {
    /// Sending to a topic.
    Publish,
    /// Hearing a topic live, its state and its history.
    Subscribe,
    /// Seeing who listens to a topic.
    Presence,
}

/// One rule of the config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleRule {
    /// `allow` or `deny`.
    pub effect: Effect,
    /// Whom it is about. Left out: everybody, anonymous clients included, but not owners.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Whom it is about, by name. Left out: everybody who has one of the roles. With both, a user must be named
    /// and have one of the roles.
    #[serde(default)]
    pub users: Vec<String>,
    /// `publish`, `subscribe`, `presence`. Left out: all three.
    #[serde(default = "all_actions")]
    pub actions: Vec<Doing>,
    /// Which topics: filters, in which `${user}` and `${device}` may stand for whole levels. `${client}` is
    /// another name for `${device}`: at the MQTT door it is the client id.
    pub topics: Vec<String>,
}

/// One rule of a token: as in the config, without roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// `allow` or `deny`.
    pub effect: Effect,
    /// `publish`, `subscribe`, `presence`. Left out: all three.
    #[serde(default = "all_actions")]
    pub actions: Vec<Doing>,
    /// Which topics: filters, in which `${user}` and `${device}` may stand for whole levels. `${client}` is
    /// another name for `${device}`: at the MQTT door it is the client id.
    pub topics: Vec<String>,
}

fn all_actions() -> Vec<Doing> {
    vec![Doing::Publish, Doing::Subscribe, Doing::Presence]
}

/// All rules of a server, compiled.
#[derive(Debug)]
pub struct Policy {
    /// The bit of each role that some rule names.
    bits: FxHashMap<Arc<str>, u64>,
    rules: Box<[Compiled]>,
    /// The places of rules that name no users.
    general: Box<[u32]>,
    /// The places of rules that name a user.
    named: FxHashMap<Arc<str>, Vec<u32>>,
    wide: WideFilters,
}

impl Policy {
    /// Compiles the config's rules and adds the built-in ones behind them.
    ///
    /// # Errors
    /// A rule that can't be meant.
    pub fn new(config: &Config) -> Result<Self, BadConfig> {
        if config.rules.len() > RULES_ALL_MAX {
            return Err(BadConfig::new("rules", format!("at most {RULES_ALL_MAX} are taken")));
        }
        let mut bits = FxHashMap::default();
        for (i, role) in [OWNER, ADMIN, USER, GUEST, ANONYMOUS].into_iter().enumerate() {
            bits.insert(role.into(), 1 << i);
        }
        let mut rules = vec![Compiled::new(bits[OWNER], Effect::Allow, ALL, vec![Pattern::Everything])];
        let (mut general, mut named) = (vec![0], FxHashMap::<Arc<str>, Vec<u32>>::default());
        for (i, rule) in config.rules.iter().enumerate() {
            let bad = |reason: String| BadConfig::new(format!("rules[{i}]"), reason);
            let mask = mask_of(&mut bits, &rule.roles).map_err(bad)?;
            let patterns = patterns(&rule.topics).map_err(bad)?;
            let place = rules.len() as u32;
            rules.push(Compiled::new(mask, rule.effect, actions(&rule.actions), patterns));
            if rule.users.is_empty() {
                general.push(place);
            }
            check_users(&rule.users).map_err(bad)?;
            for user in rule.users.iter().collect::<BTreeSet<_>>() {
                let places = named.entry(user.as_str().into()).or_default();
                places.push(place);
                if places.len() > RULES_MAX {
                    return Err(bad(format!("more than {RULES_MAX} rules name the user '{user}'")));
                }
            }
            if general.len() > RULES_MAX + 1 {
                return Err(bad(format!("at most {RULES_MAX} rules that name no users are taken")));
            }
        }
        let behind = rules.len() as u32;
        built_in(config, &bits, &mut rules);
        general.extend(behind..rules.len() as u32);
        Ok(Self { bits, rules: rules.into(), general: general.into(), named, wide: config.wide_filters })
    }

    /// Whether `who` may do this with one topic.
    #[must_use]
    pub fn may(&self, who: &Principal, action: Action, topic: &Topic) -> bool {
        let fits = self.fits(who);
        if self.named.is_empty() {
            return first_fit(self.rules.iter().filter(fits), who, action, topic);
        }
        first_fit(self.rules_about(who).filter(fits), who, action, topic)
    }

    /// Whether `who` may do this with everything that a filter matches.
    #[must_use]
    pub fn may_filter(&self, who: &Principal, action: Action, filter: &Filter) -> Verdict {
        verdict(self.rules_about(who).filter(self.fits(who)), who, action, filter, self.wide)
    }

    /// Says of a rule whether it is about one of somebody's roles.
    fn fits(&self, who: &Principal) -> impl Fn(&&Compiled) -> bool + use<> {
        let roles = who.roles.iter().filter_map(|role| self.bits.get(role)).fold(0, |bits, bit| bits | bit);
        move |rule| rule.roles == EVERYBODY || rule.roles & roles != 0
    }

    /// The rules that name nobody and those that name this user, in order.
    fn rules_about(&self, who: &Principal) -> impl Iterator<Item = &Compiled> {
        let named = self.named.get(&who.user);
        let (mut general, mut named) = (&*self.general, named.map_or(&[][..], |places| places));
        let places = std::iter::from_fn(move || {
            let next = match (general.first(), named.first()) {
                (Some(a), Some(b)) if b < a => &mut named,
                (None, Some(_)) => &mut named,
                _ => &mut general,
            };
            let (place, rest) = next.split_first()?;
            *next = rest;
            Some(*place)
        });
        places.map(|place| &self.rules[place as usize])
    }
}

/// The bits of a rule's roles; new names get one.
fn mask_of(bits: &mut FxHashMap<Arc<str>, u64>, roles: &[String]) -> Result<u64, String> {
    if roles.is_empty() {
        return Ok(EVERYBODY);
    }
    let mut mask = 0;
    for role in roles {
        check_role(role).map_err(|failure| failure.to_string())?;
        let next = bits.len();
        if !bits.contains_key(role.as_str()) && next >= ROLES_NAMED_MAX {
            return Err(format!("rules name more than {ROLES_NAMED_MAX} roles"));
        }
        mask |= *bits.entry(role.as_str().into()).or_insert(1 << next);
    }
    Ok(mask)
}

fn check_users(users: &[String]) -> Result<(), String> {
    if users.len() > USERS_MAX {
        return Err(format!("it names more than {USERS_MAX} users: use a role"));
    }
    match users.iter().find(|user| !(1..=JWT_USER_BYTES_MAX).contains(&user.len())) {
        Some(user) => Err(format!("'{user}': a user's name has 1 to {JWT_USER_BYTES_MAX} bytes")),
        None => Ok(()),
    }
}

/// What holds behind the config's rules.
fn built_in(config: &Config, bits: &FxHashMap<Arc<str>, u64>, rules: &mut Vec<Compiled>) {
    let filter = |text: &str| Pattern::Plain(Filter::new(text).expect("a built-in filter is valid"));
    let mut add = |role: &str, actions: u8, pattern: Pattern| {
        rules.push(Compiled::new(bits[role], Effect::Allow, actions, vec![pattern]));
    };
    add(ADMIN, SUBSCRIBE | PRESENCE, Pattern::Everything);
    add(ADMIN, PUBLISH, filter("#"));
    if config.rules.is_empty() {
        add(USER, ALL, filter("#"));
        add(USER, SUBSCRIBE, filter("$presence/#"));
        add(USER, SUBSCRIBE, filter("$SYS/broker/#"));
    }
    for (role, entry) in [(GUEST, config.guests), (ANONYMOUS, config.anonymous)] {
        match entry {
            Entry::Off | Entry::Rules => {}
            Entry::Read => add(role, SUBSCRIBE, filter("#")),
            Entry::Open => {
                add(role, ALL, filter("#"));
                add(role, SUBSCRIBE, filter("$presence/#"));
                add(role, SUBSCRIBE, filter("$SYS/broker/#"));
            }
        }
    }
}

/// The rules of tokens that have some, by the role that marks them.
#[derive(Debug, Default)]
pub(crate) struct Narrowings(RwLock<FxHashMap<Arc<str>, Arc<[Compiled]>>>);

impl Narrowings {
    /// Remembers a token's rules.
    pub(crate) fn put(&self, mark: &str, rules: &[Rule]) -> Result<(), Failure> {
        let compiled = compile_token_rules(rules)?;
        self.0.write().insert(mark.into(), compiled);
        Ok(())
    }

    pub(crate) fn remove(&self, mark: &str) {
        self.0.write().remove(mark);
    }

    pub(crate) fn has(&self, mark: &str) -> bool {
        self.0.read().contains_key(mark)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.read().len()
    }

    /// Whether the rules of the token that `who` came with, if they are there, allow this. A token whose
    /// rules are gone allows nothing.
    pub(crate) fn may(&self, who: &Principal, action: Action, topic: &Topic) -> bool {
        who.roles.iter().filter(|role| role.starts_with(NARROW_MARK)).all(|mark| {
            self.0.read().get(mark).is_some_and(|rules| first_fit(rules.iter(), who, action, topic))
        })
    }

    pub(crate) fn may_filter(
        &self,
        who: &Principal,
        action: Action,
        filter: &Filter,
        wide: WideFilters,
    ) -> Verdict {
        who.roles.iter().filter(|role| role.starts_with(NARROW_MARK)).fold(Verdict::Allowed, |all, mark| {
            let one = self
                .0
                .read()
                .get(mark)
                .map_or(Verdict::Denied, |rules| verdict(rules.iter(), who, action, filter, wide));
            stricter(all, one)
        })
    }
}

/// Checks and compiles a token's rules.
pub(crate) fn compile_token_rules(rules: &[Rule]) -> Result<Arc<[Compiled]>, Failure> {
    if rules.len() > TOKEN_RULES_MAX {
        return Err(Failure::BadRule(format!("at most {TOKEN_RULES_MAX} are taken")));
    }
    let compile = |rule: &Rule| {
        let patterns = patterns(&rule.topics).map_err(Failure::BadRule)?;
        Ok(Compiled::new(EVERYBODY, rule.effect, actions(&rule.actions), patterns))
    };
    rules.iter().map(compile).collect()
}

/// Of two verdicts that both must hold, what both say together.
pub(crate) fn stricter(a: Verdict, b: Verdict) -> Verdict {
    match (a, b) {
        (Verdict::Denied, _) | (_, Verdict::Denied) => Verdict::Denied,
        (Verdict::Allowed, Verdict::Allowed) => Verdict::Allowed,
        _ => Verdict::Checked,
    }
}

const PUBLISH: u8 = 1;
const SUBSCRIBE: u8 = 2;
const PRESENCE: u8 = 4;
const ALL: u8 = PUBLISH | SUBSCRIBE | PRESENCE;

fn actions(doings: &[Doing]) -> u8 {
    doings.iter().fold(0, |mask, doing| {
        mask | match doing {
            Doing::Publish => PUBLISH,
            Doing::Subscribe => SUBSCRIBE,
            Doing::Presence => PRESENCE,
        }
    })
}

fn bit_of(action: Action) -> u8 {
    match action {
        Action::Publish => PUBLISH,
        Action::Subscribe => SUBSCRIBE,
        Action::Presence => PRESENCE,
    }
}

/// One rule, ready to be compared.
#[derive(Debug)]
pub(crate) struct Compiled {
    roles: u64,
    effect: Effect,
    actions: u8,
    patterns: Box<[Pattern]>,
}

impl Compiled {
    fn new(roles: u64, effect: Effect, actions: u8, patterns: Vec<Pattern>) -> Self {
        Self { roles, effect, actions, patterns: patterns.into() }
    }
}

/// The first rule that fits decides; none denies.
fn first_fit<'a>(
    mut rules: impl Iterator<Item = &'a Compiled>,
    who: &Principal,
    action: Action,
    topic: &Topic,
) -> bool {
    let bit = bit_of(action);
    rules
        .find(|rule| rule.actions & bit != 0 && rule.patterns.iter().any(|p| p.matches(who, topic)))
        .is_some_and(|rule| rule.effect == Effect::Allow)
}

/// A filter is allowed where one rule allows all of it and no rule before denies a part; checked where a
/// rule before does. What is allowed only in pieces is denied: who asks for `rooms/#` and may hear one
/// room shall ask for that room. Or, where the config says so, it is checked.
fn verdict<'a>(
    rules: impl Iterator<Item = &'a Compiled>,
    who: &Principal,
    action: Action,
    filter: &Filter,
    wide: WideFilters,
) -> Verdict {
    let bit = bit_of(action);
    let (mut holes, mut pieces) = (false, false);
    for rule in rules.filter(|rule| rule.actions & bit != 0) {
        let covers = rule.patterns.iter().any(|p| p.covers(who, filter));
        let overlaps = || rule.patterns.iter().any(|p| p.overlaps(who, filter));
        match rule.effect {
            Effect::Allow if covers && !holes => return Verdict::Allowed,
            Effect::Allow if covers => return Verdict::Checked,
            Effect::Allow => pieces = pieces || (wide == WideFilters::Check && overlaps()),
            Effect::Deny if covers => break,
            Effect::Deny => holes = holes || overlaps(),
        }
    }
    if pieces { Verdict::Checked } else { Verdict::Denied }
}

/// Topics that a rule is about.
#[derive(Debug)]
enum Pattern {
    /// All topics, those with `$` too.
    Everything,
    /// What a filter matches.
    Plain(Filter),
    /// What a filter matches that the names of user and device are put into.
    Personal(Box<[Level]>),
}

#[derive(Debug)]
enum Level {
    Name(Box<str>),
    One,
    Rest,
    User,
    Device,
}

impl Level {
    /// The name that this level stands for; `None` where it stands for nothing that exists.
    fn name<'a>(&'a self, who: &'a Principal) -> Option<&'a str> {
        match self {
            Self::Name(name) => Some(name),
            Self::User => Some(&*who.user).filter(|name| is_plain_level(name)),
            Self::Device => who.device.as_deref().filter(|name| is_plain_level(name)),
            Self::One | Self::Rest => None,
        }
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Self, String> {
        let placeholders: BTreeSet<_> = text.split('/').filter(|level| level.contains("${")).collect();
        if let Some(bad) = placeholders.iter().find(|l| !matches!(**l, "${user}" | "${device}" | "${client}"))
        {
            return Err(format!(
                "'{bad}': only ${{user}}, ${{device}} and ${{client}} are put in, as whole levels"
            ));
        }
        // A placeholder is a valid level by itself, so the text is checked as it is.
        let filter = Filter::new(text).map_err(|bad| format!("'{text}': {bad}"))?;
        if placeholders.is_empty() {
            return Ok(Self::Plain(filter));
        }
        let level = |level: &str| match level {
            "+" => Level::One,
            "#" => Level::Rest,
            "${user}" => Level::User,
            "${device}" | "${client}" => Level::Device,
            name => Level::Name(name.into()),
        };
        Ok(Self::Personal(filter.levels().map(level).collect()))
    }

    fn matches(&self, who: &Principal, topic: &Topic) -> bool {
        match self {
            Self::Everything => true,
            Self::Plain(filter) => filter.matches(topic),
            Self::Personal(levels) => matches(levels, who, topic),
        }
    }

    fn covers(&self, who: &Principal, filter: &Filter) -> bool {
        match self {
            Self::Everything => true,
            Self::Plain(mine) => mine.covers(filter),
            Self::Personal(levels) => fill(levels, who).is_some_and(|mine| mine.covers(filter)),
        }
    }

    fn overlaps(&self, who: &Principal, filter: &Filter) -> bool {
        match self {
            Self::Everything => true,
            Self::Plain(mine) => mine.overlaps(filter),
            Self::Personal(levels) => fill(levels, who).is_some_and(|mine| mine.overlaps(filter)),
        }
    }
}

/// As [`Filter::matches`], level by level, with the names put in.
fn matches(levels: &[Level], who: &Principal, topic: &Topic) -> bool {
    if topic.is_dollar() && matches!(levels.first(), Some(Level::One | Level::Rest)) {
        return false;
    }
    let (mut mine, mut names) = (levels.iter(), topic.levels());
    loop {
        match (mine.next(), names.next()) {
            (Some(Level::Rest), _) | (None, None) => return true,
            (Some(Level::One), Some(_)) => {}
            (Some(level), Some(name)) if level.name(who) == Some(name) => {}
            _ => return false,
        }
    }
}

/// The filter that a personal pattern means for `who`; `None` where it means nothing.
fn fill(levels: &[Level], who: &Principal) -> Option<Filter> {
    let mut text = String::new();
    for (i, level) in levels.iter().enumerate() {
        if i > 0 {
            text.push('/');
        }
        text.push_str(match level {
            Level::One => "+",
            Level::Rest => "#",
            _ => level.name(who)?,
        });
    }
    Filter::new(&text).ok()
}

fn patterns(topics: &[String]) -> Result<Vec<Pattern>, String> {
    if topics.is_empty() || topics.len() > TOPICS_MAX {
        return Err(format!("it names 1 to {TOPICS_MAX} topics"));
    }
    topics.iter().map(|text| Pattern::new(text)).collect()
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
