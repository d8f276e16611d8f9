//! A question before a message is taken: may it be sent, and as what?
//!
//! The sender waits for the answer, so it has a budget. A program that hangs, fails or talks nonsense costs that
//! budget once, and after a few failures in a row is left alone for a moment: then the config decides at once.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Uri, header};
use serde::{Deserialize, Serialize};
use yizhan_im::{
    content::Content,
    seams::{Before as Seam, Draft, Verdict},
};
use yizhan_net::{PostError, Poster, posting};
use yizhan_talk::{Now, Timestamp};

use super::signature::{SIGNATURE, Signer};
use crate::config::{Before as Config, Otherwise};

/// Bytes of an answer: a content and what is around it.
const ANSWER_BYTES_MAX: usize = 128 * 1024;
/// Failures in a row after which nobody is asked for [`PAUSE_MS`].
const FAILURES_MAX: u32 = 8;
/// How long nobody is asked then, ms.
const PAUSE_MS: u64 = 1000;
/// Characters of a reason that senders are told.
const REASON_CHARS_MAX: usize = 200;

/// Says what time it is.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// The program that is asked.
pub struct Asked {
    url: Uri,
    config: Config,
    signer: Signer,
    poster: Poster,
    clock: Clock,
    going: AtomicUsize,
    failures: AtomicU32,
    /// Nobody is asked before this time, ms.
    paused_until: AtomicU64,
}

/// What is asked.
#[derive(Serialize)]
struct Question<'a> {
    conversation: &'a str,
    from: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    content: &'a Content,
}

/// What is answered.
#[derive(Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
enum Answer {
    Allow,
    Change {
        content: Box<Content>,
    },
    Refuse {
        #[serde(default)]
        reason: String,
    },
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
enum NoVerdict {
    #[error(transparent)]
    Post(#[from] PostError),
    #[error("it answered {0}")]
    Status(u16),
    #[error("its answer cannot be read: {0}")]
    Nonsense(String),
    #[error("too many questions at one time")]
    TooMany,
}

impl Asked {
    /// Over the config that was checked.
    ///
    /// # Errors
    /// The address is none, or there is no TLS.
    pub fn new(config: &Config, clock: Clock) -> Result<Self, PostError> {
        Ok(Self {
            url: posting::endpoint(&config.url)?,
            signer: Signer::new(config.secret.reveal()),
            config: config.clone(),
            poster: Poster::new()?,
            clock,
            going: AtomicUsize::new(0),
            failures: AtomicU32::new(0),
            paused_until: AtomicU64::new(0),
        })
    }

    async fn verdict(&self, draft: Draft) -> Verdict {
        let now = (self.clock)().wall;
        if now.as_millis() < self.paused_until.load(Relaxed) {
            return self.otherwise();
        }
        match self.asked(now, &draft).await {
            Ok(verdict) => {
                self.failures.store(0, Relaxed);
                verdict
            }
            Err(error) => {
                self.failed(&error);
                self.otherwise()
            }
        }
    }

    async fn asked(&self, now: Timestamp, draft: &Draft) -> Result<Verdict, NoVerdict> {
        let _going = Going::enter(&self.going, self.config.questions_max).ok_or(NoVerdict::TooMany)?;
        let question = Question {
            conversation: &draft.conversation,
            from: &draft.from,
            device: draft.device.as_deref(),
            content: &draft.content,
        };
        // A plain struct with text keys is always written.
        let body = Bytes::from(serde_json::to_vec(&question).unwrap_or_default());
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (SIGNATURE, self.signer.sign(now, &body)),
        ];
        let posted =
            self.poster.post(&self.url, &headers, body, ANSWER_BYTES_MAX, self.config.within).await?;
        match posted.status {
            204 => Ok(Verdict::Allow),
            200 => read(&posted.body),
            status => Err(NoVerdict::Status(status)),
        }
    }

    fn failed(&self, error: &NoVerdict) {
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        if failures >= FAILURES_MAX {
            let now = (self.clock)().wall.as_millis();
            self.paused_until.store(now + PAUSE_MS, Relaxed);
        }
        // One line at the first failure, and then fewer and fewer.
        if failures.is_power_of_two() {
            let url = self.config.url.as_str();
            tracing::warn!(url, failures, %error, "the program that is asked before messages gave no verdict");
        }
    }

    fn otherwise(&self) -> Verdict {
        match self.config.otherwise {
            Otherwise::Allow => Verdict::Allow,
            Otherwise::Refuse => Verdict::Unanswered,
        }
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Cloned handles ask the same program.
#[derive(Debug, Clone)]
pub struct BeforeHook(Arc<Asked>);

impl BeforeHook {
    /// See [`Asked::new`].
    ///
    /// # Errors
    /// As there.
    pub fn new(config: &Config, clock: Clock) -> Result<Self, PostError> {
        Ok(Self(Arc::new(Asked::new(config, clock)?)))
    }
}

impl Seam for BeforeHook {
    fn ask(&self, draft: Draft) -> BoxFuture<'static, Verdict> {
        let asked = self.0.clone();
        Box::pin(async move { asked.verdict(draft).await })
    }
}

fn read(body: &[u8]) -> Result<Verdict, NoVerdict> {
    let answer = serde_json::from_slice(body).map_err(|error| NoVerdict::Nonsense(error.to_string()))?;
    Ok(match answer {
        Answer::Allow => Verdict::Allow,
        Answer::Change { content } => {
            // What the server sets itself may come back as it was asked.
            let content = content.as_sent();
            match content.check() {
                Ok(()) => Verdict::Change(Box::new(content)),
                Err(wrong) => return Err(NoVerdict::Nonsense(wrong.to_string())),
            }
        }
        Answer::Refuse { reason } if reason.is_empty() => Verdict::Refuse("not allowed here".to_owned()),
        Answer::Refuse { reason } => Verdict::Refuse(reason.chars().take(REASON_CHARS_MAX).collect()),
    })
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
    use super::*;

    fn verdict(body: &str) -> Option<Verdict> {
        read(body.as_bytes()).ok()
    }

    #[test]
    fn verdicts_are_read_and_nonsense_is_none() {
        assert!(matches!(verdict(r#"{"verdict":"allow","someday":1}"#), Some(Verdict::Allow)));
        let refused = verdict(r#"{"verdict":"refuse","reason":"no links"}"#);
        assert!(matches!(refused, Some(Verdict::Refuse(reason)) if reason == "no links"));
        assert!(
            matches!(verdict(r#"{"verdict":"refuse"}"#), Some(Verdict::Refuse(reason)) if !reason.is_empty())
        );
        let changed = verdict(r#"{"verdict":"change","content":{"kind":"text","text":"***"}}"#);
        assert!(matches!(changed, Some(Verdict::Change(content)) if content.text.as_deref() == Some("***")));
        for nonsense in [
            "",
            "null",
            "allow",
            r#"{"verdict":"maybe"}"#,
            r#"{"verdict":"change"}"#,
            r#"{"verdict":"change","content":{"kind":"text"}}"#,
            r#"{"verdict":"change","content":{"kind":"song"}}"#,
        ] {
            assert!(verdict(nonsense).is_none(), "{nonsense}");
        }
        let long = format!(r#"{{"verdict":"refuse","reason":"{}"}}"#, "界".repeat(5000));
        assert!(matches!(verdict(&long), Some(Verdict::Refuse(reason)) if reason.chars().count() == 200));
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
}
