//! JSON Web Tokens (RFC 7515, 7517, 7518, 7519, 8037): HS256, RS256, ES256, EdDSA.
//!
//! Each key is good for one algorithm, which its type says; a token whose header names another one is
//! not compared with it. So neither `none` nor an RSA key taken for a shared secret gets through.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::{
    hmac,
    signature::{self, RsaPublicKeyComponents, UnparsedPublicKey},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use yizhan_talk::Timestamp;

use crate::{
    config::JwtConfig,
    names::{ANONYMOUS, GUEST, OWNER, ROLES_MAX, check_foreign, check_role},
};

/// Bytes of a token at most.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a key set at most.
pub const KEYS_BYTES_MAX: usize = 256 * 1024;
/// Keys of a set at most; one without an id is tried for every token.
pub const KEYS_MAX: usize = 64;
/// Bytes of a modulus at most: 8,192 bits.
const MODULUS_BYTES_MAX: usize = 1024;

/// Whether a text has the form of a JWT: three parts in base64url, of which the first is a header with an
/// algorithm. Not whether it is good.
pub(crate) fn is_like_one(text: &str) -> bool {
    let mut parts = text.split('.');
    let (Some(head), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let base64 = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let header =
        || BASE64.decode(head).ok().and_then(|json| serde_json::from_slice::<Map<String, Value>>(&json).ok());
    text.len() <= TOKEN_BYTES_MAX
        && [head, claims, signature].into_iter().all(base64)
        && header().is_some_and(|header| header.contains_key("alg"))
}

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Whose it is.
    pub user: String,
    /// The user's roles.
    pub roles: Vec<String>,
    /// When it ends, the leeway added.
    pub expires_at: Option<Timestamp>,
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// It was good and has expired.
    Expired,
    /// It names a key that is not there: newer keys may have it.
    UnknownKey,
    /// Everything else.
    Bad(&'static str),
}

/// A key set could not be used; the one before it stays in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    /// It is larger than [`KEYS_BYTES_MAX`] or has more keys than [`KEYS_MAX`].
    #[error("the key set is too large: at most 256 KiB and 64 keys are taken")]
    TooLarge,
    /// It is not a JSON Web Key Set.
    #[error("this is not a JSON Web Key Set: {{\"keys\":[…]}} is expected")]
    NotKeys,
    /// It has no key for RS256, ES256 or EdDSA.
    #[error("the key set has no signature key for RS256, ES256 or EdDSA")]
    NoneUsable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Hs256,
    Rs256,
    Es256,
    EdDsa,
}

impl Algorithm {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::Hs256,
            "RS256" => Self::Rs256,
            "ES256" => Self::Es256,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// A key, the algorithm it is for, and its name.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    id: Option<String>,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Shared(hmac::Key),
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// The point, uncompressed: 4, x, y.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.algorithm())
    }
}

impl Material {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Shared(_) => Algorithm::Hs256,
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        let done = match self {
            Self::Shared(key) => hmac::verify(key, signed, signature),
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }.verify(
                &signature::RSA_PKCS1_2048_8192_SHA256,
                signed,
                signature,
            ),
            Self::P256(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(signed, signature)
            }
            Self::Ed25519(point) => {
                UnparsedPublicKey::new(&signature::ED25519, point).verify(signed, signature)
            }
        };
        done.is_ok()
    }
}

