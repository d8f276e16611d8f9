//! What people say beside a broadcast, and what gifts look like: as they send it, and as everybody hears it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use yizhan_hub::Content;

/// Characters of a gift's name.
const GIFT_CHARS_MAX: usize = 64;
/// Gifts that one record counts.
const COUNT_MAX: u32 = 1_000_000;
/// Bytes of a gift's `data` as JSON.
const DATA_BYTES_MAX: usize = 2_048;
/// Bytes of the user's name in a gift.
const USER_BYTES_MAX: usize = 128;
/// Bytes of a gift's id.
const ID_BYTES_MAX: usize = 128;

/// A text, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Said {
    /// The words: one line.
    pub(crate) text: String,
    /// `"#rrggbb"`, or the same as a number.
    #[serde(default)]
    pub(crate) color: Option<Color>,
    /// Where the sender's player is, milliseconds on the broadcast's clock.
    #[serde(default)]
    pub(crate) at: Option<u64>,
    /// How it crosses the picture.
    #[serde(default)]
    pub(crate) mode: Option<Mode>,
}

/// How a text crosses the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// From right to left.
    Scroll,
    /// It stands at the top.
    Top,
    /// It stands at the bottom.
    Bottom,
}

/// A colour, 24 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Color(u32);

impl Serialize for Color {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("#{:06x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Color {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u32),
            Text(String),
        }
        let number = match Form::deserialize(from) {
            Ok(Form::Number(number)) => Some(number).filter(|number| *number <= 0xff_ffff),
            Ok(Form::Text(text)) => text
                .strip_prefix('#')
                .filter(|digits| digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
                .and_then(|digits| u32::from_str_radix(digits, 16).ok()),
            Err(_) => None,
        };
        number.map(Self).ok_or_else(|| serde::de::Error::custom("a color is \"#rrggbb\""))
    }
}

/// A text, as everybody hears it.
#[derive(Debug, Serialize)]
pub(crate) struct Heard<'a> {
    pub(crate) text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) color: Option<Color>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<Mode>,
    /// Where the sender's player was, ms; not ahead of `dts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<u64>,
    /// Who.
    pub(crate) user: &'a str,
    /// `publisher` or `admin`, where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
    /// Where the broadcast was when the server took it, ms.
    pub(crate) dts: u64,
}

/// A gift, as it is sent.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Given {
    /// What: the operator's own name for it.
    pub(crate) gift: String,
    /// How many.
    #[serde(default = "one")]
    pub(crate) count: u32,
    /// Who gives it; only admins name somebody else.
    #[serde(default)]
    pub(crate) user: Option<String>,
    /// What they say with it.
    #[serde(default)]
    pub(crate) text: Option<String>,
    /// Given again with the same id by the same account, it is the same gift.
    #[serde(default)]
    pub(crate) id: Option<String>,
    /// What else the operator's pages want to know.
    #[serde(default)]
    pub(crate) data: Option<Value>,
}

fn one() -> u32 {
    1
}

/// A gift, as everybody hears it.
#[derive(Debug, Serialize)]
pub(crate) struct Got<'a> {
    pub(crate) gift: &'a str,
    pub(crate) count: u32,
    pub(crate) user: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<&'a Value>,
    /// Where the broadcast was, ms; left out where it was not on air.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dts: Option<u64>,
}

impl Said {
    /// Reads a text: a JSON object, or the words alone, as `mosquitto_pub` and `curl` send them.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(content: &Content, body: &[u8], chars_max: usize) -> Result<Self, String> {
        let body = body.trim_ascii();
        let is_json = *content == Content::Json;
        let said = if body.starts_with(b"{") && (is_json || looks_like_said(body)) {
            serde_json::from_slice(body).map_err(|error| error.to_string())?
        } else if is_json {
            // A JSON string is words, too.
            let text = serde_json::from_slice::<String>(body);
            Self { text: text.map_err(|_| "an object with text, or a string".to_owned())?, ..Self::default() }
        } else {
            let text = std::str::from_utf8(body).map_err(|_| "a text is UTF-8".to_owned())?;
            Self { text: text.to_owned(), ..Self::default() }
        };
        Ok(Self { text: line(&said.text, chars_max)?, ..said })
    }
}

impl Given {
    /// Reads a gift: a JSON object.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(body: &[u8], chars_max: usize) -> Result<Self, String> {
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err("a gift is a JSON object: {\"gift\":\"rose\",\"count\":1,\"id\":\"order-7\"}".into());
        }
        let given: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let gift = line(&given.gift, GIFT_CHARS_MAX).map_err(|wrong| format!("gift: {wrong}"))?;
        let text = given.text.as_deref().map(|text| line(text, chars_max)).transpose()?;
        if !(1..=COUNT_MAX).contains(&given.count) {
            return Err(format!("count is 1 to {COUNT_MAX}"));
        }
        let long = |text: &Option<String>, max| text.as_ref().is_some_and(|t| t.is_empty() || t.len() > max);
        if long(&given.user, USER_BYTES_MAX) || long(&given.id, ID_BYTES_MAX) {
            return Err("user and id have 1 to 128 bytes".into());
        }
        // It came out of JSON and goes back into it.
        if given.data.as_ref().is_some_and(|data| data.to_string().len() > DATA_BYTES_MAX) {
            return Err(format!("data has at most {DATA_BYTES_MAX} bytes"));
        }
        Ok(Self { gift, text, ..given })
    }
}

