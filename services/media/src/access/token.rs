//! Tokens that let somebody watch or publish one broadcast, or all of an app, for a while.
//!
//! A token is `HEAD.MAC`: `v1790000000.uYW5u.SIGNATURE24CHARACTERS00`. The head is parts with dots between them: first
//! `v` (view) or `p` (publish) and the second since 1970 in which it ends to be good, then as many of these as are
//! wanted, in any order: `u` and a user's name, `a` and the address that it is good for (both base64url without
//! padding), `o` and an id that makes it good for one time, `w` where it is good for the whole app. The MAC is the first
//! 24 characters of the base64url of HMAC-SHA256 (RFC 2104) over `APP/NAME?HEAD` (`APP/*?HEAD` with `w`). So another
//! program makes one in a line:
//!
//! ```python
//! head = f"v{int(time.time()) + 3600}"
//! mac = hmac.digest(secret, f"live/room1?{head}".encode(), "sha256")
//! token = head + "." + base64.urlsafe_b64encode(mac)[:24].decode()
//! ```

use std::{fmt, net::IpAddr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::hmac;
use yizhan_talk::Timestamp;

use super::{config::Tokens, secret::same};
use crate::{Name, name::PART_BYTES_MAX};

/// Characters of the MAC: 144 bits.
const MAC_CHARS: usize = 24;
/// Bytes of a token.
pub const TOKEN_BYTES_MAX: usize = 512;
/// Bytes of a user's name in a token.
pub const USER_BYTES_MAX: usize = 128;
/// Bytes of an id that makes a token good for one time.
pub const ONCE_BYTES_MAX: usize = 64;

/// What a token lets do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Doing {
    /// Watch.
    Play,
    /// Publish.
    Publish,
}

/// What is in a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What it lets do.
    pub doing: Doing,
    /// From this second since 1970 on it has expired.
    pub until: u64,
    /// Who has it.
    pub user: Option<String>,
    /// The only address that it is good for.
    pub address: Option<IpAddr>,
    /// It is good for one time: the id that tells it from others.
    pub once: Option<String>,
    /// It is good for every broadcast of the app.
    pub wide: bool,
}

impl Grant {
    /// Lets do this until then, and nothing else is said.
    #[must_use]
    pub fn new(doing: Doing, until: Timestamp) -> Self {
        let until = until.as_millis().div_ceil(1000);
        Self { doing, until, user: None, address: None, once: None, wide: false }
    }

    /// Whether it can be written.
    ///
    /// # Errors
    /// What is too long or has other characters.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.user.as_ref().is_some_and(|user| user.is_empty() || user.len() > USER_BYTES_MAX) {
            return Err("a user's name has 1 to 128 bytes");
        }
        if self.once.as_deref().is_some_and(|once| !is_once(once)) {
            return Err("an id for one time has 1 to 64 letters, digits, '_' or '-'");
        }
        Ok(())
    }
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// It is none of ours, or not for this broadcast.
    #[error("this token is not one for this broadcast")]
    Wrong,
    /// It was good.
    #[error("the token has expired: get a new one")]
    Expired,
    /// It is for watching, and publishing is wanted, or the other way round.
    #[error("this token is for something else: one lets watch, another one publish")]
    Other,
    /// It is good for another address.
    #[error("this token is for another address")]
    Elsewhere,
    /// There is no secret.
    #[error("tokens are not taken here: set live.tokens.secret")]
    NoSecret,
}

/// Signs tokens and checks them. The default knows no secret.
#[derive(Clone, Default)]
pub struct Signer {
    /// The first signs.
    keys: Vec<hmac::Key>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} secrets)", self.keys.len())
    }
}

