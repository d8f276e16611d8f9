//! The chat beside a broadcast, and gifts.
//!
//! A text passes or is dropped at once, and its sender is told: nobody reads thousands a second. What passes is stamped
//! with the sender's name and with where the broadcast is, so that it can be shown over the right picture. Gifts are kept
//! in order, and the same gift sent again is the same.
//!
//! Read in this order: [`config`], `content` (what is said), `flow` (how much passes), and [`Live`]'s part here.

use std::sync::Arc;

use yizhan_hub::{Action, Answer, Content, Refused, link::Durability, link::Publish, service::Caller};
use yizhan_talk::Called;

pub mod config;
pub(crate) mod content;
pub(crate) mod flow;

use self::{
    config::{Chat, GiftsBy},
    content::{Given, Got, Heard, Said},
    flow::Weight,
};
use crate::{
    Name,
    broadcast::Broadcast,
    service::{
        Live, Wrong, is_stranger,
        rooms::{Kept, Room, silent},
    },
};

/// Who speaks, as far as it matters here.
struct Speaker<'a> {
    caller: &'a Caller,
    /// Whether they publish it, or run the server.
    role: Option<&'static str>,
    weight: Weight,
}

impl Speaker<'_> {
    fn user(&self) -> &Arc<str> {
        &self.caller.who.user
    }

    /// By what they are told from others in slow mode: all strangers share a name, so they are told by address.
    fn key(&self) -> String {
        match (self.weight, self.caller.peer) {
            (Weight::Guest, Some(peer)) => format!("@{}", crate::access::client(peer.address)),
            (Weight::Guest, None) => format!("#{}", self.caller.session),
            _ => self.user().to_string(),
        }
    }
}

impl Live {
    fn speaker<'a>(&self, caller: &'a Caller, name: &Name) -> Speaker<'a> {
        let role = if self.is_publisher(&caller.who, name) {
            Some("publisher")
        } else if self.inner.seams.gate.administers(&caller.who) {
            Some("admin")
        } else {
            None
        };
        let weight = match role {
            Some(_) => Weight::Leader,
            None if is_stranger(&caller.who.user) => Weight::Guest,
            None => Weight::Account,
        };
        Speaker { caller, role, weight }
    }

    /// Refuses whom the hub's rules do not let publish here.
    fn check_rules(&self, caller: &Caller, publish: &Publish) -> Result<(), Wrong> {
        if self.inner.seams.gate.may_write(&caller.who, &publish.topic) {
            return Ok(());
        }
        let name = publish.topic.as_str().into();
        Err(Wrong::Refused(Refused::NotAllowed { action: Action::Publish, name }))
    }

    /// Somebody says something.
    pub(crate) fn say(&self, caller: &Caller, name: &Name, publish: Publish) -> Called<Answer> {
        match self.said(caller, name, &publish) {
            Ok(body) => {
                let passed = Publish {
                    content: Content::Json,
                    id: publish.id,
                    expires_in: publish.expires_in,
                    qos: publish.qos,
                    ..Publish::new(publish.topic, body.into())
                };
                self.inner.hub.publish_as(caller.now, caller.sender(), passed)
            }
            Err(wrong) => Called::Done(wrong.into()),
        }
    }

    /// What everybody hears of it.
    fn said(&self, caller: &Caller, name: &Name, publish: &Publish) -> Result<Vec<u8>, Wrong> {
        let config = self.inner.config.load();
        let broadcast = self.seen(caller, name)?;
        self.check_rules(caller, publish)?;
        check_shape(publish, Durability::None)?;
        let said = Said::read(&publish.content, &publish.body, config.text_chars_max);
        let said = said.map_err(Wrong::BadContent)?;
        let speaker = self.speaker(caller, name);
        if speaker.weight == Weight::Guest && !config.guests {
            return Err(Wrong::NoAccount);
        }
        self.inner.rooms.speak(name, caller.now.steady, |room| may_speak(room, &speaker, &config))?;
        let dts = dts_of(&broadcast).unwrap_or(0);
        let heard = Heard {
            text: &said.text,
            color: said.color,
            mode: said.mode,
            at: said.at.map(|at| at.min(dts)),
            user: speaker.user(),
            role: speaker.role,
            dts,
        };
        // A plain struct with text keys: nothing of it cannot be written as JSON.
        Ok(serde_json::to_vec(&heard).unwrap_or_default())
    }

    /// Somebody gives something.
    pub(crate) fn give(&self, caller: &Caller, name: &Name, publish: Publish) -> Called<Answer> {
        match self.given(caller, name, &publish) {
            Ok((body, id)) => {
                let passed = Publish {
                    content: Content::Json,
                    id: publish.id.or(id),
                    wants: publish.wants,
                    qos: publish.qos,
                    ..Publish::new(publish.topic, body.into())
                };
                self.inner.hub.publish_as(caller.now, caller.sender(), passed)
            }
            Err(wrong) => Called::Done(wrong.into()),
        }
    }

    fn given(
        &self,
        caller: &Caller,
        name: &Name,
        publish: &Publish,
    ) -> Result<(Vec<u8>, Option<Arc<str>>), Wrong> {
        let config = self.inner.config.load();
        let admin = self.inner.seams.gate.administers(&caller.who);
        if !admin {
            if config.gifts == GiftsBy::Admins {
                return Err(Wrong::NotAllowed("gifts come from the server's admins: your back end".into()));
            }
            if is_stranger(&caller.who.user) {
                return Err(Wrong::NoAccount);
            }
            // An admin's may come late: the broadcast is over, and the payment went through.
            self.seen(caller, name)?;
            self.inner.rooms.look(name, |kept| check_ban(kept, caller))?;
        }
        self.check_rules(caller, publish)?;
        check_shape(publish, Durability::Disk)?;
        let given = Given::read(&publish.body, config.text_chars_max).map_err(Wrong::BadContent)?;
        if given.user.as_deref().is_some_and(|user| user != &*caller.who.user) && !admin {
            return Err(Wrong::NotAllowed("only admins give in somebody's name".into()));
        }
        let got = Got {
            gift: &given.gift,
            count: given.count,
            user: given.user.as_deref().unwrap_or(&caller.who.user),
            text: given.text.as_deref(),
            data: given.data.as_ref(),
            dts: self.inner.media.find(name).as_ref().and_then(dts_of),
        };
        // A plain struct with text keys, and what came out of JSON.
        Ok((serde_json::to_vec(&got).unwrap_or_default(), given.id.map(Into::into)))
    }
}