/// The shared secret of the config as a key.
pub(crate) fn shared_key(config: &JwtConfig) -> Option<Key> {
    let secret = config.secret.as_ref()?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
    Some(Key { id: None, material: Material::Shared(key) })
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct PublicKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// Reads a JSON Web Key Set (RFC 7517). Keys that are of no use here are passed over, as §5 asks;
/// shared secrets (`oct`) are among those.
pub(crate) fn read_keys(text: &str) -> Result<Vec<Key>, BadKeys> {
    if text.len() > KEYS_BYTES_MAX {
        return Err(BadKeys::TooLarge);
    }
    let set: KeySet = serde_json::from_str(text).map_err(|_| BadKeys::NotKeys)?;
    if set.keys.len() > KEYS_MAX {
        return Err(BadKeys::TooLarge);
    }
    let keys: Vec<_> = set.keys.into_iter().filter_map(read_key).collect();
    if keys.is_empty() { Err(BadKeys::NoneUsable) } else { Ok(keys) }
}

fn read_key(value: Value) -> Option<Key> {
    let key: PublicKey = serde_json::from_value(value).ok()?;
    let bytes = |text: &Option<String>| BASE64.decode(text.as_deref()?).ok();
    let material = match (key.kty.as_str(), key.crv.as_deref()) {
        ("RSA", _) => {
            let strip = |n: Vec<u8>| n.into_iter().skip_while(|&b| b == 0).collect::<Vec<u8>>();
            let (n, e) = (strip(bytes(&key.n)?), strip(bytes(&key.e)?));
            ((256..=MODULUS_BYTES_MAX).contains(&n.len()) && e.len() <= 8)
                .then_some(Material::Rsa { n, e })?
        }
        ("EC", Some("P-256")) => {
            let (x, y) = (bytes(&key.x)?, bytes(&key.y)?);
            (x.len() == 32 && y.len() == 32).then(|| Material::P256([vec![4], x, y].concat()))?
        }
        ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(&key.x).filter(|x| x.len() == 32)?),
        _ => return None,
    };
    let for_signatures = key.usage.is_none_or(|usage| usage == "sig");
    let says_so = key.alg.is_none_or(|alg| Algorithm::named(&alg) == Some(material.algorithm()));
    (for_signatures && says_so).then_some(Key { id: key.kid, material })
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// Checks a token: form, key, signature, then what it says.
pub(crate) fn verify<'k>(
    config: &JwtConfig,
    keys: impl Iterator<Item = &'k Key>,
    now: Timestamp,
    token: &str,
) -> Result<Claims, Rejected> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Rejected::Bad("it is too long"));
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(NOT_A_JWT)?;
    let (header, payload) = signed.split_once('.').ok_or(NOT_A_JWT)?;
    let decoded = |text: &str| BASE64.decode(text).map_err(|_| NOT_A_JWT);
    let (header, payload, signature) = (decoded(header)?, decoded(payload)?, decoded(signature)?);
    let header: Header = serde_json::from_slice(&header).map_err(|_| NOT_A_JWT)?;
    if header.crit.is_some() {
        return Err(Rejected::Bad("it names extensions that are not known here"));
    }
    let algorithm = Algorithm::named(&header.alg).ok_or(Rejected::Bad("its algorithm is not taken here"))?;
    let kid = header.kid.as_deref();
    if !config.key_ids.is_empty() && !kid.is_some_and(|kid| config.key_ids.iter().any(|id| id == kid)) {
        return Err(Rejected::Bad("its key is not one of those that are taken here"));
    }
    let mut fitting = keys.filter(|key| {
        // The shared secret has no id of its own: it answers to any.
        let named = key.id.is_none() || kid.is_none() || key.id.as_deref() == kid;
        key.material.algorithm() == algorithm && named
    });
    let mut known = false;
    let good = fitting.any(|key| {
        known = true;
        key.material.verifies(signed.as_bytes(), &signature)
    });
    if !good {
        let unknown = !known && algorithm != Algorithm::Hs256;
        return Err(if unknown { Rejected::UnknownKey } else { Rejected::Bad("its signature is wrong") });
    }
    let claims: Map<String, Value> = serde_json::from_slice(&payload).map_err(|_| NOT_A_JWT)?;
    read_claims(config, now, &claims)
}

const NOT_A_JWT: Rejected = Rejected::Bad("it is no JSON Web Token");

fn read_claims(config: &JwtConfig, now: Timestamp, claims: &Map<String, Value>) -> Result<Claims, Rejected> {
    let issued_by = claims.get("iss").and_then(Value::as_str);
    if !config.issuers.is_empty() && !issued_by.is_some_and(|iss| config.issuers.iter().any(|i| i == iss)) {
        return Err(Rejected::Bad("its issuer is not one that is taken here"));
    }
    if !is_for_us(config, claims.get("aud")) {
        return Err(Rejected::Bad("it is meant for somebody else"));
    }
    let expires_at = match claims.get("exp").map(date) {
        Some(Some(at)) => Some(at.plus(config.leeway)),
        Some(None) => return Err(Rejected::Bad("its 'exp' is no time")),
        None if config.require_expiry => return Err(Rejected::Bad("it does not say when it ends")),
        None => None,
    };
    match claims.get("nbf").map(date) {
        Some(Some(at)) if at > now.plus(config.leeway) => return Err(Rejected::Bad("it is not good yet")),
        Some(None) => return Err(Rejected::Bad("its 'nbf' is no time")),
        _ => {}
    }
    let user = claims.get(&config.user_claim).and_then(Value::as_str);
    let user = user.ok_or(Rejected::Bad("it names no user"))?;
    check_foreign(user).map_err(|_| Rejected::Bad("its user's name is not taken here"))?;
    // Last, so that only a token that is good in all else is called expired.
    if expires_at.is_some_and(|at| at <= now) {
        return Err(Rejected::Expired);
    }
    Ok(Claims { user: user.into(), roles: roles(config, claims), expires_at })
}

/// RFC 7519 §4.1.3: a token that names an audience is refused by everybody else.
fn is_for_us(config: &JwtConfig, audience: Option<&Value>) -> bool {
    let ours = |name: &Value| name.as_str().is_some_and(|name| config.audiences.iter().any(|a| a == name));
    match audience {
        None => config.audiences.is_empty(),
        Some(Value::Array(names)) => names.iter().any(ours),
        Some(name) => ours(name),
    }
}

/// A `NumericDate` (RFC 7519 §2): seconds, fractions allowed.
fn date(value: &Value) -> Option<Timestamp> {
    let seconds = value.as_f64().filter(|s| s.is_finite() && *s >= 0.0)?;
    // Saturates at the end of time.
    Some(Timestamp((seconds * 1_000_000.0) as u64))
}

fn roles(config: &JwtConfig, claims: &Map<String, Value>) -> Vec<String> {
    let claim = config.roles_claim.as_ref().and_then(|name| claims.get(name));
    let named: Vec<&str> = match claim {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(names)) => names.split_whitespace().collect(),
        _ => config.roles.iter().map(String::as_str).collect(),
    };
    let given = |role: &&str| check_role(role).is_ok() && !matches!(*role, OWNER | GUEST | ANONYMOUS);
    named.into_iter().filter(given).take(ROLES_MAX).map(Into::into).collect()
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
