//! Plain text. HTML, SVG and scripts are text too: nobody's upload runs in another one's browser.

use super::Looked;
use crate::source::{Source, WINDOW_BYTES};

/// UTF-8 without control characters, as far as one look goes.
pub(super) fn look(source: &mut Source) -> Option<Looked> {
    let is_whole = source.bytes() <= WINDOW_BYTES as u64;
    let head = source.peek(0, WINDOW_BYTES);
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The window may end inside a character.
        Err(error) if !is_whole && error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let is_plain =
        |letter: char| !letter.is_control() || matches!(letter, '\t' | '\n' | '\r' | '\x0c' | '\x1b');
    (!text.is_empty() && text.chars().all(is_plain)).then(|| Looked::other("text/plain; charset=utf-8"))
}