/// What a publish to here has not.
fn check_shape(publish: &Publish, most: Durability) -> Result<(), Wrong> {
    if publish.wants > most {
        return Err(Wrong::Refused(Refused::NotDurable { topic: publish.topic.clone() }));
    }
    if publish.key.is_some() {
        return Err(Wrong::BadContent("nothing is kept by a key here".into()));
    }
    if publish.delay.is_some_and(|delay| !delay.is_zero()) {
        return Err(Wrong::BadContent("nothing is said later here".into()));
    }
    Ok(())
}

fn check_ban(kept: &Kept, caller: &Caller) -> Result<(), Wrong> {
    match silent(&kept.banned, &caller.who.user, caller.now.wall) {
        Some(until) => Err(Wrong::Banned(until)),
        None => Ok(()),
    }
}

/// Whether a text passes; it is counted then.
fn may_speak(room: &mut Room, speaker: &Speaker<'_>, config: &Chat) -> Result<(), Wrong> {
    let now = speaker.caller.now;
    if speaker.weight == Weight::Leader {
        return room
            .flow
            .take(now.steady, config.messages_per_second, speaker.weight)
            .map_err(Wrong::TooFast);
    }
    check_ban(&room.kept, speaker.caller)?;
    if let Some(until) = silent(&room.kept.muted, speaker.user(), now.wall) {
        return Err(Wrong::Muted(until));
    }
    if room.kept.closed {
        return Err(Wrong::Muted(None));
    }
    let (key, slow) = (speaker.key(), room.slow(config.slow));
    if let Some(wait) = room.pace.waits(now.steady, &key, slow) {
        return Err(Wrong::Slow(wait));
    }
    room.flow.take(now.steady, config.messages_per_second, speaker.weight).map_err(Wrong::TooFast)?;
    room.pace.spoke(now.steady, &key, slow);
    Ok(())
}

/// Where a broadcast is, ms; `None` before its first frame.
fn dts_of(broadcast: &Broadcast) -> Option<u64> {
    u64::try_from(broadcast.newest_dts()? / 1000).ok()
}
