//! Hashes that mosquitto has made: checked until their users sign in, and replaced then.
//!
//! `$7$ROUNDS$SALT$HASH` is PBKDF2 with HMAC-SHA-512, by default with 101 rounds; `$6$SALT$HASH` is SHA-512
//! of password and salt (mosquitto_passwd(1)). Both are far too quick to be kept.

use std::num::NonZeroU32;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ring::{digest, pbkdf2};

use crate::random;

/// Rounds that a hash may ask for: about a second.
const ITERATIONS_MAX: u32 = 1_000_000;
/// Bytes of a salt at most.
const SALT_BYTES_MAX: usize = 128;
/// Bytes of SHA-512.
const HASH_BYTES: usize = 64;

/// A hash, read.
pub(crate) struct Legacy {
    /// `None`: once over password and salt.
    rounds: Option<NonZeroU32>,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Legacy {
    /// Reads one; `None` for anything else, and for one that asks for too much work.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (rounds, rest) = match (text.strip_prefix("$7$"), text.strip_prefix("$6$")) {
            (Some(rest), _) => {
                let (rounds, rest) = rest.split_once('$')?;
                (Some(rounds.parse().ok().filter(|n: &NonZeroU32| n.get() <= ITERATIONS_MAX)?), rest)
            }
            (_, Some(rest)) => (None, rest),
            _ => return None,
        };
        let (salt, hash) = rest.split_once('$')?;
        let legacy = Self { rounds, salt: BASE64.decode(salt).ok()?, hash: BASE64.decode(hash).ok()? };
        let fits = (1..=SALT_BYTES_MAX).contains(&legacy.salt.len()) && legacy.hash.len() == HASH_BYTES;
        fits.then_some(legacy)
    }

    /// Whether this is the password. Where it differs does not show in the time it takes.
    pub(crate) fn matches(&self, password: &str) -> bool {
        match self.rounds {
            Some(rounds) => {
                let algorithm = pbkdf2::PBKDF2_HMAC_SHA512;
                pbkdf2::verify(algorithm, rounds, &self.salt, password.as_bytes(), &self.hash).is_ok()
            }
            None => {
                let salted = [password.as_bytes(), &self.salt].concat();
                random::same(digest::digest(&digest::SHA512, &salted).as_ref(), &self.hash)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `mosquitto_passwd` 2.0.11: `-b file user 'correct horse'`.
    const SEVEN: &str = "$7$101$KKZ9R1TjYdSVBopU$jJ8Au+SEwBn1Qkf/WkBsQFEGrDgblNV1KHROJXCK2C3hqGQ7N9/NBzcTJifbkcEl90UHSkOdbLpBVvBpz/8iBQ==";
    /// The same with `-H sha512`.
    const SIX: &str = "$6$Cpmfqr92lWPJhsRv$z2nGZ8OUDhC0rfmRcIGftLYY1T09mMoJFtr1JlfFKI2dxulbTT8NOsPT/PxphlohQ+2yXwnW0kcptB/nTZp8PA==";

    #[test]
    fn hashes_that_mosquitto_has_made_are_checked() {
        for text in [SEVEN, SIX] {
            let legacy = Legacy::read(text).unwrap();
            assert!(legacy.matches("correct horse"), "{text}");
            assert!(
                !legacy.matches("correct hors") && !legacy.matches("") && !legacy.matches("correct horse ")
            );
        }
    }

    #[test]
    fn damaged_hashes_and_greedy_ones_are_none() {
        let hash = SEVEN.rsplit_once('$').unwrap().1;
        for bad in [
            String::new(),
            "$7$".into(),
            "$6$$".into(),
            format!("$7$0$AAAA${hash}"),
            format!("$7$-1$AAAA${hash}"),
            format!("$7$4000000000$AAAA${hash}"),
            format!("$7$101$${hash}"),
            format!("$7$101$AAAA${}", &hash[4..]),
            format!("$5$AAAA${hash}"),
            format!("$7$101$A*AA${hash}"),
            SEVEN[..SEVEN.len() - 1].into(),
        ] {
            assert!(Legacy::read(&bad).is_none(), "{bad}");
        }
    }
}
