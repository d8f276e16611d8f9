//! A question before somebody comes in. They wait for the answer, so it has a budget. A program that hangs, fails or talks
//! nonsense costs that budget a few times, and is then left alone for a moment: the config decides at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, header};
use parking_lot::Mutex;
use serde_json::Value;
use yizhan_media::{
    Name,
    config::{hooks::Hooks as Config, relay::Address},
};
use yizhan_net::{PostError, Poster, posting};
use yizhan_talk::{Clock, Now};

use super::signature::Signer;

/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Failures in a row after which a program is not asked for [`PAUSE`].
const FAILURES_MAX: u32 = 8;
/// How long it is not asked then.
const PAUSE: Duration = Duration::from_secs(1);
/// Characters of a reason that people are told.
const REASON_CHARS_MAX: usize = 200;
/// Bytes of the name that an answer gives somebody.
const USER_BYTES_MAX: usize = 128;

/// What a program said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They may, and this is who they are where the program says so.
    Yes { user: Option<Arc<str>> },
    /// They may not, and why.
    No(String),
    /// Nothing, or nothing that makes sense.
    Unanswered,
}

/// Who asks.
pub(crate) struct Asked {
    within: Duration,
    questions_max: usize,
    signer: Signer,
    poster: Poster,
    clock: Arc<dyn Clock>,
    going: AtomicUsize,
    /// How often each has failed in a row, and until when it is left alone.
    failing: Mutex<Vec<Failing>>,
    asked: AtomicU64,
    unanswered: AtomicU64,
}

struct Failing {
    address: Address,
    times: u32,
    paused: Option<Now>,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
enum NoVerdict {
    #[error(transparent)]
    Post(#[from] PostError),
    #[error("it answered {0}")]
    Status(u16),
    #[error("its answer is neither 0 nor an object with a code")]
    Nonsense,
    #[error("too many questions at one time")]
    TooMany,
}

impl Asked {
    pub(crate) fn new(config: &Config, signer: Signer, poster: Poster, clock: Arc<dyn Clock>) -> Self {
        Self {
            within: config.within,
            questions_max: config.questions_max,
            signer,
            poster,
            clock,
            going: AtomicUsize::new(0),
            failing: Mutex::default(),
            asked: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
        }
    }

    /// Questions, and those without an answer.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.asked.load(Relaxed), self.unanswered.load(Relaxed))
    }

    pub(crate) async fn ask(&self, address: &Address, name: &Name, body: Bytes) -> Verdict {
        self.asked.fetch_add(1, Relaxed);
        if self.is_paused(address) {
            self.unanswered.fetch_add(1, Relaxed);
            return Verdict::Unanswered;
        }
        match self.answer(address, name, body).await {
            Ok(verdict) => {
                self.failing.lock().retain(|failing| failing.address != *address);
                verdict
            }
            Err(error) => {
                self.failed(address, &error);
                Verdict::Unanswered
            }
        }
    }

