//! Groups and channels: how they begin, what they say of themselves, and how they end. Who comes and goes is in
//! `members` and `joining`, who may do what in `roles`.

mod counts;
mod limits;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use yizhan_hub::{Content as Body, StoreError, link::Publish, message::Sender, service::Caller};

use self::counts::Counts;
use self::limits::{ABOUT_BYTES_MAX, ANNOUNCEMENT_BYTES_MAX, AVATAR_BYTES_MAX, check_title};
pub(crate) use self::limits::{CALL_USERS_MAX, USER_BYTES_MAX, check_text, patched};
use crate::{
    conversation::{Conversation, Head, Info, Invitation, Join, Shown, State, Who},
    denied::Wrong,
    discover::{Handles, PUBLIC_MAX, Public, Reserved, handle_key},
    entry::Entry,
    im::Im,
    joining::invited_key,
    ledger::{Row, json},
    member::{Member, Role},
    names::{self, Kind, new_id},
    op::{Done, OfConversation, Op, op},
    roles::role_of,
};

/// What groups have in common.
#[derive(Default)]
pub(crate) struct Groups {
    pub(crate) counts: Counts,
    pub(crate) handles: Handles,
    pub(crate) public: Public,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// `group`, `channel` or `room`.
    kind: Kind,
    /// What it is called; 1 to 128 bytes.
    title: String,
    /// What it is about; at most 1024 bytes.
    about: Option<String>,
    /// Its picture: a file's id or an address; at most 512 bytes.
    avatar: Option<String>,
    /// Who is in it from the beginning; at most 1000. Those who want to be asked are invited.
    #[serde(default)]
    members: Vec<String>,
    /// How one becomes a member.
    #[serde(default)]
    join: Join,
    /// Whether others find it.
    #[serde(default)]
    public: bool,
    /// Its own name: 3 to 32 of a-z, 0-9 and _, a letter first.
    handle: Option<String>,
    /// What those who come later see.
    #[serde(default)]
    history: Shown,
    /// Who may mention all.
    mention_all: Option<Who>,
    /// Who may bring others in; in a channel admins, where nothing is said.
    invite: Option<Who>,
    /// What the application says with it; at most 64 names, 8 KiB in all.
    #[serde(default)]
    attributes: Map<String, Value>,
}

/// What is to change; what is left out stays. An empty text takes something away.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Update {
    /// Which conversation.
    conversation: String,
    /// What it is called; 1 to 128 bytes.
    title: Option<String>,
    /// What it is about; at most 1024 bytes.
    about: Option<String>,
    /// Its picture; at most 512 bytes.
    avatar: Option<String>,
    /// What everybody is to read; at most 8 KiB.
    announcement: Option<String>,
    /// How one becomes a member.
    join: Option<Join>,
    /// Whether others find it.
    public: Option<bool>,
    /// Its own name.
    handle: Option<String>,
    /// Whether only admins, and those who are allowed, may speak.
    mute_all: Option<bool>,
    /// What those who come later see.
    history: Option<Shown>,
    /// Who may mention all.
    mention_all: Option<Who>,
    /// Who may bring others in.
    invite: Option<Who>,
    /// Attributes that change; `null` takes one away.
    attributes: Option<Map<String, Value>>,
}

/// What a conversation says of itself has changed.
#[derive(Serialize)]
struct InfoChanged {
    changed: Map<String, Value>,
    version: u64,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        whole(
            "create",
            "A new group, channel or chatroom, owned by who asks.",
            |im: Im, caller: Caller, input: Create| async move { im.create(caller, input).await },
        ),
        whole(
            "update",
            "Changes what a conversation says of itself; for its admins.",
            |im: Im, caller: Caller, input: Update| async move { im.update(caller, input).await },
        ),
        whole(
            "dismiss",
            "Ends a group, channel or chatroom, for its owner.",
            |im: Im, caller: Caller, input: OfConversation| async move {
                let conversation = im.conversation(&input.conversation).await?;
                im.dismiss(&caller, &conversation).await
            },
        ),
    ]
}

