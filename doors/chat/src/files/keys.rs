//! Keys in addresses, for `<img>` and players, which show no credentials: one file, one hour, signed.
//!
//! A key is the second until which it is good and an HMAC-SHA256 (RFC 2104) of that and the file's id. Whoever has it can read the file until then, so it is made only for who may, and never logged.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use bytes::Bytes;
use parking_lot::Mutex;
use ring::hmac;
use yizhan_hub::{StoreError, Table, store::Expect};
use yizhan_talk::Timestamp;

use super::KEY_FOR;

/// The row of the secret.
const SECRET: &[u8] = b"files";
/// Bytes of the secret.
const SECRET_BYTES: usize = 32;
/// Bytes of the time in a key.
const TIME_BYTES: usize = 8;

/// Makes and checks keys.
pub(crate) struct Keys {
    table: Arc<dyn Table>,
    random: Arc<dyn Fn() -> u128 + Send + Sync>,
    /// Read, or made, when it is first needed.
    signer: Mutex<Option<Arc<hmac::Key>>>,
}

impl Keys {
    pub(crate) fn new(table: Arc<dyn Table>, random: Arc<dyn Fn() -> u128 + Send + Sync>) -> Self {
        Self { table, random, signer: Mutex::default() }
    }

    /// A key for a file, and until when it is good.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn make(&self, now: Timestamp, file: &str) -> Result<(String, Timestamp), StoreError> {
        let until = now.as_millis() / 1000 + KEY_FOR.as_secs();
        let mut key = until.to_be_bytes().to_vec();
        key.extend_from_slice(hmac::sign(&*self.signer().await?, &signed(until, file)).as_ref());
        Ok((BASE64URL.encode(key), Timestamp::from_millis(until * 1000)))
    }

    /// Whether a key is good for a file.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn fits(&self, now: Timestamp, file: &str, key: &str) -> Result<bool, StoreError> {
        let Ok(key) = BASE64URL.decode(key) else { return Ok(false) };
        let Some((time, tag)) = key.split_at_checked(TIME_BYTES) else { return Ok(false) };
        let until = time.try_into().map_or(0, u64::from_be_bytes);
        let good = hmac::verify(&*self.signer().await?, &signed(until, file), tag).is_ok();
        Ok(good && now.as_millis() / 1000 <= until)
    }

    async fn signer(&self) -> Result<Arc<hmac::Key>, StoreError> {
        if let Some(signer) = self.signer.lock().clone() {
            return Ok(signer);
        }
        let secret = self.secret().await?;
        let signer = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &secret));
        // Two that came at one time have read the same secret.
        Ok(self.signer.lock().get_or_insert(signer).clone())
    }

    async fn secret(&self) -> Result<Bytes, StoreError> {
        loop {
            if let Some((secret, _)) = self.table.get(SECRET).await? {
                return Ok(secret);
            }
            let mut secret = Vec::with_capacity(SECRET_BYTES);
            while secret.len() < SECRET_BYTES {
                secret.extend_from_slice(&(self.random)().to_be_bytes());
            }
            match self.table.put(SECRET, Some(secret.into()), Expect::Absent).await {
                Ok(_) | Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// What a signature is of.
fn signed(until: u64, file: &str) -> Vec<u8> {
    let mut signed = until.to_be_bytes().to_vec();
    signed.extend_from_slice(file.as_bytes());
    signed
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use yizhan_hub::{Store as _, memory::Memory};

    use super::*;

    #[tokio::test]
    async fn a_key_is_for_one_file_and_one_hour_and_outlives_a_restart() {
        let store = Memory::new(1);
        let count = Arc::new(AtomicU64::new(1));
        let keys = || {
            let count = count.clone();
            let random = move || u128::from(count.fetch_add(1, Ordering::Relaxed)) * 0x9e37_79b9_7f4a_7c15;
            Keys::new(store.table("chat.keys").unwrap(), Arc::new(random))
        };
        let (one, noon) = (keys(), Timestamp::from_millis(1_790_000_000_000));
        let after = |seconds: u64| Timestamp::from_millis(noon.as_millis() + seconds * 1000);
        let (key, until) = one.make(noon, "a").await.unwrap();
        assert_eq!(until, after(3600));
        let two = keys();
        for (now, file, key, good) in [
            (noon, "a", key.clone(), true),
            (after(3600), "a", key.clone(), true),
            (after(3601), "a", key.clone(), false),
            (noon, "b", key.clone(), false),
            (noon, "a", String::new(), false),
            (noon, "a", "AAAA".to_owned(), false),
            (noon, "a", "!".to_owned(), false),
            (noon, "a", key[..key.len() - 2].to_owned(), false),
            (noon, "a", format!("{key}AAAA"), false),
        ] {
            assert_eq!(two.fits(now, file, &key).await.unwrap(), good, "{file} {key}");
        }
        // A later time under the same signature is not signed.
        let mut longer = BASE64URL.decode(&key).unwrap();
        longer[7] = longer[7].wrapping_add(1);
        assert!(!one.fits(noon, "a", &BASE64URL.encode(longer)).await.unwrap());
    }
}
