//! Names: conversations' ids, and the topics that stand for them at every door.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use yizhan_hub::Topic;

/// What all topics of conversations begin with.
pub(crate) const CONVERSATIONS: &str = "im/c/";
/// What all topics of chatrooms begin with.
pub(crate) const ROOMS: &str = "im/r/";
/// What all topics of people's streams begin with.
pub(crate) const STREAMS: &str = "im/u/";

/// Letters of an id: 32 of them, none that is taken for another.
const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
/// Letters of a new id behind its first: 80 bits.
const ID_LETTERS: usize = 16;
/// Letters of a direct conversation's id behind its first: 120 bits, so that nobody finds two pairs with one id.
const DIRECT_LETTERS: usize = 24;

/// What a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Of two people.
    Direct,
    /// Of members who all may write.
    Group,
    /// Few write, many read.
    Channel,
    /// Without members: whoever is there hears it; nothing is kept for long.
    Room,
}

impl Kind {
    fn letter(self) -> char {
        match self {
            Self::Direct => 'd',
            Self::Group => 'g',
            Self::Channel => 'c',
            Self::Room => 'r',
        }
    }

    /// The kind of an id; `None` where it is none.
    #[must_use]
    pub fn of_id(id: &str) -> Option<Self> {
        let kind = match id.as_bytes().first()? {
            b'd' => Self::Direct,
            b'g' => Self::Group,
            b'c' => Self::Channel,
            b'r' => Self::Room,
            _ => return None,
        };
        let good =
            (12..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        good.then_some(kind)
    }
}

/// A new id, from 128 unpredictable bits.
#[must_use]
pub fn new_id(kind: Kind, random: u128) -> Arc<str> {
    let mut id = String::from(kind.letter());
    letters(&mut id, &random.to_be_bytes(), ID_LETTERS);
    id.into()
}

/// The id of the direct conversation of two people: always the same, whoever asks.
#[must_use]
pub fn direct_id(one: &str, other: &str) -> Arc<str> {
    let (first, second) = if one <= other { (one, other) } else { (other, one) };
    let mut hash = Sha256::new();
    for name in [first, second] {
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name.as_bytes());
    }
    let mut id = String::from(Kind::Direct.letter());
    letters(&mut id, &hash.finalize(), DIRECT_LETTERS);
    id.into()
}

/// Five bits a letter.
fn letters(into: &mut String, bytes: &[u8], count: usize) {
    let (mut bits, mut held, mut bytes) = (0_u32, 0, bytes.iter());
    for _ in 0..count {
        while held < 5 {
            bits = (bits << 8) | u32::from(bytes.next().copied().unwrap_or_default());
            held += 8;
        }
        held -= 5;
        into.push(char::from(LETTERS[((bits >> held) & 31) as usize]));
    }
}

