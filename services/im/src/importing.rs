//! People and history from another system, as lines of JSON; given again, a line changes nothing.

use std::sync::Arc;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use yizhan_hub::{Answer, SessionId, link::Publish, message::Sender, service::Caller};
use yizhan_talk::{Called, Now, Timestamp};

use crate::{
    content::{Content, What},
    denied::Wrong,
    im::Im,
    load::parsed,
    names::Kind,
    op::{Op, admin_op},
    send,
};

/// Lines of one call.
const LINES_MAX: usize = 1000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Import {
    /// What is brought in, in order; at most 1000 lines.
    lines: Vec<Line>,
}

/// One line.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line {
    /// A person.
    User {
        /// The account's name.
        user: String,
        /// What they are called.
        name: Option<String>,
        /// Their picture.
        avatar: Option<String>,
        /// What they say of themselves.
        about: Option<String>,
        /// What the application says with it.
        attributes: Option<Map<String, Value>>,
    },
    /// A group or channel.
    Conversation {
        /// Its id in the other system: messages name it by this.
        id: String,
        /// `group` or `channel`.
        kind: Kind,
        /// What it is called.
        title: String,
        /// Whose it is.
        owner: String,
        /// Who else is in it; at most 1000, more with other lines of the same id.
        #[serde(default)]
        members: Vec<String>,
    },
    /// A message.
    Message {
        /// The id of the group in the other system; or `to`.
        conversation: Option<String>,
        /// The other one of a direct conversation.
        to: Option<String>,
        /// Who sent it.
        from: String,
        /// When, milliseconds since 1970.
        at: u64,
        /// Its id in the other system.
        id: String,
        /// What it says.
        content: Box<Content>,
    },
}

/// What became of the lines.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct Imported {
    /// How many were taken.
    taken: usize,
    /// Which were not, and why.
    failed: Vec<BadLine>,
}

/// A line that was not taken.
#[derive(Debug, Serialize, JsonSchema)]
struct BadLine {
    /// Its number in this call, from 0.
    line: usize,
    /// Why.
    reason: String,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![admin_op(
        "admin/import",
        "People and history from another system.",
        |im: Im, caller: Caller, input: Import| async move { im.import(&caller, input).await },
    )]
}

fn reference(id: &str) -> Bytes {
    format!("w/import/{id}").into()
}

impl Im {
    async fn import(&self, caller: &Caller, input: Import) -> Result<Imported, Wrong> {
        if input.lines.len() > LINES_MAX {
            return Err(Wrong::TooMany { what: "lines", max: LINES_MAX });
        }
        let mut imported = Imported::default();
        // Messages are put in line one after the other, and waited for together.
        let mut under_way = Vec::new();
        for (number, line) in input.lines.into_iter().enumerate() {
            let taken = match line {
                Line::User { user, name, avatar, about, attributes } => {
                    let data =
                        json!({"name": name, "avatar": avatar, "about": about, "attributes": attributes});
                    self.ask_as(caller, &user, "set_profile", &data).await.map(|_| ())
                }
                Line::Conversation { id, kind, title, owner, members } => {
                    self.import_conversation(caller, &id, kind, &title, &owner, members).await
                }
                Line::Message { conversation, to, from, at, id, content } => {
                    let place = (conversation, to);
                    match self.import_message(place, &from, at, id, *content).await {
                        Ok((called, taken)) => {
                            under_way.push((number, called, taken));
                            continue;
                        }
                        Err(wrong) => Err(wrong),
                    }
                }
            };
            imported.note(number, taken);
        }
        let mut rows: Vec<crate::ledger::Row> = Vec::new();
        for (number, called, taken) in under_way {
            if let Answer::Refused(refused) = called.wait().await {
                imported.note(number, Err(refused.into()));
                continue;
            }
            rows.extend(taken.map(|key| (key, Some(Bytes::from_static(b"{}")))));
            imported.note(number, Ok(()));
        }
        self.inner.ledger.commit(rows).await?;
        Ok(imported)
    }

    async fn ask_as(&self, caller: &Caller, user: &str, op: &str, data: &Value) -> Result<Value, Wrong> {
        let user = self.somebody(user).await?.user.clone();
        let body = Bytes::from(data.to_string());
        let told: futures_util::future::BoxFuture<'static, _> =
            Box::pin(self.clone().run(self.caller_as(caller, user), format!("im/{op}").into(), body));
        Ok(serde_json::from_slice(&told.await?).unwrap_or_default())
    }

    async fn import_conversation(
        &self,
        caller: &Caller,
        id: &str,
        kind: Kind,
        title: &str,
        owner: &str,
        members: Vec<String>,
    ) -> Result<(), Wrong> {
        let key = reference(id);
        match self.inner.ledger.table().get(&key).await? {
            Some((row, _)) => {
                let id: Arc<str> = parsed(&key, &row)?;
                if !members.is_empty() {
                    let data = json!({"conversation": id, "users": members});
                    self.ask_as(caller, owner, "add", &data).await?;
                }
            }
            None => {
                let data = json!({"kind": kind, "title": title, "members": members});
                let entry = self.ask_as(caller, owner, "create", &data).await?;
                self.inner.ledger.commit([(key, Some(crate::ledger::json(&entry["id"])))]).await?;
            }
        }
        Ok(())
    }

    async fn import_message(
        &self,
        place: (Option<String>, Option<String>),
        from: &str,
        at: u64,
        id: String,
        mut content: Content,
    ) -> Result<(Called<Answer>, Option<Bytes>), Wrong> {
        let from = self.somebody(from).await?.user.clone();
        let conversation = match place {
            (Some(reference_id), None) => {
                let key = reference(&reference_id);
                let row = self.inner.ledger.table().get(&key).await?;
                let (row, _) = row.ok_or(Wrong::NoSuch("imported conversation"))?;
                self.conversation(&parsed::<Arc<str>>(&key, &row)?).await?
            }
            (None, Some(to)) => self.direct(&from, &to).await?,
            _ => return Err(Wrong::BadInput("name either 'conversation' or 'to'".to_owned())),
        };
        // The hub knows an id for some days; a line may come again after years.
        let taken = Bytes::from(format!("w/m/{}/{id}", conversation.id));
        if self.inner.ledger.table().get(&taken).await?.is_some() {
            return Ok((Called::Done(Answer::Done), None));
        }
        content.id = Some(id);
        content.check()?;
        if matches!(content.kind, What::Forward | What::Merged | What::Command) || content.kind.has_file() {
            return Err(Wrong::BadContent(
                "forwarded messages, files and commands are not imported".to_owned(),
            ));
        }
        let state = conversation.lock();
        state.member(&from)?;
        let publish = Publish {
            id: content.id.as_deref().map(Into::into),
            content: yizhan_hub::Content::Json,
            headers: send::headers(&content, &state),
            ..Publish::new(conversation.messages.clone(), send::body(&content))
        };
        // As old as it is, and not newer than this moment.
        let now = self.now();
        let wall = Timestamp::from_millis(at).min(now.wall);
        let sender = Sender { user: from, device: Some("import".into()), session: SessionId(0) };
        Ok((self.inner.hub.publish_as(Now { wall, ..now }, sender, publish), Some(taken)))
    }
}

impl Imported {
    fn note(&mut self, line: usize, taken: Result<(), Wrong>) {
        match taken {
            Ok(()) => self.taken += 1,
            Err(wrong) => self.failed.push(BadLine { line, reason: wrong.to_string() }),
        }
    }
}