/// Whether bytes that nobody calls JSON are meant as an object with a text, and not as words in braces.
fn looks_like_said(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|value| value.get("text").is_some())
}

/// A text as one line of at most so many characters: blanks for line ends and tabs, nothing at its ends.
fn line(text: &str, chars_max: usize) -> Result<String, String> {
    let blank = |c: char| if matches!(c, '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}') { ' ' } else { c };
    let text: String = text.trim().chars().take(chars_max + 1).map(blank).collect();
    if text.is_empty() {
        return Err("it is empty".into());
    }
    if text.chars().nth(chars_max).is_some() {
        return Err(format!("it has more than {chars_max} characters"));
    }
    if text.chars().any(hides) {
        return Err("it has control characters".into());
    }
    Ok(text)
}

/// Control characters, and those that turn the direction of what stands behind them.
fn hides(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(content: Content, body: &str) -> Result<Said, String> {
        Said::read(&content, body.as_bytes(), 20)
    }

    fn text(body: &str) -> Said {
        Said { text: body.into(), ..Said::default() }
    }

    #[test]
    fn a_text_is_an_object_or_the_words_alone() {
        let whole = r##"{"text":" hello ","color":"#FF8000","at":1500,"mode":"top"}"##;
        let said = Said {
            text: "hello".into(),
            color: Some(Color(0xff_8000)),
            at: Some(1500),
            mode: Some(Mode::Top),
        };
        for content in [Content::Json, Content::Text, Content::Binary] {
            assert_eq!(read(content, whole), Ok(said.clone()));
        }
        assert_eq!(read(Content::Json, r#"{"text":"a","color":255}"#).unwrap().color, Some(Color(255)));
        assert_eq!(read(Content::Json, r#""hello""#), Ok(text("hello")));
        for plain in ["hello", "{smile}", "{\"a\":1}", "12", "\"quoted\"", "界"] {
            assert_eq!(read(Content::Binary, plain), Ok(text(plain)));
        }
        assert_eq!(read(Content::Text, " two\r\nlines "), Ok(text("two  lines")));
        assert_eq!(read(Content::Text, &"界".repeat(20)), Ok(text(&"界".repeat(20))));
    }

    #[test]
    fn texts_that_cannot_be_meant_are_refused() {
        for bad in ["", "   ", "\u{0}", "a\u{7}b", "a\u{202e}b", &"界".repeat(21), &"x".repeat(1_000_000)] {
            assert!(read(Content::Text, bad).is_err(), "{bad}");
        }
        for bad in [
            "hello",
            "{}",
            "[\"a\"]",
            "7",
            r#"{"text":7}"#,
            r#"{"text":""}"#,
            r#"{"text":"a","user":"admin"}"#,
            r#"{"text":"a","color":"red"}"#,
            r##"{"text":"a","color":"#+12345"}"##,
            r#"{"text":"a","color":16777216}"#,
            r#"{"text":"a","color":-1}"#,
            r#"{"text":"a","at":-1}"#,
            r#"{"text":"a","mode":"sideways"}"#,
            r#"{"text":"a"} x"#,
        ] {
            assert!(read(Content::Json, bad).is_err(), "{bad}");
        }
        assert!(Said::read(&Content::Binary, &[0xff, 0xfe], 20).is_err());
        let deep = format!("{{\"text\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
        assert!(read(Content::Json, &deep).is_err());
    }

    #[test]
    fn a_gift_is_an_object_within_bounds() {
        let given = |body: &str| Given::read(body.as_bytes(), 20);
        let gift = given(r#"{"gift":"rose","user":"bob","id":"order-7","data":{"price":3}}"#).unwrap();
        assert_eq!((gift.gift.as_str(), gift.count, gift.user.as_deref()), ("rose", 1, Some("bob")));
        let large = format!(r#"{{"gift":"a","data":"{}"}}"#, "x".repeat(3000));
        for bad in [
            "rose",
            "",
            "{}",
            r#"{"gift":""}"#,
            r#"{"gift":"a","count":0}"#,
            r#"{"gift":"a","count":1000001}"#,
            r#"{"gift":"a","count":-1}"#,
            r#"{"gift":"a","user":""}"#,
            r#"{"gift":"a","id":""}"#,
            r#"{"gift":"a","text":""}"#,
            r#"{"gift":"a","price":1}"#,
            &large,
        ] {
            assert!(given(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_one_short_line(body in prop::collection::vec(any::<u8>(), 0..200)) {
            for content in [Content::Json, Content::Text, Content::Binary] {
                if let Ok(said) = Said::read(&content, &body, 20) {
                    prop_assert!((1..=20).contains(&said.text.chars().count()));
                    prop_assert!(!said.text.chars().any(char::is_control));
                }
            }
        }
    }
}
