//! Public keys for JWTs: read from a file or fetched, again and again.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tracing::{info, warn};
use yizhan_identity::Identity;

use crate::config::Config;

/// Bytes that a key set may have.
const KEYS_BYTES_MAX: usize = 1 << 20;
/// How long fetching them may take.
const FETCH_WITHIN: Duration = Duration::from_secs(10);
/// How soon a fetch that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Keeps identity's keys fresh.
pub(crate) struct Keys {
    identity: Identity,
    wanted: Arc<Notify>,
}

impl Keys {
    /// `wanted` is told when a token names a key that is not known.
    pub(crate) fn new(identity: Identity, wanted: Arc<Notify>) -> Self {
        Self { identity, wanted }
    }

    /// Fetch them again soon: the config has changed.
    pub(crate) fn refresh(&self) {
        self.wanted.notify_one();
    }

    /// Runs as long as the server does.
    pub(crate) async fn run(self: Arc<Self>, config: Arc<ArcSwap<Config>>) {
        loop {
            let jwt = config.load().identity.jwt.clone();
            let wait = match self.fetch(&jwt).await {
                Ok(()) => jwt.jwks_refresh.max(Duration::from_secs(1)),
                Err(why) => {
                    warn!(why, "the keys for JWTs could not be read: the ones before stay in force");
                    RETRY_AFTER.min(jwt.jwks_refresh)
                }
            };
            // Either way: it is time.
            drop(tokio::time::timeout(wait, self.wanted.notified()).await);
        }
    }

    async fn fetch(&self, jwt: &yizhan_identity::config::JwtConfig) -> Result<(), String> {
        let text = match (&jwt.jwks_file, &jwt.jwks_url) {
            (Some(path), _) => {
                let text = tokio::fs::read_to_string(path).await;
                text.map_err(|error| format!("{}: {error}", path.display()))?
            }
            (None, Some(url)) => {
                let bytes = yizhan_net::fetch(url, KEYS_BYTES_MAX, FETCH_WITHIN).await;
                let bytes = bytes.map_err(|error| format!("{url}: {error}"))?;
                String::from_utf8(bytes.to_vec()).map_err(|_| format!("{url}: it is no text"))?
            }
            (None, None) => return Ok(()),
        };
        let keys = self.identity.set_keys(&text).map_err(|error| error.to_string())?;
        info!(keys, "keys for JWTs are in force");
        Ok(())
    }
}
