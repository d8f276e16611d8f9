//! The sections `relay.NAME`: broadcasts that come from other servers, and broadcasts that go there.

use std::{fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize, Serializer};
use yizhan_talk::span;

use crate::{BadName, Name};

/// Names and patterns of one relay.
const NAMES_MAX: usize = 1_000;
/// Bytes of a relay's name.
const RELAY_NAME_BYTES_MAX: usize = 64;
/// What stands for the app in an address.
const APP: &str = "{app}";
/// What stands for the name in an address.
const NAME: &str = "{name}";

/// A relay: the edge that fetches broadcasts from an origin, or what sends them on to another server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Relay {
    /// Where broadcasts come from: `rtmp://HOST/APP`, `rtmps://HOST/APP/NAME?token=x`, `https://HOST/PATH.m3u8`. `{app}`
    /// and `{name}` stand for those of the broadcast; an RTMP address that ends with the app gets the name behind it.
    /// Either this or `to`.
    pub from: Option<Address>,
    /// Where broadcasts go: as `from`. Over HTTP they are sent as HLS, by PUT; that needs ffmpeg (`live.ladder.ffmpeg`).
    pub to: Option<Address>,
    /// The apps that it is for.
    pub apps: Vec<String>,
    /// The broadcasts that it is for; `*` stands for any number of characters. Rungs of ladders are never relayed.
    pub names: Vec<String>,
    /// When broadcasts are fetched. Those that go to another server go as long as they are on air.
    pub when: When,
    /// How long fetching goes on after the last viewer has gone, with `when = "wanted"`.
    #[serde(with = "span")]
    pub linger: Duration,
    /// The wait after a first failure; it doubles with each further one, less a random part.
    #[serde(with = "span")]
    pub retry_min: Duration,
    /// The longest wait between two attempts.
    #[serde(with = "span")]
    pub retry_max: Duration,
    /// Certificates of those who may sign the other server's, PEM; for RTMPS. Left out: those that the web trusts.
    pub ca: Option<PathBuf>,
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            from: None,
            to: None,
            apps: vec!["live".into()],
            names: vec!["*".into()],
            when: When::Wanted,
            linger: Duration::from_secs(30),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
            ca: None,
        }
    }
}

/// When broadcasts are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// as long as somebody here wants to watch
    #[default]
    Wanted,
    /// from the start on, again and again
    Always,
}

/// An address of another server. What stands behind a `?` may hold secrets and does not show.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// From a text as the config has it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What stands before `://`: `rtmp`, `rtmps`, `http`, `https`; empty where nothing does.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.0.split_once("://").map_or("", |(scheme, _)| scheme)
    }

    /// Whether RTMP is spoken there, TLS or not.
    #[must_use]
    pub fn is_rtmp(&self) -> bool {
        matches!(self.scheme(), "rtmp" | "rtmps")
    }

    /// The address for this broadcast. Never log it.
    #[must_use]
    pub fn of(&self, name: &Name) -> String {
        self.0.replace(APP, &name.app).replace(NAME, &name.name)
    }

    /// Whether each broadcast has an address of its own.
    fn names_each(&self) -> bool {
        let ends_with_app = || {
            let path = self.0.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
            path.is_some_and(|(_, path)| {
                path.split_once('/').is_none_or(|(_, name)| name.is_empty() || name.starts_with('?'))
            })
        };
        self.0.contains(NAME) || (self.is_rtmp() && ends_with_app())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_str();
        while let Some((shown, hidden)) = rest.split_once('?') {
            write!(f, "{shown}?•••")?;
            // A query ends with the path's next part, as in `rtmp://host/live?token=x/name`.
            rest = hidden.find('/').map_or("", |at| &hidden[at..]);
        }
        f.write_str(rest)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Relay {
    /// Whether it is for this broadcast. Never for a rung.
    #[must_use]
    pub fn is_for(&self, name: &Name) -> bool {
        name.rung_name().is_none()
            && self.apps.iter().any(|app| **app == *name.app)
            && self.names.iter().any(|pattern| fits(pattern, &name.name))
    }

    /// The broadcasts that it is for, where no pattern leaves that open.
    #[must_use]
    pub fn all(&self) -> Vec<Name> {
        let each = self.apps.iter().flat_map(|app| self.names.iter().map(move |name| Name::new(app, name)));
        each.flatten().collect()
    }

    /// Says what makes no sense in the section `relay.NAME`.
    ///
    /// # Errors
    /// The setting and what it should be.
    pub fn check(&self, name: &str) -> Result<(), String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > RELAY_NAME_BYTES_MAX || !name.chars().all(fits) {
            return Err(format!(
                "relay.{name}: a name has 1 to {RELAY_NAME_BYTES_MAX} letters, digits, '-', '_' and '.'"
            ));
        }
        self.problem().map_or(Ok(()), |problem| Err(format!("relay.{name}: {problem}")))
    }

    fn problem(&self) -> Option<String> {
        let address = match (&self.from, &self.to) {
            (Some(from), None) if from.is_rtmp() || matches!(from.scheme(), "http" | "https") => from,
            (Some(_), None) => return Some("from begins with rtmp://, rtmps://, http:// or https://".into()),
            (None, Some(to)) if to.is_rtmp() || matches!(to.scheme(), "http" | "https") => to,
            (None, Some(_)) => return Some("to begins with rtmp://, rtmps://, http:// or https://".into()),
            _ => return Some("either from or to is given".into()),
        };
        self.problem_of_names(address).or_else(|| {
            Some(if self.to.is_some() && self.when == When::Always {
                "when is for relays with from: to goes as long as a broadcast is on air".into()
            } else if self.retry_min < Duration::from_secs(1) || self.retry_max < self.retry_min {
                "retry_min is at least 1 s, and retry_max not less".into()
            } else if self.ca.is_some() && address.scheme() != "rtmps" {
                "ca is for rtmps:// (HLS is ffmpeg's, which has a list of its own)".into()
            } else {
                return None;
            })
        })
    }

    fn problem_of_names(&self, address: &Address) -> Option<String> {
        if let Some(bad) = self.apps.iter().find(|app| Name::new(app, "x").is_err()) {
            return Some(format!("apps: '{bad}': {BadName}"));
        }
        let is_pattern = |name: &String| name.contains('*');
        if let Some(bad) = self.names.iter().find(|name| Name::new("x", &name.replace('*', "x")).is_err()) {
            return Some(format!("names: '{bad}': {BadName}"));
        }
        if self.apps.is_empty() || self.names.is_empty() || self.names.len() > NAMES_MAX {
            return Some(format!("apps and names have at least one entry, names at most {NAMES_MAX}"));
        }
        let is_one = self.apps.len() == 1 && self.names.len() == 1 && !self.names.iter().any(is_pattern);
        if !is_one && !address.names_each() {
            return Some(
                "the address is of one broadcast: write {name} into it, or one name into names".into(),
            );
        }
        if self.from.is_some() && self.when == When::Always && self.names.iter().any(is_pattern) {
            return Some("when = \"always\" needs names without '*'".into());
        }
        None
    }
}