impl Signer {
    /// With the secrets of a config that was checked.
    #[must_use]
    pub fn new(tokens: &Tokens) -> Self {
        let secrets = [&tokens.secret, &tokens.secret_before];
        let set = secrets.into_iter().map(|secret| secret.reveal()).filter(|secret| !secret.is_empty());
        Self { keys: set.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())).collect() }
    }

    /// Whether there is a secret.
    #[must_use]
    pub fn is_set(&self) -> bool {
        !self.keys.is_empty()
    }

    /// A token for a broadcast. `None` without a secret.
    #[must_use]
    pub fn sign(&self, name: &Name, grant: &Grant) -> Option<String> {
        let head = head(grant);
        let mac = mac(self.keys.first()?, &scope(name, grant.wide), &head);
        Some(format!("{head}.{mac}"))
    }

    /// What is in a token that is good for this, here and now. One that was tampered with is wrong before anything else
    /// is said of it.
    ///
    /// # Errors
    /// See [`BadToken`].
    pub fn check(
        &self,
        token: &str,
        doing: Doing,
        name: &Name,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Grant, BadToken> {
        if !self.is_set() {
            return Err(BadToken::NoSecret);
        }
        let (head, shown) = token
            .rsplit_once('.')
            .filter(|(_, mac)| token.len() <= TOKEN_BYTES_MAX && mac.len() == MAC_CHARS)
            .ok_or(BadToken::Wrong)?;
        let grant = read(head).ok_or(BadToken::Wrong)?;
        let scope = scope(name, grant.wide);
        let fits = |fits, key| fits | same(mac(key, &scope, head).as_bytes(), shown.as_bytes());
        if !self.keys.iter().fold(false, fits) {
            return Err(BadToken::Wrong);
        }
        if grant.doing != doing {
            return Err(BadToken::Other);
        }
        if now.as_millis() / 1000 >= grant.until {
            return Err(BadToken::Expired);
        }
        match grant.address {
            Some(of) if address.map(|address| address.to_canonical()) != Some(of.to_canonical()) => {
                Err(BadToken::Elsewhere)
            }
            _ => Ok(grant),
        }
    }
}

