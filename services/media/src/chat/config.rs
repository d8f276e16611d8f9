//! What an operator may set of the chat beside a broadcast: `[live.chat]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use yizhan_talk::span;

/// Characters of a text at most, whatever the config says.
const CHARS_MAX: usize = 4_000;

/// What people say beside a broadcast (`live/APP/NAME/chat`), and gifts (`live/APP/NAME/gifts`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Chat {
    /// Whether people without an account may write, where `identity.anonymous` and the rules let them publish at all.
    pub guests: bool,
    /// Characters of one text; a longer one is refused.
    pub text_chars_max: usize,
    /// How long one person waits between two texts, in a broadcast that says nothing else. 0 is no wait.
    #[serde(with = "span")]
    pub slow: Duration,
    /// Texts that pass in one broadcast in a second, after a burst of two seconds' worth. What is over is dropped and its
    /// sender is told: first those without an account, last the publisher and admins.
    pub messages_per_second: u32,
    /// Who may give gifts.
    pub gifts: GiftsBy,
}

/// Who may give gifts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GiftsBy {
    /// the server's owners and admins: your own back end, once it was paid
    Admins,
    /// every account
    Users,
}

impl Default for Chat {
    fn default() -> Self {
        Self {
            guests: true,
            text_chars_max: 200,
            slow: Duration::ZERO,
            messages_per_second: 50,
            gifts: GiftsBy::Admins,
        }
    }
}

impl Chat {
    /// Says what makes no sense.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=CHARS_MAX).contains(&self.text_chars_max) {
            return Err(format!("live.chat.text_chars_max: 1 to {CHARS_MAX}"));
        }
        if self.messages_per_second == 0 {
            return Err("live.chat.messages_per_second: at least 1".into());
        }
        Ok(())
    }
}
