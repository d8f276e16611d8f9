//! The watch page's files, which are part of the binary.
//!
//! Only names from the list are served, so that no path can lead elsewhere. A debug build reads the listed files from
//! the source folder, so that a changed page needs no build.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{
        ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH,
        REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};
use yizhan_media::Name;
use yizhan_net::{Request, Response, Route, Site, reply};

struct File {
    /// Its name below `/watch/~/`.
    name: &'static str,
    /// Its media type.
    kind: &'static str,
    /// Its `ETag`.
    tag: &'static str,
    /// Where it lies in the source.
    #[cfg_attr(not(debug_assertions), allow(dead_code))]
    path: &'static str,
    bytes: &'static [u8],
    /// The same, by gzip.
    packed: &'static [u8],
}

// The list `FILES`, in the order of names, made by build.rs.
include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// The page itself.
const INDEX: &str = "index.html";

/// Serves the page at `/watch/{app}/{name}`, and what it loads below `/watch/~/`: no app is called so.
pub(crate) fn open(site: &mut Site) {
    site.http(Route::get("/watch/{app}/{name}"), |request| {
        let response = match Name::of_any(request.param("app"), request.param("name")) {
            Ok(_) => answer(&request, INDEX),
            Err(error) => reply::error(StatusCode::NOT_FOUND, &error.to_string()),
        };
        Box::pin(std::future::ready(response))
    });
    site.http(Route::get("/watch/~/{*file}"), |request| {
        let response = answer(&request, request.param("file"));
        Box::pin(std::future::ready(response))
    });
}

/// Answers with a file.
fn answer(request: &Request, name: &str) -> Response {
    let Ok(at) = FILES.binary_search_by(|file| file.name.cmp(name)) else {
        return reply::error(StatusCode::NOT_FOUND, "the page has no such file");
    };
    let file = &FILES[at];
    let mut response = file.shown(
        request.header(IF_NONE_MATCH.as_str()).unwrap_or_default(),
        request.header(ACCEPT_ENCODING.as_str()).unwrap_or_default(),
    );
    protect(&mut response, request.host());
    response
}

impl File {
    /// As a response to somebody who knows these tags and takes these encodings.
    fn shown(&self, known: &str, takes: &str) -> Response {
        if let Some(fresh) = self.fresh() {
            return reply::bytes(StatusCode::OK, self.kind, fresh);
        }
        let mut response = if known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == self.tag) {
            reply::empty(StatusCode::NOT_MODIFIED)
        } else if takes_gzip(takes) {
            let mut response = reply::bytes(StatusCode::OK, self.kind, Bytes::from_static(self.packed));
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response
        } else {
            reply::bytes(StatusCode::OK, self.kind, Bytes::from_static(self.bytes))
        };
        let headers = response.headers_mut();
        headers.insert(ETAG, HeaderValue::from_static(self.tag));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        response
    }

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

/// Whether gzip is among these encodings (RFC 9110 §12.5.3).
fn takes_gzip(encodings: &str) -> bool {
    encodings.split(',').any(|each| {
        let mut parts = each.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
        named
            && !parts
                .any(|part| part.strip_prefix("q=").is_some_and(|q| q.trim_matches(['0', '.']).is_empty()))
    })
}

/// Headers that keep the page from loading what it should not. Others may show it in a frame: that is what players are for.
fn protect(response: &mut Response, host: Option<&str>) {
    const HEADERS: [(HeaderName, &str); 3] = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
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
        (1..=255).contains(&host.len())
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']'))
    };
    let sockets = host.filter(plain).map(|host| format!(" ws://{host} wss://{host}")).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'{sockets}; img-src 'self' data: blob:; \
         media-src 'self' blob:; worker-src 'self'; base-uri 'none'; form-action 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> &'static File {
        FILES.iter().find(|file| file.name == INDEX).unwrap()
    }

    #[test]
    fn the_page_is_there_and_nothing_else_is() {
        let names: Vec<_> = FILES.iter().map(|file| file.name).collect();
        assert!(names.is_sorted());
        assert!(names.contains(&INDEX) && names.contains(&"main.js"));
        assert!(!names.iter().any(|name| {
            name.contains("node_modules")
                || name.contains("..")
                || name.ends_with("json")
                || name.ends_with(".rs")
        }));
        for file in FILES {
            assert!(!file.bytes.is_empty() && file.tag.len() == 18, "{}", file.name);
        }
    }

    #[test]
    fn the_page_has_no_inline_script_or_style() {
        let text = std::str::from_utf8(index().bytes).unwrap();
        for tag in text.split("<script").skip(1) {
            assert!(tag.split('>').next().unwrap().contains("src="), "a script of its own: {tag}");
        }
        assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains(" onclick="));
    }

    #[test]
    fn the_page_loads_only_files_that_are_there() {
        let text = std::str::from_utf8(index().bytes).unwrap();
        for place in text.split("\"/watch/~/").skip(1) {
            let name = place.split('"').next().unwrap();
            assert!(FILES.iter().any(|file| file.name == name), "{name} is not there");
        }
    }

    #[test]
    fn a_known_tag_gets_no_body_and_gzip_only_who_takes_it() {
        let file = index();
        let status = |known: &str| file.shown(known, "").status();
        assert_eq!(status(file.tag), StatusCode::NOT_MODIFIED);
        assert_eq!(status(&format!("\"x\", W/{}", file.tag)), StatusCode::NOT_MODIFIED);
        assert_eq!(status("\"x\""), StatusCode::OK);
        for (takes, gzip) in [
            ("gzip, br", true),
            ("br, GZIP;q=0.5", true),
            ("*", true),
            ("", false),
            ("br", false),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
        ] {
            let response = file.shown("", takes);
            assert_eq!(response.headers().contains_key(CONTENT_ENCODING), gzip, "{takes}");
        }
    }

    #[test]
    fn a_strange_host_does_not_get_into_the_policy() {
        assert!(content_policy(Some("live.example.org:8080")).contains("wss://live.example.org:8080;"));
        for strange in ["*", "a b", "x;script-src *", "'unsafe-inline'", ""] {
            let policy = content_policy(Some(strange));
            assert!(!policy.contains("unsafe") && !policy.contains("ws://"), "{strange}");
        }
    }
}
