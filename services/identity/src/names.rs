//! What is a valid name of a user and of a role.

use std::sync::Arc;

use yizhan_hub::Principal;

use crate::failure::Failure;

/// Bytes of a user's name.
pub const USER_BYTES_MAX: usize = 64;
/// Bytes of a user's name that comes with a JWT: other systems have longer ones.
pub const JWT_USER_BYTES_MAX: usize = 128;
/// Bytes of a device's name; MQTT's client ids are among them, and those may be long.
pub const DEVICE_BYTES_MAX: usize = 256;
/// Bytes of a role's name.
pub const ROLE_BYTES_MAX: usize = 32;
/// Roles that one account has, or that are taken out of a JWT.
pub const ROLES_MAX: usize = 16;

/// The role that may do everything.
pub const OWNER: &str = "owner";
/// The role that runs the server.
pub const ADMIN: &str = "admin";
/// The role of everybody with an account.
pub const USER: &str = "user";
/// The role of those who gave only a name.
pub const GUEST: &str = "guest";
/// The role, and the name, of those who gave nothing.
pub const ANONYMOUS: &str = "anonymous";

/// Who comes with the token for tools on this machine: no account can have this name.
pub(crate) const LOCAL: &str = "$local";

/// Marks a principal that came with a token: a role that no rule can name, since roles have no `:`.
pub(crate) const TOKEN_MARK: &str = "token:";
/// As [`TOKEN_MARK`], for a token with rules of its own.
pub(crate) const NARROW_MARK: &str = "narrow:";
/// Marks a principal without an account here: a stranger, or one that another system vouches for.
pub(crate) const FOREIGN_MARK: &str = "foreign:";
/// What a guest's user begins with.
pub(crate) const GUEST_MARK: &str = "guest:";

/// Checks the name of an account to be made.
///
/// # Errors
/// [`Failure::BadUser`], with the rule that it breaks.
pub fn check_user(user: &str) -> Result<(), Failure> {
    if user.len() > USER_BYTES_MAX {
        return Err(Failure::BadUser("it has at most 64 bytes"));
    }
    if user.contains([':', '\\']) || user.chars().any(char::is_whitespace) {
        return Err(Failure::BadUser("it has no ':', '\\' or spaces"));
    }
    check_foreign(user)
}

/// Checks a user's name that another system has given. It may have spaces and colons, and still must be
/// one plain level of a topic.
///
/// # Errors
/// [`Failure::BadUser`], with the rule that it breaks.
pub(crate) fn check_foreign(user: &str) -> Result<(), Failure> {
    if user.is_empty() || user.len() > JWT_USER_BYTES_MAX {
        return Err(Failure::BadUser("it has 1 to 128 bytes"));
    }
    if user == ANONYMOUS || user.starts_with('$') || user.starts_with(GUEST_MARK) {
        return Err(Failure::BadUser("'anonymous', 'guest:…' and '$…' are the server's own names"));
    }
    if !is_plain_level(user) {
        return Err(Failure::BadUser("it has no '/', '+', '#' or control characters"));
    }
    Ok(())
}

/// Whether a name can stand for one level of a topic and mean nothing else. Where it can't, rules with
/// `${user}` or `${device}` match nothing.
#[must_use]
pub fn is_plain_level(name: &str) -> bool {
    let forbidden = |c: char| matches!(c, '/' | '+' | '#' | '\u{fffe}' | '\u{ffff}') || c.is_control();
    !name.is_empty() && !name.starts_with('$') && !name.contains(forbidden)
}

/// Checks a role's name.
///
/// # Errors
/// [`Failure::BadRole`].
pub fn check_role(role: &str) -> Result<(), Failure> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    if role.is_empty() || role.len() > ROLE_BYTES_MAX || !role.bytes().all(fits) {
        return Err(Failure::BadRole);
    }
    Ok(())
}

/// Checks an account's roles.
///
/// # Errors
/// [`Failure::BadRole`]: one is no role, or there are too many. `guest` and `anonymous` are given by the
/// server only.
pub fn check_roles<R: AsRef<str>>(roles: &[R]) -> Result<(), Failure> {
    let names = || roles.iter().map(AsRef::as_ref);
    if roles.len() > ROLES_MAX || names().any(|r| r == GUEST || r == ANONYMOUS) {
        return Err(Failure::BadRole);
    }
    names().try_for_each(check_role)
}

/// The roles that people gave, without the marks that the server adds.
pub fn given_roles(who: &Principal) -> impl Iterator<Item = &Arc<str>> {
    who.roles.iter().filter(|role| !role.contains(':'))
}

/// The id of the token that `who` came with.
#[must_use]
pub fn token_of(who: &Principal) -> Option<&str> {
    who.roles.iter().find_map(|r| r.strip_prefix(TOKEN_MARK).or_else(|| r.strip_prefix(NARROW_MARK)))
}

/// Whether `who` came with a token that has rules of its own.
#[must_use]
pub fn is_narrow(who: &Principal) -> bool {
    who.roles.iter().any(|r| r.starts_with(NARROW_MARK))
}

/// Whether `who` has an account here, and is not a stranger or somebody whom another system sent.
#[must_use]
pub(crate) fn has_account(who: &Principal) -> bool {
    !who.roles.iter().any(|role| role.starts_with(FOREIGN_MARK))
}

/// Whether `who` has this role.
#[must_use]
pub fn has_role(who: &Principal, role: &str) -> bool {
    who.roles.iter().any(|r| **r == *role)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_are_one_plain_level() {
        for good in ["ann", "小明", "a.b-c_d@example.org", "O'Brien"] {
            assert!(check_user(good).is_ok(), "{good}");
        }
        let long = "x".repeat(65);
        for bad in
            ["", "a/b", "+", "#", "a#", "$SYS", "anonymous", "guest:ann", "a b", "a\0", "a\\b", "a:b", &long]
        {
            assert!(check_user(bad).is_err(), "{bad:?}");
        }
        for good in ["auth0|5f", "ann smith", "urn:x:y"] {
            assert!(check_foreign(good).is_ok(), "{good}");
        }
        for bad in ["", "a/b", "a+b", "$x", "guest:a", "anonymous", "\u{7f}"] {
            assert!(check_foreign(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn roles_can_not_look_like_marks() {
        assert!(check_role("night-shift_2").is_ok());
        for bad in ["", "token:x", "narrow:x", "Owner", "a b", &"r".repeat(33)] {
            assert!(check_role(bad).is_err(), "{bad}");
        }
        assert!(check_roles(&["user", "guest"]).is_err());
        assert!(check_roles(&vec!["user"; 17]).is_err());
    }
}
