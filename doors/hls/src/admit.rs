//! Who asks: known by a session, or asked about.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode, header};
use yizhan_media::{Broadcast, Creds, Name, Party, Refused, Wish};
use yizhan_net::{Request, Response, reply};
use yizhan_talk::Now;

use crate::{
    door::{Inner, fleeting},
    respond::put,
    sessions::{Key, Known, TooMany},
};

/// The query parameter that a session's key is in, where it cannot be a cookie only.
const SESSION: &str = "session";
/// How long a browser keeps the cookie.
const COOKIE_SECONDS: u32 = 3600;
/// The shortest time that a viewer is remembered after a request.
const KEEP_MIN: Duration = Duration::from_secs(10);

/// Somebody who may.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) key: Key,
    /// The query parameters that came, without ours and those of HLS.
    params: Arc<str>,
    /// They had to show something: a token in the address, a bearer token.
    shown: bool,
    /// They did not bring this key as a cookie.
    set_cookie: bool,
}

/// Who asks, by what they send. `door`: what they watch by.
pub(crate) fn party(request: &Request, door: &'static str) -> Party {
    let client = request.header("user-agent").unwrap_or_default();
    let party = Party::by(door).with_client(client);
    Party { address: Some(request.peer().address.ip()), params: params(request).into(), ..party }
}

/// What somebody shows.
pub(crate) fn creds(request: &Request, party: &Party) -> Creds {
    Creds { params: party.params.clone(), bearer: request.authorization("Bearer").map(Into::into) }
}

/// The query as it was sent, without what is ours or HLS's.
fn params(request: &Request) -> String {
    let query = request.uri().query().unwrap_or_default();
    let kept = query.split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        !pair.is_empty() && name != SESSION && !name.starts_with("_HLS_")
    });
    kept.collect::<Vec<_>>().join("&")
}

/// The name that a path says. `..` and the like are no names.
pub(crate) fn name(request: &Request, name: &str) -> Result<Name, Response> {
    Name::of_any(request.param("app"), name).map_err(|_| crate::door::nothing())
}

/// What a refusal looks like.
pub(crate) fn refusal(refused: &Refused) -> Response {
    let status = StatusCode::from_u16(refused.status()).unwrap_or(StatusCode::FORBIDDEN);
    let mut response = reply::error(status, &refused.to_string());
    put(response.headers_mut(), header::CACHE_CONTROL, "no-store");
    response
}

/// How long somebody is remembered who has asked for a playlist with this target duration, seconds.
pub(crate) fn keep(target_duration: u64) -> Duration {
    Duration::from_secs(3 * target_duration).max(KEEP_MIN)
}

/// Lets in who has a session or may have one.
///
/// # Errors
/// The refusal.
pub(crate) async fn admit(
    inner: &Inner,
    request: &Request,
    name: &Name,
    door: &'static str,
) -> Result<Admitted, Response> {
    let now = inner.clock.now();
    let party = party(request, door);
    let creds = creds(request, &party);
    let in_address = request.query_value(SESSION).and_then(|key| Key::read(&key));
    let in_cookie = if inner.config.sessions { cookie(request, name) } else { None };
    let look = inner.sessions.look(name, &party, creds.bearer.as_deref());
    let keep = keep(inner.config.segment.as_secs());
    let admitted = |key, params, shown| Admitted { key, params, shown, set_cookie: in_cookie != Some(key) };
    match inner.sessions.known(now, name, in_address.or(in_cookie), look, keep) {
        Known::Yes(key) => {
            let shown = in_address.is_some() || has_shown(&creds);
            return Ok(admitted(key, party.params, shown));
        }
        Known::Kicked => {
            return Err(refusal(&Refused::Denied(
                "an operator has ended this: come back in a minute".into(),
            )));
        }
        Known::No => {}
    }
    let shown = has_shown(&creds);
    let id = inner.media.next_id();
    let mut wish = Wish { now, name: name.source(), party, creds, publishing: false, id };
    let pass = inner.media.may(wish.clone()).wait().await.map_err(|refused| refusal(&refused))?;
    wish.party.user = pass.user;
    let params = wish.party.params.clone();
    let key = inner.sessions.begin(now, wish, pass.until, look, keep);
    let key = key.map_err(|TooMany| {
        refusal(&Refused::TooMany("as many viewers as may be are here, or come from this address".into()))
    })?;
    Ok(admitted(key, params, shown))
}

fn has_shown(creds: &Creds) -> bool {
    !creds.params.is_empty() || creds.bearer.is_some()
}

impl Admitted {
    /// What addresses in a playlist of all renditions end with, so that who asks for them is known again.
    pub(crate) fn suffix(&self, inner: &Inner) -> String {
        if !self.shown {
            String::new()
        } else if inner.config.sessions {
            format!("?{SESSION}={}", self.key)
        } else {
            // Everybody with these parameters gets the same text, and a cache may keep it.
            format!("?{}", self.params)
        }
    }

    /// Sets the cookie, where that is wanted.
    pub(crate) fn remember(&self, inner: &Inner, request: &Request, name: &Name, headers: &mut HeaderMap) {
        if !inner.config.sessions || !self.set_cookie {
            return;
        }
        let source = name.source();
        let secure = if request.peer().secure { "; Secure" } else { "" };
        let cookie = format!(
            "{}={}; Path=/{}/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Lax{secure}",
            cookie_name(&source),
            self.key,
            source.app,
        );
        put(headers, header::SET_COOKIE, &cookie);
    }

    /// Counts them as a viewer of a broadcast, and of the source where that is a rung.
    ///
    /// # Errors
    /// There are as many viewers as may be.
    pub(crate) fn watch(
        &self,
        inner: &Inner,
        now: Now,
        broadcast: &Broadcast,
        target: u64,
    ) -> Result<(), Response> {
        if broadcast.has_ended() {
            return Ok(());
        }
        let name = broadcast.name();
        let source = name.rung_name().and_then(|_| inner.media.find(&name.source()));
        let both = source.iter().chain([broadcast]).collect::<Vec<_>>();
        inner.sessions.watch(now, self.key, &both, keep(target)).map_err(|refused| refusal(&refused))
    }
}

fn cookie_name(source: &Name) -> String {
    format!("yizhan_{}", source.name)
}

/// The key that a browser brings as a cookie (RFC 6265 §4.2).
pub(crate) fn cookie(request: &Request, name: &Name) -> Option<Key> {
    let wanted = cookie_name(&name.source());
    let all = request.headers().get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).and_then(|(_, value)| Key::read(value))
}

/// The broadcast of this name; waits where somebody fetches it.
///
/// # Errors
/// It is not on air.
pub(crate) async fn on_air(inner: &Inner, name: &Name) -> Result<Broadcast, Response> {
    let wanted = inner.media.wanted(inner.clock.now(), name).await;
    wanted.ok_or_else(|| fleeting(refusal(&Refused::NotOnAir)))
}
