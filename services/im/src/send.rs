//! Sending: from what somebody says to a message that is safe.
//!
//! What needs nothing but memory is put in line before `publish_content` returns, so that messages of one client stay
//! in order; what has to look something up first goes through the client's line.

use std::sync::Arc;

use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::future::Shared;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yizhan_hub::{
    Answer, Content as Body, SessionId,
    link::{Durability, Publish, Receipt},
    message::Sender,
    service::Caller,
};
use yizhan_talk::Called;

use crate::{
    content::{CONTENT_BYTES_MAX, Content, Priority, What},
    conversation::{Conversation, State, Who},
    denied::Wrong,
    heard::{BURN, MENTION_ALL, MENTIONS, THREAD},
    im::Im,
    member::Role,
    names::{Kind, Place},
    op::{Op, op},
    rooms,
    seams::{Draft, Verdict},
};

/// Clients with messages on their way, each with the end of its line.
#[derive(Default)]
pub(crate) struct Lines(Mutex<FxHashMap<SessionId, (u64, Ahead)>>);

/// Ready when whoever is ahead in a line is done.
type Ahead = Shared<oneshot::Receiver<()>>;

/// A place in a client's line; the next one goes on when it is dropped.
struct Turn {
    im: Im,
    session: SessionId,
    number: u64,
    /// Dropped, it tells who is next.
    _done: oneshot::Sender<()>,
}

impl Lines {
    fn is_free(&self, session: SessionId) -> bool {
        !self.0.lock().contains_key(&session)
    }

    /// Gets in line; the future is ready when it is one's turn.
    fn wait(&self, session: SessionId) -> (Option<Ahead>, u64, oneshot::Sender<()>) {
        use futures_util::FutureExt as _;
        let (sender, receiver) = oneshot::channel();
        let mut lines = self.0.lock();
        let before = lines.get(&session).cloned();
        let number = before.as_ref().map_or(1, |(number, _)| number + 1);
        lines.insert(session, (number, receiver.shared()));
        (before.map(|(_, line)| line), number, sender)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut lines = self.im.inner.lines.0.lock();
        if lines.get(&self.session).is_some_and(|(number, _)| *number == self.number) {
            lines.remove(&self.session);
        }
    }
}

/// What is asked to send.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Send {
    /// Where to; or `user`.
    conversation: Option<String>,
    /// To whom: the direct conversation with this person, made where it is not there.
    user: Option<String>,
    /// What.
    content: Content,
    /// The client's own id of it, as `content.id`.
    id: Option<String>,
}

/// A message is there.
#[derive(Debug, Serialize, JsonSchema)]
struct Sent {
    /// In which conversation.
    conversation: Arc<str>,
    /// Its number there; 0 for what is not kept.
    seq: u64,
    /// When, milliseconds since 1970.
    at: u64,
    /// It had been sent before.
    duplicate: bool,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![op(
        "send",
        "Sends a message to a conversation or a person.",
        |im: Im, caller: Caller, input: Send| async move { im.send(caller, input).await },
    )]
}

impl Im {
    async fn send(&self, caller: Caller, input: Send) -> Result<Sent, Wrong> {
        let Send { conversation, user, mut content, id } = input;
        content.id = content.id.or(id);
        content.check()?;
        fits(&content)?;
        let id: Arc<str> = match (conversation, user) {
            (Some(id), None) => id.into(),
            (None, Some(user)) => self.direct(&caller.who.user, &user).await?.id.clone(),
            _ => return Err(Wrong::BadInput("name either 'conversation' or 'user'".to_owned())),
        };
        match self.take(caller, id.clone(), content, Durability::None).wait().await {
            Answer::Published(Receipt { seq, at, duplicate, .. }) => {
                Ok(Sent { conversation: id, seq, at: at.as_millis(), duplicate })
            }
            Answer::Refused(refused) => Err(refused.into()),
            _ => Err(Wrong::NoSuch("answer")),
        }
    }

    /// Sends to a person.
    pub(crate) async fn send_to(&self, caller: &Caller, user: &str, content: Content) -> Result<(), Wrong> {
        let id = self.direct(&caller.who.user, user).await?.id.clone();
        let answer = self.take(caller.clone(), id, content, Durability::None).wait().await;
        if let Answer::Refused(refused) = answer { Err(refused.into()) } else { Ok(()) }
    }

