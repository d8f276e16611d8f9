//! The section `live.hooks`: the operator's own programs, asked before somebody publishes or watches and told when they
//! have gone, in the form that SRS has.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, de};
use yizhan_talk::span;

use super::relay::Address;
use crate::access::secret::Secret;

/// Addresses for one thing that happens.
const ADDRESSES_MAX: usize = 8;
/// The longest that somebody waits for the answer to a question.
const WITHIN_MAX: Duration = Duration::from_secs(30);

/// Webhooks. Each is an address, or several with blanks between them or in a list: `"http://127.0.0.1:9000/live"`. What
/// is posted there is JSON in the form that SRS has (`{"action":"on_publish","app":"live","stream":"room1",…}`); status
/// 200 with `0` or `{"code":0}` means yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hooks {
    /// Asked before somebody publishes, once keys, tokens and accounts let them: every one must say yes. To have it decide
    /// alone, set `live.access.publish = "open"`.
    pub on_publish: Posts,
    /// Told when a publisher has gone.
    pub on_unpublish: Posts,
    /// Asked before somebody watches, once tokens and accounts let them: every one must say yes.
    pub on_play: Posts,
    /// Told when a viewer has gone.
    pub on_stop: Posts,
    /// Told when either has gone.
    pub on_done: Posts,
    /// Told when a file of a recording is complete.
    pub on_dvr: Posts,
    /// How long a program may take to answer.
    #[serde(with = "span")]
    pub within: Duration,
    /// What happens to a publisher where `on_publish` does not answer in time, or not sensibly.
    pub publish_unanswered: Unanswered,
    /// What happens to a viewer where `on_play` does not answer in time, or not sensibly.
    pub play_unanswered: Unanswered,
    /// What signs a post, in the header `X-Yizhan-Signature`; without it posts are not signed.
    pub secret: Secret,
    /// What posts say as `vhost`.
    pub vhost: String,
    /// What posts say as `server_id`; left out, this server's name.
    pub server_id: String,
    /// Questions at one time. One more is not asked: it counts as not answered.
    pub questions_max: usize,
    /// What happened and was not taken yet, for each address. The oldest are dropped beyond it, and it is logged.
    pub events_max: usize,
    /// The wait after a first post that was not taken; it doubles with each further one.
    #[serde(with = "span")]
    pub retry_min: Duration,
    /// The longest wait between two attempts.
    #[serde(with = "span")]
    pub retry_max: Duration,
    /// After so long it is given up to tell of something.
    #[serde(with = "span")]
    pub give_up: Duration,
}

/// What happens to somebody where a program gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unanswered {
    /// they do not come in
    Refuse,
    /// they come in
    Allow,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            on_publish: Posts::default(),
            on_unpublish: Posts::default(),
            on_play: Posts::default(),
            on_stop: Posts::default(),
            on_done: Posts::default(),
            on_dvr: Posts::default(),
            within: Duration::from_secs(2),
            publish_unanswered: Unanswered::Refuse,
            play_unanswered: Unanswered::Refuse,
            secret: Secret::default(),
            vhost: "__defaultVhost__".into(),
            server_id: String::new(),
            questions_max: 256,
            events_max: 10_000,
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(60),
            give_up: Duration::from_secs(3600),
        }
    }
}

impl Hooks {
    /// Says what makes no sense.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn check(&self) -> Result<(), String> {
        for (name, posts) in self.all() {
            let web = |address: &Address| matches!(address.scheme(), "http" | "https");
            if posts.0.len() > ADDRESSES_MAX || !posts.0.iter().all(web) {
                return Err(format!(
                    "live.hooks.{name}: at most {ADDRESSES_MAX} addresses, each with http:// or https://"
                ));
            }
        }
        if self.within.is_zero() || self.within > WITHIN_MAX {
            return Err("live.hooks.within: at most 30 s, and not zero: people wait as long".into());
        }
        if self.questions_max == 0 || self.events_max == 0 {
            return Err("live.hooks: questions_max and events_max are at least 1".into());
        }
        if self.retry_min.is_zero() || self.retry_max < self.retry_min {
            return Err("live.hooks: retry_min is not zero, and retry_max not less".into());
        }
        Ok(())
    }

    /// Each, by its name.
    #[must_use]
    pub fn all(&self) -> [(&'static str, &Posts); 6] {
        [
            ("on_publish", &self.on_publish),
            ("on_unpublish", &self.on_unpublish),
            ("on_play", &self.on_play),
            ("on_stop", &self.on_stop),
            ("on_done", &self.on_done),
            ("on_dvr", &self.on_dvr),
        ]
    }
}

/// Where to post.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Posts(pub Vec<Address>);

impl<'de> Deserialize<'de> for Posts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> de::Visitor<'de> for Reader {
            type Value = Posts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address, or a list of addresses")
            }
            fn visit_str<E: de::Error>(self, all: &str) -> Result<Posts, E> {
                Ok(Posts(all.split_whitespace().map(Address::new).collect()))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut all: A) -> Result<Posts, A::Error> {
                let mut posts = Vec::new();
                while let Some(address) = all.next_element::<Address>()? {
                    posts.push(address);
                }
                Ok(Posts(posts))
            }
        }
        from.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Hooks {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_address_or_several_and_their_queries_do_not_show() {
        let hooks = read(
            r#"{"on_publish":"http://a/x?key=hunter2 https://b/","on_play":["http://c/"],"secret":"hunter2"}"#,
        );
        assert_eq!((hooks.on_publish.0.len(), hooks.on_play.0.len(), hooks.on_stop.0.len()), (2, 1, 0));
        assert!(hooks.check().is_ok());
        let shown = format!("{hooks:?} {}", serde_json::to_string(&hooks).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
        let nine = ["http://a/"; 9].join(" ");
        for (bad, key) in [
            (r#"{"on_dvr":"a.example"}"#.to_owned(), "on_dvr"),
            (r#"{"on_stop":"ftp://a"}"#.to_owned(), "on_stop"),
            (format!(r#"{{"on_play":"{nine}"}}"#), "on_play"),
            (r#"{"within":0}"#.to_owned(), "within"),
            (r#"{"within":"1h"}"#.to_owned(), "within"),
            (r#"{"events_max":0}"#.to_owned(), "events_max"),
            (r#"{"retry_max":0}"#.to_owned(), "retry_max"),
        ] {
            let said = read(&bad).check().unwrap_err();
            assert!(said.contains(key), "{said}");
        }
        assert!(serde_json::from_str::<Hooks>(r#"{"on_publish":7}"#).is_err());
        assert!(serde_json::from_str::<Hooks>(r#"{"on_connect":"http://a/"}"#).is_err());
    }
}