/// Whether a text looks like one of these tokens, and not like an account's.
#[must_use]
pub fn is_token(text: &str) -> bool {
    let digits =
        text.strip_prefix(['v', 'p']).and_then(|rest| rest.split_once('.')).map(|(digits, _)| digits);
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn is_once(once: &str) -> bool {
    (1..=ONCE_BYTES_MAX).contains(&once.len())
        && once.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// What a token is for, as it is signed. The source's name for a rung.
fn scope(name: &Name, wide: bool) -> String {
    if wide { format!("{}/*", name.app) } else { name.source().to_string() }
}

fn mac(key: &hmac::Key, scope: &str, head: &str) -> String {
    let tag = hmac::sign(key, format!("{scope}?{head}").as_bytes());
    let mut text = BASE64.encode(tag);
    text.truncate(MAC_CHARS);
    text
}

fn head(grant: &Grant) -> String {
    let letter = match grant.doing {
        Doing::Play => 'v',
        Doing::Publish => 'p',
    };
    let mut head = format!("{letter}{}", grant.until);
    if let Some(user) = &grant.user {
        head.push_str(&format!(".u{}", BASE64.encode(user)));
    }
    if let Some(address) = grant.address {
        head.push_str(&format!(".a{}", BASE64.encode(address.to_canonical().to_string())));
    }
    if let Some(once) = &grant.once {
        head.push_str(&format!(".o{once}"));
    }
    if grant.wide {
        head.push_str(".w");
    }
    head
}

/// What a head says; `None` where it cannot be read, or says something twice.
fn read(head: &str) -> Option<Grant> {
    let mut parts = head.split('.');
    let first = parts.next()?;
    let doing = match first.as_bytes().first()? {
        b'v' => Doing::Play,
        b'p' => Doing::Publish,
        _ => return None,
    };
    let digits = first.get(1..)?;
    let until = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()?;
    let mut grant = Grant { doing, until, user: None, address: None, once: None, wide: false };
    for part in parts {
        let rest = part.get(1..)?;
        let text = || String::from_utf8(BASE64.decode(rest).ok()?).ok();
        match part.as_bytes().first()? {
            b'u' if grant.user.is_none() => grant.user = Some(text()?),
            b'a' if grant.address.is_none() => grant.address = Some(text()?.parse().ok()?),
            b'o' if grant.once.is_none() => grant.once = Some(rest.to_owned()),
            b'w' if !grant.wide && rest.is_empty() => grant.wide = true,
            _ => return None,
        }
    }
    grant.check().is_ok().then_some(grant)
}

// A broadcast's name cannot be `*`, so no token for one broadcast is one for its app.
const _: () = assert!(PART_BYTES_MAX < TOKEN_BYTES_MAX);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::access::secret::Secret;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7)));

    fn signer(secret: &str, before: &str) -> Signer {
        let tokens =
            Tokens { secret: Secret::new(secret), secret_before: Secret::new(before), ..Tokens::default() };
        Signer::new(&tokens)
    }

    fn room(name: &str) -> Name {
        Name::of_any("live", name).unwrap()
    }

    fn hour() -> Grant {
        Grant::new(Doing::Play, NOW.plus(std::time::Duration::from_secs(3600)))
    }

    /// The MAC was made with Python, as the head of this file shows.
    #[test]
    fn a_token_is_that_of_others_and_short() {
        let token = signer("0123456789abcdef", "").sign(&room("room1"), &hour()).unwrap();
        assert_eq!(token, "v1790003600.UfmXK_aycBU3YwgM1kfBo3aB");
        assert!(is_token(&token));
        for other in ["yz_abcdefghijkl0123", "eyJhbGciOiJIUzI1NiJ9.e30.x", "v.x", "v1790003600", "", "view.1"]
        {
            assert!(!is_token(other), "{other}");
        }
    }

    #[test]
    fn a_token_is_good_for_its_broadcast_its_doing_and_its_time() {
        let signer = signer("0123456789abcdef", "");
        let token = signer.sign(&room("room1"), &hour()).unwrap();
        let check = |doing, name: &str, now| signer.check(&token, doing, &room(name), HERE, now);
        assert_eq!(check(Doing::Play, "room1", NOW), Ok(hour()));
        assert_eq!(check(Doing::Play, "room1~720p", NOW), Ok(hour()), "a rung is the same broadcast");
        assert_eq!(check(Doing::Publish, "room1", NOW), Err(BadToken::Other));
        assert_eq!(check(Doing::Play, "room2", NOW), Err(BadToken::Wrong));
        let end = NOW.plus(std::time::Duration::from_secs(3600));
        assert_eq!(check(Doing::Play, "room1", Timestamp(end.0 - 1)), Ok(hour()));
        assert_eq!(check(Doing::Play, "room1", end), Err(BadToken::Expired), "expired, and not wrong");
        assert_eq!(check(Doing::Play, "room2", end), Err(BadToken::Wrong), "wrong, and not expired");
        let other = Name::new("vip", "room1").unwrap();
        assert_eq!(signer.check(&token, Doing::Play, &other, HERE, NOW), Err(BadToken::Wrong));
        assert_eq!(
            Signer::default().check(&token, Doing::Play, &room("room1"), HERE, NOW),
            Err(BadToken::NoSecret)
        );
        assert_eq!(Signer::default().sign(&room("room1"), &hour()), None);
    }

    #[test]
    fn a_token_may_be_for_one_user_one_address_one_time_or_a_whole_app() {
        let signer = signer("0123456789abcdef", "");
        let grant = Grant {
            user: Some("Ann 界.u".into()),
            address: HERE,
            once: Some("order-7".into()),
            wide: true,
            ..hour()
        };
        let token = signer.sign(&room("room1"), &grant).unwrap();
        assert!(
            token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')),
            "{token}"
        );
        let check = |name: &Name, address| signer.check(&token, Doing::Play, name, address, NOW);
        assert_eq!(check(&room("any"), HERE), Ok(grant.clone()));
        assert_eq!(check(&room("any"), Some("::ffff:203.0.113.7".parse().unwrap())), Ok(grant));
        assert_eq!(check(&room("any"), Some("203.0.113.8".parse().unwrap())), Err(BadToken::Elsewhere));
        assert_eq!(check(&room("any"), None), Err(BadToken::Elsewhere));
        assert_eq!(check(&Name::new("vip", "any").unwrap(), HERE), Err(BadToken::Wrong));
        for bad in
            [Grant { user: Some(String::new()), ..hour() }, Grant { once: Some("a.w".into()), ..hour() }]
        {
            assert!(bad.check().is_err());
        }
    }

    #[test]
    fn the_secret_before_is_taken_and_does_not_sign() {
        let (old, new) = (signer("0123456789abcdef", ""), signer("fedcba9876543210", "0123456789abcdef"));
        let (name, by_old) = (room("room1"), old.sign(&room("room1"), &hour()).unwrap());
        assert!(new.check(&by_old, Doing::Play, &name, HERE, NOW).is_ok());
        let by_new = new.sign(&name, &hour()).unwrap();
        assert_eq!(old.check(&by_new, Doing::Play, &name, HERE, NOW), Err(BadToken::Wrong));
        assert!(new.check(&by_new, Doing::Play, &name, HERE, NOW).is_ok());
    }

    proptest! {
        #[test]
        fn whatever_is_changed_in_a_token_makes_it_wrong(at in 0usize..64, with in any::<u8>()) {
            let signer = signer("0123456789abcdef", "fedcba9876543210");
            let token = signer.sign(&room("r"), &Grant { user: Some("ann".into()), ..hour() }).unwrap();
            let mut bytes = token.clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] = with;
            if let Ok(text) = String::from_utf8(bytes) && text != token {
                prop_assert_eq!(signer.check(&text, Doing::Play, &room("r"), HERE, NOW), Err(BadToken::Wrong));
            }
        }

        #[test]
        fn garbage_is_wrong(text in "[vp]?[0-9]{0,30}(\\.[uaow]?\\PC{0,40}){0,6}") {
            let checked = signer("0123456789abcdef", "").check(&text, Doing::Play, &room("r"), HERE, NOW);
            prop_assert_eq!(checked, Err(BadToken::Wrong));
        }
    }
}
