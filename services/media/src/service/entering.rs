//! Tokens: made by admins, shown by those who have one.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use yizhan_hub::service::Caller;

use super::{
    Live,
    denied::Wrong,
    is_stranger,
    op::{Audience, Op, op},
};
use crate::{
    Name,
    access::token::{Doing, Grant},
};

/// Accounts that are remembered with a token of theirs, all broadcasts together.
const ENTERED_MAX: usize = 100_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Make {
    /// The app.
    app: String,
    /// The broadcast; left out, every broadcast of the app.
    #[serde(default)]
    name: Option<String>,
    /// What it lets do.
    action: Deed,
    /// For how many seconds; left out, as `live.tokens.valid_for` says.
    #[serde(default)]
    valid_s: Option<u64>,
    /// Whose it is: doors and webhooks show the name.
    #[serde(default)]
    user: Option<String>,
    /// The only address that it is good for.
    #[serde(default)]
    address: Option<String>,
    /// Whether it is good for one time only.
    #[serde(default)]
    once: bool,
}

/// What a token lets do.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Deed {
    /// Watch.
    Play,
    /// Publish.
    Publish,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Made {
    /// The token: `?token=…` behind an address.
    token: String,
    /// When it expires, milliseconds since 1970.
    until: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Enter {
    /// The app.
    app: String,
    /// The broadcast.
    name: String,
    /// A token made for watching it.
    token: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Entered {
    /// Until when the caller may hear its chat, milliseconds since 1970.
    until: u64,
}

pub(crate) fn operations() -> Vec<Op> {
    vec![
        op(
            "token",
            Audience::Admins,
            "Makes a token that lets somebody watch or publish for a while.",
            |live: Live, _caller: Caller, input: Make| async move { live.make_token(&input) },
        ),
        op(
            "enter",
            Audience::Everybody,
            "Shows a token made for watching, so that this account may hear the broadcast's state and chat.",
            |live: Live, caller: Caller, input: Enter| async move { live.enter(&caller, &input) },
        ),
    ]
}

impl Live {
    fn make_token(&self, input: &Make) -> Result<Made, Wrong> {
        let gate = &self.inner.seams.gate;
        let tokens = gate.tokens();
        let valid = input.valid_s.map_or(tokens.valid_for, std::time::Duration::from_secs);
        if valid.is_zero() || valid > tokens.valid_max {
            return Err(Wrong::BadInput(
                format!("valid_s is 1 to {} (live.tokens.valid_max)", tokens.valid_max.as_secs()).into(),
            ));
        }
        let address = input.address.as_deref().map(str::parse::<IpAddr>).transpose();
        let doing = match input.action {
            Deed::Play => Doing::Play,
            Deed::Publish => Doing::Publish,
        };
        let grant = Grant {
            user: input.user.clone(),
            address: address.map_err(|_| Wrong::BadInput("address is an IP address".into()))?,
            once: input.once.then(|| format!("{:032x}", (self.inner.seams.random)())),
            wide: input.name.is_none(),
            ..Grant::new(doing, self.inner.hub.now().wall.plus(valid))
        };
        grant.check().map_err(|wrong| Wrong::BadInput(wrong.into()))?;
        // Of a token for the whole app any name will do.
        let name = Name::new(&input.app, input.name.as_deref().unwrap_or("any"))?;
        let token =
            gate.sign(&name, &grant).ok_or(Wrong::NotSet("there is no secret: set live.tokens.secret"))?;
        Ok(Made { token, until: grant.until.saturating_mul(1000) })
    }

    fn enter(&self, caller: &Caller, input: &Enter) -> Result<Entered, Wrong> {
        let (name, inner) = (Name::new(&input.app, &input.name)?, &self.inner);
        // Others would come in by the same name.
        if is_stranger(&caller.who.user) {
            return Err(Wrong::NoAccount);
        }
        let address = caller.peer.map(|peer| peer.address);
        let until = inner.seams.gate.enter(caller.now, &name, &input.token, address)?;
        let mut entered = inner.entered.lock();
        if entered.len() >= ENTERED_MAX {
            entered.retain(|_, until| *until > caller.now.wall);
        }
        if entered.len() >= ENTERED_MAX {
            return Err(Wrong::TooMany { what: "people with tokens", max: ENTERED_MAX });
        }
        entered.insert((caller.who.user.clone(), name), until);
        Ok(Entered { until: until.as_millis() })
    }
}