/// An operation that is done to its end once it has begun, whether or not who asked still waits: nothing is half said.
pub(crate) fn whole<I, O, R>(
    name: &'static str,
    summary: &'static str,
    run: impl Fn(Im, Caller, I) -> R + Send + Sync + Copy + 'static,
) -> Op
where
    I: DeserializeOwned + JsonSchema + Send + 'static,
    O: Serialize + JsonSchema + Send + 'static,
    R: Future<Output = Result<O, Wrong>> + Send + 'static,
{
    op(name, summary, move |im: Im, caller: Caller, input: I| async move {
        let inner = im.inner.clone();
        inner.chores.run(run(im, caller, input)).await
    })
}

/// An empty text is none.
fn some(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

impl Im {
    /// A group or channel; direct conversations and chatrooms have no members to speak of.
    pub(crate) async fn group(&self, id: &str) -> Result<Arc<Conversation>, Wrong> {
        let conversation = self.conversation(id).await?;
        match conversation.kind {
            Kind::Group | Kind::Channel => Ok(conversation),
            Kind::Direct => Err(Wrong::NotAllowed("a direct conversation has its two members and no others")),
            Kind::Room => Err(Wrong::NotAllowed("a chatroom has no members")),
        }
    }

    /// Puts a conversation's rows in line; ready when they are safe. Called under its lock.
    pub(crate) fn keep(
        &self,
        conversation: &Conversation,
        rows: Vec<Row>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        conversation.wrote(self.inner.ledger.put(rows));
        self.inner.ledger.commit([])
    }

    /// Says what changed, with who did it and behind which message: to members and who comes later; in a chatroom to
    /// who is there.
    pub(crate) fn say_change(
        &self,
        conversation: &Conversation,
        by: &Sender,
        event: &'static str,
        after: u64,
        what: &impl Serialize,
    ) {
        #[derive(Serialize)]
        struct Said<'a, T> {
            event: &'static str,
            by: &'a str,
            after: u64,
            #[serde(flatten)]
            what: &'a T,
        }
        let said = Said { event, by: &by.user, after, what };
        if conversation.kind != Kind::Room {
            return self.event(conversation, by, &said);
        }
        let publish = Publish {
            content: Body::Json,
            // A plain struct with text keys: nothing of it cannot be written as JSON.
            ..Publish::new(conversation.live.clone(), serde_json::to_vec(&said).unwrap_or_default().into())
        };
        // Who is not there does not hear it; the row has it.
        drop(self.inner.hub.publish_as(self.now(), by.clone(), publish));
    }

    /// Tells one person something of their own.
    pub(crate) fn tell_own(&self, user: &Arc<str>, event: &impl Serialize) {
        if self.inner.online.is_here(user) {
            self.tell(std::iter::once(user), &names::stream(user), event);
        }
    }

    /// Tells those of these people who are here how they see a conversation now.
    pub(crate) async fn tell_entries(&self, conversation: &Arc<Conversation>, users: &[Arc<str>]) {
        #[derive(Serialize)]
        struct EntryChanged {
            event: &'static str,
            entry: Entry,
        }
        if conversation.kind == Kind::Room {
            // It is in nobody's list.
            return;
        }
        for user in users.iter().filter(|user| self.inner.online.is_here(user)) {
            // Who was removed meanwhile is told that.
            if let Ok(entry) = self.entry(conversation, user).await {
                self.tell_own(user, &EntryChanged { event: "entry", entry });
            }
        }
    }

    /// Tells people that they are not in a conversation any more, and why.
    pub(crate) fn tell_gone(&self, id: &str, users: &[Arc<str>], reason: &'static str) {
        #[derive(Serialize)]
        struct Gone<'a> {
            event: &'static str,
            conversation: &'a str,
            reason: &'static str,
        }
        for user in users {
            self.tell_own(user, &Gone { event: "gone", conversation: id, reason });
        }
    }

    async fn create(&self, caller: Caller, input: Create) -> Result<Entry, Wrong> {
        check_title(&input.title)?;
        check_text("about", input.about.as_deref().unwrap_or_default(), ABOUT_BYTES_MAX)?;
        check_text("avatar", input.avatar.as_deref().unwrap_or_default(), AVATAR_BYTES_MAX)?;
        let attributes = patched(&Map::new(), &input.attributes)?;
        if input.kind == Kind::Direct {
            return Err(Wrong::BadInput(
                "'kind' is group, channel or room; a direct one is opened".to_owned(),
            ));
        }
        if input.public && self.inner.groups.public.is_full() {
            return Err(Wrong::TooMany { what: "public conversations", max: PUBLIC_MAX });
        }
        let me = &caller.who.user;
        if input.kind == Kind::Room {
            self.may_create_room(&caller.who, &input.members)?;
        }
        let (members, invited) = self.first_members(me, &input.members).await?;
        let id = new_id(input.kind, (self.inner.seams.random)());
        let handle = some(input.handle);
        let mut reserved = match &handle {
            Some(handle) => Some(self.reserve_handle(handle, &id).await?),
            None => None,
        };
        let at = caller.now.wall.as_millis();
        let mut info = Info::new(input.kind, me.clone(), at);
        info.title = input.title;
        info.about = some(input.about);
        info.avatar = some(input.avatar);
        info.join = input.join;
        info.public = input.public;
        info.handle = reserved.as_ref().map(|reserved| reserved.handle.clone());
        info.history = input.history;
        info.mention_all = input.mention_all.unwrap_or_default();
        let bringing = if input.kind == Kind::Channel { Who::Admins } else { Who::All };
        info.invite = input.invite.unwrap_or(bringing);
        info.attributes = attributes;
        if input.kind == Kind::Room {
            info.room = Some(Box::default());
        } else {
            self.take_places(&members)?;
        }
        for user in &invited {
            info.invited.insert(user.clone(), Invitation { by: me.clone(), at });
        }
        let conversation = self.begin(id, info, &members, reserved.as_mut()).await?;
        if let Some(reserved) = reserved {
            reserved.safe();
        }
        if conversation.kind != Kind::Room {
            self.say_members(&conversation, &caller.sender(), 0, "added", &members);
        }
        self.tell_entries(&conversation, &members).await;
        self.tell_invited(&conversation, me, &invited);
        self.entry(&conversation, me).await
    }

    /// Puts a new conversation there, with its rows.
    async fn begin(
        &self,
        id: Arc<str>,
        mut info: Info,
        users: &[Arc<str>],
        reserved: Option<&mut Reserved<'_>>,
    ) -> Result<Arc<Conversation>, Wrong> {
        let at = info.created_at;
        let users = if info.kind == Kind::Room { &[] } else { users };
        let new = |user: &Arc<str>| {
            let role = if *user == info.owner { Role::Owner } else { Role::Member };
            (user.clone(), Member { role, joined_at: at, changed_at: at, ..Member::default() })
        };
        let members = users.iter().map(new).collect();
        info.members = users.len() as u64;
        let head = Head { active_at: at, ..Head::default() };
        let conversation =
            self.inner.conversations.insert(Arc::new(Conversation::new(id.clone(), info, members, head)));
        let written = {
            let state = conversation.lock();
            let mut rows = vec![conversation.row(&state)];
            for (user, member) in &state.members {
                rows.extend(conversation.rows_of_new(user, member));
            }
            let invited = state.info.invited.keys();
            rows.extend(invited.map(|user| (invited_key(user, &id), Some(json(&at)))));
            rows.extend(self.inner.groups.public.note(&id, &state.info));
            if let Some(reserved) = reserved {
                rows.push((handle_key(&reserved.handle), Some(json(&id))));
                reserved.keep();
            }
            self.keep(&conversation, rows)
        };
        written.await?;
        Ok(conversation)
    }

    /// A place for each of these in one more group, or for none.
    fn take_places(&self, users: &[Arc<str>]) -> Result<(), Wrong> {
        let config = self.config();
        if users.len() > config.members_max {
            return Err(Wrong::Full(config.members_max));
        }
        let counts = &self.inner.groups.counts;
        for (at, user) in users.iter().enumerate() {
            if !counts.take(user, config.conversations_max) {
                counts.give_back(users[..at].iter());
                // The creator comes first.
                return Err(match at {
                    0 => Wrong::TooMany { what: "groups of one person", max: config.conversations_max },
                    _ => Wrong::BadInput(format!("'{user}' is in too many groups")),
                });
            }
        }
        Ok(())
    }

    async fn update(&self, caller: Caller, mut input: Update) -> Result<Entry, Wrong> {
        let conversation = self.conversation(&input.conversation).await?;
        let me = &caller.who.user;
        if conversation.kind == Kind::Direct {
            return Err(Wrong::NotAllowed("a direct conversation says nothing of itself"));
        }
        // Who may not is told that, and takes no name away from others.
        leads(&conversation.lock(), me)?;
        if let Some(title) = &input.title {
            check_title(title)?;
        }
        for (name, text, bytes_max) in [
            ("about", &input.about, ABOUT_BYTES_MAX),
            ("avatar", &input.avatar, AVATAR_BYTES_MAX),
            ("announcement", &input.announcement, ANNOUNCEMENT_BYTES_MAX),
        ] {
            check_text(name, text.as_deref().unwrap_or_default(), bytes_max)?;
        }
        let mut reserved = match input.handle.as_deref() {
            None | Some("") => None,
            Some(handle) => Some(self.reserve_handle(handle, &conversation.id).await?),
        };
        if let Some(reserved) = &reserved {
            input.handle = Some(reserved.handle.clone());
        }
        let (written, changed, version, after) = {
            let mut guard = conversation.lock();
            let state = &mut *guard;
            leads(state, me)?;
            let mut info = state.info.clone();
            let changed = apply(&mut info, input)?;
            if info.public && !state.info.public && self.inner.groups.public.is_full() {
                return Err(Wrong::TooMany { what: "public conversations", max: PUBLIC_MAX });
            }
            if changed.is_empty() {
                (None, changed, 0, 0)
            } else {
                info.version += 1;
                info.changed_at = caller.now.wall.as_millis();
                let old = std::mem::replace(&mut state.info, info);
                let mut rows = vec![conversation.row(state)];
                if old.handle != state.info.handle {
                    rows.extend(old.handle.map(|handle| (handle_key(&handle), None)));
                    if let Some(reserved) = &mut reserved {
                        let row = json(&conversation.id);
                        rows.push((handle_key(&reserved.handle), Some(row)));
                        reserved.keep();
                    }
                }
                rows.extend(self.inner.groups.public.note(&conversation.id, &state.info));
                (Some(self.keep(&conversation, rows)), changed, state.info.version, state.head.newest)
            }
        };
        if let Some(written) = written {
            written.await?;
            if let Some(reserved) = reserved {
                reserved.safe();
            }
            let what = InfoChanged { changed, version };
            self.say_change(&conversation, &caller.sender(), "info", after, &what);
        }
        self.entry(&conversation, me).await
    }

    /// Ends a conversation: nobody is in it any more.
    pub(crate) async fn dismiss(
        &self,
        caller: &Caller,
        conversation: &Arc<Conversation>,
    ) -> Result<Done, Wrong> {
        if conversation.kind == Kind::Direct {
            return Err(Wrong::NotAllowed("a direct conversation is not dismissed: hide or clear it"));
        }
        let (written, members, after) = {
            let mut guard = conversation.lock();
            let state = &mut *guard;
            if role_of(state, &caller.who.user)? != Role::Owner {
                return Err(Wrong::NotAllowed("only the owner may do this"));
            }
            let (rows, members) = self.dismissed(conversation, state, caller.now.wall.as_millis());
            (self.keep(conversation, rows), members, state.head.newest)
        };
        self.finish_dismissal(caller, conversation, written, members, after).await
    }

    /// Ends a conversation, under its lock: gives the rows that come first, after which what is left of the others
    /// means nothing, and who was in it.
    pub(crate) fn dismissed(
        &self,
        conversation: &Conversation,
        state: &mut State,
        at: u64,
    ) -> (Vec<Row>, Vec<Arc<str>>) {
        let info = &mut state.info;
        info.dismissed_at = at;
        info.changed_at = at;
        info.version += 1;
        info.members = 0;
        info.requests.clear();
        info.invited.clear();
        info.links.clear();
        info.banned.clear();
        let handle = info.handle.take();
        let members: Vec<Arc<str>> = std::mem::take(&mut state.members).into_keys().collect();
        let mut rows = vec![conversation.row(state)];
        rows.extend(handle.map(|handle| (handle_key(&handle), None)));
        rows.extend(self.inner.groups.public.note(&conversation.id, &state.info));
        self.inner.groups.counts.give_back(members.iter());
        (rows, members)
    }

    /// What follows once a dismissal is safe.
    pub(crate) async fn finish_dismissal(
        &self,
        caller: &Caller,
        conversation: &Arc<Conversation>,
        written: impl Future<Output = Result<(), StoreError>>,
        members: Vec<Arc<str>>,
        after: u64,
    ) -> Result<Done, Wrong> {
        let written = written.await;
        let at = caller.now.wall.as_millis();
        let rows: Vec<Row> = members.iter().flat_map(|user| conversation.rows_of_gone(user, at)).collect();
        conversation.wrote(self.inner.ledger.put(rows));
        written?;
        self.say_change(conversation, &caller.sender(), "dismiss", after, &Done {});
        self.tell_gone(&conversation.id, &members, "dismissed");
        Ok(Done {})
    }
}

