//! Entries for fuzzing: bytes in, no panic, and nothing that a guesser could gain.

use yizhan_hub::{Action, Filter, Principal, Topic, Verdict, access::Rates};
use yizhan_talk::Timestamp;

use crate::{
    Config,
    config::{JwtConfig, PasswordConfig},
    jwt, names, password,
    rules::{Policy, RoleRule},
    scram,
};

/// A JWT, checked with a secret that nobody knows: it is never good.
pub fn fuzz_jwt(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let secret = Some(crate::random::letters(32).into());
    let config = JwtConfig { secret, ..JwtConfig::default() };
    let key = jwt::shared_key(&config);
    assert!(jwt::verify(&config, key.iter(), Timestamp::default(), text).is_err());
}

/// A JSON Web Key Set: what is taken from it can verify, and says no.
pub fn fuzz_keys(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(keys) = jwt::read_keys(text) else { return };
    for head in ["eyJhbGciOiJSUzI1NiJ9", "eyJhbGciOiJFUzI1NiJ9", "eyJhbGciOiJFZERTQSJ9"] {
        let token = format!("{head}.e30.AAAA");
        assert!(jwt::verify(&JwtConfig::default(), keys.iter(), Timestamp::default(), &token).is_err());
    }
}

/// A stored hash: one that can be read at all asks for bounded work.
pub fn fuzz_hash(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // Not hashed here: parameters that are allowed may cost a second each.
    let readable = !password::is_outdated(text, PasswordConfig::default());
    assert!(!readable || !password::is_quick(text), "{text}");
    drop(scram::Verifier::read(text));
    assert!(!readable || text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
}

/// A client's first and last SCRAM message, a line each: nobody proves what he does not know.
pub fn fuzz_scram(bytes: &[u8]) {
    let mut lines = bytes.splitn(2, |b| *b == b'\n');
    let (first, last) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let Ok(opening) = scram::Opening::read(first) else { return };
    let secret = crate::random::letters(32);
    let verifier = scram::Verifier::fake(secret.as_bytes(), &opening.user, scram::ITERATIONS_MIN);
    let kept = verifier.text();
    assert!(scram::Verifier::read(&kept).is_some_and(|read| read == verifier), "{kept}");
    let (challenge, pending) = opening.answer(verifier);
    // As a client that has heard the challenge would answer, with whatever stands in the input.
    let nonce = challenge.strip_prefix("r=").and_then(|rest| rest.split(',').next()).unwrap_or_default();
    let heard = String::from_utf8_lossy(last).replace("NONCE", nonce);
    for last in [last, heard.as_bytes()] {
        assert!(!matches!(pending.check(last), Ok(Some(_))), "proven by chance");
    }
}

/// Rules as JSON, then lines: a user's name, a topic, a filter. What a filter allows, its topics allow;
/// and a name that is no plain level gains nothing from `${user}`.
pub fn fuzz_rules(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (rules, user, topic, filter) = (line(), line(), line(), line());
    let Ok(rules) = serde_json::from_str::<Vec<RoleRule>>(rules) else { return };
    // Without any rule users may do everything outside `$` topics.
    let personal = !rules.is_empty()
        && rules.iter().all(|rule| rule.topics.iter().all(|topic| topic.contains("${user}")));
    let Ok(policy) = Policy::new(&Config { rules, ..Config::default() }) else { return };
    let (Ok(topic), Ok(filter)) = (Topic::new(topic), Filter::new(filter)) else { return };
    let who = Principal {
        user: user.into(),
        device: None,
        roles: ["user".into()].into(),
        expires_at: None,
        rates: Rates::default(),
    };
    for action in [Action::Publish, Action::Subscribe, Action::Presence] {
        let may = policy.may(&who, action, &topic);
        if filter.matches(&topic) && policy.may_filter(&who, action, &filter) == Verdict::Allowed {
            assert!(may, "{filter} is allowed, {topic} is not");
        }
        if personal && !names::is_plain_level(user) {
            assert!(!may, "{user:?} gains {topic}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entries_take_what_they_are_made_for() {
        fuzz_jwt(b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.AAAA");
        fuzz_keys(
            br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}"#,
        );
        fuzz_hash(b"$argon2id$v=19$t=1,p=1$AAAA$AAAA");
        fuzz_hash(b"$7$101$c2FsdA==$AAAA");
        fuzz_scram(b"n,,n=ann,r=x\nc=biws,r=NONCE,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        let rules = r#"[{"effect":"allow","topics":["home/${user}/#"]}]"#;
        for rest in
            ["ann\nhome/ann/x\nhome/ann/#", "+\nhome/x/y\nhome/+/#", "a/b\nhome/a/b\nhome/a/#", "", "\n\n"]
        {
            fuzz_rules(format!("{rules}\n{rest}").as_bytes());
        }
        for bytes in [&b""[..], b"\xff", b"\n", b"[]\n", b"{}"] {
            for entry in [fuzz_jwt, fuzz_keys, fuzz_hash, fuzz_scram, fuzz_rules] {
                entry(bytes);
            }
        }
    }
}
