//! Entries for fuzzing: everything here that reads bytes of strangers before a door does.

use crate::{
    path::{self, Found, Paths},
    proxy::{self, Parsed},
};

pub use crate::websocket::{fuzz_frames as frames, fuzz_offer as offer};

/// Reads `data` as what a balancer sends first.
pub fn proxy_header(data: &[u8]) {
    if let Parsed::Header { len, .. } = proxy::parse(data) {
        assert!(len <= data.len(), "a header is not longer than what was read");
    }
}

/// Reads `data` as the path and query of a request.
pub fn path(data: &str) {
    let (path, query) = data.split_once('?').unwrap_or((data, ""));
    let mut paths = Paths::new();
    for route in ["/", "/a/{one}/b", "/a/{*rest}"] {
        paths.add(&http::Method::GET, route, ()).expect("these routes are not at odds");
    }
    if let Found::Here(_, params) = paths.find(path) {
        assert!(params.len() <= 1, "no route has more parameters");
    }
    path::query(query).for_each(drop);
}
