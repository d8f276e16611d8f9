//! What is a valid name, and which filter matches which topic (MQTT 5 §4.7).

use std::{borrow::Borrow, fmt, sync::Arc};

/// Bytes a topic or filter may have.
pub const NAME_BYTES_MAX: usize = 1024;
/// Levels a topic or filter may have; a trie walk is at most this deep.
pub const NAME_LEVELS_MAX: usize = 64;

/// A name with levels between slashes: `rooms/kitchen`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

/// A pattern over topics: `+` stands for one level, a last `#` for any number of them, none included.
///
/// A wildcard at the first level does not match topics that begin with `$` (MQTT-4.7.2-1).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter(Arc<str>);

/// Why a name is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It has no characters.
    #[error("a name is not empty")]
    Empty,
    /// More than [`NAME_BYTES_MAX`] bytes.
    #[error("a name has at most {NAME_BYTES_MAX} bytes")]
    TooLong,
    /// More than [`NAME_LEVELS_MAX`] levels.
    #[error("a name has at most {NAME_LEVELS_MAX} levels")]
    TooDeep,
    /// A control character, U+0000 among them, or a Unicode non-character.
    #[error("a name has no control characters")]
    Control,
    /// `+` or `#` in a topic.
    #[error("a topic has no wildcards: publish to a plain name, subscribe to a filter")]
    Wildcard,
    /// `+` or `#` beside other characters, or `#` before the end.
    #[error("'+' fills a whole level, '#' fills the last one")]
    MisplacedWildcard,
}

