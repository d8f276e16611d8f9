//! Personal tokens.

use http::StatusCode;
use serde::Serialize;
use yizhan_identity::{Actor, NewToken, TokenView};

use crate::{
    api::Api,
    ask::{Answered, Ask, Reply},
};

#[derive(Serialize)]
struct Made<'a> {
    #[serde(flatten)]
    view: &'a TokenView,
    token: &'a str,
}

impl Api {
    pub(crate) async fn tokens(&self, ask: &Ask, actor: Actor<'_>) -> Answered {
        ask.takes(&["user", "limit", "after"])?;
        let tokens = self.identity.tokens(actor, ask.query("user")).await?;
        Reply::list(&tokens, None::<&str>)
    }

    pub(crate) async fn create_token(&self, ask: &Ask, actor: Actor<'_>) -> Answered {
        let new: NewToken = ask.read()?;
        let made = self.identity.create_token(actor, &new).await?;
        Reply::json(StatusCode::CREATED, &Made { view: &made.view, token: made.token.reveal() })
    }

    pub(crate) async fn revoke_token(&self, actor: Actor<'_>, id: &str) -> Answered {
        self.identity.revoke_token(actor, id).await?;
        Reply::empty()
    }
}
