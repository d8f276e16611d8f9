//! The protocol over plain requests: who asks, and how refusals look.
//!
//! Read in this order: this file, [`plain`] (one request, one call), [`send`] (a frame of commands),
//! [`opening`] (a session for a stream), [`sse`], [`poll`].

mod opening;
pub(crate) mod plain;
pub(crate) mod poll;
pub(crate) mod send;
pub(crate) mod sse;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, StatusCode, header};
use yizhan_hub::{
    Answer, Call, Credentials, Hello, Link, Peer, Refused, SessionId,
    link::{Opened, Resume},
    live::Handle,
};
use yizhan_net::{Request, Response, reply};
use yizhan_talk::{Again, Backend as _, Called, Close, Now};

use crate::{
    door::Inner,
    wire::{Encoding, Wrong, event},
};

/// Whoever acts in a request.
pub(crate) enum Acting {
    /// Somebody with a session of this one request.
    Visitor(Box<Link>),
    /// A session that lives on.
    Session(Handle),
}

impl Acting {
    /// Starts a call.
    pub(crate) fn start(&mut self, now: Now, call: Call) -> Called<Answer> {
        match self {
            Self::Visitor(link) => link.call(now, call),
            Self::Session(handle) => handle.call(now, call),
        }
    }

    /// All calls of one step were started.
    pub(crate) fn flush(&mut self, now: Now) {
        match self {
            Self::Visitor(link) => link.flush(now),
            // A handle keeps nothing back.
            Self::Session(_) => {}
        }
    }

    /// One call and its answer.
    pub(crate) async fn ask(&mut self, now: Now, call: Call) -> Answer {
        let called = self.start(now, call);
        self.flush(now);
        called.wait().await
    }
}

impl Inner {
    /// Finds out who acts in a request.
    pub(crate) async fn acting(&self, request: &Request) -> Result<Acting, Refused> {
        if let Some((session, secret)) = session_of(request)? {
            return Ok(Acting::Session(self.attach(session, secret)?));
        }
        let hello = Hello { credentials: credentials(request)?, ..Hello::default() };
        let (link, _) = self.hello(peer(request, "http"), hello).await?;
        Ok(Acting::Visitor(Box::new(link)))
    }

    /// A way to act on a session that is there, as long as its credentials are good.
    pub(crate) fn attach(&self, session: SessionId, secret: &str) -> Result<Handle, Refused> {
        let handle = self.hub.attach(session, secret)?;
        match handle.principal().expires_at {
            Some(at) if at <= self.hub.now().wall => Err(Refused::TokenExpired),
            _ => Ok(handle),
        }
    }

    /// Opens a session over a link of its own.
    pub(crate) async fn hello(&self, peer: Peer, hello: Hello) -> Result<(Link, Opened), Refused> {
        let mut link = self.hub.link(peer);
        let now = self.hub.now();
        match link.call(now, Call::Hello(Box::new(hello))).wait().await {
            Answer::Opened(opened) => Ok((link, *opened)),
            Answer::Refused(refused) => Err(refused),
            answer => Err(unfit(&answer)),
        }
    }

    /// What a hello shows that goes on with a session: what the request shows, or where that is good only
    /// once or is nothing, what the session's secret stands for.
    pub(crate) async fn credentials_to_resume(
        &self,
        shown: Credentials,
        resume: &Resume,
    ) -> Result<Credentials, Refused> {
        if !matches!(shown, Credentials::None | Credentials::Ticket(_)) {
            return Ok(shown);
        }
        // A session that only its table knows cannot vouch: then what was shown has to do.
        let Ok(handle) = self.attach(resume.session, &resume.secret) else { return Ok(shown) };
        if &*handle.principal().user == ANONYMOUS {
            return Ok(Credentials::None);
        }
        let ticket = self.tickets.issue(self.hub.now(), handle.principal().clone()).await?;
        Ok(Credentials::Ticket(ticket.text.into()))
    }
}

/// The user that clients without credentials are.
const ANONYMOUS: &str = "anonymous";

/// An answer that does not fit its call: a fault of ours.
fn unfit(answer: &Answer) -> Refused {
    tracing::error!(?answer, "an answer does not fit its call");
    Refused::Store(yizhan_hub::StoreError::Failed("an answer does not fit its call".to_owned()))
}

/// Who asks, as the hub sees it.
pub(crate) fn peer(request: &Request, door: &'static str) -> Peer {
    peer_of(request.peer(), door)
}

/// Who is at the other end, as the hub sees it.
pub(crate) fn peer_of(peer: &yizhan_net::Peer, door: &'static str) -> Peer {
    Peer { address: peer.address.ip(), door, secure: peer.secure }
}

/// The session that `Authorization: Session id:secret` names.
pub(crate) fn session_of(request: &Request) -> Result<Option<(SessionId, &str)>, Refused> {
    let Some(text) = request.authorization("Session") else { return Ok(None) };
    let (id, secret) = text.split_once(':').ok_or(Refused::NoSession)?;
    Ok(Some((id.parse().map_err(|_| Refused::NoSession)?, secret)))
}

/// What a request shows to come in.
pub(crate) fn credentials(request: &Request) -> Result<Credentials, Refused> {
    if let Some(token) = request.authorization("Bearer") {
        return Ok(Credentials::Token(token.into()));
    }
    if let Some(text) = request.authorization("Basic") {
        // RFC 7617 §2: the user's name has no colon, the password may.
        let text = BASE64.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let (user, password) =
            text.as_deref().and_then(|text| text.split_once(':')).ok_or(Refused::NotAdmitted)?;
        return Ok(Credentials::Password { user: user.into(), password: password.into() });
    }
    Ok(Credentials::None)
}

/// A refusal as a response: the `error` event, its status, and when to come back.
pub(crate) fn refusal(wrong: impl Into<Wrong>) -> Response {
    let wrong = wrong.into();
    let status = reply::status_of(wrong.code());
    let mut response = json(status, |into| event::error(None, &wrong, into, Encoding::Json));
    let headers = response.headers_mut();
    if let Again::After(wait) = wrong.again() {
        // Whole seconds, rounded up (RFC 9110 §10.2.3).
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_millis().div_ceil(1000) as u64));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// A response with one event, or what else `write` writes.
pub(crate) fn json(status: StatusCode, write: impl FnOnce(&mut BytesMut)) -> Response {
    let mut body = BytesMut::new();
    write(&mut body);
    json_body(status, body.freeze())
}

/// A response that is JSON and that nobody keeps.
pub(crate) fn json_body(status: StatusCode, body: Bytes) -> Response {
    let mut response = reply::json(status, body);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Events as one array.
pub(crate) fn array<'p>(events: impl Iterator<Item = &'p [u8]>) -> Bytes {
    let mut into = BytesMut::new();
    into.put_u8(b'[');
    for (i, event) in events.enumerate() {
        if i > 0 {
            into.put_u8(b',');
        }
        into.put_slice(event);
    }
    into.put_u8(b']');
    into.freeze()
}

/// The status of a request whose frame ended like this.
pub(crate) fn status_of_close(close: &Close) -> StatusCode {
    if close.code == Close::TOO_BIG.code { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST }
}

impl From<Refused> for Wrong {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}
