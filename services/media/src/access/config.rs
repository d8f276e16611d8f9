//! What an operator may set of who may publish and who may watch: `[live.access]` and `[live.tokens]`. The keys of
//! `[live.keys]` are read by [`super::keys`].

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use yizhan_talk::span;

use super::secret::Secret;
use crate::{BadName, Name};

/// Bytes that a secret of tokens has at least.
const SECRET_BYTES_MIN: usize = 16;
/// The longest that a token may be good: ten years.
const VALID_MAX: Duration = Duration::from_secs(3653 * 86_400);

/// Who may publish and who may watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// What publishing takes, in every app that says nothing else.
    pub publish: PublishBy,
    /// What watching takes, in every app that says nothing else.
    pub play: PlayBy,
    /// Viewers at one time from one address (IPv6: from one /64), all broadcasts together; more are refused. 0 is no
    /// limit: whole companies and mobile networks come from one address.
    pub address_viewers_max: usize,
    /// An app with rules of its own, by its name.
    #[serde(rename = "app")]
    pub apps: BTreeMap<String, AppAccess>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            publish: PublishBy::Keys,
            play: PlayBy::Open,
            address_viewers_max: 1_000,
            apps: BTreeMap::new(),
        }
    }
}

/// An app with rules of its own. What is left out is as for all apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppAccess {
    /// What publishing takes.
    pub publish: Option<PublishBy>,
    /// What watching takes.
    pub play: Option<PlayBy>,
}

/// What publishing takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishBy {
    /// a key of `[live.keys]`, a token made for publishing, or an account that may publish to `live/APP/NAME`
    Keys,
    /// a token made for publishing, or an account that may publish to `live/APP/NAME`; keys are not taken
    Accounts,
    /// nothing: anybody may
    Open,
}

/// What watching takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlayBy {
    /// nothing: anybody may
    Open,
    /// a token made for watching
    Tokens,
    /// a token made for watching, or an account that may subscribe to `live/APP/NAME`
    Accounts,
}

/// Tokens that let somebody watch or publish for a while. They are made by `yizhan live token`, by asking `live/token`,
/// or by your own program that knows the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    /// What tokens are signed with, at least 16 bytes. Without it there are none.
    pub secret: Secret,
    /// The secret before: what it signed is still taken. To change the secret, move it here, and clear this when the
    /// longest token has expired.
    pub secret_before: Secret,
    /// How long a token is good where its maker does not say.
    #[serde(with = "span")]
    pub valid_for: Duration,
    /// The longest that the server makes one good for.
    #[serde(with = "span")]
    pub valid_max: Duration,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            secret: Secret::default(),
            secret_before: Secret::default(),
            valid_for: Duration::from_secs(6 * 3600),
            valid_max: Duration::from_secs(366 * 86_400),
        }
    }
}

impl Access {
    /// Says what makes no sense.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn check(&self) -> Result<(), String> {
        match self.apps.keys().find(|app| Name::new(app, "x").is_err()) {
            Some(app) => Err(format!("live.access.app: '{app}': {BadName}")),
            None => Ok(()),
        }
    }

    /// What publishing takes in an app.
    #[must_use]
    pub fn publish_in(&self, app: &str) -> PublishBy {
        self.apps.get(app).and_then(|own| own.publish).unwrap_or(self.publish)
    }

    /// What watching takes in an app.
    #[must_use]
    pub fn play_in(&self, app: &str) -> PlayBy {
        self.apps.get(app).and_then(|own| own.play).unwrap_or(self.play)
    }
}

impl Tokens {
    /// Says what makes no sense.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn check(&self) -> Result<(), String> {
        for (name, secret) in [("secret", &self.secret), ("secret_before", &self.secret_before)] {
            let bytes = secret.reveal().len();
            if bytes > 0 && bytes < SECRET_BYTES_MIN {
                return Err(format!("live.tokens.{name}: at least {SECRET_BYTES_MIN} bytes"));
            }
        }
        if self.secret.reveal().is_empty() && !self.secret_before.reveal().is_empty() {
            return Err("live.tokens.secret_before: only beside a live.tokens.secret".into());
        }
        if self.valid_for.is_zero() || self.valid_for > self.valid_max || self.valid_max > VALID_MAX {
            return Err(
                "live.tokens: valid_for is not zero and at most valid_max, and that at most 10 years".into(),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_may_have_rules_of_its_own() {
        let access: Access = serde_json::from_value(serde_json::json!({
            "play": "accounts", "app": { "vip": { "play": "tokens" }, "test": { "publish": "open" } },
        }))
        .unwrap();
        assert!(access.check().is_ok());
        assert_eq!((access.publish_in("live"), access.play_in("live")), (PublishBy::Keys, PlayBy::Accounts));
        assert_eq!((access.publish_in("vip"), access.play_in("vip")), (PublishBy::Keys, PlayBy::Tokens));
        assert_eq!((access.publish_in("test"), access.play_in("test")), (PublishBy::Open, PlayBy::Accounts));
        for bad in
            [r#"{"play":"keys"}"#, r#"{"publish":"tokens"}"#, r#"{"apps":{}}"#, r#"{"app":{"a":{"b":1}}}"#]
        {
            assert!(serde_json::from_str::<Access>(bad).is_err(), "{bad}");
        }
        let odd = Access { apps: [("a/b".to_owned(), AppAccess::default())].into(), ..Access::default() };
        assert!(odd.check().unwrap_err().contains("a/b"));
    }

    #[test]
    fn secrets_that_are_short_are_told_and_none_shows() {
        let tokens = |secret: &str, before: &str| Tokens {
            secret: Secret::new(secret),
            secret_before: Secret::new(before),
            ..Tokens::default()
        };
        assert!(Tokens::default().check().is_ok());
        assert!(tokens("0123456789abcdef", "").check().is_ok());
        assert!(tokens("short", "").check().is_err());
        assert!(tokens("0123456789abcdef", "short").check().is_err());
        assert!(tokens("", "0123456789abcdef").check().is_err());
        let set = tokens("0123456789abcdef", "fedcba9876543210");
        let shown = format!("{set:?} {}", serde_json::to_string(&set).unwrap());
        assert!(!shown.contains("0123456789abcdef") && !shown.contains("fedcba9876543210"), "{shown}");
        let forever = Tokens { valid_max: Duration::from_secs(u32::MAX.into()), ..Tokens::default() };
        assert!(forever.check().is_err());
    }
}
