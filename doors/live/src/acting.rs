//! Who asks, by what a request shows. The same as at the other HTTP routes.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use yizhan_hub::{
    Answer, Call, Credentials, Hello, Hub, Link, Peer, Refused, SessionId, StoreError, live::Handle,
    service::Ask,
};
use yizhan_net::Request;
use yizhan_talk::{Backend as _, Now};

/// Whoever acts in a request.
pub(crate) enum Acting {
    /// Somebody with a session of this one request.
    Visitor(Box<Link>),
    /// A session that lives on.
    Session(Handle),
}

impl Acting {
    /// Finds out who acts in a request.
    ///
    /// # Errors
    /// The credentials, or the session, are not good.
    pub(crate) async fn of(hub: &Hub, request: &Request) -> Result<Self, Refused> {
        if let Some((session, secret)) = session_of(request)? {
            let handle = hub.attach(session, secret)?;
            return match handle.principal().expires_at {
                Some(at) if at <= hub.now().wall => Err(Refused::TokenExpired),
                _ => Ok(Self::Session(handle)),
            };
        }
        let hello = Hello { credentials: credentials(request)?, ..Hello::default() };
        let peer = request.peer();
        let peer = Peer { address: peer.address.ip(), door: "http", secure: peer.secure };
        let mut link = hub.link(peer);
        match link.call(hub.now(), Call::Hello(Box::new(hello))).wait().await {
            Answer::Opened(_) => Ok(Self::Visitor(Box::new(link))),
            Answer::Refused(refused) => Err(refused),
            answer => Err(unfit(&answer)),
        }
    }

    /// Asks a service.
    ///
    /// # Errors
    /// It said no.
    pub(crate) async fn ask(&mut self, now: Now, ask: Ask) -> Result<Bytes, Refused> {
        let called = match self {
            Self::Visitor(link) => {
                let called = link.call(now, Call::Ask(ask));
                link.flush(now);
                called
            }
            Self::Session(handle) => handle.call(now, Call::Ask(ask)),
        };
        match called.wait().await {
            Answer::Told(told) => Ok(told),
            Answer::Refused(refused) => Err(refused),
            answer => Err(unfit(&answer)),
        }
    }
}

/// An answer that does not fit its call: a fault of ours.
fn unfit(answer: &Answer) -> Refused {
    tracing::error!(?answer, "an answer does not fit its call");
    Refused::Store(StoreError::Failed("an answer does not fit its call".to_owned()))
}

/// The session that `Authorization: Session id:secret` names.
fn session_of(request: &Request) -> Result<Option<(SessionId, &str)>, Refused> {
    let Some(text) = request.authorization("Session") else { return Ok(None) };
    let (id, secret) = text.split_once(':').ok_or(Refused::NoSession)?;
    Ok(Some((id.parse().map_err(|_| Refused::NoSession)?, secret)))
}

/// What a request shows to come in.
fn credentials(request: &Request) -> Result<Credentials, Refused> {
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
