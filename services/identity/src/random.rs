//! Random names and secrets, and how secrets are kept: as SHA-256, never as they are.

use ring::{
    digest,
    rand::{SecureRandom, SystemRandom},
};

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Characters that hold 256 bits.
pub(crate) const SECRET_CHARS: usize = 43;

/// So many random characters of `0-9A-Za-z`, 5.95 bits each.
pub(crate) fn letters(count: usize) -> String {
    let random = SystemRandom::new();
    let mut text = String::with_capacity(count);
    while text.len() < count {
        let mut bytes = [0; 64];
        random.fill(&mut bytes).expect("the system gives random bytes");
        // 248 is four times 62: what lies above would favour the first letters.
        let fair = bytes.iter().filter(|&&b| b < 248).map(|&b| LETTERS[usize::from(b % 62)]);
        text.extend(fair.take(count - text.len()).map(char::from));
    }
    text
}

/// Random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

/// A secret's SHA-256 in hexadecimal. A plain hash is enough: the secrets are 256 random bits.
pub(crate) fn fingerprint(secret: &str) -> String {
    hex(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref())
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(*b)]).collect()
}

/// Whether both are the same; takes as long where they differ early as where they differ late.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    let differing = a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differing) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_many_and_different() {
        let (a, b) = (letters(SECRET_CHARS), letters(SECRET_CHARS));
        assert_eq!(a.len(), SECRET_CHARS);
        assert!(a != b && a.bytes().all(|c| c.is_ascii_alphanumeric()));
        assert_ne!(bytes::<16>(), bytes::<16>());
    }

    #[test]
    fn sameness_is_sameness() {
        assert!(same(b"abc", b"abc") && !same(b"abc", b"abd") && !same(b"abc", b"ab") && same(b"", b""));
        assert_eq!(fingerprint("abc")[..16], *"ba7816bf8f01cfea");
    }
}
