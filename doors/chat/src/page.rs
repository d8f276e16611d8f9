//! A page to read the document in a browser: no program of others, nothing from elsewhere.

use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
};
use yizhan_net::{Response, reply};

/// What the page may load, and what may load it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One file of the page.
pub(crate) struct File {
    /// Where it is served.
    pub(crate) path: &'static str,
    kind: &'static str,
    text: &'static str,
}

/// All files of the page.
pub(crate) const FILES: &[File] = &[
    File { path: "/im/v1/docs", kind: "text/html; charset=utf-8", text: include_str!("page/docs.html") },
    File {
        path: "/im/v1/docs/docs.js",
        kind: "text/javascript; charset=utf-8",
        text: include_str!("page/docs.js"),
    },
    File {
        path: "/im/v1/docs/docs.css",
        kind: "text/css; charset=utf-8",
        text: include_str!("page/docs.css"),
    },
];

impl File {
    /// As a response.
    pub(crate) fn shown(&self) -> Response {
        const HEADERS: [(HeaderName, &str); 4] = [
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (CACHE_CONTROL, "no-cache"),
            (CONTENT_SECURITY_POLICY, POLICY),
        ];
        let mut response = reply::bytes(StatusCode::OK, self.kind, self.text);
        for (name, value) in HEADERS {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