/// Whether somebody leads a conversation of whatever kind.
///
/// # Errors
/// No.
pub(crate) fn leads(state: &State, user: &str) -> Result<Role, Wrong> {
    match role_of(state, user)? {
        Role::Member => Err(Wrong::NotAllowed("only the owner and admins may do this")),
        role => Ok(role),
    }
}

/// Puts what is to change in its place; gives what has changed.
fn apply(info: &mut Info, input: Update) -> Result<Map<String, Value>, Wrong> {
    /// One field.
    fn set<T: PartialEq + Serialize>(
        changed: &mut Map<String, Value>,
        name: &str,
        old: &mut T,
        new: Option<T>,
    ) {
        if let Some(new) = new.filter(|new| new != old) {
            // Plain values: nothing of them cannot be written as JSON.
            changed.insert(name.to_owned(), serde_json::to_value(&new).unwrap_or_default());
            *old = new;
        }
    }
    let mut changed = Map::new();
    let text = |text: Option<String>| text.map(|text| some(Some(text)));
    let attributes = match &input.attributes {
        Some(patch) => Some(patched(&info.attributes, patch)?),
        None => None,
    };
    set(&mut changed, "title", &mut info.title, input.title);
    set(&mut changed, "about", &mut info.about, text(input.about));
    set(&mut changed, "avatar", &mut info.avatar, text(input.avatar));
    set(&mut changed, "announcement", &mut info.announcement, text(input.announcement));
    set(&mut changed, "join", &mut info.join, input.join);
    set(&mut changed, "public", &mut info.public, input.public);
    set(&mut changed, "handle", &mut info.handle, text(input.handle));
    set(&mut changed, "mute_all", &mut info.mute_all, input.mute_all);
    set(&mut changed, "history", &mut info.history, input.history);
    set(&mut changed, "mention_all", &mut info.mention_all, input.mention_all);
    set(&mut changed, "invite", &mut info.invite, input.invite);
    set(&mut changed, "attributes", &mut info.attributes, attributes);
    Ok(changed)
}
