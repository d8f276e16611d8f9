//! Texts that never show, and texts that are compared without telling how much of them was right.

use std::{fmt, hint::black_box};

use serde::{Deserialize, Serialize, Serializer};

/// What is shown in place of a secret.
const SHOWN: &str = "•••";

/// A text that neither `Debug` nor `Serialize` shows.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Never log it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHOWN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // An empty one says that none is set.
        to.serialize_str(if self.0.is_empty() { "" } else { SHOWN })
    }
}

/// Whether two texts are the same; takes as long for all of one length.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && black_box(one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show() {
        let secret: Secret = serde_json::from_str("\"hunter2\"").unwrap();
        assert_eq!(secret.reveal(), "hunter2");
        assert_eq!(
            (format!("{secret:?}"), serde_json::to_string(&secret).unwrap()),
            ("•••".into(), "\"•••\"".into())
        );
        assert_eq!(serde_json::to_string(&Secret::default()).unwrap(), "\"\"");
    }

    #[test]
    fn sameness_looks_at_every_byte() {
        assert!(same(b"", b"") && same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd") && !same(b"abc", b"xbc") && !same(b"abc", b"ab") && !same(b"", b"a"));
    }
}
