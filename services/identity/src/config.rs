//! The section `identity` of the config.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use yizhan_hub::access::Rates;
use yizhan_talk::span;

use crate::{
    failure::BadConfig,
    names::{ANONYMOUS, GUEST, check_role},
    password,
    rules::{Policy, RoleRule},
    scram,
    secret::Secret,
};

/// Bytes that a shared secret for HS256 must have at least (RFC 7518 §3.2).
const SECRET_BYTES_MIN: usize = 32;
/// Rounds where nobody says otherwise: sixteen times what RFC 7677 asks for at least, some 15 ms on a laptop
/// and a fifth of a second on a small board. A stolen password is as safe as the weaker of this and argon2id,
/// so it is as much as small clients can bear.
const SCRAM_ITERATIONS: u32 = 65_536;

/// Who may come in, and who may do what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Clients that show no credentials: `off` refuses them, `read` lets them subscribe outside `$` topics,
    /// `open` lets them do everything outside `$` topics, `rules` lets them do what the rules for the role
    /// `anonymous` say and nothing else.
    pub anonymous: Entry,
    /// Clients that give a name and an empty password: they are `guest:NAME` and have the role `guest`.
    /// Values as for `anonymous`. Nobody checks that a guest's name is used by one person only.
    pub guests: Entry,
    /// Clients that show a TLS certificate which their listener has verified: `accounts` lets them in as the
    /// account that the certificate names, `any` also where there is no account of that name, with the role
    /// `user`.
    pub certificates: Certificates,
    /// Ordered rules: the first one that fits the user, the role, the action and the topic decides. Owners may
    /// do everything without a rule. Without any rule here, users may do everything outside `$` topics and
    /// follow `$presence/#` and `$SYS/broker/#`; with rules, they may do what these say and nothing else.
    pub rules: Vec<RoleRule>,
    /// Who subscribes to a filter that rules allow only in part: `refuse` says no, `check` lets it and
    /// delivers what is allowed, one by one, as mosquitto does.
    pub wide_filters: WideFilters,
    /// What one connection may send, by role. Of several roles the most generous counts; `default` is for
    /// roles that are not named here.
    pub rates: BTreeMap<String, RoleRates>,
    /// Tokens of other systems: JSON Web Tokens (RFC 7519).
    pub jwt: JwtConfig,
    /// What an attempt to guess a password costs the server and the guesser.
    pub password: PasswordConfig,
    /// Rounds of PBKDF2 in what is kept for SCRAM-SHA-256, at least 4096. Its client computes them at each
    /// sign-in, a thief of the data for each guess. 0: no SCRAM, and nothing is kept for it.
    pub scram_iterations: u32,
    /// What follows failed attempts.
    pub attempts: Attempts,
    /// What follows when a client comes and goes too often.
    pub flapping: Flapping,
    /// How long a sign-in to the console lasts.
    #[serde(with = "span")]
    pub login_for: Duration,
    /// How long a sign-in link is good.
    #[serde(with = "span")]
    pub link_for: Duration,
    /// How long a one-time ticket (`POST /v1/ticket`) is good.
    #[serde(with = "span")]
    pub ticket_for: Duration,
    /// How long a personal token is good whose maker does not say.
    #[serde(with = "span")]
    pub token_for: Duration,
    /// How many entries the audit log keeps.
    pub audit_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        let strangers = RoleRates { messages_per_second: Some(50), ..RoleRates::default() };
        Self {
            anonymous: Entry::Off,
            guests: Entry::Off,
            certificates: Certificates::Accounts,
            rules: Vec::new(),
            wide_filters: WideFilters::Refuse,
            rates: BTreeMap::from([(ANONYMOUS.into(), strangers), (GUEST.into(), strangers)]),
            jwt: JwtConfig::default(),
            password: PasswordConfig::default(),
            scram_iterations: SCRAM_ITERATIONS,
            attempts: Attempts::default(),
            flapping: Flapping::default(),
            login_for: Duration::from_secs(12 * 3600),
            link_for: Duration::from_secs(15 * 60),
            ticket_for: Duration::from_secs(60),
            token_for: Duration::from_secs(90 * 86_400),
            audit_max: 10_000,
        }
    }
}

/// How strangers come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entry {
    /// Not at all.
    #[default]
    Off,
    /// To subscribe outside `$` topics.
    Read,
    /// To do everything outside `$` topics.
    Open,
    /// To do what the rules for their role say.
    Rules,
}

/// Whom a certificate lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Certificates {
    /// Users with an account.
    #[default]
    Accounts,
    /// Everybody whom a certificate names.
    Any,
}

/// What becomes of a filter that rules allow only in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WideFilters {
    /// It is refused.
    #[default]
    Refuse,
    /// It is taken, and each record is checked.
    Check,
}

/// What a connection with this role may send. What is left out has no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoleRates {
    /// Messages published per second and per connection; twice as many may come at once.
    pub messages_per_second: Option<u32>,
    /// Bytes published per second and per connection; twice as many may come at once.
    pub bytes_per_second: Option<u32>,
    /// Messages published per second by all connections of the user together.
    pub user_messages_per_second: Option<u32>,
    /// Messages published per second by all connections of the address together.
    pub address_messages_per_second: Option<u32>,
}