/// Whether a text is as a pattern says; `*` stands for any number of characters.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        // The first place that it fits leaves most for what follows.
        let Some((_, after)) = text.split_once(part) else { return false };
        text = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        let (app, name) = text.split_once('/').unwrap();
        Name::of_any(app, name).unwrap()
    }

    fn from(address: &str) -> Relay {
        Relay { from: Some(Address::new(address)), ..Relay::default() }
    }

    #[test]
    fn names_fit_patterns() {
        for (pattern, text, expected) in [
            ("*", "room", true),
            ("room", "room", true),
            ("room", "rooms", false),
            ("room*", "room1", true),
            ("*1", "room1", true),
            ("r*m*", "room", true),
            ("r*o*m1", "room1", true),
            ("*o*o*", "room", true),
            ("*o*o*o*", "room", false),
            ("a*", "room", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
        let relay = Relay { apps: vec!["live".into()], names: vec!["r*".into()], ..Relay::default() };
        assert!(relay.is_for(&name("live/room")));
        for other in ["live/x", "vod/room", "live/room~720p"] {
            assert!(!relay.is_for(&name(other)), "{other}");
        }
    }

    #[test]
    fn an_address_is_of_one_broadcast_or_of_each() {
        let address = Address::new("rtmp://host/{app}/{name}?token=x");
        assert_eq!(address.of(&name("live/room")), "rtmp://host/live/room?token=x");
        for (address, each) in [
            ("rtmp://host/live", true),
            ("rtmp://host/live?k=1", true),
            ("rtmp://host/live/?k=1", true),
            ("rtmp://host/live/room", false),
            ("rtmp://host/live/{name}", true),
            ("https://host/live/room.m3u8", false),
            ("https://host/{name}/index.m3u8", true),
        ] {
            assert_eq!(from(address).check("a").is_ok(), each, "{address}");
            let one = Relay { names: vec!["room".into()], ..from(address) };
            assert_eq!(one.check("a"), Ok(()), "{address}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let to = |address: &str| Relay { to: Some(Address::new(address)), ..Relay::default() };
        let both = Relay { to: Some(Address::new("rtmp://b/live")), ..from("rtmp://a/live") };
        for (relay, expected) in [
            (Relay::default(), "either from or to"),
            (both, "either from or to"),
            (from("ftp://a/b"), "from begins with"),
            (to("srt://a/b"), "to begins with"),
            (Relay { when: When::Always, ..to("rtmp://a/live") }, "when is for"),
            (Relay { when: When::Always, ..from("rtmp://a/live") }, "without '*'"),
            (Relay { apps: vec!["a/b".into()], ..from("rtmp://a/live") }, "apps: 'a/b'"),
            (Relay { names: vec!["~".into()], ..from("rtmp://a/live") }, "names: '~'"),
            (Relay { names: vec![], ..from("rtmp://a/live") }, "at least one"),
            (Relay { retry_min: Duration::ZERO, ..from("rtmp://a/live") }, "retry_min"),
            (Relay { ca: Some("x.pem".into()), ..from("rtmp://a/live") }, "ca is for"),
        ] {
            let problem = relay.check("edge").unwrap_err();
            assert!(problem.starts_with("relay.edge: ") && problem.contains(expected), "{problem}");
        }
        assert!(from("rtmp://a/live").check("a b").is_err());
    }

    #[test]
    fn secrets_in_addresses_do_not_show() {
        let address = Address::new("rtmp://host/live?key=1/room?token=2");
        assert_eq!(format!("{address:?}"), "rtmp://host/live?•••/room?•••");
        assert_eq!(serde_json::to_string(&address).unwrap(), "\"rtmp://host/live?•••/room?•••\"");
        assert_eq!(Address::new("rtmp://host/live").to_string(), "rtmp://host/live");
    }

    #[test]
    fn broadcasts_without_patterns_are_known() {
        let relay = Relay { names: vec!["a".into(), "b".into()], ..from("rtmp://host/live") };
        assert_eq!(relay.all(), [name("live/a"), name("live/b")]);
        assert!(from("rtmp://host/live").all().is_empty());
    }
}
