//! What the service needs from outside, and what it tells.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use yizhan_hub::{Principal, SessionId, message::Sender};
use yizhan_talk::Close;

use crate::content::Content;

/// What this crate needs from outside.
#[derive(Clone)]
pub struct Seams {
    /// 128 unpredictable bits a call.
    pub random: Arc<dyn Fn() -> u128 + Send + Sync>,
    /// Whether somebody may come in by this name.
    pub exists: Arc<dyn Fn(Arc<str>) -> BoxFuture<'static, bool> + Send + Sync>,
    /// Whether somebody is an owner or admin of the server.
    pub administers: Arc<dyn Fn(&Principal) -> bool + Send + Sync>,
    /// Ends a session.
    pub kick: Arc<dyn Fn(SessionId, Close) + Send + Sync>,
    /// Asked before a message is taken; `None` takes all.
    pub before: Option<Arc<dyn Before>>,
    /// The full-text index; `None` where there is no search.
    pub search: Option<Arc<dyn Search>>,
}

impl std::fmt::Debug for Seams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seams")
    }
}

/// Who is asked before a message is taken: the operator's own program.
pub trait Before: Send + Sync + 'static {
    /// What becomes of it. Bounds its own time.
    fn ask(&self, draft: Draft) -> BoxFuture<'static, Verdict>;
}

/// A message that is not taken yet.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Where to.
    pub conversation: Arc<str>,
    /// By whom.
    pub from: Arc<str>,
    /// With which device.
    pub device: Option<Arc<str>>,
    /// What it says.
    pub content: Content,
}

/// What becomes of a message.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It is taken.
    Allow,
    /// This is taken in its place.
    Change(Box<Content>),
    /// It is not taken, and why.
    Refuse(String),
    /// Nobody answered, and the config says that nothing passes then.
    Unanswered,
}

/// A full-text index of messages.
pub trait Search: Send + Sync + 'static {
    /// What is to be done, in order. `through` is kept with it, so that after a crash it is known how far the index is.
    ///
    /// # Errors
    /// In words for the operator; the same is given again later.
    fn apply(&self, changes: Vec<Indexed>, through: String) -> Result<(), String>;

    /// The newest `through` that is safe; `None` where the index is new and everything has to be given again.
    fn through(&self) -> Option<String>;

    /// Looks for words.
    fn search(&self, query: SearchQuery) -> BoxFuture<'static, Result<SearchFound, NoSearch>>;
}

/// Why nothing was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoSearch {
    /// The question makes no sense.
    Bad(String),
    /// Too many are asked at once.
    Busy,
    /// The index failed; in words for the operator.
    Failed(String),
}

/// A change of the index.
#[derive(Debug, Clone)]
pub enum Indexed {
    /// A message, in the place of an earlier one with the same number.
    Put {
        /// Of which conversation.
        conversation: Arc<str>,
        /// Its number.
        seq: u64,
        /// By whom.
        sender: Arc<str>,
        /// When, ms.
        at: u64,
        /// What it is, as content writes it.
        kind: &'static str,
        /// Its words.
        text: String,
    },
    /// A message is gone.
    Remove {
        /// Of which conversation.
        conversation: Arc<str>,
        /// Its number.
        seq: u64,
    },
    /// A conversation is gone.
    RemoveConversation(Arc<str>),
    /// Everything is gone: it is built anew.
    Clear,
}

/// What somebody looks for.
#[derive(Debug, Clone)]
pub struct SearchQuery {
    /// The words.
    pub text: String,
    /// The conversations in which they look, each from after this number on.
    pub conversations: Vec<(Arc<str>, u64)>,
    /// Only of this sender.
    pub sender: Option<String>,
    /// Only of these kinds; empty for all.
    pub kinds: Vec<String>,
    /// Not before this time, ms.
    pub since: Option<u64>,
    /// Not at or after this time, ms.
    pub until: Option<u64>,
    /// Go on behind an earlier answer.
    pub before: Option<String>,
    /// Hits at most.
    pub limit: usize,
    /// The best first, not the newest.
    pub best: bool,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct SearchFound {
    /// In the order asked for.
    pub hits: Vec<SearchHit>,
    /// How many there are in all, as far as they were counted.
    pub total: u64,
    /// For `before` of the next question; `None` at the end.
    pub next: Option<String>,
}

/// One hit.
#[derive(Debug, Clone)]
pub struct SearchHit {
    /// In which conversation.
    pub conversation: Arc<str>,
    /// Which message.
    pub seq: u64,
    /// A piece of its text.
    pub snippet: String,
    /// Bytes of the piece that are hits.
    pub marks: Vec<(usize, usize)>,
}

/// The sender of what the server itself says.
pub(crate) fn server() -> Sender {
    Sender { user: "$server".into(), device: None, session: SessionId(0) }
}
