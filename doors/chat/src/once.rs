//! `Idempotency-Key`: a request that is sent again is answered like the first and not done again (the draft
//! draft-ietf-httpapi-idempotency-key-header-07, §2).
//!
//! The answer is on disk before the client has it, so this holds over restarts. A crash between the deed and the
//! note of its answer is not covered: for messages their own `id` is.

use std::{sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use http::StatusCode;
use parking_lot::Mutex;
use ring::digest::{Context, SHA256};
use rustc_hash::FxHashSet;
use yizhan_hub::{StoreError, Table};
use yizhan_talk::Timestamp;

use crate::problem::Problem;

/// Characters of a key.
pub(crate) const KEY_BYTES_MAX: usize = 255;
/// Answers with more bytes are not kept: only questions have such, and those may be asked again.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Old answers that one look clears away.
const SWEPT_MAX: usize = 1000;
/// Before the hash of a key: the row with the answer.
const ANSWER: u8 = b'a';
/// Before the time and the hash: when it was put there.
const TIME: u8 = b't';

type Hash = [u8; 32];

/// Answers that were given.
pub(crate) struct Once {
    table: Arc<dyn Table>,
    kept_for: Duration,
    /// Requests whose answer is on its way. As many as there are requests.
    going: Mutex<FxHashSet<Hash>>,
}

/// What a request with a key is.
pub(crate) enum Begun<'a> {
    /// The first one: do it.
    First(First<'a>),
    /// It was answered before.
    Again(StatusCode, Bytes),
}

/// The first request with its key, as long as it is not answered.
pub(crate) struct First<'a> {
    once: &'a Once,
    key: Hash,
    request: Hash,
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        self.once.going.lock().remove(&self.key);
    }
}

/// Whether a text may be a key: 1 to 255 visible characters of ASCII.
pub(crate) fn is_key(text: &str) -> bool {
    (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut hash = Hash::default();
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

impl Once {
    pub(crate) fn new(table: Arc<dyn Table>, kept_for: Duration) -> Self {
        Self { table, kept_for, going: Mutex::default() }
    }

    /// Looks whether a user's request is there already.
    ///
    /// # Errors
    /// It is in work, its key belongs to another request, or the store failed.
    pub(crate) async fn begin(
        &self,
        now: Timestamp,
        user: &str,
        op: &str,
        key: &str,
        body: &[u8],
    ) -> Result<Begun<'_>, Problem> {
        let (key, request) = (hash(&[user.as_bytes(), op.as_bytes(), key.as_bytes()]), hash(&[body]));
        if !self.going.lock().insert(key) {
            return Err(Problem::KeyBusy);
        }
        let first = First { once: self, key, request };
        let Some((row, _)) = self.table.get(&answer_key(&key)).await? else { return Ok(Begun::First(first)) };
        let Some(kept) = Kept::read(&row) else {
            return Err(StoreError::Corrupt { place: "the table 'chat.once'".to_owned() }.into());
        };
        if now.since(kept.at) > self.kept_for {
            return Ok(Begun::First(first));
        }
        if kept.request != request {
            return Err(Problem::KeyReused);
        }
        let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
        Ok(Begun::Again(status, row.slice(KEPT_BYTES..)))
    }

    /// Clears away what is too old. Gives whether more is left.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<bool, StoreError> {
        let rows = self.table.scan(&[TIME], None, SWEPT_MAX).await?;
        let read = rows.len();
        let mut old = Vec::new();
        for (key, _) in rows {
            let Some((at, hash)) = key.get(1..).and_then(|key| key.split_at_checked(8)) else { continue };
            let at = at.try_into().map_or(0, u64::from_be_bytes);
            if now.since(Timestamp::from_millis(at)) <= self.kept_for {
                break;
            }
            let Ok(hash) = <&Hash>::try_from(hash) else { continue };
            // A key that was taken anew since has a newer row: its answer stays.
            let answer = answer_key(hash);
            let row = self.table.get(&answer).await?;
            if row.and_then(|(row, _)| Kept::read(&row)).is_some_and(|kept| kept.at.as_millis() == at) {
                old.push((answer, None));
            }
            old.push((key, None));
        }
        let more = old.len() >= SWEPT_MAX && read == SWEPT_MAX;
        if !old.is_empty() {
            self.table.put_all(old).await?;
        }
        Ok(more)
    }
}

impl First<'_> {
    /// Keeps the answer; ready when it is safe.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn keep(
        self,
        now: Timestamp,
        status: StatusCode,
        answer: &Bytes,
    ) -> Result<(), StoreError> {
        if answer.len() > ANSWER_BYTES_MAX {
            return Ok(());
        }
        let mut row = BytesMut::with_capacity(KEPT_BYTES + answer.len());
        row.put_u8(VERSION);
        row.put_u64(now.as_millis());
        row.put_u16(status.as_u16());
        row.put_slice(&self.request);
        row.put_slice(answer);
        let mut time = BytesMut::with_capacity(41);
        time.put_u8(TIME);
        time.put_u64(now.as_millis());
        time.put_slice(&self.key);
        let rows = vec![
            (answer_key(&self.key), Some(row.freeze())),
            (time.freeze(), Some(Bytes::from_static(b"{}"))),
        ];
        self.once.table.put_all(rows).await
    }
}

fn answer_key(hash: &Hash) -> Bytes {
    let mut key = BytesMut::with_capacity(33);
    key.put_u8(ANSWER);
    key.put_slice(hash);
    key.freeze()
}