    async fn answer(&self, address: &Address, name: &Name, body: Bytes) -> Result<Verdict, NoVerdict> {
        let _going = Going::enter(&self.going, self.questions_max).ok_or(NoVerdict::TooMany)?;
        let to = posting::endpoint(&address.of(name))?;
        let mut headers = vec![(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        headers.extend(self.signer.sign(self.clock.now().wall, &body));
        let posted = self.poster.post(&to, &headers, body, ANSWER_BYTES_MAX, self.within).await?;
        match posted.status {
            200 => read(&posted.body).ok_or(NoVerdict::Nonsense),
            // What says no with a status means it; what fails, or is elsewhere now, says nothing.
            status @ (400..=499) if !matches!(status, 404 | 405 | 408 | 429) => {
                Ok(read(&posted.body).filter(|v| matches!(v, Verdict::No(_))).unwrap_or_else(refused))
            }
            status => Err(NoVerdict::Status(status)),
        }
    }

    fn is_paused(&self, address: &Address) -> bool {
        let failing = self.failing.lock();
        let paused =
            failing.iter().find(|failing| failing.address == *address).and_then(|failing| failing.paused);
        drop(failing);
        paused.is_some_and(|since| self.clock.now().steady.saturating_duration_since(since.steady) < PAUSE)
    }

    fn failed(&self, address: &Address, error: &NoVerdict) {
        self.unanswered.fetch_add(1, Relaxed);
        let times = {
            let mut all = self.failing.lock();
            let at = all.iter().position(|failing| failing.address == *address).unwrap_or_else(|| {
                all.push(Failing { address: address.clone(), times: 0, paused: None });
                all.len() - 1
            });
            let failing = &mut all[at];
            failing.times = failing.times.saturating_add(1);
            if failing.times >= FAILURES_MAX {
                failing.paused = Some(self.clock.now());
            }
            failing.times
        };
        // One line at the first failure, and then fewer and fewer.
        if times.is_power_of_two() {
            tracing::warn!(%address, times, %error, "a live webhook that is asked gave no answer");
        }
    }
}

fn refused() -> Verdict {
    Verdict::No("the operator's program refused it".to_owned())
}

/// An answer of status 200: `0`, or an object with `code`, which is 0 for yes; then `user` says who they are, else `msg`
/// or `reason` says why not.
fn read(body: &[u8]) -> Option<Verdict> {
    let answer: Value = serde_json::from_slice(body.trim_ascii()).ok()?;
    let code = match &answer {
        Value::Object(fields) => fields.get("code")?,
        other => other,
    };
    let text =
        |names: &[&str]| names.iter().find_map(|name| answer.get(name)?.as_str()).filter(|t| !t.is_empty());
    if code.as_i64()? == 0 {
        let user = text(&["user"]).filter(|user| user.len() <= USER_BYTES_MAX).map(Into::into);
        return Some(Verdict::Yes { user });
    }
    let reason = text(&["msg", "reason"]).map(|reason| reason.chars().take(REASON_CHARS_MAX).collect());
    Some(reason.map_or_else(refused, Verdict::No))
}

/// A place among the questions of one time; free again when it is dropped.
struct Going<'a>(&'a AtomicUsize);

impl<'a> Going<'a> {
    fn enter(going: &'a AtomicUsize, max: usize) -> Option<Self> {
        let entered = Self(going);
        // One too many is counted, and leaves again as it is dropped.
        (going.fetch_add(1, Relaxed) < max).then_some(entered)
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers_are_those_of_srs() {
        let yes = Some(Verdict::Yes { user: None });
        for body in ["0", " 0\n", r#"{"code":0}"#, r#"{"code": 0, "msg": "OK"}"#, r#"{"code":0,"data":null}"#]
        {
            assert_eq!(read(body.as_bytes()), yes, "{body}");
        }
        assert_eq!(read(br#"{"code":0,"user":"ann"}"#), Some(Verdict::Yes { user: Some("ann".into()) }));
        assert_eq!(read(br#"{"code":1,"msg":"no money"}"#), Some(Verdict::No("no money".into())));
        for body in ["1", "-1", "403", r#"{"code":7}"#] {
            assert_eq!(read(body.as_bytes()), Some(refused()), "{body}");
        }
        for body in [
            "",
            "ok",
            "0.5",
            "\"0\"",
            "null",
            "true",
            "[]",
            "{}",
            r#"{"code":"0"}"#,
            r#"{"code":null}"#,
            "0 0",
        ] {
            assert_eq!(read(body.as_bytes()), None, "{body}");
        }
        let long = format!(r#"{{"code":1,"msg":"{}"}}"#, "界".repeat(5000));
        assert!(matches!(read(long.as_bytes()), Some(Verdict::No(reason)) if reason.chars().count() == 200));
    }

    #[test]
    fn places_are_bounded_and_come_back() {
        let going = AtomicUsize::new(0);
        let one = Going::enter(&going, 1);
        assert!(one.is_some() && Going::enter(&going, 1).is_none());
        drop(one);
        assert!(Going::enter(&going, 1).is_some());
        assert_eq!(going.load(Relaxed), 0);
    }

    proptest! {
        #[test]
        fn garbage_is_no_yes(body in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(Verdict::Yes { .. }) = read(&body) {
                let text = String::from_utf8(body).unwrap();
                prop_assert!(text.trim().trim_start_matches('-') == "0", "{text}");
            }
        }
    }
}