/// How JSON Web Tokens are checked. Taken where `secret`, `jwks_file` or `jwks_url` is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JwtConfig {
    /// The shared secret for HS256, at least 32 bytes.
    pub secret: Option<Secret<String>>,
    /// A file with public keys (a JSON Web Key Set, RFC 7517) for RS256, ES256 and EdDSA.
    pub jwks_file: Option<PathBuf>,
    /// An address that gives such a set, `https://…`.
    pub jwks_url: Option<String>,
    /// How often the address is asked for new keys. It is also asked, at most once a minute, when a token
    /// names a key that is not known.
    #[serde(with = "span")]
    pub jwks_refresh: Duration,
    /// Who may have issued a token (`iss`). Empty: anybody who has the key.
    pub issuers: Vec<String>,
    /// Whom a token must be for (`aud`): one of these. Empty: a token that names an audience is refused.
    pub audiences: Vec<String>,
    /// Ids of keys (`kid`) that are taken. Empty: all that are there.
    pub key_ids: Vec<String>,
    /// The claim that names the user.
    pub user_claim: String,
    /// The claim that names roles: an array of strings, or one string with spaces. The role `owner` is
    /// never taken from it.
    pub roles_claim: Option<String>,
    /// The roles of users whose token names none.
    pub roles: Vec<String>,
    /// How far clocks may differ.
    #[serde(with = "span")]
    pub leeway: Duration,
    /// Whether a token must say when it ends (`exp`).
    pub require_expiry: bool,
}

impl Default for JwtConfig {
    fn default() -> Self {
        Self {
            secret: None,
            jwks_file: None,
            jwks_url: None,
            jwks_refresh: Duration::from_secs(3600),
            issuers: Vec::new(),
            audiences: Vec::new(),
            key_ids: Vec::new(),
            user_claim: "sub".into(),
            roles_claim: None,
            roles: vec!["user".into()],
            leeway: Duration::from_secs(60),
            require_expiry: true,
        }
    }
}

impl JwtConfig {
    /// Whether JWTs are taken at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.secret.is_some() || self.jwks_file.is_some() || self.jwks_url.is_some()
    }
}

/// The parameters of argon2id (RFC 9106). Passwords are hashed again at the next sign-in after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordConfig {
    /// Memory of one hash, KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for PasswordConfig {
    /// What OWASP recommends: 19 MiB, two passes, one lane.
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2, lanes: 1 }
    }
}

/// What follows failed attempts to sign in with a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Attempts {
    /// Failures without a consequence; from then on the wait doubles from one second with each.
    pub free: u32,
    /// Longest wait for one user name. Short, since strangers can bring it about.
    #[serde(with = "span")]
    pub user_wait_max: Duration,
    /// Longest wait for one address (IPv6: for one /64).
    #[serde(with = "span")]
    pub address_wait_max: Duration,
    /// After this time half of the failures are forgotten.
    #[serde(with = "span")]
    pub half_life: Duration,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            free: 5,
            user_wait_max: Duration::from_secs(30),
            address_wait_max: Duration::from_secs(900),
            half_life: Duration::from_secs(600),
        }
    }
}

/// Clients that come and go too often. A client is a user and the device (MQTT: client id) that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Flapping {
    /// Whether they are kept out for a while.
    pub enabled: bool,
    /// So many times a client may leave `within` this time; with the next one it is banned.
    pub connects_max: u32,
    /// In which time it is counted.
    #[serde(with = "span")]
    pub within: Duration,
    /// For how long it is banned.
    #[serde(with = "span")]
    pub ban_for: Duration,
}

impl Default for Flapping {
    fn default() -> Self {
        Self {
            enabled: false,
            connects_max: 15,
            within: Duration::from_secs(60),
            ban_for: Duration::from_secs(300),
        }
    }
}

impl Config {
    /// What `--dev` begins with: anonymous clients and guests may do everything outside `$` topics, as
    /// fast as they like.
    #[must_use]
    pub fn dev() -> Self {
        Self { anonymous: Entry::Open, guests: Entry::Open, rates: BTreeMap::new(), ..Self::default() }
    }

    /// Checks what types alone do not say.
    ///
    /// # Errors
    /// The first key that can't be used.
    pub fn check(&self) -> Result<(), BadConfig> {
        Policy::new(self)?;
        password::parameters(self.password)
            .map_err(|_| BadConfig::new("password", "argon2 does not take these parameters"))?;
        for role in self.rates.keys() {
            check_role(role).map_err(|bad| BadConfig::new(format!("rates.{role}"), bad.to_string()))?;
        }
        for role in &self.jwt.roles {
            check_role(role).map_err(|bad| BadConfig::new("jwt.roles", bad.to_string()))?;
        }
        if self.jwt.secret.as_ref().is_some_and(|s| s.reveal().len() < SECRET_BYTES_MIN) {
            return Err(BadConfig::new("jwt.secret", "it needs at least 32 bytes"));
        }
        if self.jwt.jwks_url.as_ref().is_some_and(|url| !url.starts_with("https://") && !is_loopback(url)) {
            return Err(BadConfig::new("jwt.jwks_url", "keys must come over https://"));
        }
        if self.scram_iterations != 0
            && !(scram::ITERATIONS_MIN..=scram::ITERATIONS_MAX).contains(&self.scram_iterations)
        {
            return Err(BadConfig::new("scram_iterations", "it is 0 or 4096 to 10000000"));
        }
        if self.flapping.within.is_zero() || self.flapping.connects_max == 0 {
            return Err(BadConfig::new("flapping", "'within' and 'connects_max' must be more than 0"));
        }
        if self.attempts.half_life.is_zero() {
            return Err(BadConfig::new("attempts.half_life", "it must be longer than 0"));
        }
        if self.audit_max == 0 {
            return Err(BadConfig::new("audit_max", "it must be at least 1"));
        }
        Ok(())
    }

