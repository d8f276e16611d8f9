//! Telling what happened, from the journal: in order within a lane, again until it is taken, and over restarts.
//!
//! How far a program is stands in a table, and moves only after it took a post (2xx). So nothing is lost while it is
//! down, and after a crash of ours the last post may come twice: events have ids.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Uri, header};
use parking_lot::Mutex;
use serde_json::{Value, json};
use yizhan_hub::{
    Filter, Hub, Journal, Position, StoreError, Table, Topic,
    store::{Expect, PageSize},
};
use yizhan_net::{Backoff, PostError, Posted, Poster, posting};
use yizhan_talk::Timestamp;

use super::{
    events::{Batch, Places, batch, journal_filter, with_new_lanes},
    signature::{SIGNATURE, Signer},
};
use crate::config::Hook as Config;

/// Bytes of bodies in one post, roughly.
const POST_BYTES_MAX: usize = 512 * 1024;
/// Bytes of an answer: only its status counts.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long nothing is looked for after nothing was found.
const QUIET: Duration = Duration::from_millis(200);
/// Events that are counted for operators.
const COUNTED_MAX: usize = 1000;
/// What names a post.
const DELIVERY: HeaderName = HeaderName::from_static("x-yizhan-delivery");
/// Any topic of the space that conversations are kept in.
const TOPIC: &str = "im/c/any";

/// A program that is told.
pub(crate) struct Hook {
    name: String,
    config: Config,
    url: Uri,
    signer: Signer,
    filter: Filter,
    poster: Poster,
    hub: Hub,
    table: Arc<dyn Table>,
    state: Mutex<State>,
    /// Held while places are written, so that none is written over by an older one.
    saving: futures_util::lock::Mutex<()>,
}

/// What is shown of a hook, and what is wanted of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// Up to where it has everything, one for each lane.
    pub(crate) places: Vec<Position>,
    /// Events that it took since the server started.
    pub(crate) delivered: u64,
    /// When it took some last.
    pub(crate) last_at: Option<Timestamp>,
    /// Attempts in a row that failed.
    pub(crate) failures: u32,
    /// Why the last one did.
    pub(crate) error: Option<String>,
    /// It is to go on from there.
    wanted: Option<Vec<Position>>,
}

/// What became of a post.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It was taken.
    Taken,
    /// It is too large for the program.
    TooLarge,
    /// It is tried again, after this at least where the program said so.
    Again(String, Option<Duration>),
}