/// What one of the service's topics stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place<'a> {
    /// A conversation's messages: `im/c/ID`.
    Messages(&'a str),
    /// What changed in a conversation: `im/c/ID/events`.
    Events(&'a str),
    /// What is not kept of a conversation: `im/c/ID/live`.
    Live(&'a str),
    /// A chatroom: `im/r/ID`.
    Room(&'a str),
    /// What is not said in a chatroom but happens there: `im/r/ID/live`.
    RoomLive(&'a str),
    /// A person's stream: `im/u/USER`.
    Stream(Cow<'a, str>),
}

impl<'a> Place<'a> {
    /// What a topic stands for; `None` where it is none of the service's.
    #[must_use]
    pub fn of(topic: &'a str) -> Option<Self> {
        if let Some(rest) = topic.strip_prefix(CONVERSATIONS) {
            let (id, what) = rest.split_once('/').map_or((rest, ""), |(id, what)| (id, what));
            Kind::of_id(id).filter(|kind| *kind != Kind::Room)?;
            return match what {
                "" if !rest.ends_with('/') => Some(Self::Messages(id)),
                "events" => Some(Self::Events(id)),
                "live" => Some(Self::Live(id)),
                _ => None,
            };
        }
        if let Some(rest) = topic.strip_prefix(ROOMS) {
            let (id, what) = rest.split_once('/').map_or((rest, ""), |(id, what)| (id, what));
            Kind::of_id(id).filter(|kind| *kind == Kind::Room)?;
            return match what {
                "" if !rest.ends_with('/') => Some(Self::Room(id)),
                "live" => Some(Self::RoomLive(id)),
                _ => None,
            };
        }
        let name = topic.strip_prefix(STREAMS).filter(|name| !name.is_empty() && !name.contains('/'))?;
        Some(Self::Stream(decode(name)?))
    }
}

/// The topic of a conversation's messages.
///
/// # Panics
/// Never: an id has no character that a topic may not have.
#[must_use]
pub fn messages(id: &str) -> Topic {
    topic(if Kind::of_id(id) == Some(Kind::Room) { ROOMS } else { CONVERSATIONS }, id, "")
}

/// The topic of what changed in a conversation.
#[must_use]
pub fn events(id: &str) -> Topic {
    topic(CONVERSATIONS, id, "/events")
}

/// The topic of what is not kept of a conversation.
#[must_use]
pub fn live(id: &str) -> Topic {
    topic(if Kind::of_id(id) == Some(Kind::Room) { ROOMS } else { CONVERSATIONS }, id, "/live")
}

/// The topic of a person's stream.
#[must_use]
pub fn stream(user: &str) -> Topic {
    topic(STREAMS, &encode(user), "")
}

fn topic(prefix: &str, id: &str, suffix: &str) -> Topic {
    // Ids are letters and digits, users' names are encoded and shorter than a topic may be.
    #[expect(clippy::expect_used, reason = "ids and encoded names are valid levels")]
    Topic::new(&format!("{prefix}{id}{suffix}")).expect("ids and encoded names are valid levels")
}

/// A user's name as one level: `%`, what a topic gives a meaning, and control characters as `%XX`.
fn encode(user: &str) -> Cow<'_, str> {
    let plain = |c: char| !matches!(c, '/' | '+' | '#' | '%') && !c.is_control();
    if user.chars().all(plain) {
        return Cow::Borrowed(user);
    }
    let mut text = String::with_capacity(user.len() + 8);
    for c in user.chars() {
        if plain(c) {
            text.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                text.push('%');
                for half in [byte >> 4, byte & 15] {
                    text.push(char::from_digit(u32::from(half), 16).unwrap_or_default().to_ascii_uppercase());
                }
            }
        }
    }
    Cow::Owned(text)
}

/// A name from its level; `None` where the text is not one that `encode` makes.
fn decode(level: &str) -> Option<Cow<'_, str>> {
    if !level.contains('%') {
        return Some(Cow::Borrowed(level));
    }
    let mut bytes = Vec::with_capacity(level.len());
    let mut rest = level.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    // One name, one level: `%61` is not another way to write `a`.
    (encode(&name) == level).then_some(Cow::Owned(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_id_whoever_asks() {
        assert_eq!(direct_id("ann", "bob"), direct_id("bob", "ann"));
        assert_ne!(direct_id("ann", "bob"), direct_id("an", "nbob"));
        assert_eq!(Kind::of_id(&direct_id("ann", "bob")), Some(Kind::Direct));
        assert_eq!(Kind::of_id(&new_id(Kind::Room, 7)), Some(Kind::Room));
    }

    #[test]
    fn topics_are_read_back() {
        let id = new_id(Kind::Group, u128::MAX);
        assert_eq!(Place::of(messages(&id).as_str()), Some(Place::Messages(&id)));
        assert_eq!(Place::of(events(&id).as_str()), Some(Place::Events(&id)));
        assert_eq!(Place::of(live(&id).as_str()), Some(Place::Live(&id)));
        for user in ["ann", "a/b", "50%", "guest:x#+", "王\n小"] {
            assert_eq!(Place::of(stream(user).as_str()), Some(Place::Stream(user.into())), "{user}");
        }
        for bad in [
            "im/c/x",
            "im/c/gaaaaaaaaaaaaaaaa/",
            "im/c/gaaaaaaaaaaaaaaaa/x",
            "im/u/",
            "im/u/%61",
            "im/u/a%",
            "im",
        ] {
            assert_eq!(Place::of(bad), None, "{bad}");
        }
    }
}
