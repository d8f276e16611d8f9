//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side, as messages in and messages out.
//!
//! The server keeps a verifier and never the password: whoever steals it can't sign in with it, and has to
//! try passwords one by one, each for as many rounds as were set. Verifiers are kept as text in the form of
//! RFC 5803: `SCRAM-SHA-256$ROUNDS:SALT$STORED-KEY:SERVER-KEY`.

use std::num::NonZeroU32;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ring::{digest, hmac, pbkdf2};

use crate::random;

/// The mechanism's name. With channel binding it would be another one (`-PLUS`), which is not taken.
pub const MECHANISM: &str = "SCRAM-SHA-256";
/// Rounds at least (RFC 7677 §4).
pub(crate) const ITERATIONS_MIN: u32 = 4_096;
/// Rounds at most: seconds of a client's time.
pub(crate) const ITERATIONS_MAX: u32 = 10_000_000;
/// Bytes of one message of the client.
const MESSAGE_BYTES_MAX: usize = 2_048;
/// Bytes of the client's nonce.
const NONCE_BYTES_MAX: usize = 512;
/// Random characters that the server adds to it: 142 bits.
const NONCE_CHARS: usize = 24;
const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;

type Key = [u8; KEY_BYTES];

/// What the server keeps to check a proof.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Key,
    server_key: Key,
}

impl Verifier {
    /// Makes one with a fresh salt. `None` for a password that SASLprep (RFC 4013) refuses: it can't be used
    /// with SCRAM. Takes tens of milliseconds.
    pub(crate) fn new(password: &str, iterations: u32) -> Option<Self> {
        let salt: [u8; SALT_BYTES] = random::bytes();
        Self::with_salt(password, iterations, &salt)
    }

    fn with_salt(password: &str, iterations: u32, salt: &[u8]) -> Option<Self> {
        let password = stringprep::saslprep(password).ok()?;
        let rounds = NonZeroU32::new(iterations)?;
        let mut salted = [0; KEY_BYTES];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut salted);
        let stored_key = sha256(&hmac(&salted, b"Client Key"));
        let server_key = hmac(&salted, b"Server Key");
        Some(Self { iterations, salt: salt.into(), stored_key, server_key })
    }

    /// One that no proof fits, and whose salt is always the same for a name: who asks can't tell that the
    /// account is not there.
    pub(crate) fn fake(secret: &[u8], user: &str, iterations: u32) -> Self {
        let salt = hmac(secret, user.as_bytes())[..SALT_BYTES].to_vec();
        Self { iterations, salt, stored_key: random::bytes(), server_key: random::bytes() }
    }

    /// Reads one that was kept; `None` for text that is none.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (info, keys) = text.strip_prefix(MECHANISM)?.strip_prefix('$')?.split_once('$')?;
        let ((iterations, salt), (stored_key, server_key)) = (info.split_once(':')?, keys.split_once(':')?);
        let iterations = iterations.parse().ok().filter(|n| (1..=ITERATIONS_MAX).contains(n))?;
        Some(Self {
            iterations,
            salt: BASE64.decode(salt).ok()?,
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }

    /// The text to keep.
    pub(crate) fn text(&self) -> String {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|bytes| BASE64.encode(bytes));
        format!("{MECHANISM}${}:{salt}${stored}:{server}", self.iterations)
    }

    pub(crate) fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Whether the proof was made with the password (RFC 5802 §3).
    fn admits(&self, said: &[u8], proof: &Key) -> bool {
        let mut client_key = hmac(&self.stored_key, said);
        for (byte, proof) in client_key.iter_mut().zip(proof) {
            *byte ^= proof;
        }
        random::same(&sha256(&client_key), &self.stored_key)
    }
}

/// Whether a verifier can be made of this password.
pub(crate) fn takes(password: &str) -> bool {
    stringprep::saslprep(password).is_ok()
}

/// The peer's message is not SCRAM, or wants what is not taken here. The text says which, for logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// The client's first message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    /// Who it says it is.
    pub(crate) user: String,
    /// What stands before the message proper: channel binding and authorization name.
    header: String,
    bare: String,
    nonce: String,
}

