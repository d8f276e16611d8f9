//! The rules, and what they say of what somebody shows. The first that decides counts:
//!
//! 1. a publish key in the address (`?key=`), where keys are taken: a wrong one is told as wrong;
//! 2. a token made for this (`?token=v…` or `p…`): so is one that is wrong, expired or for another address;
//! 3. an account's token (`Authorization: Bearer`, or any other `?token=`), and whether the hub's rules let this account
//!    publish or subscribe to `live/APP/NAME`;
//! 4. what the app is for those who show nothing.
//!
//! In an open app nothing has to be shown: what is shown only says who somebody is.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    config::{Access, PlayBy, PublishBy, Tokens},
    keys::{KeyList, Keys},
    params::{PARAMS_BYTES_MAX, param},
    token::{BadToken, Doing, Grant, Signer, is_token},
};
use crate::{Name, porter::Wish, refused::Refused};

/// The rules of a config, ready to be asked.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) access: Access,
    pub(crate) tokens: Tokens,
    pub(crate) signer: Signer,
    keys: Keys,
}

/// What the rules say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Weighed {
    /// They may, with this token where they showed one.
    Yes(Option<Grant>),
    /// They may where this account's token lets them. In an open app they may in any case, and it only says who they
    /// are.
    Account {
        /// The token.
        token: Arc<str>,
        /// Whether they may even where it is good for nothing.
        open: bool,
    },
    /// They may not; whether what they showed was wrong, as of somebody who guesses.
    No(Refused, bool),
}

impl Rules {
    /// Reads them.
    ///
    /// # Errors
    /// In words for the operator.
    pub(crate) fn new(
        access: &Access,
        keys: &BTreeMap<String, KeyList>,
        tokens: &Tokens,
    ) -> Result<Self, String> {
        access.check()?;
        tokens.check()?;
        let (signer, keys) = (Signer::new(tokens), Keys::new(keys)?);
        Ok(Self { access: access.clone(), tokens: tokens.clone(), signer, keys })
    }

    /// What they say of a wish, before any account is looked at.
    pub(crate) fn weigh(&self, wish: &Wish) -> Weighed {
        let Wish { name, creds, publishing, .. } = wish;
        if creds.params.len() > PARAMS_BYTES_MAX {
            return no("the address is too long");
        }
        let open = match publishing {
            true => self.access.publish_in(&name.app) == PublishBy::Open,
            false => self.access.play_in(&name.app) == PlayBy::Open,
        };
        if !open
            && *publishing
            && let Some(key) = param(&creds.params, "key")
        {
            return self.weigh_key(name, &key);
        }
        let shown = param(&creds.params, "token");
        match shown.as_deref().filter(|token| is_token(token)) {
            Some(token) => return self.weigh_token(wish, token, open),
            None if open && shown.is_none() && creds.bearer.is_none() => return Weighed::Yes(None),
            None => {}
        }
        // What was said in a header was said on purpose.
        let account = creds.bearer.clone().or_else(|| shown.map(|token| token.as_ref().into()));
        match account {
            Some(token) => Weighed::Account { token, open },
            None => self.nothing_shown(name, *publishing),
        }
    }

    fn weigh_key(&self, name: &Name, key: &str) -> Weighed {
        if self.access.publish_in(&name.app) == PublishBy::Accounts {
            return no("keys are not taken in this app: show a token (?token=…)");
        }
        if self.keys.fits(name, key) {
            return Weighed::Yes(None);
        }
        Weighed::No(Refused::Denied("the key is wrong".into()), true)
    }

    fn weigh_token(&self, wish: &Wish, token: &str, open: bool) -> Weighed {
        let doing = if wish.publishing { Doing::Publish } else { Doing::Play };
        match self.signer.check(token, doing, &wish.name, wish.party.address, wish.now.wall) {
            Ok(grant) => Weighed::Yes(Some(grant)),
            Err(_) if open => Weighed::Yes(None),
            Err(BadToken::Expired) => Weighed::No(Refused::Expired, false),
            Err(bad) => Weighed::No(Refused::Denied(bad.to_string().into()), bad == BadToken::Wrong),
        }
    }

    fn nothing_shown(&self, name: &Name, publishing: bool) -> Weighed {
        if !publishing {
            return match self.access.play_in(&name.app) {
                PlayBy::Open => Weighed::Yes(None),
                PlayBy::Tokens => no("a token is needed to watch this: add ?token=… to the address"),
                PlayBy::Accounts => {
                    no("an account is needed to watch this: sign in, or add ?token=… to the address")
                }
            };
        }
        match self.access.publish_in(&name.app) {
            PublishBy::Open => Weighed::Yes(None),
            PublishBy::Keys if self.keys.has_some(name) => {
                no("a key is needed to publish this: add ?key=… to the stream's name")
            }
            PublishBy::Keys => no(
                "publishing this takes a key or an account's token: set a key in live.keys and add ?key=… to the \
                 stream's name, or add ?token=…",
            ),
            PublishBy::Accounts => {
                no("an account is needed to publish this: add ?token=… to the stream's name")
            }
        }
    }
}

fn no(reason: &str) -> Weighed {
    Weighed::No(Refused::Denied(reason.into()), false)
}
