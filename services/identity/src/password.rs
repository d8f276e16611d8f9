//! Passwords: argon2id (RFC 9106), kept as PHC strings: `$argon2id$v=19$m=…,t=…,p=…$salt$hash`.
//!
//! Hashes that mosquitto has made are taken, too, and replaced when their users next sign in: see `legacy`.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};

use crate::{
    config::{Config, PasswordConfig},
    failure::Failure,
    legacy, random, scram,
};

/// Bytes of a new password at least.
pub const PASSWORD_BYTES_MIN: usize = 8;
/// Bytes of a password at most; longer ones are wrong without being looked at.
pub const PASSWORD_BYTES_MAX: usize = 1024;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// Bytes of a hash that was made elsewhere: at least, at most.
const FOREIGN_HASH_BYTES: std::ops::RangeInclusive<usize> = 16..=64;
/// Memory that a stored hash may ask for, KiB: a damaged row must not take the machine.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
/// Passes that a stored hash may ask for.
const PASSES_MAX: u32 = 64;

/// Memory that a hash made elsewhere may ask for, KiB.
const FOREIGN_MEMORY_KIB_MAX: u32 = 256 * 1024;
/// Passes that it may ask for.
const FOREIGN_PASSES_MAX: u32 = 16;

/// Checks a new password.
///
/// # Errors
/// [`Failure::BadPassword`].
pub fn check(password: &str) -> Result<(), Failure> {
    if (PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&password.len()) {
        Ok(())
    } else {
        Err(Failure::BadPassword)
    }
}

/// The parameters as argon2 wants them.
///
/// # Errors
/// They are out of bounds.
pub fn parameters(config: PasswordConfig) -> Result<Params, argon2::Error> {
    if config.memory_kib > MEMORY_KIB_MAX || config.passes > PASSES_MAX {
        return Err(argon2::Error::MemoryTooMuch);
    }
    Params::new(config.memory_kib, config.passes, config.lanes, Some(HASH_BYTES))
}

/// What is kept of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hashed {
    /// The hash that passwords are compared with.
    pub(crate) hash: String,
    /// What SCRAM needs; `None` where it is off or can't take this password.
    pub(crate) scram: Option<String>,
}

impl Hashed {
    /// Makes all that is kept of a password. Takes tens of milliseconds.
    pub(crate) fn new(config: &Config, password: &str) -> Self {
        Self { hash: hash(config.password, password), scram: verifier(config, password) }
    }

    /// What was made elsewhere.
    ///
    /// # Errors
    /// [`Failure::BadField`]: it is no hash of a kind that is known here, or asks for too much work.
    pub(crate) fn foreign(hash: &str) -> Result<Self, Failure> {
        let modest = |s: Stored| {
            s.memory_kib <= FOREIGN_MEMORY_KIB_MAX && s.passes <= FOREIGN_PASSES_MAX && s.params().is_some()
        };
        if legacy::Legacy::read(hash).is_some() || Stored::read(hash).is_some_and(modest) {
            Ok(Self { hash: hash.into(), scram: None })
        } else {
            Err(NO_HASH)
        }
    }
}

const NO_HASH: Failure = Failure::BadField(
    "'password_hash' is argon2id as a PHC string, or one of mosquitto's ($7$… or $6$…), within bounds",
);

fn verifier(config: &Config, password: &str) -> Option<String> {
    match config.scram_iterations {
        0 => None,
        iterations => scram::Verifier::new(password, iterations).map(|verifier| verifier.text()),
    }
}

/// Whether what is kept is not what would be made of this password today.
pub(crate) fn is_old(kept: &Hashed, config: &Config, password: &str) -> bool {
    let rounds = kept.scram.as_deref().and_then(scram::Verifier::read).map_or(0, |v| v.iterations());
    let wanted = if scram::takes(password) { config.scram_iterations } else { 0 };
    is_outdated(&kept.hash, config.password) || rounds != wanted
}

/// Whether checking a password against this takes less time than argon2 does.
pub(crate) fn is_quick(stored: &str) -> bool {
    legacy::Legacy::read(stored).is_some()
}

