//! What clients want said when they are gone: checked when they come, said when their time is over.

use std::sync::Arc;

use yizhan_talk::Now;

use crate::{
    access::{Action, Principal},
    hub::Inner,
    link::{LastMessage, Publish, Refused},
    message::{Sender, SessionId},
    publish::message_of,
    saved::Saved,
    session::LastWord,
    store::{Expect, StoreError},
};

impl Inner {
    /// Checks a message that is for later.
    pub(crate) fn last_word(
        &self,
        now: Now,
        who: &Principal,
        last: LastMessage,
    ) -> Result<LastWord, Refused> {
        let LastMessage { publish, delay } = last;
        let publish = self.check_last_message(who, publish)?;
        let sender = Sender { user: who.user.clone(), device: who.device.clone(), session: SessionId(0) };
        let later = publish.delay.filter(|later| !later.is_zero());
        Ok(LastWord { message: message_of(now, sender, publish), delay, later })
    }

    pub(crate) fn check_last_message(
        &self,
        principal: &Principal,
        will: Publish,
    ) -> Result<Publish, Refused> {
        self.check_shape(&will)?;
        if will.delay.is_some_and(|delay| delay > self.limits.delay_max) {
            return Err(Refused::DelayTooLong(self.limits.delay_max));
        }
        if !self.access.may(principal, Action::Publish, &will.topic) {
            return Err(Refused::NotAllowed { action: Action::Publish, name: will.topic.as_str().into() });
        }
        if self.finder.find(&will.topic).is_none() {
            return Err(Refused::NoSpace(will.topic));
        }
        Ok(will)
    }

    /// Says the last messages whose delay is over.
    pub(crate) fn say_due(self: &Arc<Self>, now: Now) {
        loop {
            let (due, id) = {
                let mut words = self.attendance.last_words.lock();
                match words.first() {
                    Some((due, _)) if *due <= now.steady => {
                        words.pop_first().unwrap_or((now.steady, SessionId(0)))
                    }
                    _ => break,
                }
            };
            let Some(session) = self.sessions.find(id) else { continue };
            let word = {
                let mut state = session.lock();
                let is_due = state.last_due == Some(due);
                if is_due {
                    state.last_due = None;
                }
                if is_due { state.last_message.take() } else { None }
            };
            if let Some(word) = word {
                self.say_word(*word);
                self.attendance.touch(&session);
                self.saver.wake();
            }
        }
        let due: Vec<SessionId> = {
            let behind = self.attendance.left_behind.lock();
            behind.iter().filter(|(_, (due, _))| *due <= now.steady).map(|(id, _)| *id).collect()
        };
        for id in due {
            self.say_left_behind(id);
        }
    }

    /// Says a last message, or keeps it for later where it is to wait then.
    pub(crate) fn say_word(self: &Arc<Self>, word: LastWord) {
        match word.later {
            Some(later) => self.say_later(word.message, later),
            None => self.say(word.message),
        }
    }

    /// Says the last message of a saved session that nobody came back to.
    pub(crate) fn say_left_behind(self: &Arc<Self>, id: SessionId) {
        let behind = self.attendance.left_behind.lock().remove(&id);
        if let Some((_, word)) = behind {
            self.say_word(word);
            self.attendance.said.lock().push(id);
            self.saver.wake();
        }
    }

    /// Writes down that last messages were said, so that the next start does not say them again.
    pub(crate) async fn write_said(&self) -> Result<(), StoreError> {
        let said = std::mem::take(&mut *self.attendance.said.lock());
        for id in said {
            let Some(saved) = self.read_saved(id).await?.filter(|_| self.sessions.find(id).is_none()) else {
                continue;
            };
            let silent = Saved { last_message: None, ..saved };
            self.saved.put(&id.0.to_be_bytes(), Some(silent.to_bytes()), Expect::Any).await?;
        }
        Ok(())
    }

    /// Whether there is something for [`write_said`](Self::write_said) to do.
    pub(crate) fn has_said(&self) -> bool {
        !self.attendance.said.lock().is_empty()
    }
}
