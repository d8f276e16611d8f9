//! Where something is to be published or watched: what clients put into the app and into the name, and addresses of
//! relays.

use std::sync::Arc;

use yizhan_media::{BadName, Name};

/// The port that RTMP has where an address names none.
const PORT: u16 = 1935;
/// The port that RTMPS has where an address names none.
const SECURE_PORT: u16 = 443;

/// A part of an address and the query behind it: `live?token=x`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// Before the `?`, without slashes at its ends.
    pub path: Arc<str>,
    /// Behind it; empty where there is none. May hold secrets: never logged.
    pub query: Arc<str>,
}

impl Part {
    /// Takes it apart.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        Self { path: path.trim_matches('/').into(), query: query.into() }
    }
}

/// What a client wants to publish or watch, and the query that it sent: that of the name, then that of the app.
/// Clients take `rtmp://host/live?token=x/name` and `rtmp://host/live/name?token=x` apart in their own ways.
///
/// # Errors
/// It cannot be the name of a broadcast.
pub fn wanted(
    app: &Part,
    name: &str,
    make: fn(&str, &str) -> Result<Name, BadName>,
) -> Result<(Name, Arc<str>), BadName> {
    let part = Part::new(name);
    let params = match (part.query.is_empty(), app.query.is_empty()) {
        (true, _) => app.query.clone(),
        (false, true) => part.query.clone(),
        (false, false) => format!("{}&{}", part.query, app.query).into(),
    };
    Ok((make(&app.path, &part.path)?, params))
}

/// An address of another server: `rtmp://host/app`, `rtmps://host:port/app/name?token=x`.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    /// Whether it begins with `rtmps`.
    pub secure: bool,
    /// `host:port`, the port always named.
    pub authority: String,
    /// The first part of the path, with its query where it has one.
    pub app: String,
    /// The rest of the path with its query; empty where there is none.
    pub name: String,
}

/// It is no address of an RTMP server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an address of an RTMP server is rtmp://HOST/APP or rtmp://HOST/APP/NAME, or the same with rtmps")]
pub struct BadUrl;

impl Url {
    /// Takes it apart.
    ///
    /// # Errors
    /// It is something else, or names no app.
    pub fn new(text: &str) -> Result<Self, BadUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(BadUrl)?;
        let secure = match scheme {
            "rtmp" => false,
            "rtmps" => true,
            _ => return Err(BadUrl),
        };
        let (host, path) = rest.split_once('/').ok_or(BadUrl)?;
        let (app, name) = path.split_once('/').unwrap_or((path, ""));
        let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || host.contains('@') || Part::new(app).path.is_empty() || !visible(text) {
            return Err(BadUrl);
        }
        // A port is what stands behind the last colon, unless that is within an address of IPv6.
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let port = if secure { SECURE_PORT } else { PORT };
        let authority = if has_port { host.to_owned() } else { format!("{host}:{port}") };
        Ok(Self { secure, authority, app: app.to_owned(), name: name.to_owned() })
    }

    /// What `connect` says of where it goes: everything up to the app (RTMP 1.0 §7.2.1.1).
    #[must_use]
    pub fn tc_url(&self) -> String {
        let scheme = if self.secure { "rtmps" } else { "rtmp" };
        format!("{scheme}://{}/{}", self.authority, self.app)
    }

    /// The stream's name there, for a broadcast that is called so here: the address's own where it has one (without
    /// its query, if that is all it has), this one otherwise.
    #[must_use]
    pub fn stream(&self, name: &str) -> String {
        match self.name.strip_prefix('?') {
            Some(query) => format!("{name}?{query}"),
            None if self.name.is_empty() => name.to_owned(),
            None => self.name.clone(),
        }
    }
}

/// Without its queries, which may hold secrets.
impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Without its queries, which may hold secrets.
impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.secure { "rtmps" } else { "rtmp" };
        write!(f, "{scheme}://{}/{}", self.authority, Part::new(&self.app).path)?;
        let name = Part::new(&self.name).path;
        if name.is_empty() { Ok(()) } else { write!(f, "/{name}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(app: &str, name: &str) -> Result<(String, String), BadName> {
        let (name, params) = wanted(&Part::new(app), name, Name::of_any)?;
        Ok((name.to_string(), params.to_string()))
    }

    #[test]
    fn tokens_stand_behind_the_app_or_the_name() {
        let expect = |name: &str, params: &str| Ok((name.to_owned(), params.to_owned()));
        assert_eq!(told("live", "room"), expect("live/room", ""));
        assert_eq!(told("live/", "/room?token=a/b"), expect("live/room", "token=a/b"));
        assert_eq!(told("live?token=x", "room~720p"), expect("live/room~720p", "token=x"));
        assert_eq!(told("live?a=1", "room?b=2"), expect("live/room", "b=2&a=1"));
        for (app, name) in
            [("", "room"), ("live", ""), ("live", "?x"), ("live/sub", "room"), ("live", "a/../b")]
        {
            assert_eq!(told(app, name), Err(BadName), "{app} {name}");
        }
    }

    #[test]
    fn addresses_are_taken_apart() {
        let url = Url::new("rtmp://other.example/live").unwrap();
        assert_eq!(
            (url.authority.as_str(), url.tc_url().as_str()),
            ("other.example:1935", "rtmp://other.example:1935/live")
        );
        assert_eq!(url.stream("room"), "room");
        let url = Url::new("rtmps://[::1]/app?k=1/name?token=2").unwrap();
        assert_eq!((url.authority.as_str(), url.app.as_str()), ("[::1]:443", "app?k=1"));
        assert_eq!(
            (url.stream("room"), url.to_string()),
            ("name?token=2".into(), "rtmps://[::1]:443/app/name".into())
        );
        let url = Url::new("rtmp://10.0.0.1:19350/live/?token=2").unwrap();
        assert_eq!((url.authority.as_str(), url.stream("room").as_str()), ("10.0.0.1:19350", "room?token=2"));
        for bad in [
            "",
            "http://a/b",
            "rtmp://",
            "rtmp://host",
            "rtmp://host/",
            "rtmp:///live",
            "rtmp://u@h/live",
            "rtmp://h/li ve",
        ] {
            assert_eq!(Url::new(bad), Err(BadUrl), "{bad}");
        }
    }
}