    /// What a connection with these roles may send: of each limit the most generous.
    pub(crate) fn rates_of<R: AsRef<str>>(&self, roles: &[R]) -> Rates {
        let named = roles.iter().filter_map(|role| self.rates.get(role.as_ref())).copied();
        let most =
            named.reduce(RoleRates::or).or_else(|| self.rates.get("default").copied()).unwrap_or_default();
        Rates {
            messages_per_second: most.messages_per_second,
            bytes_per_second: most.bytes_per_second,
            user_messages_per_second: most.user_messages_per_second,
            address_messages_per_second: most.address_messages_per_second,
        }
    }
}

impl RoleRates {
    /// Of each limit the more generous one; none is the most generous.
    fn or(self, other: Self) -> Self {
        let more = |a: Option<u32>, b: Option<u32>| Some(a?.max(b?));
        Self {
            messages_per_second: more(self.messages_per_second, other.messages_per_second),
            bytes_per_second: more(self.bytes_per_second, other.bytes_per_second),
            user_messages_per_second: more(self.user_messages_per_second, other.user_messages_per_second),
            address_messages_per_second: more(
                self.address_messages_per_second,
                other.address_messages_per_second,
            ),
        }
    }
}

/// Whether an address is this machine's own, where nobody listens in between.
fn is_loopback(url: &str) -> bool {
    let host = url.strip_prefix("http://").and_then(|rest| rest.split(['/', '?']).next()).unwrap_or("");
    let name = host
        .rsplit_once(':')
        .map_or(host, |(name, port)| if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host });
    matches!(name, "127.0.0.1" | "localhost" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_section_is_the_default_and_survives_its_text() {
        let config: Config = toml::from_str("").unwrap();
        assert_eq!(config, Config::default());
        config.check().unwrap();
        Config::dev().check().unwrap();
        let again: Config = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn unknown_keys_and_useless_values_are_refused() {
        assert!(toml::from_str::<Config>("anonimous = 'read'").is_err());
        assert!(toml::from_str::<Config>("login_for = 'soon'").is_err());
        let refused = |text: &str| toml::from_str::<Config>(text).unwrap().check().unwrap_err().place;
        assert_eq!(refused("jwt.secret = 'short'"), "jwt.secret");
        assert_eq!(refused("jwt.jwks_url = 'http://example.org/keys'"), "jwt.jwks_url");
        assert_eq!(refused("jwt.jwks_url = 'http://localhost.example.org/keys'"), "jwt.jwks_url");
        assert_eq!(refused("jwt.jwks_url = 'http://127.0.0.1:80@example.org/keys'"), "jwt.jwks_url");
        assert_eq!(refused("password.memory_kib = 0"), "password");
        assert_eq!(refused("scram_iterations = 1000"), "scram_iterations");
        assert_eq!(refused("flapping.within = 0"), "flapping");
        toml::from_str::<Config>("scram_iterations = 0").unwrap().check().unwrap();
        assert_eq!(refused("rates.Bad.bytes_per_second = 1"), "rates.Bad");
        toml::from_str::<Config>("jwt.jwks_url = 'http://localhost:9000/keys'").unwrap().check().unwrap();
    }

    #[test]
    fn secrets_do_not_show_in_the_config() {
        let config: Config = toml::from_str("jwt.secret = 'a very long and very secret secret'").unwrap();
        assert!(!format!("{config:?}").contains("secret secret"));
        assert!(!toml::to_string(&config).unwrap().contains("secret secret"));
    }

    #[test]
    fn the_most_generous_rate_counts() {
        let config: Config = toml::from_str(
            "rates.default.messages_per_second = 5\n\
             rates.user.messages_per_second = 10\nrates.user.bytes_per_second = 1000\n\
             rates.feed.messages_per_second = 100",
        )
        .unwrap();
        let rates = |roles: &[&str]| config.rates_of(roles);
        assert_eq!(rates(&["user"]).messages_per_second, Some(10));
        assert_eq!(rates(&["other"]).messages_per_second, Some(5));
        assert_eq!(rates(&["user", "feed", "other"]).messages_per_second, Some(100));
        assert_eq!(rates(&["user", "feed"]).bytes_per_second, None);
        assert_eq!(Config::dev().rates_of(&["anonymous"]), Rates::default());
    }
}