    /// A publish to one of the service's topics.
    pub(crate) fn publish_content(&self, caller: Caller, publish: Publish) -> Called<Answer> {
        match read(&publish) {
            Ok((id, content)) => self.take(caller, id, content, publish.wants),
            Err(wrong) => Called::Done(wrong.into()),
        }
    }

    /// Takes a message: at once where everything is in memory, else in the client's line.
    fn take(&self, caller: Caller, id: Arc<str>, mut content: Content, wants: Durability) -> Called<Answer> {
        let user = caller.who.user.clone();
        match self.moderate(&user, &mut content) {
            Ok(None) => self.take_clean(caller, id, content, wants),
            Ok(Some(word)) => {
                let (im, called) = (self.clone(), self.take_clean(caller, id.clone(), content, wants));
                Called::Later(Box::pin(async move {
                    let answer = called.wait().await;
                    if let Answer::Published(receipt) = &answer
                        && !receipt.duplicate
                    {
                        im.flag(&user, &id, Some(receipt.seq).filter(|seq| *seq > 0), word);
                    }
                    answer
                }))
            }
            Err(wrong) => Called::Done(wrong.into()),
        }
    }

    fn take_clean(
        &self,
        caller: Caller,
        id: Arc<str>,
        content: Content,
        wants: Durability,
    ) -> Called<Answer> {
        let plain = !content.kind.has_file()
            && !matches!(content.kind, What::Forward | What::Merged | What::Card)
            && content.thread.is_none()
            && self.inner.seams.before.is_none();
        if plain
            && self.inner.lines.is_free(caller.session)
            && let Some(conversation) = self.inner.conversations.find(&id)
        {
            let used = caller.now.wall.as_millis();
            conversation.used_at.store(used, std::sync::atomic::Ordering::Relaxed);
            return self.put(&conversation, &caller.sender(), content, wants);
        }
        let (before, number, done) = self.inner.lines.wait(caller.session);
        let im = self.clone();
        // Made here: a client that is gone before this is looked at leaves no place in line behind.
        let turn = Turn { im: im.clone(), session: caller.session, number, _done: done };
        Called::Later(Box::pin(async move {
            if let Some(before) = before {
                // Said or dropped: it is over.
                before.await.ok();
            }
            let called = match im.prepared(&caller, &id, content).await {
                Ok((conversation, content)) => im.put(&conversation, &caller.sender(), content, wants),
                Err(wrong) => return wrong.into(),
            };
            // It is in line with the others of its topic: the next may come.
            drop(turn);
            called.wait().await
        }))
    }

    /// Loads what a message needs, completes it, and asks the operator's hook.
    async fn prepared(
        &self,
        caller: &Caller,
        id: &str,
        mut content: Content,
    ) -> Result<(Arc<Conversation>, Content), Wrong> {
        let conversation = self.conversation(id).await?;
        self.may_speak(&conversation.lock(), &caller.who.user, &content, conversation.kind)?;
        content = self.judged(caller, &conversation, content).await?;
        Ok((conversation, content))
    }

    /// What is to be said, completed, and as the operator's hook wants it: new messages and edits alike.
    pub(crate) async fn judged(
        &self,
        caller: &Caller,
        conversation: &Arc<Conversation>,
        mut content: Content,
    ) -> Result<Content, Wrong> {
        self.complete(caller, conversation, &mut content).await?;
        fits(&content)?;
        let Some(before) = &self.inner.seams.before else { return Ok(content) };
        let draft = Draft {
            conversation: conversation.id.clone(),
            from: caller.who.user.clone(),
            device: caller.who.device.clone(),
            content: content.clone(),
        };
        match before.ask(draft).await {
            Verdict::Allow => Ok(content),
            Verdict::Change(changed) => {
                // Whose message it is, and that it is sent once, no hook changes.
                let mut changed = Content { id: content.id, ..changed.as_sent() };
                changed.check()?;
                self.complete(caller, conversation, &mut changed).await?;
                fits(&changed)?;
                Ok(changed)
            }
            Verdict::Refuse(reason) => Err(Wrong::Moderated(reason)),
            Verdict::Unanswered => Err(Wrong::NoVerdict),
        }
    }

