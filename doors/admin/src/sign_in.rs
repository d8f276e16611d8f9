//! Signing in and out, and who one is.

use serde::Deserialize;
use yizhan_identity::{Actor, LinkLogin, Secret};

use crate::{
    api::Api,
    ask::{Answered, Ask, Reply},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    user: String,
    password: Secret<String>,
    device: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    old: Option<Secret<String>>,
    new: Secret<String>,
}

impl Api {
    pub(crate) async fn login(&self, ask: &Ask) -> Answered {
        let login: Login = ask.read()?;
        let (password, device) = (login.password.reveal(), login.device.as_deref());
        Reply::ok(&self.identity.login(ask.now, ask.peer, &login.user, password, device).await?)
    }

    pub(crate) async fn login_link(&self, ask: &Ask) -> Answered {
        let login: LinkLogin = ask.read()?;
        Reply::ok(&self.identity.login_link(ask.now, ask.peer, &login).await?)
    }

    pub(crate) async fn logout(&self, actor: Actor<'_>) -> Answered {
        self.identity.logout(actor).await?;
        Reply::empty()
    }

    pub(crate) async fn me(&self, actor: Actor<'_>) -> Answered {
        Reply::ok(&self.identity.me(actor.who).await?)
    }

    pub(crate) async fn change_password(&self, ask: &Ask, actor: Actor<'_>) -> Answered {
        let change: NewPassword = ask.read()?;
        let old = change.old.as_ref().map(|old| old.reveal().as_str());
        self.identity.change_password(actor, old, change.new.reveal()).await?;
        Reply::empty()
    }
}
