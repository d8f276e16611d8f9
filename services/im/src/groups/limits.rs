//! How long what groups say of themselves may be.

use serde_json::{Map, Value};

use crate::denied::Wrong;

/// People that one question names: added, removed.
pub(crate) const CALL_USERS_MAX: usize = 1000;
/// Bytes of a user's name.
pub(crate) const USER_BYTES_MAX: usize = 255;
/// Bytes of a title.
pub(crate) const TITLE_BYTES_MAX: usize = 128;
/// Bytes of what a conversation is about.
pub(crate) const ABOUT_BYTES_MAX: usize = 1024;
/// Bytes of a picture's file id or address.
pub(crate) const AVATAR_BYTES_MAX: usize = 512;
/// Bytes of an announcement.
pub(crate) const ANNOUNCEMENT_BYTES_MAX: usize = 8192;
/// Attributes of a conversation, and of a member; and bytes of each as JSON, of a name, and of all together.
pub(crate) const ATTRIBUTES_MAX: usize = 64;
const ATTRIBUTE_NAME_BYTES_MAX: usize = 64;
pub(crate) const ATTRIBUTES_BYTES_MAX: usize = 8192;

/// A text of one line or more that is not too long.
///
/// # Errors
/// It is too long, or has control characters.
pub(crate) fn check_text(name: &str, text: &str, bytes_max: usize) -> Result<(), Wrong> {
    if text.len() > bytes_max {
        return Err(Wrong::BadInput(format!(
            "'{name}' has {} bytes, at most {bytes_max} are taken",
            text.len()
        )));
    }
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(Wrong::BadInput(format!("'{name}' has control characters")));
    }
    Ok(())
}

/// A title: something one can see, on one line.
pub(crate) fn check_title(title: &str) -> Result<(), Wrong> {
    check_text("title", title, TITLE_BYTES_MAX)?;
    if title.trim().is_empty() || title.contains('\n') {
        return Err(Wrong::BadInput("'title' is one line that is not empty".to_owned()));
    }
    Ok(())
}

/// Attributes with some of them changed; `null` takes one away.
///
/// # Errors
/// They are too many or too large.
pub(crate) fn patched(
    old: &Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<Map<String, Value>, Wrong> {
    let mut new = old.clone();
    for (name, value) in patch {
        if name.is_empty() || name.len() > ATTRIBUTE_NAME_BYTES_MAX {
            return Err(Wrong::BadInput(format!(
                "an attribute's name has 1 to {ATTRIBUTE_NAME_BYTES_MAX} bytes"
            )));
        }
        match value {
            Value::Null => drop(new.remove(name)),
            value => drop(new.insert(name.clone(), value.clone())),
        }
    }
    if new.len() > ATTRIBUTES_MAX {
        return Err(Wrong::TooMany { what: "attributes", max: ATTRIBUTES_MAX });
    }
    // Values came out of JSON and go back into it.
    let bytes = serde_json::to_vec(&new).map_or(usize::MAX, |bytes| bytes.len());
    if bytes > ATTRIBUTES_BYTES_MAX {
        return Err(Wrong::BadInput(format!(
            "attributes have {bytes} bytes, at most {ATTRIBUTES_BYTES_MAX}"
        )));
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn attributes_are_patched_and_bounded() {
        let old = map(json!({ "a": 1, "b": 2 }));
        assert_eq!(
            patched(&old, &map(json!({ "a": null, "c": [3] }))).unwrap(),
            map(json!({ "b": 2, "c": [3] }))
        );
        assert!(patched(&old, &map(json!({ "": 1 }))).is_err());
        assert!(patched(&old, &map(json!({ "x": "y".repeat(ATTRIBUTES_BYTES_MAX) }))).is_err());
        let many: Map<String, Value> = (0..=ATTRIBUTES_MAX).map(|n| (n.to_string(), json!(n))).collect();
        assert_eq!(patched(&old, &many).unwrap_err().code(), 603);
    }

    #[test]
    fn titles_are_one_line_that_one_sees() {
        assert!(check_title("周末 🏔").is_ok());
        for bad in ["", "  ", "two\nlines", "bell\u{7}", &"x".repeat(TITLE_BYTES_MAX + 1)] {
            assert!(check_title(bad).is_err(), "{bad:?}");
        }
    }
}