impl Hook {
    /// Over a config that was checked.
    ///
    /// # Errors
    /// The address is none, or there is no TLS.
    pub(crate) fn new(
        name: &str,
        config: &Config,
        hub: Hub,
        table: Arc<dyn Table>,
    ) -> Result<Self, PostError> {
        Ok(Self {
            name: name.to_owned(),
            url: posting::endpoint(&config.url)?,
            signer: Signer::new(config.secret.reveal()),
            // The two filters are constants.
            filter: journal_filter(&config.hears)
                .ok_or_else(|| PostError::Failed("a bad filter".to_owned()))?,
            config: config.clone(),
            poster: Poster::new()?,
            hub,
            table,
            state: Mutex::default(),
            saving: futures_util::lock::Mutex::default(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How it is, for operators.
    pub(crate) async fn shown(&self) -> Value {
        let state = self.state.lock().clone();
        let positions: Vec<String> = state.places.iter().map(Position::to_string).collect();
        let mut shown = json!({
            "name": self.name, "url": self.config.url, "positions": positions,
            "delivered": state.delivered, "failed": state.failures,
        });
        match self.waiting(&state.places).await {
            Ok(waiting) => shown["waiting"] = waiting.into(),
            Err(error) => {
                tracing::warn!(hook = self.name, %error, "what waits for a webhook cannot be counted")
            }
        }
        if let Some(at) = state.last_at {
            shown["last_at"] = at.as_millis().into();
        }
        if let Some(error) = state.error {
            shown["last_error"] = error.into();
        }
        shown
    }

    /// How many events wait; more than [`COUNTED_MAX`] are not counted.
    async fn waiting(&self, places: &[Position]) -> Result<usize, StoreError> {
        let (journal, mut waiting) = (self.journal()?, 0);
        for place in places {
            let size = PageSize { records_max: COUNTED_MAX - waiting, bytes_max: usize::MAX };
            waiting += journal.read(*place, &self.filter, size).await?.records.len();
            if waiting >= COUNTED_MAX {
                break;
            }
        }
        Ok(waiting)
    }

    /// Has it told everything again that happened at a time or later.
    ///
    /// # Errors
    /// The store failed, or nothing is kept.
    pub(crate) async fn replay(&self, since: Timestamp) -> Result<(), StoreError> {
        let places = self.journal()?.since(since).await?;
        let _saving = self.saving.lock().await;
        self.save(&places).await?;
        self.state.lock().wanted = Some(places);
        Ok(())
    }

    /// Tells it everything until the future is dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        let backoff = Backoff { min: self.config.retry_min, max: self.config.retry_max };
        let mut failures = 0;
        let mut places = loop {
            match self.begin().await {
                Ok(places) => break places,
                Err(error) => self.broken(&error, &mut failures, backoff).await,
            }
        };
        failures = 0;
        loop {
            match self.round(&mut places).await {
                Ok(true) => failures = 0,
                Ok(false) => quiet().await,
                Err(error) => self.broken(&error, &mut failures, backoff).await,
            }
        }
    }

    async fn broken(&self, error: &StoreError, failures: &mut u32, backoff: Backoff) {
        tracing::error!(hook = self.name, %error, "what a webhook is to hear cannot be read: it is tried again");
        backoff.pause(*failures).await;
        *failures = failures.saturating_add(1);
    }

    fn journal(&self) -> Result<Arc<dyn Journal>, StoreError> {
        let topic = Topic::new(TOPIC).map_err(|bad| StoreError::Failed(bad.to_string()))?;
        self.hub
            .journal(&topic)
            .ok_or_else(|| StoreError::Failed("chats are not kept: see [space.im]".to_owned()))
    }

    /// Where to go on, or for a new hook: from now.
    async fn begin(&self) -> Result<Vec<Position>, StoreError> {
        let row = self.table.get(self.name.as_bytes()).await?;
        let saved: Vec<Position> = row
            .and_then(|(row, _)| serde_json::from_slice::<Places>(&row).ok())
            .map(|places| places.positions())
            .unwrap_or_default();
        let places = with_new_lanes(saved.clone(), &self.journal()?.heads());
        if places != saved {
            self.save(&places).await?;
        }
        self.state.lock().places.clone_from(&places);
        Ok(places)
    }

    async fn save(&self, places: &[Position]) -> Result<(), StoreError> {
        // A plain struct with text keys is always written.
        let row = Bytes::from(serde_json::to_vec(&Places::of(places)).unwrap_or_default());
        self.table.put(self.name.as_bytes(), Some(row), Expect::Any).await?;
        Ok(())
    }

    /// Each lane once. Gives whether something was there.
    async fn round(&self, places: &mut Vec<Position>) -> Result<bool, StoreError> {
        let journal = self.journal()?;
        let mut some = false;
        for lane in 0..places.len() {
            if self.take_wanted(places) {
                return Ok(true);
            }
            let mut events_max = self.config.events_max;
            let size = PageSize { records_max: events_max, bytes_max: POST_BYTES_MAX };
            let mut page = journal.read(places[lane], &self.filter, size).await?;
            let mut failures = 0;
            while let Some(batch) = batch(&self.name, self.hub.now().wall, &page) {
                let outcome = self.post(&batch, failures).await;
                match outcome {
                    Outcome::Taken => {
                        let mut state = self.state.lock();
                        state.delivered += batch.events as u64;
                        (state.failures, state.error) = (0, None);
                        state.last_at = Some(self.hub.now().wall);
                        break;
                    }
                    Outcome::TooLarge if events_max > 1 => {
                        events_max = (page.records.len() / 2).max(1);
                        let size = PageSize { records_max: events_max, bytes_max: POST_BYTES_MAX };
                        page = journal.read(places[lane], &self.filter, size).await?;
                    }
                    outcome => {
                        self.wait(outcome, &mut failures).await;
                        if self.state.lock().wanted.is_some() {
                            return Ok(true);
                        }
                    }
                }
            }
            let Some(through) = page.through.filter(|through| *through != places[lane]) else { continue };
            some |= !page.records.is_empty() || !page.at_end;
            let _saving = self.saving.lock().await;
            if self.state.lock().wanted.is_some() {
                return Ok(true);
            }
            places[lane] = through;
            if !page.records.is_empty() {
                self.save(places).await?;
            }
            self.state.lock().places.clone_from(places);
        }
        Ok(some)
    }

    /// Whether it is to go on elsewhere.
    fn take_wanted(&self, places: &mut Vec<Position>) -> bool {
        let Some(wanted) = self.state.lock().wanted.take() else { return false };
        tracing::info!(hook = self.name, "a webhook is told again from an earlier time");
        *places = wanted;
        self.state.lock().places.clone_from(places);
        true
    }

    async fn post(&self, batch: &Batch, failures: u32) -> Outcome {
        let mut headers = vec![
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (SIGNATURE, self.signer.sign(self.hub.now().wall, &batch.body)),
        ];
        if let Ok(id) = HeaderValue::from_str(&batch.id.to_string()) {
            headers.push((DELIVERY, id));
        }
        headers.push((HeaderName::from_static("x-yizhan-attempt"), HeaderValue::from(failures + 1)));
        let body = batch.body.clone();
        let posted = self.poster.post(&self.url, &headers, body, ANSWER_BYTES_MAX, self.config.within).await;
        outcome(posted)
    }

    /// Says that it failed, and waits.
    async fn wait(&self, outcome: Outcome, failures: &mut u32) {
        let (error, wait) = match outcome {
            Outcome::Again(error, wait) => (error, wait),
            _ => ("a post with a single event is too large for it".to_owned(), None),
        };
        // One line at the first failure, and then fewer and fewer.
        if (*failures + 1).is_power_of_two() {
            tracing::warn!(hook = self.name, failures = *failures + 1, error, "a webhook was not taken");
        }
        {
            let mut state = self.state.lock();
            (state.failures, state.error) = (*failures + 1, Some(error));
        }
        let backoff = Backoff { min: self.config.retry_min, max: self.config.retry_max };
        match wait {
            // A pause is at least half of its bound.
            Some(wait) => {
                let twice = wait.min(self.config.retry_max) * 2;
                Backoff { min: twice, max: twice }.pause(0).await;
            }
            None => backoff.pause(*failures).await,
        }
        *failures = failures.saturating_add(1);
    }
}

async fn quiet() {
    Backoff { min: QUIET, max: QUIET }.pause(0).await;
}

/// What an answer means. Whatever is not 2xx is tried again: a program may be mended.
fn outcome(posted: Result<Posted, PostError>) -> Outcome {
    let posted = match posted {
        Ok(posted) => posted,
        // It has it, and says much to that.
        Err(PostError::TooLarge { status: 200..=299, .. }) => return Outcome::Taken,
        Err(error) => return Outcome::Again(error.to_string(), None),
    };
    match posted.status {
        200..=299 => Outcome::Taken,
        413 => Outcome::TooLarge,
        status => {
            let wait = posted.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            let wait = wait.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
            Outcome::Again(format!("it answered {status}"), wait)
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn answered(status: u16, retry_after: Option<&'static str>) -> Outcome {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(text));
        }
        outcome(Ok(Posted { status, headers, body: Bytes::new() }))
    }

    #[test]
    fn only_2xx_is_taken() {
        assert_eq!((answered(200, None), answered(204, None)), (Outcome::Taken, Outcome::Taken));
        assert_eq!(answered(413, None), Outcome::TooLarge);
        for status in [301, 302, 400, 404, 410, 500, 503] {
            assert!(matches!(answered(status, None), Outcome::Again(_, None)), "{status}");
        }
        assert!(
            matches!(answered(429, Some("7")), Outcome::Again(_, Some(wait)) if wait == Duration::from_secs(7))
        );
        assert!(matches!(answered(503, Some("soon")), Outcome::Again(_, None)));
        let chatty = |status| outcome(Err(PostError::TooLarge { bytes_max: 1, status }));
        assert_eq!(chatty(200), Outcome::Taken);
        assert!(matches!(chatty(500), Outcome::Again(..)));
        assert!(matches!(outcome(Err(PostError::Late(Duration::from_secs(1)))), Outcome::Again(..)));
    }
}
