//! Telling what happened to one address: in order, and again until it was taken or is too old. What waits is in memory and
//! bounded: the oldest is dropped, and so is everything when the server stops.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;
use http::{HeaderName, HeaderValue, header};
use parking_lot::Mutex;
use serde::Serialize;
use yizhan_media::{
    Name,
    config::{hooks::Hooks as Config, relay::Address},
};
use yizhan_net::{Backoff, PostError, Posted, Poster, posting};
use yizhan_talk::Clock;

use super::{form::Event, signature::Signer};

/// Bytes of an answer: only its status counts.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How often it was tried.
const ATTEMPT: HeaderName = HeaderName::from_static("x-yizhan-attempt");

/// What is told to one address.
pub(crate) struct Lane {
    address: Address,
    config: Config,
    signer: Signer,
    poster: Poster,
    clock: Arc<dyn Clock>,
    waiting: Mutex<Waiting>,
    waker: AtomicWaker,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<(Name, Event)>,
    taken: u64,
    dropped: u64,
    failures: u32,
    error: Option<String>,
}

/// How telling one address goes, for operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaneView {
    /// Where to, without its query.
    pub address: String,
    /// How much waits.
    pub waiting: usize,
    /// How much was taken since the server was started.
    pub taken: u64,
    /// How much was dropped: too old, or too much.
    pub dropped: u64,
    /// Attempts in a row that failed.
    pub failures: u32,
    /// Why the last one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Lane {
    pub(crate) fn new(
        address: Address,
        config: &Config,
        signer: Signer,
        poster: Poster,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (waiting, waker) = (Mutex::default(), AtomicWaker::new());
        Self { address, config: config.clone(), signer, poster, clock, waiting, waker }
    }

    /// Puts something at the end of the line.
    pub(crate) fn push(&self, name: &Name, event: Event) {
        let dropped = {
            let mut waiting = self.waiting.lock();
            let full = waiting.events.len() >= self.config.events_max;
            if full {
                waiting.events.pop_front();
                waiting.dropped += 1;
            }
            waiting.events.push_back((name.clone(), event));
            full.then_some(waiting.dropped)
        };
        if let Some(dropped) = dropped.filter(|dropped| dropped.is_power_of_two()) {
            let address = &self.address;
            tracing::warn!(%address, dropped, "too much waits for a live webhook: the oldest is dropped");
        }
        self.waker.wake();
    }

    pub(crate) fn view(&self) -> LaneView {
        let waiting = self.waiting.lock();
        LaneView {
            address: self.address.to_string(),
            waiting: waiting.events.len(),
            taken: waiting.taken,
            dropped: waiting.dropped,
            failures: waiting.failures,
            error: waiting.error.clone(),
        }
    }

    /// Tells what comes until the future is dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            let (name, event) = poll_fn(|cx| self.poll_first(cx)).await;
            self.tell(&name, &event).await;
        }
    }

    fn poll_first(&self, cx: &mut Context<'_>) -> Poll<(Name, Event)> {
        self.waker.register(cx.waker());
        self.waiting.lock().events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }

    async fn tell(&self, name: &Name, event: &Event) {
        let mut failures = 0_u32;
        loop {
            if self.clock.now().wall.since(event.at) > self.config.give_up {
                let mut waiting = self.waiting.lock();
                waiting.dropped += 1;
                drop(waiting);
                let address = &self.address;
                tracing::warn!(%address, failures, "it is given up to tell a live webhook of something");
                return;
            }
            let Err(error) = self.post(name, event, failures + 1).await else {
                let mut waiting = self.waiting.lock();
                (waiting.taken, waiting.failures, waiting.error) = (waiting.taken + 1, 0, None);
                return;
            };
            failures = failures.saturating_add(1);
            // One line at the first failure, and then fewer and fewer.
            if failures.is_power_of_two() {
                tracing::warn!(address = %self.address, failures, error, "a live webhook did not take what happened");
            }
            {
                let mut waiting = self.waiting.lock();
                (waiting.failures, waiting.error) = (failures, Some(error));
            }
            let backoff = Backoff { min: self.config.retry_min, max: self.config.retry_max };
            backoff.pause(failures - 1).await;
        }
    }

    async fn post(&self, name: &Name, event: &Event, attempt: u32) -> Result<(), String> {
        let to = posting::endpoint(&self.address.of(name)).map_err(|error| error.to_string())?;
        let mut headers = vec![
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (ATTEMPT, HeaderValue::from(attempt)),
        ];
        headers.extend(self.signer.sign(self.clock.now().wall, &event.body));
        let body = event.body.clone();
        taken(self.poster.post(&to, &headers, body, ANSWER_BYTES_MAX, self.config.within).await)
    }
}

/// Whether a post was taken: by any 2xx. Whatever else comes is tried again: a program may be mended.
fn taken(posted: Result<Posted, PostError>) -> Result<(), String> {
    match posted {
        Ok(Posted { status: 200..=299, .. }) | Err(PostError::TooLarge { status: 200..=299, .. }) => Ok(()),
        Ok(posted) => Err(format!("it answered {}", posted.status)),
        Err(error) => Err(error.to_string()),
    }
}
