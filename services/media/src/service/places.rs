//! What a topic under `live/` is.

use crate::Name;

/// What the service owns.
pub(crate) const TOPICS: &str = "live/+/+/#";
/// What the topic of a broadcast's chat ends with.
pub(crate) const CHAT: &str = "chat";
/// What the topic of its gifts ends with.
pub(crate) const GIFTS: &str = "gifts";

/// What is said in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// `live/APP/NAME`: what the server says of a broadcast.
    State,
    /// `live/APP/NAME/chat`: what people say.
    Chat,
    /// `live/APP/NAME/gifts`
    Gifts,
}

/// The broadcast that a topic is of, and what is said there; `None` for a topic that means nothing.
pub(crate) fn place(topic: &str) -> Option<(Name, Part)> {
    let mut levels = topic.strip_prefix("live/")?.split('/');
    let name = Name::new(levels.next()?, levels.next()?).ok()?;
    let part = match levels.next() {
        None => Part::State,
        Some(CHAT) => Part::Chat,
        Some(GIFTS) => Part::Gifts,
        Some(_) => return None,
    };
    levels.next().is_none().then_some((name, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_of_broadcasts() {
        let name = Name::new("live", "room").unwrap();
        for (tail, part) in [("", Part::State), ("chat", Part::Chat), ("gifts", Part::Gifts)] {
            assert_eq!(place(name.topic(tail).as_str()), Some((name.clone(), part)));
        }
        for other in [
            "live",
            "live/",
            "live/live",
            "live/live/",
            "live/live/room/",
            "live/live/room/x",
            "live/live/room/chat/x",
            "live/live/..",
            "live/live/a~b/chat",
            "other/live/room",
            "live/live/ro om",
        ] {
            assert_eq!(place(other), None, "{other}");
        }
    }
}
