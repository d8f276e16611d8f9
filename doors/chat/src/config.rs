//! The section `chat` of the config.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use yizhan_identity::Secret;
use yizhan_net::{SiteError, posting, setting::seconds};

/// Bytes that a hook's secret has at least.
const SECRET_BYTES_MIN: usize = 16;
/// Hooks that may be set.
const HOOKS_MAX: usize = 32;
/// Bytes of a hook's name.
const NAME_BYTES_MAX: usize = 64;

/// Instant messaging over HTTP: `POST /im/v1/…`, its document for machines, files, and webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Bytes that a question's body may have.
    pub body_bytes_max: usize,
    /// How long the answer to a request with an `Idempotency-Key` is kept, and given again.
    #[serde(with = "seconds")]
    pub idempotency_for: Duration,
    /// Whether anybody may read `/im/v1/openapi.json` and `/im/v1/docs`.
    pub docs: bool,
    /// Files that messages carry.
    pub files: Files,
    /// A program that is asked before a message is taken: it allows, changes or refuses it.
    pub before: Option<Before>,
    /// A program that hears what happened, by its name: every message and every change, signed, in order, and
    /// again until it was taken.
    #[serde(rename = "hook")]
    pub hooks: BTreeMap<String, Hook>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            body_bytes_max: 1024 * 1024,
            idempotency_for: Duration::from_secs(24 * 3600),
            docs: true,
            files: Files::default(),
            before: None,
            hooks: BTreeMap::new(),
        }
    }
}

/// Files that messages carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Files {
    /// The folder for their bytes. Left out: `files` in the data folder.
    pub folder: Option<PathBuf>,
    /// A bucket of S3, or of what speaks like it, in place of a folder.
    pub s3: Option<S3>,
    /// Bytes that one file may have.
    pub upload_bytes_max: u64,
    /// Uploads that may be on their way at one time; one more is refused.
    pub uploads_open_max: usize,
    /// An upload that gets nothing for so long is given up.
    #[serde(with = "seconds")]
    pub upload_idle_max: Duration,
    /// A file that no message carries is removed after so long.
    #[serde(with = "seconds")]
    pub unsent_for: Duration,
    /// Every file is removed after so long; 0 keeps them.
    #[serde(with = "seconds")]
    pub keep_for: Duration,
    /// Pixels that an image may have to get a smaller picture.
    pub image_pixels_max: u64,
    /// The longer side of a smaller picture, pixels.
    pub thumbnail_side_px: u32,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            folder: None,
            s3: None,
            upload_bytes_max: 100 << 20,
            uploads_open_max: 10_000,
            upload_idle_max: Duration::from_secs(24 * 3600),
            unsent_for: Duration::from_secs(48 * 3600),
            keep_for: Duration::ZERO,
            image_pixels_max: 50_000_000,
            thumbnail_side_px: 480,
        }
    }
}

/// A bucket of S3, or of what speaks like it: MinIO, Ceph, Garage, OSS, COS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3 {
    /// Its address: `"https://s3.example"`.
    pub endpoint: String,
    /// The bucket. It must be there.
    pub bucket: String,
    /// Its region; where there is none, `us-east-1` is usual.
    pub region: String,
    /// The name of the key.
    pub access_key: String,
    /// The secret part of the key.
    pub secret_key: Secret<String>,
    /// `https://endpoint/bucket/…`, as most servers of one's own want it, in place of `https://bucket.endpoint/…`.
    pub path_style: bool,
    /// What stands before every name; may be empty.
    pub prefix: String,
}

/// A program that hears what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hook {
    /// Where to post: `"https://backend.example/im"`. Redirections are not followed.
    pub url: String,
    /// What signs a post: `X-Yizhan-Signature`. At least 16 bytes.
    pub secret: Secret<String>,
    /// What it hears of: `messages`, `changes` (edits, recalls, reactions, members and so on).
    pub hears: Vec<Hears>,
    /// Events in one post.
    pub events_max: usize,
    /// How long the program may take to answer.
    #[serde(with = "seconds")]
    pub within: Duration,
    /// How long to wait after the first failure; then twice as long each time.
    #[serde(with = "seconds")]
    pub retry_min: Duration,
    /// The longest wait between two attempts.
    #[serde(with = "seconds")]
    pub retry_max: Duration,
}

/// What a hook hears of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hears {
    /// Messages.
    Messages,
    /// What changed: edits, recalls, reactions, pins, members, roles and so on.
    Changes,
}

impl Default for Hook {
    fn default() -> Self {
        Self {
            url: String::new(),
            secret: Secret::default(),
            hears: vec![Hears::Messages, Hears::Changes],
            events_max: 100,
            within: Duration::from_secs(10),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(300),
        }
    }
}