/// Hashes a password. Takes tens of milliseconds and as much memory as configured.
#[must_use]
pub fn hash(config: PasswordConfig, password: &str) -> String {
    // A config is checked before it is in force; its default stands for one that is not.
    let params = parameters(config).unwrap_or_default();
    let salt: [u8; SALT_BYTES] = random::bytes();
    let hash = digest(&params, &salt, password).unwrap_or_default();
    let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    let (salt, hash) = (BASE64.encode(salt), BASE64.encode(hash));
    format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${hash}")
}

/// Whether this is the password. Text that is no hash matches nothing.
#[must_use]
pub fn matches(stored: &str, password: &str) -> bool {
    if let Some(legacy) = legacy::Legacy::read(stored) {
        return legacy.matches(password);
    }
    let Some(stored) = Stored::read(stored) else { return false };
    let Some(params) = stored.params() else { return false };
    digest(&params, &stored.salt, password).is_some_and(|hash| random::same(&hash, &stored.hash))
}

/// Whether the hash was made with other parameters than these.
#[must_use]
pub fn is_outdated(stored: &str, config: PasswordConfig) -> bool {
    Stored::read(stored)
        .is_none_or(|s| (s.memory_kib, s.passes, s.lanes) != (config.memory_kib, config.passes, config.lanes))
}

fn digest(params: &Params, salt: &[u8], password: &str) -> Option<Vec<u8>> {
    let mut hash = vec![0; params.output_len().unwrap_or(HASH_BYTES)];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    argon2.hash_password_into(password.as_bytes(), salt, &mut hash).ok().map(|()| hash)
}

/// A PHC string's parts.
struct Stored {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Stored {
    fn read(text: &str) -> Option<Self> {
        let (parameters, rest) = text.strip_prefix("$argon2id$v=19$")?.split_once('$')?;
        let (salt, hash) = rest.split_once('$')?;
        let mut parts = parameters.split(',');
        let mut number = |name: &str| parts.next()?.strip_prefix(name)?.parse().ok();
        let (memory_kib, passes, lanes) = (number("m=")?, number("t=")?, number("p=")?);
        let stored = Self {
            memory_kib,
            passes,
            lanes,
            salt: BASE64.decode(salt).ok()?,
            hash: BASE64.decode(hash).ok()?,
        };
        let fits = memory_kib <= MEMORY_KIB_MAX
            && passes <= PASSES_MAX
            && FOREIGN_HASH_BYTES.contains(&stored.hash.len());
        fits.then_some(stored)
    }

    fn params(&self) -> Option<Params> {
        Params::new(self.memory_kib, self.passes, self.lanes, Some(self.hash.len())).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cheap: what is tested is not argon2.
    const CHEAP: PasswordConfig = PasswordConfig { memory_kib: 8, passes: 1, lanes: 1 };

    #[test]
    fn a_password_matches_its_hash_and_no_other() {
        let stored = hash(CHEAP, "correct horse");
        assert!(
            matches(&stored, "correct horse") && !matches(&stored, "correct hors") && !matches(&stored, "")
        );
        assert_ne!(stored, hash(CHEAP, "correct horse"), "each has a salt of its own");
        assert!(!is_outdated(&stored, CHEAP) && is_outdated(&stored, PasswordConfig::default()));
    }

    /// Made with the reference implementation: `echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1`.
    #[test]
    #[cfg_attr(miri, ignore = "64 MiB of argon2 take hours there")]
    fn hashes_of_the_reference_implementation_match() {
        let stored = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(matches(stored, "password") && !matches(stored, "Password"));
    }

    #[test]
    fn damaged_hashes_match_nothing() {
        let good = hash(CHEAP, "");
        for bad in [
            "",
            "plain",
            "$argon2i$v=19$m=8,t=1,p=1$AAAA$AAAA",
            "$argon2id$v=19$m=4294967295,t=4294967295,p=1$AAAAAAAAAAA$AAAA",
            "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAA$",
            &good[..good.len() - 1],
        ] {
            assert!(!matches(bad, ""), "{bad}");
        }
    }

    #[test]
    fn new_passwords_have_a_length() {
        assert!(check("12345678").is_ok() && check("1234567").is_err() && check(&"x".repeat(1025)).is_err());
    }
}
