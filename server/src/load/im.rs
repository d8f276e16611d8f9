//! Instant messaging under load: pairs with receipts, a large group, people who come back, search.
//!
//! Clients are guests of a server that lets them in (`--dev`). They do what the SDK does: attach, follow their stream,
//! and say what they have and have read, one question under way at a time.

mod group;
mod login;
mod pairs;
mod search;
mod talk;

pub(crate) use group::{OfGroup, measure as measure_group};
pub(crate) use login::{Login, measure as measure_login};
pub(crate) use pairs::{Pairs, measure as measure_pairs};
pub(crate) use search::{Search, measure as measure_search};

/// A guest's hello.
fn hello(user: &str) -> Vec<u8> {
    let hello = serde_json::json!({
        "type": "hello", "id": 1, "user": user, "password": "", "client": "yizhan-bench",
    });
    hello.to_string().into_bytes()
}

/// What follows a hello: this is a device of chats, and wants its stream.
fn attach(user: &str) -> [Vec<u8>; 2] {
    let attach = serde_json::json!({
        "type": "ask", "id": 2, "to": "im/attach", "data": {"platform": "other", "device": "bench"},
    });
    let subscribe = serde_json::json!({"type": "subscribe", "id": 3, "sub": 1, "filter": format!("im/u/{}", account(user))});
    [attach.to_string().into_bytes(), subscribe.to_string().into_bytes()]
}

/// The name under which the server knows a guest.
fn account(user: &str) -> String {
    format!("guest:{user}")
}

/// A refusal, as the run gives it up.
fn refusal(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(&payload[..payload.len().min(300)]).into_owned();
    format!("the server refused: {text}")
}

/// Whether a frame has these words.
fn has(payload: &[u8], words: &str) -> bool {
    memchr::memmem::find(payload, words.as_bytes()).is_some()
}
