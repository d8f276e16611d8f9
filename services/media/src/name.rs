//! What a broadcast is called: an app and a name, as in `rtmp://host/live/room1`.

use std::{fmt, sync::Arc};

use yizhan_hub::Topic;

/// Bytes of an app or of a name.
pub const PART_BYTES_MAX: usize = 64;
/// What stands between a broadcast's name and one of its rungs: `room1~720p`. Publishers may not use it.
pub const RUNG_MARK: char = '~';

/// A broadcast's name. Both parts are 1 to 64 of `A-Z a-z 0-9 _ - .` and do not begin with a dot, so that they are the
/// same in a topic, in a path and as a file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// The app: `live`.
    pub app: Arc<str>,
    /// The broadcast, and after a `~` the rung of its ladder, where it is one.
    pub name: Arc<str>,
}

/// The name cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an app and a stream name are 1 to {PART_BYTES_MAX} letters, digits, '_', '-' or '.', and do not begin with a dot"
)]
pub struct BadName;

impl Name {
    /// A publisher's name.
    ///
    /// # Errors
    /// A part is empty, too long, or has other characters.
    pub fn new(app: &str, name: &str) -> Result<Self, BadName> {
        if is_part(app) && is_part(name) {
            Ok(Self { app: app.into(), name: name.into() })
        } else {
            Err(BadName)
        }
    }

    /// A name that may be a rung's: what a viewer asks for.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_any(app: &str, name: &str) -> Result<Self, BadName> {
        let (source, rung) = name.split_once(RUNG_MARK).unwrap_or((name, "source"));
        if is_part(app) && is_part(source) && is_part(rung) {
            Ok(Self { app: app.into(), name: name.into() })
        } else {
            Err(BadName)
        }
    }

    /// The rung of this broadcast that is called so.
    ///
    /// # Errors
    /// The rung's name cannot be used, or this is a rung already.
    pub fn rung(&self, rung: &str) -> Result<Self, BadName> {
        if self.rung_name().is_some() || !is_part(rung) {
            return Err(BadName);
        }
        Ok(Self { app: self.app.clone(), name: format!("{}{RUNG_MARK}{rung}", self.name).into() })
    }

    /// The rung's name, where this is one.
    #[must_use]
    pub fn rung_name(&self) -> Option<&str> {
        self.name.split_once(RUNG_MARK).map(|(_, rung)| rung)
    }

    /// The broadcast that was published: this one, or the one that this is a rung of.
    #[must_use]
    pub fn source(&self) -> Self {
        match self.name.split_once(RUNG_MARK) {
            None => self.clone(),
            Some((source, _)) => Self { app: self.app.clone(), name: source.into() },
        }
    }

    /// Its topic: `live/{app}/{name}`, the source's for a rung. With `tail` behind it, where that is not empty:
    /// `live/{app}/{name}/chat`.
    #[must_use]
    pub fn topic(&self, tail: &str) -> Topic {
        let source = self.name.split_once(RUNG_MARK).map_or(&*self.name, |(source, _)| source);
        let slash = if tail.is_empty() { "" } else { "/" };
        let text = format!("live/{}/{source}{slash}{tail}", self.app);
        // Letters, digits and slashes between them, and a few bytes of them.
        Topic::new(&text).expect("a name's parts are levels of a topic")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.app, self.name)
    }
}

fn is_part(text: &str) -> bool {
    (1..=PART_BYTES_MAX).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_topics_paths_and_files() {
        for bad in ["", ".", "..", ".hidden", "a/b", "a+b", "a#", "a b", "a\0", "ü", "a~b", &"a".repeat(65)]
        {
            assert_eq!(Name::new("live", bad), Err(BadName), "{bad}");
            assert_eq!(Name::new(bad, "room"), Err(BadName), "{bad}");
        }
        let name = Name::new("live", "room-1_x.y").unwrap();
        assert_eq!(name.topic("chat").as_str(), "live/live/room-1_x.y/chat");
        assert_eq!(name.topic("").as_str(), "live/live/room-1_x.y");
    }

    #[test]
    fn a_rung_knows_its_source() {
        let name = Name::new("live", "room").unwrap();
        let rung = name.rung("720p").unwrap();
        assert_eq!(rung.to_string(), "live/room~720p");
        assert_eq!((rung.rung_name(), rung.source()), (Some("720p"), name.clone()));
        assert_eq!(rung.topic("chat"), name.topic("chat"));
        assert_eq!(Name::of_any("live", "room~720p"), Ok(rung.clone()));
        for bad in ["room~", "~720p", "room~a~b", "room~..", "room~../x"] {
            assert_eq!(Name::of_any("live", bad), Err(BadName), "{bad}");
        }
        assert_eq!(rung.rung("480p"), Err(BadName));
    }
}
