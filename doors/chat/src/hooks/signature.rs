//! What shows a hook's program that a post is ours: `X-Yizhan-Signature: t=1790000000,v1=HEX`, an HMAC-SHA256
//! (RFC 2104) of the time, a dot and the body. The time is signed so that an old post cannot be sent again.

use http::{HeaderName, HeaderValue};
use ring::hmac;
use yizhan_talk::Timestamp;

/// Its header.
pub(crate) const SIGNATURE: HeaderName = HeaderName::from_static("x-yizhan-signature");

/// Signs posts.
#[derive(Clone)]
pub(crate) struct Signer(hmac::Key);

impl Signer {
    pub(crate) fn new(secret: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// The header's value for a body that is posted now.
    pub(crate) fn sign(&self, now: Timestamp, body: &[u8]) -> HeaderValue {
        let seconds = now.as_millis() / 1000;
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{seconds}.").as_bytes());
        context.update(body);
        let mut text = format!("t={seconds},v1=");
        for byte in context.sign().as_ref() {
            text.push_str(&format!("{byte:02x}"));
        }
        // Digits and letters.
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value was made with Python: `hmac.new(b"0123456789abcdef", b"1790000000.{}", "sha256").hexdigest()`.
    #[test]
    fn a_signature_is_that_of_others() {
        let signer = Signer::new("0123456789abcdef");
        let signed = signer.sign(Timestamp::from_millis(1_790_000_000_999), b"{}");
        assert_eq!(
            signed.to_str().unwrap(),
            "t=1790000000,v1=3d02334942fff50e279f641c1b104ff5f49380d94ff307bb92b1e03f5aee6ff0"
        );
        assert_ne!(signed, signer.sign(Timestamp::from_millis(1_790_000_001_000), b"{}"));
        assert_ne!(signed, signer.sign(Timestamp::from_millis(1_790_000_000_999), b"{ }"));
    }
}
