//! What shows a program that a post is ours: `X-Yizhan-Signature: t=1790000000,v1=HEX`, an HMAC-SHA256 (RFC 2104) of the
//! time, a dot and the body; the same as webhooks of instant messaging have.

use http::{HeaderName, HeaderValue};
use ring::hmac;
use yizhan_talk::Timestamp;

/// Its header.
pub(crate) const SIGNATURE: HeaderName = HeaderName::from_static("x-yizhan-signature");

/// Signs posts; without a secret it does not.
#[derive(Clone)]
pub(crate) struct Signer(Option<hmac::Key>);

impl Signer {
    pub(crate) fn new(secret: &str) -> Self {
        Self((!secret.is_empty()).then(|| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())))
    }

    /// The header for a body that is posted now.
    pub(crate) fn sign(&self, now: Timestamp, body: &[u8]) -> Option<(HeaderName, HeaderValue)> {
        let seconds = now.as_millis() / 1000;
        let mut context = hmac::Context::with_key(self.0.as_ref()?);
        context.update(format!("{seconds}.").as_bytes());
        context.update(body);
        let mut text = format!("t={seconds},v1=");
        for byte in context.sign().as_ref() {
            text.push_str(&format!("{byte:02x}"));
        }
        // Digits and letters.
        HeaderValue::from_str(&text).ok().map(|value| (SIGNATURE, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value was made with Python: `hmac.new(b"0123456789abcdef", b"1790000000.{}", "sha256").hexdigest()`.
    #[test]
    fn a_signature_is_that_of_others() {
        let now = Timestamp::from_millis(1_790_000_000_999);
        let (_, value) = Signer::new("0123456789abcdef").sign(now, b"{}").unwrap();
        assert_eq!(
            value.to_str().unwrap(),
            "t=1790000000,v1=3d02334942fff50e279f641c1b104ff5f49380d94ff307bb92b1e03f5aee6ff0"
        );
        assert!(Signer::new("").sign(now, b"{}").is_none());
    }
}
