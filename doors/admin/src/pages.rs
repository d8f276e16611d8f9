//! The console's files and the SDK, which are part of the binary.
//!
//! Only names from the list are served, so that no path can lead elsewhere. A debug build reads the
//! listed files from the source folder, so that a changed page needs no build.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH,
        REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    },
};
use yizhan_net::{Request, Response, reply};

struct File {
    /// Where it is served, without the first slash.
    name: &'static str,
    /// Its media type.
    kind: &'static str,
    /// Its `ETag`.
    tag: &'static str,
    /// Where it lies in the source.
    #[cfg_attr(not(debug_assertions), allow(dead_code))]
    path: &'static str,
    bytes: &'static [u8],
}

// The list `FILES`, in the order of names, made by build.rs.
include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The page at `/`.
pub(crate) const INDEX: &str = "console/index.html";

/// Answers with a file.
pub(crate) fn page(request: &Request, name: &str) -> Response {
    let Ok(at) = FILES.binary_search_by(|file| file.name.cmp(name)) else {
        return reply::error(StatusCode::NOT_FOUND, "there is no such page");
    };
    let file = &FILES[at];
    let known = request.header(IF_NONE_MATCH.as_str()).unwrap_or_default();
    let fresh = file.fresh();
    let mut response = if fresh.is_none() && known.split(',').any(|tag| tag.trim() == file.tag) {
        reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        let tagged = fresh.is_none();
        let mut response =
            reply::bytes(StatusCode::OK, file.kind, fresh.unwrap_or_else(|| Bytes::from_static(file.bytes)));
        if tagged {
            response.headers_mut().insert(ETAG, HeaderValue::from_static(file.tag));
        }
        response
    };
    protect(&mut response, request.host());
    // The SDK is for pages of others, too.
    if file.name.starts_with("sdk/") {
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    response
}

impl File {
    /// What the file holds now, where that differs from what was built in.
    #[cfg(debug_assertions)]
    fn fresh(&self) -> Option<Bytes> {
        std::fs::read(self.path).ok().filter(|bytes| bytes != self.bytes).map(Bytes::from)
    }

    #[cfg(not(debug_assertions))]
    fn fresh(&self) -> Option<Bytes> {
        None
    }
}

/// Headers that keep a page from loading and being loaded where it should not.
fn protect(response: &mut Response, host: Option<&str>) {
    const HEADERS: [(HeaderName, &str); 5] = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (http::header::X_FRAME_OPTIONS, "DENY"),
        // Asked again each time, answered with 304: an upgrade shows at once.
        (CACHE_CONTROL, "no-cache"),
    ];
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(&content_policy(host)) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
}

/// The content security policy. Some browsers do not take `'self'` for WebSockets, so the host is named.
fn content_policy(host: Option<&str>) -> String {
    let plain = |host: &&str| {
        host.len() <= 255
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']'))
    };
    let sockets = host.filter(plain).map(|host| format!(" ws://{host} wss://{host}")).unwrap_or_default();
    format!(
        "default-src 'self'; connect-src 'self'{sockets}; img-src 'self' data: blob:; media-src 'self' blob:; object-src 'none'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_is_there_and_nothing_else_is() {
        let names: Vec<_> = FILES.iter().map(|file| file.name).collect();
        assert!(names.is_sorted());
        assert!(
            names.contains(&INDEX) && names.contains(&"console/main.js") && names.contains(&"sdk/yizhan.js")
        );
        assert!(
            !names
                .iter()
                .any(|name| name.contains("node_modules") || name.contains("..") || name.ends_with("json"))
        );
        for file in FILES {
            assert!(!file.bytes.is_empty() && file.tag.len() == 18, "{}", file.name);
        }
    }

    #[test]
    fn the_page_has_no_inline_script_or_style() {
        let index = FILES.iter().find(|file| file.name == INDEX).unwrap();
        let text = std::str::from_utf8(index.bytes).unwrap();
        for tag in text.split("<script").skip(1) {
            assert!(tag.split('>').next().unwrap().contains("src="), "a script of its own: {tag}");
        }
        assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains(" onclick="));
    }

    #[test]
    fn a_strange_host_does_not_get_into_the_policy() {
        assert!(content_policy(Some("chat.example.org:8080")).contains("ws://chat.example.org:8080 wss://"));
        for strange in ["*", "a b", "x;script-src *", "'unsafe-inline'", ""] {
            let policy = content_policy(Some(strange));
            assert!(
                !policy.contains("script-src") && !policy.contains("unsafe") && !policy.contains("ws://*"),
                "{strange}"
            );
        }
    }
}