/// How rows are written.
const VERSION: u8 = 1;
/// Bytes of a row before the answer: version, time, status, hash of the request.
const KEPT_BYTES: usize = 1 + 8 + 2 + 32;

/// What stands in a row before the answer.
struct Kept {
    at: Timestamp,
    status: u16,
    request: Hash,
}

impl Kept {
    fn read(row: &[u8]) -> Option<Self> {
        let (head, _) = row.split_at_checked(KEPT_BYTES)?;
        if head[0] != VERSION {
            return None;
        }
        Some(Self {
            at: Timestamp::from_millis(u64::from_be_bytes(head[1..9].try_into().ok()?)),
            status: u16::from_be_bytes(head[9..11].try_into().ok()?),
            request: head[11..].try_into().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use yizhan_hub::{Store as _, memory::Memory};

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const NOON: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn once() -> (Memory, Once) {
        let store = Memory::new(1);
        let table = store.table("chat.once").unwrap();
        (store, Once::new(table, DAY))
    }

    async fn first<'a>(once: &'a Once, now: Timestamp, key: &str, body: &[u8]) -> First<'a> {
        match once.begin(now, "ann", "send", key, body).await.unwrap() {
            Begun::First(first) => first,
            Begun::Again(..) => panic!("it was answered before"),
        }
    }

    fn later(hours: u64) -> Timestamp {
        Timestamp::from_millis(NOON.as_millis() + hours * 3_600_000)
    }

    #[tokio::test]
    async fn a_request_that_comes_again_is_answered_like_the_first() {
        let (store, once) = once();
        let answer = Bytes::from("{\"seq\":7}");
        first(&once, NOON, "k", b"{}").await.keep(NOON, StatusCode::OK, &answer).await.unwrap();
        // Also after a restart.
        let once = Once::new(store.table("chat.once").unwrap(), DAY);
        let Begun::Again(status, again) = once.begin(later(23), "ann", "send", "k", b"{}").await.unwrap()
        else {
            panic!("it is done again")
        };
        assert_eq!((status, again), (StatusCode::OK, answer));
        // Another body, another user, another operation, another key.
        assert!(matches!(once.begin(NOON, "ann", "send", "k", b"{ }").await, Err(Problem::KeyReused)));
        for (user, op, key) in [("bob", "send", "k"), ("ann", "edit", "k"), ("ann", "send", "l")] {
            assert!(matches!(once.begin(NOON, user, op, key, b"{}").await, Ok(Begun::First(_))));
        }
    }

    #[tokio::test]
    async fn a_request_in_work_is_not_done_beside_itself() {
        let (_store, once) = once();
        let going = first(&once, NOON, "k", b"{}").await;
        assert!(matches!(once.begin(NOON, "ann", "send", "k", b"{}").await, Err(Problem::KeyBusy)));
        drop(going);
        // It failed, or its client went: the next one is the first.
        drop(first(&once, NOON, "k", b"{}").await);
    }

    #[tokio::test]
    async fn a_key_is_free_again_after_its_time_and_its_rows_are_cleared_away() {
        let (_store, once) = once();
        for (key, hours) in [("old", 0), ("new", 20)] {
            let answer = Bytes::from_static(b"{}");
            first(&once, later(hours), key, b"{}")
                .await
                .keep(later(hours), StatusCode::OK, &answer)
                .await
                .unwrap();
        }
        let now = later(25);
        let again = first(&once, now, "old", b"{\"other\":1}").await;
        again.keep(now, StatusCode::OK, &Bytes::from_static(b"{}")).await.unwrap();
        assert!(!once.sweep(now).await.unwrap());
        assert_eq!(once.table.scan(b"t", None, 10).await.unwrap().len(), 2);
        assert!(matches!(once.begin(now, "ann", "send", "new", b"{}").await.unwrap(), Begun::Again(..)));
        assert!(matches!(
            once.begin(now, "ann", "send", "old", b"{\"other\":1}").await,
            Ok(Begun::Again(..))
        ));
        once.sweep(later(100)).await.unwrap();
        assert_eq!(once.table.scan(b"", None, 10).await.unwrap().len(), 0);
    }

    #[tokio::test]
    async fn damaged_rows_and_large_answers_do_no_harm() {
        let (_store, once) = once();
        let large = Bytes::from(vec![b'x'; ANSWER_BYTES_MAX + 1]);
        first(&once, NOON, "k", b"{}").await.keep(NOON, StatusCode::OK, &large).await.unwrap();
        drop(first(&once, NOON, "k", b"{}").await);
        let key = hash(&[b"ann", b"send", b"k"]);
        for damaged in [&b""[..], b"\x01short", &[9; 100]] {
            let row = Some(Bytes::copy_from_slice(damaged));
            once.table.put(&answer_key(&key), row, yizhan_hub::store::Expect::Any).await.unwrap();
            let begun = once.begin(NOON, "ann", "send", "k", b"{}").await;
            assert!(matches!(begun, Err(Problem::Refused(_))));
        }
        once.table.put(b"t", Some(Bytes::new()), yizhan_hub::store::Expect::Any).await.unwrap();
        once.sweep(later(100)).await.unwrap();
    }

    #[test]
    fn keys_are_short_and_visible() {
        assert!(is_key("8e03978e-40d5-43dd-bc93-6894a57f9324") && is_key("\"quoted\""));
        assert!(!is_key("") && !is_key("a\n") && !is_key("a b") && !is_key(&"x".repeat(256)) && !is_key("é"));
    }
}