fn check(name: &str) -> Result<(), BadName> {
    if name.is_empty() {
        return Err(BadName::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(BadName::TooLong);
    }
    if name.bytes().filter(|&b| b == b'/').count() >= NAME_LEVELS_MAX {
        return Err(BadName::TooDeep);
    }
    let forbidden = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    if name.chars().any(forbidden) {
        return Err(BadName::Control);
    }
    Ok(())
}

impl Topic {
    /// Checks and keeps a name.
    ///
    /// # Errors
    /// See [`BadName`].
    pub fn new(name: &str) -> Result<Self, BadName> {
        check(name)?;
        if name.bytes().any(|b| b == b'+' || b == b'#') {
            return Err(BadName::Wildcard);
        }
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the server owns this name (`$SYS/…`, `$presence/…`).
    #[must_use]
    pub fn is_dollar(&self) -> bool {
        self.0.starts_with('$')
    }

    /// The parts between slashes; some may be empty.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl Filter {
    /// Checks and keeps a pattern.
    ///
    /// # Errors
    /// See [`BadName`].
    pub fn new(pattern: &str) -> Result<Self, BadName> {
        check(pattern)?;
        let mut levels = pattern.split('/').peekable();
        while let Some(level) = levels.next() {
            let wild = level.bytes().any(|b| b == b'+' || b == b'#');
            if wild && (level.len() > 1 || (level == "#" && levels.peek().is_some())) {
                return Err(BadName::MisplacedWildcard);
            }
        }
        Ok(Self(pattern.into()))
    }

    /// The filter that matches just this topic.
    #[must_use]
    pub fn exactly(topic: &Topic) -> Self {
        Self(topic.0.clone())
    }

    /// The pattern.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The one topic this matches, where there is no wildcard in it.
    #[must_use]
    pub fn as_topic(&self) -> Option<Topic> {
        (!self.is_wild()).then(|| Topic(self.0.clone()))
    }

    /// Whether there is a wildcard in it.
    #[must_use]
    pub fn is_wild(&self) -> bool {
        self.0.bytes().any(|b| b == b'+' || b == b'#')
    }

    /// The parts between slashes.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Whether this matches `topic` (MQTT 5 §4.7.1).
    #[must_use]
    pub fn matches(&self, topic: &Topic) -> bool {
        self.matches_name(topic.as_str())
    }

    /// As [`matches`](Self::matches), for a name that is known to be a topic.
    #[must_use]
    pub fn matches_name(&self, topic: &str) -> bool {
        if topic.starts_with('$') && (self.0.starts_with('+') || self.0.starts_with('#')) {
            return false;
        }
        let (mut levels, mut names) = (self.levels(), topic.split('/'));
        loop {
            match (levels.next(), names.next()) {
                (Some("#"), _) | (None, None) => return true,
                (Some("+"), Some(_)) => {}
                (Some(level), Some(name)) if level == name => {}
                _ => return false,
            }
        }
    }

    /// Whether everything that `other` can match, this matches too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let wild_first = |f: &Self| f.0.starts_with('+') || f.0.starts_with('#');
        if other.0.starts_with('$') && wild_first(self) {
            return false;
        }
        // Every topic has a first level, so these two match the same.
        if &*self.0 == "+/#" && &*other.0 == "#" {
            return true;
        }
        let (mut mine, mut theirs) = (self.levels(), other.levels());
        loop {
            match (mine.next(), theirs.next()) {
                (Some("#"), _) | (None, None) => return true,
                (_, Some("#")) => return false,
                (Some("+"), Some(_)) => {}
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    }

    /// Whether some topic could match both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let dollar = |f: &Self| f.0.starts_with('$');
        let wild_first = |f: &Self| f.0.starts_with('+') || f.0.starts_with('#');
        if (dollar(self) && wild_first(other)) || (dollar(other) && wild_first(self)) {
            return false;
        }
        let (mut mine, mut theirs) = (self.levels(), other.levels());
        loop {
            match (mine.next(), theirs.next()) {
                (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
                (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(pattern: &str) -> Filter {
        Filter::new(pattern).unwrap()
    }
    fn matches(pattern: &str, name: &str) -> bool {
        filter(pattern).matches(&Topic::new(name).unwrap())
    }

    /// The examples of MQTT 5 §4.7.1.2, §4.7.1.3 and §4.7.2.
    #[test]
    fn wildcards_match_as_the_standard_says() {
        for name in ["sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/a/b"] {
            assert!(matches("sport/tennis/player1/#", name), "{name}");
        }
        assert!(matches("sport/#", "sport"));
        assert!(matches("sport/tennis/+", "sport/tennis/player1"));
        assert!(!matches("sport/tennis/+", "sport/tennis/player1/ranking"));
        assert!(!matches("sport/+", "sport"));
        assert!(matches("sport/+", "sport/"));
        assert!(matches("+/+", "/finance") && matches("/+", "/finance") && !matches("+", "/finance"));
        assert!(!matches("#", "$SYS/x") && !matches("+/monitor/Clients", "$SYS/monitor/Clients"));
        assert!(matches("$SYS/#", "$SYS/x") && matches("$SYS/monitor/+", "$SYS/monitor/Clients"));
    }

    #[test]
    fn bad_names_are_named() {
        assert_eq!(Topic::new(""), Err(BadName::Empty));
        assert_eq!(Topic::new("a/+"), Err(BadName::Wildcard));
        assert_eq!(Topic::new("a\0b"), Err(BadName::Control));
        assert_eq!(Topic::new(&"x".repeat(NAME_BYTES_MAX + 1)), Err(BadName::TooLong));
        assert_eq!(Topic::new(&"/".repeat(NAME_LEVELS_MAX)), Err(BadName::TooDeep));
        for bad in ["a+", "a/b#", "#/a", "sport/tennis#"] {
            assert_eq!(Filter::new(bad), Err(BadName::MisplacedWildcard), "{bad}");
        }
    }

    #[test]
    fn covering_and_overlapping_agree_with_matching() {
        let levels = ["a", "b", "+", "#"];
        let mut filters = vec![];
        for x in levels {
            filters.push(x.to_owned());
            for y in levels {
                filters.push(format!("{x}/{y}"));
                for z in levels {
                    filters.push(format!("{x}/{y}/{z}"));
                }
            }
        }
        let filters: Vec<Filter> = filters.iter().filter_map(|f| Filter::new(f).ok()).collect();
        let mut names = vec!["a".to_owned(), "b".into(), "c".into()];
        for depth in 0..3 {
            let longer: Vec<_> = names
                .iter()
                .filter(|n| n.matches('/').count() == depth)
                .flat_map(|n| ["a", "b", "c"].map(|l| format!("{n}/{l}")))
                .collect();
            names.extend(longer);
        }
        let topics: Vec<Topic> = names.iter().map(|n| Topic::new(n).unwrap()).collect();
        for f in &filters {
            for g in &filters {
                let both = topics.iter().any(|t| f.matches(t) && g.matches(t));
                assert_eq!(f.overlaps(g), both, "{f} overlaps {g}");
                let all = topics.iter().all(|t| !g.matches(t) || f.matches(t));
                assert_eq!(f.covers(g), all, "{f} covers {g}");
            }
        }
    }
}
