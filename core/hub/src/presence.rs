//! What others hear of who is here.

use std::sync::Arc;

use bytes::Bytes;

use crate::{access::Principal, attend::ANONYMOUS, hub::Inner, message::Content, topic::Topic};

/// Devices that one presence message names.
const PRESENCE_DEVICES_MAX: usize = 16;
/// Sessions of one user up to which each coming and going is told at once; above it, once a second.
const PRESENCE_NOW_MAX: usize = 32;

impl Inner {
    /// Says as a keyed record whether a user is here; for one with very many sessions within a second.
    pub(crate) fn tell_presence(self: &Arc<Self>, who: &Arc<Principal>) {
        if &*who.user == ANONYMOUS {
            return;
        }
        if self.sessions.count_of_user(&who.user) > PRESENCE_NOW_MAX {
            self.attendance.crowds.lock().insert(who.user.clone(), who.clone());
            return;
        }
        self.tell_presence_now(who);
    }

    pub(crate) fn tell_presence_now(self: &Arc<Self>, who: &Principal) {
        let Ok(topic) = Topic::new(&format!("$presence/user/{}", who.user)) else { return };
        let sessions = self.sessions.of_user(&who.user);
        let mut since = None;
        let mut devices: Vec<Option<Arc<str>>> = Vec::new();
        for session in &sessions {
            let Some((_, at)) = session.lock().connection else { continue };
            since = Some(since.map_or(at, |s: yizhan_talk::Timestamp| s.min(at)));
            if devices.len() < PRESENCE_DEVICES_MAX && !devices.contains(&session.principal().device) {
                devices.push(session.principal().device.clone());
            }
        }
        let devices: Vec<String> = devices.into_iter().flatten().map(|d| quoted(&d)).collect();
        let body = format!(
            r#"{{"user":{},"online":{},"since":{},"devices":[{}]}}"#,
            quoted(&who.user),
            since.is_some(),
            since.unwrap_or_else(|| self.clock.now().wall).as_millis(),
            devices.join(",")
        );
        self.announce(topic, Some("presence".into()), Content::Json, Bytes::from(body));
    }
}

/// A JSON string (RFC 8259 §7).
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
