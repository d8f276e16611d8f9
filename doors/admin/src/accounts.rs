//! Accounts and invitations.

use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use yizhan_identity::{AccountChange, AccountView, Actor, DeviceView, Invitation, NewAccount};

use crate::{
    api::Api,
    ask::{Answered, Ask, Reply},
};

#[derive(Serialize)]
struct Account {
    #[serde(flatten)]
    account: AccountView,
    devices: Vec<DeviceView>,
}

impl Api {
    pub(crate) async fn accounts(&self, ask: &Ask, actor: Actor<'_>) -> Answered {
        ask.takes(&["after", "limit"])?;
        let limit = ask.limit()?;
        let accounts = self.identity.accounts(actor, ask.query("after"), limit).await?;
        let next = if accounts.len() == limit { accounts.last().map(|account| &account.user) } else { None };
        Reply::list(&accounts, next)
    }

    pub(crate) async fn account(&self, actor: Actor<'_>, user: &str) -> Answered {
        let (account, devices) = self.identity.account(actor, user).await?;
        Reply::ok(&Account { account, devices })
    }

    pub(crate) async fn create_account(&self, ask: &Ask, actor: Actor<'_>) -> Answered {
        let new: NewAccount = ask.read()?;
        Reply::json(StatusCode::CREATED, &self.identity.create_account(actor, &new).await?)
    }

    pub(crate) async fn change_account(&self, ask: &Ask, actor: Actor<'_>, user: &str) -> Answered {
        let change: AccountChange = ask.read()?;
        Reply::ok(&self.identity.change_account(actor, user, &change).await?)
    }

    pub(crate) async fn remove_account(&self, actor: Actor<'_>, user: &str) -> Answered {
        self.identity.remove_account(actor, user).await?;
        Reply::empty()
    }

    pub(crate) async fn invite(&self, ask: &Ask, actor: Actor<'_>) -> Answered {
        let invitation: Invitation = ask.read()?;
        let (ticket, expires_at) = self.identity.invite(actor, &invitation).await?;
        let ticket = ticket.reveal();
        let body = json!({
            "user": invitation.user,
            "ticket": ticket,
            "path": format!("/#link={ticket}"),
            "expires_at": expires_at.as_millis(),
        });
        Reply::json(StatusCode::CREATED, &body)
    }
}