impl Opening {
    /// Reads the client's first message.
    pub(crate) fn read(message: &[u8]) -> Result<Self, Malformed> {
        let text = text(message)?;
        let mut parts = text.splitn(3, ',');
        let (flag, name, bare) = (parts.next(), parts.next(), parts.next());
        let (Some(flag), Some(name), Some(bare)) = (flag, name, bare) else {
            return Err(Malformed("the message has no header"));
        };
        match flag {
            // `y`: it could bind to the channel and believes that we can't, which is so.
            "n" | "y" => {}
            _ if flag.starts_with("p=") => return Err(Malformed("channel binding is not taken here")),
            _ => return Err(Malformed("the header is wrong")),
        }
        let mut fields = bare.split(',');
        let user = match fields.next().and_then(|field| field.split_once('=')) {
            Some(("n", user)) => saslname(user)?,
            Some(("m", _)) => return Err(Malformed("an extension is demanded that is not known here")),
            _ => return Err(Malformed("the user's name is missing")),
        };
        let nonce = fields.next().and_then(|field| field.strip_prefix("r="));
        let nonce =
            nonce.filter(|nonce| is_nonce(nonce)).ok_or(Malformed("the nonce is missing or wrong"))?;
        extensions(fields)?;
        let acts_as = match name.strip_prefix("a=") {
            Some(name) => Some(saslname(name)?),
            None if name.is_empty() => None,
            None => return Err(Malformed("the header is wrong")),
        };
        if acts_as.is_some_and(|name| name != user) {
            return Err(Malformed("nobody acts for somebody else here"));
        }
        Ok(Self { user, header: format!("{flag},{name},"), bare: bare.into(), nonce: nonce.into() })
    }

    /// The server's answer, and what to check the client's next message with.
    pub(crate) fn answer(self, verifier: Verifier) -> (String, Pending) {
        self.answer_with(verifier, &random::letters(NONCE_CHARS))
    }

    fn answer_with(self, verifier: Verifier, more: &str) -> (String, Pending) {
        let nonce = format!("{}{more}", self.nonce);
        let salt = BASE64.encode(&verifier.salt);
        let challenge = format!("r={nonce},s={salt},i={}", verifier.iterations);
        let said = format!("{},{challenge},", self.bare);
        let binding = BASE64.encode(self.header);
        (challenge, Pending { verifier, nonce, said, binding })
    }
}

/// An exchange that waits for the client's proof.
pub(crate) struct Pending {
    verifier: Verifier,
    nonce: String,
    /// Both first messages, each with a comma behind it.
    said: String,
    /// What the client has to repeat of its header.
    binding: String,
}

impl Pending {
    /// Checks the client's last message. Gives the server's last one where the proof is good; `None` where
    /// it is not.
    pub(crate) fn check(&self, message: &[u8]) -> Result<Option<String>, Malformed> {
        let text = text(message)?;
        let (unproven, proof) = text.rsplit_once(",p=").ok_or(Malformed("the proof is missing"))?;
        let proof = key(proof).ok_or(Malformed("the proof is wrong"))?;
        let mut fields = unproven.split(',');
        if fields.next().and_then(|field| field.strip_prefix("c=")) != Some(&self.binding) {
            return Err(Malformed("the header is not the one that was sent first"));
        }
        if fields.next().and_then(|field| field.strip_prefix("r=")) != Some(&self.nonce) {
            return Err(Malformed("the nonce is not the one that was sent"));
        }
        extensions(fields)?;
        let said = [self.said.as_bytes(), unproven.as_bytes()].concat();
        let good = self.verifier.admits(&said, &proof);
        Ok(good.then(|| format!("v={}", BASE64.encode(hmac(&self.verifier.server_key, &said)))))
    }
}

fn text(message: &[u8]) -> Result<&str, Malformed> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(Malformed("the message is too long"));
    }
    let text = std::str::from_utf8(message).map_err(|_| Malformed("the message is no UTF-8"))?;
    if text.contains('\0') { Err(Malformed("the message has a NUL")) } else { Ok(text) }
}

/// A name with `=2C` for a comma and `=3D` for an equals sign (RFC 5802 §5.1).
fn saslname(text: &str) -> Result<String, Malformed> {
    let mut parts = text.split('=');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(Malformed("the user's name is wrong")),
        };
        name.push(sign);
        name.push_str(rest);
    }
    if name.is_empty() { Err(Malformed("the user's name is missing")) } else { Ok(name) }
}

fn is_nonce(nonce: &str) -> bool {
    (1..=NONCE_BYTES_MAX).contains(&nonce.len()) && nonce.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

/// Extensions that are not demanded are passed over, where they look like some: a letter, `=`, a value.
fn extensions<'a>(mut fields: impl Iterator<Item = &'a str>) -> Result<(), Malformed> {
    let like_one = |field: &str| {
        let bytes = field.as_bytes();
        bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b'='
    };
    if fields.all(like_one) { Ok(()) } else { Err(Malformed("an extension is wrong")) }
}

fn key(text: &str) -> Option<Key> {
    BASE64.decode(text).ok()?.try_into().ok()
}

fn hmac(key: &[u8], data: &[u8]) -> Key {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
    tag.as_ref().try_into().expect("HMAC-SHA-256 gives 32 bytes")
}

fn sha256(data: &[u8]) -> Key {
    digest::digest(&digest::SHA256, data).as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

#[cfg(test)]
#[path = "scram_tests.rs"]
mod tests;
