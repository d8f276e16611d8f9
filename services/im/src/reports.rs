//! Reports: somebody thinks that operators should look at something. They wait in a queue until one has.

use std::sync::Arc;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yizhan_hub::service::Caller;

use crate::{
    denied::Wrong,
    im::Im,
    ledger::json,
    load::parsed,
    op::{Done, Op, admin_op, op},
    view::{Message, Overlay, overlay_key},
};

/// Reports on a page.
const PAGE_MAX: usize = 200;
/// Bytes of what somebody says with a report, and of an operator's note.
const TEXT_BYTES_MAX: usize = 2000;

/// Why something is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reason {
    /// Unwanted advertising.
    Spam,
    /// Insults or threats.
    Abuse,
    /// Nudity or violence.
    Nsfw,
    /// Fraud.
    Fraud,
    /// Against the law.
    Illegal,
    /// A word of the operators' list was found.
    Words,
    /// Something else: the text says what.
    Other,
}

/// Whether somebody has looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Progress {
    /// Not yet.
    #[default]
    Open,
    /// Yes.
    Closed,
}

impl Progress {
    fn prefix(self) -> &'static str {
        match self {
            Self::Open => "rp/o/",
            Self::Closed => "rp/c/",
        }
    }
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// There was nothing to do.
    Dismissed,
    /// Something was done.
    Settled,
}

/// A report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Report {
    /// Its id.
    pub id: String,
    /// When it was made, milliseconds since 1970.
    pub at: u64,
    /// By whom; `$server` where a word was found.
    pub by: Arc<str>,
    /// About whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Arc<str>>,
    /// About what is said in which conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<Arc<str>>,
    /// About which message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Why.
    pub reason: Reason,
    /// What is said with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whether somebody has looked.
    pub state: Progress,
    /// What became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Outcome>,
    /// What the operator noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Who closed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<Arc<str>>,
    /// When, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewReport {
    /// In which conversation.
    conversation: Option<String>,
    /// Which message.
    seq: Option<u64>,
    /// About whom.
    user: Option<String>,
    /// Why.
    reason: Reason,
    /// What there is to say; at most 2000 bytes.
    text: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Reported {
    /// The report's id.
    report: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OfReports {
    /// Which.
    #[serde(default)]
    state: Progress,
    /// Go on behind an earlier answer: its `next`.
    after: Option<String>,
    /// Reports at most, up to 200; 50 where nothing is said.
    limit: Option<usize>,
}

/// A report with the message it is about.
#[derive(Debug, Serialize, JsonSchema)]
struct ReportShown {
    /// The report.
    #[serde(flatten)]
    report: Report,
    /// The message, where it is still there.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Reports {
    /// Oldest first.
    reports: Vec<ReportShown>,
    /// For `after` of the next question; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CloseReport {
    /// Which.
    id: String,
    /// What becomes of it.
    verdict: Outcome,
    /// What is noted; at most 2000 bytes.
    note: Option<String>,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        op(
            "report",
            "Shows something to the operators.",
            |im: Im, caller: Caller, input: NewReport| async move { im.new_report(&caller, input).await },
        ),
        admin_op(
            "admin/reports",
            "What people reported, oldest first.",
            |im: Im, caller: Caller, input: OfReports| async move { im.reports(&caller, input).await },
        ),
        admin_op(
            "admin/report",
            "Closes a report.",
            |im: Im, caller: Caller, input: CloseReport| async move { im.close_report(&caller, input).await },
        ),
    ]
}

fn short(text: &Option<String>) -> Result<(), Wrong> {
    match text {
        Some(text) if text.len() > TEXT_BYTES_MAX => {
            Err(Wrong::BadInput(format!("a text here has at most {TEXT_BYTES_MAX} bytes")))
        }
        _ => Ok(()),
    }
}

