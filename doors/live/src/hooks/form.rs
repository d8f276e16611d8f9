//! What is posted: the form that SRS users know, with a little more.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use serde::Serialize;
use yizhan_media::{Gone, Name, Party, Wish};
use yizhan_talk::Timestamp;

/// Bytes of the parameters that a post repeats; more is left out, whole.
const PARAM_BYTES_MAX: usize = 4096;

/// A file of a recording that is complete.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Of what.
    pub name: Name,
    /// The folder of all recordings.
    pub folder: String,
    /// The file in it.
    pub file: String,
    /// When its first frame came.
    pub began: Timestamp,
    /// How long it plays, milliseconds.
    pub millis: u64,
    /// Its size.
    pub bytes: u64,
}

/// Something that is to be told.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// When it happened.
    pub(crate) at: Timestamp,
    pub(crate) body: Bytes,
}

/// What all posts of this server share.
pub(crate) struct Form {
    vhost: String,
    server: String,
    /// What ids of posts begin with: when the server was started.
    began: u64,
    posts: AtomicU64,
}

/// A post's body. The names are SRS's as far as it has them.
#[derive(Serialize)]
struct Post<'a> {
    server_id: &'a str,
    action: &'static str,
    /// Another one for each post; the same when it comes again.
    id: String,
    /// When it happened, milliseconds since 1970.
    at: u64,
    client_id: String,
    ip: String,
    vhost: &'a str,
    app: &'a str,
    stream: &'a str,
    /// The query with its `?`, as it was sent; empty for none.
    param: String,
    stream_url: String,
    stream_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    door: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(flatten)]
    more: More<'a>,
}

/// What only some of them have.
#[derive(Default, Serialize)]
struct More<'a> {
    /// What a viewer was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    send_bytes: Option<u64>,
    /// What a publisher sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    recv_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cwd: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    began: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

impl Form {
    pub(crate) fn new(vhost: String, server: String, now: Timestamp) -> Self {
        Self { vhost, server, began: now.as_millis(), posts: AtomicU64::new(0) }
    }

    /// Somebody wants to come in. `user`: who they turned out to be.
    pub(crate) fn wish(&self, action: &'static str, wish: &Wish, user: Option<&str>) -> Bytes {
        let params = if wish.creds.params.is_empty() { &wish.party.params } else { &wish.creds.params };
        let post = self.post(action, wish.now.wall, &wish.name, Some((&wish.party, params, wish.id)));
        written(&Post { user: user.or(post.user), ..post })
    }

    /// Somebody has gone.
    pub(crate) fn gone(&self, action: &'static str, gone: &Gone) -> Event {
        let who = Some((&gone.party, &*gone.party.params, gone.id));
        let more = match gone.publishing {
            true => More { recv_bytes: Some(gone.bytes), ..More::default() },
            false => More { send_bytes: Some(gone.bytes), ..More::default() },
        };
        let post = self.post(action, gone.now.wall, &gone.name, who);
        Event { at: gone.now.wall, body: written(&Post { more, ..post }) }
    }

    /// A file is complete.
    pub(crate) fn recorded(&self, now: Timestamp, of: &Recorded) -> Event {
        let more = More {
            cwd: Some(&of.folder),
            file: Some(&of.file),
            duration: Some(of.millis as f64 / 1000.0),
            began: Some(of.began.as_millis()),
            bytes: Some(of.bytes),
            ..More::default()
        };
        Event { at: now, body: written(&Post { more, ..self.post("on_dvr", now, &of.name, None) }) }
    }

    fn post<'a>(
        &'a self,
        action: &'static str,
        at: Timestamp,
        name: &'a Name,
        who: Option<(&'a Party, &'a str, u64)>,
    ) -> Post<'a> {
        let params = who.map_or("", |(_, params, _)| params.trim_start_matches('?'));
        let fits = !params.is_empty() && params.len() <= PARAM_BYTES_MAX;
        let party = who.map(|(party, ..)| party);
        let host = if self.vhost == DEFAULT_VHOST { "" } else { &self.vhost };
        Post {
            server_id: &self.server,
            action,
            id: format!("{:x}-{:x}", self.began, self.posts.fetch_add(1, Relaxed)),
            at: at.as_millis(),
            client_id: who.map_or_else(String::new, |(_, _, id)| format!("{id:x}")),
            ip: party.and_then(|party| party.address).as_ref().map_or_else(String::new, IpAddr::to_string),
            vhost: &self.vhost,
            app: &name.app,
            stream: &name.name,
            param: if fits { format!("?{params}") } else { String::new() },
            stream_url: format!("{host}/{name}"),
            stream_id: name.source().to_string(),
            door: party.map(|party| party.door),
            user: party.and_then(|party| party.user.as_deref()),
            client: party.map(|party| &*party.client).filter(|client| !client.is_empty()),
            more: More::default(),
        }
    }
}

/// What SRS calls a server without virtual hosts.
const DEFAULT_VHOST: &str = "__defaultVhost__";

fn written(post: &Post<'_>) -> Bytes {
    // A plain struct with text keys is always written.
    serde_json::to_vec(post).unwrap_or_default().into()
}