    /// Fills in what only the server knows: what a file is, what a forwarded message was.
    pub(crate) async fn complete(
        &self,
        caller: &Caller,
        conversation: &Arc<Conversation>,
        content: &mut Content,
    ) -> Result<(), Wrong> {
        if content.kind == What::Card
            && let Some(user) = &content.user
            && !(self.inner.seams.exists)(user.as_str().into()).await
        {
            return Err(Wrong::NoSuch("user"));
        }
        if let Some(root) = content.thread {
            self.check_thread(conversation, &caller.who.user, root).await?;
        }
        self.complete_forward(caller, content).await?;
        self.complete_files(caller, conversation, content).await
    }

    /// Whether somebody may say this here.
    pub(crate) fn may_speak(
        &self,
        state: &State,
        user: &str,
        content: &Content,
        kind: Kind,
    ) -> Result<(), Wrong> {
        let now = self.now().wall.as_millis();
        if kind == Kind::Room {
            return rooms::may_speak(state, user, content, now);
        }
        let member = state.member(user)?;
        let leads = member.role >= Role::Admin;
        if member.muted_until > now {
            let until = (member.muted_until != u64::MAX)
                .then(|| yizhan_talk::Timestamp::from_millis(member.muted_until));
            return Err(Wrong::Muted(until));
        }
        if !leads && !member.allowed {
            if kind == Kind::Channel {
                return Err(Wrong::NotAllowed("only the owner and admins write in a channel"));
            }
            if state.info.mute_all {
                return Err(Wrong::Muted(None));
            }
        }
        if kind == Kind::Direct {
            if member.blocks {
                return Err(Wrong::NotAllowed("you have blocked this person: unblock them first"));
            }
            if state
                .info
                .peer_of(user)
                .and_then(|peer| state.members.get(peer))
                .is_some_and(|peer| peer.blocks)
            {
                return Err(Wrong::Blocked);
            }
        }
        let mentions_all = content.mention_all || content.mention_here;
        if mentions_all && !leads && state.info.mention_all == Who::Admins {
            return Err(Wrong::NotAllowed("only the owner and admins mention all here"));
        }
        if content.priority == Priority::High && !leads && kind != Kind::Direct {
            return Err(Wrong::NotAllowed("only the owner and admins send with high priority"));
        }
        Ok(())
    }

    /// Whether what a message answers is there.
    fn check_reply(
        &self,
        conversation: &Conversation,
        state: &State,
        content: &Content,
    ) -> Result<(), Wrong> {
        let mut named = content.reply.into_iter().chain(content.thread);
        if named.all(|seq| self.was_said(conversation, state, seq)) {
            Ok(())
        } else {
            Err(Wrong::NoSuch("message to reply to"))
        }
    }

    /// Whether a message has this number; also one that is safe and was not heard yet.
    pub(crate) fn was_said(&self, conversation: &Conversation, state: &State, seq: u64) -> bool {
        if seq == 0 || seq <= state.head.newest {
            return seq != 0;
        }
        let journal = self.inner.hub.journal(&conversation.messages);
        let newest = journal
            .and_then(|journal| journal.newest_seqs(std::slice::from_ref(&conversation.messages)).pop());
        newest.is_some_and(|newest| seq <= newest)
    }