/// A program that is asked before a message is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Before {
    /// Where to ask: `"http://127.0.0.1:9000/before"`. Redirections are not followed.
    pub url: String,
    /// What signs a question: `X-Yizhan-Signature`. At least 16 bytes.
    pub secret: Secret<String>,
    /// How long the program may take to answer; a sender waits as long.
    #[serde(with = "seconds")]
    pub within: Duration,
    /// What happens to a message where the program does not answer in time, or not sensibly.
    pub otherwise: Otherwise,
    /// Questions at one time. One more is not asked, and `otherwise` decides.
    pub questions_max: usize,
}

/// What happens to a message where nobody answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Otherwise {
    /// It is taken.
    #[default]
    Allow,
    /// It is not taken: the sender is told to try again.
    Refuse,
}

impl Default for Before {
    fn default() -> Self {
        Self {
            url: String::new(),
            secret: Secret::default(),
            within: Duration::from_millis(200),
            otherwise: Otherwise::default(),
            questions_max: 256,
        }
    }
}

impl Config {
    /// Says what makes no sense.
    ///
    /// # Errors
    /// The setting and what it should be.
    pub fn check(&self) -> Result<(), SiteError> {
        self.wrong().map_or(Ok(()), |reason| Err(SiteError::Door { door: "chat", reason }))
    }

    fn wrong(&self) -> Option<String> {
        if self.body_bytes_max < 1024 {
            return Some("body_bytes_max is at least 1024".to_owned());
        }
        if self.files.folder.is_some() && self.files.s3.is_some() {
            return Some("files: take either a folder or s3".to_owned());
        }
        if self.files.unsent_for < self.files.upload_idle_max {
            return Some("files: unsent_for is at least upload_idle_max".to_owned());
        }
        if self.hooks.len() > HOOKS_MAX {
            return Some(format!("at most {HOOKS_MAX} hooks"));
        }
        for (name, hook) in &self.hooks {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            let wrong = if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
                Some("a name has 1 to 64 letters, digits, '-' and '_'".to_owned())
            } else {
                hook.wrong()
            };
            if let Some(wrong) = wrong {
                return Some(format!("hook.{name}: {wrong}"));
            }
        }
        self.before.as_ref().and_then(Before::wrong).map(|wrong| format!("before: {wrong}"))
    }
}

impl Hook {
    fn wrong(&self) -> Option<String> {
        if self.hears.is_empty() {
            Some("hears is a list with 'messages', 'changes' or both".to_owned())
        } else if !(1..=1000).contains(&self.events_max) {
            Some("events_max is 1 to 1000".to_owned())
        } else if self.within.is_zero() || self.retry_min.is_zero() || self.retry_max < self.retry_min {
            Some("within and retry_min are not zero, and retry_max is not less than retry_min".to_owned())
        } else {
            wrong_endpoint(&self.url, &self.secret)
        }
    }
}

impl Before {
    fn wrong(&self) -> Option<String> {
        if self.within.is_zero() || self.within > Duration::from_secs(10) {
            Some("within is at most 10 s, and not zero: each sender waits as long".to_owned())
        } else if self.questions_max == 0 {
            Some("questions_max is at least 1".to_owned())
        } else {
            wrong_endpoint(&self.url, &self.secret)
        }
    }
}

fn wrong_endpoint(url: &str, secret: &Secret<String>) -> Option<String> {
    if let Err(error) = posting::endpoint(url) {
        return Some(format!("url: {error}"));
    }
    let short = secret.reveal().len() < SECRET_BYTES_MIN;
    short.then(|| format!("secret has at least {SECRET_BYTES_MIN} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_said_with_its_key() {
        let hook = |change: fn(&mut Hook)| {
            let mut hook = Hook {
                url: "https://a.example/".into(),
                secret: Secret::new("0123456789abcdef".into()),
                ..Hook::default()
            };
            change(&mut hook);
            Config { hooks: BTreeMap::from([("shop".to_owned(), hook)]), ..Config::default() }
        };
        assert!(Config::default().check().is_ok() && hook(|_| {}).check().is_ok());
        for (config, word) in [
            (hook(|h| h.url = "a.example".into()), "hook.shop: url"),
            (hook(|h| h.secret = Secret::new("short".into())), "secret"),
            (hook(|h| h.hears.clear()), "hears"),
            (hook(|h| h.events_max = 0), "events_max"),
            (hook(|h| h.retry_max = Duration::ZERO), "retry_max"),
            (Config { before: Some(Before::default()), ..Config::default() }, "before: url"),
            (Config { body_bytes_max: 1, ..Config::default() }, "body_bytes_max"),
            (
                Config {
                    files: Files { unsent_for: Duration::ZERO, ..Files::default() },
                    ..Config::default()
                },
                "unsent_for",
            ),
        ] {
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let config: Config =
            serde_json::from_str(r#"{"hook":{"a":{"url":"http://h/","secret":"0123456789abcdef"}}}"#)
                .unwrap();
        assert!(!format!("{config:?}").contains("0123456789abcdef"));
        assert!(!serde_json::to_string(&config).unwrap().contains("0123456789abcdef"));
    }
}
