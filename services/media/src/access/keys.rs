//! Publish keys: `[live.keys]`, by the names of broadcasts.
//!
//! ```toml
//! [live.keys]
//! "live/room1" = "a key as it is"
//! "live/room2" = ["sha256:9f86d081884c7d65…", "one more"]   # several at a time: to change a key
//! "vip/*" = "for every broadcast of the app"
//! ```

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use super::secret::{Secret, same};
use crate::Name;

/// What a key begins with that is written down as the SHA-256 of it, in hexadecimal.
const HASHED: &str = "sha256:";
/// Lines of `[live.keys]`.
pub const KEY_LINES_MAX: usize = 10_000;
/// Keys of one line.
const KEYS_MAX: usize = 100;
/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 512;
/// Bytes of a name with `*`.
const PATTERN_BYTES_MAX: usize = 256;

/// The keys of one line: a text, or a list of texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyList(pub Vec<Secret>);

impl Serialize for KeyList {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(to),
            all => all.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for KeyList {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> de::Visitor<'de> for Reader {
            type Value = KeyList;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key, or a list of keys")
            }
            fn visit_str<E: de::Error>(self, key: &str) -> Result<KeyList, E> {
                Ok(KeyList(vec![Secret::new(key)]))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut all: A) -> Result<KeyList, A::Error> {
                let mut keys = Vec::new();
                while let Some(key) = all.next_element::<Secret>()? {
                    keys.push(key);
                }
                Ok(KeyList(keys))
            }
        }
        from.deserialize_any(Reader)
    }
}

/// Says what makes no sense in `[live.keys]`.
///
/// # Errors
/// In words for the operator.
pub fn check(lines: &BTreeMap<String, KeyList>) -> Result<(), String> {
    Keys::new(lines).map(drop)
}

/// All keys, as they are compared: by their SHA-256.
#[derive(Default)]
pub(crate) struct Keys {
    exact: BTreeMap<String, Vec<[u8; 32]>>,
    patterns: Vec<(String, Vec<[u8; 32]>)>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({} names, {} patterns)", self.exact.len(), self.patterns.len())
    }
}

impl Keys {
    /// Reads them.
    ///
    /// # Errors
    /// In words for the operator.
    pub(crate) fn new(lines: &BTreeMap<String, KeyList>) -> Result<Self, String> {
        if lines.len() > KEY_LINES_MAX {
            return Err(format!("live.keys: at most {KEY_LINES_MAX} lines"));
        }
        let mut keys = Self::default();
        for (name, list) in lines {
            let wrong = |what: String| format!("live.keys.\"{name}\": {what}");
            if !(1..=KEYS_MAX).contains(&list.0.len()) {
                return Err(wrong(format!("1 to {KEYS_MAX} keys")));
            }
            let hashes =
                list.0.iter().map(|key| hash_of(key.reveal())).collect::<Result<_, _>>().map_err(wrong)?;
            let is_name = |(app, stream): (&str, &str)| Name::new(app, stream).is_ok();
            if name.contains('*') {
                let plain =
                    |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/' | b'*');
                if name.len() > PATTERN_BYTES_MAX || !name.bytes().all(plain) {
                    return Err(wrong("an app, a slash and a name, in which * stands for anything".into()));
                }
                keys.patterns.push((name.clone(), hashes));
            } else if name.split_once('/').is_some_and(is_name) {
                keys.exact.insert(name.clone(), hashes);
            } else {
                return Err(wrong("an app, a slash and a name: live/room1".into()));
            }
        }
        Ok(keys)
    }

    /// Whether there is a key for this broadcast at all.
    pub(crate) fn has_some(&self, name: &Name) -> bool {
        self.of(&name.to_string()).next().is_some()
    }

    /// Whether this is a key of the broadcast. Compares with every one of them, whichever fits.
    pub(crate) fn fits(&self, name: &Name, key: &str) -> bool {
        if key.len() > KEY_BYTES_MAX {
            return false;
        }
        let shown = sha256(key);
        self.of(&name.to_string()).fold(false, |fits, hash| fits | same(hash, &shown))
    }

    fn of(&self, name: &str) -> impl Iterator<Item = &[u8; 32]> {
        let exact = self.exact.get(name).into_iter().flatten();
        let patterns =
            self.patterns.iter().filter(|(pattern, _)| matches(pattern.as_bytes(), name.as_bytes()));
        exact.chain(patterns.flat_map(|(_, hashes)| hashes).collect::<Vec<_>>())
    }
}

fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

fn hash_of(key: &str) -> Result<[u8; 32], String> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(format!("a key has 1 to {KEY_BYTES_MAX} bytes"));
    }
    let Some(hex) = key.strip_prefix(HASHED) else { return Ok(sha256(key)) };
    let mut hash = [0; 32];
    let mut digits = hex.chars().map(|digit| digit.to_digit(16));
    for byte in &mut hash {
        let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
            return Err(format!("behind {HASHED} stand 64 hexadecimal digits"));
        };
        *byte = (high * 16 + low) as u8;
    }
    match digits.next() {
        None => Ok(hash),
        Some(_) => Err(format!("behind {HASHED} stand 64 hexadecimal digits")),
    }
}

/// Whether a name fits a pattern, in which `*` stands for any bytes, or none. Takes at most the product of the two
/// lengths, and both are bounded.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, n));
            p += 1;
        } else if p < pattern.len() && pattern[p] == name[n] {
            (p, n) = (p + 1, n + 1);
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            (p, n) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// SHA-256 of `test`, as `printf test | sha256sum` says.
    const OF_TEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn keys(json: &str) -> Result<Keys, String> {
        Keys::new(&serde_json::from_str(json).unwrap())
    }

    fn name(name: &str) -> Name {
        let (app, name) = name.split_once('/').unwrap();
        Name::new(app, name).unwrap()
    }

    #[test]
    fn keys_fit_their_broadcasts_and_no_others() {
        let hashed = format!(
            r#"{{"live/one":"alpha","live/two":["beta","sha256:{OF_TEST}"],"vip/*":"gold","*/cam-*":"lens"}}"#
        );
        let keys = keys(&hashed).unwrap();
        for (of, key) in [
            ("live/one", "alpha"),
            ("live/two", "beta"),
            ("live/two", "test"),
            ("vip/any", "gold"),
            ("vip/cam-1", "lens"),
            ("live/cam-", "lens"),
        ] {
            assert!(keys.fits(&name(of), key), "{of} {key}");
        }
        for (of, key) in [
            ("live/one", "beta"),
            ("live/one", "alph"),
            ("live/one", "alphaa"),
            ("live/one", ""),
            ("live/two", &format!("sha256:{OF_TEST}")),
            ("live/three", "alpha"),
            ("live/vip", "gold"),
            ("live/one", &"x".repeat(100_000)),
        ] {
            assert!(!keys.fits(&name(of), key), "{of} {key}");
        }
        assert!(keys.has_some(&name("vip/x")) && !keys.has_some(&name("live/three")));
    }

    #[test]
    fn lines_that_cannot_be_meant_are_told_with_their_name_and_without_their_key() {
        for bad in [
            r#"{"room":"hunter2"}"#,
            r#"{"live/room/x":"hunter2"}"#,
            r#"{"live/../x":"hunter2"}"#,
            r#"{"live/a*ü":"hunter2"}"#,
            r#"{"live/a":""}"#,
            r#"{"live/a":[]}"#,
            r#"{"live/a":"sha256:hunter2"}"#,
            r#"{"live/a":"sha256:zz86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}"#,
        ] {
            let said = keys(bad).unwrap_err();
            assert!(said.starts_with("live.keys.\"") && !said.contains("hunter2"), "{said}");
        }
        assert!(serde_json::from_str::<KeyList>("7").is_err());
        let shown = serde_json::to_string(&KeyList(vec![Secret::new("hunter2")])).unwrap();
        assert_eq!(shown, "\"•••\"");
    }

    proptest! {
        #[test]
        fn a_star_stands_for_anything(a in "[a-c/]{0,6}", b in "[a-c/]{0,6}", c in "[a-c/]{0,6}") {
            let (pattern, whole) = (format!("{a}*{c}"), format!("{a}{b}{c}"));
            prop_assert!(matches(pattern.as_bytes(), whole.as_bytes()));
            prop_assert_eq!(matches(a.as_bytes(), b.as_bytes()), a == b);
            let both = b.starts_with(&a) && b.len() >= a.len() + c.len() && b.ends_with(&c);
            prop_assert_eq!(matches(pattern.as_bytes(), b.as_bytes()), both);
        }
    }
}