    /// Puts a message in line where its sender may say it.
    pub(crate) fn put(
        &self,
        conversation: &Arc<Conversation>,
        from: &Sender,
        content: Content,
        wants: Durability,
    ) -> Called<Answer> {
        let now = self.now();
        let state = conversation.lock();
        let may = self.may_speak(&state, &from.user, &content, conversation.kind);
        if let Err(wrong) = may.and_then(|()| self.check_reply(conversation, &state, &content)) {
            return Called::Done(wrong.into());
        }
        if conversation.kind == Kind::Room {
            return self.put_in_room(conversation, state, from, &content, wants);
        }
        if content.kind == What::Command {
            let members: Vec<Arc<str>> = state.members.keys().cloned().collect();
            drop(state);
            return self.command(conversation, from, &content, &members);
        }
        let publish = Publish {
            id: content.id.as_deref().map(Into::into),
            content: Body::Json,
            headers: headers(&content, &state),
            expires_in: content.expires_s.map(|s| std::time::Duration::from_secs(u64::from(s))),
            wants,
            ..Publish::new(conversation.messages.clone(), body(&content))
        };
        // Under the lock: who is muted or removed after this line was heard before it.
        let called = self.inner.hub.publish_as(now, from.clone(), publish);
        drop(state);
        match called {
            Called::Done(answer) => Called::Done(answer),
            Called::Later(answer) => {
                let conversation = conversation.clone();
                Called::Later(Box::pin(async move {
                    let answer = answer.await;
                    if let Answer::Published(receipt) = &answer {
                        heard(&conversation, receipt.seq).await;
                    }
                    answer
                }))
            }
        }
    }

    /// Something for the programs of those who are here.
    fn command(
        &self,
        conversation: &Conversation,
        from: &Sender,
        content: &Content,
        members: &[Arc<str>],
    ) -> Called<Answer> {
        #[derive(Serialize)]
        struct Command<'a> {
            event: &'static str,
            from: &'a str,
            data: &'a Option<serde_json::Value>,
        }
        let event = Command { event: "command", from: &from.user, data: &content.data };
        self.tell(members.iter(), &conversation.live, &event);
        let receipt = Receipt {
            position: None,
            seq: 0,
            at: self.now().wall,
            durability: Durability::None,
            duplicate: false,
        };
        Called::Done(Answer::Published(receipt))
    }
}

/// Ready when a message has had its effects: whoever asks after the answer finds it.
async fn heard(conversation: &Conversation, seq: u64) {
    let waiting = {
        let mut state = conversation.lock();
        if state.head.newest >= seq {
            return;
        }
        let (sender, receiver) = oneshot::channel();
        state.unheard.push((seq, sender));
        receiver
    };
    // Dropped where the conversation is gone.
    waiting.await.ok();
}

/// Where a publish goes, and what it says.
fn read(publish: &Publish) -> Result<(Arc<str>, Content), Wrong> {
    let id = match Place::of(publish.topic.as_str()) {
        Some(Place::Messages(id) | Place::Room(id)) => id.into(),
        Some(_) => return Err(Wrong::NotAllowed("nobody publishes there but the server: send to im/c/ID")),
        None => return Err(Wrong::NoSuch("conversation")),
    };
    if publish.key.is_some() || publish.delay.is_some() {
        return Err(Wrong::BadInput(
            "messages of conversations have no key, are not retained and not delayed".to_owned(),
        ));
    }
    Ok((id, Content::of_publish(publish)?))
}

/// A message as it is kept.
pub(crate) fn body(content: &Content) -> Bytes {
    // A plain struct with text keys: nothing of it cannot be written as JSON.
    serde_json::to_vec(content).unwrap_or_default().into()
}

/// Whether a message is not too large, now that all is in it.
pub(crate) fn fits(content: &Content) -> Result<(), Wrong> {
    let bytes = body(content).len();
    if bytes > CONTENT_BYTES_MAX {
        return Err(Wrong::BadContent(format!("{bytes} bytes, at most {CONTENT_BYTES_MAX} are taken")));
    }
    Ok(())
}

/// What has to be known of a message without reading it.
pub(crate) fn headers(content: &Content, state: &State) -> yizhan_hub::Headers {
    let mut headers: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    let members = content.mentions.iter().filter(|name| state.members.contains_key(name.as_str()));
    let names: Vec<&str> = members.map(String::as_str).collect();
    if !names.is_empty() {
        headers.push((MENTIONS.into(), names.join("\n").into()));
    }
    if content.mention_all || content.mention_here {
        headers.push((MENTION_ALL.into(), "1".into()));
    }
    if let Some(thread) = content.thread {
        headers.push((THREAD.into(), thread.to_string().into()));
    }
    if let Some(seconds) = content.burn_s {
        headers.push((BURN.into(), seconds.to_string().into()));
    }
    headers.into()
}
