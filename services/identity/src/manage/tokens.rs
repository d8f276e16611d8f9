//! Tokens that people make and revoke.

use std::time::Duration;

use super::{NewToken, admin, may_touch, own_account};
use crate::{
    audit::What,
    failure::Failure,
    identity::{Actor, Identity},
    names::{NARROW_MARK, token_of},
    rules::compile_token_rules,
    seams::Cause,
    tokens::{MadeToken, NewRow, PERSONAL_MAX, TokenKind, TokenView, view},
};

/// How long a token may be good at most, s: 100 years.
const TOKEN_SECONDS_MAX: u64 = 100 * 366 * 86_400;
/// Bytes of a token's name.
const TOKEN_NAME_BYTES_MAX: usize = 128;

impl Identity {
    /// Somebody's tokens, oldest first: the actor's own, or of a user.
    ///
    /// # Errors
    /// The actor may not, or the store fails.
    pub async fn tokens(&self, actor: Actor<'_>, user: Option<&str>) -> Result<Vec<TokenView>, Failure> {
        let user = match user {
            Some(user) if *user != *actor.who.user => {
                admin(actor.who)?;
                user
            }
            _ => own_account(actor.who)?,
        };
        let current = token_of(actor.who);
        let all = self.0.tokens.of(user).await?.into_iter();
        let good = all.filter(|(_, token)| !token.is_expired(actor.now.wall));
        Ok(good.map(|(id, token)| view(id, token, current)).collect())
    }

    /// Makes a personal token.
    ///
    /// # Errors
    /// There are too many, something is not valid, the actor may not, or the store fails.
    pub async fn create_token(&self, actor: Actor<'_>, new: &NewToken) -> Result<MadeToken, Failure> {
        let user = match &new.user {
            Some(user) if **user != *actor.who.user => {
                admin(actor.who)?;
                let account = self.0.accounts.find(user).await?.ok_or(Failure::NotFound("account"))?;
                may_touch(actor.who, &account)?;
                user
            }
            _ => own_account(actor.who)?,
        };
        if new.name.is_empty() || new.name.len() > TOKEN_NAME_BYTES_MAX || new.name.contains(char::is_control)
        {
            return Err(Failure::BadField("'name' has 1 to 128 bytes and no control characters"));
        }
        let span = match new.expires_in {
            None => Some(self.0.config.load().token_for),
            Some(None) => None,
            Some(Some(seconds)) if (1..=TOKEN_SECONDS_MAX).contains(&seconds) => {
                Some(Duration::from_secs(seconds))
            }
            Some(Some(_)) => return Err(Failure::BadField("'expires_in' is 1 second to 100 years, or null")),
        };
        if let Some(rules) = &new.rules {
            compile_token_rules(rules)?;
        }
        let personal = |token: &TokenView| token.kind == TokenKind::Personal;
        if self.tokens(actor, Some(user)).await?.iter().filter(|t| personal(t)).count() >= PERSONAL_MAX {
            return Err(Failure::TooManyTokens(PERSONAL_MAX));
        }
        let row = NewRow {
            user,
            name: &new.name,
            kind: TokenKind::Personal,
            now: actor.now.wall,
            expires_at: span.map(|span| actor.now.wall.plus(span)),
            rules: new.rules.clone(),
        };
        let (id, made) = self.0.tokens.add(row).await?;
        self.record(actor, What::TokenCreate, Some(user), Some(&id)).await;
        Ok(made)
    }

    /// Revokes a token. Connections made with it end.
    ///
    /// # Errors
    /// There is none, or the actor may not know it; or the store fails.
    pub async fn revoke_token(&self, actor: Actor<'_>, id: &str) -> Result<(), Failure> {
        let token = self.0.tokens.find(id).await?.ok_or(Failure::NotFound("token"))?;
        if token.user != *actor.who.user || own_account(actor.who).is_err() {
            // Whoever may not know that it is there hears that it is not.
            admin(actor.who).map_err(|_| Failure::NotFound("token"))?;
            if let Some(account) = self.0.accounts.find(&token.user).await? {
                may_touch(actor.who, &account)?;
            }
        }
        self.remove_token(&token.user, id).await?;
        self.record(actor, What::TokenRevoke, Some(&token.user), Some(id)).await;
        Ok(())
    }

    pub(super) async fn remove_token(&self, user: &str, id: &str) -> Result<(), Failure> {
        if self.0.tokens.remove(id).await? {
            self.0.narrowings.remove(&format!("{NARROW_MARK}{id}"));
            self.revoke(user, Cause::Token(id.into()));
        }
        Ok(())
    }

    pub(super) async fn remove_logins(&self, user: &str, keep: Option<&str>) -> Result<(), Failure> {
        for (id, token) in self.0.tokens.of(user).await? {
            if token.kind == TokenKind::Login && Some(&*id) != keep {
                self.remove_token(user, &id).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn remove_tokens(&self, user: &str) -> Result<(), Failure> {
        for (id, _) in self.0.tokens.of(user).await? {
            self.remove_token(user, &id).await?;
        }
        Ok(())
    }
}