impl Im {
    async fn new_report(&self, caller: &Caller, input: NewReport) -> Result<Reported, Wrong> {
        short(&input.text)?;
        let mut about: Option<Arc<str>> = input.user.map(Arc::from);
        if let Some(user) = &about {
            self.somebody(user).await?;
        }
        let conversation = match &input.conversation {
            Some(id) => {
                let conversation = self.conversation(id).await?;
                conversation.lock().member(&caller.who.user)?;
                if let Some(seq) = input.seq {
                    let record = self.seen(&conversation, &caller.who.user, seq).await?;
                    about = Some(record.message.from.user.clone());
                }
                Some(conversation.id.clone())
            }
            None if input.seq.is_some() => {
                return Err(Wrong::BadInput("a message is named by 'conversation' and 'seq'".to_owned()));
            }
            None => None,
        };
        if about.is_none() && conversation.is_none() {
            return Err(Wrong::BadInput("name a user, a conversation or a message".to_owned()));
        }
        let by = caller.who.user.clone();
        let report = self.report(by, about, conversation, input.seq, input.reason, input.text).await?;
        Ok(Reported { report })
    }

    /// Puts a report into the queue.
    pub(crate) async fn report(
        &self,
        by: Arc<str>,
        user: Option<Arc<str>>,
        conversation: Option<Arc<str>>,
        seq: Option<u64>,
        reason: Reason,
        text: Option<String>,
    ) -> Result<String, Wrong> {
        let at = self.now().wall.as_millis();
        let id = format!("{at:012x}{:08x}", (self.inner.seams.random)() & 0xffff_ffff);
        let state = Progress::Open;
        let report = Report {
            id: id.clone(),
            at,
            by,
            user,
            conversation,
            seq,
            reason,
            text,
            state,
            verdict: None,
            note: None,
            closed_by: None,
            closed_at: None,
        };
        self.inner.ledger.commit([(key(state, &id), Some(json(&report)))]).await?;
        Ok(id)
    }

    async fn reports(&self, caller: &Caller, input: OfReports) -> Result<Reports, Wrong> {
        let limit = input.limit.unwrap_or(50).clamp(1, PAGE_MAX);
        let prefix = input.state.prefix();
        let after = input.after.map(|after| key(input.state, &after));
        let rows = self.inner.ledger.table().scan(prefix.as_bytes(), after.as_deref(), limit + 1).await?;
        let more = rows.len() > limit;
        let mut reports = Vec::new();
        for (key, value) in rows.iter().take(limit) {
            let report: Report = parsed(key, value)?;
            let message = self.reported(caller, &report).await;
            reports.push(ReportShown { report, message });
        }
        let next = reports.last().filter(|_| more).map(|shown| shown.report.id.clone());
        Ok(Reports { reports, next })
    }

    /// The message that a report is about, where it is still there.
    async fn reported(&self, caller: &Caller, report: &Report) -> Option<Message> {
        let (id, seq) = (report.conversation.as_ref()?, report.seq?);
        let conversation = self.conversation(id).await.ok()?;
        let record = self.record(&conversation, seq).await.ok()?;
        let key = overlay_key(id, seq);
        let row = self.inner.ledger.table().get(&key).await.ok()?;
        let overlay: Option<Overlay> = row.map(|(row, _)| parsed(&key, &row)).transpose().ok()?;
        Some(Message::of(&conversation.id, &record, overlay.as_ref(), &caller.who.user))
    }

    async fn close_report(&self, caller: &Caller, input: CloseReport) -> Result<Done, Wrong> {
        short(&input.note)?;
        let open = key(Progress::Open, &input.id);
        let row = self.inner.ledger.table().get(&open).await?;
        let Some((row, _)) = row else { return Err(Wrong::NoSuch("open report")) };
        let report = Report {
            state: Progress::Closed,
            verdict: Some(input.verdict),
            note: input.note,
            closed_by: Some(caller.who.user.clone()),
            closed_at: Some(caller.now.wall.as_millis()),
            ..parsed(&open, &row)?
        };
        let closed = (key(Progress::Closed, &input.id), Some(json(&report)));
        self.inner.ledger.commit([(open, None), closed]).await?;
        Ok(Done {})
    }
}

fn key(state: Progress, id: &str) -> Bytes {
    format!("{}{id}", state.prefix()).into()
}
