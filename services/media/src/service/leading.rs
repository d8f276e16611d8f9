//! What those do who lead a broadcast: its publisher, and the server's owners and admins.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yizhan_hub::service::Caller;

use super::{
    Live,
    denied::Wrong,
    op::{Audience, Done, Op, op},
    rooms::{FOREVER, SILENT_MAX},
};
use crate::{Name, broadcast::Broadcast};

/// Characters of a title.
const TITLE_CHARS_MAX: usize = 200;
/// Bytes of a user's name.
const USER_BYTES_MAX: usize = 128;
/// Characters of a reason.
const REASON_CHARS_MAX: usize = 200;
/// The longest pause of slow mode, seconds.
const SLOW_S_MAX: u32 = 3_600;
/// The longest time for which a name is blocked after a kick, seconds.
const BLOCK_S_MAX: u64 = 366 * 86_400;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Title {
    /// The app.
    app: String,
    /// The broadcast.
    name: String,
    /// What it is called, at most 200 characters; empty takes the title away. It stays for the next time.
    title: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Kick {
    /// The app.
    app: String,
    /// The broadcast.
    name: String,
    /// Which viewer, by its `id`; left out, the publisher.
    #[serde(default)]
    viewer: Option<u64>,
    /// Why, as they and the log are told.
    #[serde(default)]
    reason: Option<String>,
    /// For admins, with the publisher: for how many seconds nobody may publish under this name. Programs like OBS come
    /// back at once.
    #[serde(default)]
    block_s: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Silence {
    /// The app.
    app: String,
    /// The broadcast.
    name: String,
    /// Whom: as their texts say.
    user: String,
    /// For how many seconds; left out, for good.
    #[serde(default)]
    seconds: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Free {
    /// The app.
    app: String,
    /// The broadcast.
    name: String,
    /// Whom.
    user: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rules {
    /// The app.
    app: String,
    /// The broadcast.
    name: String,
    /// Seconds between two texts of one person, at most 3,600; left out, it stays.
    #[serde(default)]
    slow_s: Option<u32>,
    /// Whether only leaders write; left out, it stays.
    #[serde(default)]
    closed: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Record {
    /// The app.
    app: String,
    /// The broadcast.
    name: String,
    /// Whether it is to be recorded.
    on: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Recorded {
    /// Whether it is being recorded now.
    recording: bool,
}

pub(crate) fn operations() -> Vec<Op> {
    use Audience::Leaders;
    vec![
        op("title", Leaders, "Names a broadcast.", |live: Live, caller: Caller, input: Title| async move {
            live.name_it(caller, input).await
        }),
        op(
            "kick",
            Leaders,
            "Ends a broadcast, or sends one viewer away.",
            |live: Live, caller: Caller, input: Kick| async move { live.kick(&caller, &input) },
        ),
        op(
            "mute",
            Leaders,
            "Somebody may not write in a broadcast's chat for a while.",
            |live: Live, caller: Caller, input: Silence| async move { live.silence(caller, input, false).await },
        ),
        op(
            "unmute",
            Leaders,
            "Somebody may write again.",
            |live: Live, caller: Caller, input: Free| async move { live.free(caller, input, false).await },
        ),
        op(
            "ban",
            Leaders,
            "Somebody may neither write nor give in a broadcast.",
            |live: Live, caller: Caller, input: Silence| async move { live.silence(caller, input, true).await },
        ),
        op(
            "unban",
            Leaders,
            "Ends a ban from a broadcast's chat.",
            |live: Live, caller: Caller, input: Free| async move { live.free(caller, input, true).await },
        ),
        op(
            "chat",
            Leaders,
            "The rules of a broadcast's chat: slow mode, closed or open.",
            |live: Live, caller: Caller, input: Rules| async move { live.rule(caller, input).await },
        ),
        op(
            "record",
            Leaders,
            "Begins to record a broadcast, or ends to.",
            |live: Live, caller: Caller, input: Record| async move { live.record(caller, input).await },
        ),
    ]
}

fn user(name: &str) -> Result<&str, Wrong> {
    if (1..=USER_BYTES_MAX).contains(&name.len()) { Ok(name) } else { Err(Wrong::NoSuch("user")) }
}

impl Live {
    fn led(&self, caller: &Caller, app: &str, name: &str) -> Result<Name, Wrong> {
        let name = Name::new(app, name)?;
        if self.leads(&caller.who, &name) {
            return Ok(name);
        }
        Err(Wrong::NotAllowed(
            "only the publisher's account and admins may do this, while it is on air".into(),
        ))
    }

    fn led_on_air(&self, caller: &Caller, app: &str, name: &str) -> Result<Broadcast, Wrong> {
        let name = self.led(caller, app, name)?;
        self.inner.media.find(&name).ok_or(Wrong::NotOnAir)
    }

    async fn name_it(&self, caller: Caller, input: Title) -> Result<Done, Wrong> {
        let name = self.led(&caller, &input.app, &input.name)?;
        let title = input.title.trim();
        if title.chars().count() > TITLE_CHARS_MAX || title.chars().any(char::is_control) {
            return Err(Wrong::BadInput("a title is one line of at most 200 characters".into()));
        }
        let title = Some(title.to_owned()).filter(|title| !title.is_empty());
        let kept = title.clone();
        self.inner
            .rooms
            .change(&name, caller.now.wall, |room| {
                room.title = kept;
                Ok(())
            })
            .await?;
        if let Some(broadcast) = self.inner.media.find(&name) {
            broadcast.set_title(title.map(Into::into));
        }
        self.announce(&name);
        Ok(Done {})
    }

    fn kick(&self, caller: &Caller, input: &Kick) -> Result<Done, Wrong> {
        let broadcast = self.led_on_air(caller, &input.app, &input.name)?;
        let reason = input.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
        let reason: String =
            reason.unwrap_or("an operator ended it").chars().take(REASON_CHARS_MAX).collect();
        if let Some(viewer) = input.viewer {
            let all = self.inner.media.rungs(broadcast.name());
            let kicked = all.iter().any(|of| of.kick_viewer(viewer, &reason));
            return if kicked { Ok(Done {}) } else { Err(Wrong::NoSuch("viewer")) };
        }
        if input.block_s > 0 {
            if !self.inner.seams.gate.administers(&caller.who) {
                return Err(Wrong::NotAllowed("only admins block a name".into()));
            }
            let wait = Duration::from_secs(input.block_s.min(BLOCK_S_MAX));
            if !self.inner.seams.gate.block(caller.now, broadcast.name(), wait) {
                return Err(Wrong::Failed("too many names are blocked".into()));
            }
        }
        tracing::info!(broadcast = %broadcast.name(), by = %caller.who.user, reason, "a broadcast is ended");
        self.inner.media.stop(caller.now, &broadcast, &reason);
        Ok(Done {})
    }

    async fn silence(&self, caller: Caller, input: Silence, ban: bool) -> Result<Done, Wrong> {
        let name = self.led(&caller, &input.app, &input.name)?;
        let who = user(&input.user)?.to_owned();
        if *who == *caller.who.user {
            return Err(Wrong::NotAllowed("nobody does this to themselves".into()));
        }
        let now = caller.now.wall.as_millis();
        let until = input.seconds.map_or(FOREVER, |s| now.saturating_add(s.saturating_mul(1000)));
        self.change_silent(&caller, &name, ban, |all| {
            if all.len() >= SILENT_MAX && !all.contains_key(&who) {
                return Err(Wrong::TooMany { what: "people without a voice", max: SILENT_MAX });
            }
            all.insert(who, until);
            Ok(())
        })
        .await
    }

    async fn free(&self, caller: Caller, input: Free, ban: bool) -> Result<Done, Wrong> {
        let name = self.led(&caller, &input.app, &input.name)?;
        let who = user(&input.user)?.to_owned();
        self.change_silent(&caller, &name, ban, |all| {
            all.remove(&who).map(drop).ok_or(Wrong::NoSuch(if ban { "ban" } else { "mute" }))
        })
        .await
    }

    async fn change_silent(
        &self,
        caller: &Caller,
        name: &Name,
        ban: bool,
        change: impl FnOnce(&mut BTreeMap<String, u64>) -> Result<(), Wrong>,
    ) -> Result<Done, Wrong> {
        let rooms = &self.inner.rooms;
        rooms
            .change(name, caller.now.wall, |room| {
                change(if ban { &mut room.banned } else { &mut room.muted })
            })
            .await?;
        Ok(Done {})
    }

    async fn rule(&self, caller: Caller, input: Rules) -> Result<Done, Wrong> {
        let name = self.led(&caller, &input.app, &input.name)?;
        if input.slow_s.is_some_and(|slow| slow > SLOW_S_MAX) {
            return Err(Wrong::BadInput("slow_s is at most 3,600".into()));
        }
        self.inner
            .rooms
            .change(&name, caller.now.wall, |room| {
                room.slow_s = input.slow_s.or(room.slow_s);
                room.closed = input.closed.unwrap_or(room.closed);
                Ok(())
            })
            .await?;
        Ok(Done {})
    }

    async fn record(&self, caller: Caller, input: Record) -> Result<Recorded, Wrong> {
        let broadcast = self.led_on_air(&caller, &input.app, &input.name)?;
        let Some(recorder) = self.inner.seams.recorder.clone() else {
            return Err(Wrong::NotSet("nothing is recorded here: see live.record in the config"));
        };
        let name = broadcast.name().clone();
        recorder.set(broadcast, input.on).await.map_err(Wrong::Failed)?;
        Ok(Recorded { recording: recorder.is_on(&name) })
    }
}
